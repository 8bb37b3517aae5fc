//! udp(4): datagrams, and sockets enough for servers in threads of the kernel.
//!
//! # Overview
//!
//! A [`Socket`] has a port. It keeps each datagram for that port, with its headers, until a thread takes it ([`recvfrom`]). A
//! datagram for a port without a socket is answered with an ICMP error. [`sendto`] sends.
//!
//! # Port 0 and address 0.0.0.0
//!
//! A datagram *to* port 0 is dropped like one with a wrong checksum, and gets no ICMP error, as in `udp_input`. A datagram *from*
//! port 0 is received: RFC 768 lets a sender that wants no answer leave the source port 0. Whoever answers it all the same is
//! refused, because [`sendto`] does not send to port 0 (`in_pcbconnect` fails with `EADDRNOTAVAIL`). Nor does it send to
//! 0.0.0.0, which is no destination (RFC 1122, 3.2.1.3).
//!
//! # Contexts
//!
//! | call | context |
//! |---|---|
//! | [`bind`], [`close`], [`recvfrom`] | thread that may sleep, `softnet_lock` not held |
//! | [`sendto`] | thread that may sleep, `softnet_lock` not held |
//!
//! # Invariants
//!
//! 1. A port has one socket.
//! 2. A datagram in a socket's queue is counted as delivered, and has no other owner.
//!
//! # Lock order
//!
//! `softnet_lock` protects all sockets, with NET_MPSAFE too, as in NetBSD. It is taken before all locks of the layers below,
//! and released before an ICMP error is sent. Without NET_MPSAFE the softint that calls `udp_input` already holds it, and
//! [`sendto`] takes it.
//!
//! # Differences from NetBSD
//!
//! There are no file descriptors, no connected sockets and no options. Sockets are on a list, not in a hash table. A socket's
//! queue is limited by the number of datagrams, not of bytes. A datagram for 0.0.0.0 is dropped; NetBSD sends it to an address
//! of the host itself.
//!
//! # Sources
//!
//! udp(4), RFC 768; `sys/netinet/udp_usrreq.c`, `sys/netinet/in_pcb.c`, `sys/kern/uipc_socket.c`.

use smoltcp::wire::{IpAddress, IpProtocol, Ipv4Address, UdpPacket};

use crate::contract;
use crate::kern::condvar::Kcondvar;
use crate::kern::contract::assert_sleepable;
use crate::kern::inside::{Awaited, inside_for};
use crate::kern::kmem::{kmem_alloc_nosleep, kmem_free};
use crate::kern::lwp::{Arg, curlwp, curlwp_bind, curlwp_bindx};
use crate::kern::sleepq::Woken;
use crate::mem::Plain;
use crate::net::icmp;
use crate::net::ip::{self, Header, Outgoing};
use crate::net::mbuf::{End, Mbuf, Packet};
use crate::net::stats::Count;
use crate::net::{Net, in_cksum, softnet_enter, softnet_exit};

/// Most datagrams that a socket keeps.
const KEPT: u32 = 64;
/// Bytes of a header.
const UDP_HEADER_LEN: usize = 8;

/// A socket (`struct socket`, with its `struct inpcb`). Everything is protected by `softnet_lock`.
pub struct Socket {
    so_next: Plain<Option<&'static Socket>>,
    so_port: u16,
    so_first: Plain<Option<&'static Packet>>,
    so_last: Plain<Option<&'static Packet>>,
    so_kept: Plain<u32>,
    so_readers: Plain<u32>,
    /// Nothing more is received.
    so_shut: Plain<bool>,
    so_cv: Kcondvar,
}

crate::fields!(Socket {
    so_next,
    so_first,
    so_last,
    so_kept,
    so_readers,
    so_shut
});

/// The sockets of a stack.
pub struct Udp {
    first: Plain<Option<&'static Socket>>,
}

crate::fields!(Udp { first });

impl Udp {
    pub(crate) const fn new() -> Self {
        Udp {
            first: Plain::new(None),
        }
    }

    /// Whether there is no socket. When nothing runs.
    pub(crate) fn is_empty(&self) -> bool {
        self.first.peek().is_none()
    }

    /// Datagrams that sockets keep. When nothing runs.
    pub(crate) fn kept(&self) -> u64 {
        let sockets = core::iter::successors(self.first.peek(), |so| so.so_next.peek());
        sockets.map(|so| u64::from(so.so_kept.peek())).sum()
    }

    /// The cell that points to the socket with this port, or the last cell. `softnet_lock` is held.
    fn find(&self, port: u16) -> &Plain<Option<&'static Socket>> {
        let mut link = &self.first;
        while let Some(so) = link.get() {
            if so.so_port == port {
                break;
            }
            link = &so.so_next;
        }
        link
    }
}

/// A datagram that was received.
pub struct Datagram {
    /// Its data.
    pub m: Mbuf,
    /// The address and the port that it was sent from.
    pub src: (Ipv4Address, u16),
    /// The address of this host that it was sent to.
    pub dst: Ipv4Address,
}

/// Creates a socket for a port (`socreate`, `udp_bind`). `None`: there is one, or no memory.
#[track_caller]
pub fn bind(net: &'static Net, port: u16) -> Option<&'static Socket> {
    assert_sleepable("udp_bind");
    let so = kmem_alloc_nosleep(
        "socket",
        Socket {
            so_next: Plain::new(None),
            so_port: port,
            so_first: Plain::new(None),
            so_last: Plain::new(None),
            so_kept: Plain::new(0),
            so_readers: Plain::new(0),
            so_shut: Plain::new(false),
            so_cv: Kcondvar::new("udprcv"),
        },
    )?;
    net.softnet_lock.enter();
    let taken = net.udp.find(port).get().is_some();
    if !taken {
        so.so_next.set(net.udp.first.get());
        net.udp.first.set(Some(so));
    }
    net.softnet_lock.exit();
    if taken {
        // SAFETY: (1) it came from `kmem_alloc_nosleep`; (2) nobody else knows it.
        unsafe { kmem_free(so) };
        return None;
    }
    Some(so)
}

/// Closes a socket (`soclose`). Datagrams in its queue end as [`End::Flushed`].
///
/// Context: thread that may sleep. Panics: contract `socket-readers` if a thread waits in [`recvfrom`].
#[track_caller]
pub fn close(net: &'static Net, so: &'static Socket) {
    assert_sleepable("soclose");
    net.softnet_lock.enter();
    let readers = so.so_readers.get();
    contract!(
        readers == 0,
        "socket-readers",
        "soclose by {} of port {}, from which {readers} threads are receiving",
        curlwp().name(),
        so.so_port
    );
    let link = net.udp.find(so.so_port);
    if link.get().is_some() {
        link.set(so.so_next.get());
    }
    while let Some(m) = so.take() {
        m.free(End::Flushed);
    }
    net.softnet_lock.exit();
    so.so_cv.destroy();
    // SAFETY: (1) it came from `kmem_alloc_nosleep`; (2) nobody finds it, and nobody receives from it.
    unsafe { kmem_free(so) };
}

impl Socket {
    /// Puts a datagram on the queue (`sbappendaddr`), or returns it if there is no room. `softnet_lock` is held.
    fn append(&self, m: Mbuf) -> Option<Mbuf> {
        if self.so_kept.get() >= KEPT {
            return Some(m);
        }
        let packet = m.into_queue();
        packet.m_nextpkt.set(None);
        match self.so_last.get() {
            None => self.so_first.set(Some(packet)),
            Some(last) => last.m_nextpkt.set(Some(packet)),
        }
        self.so_last.set(Some(packet));
        self.so_kept.set(self.so_kept.get() + 1);
        self.so_cv.signal();
        None
    }

    /// What a thread in [`recvfrom`] waits for.
    fn awaited(&self) -> Awaited {
        Awaited::Until {
            what: "there is a datagram, or the socket is shut down",
            holds: |so| {
                // SAFETY: who receives from a socket keeps it.
                let so = unsafe { so.get::<Socket>() };
                so.so_first.peek().is_some() || so.so_shut.peek()
            },
            arg: Arg::of(self),
            cv: Arg::of(&self.so_cv),
        }
    }

    /// The oldest datagram. `softnet_lock` is held.
    fn take(&self) -> Option<Mbuf> {
        let packet = self.so_first.get()?;
        let next = packet.m_nextpkt.get();
        self.so_first.set(next);
        if next.is_none() {
            self.so_last.set(None);
        }
        self.so_kept.set(self.so_kept.get() - 1);
        // SAFETY: (1) `append` put what `into_queue` gave; (2) it is off the queue.
        Some(unsafe { Mbuf::from_queue(packet) })
    }
}

/// The port that a datagram is for, if the datagram is whole and the port is not 0.
fn parse(bytes: &[u8], header: &Header) -> Option<u16> {
    let packet = UdpPacket::new_checked(bytes).ok()?;
    let port = packet.dst_port();
    let right = port != 0 && in_cksum::udp(&packet, header.src, header.dst);
    right.then_some(port)
}

/// Handles a datagram that was received (`udp_input`). The IP header is still in front.
///
/// Context: IP's softint.
#[track_caller]
pub(crate) fn udp_input(net: &'static Net, m: Mbuf, header: &Header) {
    let Some(port) = parse(&m.bytes()[header.header_len..], header) else {
        net.stats.count(Count::UdpDropped);
        return m.free(End::BadUdp);
    };
    // Without NET_MPSAFE the softint holds it already.
    if net.mpsafe {
        net.softnet_lock.enter();
    }
    let so = net.udp.find(port).get();
    let (left, end) = match so {
        Some(so) => (so.append(m), End::SocketFull),
        None => (Some(m), End::NoPort),
    };
    if net.mpsafe {
        net.softnet_lock.exit();
    }
    let Some(m) = left else {
        return net.stats.count(Count::UdpDelivered);
    };
    net.stats.count(Count::UdpDropped);
    if end == End::NoPort {
        icmp::icmp_error(net, &m, header, icmp::PORT_UNREACHABLE);
    }
    m.free(end);
}

/// Makes [`recvfrom`] return `None` once the queue is empty, in threads that wait and in later calls (`soshutdown`).
///
/// Context: thread.
#[track_caller]
pub fn shutdown(net: &'static Net, so: &'static Socket) {
    net.softnet_lock.enter();
    so.so_shut.set(true);
    so.so_cv.broadcast();
    net.softnet_lock.exit();
}

/// Takes the oldest datagram of a socket (`soreceive`). Waits for one until the socket is shut down, or for `timeout_ticks`
/// (0: without limit).
///
/// The caller owns the packet, and frees it as [`End::Delivered`] or sends it on. Context: thread that may sleep.
/// Panics: contract `sleepable`.
#[track_caller]
pub fn recvfrom(net: &'static Net, so: &'static Socket, timeout_ticks: u32) -> Option<Datagram> {
    assert_sleepable("soreceive");
    net.softnet_lock.enter();
    so.so_readers.set(so.so_readers.get() + 1);
    let _inside = inside_for("soreceive", so.awaited());
    while so.so_first.get().is_none() && !so.so_shut.get() {
        let woken = so.so_cv.timedwait(&net.softnet_lock, timeout_ticks);
        if woken == Woken::Timeout {
            break;
        }
    }
    let m = so.take();
    so.so_readers.set(so.so_readers.get() - 1);
    net.softnet_lock.exit();
    m.map(datagram)
}

/// Takes the headers off a datagram that `udp_input` has checked.
fn datagram(mut m: Mbuf) -> Datagram {
    let (src, dst, header_len) = match ip::parse(m.bytes()) {
        Ok(header) => (header.src, header.dst, header.header_len),
        Err(_) => unreachable!("IP has accepted it"),
    };
    m.adj(header_len);
    let udp = UdpPacket::new_unchecked(m.bytes());
    let (port, len) = (udp.src_port(), usize::from(udp.len()));
    m.truncate(len);
    m.adj(UDP_HEADER_LEN);
    Datagram {
        m,
        src: (src, port),
        dst,
    }
}

/// Sends a datagram (`sosend`, `udp_output`) from the address `src`, or from that of the route. A datagram for port 0 or for
/// 0.0.0.0 ends as [`End::NoAddress`] (`EADDRNOTAVAIL`).
///
/// Context: thread that may sleep, without `softnet_lock`. Panics: contracts `sleepable`, `softnet-lock`.
#[track_caller]
pub fn sendto(
    net: &'static Net,
    m: Mbuf,
    (src, src_port): (Option<Ipv4Address>, u16),
    (dst, dst_port): (Ipv4Address, u16),
) {
    assert_sleepable("sosend");
    net.assert_no_softnet_lock("sosend");
    if dst_port == 0 || dst.is_unspecified() {
        return m.free(End::NoAddress);
    }
    let bound = curlwp_bind();
    softnet_enter(&net.softnet_lock);
    match src.or_else(|| ip::in_selectsrc(net, dst)) {
        Some(src) => output(net, m, (src, src_port), (dst, dst_port)),
        None => m.free(End::NoRoute),
    }
    softnet_exit(&net.softnet_lock);
    curlwp_bindx(bound);
}

/// Puts the header in front and gives the datagram to IP.
#[track_caller]
fn output(
    net: &'static Net,
    mut m: Mbuf,
    (src, src_port): (Ipv4Address, u16),
    (dst, dst_port): (Ipv4Address, u16),
) {
    if !m.prepend(UDP_HEADER_LEN) {
        return m.free(End::TooBig);
    }
    let len = m.len();
    let mut packet = UdpPacket::new_unchecked(m.bytes_mut());
    packet.set_src_port(src_port);
    packet.set_dst_port(dst_port);
    // A packet is shorter than the largest length.
    packet.set_len(len as u16);
    packet.fill_checksum(&IpAddress::Ipv4(src), &IpAddress::Ipv4(dst));
    net.stats.count(Count::UdpOut);
    let out = Outgoing {
        src: Some(src),
        dst,
        protocol: IpProtocol::Udp,
    };
    ip::ip_output(net, m, &out);
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: Header = Header {
        src: Ipv4Address::new(10, 0, 0, 2),
        dst: Ipv4Address::new(10, 0, 0, 1),
        protocol: IpProtocol::Udp,
        header_len: 20,
        total_len: 32,
    };

    fn datagram() -> [u8; 12] {
        let mut bytes = [0; 12];
        let mut packet = UdpPacket::new_unchecked(&mut bytes[..]);
        packet.set_src_port(1000);
        packet.set_dst_port(7);
        packet.set_len(12);
        packet.fill_checksum(&IpAddress::Ipv4(HEADER.src), &IpAddress::Ipv4(HEADER.dst));
        bytes
    }

    #[test]
    fn a_datagram_is_for_its_port_if_its_checksum_is_right() {
        let mut bytes = datagram();
        assert_eq!(parse(&bytes, &HEADER), Some(7));
        bytes[11] ^= 1;
        assert_eq!(parse(&bytes, &HEADER), None);
    }

    #[test]
    fn a_datagram_may_come_from_port_0_and_not_go_to_it() {
        let with_ports = |from, to| {
            let mut bytes = datagram();
            let mut packet = UdpPacket::new_unchecked(&mut bytes[..]);
            packet.set_src_port(from);
            packet.set_dst_port(to);
            packet.fill_checksum(&IpAddress::Ipv4(HEADER.src), &IpAddress::Ipv4(HEADER.dst));
            bytes
        };
        assert_eq!(parse(&with_ports(0, 7), &HEADER), Some(7));
        assert_eq!(parse(&with_ports(1000, 0), &HEADER), None);
    }

    #[test]
    fn a_datagram_that_is_cut_off_is_none() {
        let bytes = datagram();
        for len in 0..bytes.len() {
            assert_eq!(parse(&bytes[..len], &HEADER), None);
        }
    }

    #[test]
    fn garbage_is_looked_at() {
        let mut accepted = 0;
        crate::net::garbage::feed(&datagram(), |bytes| {
            accepted += u32::from(parse(bytes, &HEADER).is_some());
        });
        assert!(accepted > 0, "some of it is a datagram");
    }
}
