//! Decisions: which CPU continues at a point.
//!
//! # The default
//!
//! The machine is fair and eager by default ([`Deviation`]). In detail:
//!
//! 1. An asserted interrupt is taken at once, the highest line first, the current CPU first.
//! 2. Otherwise the same CPU continues. If it cannot step, or has just reported that it spins, the next CPU in turn
//!    continues.
//! 3. A strategy can defer an interrupt, by letting another CPU step where the default was to take it, or by letting
//!    its own CPU step. It stays deferred until a strategy takes it, or no CPU has anything else to do (a CPU that
//!    spins has not), or 4. So a strategy needs to say only once what it does not want.
//! 4. After [`TICK_POINTS`] points without a tick (never for a strategy that wants exact spinning), the clock of every CPU ticks, and nothing is deferred any more. So
//!    a thread that never sleeps is preempted, and every CPU gets its turn.
//! 5. If no CPU can step and nothing is asserted, the machine is at rest, and the kernel is asked what it waits for
//!    ([`super::Machine`]).
//!
//! # Fairness
//!
//! A strategy must not make a program a livelock if the program's loops end when every CPU continues from time to time.
//!
//! * A CPU that reports that it spins ([`kmod::machine::relax`]), or that only loads the same few addresses again and again
//!   while no CPU writes, is held back until one of them is written, or it takes an interrupt. A read-modify-write that stores the
//!   value it found (an attempt to take a lock that is held) counts as a load.
//! * If no other CPU can step, CPUs that were held back without having reported that they spin continue: their loops may end by
//!   themselves.
//! * From step [`FAIR_FROM`] on the strategy is no longer asked: the CPUs take turns, and whatever can end ends.
//!
//! # The fast path
//!
//! At most points nothing is asserted and the strategy does not want to be asked: the same CPU continues. That costs
//! one comparison with `attention`, the first point at which this may be different. [`Engine::focus`] computes it
//! whenever something changes.

use std::cell::Cell;

use kmod::machine::{At, Kind, Line, Op};
use kmod::mem::Ordering;

use super::cpu::Pending;
use super::engine::{Action, Engine, Request};
use super::failure::{FailureKind, Limits, Verdict};
use super::footprint::Thing;
use super::lines::{BY_RANK, in_turn};
use super::side::{Host, as_guest};
use super::view::View;
use crate::schedule::{Choice, Deviation, Granularity};
use crate::strategy::Strategy;

/// Points without a tick after which every clock ticks.
pub(crate) const TICK_POINTS: u64 = 4096;
/// The step from which on the strategy is not asked. Most programs have ended long before. One that has not may be in a loop that
/// waits for a CPU which the strategy never lets continue.
const FAIR_FROM: u64 = 50_000;
/// How many fine steps at most what is one coarse step has, about: limits are longer by this factor.
const FINE_STEPS: u64 = 4;
/// Points of a CPU's turn from then on.
const TURN_POINTS: u64 = 512;

/// Counters and limits of a run.
#[derive(Default)]
pub(crate) struct Clockwork {
    /// Decisions that were no steps: interrupts that were taken, and stores that were drained.
    takes: Cell<u64>,
    /// Clock interrupts that were taken.
    pub(crate) ticks: Cell<u64>,
    /// Clock interrupts that a strategy may still cause early.
    early_ticks: Cell<u32>,
    /// The point at which every clock ticks, unless one ticks earlier.
    tick_due: Cell<u64>,
    /// Points after a tick at which every clock ticks again.
    tick_points: Cell<u64>,
    /// The first point at which the strategy is asked.
    ask_at: Cell<u64>,
    /// Whether the strategy is asked earlier if something else becomes able to act, or the running CPU cannot
    /// continue.
    alert: Cell<bool>,
    /// Whether the strategy is asked only where the running CPU has no interrupt masked.
    low_only: Cell<bool>,
    /// Points after which the run is a livelock.
    max_points: Cell<u64>,
    /// The point from which on the strategy is not asked.
    fair_from: Cell<u64>,
    /// The point at which another CPU is to have its turn.
    turn_due: Cell<u64>,
    /// Ticks at rest since an actor last made progress.
    pub(crate) idle_ticks: Cell<u64>,
    /// The kernel's progress when it was last at rest.
    pub(crate) progress: Cell<u64>,
    /// Whether the current CPU has just reported that it spins.
    yielding: Cell<bool>,
    /// Whether the strategy wants the run to end here.
    pub(crate) ends: Cell<bool>,
}

impl Clockwork {
    /// Begins a run in which no strategy is asked.
    pub(crate) fn begin(&self, limits: &Limits, granularity: Granularity) {
        let longer = match granularity {
            Granularity::Coarse => 1,
            Granularity::Fine => FINE_STEPS,
        };
        self.takes.set(0);
        self.ticks.set(0);
        self.early_ticks.set(limits.early_ticks);
        self.tick_due.set(TICK_POINTS);
        self.tick_points.set(TICK_POINTS);
        self.ask_at.set(u64::MAX);
        self.alert.set(false);
        self.low_only.set(false);
        let steps = limits.steps.saturating_mul(longer);
        self.max_points.set(steps.min(Limits::MAX_STEPS));
        self.fair_from.set(FAIR_FROM * longer);
        self.turn_due
            .set((FAIR_FROM * longer).next_multiple_of(TURN_POINTS));
        self.idle_ticks.set(0);
        self.progress.set(0);
        self.yielding.set(false);
        self.ends.set(false);
    }

    /// Asks the strategy in the run that has just begun, in the way it wants.
    pub(crate) fn consult(&self, strategy: &dyn Strategy) {
        self.ask_at.set(0);
        self.alert.set(strategy.wants_alerts());
        self.low_only.set(strategy.wants_low_only());
    }

    /// Clocks tick only at rest, and where the strategy wants it.
    pub(crate) fn never_force_ticks(&self) {
        self.tick_points.set(u64::MAX);
        self.put_off_ticks(0);
    }

    /// There was a tick at this point.
    fn put_off_ticks(&self, point: u64) {
        let due = point.saturating_add(self.tick_points.get());
        self.tick_due.set(due);
    }

    /// Something has become able to act, or the running CPU cannot continue.
    #[inline]
    pub(crate) fn alert(&self) {
        if self.alert.get() {
            self.ask_at.set(0);
        }
    }

    /// Clock interrupts that a strategy may still cause.
    pub(crate) fn early_ticks_left(&self) -> u32 {
        self.early_ticks.get()
    }
}

impl Engine {
    /// Announces an operation. Returns when this CPU may make it.
    #[inline(always)]
    pub(crate) fn decide(&self, op: Op, at: At) {
        #[cfg(feature = "sanitizer")]
        if self.has_program.get() {
            super::counters::made(at);
        }
        let point = self.points.get();
        if point < self.attention.get() {
            self.points.set(point + 1);
        } else {
            self.decide_slowly(op.addr, op.kind, op.order, at);
        }
    }

    /// The operation comes in parts, which fit into registers: at most points nothing has to be put together.
    #[cold]
    #[inline(never)]
    fn decide_slowly(&self, addr: usize, kind: Kind, order: Ordering, at: At) {
        let _host = Host::begin();
        if self.late.get() {
            super::faults::late(self, at);
        }
        let addr = self.own(addr);
        let op = Op::new(addr, kind, order);
        loop {
            // Taking an interrupt can move the context to another CPU, so the CPU is read again each time.
            self.current().pending.set(Pending::Op(op, at));
            let spins = self.current().watch.spins();
            if spins {
                self.hold_back_suspect(at);
            }
            let action = self.next_action();
            if spins {
                // It may still use what it has read before.
                self.current().watch.spoil();
            }
            match action {
                Action::Step => break,
                Action::Take(line) => self.take(line),
            }
        }
        if matches!(kind, Kind::Rmw | Kind::MutexEnter) {
            self.drain_own();
        }
    }

    /// Decides which CPU continues, and leaves if it is another one. Returns what this CPU does, now or later.
    #[inline(always)]
    pub(crate) fn next_action(&self) -> Action {
        let me = self.cpu.get();
        match self.choose() {
            Some(Choice::Step(cpu) | Choice::Delay(cpu)) if cpu == me => return Action::Step,
            Some(Choice::Take(cpu, line)) if cpu == me => return Action::Take(line),
            Some(choice) => self.hand_to(choice),
            None => self.request.set(Request::Rest),
        }
        self.leave();
        self.action.get()
    }

    /// Decides which CPU continues, for the loop.
    pub(crate) fn decide_on_host(&self) {
        match self.choose() {
            Some(choice) => self.hand_to(choice),
            None => self.request.set(Request::Rest),
        }
    }

    fn hand_to(&self, choice: Choice) {
        let (cpu, action) = match choice {
            Choice::Take(cpu, line) => (cpu, Action::Take(line)),
            Choice::Step(cpu) | Choice::Delay(cpu) | Choice::Drain(cpu) => (cpu, Action::Step),
        };
        self.cpu.set(cpu);
        self.action.set(action);
        self.request.set(Request::Go);
    }

    /// Takes an interrupt on the running CPU and stack.
    pub(crate) fn take(&self, line: Line) {
        let cpu = self.cpu.get();
        self.touch_thing(Thing::Line(cpu, line));
        self.set_runnable(cpu);
        if self.tracing.get() {
            self.record_interrupt(line);
        }
        if line == Line::Net {
            self.touch_thing(Thing::Wire);
            let kernel = self.kernel();
            self.cards.arrive(kernel);
            self.announce_frame(kernel);
        }
        if self.fine.get() {
            // Until the kernel allows interrupts.
            self.set_fine(false);
        }
        as_guest(|| (self.interrupt.get())(line));
        if self.granularity.get() == Granularity::Fine {
            self.set_fine(true);
        }
        // The handler may have made the recorded reads invalid.
        self.current().watch.spoil();
        // The instruction that returns from an interrupt waits for all stores before it.
        self.drain_own();
    }

    /// Asserts the line on these CPUs.
    pub(crate) fn assert(&self, cpus: u32, line: Line) {
        self.lines.assert(cpus, line);
        self.clockwork.alert();
    }

    /// Announces the next frame on the wire of each kernel, if there is one.
    #[cold]
    pub(crate) fn announce_frames(&self) {
        (0..self.kernels.get()).for_each(|kernel| self.announce_frame(kernel));
    }

    /// Announces the next frame on a kernel's wire to one of its CPUs, if there is one.
    #[cold]
    fn announce_frame(&self, kernel: usize) {
        if let Some(cpu) = self.cards.next_cpu(kernel, self.cpus_a_kernel()) {
            let cpu = self.first_cpu(kernel) + cpu;
            self.touch_between(Thing::Line(cpu, Line::Net));
            self.assert(1 << cpu, Line::Net);
            self.focus();
        }
    }

    /// The CPU can step again.
    pub(crate) fn set_runnable(&self, cpu: usize) {
        self.runnable.set(self.runnable.get() | 1 << cpu);
        self.spinners.set(self.spinners.get() & !(1 << cpu));
        if !self.exact.get() {
            self.listeners.set(self.spinners.get());
        }
        self.suspects.set(self.suspects.get() & !(1 << cpu));
        self.clockwork.alert();
    }

    /// Holds the running CPU back until an address that it watches is written, or it takes an interrupt.
    fn hold_back(&self) {
        let me = 1 << self.cpu.get();
        self.runnable.set(self.runnable.get() & !me);
        self.spinners.set(self.spinners.get() | me);
        self.listeners.set(self.listeners.get() | me);
        self.clockwork.alert();
    }

    /// Holds the running CPU back, which has not reported that it spins.
    #[cold]
    fn hold_back_suspect(&self, at: At) {
        self.drain_own();
        let watch = &self.current().watch;
        watch.take_spinning();
        watch.remember(self.current().context.get(), at);
        self.hold_back();
        self.suspects.set(self.suspects.get() | 1 << self.cpu.get());
    }

    /// Lets the CPUs continue that are held back and have not reported that they spin, because no other can step. Returns whether
    /// there are any.
    pub(crate) fn trust_suspects(&self) -> bool {
        let suspects = self.suspects.get();
        for cpu in super::view::members(suspects) {
            self.set_runnable(cpu);
            self.cpus[cpu].watch.trust();
        }
        if suspects != 0 {
            self.request.set(Request::Decide);
        }
        suspects != 0
    }

    /// The CPU waits for an interrupt. Returns after it took one, or was woken by the host.
    pub(crate) fn wait(&self) {
        let cpu = self.cpu.get();
        self.drain_own();
        self.runnable.set(self.runnable.get() & !(1 << cpu));
        self.clockwork.alert();
        self.current().pending.set(Pending::Wait);
        if self.recording.get() {
            self.record_wait();
        }
        if let Action::Take(line) = self.next_action() {
            self.take(line);
        }
    }

    /// The CPU spins. Returns after something that it read was written; if that is unknown, after another CPU had a
    /// turn; or after it took an interrupt.
    pub(crate) fn spin(&self, at: At) {
        self.drain_own();
        let watch = &self.current().watch;
        let settled = match self.exact.get() {
            true => watch.settled_exactly(),
            false => watch.settled(self.writes.get()),
        };
        if settled {
            self.hold_back();
        }
        self.current().pending.set(Pending::Spin(at));
        if self.recording.get() {
            self.record_spin(at);
        }
        self.clockwork.yielding.set(true);
        self.clockwork.alert();
        let action = self.next_action();
        self.current().watch.clear();
        if let Action::Take(line) = action {
            self.take(line);
        }
    }

    /// The CPU has said that it waits, and not what for: another one has a turn.
    pub(crate) fn give_way(&self, at: At) {
        self.drain_own();
        self.current().pending.set(Pending::Spin(at));
        if self.recording.get() {
            self.record_spin(at);
        }
        self.clockwork.yielding.set(true);
        self.clockwork.alert();
        if let Action::Take(line) = self.next_action() {
            self.take(line);
        }
    }

    /// The CPU sleeps in code of the program that would stop a thread of the host: until the word at this address is written, or
    /// somebody [wakes](Self::wake_sleepers) those who sleep for it, or it takes an interrupt.
    pub(crate) fn sleep_on(&self, address: usize, at: At) {
        let watch = &self.current().watch;
        watch.clear();
        watch.note(address);
        self.hold_back();
        self.give_way(at);
        self.current().watch.spoil();
    }

    /// CPUs that sleep for this word continue. Returns 1 if there are any.
    pub(crate) fn wake_sleepers(&self, address: usize) -> i64 {
        let before = self.spinners.get();
        self.wake(address);
        i64::from(self.spinners.get() != before)
    }

    /// Something was written: CPUs that spin on it continue, and those that are about to do not wait.
    #[cold]
    pub(crate) fn wake(&self, address: usize) {
        let spinners = self.spinners.get();
        for cpu in super::view::members(self.listeners.get()) {
            let watch = &self.cpus[cpu].watch;
            if watch.has(address) {
                watch.is_written();
                if spinners & 1 << cpu != 0 {
                    self.set_runnable(cpu);
                }
            }
        }
        // What the host does makes no decision.
        if !self.is_on_host() {
            self.focus();
        }
    }

    /// Makes the next decision and counts it. `None`: the machine is at rest. What is chosen is done by a CPU: stores that are to be
    /// drained have been.
    #[inline(always)]
    fn choose(&self) -> Option<Choice> {
        match self.buffers.are_on() {
            true => self.choose_with_buffers(),
            false => self.choose_once(),
        }
    }

    #[cold]
    #[inline(never)]
    fn choose_with_buffers(&self) -> Option<Choice> {
        self.step_ended();
        loop {
            let yields = self.clockwork.yielding.get();
            let choice = self.choose_once()?;
            if !matches!(choice, Choice::Drain(_)) {
                if self.buffers.are_busy() {
                    self.show(choice.cpu());
                }
                return Some(choice);
            }
            self.clockwork.yielding.set(yields);
        }
    }

    #[inline(never)]
    fn choose_once(&self) -> Option<Choice> {
        let default = self.default_choice();
        self.clockwork.yielding.set(false);
        let default = default?;
        let point = self.points.get();
        if point >= self.clockwork.max_points.get() {
            self.livelock();
        }
        let mut choice = default;
        if point >= self.asks_at(self.cpu.get()) {
            choice = self.ask(point, default);
        }
        if self.buffers.ask() {
            choice = self.ask_for_stores(default, choice);
        }
        if choice != default {
            self.deviations
                .borrow_mut()
                .push(Deviation { point, choice });
            if let (Choice::Take(cpu, line), Choice::Step(_) | Choice::Delay(_)) = (default, choice)
            {
                self.lines.defer_line(cpu, line);
            }
        }
        self.points.set(point + 1);
        #[cfg(feature = "sanitizer")]
        self.count(choice);
        self.carry_out(choice);
        self.focus_on(choice.cpu());
        Some(choice)
    }

    /// Asks the strategy which stores are delayed and drained, where `choice` would be made.
    #[cold]
    #[inline(never)]
    fn ask_for_stores(&self, default: Choice, choice: Choice) -> Choice {
        let is_asked = self.points.get() < self.clockwork.fair_from.get();
        let Some(strategy) = self.strategy.get().filter(|_| is_asked) else {
            return choice;
        };
        // SAFETY: as in `ask`.
        let strategy = unsafe { &mut *strategy };
        let view = View::new(self, default);
        let asked = strategy.stores(&view, choice);
        match view.allows(asked) {
            true => asked,
            false => choice,
        }
    }

    /// Counts a choice, unless it is that the running CPU continues.
    #[cfg(feature = "sanitizer")]
    fn count(&self, choice: Choice) {
        let to = choice.cpu();
        if choice != Choice::Step(self.cpu.get()) && !self.has_program.get() {
            super::counters::gave_way(self.current(), choice, &self.cpus[to]);
        }
    }

    fn livelock(&self) -> ! {
        let points = self.clockwork.max_points.get();
        self.fail(
            FailureKind::Livelock,
            super::LIVELOCK,
            format!("no progress after {points} steps (limit)"),
            self.current().location(),
        )
    }

    fn default_choice(&self) -> Option<Choice> {
        let me = self.cpu.get();
        if self.points.get() >= self.clockwork.tick_due.get() {
            self.clockwork.put_off_ticks(self.points.get());
            self.lines.undefer();
            self.assert(self.all_cpus() & !self.starting(), Line::Clock);
        }
        let runnable = self.runnable.get();
        if !self.lines.are_quiet() {
            let started = !self.starting();
            let spins = u32::from(self.clockwork.yielding.get()) << me;
            let busy = runnable & !spins != 0;
            for line in BY_RANK {
                let cpus = self.lines.eligible(line, busy) & started;
                if cpus != 0 {
                    return Some(Choice::Take(in_turn(cpus, me), line));
                }
            }
        }
        let is_over = self.points.get() >= self.clockwork.turn_due.get();
        if is_over {
            self.clockwork.turn_due.set(self.points.get() + TURN_POINTS);
        }
        let from = me + usize::from(is_over || self.clockwork.yielding.get());
        (runnable != 0).then(|| Choice::Step(in_turn(runnable, from)))
    }

    /// The CPUs that have not started: they have no stack on which to take an interrupt.
    fn starting(&self) -> u32 {
        if self.strategy.get().is_some() {
            return 0;
        }
        let starts = |cpu: &usize| matches!(self.cpus[*cpu].pending.get(), Pending::Start);
        (0..self.ncpu.get())
            .filter(starts)
            .fold(0, |set, cpu| set | 1 << cpu)
    }

    fn ask(&self, point: u64, default: Choice) -> Choice {
        let Some(strategy) = self.strategy.get() else {
            return default;
        };
        // SAFETY: `Machine::run` borrows the strategy for the whole run and uses it only through this pointer; the
        // reference ends with the call below, which cannot come back here.
        let strategy = unsafe { &mut *strategy };
        let view = View::new(self, default);
        let answer = strategy.choose(&view);
        if self.clockwork.ends.get() {
            self.end(Verdict::Passed);
        }
        self.clockwork
            .ask_at
            .set(point.saturating_add(1).saturating_add(answer.quiet));
        if view.allows(answer.choice) {
            answer.choice
        } else {
            default
        }
    }

    fn carry_out(&self, choice: Choice) {
        match choice {
            Choice::Step(cpu) => self.lines.defer(cpu),
            Choice::Delay(cpu) => {
                self.lines.defer(cpu);
                self.delay_stores(cpu);
            }
            Choice::Drain(cpu) => {
                let clockwork = &self.clockwork;
                clockwork.takes.set(clockwork.takes.get() + 1);
                self.drain(cpu);
            }
            Choice::Take(cpu, line) => {
                let clockwork = &self.clockwork;
                clockwork.takes.set(clockwork.takes.get() + 1);
                let asserted = self.lines.take(cpu, line);
                if line == Line::Clock {
                    clockwork.ticks.set(clockwork.ticks.get() + 1);
                    clockwork.put_off_ticks(self.points.get());
                    if !asserted {
                        clockwork.early_ticks.set(clockwork.early_ticks.get() - 1);
                    }
                }
            }
        }
    }

    /// The first point at which the strategy is asked, as long as `cpu` runs at its current level.
    #[inline]
    fn asks_at(&self, cpu: usize) -> u64 {
        let masked = self.clockwork.low_only.get() && self.cpus[cpu].ipl.get() != 0;
        if masked || self.points.get() >= self.clockwork.fair_from.get() {
            u64::MAX
        } else {
            self.clockwork.ask_at.get()
        }
    }

    /// The interrupt priority level of the CPU that runs is now `level`.
    #[inline]
    pub(crate) fn set_ipl(&self, level: u8) {
        self.current().ipl.set(level);
        if level == 0 && self.clockwork.low_only.get() && !self.is_on_host() {
            let asks_at = self.clockwork.ask_at.get();
            self.attention.set(self.attention.get().min(asks_at));
        }
    }

    /// Computes the first point at which the running CPU may not simply continue.
    #[inline]
    pub(crate) fn focus(&self) {
        self.focus_on(self.cpu.get());
    }

    /// The same, for a CPU that is about to run.
    #[inline]
    fn focus_on(&self, cpu: usize) {
        let runnable = self.runnable.get();
        // A CPU that continues on its own has something to do.
        let interrupted = !self.lines.are_quiet()
            && Line::ALL
                .iter()
                .any(|&line| self.lines.eligible(line, runnable != 0) != 0);
        let clockwork = &self.clockwork;
        let quiet = self
            .asks_at(cpu)
            .min(self.clockwork.turn_due.get())
            .min(clockwork.tick_due.get())
            .min(clockwork.max_points.get());
        let every = interrupted || self.buffers.want_every_point();
        self.attention.set(if every { 0 } else { quiet });
    }

    /// Steps that were made in this run.
    pub(crate) fn steps(&self) -> u64 {
        self.points.get() - self.clockwork.takes.get()
    }

    /// Lets every clock tick, at rest.
    pub(crate) fn tick_all(&self) {
        self.touch_rest();
        self.assert(self.all_cpus(), Line::Clock);
        self.request.set(Request::Decide);
    }

    /// The place of the free, if the current step of the running CPU is one.
    pub(crate) fn location_of_free(&self) -> Option<At> {
        match self.current().pending.get() {
            Pending::Op(op, at) if op.kind == Kind::Free => Some(at),
            _ => None,
        }
    }
}
