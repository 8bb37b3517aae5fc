//! The processors: their own data, and how they are started.
//!
//! # Overview
//!
//! Each CPU has a [`PerCpu`], to which its GS base points. So the kernel's most frequent question, which LWP runs
//! here, is one load ([`word`]). The blocks are plain statics, so that a report can read those of all CPUs after they
//! have been stopped.
//!
//! # Contexts
//!
//! [`this`] returns the block of the CPU that executes the call. With interrupts on, the caller may move to another
//! CPU a moment later: disable them as long as the answer must stay true.

pub(crate) mod apic;
pub(crate) mod interrupt;
pub(crate) mod smp;
pub(crate) mod tables;
pub(crate) mod time;

use core::arch::asm;
use core::mem::offset_of;
use core::ptr;
use core::sync::atomic::{
    AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst,
};

use kmod::config::Config;
use x86_64::VirtAddr;
use x86_64::registers::model_specific::GsBase;

/// Maximum number of CPUs.
pub(crate) const MAX_CPUS: usize = Config::MAXCPUS;

/// The data of one CPU. The first field is read through GS.
#[repr(C, align(64))]
pub(crate) struct PerCpu {
    /// The kernel's word: see `Machine::attach`.
    word: AtomicPtr<()>,
    /// Number of this CPU, from 0; the boot processor is 0.
    index: AtomicUsize,
    /// Its local APIC.
    pub(crate) apic_id: AtomicU32,
    /// The context it runs, by number; `usize::MAX` before the first.
    pub(crate) context: AtomicUsize,
    /// Clock interrupts taken since boot.
    pub(crate) ticks: AtomicU64,
    /// Interrupts of network cards taken since boot.
    pub(crate) net_interrupts: AtomicU64,
    /// Whether it waits for an interrupt.
    pub(crate) waits: AtomicBool,
    /// State of its perturbation, see [`crate::perturb`].
    pub(crate) random: AtomicU64,
    /// Where it was when a report stopped it; null while it runs.
    pub(crate) stopped: AtomicPtr<interrupt::TrapFrame>,
}

const GS_WORD: usize = offset_of!(PerCpu, word);
const GS_INDEX: usize = offset_of!(PerCpu, index);

static CPUS: [PerCpu; MAX_CPUS] = [const {
    PerCpu {
        word: AtomicPtr::new(ptr::null_mut()),
        index: AtomicUsize::new(0),
        apic_id: AtomicU32::new(0),
        context: AtomicUsize::new(usize::MAX),
        ticks: AtomicU64::new(0),
        net_interrupts: AtomicU64::new(0),
        waits: AtomicBool::new(false),
        random: AtomicU64::new(1),
        stopped: AtomicPtr::new(ptr::null_mut()),
    }
}; MAX_CPUS];

/// Number of CPUs that run.
static COUNT: AtomicUsize = AtomicUsize::new(1);

/// Number of CPUs that run.
pub(crate) fn count() -> usize {
    COUNT.load(Relaxed)
}

/// The block of CPU `cpu`. Panics if the machine cannot have that many.
pub(crate) fn of(cpu: usize) -> &'static PerCpu {
    &CPUS[cpu]
}

/// The blocks of all CPUs that run, in the order of their numbers.
pub(crate) fn all() -> impl Iterator<Item = &'static PerCpu> {
    CPUS[..count()].iter()
}

/// The block of the CPU that executes the call.
#[inline]
pub(crate) fn this() -> &'static PerCpu {
    let index: usize;
    // SAFETY: GS points to this CPU's block from the first instructions of its life on.
    unsafe {
        asm!("mov {}, gs:[{offset}]", out(reg) index, offset = const GS_INDEX,
            options(readonly, nostack, preserves_flags));
    }
    &CPUS[index]
}

/// The kernel's word of the CPU that executes the call: one load, which no interrupt can split.
///
/// It is the running LWP: a context that reads it twice is the same LWP both times, on whichever CPU. So it may be
/// read once for both (see `Machine::word`).
#[inline(always)]
pub(crate) fn word() -> *const () {
    let word;
    // SAFETY: as in `this`.
    unsafe {
        asm!("mov {}, gs:[{offset}]", out(reg) word, offset = const GS_WORD,
            options(pure, nomem, nostack, preserves_flags));
    }
    word
}

impl PerCpu {
    /// Makes this block that of the current CPU.
    pub(crate) fn install(&'static self, index: usize) {
        self.index.store(index, Relaxed);
        GsBase::write(VirtAddr::from_ptr(self));
    }

    /// Number of this CPU.
    pub(crate) fn index(&self) -> usize {
        self.index.load(Relaxed)
    }

    /// Sets the kernel's word.
    ///
    /// The kernel calls this at each context switch with the LWP that runs next. NetBSD requires of `cpu_switchto`
    /// here that (1) a store by which the old LWP released a mutex is visible before the change of LWP, and (2) the
    /// change of LWP is visible before the new LWP, when it releases a mutex, checks for waiters. x86 never reorders
    /// stores with stores, which gives (1). (2) is a store before a load, the one order that x86 does not preserve,
    /// so the exchange, which is a full barrier, is needed instead of a plain store.
    #[inline]
    pub(crate) fn set_word(&self, word: *const ()) {
        self.word.swap(word.cast_mut(), SeqCst);
    }
}
