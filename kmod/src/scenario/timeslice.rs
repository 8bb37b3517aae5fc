//! Test of the scheduler: no LWP keeps a CPU for ever from others of the same priority.

use crate::kern::lwp::{Arg, curlwp};
use crate::mem::{self, AcqRel, Acquire, AtomicU32};
use crate::scenario::classics::{free_data, shared};
use crate::scenario::{FIXED, Kind, Scenario, actor, share};

const ACTORS: u32 = 3;

/// Threads that never sleep take turns.
pub static SCENARIO: Scenario = Scenario {
    name: "timeslice",
    summary: "threads that never sleep wait for each other on one CPU: does each get its turn?",
    about: "Three threads of the same priority meet repeatedly: each counts itself and spins until all have \
            come. On one CPU this ends only if the clock takes the CPU from the spinning thread and gives it to \
            each in turn.",
    variants: &[FIXED],
    min_cpus: 1,
    default_cpus: 1,
    kind: Kind::Sound,
    configure: |_| {},
    setup: |kernel| {
        let came = share("came", AtomicU32::new(0));
        crate::machine::label(came, format_args!("came"));
        kernel.set_data(Arg::of(came));
        for (cpu, name) in ["t1", "t2", "t3"].into_iter().enumerate() {
            actor(kernel, name, cpu, meet, Arg::of(came));
        }
    },
    verify: |_| {},
    teardown: free_data::<AtomicU32>,
};

fn meet(came: Arg) {
    let came: &AtomicU32 = shared(came);
    for meeting in 1..=2 * curlwp().kernel().config().repeat {
        came.fetch_add(1, AcqRel);
        while came.load(Acquire) < meeting * ACTORS {
            mem::relax();
        }
    }
}
