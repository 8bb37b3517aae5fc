//! Deliberate faults, which both machines must report correctly.

use crate::kern::cpu::Cpu;
use crate::kern::ipi;
use crate::kern::lwp::Arg;
use crate::kern::mutex::Kmutex;
use crate::kern::spl::Ipl;
use crate::kern::synch::kpause;
use crate::mem::{AcqRel, Acquire, AtomicU32, Plain, Release};
use crate::scenario::classics::{free_data, shared};
use crate::scenario::{FIXED, Kind, Scenario, actor, share};

const fn provoke(
    name: &'static str,
    summary: &'static str,
    setup: fn(&'static crate::kernel::Kernel),
    teardown: fn(&'static crate::kernel::Kernel),
) -> Scenario {
    Scenario {
        name,
        summary,
        about: "Provokes a failure of the machine on purpose, to show its report.",
        variants: &[FIXED],
        min_cpus: 1,
        default_cpus: 2,
        kind: Kind::Fault,
        configure: |_| {},
        setup,
        verify: |_| {},
        teardown,
    }
}

/// A thread reads an unmapped address.
pub static FAULT: Scenario = provoke(
    "provoke-fault",
    "a thread reads address 0x10",
    |kernel| actor(kernel, "reader", 0, read_unmapped, Arg(0x10)),
    |_| {},
);

fn read_unmapped(address: Arg) {
    let at = core::hint::black_box(address.0) as *const u64;
    // SAFETY: none is claimed: the scenario exists to fault here, and the machine to catch that.
    let value = unsafe { at.read_volatile() };
    core::hint::black_box(value);
}

/// A thread recurses without end.
pub static OVERFLOW: Scenario = provoke(
    "provoke-overflow",
    "a thread recurses until its stack is full",
    |kernel| {
        actor(
            kernel,
            "recurser",
            0,
            |_| {
                recurse(1);
            },
            Arg::NONE,
        )
    },
    |_| {},
);

#[inline(never)]
fn recurse(depth: u64) -> u64 {
    let frame = core::hint::black_box([depth; 16]);
    if core::hint::black_box(depth) == 0 {
        return frame[0];
    }
    recurse(depth + 1) + frame[15]
}

/// A thread takes one from a count that is 0.
pub static UNDERFLOW: Scenario = provoke(
    "provoke-underflow",
    "a thread subtracts 1 from a count that is 0",
    |kernel| {
        let count = share("count", Plain::new(0));
        crate::machine::label(count, format_args!("count"));
        kernel.set_data(Arg::of(count));
        actor(kernel, "taker", 0, take_one, Arg::of(count));
    },
    free_data::<Plain<u32>>,
);

fn take_one(count: Arg) {
    let count: &Plain<u32> = shared(count);
    count.set(count.get() - 1);
}

/// A thread loops for ever and touches nothing that other CPUs can see.
pub static LOOP: Scenario = provoke(
    "provoke-loop",
    "a thread loops for ever without touching anything shared",
    |kernel| actor(kernel, "looper", 0, go_round, Arg(1)),
    |_| {},
);

fn go_round(step: Arg) {
    let mut rounds = step.0;
    while core::hint::black_box(rounds) != 0 {
        rounds |= step.0;
    }
}

/// Interrupts that other CPUs send to `ci` from now on are lost: it looks as if one were on its way.
pub fn lose_interrupts(ci: &'static Cpu) {
    ci.ci_ipis.fetch_or(1 << ipi::KPREEMPT, AcqRel);
}

struct Hang {
    a: Kmutex,
    b: Kmutex,
    holders: AtomicU32,
}

/// Two threads wait for each other's mutex.
pub static HANG: Scenario = provoke(
    "provoke-hang",
    "two threads each hold a mutex and try to enter the other's",
    |kernel| {
        let hang = share(
            "hang",
            Hang {
                a: Kmutex::new("a", Ipl::None),
                b: Kmutex::new("b", Ipl::None),
                holders: AtomicU32::new(0),
            },
        );
        kernel.set_data(Arg::of(hang));
        actor(
            kernel,
            "t1",
            0,
            |hang| hold(shared(hang), |h| (&h.a, &h.b)),
            Arg::of(hang),
        );
        actor(
            kernel,
            "t2",
            1,
            |hang| hold(shared(hang), |h| (&h.b, &h.a)),
            Arg::of(hang),
        );
    },
    free_data::<Hang>,
);

fn hold(hang: &'static Hang, order: fn(&Hang) -> (&Kmutex, &Kmutex)) {
    let (first, second) = order(hang);
    first.enter();
    hang.holders.fetch_add(1, Release);
    while hang.holders.load(Acquire) < 2 {
        kpause("hold", 1, None);
    }
    second.enter();
    second.exit();
    first.exit();
}
