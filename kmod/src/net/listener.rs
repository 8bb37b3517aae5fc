//! A softint that uses network cards without a stack.
//!
//! # Overview
//!
//! An interrupt of a card schedules the listener's softint on the CPU that took the interrupt. The softint reads the frames itself
//! ([`machine::nic_receive`](crate::machine::nic_receive)), all that are there: no interrupt comes for those that it leaves.
//!
//! # Contexts
//!
//! [`listen`]: any. `tell`: hard interrupt.

use crate::kern::lwp::curlwp;
use crate::kern::softint::{self, Softint};
use crate::mem::{Acquire, AtomicRef, Release};

/// The listener of a kernel.
pub(crate) struct Listener(AtomicRef<Softint>);

impl Listener {
    pub(crate) const fn new() -> Self {
        Listener(AtomicRef::new())
    }
}

/// Makes every interrupt of a card schedule `softint`; `None`: no interrupt does any more.
///
/// An interrupt under way may still schedule the previous softint. A low-priority cross call runs after it.
pub fn listen(softint: Option<&'static Softint>) {
    super::of(curlwp().kernel())
        .listener
        .0
        .store(softint, Release);
}

/// A card has interrupted.
pub(crate) fn tell() {
    let network = super::of(curlwp().kernel());
    if let Some(softint) = network.listener.0.load(Acquire) {
        network.told.of_all();
        softint::schedule(*softint);
    }
}
