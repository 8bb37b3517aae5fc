//! The engine: the state of a machine, and how its CPUs take turns on one host thread.
//!
//! # Overview
//!
//! The engine is reached from two sides: by the loop that runs on the host's own stack
//! ([`Engine::turn`]), and by hypercalls from the depth of a context. So everything in it is a cell, and no borrow
//! of it is held while a stack is left.
//!
//! A CPU is a context that runs or has *left*: it stands in [`Engine::next_action`], before its pending
//! operation. When another CPU is to go on, the context notes which and leaves to the loop, and the loop resumes
//! the context of that CPU, which finds in `action` what it is to do.
//!
//! On the host's own stack (while a kernel boots, or its end is checked) there is no CPU to go on but the one
//! that runs, and no decision is made.

use std::cell::{Cell, RefCell, UnsafeCell};
use std::ops::Range;
use std::panic::{Location, resume_unwind};
use std::ptr;
use std::rc::Rc;

use kmod::config::Config;
use kmod::machine::{Context, Line};

use super::cards::Cards;
use super::context::{Contexts, Slot};
use super::cpu::{Cpu, Pending};
use super::decide::Clockwork;
use super::failure::{Failure, FailureKind, Limits, Sides, Verdict};
use super::globals::Copies;
use super::lines::{Lines, Sets};
use super::memory::{Memory, region};
use super::trace::{Recorder, Recording, place};
use crate::schedule::Deviation;
use crate::strategy::Strategy;

/// What a CPU does that was chosen to go on.
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
    /// Decide who goes on.
    Decide,
    /// Nobody can step, and nothing is asserted.
    Rest,
    /// The run has ended.
    Stop,
}

/// How many of what a machine has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Shape {
    /// Kernels.
    pub(crate) kernels: usize,
    /// CPUs of each.
    pub(crate) ncpu: usize,
    /// Network cards of each.
    pub(crate) nics: usize,
}

/// What unwinds the host's stack when a run ends there.
pub(crate) struct Halted;

/// The state of a machine.
#[repr(C)]
pub(crate) struct Engine {
    // What every step touches comes first.
    /// The CPU that runs.
    pub(crate) cpu: Cell<usize>,
    /// Decisions that were made: the number of the next point.
    pub(crate) points: Cell<u64>,
    /// The first point at which the CPU that runs may not simply go on.
    pub(crate) attention: Cell<u64>,
    /// Atomic writes that were made.
    pub(crate) writes: Cell<u64>,
    /// Set of the CPUs that spin and are held back.
    pub(crate) spinners: Cell<u32>,
    /// Set of those among them that have not said so: they only load the same again and again.
    pub(crate) suspects: Cell<u32>,
    /// Set of the CPUs that can step.
    pub(crate) runnable: Cell<u32>,
    /// Whether anything is recorded.
    pub(crate) recording: Cell<bool>,
    /// Whether it is recorded who touched what last.
    pub(crate) siting: Cell<bool>,
    /// Whether the run has failed, and the kernel is only asked for the words to say so.
    pub(crate) failing: Cell<bool>,
    /// The context that runs, or null on the host's own stack.
    pub(crate) running: Cell<*const Slot>,
    /// The context in which the host lets the kernel do something, if it does: see [`Engine::aside`].
    aside: Cell<*const Slot>,
    pub(crate) words: [Cell<*const ()>; Config::MAXCPUS],
    pub(crate) action: Cell<Action>,
    pub(crate) request: Cell<Request>,
    memory: UnsafeCell<Memory>,
    pub(crate) cpus: [Cpu; Config::MAXCPUS],
    pub(crate) lines: Lines,
    pub(crate) clockwork: Clockwork,
    pub(crate) cards: Cards,
    pub(crate) contexts: Contexts,
    /// CPUs of all kernels together: those of the first come first.
    pub(crate) ncpu: Cell<usize>,
    /// Kernels, each with as many CPUs.
    pub(crate) kernels: Cell<usize>,
    /// The kernel's interrupt entry.
    pub(crate) interrupt: Cell<fn(Line)>,
    /// Whoever decides in this run. Null while a kernel boots.
    pub(crate) strategy: Cell<Option<*mut (dyn Strategy + 'static)>>,
    pub(crate) deviations: RefCell<Vec<Deviation>>,
    pub(crate) verdict: RefCell<Option<Verdict>>,
    pub(crate) recorder: RefCell<Recorder>,
    /// What stands for global variables.
    pub(crate) copies: RefCell<Copies>,
    /// Whether the kernel boots, or traces are kept: it is to tell its labels.
    pub(crate) listening: Cell<bool>,
    /// Whether notes and events are kept.
    pub(crate) tracing: Cell<bool>,
    /// Whether this run has a program of its own.
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
            writes: Cell::new(0),
            spinners: Cell::new(0),
            suspects: Cell::new(0),
            runnable: Cell::new(0),
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
            contexts: Contexts::new(region),
            ncpu: Cell::new(0),
            kernels: Cell::new(1),
            interrupt: Cell::new(|_| {}),
            strategy: Cell::new(None),
            deviations: RefCell::default(),
            verdict: RefCell::default(),
            recorder: RefCell::default(),
            copies: RefCell::default(),
            listening: Cell::new(false),
            tracing: Cell::new(false),
            #[cfg(feature = "sanitizer")]
            has_program: Cell::new(false),
        }
    }

    /// The memory, for as long as `f` takes: it must not come back here.
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

    /// The number that the machine has for a CPU of the kernel that runs.
    #[inline]
    pub(crate) fn own_cpu(&self, cpu: usize) -> usize {
        self.first_cpu(self.kernel()) + cpu
    }

    /// What the machine calls something that the kernel which runs has given a name: there may be one in each.
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

    /// One turn of the loop, on the host's own stack: a context runs until it leaves.
    #[inline]
    pub(crate) fn turn(&self) {
        let context = self.current().context.get();
        self.running.set(self.contexts.slot(context));
        self.contexts.resume(context);
        self.running.set(ptr::null());
    }

    /// Leaves the context that runs. Returns when the loop resumes it, perhaps on another CPU.
    #[inline]
    pub(crate) fn leave(&self) {
        match self.running() {
            Some(context) => context.leave(),
            None => unreachable!("the host's own stack cannot be left"),
        }
    }

    /// Lets the host do something as CPU `cpu`, without decisions.
    pub(crate) fn on_host<R>(&self, cpu: usize, f: impl FnOnce() -> R) -> R {
        self.cpu.set(cpu);
        let points = self.points.get();
        self.attention.set(u64::MAX);
        let result = f();
        self.points.set(points);
        self.focus();
        result
    }

    /// Lets the host do something as CPU `cpu`, without decisions, that may end the run: on a stack that is then left for
    /// good. To unwind the host's own takes longer than a short run.
    pub(crate) fn aside(&self, cpu: usize, work: &dyn Fn()) {
        let job = Job { engine: self, work };
        let Some(index) = self
            .contexts
            .create("host", Job::run, ptr::from_ref(&job).cast())
        else {
            // As many contexts as there can be: then the slow way.
            return self.on_host(cpu, work);
        };
        self.aside.set(self.contexts.slot(index));
        self.on_host(cpu, || self.contexts.resume(index));
        self.aside.set(ptr::null());
        self.contexts.destroy(index);
    }

    /// Ends the run with a failure that the CPU that runs has found.
    #[cold]
    pub(crate) fn fail(
        &self,
        kind: FailureKind,
        rule: &str,
        message: String,
        at: Option<&Location<'_>>,
    ) -> ! {
        self.fail_between(kind, rule, message, at, None)
    }

    /// Ends the run with a failure that has another side.
    #[cold]
    pub(crate) fn fail_between(
        &self,
        kind: FailureKind,
        rule: &str,
        message: String,
        at: Option<&Location<'_>>,
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

    /// Ends the run. The context that runs is never resumed; the host's own stack is unwound.
    #[cold]
    pub(crate) fn end(&self, verdict: Verdict) -> ! {
        self.verdict.replace(Some(verdict));
        self.halt()
    }

    fn halt(&self) -> ! {
        self.request.set(Request::Stop);
        // SAFETY: null, or a slot of `contexts`, which lives as long as the engine and is not moved.
        let aside = unsafe { self.aside.get().as_ref() };
        if let Some(context) = self.running().or(aside) {
            context.leave();
            // To go on would be to run a kernel whose promises are broken.
            std::process::abort();
        }
        // No panic: nobody is to be told, and libFuzzer's hook would abort.
        resume_unwind(Box::new(Halted))
    }
}

/// What is done in [`Engine::aside`].
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

/// What a CPU is when the image is taken.
#[derive(Clone, Copy)]
struct CpuImage {
    context: usize,
    pending: Pending,
    ipl: u8,
    word: *const (),
}

/// What the engine is when the image is taken.
pub(crate) struct Image {
    cpus: Vec<CpuImage>,
    runnable: u32,
    lines: Sets,
    copies: Copies,
}

impl Engine {
    /// Takes the image of everything: it is what every run begins with.
    pub(crate) fn take_image(&self) -> Image {
        self.memory(Memory::take_image);
        self.contexts.take_image();
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
        }
    }

    /// Begins a run: everything is as in the image.
    fn restore(&self, image: &Image) {
        self.memory(Memory::restore);
        self.contexts.restore();
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
        self.begin();
        self.request.set(Request::Decide);
    }

    /// Forgets everything: another kernel is to be booted.
    pub(crate) fn clear(&self, shape: Shape, interrupt: fn(Line), detail: Recording) {
        let Shape {
            kernels,
            ncpu,
            nics,
        } = shape;
        self.cards.clear(kernels, nics);
        self.memory(Memory::clear);
        self.contexts.clear();
        self.recorder.borrow_mut().clear();
        self.copies.take();
        self.lines.set(Sets::default());
        self.runnable.set(0);
        self.ncpu.set(kernels * ncpu);
        self.kernels.set(kernels);
        self.interrupt.set(interrupt);
        self.strategy.set(None);
        self.set_detail(detail);
        self.tracing.set(false);
        self.listening.set(true);
        self.clockwork.begin(&Limits::default());
        self.begin();
    }

    /// Every CPU is to begin with its idle context.
    pub(crate) fn start(&self, idle_context: impl Fn(usize) -> Context) {
        for (index, cpu) in self.cpus[..self.ncpu.get()].iter().enumerate() {
            let context = idle_context(index).0;
            self.contexts.occupy(context, index);
            cpu.context.set(context);
            cpu.pending.set(Pending::Start);
            cpu.watch.reset();
        }
        // A CPU that begins sees what was built for it.
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
    ) {
        self.restore(image);
        if self.cards.begin(detail == Recording::Trace) {
            self.announce_frames();
        }
        strategy.begin();
        self.clockwork.begin(limits);
        self.clockwork.consult(strategy);
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
        self.memory(|memory| memory.check_all(siting));
    }

    /// The host's own stack is in use again, however the others were left.
    pub(crate) fn forget_stack(&self) {
        self.running.set(ptr::null());
        self.aside.set(ptr::null());
    }

    /// The stack of the context that runs, or of [`Engine::aside`]. None on the host's own stack.
    pub(crate) fn stack_in_use(&self) -> Option<Range<usize>> {
        // SAFETY: null, or a slot of `contexts`, which lives as long as the engine and is not moved.
        let aside = unsafe { self.aside.get().as_ref() };
        let slot = self.running().or(aside)?;
        Some(self.contexts.stack_of(slot))
    }

    /// Whether the host's own stack is in use, or that of [`Engine::aside`].
    pub(crate) fn is_on_host(&self) -> bool {
        self.running.get().is_null()
    }

    /// What was allocated in this run and not given back, for a message.
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
        self.suspects.set(0);
        self.failing.set(false);
        self.forget_stack();
        self.deviations.borrow_mut().clear();
        self.verdict.replace(None);
    }
}
