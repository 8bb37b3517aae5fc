//! The machine's state of a CPU.

use std::cell::Cell;

use kmod::machine::{At, Op};

/// What a CPU does in its next step.
#[derive(Clone, Copy, Debug)]
pub enum Pending {
    /// It starts to run. Only while a kernel boots.
    Start,
    /// It makes this operation.
    Op(Op, At),
    /// It waits for an interrupt, and steps only after it took one.
    Wait,
    /// It spins, and steps only after something that it loaded was written, or it took an interrupt.
    Spin(At),
}

/// Maximum number of addresses that a spinning CPU watches. A CPU that loads more in one iteration is not held back.
const WATCHED: usize = 8;
/// Loads of a CPU from one check to the next whether any CPU has made an atomic write. If none has, the addresses of as many
/// more loads are recorded, and if still none has, the CPU counts as spinning.
const PATIENCE: usize = 64;

/// How much is known of the loads of a CPU.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Loads {
    /// A CPU may have made an atomic write meanwhile.
    Any,
    /// No CPU has for [`PATIENCE`] loads. The addresses of this many more were recorded.
    Recorded(usize),
    /// The CPU must not be held back for its loads, until a CPU makes an atomic write.
    Trusted,
}

/// What a CPU loaded since it last spun.
pub(crate) struct Watch {
    addresses: [Cell<usize>; WATCHED],
    /// Number of loads; more than [`WATCHED`] if not all of them are there.
    count: Cell<usize>,
    /// The count at which something is to be done about the next load.
    due: Cell<usize>,
    /// Number of atomic writes that the whole machine had made before the first of them.
    writes: Cell<u64>,
    /// Whether one of them was written since, if that is told.
    written: Cell<bool>,
    loads: Cell<Loads>,
    /// Number of atomic writes since which `loads` holds.
    quiet_since: Cell<u64>,
    /// The recorded addresses, and their number.
    rereads: [Cell<usize>; WATCHED],
    reread: Cell<usize>,
    /// Whether the CPU must be held back before its next step.
    spins: Cell<bool>,
    /// The context that was last held back here, and its place in the source.
    spun: Cell<Option<(usize, At)>>,
}

impl Watch {
    fn new() -> Watch {
        Watch {
            addresses: [const { Cell::new(0) }; WATCHED],
            count: Cell::new(0),
            due: Cell::new(0),
            writes: Cell::new(0),
            written: Cell::new(false),
            loads: Cell::new(Loads::Any),
            quiet_since: Cell::new(0),
            rereads: [const { Cell::new(0) }; WATCHED],
            reread: Cell::new(0),
            spins: Cell::new(false),
            spun: Cell::new(None),
        }
    }

    /// Records a load of this address. Returns whether [`Watch::check`] must be called.
    #[inline(always)]
    pub(crate) fn note(&self, address: usize) -> bool {
        let count = self.count.get();
        self.addresses[count % WATCHED].set(address);
        self.count.set(count + 1);
        count == self.due.get()
    }

    /// The address of the last load.
    pub(crate) fn last(&self) -> usize {
        self.addresses[self.count.get().wrapping_sub(1) % WATCHED].get()
    }

    /// Checks, at a load of this address, whether the CPU only loads the same addresses again and again. If so, it
    /// [spins](Watch::spins) from now on.
    pub(crate) fn check(&self, address: usize, writes: u64) -> bool {
        let count = self.count.get();
        let first = count == 1;
        if first {
            self.writes.set(writes);
        }
        let quiet = self.quiet_since.replace(writes) == writes;
        let recorded = match self.loads.get() {
            Loads::Trusted if quiet => {
                self.due.set(count + PATIENCE);
                return false;
            }
            Loads::Recorded(loads) if quiet => loads,
            Loads::Any if quiet && !first => {
                self.reread.set(0);
                0
            }
            _ => {
                self.loads.set(Loads::Any);
                self.due.set(count + PATIENCE);
                return false;
            }
        };
        self.record(address, recorded + 1)
    }

    /// Puts a check off to the next load.
    pub(crate) fn put_off(&self) {
        self.due.set(self.count.get());
    }

    /// Records the address of a load. Returns whether the CPU spins.
    fn record(&self, address: usize, loads: usize) -> bool {
        self.loads.set(Loads::Recorded(loads));
        self.due.set(self.count.get());
        let known = self.reread.get();
        if !self.rereads[..known]
            .iter()
            .any(|cell| cell.get() == address)
        {
            let Some(next) = self.rereads.get(known) else {
                // Too many to watch: it may be walking a table.
                self.trust();
                return false;
            };
            next.set(address);
            self.reread.set(known + 1);
        }
        let spins = loads >= PATIENCE;
        self.spins.set(spins);
        spins
    }

    /// Does not hold the CPU back for its loads until the next atomic write.
    pub(crate) fn trust(&self) {
        self.loads.set(Loads::Trusted);
        self.due.set(self.count.get());
    }

    /// Whether the CPU spins, judging by its loads.
    #[inline]
    pub(crate) fn spins(&self) -> bool {
        self.spins.get()
    }

    /// The CPU is held back because of that. It watches the addresses of those loads from now on.
    pub(crate) fn take_spinning(&self) {
        self.spins.set(false);
        self.addresses
            .iter()
            .zip(&self.rereads)
            .for_each(|(watched, reread)| watched.set(reread.get()));
        self.count.set(self.reread.get());
        self.due.set(self.reread.get());
    }

    /// Records that this context is held back before its step at that place.
    pub(crate) fn remember(&self, context: usize, at: At) {
        self.spun.set(Some((context, at)));
    }

    /// Whether this context was already held back before its step at that place. If it is there again, it still
    /// spins.
    pub(crate) fn spun(&self, context: usize, at: Option<At>) -> bool {
        self.spun
            .get()
            .is_some_and(|(spun, there)| spun == context && at == Some(there))
    }

    /// The addresses that the CPU watches.
    pub(crate) fn watched(&self) -> impl Iterator<Item = usize> + '_ {
        let count = self.count.get().min(WATCHED);
        self.addresses[..count].iter().map(Cell::get)
    }

    /// Begins a run.
    pub(crate) fn reset(&self) {
        self.clear();
        self.loads.set(Loads::Any);
        self.quiet_since.set(0);
        self.spins.set(false);
        self.spun.set(None);
    }

    /// Begins an iteration.
    pub(crate) fn clear(&self) {
        self.count.set(0);
        self.written.set(false);
        self.due.set(0);
    }

    /// What was loaded is no longer known: another LWP ran here, or an interrupt handler.
    pub(crate) fn spoil(&self) {
        let left = self.due.get().saturating_sub(self.count.get());
        self.count.set(WATCHED + 1);
        self.due.set(WATCHED + 1 + left);
    }

    /// Whether another iteration would load the same values: no CPU has written since the first of the loads, and all
    /// of the loads are known.
    pub(crate) fn settled(&self, writes: u64) -> bool {
        (1..=WATCHED).contains(&self.count.get()) && self.writes.get() == writes
    }

    /// What the CPU loaded when it was last held back.
    pub(crate) fn reread(&self) -> impl Iterator<Item = usize> + '_ {
        self.rereads[..self.reread.get()].iter().map(Cell::get)
    }

    /// Something that the CPU has loaded since it last spun was written.
    pub(crate) fn is_written(&self) {
        self.written.set(true);
    }

    /// [`settled`](Self::settled), if every write is told with [`is_written`](Self::is_written).
    pub(crate) fn settled_exactly(&self) -> bool {
        (1..=WATCHED).contains(&self.count.get()) && !self.written.get()
    }

    /// Whether the CPU waits for this address to be written.
    pub(crate) fn has(&self, address: usize) -> bool {
        self.watched().any(|watched| watched == address)
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
            watch: Watch::new(),
        }
    }

    /// Where its next step stands in the source, if it stands anywhere.
    pub(crate) fn location(&self) -> Option<At> {
        match self.pending.get() {
            Pending::Op(_, at) | Pending::Spin(at) => Some(at),
            Pending::Start | Pending::Wait => None,
        }
    }
}
