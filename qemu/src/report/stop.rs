//! Stops the CPUs: one writes the report, the others stay where they are.

use core::fmt;
use core::sync::atomic::{
    AtomicUsize, Ordering::Acquire, Ordering::Relaxed, Ordering::Release, Ordering::SeqCst,
};

use x86_64::instructions::hlt;

use crate::cpu::interrupt::TrapFrame;
use crate::cpu::{self, PerCpu, apic, time};
use crate::memory::stack::Stack;

/// Time limit for the others to stop, in microseconds.
const PATIENCE_US: u64 = 1_000_000;

const NOBODY: usize = usize::MAX;

/// The CPU that writes the report.
static REPORTER: AtomicUsize = AtomicUsize::new(NOBODY);

/// Who writes the report.
pub(crate) enum Claim {
    /// The caller.
    First,
    /// Another CPU.
    Other,
    /// The caller, which has already started.
    Again,
}

/// Claims the report for CPU `cpu`.
pub(crate) fn claim(cpu: usize) -> Claim {
    match REPORTER.compare_exchange(NOBODY, cpu, SeqCst, SeqCst) {
        Ok(_) => Claim::First,
        Err(first) if first == cpu => Claim::Again,
        Err(_) => Claim::Other,
    }
}

/// Stops all CPUs except `reporter`. Returns those that did not stop, as a set of bits.
pub(crate) fn stop_others(reporter: &PerCpu) -> u32 {
    let others = || cpu::all().filter(|cpu| cpu.index() != reporter.index());
    for cpu in others() {
        apic::send_nmi(cpu.apic_id.load(Relaxed));
    }
    let running = || others().filter(|cpu| cpu.stopped.load(Acquire).is_null());
    let end = time::now_us() + PATIENCE_US;
    while running().next().is_some() && time::now_us() < end {
        core::hint::spin_loop();
    }
    running().fold(0, |set, cpu| set | 1 << cpu.index())
}

/// Records where this CPU was, and stays.
pub(crate) fn stay(frame: &TrapFrame) -> ! {
    // The first place counts: the request to stop also reaches a CPU that has already stopped.
    let frame = core::ptr::from_ref(frame).cast_mut();
    let _ = cpu::this()
        .stopped
        .compare_exchange(core::ptr::null_mut(), frame, Release, Relaxed);
    loop {
        hlt();
    }
}

/// Where `cpu` was when it was stopped.
pub(crate) fn frame_of(cpu: &PerCpu) -> Option<&'static TrapFrame> {
    let frame = cpu.stopped.load(Acquire);
    // SAFETY: `stay` left it, on a stack that stays as it is.
    unsafe { frame.as_ref() }
}

/// The LWP that `cpu` ran, by the name of its context.
pub(crate) struct RunningLwp<'a>(pub(crate) &'a PerCpu);

impl fmt::Display for RunningLwp<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let context = self.0.context.load(Relaxed);
        if context == usize::MAX {
            return f.write_str("none yet, it is being started");
        }
        write!(f, "{}", Stack::from_number(context).owner())?;
        if self.0.waits.load(Relaxed) {
            f.write_str(" (waits for an interrupt)")?;
        }
        Ok(())
    }
}
