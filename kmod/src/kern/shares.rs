//! Who has a share of what several may hold at once: the readers of an rwlock, the references of a localcount.
//!
//! # Overview
//!
//! The word of an rwlock counts its readers, and the counts of a localcount its references; neither says whose they are.
//! Nothing that a kernel does depends on that, but whoever waits for them to go would like to know it: the
//! [wait-for graph](crate::kern::waits), and the contracts of rwlock(9). So a kernel with contracts notes with each LWP
//! what it took a share of, as NetBSD's LOCKDEBUG counts in `l_shlocks`, but by address. Nothing else is ever
//! decided by it.
//!
//! A reference to a localcount may be released by another LWP than acquired it: then it is taken from any that has one,
//! and the graph draws its waits as such that may end otherwise.
//!
//! # Contexts
//!
//! Any. An interrupt handler takes and gives back in the name of the LWP that it interrupted.
//!
//! # Cost
//!
//! A look at a few words of the LWP's own; without the feature `contracts`, nothing.

use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed};

use crate::kern::lwp::{Lwp, curlwp};
use crate::kernel::Kernel;

/// Shares that an LWP is known by. More are counted, and nobody is told whose they are.
const KNOWN: usize = 8;

/// What an LWP has a share of. Atomic, because another LWP may give a share back, and an interrupt may come.
pub(crate) struct Shares {
    of: [AtomicUsize; KNOWN],
    more: AtomicU32,
}

impl Shares {
    /// Of nothing.
    pub(crate) const fn new() -> Self {
        Shares {
            of: [const { AtomicUsize::new(0) }; KNOWN],
            more: AtomicU32::new(0),
        }
    }

    /// The LWP is another from now on.
    pub(crate) fn clear(&self) {
        self.of.iter().for_each(|of| of.store(0, Relaxed));
        self.more.store(0, Relaxed);
    }

    /// Puts `new` where `old` is. Whether it was there.
    fn replace(&self, old: usize, new: usize) -> bool {
        self.of
            .iter()
            .any(|of| of.compare_exchange(old, new, Relaxed, Relaxed).is_ok())
    }

    fn add(&self, object: usize) {
        if !self.replace(0, object) {
            self.more.fetch_add(1, Relaxed);
        }
    }

    /// Whether there was one.
    fn remove(&self, object: usize) -> bool {
        self.replace(object, 0) || self.remove_unknown()
    }

    fn remove_unknown(&self) -> bool {
        let one_less = |more: u32| more.checked_sub(1);
        self.more.fetch_update(Relaxed, Relaxed, one_less).is_ok()
    }

    fn knows(&self, object: usize) -> bool {
        self.of.iter().any(|of| of.load(Relaxed) == object)
    }
}

fn address<T>(object: &T) -> usize {
    core::ptr::from_ref(object).addr()
}

/// The caller has a share from now on.
#[inline(always)]
pub(crate) fn take<T>(object: &T) {
    if cfg!(feature = "contracts") {
        curlwp().l_shares.add(address(object));
    }
}

/// The caller has one less.
#[inline(always)]
pub(crate) fn give_back<T>(object: &T) {
    if cfg!(feature = "contracts") {
        curlwp().l_shares.remove(address(object));
    }
}

/// The caller gives back a share which is its own, or which it was handed by whoever took it.
#[inline(always)]
pub(crate) fn give_back_anyones<T>(object: &T) {
    if cfg!(feature = "contracts") {
        let (l, object) = (curlwp(), address(object));
        if !l.l_shares.replace(object, 0) {
            let mut others = l.kernel().lwps();
            let _found = others.any(|other| other.l_shares.replace(object, 0))
                || l.l_shares.remove_unknown();
        }
    }
}

/// Whether the caller has a share, as far as is known: for contracts.
#[inline(always)]
pub(crate) fn has<T>(object: &T) -> bool {
    curlwp().l_shares.knows(address(object))
}

/// Whether the caller may have a share: it has one, or more shares than are known. For contracts.
#[inline(always)]
pub(crate) fn may_have<T>(object: &T) -> bool {
    has(object) || curlwp().l_shares.more.load(Relaxed) != 0
}

/// Calls `visit` with each LWP that has a share: for reports, when the kernel has stopped.
pub fn holders<T>(kernel: &'static Kernel, object: &T, visit: &mut dyn FnMut(&'static Lwp)) {
    let object = address(object);
    kernel
        .lwps()
        .filter(|l| l.l_shares.knows(object))
        .for_each(visit);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_known_until_it_is_given_back_as_often_as_it_was_taken() {
        let shares = Shares::new();
        shares.add(16);
        shares.add(32);
        shares.add(16);
        assert!(shares.remove(16) && shares.knows(16) && shares.knows(32));
        assert!(shares.remove(16) && !shares.knows(16));
        assert!(!shares.remove(16));
        assert!(shares.knows(32));
    }

    #[test]
    fn shares_beyond_those_that_are_known_can_be_given_back_too() {
        let shares = Shares::new();
        (1..=KNOWN + 2).for_each(|object| shares.add(object));
        assert!(!shares.knows(KNOWN + 1));
        (1..=KNOWN + 2).for_each(|object| assert!(shares.remove(object)));
        assert!(!shares.remove(1) && !shares.remove(KNOWN + 1));
    }

    #[test]
    fn another_lwp_has_no_shares() {
        let shares = Shares::new();
        (1..=KNOWN + 2).for_each(|object| shares.add(object));
        shares.clear();
        assert!(!shares.knows(1) && !shares.remove(1));
    }
}
