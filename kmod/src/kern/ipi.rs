//! ipi(9): inter-processor interrupts.
//!
//! # Overview
//!
//! The machine has one line for them; a bit in the target's `ci_ipis` says which interrupt is meant. Several
//! interrupts of one kind that are sent before the first is handled count as one. The kernel has four kinds of its
//! own; others are registered ([`ipi_register`]) with the function that they run.
//!
//! # Examples
//!
//! ```
//! use hostshim::example::run;
//! use kmod::kern::ipi::{ipi_register, ipi_trigger};
//! use kmod::kern::lwp::{Arg, curcpu};
//! use kmod::kern::synch::{kpause, kpreempt_disable, kpreempt_enable};
//! use kmod::mem::{AtomicBool, Relaxed};
//! use kmod::scenario::classics::shared;
//!
//! run(|| {
//!     let arrived = AtomicBool::new(false);
//!     let arrive = |arrived| shared::<AtomicBool>(arrived).store(true, Relaxed);
//!     let id = ipi_register(arrive, Arg::of(&arrived)).expect("a free number");
//!     kpreempt_disable();
//!     let here = curcpu();
//!     ipi_trigger(id, here.kernel().cpu(1 - here.index()));
//!     kpreempt_enable();
//!     while !arrived.load(Relaxed) {
//!         kpause("arrive", 1, None);
//!     }
//! });
//! ```
//!
//! # Contexts
//!
//! [`ipi_trigger`]: any, preemption off. [`ipi_register`]: thread. Handlers run in hard interrupt context at IPL_HIGH.
//!
//! # Memory order
//!
//! The bit is set with release and taken with acquire: the handler sees everything that the sender wrote before.
//!
//! # Differences from NetBSD
//!
//! Only the asynchronous half: no interrupts that the sender waits for (`ipi_unicast`, `ipi_wait`). A registered
//! interrupt is never unregistered.
//!
//! # Sources
//!
//! ipi(9); `sys/kern/subr_ipi.c` 1.11.

use core::sync::atomic::Ordering::Relaxed as Bare;

use crate::contract;
use crate::kern::cpu::Cpu;
use crate::kern::hooks::{self, Hook};
use crate::kern::lwp::{Arg, curcpu, curlwp};
use crate::kern::mutex::Kmutex;
use crate::kern::spl::{self, Ipl};
use crate::kern::{intr, sched, softint, synch, xcall};
use crate::kernel::Kernel;
use crate::machine::{self, Line};
use crate::mem::{AcqRel, Acquire, Plain};

/// Check the run queue, on return from the interrupt or when the level is low enough.
pub const KPREEMPT: u32 = 0;
/// Schedule softints that another CPU asked for.
pub const SOFTINT: u32 = 1;
/// Run a high-priority cross call.
pub const XCALL: u32 = 2;
/// A device interrupts ([`intr`]).
pub const DEVICE: u32 = 3;
/// Run a high-priority cross call of other code ([`Hook::Xcall`]).
const FOREIGN: u32 = 4;

/// The first number that is allocated.
const FIRST: u32 = 5;
/// Interrupts that can be registered.
const MAXREG: usize = 4;

/// The registered interrupts of a kernel.
pub struct Ipis {
    /// Protects the allocation of entries.
    ipi_mngmt_lock: Kmutex,
    ipi_intrs: [Intr; MAXREG],
}

crate::fields!(Ipis {
    ipi_mngmt_lock,
    ipi_intrs
});

/// A registered interrupt (`ipi_intr_t`). Initialized before its number is known.
struct Intr {
    func: Plain<Option<fn(Arg)>>,
    arg: Plain<Arg>,
}

crate::fields!(Intr { func, arg });

impl Ipis {
    pub(crate) const fn new() -> Self {
        Ipis {
            ipi_mngmt_lock: Kmutex::new("ipi_mngmt_lock", Ipl::None),
            ipi_intrs: [const {
                Intr {
                    func: Plain::new(None),
                    arg: Plain::new(Arg::NONE),
                }
            }; MAXREG],
        }
    }

    /// The interrupt with this number, if it can be a registered one.
    fn intr(&self, id: u32) -> Option<&Intr> {
        self.ipi_intrs.get(id.checked_sub(FIRST)? as usize)
    }
}

/// Registers `func(arg)` as an interrupt that can be sent to any CPU, and returns its number. Returns `None` if the
/// table is full.
///
/// Context: thread.
#[track_caller]
pub fn ipi_register(func: fn(Arg), arg: Arg) -> Option<u32> {
    let ipis = &curlwp().kernel().ipis;
    ipis.ipi_mngmt_lock.enter();
    let place = ipis.ipi_intrs.iter().position(|i| i.func.get().is_none());
    if let Some(place) = place {
        ipis.ipi_intrs[place].arg.set(arg);
        ipis.ipi_intrs[place].func.set(Some(func));
    }
    ipis.ipi_mngmt_lock.exit();
    place.map(|place| FIRST + place as u32)
}

/// Sends interrupt `id` to `ci`, another CPU.
///
/// Context: any, preemption off. Panics: contracts `ipi-preempt`, `ipi-self`, `ipi-registered`.
#[track_caller]
pub fn ipi_trigger(id: u32, ci: &'static Cpu) {
    assert_may_trigger(id, ci);
    send(id, ci);
}

/// Sends an interrupt, unless one is on its way that will tell of this too.
#[track_caller]
fn send(id: u32, ci: &'static Cpu) {
    let old = ci.ci_ipis.fetch_or(1 << id, AcqRel);
    if cfg!(feature = "contracts") {
        ci.ci_ipis_owed.fetch_or(1 << id, Bare);
    }
    if old == 0 {
        ci.kernel().counters.ipis.incr();
        machine::send_ipi(ci.index());
    }
}

/// Has the devices that were raised on `ci` taken there. In contrast to [`ipi_trigger`], a CPU may do that to itself.
#[track_caller]
pub(crate) fn device_trigger(ci: &'static Cpu) {
    send(DEVICE, ci);
}

/// Sends the interrupt of [`Hook::Xcall`] to `ci`, or to all other CPUs.
#[track_caller]
pub(crate) fn foreign_trigger(ci: Option<&'static Cpu>) {
    let here = curcpu();
    for other in here.kernel().cpus() {
        let wanted = ci.is_none_or(|ci| core::ptr::eq(ci, other));
        if wanted && (ci.is_some() || !core::ptr::eq(here, other)) {
            ipi_trigger(FOREIGN, other);
        }
    }
}

#[track_caller]
fn assert_may_trigger(id: u32, ci: &'static Cpu) {
    contract!(
        synch::kpreempt_disabled(),
        "ipi-preempt",
        "ipi_trigger({id}) to cpu{} by {} with preemption on: it may migrate there first",
        ci.index(),
        curlwp().name()
    );
    contract!(
        !core::ptr::eq(ci, curcpu()),
        "ipi-self",
        "ipi_trigger({id}) to cpu{} by {}, which runs there: no CPU interrupts itself",
        ci.index(),
        curlwp().name()
    );
    contract!(
        id < FIRST
            || (ci.kernel().ipis.intr(id)).is_some_and(|intr| intr.func.get_fused().is_some()),
        "ipi-registered",
        "ipi_trigger({id}) to cpu{} by {}, and no interrupt of that number is registered",
        ci.index(),
        curlwp().name()
    );
}

/// What other CPUs have asked `ci` for without an interrupt that is on its way to tell it. At rest, when no line is asserted: an
/// interrupt that was taken is pending, or was handled. Nor what the handler has passed over.
pub(crate) fn missing(ci: &'static Cpu) -> Option<&'static str> {
    if spl::is_pending(ci, Line::Ipi) {
        return None;
    }
    let sent = ci.ci_ipis.peek() | ci.ci_ipis_owed.load(Bare);
    let asked = [
        (SOFTINT, softint::is_asked(ci)),
        (XCALL, xcall::is_asked(ci)),
        (DEVICE, intr::is_asked(ci)),
    ];
    let asked = asked
        .into_iter()
        .find(|(id, is_asked)| *is_asked || sent & (1 << id) != 0);
    let id = asked.map(|(id, _)| id);
    id.or_else(|| (sent != 0).then(|| sent.trailing_zeros()))
        .map(what)
}

/// What an interrupt of this number asks for.
const fn what(id: u32) -> &'static str {
    match id {
        KPREEMPT => "a preemption",
        SOFTINT => "a softint",
        XCALL => "a high-priority cross call",
        DEVICE => "the handler of a device",
        _ => "a function of ipi_register",
    }
}

/// The handler of the line. Panics: contract `ipi-handled`.
pub(crate) fn intr(ci: &'static Cpu) {
    let mut wanted = ci.ci_ipis.swap(0, Acquire);
    if wanted & (1 << KPREEMPT) != 0 {
        preempt(ci);
    }
    if wanted & (1 << SOFTINT) != 0 {
        looked_at(ci, SOFTINT);
        softint::remote_intr(ci);
    }
    if wanted & (1 << XCALL) != 0 {
        looked_at(ci, XCALL);
        xcall::ipi_handler(ci);
    }
    if wanted & (1 << DEVICE) != 0 {
        looked_at(ci, DEVICE);
        intr::take(ci);
    }
    if wanted & (1 << FOREIGN) != 0 {
        looked_at(ci, FOREIGN);
        hooks::call(ci, Hook::Xcall);
    }
    wanted >>= FIRST;
    while wanted != 0 {
        let id = FIRST + wanted.trailing_zeros();
        looked_at(ci, id);
        registered(ci.kernel(), id);
        wanted &= wanted - 1;
    }
    assert_all_looked_at(ci);
}

fn preempt(ci: &'static Cpu) {
    looked_at(ci, KPREEMPT);
    if sched::kpreempt_wanted(ci) {
        spl::want_kpreempt(ci);
    }
}

/// The handler has come to this interrupt.
fn looked_at(ci: &Cpu, id: u32) {
    if cfg!(feature = "contracts") {
        ci.ci_ipis_owed.fetch_and(!(1 << id), Bare);
    }
}

/// The handler is about to return. What was sent since is not taken yet.
///
/// Panics (contract `ipi-handled`) if it has passed one over. Only on a machine on which CPUs take turns: on any other a sender may have set
/// one word and not yet the other.
fn assert_all_looked_at(ci: &Cpu) {
    if cfg!(feature = "contracts") && machine::takes_turns() {
        let left = ci.ci_ipis_owed.load(Bare) & !ci.ci_ipis.peek();
        contract!(
            left == 0,
            "ipi-handled",
            "cpu{} was asked for {}, the interrupt that told it so was taken, and its handler has passed that over",
            ci.index(),
            what(left.trailing_zeros())
        );
    }
}

#[cold]
fn registered(kernel: &Kernel, id: u32) {
    let Some(intr) = kernel.ipis.intr(id) else {
        return;
    };
    if let Some(func) = intr.func.get() {
        func(intr.arg.get());
    }
}
