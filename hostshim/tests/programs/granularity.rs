//! Fine granularity on the kernel: a fault that no coarse schedule can show is found and replays, and the code without it holds.

use hostshim::hunt::{Budget, Found, Hunt, Plan, Watch};
use hostshim::minimize::Effort;
use hostshim::registry::Registry;
use hostshim::replay::{LIMITS, Parsed};
use hostshim::{Granularity, Machine, Verdict};
use kmod::kern::kthread::Options;
use kmod::kern::lwp::{Arg, curlwp, pri};
use kmod::kern::spl::{self, Ipl};
use kmod::kern::{ipi, kmem, synch};
use kmod::kernel::Kernel;
use kmod::mem::{AtomicU32, Local, Relaxed, relax};
use kmod::scenario::classics::shared;
use kmod::scenario::{FIXED, Kind, Scenario, actor_options, actor_with, broken_promise, share};

/// How often the thread and the interrupt each count.
const TIMES: u32 = 2;

/// A count of one CPU, which a thread and an interrupt handler on that CPU share.
struct World {
    count: Local<u32>,
    served: AtomicU32,
    interrupt: AtomicU32,
}

fn free(kernel: &'static Kernel) {
    let world: &'static World = shared(kernel.data());
    // SAFETY: (1) it came from `share`, which is `kmem_alloc`; (2) the actors have ended.
    unsafe { kmem::kmem_free(world) };
}

fn count(world: &World) {
    world.count.set(world.count.get() + 1);
}

/// Counts with interrupts on: the handler may come between the read and the write, though both are of this CPU alone.
fn counts_openly(world: Arg) {
    for _ in 0..TIMES {
        count(shared(world));
    }
}

/// Counts with the interrupt masked.
fn counts_masked(world: Arg) {
    for _ in 0..TIMES {
        let s = spl::splraise(Ipl::High);
        count(shared(world));
        spl::splx(s);
    }
}

/// Has the handler run on the other CPU, time after time.
fn interrupts(world: Arg) {
    let world: &World = shared(world);
    for time in 1..=TIMES {
        synch::kpreempt_disable();
        ipi::ipi_trigger(world.interrupt.load(Relaxed), curlwp().kernel().cpu(0));
        synch::kpreempt_enable();
        while world.served.load(Relaxed) != time {
            relax();
        }
    }
}

fn begin(kernel: &'static Kernel, counts: fn(Arg)) {
    let world = share(
        "world",
        World {
            count: Local::new(0),
            served: AtomicU32::new(0),
            interrupt: AtomicU32::new(0),
        },
    );
    kernel.set_data(Arg::of(world));
    let handler = |world| {
        let world: &World = shared(world);
        count(world);
        world.served.fetch_add(1, Relaxed);
    };
    let number = ipi::ipi_register(handler, Arg::of(world));
    world.interrupt.store(number.unwrap_or(0), Relaxed);
    for (name, cpu, body) in [("counts", 0, counts), ("interrupts", 1, interrupts)] {
        let options = Options {
            cpu: Some(cpu),
            priority: pri::USER,
            ..actor_options()
        };
        actor_with(kernel, name, options, body, Arg::of(world));
    }
}

const SCENARIO: Scenario = Scenario {
    name: "count-test",
    summary: "a count of one CPU, which a thread and an interrupt share",
    about: "",
    variants: &[FIXED],
    min_cpus: 2,
    default_cpus: 2,
    kind: Kind::Sound,
    configure: |_| {},
    setup: |kernel| begin(kernel, counts_masked),
    verify: |kernel| {
        let world: &World = shared(kernel.data());
        let counted = world.count.peek();
        if counted != 2 * TIMES {
            let times = 2 * TIMES;
            broken_promise("counted", format_args!("{counted} of {times} are counted"));
        }
    },
    teardown: free,
};

static OPEN: Scenario = Scenario {
    name: "count-openly",
    setup: |kernel| begin(kernel, counts_openly),
    ..SCENARIO
};

static MASKED: Scenario = SCENARIO;

fn hunt(scenario: &'static Scenario, granularity: Option<Granularity>) -> Hunt {
    let budget = Budget::Schedules(4000);
    Hunt {
        granularity,
        ..Hunt::new(scenario, &FIXED, budget)
    }
}

fn found(hunt: &Hunt) -> Option<Found> {
    match hunt.run(&Watch::default()) {
        Ok(hunted) => hunted.found,
        Err(failure) => panic!("it does not boot: {failure}"),
    }
}

#[test]
fn an_interrupt_between_two_accesses_of_one_cpu_is_found_if_the_granularity_is_fine() {
    for plan in [
        Plan::Portfolio,
        Plan::Random,
        Plan::Pct(None),
        Plan::Stall,
        Plan::Pos(None),
        Plan::Urw(None),
    ] {
        let coarse = Hunt {
            plan,
            ..hunt(&OPEN, Some(Granularity::Coarse))
        };
        assert!(found(&coarse).is_none(), "{plan}: the test shows nothing");
        let fine = Hunt {
            plan,
            ..hunt(&OPEN, Some(Granularity::Fine))
        };
        let found = found(&fine).unwrap_or_else(|| panic!("{plan} finds nothing"));
        assert_eq!(found.failure.rule, "counted");
        assert_eq!(found.granularity, Granularity::Fine);
    }
}

#[test]
fn what_the_default_finds_there_becomes_a_file_that_says_so_and_replays() {
    let hunt = hunt(&OPEN, None);
    let found = found(&hunt).expect("a share of the portfolio is fine");
    let captured = hunt.catch(&found).capture(&LIMITS, Effort::default());
    let captured = captured.unwrap_or_else(|error| panic!("{error}"));
    let text = captured.file.to_string();
    let report = captured.report.to_string();
    assert!(text.contains("\ngranularity fine\nschedule\n"), "{text}");
    assert!(report.contains("fine granularity"), "{report}");
    let scenarios = [&OPEN];
    let parsed = Parsed::read(text.as_bytes(), Registry::of(&scenarios)).expect("it parses");
    assert_eq!(parsed.file.to_string(), text);
    let (outcome, _) = parsed
        .replay(&mut Machine::new(), &LIMITS)
        .expect("it replays");
    let Verdict::Failed(failure) = outcome.verdict else {
        panic!("it passes")
    };
    assert_eq!(failure.rule, "counted");
}

#[test]
fn the_count_that_masks_the_interrupt_holds() {
    for granularity in Granularity::ALL {
        let found = found(&hunt(&MASKED, Some(granularity)));
        if let Some(found) = found {
            panic!("{}", found.failure);
        }
    }
}
