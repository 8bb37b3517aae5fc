//! What the protocols count, and whether it adds up.
//!
//! # Overview
//!
//! Every packet is counted when it is made and when it ends, under one [`End`]: there is no other way to be rid of
//! one. Besides, each layer counts what comes in and what became of it. [`accounting`] checks at rest that nothing
//! is missing:
//!
//! | what came | is what became of it |
//! |---|---|
//! | packets made | packets ended + packets that somebody keeps |
//! | frames to Ethernet | to IP + to ARP + dropped |
//! | packets that IP took from its queue | to ICMP + to UDP + dropped |
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
//! Counting is a relaxed addition that belongs to the step under way, as evcnt(9): exact at rest.
//!
//! # Differences from NetBSD
//!
//! There, each protocol has a table of counters for each CPU (`IP_STATINC`), and nobody checks their sum.
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

            /// What is said of so many: "12 echo requests".
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
    /// Frames that a card had received and for which there was no memory.
    NicNoMemory, "frames of cards lost for want of memory";
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
    /// Frames that came to nothing.
    EtherDropped, "frames dropped";
    /// ARP requests that were sent.
    ArpRequests, "ARP requests sent";
    /// ARP replies that were sent.
    ArpReplies, "ARP replies sent";
    /// ARP packets of another host that claims an address of this one.
    ArpConflicts, "address conflicts seen";
    /// Packets that IP took from its queue.
    IpIn, "packets to IP";
    /// Those that came to nothing in IP.
    IpDropped, "packets dropped by IP";
    /// Packets that were given to IP to be sent.
    IpOut, "packets from IP";
    /// Messages for ICMP.
    IcmpIn, "messages to ICMP";
    /// Those that were malformed.
    IcmpDropped, "messages dropped by ICMP";
    /// Those that are no echo request.
    IcmpOther, "other messages to ICMP";
    /// Echo requests.
    EchoRequests, "echo requests";
    /// Echo replies that were given to IP.
    EchoReplies, "echo replies";
    /// Errors that were given to IP.
    IcmpErrors, "errors sent by ICMP";
    /// Datagrams for UDP.
    UdpIn, "datagrams to UDP";
    /// Those that came to a socket.
    UdpDelivered, "datagrams to sockets";
    /// Those that came to nothing.
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

/// What came, and what became of it.
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

/// Checks that what was counted adds up, with `kept` packets in the hands of others. At rest.
///
/// Stops the kernel (oracle `accounting`) if not.
#[track_caller]
pub fn accounting(net: &'static Net, kept: u64) {
    let mbufs = &net.kernel.mbufs;
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

/// What the cards have counted is what the driver has.
#[track_caller]
fn through_cards(net: &'static Net, cards: NicCounts) {
    let counted = |counts: &[Count]| net.stats.sum(counts);
    for (what, there, here) in [
        (
            "received",
            cards.received,
            counted(&[Count::NicIn, Count::NicNoMemory]),
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

/// Says what was counted, on the console: what is not zero.
pub fn report(net: &'static Net) {
    for &count in Count::ALL {
        let value = net.stats.get(count);
        if value != 0 {
            machine::console(format_args!("# {value} {}\n", count.text()));
        }
    }
    let mbufs = &net.kernel.mbufs;
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
