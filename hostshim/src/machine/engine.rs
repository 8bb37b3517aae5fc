//! The engine: the state of a machine, and how its CPUs take turns on one host thread.
//!
//! # Overview
//!
//! The engine is called from two sides: by the loop that runs on the host's own stack ([`Engine::turn`]), and by
//! hypercalls from inside a context. So everything in it is a cell, and no borrow of it is held while a stack is
//! left.
//!
//! A CPU is a context that runs or has *left*: it is in [`Engine::next_action`], before its pending operation. When
//! another CPU is to continue, the context records which one and leaves to the loop. The loop resumes the context of
//! that CPU, which reads in `action` what to do.
//!
//! On the host's own stack (while a kernel boots, or its end is checked) only one CPU runs, and no decision is made.

use std::cell::{Cell, RefCell, UnsafeCell};
use std::ops::Range;
use std::panic::resume_unwind;
use std::ptr;
use std::rc::Rc;

use kmod::config::Config;
use kmod::machine::{At, Context, Line};

use super::buffers::Buffers;
use super::cards::Cards;
use super::census::Taker;
use super::context::{Contexts, Slot};
use super::cpu::{Cpu, Pending};
use super::decide::Clockwork;
use super::failure::{Failure, FailureKind, Limits, Sides, Verdict};
use super::footprint::Footprint;
use super::globals::Copies;
use super::lines::{Lines, Sets};
use super::marks::Marker;
use super::memory::{Memory, region};
use super::module::Loaded;
use super::races::{Passing, Races};
use super::scarcity::Scarcity;
use super::source::place;
use super::statics::{self, Statics};
use super::trace::{Recorder, Recording};
use crate::schedule::{Deviation, Granularity, MemoryModel, Refusal};
use crate::strategy::Strategy;

/// What a CPU does when it is chosen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Action {
    /// Its pending step.
    Step,
    /// It takes an interrupt, and then decides again.
    Take(Line),
}

/// What the loop does next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Request {
    /// Resume the current CPU.
    Go,
    /// Decide which CPU continues.
    Decide,
    /// No CPU can step, and nothing is asserted.
    Rest,
    /// The run has ended.
    Stop,
}

/// The size of a machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Shape {
    /// Kernels.
    pub(crate) kernels: usize,
    /// CPUs of each.
    pub(crate) ncpu: usize,
    /// Network cards of each.
    pub(crate) nics: usize,
}

/// The payload that unwinds the host's stack when a run ends there.
pub(crate) struct Halted;

/// The state of a machine.
#[repr(C)]
pub(crate) struct Engine {
    // The fields that every step accesses come first.
    /// The CPU that runs.
    pub(crate) cpu: Cell<usize>,
    /// Number of decisions so far: the number of the next point.
    pub(crate) points: Cell<u64>,
    /// The first point at which the running CPU may not simply continue.
    pub(crate) attention: Cell<u64>,
    /// What the host runs takes too long, and ends at its next point.
    pub(crate) late: Cell<bool>,
    /// Number of atomic writes.
    pub(crate) writes: Cell<u64>,
    /// The CPUs that spin and are held back.
    pub(crate) spinners: Cell<u32>,
    /// The CPUs that are told of each atomic write: those, or all if spinning is exact.
    pub(crate) listeners: Cell<u32>,
    /// Whether a CPU that spins is held back exactly if nothing was written that it looks at, whatever else is. Otherwise any write
    /// gives it one more iteration, which costs less than to look at the addresses of all writes.
    pub(crate) exact: Cell<bool>,
    /// Those among them that have not reported it: they only load the same addresses again and again.
    pub(crate) suspects: Cell<u32>,
    /// The CPUs that can step.
    pub(crate) runnable: Cell<u32>,
    /// Whether accesses inside of a step are points, here and now ([`Granularity::Fine`]).
    pub(crate) fine: Cell<bool>,
    /// Whether anything is recorded.
    pub(crate) recording: Cell<bool>,
    /// Whether the last access to each cell is recorded.
    pub(crate) siting: Cell<bool>,
    /// Whether the run has failed, and the kernel is only called for the text of the failure.
    pub(crate) failing: Cell<bool>,
    /// The context that runs, or null on the host's own stack.
    pub(crate) running: Cell<*const Slot>,
    /// The context in which the host runs code of the kernel, if it does: see [`Engine::aside`].
    aside: Cell<*const Slot>,
    pub(crate) words: [Cell<*const ()>; Config::MAXCPUS],
    pub(crate) action: Cell<Action>,
    pub(crate) request: Cell<Request>,
    memory: UnsafeCell<Memory>,
    pub(crate) cpus: [Cpu; Config::MAXCPUS],
    pub(crate) lines: Lines,
    pub(crate) clockwork: Clockwork,
    pub(crate) cards: Cards,
    pub(crate) census: Taker,
    pub(crate) contexts: Contexts,
    /// Number of CPUs of all kernels: those of the first come first.
    pub(crate) ncpu: Cell<usize>,
    /// Number of kernels, each with the same number of CPUs.
    pub(crate) kernels: Cell<usize>,
    /// The kernel's interrupt entry.
    pub(crate) interrupt: Cell<fn(Line)>,
    /// The strategy of this run. Null while a kernel boots.
    pub(crate) strategy: Cell<Option<*mut (dyn Strategy + 'static)>>,
    pub(crate) deviations: RefCell<Vec<Deviation>>,
    pub(crate) verdict: RefCell<Option<Verdict>>,
    pub(crate) recorder: RefCell<Recorder>,
    /// The modules that the kernels have loaded.
    pub(crate) modules: RefCell<Vec<Loaded>>,
    /// What is known of marks.
    pub(crate) marker: Marker,
    /// The races that runs go on past.
    pub(crate) passing: Passing,
    /// Which allocations fail.
    pub(crate) scarcity: Scarcity,
    /// What the step under way touches, if a search wants to know.
    pub(crate) footprint: Footprint,
    /// The stores that other CPUs do not see yet.
    pub(crate) buffers: Buffers,
    /// The copies of global variables.
    pub(crate) copies: RefCell<Copies>,
    /// The variables of instrumented crates.
    pub(crate) statics: Statics,
    /// Whether the kernel passes its labels: while it boots, or when traces are kept.
    pub(crate) listening: Cell<bool>,
    /// What a step of this run is.
    pub(crate) granularity: Cell<Granularity>,
    /// Whether notes and events are kept.
    pub(crate) tracing: Cell<bool>,
    /// Whether this run has its own program.
    #[cfg(feature = "sanitizer")]
    pub(crate) has_program: Cell<bool>,
}

impl Engine {
    pub(crate) fn new() -> Engine {
        let region = Rc::new(region());
        Engine {
            cpu: Cell::new(0),
            points: Cell::new(0),
            attention: Cell::new(0),
            late: Cell::new(false),
            writes: Cell::new(0),
            spinners: Cell::new(0),
            listeners: Cell::new(0),
            exact: Cell::new(false),
            suspects: Cell::new(0),
            runnable: Cell::new(0),
            fine: Cell::new(false),
            recording: Cell::new(false),
            siting: Cell::new(false),
            failing: Cell::new(false),
            running: Cell::new(ptr::null()),
            aside: Cell::new(ptr::null()),
            words: [const { Cell::new(ptr::null()) }; Config::MAXCPUS],
            action: Cell::new(Action::Step),
            request: Cell::new(Request::Stop),
            memory: UnsafeCell::new(Memory::new(Rc::clone(&region))),
            cpus: std::array::from_fn(|_| Cpu::new()),
            lines: Lines::default(),
            clockwork: Clockwork::default(),
            cards: Cards::default(),
            census: Taker::new(),
            contexts: Contexts::new(region),
            ncpu: Cell::new(0),
            kernels: Cell::new(1),
            interrupt: Cell::new(|_| {}),
            strategy: Cell::new(None),
            deviations: RefCell::default(),
            verdict: RefCell::default(),
            recorder: RefCell::default(),
            modules: RefCell::default(),
            marker: Marker::default(),
            passing: Passing::default(),
            scarcity: Scarcity::default(),
            footprint: Footprint::default(),
            buffers: Buffers::default(),
            copies: RefCell::default(),
            statics: Statics::default(),
            listening: Cell::new(false),
            granularity: Cell::default(),
            tracing: Cell::new(false),
            #[cfg(feature = "sanitizer")]
            has_program: Cell::new(false),
        }
    }

    /// Gives `f` the memory. `f` must not call the engine.
    #[inline]
    pub(crate) fn memory<R>(&self, f: impl FnOnce(&mut Memory) -> R) -> R {
        // SAFETY: (1) one thread; (2) what callers do inside is a method of `Memory`, which knows no engine, so the
        // reference is the only one, and it does not outlive the call.
        f(unsafe { &mut *self.memory.get() })
    }

    /// The CPU that runs.
    #[inline]
    pub(crate) fn current(&self) -> &Cpu {
        &self.cpus[self.cpu.get() % Config::MAXCPUS]
    }

    /// CPUs of each kernel.
    #[inline]
    pub(crate) fn cpus_a_kernel(&self) -> usize {
        self.ncpu.get() / self.kernels.get()
    }

    /// The kernel that a CPU belongs to.
    #[inline]
    pub(crate) fn kernel_of(&self, cpu: usize) -> usize {
        cpu / self.cpus_a_kernel()
    }

    /// The kernel whose CPU runs.
    #[inline]
    pub(crate) fn kernel(&self) -> usize {
        self.kernel_of(self.cpu.get())
    }

    /// The first CPU of a kernel.
    pub(crate) fn first_cpu(&self, kernel: usize) -> usize {
        kernel * self.cpus_a_kernel()
    }

    /// The machine's number for a CPU of the running kernel.
    #[inline]
    pub(crate) fn own_cpu(&self, cpu: usize) -> usize {
        self.first_cpu(self.kernel()) + cpu
    }

    /// The machine's name for something that the running kernel has named: each kernel may have one of that name.
    pub(crate) fn own_name(&self, name: impl std::fmt::Display) -> String {
        match self.kernel() {
            0 => name.to_string(),
            _ => format!("b/{name}"),
        }
    }

    /// The set of all CPUs.
    pub(crate) fn all_cpus(&self) -> u32 {
        (1 << self.ncpu.get()) - 1
    }

    /// The name of the context on that CPU.
    pub(crate) fn context_name(&self, cpu: usize) -> String {
        self.contexts.name(self.cpus[cpu].context.get())
    }

    /// The context that runs, unless this is the host's own stack.
    fn running(&self) -> Option<&Slot> {
        let slot = self.running.get();
        // SAFETY: null, or a slot of `contexts`, which lives as long as the engine and is not moved.
        unsafe { slot.as_ref() }
    }

    /// One iteration of the loop, on the host's own stack: a context runs until it leaves.
    #[inline(always)]
    pub(crate) fn turn(&self) {
        let context = self.current().context.get();
        self.census.resumed(context);
        self.change_locals(context);
        self.running.set(self.contexts.slot(context));
        self.contexts.resume(context);
        self.running.set(ptr::null());
    }

    /// Leaves the running context. Returns when the loop resumes it, perhaps on another CPU.
    #[inline]
    pub(crate) fn leave(&self) {
        match self.running() {
            Some(context) => context.leave(),
            None => unreachable!("the host's own stack cannot be left"),
        }
    }

    /// Runs code of the host as CPU `cpu`, without decisions.
    pub(crate) fn on_host<R>(&self, cpu: usize, f: impl FnOnce() -> R) -> R {
        self.cpu.set(cpu);
        let points = self.points.get();
        self.late.set(false);
        self.attention.set(u64::MAX);
        let result = f();
        // What has ended after all is not late.
        self.late.set(false);
        self.points.set(points);
        self.focus();
        result
    }

    /// Runs code of the host as CPU `cpu`, without decisions, that may end the run: on a stack that is then
    /// abandoned. Unwinding the host's own stack takes longer than a short run.
    pub(crate) fn aside(&self, cpu: usize, work: &dyn Fn()) {
        let job = Job { engine: self, work };
        let Some(index) = self
            .contexts
            .create("host", Job::run, ptr::from_ref(&job).cast())
        else {
            // There are no free contexts: use the slow way.
            return self.on_host(cpu, work);
        };
        self.aside.set(self.contexts.slot(index));
        self.new_locals(index);
        self.change_locals(index);
        // While a kernel boots, its host makes no decision after this, either.
        let attention = self.attention.get();
        self.on_host(cpu, || self.contexts.resume(index));
        if attention == u64::MAX {
            self.attention.set(attention);
        }
        self.aside.set(ptr::null());
        self.contexts.destroy(index);
    }

    /// Ends the run with a failure that the running CPU has detected.
    #[cold]
    pub(crate) fn fail(&self, kind: FailureKind, rule: &str, message: String, at: Option<At>) -> ! {
        self.fail_between(kind, rule, message, at, None)
    }

    /// Ends the run with a failure that has another side.
    #[cold]
    pub(crate) fn fail_between(
        &self,
        kind: FailureKind,
        rule: &str,
        message: String,
        at: Option<At>,
        sides: Option<Box<Sides>>,
    ) -> ! {
        let cpu = self.cpu.get();
        self.end(Verdict::Failed(Failure {
            kind,
            rule: rule.to_owned(),
            message,
            location: at.map_or_else(|| "kmod".to_owned(), place),
            cpu,
            context: self.context_name(cpu),
            sides,
        }))
    }

    /// Ends the run. The running context is never resumed; the host's own stack is unwound.
    #[cold]
    pub(crate) fn end(&self, verdict: Verdict) -> ! {
        self.verdict.replace(Some(verdict));
        self.halt()
    }

    /// Ends the run here if it has ended on another stack ([`Engine::aside`]).
    pub(crate) fn go_on(&self) {
        if self.verdict.borrow().is_some() {
            self.halt();
        }
    }

    fn halt(&self) -> ! {
        self.request.set(Request::Stop);
        // SAFETY: null, or a slot of `contexts`, which lives as long as the engine and is not moved.
        let aside = unsafe { self.aside.get().as_ref() };
        if let Some(context) = self.running().or(aside) {
            context.leave();
            // Continuing would mean running a broken kernel.
            std::process::abort();
        }
        // Not a panic: nothing should be printed, and libFuzzer's hook would abort.
        resume_unwind(Box::new(Halted))
    }
}

/// The work of [`Engine::aside`].
struct Job<'a> {
    engine: &'a Engine,
    work: &'a dyn Fn(),
}

impl Job<'_> {
    fn run(job: *const ()) -> ! {
        // SAFETY: `aside` keeps the job until this context has been left.
        let job = unsafe { &*job.cast::<Job<'_>>() };
        (job.work)();
        // SAFETY: the slot of this context, which `aside` put there.
        if let Some(context) = unsafe { job.engine.aside.get().as_ref() } {
            context.leave();
        }
        unreachable!("a context that was left for good goes on")
    }
}

/// The state of a CPU in the image.
#[derive(Clone, Copy)]
struct CpuImage {
    context: usize,
    pending: Pending,
    ipl: u8,
    word: *const (),
}

/// The state of the engine in the image.
pub(crate) struct Image {
    cpus: Vec<CpuImage>,
    runnable: u32,
    lines: Sets,
    copies: Copies,
    statics: statics::Picture,
}

impl Engine {
    /// Takes the image with which every run begins.
    pub(crate) fn take_image(&self) -> Image {
        self.memory(Memory::take_image);
        self.contexts.take_image();
        self.census
            .take_image(std::array::from_fn(|cpu| self.cpus[cpu].context.get()));
        self.recorder.borrow_mut().take_image();
        let cpu = |index: usize| CpuImage {
            context: self.cpus[index].context.get(),
            pending: self.cpus[index].pending.get(),
            ipl: self.cpus[index].ipl.get(),
            word: self.words[index].get(),
        };
        Image {
            cpus: (0..self.ncpu.get()).map(cpu).collect(),
            runnable: self.runnable.get(),
            lines: self.lines.get(),
            copies: self.copies.borrow().clone(),
            statics: self.picture_of_statics(),
        }
    }

    /// Begins a run: restores the image.
    fn restore(&self, image: &Image) {
        self.memory(Memory::restore);
        self.contexts.restore();
        self.census.begin();
        for (index, picture) in image.cpus.iter().enumerate() {
            let cpu = &self.cpus[index];
            cpu.context.set(picture.context);
            cpu.pending.set(picture.pending);
            cpu.ipl.set(picture.ipl);
            cpu.watch.reset();
            self.words[index].set(picture.word);
        }
        self.runnable.set(image.runnable);
        self.lines.set(image.lines);
        self.copies.borrow_mut().clone_from(&image.copies);
        self.restore_statics(&image.statics);
        self.begin();
        self.request.set(Request::Decide);
    }

    /// Forgets everything: another kernel is about to boot.
    pub(crate) fn clear(&self, shape: Shape, interrupt: fn(Line), detail: Recording) {
        let Shape {
            kernels,
            ncpu,
            nics,
        } = shape;
        self.cards.clear(kernels, nics);
        self.census.clear();
        self.memory(Memory::clear);
        self.contexts.clear();
        self.recorder.borrow_mut().clear();
        self.copies.take();
        self.clear_statics();
        if statics::has_hooks() {
            self.memory(Memory::expect_foreign);
        }
        self.modules.borrow_mut().clear();
        self.marker.is_on.set(false);
        self.passing.set(&Races::Stop);
        self.scarcity.begin(&[], false);
        self.lines.set(Sets::default());
        self.runnable.set(0);
        self.ncpu.set(kernels * ncpu);
        self.kernels.set(kernels);
        self.interrupt.set(interrupt);
        self.strategy.set(None);
        self.granularity.set(Granularity::Coarse);
        self.set_detail(detail);
        self.tracing.set(false);
        self.listening.set(true);
        self.clockwork
            .begin(&Limits::default(), Granularity::Coarse);
        self.begin();
    }

    /// Every CPU begins with its idle context.
    pub(crate) fn start(&self, idle_context: impl Fn(usize) -> Context) {
        for (index, cpu) in self.cpus[..self.ncpu.get()].iter().enumerate() {
            let context = idle_context(index).0;
            self.contexts.occupy(context, index);
            cpu.context.set(context);
            cpu.pending.set(Pending::Start);
            cpu.watch.reset();
        }
        // A CPU that begins sees everything that was built for it.
        self.memory(Memory::order_all);
        self.runnable.set(self.all_cpus());
        self.request.set(Request::Decide);
    }

    /// Begins a run from the image.
    pub(crate) fn prepare(
        &self,
        image: &Image,
        strategy: &mut dyn Strategy,
        limits: &Limits,
        detail: Recording,
        (granularity, model): (Granularity, MemoryModel),
        refusals: &[Refusal],
    ) {
        self.restore(image);
        self.late.set(false);
        self.marker.begin();
        self.passing.begin();
        if self.cards.begin(detail == Recording::Trace) {
            self.announce_frames();
        }
        strategy.begin();
        self.granularity.set(granularity);
        self.clockwork.begin(limits, granularity);
        self.clockwork.consult(strategy);
        if strategy.wants_exact_spinning() {
            self.exact.set(true);
            self.clockwork.never_force_ticks();
            self.listeners.set(self.all_cpus());
        }
        self.scarcity.begin(refusals, strategy.wants_requests());
        self.buffers.begin(model, strategy.wants_stores());
        // SAFETY: only the lifetime changes. `Machine::execute` holds the borrow for the whole run and takes the pointer
        // out of the engine before the borrow ends.
        let strategy = unsafe {
            std::mem::transmute::<&mut dyn Strategy, *mut (dyn Strategy + 'static)>(strategy)
        };
        self.strategy.set(Some(strategy));
        self.set_detail(detail);
        self.listening.set(self.recording.get());
        if self.recording.get() {
            self.recorder.borrow_mut().restore();
        }
    }

    fn set_detail(&self, detail: Recording) {
        let siting = matches!(detail, Recording::Sites | Recording::Trace);
        self.recording.set(detail != Recording::Nothing);
        self.siting.set(siting);
        self.tracing.set(detail == Recording::Trace);
        self.set_fine(self.granularity.get() == Granularity::Fine);
    }

    /// Whether accesses inside of a step are points from here on. Then there are no quick accesses, so that those that are quick
    /// otherwise do not need to ask.
    pub(crate) fn set_fine(&self, fine: bool) {
        self.fine.set(fine);
        let watched = self.footprint.is_kept() || self.buffers.are_busy();
        let all = fine || self.siting.get() || watched;
        self.memory(|memory| memory.check_all(all));
    }

    /// The host's own stack is in use again, however the others were left.
    pub(crate) fn forget_stack(&self) {
        self.running.set(ptr::null());
        self.aside.set(ptr::null());
    }

    /// The stack of the running context, or of [`Engine::aside`]. `None` on the host's own stack.
    pub(crate) fn stack_in_use(&self) -> Option<Range<usize>> {
        let slot = self.slot_in_use()?;
        Some(self.contexts.stack_of(slot))
    }

    /// The running context, or that of [`Engine::aside`]. `None` on the host's own stack.
    pub(crate) fn slot_in_use(&self) -> Option<&Slot> {
        // SAFETY: null, or a slot of `contexts`, which lives as long as the engine and is not moved.
        let aside = unsafe { self.aside.get().as_ref() };
        self.running().or(aside)
    }

    /// Whether the host's own stack is in use, or that of [`Engine::aside`].
    pub(crate) fn is_on_host(&self) -> bool {
        self.running.get().is_null()
    }

    /// Ends what the host runs, at its next point: it takes too long. For a signal handler.
    pub(crate) fn end_soon(&self) {
        self.late.set(true);
        self.attention.set(0);
    }

    /// Whether points are decisions: not while a kernel boots, and not in [`Engine::on_host`].
    pub(crate) fn decides(&self) -> bool {
        self.attention.get() != u64::MAX
    }

    /// What was allocated in this run and not freed, for a message.
    pub(crate) fn live_text(&self) -> String {
        let live = self.memory(|memory| memory.live());
        let kinds: Vec<String> = live
            .iter()
            .map(|(what, n)| format!("{n} of {what}"))
            .collect();
        match kinds.is_empty() {
            true => String::new(),
            false => format!(" (allocated in this run: {})", kinds.join(", ")),
        }
    }

    /// What every run begins with, whatever the image.
    fn begin(&self) {
        self.cpu.set(0);
        self.points.set(0);
        self.writes.set(0);
        self.spinners.set(0);
        self.listeners.set(0);
        self.exact.set(false);
        self.suspects.set(0);
        self.failing.set(false);
        self.footprint.begin();
        self.buffers.clear();
        self.forget_stack();
        self.deviations.borrow_mut().clear();
        self.verdict.replace(None);
    }
}
