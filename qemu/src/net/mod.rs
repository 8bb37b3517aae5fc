//! The machine's network cards: virtio-net on the PCI bus.
//!
//! # Overview
//!
//! [`init`] finds the cards and starts them. The kernel names them by number, in the order of the bus, in the hypercalls
//! `nics`, `nic`, `nic_transmit` and `nic_receive`. A card interrupts the CPUs that the command line names ([`NetIrq`]). The
//! handler raises `Line::Net` in the kernel, on the CPU that took the interrupt.
//!
//! A device that cannot be used is reported in a line on the console, and ignored. A machine without cards reports nothing.
//!
//! | module | content |
//! |---|---|
//! | `pci` | the bus: configuration space, registers, MSI-X |
//! | `registers` | virtio's vectors and doorbells |
//! | `ring` | a queue that device and driver share, with its buffers |
//! | `queues` | frames out of buffers, and into them |
//! | `card` | one card, from its place on the bus to running queues |
//! | `hal` | what `virtio-drivers` needs of the machine |
//!
//! # Contexts
//!
//! [`init`]: the boot processor, after the other CPUs have started and before the kernel has. [`receive`]: any context, one CPU at a
//! time for each queue. The rest: any.

mod card;
mod hal;
mod pci;
mod queues;
mod registers;
mod ring;

use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::Ordering::Relaxed;

use kmod::machine::{Nic, NicCounts};
use spin::Once;
use virtio_drivers::transport::DeviceType;
use virtio_drivers::transport::pci::bus::DeviceFunctionInfo;
use virtio_drivers::transport::pci::{VirtioPciError, virtio_device_type};

use crate::console::println;
use crate::cpu;
use crate::options::NetIrq;
use card::Card;
use ring::PLACES;

static CARDS: Once<Vec<Card>> = Once::new();

/// Why a card is ignored.
enum Unfit {
    /// It has no message-signalled interrupts.
    NoMsix,
    /// Its BAR is not a memory BAR.
    NoMemory { bar: u8 },
    /// Its registers are at an address that is not mapped.
    Registers { bar: u8, start: u64, end: u64 },
    /// It lacks registers that every virtio device of version 1 has.
    NoStructure { kind: u8 },
    /// An error of `virtio-drivers`' transport.
    Transport(VirtioPciError),
    /// It is too old.
    Features { lacks: u64 },
    /// It refuses features that it has offered.
    Refused { features: u64 },
    /// A queue could not get its message.
    Vector { index: u16, vector: u16 },
    /// A queue is too small.
    Small { index: u16, offered: u32 },
    /// A queue could not be created, or the configuration could not be read.
    Queue(virtio_drivers::Error),
    /// It does not answer.
    Silent,
    /// It refuses to use several queues.
    Pairs { pairs: usize },
}

impl From<virtio_drivers::Error> for Unfit {
    fn from(error: virtio_drivers::Error) -> Self {
        Unfit::Queue(error)
    }
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unfit::NoMsix => f.write_str("it has no MSI-X: give it vectors"),
            Unfit::NoMemory { bar } => write!(f, "BAR {bar} is not memory"),
            Unfit::Registers { bar, start, end } => write!(
                f,
                "the registers of BAR {bar} at {start:#x} to {end:#x} do not lie between 3 and 4 GiB, or not in the BAR"
            ),
            Unfit::NoStructure { kind } => write!(
                f,
                "it has no virtio structure of kind {kind}: it is older than version 1"
            ),
            Unfit::Transport(error) => write!(f, "{error}"),
            Unfit::Features { lacks } => write!(f, "it does not offer features {lacks:#x}"),
            Unfit::Refused { features } => {
                write!(f, "it refuses features {features:#x}, which it offers")
            }
            Unfit::Vector { index, vector } => {
                write!(f, "queue {index} does not take message {vector}")
            }
            Unfit::Small { index, offered } => {
                write!(
                    f,
                    "queue {index} has {offered} places, and {PLACES} are needed"
                )
            }
            Unfit::Queue(error) => write!(f, "{error}"),
            Unfit::Silent => f.write_str("it does not answer commands"),
            Unfit::Pairs { pairs } => write!(f, "it does not want to use {pairs} pairs of queues"),
        }
    }
}

/// Whether the bus says that it is a network card, of any make.
fn is_network(info: &DeviceFunctionInfo) -> bool {
    const NETWORK: u8 = 0x02;
    info.class == NETWORK || virtio_device_type(info) == Some(DeviceType::Network)
}

/// Finds the cards and starts them. `irq` says which of the CPUs, of `cpus`, their queues interrupt.
pub(crate) fn init(irq: NetIrq, cpus: usize) {
    let mut root = pci::root();
    let mut queues = 0..;
    let mut next_cpu = || match (irq, queues.next()) {
        (NetIrq::Cpu(cpu), _) => cpu,
        (NetIrq::Round, number) => number.unwrap_or(0) % cpus,
    };
    let mut cards = Vec::new();
    for (at, info) in root.enumerate_bus(0).filter(|(_, info)| is_network(info)) {
        if virtio_device_type(&info) != Some(DeviceType::Network) {
            let (vendor, device) = (info.vendor_id, info.device_id);
            println!(
                "# net: {vendor:04x}:{device:04x} at {at} is left alone: it is not virtio-net"
            );
            continue;
        }
        match Card::start(&mut root, at, &mut next_cpu) {
            Ok(card) => {
                println!("# nic{}: {}", cards.len(), About(&card));
                cards.push(card);
            }
            Err(unfit) => println!("# net: the card at {at} is left alone: {unfit}"),
        }
    }
    CARDS.call_once(|| cards);
}

/// A short description of a card.
struct About<'a>(&'a Card);

impl fmt::Display for About<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Nic { address, queues } = self.0.nic();
        for (index, byte) in address.iter().enumerate() {
            let colon = if index == 0 { "" } else { ":" };
            write!(f, "{colon}{byte:02x}")?;
        }
        let plural = if queues == 1 { "" } else { "s" };
        write!(f, ", {queues} queue{plural}, interrupts")?;
        for cpu in self.0.cpus() {
            write!(f, " cpu{cpu}")?;
        }
        Ok(())
    }
}

fn cards() -> &'static [Card] {
    CARDS.get().map_or(&[], |cards| cards)
}

fn card(unit: usize) -> &'static Card {
    let Some(card) = cards().get(unit) else {
        panic!("there is no nic{unit}: the machine has {}", cards().len())
    };
    card
}

/// Number of cards.
pub(crate) fn count() -> usize {
    cards().len()
}

/// The properties of card `unit`. Panics, as do the next two, if there is no such card.
pub(crate) fn nic(unit: usize) -> Nic {
    card(unit).nic()
}

/// See `Machine::nic_transmit`. Panics if the length of the frame is invalid.
pub(crate) fn transmit(unit: usize, frame: &[u8]) -> bool {
    card(unit).transmit(frame)
}

/// See `Machine::nic_receive`. Panics if there is no such queue, or if two CPUs receive on it at once.
pub(crate) fn receive(unit: usize, queue: usize, frame: &mut [u8]) -> Option<usize> {
    card(unit).receive(queue, frame)
}

/// See `Machine::nic_counts`.
pub(crate) fn counts() -> NicCounts {
    let mut counts = NicCounts::default();
    for card in cards() {
        let ((received, _), (sent, refused)) = (card.received(), card.sent());
        counts.received += received;
        counts.sent += sent;
        counts.refused += refused;
    }
    counts
}

/// Number of card interrupts that each CPU took.
struct Interrupts;

impl fmt::Display for Interrupts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        cpu::all().try_for_each(|cpu| {
            let taken = cpu.net_interrupts.load(Relaxed);
            write!(f, " cpu{} {taken}", cpu.index())
        })
    }
}

/// Prints the counters of the cards, at the end of a run.
pub(crate) fn print_counts() {
    for (unit, card) in cards().iter().enumerate() {
        let ((received, unfit), (sent, refused)) = (card.received(), card.sent());
        println!(
            "# nic{unit}: {received} frames received, {unfit} dropped for their length; {sent} sent, {refused} refused"
        );
    }
    if count() != 0 {
        println!("# interrupts of network cards:{}", Interrupts);
    }
}
