//! The driver of the machine's network cards.

use crate::kern::lwp::curlwp;
use crate::kern::softint::{self, Softint};
use crate::mem::{Acquire, AtomicRef, Release};

/// What a kernel has for its network cards.
pub(crate) struct Nics {
    /// Who is told that a card has received something.
    listener: AtomicRef<Softint>,
}

impl Nics {
    pub(crate) const fn new() -> Self {
        Nics {
            listener: AtomicRef::new(),
        }
    }
}

/// Lets every interrupt of a card schedule `softint` on the CPU that took it; `None`: nobody is told any more.
///
/// An interrupt that is being taken may still use the softint of before: a cross call comes behind it.
pub(crate) fn listen(softint: Option<&'static Softint>) {
    curlwp().kernel().nics.listener.store(softint, Release);
}

/// A card has received something. Called in a hard interrupt, at [`Ipl::Vm`](crate::kern::spl::Ipl).
pub(crate) fn intr() {
    if let Some(listener) = curlwp().kernel().nics.listener.load(Acquire) {
        softint::schedule(*listener);
    }
}
