//! Allocations that fail because the schedule says so: what an error path forgets is found, replays and is minimized, and
//! code that gives all back holds. Each fault that this has found in the kernel has a test here.

use hostshim::capture::shorten;
use hostshim::hunt::{Budget, Found, Hunt, Plan, Watch};
use hostshim::minimize::Effort;
use hostshim::registry::Registry;
use hostshim::replay::{LIMITS, Parsed, ReplayError};
use hostshim::strategy::Scarce;
use hostshim::{
    Allocations, Bytes, Failure, FailureKind, Fair, Limits, Machine, Random, Refusal, Setup,
    Verdict,
};
use kmod::config::{Config, Memory};
use kmod::kern::kmem::{kmem_alloc_nosleep, kmem_free};
use kmod::kern::kthread::kthread_join;
use kmod::kern::lwp::{Arg, curlwp, curlwp_bind, curlwp_bindx};
use kmod::kern::pcq::Pcq;
use kmod::kern::percpu::percpu_alloc;
use kmod::kern::psref::Psref;
use kmod::mem::{AtomicU64, Plain, Relaxed};
use kmod::net::{self, Net, inet, pair, route, stats};
use kmod::scenario::classics::{free_data, shared};
use kmod::scenario::net::wire::{REMOTE, STACK};
use kmod::scenario::{FIXED, Kind, Scenario, actor, broken_promise, share, thread};

/// A number in a queue: made in two halves.
fn make(forgetful: bool) {
    let number = share("number", Plain::new(7));
    let queue = Pcq::<Plain<i32>>::create(3);
    if let Some(queue) = queue {
        queue.destroy();
    }
    if queue.is_some() || !forgetful {
        // SAFETY: (1) it came from `share`, which is `kmem_alloc`; (2) nobody else knows it.
        unsafe { kmem_free(number) };
    }
}

const SCENARIO: Scenario = Scenario {
    name: "scarce-test",
    summary: "a thing is made in two halves",
    about: "",
    variants: &[FIXED],
    min_cpus: 1,
    default_cpus: 2,
    kind: Kind::Sound,
    configure: |_| {},
    setup: |kernel| actor(kernel, "maker", 0, |_| make(false), Arg::NONE),
    verify: |_| {},
    teardown: |_| {},
};

/// It gives back what it has.
static CAREFUL: Scenario = SCENARIO;

/// It forgets the first half when there is no memory for the second.
static FORGETFUL: Scenario = Scenario {
    setup: |kernel| actor(kernel, "maker", 0, |_| make(true), Arg::NONE),
    ..SCENARIO
};

/// The same program, which says that it needs all memory.
static NEEDY: Scenario = Scenario {
    configure: |config| config.memory = Memory::Given("this is a test"),
    ..FORGETFUL
};

/// It leaks, whatever happens to others of its allocations.
static LEAKS: Scenario = Scenario {
    setup: |kernel| {
        let leaks = |_| {
            make(false);
            share("forgotten", Plain::new(0));
        };
        actor(kernel, "maker", 0, leaks, Arg::NONE);
    },
    ..SCENARIO
};

/// Two objects, and it is a failure that there is memory for neither.
static BOTH: Scenario = Scenario {
    setup: |kernel| {
        let makes = |_| {
            let made =
                ["one", "other", "third"].map(|what| kmem_alloc_nosleep(what, Plain::new(0)));
            if made[0].is_none() && made[2].is_none() {
                broken_promise("one-of-two", format_args!("there is neither"));
            }
            for object in made.into_iter().flatten() {
                // SAFETY: (1) it came from `kmem_alloc_nosleep`; (2) nobody else knows it.
                unsafe { kmem_free(object) };
            }
        };
        actor(kernel, "maker", 0, makes, Arg::NONE);
    },
    ..SCENARIO
};

fn hunt(scenario: &'static Scenario, allocations: Option<Allocations>) -> Hunt {
    Hunt {
        allocations,
        ..Hunt::new(scenario, &FIXED, Budget::Schedules(2000))
    }
}

fn found(hunt: &Hunt) -> Option<Found> {
    match hunt.run(&Watch::default()) {
        Ok(hunted) => hunted.found,
        Err(failure) => panic!("it does not boot: {failure}"),
    }
}

/// A replay file with these lines in it.
fn file(scenario: &'static Scenario, lines: &str) -> Parsed {
    let text = format!(
        "rumplab-replay 1\nscenario {}\nvariant fixed\ncpus 2\nxcall native\nallocations\n{lines}schedule\nend\n",
        scenario.name
    );
    Parsed::read(text.as_bytes(), Registry::of(&[scenario]))
        .unwrap_or_else(|wrong| panic!("{wrong}"))
}

fn failure_of(parsed: &Parsed) -> Failure {
    let replayed = parsed.replay(&mut Machine::new(), &LIMITS);
    let (outcome, _) = replayed.unwrap_or_else(|error| panic!("{error}"));
    match outcome.verdict {
        Verdict::Failed(failure) => failure,
        Verdict::Passed => panic!("it passes"),
    }
}

#[test]
fn a_leak_on_an_error_path_is_found_by_every_strategy_and_only_without_memory() {
    for plan in [
        Plan::Portfolio,
        Plan::Random,
        Plan::Pct(None),
        Plan::Stall,
        Plan::Pos(None),
        Plan::Urw(None),
    ] {
        for (allocations, is_found) in [
            (None, true),
            (Some(Allocations::Fail), true),
            (Some(Allocations::Never), false),
        ] {
            let hunt = Hunt {
                plan,
                ..hunt(&FORGETFUL, allocations)
            };
            let found = found(&hunt);
            assert_eq!(found.is_some(), is_found, "{plan}, {allocations:?}");
            if let Some(found) = found {
                assert_eq!(found.failure.kind, FailureKind::Leak);
                assert!(!found.refusals.is_empty());
            }
        }
    }
}

#[test]
fn the_file_names_the_allocation_and_the_report_says_it_in_words() {
    let hunt = hunt(&FORGETFUL, None);
    let found = found(&hunt).expect("a share of the schedules lacks memory");
    let captured = hunt.catch(&found).capture(&LIMITS, Effort::default());
    let captured = captured.unwrap_or_else(|error| panic!("{error}"));
    let (text, report) = (captured.file.to_string(), captured.report.to_string());
    let [refusal] = &captured.file.refusals[..] else {
        panic!("one failure is enough: {text}")
    };
    assert!(
        text.contains(&format!(
            "\nallocations\n  {refusal} fails\nschedule\nend\n"
        )),
        "{text}"
    );
    assert!(report.contains("needs 1 failed allocation"), "{report}");
    let sentence = format!(
        "the allocation of {} (hostshim/tests/programs/scarcity.rs:",
        refusal.what
    );
    assert!(report.contains(&sentence), "{report}");
    assert!(report.contains("fails: chosen by the schedule"), "{report}");
    let parsed = Parsed::read(text.as_bytes(), Registry::of(&[&FORGETFUL])).expect("it parses");
    assert_eq!(parsed.file.to_string(), text);
    assert_eq!(failure_of(&parsed).kind, FailureKind::Leak);
}

#[test]
fn a_program_that_gives_all_back_holds_and_so_does_one_that_needs_all_memory() {
    for scenario in [&CAREFUL, &NEEDY] {
        if let Some(found) = found(&hunt(scenario, Some(Allocations::Fail))) {
            panic!("{}: {:?}", found.failure, found.refusals);
        }
    }
}

#[test]
fn the_minimizer_takes_away_what_is_not_needed() {
    let hunt = hunt(&LEAKS, Some(Allocations::Fail));
    let found = found(&hunt).expect("it leaks in every run");
    assert!(!found.refusals.is_empty(), "the test shows nothing");
    let captured = hunt.catch(&found).capture(&LIMITS, Effort::default());
    let captured = captured.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(captured.file.refusals, []);

    let lines = "  maker one #1 fails\n  maker other #1 fails\n  maker third #1 fails\n";
    let parsed = file(&BOTH, lines);
    let failure = failure_of(&parsed);
    let captured = shorten(&parsed.file, &failure, &LIMITS, Effort::default());
    let captured = captured.unwrap_or_else(|error| panic!("{error}"));
    let left = Vec::from_iter(captured.file.refusals.iter().map(|left| left.what.as_str()));
    assert_eq!(left, ["one", "third"]);
}

#[test]
fn an_allocation_that_is_not_made_is_told_with_its_line() {
    let parsed = file(&CAREFUL, "  maker pcq #1 fails\n  maker pcq #2 fails\n");
    match parsed.replay(&mut Machine::new(), &LIMITS) {
        Err(ReplayError::Misfit(wrong)) => {
            assert_eq!((wrong.at.line, wrong.at.column), (8, 3), "{wrong}");
            assert!(wrong.to_string().contains("never made"), "{wrong}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_bytes_of_a_fuzzer_let_allocations_fail() {
    let mut machine = machine(&FORGETFUL);
    // At once; the first, the second, and one that there is not.
    for (bytes, fails) in [
        ([0, 240], true),
        ([0, 241], true),
        ([0, 255], false),
        ([0, 239], false),
    ] {
        let outcome = machine.run(&mut Bytes::new(&bytes), &Limits::default());
        assert_eq!(outcome.verdict != Verdict::Passed, fails, "{bytes:?}");
        assert_eq!(machine.refused().len(), usize::from(fails));
    }
}

#[test]
fn a_run_that_is_told_what_fails_does_not_need_the_strategy() {
    let mut machine = machine(&FORGETFUL);
    let refusal = Refusal {
        context: "maker".to_owned(),
        what: "pcq".to_owned(),
        occurrence: 1,
    };
    for told in [vec![refusal], Vec::new()] {
        machine.refuse(&told);
        let outcome = machine.run(&mut Fair, &Limits::default());
        assert_eq!(outcome.verdict == Verdict::Passed, told.is_empty());
        assert_eq!(machine.refused(), told);
    }
}

fn machine(scenario: &'static Scenario) -> Machine {
    let mut machine = Machine::new();
    let setup = Setup {
        scenario,
        config: scenario.config(Config::small(2), &FIXED),
        trace: false,
    };
    assert_eq!(machine.boot(&setup), Ok(()));
    machine
}

/// Per-CPU storage is allocated again and again, which must grow for it.
static GROWS: Scenario = Scenario {
    setup: |kernel| {
        let grows = |_| {
            for _ in 0..2 {
                let words = [(); 3].map(|()| percpu_alloc::<AtomicU64>());
                for word in words.into_iter().flatten() {
                    word.foreach(|word, _| word.store(1, Relaxed));
                    word.free();
                }
            }
        };
        actor(kernel, "one", 0, grows, Arg::NONE);
        actor(kernel, "other", 1, grows, Arg::NONE);
    },
    ..SCENARIO
};

/// When there was no memory to grow the buffers, the words that were to be added were lost.
#[test]
fn per_cpu_words_that_there_is_no_memory_for_are_not_lost() {
    let lines = "  one \"percpu buffer\" #1 fails\n  other \"percpu spare\" #1 fails\n";
    let parsed = file(&GROWS, lines);
    let (outcome, _) = parsed
        .replay(&mut Machine::new(), &LIMITS)
        .unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(outcome.verdict, Verdict::Passed);
    if let Some(found) = found(&hunt(&GROWS, Some(Allocations::Fail))) {
        panic!("{}: {:?}", found.failure, found.refusals);
    }
}

/// A thread makes another, and waits for it.
static PARENT: Scenario = Scenario {
    setup: |kernel| {
        let parent = |_| kthread_join(thread("child", 1, |_| {}, Arg::NONE));
        actor(kernel, "parent", 0, parent, Arg::NONE);
    },
    ..SCENARIO
};

/// When there was no memory for its turnstile or its stack, the memory of a new LWP was lost.
#[test]
fn a_thread_that_cannot_be_made_leaves_nothing() {
    let mut machine = machine(&PARENT);
    let mut strategy = Scarce::new(Random::new(1), 1, Some(Allocations::Fail));
    let mut lacked = [0; 3];
    for _ in 0..200 {
        let outcome = machine.run(&mut strategy, &Limits::default());
        assert_eq!(outcome.verdict, Verdict::Passed);
        for (count, what) in lacked.iter_mut().zip(["lwp", "turnstile", "stack"]) {
            *count += machine
                .refused()
                .iter()
                .filter(|it| it.what == what)
                .count();
        }
        // That of the child, which is kept for the next thread.
        for what in ["lwp", "turnstile"] {
            assert_eq!(
                machine.live().get(what),
                Some(&1),
                "{:?}",
                machine.refused()
            );
        }
    }
    assert!(lacked.iter().all(|count| *count > 0), "{lacked:?}");
}

fn network() -> &'static Net {
    shared::<Stack>(curlwp().kernel().data()).net
}

struct Stack {
    net: &'static Net,
}

/// An interface is given an address.
static ADDRESSED: Scenario = Scenario {
    setup: |kernel| {
        let net = net::init(kernel);
        kernel.set_data(Arg::of(share("stack", Stack { net })));
        let gives = |_| {
            let net = network();
            if let Some(ifp) = pair::attach(net, 0) {
                let given = inet::in_control_add(ifp, STACK.ip, 24).is_ok();
                let rt = route::rtalloc1(net, REMOTE.ip);
                if let Some(rt) = rt {
                    route::rt_unref(net, rt);
                }
                let psref = Psref::new();
                let bound = curlwp_bind();
                let ia = inet::in_ifaddr_get(net, |ia| ia.addr() == STACK.ip, &psref);
                if let Some(ia) = ia {
                    inet::ia_put(net, ia, &psref);
                }
                curlwp_bindx(bound);
                if [rt.is_some(), ia.is_some()] != [given, given] {
                    let (route, address) = (rt.is_some(), ia.is_some());
                    broken_promise(
                        "address",
                        format_args!("route {route}, address {address}, answer {given}"),
                    );
                }
            }
            net::fini(net);
        };
        actor(kernel, "gives", 0, gives, Arg::NONE);
    },
    verify: |kernel| {
        let net = shared::<Stack>(kernel.data()).net;
        stats::accounting(net, net.kept());
    },
    teardown: |kernel| {
        net::free(shared::<Stack>(kernel.data()).net);
        free_data::<Stack>(kernel);
    },
    ..SCENARIO
};

/// When there was no memory for its route, an address was there that nobody on its net could be answered from.
#[test]
fn an_address_has_its_route_or_is_refused() {
    if let Some(found) = found(&hunt(&ADDRESSED, Some(Allocations::Fail))) {
        panic!("{}: {:?}", found.failure, found.refusals);
    }
}
