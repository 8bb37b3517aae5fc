//! Network cards, as provided by the host.

use super::bound;

/// The properties of a network card.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Nic {
    /// Its Ethernet address.
    pub address: [u8; 6],
    /// Queues on which it receives, at least 1. Each is emptied by one CPU at a time.
    pub queues: usize,
}

/// Frames that went through network cards.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct NicCounts {
    /// Frames taken out with [`nic_receive`].
    pub received: u64,
    /// Frames accepted by [`nic_transmit`].
    pub sent: u64,
    /// Frames for which a card had no room.
    pub refused: u64,
}

/// Frames that came to a receive queue of a card since boot.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct NicQueue {
    /// Frames that have reached the queue.
    pub arrived: u64,
    /// Those that were taken out with [`nic_receive`].
    pub taken: u64,
}

/// Maximum length of a frame in bytes: an Ethernet header and 1500 bytes, without the checksum.
pub const NIC_FRAME: usize = 1514;

/// Number of network cards.
#[inline]
pub fn nics() -> usize {
    bound::kmod_machine_nics()
}

/// The properties of card `unit`.
#[inline]
pub fn nic(unit: usize) -> Nic {
    bound::kmod_machine_nic(unit)
}

/// Sends a frame through card `unit`. False: the card has no room at the moment. See
/// [`super::Machine::nic_transmit`].
#[inline]
pub fn nic_transmit(unit: usize, frame: &[u8]) -> bool {
    bound::kmod_machine_nic_transmit(unit, frame)
}

/// Takes the next frame that card `unit` has received on `queue`. See [`super::Machine::nic_receive`].
#[inline]
pub fn nic_receive(unit: usize, queue: usize, frame: &mut [u8]) -> Option<usize> {
    bound::kmod_machine_nic_receive(unit, queue, frame)
}

/// Frames through all cards since boot. See [`super::Machine::nic_counts`].
pub fn nic_counts() -> Option<NicCounts> {
    bound::kmod_machine_nic_counts()
}

/// Frames that came to `queue` of card `unit` since boot. See [`super::Machine::nic_queue`].
#[inline]
pub fn nic_queue(unit: usize, queue: usize) -> Option<NicQueue> {
    bound::kmod_machine_nic_queue(unit, queue)
}
