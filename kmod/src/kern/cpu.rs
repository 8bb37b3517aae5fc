//! cpu(9): the state of each CPU.
//!
//! Most of it is touched by its own CPU alone (`Local`). Fields that other CPUs read are atomic, or protected by the
//! CPU's scheduler lock ([`Schedstate`]).

use core::sync::atomic::AtomicU32 as BareU32;

use crate::config::Config;
use crate::kern::callout::CalloutCpu;
use crate::kern::kmem;
use crate::kern::lwp::Lwp;
use crate::kern::percpu::CpuPercpu;
use crate::kern::sched::Schedstate;
use crate::kern::softint::SoftCpu;
use crate::kern::xcall::CpuXcall;
use crate::kernel::Kernel;
use crate::machine::Context;
use crate::mem::{AtomicRef, AtomicU32, Local};

/// A CPU (`struct cpu_info`).
pub struct Cpu {
    /// The LWP that runs here. Other CPUs read it to see whether a lock's owner is running.
    pub(crate) ci_curlwp: AtomicRef<Lwp>,
    /// Interrupt priority level, a number of [`crate::kern::spl::Ipl`].
    pub(crate) ci_ilevel: Local<u8>,
    /// Depth of hard interrupts.
    pub(crate) ci_idepth: Local<u32>,
    /// Minus the number of spin mutexes held.
    pub(crate) ci_mtx_count: Local<i32>,
    /// The level at which the outermost spin mutex was entered.
    pub(crate) ci_mtx_oldspl: Local<u8>,
    /// Interrupts that are asserted or triggered here but masked, and whether the scheduler wants the CPU.
    pub(crate) ci_ipending: AtomicU32,
    /// Whether, and how urgently, this CPU should check its run queue: bits of [`crate::kern::sched::resched`].
    pub(crate) ci_want_resched: AtomicU32,
    /// Inter-processor interrupts that were sent here and not yet handled: bits by [`crate::kern::ipi`] number.
    pub(crate) ci_ipis: AtomicU32,
    /// Those that were sent here and that nobody has looked at yet, kept apart from `ci_ipis`: for checks.
    pub(crate) ci_ipis_owed: BareU32,
    /// Clock interrupts that came here, without those that found one pending: for the check at rest.
    pub(crate) ci_clocks: BareU32,
    /// Read sections of pserialize(9) that are open here.
    pub(crate) ci_psz_read_depth: Local<u32>,
    /// The LWP that ran before the current one, if its lock is still to be released.
    pub(crate) ci_prevlwp: Local<Option<&'static Lwp>>,
    /// The scheduler's part.
    pub(crate) ci_schedstate: Schedstate,
    /// The softints' part.
    pub(crate) ci_softcpu: SoftCpu,
    /// The callouts' part.
    pub(crate) ci_callout: CalloutCpu,
    /// The cross calls' part.
    pub(crate) ci_xcall: CpuXcall,
    /// The per-CPU storage.
    pub(crate) ci_percpu: CpuPercpu,
    /// The LWP that runs when no other does.
    pub(crate) ci_idlelwp: AtomicRef<Lwp>,
    /// What files in C keep for each CPU (`struct cpu_data`). The kernel itself does not touch it.
    pub(crate) ci_data: [Local<u64>; DATA_WORDS],
    ci_kernel: &'static Kernel,
    ci_index: usize,
}

/// Words in [`layout::CI_DATA`].
const DATA_WORDS: usize = 16;

/// Where some fields of a [`Cpu`] are, for code that is not Rust.
pub mod layout {
    use core::mem::offset_of;

    use super::{Cpu, DATA_WORDS};

    /// `ci_data`: memory that the kernel does not touch, of [`DATA_SIZE`] bytes.
    pub const CI_DATA: usize = offset_of!(Cpu, ci_data);
    /// Bytes of `ci_data`.
    pub const DATA_SIZE: usize = DATA_WORDS * size_of::<u64>();
    /// `ci_curlwp`, an atomic pointer to an LWP.
    pub const CI_CURLWP: usize = offset_of!(Cpu, ci_curlwp);
}

crate::fields!(Cpu {
    ci_curlwp,
    ci_ilevel,
    ci_idepth,
    ci_mtx_count,
    ci_mtx_oldspl,
    ci_ipending,
    ci_want_resched,
    ci_ipis,
    ci_psz_read_depth,
    ci_prevlwp,
    ci_schedstate,
    ci_softcpu,
    ci_callout,
    ci_xcall,
    ci_percpu,
    ci_idlelwp,
    ci_data,
});

impl Cpu {
    pub(crate) fn new(kernel: &'static Kernel, config: &Config, index: usize) -> Cpu {
        Cpu {
            ci_curlwp: AtomicRef::new(),
            ci_ilevel: Local::new(crate::kern::spl::Ipl::High as u8),
            ci_idepth: Local::new(0),
            ci_mtx_count: Local::new(0),
            ci_mtx_oldspl: Local::new(0),
            ci_ipending: AtomicU32::new(0),
            ci_want_resched: AtomicU32::new(0),
            ci_ipis: AtomicU32::new(0),
            ci_ipis_owed: BareU32::new(0),
            ci_clocks: BareU32::new(0),
            ci_psz_read_depth: Local::new(0),
            ci_prevlwp: Local::new(None),
            ci_schedstate: Schedstate::new(),
            ci_softcpu: SoftCpu::new(config),
            ci_callout: CalloutCpu::new(config),
            ci_xcall: CpuXcall::new(),
            ci_percpu: CpuPercpu::new(),
            ci_idlelwp: AtomicRef::new(),
            ci_data: [const { Local::new(0) }; DATA_WORDS],
            ci_kernel: kernel,
            ci_index: index,
        }
    }

    /// Number of this CPU, from 0 (`cpu_index`).
    #[inline]
    pub fn index(&self) -> usize {
        self.ci_index
    }

    /// The kernel that this CPU runs.
    #[inline]
    pub fn kernel(&self) -> &'static Kernel {
        self.ci_kernel
    }

    /// The idle LWP's context, in which the CPU starts.
    pub fn idle_context(&self) -> Context {
        self.idle().context()
    }

    pub(crate) fn idle(&self) -> &'static Lwp {
        match self.ci_idlelwp.peek() {
            Some(idle) => idle,
            None => unreachable!(
                "cpu{} has no idle LWP: the kernel is not booted",
                self.ci_index
            ),
        }
    }
}

/// Allocates the CPUs of a kernel.
pub(crate) fn create(kernel: &'static Kernel, config: &Config) -> Option<&'static [Cpu]> {
    kmem::boot_alloc_slice("cpu", config.ncpu, |index| Cpu::new(kernel, config, index))
}
