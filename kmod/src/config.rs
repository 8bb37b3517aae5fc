//! The boot configuration: sizes of the real code that tests make small, and the historical variants.

use crate::history::{History, Own};

/// How the high-priority box of [`xcall`](crate::kern::xcall) is wired.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Wiring {
    /// One box per priority, as in a kernel on hardware.
    #[default]
    Native,
    /// The low-priority box also carries high-priority calls, as in a rump kernel: one request at a time.
    Rump,
}

impl Wiring {
    /// Both.
    pub const ALL: [Wiring; 2] = [Wiring::Native, Wiring::Rump];

    /// The wiring of this name.
    pub fn find(name: &str) -> Option<Wiring> {
        Wiring::ALL.into_iter().find(|wiring| wiring.name() == name)
    }

    /// The name on the command line and in replay files.
    pub const fn name(self) -> &'static str {
        match self {
            Wiring::Native => "native",
            Wiring::Rump => "rump",
        }
    }
}

/// Whether the kernel may be refused memory while a scenario runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Memory {
    /// The host may refuse each allocation whose failure the caller is told of.
    #[default]
    Scarce,
    /// The host refuses none, for this reason: a clause that says what the program cannot do.
    Given(&'static str),
}

/// Ticks per second, to which NetBSD's times are scaled.
const HZ: u32 = 100;

/// What a kernel is booted with.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Number of CPUs, 1 to [`Config::MAXCPUS`].
    pub ncpu: usize,
    /// Wiring of the high-priority cross calls.
    pub xcall: Wiring,
    /// Which historical variants are switched on.
    pub history: History,
    /// Which code of the scenario's own runs.
    pub own: Own,
    /// Buckets of one level of the callout wheel, as a power of two.
    pub callout_wheel_bits: u32,
    /// Levels of the callout wheel.
    pub callout_wheel_levels: usize,
    /// Ticks after which a running LWP is asked to yield to others of its priority.
    pub timeslice_ticks: u32,
    /// Ticks between two runs of the balancer; 0 switches it off.
    pub balance_ticks: u32,
    /// Softint handlers that a CPU can have, over all levels.
    pub softint_handlers: usize,
    /// The number of words by which per-CPU buffers grow at a time.
    pub percpu_import_words: usize,
    /// Slots of a producer-consumer queue.
    pub pcq_slots: usize,
    /// Free packet buffers that a CPU keeps; 0: each one is allocated with kmem(9) and freed.
    pub mbuf_cache: usize,
    /// Whether the network stack runs without `softnet_lock` where it can (`NET_MPSAFE`).
    pub net_mpsafe: bool,
    /// Buckets of a link-level table.
    pub lltable_buckets: usize,
    /// Ticks for which a resolved link address stays valid.
    pub arpt_keep_ticks: u32,
    /// Ticks for which no request is sent for an address that does not answer.
    pub arpt_down_ticks: u32,
    /// How often an actor repeats its part, in scenarios that repeat.
    pub repeat: u32,
    /// Network cards of a simulated machine, joined in pairs. A booted machine has the cards that QEMU provides.
    pub nics: usize,
    /// Whether the order in which resources are taken is recorded ([`crate::kern::order`]). Does not change any run.
    pub predict: bool,
    /// Kernels on a simulated machine, each with its own CPUs and cards; the cards of one are joined with those of
    /// the other. A booted machine has one kernel.
    pub kernels: usize,
    /// Whether allocations may fail while the scenario runs ([`crate::kern::kmem::kmem_alloc_nosleep`]).
    pub memory: Memory,
}

impl Config {
    /// Most CPUs a kernel can have.
    pub const MAXCPUS: usize = 16;
    /// Most network cards.
    pub const MAXNICS: usize = 8;
    /// Most kernels on one machine.
    pub const MAXKERNELS: usize = 2;

    /// CPUs of all kernels together.
    pub const fn cpus(&self) -> usize {
        self.ncpu * self.kernels
    }

    /// NetBSD's own sizes.
    pub const fn new(ncpu: usize) -> Self {
        Config {
            ncpu,
            xcall: Wiring::Native,
            history: History::NONE,
            own: Own::NONE,
            callout_wheel_bits: 8,
            callout_wheel_levels: 4,
            timeslice_ticks: 10,
            balance_ticks: 0,
            softint_handlers: 32,
            percpu_import_words: 256,
            pcq_slots: 256,
            mbuf_cache: 64,
            net_mpsafe: true,
            lltable_buckets: 32,
            arpt_keep_ticks: 20 * 60 * HZ,
            arpt_down_ticks: 20 * HZ,
            repeat: 16,
            nics: 0,
            predict: false,
            kernels: 1,
            memory: Memory::Scarce,
        }
    }

    /// Small sizes, so that a wrap-around is a few steps away and a kernel is quick to copy.
    pub const fn small(ncpu: usize) -> Self {
        Config {
            callout_wheel_bits: 2,
            callout_wheel_levels: 2,
            timeslice_ticks: 2,
            softint_handlers: 12,
            percpu_import_words: 2,
            pcq_slots: 3,
            mbuf_cache: 0,
            lltable_buckets: 2,
            arpt_keep_ticks: 3,
            arpt_down_ticks: 2,
            repeat: 1,
            ..Config::new(ncpu)
        }
    }
}
