//! The word of an rwlock: who holds it, and who waits.

use core::fmt;

use crate::kern::lwp::Lwp;

pub(super) const HAS_WAITERS: usize = 1;
pub(super) const WRITE_WANTED: usize = 2;
pub(super) const WRITE_LOCKED: usize = 4;
pub(super) const FLAGS: usize = 0xf;
pub(super) const THREAD: usize = !FLAGS;
pub(super) const READ_INCR: usize = 0x10;

/// The word while `l` is the writer.
pub(super) fn writer(l: &Lwp) -> usize {
    core::ptr::from_ref(l) as usize | WRITE_LOCKED
}

/// The word while `readers` share the lock and `writers` wait.
pub(super) const fn share(readers: usize, writers: u32) -> usize {
    let flags = if writers == 0 {
        0
    } else {
        HAS_WAITERS | WRITE_WANTED
    };
    (readers * READ_INCR) | flags
}

/// The writer that a word names.
pub(super) fn writer_of(word: usize) -> Option<&'static Lwp> {
    if word & WRITE_LOCKED == 0 {
        return None;
    }
    // SAFETY: a word with WRITE_LOCKED has the address of an LWP; LWPs live as long as their kernel.
    unsafe { ((word & THREAD) as *const Lwp).as_ref() }
}

/// A word, as text: `held by t1 for writing`.
pub(super) struct Word(pub(super) usize);

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match writer_of(self.0) {
            Some(l) => write!(f, "held by {} for writing", l.name())?,
            None if self.0 & THREAD == 0 => write!(f, "free")?,
            None => write!(f, "held by readers ({})", self.0 / READ_INCR)?,
        }
        for (flag, text) in [
            (HAS_WAITERS, ", with waiters"),
            (WRITE_WANTED, ", wanted by writers"),
        ] {
            if self.0 & flag != 0 {
                f.write_str(text)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::ToString;

    #[test]
    fn flags_owner_and_count_do_not_overlap() {
        assert!(core::mem::align_of::<Lwp>() > FLAGS);
        assert_eq!((HAS_WAITERS | WRITE_WANTED | WRITE_LOCKED) & THREAD, 0);
        assert_eq!(READ_INCR & FLAGS, 0);
        assert_eq!(READ_INCR >> 1 & FLAGS, READ_INCR >> 1);
    }

    #[test]
    fn a_shared_word_is_closed_to_readers_only_if_writers_wait() {
        assert_eq!(share(3, 0), 3 * READ_INCR);
        assert_eq!(share(1, 2), READ_INCR | HAS_WAITERS | WRITE_WANTED);
    }

    #[test]
    fn a_word_is_told_as_what_it_means() {
        assert_eq!(Word(0).to_string(), "free");
        assert_eq!(
            Word((2 * READ_INCR) | HAS_WAITERS | WRITE_WANTED).to_string(),
            "held by readers (2), with waiters, wanted by writers"
        );
    }
}
