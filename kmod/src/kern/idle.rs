//! The idle LWPs, which run when a CPU has nothing else to run.
//!
//! An idle LWP is bound to its CPU, cannot be preempted and never sleeps. It carries out migrations, looks for work
//! on other CPUs, and waits for an interrupt.
//!
//! [`halt`] and [`halt_unless`] are the instructions with which a CPU waits, for a scenario's own idle loops.
//!
//! Sources: `sys/kern/kern_idle.c`; `cpu_idle_halt` in `sys/arch/x86/x86/cpu.c`.

use crate::contract;
use crate::kern::cpu::Cpu;
use crate::kern::lwp::{self, Arg, LP_BOUND, LP_IDLE, Lwp, Name, Spec, Stat, curcpu, curlwp, pri};
use crate::kern::{sched, spl, synch};
use crate::kernel::Kernel;
use crate::machine::{self, Kind};
use crate::mem::{AtomicU32, Relaxed};

/// Creates the idle LWP of a CPU and makes it the running one. A separate function: see [`machine::Machine::word`].
#[inline(never)]
pub(crate) fn create(kernel: &'static Kernel, ci: &'static Cpu) -> Option<()> {
    let spec = Spec {
        name: Name::format(format_args!("idle/{}", ci.index())),
        cpu: ci,
        priority: pri::IDLE,
        pflag: LP_BOUND | LP_IDLE,
        func: |_| {},
        arg: Arg::NONE,
        joinable: false,
        actor: false,
    };
    let l = lwp::lwp_create(kernel, &spec, idle_loop)?;
    l.l_stat.set(Stat::Onproc);
    l.l_nopreempt.set(1);
    l.l_running.store_fused(true, Relaxed);
    ci.ci_idlelwp.store_fused(Some(l), Relaxed);
    ci.ci_curlwp.store_fused(Some(l), Relaxed);
    machine::attach(ci.index(), core::ptr::from_ref(l).cast());
    Some(())
}

/// The first and only function of an idle LWP. Each CPU starts here.
fn idle_loop(arg: *const ()) -> ! {
    // SAFETY: `lwp_create` gave the LWP, which lives as long as its kernel.
    let l: &'static Lwp = unsafe { &*arg.cast::<Lwp>() };
    let ci = l.cpu_unlocked();
    machine::interrupts_on();
    spl::splx_fused(spl::Ipl::None);
    loop {
        sched::sched_idle(ci);
        if !sched::sched_curcpu_runnable_p(ci) {
            machine::wait_for_interrupt(ci.ci_want_resched.bare());
            if !sched::sched_curcpu_runnable_p(ci) && ci.ci_want_resched.load(Relaxed) == 0 {
                continue;
            }
        }
        l.lock();
        l.l_stat.set(Stat::Idl);
        ci.ci_schedstate.spc_mutex.spin_enter();
        synch::mi_switch(l);
    }
}

/// Halts this CPU until it takes an interrupt (`hlt`). An interrupt that it took before has no effect.
///
/// Context: thread at level none, with preemption off. Panics: contracts `halt-spl`, `halt-preempt`.
#[track_caller]
pub fn halt() {
    assert_may_halt();
    // An interrupt can come just before the instruction.
    machine::point(core::ptr::from_ref(curcpu()) as usize, Kind::Yield, Relaxed);
    machine::wait_for_interrupt(AtomicU32::new(0).bare());
}

/// Halts this CPU until it takes an interrupt, unless `word` is not 0: `cli`, a test, and `sti; hlt`.
///
/// No interrupt comes between the test and the halt. The test orders nothing: read the word again, with a load.
///
/// Context: thread at level none, with preemption off. Panics: contracts `halt-spl`, `halt-preempt`.
/// [`crate::scenario::ports::idle_halt`] has an example.
#[track_caller]
pub fn halt_unless(word: &AtomicU32) {
    assert_may_halt();
    machine::wait_for_interrupt(word.bare());
}

#[track_caller]
fn assert_may_halt() {
    contract!(
        spl::ilevel() == spl::Ipl::None,
        "halt-spl",
        "{} halts at level {}: an interrupt that is masked would end the halt and stay pending",
        curlwp().name(),
        spl::ilevel().name()
    );
    contract!(
        synch::kpreempt_disabled(),
        "halt-preempt",
        "{} halts with preemption on: it may halt another CPU than the one it checked",
        curlwp().name()
    );
}
