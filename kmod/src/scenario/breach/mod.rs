//! Programs that break one contract each, on purpose.
//!
//! # Overview
//!
//! A contract that nothing ever breaks may not be checked at all. So every contract of this crate has a [`Breach`]
//! here: a few lines that use a primitive in one wrong way. Each is a scenario of its own, named `breach-` and the
//! contract, which can be run, replayed and explained like any other. A snapshot has all of them with their messages.
//! The test that makes the snapshot also fails if a contract has no breach.
//!
//! # How to write one
//!
//! Add an entry to the table in the file of the primitive. It has the contract (followed by a word if it is not the
//! contract's only breach), a sentence without its subject that says what the program does, and the program, which a
//! thread on CPU 0 of two runs. `softint`, `interrupt` and `thread` run code in other contexts. The program makes
//! only calls that other code of the kernel could make; for internal contracts it makes calls that the kernel makes.
//! It never writes to the inside of a primitive. If no call can break a contract, [`EXCEPTIONS`] says why.
//!
//! Code after the breach does not run: the kernel has stopped.

use crate::config::Config;
use crate::kern::cpu::Cpu;
use crate::kern::ipi::{ipi_register, ipi_trigger};
use crate::kern::kthread::{Options, kthread_create};
use crate::kern::lwp::{Arg, Lwp, curcpu, curlwp};
use crate::kern::spl::Ipl;
use crate::kern::synch::{self, kpause};
use crate::kernel::Kernel;
use crate::scenario::classics::{free_data, shared};
use crate::scenario::{FIXED, Kind, Scenario, actor, share};

mod boot;
mod callout;
mod condvar;
mod interrupt;
mod kmem;
mod kthread;
mod llatbl;
mod localcount;
mod mbuf;
mod mutex;
mod net;
mod pcq;
mod percpu;
mod pserialize;
mod pslist;
mod psref;
mod rwlock;
mod sched;
mod sema;
mod softint;
mod workqueue;
mod xcall;

/// A program that breaks a contract.
#[derive(Debug)]
pub struct Breach {
    /// The contract.
    pub contract: &'static str,
    /// The file of this folder that defines it. Reports blame this file, or the primitive's own.
    pub file: &'static str,
    /// The program. Its summary says what it does wrong.
    pub scenario: Scenario,
}

/// Every breach, by primitive.
static ALL: &[&[Breach]] = &[
    boot::BREACHES,
    interrupt::BREACHES,
    sched::BREACHES,
    kthread::BREACHES,
    mutex::BREACHES,
    rwlock::BREACHES,
    condvar::BREACHES,
    sema::BREACHES,
    callout::BREACHES,
    softint::BREACHES,
    xcall::BREACHES,
    workqueue::BREACHES,
    pcq::BREACHES,
    kmem::BREACHES,
    percpu::BREACHES,
    pserialize::BREACHES,
    pslist::BREACHES,
    psref::BREACHES,
    localcount::BREACHES,
    net::BREACHES,
    mbuf::BREACHES,
    llatbl::BREACHES,
];

/// Contracts that no call can break, and why.
pub const EXCEPTIONS: &[(&str, &str)] = &[
    (
        "callout-early",
        "softclock alone decides when a callout runs; a caller can only change when it is due",
    ),
    ("callout-late", "likewise"),
    (
        "c-argument",
        "only code in another language can pass such an argument: the types of Rust rule it out",
    ),
    (
        "bpf-listed",
        "only bpf marks taps, and takes them off their list, under one lock",
    ),
    (
        "ipi-handled",
        "the handler of the interrupt looks at every kind that there is; callers can only send one",
    ),
    (
        "kassert",
        "only code in another language has such assertions",
    ),
    (
        "llentry-asked",
        "only ARP counts the requests of an entry, and the answer that makes its address known sets the count to 0",
    ),
    (
        "localcount-overflow",
        "it takes 4294967295 references, each made by localcount_acquire",
    ),
    (
        "pktq-barrier",
        "a barrier counts the markers and removes them with pq_lock held, and returns when it has removed all of its own",
    ),
    (
        "panic",
        "only code in another language calls it: a panic of Rust is reported as one",
    ),
    (
        "percpu-range",
        "an offset is returned when every buffer reaches it, which a cross call has ensured: its contract (xcall-early) is broken first",
    ),
    (
        "queue-order",
        "the insertion chooses the place of an LWP by its priority, which does not change while it is on a queue",
    ),
    (
        "sleep-timeout",
        "an LWP halts the timeout of a sleep before it can begin another",
    ),
    (
        "softint-rank",
        "only spl dispatches what is pending, and callers can only add to that",
    ),
    (
        "switch-first",
        "only mi_switch chooses who runs next, with the run queue locked",
    ),
    (
        "turnstile-given",
        "an LWP joins the queue of a turnstile only in turnstile_block, which takes its own turnstile from it",
    ),
    (
        "workqueue-generation",
        "only the worker of a queue changes the queue's generation, and a queue has one worker",
    ),
    (
        "xcall-early",
        "xc_wait returns by counts that no caller can change; only the old cross calls (xcall-early-count) break it, in some schedules",
    ),
];

/// Every breach.
pub fn all() -> impl Iterator<Item = &'static Breach> {
    ALL.iter().copied().flatten()
}

/// A line of a table of breaches: see the header of this module. Fields of the scenario may follow.
macro_rules! breach {
    ($contract:literal $(, $which:literal)?: $what:literal, $run:expr $(, $field:ident: $value:expr)*) => {
        $crate::scenario::breach::Breach {
            contract: $contract,
            file: file!(),
            scenario: $crate::scenario::Scenario {
                $($field: $value,)*
                ..$crate::scenario::breach::scenario(
                    concat!("breach-", $contract $(, "-", $which)?),
                    $what,
                    |kernel| $crate::scenario::breach::start(kernel, $run),
                )
            },
        }
    };
}
use breach;

const fn scenario(
    name: &'static str,
    summary: &'static str,
    setup: fn(&'static Kernel),
) -> Scenario {
    Scenario {
        name,
        summary,
        about: "Breaks a contract on purpose, and nothing else: to see that it is checked, and what it says.",
        variants: &[FIXED],
        min_cpus: 1,
        default_cpus: 2,
        kind: Kind::Breach,
        configure: |_: &mut Config| {},
        setup,
        verify: |_| {},
        teardown: free_data::<fn()>,
    }
}

/// The setup of a breach: one thread that runs it.
fn start(kernel: &'static Kernel, run: fn()) {
    let run = share("breach", run);
    kernel.set_data(Arg::of(run));
    actor(
        kernel,
        "culprit",
        0,
        |run| shared::<fn()>(run)(),
        Arg::of(run),
    );
}

/// The CPU that the caller is not on.
fn other_cpu() -> &'static Cpu {
    let here = curcpu();
    here.kernel().cpu(1 - here.index())
}

/// Another thread, which runs `func(arg)` on that CPU.
#[track_caller]
fn thread(name: &str, cpu: usize, func: fn(Arg), arg: Arg) -> &'static Lwp {
    let options = Options {
        cpu: Some(cpu),
        ..Options::default()
    };
    create(name, &options, func, arg)
}

/// A thread with given options.
#[track_caller]
fn create(name: &str, options: &Options, func: fn(Arg), arg: Arg) -> &'static Lwp {
    let kernel = curlwp().kernel();
    match kthread_create(kernel, options, func, arg, format_args!("{name}")) {
        Some(l) => l,
        None => unreachable!("there is memory for a thread"),
    }
}

/// Runs `func(arg)` in a softint, on top of the caller.
#[track_caller]
fn softint(level: Ipl, func: fn(Arg), arg: Arg) {
    if let Some(softint) = crate::kern::softint::establish(level, func, arg) {
        synch::kpreempt_disable();
        crate::kern::softint::schedule(softint);
        synch::kpreempt_enable();
    }
}

/// Runs `func(arg)` in a hard interrupt, on the other CPU.
#[track_caller]
fn interrupt(func: fn(Arg), arg: Arg) {
    if let Some(id) = ipi_register(func, arg) {
        synch::kpreempt_disable();
        ipi_trigger(id, other_cpu());
        synch::kpreempt_enable();
    }
    pause(1);
}

/// Sleeps, so that others run.
#[track_caller]
fn pause(ticks: u32) {
    kpause("breach", ticks, None);
}
