//! What verdicts say about faults that show in somebody else: the first lines name what is missing, and not who noticed it.

use kmod::kern::lwp::{Arg, curcpu, curlwp};
use kmod::kern::softint::{self, Softint};
use kmod::kern::spl::Ipl;
use kmod::kern::synch::{kpreempt_disable, kpreempt_enable};
use kmod::kern::xcall::{self, Priority};
use kmod::kernel::Kernel;
use kmod::mem::Plain;
use kmod::scenario::classics::{free_data, shared};
use kmod::scenario::provoke::lose_interrupts;
use kmod::scenario::{FIXED, Kind, Scenario, actor, share};

use crate::told::{assert_in_order, told};

/// The number of schedules of a scenario that fails in one of them.
const SCHEDULES: u64 = 2_000;

const SCENARIO: Scenario = Scenario {
    name: "story",
    summary: "",
    about: "",
    variants: &[FIXED],
    min_cpus: 1,
    default_cpus: 2,
    kind: Kind::Broken,
    configure: |_| {},
    setup: |_| {},
    verify: |_| {},
    teardown: |_| {},
};

struct Asked {
    softint: Plain<Option<Softint>>,
}

kmod::fields!(Asked { softint });

/// Does `ask` on a CPU, while interrupts that it sends to the other one are lost.
fn unheard(kernel: &'static Kernel, ask: fn(Arg)) {
    let softint = softint::establish_at_boot(kernel.cpus(), Ipl::SoftNet, |_| {}, Arg::NONE);
    let asked = share(
        "asked",
        Asked {
            softint: Plain::new(softint),
        },
    );
    kernel.set_data(Arg::of(asked));
    actor(kernel, "asker", 0, ask, Arg::of(asked));
}

static NO_SOFTINT: Scenario = Scenario {
    setup: |kernel| {
        unheard(kernel, |asked| {
            kpreempt_disable();
            let other = curlwp().kernel().cpu(1 - curcpu().index());
            lose_interrupts(other);
            if let Some(softint) = shared::<Asked>(asked).softint.get() {
                softint::schedule_cpu(softint, other);
            }
            kpreempt_enable();
        });
    },
    teardown: free_data::<Asked>,
    ..SCENARIO
};

static NO_CROSS_CALL: Scenario = Scenario {
    setup: |kernel| {
        unheard(kernel, |_| {
            kpreempt_disable();
            lose_interrupts(curlwp().kernel().cpu(1 - curcpu().index()));
            kpreempt_enable();
            let nothing = (Arg::NONE, Arg::NONE);
            xcall::wait(xcall::broadcast(Priority::HIGH, |_, _| {}, nothing));
        });
    },
    teardown: free_data::<Asked>,
    ..SCENARIO
};

#[test]
fn a_softint_that_another_cpu_never_hears_of_is_a_missing_interrupt() {
    let (text, _) = told(&NO_SOFTINT, SCHEDULES);
    assert_in_order(
        &text,
        &[
            "MISSING INTERRUPT to cpu1 in story",
            "cpu1 was asked for a softint, and the interrupt that tells it so was never sent or never taken",
            "asked for by asker on cpu0, at hostshim/tests/programs/stories.rs:",
            "; cpu1 has taken no ipi since",
        ],
    );
}

#[test]
fn a_cross_call_that_another_cpu_never_hears_of_is_a_missing_interrupt() {
    let (text, _) = told(&NO_CROSS_CALL, SCHEDULES);
    assert_in_order(
        &text,
        &[
            "MISSING INTERRUPT to cpu1 in story",
            "cpu1 was asked for a high-priority cross call, and the interrupt",
            "asked for by asker on cpu0, at hostshim/tests/programs/stories.rs:",
            "; cpu1 has taken no ipi since",
        ],
    );
}
