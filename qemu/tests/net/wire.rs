//! The other end of a card's wire: raw Ethernet frames in UDP datagrams on the loopback.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

/// How long a frame may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long is waited for a frame that may be lost.
pub(crate) const BRIEFLY: Duration = Duration::from_millis(300);

/// A wire with one card at its other end.
pub(crate) struct Wire {
    socket: UdpSocket,
    /// Port at which QEMU receives.
    card: u16,
}

impl Wire {
    /// Lays a wire between two ports that nobody uses.
    pub(crate) fn lay() -> Wire {
        let socket =
            || UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("the loopback has a free port");
        let port = |socket: &UdpSocket| socket.local_addr().expect("it is bound").port();
        let ours = socket();
        // QEMU takes this port when it is given back.
        let card = port(&socket());
        Wire { socket: ours, card }
    }

    /// Our own port.
    pub(crate) fn port(&self) -> u16 {
        self.socket.local_addr().expect("it is bound").port()
    }

    /// The port at which QEMU receives.
    pub(crate) fn card_port(&self) -> u16 {
        self.card
    }

    /// The option by which a machine has the card of this wire.
    pub(crate) fn option(&self) -> String {
        format!("--net dgram:{}:{}", self.card, self.port())
    }

    /// Puts a frame on the wire.
    pub(crate) fn send(&self, frame: &[u8]) {
        let sent = self.socket.send_to(frame, (Ipv4Addr::LOCALHOST, self.card));
        assert_eq!(
            sent.ok(),
            Some(frame.len()),
            "a frame could not be put on the wire"
        );
    }

    /// The next frame; nothing if none comes for a while.
    pub(crate) fn receive(&self) -> Option<Vec<u8>> {
        self.receive_within(PATIENCE)
    }

    /// The next frame; nothing if none comes so soon.
    pub(crate) fn receive_within(&self, patience: Duration) -> Option<Vec<u8>> {
        self.socket
            .set_read_timeout(Some(patience))
            .expect("it is more than nothing");
        let mut frame = vec![0; 4096];
        match self.socket.recv(&mut frame) {
            Ok(len) => {
                frame.truncate(len);
                Some(frame)
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                None
            }
            Err(error) => panic!("the wire broke: {error}"),
        }
    }
}
