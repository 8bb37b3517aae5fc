//! The simulated machine: CPUs, interrupts, a clock and memory inside one host thread.
//!
//! # Overview
//!
//! A [`Machine`] boots a kernel once, up to the moment before its actors begin, and keeps an *image* of that moment.
//! Every [`run`](Machine::run) begins by putting the image back, and lets a [`Strategy`] choose what happens at each
//! point. A run depends on the image and on what was chosen, and on nothing else: the deviations from the
//! machine's [default](crate::schedule::Deviation) say all of it.
//!
//! | module | what it is |
//! |---|---|
//! | `engine` | the state, and how CPUs take turns on one thread |
//! | `decide` | the decisions: the default, the strategy, interrupts, spinning |
//! | `access` | the checks of each access, and what is recorded |
//! | `memory`, `shadow`, `clock` | the arena, what is known of each address, vector clocks |
//! | `context` | coroutines on pooled stacks |
//! | `host` | the hypercalls |
//! | `guest` | the entries of what runs |
//! | `lines`, `cpu` | interrupt lines, CPUs |
//! | `cards` | network cards, and the wire that joins them |
//! | `counters` | what a fuzzer sees of a run; for the fuzz targets only |
//! | `label`, `trace`, `waits` | names, the trace, and who waits for whom at its end |
//!
//! # What is checked
//!
//! At every access: data races between plain accesses by happens-before, whatever the values; use of memory that is not
//! allocated, or no longer; memory given back twice. Of every run: that it comes to its end. What the kernel checks by
//! itself (contracts, oracles, leaks) ends a run likewise.
//!
//! # What is not
//!
//! Memory is sequentially consistent: orderings are *checked* and have no effect on values. Accesses past the
//! cells are not seen. An atomic access is not checked against the free of its memory unless the free comes first.
//!
//! # At rest
//!
//! When no CPU can step and nothing is asserted, the kernel is asked what it waits for. Actors at their end: the
//! scenario's checks run, and the run has passed. The clock: every CPU ticks, and virtual time goes on, up to
//! [`IDLE_TICKS`] times without an actor going on. Nothing that can come: the run has failed with a deadlock.

mod access;
mod cards;
mod clock;
mod context;
#[cfg(feature = "sanitizer")]
mod counters;
mod cpu;
mod decide;
mod engine;
mod failure;
mod guest;
mod host;
mod label;
mod lines;
mod mapping;
mod memory;
mod panics;
mod shadow;
#[cfg(test)]
mod tests;
mod trace;
mod view;
mod waits;
mod words;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use kmod::config::Config;
use kmod::entry::Idle;
use kmod::kern::order::{Dependency, Lost};
use kmod::scenario::Scenario;
use kmod::scenario::ops::Program;

use crate::schedule::Deviation;
use crate::strategy::{Fair, Replay, Strategy};
use crate::wire::Wire;
use engine::{Engine, Halted, Image, Request};
use guest::{Guest, Kmod};

pub use cards::Sent;
pub use cpu::Pending;
pub use failure::{Failure, FailureKind, Limits, Outcome, Side, Sides, Verdict};
pub(crate) use trace::place;
pub use trace::{Access, Hold, Layer, PointName, Recording, TraceEvent, What};
pub use view::{View, members};
pub use waits::{Cycle, NodeKind, WaitEdge, WaitGraph, WaitNode, Waiter};
pub use words::Word;

/// Ticks at rest, without any actor going on, after which the machine believes that none ever will.
pub const IDLE_TICKS: u64 = 20_000;

/// Points after which it no longer matters how much longer a run is.
const LONGEST: u64 = 20_000;

/// What a machine boots.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// The program.
    pub scenario: &'static Scenario,
    /// CPUs and knobs.
    pub config: Config,
    /// Whether runs are to be traced, which makes them some hundred times slower.
    pub trace: bool,
}

/// A simulated machine. It can boot many kernels, one after another; each thread can have many machines.
pub struct Machine {
    engine: Box<Engine>,
    guest: Option<Box<dyn Guest>>,
    image: Option<Image>,
    program: Option<Program>,
    /// Points of a run by the default, as soon as somebody has asked.
    length: Option<u64>,
    /// What is recorded of every run.
    recording: Recording,
    deviations: Vec<Deviation>,
    events: Vec<TraceEvent>,
}

impl Default for Machine {
    fn default() -> Self {
        Machine::new()
    }
}

impl Machine {
    /// A machine without a kernel.
    ///
    /// # Panics
    ///
    /// If the process has no address space left: a machine reserves about half a gigabyte of it, and uses little.
    pub fn new() -> Machine {
        panics::install();
        Machine {
            engine: Box::new(Engine::new()),
            guest: None,
            image: None,
            program: None,
            length: None,
            recording: Recording::Nothing,
            deviations: Vec::new(),
            events: Vec::new(),
        }
    }

    /// Boots a kernel, lets it come to rest, releases the actors of the scenario and takes the image of that.
    ///
    /// # Errors
    ///
    /// If the kernel fails meanwhile: then there is nothing to run.
    pub fn boot(&mut self, setup: &Setup) -> Result<(), Failure> {
        self.recording = Recording::of_setup(setup.trace);
        let Config { ncpu, nics, .. } = setup.config;
        self.boot_guest(ncpu, nics, &|| Box::new(Kmod::new(setup)))
    }

    fn boot_guest(
        &mut self,
        ncpu: usize,
        nics: usize,
        guest: &dyn Fn() -> Box<dyn Guest>,
    ) -> Result<(), Failure> {
        assert!(
            (1..=Config::MAXCPUS).contains(&ncpu),
            "a machine of {ncpu} CPUs"
        );
        match self.try_boot(ncpu, nics, guest(), Recording::Nothing) {
            // Once more, to find the other side.
            Err(failure) if names_two_sides(failure.kind) => {
                self.try_boot(ncpu, nics, guest(), Recording::Sites)
            }
            booted => booted,
        }
    }

    fn try_boot(
        &mut self,
        ncpu: usize,
        nics: usize,
        guest: Box<dyn Guest>,
        detail: Recording,
    ) -> Result<(), Failure> {
        self.image = None;
        self.program = None;
        self.length = None;
        let engine = &*self.engine;
        engine.clear(ncpu, nics, guest.interrupt(), detail);
        let booted = guarded(engine, || boot_to_rest(engine, &*guest));
        self.guest = Some(guest);
        if let Some(failure) = booted.or_else(|| failure_of(engine)) {
            return Err(failure);
        }
        self.image = Some(engine.take_image());
        Ok(())
    }

    /// The program that the actors of the scenario `ops` run in every run to come, until another kernel is booted.
    pub fn load(&mut self, program: &Program) {
        self.program = Some(*program);
        self.length = None;
    }

    /// How much is recorded of every run to come, until another kernel is booted: the less, the faster.
    pub fn record(&mut self, what: Recording) {
        self.recording = what;
    }

    /// What happens on the wire in every run to come, until another kernel is booted: by itself nothing but what the
    /// cards send.
    pub fn connect(&mut self, wire: &Wire) {
        self.engine.cards.load(wire);
        self.length = None;
    }

    /// Runs the scenario once, from the image to its end.
    ///
    /// # Panics
    ///
    /// If nothing was booted.
    pub fn run(&mut self, strategy: &mut dyn Strategy, limits: &Limits) -> Outcome {
        if strategy.wants_length() {
            strategy.expect(self.length());
        }
        let outcome = self.execute(strategy, limits, self.recording);
        let repeats = self.recording == Recording::Nothing;
        match &outcome.verdict {
            Verdict::Failed(failure) if repeats && names_two_sides(failure.kind) => {
                self.explain(outcome, limits)
            }
            _ => outcome,
        }
    }

    /// How many points a run by the default has.
    ///
    /// # Panics
    ///
    /// If nothing was booted.
    pub fn length(&mut self) -> u64 {
        if let Some(length) = self.length {
            return length;
        }
        let limits = Limits {
            steps: LONGEST,
            ..Limits::default()
        };
        let length = self.execute(&mut Fair, &limits, Recording::Nothing).points;
        self.length = Some(length);
        length
    }

    /// Repeats a failed run and records it, to find the other side of a race or of a free.
    fn explain(&mut self, outcome: Outcome, limits: &Limits) -> Outcome {
        let mut replay = Replay::new(self.deviations.clone());
        let explained = self.execute(&mut replay, limits, Recording::Sites);
        debug_assert_eq!(
            explained.points, outcome.points,
            "a run was repeated and went otherwise"
        );
        explained
    }

    fn execute(
        &mut self,
        strategy: &mut dyn Strategy,
        limits: &Limits,
        detail: Recording,
    ) -> Outcome {
        let (Some(image), Some(guest)) = (&self.image, &self.guest) else {
            panic!("a machine cannot run before it has booted")
        };
        let engine = &*self.engine;
        engine.prepare(image, strategy, limits, detail);
        #[cfg(feature = "sanitizer")]
        engine.has_program.set(self.program.is_some());
        let failure = guarded(engine, || {
            if let Some(program) = &self.program {
                engine.on_host(0, || guest.load(program));
                // Whoever runs it sees it.
                engine.memory(|memory| memory.order_all());
            }
            run_to_end(engine, &**guest);
        });
        engine.strategy.set(None);
        std::mem::swap(&mut *engine.deviations.borrow_mut(), &mut self.deviations);
        if detail == Recording::Trace {
            std::mem::swap(&mut engine.recorder.borrow_mut().events, &mut self.events);
        }
        let verdict = match failure {
            Some(failure) => Verdict::Failed(failure),
            None => engine.verdict.take().unwrap_or(Verdict::Passed),
        };
        Outcome {
            verdict,
            steps: engine.steps(),
            points: engine.points.get(),
            ticks: engine.clockwork.ticks.get(),
        }
    }

    /// Where the last run deviated from the default: with the image, that is the whole run.
    pub fn deviations(&self) -> &[Deviation] {
        &self.deviations
    }

    /// What happened in the last run. Empty unless the machine was booted to be traced.
    pub fn trace(&self) -> &[TraceEvent] {
        &self.events
    }

    /// What came onto the wire in the last run. Empty unless the machine was booted to be traced.
    pub fn sent(&self) -> Vec<Sent> {
        self.engine.cards.sent()
    }

    /// What was allocated in the last run and not given back, by what it is.
    pub fn live(&self) -> BTreeMap<&'static str, usize> {
        self.engine.memory(|memory| memory.live())
    }

    /// What the last run shows of the order in which resources are taken, if the kernel was booted to predict. Addresses
    /// are offsets, the same in every machine and, of what was there when the actors were released, in every run.
    pub fn dependencies(&self) -> Dependencies {
        let mut dependencies = Dependencies::default();
        let Some(guest) = &self.guest else {
            return dependencies;
        };
        let engine = &*self.engine;
        let offset = |address| {
            engine
                .memory(|memory| memory.offset(address))
                .unwrap_or(address)
        };
        let known = |offset| engine.memory(|memory| memory.is_of_image(offset));
        engine.failing.set(true);
        let failed = guarded(engine, || {
            dependencies.lost = engine.on_host(0, || {
                guest.order(&mut |dependency| {
                    let mut dependency = *dependency;
                    dependency.relocate(offset);
                    let lasting = dependency.is_of(known);
                    dependencies.list.push((dependency, lasting));
                })
            });
        });
        match failed {
            Some(_) => Dependencies::default(),
            None => dependencies,
        }
    }

    /// The wait-for graph of the kernel as the last run left it. Empty if the kernel failed to tell it.
    pub fn wait_graph(&self) -> WaitGraph {
        let mut graph = WaitGraph::default();
        let Some(guest) = &self.guest else {
            return graph;
        };
        let engine = &*self.engine;
        engine.failing.set(true);
        let failed = guarded(engine, || engine.on_host(0, || guest.tell(&mut graph)));
        match failed {
            Some(_) => WaitGraph::default(),
            None => graph,
        }
    }

    /// The wait-for graph of the kernel as the last run left it, as text.
    pub fn waits(&self) -> String {
        let Some(guest) = &self.guest else {
            return String::new();
        };
        let mut text = String::new();
        self.engine.failing.set(true);
        let engine = &*self.engine;
        let failed = guarded(engine, || {
            // Writing to a string cannot fail.
            let _ = engine.on_host(0, || guest.waits(&mut text));
        });
        match failed {
            Some(failure) => failure.to_string(),
            None => text,
        }
    }
}

/// What a run shows of the order in which resources are taken.
#[derive(Clone, Debug, Default)]
pub struct Dependencies {
    /// Each dependency, and whether all of it is the same in every run.
    pub list: Vec<(Dependency, bool)>,
    /// What was not recorded.
    pub lost: Lost,
}

/// Whether a failure of that kind has another side, earlier in the run.
fn names_two_sides(kind: FailureKind) -> bool {
    matches!(
        kind,
        FailureKind::DataRace | FailureKind::UseAfterFree | FailureKind::DoubleFree
    )
}

/// Runs `f` as the machine of this thread. Gives the failure if the kernel panicked; a run that ended on the host's
/// stack has left its verdict in the engine.
fn guarded(engine: &Engine, f: impl FnOnce()) -> Option<Failure> {
    let result = host::enter(engine, || catch_unwind(AssertUnwindSafe(f)));
    let payload = result.err()?;
    engine.forget_stack();
    if payload.is::<Halted>() {
        return None;
    }
    let panic = panics::take();
    let (message, location) = match panic {
        Some(panic) => (panic.message, panic.location),
        None => (
            "the kernel unwound without a panic".to_owned(),
            String::new(),
        ),
    };
    let cpu = engine.cpu.get();
    Some(Failure {
        kind: FailureKind::Panic,
        rule: "panic".to_owned(),
        message,
        location,
        cpu,
        context: engine.context_name(cpu),
        sides: None,
    })
}

fn failure_of(engine: &Engine) -> Option<Failure> {
    match engine.verdict.take() {
        Some(Verdict::Failed(failure)) => Some(failure),
        Some(Verdict::Passed) | None => None,
    }
}

/// Boots, lets every CPU run until it waits, and releases the actors.
fn boot_to_rest(engine: &Engine, guest: &dyn Guest) {
    engine.on_host(0, || guest.boot());
    engine.start(|cpu| guest.idle_context(cpu));
    loop {
        match engine.request.get() {
            Request::Go => engine.turn(),
            Request::Decide => engine.decide_on_host(),
            Request::Stop => return,
            Request::Rest => break,
        }
    }
    if engine.spinners.get() != 0 {
        engine.fail(
            FailureKind::Livelock,
            "boot-spin",
            "a CPU spins for ever before any actor was released".to_owned(),
            None,
        );
    }
    engine.on_host(0, || guest.release());
    // Its idle loop looks again, as after an interrupt.
    engine.set_runnable(0);
}

/// Runs until the run has ended.
fn run_to_end(engine: &Engine, guest: &dyn Guest) {
    loop {
        match engine.request.get() {
            Request::Go => engine.turn(),
            Request::Decide => engine.decide_on_host(),
            Request::Stop => return,
            Request::Rest => rest(engine, guest),
        }
    }
}

/// Nobody can step, and nothing is asserted.
fn rest(engine: &Engine, guest: &dyn Guest) {
    let clockwork = &engine.clockwork;
    let progress = guest.progress();
    if clockwork.progress.replace(progress) != progress {
        clockwork.idle_ticks.set(0);
    }
    let idle = engine.on_host(engine.cpu.get(), || guest.idle());
    match idle {
        Idle::Finished if engine.spinners.get() == 0 => {
            engine.memory(|memory| memory.synchronize(0));
            engine.aside(&|| guest.verify());
            engine.request.set(Request::Stop);
        }
        Idle::Finished | Idle::Clock if clockwork.idle_ticks.get() < IDLE_TICKS => {
            clockwork.idle_ticks.set(clockwork.idle_ticks.get() + 1);
            engine.tick_all();
        }
        _ => engine.aside(&|| guest.deadlock()),
    }
}
