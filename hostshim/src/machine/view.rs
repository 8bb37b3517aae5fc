//! The machine's state as a strategy sees it at a point.

use std::cell::Ref;

use kmod::machine::{At, Line, Op};

use super::cpu::Pending;
use super::engine::Engine;
use super::footprint::Touch;
use super::lines::BY_RANK;
use super::memory::CONTEXTS;
use super::trace::PointName;
use super::words::Word;
use crate::schedule::Choice;

/// The machine as a strategy sees it at a point: what each CPU is about to do, and what could interrupt it.
///
/// It gives access to the machine's own state through methods, so making a view costs nothing. Sets of CPUs are bit
/// masks, with CPU 0 in the lowest bit.
pub struct View<'a> {
    engine: &'a Engine,
    default: Choice,
}

impl<'a> View<'a> {
    pub(crate) fn new(engine: &'a Engine, default: Choice) -> View<'a> {
        View { engine, default }
    }

    /// Number of CPUs.
    pub fn ncpu(&self) -> usize {
        self.engine.ncpu.get()
    }

    /// Number of this point, counted from the release of the actors.
    #[inline]
    pub fn point(&self) -> u64 {
        self.engine.points.get()
    }

    /// The CPU that made the last step.
    #[inline]
    pub fn current(&self) -> usize {
        self.engine.cpu.get()
    }

    /// What the machine would do by default.
    #[inline]
    pub fn default_choice(&self) -> Choice {
        self.default
    }

    /// The CPUs that can step.
    #[inline]
    pub fn runnable(&self) -> u32 {
        self.engine.runnable.get()
    }

    /// The CPUs on which the line is asserted.
    #[inline]
    pub fn asserted(&self, line: Line) -> u32 {
        self.engine.lines.asserted(line)
    }

    /// The CPUs that can take the line now: those on which it is asserted; for the clock all of them, as long as the
    /// limits allow another early tick.
    #[inline]
    pub fn takeable(&self, line: Line) -> u32 {
        let early = line == Line::Clock && self.engine.clockwork.early_ticks_left() > 0;
        if early {
            self.engine.all_cpus()
        } else {
            self.asserted(line)
        }
    }

    /// The CPUs that can make a step whose stores are delayed.
    pub fn delayable(&self) -> u32 {
        match self.engine.buffers.are_on() {
            true => self.runnable(),
            false => 0,
        }
    }

    /// The CPUs whose store buffers have something that others do not see.
    pub fn drainable(&self) -> u32 {
        let has = |cpu: &usize| self.engine.buffers.has(*cpu);
        let cpus = (0..self.ncpu()).filter(has);
        cpus.fold(0, |set, cpu| set | 1 << cpu)
    }

    /// Whether the choice is possible now.
    #[inline]
    pub fn allows(&self, choice: Choice) -> bool {
        let (cpu, set) = match choice {
            Choice::Step(cpu) => (cpu, self.runnable()),
            Choice::Take(cpu, line) => (cpu, self.takeable(line)),
            Choice::Delay(cpu) => (cpu, self.delayable()),
            Choice::Drain(cpu) => (cpu, self.drainable()),
        };
        cpu < self.ncpu() && set & 1 << cpu != 0
    }

    /// Everything that is possible now, except early ticks: steps first, by CPU, then asserted interrupts.
    pub fn choices(&self) -> impl Iterator<Item = Choice> + use<> {
        let steps = members(self.runnable()).map(Choice::Step);
        let interrupts = BY_RANK
            .map(|line| members(self.asserted(line)).map(move |cpu| Choice::Take(cpu, line)));
        steps.chain(interrupts.into_iter().flatten())
    }

    /// What the CPU does in its next step.
    ///
    /// # Panics
    ///
    /// This and the other methods with a CPU as argument, if there is no such CPU.
    #[inline]
    pub fn pending(&self, cpu: usize) -> Pending {
        self.engine.cpus[cpu].pending.get()
    }

    /// Whether the current CPU has just reported that it spins and could continue; a step would be another iteration.
    pub fn is_yielding(&self) -> bool {
        let me = self.current();
        matches!(self.pending(me), Pending::Spin(_)) && self.runnable() & 1 << me != 0
    }

    /// The operation that the CPU is about to make, if any.
    pub fn op(&self, cpu: usize) -> Option<(Op, At)> {
        match self.pending(cpu) {
            Pending::Op(op, at) => Some((op, at)),
            Pending::Start | Pending::Wait | Pending::Spin(_) => None,
        }
    }

    /// The interrupt priority level of the CPU.
    pub fn ipl(&self, cpu: usize) -> u8 {
        self.engine.cpus[cpu].ipl.get()
    }

    /// The number of the context that runs on the CPU.
    #[inline]
    pub fn context(&self, cpu: usize) -> usize {
        self.engine.cpus[cpu].context.get()
    }

    /// The numbers of all contexts that there are.
    pub fn contexts(&self) -> impl Iterator<Item = usize> {
        let contexts = &self.engine.contexts;
        (0..CONTEXTS).filter(|index| contexts.is_alive(*index))
    }

    /// The name of the context that runs on the CPU.
    pub fn context_name(&self, cpu: usize) -> String {
        self.engine.context_name(cpu)
    }

    /// The name of the object of the operation that the CPU is about to make, if any.
    pub fn object(&self, cpu: usize) -> Option<String> {
        self.op(cpu).map(|(op, _)| self.engine.object(op))
    }

    /// The name of the point at which the CPU is, for replay files. Occurrences are counted only on a machine that
    /// was booted to be traced.
    #[inline]
    pub fn name(&self, cpu: usize) -> PointName {
        self.engine.name_point(cpu)
    }

    /// The text of a word of such a name.
    pub fn text(&self, word: Word) -> String {
        self.engine.text(word)
    }

    /// The word for a text, to compare it with such names.
    pub fn word(&self, text: &str) -> Word {
        self.engine.word(text)
    }

    /// Keeps footprints from the next step of this run on.
    pub fn keep_footprints(&self) {
        self.engine.keep_footprints();
    }

    /// Moves what the step that has just ended touched to `into`. Empty unless footprints are kept.
    pub fn take_footprint(&self, into: &mut Vec<Touch>) {
        self.engine.take_footprint(into);
    }

    /// Ends the run at this point, whatever the strategy answers: it wants to see no more of it. The run counts as passed.
    pub fn end_run(&self) {
        self.engine.clockwork.ends.set(true);
    }

    /// Calls `f` with everything of the machine that decides what happens from here on, apart from what follows from the steps
    /// that were made and their order where they depend on each other; for a strategy that
    /// [wants exact spinning](crate::Strategy::wants_exact_spinning).
    pub fn hidden_state(&self, mut f: impl FnMut(u64)) {
        let engine = self.engine;
        f(self.current() as u64 | u64::from(self.runnable()) << 32);
        engine.lines.state(&mut f);
        f(u64::from(engine.clockwork.early_ticks_left()));
    }

    /// The deviations of this run so far.
    pub fn deviations(&self) -> Ref<'_, [crate::schedule::Deviation]> {
        Ref::map(self.engine.deviations.borrow(), Vec::as_slice)
    }
}

/// The CPUs of a set, in order.
pub fn members(mut cpus: u32) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let cpu = (cpus != 0).then(|| cpus.trailing_zeros() as usize)?;
        cpus &= cpus - 1;
        Some(cpu)
    })
}
