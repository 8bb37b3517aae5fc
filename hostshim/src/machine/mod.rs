//! The simulated machine: CPUs, interrupts, a clock and memory inside one host thread.
//!
//! # Overview
//!
//! A [`Machine`] boots a kernel once, up to the moment before its actors start, and keeps an *image* of that moment.
//! Every [`run`](Machine::run) begins by restoring the image, and lets a [`Strategy`] choose what happens at each
//! point. A run depends only on the image and on these choices, so its deviations from the machine's
//! [default](crate::schedule::Deviation) describe it completely.
//!
//! | module | contents |
//! |---|---|
//! | `engine` | the state, and how CPUs take turns on one thread |
//! | `decide` | the decisions: the default, the strategy, interrupts, spinning |
//! | `footprint` | what each step touches, for a search |
//! | `buffers` | store buffers: the memory of x86-64 |
//! | `access` | the checks of each access, and what is recorded |
//! | `memory`, `shadow`, `clock` | the arena, the shadow of each address, vector clocks |
//! | `context` | coroutines on pooled stacks |
//! | `host` | the hypercalls |
//! | `panics`, `faults` | panics, faults and endless loops of the kernel, as ends of a run |
//! | `guest`, `side` | the entry points of the guest; whether a thread executes guest or machine code |
//! | `globals` | global variables of the guest |
//! | `heap` | Rust's heap inside a run |
//! | `module`, `foreign` | code that is loaded at run time, and the accesses of code that has no cells |
//! | `program`, `sites`, `statics` | crates of this program whose accesses are steps; whose a place is; their variables |
//! | `marks`, `races` | what is known of accesses of foreign code besides; its races that runs go on past |
//! | `lines`, `cpu` | interrupt lines, CPUs |
//! | `locals` | cells on stacks, which are gone when their function has returned |
//! | `census` | what ever happened in the runs of a machine |
//! | `cards` | network cards, and the wire between them |
//! | `counters` | feedback for a fuzzer; for the fuzz targets only |
//! | `spins` | which CPUs spin at the end of a run, and for what |
//! | `label`, `trace`, `record`, `waits` | names, the trace and what fills it, and the wait-for graph at the end |
//!
//! # What is checked
//!
//! At every access: data races between plain accesses by happens-before, whatever the values; accesses to memory that
//! is not allocated or was freed; double frees. For every run: that it ends. What the kernel checks itself
//! (contracts, assertions, leaks) also ends a run, and so does a panic or, once [`catch_faults`] was called, a fault.
//!
//! # What is not checked
//!
//! Memory is sequentially consistent unless it was told otherwise ([`Machine::set_memory`]): orderings are *checked*, and have no
//! effect on values. Accesses to memory outside cells are not seen. An atomic access is not checked against the free of its memory unless the free comes
//! first.
//!
//! # Several kernels
//!
//! A machine can have two kernels (`kernels` of the configuration), each with its own CPUs, memory and cards, under
//! one strategy and one clock, and in one trace. They share only the wire. CPUs are numbered across both kernels,
//! those of the first kernel first; names in the second kernel begin with `b/`. In its own messages a kernel uses its
//! own numbers and names.
//!
//! # At rest
//!
//! When no CPU can step and nothing is asserted, each kernel is asked what it waits for. If the actors have finished,
//! the scenario's checks run, and the run has passed. If it waits for the clock, every CPU ticks and virtual time
//! advances, up to [`IDLE_TICKS`] times without progress of an actor. If nothing can happen, the run has failed with
//! a deadlock.

mod access;
mod buffers;
mod cards;
mod census;
mod clock;
mod context;
#[cfg(feature = "sanitizer")]
mod counters;
mod cpu;
mod decide;
mod engine;
mod failure;
mod faults;
mod footprint;
pub(crate) mod foreign;
mod globals;
mod guest;
mod heap;
pub(crate) mod host;
mod label;
mod lines;
mod locals;
mod mapping;
pub(crate) mod marks;
mod memory;
pub(crate) mod module;
mod panics;
#[cfg_attr(not(rumplab_hooks), allow(dead_code, reason = "only hooks call it"))]
pub(crate) mod program;
mod races;
mod record;
mod scarcity;
mod shadow;
pub(crate) mod side;
#[cfg_attr(not(rumplab_hooks), allow(dead_code, reason = "only hooks call it"))]
mod sites;
mod source;
mod spins;
mod statics;
#[cfg(test)]
mod tests;
mod trace;
mod view;
mod waits;
mod words;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use kmod::config::Config;
use kmod::entry::Idle;
use kmod::kern::order::{Dependency, Lost};
use kmod::scenario::Scenario;
use kmod::scenario::ops::Program;

use crate::schedule::{Deviation, Granularity, MemoryModel, Refusal};
use crate::strategy::{Rehearsal, Rehearse, Replay, Strategy};
use crate::wire::Wire;
use engine::{Engine, Halted, Image, Request, Shape};
use guest::{Guest, Kmod};

pub use cards::Sent;
pub use census::{Census, Never};
pub use cpu::Pending;
pub use failure::{Failure, FailureKind, Limits, Outcome, Side, Sides, Verdict};
pub use faults::catch_faults;
pub use footprint::Touch;
#[cfg(test)]
pub(crate) use footprint::{OMITTED, Omission};
pub use heap::Heap;
pub use host::{is_running, thread_ends};
pub use races::{Later, Meeting, Race, Races};
pub(crate) use source::place;
pub use trace::{Access, Act, Hold, Layer, PointName, Recording, Refer, TraceEvent, What};
pub use view::{View, members};
pub use waits::{Callout, Cycle, NodeKind, Running, Until, WaitEdge, WaitGraph, WaitNode, Waiter};
pub use words::Word;

/// Ticks at rest without progress of an actor, after which the machine assumes that there will be none.
pub const IDLE_TICKS: u64 = 20_000;

/// The rule of a run that came to no end.
const LIVELOCK: &str = "livelock";

/// Points after which it no longer matters how much longer a run is.
const LONGEST: u64 = 20_000;

/// The settings for a boot.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// The program.
    pub scenario: &'static Scenario,
    /// CPUs and knobs.
    pub config: Config,
    /// Whether runs are traced, which makes them about a hundred times slower.
    pub trace: bool,
}

/// A simulated machine. It can boot many kernels, one after another; each thread can have many machines.
pub struct Machine {
    engine: Box<Engine>,
    /// The kernels; none before the first boot.
    guests: Vec<Box<dyn Guest>>,
    image: Option<Image>,
    program: Option<Program>,
    /// The size of a default run of each granularity, once it was needed.
    rehearsals: [Option<Rc<Rehearsal>>; Granularity::ALL.len()],
    /// What a step is, unless the strategy says.
    granularity: Granularity,
    /// The model of memory.
    memory: MemoryModel,
    /// The allocations that fail in every run.
    refusals: Vec<Refusal>,
    /// Those that failed in the last run.
    refused: Vec<Refusal>,
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
    /// If the process has no address space left. A machine reserves about half a gigabyte of it, and uses little.
    pub fn new() -> Machine {
        panics::install();
        Machine {
            engine: Box::new(Engine::new()),
            guests: Vec::new(),
            image: None,
            program: None,
            rehearsals: Default::default(),
            granularity: Granularity::Coarse,
            memory: MemoryModel::Sc,
            refusals: Vec::new(),
            refused: Vec::new(),
            recording: Recording::Nothing,
            deviations: Vec::new(),
            events: Vec::new(),
        }
    }

    /// Boots a kernel, lets it come to rest, starts the actors of the scenario, and takes the image.
    ///
    /// # Errors
    ///
    /// If the kernel fails during that: then there is nothing to run.
    pub fn boot(&mut self, setup: &Setup) -> Result<(), Failure> {
        self.recording = Recording::of_setup(setup.trace);
        faults::watch_as(setup.scenario.name);
        faults::watch();
        let shape = Shape {
            kernels: setup.config.kernels,
            ncpu: setup.config.ncpu,
            nics: setup.config.nics,
        };
        self.boot_guests(shape, &|| Box::new(Kmod::new(setup)))
    }

    fn boot_guests(
        &mut self,
        shape: Shape,
        guest: &dyn Fn() -> Box<dyn Guest>,
    ) -> Result<(), Failure> {
        let Shape { kernels, ncpu, .. } = shape;
        assert!(
            kernels > 0 && (1..=Config::MAXCPUS).contains(&(kernels * ncpu)),
            "a machine of {kernels} kernels of {ncpu} CPUs"
        );
        let guests = || Vec::from_iter((0..kernels).map(|_| guest()));
        match self.try_boot(shape, guests(), Recording::Nothing) {
            // Again, to find the other side.
            Err(failure) if names_two_sides(failure.kind) => {
                self.try_boot(shape, guests(), Recording::Sites)
            }
            booted => booted,
        }
    }

    fn try_boot(
        &mut self,
        shape: Shape,
        guests: Vec<Box<dyn Guest>>,
        detail: Recording,
    ) -> Result<(), Failure> {
        self.image = None;
        self.program = None;
        self.rehearsals = Default::default();
        self.granularity = Granularity::Coarse;
        self.memory = MemoryModel::Sc;
        self.refusals.clear();
        let _host_values = statics::take();
        let engine = &*self.engine;
        engine.clear(shape, guests[0].interrupt(), detail);
        let booted = guarded(engine, || boot_to_rest(engine, &guests));
        self.guests = guests;
        if let Some(failure) = booted.or_else(|| failure_of(engine)) {
            return Err(failure);
        }
        self.image = Some(engine.take_image());
        Ok(())
    }

    /// Sets the program that the actors run in the next runs, until another kernel is booted. For scenarios that run
    /// programs.
    pub fn load(&mut self, program: &Program) {
        self.program = Some(*program);
        self.rehearsals = Default::default();
    }

    /// Sets what a step is in the next runs, until another kernel is booted. It is only asked for if the strategy does not say.
    pub fn set_granularity(&mut self, granularity: Granularity) {
        self.granularity = granularity;
    }

    /// What a step was in the last run.
    pub fn granularity(&self) -> Granularity {
        self.engine.granularity.get()
    }

    /// Sets the model of memory of the next runs, until another kernel is booted.
    pub fn set_memory(&mut self, model: MemoryModel) {
        self.memory = model;
    }

    /// The model of memory.
    pub fn memory(&self) -> MemoryModel {
        self.memory
    }

    /// Sets which allocations fail in the next runs, until another kernel is booted. The strategy may choose others as well.
    pub fn refuse(&mut self, refusals: &[Refusal]) {
        if self.refusals != refusals {
            self.refusals = refusals.to_vec();
            self.rehearsals = Default::default();
        }
    }

    /// The allocations that failed in the last run.
    pub fn refused(&self) -> &[Refusal] {
        &self.refused
    }

    /// Sets how much is recorded of the next runs, until another kernel is booted: the less, the faster.
    pub fn record(&mut self, what: Recording) {
        self.recording = what;
    }

    /// Sets what becomes of the next runs at a data race of foreign code, until another kernel is booted. By default it ends
    /// them.
    pub fn at_races(&mut self, races: &Races) {
        self.engine.passing.set(races);
        self.rehearsals = Default::default();
    }

    /// The races of foreign code that the last run went on past.
    pub fn met(&self) -> Vec<Meeting> {
        self.engine.passing.met()
    }

    /// The same with both sides, in the order in which they were met. Empty unless accesses were recorded.
    pub fn races(&self) -> Vec<Race> {
        self.engine.passing.races()
    }

    /// Sets the events on the wire in the next runs, until another kernel is booted. By default there is nothing but
    /// what the cards send.
    pub fn connect(&mut self, wire: &Wire) {
        self.engine.cards.load(wire);
        self.rehearsals = Default::default();
    }

    /// Runs the scenario once, from the image to its end.
    ///
    /// # Panics
    ///
    /// If nothing was booted.
    pub fn run(&mut self, strategy: &mut dyn Strategy, limits: &Limits) -> Outcome {
        let granularity = strategy.granularity().unwrap_or(self.granularity);
        if strategy.wants_rehearsal() {
            strategy.expect(&self.rehearsal(granularity));
        }
        let refusals = self.refusals.clone();
        let recording = self.recording;
        let mut outcome = self.execute(strategy, limits, recording, granularity, refusals);
        if let Verdict::Failed(failure) = &outcome.verdict {
            if self.has_another_side(failure.kind) {
                outcome = self.explain(outcome, limits);
            }
            self.name_deadlock(&mut outcome);
        }
        outcome
    }

    /// A run that came to no end because CPUs spin for what others of them keep has failed with a deadlock.
    fn name_deadlock(&self, outcome: &mut Outcome) {
        if let Verdict::Failed(failure) = &mut outcome.verdict
            && failure.rule == LIVELOCK
            && self.engine.has_spinners()
            && let (_, Some(message)) = self.waits_and_spins()
        {
            failure.kind = FailureKind::Deadlock;
            failure.rule = "deadlock".to_owned();
            failure.message = message;
        }
    }

    /// Whether a failure of that kind can be explained better if the run is repeated and more is recorded. Whether CPUs that
    /// spin are a deadlock is known only then.
    fn has_another_side(&self, kind: FailureKind) -> bool {
        match self.recording {
            Recording::Nothing if names_two_sides(kind) => true,
            Recording::Nothing | Recording::Names => {
                kind == FailureKind::Livelock && self.engine.has_spinners()
            }
            Recording::Sites | Recording::Trace => false,
        }
    }

    /// Number of points of a default run with such steps.
    ///
    /// # Panics
    ///
    /// If nothing was booted.
    pub fn length(&mut self, granularity: Granularity) -> u64 {
        self.rehearsal(granularity).points
    }

    fn rehearsal(&mut self, granularity: Granularity) -> Rc<Rehearsal> {
        if let Some(rehearsal) = &self.rehearsals[granularity as usize] {
            return rehearsal.clone();
        }
        let limits = Limits {
            steps: LONGEST,
            ..Limits::default()
        };
        let refusals = self.refusals.clone();
        let recording = Recording::Nothing;
        let mut counted = Rehearse::default();
        let default = self.execute(&mut counted, &limits, recording, granularity, refusals);
        let rehearsal = Rc::new(counted.seen(default.points, self.engine.scarcity.count()));
        self.rehearsals[granularity as usize] = Some(rehearsal.clone());
        rehearsal
    }

    /// Repeats a failed run and records it, to find the other side of a race or of a free.
    fn explain(&mut self, outcome: Outcome, limits: &Limits) -> Outcome {
        let mut replay = Replay::new(self.deviations.clone());
        let (granularity, refusals) = (self.granularity(), self.refused.clone());
        let recording = Recording::Sites;
        let explained = self.execute(&mut replay, limits, recording, granularity, refusals);
        debug_assert_eq!(
            explained.points, outcome.points,
            "a run was repeated and went otherwise"
        );
        explained
    }

    /// Executes a run. The first that makes an acquire fence is repeated, because until then it is not recorded what such a
    /// fence needs to be known.
    fn execute(
        &mut self,
        strategy: &mut dyn Strategy,
        limits: &Limits,
        detail: Recording,
        granularity: Granularity,
        mut refusals: Vec<Refusal>,
    ) -> Outcome {
        let mut again = None;
        loop {
            // One call, so that the whole run is compiled into this function.
            let strategy = match &mut again {
                None => &mut *strategy,
                Some(replay) => replay as &mut dyn Strategy,
            };
            let outcome = self.execute_once(strategy, limits, detail, granularity, &refusals);
            if again.is_some() || !self.engine.memory(|memory| memory.missed_fence()) {
                return outcome;
            }
            self.engine.memory(|memory| memory.watch_fences(true));
            again = Some(Replay::new(self.deviations.clone()));
            refusals.clone_from(&self.refused);
        }
    }

    #[inline(always)]
    fn execute_once(
        &mut self,
        strategy: &mut dyn Strategy,
        limits: &Limits,
        detail: Recording,
        granularity: Granularity,
        refusals: &[Refusal],
    ) -> Outcome {
        let (Some(image), guests) = (&self.image, &self.guests) else {
            panic!("a machine cannot run before it has booted")
        };
        let _host_values = statics::take();
        let engine = &*self.engine;
        faults::watch();
        let how = (granularity, self.memory);
        engine.prepare(image, strategy, limits, detail, how, refusals);
        #[cfg(feature = "sanitizer")]
        engine.has_program.set(self.program.is_some());
        let failure = guarded(engine, || {
            if let Some(program) = &self.program {
                each(engine, guests, |guest| guest.load(program));
                // Ordered before the actors that run it.
                engine.memory(|memory| memory.order_all());
            }
            run_to_end(engine, guests);
        });
        engine.strategy.set(None);
        std::mem::swap(&mut *engine.deviations.borrow_mut(), &mut self.deviations);
        self.refused = engine.scarcity.take_refused();
        if detail == Recording::Trace {
            std::mem::swap(&mut engine.recorder.borrow_mut().events, &mut self.events);
        }
        let verdict = match failure {
            Some(failure) => Verdict::Failed(failure),
            None => engine.verdict.take().unwrap_or(Verdict::Passed),
        };
        let verdict = match (verdict, faults::take_line()) {
            (Verdict::Failed(failure), Some(line)) => Verdict::Failed(Failure {
                location: line.place(),
                ..failure
            }),
            (verdict, _) => verdict,
        };
        Outcome {
            verdict,
            steps: engine.steps(),
            points: engine.points.get(),
            ticks: engine.clockwork.ticks.get(),
        }
    }

    /// Whether the last run has used variables in statics, each of which gets a copy of its own when the first step that uses it is
    /// announced: to a strategy that is asked there, or else when the step is made.
    pub(crate) fn has_copied(&self) -> bool {
        self.engine.has_copied()
    }

    /// Moves what the last step of the last run touched to `into`. Empty unless its strategy kept footprints.
    pub fn take_footprint(&self, into: &mut Vec<Touch>) {
        self.engine.take_footprint(into);
    }

    /// The deviations of the last run: with the image, they are the whole run.
    pub fn deviations(&self) -> &[Deviation] {
        &self.deviations
    }

    /// What happened in the last run. Empty unless the machine was booted to be traced.
    pub fn trace(&self) -> &[TraceEvent] {
        &self.events
    }

    /// Frames that entered the wire in the last run. Empty unless the machine was booted to be traced.
    pub fn sent(&self) -> Vec<Sent> {
        self.engine.cards.sent()
    }

    /// What happened, to what the scenario shares and to its actors, in all runs since the kernel was booted.
    pub fn census(&self) -> Census {
        self.engine.census.get()
    }

    /// What was allocated in the last run and not freed, by kind.
    pub fn live(&self) -> BTreeMap<&'static str, usize> {
        self.engine.memory(|memory| memory.live())
    }

    /// The order in which resources were taken in the last run, if the kernel was booted to predict. Addresses are
    /// offsets, which are the same in every machine and, for what existed when the actors started, in every run.
    pub fn dependencies(&self) -> Dependencies {
        let mut dependencies = Dependencies::default();
        let engine = &*self.engine;
        let offset = |address| {
            engine
                .memory(|memory| memory.offset(address))
                .unwrap_or(address)
        };
        let known = |offset| engine.memory(|memory| memory.is_of_image(offset));
        engine.failing.set(true);
        let failed = guarded(engine, || {
            each(engine, &self.guests, |guest| {
                let lost = guest.order(&mut |dependency| {
                    let mut dependency = *dependency;
                    dependency.relocate(offset);
                    let lasting = dependency.is_of(known);
                    dependencies.list.push((dependency, lasting));
                });
                dependencies.lost += lost;
            });
        });
        match failed {
            Some(_) => Dependencies::default(),
            None => dependencies,
        }
    }

    /// The wait-for graph of the kernels after the last run. Empty if a kernel failed to compute it.
    pub fn wait_graph(&self) -> WaitGraph {
        self.waits_and_spins().0
    }

    /// The wait-for graph, and why nobody of a circle of CPUs that spin goes on, if there is one.
    fn waits_and_spins(&self) -> (WaitGraph, Option<String>) {
        let mut graph = WaitGraph::default();
        let engine = &*self.engine;
        engine.failing.set(true);
        let failed = guarded(engine, || {
            each(engine, &self.guests, |guest| {
                let mut own = WaitGraph::default();
                guest.tell(&mut own);
                graph.add(own, engine);
            });
        });
        let deadlock = engine.spins().add_to(&mut graph);
        match failed {
            Some(_) => (WaitGraph::default(), None),
            None => (graph, deadlock),
        }
    }

    /// The wait-for graph of the kernels after the last run, as text.
    pub fn waits(&self) -> String {
        let mut text = String::new();
        self.engine.failing.set(true);
        let engine = &*self.engine;
        let failed = guarded(engine, || {
            // Writing to a string cannot fail.
            each(engine, &self.guests, |guest| {
                let _ = guest.waits(&mut text);
            });
        });
        match failed {
            Some(failure) => failure.to_string(),
            None => text,
        }
    }
}

/// The recorded dependencies of a run.
#[derive(Clone, Debug, Default)]
pub struct Dependencies {
    /// Each dependency, and whether all of it is the same in every run.
    pub list: Vec<(Dependency, bool)>,
    /// What was not recorded.
    pub lost: Lost,
}

/// Calls `f` with each kernel, as its first CPU.
fn each(engine: &Engine, guests: &[Box<dyn Guest>], mut part: impl FnMut(&dyn Guest)) {
    for (kernel, guest) in guests.iter().enumerate() {
        engine.on_host(engine.first_cpu(kernel), || part(&**guest));
    }
}

/// Whether a failure of that kind has another side, earlier in the run.
fn names_two_sides(kind: FailureKind) -> bool {
    matches!(
        kind,
        FailureKind::DataRace | FailureKind::UseAfterFree | FailureKind::DoubleFree
    )
}

/// Runs `f` as the machine of this thread. Returns the failure if the kernel panicked; a run that ended on the host's
/// stack has left its verdict in the engine.
fn guarded(engine: &Engine, f: impl FnOnce()) -> Option<Failure> {
    let halted = host::enter(engine, || match catch_unwind(AssertUnwindSafe(f)) {
        Ok(()) => None,
        // It may have memory of the machine: it is freed while this is the machine of the thread.
        Err(payload) => Some(payload.is::<Halted>()),
    });
    side::leave_guest();
    let halted = halted?;
    engine.forget_stack();
    if halted {
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

/// Boots, lets every CPU run until it waits, and starts the actors.
fn boot_to_rest(engine: &Engine, guests: &[Box<dyn Guest>]) {
    each(engine, guests, |guest| guest.boot());
    let ncpu = engine.cpus_a_kernel();
    engine.start(|cpu| guests[cpu / ncpu].idle_context(cpu % ncpu));
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
    each(engine, guests, |guest| guest.release());
    for kernel in 0..guests.len() {
        // Its idle loop checks again, as after an interrupt.
        engine.set_runnable(engine.first_cpu(kernel));
    }
}

/// Runs until the run has ended.
fn run_to_end(engine: &Engine, guests: &[Box<dyn Guest>]) {
    loop {
        match engine.request.get() {
            Request::Go => engine.turn(),
            Request::Decide => engine.decide_on_host(),
            Request::Stop => return,
            Request::Rest => rest(engine, guests),
        }
    }
}

/// No CPU can step, and nothing is asserted.
fn rest(engine: &Engine, guests: &[Box<dyn Guest>]) {
    let clockwork = &engine.clockwork;
    let progress = guests.iter().map(|guest| guest.progress()).sum();
    if clockwork.progress.replace(progress) != progress {
        clockwork.idle_ticks.set(0);
    }
    let idle = idle(engine, guests);
    let all = |wanted: Idle| idle.iter().all(|idle| *idle == wanted);
    let finished = all(Idle::Finished);
    // A kernel that is stuck may still receive something from one whose clock continues.
    let clock = finished || idle.contains(&Idle::Clock);
    if finished && engine.spinners.get() == 0 {
        for (kernel, guest) in guests.iter().enumerate() {
            let cpu = engine.first_cpu(kernel);
            engine.memory(|memory| memory.synchronize(cpu));
            engine.aside(cpu, &|| guest.verify());
            if engine.verdict.borrow().is_some() {
                break;
            }
        }
        engine.request.set(Request::Stop);
    } else if clock && clockwork.idle_ticks.get() < IDLE_TICKS {
        clockwork.idle_ticks.set(clockwork.idle_ticks.get() + 1);
        engine.tick_all();
    } else if !engine.trust_suspects() {
        let stuck = idle.iter().position(|idle| *idle == Idle::Stuck);
        let waits = idle.iter().position(|idle| *idle != Idle::Finished);
        let kernel = stuck.or(waits).unwrap_or(0);
        let cpu = engine.first_cpu(kernel);
        engine.aside(cpu, &|| guests[kernel].deadlock());
    }
}

/// What each kernel waits for.
fn idle(engine: &Engine, guests: &[Box<dyn Guest>]) -> Vec<Idle> {
    let me = engine.cpu.get();
    let mut idle = Vec::new();
    for (kernel, guest) in guests.iter().enumerate() {
        let cpu = match engine.kernel_of(me) == kernel {
            true => me,
            false => engine.first_cpu(kernel),
        };
        idle.push(engine.on_host(cpu, || guest.idle()));
    }
    engine.on_host(me, || {});
    idle
}
