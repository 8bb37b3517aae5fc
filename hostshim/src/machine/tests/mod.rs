//! Tests of the machine, with a guest of a few lines: one thread per CPU, and no kernel.

mod faults;
mod fences;
mod granularity;
mod kernel;
mod locals;
mod memory;
mod sampling;
mod schedules;
mod spinning;
mod stalls;
mod time;
mod wire;

use std::alloc::Layout;
use std::fmt;
use std::sync::atomic::{AtomicU32 as Bare, Ordering::Relaxed as BareRelaxed};

use kmod::entry::Idle;
use kmod::machine::{self, Context, Line, Stop};
use kmod::mem::{AcqRel, Acquire, AtomicU32, AtomicUsize, Plain, Relaxed, Release};
use kmod::scenario::ops::Program;

use super::engine::Shape;
use super::guest::Guest;
use super::trace::Recording;
use super::{FailureKind, Limits, Machine, Outcome, Verdict};
use crate::strategy::{Fair, Random, Strategy};

/// The data that the threads share.
#[derive(Default)]
struct Shared {
    go: AtomicU32,
    done: AtomicU32,
    ticks: Bare,
    /// One more than interrupts from other CPUs were taken, if a thread has made it 1.
    ipis: AtomicU32,
    /// The first bytes of the frames that card 1 received, each a decimal digit.
    frames: Bare,
    /// The value of `x` when the first of them arrived.
    seen: Bare,
    progress: Bare,
    /// Interrupts that have begun, and are not yet allowed others; whether there were ever two.
    begun: Bare,
    nested: Bare,
    x: AtomicU32,
    y: AtomicU32,
    /// Where something lies that one thread lends to another.
    address: AtomicUsize,
    data: Plain<u32>,
}

type Body = fn(&'static Shared);

/// The function with which a CPU begins.
struct Job {
    body: Body,
    shared: &'static Shared,
}

/// A guest that runs a function on each CPU.
#[derive(Clone)]
struct Little {
    bodies: Vec<Body>,
    nics: usize,
    /// Whether a waiting guest waits for the clock.
    needs_clock: bool,
    /// Whether every tick counts as progress.
    ticks_are_progress: bool,
    verify: Body,
    shared: std::cell::Cell<Option<&'static Shared>>,
}

impl Little {
    fn new(bodies: &[Body]) -> Little {
        Little {
            bodies: bodies.to_vec(),
            nics: 0,
            needs_clock: false,
            ticks_are_progress: false,
            verify: |_| {},
            shared: std::cell::Cell::new(None),
        }
    }

    fn shared(&self) -> &'static Shared {
        self.shared.get().expect("booted")
    }
}

/// Moves a value into memory of the machine.
fn place<T>(what: &'static str, value: T) -> &'static T {
    let at = machine::alloc(Layout::new::<T>(), what).cast::<T>();
    assert!(!at.is_null(), "no memory for {what}");
    // SAFETY: fresh memory of the layout of a `T`.
    unsafe { at.write(value) };
    // SAFETY: written just now, and there until it is given back.
    unsafe { &*at }
}

/// Frees memory of `place`.
#[track_caller]
fn give_back<T>(object: &'static T) {
    let at = std::ptr::from_ref(object).cast_mut().cast::<u8>();
    machine::decide(at as usize, machine::Kind::Free, Relaxed);
    // SAFETY: it came from `place`; that nobody uses it any more is what the tests are about.
    unsafe { machine::free(at, Layout::new::<T>()) };
}

fn run_cpu(job: *const ()) -> ! {
    // SAFETY: `boot` made the job, and it is never given back.
    let job = unsafe { &*job.cast::<Job>() };
    let never = Bare::new(0);
    while job.shared.go.load(Acquire) == 0 {
        machine::wait_for_interrupt(&never);
    }
    (job.body)(job.shared);
    job.shared.done.fetch_add(1, AcqRel);
    loop {
        machine::wait_for_interrupt(&never);
    }
}

impl Guest for Little {
    fn boot(&self) {
        let shared: &'static Shared = place("shared", Shared::default());
        self.shared.set(Some(shared));
        for cpu in 0..self.bodies.len() {
            machine::attach(cpu, std::ptr::from_ref(shared).cast());
        }
    }

    fn idle_context(&self, cpu: usize) -> Context {
        let job = place(
            "job",
            Job {
                body: self.bodies[cpu],
                shared: self.shared(),
            },
        );
        machine::context_create(&format!("t{cpu}"), run_cpu, std::ptr::from_ref(job).cast())
            .expect("a context")
    }

    fn release(&self) {
        self.shared().go.store(1, Release);
        (0..self.bodies.len()).for_each(machine::send_ipi);
    }

    fn interrupt(&self) -> fn(Line) {
        |line| {
            // SAFETY: `boot` attached every CPU with it.
            let shared = unsafe { &*machine::word().cast::<Shared>() };
            if shared.begun.fetch_add(1, BareRelaxed) != 0 {
                shared.nested.store(1, BareRelaxed);
            }
            shared.done.load_fused(Relaxed);
            shared.begun.fetch_sub(1, BareRelaxed);
            machine::interrupts_on();
            if line == Line::Clock {
                shared.ticks.fetch_add(1, BareRelaxed);
            }
            if line == Line::Ipi && shared.ipis.peek() != 0 {
                machine::ipl(1);
                shared.ipis.fetch_add(1, Relaxed);
                machine::ipl(0);
            }
            if line == Line::Net {
                wire::receive(shared);
            }
        }
    }

    fn idle(&self) -> Idle {
        if self.shared().done.peek() as usize == self.bodies.len() {
            Idle::Finished
        } else if self.needs_clock {
            Idle::Clock
        } else {
            Idle::Stuck
        }
    }

    fn progress(&self) -> u64 {
        let ticks = self.shared().ticks.load(BareRelaxed);
        let ticks = if self.ticks_are_progress { ticks } else { 0 };
        u64::from(self.shared().progress.load(BareRelaxed) + ticks)
    }

    fn verify(&self) {
        (self.verify)(self.shared());
    }

    fn deadlock(&self) -> ! {
        machine::stop(Stop::Deadlock, format_args!("nobody goes on"))
    }

    fn waits(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        out.write_str("nothing")
    }

    fn load(&self, _: &Program) {}
}

/// A machine that has booted `guest`.
fn booted(guest: &Little, trace: bool) -> Machine {
    let mut machine = Machine::new();
    machine.recording = Recording::of_setup(trace);
    let make = || -> Box<dyn Guest> { Box::new(guest.clone()) };
    machine
        .boot_guests(
            Shape {
                kernels: 1,
                ncpu: guest.bodies.len(),
                nics: guest.nics,
            },
            &make,
        )
        .expect("the guest boots");
    machine
}

/// One default run.
fn fair(guest: &Little) -> Outcome {
    booted(guest, false).run(&mut Fair, &Limits::default())
}

/// The first failure of `runs` random runs of that guest.
fn hunt(guest: &Little, runs: u64) -> Option<super::Failure> {
    let mut machine = booted(guest, false);
    let mut strategy = Random::new(1);
    (0..runs).find_map(|_| failure(&machine.run(&mut strategy, &Limits::default())))
}

fn failure(outcome: &Outcome) -> Option<super::Failure> {
    match &outcome.verdict {
        Verdict::Passed => None,
        Verdict::Failed(failure) => Some(failure.clone()),
    }
}

fn kind(outcome: &Outcome) -> Option<FailureKind> {
    failure(outcome).map(|failure| failure.kind)
}

/// A strategy made of a function.
struct By<F>(F);

impl<F: FnMut(&super::View<'_>) -> crate::strategy::Answer> Strategy for By<F> {
    fn choose(&mut self, view: &super::View<'_>) -> crate::strategy::Answer {
        (self.0)(view)
    }
}
