//! The other end of the wire: asks for the kernel's address, then keeps a number of echo requests in flight.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, UdpSocket};
use std::time::{Duration, Instant};

use smoltcp::wire::EthernetAddress;

use crate::packet::{self, Said};

/// Number of requests in flight.
pub(crate) const WINDOW: usize = 16;
/// Time between requests for the kernel's address.
const ASK: Duration = Duration::from_millis(5);
/// Time limit for an answer; after that the request counts as lost.
const PATIENCE: Duration = Duration::from_secs(1);
/// If this many requests in a row are lost without a single answer, the kernel counts as gone.
const SILENCE: u64 = 10 * WINDOW as u64;

/// The time.
#[allow(clippy::disallowed_methods, reason = "speeds are what it measures")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// A wire: raw Ethernet frames in UDP datagrams on the loopback.
pub(crate) struct Wire {
    socket: UdpSocket,
    /// Ports at which we and QEMU receive.
    ports: (u16, u16),
}

impl Wire {
    /// Creates a wire between two unused ports.
    pub(crate) fn lay() -> io::Result<Wire> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        // QEMU takes this port when it is released.
        let card = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?
            .local_addr()?
            .port();
        socket.connect((Ipv4Addr::LOCALHOST, card))?;
        let ports = (socket.local_addr()?.port(), card);
        Ok(Wire { socket, ports })
    }

    /// QEMU's option for it.
    pub(crate) fn netdev(&self) -> String {
        let (ours, card) = self.ports;
        format!(
            "dgram,id=net0,local.type=inet,local.host=127.0.0.1,local.port={card},\
             remote.type=inet,remote.host=127.0.0.1,remote.port={ours}"
        )
    }

    /// Puts a frame on the wire. The other end may not be there yet.
    fn send(&self, frame: &[u8]) -> Result<(), String> {
        match self.socket.send(frame) {
            Err(error) if error.kind() != ErrorKind::ConnectionRefused => {
                Err(format!("a frame could not be sent: {error}"))
            }
            _ => Ok(()),
        }
    }

    /// The next frame; nothing if none comes in that time.
    fn receive<'a>(&self, buffer: &'a mut [u8]) -> Result<Option<&'a [u8]>, String> {
        match self.socket.recv(buffer) {
            Ok(len) => Ok(Some(&buffer[..len])),
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::WouldBlock
                        | ErrorKind::TimedOut
                        | ErrorKind::Interrupted
                        | ErrorKind::ConnectionRefused
                ) =>
            {
                Ok(None)
            }
            Err(error) => Err(format!("the wire broke: {error}")),
        }
    }

    fn wait_at_most(&self, time: Duration) -> Result<(), String> {
        let set = self.socket.set_read_timeout(Some(time));
        set.map_err(|error| format!("the wire does not keep time: {error}"))
    }
}

/// The result of a period of echo requests.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Echoes {
    /// Answers.
    pub(crate) replies: u64,
    /// Requests that were not answered in time.
    pub(crate) lost: u64,
    /// Duration.
    pub(crate) seconds: f64,
}

/// The sender.
pub(crate) struct Sender {
    wire: Wire,
    kernel: EthernetAddress,
    /// The number of the next request, and the times of those in flight.
    next: u64,
    sent: BTreeMap<u64, Instant>,
}

impl Sender {
    /// A sender at this wire.
    pub(crate) fn new(wire: Wire) -> Sender {
        Sender {
            wire,
            kernel: EthernetAddress::BROADCAST,
            next: 0,
            sent: BTreeMap::new(),
        }
    }

    /// Asks for the kernel's address until there is an answer. Returns the time since `start`. An error if `limit`
    /// has passed, or the machine has ended.
    pub(crate) fn find(
        &mut self,
        start: Instant,
        limit: Duration,
        mut is_running: impl FnMut() -> bool,
    ) -> Result<Duration, String> {
        let request = packet::arp_request();
        let mut asked = start;
        let mut buffer = [0; 4096];
        self.wire.wait_at_most(ASK)?;
        self.wire.send(&request)?;
        while start.elapsed() < limit {
            if let Some(frame) = self.wire.receive(&mut buffer)?
                && let Some(Said::IsAt(kernel)) = packet::read(frame)?
            {
                self.kernel = kernel;
                return Ok(start.elapsed());
            }
            if asked.elapsed() >= ASK {
                if !is_running() {
                    return Err("the machine ended before it answered".to_owned());
                }
                asked = now();
                self.wire.send(&request)?;
            }
        }
        let seconds = limit.as_secs();
        Err(format!("it answered no ARP request within {seconds} s"))
    }

    /// Keeps [`WINDOW`] requests in flight for this long. Those in flight at the end count in the next period.
    pub(crate) fn echo(&mut self, duration: Duration) -> Result<Echoes, String> {
        self.wire.wait_at_most(PATIENCE)?;
        let (mut replies, mut lost, mut silent) = (0, 0, 0);
        let start = now();
        let mut time = start;
        let mut buffer = [0; 4096];
        while time - start < duration {
            while self.sent.len() < WINDOW {
                let request = packet::echo_request(self.kernel, self.next);
                self.wire.send(&request)?;
                self.sent.insert(self.next, time);
                self.next += 1;
            }
            let said = match self.wire.receive(&mut buffer)? {
                Some(frame) => packet::read(frame)?,
                None => None,
            };
            time = now();
            match said {
                Some(Said::Reply(number)) if number >= self.next => {
                    return Err(format!(
                        "there is a reply to request {number}, which was not sent"
                    ));
                }
                // One that comes too late counts as lost.
                Some(Said::Reply(number)) => {
                    replies += u64::from(self.sent.remove(&number).is_some());
                    silent = 0;
                }
                Some(Said::WhoHas(kernel)) => self.wire.send(&packet::arp_reply(kernel))?,
                Some(Said::IsAt(_)) | None => {}
            }
            let late = |sent: &Instant| time - *sent >= PATIENCE;
            while self
                .sent
                .first_entry()
                .is_some_and(|oldest| late(oldest.get()))
            {
                self.sent.pop_first();
                lost += 1;
                silent += 1;
            }
            if silent >= SILENCE {
                return Err(format!(
                    "it does not answer any more: {silent} requests are lost"
                ));
            }
        }
        let seconds = (time - start).as_secs_f64();
        Ok(Echoes {
            replies,
            lost,
            seconds,
        })
    }
}
