//! Counters of the protocols, and the check that they add up.
//!
//! # Overview
//!
//! Every packet is counted when it is created, and as one [`End`] when it ends: there is no other way to get rid of a packet. Each
//! layer also counts what comes in, and what it does with it. [`accounting`] checks at rest that both sides of each row are
//! equal:
//!
//! | in | out |
//! |---|---|
//! | packets created | packets ended + packets that sockets and taps keep |
//! | frames to Ethernet | to IP + to ARP + dropped |
//! | packets that IP took out of its queue | to ICMP + to UDP + dropped |
//! | messages to ICMP | echo requests + others + dropped |
//! | echo requests | echo replies given to IP |
//! | datagrams to UDP | to sockets + dropped |
//! | packets put into a protocol's queue | taken out + flushed + in it |
//! | packets taken out of IP's queue | packets that IP took |
//! | frames that the machine's cards gave, took and refused | those that the driver has counted |
//!
//! # Contexts
//!
//! Counting: any. [`accounting`]: at rest.
//!
//! # Memory order
//!
//! Counting is a relaxed addition within the current step, as in evcnt(9). The sums are exact at rest.
//!
//! # Differences from NetBSD
//!
//! NetBSD has counters for each protocol and CPU (`IP_STATINC`), and does not check their sums.
//!
//! # Sources
//!
//! `sys/net/net_stats.h`, `sys/netinet/ip_var.h`, `sys/netinet/icmp_var.h`, `sys/netinet/udp_var.h`.

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::machine::{self, NicCounts, Stop};
use crate::net::Net;
use crate::net::mbuf::End;

macro_rules! counts {
    ($($(#[$doc:meta])* $count:ident, $text:literal;)*) => {
        /// What is counted.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[repr(usize)]
        pub enum Count {
            $($(#[$doc])* $count,)*
        }

        impl Count {
            /// Everything that is counted.
            pub const ALL: &[Count] = &[$(Count::$count),*];

            /// The text after a number of them: "12 echo requests".
            pub const fn text(self) -> &'static str {
                match self {
                    $(Count::$count => $text,)*
                }
            }
        }
    };
}

counts! {
    /// Frames that a card had received.
    NicIn, "frames from cards";
    /// Frames that a card had received, and that were lost because there was no memory.
    NicNoMemory, "frames of cards lost for want of memory";
    /// Frames that a card had received, and that the stack had not come to when it ended.
    NicFlushed, "frames of cards dropped at the end of the stack";
    /// Frames that a card took to be sent.
    NicOut, "frames to cards";
    /// Frames for which a card had no room.
    NicRefused, "frames that cards had no room for";
    /// Frames that came to Ethernet.
    EtherIn, "frames in";
    /// Frames with an IP packet.
    EtherIp, "frames to IP";
    /// Frames with an ARP packet.
    EtherArp, "frames to ARP";
    /// Frames that were dropped.
    EtherDropped, "frames dropped";
    /// ARP requests that were sent.
    ArpRequests, "ARP requests sent";
    /// ARP replies that were sent.
    ArpReplies, "ARP replies sent";
    /// ARP packets of another host that claims an address of this one.
    ArpConflicts, "address conflicts seen";
    /// Packets that IP took from its queue.
    IpIn, "packets to IP";
    /// Packets that IP dropped.
    IpDropped, "packets dropped by IP";
    /// Packets that were given to IP to be sent.
    IpOut, "packets from IP";
    /// Messages for ICMP.
    IcmpIn, "messages to ICMP";
    /// Messages that were malformed.
    IcmpDropped, "messages dropped by ICMP";
    /// Messages that are not echo requests, or are not answered.
    IcmpOther, "other messages to ICMP";
    /// Echo requests.
    EchoRequests, "echo requests";
    /// Echo replies that were given to IP.
    EchoReplies, "echo replies";
    /// Errors that were given to IP.
    IcmpErrors, "errors sent by ICMP";
    /// Datagrams for UDP.
    UdpIn, "datagrams to UDP";
    /// Datagrams that were given to a socket.
    UdpDelivered, "datagrams to sockets";
    /// Datagrams that UDP dropped.
    UdpDropped, "datagrams dropped by UDP";
    /// Datagrams that were given to IP.
    UdpOut, "datagrams sent by UDP";
}

/// The counters of a stack.
pub struct Stats([AtomicU64; Count::ALL.len()]);

impl Stats {
    pub(crate) const fn new() -> Self {
        Stats([const { AtomicU64::new(0) }; Count::ALL.len()])
    }

    /// Counts one.
    #[inline]
    pub(crate) fn count(&self, what: Count) {
        self.0[what as usize].fetch_add(1, Relaxed);
    }

    /// How many were counted. Exact at rest.
    pub fn get(&self, what: Count) -> u64 {
        self.0[what as usize].load(Relaxed)
    }

    fn sum(&self, of: &[Count]) -> u64 {
        of.iter().map(|&count| self.get(count)).sum()
    }
}

/// Each counter, and the counters that must add up to it.
const SUMS: &[(Count, &[Count])] = &[
    (
        Count::EtherIn,
        &[Count::EtherIp, Count::EtherArp, Count::EtherDropped],
    ),
    (
        Count::IpIn,
        &[Count::IcmpIn, Count::UdpIn, Count::IpDropped],
    ),
    (
        Count::IcmpIn,
        &[Count::EchoRequests, Count::IcmpOther, Count::IcmpDropped],
    ),
    (Count::EchoRequests, &[Count::EchoReplies]),
    (Count::UdpIn, &[Count::UdpDelivered, Count::UdpDropped]),
];

/// Checks that the counters add up, when `kept` packets are still in queues. At rest.
///
/// Stops the kernel (oracle `accounting`) if not.
#[track_caller]
pub fn accounting(net: &'static Net, kept: u64) {
    let mbufs = &super::of(net.kernel).mbufs;
    let (born, living) = (mbufs.born(), mbufs.living());
    if living != kept {
        broken(format_args!(
            "of {born} packets {} have ended, and {kept} are kept: {} are nowhere",
            born - living,
            living as i64 - kept as i64
        ));
    }
    for (whole, parts) in SUMS {
        let (came, became) = (net.stats.get(*whole), net.stats.sum(parts));
        if came != became {
            broken(format_args!(
                "{came} {} were counted, and {became} are all that became of them",
                whole.text()
            ));
        }
    }
    let (taken, handled) = (net.ip_pktq().stats().dequeued, net.stats.get(Count::IpIn));
    if taken != handled {
        broken(format_args!(
            "{taken} packets were taken out of the queue of IP, and {handled} were handled"
        ));
    }
    if let Some(cards) = net.nics.counts() {
        through_cards(net, cards);
    }
}

/// Checks that the cards have counted the same as their driver.
#[track_caller]
fn through_cards(net: &'static Net, cards: NicCounts) {
    let counted = |counts: &[Count]| net.stats.sum(counts);
    for (what, there, here) in [
        (
            "received",
            cards.received,
            counted(&[Count::NicIn, Count::NicNoMemory, Count::NicFlushed]),
        ),
        ("sent", cards.sent, counted(&[Count::NicOut])),
        ("refused", cards.refused, counted(&[Count::NicRefused])),
    ] {
        if there != here {
            broken(format_args!(
                "{there} frames were {what} by the network cards, and their driver has counted {here}"
            ));
        }
    }
}

#[track_caller]
fn broken(message: fmt::Arguments<'_>) -> ! {
    machine::stop(Stop::Oracle("accounting"), message)
}

/// Writes all counters that are not zero to the console.
pub fn report(net: &'static Net) {
    for &count in Count::ALL {
        let value = net.stats.get(count);
        if value != 0 {
            machine::console(format_args!("# {value} {}\n", count.text()));
        }
    }
    let mbufs = &super::of(net.kernel).mbufs;
    for &end in End::ALL {
        let value = mbufs.ended(end);
        if value != 0 {
            machine::console(format_args!("# {value} packets {}\n", end.text()));
        }
    }
    machine::console(format_args!(
        "# {} packets, in {} buffers that were allocated\n",
        mbufs.born(),
        mbufs.allocated()
    ));
}
