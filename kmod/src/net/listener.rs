//! Who listens to network cards in place of a stack.
//!
//! # Overview
//!
//! An interrupt of a card schedules the listener's softint on the CPU that took it. What the softint does with the
//! cards is its own affair: it sees frames as they are ([`machine::nic_receive`](crate::machine::nic_receive)).
//!
//! # Contexts
//!
//! [`listen`]: any. `tell`: hard interrupt.

use crate::kern::lwp::curlwp;
use crate::kern::softint::{self, Softint};
use crate::mem::{Acquire, AtomicRef, Release};

/// What a kernel has for it.
pub(crate) struct Listener(AtomicRef<Softint>);

impl Listener {
    pub(crate) const fn new() -> Self {
        Listener(AtomicRef::new())
    }
}

/// Lets every interrupt of a card schedule `softint`; `None`: nobody is told any more.
///
/// An interrupt that is being taken may still use the one of before: a cross call of low priority comes behind it.
pub fn listen(softint: Option<&'static Softint>) {
    curlwp().kernel().nic_listener.0.store(softint, Release);
}

/// A card has interrupted.
pub(crate) fn tell() {
    if let Some(softint) = curlwp().kernel().nic_listener.0.load(Acquire) {
        softint::schedule(*softint);
    }
}
