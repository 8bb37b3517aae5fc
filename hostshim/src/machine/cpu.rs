//! What the machine knows of a CPU.

use std::cell::Cell;
use std::panic::Location;

use kmod::machine::Op;

/// What a CPU does when it steps next.
#[derive(Clone, Copy, Debug)]
pub enum Pending {
    /// It begins to run. Only while a kernel boots.
    Start,
    /// It makes this operation.
    Op(Op, &'static Location<'static>),
    /// It waits for an interrupt, and steps only after it took one.
    Wait,
    /// It spins, and steps only after something that it loaded was written, or it took an interrupt.
    Spin(&'static Location<'static>),
}

/// Most addresses that a spinning CPU watches. One that loads more in a round is not held back.
const WATCHED: usize = 8;

/// What a CPU loaded since it last spun.
pub(crate) struct Watch {
    addresses: [Cell<usize>; WATCHED],
    /// Number of loads; more than [`WATCHED`] if not all of them are there.
    count: Cell<usize>,
    /// Number of atomic writes that the whole machine had made before the first of them.
    writes: Cell<u64>,
}

impl Watch {
    /// The CPU has loaded at this address.
    #[inline]
    pub(crate) fn note(&self, address: usize, writes: u64) {
        let count = self.count.get();
        self.addresses[count % WATCHED].set(address);
        if count == 0 {
            self.writes.set(writes);
        }
        self.count.set(count + 1);
    }

    /// Begins a round.
    pub(crate) fn clear(&self) {
        self.count.set(0);
    }

    /// What was loaded is not known any more: another LWP ran here, or an interrupt handler.
    pub(crate) fn spoil(&self) {
        self.count.set(WATCHED + 1);
    }

    /// Whether another round would load the same: nothing was written since the first of the loads, by anybody,
    /// and all of the loads are known.
    pub(crate) fn settled(&self, writes: u64) -> bool {
        (1..=WATCHED).contains(&self.count.get()) && self.writes.get() == writes
    }

    /// Whether the CPU waits for this address to be written.
    pub(crate) fn has(&self, address: usize) -> bool {
        self.addresses[..self.count.get().min(WATCHED)]
            .iter()
            .any(|watched| watched.get() == address)
    }
}

/// One CPU.
#[repr(align(64))]
pub(crate) struct Cpu {
    /// The context that runs here.
    pub(crate) context: Cell<usize>,
    pub(crate) pending: Cell<Pending>,
    /// Interrupt priority level, as the kernel told it.
    pub(crate) ipl: Cell<u8>,
    pub(crate) watch: Watch,
}

impl Cpu {
    pub(crate) fn new() -> Cpu {
        Cpu {
            context: Cell::new(0),
            pending: Cell::new(Pending::Start),
            ipl: Cell::new(0),
            watch: Watch {
                addresses: [const { Cell::new(0) }; WATCHED],
                count: Cell::new(0),
                writes: Cell::new(0),
            },
        }
    }

    /// Where its next step stands in the source, if it stands anywhere.
    pub(crate) fn location(&self) -> Option<&'static Location<'static>> {
        match self.pending.get() {
            Pending::Op(_, at) | Pending::Spin(at) => Some(at),
            Pending::Start | Pending::Wait => None,
        }
    }
}
