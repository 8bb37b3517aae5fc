//! The scenarios: programs that each test or demonstrate one thing.
//!
//! # Overview
//!
//! A scenario is a few *actors* (threads of the kernel), the data they share, and a check. The same program runs on
//! the simulated machine, in the fuzzer and on the booted machine. It does not know the outcome; it checks what the
//! primitives guarantee ([`promise`]). It never asks which variant runs, with one exception: a program that
//! re-creates a bug of another kernel has the old code of that program beside the new ([`ports`], [`runs`]).
//!
//! # How to write one
//!
//! * `setup` allocates what the actors share ([`share`]), stores it with [`Kernel::set_data`], and creates the actors
//!   ([`actor`]). It runs at boot, or between two rounds: it must not sleep.
//! * The actors use the primitives like any code of the kernel.
//! * `verify` runs when all actors have finished, and stops the kernel ([`broken_promise`]) if something is wrong;
//!   `teardown` frees the memory.
//! * Add it to [`ALL`].
//!
//! `docs/scenarios.md` has an example.

use core::fmt;

use crate::config::{Config, Wiring};
use crate::contract;
use crate::history::{History, Own};
use crate::kern::kthread::{self, Options};
use crate::kern::lwp::{Arg, Lwp, Stat, curlwp, pri};
use crate::kern::percpu::arena;
use crate::kern::psref::PsrefClass;
use crate::kern::softint::LEVELS;
use crate::kern::spl::Ipl;
use crate::kern::{kmem, sched, xcall};
use crate::kernel::Kernel;
use crate::machine::{self, Occasion, Stop};
use crate::mem::{AcqRel, Acquire, AtomicU32, Relaxed};
use crate::net::mbuf;

use rounds::Rounds;

pub mod alive;
pub mod arp;
pub mod atomics;
pub mod backstop;
pub mod bind_vs_migration;
#[cfg(feature = "contracts")]
pub mod breach;
pub mod callout;
pub mod callout_halt;
pub mod callout_reset_leak;
pub mod classics;
pub mod completion;
pub mod condvar;
pub mod drain_vs_perform;
pub mod epoch;
pub mod first_come;
pub mod handler;
pub mod held;
pub mod ifdetach_vs_arptimer;
pub mod inet;
pub mod key;
pub mod localcount;
pub mod lookup;
pub mod lost_wakeup;
pub mod memory;
pub mod mutex;
pub mod neighbour;
pub mod net;
pub mod nic_loop;
pub mod ops;
pub mod pcq;
pub mod percpu;
pub mod perform_vs_callout;
pub mod ports;
pub mod promise;
pub mod provoke;
pub mod pserialize;
pub mod pslist;
pub mod psref;
pub mod put_off;
pub mod rounds;
pub mod rwlock;
pub mod sema;
pub mod sleep_ticks;
pub mod softint;
pub mod softint_establish;
pub mod softnet;
pub mod styles;
pub mod timeslice;
pub mod workqueue;
pub mod xcall_early_count;

/// A named choice of historical code.
#[derive(Debug)]
pub struct Variant {
    /// The name on the command line.
    pub name: &'static str,
    /// One line for lists.
    pub summary: &'static str,
    /// The old code that runs.
    pub history: History,
    /// Code of the scenario's own that runs: see [`runs`].
    pub own: Own,
    /// The wiring of cross calls with which it shows its bug; `None`: either.
    pub xcall: Option<Wiring>,
    /// Whether the network stack is NET_MPSAFE, if that matters.
    pub net_mpsafe: Option<bool>,
    /// Whether it must fail. Otherwise it must hold, as the current code does.
    pub fails: bool,
}

impl Variant {
    /// The wirings with which it shows its bug.
    pub const fn wirings(&self) -> &'static [Wiring] {
        match self.xcall {
            None => &Wiring::ALL,
            Some(Wiring::Native) => &[Wiring::Native],
            Some(Wiring::Rump) => &[Wiring::Rump],
        }
    }
}

/// The current code.
pub const FIXED: Variant = Variant {
    name: "fixed",
    summary: "the current code",
    history: History::NONE,
    own: Own::NONE,
    xcall: None,
    net_mpsafe: None,
    fails: false,
};

/// The common parts of the programs that are no scenarios of this kernel's own primitives: [`ports`] and [`styles`].
pub(crate) const PORTED: Scenario = Scenario {
    name: "",
    summary: "",
    about: "",
    variants: &[FIXED],
    min_cpus: 1,
    default_cpus: 2,
    kind: Kind::Ported,
    configure: |_| {},
    setup: |_| {},
    verify: |_| {},
    teardown: |_| {},
};

/// The current code in the older scheme of locking, without NET_MPSAFE.
pub const SOFTNET_LOCK: Variant = Variant {
    name: "softnet-lock",
    summary: "the current code with softnet_lock around the protocols, as without NET_MPSAFE",
    net_mpsafe: Some(false),
    ..FIXED
};

/// What a failure of a scenario means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// It must hold in the variant `fixed`.
    Sound,
    /// The same, for a program after a bug report of another kernel, or in the style of one. It is booted only where that is asked for: that it
    /// fails there takes luck.
    Ported,
    /// It is a broken program, for teaching and for benchmarks.
    Broken,
    /// It breaks a contract on purpose.
    Breach,
    /// It deliberately causes a processor fault, or never ends, to test the reports.
    Fault,
    /// It uses a network card: for the booted machine only.
    Net,
}

impl Kind {
    /// Whether it runs on the booted machine only.
    pub const fn only_booted(self) -> bool {
        matches!(self, Kind::Net)
    }

    /// Whether it must hold in the variant `fixed`.
    pub const fn must_hold(self) -> bool {
        matches!(self, Kind::Sound | Kind::Ported)
    }
}

/// A program and its check.
#[derive(Debug)]
pub struct Scenario {
    /// The name on the command line.
    pub name: &'static str,
    /// One line for lists.
    pub summary: &'static str,
    /// What it does and what it shows, a paragraph or two.
    pub about: &'static str,
    /// Its variants. The first is `fixed`.
    pub variants: &'static [Variant],
    /// Minimum number of CPUs.
    pub min_cpus: usize,
    /// Default number of CPUs.
    pub default_cpus: usize,
    /// What a failure means.
    pub kind: Kind,
    /// Changes the configuration to what it needs. Options of the command line may change it again.
    pub configure: fn(&mut Config),
    /// Creates the actors and the data they share. Must not sleep.
    pub setup: fn(&'static Kernel),
    /// Checks what must hold when all actors have finished.
    pub verify: fn(&'static Kernel),
    /// Frees what `setup` allocated.
    pub teardown: fn(&'static Kernel),
}

impl Scenario {
    /// The default configuration for this scenario and `variant`; `usual` is that of other scenarios.
    pub fn config(&self, usual: Config, variant: &Variant) -> Config {
        let mut config = usual;
        config.history = variant.history;
        config.own = variant.own;
        config.xcall = variant.xcall.unwrap_or(config.xcall);
        config.net_mpsafe = variant.net_mpsafe.unwrap_or(config.net_mpsafe);
        (self.configure)(&mut config);
        config
    }

    /// The variant with this name.
    pub fn variant(&self, name: &str) -> Option<&'static Variant> {
        self.variants.iter().find(|v| v.name == name)
    }
}

/// Every scenario, but for the breaches of contracts.
pub static ALL: &[&Scenario] = &[
    &xcall_early_count::SCENARIO,
    &perform_vs_callout::SCENARIO,
    &drain_vs_perform::SCENARIO,
    &bind_vs_migration::SCENARIO,
    &callout_reset_leak::SCENARIO,
    &ifdetach_vs_arptimer::SCENARIO,
    &pserialize::GRACE,
    &pslist::TRAVERSE,
    &pslist::RESUME,
    &ops::SCENARIO,
    &percpu::MOVES,
    &percpu::FOREACH,
    &localcount::DRAIN,
    &localcount::MIGRATES,
    &psref::DRAIN,
    &psref::SOFTINT,
    &psref::COPY,
    &psref::STARVED,
    &rwlock::EXCLUSION,
    &rwlock::WRITER_NOT_STARVED,
    &rwlock::HANDOFF,
    &rwlock::ANSWERS,
    &workqueue::ONCE,
    &workqueue::WAIT,
    &pcq::FIFO,
    &pcq::NOTIFY,
    &timeslice::SCENARIO,
    &callout::DUE,
    &callout::ANSWERS,
    &callout_halt::SCENARIO,
    &condvar::SIGNAL,
    &condvar::BROADCAST,
    &backstop::LATE,
    &softint::ONCE,
    &softint::LEVELS_MASK,
    &softint_establish::SCENARIO,
    &put_off::SCENARIO,
    &sleep_ticks::SCENARIO,
    &first_come::SIGNAL,
    &first_come::HANDOFF,
    &mutex::EXCLUSION,
    &mutex::SLEEPERS_WAKE,
    &sema::UNITS,
    &completion::FREES,
    &epoch::FREES,
    &epoch::ORDER,
    &atomics::WHOLE,
    &arp::STATES,
    &arp::EXPIRY,
    &arp::RENEWED,
    &net::pktqueue::PKTQUEUE,
    &net::pktq_destroy::PKTQ_DESTROY,
    &net::in_order::IN_ORDER,
    &net::echo::ECHO,
    &net::ifdetach::IFDETACH,
    &net::ifindex::IFINDEX,
    &net::shutdown::SHUTDOWN,
    &net::routes::ROUTES,
    &net::taps::TAPS,
    &net::storm::STORM,
    &softnet::SCENARIO,
    &ports::descriptor_close::SCENARIO,
    &ports::waiter_forgets::SCENARIO,
    &ports::note_scan::SCENARIO,
    &ports::cv_references::SCENARIO,
    &ports::work_cancel::SCENARIO,
    &ports::flush_marker::SCENARIO,
    &ports::interrupt_thread::SCENARIO,
    &ports::thread_handle::SCENARIO,
    &ports::timer_lock::SCENARIO,
    &ports::timer_rearms::SCENARIO,
    &ports::llentry_timer::SCENARIO,
    &ports::percpu_refs::SCENARIO,
    &ports::refcount_release::SCENARIO,
    &ports::idle_halt::SCENARIO,
    &ports::runqueue_interrupt::SCENARIO,
    &ports::poll_list::SCENARIO,
    &ports::spin_order::SCENARIO,
    &ports::queue_full::SCENARIO,
    &ports::upgrade_bit::SCENARIO,
    &styles::spin_loops::SCENARIO,
    &styles::globals::SCENARIO,
    &styles::heap::SCENARIO,
    &styles::lent_words::SCENARIO,
    &classics::LOST_UPDATE,
    &classics::ABBA,
    &classics::UNRELATED_LOCK,
    &lost_wakeup::LOST_WAKEUP,
    &rwlock::ABBA,
    &held::RWLOCK,
    &held::LOCALCOUNT,
    &held::PSREF,
    &held::WORKQUEUE,
    &provoke::FAULT,
    &provoke::OVERFLOW,
    &provoke::UNDERFLOW,
    &provoke::HANG,
    &provoke::LOOP,
    &nic_loop::SCENARIO,
    &net::steady::STEADY,
    &net::wire::WIRE,
    &net::two_kernels::TWO_KERNELS,
    &net::serve::SERVE,
];

/// Allocates data that actors share. For `setup`.
///
/// Panics (contract `scenario-memory`) if there is no memory.
pub fn share<T>(what: &'static str, value: T) -> &'static T {
    match kmem::kmem_alloc(what, value) {
        Some(shared) => shared,
        None => machine::stop(
            Stop::Contract("scenario-memory"),
            format_args!("no memory for {what}"),
        ),
    }
}

/// Creates a class of passive references at boot.
pub fn psref_class(name: &'static str, ipl: Ipl) -> PsrefClass {
    match PsrefClass::create(name, ipl) {
        Some(class) => class,
        None => machine::stop(
            Stop::Contract("scenario-memory"),
            format_args!("no memory for the class {name}"),
        ),
    }
}

/// Creates an actor that runs `func(arg)`, starting on CPU `cpu` (modulo the number of CPUs). For `setup`.
pub fn actor(kernel: &'static Kernel, name: &str, cpu: usize, func: fn(Arg), arg: Arg) {
    actor_with(
        kernel,
        name,
        Options {
            begin_on: cpu,
            ..actor_options()
        },
        func,
        arg,
    );
}

/// The default options of actors: ordinary threads that may be moved.
pub fn actor_options() -> Options {
    Options {
        priority: pri::USER,
        at_rest: true,
        actor: true,
        ..Options::default()
    }
}

/// [`actor`] with other options, based on [`actor_options`].
pub fn actor_with(kernel: &'static Kernel, name: &str, options: Options, func: fn(Arg), arg: Arg) {
    // The thread runs a wrapper, which finds the actor's function in its record.
    let record = share("actor", Actor { func, arg });
    of(kernel).actors.fetch_add(1, Relaxed);
    let created = kthread::kthread_create(
        kernel,
        &options,
        run_actor,
        Arg::of(record),
        format_args!("{name}"),
    );
    if created.is_none() {
        machine::stop(
            Stop::Contract("scenario-memory"),
            format_args!("no memory for the actor {name}"),
        );
    }
}

/// Whether this piece of the scenario's own code runs: for the one place where a variant of it differs from the other.
///
/// Context: any. No primitive and no check may ask.
pub fn runs(piece: Own) -> bool {
    curlwp().kernel().config().own.has(piece)
}

/// Creates a thread that runs `func(arg)`, beginning on CPU `cpu` (modulo their number): for actors, which end it with
/// [`kthread_join`](kthread::kthread_join).
///
/// Context: thread that may sleep, or `setup`. Tries again while there is no memory ([`memory::obtain`]).
/// [`ports::thread_handle`] has an example.
pub fn thread(name: &str, cpu: usize, func: fn(Arg), arg: Arg) -> &'static Lwp {
    let options = Options {
        begin_on: cpu,
        must_join: true,
        ..Options::default()
    };
    let kernel = curlwp().kernel();
    memory::obtain("a thread", || {
        kthread::kthread_create(kernel, &options, func, arg, format_args!("{name}"))
    })
}

struct Actor {
    func: fn(Arg),
    arg: Arg,
}

fn run_actor(record: Arg) {
    // SAFETY: `actor_with` gave the record, which only this thread uses from then on.
    let record: &'static Actor = unsafe { record.get() };
    let (func, arg) = (record.func, record.arg);
    // SAFETY: it came from `kmem_alloc`, and was read for the last time.
    unsafe { kmem::kmem_free(record) };
    machine::happened(Occasion::ActorBegins);
    func(arg);
    machine::happened(Occasion::ActorEnds);
    let kernel = curlwp().kernel();
    if of(kernel).actors.fetch_sub(1, AcqRel) == 1 {
        rounds::actors_ended(kernel);
    }
}

/// A scenario that a kernel runs.
pub(crate) struct Running {
    scenario: &'static Scenario,
    /// Actors that have not finished.
    actors: AtomicU32,
    pub(crate) rounds: Rounds,
}

crate::fields!(Running { actors });

/// Attaches a scenario to a kernel, at boot. `None`: there is no memory.
pub(crate) fn attach(kernel: &'static Kernel, scenario: &'static Scenario) -> Option<()> {
    let running = kmem::boot_alloc(
        "scenario",
        Running {
            scenario,
            actors: AtomicU32::new(0),
            rounds: Rounds::new(),
        },
    )?;
    machine::label(running, format_args!("scenario"));
    kernel.attach_scenario(Arg::of(running));
    Some(())
}

/// The scenario that this kernel runs, and its state.
fn of(kernel: &Kernel) -> &'static Running {
    // SAFETY: `attach` stored it at boot, and it lives as long as the kernel.
    unsafe { kernel.scenario().get() }
}

/// The scenario that this kernel runs.
pub fn scenario_of(kernel: &Kernel) -> &'static Scenario {
    of(kernel).scenario
}

/// Creates the actors and their data, at boot. A separate function, with a current LWP: see
/// [`machine::Machine::word`].
///
/// Panics: contract `scenario-cpus`.
#[inline(never)]
pub(crate) fn set_up(kernel: &'static Kernel) {
    let scenario = of(kernel).scenario;
    let ncpu = kernel.cpus().len();
    contract!(
        ncpu >= scenario.min_cpus,
        "scenario-cpus",
        "the scenario {} needs {} CPUs, and the machine has {ncpu}",
        scenario.name,
        scenario.min_cpus
    );
    crate::kern::softint::keep(kernel);
    machine::happened(Occasion::SetUp);
    (scenario.setup)(kernel);
    machine::happened(Occasion::SetUpOver);
}

/// Starts the actors.
pub(crate) fn release(kernel: &'static Kernel) {
    for l in kernel.lwps() {
        let lock = l.lock();
        if l.l_actor.get_fused() && l.l_stat.get() == Stat::Idl {
            sched::setrunnable(l);
        } else {
            lock.spin_exit();
        }
    }
}

/// Whether all actors have finished.
pub(crate) fn finished(kernel: &'static Kernel) -> bool {
    of(kernel).actors.load_fused(Acquire) == 0
}

/// Runs the scenario's check and its teardown, and checks that it has freed everything.
pub(crate) fn verify(kernel: &'static Kernel) {
    let scenario = of(kernel).scenario;
    (scenario.verify)(kernel);
    (scenario.teardown)(kernel);
    // Freed packets are cached for reuse; they are not leaks.
    mbuf::drain_at_rest(kernel);
    kmem::verify(kernel);
    arena::verify(kernel);
    crate::kern::softint::verify(kernel);
    crate::kern::intr::verify(kernel);
}

/// Stops the kernel because an assertion of the scenario failed. `promise` is its name.
#[track_caller]
pub fn broken_promise(promise: &'static str, message: fmt::Arguments<'_>) -> ! {
    machine::stop(Stop::Oracle(promise), message)
}

/// Waits for what the actors left running: cross calls that nobody waits for, and softints.
pub(crate) fn quiesce() {
    // A softint of each level runs after those that are queued. The highest first: an interrupt that requests several
    // levels has queued all of them when the highest runs.
    for level in LEVELS.into_iter().rev() {
        xcall::native_barrier(level);
    }
    xcall::barrier(xcall::Priority::Low);
}
