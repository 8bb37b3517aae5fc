//! The operation language: programs that fuzzers generate and replay files contain.
//!
//! # Overview
//!
//! A program is a list of operations for each of a few LWPs, over a small world of shared objects (`world`). Every
//! program respects the contracts: an operation that its LWP must not perform in its current state (for example,
//! taking a second lock out of order) does nothing. So anything that breaks is the fault of a primitive, or of this
//! interpreter.
//!
//! # Text
//!
//! One operation per line: the name of its [`Form`] and its operands, as in `callout_reset 2`. [`Op::decode`] gives
//! every three bytes a meaning, and [`forms`] gives every operation a text. A program that is decoded from bytes or
//! generated at random uses only a few [`Topics`], so that related operations meet more often (swarm testing).
//!
//! # What is checked
//!
//! At each operation: a bound LWP is on its CPU, sections exclude each other, a callout does not run after
//! `callout_halt`, cross calls have run when their wait returns. At the end: nothing was lost (counts, tokens,
//! softints, references), all locks are free, and all memory was freed.

use crate::config::{Config, Wiring};
use crate::history::{Bug, History};
use crate::kern::lwp::Arg;
use crate::kernel::Kernel;
use crate::scenario::classics::shared;
use crate::scenario::{FIXED, Kind, Scenario, Variant, actor, scenario_of, share, softnet};

mod arp;
pub(crate) mod form;
mod inet;
mod interpreter;
mod key;
mod localcount;
mod pcq;
mod percpu;
mod program;
mod psref;
pub(crate) mod runner;
mod rwlock;
mod softint;
pub(crate) mod topic;
mod workqueue;
mod world;

pub use form::{Form, Operand, forms};
pub use program::{Op, Program, Script};
pub use topic::{Language, Topic, Topics};
use world::World;

/// Maximum number of LWPs in a program.
pub const MAX_LWPS: usize = 6;
/// Maximum number of operations per LWP.
pub const MAX_OPS: usize = 24;
/// Maximum number of CPUs that a program can ask for.
pub const MAX_CPUS: usize = 4;

/// Loads a program into a kernel whose scenario runs programs of its language.
///
/// Context: the host, before the actors run.
pub fn load(kernel: &'static Kernel, program: &Program) {
    match Language::of(scenario_of(kernel)) {
        Some(Language::Ops) => shared::<World>(kernel.data()).scripts.load(program),
        Some(Language::Softnet) => softnet::load(kernel, program),
        None => unreachable!("{} runs no programs", scenario_of(kernel).name),
    }
}

/// The interpreter of a program; without [`load`] the program is empty.
pub static SCENARIO: Scenario = Scenario {
    name: "ops",
    summary: "runs a program of operations over every primitive, from a hunt, a fuzzer or a replay file",
    about: "Up to six LWPs run lists of operations: locks, condition variables, cross calls, callouts, softints, \
            migrations, priorities, per-CPU storage, references of both kinds. Every program respects the \
            contracts, so anything that breaks is the fault of a primitive.",
    variants: VARIANTS,
    min_cpus: 1,
    default_cpus: 2,
    kind: Kind::Sound,
    // One for each LWP, besides those of the world.
    configure: |config: &mut Config| config.softint_handlers += MAX_LWPS,
    setup: |kernel| {
        let world = share("world", World::new());
        crate::machine::label(world, format_args!("world"));
        kernel.set_data(Arg::of(world));
        world.establish(kernel);
        for index in 0..MAX_LWPS {
            actor(
                kernel,
                runner::LWP_NAMES[index],
                index,
                interpreter::run,
                Arg(index),
            );
        }
    },
    verify: |kernel| shared::<World>(kernel.data()).verify(kernel),
    teardown: |kernel| {
        shared::<World>(kernel.data()).disestablish(kernel);
        crate::scenario::classics::free_data::<World>(kernel);
    },
};

/// Every historical variant: any of them may show in a generated program.
pub const VARIANTS: &[Variant] = &[
    FIXED,
    old("historical", Bug::XcallTailp.summary(), &[Bug::XcallTailp]),
    old("as-told", Bug::XcallDonep.summary(), &[Bug::XcallDonep]),
    old(
        "perform-vs-callout",
        "the variant historical of the scenario of that name",
        &[Bug::PserializeKpause, Bug::PurgeHoldsSoftnetLock],
    ),
    Variant {
        xcall: Some(Wiring::Rump),
        ..old(
            "drain-vs-perform",
            "the variant historical of the scenario of that name",
            &[Bug::PerformHoldsMutex],
        )
    },
    old(
        "bind-vs-migration",
        "the variant historical of the scenario of that name",
        &[Bug::SwitchIgnoresBound],
    ),
    old(
        "callout-reset-leak",
        "the variant historical of the scenario of that name",
        &[Bug::ArpSettimer],
    ),
];

pub(crate) const fn old(name: &'static str, summary: &'static str, bugs: &[Bug]) -> Variant {
    let mut history = History::NONE;
    let mut index = 0;
    while index < bugs.len() {
        history = history.with(bugs[index]);
        index += 1;
    }
    Variant {
        name,
        summary,
        history,
        xcall: None,
        net_mpsafe: None,
        fails: true,
        ..FIXED
    }
}
