//! The network stack: what NetBSD keeps in `sys/net` and `sys/netinet`.
//!
//! # How to read it
//!
//! A packet is an [`mbuf`]. [`nic`] takes it from a network card in a hard interrupt. [`llatbl`] is the table that tells
//! link addresses by network addresses, [`arp`] the protocol that fills it; [`lleref`] is the account of who keeps an entry
//! of the table alive.
//!
//! What is here calls the primitives as any code of the kernel does, and is called by scenarios:
//!
//! ```text
//! scenario -> net -> kern -> mem
//! ```
//!
//! # Two ways of locking
//!
//! Without NET_MPSAFE one lock, `softnet_lock`, is held wherever the stack runs: by the protocols' input, by sockets, and by
//! the handlers of timers. With it each table has its own lock, and layers 2 and 3 do without `softnet_lock`.
//! [`Config::net_mpsafe`](crate::config::Config::net_mpsafe) says which of the two a kernel is; code that both share asks by
//! [`softnet_enter`] and [`softnet_exit`] (`SOFTNET_LOCK_UNLESS_NET_MPSAFE`).
//!
//! # Lock order
//!
//! `softnet_lock`, `IF_AFDATA_LOCK` (`llt_afdata_lock`), the lock of an entry (`lle_lock`), the lock of a CPU's callouts.

pub mod arp;
pub mod llatbl;
pub mod lleref;
pub mod mbuf;
pub mod nic;

use core::fmt;

use crate::kern::lwp::curlwp;
use crate::kern::mutex::Kmutex;

/// An IPv4 address (`struct in_addr`), in host order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InAddr(pub u32);

impl fmt::Display for InAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d] = self.0.to_be_bytes();
        write!(f, "{a}.{b}.{c}.{d}")
    }
}

/// A link address.
pub type LlAddr = [u8; 6];

/// Enters `softnet_lock`, in a kernel without NET_MPSAFE.
///
/// Context: thread or softint, no lock held that comes later in the order.
#[track_caller]
pub fn softnet_enter(softnet_lock: &Kmutex) {
    if !curlwp().kernel().config().net_mpsafe {
        softnet_lock.enter();
    }
}

/// Leaves it, if [`softnet_enter`] entered it.
///
/// Context: as the caller of that.
#[track_caller]
pub fn softnet_exit(softnet_lock: &Kmutex) {
    if !curlwp().kernel().config().net_mpsafe {
        softnet_lock.exit();
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::InAddr;
    use std::string::ToString;

    #[test]
    fn an_address_is_written_with_dots() {
        assert_eq!(InAddr(0x0a00_0002).to_string(), "10.0.0.2");
    }
}
