//! spl(9): interrupt priority levels.
//!
//! # Overview
//!
//! Every CPU has a level, `ci_ilevel`. An interrupt whose level is not above it is *pending*: its bit is set in
//! `ci_ipending`, and the next sufficient lowering of the level runs it. Soft interrupts are bits of the same word.
//! The host does not know about levels: it reports that a line is asserted ([`interrupt`]), and this module does the
//! rest. A request of the scheduler to take the running LWP off the CPU is also a bit of that word (`want_kpreempt`),
//! which only level none unmasks.
//!
//! # Examples
//!
//! ```
//! use hostshim::example::run;
//! use kmod::kern::spl::{self, Ipl};
//!
//! run(|| {
//!     let s = spl::splraise(Ipl::SoftNet);
//!     assert_eq!(spl::ilevel(), Ipl::SoftNet); // no softint of softnet runs on this CPU now
//!     spl::splx(s);
//!     assert_eq!(spl::ilevel(), Ipl::None);
//! });
//! ```
//!
//! # Contexts
//!
//! Everything here may be called from every context; `raised` only by callers that stay on their CPU.
//!
//! # Per-CPU operation
//!
//! `ci_ilevel` and `ci_ipending` are accessed by their own CPU alone, by threads and by interrupts on top of them. An
//! interrupt restores the level that it found.
//!
//! # Invariants
//!
//! 1. [`splx`] runs everything that it unmasks before it returns.
//! 2. It lowers the level *first* and then checks the pending word *again*. An interrupt that came before the store
//!    was made pending; one that comes after it runs by itself. So no interrupt is lost, and the hardware's interrupt
//!    flag need not be changed.
//! 3. A hard interrupt returns at the level at which it came.
//!
//! # The fast path
//!
//! When nothing is pending, a raise is a load and a store, and a lowering is a store followed by a load of the
//! pending word. Only a raise needs preemption off, and only for its two accesses: at level none the LWP may be moved
//! to another CPU between them. Callers that stay on the CPU anyway do not need that (`raised`). A lowering that
//! finds pending work raises the level to IPL_HIGH again, on whichever CPU it is by then, and runs the work from
//! there. A preemption stays pending while preemption is disabled: each lowering to level none then finds it.
//!
//! # Differences from NetBSD
//!
//! All soft levels are distinct. IPL_VM and IPL_NET are one. There is no user mode, so
//! [`crate::kern::synch::preempt_point`] does what NetBSD does on return to user mode (`userret`).
//!
//! # Sources
//!
//! spl(9); `sys/arch/x86/x86/intr.c`, `sys/arch/amd64/amd64/spl.S`.

mod raised;

use core::sync::atomic::compiler_fence;

pub(crate) use raised::{AFTERWARDS, lower_to_then, raise_from_none, raise_further, raised, stay};

use crate::kern::cpu::Cpu;
use crate::kern::lwp::{curcpu, curlwp};
use crate::kern::{clock, intr, softint, synch};
use crate::machine::{self, Kind, Line, Mark};
use crate::mem::{Relaxed, SeqCst};

/// An interrupt priority level.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Ipl {
    /// Nothing is masked.
    None = 0,
    /// Masks softclock: callouts.
    SoftClock = 1,
    /// Masks softbio too.
    SoftBio = 2,
    /// Masks softnet too.
    SoftNet = 3,
    /// Masks all soft interrupts.
    SoftSerial = 4,
    /// Masks devices too.
    Vm = 5,
    /// Masks the clock too: the scheduler's level.
    Sched = 6,
    /// Masks everything.
    High = 7,
}

impl Ipl {
    const ALL: [Ipl; 8] = [
        Ipl::None,
        Ipl::SoftClock,
        Ipl::SoftBio,
        Ipl::SoftNet,
        Ipl::SoftSerial,
        Ipl::Vm,
        Ipl::Sched,
        Ipl::High,
    ];

    /// The level with this number.
    pub const fn from_number(number: u8) -> Ipl {
        Ipl::ALL[number as usize]
    }

    /// The level with this number, unchecked. For the fast paths.
    ///
    /// # Safety
    ///
    /// The number was made from a level.
    #[inline(always)]
    pub(crate) const unsafe fn from_number_unchecked(number: u8) -> Ipl {
        // SAFETY: the caller's promise.
        unsafe { core::mem::transmute::<u8, Ipl>(number) }
    }

    /// Whether this is a level of soft interrupts.
    pub const fn is_soft(self) -> bool {
        matches!(
            self,
            Ipl::SoftClock | Ipl::SoftBio | Ipl::SoftNet | Ipl::SoftSerial
        )
    }

    /// The name in the manual page, in lower case.
    pub const fn name(self) -> &'static str {
        match self {
            Ipl::None => "none",
            Ipl::SoftClock => "softclock",
            Ipl::SoftBio => "softbio",
            Ipl::SoftNet => "softnet",
            Ipl::SoftSerial => "softserial",
            Ipl::Vm => "vm",
            Ipl::Sched => "sched",
            Ipl::High => "high",
        }
    }
}

/// The level of a line.
const fn line_ipl(line: Line) -> Ipl {
    match line {
        Line::Clock => Ipl::Sched,
        Line::Ipi => Ipl::High,
        Line::Net => Ipl::Vm,
    }
}

// The pending word: bits 1..5 are the soft levels by their IPL, bits 5..8 the devices' levels by theirs; the lines
// start at LINE_SHIFT. Bit 0, which no level uses, is a preemption (`SIR_PREEMPT`).
const LINE_SHIFT: u32 = 8;
const PREEMPT_BIT: u32 = 1 << Ipl::None as u32;

const fn level_bit(level: Ipl) -> u32 {
    1 << level as u32
}

const fn line_bit(line: Line) -> u32 {
    1 << (LINE_SHIFT + line as u32)
}

/// The pending bits whose level is higher than `level`.
const fn unmasked(level: Ipl) -> u32 {
    let mut mask = 0;
    let mut number = level as u8 + 1;
    while number < 8 {
        mask |= level_bit(Ipl::from_number(number));
        number += 1;
    }
    if (level as u8) < line_ipl(Line::Clock) as u8 {
        mask |= line_bit(Line::Clock);
    }
    if (level as u8) < line_ipl(Line::Ipi) as u8 {
        mask |= line_bit(Line::Ipi);
    }
    if (level as u8) < line_ipl(Line::Net) as u8 {
        mask |= line_bit(Line::Net);
    }
    mask
}

const UNMASKED: [u32; 8] = [
    unmasked(Ipl::None),
    unmasked(Ipl::SoftClock),
    unmasked(Ipl::SoftBio),
    unmasked(Ipl::SoftNet),
    unmasked(Ipl::SoftSerial),
    unmasked(Ipl::Vm),
    unmasked(Ipl::Sched),
    unmasked(Ipl::High),
];

#[inline(always)]
fn set_level(ci: &Cpu, level: Ipl) {
    compiler_fence(SeqCst);
    ci.ci_ilevel.set(level as u8);
    machine::ipl(level as u8);
    compiler_fence(SeqCst);
}

/// The level of `ci`.
#[inline(always)]
#[track_caller]
fn level_of(ci: &Cpu) -> Ipl {
    // SAFETY: `set_level` stores levels there, and so does the making of a CPU.
    unsafe { Ipl::from_number_unchecked(ci.ci_ilevel.get()) }
}

/// The level of this CPU.
#[inline]
pub fn ilevel() -> Ipl {
    // SAFETY: `set_level` stores levels there, and so does the making of a CPU.
    curlwp().of_cpu(|ci| unsafe { Ipl::from_number_unchecked(ci.ci_ilevel.look()) })
}

/// Raises the level of this CPU to at least `level` and returns the previous level (`splraiseipl`).
///
/// Context: any. Panics (contract `spl-raises`) if `level` is none.
#[inline]
#[track_caller]
pub fn splraise(level: Ipl) -> Ipl {
    crate::contract!(
        level > Ipl::None,
        "spl-raises",
        "splraise({}) in {}: at level none it would not stay on its CPU until splx",
        level.name(),
        curlwp().name()
    );
    // At level none the LWP may be preempted and moved: keep it on this CPU for the change.
    let l = curlwp();
    l.l_nopreempt.increment();
    compiler_fence(SeqCst);
    let ci = l.cpu_unlocked();
    let old = level_of(ci);
    if level > old {
        set_level(ci, level);
    }
    compiler_fence(SeqCst);
    l.l_nopreempt.decrement();
    old
}

/// Raises to [`Ipl::High`].
#[inline]
#[track_caller]
pub fn splhigh() -> Ipl {
    splraise(Ipl::High)
}

/// Raises to [`Ipl::SoftSerial`].
#[inline]
#[track_caller]
pub fn splsoftserial() -> Ipl {
    splraise(Ipl::SoftSerial)
}

/// Lowers the level of this CPU to `level`, and runs what that unmasks before it returns.
///
/// Context: any, after the raise that returned `level`; above level none the caller stays on its CPU. Panics
/// (contract
/// `splx-lowers`) if the level is below `level` already.
#[inline]
#[track_caller]
pub fn splx(level: Ipl) {
    if cfg!(feature = "points") {
        lower_point(curcpu());
    }
    splx_fused(level);
}

/// [`splx`] as part of the current step.
#[inline]
#[track_caller]
pub(crate) fn splx_fused(level: Ipl) {
    let ci = curcpu();
    let now = level_of(ci);
    crate::contract!(
        level <= now,
        "splx-lowers",
        "splx({}) on cpu{} at level {}: splx only lowers",
        level.name(),
        ci.index(),
        now.name()
    );
    if level < now {
        lower_to(ci, level);
    }
}

/// Lowers the level of `ci`, this CPU, to `level`. Runs what has become pending before it returns.
#[inline(always)]
pub(crate) fn lower_to(ci: &'static Cpu, level: Ipl) {
    if lowered_at_once(ci, level) {
        return;
    }
    set_level(ci, level);
    // From here on, at level none, this may be another CPU. The previous CPU has run what was pending there.
    if ci.ci_ipending.look() != 0 {
        lower_again(level);
    }
}

/// On the simulated machine an interrupt comes only at a step, and lowering the level is announced as one. So pending
/// work is looked for before the level is lowered.
#[inline(always)]
fn lowered_at_once(ci: &'static Cpu, level: Ipl) -> bool {
    let found = cfg!(feature = "points") && pending(ci, level) != 0;
    if found {
        lower(ci, level);
    }
    found
}

/// The step of an [`splx`].
#[inline(always)]
#[track_caller]
pub(crate) fn lower_point(ci: &Cpu) {
    if cfg!(feature = "points") {
        machine::point(core::ptr::from_ref(ci) as usize, Kind::Splx, Relaxed);
    }
}

/// Runs a function at IPL_HIGH as part of the current step, without side effects: it does not cause a preemption.
/// Interrupts that came in the meantime run before it returns.
pub(crate) fn aside<T>(f: impl FnOnce() -> T) -> T {
    let level = splhigh();
    let result = f();
    let ci = curcpu();
    set_level(ci, level);
    if pending(ci, level) != 0 {
        lower_again(level);
    }
    result
}

/// Something is pending. If it is no longer masked, masks it again and runs it. At level none, a pending preemption
/// takes the LWP off the CPU.
#[cold]
fn lower_again(level: Ipl) {
    let pending = curcpu().ci_ipending.look();
    if pending & UNMASKED[level as usize] != 0 {
        splraise(Ipl::High);
        lower(curcpu(), level);
    } else if level == Ipl::None && pending & PREEMPT_BIT != 0 {
        synch::kpreempt_if_wanted();
    }
}

/// What is pending on `ci` and not masked at `level`.
#[inline(always)]
fn pending(ci: &Cpu, level: Ipl) -> u32 {
    ci.ci_ipending.look() & UNMASKED[level as usize]
}

/// Lowers the level and runs what was pending, highest first. Panics: contract `preempt-late`.
fn lower(ci: &'static Cpu, level: Ipl) {
    // At level none an interrupt may preempt the LWP: it stays on this CPU until all of this is done.
    let l = curlwp();
    l.l_nopreempt.increment();
    compiler_fence(SeqCst);
    loop {
        while let Some(pending) = highest_pending(ci, level) {
            run_pending(ci, pending);
        }
        set_level(ci, level);
        if pending(ci, level) == 0 {
            break;
        }
        // It came between the check and the store, and was made pending: mask again and run it.
        set_level(ci, Ipl::High);
    }
    compiler_fence(SeqCst);
    l.l_nopreempt.decrement();
    if level == Ipl::None {
        synch::kpreempt_if_wanted();
        synch::assert_not_put_off(l);
    }
}

#[derive(Clone, Copy)]
enum Pending {
    Hard(Hard),
    /// A level, and everything that was pending when it was chosen.
    Soft(Ipl, u32),
}

/// What a hard interrupt is of.
#[derive(Clone, Copy)]
enum Hard {
    /// A line of the machine.
    Line(Line),
    /// The devices at this level ([`intr`]).
    Device(Ipl),
}

impl Hard {
    const fn level(self) -> Ipl {
        match self {
            Hard::Line(line) => line_ipl(line),
            Hard::Device(level) => level,
        }
    }

    const fn bit(self) -> u32 {
        match self {
            Hard::Line(line) => line_bit(line),
            Hard::Device(level) => level_bit(level),
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Hard::Line(line) => line.name(),
            Hard::Device(_) => "device",
        }
    }

    const fn begins(self) -> Mark {
        match self {
            Hard::Line(line) => Mark::Handler(line),
            Hard::Device(level) => Mark::Device(level as u8),
        }
    }

    const fn is_over(self) -> Mark {
        match self {
            Hard::Line(line) => Mark::HandlerOver(line),
            Hard::Device(level) => Mark::DeviceOver(level as u8),
        }
    }

    /// All of them, highest first.
    const BY_RANK: [Hard; 6] = [
        Hard::Line(Line::Ipi),
        Hard::Device(Ipl::High),
        Hard::Line(Line::Clock),
        Hard::Device(Ipl::Sched),
        Hard::Line(Line::Net),
        Hard::Device(Ipl::Vm),
    ];
}

/// Whether the line was taken on `ci` and its handler is still to run. For checks at rest.
pub(crate) fn is_pending(ci: &Cpu, line: Line) -> bool {
    ci.ci_ipending.look() & line_bit(line) != 0
}

fn highest_pending(ci: &Cpu, level: Ipl) -> Option<Pending> {
    let pending = pending(ci, level);
    if pending == 0 {
        return None;
    }
    for hard in Hard::BY_RANK {
        if pending & hard.bit() != 0 {
            return Some(Pending::Hard(hard));
        }
    }
    let highest = 31 - pending.leading_zeros();
    Some(Pending::Soft(Ipl::from_number(highest as u8), pending))
}

fn run_pending(ci: &'static Cpu, pending: Pending) {
    match pending {
        Pending::Hard(hard) => {
            ci.ci_ipending.bare().fetch_and(!hard.bit(), Relaxed);
            handle(ci, hard);
        }
        Pending::Soft(level, among) => {
            assert_is_highest(ci, level, among);
            ci.ci_ipending.bare().fetch_and(!level_bit(level), Relaxed);
            softint::dispatch(ci, level);
        }
    }
}

/// Panics (contract `softint-rank`) if a soft interrupt of a higher level than this one was pending when this one was chosen: it goes first.
/// What an interrupt has made pending since goes next.
fn assert_is_highest(ci: &Cpu, level: Ipl, among: u32) {
    let soft = unmasked(level) & !unmasked(Ipl::SoftSerial);
    let higher = among & soft;
    crate::contract!(
        higher == 0,
        "softint-rank",
        "a soft interrupt of level {} is dispatched on cpu{}, and one of level {} is pending",
        level.name(),
        ci.index(),
        Ipl::from_number((31 - higher.leading_zeros()) as u8).name()
    );
}

/// Runs the handler of a line, or the handlers of devices, at their level.
///
/// Panics: contracts `intr-spl`, `intr-spin`, `intr-nopreempt`.
fn handle(ci: &'static Cpu, hard: Hard) {
    let l = curlwp();
    let before = (ci.ci_mtx_count.get(), l.l_nopreempt.get());
    ci.ci_idepth.set(ci.ci_idepth.get() + 1);
    set_level(ci, hard.level());
    machine::mark(hard.begins());
    machine::interrupts_on();
    match hard {
        Hard::Line(line) => {
            if let Some(handler) = ci.kernel().handler(line) {
                handler(ci);
            }
        }
        Hard::Device(level) => intr::run(ci, level),
    }
    check_after_interrupt(ci, hard, before);
    machine::mark(hard.is_over());
    ci.ci_idepth.set(ci.ci_idepth.get() - 1);
}

/// Checks that a handler left nothing behind. `before` has the number of held spin mutexes, and the preemption count,
/// from before the call.
fn check_after_interrupt(ci: &Cpu, hard: Hard, before: (i32, i32)) {
    let (mtx_count, nopreempt) = before;
    crate::contract!(
        ci.ci_mtx_count.get() == mtx_count,
        "intr-spin",
        "the handler of line {} returned on cpu{} with {} spin mutexes more than it was called with",
        hard.name(),
        ci.index(),
        mtx_count - ci.ci_mtx_count.get()
    );
    crate::contract!(
        ci.ci_ilevel.get() == hard.level() as u8,
        "intr-spl",
        "the handler of line {} returned on cpu{} at level {}, and was called at {}",
        hard.name(),
        ci.index(),
        Ipl::from_number(ci.ci_ilevel.get()).name(),
        hard.level().name()
    );
    crate::contract!(
        curlwp().l_nopreempt.get() == nopreempt,
        "intr-nopreempt",
        "the handler of line {} returned on cpu{} with preemption of {} turned off {} times more than before",
        hard.name(),
        ci.index(),
        curlwp().name(),
        curlwp().l_nopreempt.get() - nopreempt
    );
}

/// A line is asserted on this CPU. Called by the host; see [`crate::entry::interrupt`].
pub fn interrupt(line: Line) {
    let ci = curcpu();
    let old = level_of(ci);
    let is_masked = line_ipl(line) <= old;
    if line == Line::Clock {
        let waits = is_masked && ci.ci_ipending.look() & line_bit(line) != 0;
        clock::interrupted(ci, waits);
    }
    if is_masked {
        ci.ci_ipending.bare().fetch_or(line_bit(line), Relaxed);
        return;
    }
    handle(ci, Hard::Line(line));
    lower(ci, old);
}

/// Marks the devices of a level pending on this CPU. From the handler of a line at [`Ipl::High`], after which they run.
pub(crate) fn device_trigger(ci: &Cpu, level: Ipl) {
    ci.ci_ipending.bare().fetch_or(level_bit(level), Relaxed);
}

/// Marks a soft level pending on this CPU. The level is masked, or its dispatch follows at the next [`splx`].
pub(crate) fn softint_trigger(ci: &Cpu, level: Ipl) {
    ci.ci_ipending.bare().fetch_or(level_bit(level), Relaxed);
}

/// The scheduler wants the running LWP off this CPU. This is pending until the CPU switches.
pub(crate) fn want_kpreempt(ci: &Cpu) {
    ci.ci_ipending.bare().fetch_or(PREEMPT_BIT, Relaxed);
}

/// Whether the scheduler wants the running LWP off `ci`, this CPU. The host does not see this read.
#[inline]
pub(crate) fn kpreempt_pending(ci: &Cpu) -> bool {
    ci.ci_ipending.look() & PREEMPT_BIT != 0
}

/// This CPU switches, which is what was wanted. The level is the scheduler's, and is not changed.
pub(crate) fn kpreempt_done(ci: &Cpu) {
    if kpreempt_pending(ci) {
        ci.ci_ipending.bare().fetch_and(!PREEMPT_BIT, Relaxed);
    }
}

/// Sets the level from within a dispatch; its caller checks for pending work.
pub(crate) fn force_level(ci: &Cpu, level: Ipl) {
    set_level(ci, level);
}

/// `cpu_intr_p`: whether the caller runs in a hard interrupt.
#[inline]
pub fn cpu_intr_p() -> bool {
    curlwp().of_cpu(|ci| ci.ci_idepth.look() != 0)
}

/// `cpu_softintr_p`: whether the caller runs in a soft interrupt.
#[inline]
pub fn cpu_softintr_p() -> bool {
    curlwp().is_softint()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_masks_itself_and_what_is_below() {
        assert_eq!(UNMASKED[Ipl::High as usize], 0);
        assert_eq!(
            UNMASKED[Ipl::Sched as usize],
            level_bit(Ipl::High) | line_bit(Line::Ipi)
        );
        assert_eq!(
            UNMASKED[Ipl::SoftNet as usize],
            level_bit(Ipl::SoftSerial)
                | level_bit(Ipl::Vm)
                | level_bit(Ipl::Sched)
                | level_bit(Ipl::High)
                | line_bit(Line::Clock)
                | line_bit(Line::Ipi)
                | line_bit(Line::Net)
        );
        assert_eq!(UNMASKED[Ipl::None as usize].count_ones(), 10);
    }

    #[test]
    fn what_is_to_be_done_afterwards_is_never_pending() {
        let lines = [Line::Clock, Line::Ipi, Line::Net].map(line_bit);
        let levels = Ipl::ALL.map(level_bit);
        for bit in lines.into_iter().chain(levels).chain([PREEMPT_BIT]) {
            assert_eq!(bit & AFTERWARDS, 0);
        }
        assert_eq!(UNMASKED[Ipl::None as usize] & PREEMPT_BIT, 0, "no handler");
    }

    #[test]
    fn a_level_is_left_for_what_is_higher() {
        let levels = Hard::BY_RANK.map(Hard::level);
        assert!(levels.is_sorted_by(|one, next| one >= next));
    }

    #[test]
    fn levels_have_their_numbers() {
        for level in Ipl::ALL {
            assert_eq!(Ipl::from_number(level as u8), level);
        }
    }
}
