//! intr_establish: interrupts of devices.
//!
//! # Overview
//!
//! A device interrupts one CPU, at its own level: IPL_VM, IPL_SCHED or IPL_HIGH. [`establish`] sets the function that
//! runs then. The kernel has no devices except network cards; here software raises the interrupt, from any CPU
//! ([`raise`]). It reaches its CPU as a message, at some step after that.
//!
//! # Examples
//!
//! ```
//! use hostshim::example::run;
//! use kmod::kern::intr;
//! use kmod::kern::lwp::{Arg, curcpu};
//! use kmod::kern::spl::Ipl;
//! use kmod::kern::synch::kpause;
//! use kmod::mem::{AtomicBool, Relaxed};
//! use kmod::scenario::classics::shared;
//!
//! run(|| {
//!     let arrived = AtomicBool::new(false);
//!     let handler = |arrived| shared::<AtomicBool>(arrived).store(true, Relaxed);
//!     let device = intr::establish(curcpu(), Ipl::Vm, handler, Arg::of(&arrived)).expect("a free entry");
//!     intr::raise(device);
//!     while !arrived.load(Relaxed) {
//!         kpause("device", 1, None);
//!     }
//!     intr::disestablish(device);
//! });
//! ```
//!
//! # Contexts
//!
//! [`raise`]: any. [`establish`]: thread, or boot. [`disestablish`]: thread that may sleep. Handlers run in hard
//! interrupt context at their level: they may enter spin mutexes of that level or a higher one, schedule softints and
//! signal condition variables.
//!
//! # How it works
//!
//! ```text
//! raise                           CPU of the device
//! raised |= handler  (release)
//! ipi ──────────────────────────► IPL_HIGH: raised = 0 (acquire); each is ready, and its level is pending
//!                                 as soon as the level allows it: those that are ready run
//! ```
//!
//! # Invariants
//!
//! 1. An interrupt that is raised several times before its handler starts runs once. If it is raised after that, it
//!    runs again.
//! 2. A handler runs only on its CPU, so never twice at the same time.
//! 3. Only its own CPU accesses its ready interrupts, at IPL_HIGH.
//!
//! # Differences from NetBSD
//!
//! In NetBSD `intr_establish` is machine-dependent, names a pin of an interrupt controller, and picks the CPU itself.
//! Here all interrupts are edge-triggered, and none is shared. No interrupt threads.
//!
//! # Sources
//!
//! `sys/arch/x86/x86/intr.c` (`intr_establish_xname`, `intr_disestablish`).

use crate::config::Config;
use crate::contract;
use crate::kern::contract::assert_sleepable;
use crate::kern::cpu::Cpu;
use crate::kern::lwp::{Arg, curlwp};
use crate::kern::mutex::Kmutex;
use crate::kern::spl::{self, Ipl};
use crate::kern::{ipi, xcall};
use crate::kernel::Kernel;
use crate::machine::{self, Stop};
use crate::mem::{AcqRel, Acquire, AtomicU32, Local, Plain};

/// Maximum number of devices per kernel.
const DEVICES: usize = 8;

/// An established interrupt (`struct intrhand`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Intrhand(usize);

/// An entry of the table.
struct Place {
    ih_func: Plain<Option<fn(Arg)>>,
    ih_arg: Plain<Arg>,
    ih_level: Plain<u8>,
    ih_cpu: Plain<usize>,
}

crate::fields!(Place {
    ih_func,
    ih_arg,
    ih_level,
    ih_cpu
});

/// The device interrupts of a kernel.
pub struct Intrs {
    /// Protects the allocation of entries.
    intr_lock: Kmutex,
    intr_places: [Place; DEVICES],
    /// The entries in use, one bit each.
    intr_used: Plain<u32>,
    /// Interrupts that were raised and have not reached their CPU, by CPU.
    intr_raised: [AtomicU32; Config::MAXCPUS],
    /// Interrupts that have reached their CPU and have not run, by CPU.
    intr_ready: [Local<u32>; Config::MAXCPUS],
}

crate::fields!(Intrs {
    intr_lock,
    intr_places,
    intr_used,
    intr_raised,
    intr_ready
});

impl Intrs {
    pub(crate) const fn new() -> Self {
        Intrs {
            intr_lock: Kmutex::new("intr_lock", Ipl::High),
            intr_places: [const {
                Place {
                    ih_func: Plain::new(None),
                    ih_arg: Plain::new(Arg::NONE),
                    ih_level: Plain::new(0),
                    ih_cpu: Plain::new(0),
                }
            }; DEVICES],
            intr_used: Plain::new(0),
            intr_raised: [const { AtomicU32::new(0) }; Config::MAXCPUS],
            intr_ready: [const { Local::new(0) }; Config::MAXCPUS],
        }
    }
}

/// Establishes an interrupt: `func(arg)` runs on `ci`, at `level`, when it is raised (`intr_establish`). Returns
/// `None` if the table is full.
///
/// Context: thread, or boot. Panics (contract `intr-level`) if the level is not one of hard interrupts.
/// [`crate::scenario::ports::runqueue_interrupt`] has an example.
#[track_caller]
pub fn establish(ci: &'static Cpu, level: Ipl, func: fn(Arg), arg: Arg) -> Option<Intrhand> {
    contract!(
        level >= Ipl::Vm,
        "intr-level",
        "intr_establish by {} at level {}: devices interrupt at vm, sched or high",
        curlwp().name(),
        level.name()
    );
    let intrs = &ci.kernel().intrs;
    intrs.intr_lock.spin_enter();
    let used = intrs.intr_used.get();
    let free = used.trailing_ones() as usize;
    let place = intrs.intr_places.get(free);
    if let Some(place) = place {
        intrs.intr_used.set(used | 1 << free);
        place.ih_cpu.set(ci.index());
        place.ih_level.set(level as u8);
        place.ih_arg.set(arg);
        place.ih_func.set(Some(func));
    }
    intrs.intr_lock.spin_exit();
    place.map(|_| Intrhand(free))
}

/// Raises the interrupt. Its handler runs on its CPU, which may be the caller's, at some step after this.
///
/// Context: any. Panics (contract `intr-established`) if it is not established.
#[track_caller]
pub fn raise(ih: Intrhand) {
    let kernel = curlwp().kernel();
    let place = &kernel.intrs.intr_places[ih.0];
    contract!(
        place.ih_func.get_fused().is_some(),
        "intr-established",
        "{} raises the interrupt of a device that is not established",
        curlwp().name()
    );
    let ci = kernel.cpu(place.ih_cpu.get_fused());
    kernel.intrs.intr_raised[ci.index()].fetch_or(1 << ih.0, AcqRel);
    ipi::device_trigger(ci);
}

/// Disestablishes an interrupt: when this returns its handler neither runs nor will run (`intr_disestablish`).
///
/// Context: thread that may sleep; the interrupt is not raised any more. Panics: contracts `sleepable`,
/// `intr-established`.
#[track_caller]
pub fn disestablish(ih: Intrhand) {
    assert_sleepable("intr_disestablish");
    let kernel = curlwp().kernel();
    let intrs = &kernel.intrs;
    let place = &intrs.intr_places[ih.0];
    contract!(
        place.ih_func.get().is_some(),
        "intr-established",
        "intr_disestablish by {} of an interrupt that is not established",
        curlwp().name()
    );
    // What was raised and has not reached its CPU is cancelled.
    intrs.intr_raised[place.ih_cpu.get()].fetch_and(!(1 << ih.0), AcqRel);
    // A thread on each CPU: none runs before a handler of its CPU has returned and the ready ones have run.
    xcall::barrier(xcall::Priority::Low);
    disestablish_at_rest(kernel, ih);
}

/// The end of [`disestablish`]: the interrupt is not raised any more, and its handler does not run.
pub fn disestablish_at_rest(kernel: &Kernel, ih: Intrhand) {
    let intrs = &kernel.intrs;
    intrs.intr_lock.spin_enter();
    intrs.intr_places[ih.0].ih_func.set(None);
    intrs.intr_used.set(intrs.intr_used.get() & !(1 << ih.0));
    intrs.intr_lock.spin_exit();
}

/// Whether interrupts were raised that have not reached this CPU. For checks at rest.
pub(crate) fn is_asked(ci: &Cpu) -> bool {
    ci.kernel().intrs.intr_raised[ci.index()].peek() != 0
}

/// The inter-processor interrupt: what was raised becomes ready, and runs when the level allows it. At IPL_HIGH.
pub(crate) fn take(ci: &'static Cpu) {
    let intrs = &ci.kernel().intrs;
    let mut raised = intrs.intr_raised[ci.index()].swap(0, Acquire);
    let ready = &intrs.intr_ready[ci.index()];
    ready.set(ready.get() | raised);
    while raised != 0 {
        let place = &intrs.intr_places[raised.trailing_zeros() as usize];
        let level = Ipl::from_number(place.ih_level.get());
        spl::device_trigger(ci, level);
        raised &= raised - 1;
    }
}

/// Runs the handlers of a level that are ready on this CPU, at that level.
pub(crate) fn run(ci: &'static Cpu, level: Ipl) {
    while let Some(place) = next(ci, level) {
        if let Some(func) = place.ih_func.get() {
            func(place.ih_arg.get());
        }
    }
}

/// Takes the next ready handler of the level.
fn next(ci: &'static Cpu, level: Ipl) -> Option<&'static Place> {
    let intrs = &ci.kernel().intrs;
    spl::aside(|| {
        let ready = &intrs.intr_ready[ci.index()];
        let mut left = ready.get();
        while left != 0 {
            let number = left.trailing_zeros();
            let place = &intrs.intr_places[number as usize];
            if place.ih_level.get_fused() == level as u8 {
                ready.set(ready.get() & !(1 << number));
                return Some(place);
            }
            left &= left - 1;
        }
        None
    })
}

/// Checks at rest that every interrupt of the scenario was disestablished.
pub(crate) fn verify(kernel: &Kernel) {
    let left = kernel.intrs.intr_used.peek();
    if left != 0 {
        machine::stop(
            Stop::Oracle("intr-leak"),
            format_args!(
                "{} interrupts of devices were never disestablished",
                left.count_ones()
            ),
        );
    }
}
