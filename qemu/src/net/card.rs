//! One card: virtio-net, from its place on the bus to running queues.
//!
//! # Overview
//!
//! A card has pairs of a receiving and a sending queue. [`Card::start`] negotiates features with the device, gives each receiving
//! queue a message with which it interrupts a CPU, and starts the device. After that nothing is allocated, and nothing waits
//! for the host.
//!
//! # Contexts
//!
//! [`Card::start`]: the boot processor, once. [`Card::receive`]: any, one CPU at a time for each queue. The rest: any.
//!
//! # Per-CPU operation
//!
//! A CPU sends on the pair with its own number, modulo the number of pairs. So as many CPUs can send at once as there are pairs.
//!
//! # Sources
//!
//! Virtual I/O Device (VIRTIO) Version 1.2, 3.1.1 "Driver Requirements: Device Initialization", 5.1 "Network Device".

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::sync::atomic::Ordering::Relaxed;

use kmod::machine::Nic;
use virtio_drivers::queue::VirtQueue;
use virtio_drivers::transport::pci::PciTransport;
use virtio_drivers::transport::pci::bus::{DeviceFunction, PciRoot};
use virtio_drivers::transport::{DeviceStatus, Transport};

use super::Unfit;
use super::hal::Identity;
use super::pci::{self, Msix, Ports};
use super::queues::{Receiving, Sending};
use super::registers::Registers;
use crate::cpu::interrupt::NET_VECTOR;
use crate::cpu::{self, time};

/// The features that are negotiated.
mod feature {
    /// The device has an address of its own.
    pub(super) const ADDRESS: u64 = 1 << 5;
    /// There is a queue for commands.
    pub(super) const COMMANDS: u64 = 1 << 17;
    /// There can be several pairs of queues.
    pub(super) const PAIRS: u64 = 1 << 22;
    /// Each side names the buffer for which it wants to be notified.
    pub(super) const EVENTS: u64 = 1 << 29;
    /// The device is one of version 1 or later.
    pub(super) const VERSION_1: u64 = 1 << 32;
    pub(super) const NEEDED: u64 = ADDRESS | VERSION_1;
    pub(super) const WELCOME: u64 = NEEDED | COMMANDS | PAIRS | EVENTS;
}

/// Maximum number of queue pairs.
const MAX_PAIRS: usize = 16;

/// Time limit of the device for a command, in microseconds.
const PATIENCE_US: u64 = 1_000_000;

/// A running card.
pub(super) struct Card {
    nic: Nic,
    /// The CPU that each receiving queue interrupts.
    cpus: Vec<usize>,
    receiving: Vec<Receiving>,
    sending: Vec<Sending>,
    /// Kept because the device is reset when it is dropped.
    _transport: PciTransport,
}

impl Card {
    /// Starts the device at `at`. `next_cpu` returns the CPU that the next queue interrupts.
    ///
    /// If this fails the device is reset. It does not touch a ring before it is told that the driver is ready.
    pub(super) fn start(
        root: &mut PciRoot<Ports>,
        at: DeviceFunction,
        next_cpu: &mut dyn FnMut() -> usize,
    ) -> Result<Card, Unfit> {
        pci::enable(root, at);
        let registers = Registers::of(root, at)?;
        let msix = Msix::of(root, at)?;
        let mut transport = PciTransport::new::<Identity, _>(root, at).map_err(Unfit::Transport)?;
        let features = agree(&mut transport)?;
        let events = features & feature::EVENTS != 0;
        let offered = pairs_offered(&transport, features)?;
        let pairs = offered.min(MAX_PAIRS).min(msix.len());

        msix.enable();
        registers.mute_configuration();
        let cpus = Vec::from_iter((0..pairs).map(|_| next_cpu()));
        let (mut receiving, mut sending) = (Vec::new(), Vec::new());
        for (pair, &cpu) in (0..).zip(&cpus) {
            msix.set(pair, cpu::of(cpu).apic_id.load(Relaxed), NET_VECTOR);
            let (input, output) = (2 * pair, 2 * pair + 1);
            receiving.push(Receiving::new(
                &mut transport,
                &registers,
                input,
                pair,
                events,
            )?);
            sending.push(Sending::new(&mut transport, &registers, output, events)?);
        }
        start_device(&mut transport, offered, pairs)?;
        receiving.iter().for_each(Receiving::ring_bell);
        Ok(Card {
            nic: Nic {
                address: transport.read_config_space(config::ADDRESS)?,
                queues: pairs,
            },
            cpus,
            receiving,
            sending,
            _transport: transport,
        })
    }

    /// The properties of the card.
    pub(super) fn nic(&self) -> Nic {
        self.nic
    }

    /// The CPU that each receiving queue interrupts.
    pub(super) fn cpus(&self) -> &[usize] {
        &self.cpus
    }

    /// See `Machine::nic_receive`.
    pub(super) fn receive(&self, queue: usize, frame: &mut [u8]) -> Option<usize> {
        self.receiving[queue].next(frame)
    }

    /// See `Machine::nic_transmit`.
    pub(super) fn transmit(&self, frame: &[u8]) -> bool {
        self.sending[cpu::this().index() % self.sending.len()].send(frame)
    }

    /// Frames since boot, received and unfit, over all queues.
    pub(super) fn received(&self) -> (u64, u64) {
        sum(self.receiving.iter().map(Receiving::counts))
    }

    /// Frames since boot, sent and refused, over all queues.
    pub(super) fn sent(&self) -> (u64, u64) {
        sum(self.sending.iter().map(Sending::counts))
    }
}

fn sum(counts: impl Iterator<Item = (u64, u64)>) -> (u64, u64) {
    counts.fold((0, 0), |sum, count| (sum.0 + count.0, sum.1 + count.1))
}

/// Offsets in the device's configuration.
mod config {
    /// Its Ethernet address.
    pub(super) const ADDRESS: usize = 0;
    /// How many pairs of queues it has.
    pub(super) const PAIRS: usize = 8;
}

/// Resets the device and negotiates features, which are returned.
fn agree(transport: &mut PciTransport) -> Result<u64, Unfit> {
    let known = DeviceStatus::ACKNOWLEDGE | DeviceStatus::DRIVER;
    transport.set_status(DeviceStatus::empty());
    transport.set_status(known);
    let offered = transport.read_device_features();
    if offered & feature::NEEDED != feature::NEEDED {
        return Err(Unfit::Features {
            lacks: feature::NEEDED & !offered,
        });
    }
    let features = offered & feature::WELCOME;
    transport.write_driver_features(features);
    transport.set_status(known | DeviceStatus::FEATURES_OK);
    match transport.get_status().contains(DeviceStatus::FEATURES_OK) {
        true => Ok(features),
        false => Err(Unfit::Refused { features }),
    }
}

/// How many pairs of queues the device has.
fn pairs_offered(transport: &PciTransport, features: u64) -> Result<usize, Unfit> {
    let several = feature::COMMANDS | feature::PAIRS;
    if features & several != several {
        return Ok(1);
    }
    let pairs: u16 = transport.read_config_space(config::PAIRS)?;
    Ok(usize::from(pairs).max(1))
}

/// Starts the device, with `pairs` of the pairs that it `offered`.
fn start_device(transport: &mut PciTransport, offered: usize, pairs: usize) -> Result<(), Unfit> {
    if pairs == 1 {
        transport.finish_init();
        return Ok(());
    }
    /// Size of the command ring, of which there is one.
    const PLACES: usize = 16;
    /// `VIRTIO_NET_CTRL_MQ`, `VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET`.
    const SET_PAIRS: [u8; 2] = [4, 0];
    /// `VIRTIO_NET_OK`.
    const DONE: u8 = 0;

    // The command queue comes after the maximum number of others. It and the command are not freed, because a late
    // device could still write to them.
    let index = 2 * offered as u16;
    let queue = VirtQueue::<Identity, PLACES>::new(transport, index, false, false)?;
    let queue = Box::leak(Box::new(queue));
    queue.set_dev_notify(false);
    let [low, high] = (pairs as u16).to_le_bytes();
    let command = &*Box::leak(Box::new([SET_PAIRS[0], SET_PAIRS[1], low, high]));
    let answer = Box::leak(Box::new([!DONE]));

    transport.finish_init();
    // SAFETY: both live for good, and neither is touched before the queue gives them back.
    let place = unsafe { queue.add(&[command], &mut [answer]) }?;
    transport.notify(index);
    let end = time::now_us() + PATIENCE_US;
    while !queue.can_pop() {
        if time::now_us() > end {
            return Err(Unfit::Silent);
        }
        core::hint::spin_loop();
    }
    // SAFETY: the buffers are those that were added.
    unsafe { queue.pop_used(place, &[command], &mut [answer]) }?;
    match answer[0] {
        DONE => Ok(()),
        _ => Err(Unfit::Pairs { pairs }),
    }
}
