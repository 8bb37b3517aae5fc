//! Records which LWP holds a share of an object with several holders: the readers of an rwlock, the references of a
//! localcount.
//!
//! # Overview
//!
//! An rwlock counts its readers, and a localcount its references, but neither records which LWPs they are. The kernel
//! does not need that. The [wait-for graph](crate::kern::waits) and the contracts of rwlock(9) do. So in a kernel
//! with contracts each LWP has a list of its shares. NetBSD's LOCKDEBUG counts them in `l_shlocks`; here they are
//! recorded by address. Nothing else depends on this.
//!
//! A reference to a localcount may be released by another LWP than acquired it. Then it is removed from any LWP that
//! has one, and the graph marks such waits as ones that may end otherwise.
//!
//! # Contexts
//!
//! Any. An interrupt handler acts for the LWP that it interrupted.
//!
//! # Cost
//!
//! A check of a few words of the LWP itself; without the feature `contracts`, nothing.

use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed};

use crate::kern::lwp::{Lwp, curlwp};
use crate::kernel::Kernel;

/// Recorded shares per LWP. Further shares are counted, but not recorded.
const KNOWN: usize = 8;

/// The shares of an LWP. Atomic, because another LWP may release a share, and an interrupt may come at any time.
pub(crate) struct Shares {
    of: [AtomicUsize; KNOWN],
    more: AtomicU32,
}

impl Shares {
    /// No shares.
    pub(crate) const fn new() -> Self {
        Shares {
            of: [const { AtomicUsize::new(0) }; KNOWN],
            more: AtomicU32::new(0),
        }
    }

    /// Forgets all shares: the LWP is reused.
    pub(crate) fn clear(&self) {
        self.of.iter().for_each(|of| of.store(0, Relaxed));
        self.more.store(0, Relaxed);
    }

    /// Replaces `old` by `new`. Returns whether `old` was there.
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

    /// Removes a share. Returns whether there was one.
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

/// Records that the caller has a share.
#[inline(always)]
pub(crate) fn take<T>(object: &T) {
    if cfg!(feature = "contracts") {
        curlwp().l_shares.add(address(object));
    }
}

/// Records that the caller has released a share.
#[inline(always)]
pub(crate) fn give_back<T>(object: &T) {
    if cfg!(feature = "contracts") {
        curlwp().l_shares.remove(address(object));
    }
}

/// Records that the caller has released a share, which it took itself or was given by another LWP.
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

/// Whether the caller has a recorded share. For contracts.
#[inline(always)]
pub(crate) fn has<T>(object: &T) -> bool {
    curlwp().l_shares.knows(address(object))
}

/// Whether the caller may have a share: it has one, or it has more shares than are recorded. For contracts.
#[inline(always)]
pub(crate) fn may_have<T>(object: &T) -> bool {
    has(object) || curlwp().l_shares.more.load(Relaxed) != 0
}

/// Calls `visit` with each LWP that has a share. For reports, when the kernel has stopped.
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
