//! What store buffers do and what they do not: litmus tests, algorithms that need a fence, and the same with it.

use hostshim::hunt::{Budget, Found, Hunt, Watch};
use hostshim::machine::{Refer, What};
use hostshim::minimize::Effort;
use hostshim::registry::Registry;
use hostshim::replay::{LIMITS, Parsed};
use hostshim::{Allocations, FailureKind, Machine, MemoryModel, Verdict};
use kmod::kern::kmem;
use kmod::kern::lwp::Arg;
use kmod::kernel::Kernel;
use kmod::mem::{
    AcqRel, Acquire, AtomicU32, Local, Plain, Relaxed, Release, SeqCst, membar_sync, relax,
};
use kmod::scenario::classics::shared;
use kmod::scenario::{FIXED, Kind, Scenario, actor, broken_promise, share};

/// The words that the threads of a litmus test share, and what each of them has read.
struct World {
    x: AtomicU32,
    y: AtomicU32,
    turn: AtomicU32,
    data: Plain<u32>,
    r: [Local<u32>; 4],
}

kmod::fields!(World {
    x,
    y,
    turn,
    data,
    r
});

fn free(kernel: &'static Kernel) {
    let world: &'static World = shared(kernel.data());
    // SAFETY: (1) it came from `share`, which is `kmem_alloc`; (2) the actors have ended.
    unsafe { kmem::kmem_free(world) };
}

fn begin(kernel: &'static Kernel, threads: &[fn(Arg)]) {
    let world = share(
        "world",
        World {
            x: AtomicU32::new(0),
            y: AtomicU32::new(0),
            turn: AtomicU32::new(0),
            data: Plain::new(0),
            r: [const { Local::new(0) }; 4],
        },
    );
    kmod::machine::label(world, format_args!("world"));
    kernel.set_data(Arg::of(world));
    for (cpu, thread) in threads.iter().enumerate() {
        let name = ["t0", "t1", "t2", "t3"][cpu];
        actor(kernel, name, cpu, *thread, Arg::of(world));
    }
}

/// Fails if what was read is `wrong`.
fn judge(kernel: &'static Kernel, wrong: fn(&World, [u32; 4]) -> bool) {
    let world: &World = shared(kernel.data());
    let read = world.r.each_ref().map(Local::peek);
    if wrong(world, read) {
        broken_promise("litmus", format_args!("the threads have read {read:?}"));
    }
}

const SCENARIO: Scenario = Scenario {
    name: "litmus",
    summary: "a few threads, each on its own CPU, store and load",
    about: "",
    variants: &[FIXED],
    min_cpus: 2,
    default_cpus: 2,
    kind: Kind::Sound,
    configure: |_| {},
    setup: |_| {},
    verify: |_| {},
    teardown: free,
};

/// A scenario of these threads, which must not read what is wrong.
macro_rules! litmus {
    ($name:ident: $($thread:expr),+; wrong: $wrong:expr) => {
        static $name: Scenario = Scenario {
            name: stringify!($name),
            min_cpus: [$(stringify!($thread)),+].len(),
            default_cpus: [$(stringify!($thread)),+].len(),
            setup: |kernel| {
                let threads: &[fn(Arg)] = &[$(|world| {
                    let thread: fn(&World) = $thread;
                    thread(shared(world));
                }),+];
                begin(kernel, threads);
            },
            verify: |kernel| judge(kernel, $wrong),
            ..SCENARIO
        };
    };
}

fn hunt(scenario: &'static Scenario, memory: MemoryModel, schedules: u64) -> Hunt {
    Hunt {
        memory,
        allocations: Some(Allocations::Never),
        ..Hunt::new(scenario, &FIXED, Budget::Schedules(schedules))
    }
}

fn run(hunt: &Hunt) -> Option<Found> {
    match hunt.run(&Watch::default()) {
        Ok(hunted) => hunted.found,
        Err(failure) => panic!("it does not boot: {failure}"),
    }
}

/// It fails with store buffers, soon and with any seed, and never without.
fn needs_buffers(scenario: &'static Scenario, within: u64) -> Found {
    if let Some(found) = run(&hunt(scenario, MemoryModel::Sc, 3000)) {
        panic!("{} without buffers: {}", scenario.name, found.failure);
    }
    let founds = (1..=5).map(|seed| {
        let hunt = Hunt {
            seed,
            ..hunt(scenario, MemoryModel::Tso, within)
        };
        run(&hunt).unwrap_or_else(|| panic!("{}: nothing found, seed {seed}", scenario.name))
    });
    let founds = Vec::from_iter(founds);
    founds.into_iter().next().expect("there are seeds")
}

fn holds(scenario: &'static Scenario) {
    let schedules = 6000;
    if let Some(found) = run(&hunt(scenario, MemoryModel::Tso, schedules)) {
        panic!("{}: {}", scenario.name, found.failure);
    }
}

litmus!(SB: |w| { w.x.store(1, Relaxed); w.r[0].set(w.y.load(Relaxed)); },
    |w| { w.y.store(1, Relaxed); w.r[1].set(w.x.load(Relaxed)); };
    wrong: |_, [a, b, ..]| a == 0 && b == 0);
litmus!(SB_RELEASE_ACQUIRE: |w| { w.x.store(1, Release); w.r[0].set(w.y.load(Acquire)); },
    |w| { w.y.store(1, Release); w.r[1].set(w.x.load(Acquire)); };
    wrong: |_, [a, b, ..]| a == 0 && b == 0);
litmus!(SB_FENCES: |w| { w.x.store(1, Relaxed); membar_sync(); w.r[0].set(w.y.load(Relaxed)); },
    |w| { w.y.store(1, Relaxed); membar_sync(); w.r[1].set(w.x.load(Relaxed)); };
    wrong: |_, [a, b, ..]| a == 0 && b == 0);
litmus!(SB_ONE_FENCE: |w| { w.x.store(1, Relaxed); membar_sync(); w.r[0].set(w.y.load(Relaxed)); },
    |w| { w.y.store(1, Relaxed); w.r[1].set(w.x.load(Relaxed)); };
    wrong: |_, [a, b, ..]| a == 0 && b == 0);
litmus!(SB_SEQCST: |w| { w.x.store(1, SeqCst); w.r[0].set(w.y.load(SeqCst)); },
    |w| { w.y.store(1, SeqCst); w.r[1].set(w.x.load(SeqCst)); };
    wrong: |_, [a, b, ..]| a == 0 && b == 0);
litmus!(SB_SWAP: |w| { w.x.store(1, Relaxed); w.turn.swap(1, Relaxed); w.r[0].set(w.y.load(Relaxed)); },
    |w| { w.y.store(1, Relaxed); w.data_word().fetch_add(0, Relaxed); w.r[1].set(w.x.load(Relaxed)); };
    wrong: |_, [a, b, ..]| a == 0 && b == 0);
litmus!(SB_FAILED_EXCHANGE: |w| { w.x.store(1, Relaxed); let _ = w.turn.compare_exchange(7, 8, AcqRel, Acquire);
        w.r[0].set(w.y.load(Relaxed)); },
    |w| { w.y.store(1, Relaxed); membar_sync(); w.r[1].set(w.x.load(Relaxed)); };
    wrong: |_, [a, b, ..]| a == 0 && b == 0);
// A CPU sees its own stores at once.
litmus!(OWN: |w| { w.x.store(1, Relaxed); w.r[0].set(w.x.load(Relaxed)); w.x.store(2, Relaxed);
        w.r[1].set(w.x.load(Relaxed) * 10 + w.x.fetch_add(1, Relaxed)); },
    |w| { let _ = w.x.load(Relaxed); };
    wrong: |_, [a, b, ..]| a != 1 || b != 22);
litmus!(MP: |w| { w.data.set(1); w.x.store(1, Relaxed); w.y.store(1, Release); },
    |w| { if w.y.load(Acquire) == 1 { w.r[0].set(1); w.r[1].set(w.x.load(Relaxed) + w.data.get()); } };
    wrong: |_, [a, b, ..]| a == 1 && b != 2);
litmus!(LB: |w| { w.r[0].set(w.x.load(Relaxed)); w.y.store(1, Relaxed); },
    |w| { w.r[1].set(w.y.load(Relaxed)); w.x.store(1, Relaxed); };
    wrong: |_, [a, b, ..]| a == 1 && b == 1);
litmus!(S: |w| { w.x.store(2, Relaxed); w.y.store(1, Relaxed); },
    |w| { w.r[0].set(w.y.load(Relaxed)); w.x.store(1, Relaxed); };
    wrong: |w, [a, ..]| a == 1 && w.x.peek() == 2);
litmus!(TWO_PLUS_TWO: |w| { w.x.store(1, Relaxed); w.y.store(2, Relaxed); },
    |w| { w.y.store(1, Relaxed); w.x.store(2, Relaxed); };
    wrong: |w, _| w.x.peek() == 1 && w.y.peek() == 1);
litmus!(CORR: |w| { w.x.store(1, Relaxed); w.x.store(2, Relaxed); },
    |w| { w.r[0].set(w.x.load(Relaxed)); w.r[1].set(w.x.load(Relaxed)); };
    wrong: |w, [a, b, ..]| a > b || w.x.peek() != 2);
litmus!(IRIW: |w| w.x.store(1, Relaxed), |w| w.y.store(1, Relaxed),
    |w| { w.r[0].set(w.x.load(Relaxed)); w.r[1].set(w.y.load(Relaxed)); },
    |w| { w.r[2].set(w.y.load(Relaxed)); w.r[3].set(w.x.load(Relaxed)); };
    wrong: |_, read| read == [1, 0, 1, 0]);
litmus!(WRC: |w| w.x.store(1, Relaxed),
    |w| { w.r[0].set(w.x.load(Relaxed)); w.y.store(w.r[0].get(), Relaxed); },
    |w| { w.r[1].set(w.y.load(Relaxed)); w.r[2].set(w.x.load(Relaxed)); };
    wrong: |_, [a, b, c, _]| a == 1 && b == 1 && c == 0);
// With fences on both readers' sides store buffers cannot show it (R, with a fence in the second).
litmus!(R: |w| { w.x.store(1, Relaxed); w.y.store(1, Relaxed); },
    |w| { w.y.store(2, Relaxed); w.r[0].set(w.x.load(Relaxed)); };
    wrong: |w, [a, ..]| a == 0 && w.y.peek() == 2);
litmus!(R_FENCE: |w| { w.x.store(1, Relaxed); w.y.store(1, Relaxed); },
    |w| { w.y.store(2, Relaxed); membar_sync(); w.r[0].set(w.x.load(Relaxed)); };
    wrong: |w, [a, ..]| a == 0 && w.y.peek() == 2);

/// The critical section of an algorithm for two threads.
fn enter(world: &World) {
    world.data.set(world.data.get() + 1);
}

fn dekker<const FENCE: bool>(mine: &AtomicU32, other: &AtomicU32, world: &World) {
    mine.store(1, Relaxed);
    if FENCE {
        membar_sync();
    }
    if other.load(Acquire) == 0 {
        enter(world);
    }
    mine.store(0, Release);
}

fn peterson<const FENCE: bool>(me: u32, world: &World) {
    let (mine, other) = match me {
        0 => (&world.x, &world.y),
        _ => (&world.y, &world.x),
    };
    mine.store(1, Relaxed);
    world.turn.store(1 - me, Release);
    if FENCE {
        membar_sync();
    }
    while other.load(Acquire) == 1 && world.turn.load(Acquire) == 1 - me {
        relax();
    }
    enter(world);
    mine.store(0, Release);
}

litmus!(DEKKER: |w| dekker::<false>(&w.x, &w.y, w), |w| dekker::<false>(&w.y, &w.x, w); wrong: |_, _| false);
litmus!(DEKKER_FENCE: |w| dekker::<true>(&w.x, &w.y, w), |w| dekker::<true>(&w.y, &w.x, w); wrong: |_, _| false);
litmus!(PETERSON: |w| peterson::<false>(0, w), |w| peterson::<false>(1, w); wrong: |w, _| w.data.peek() != 2);
litmus!(PETERSON_FENCE: |w| peterson::<true>(0, w), |w| peterson::<true>(1, w); wrong: |w, _| w.data.peek() != 2);
// Whoever waits for a store comes to see it, though its CPU does something else for long.
litmus!(AWAITED: |w| { w.x.store(1, Release); for _ in 0..2000 { let _ = w.turn.load(Relaxed); } },
    |w| { while w.x.load(Acquire) == 0 { relax(); } };
    wrong: |_, _| false);

// The second thread stores; the first reads what it has stored, without a look at whether it was.
litmus!(UNORDERED: |w| { w.r[0].set(w.x.load(Acquire)); w.r[1].set(w.data.get()); },
    |w| { w.data.set(1); w.x.store(1, Release); };
    wrong: |_, _| false);
// Ordered after the older of two stores, and not after what came between the two.
litmus!(OLDER: |w| { w.r[0].set(w.x.load(Acquire)); w.r[1].set(w.data.get()); },
    |w| { w.x.store(1, Release); w.data.set(1); w.x.store(2, Release); };
    wrong: |_, _| false);

impl World {
    fn data_word(&self) -> &AtomicU32 {
        &self.turn
    }
}

#[test]
fn what_x86_reorders_is_found() {
    for scenario in [&SB, &SB_RELEASE_ACQUIRE, &SB_ONE_FENCE, &R] {
        assert_eq!(needs_buffers(scenario, 1000).failure.rule, "litmus");
    }
}

#[test]
fn what_x86_does_not_reorder_is_not() {
    for scenario in [
        &SB_FENCES,
        &SB_SEQCST,
        &SB_SWAP,
        &SB_FAILED_EXCHANGE,
        &OWN,
        &MP,
        &LB,
        &S,
        &TWO_PLUS_TWO,
        &CORR,
        &IRIW,
        &WRC,
        &R_FENCE,
    ] {
        holds(scenario);
    }
}

#[test]
fn mutual_exclusion_by_loads_and_stores_needs_a_fence() {
    for scenario in [&DEKKER, &PETERSON] {
        let found = needs_buffers(scenario, 2000);
        assert_eq!(
            found.failure.kind,
            FailureKind::DataRace,
            "{}",
            found.failure
        );
    }
    for scenario in [&DEKKER_FENCE, &PETERSON_FENCE] {
        holds(scenario);
    }
}

#[test]
fn whoever_waits_for_a_store_comes_to_see_it() {
    holds(&AWAITED);
}

#[test]
fn what_is_found_becomes_a_short_file_that_says_so_and_replays() {
    let hunt = hunt(&SB, MemoryModel::Tso, 1000);
    let found = run(&hunt).expect("it is found");
    assert_eq!(found.memory, MemoryModel::Tso);
    let captured = hunt.catch(&found).capture(&LIMITS, Effort::default());
    let captured = captured.unwrap_or_else(|error| panic!("{error}"));
    let text = captured.file.to_string();
    assert!(text.contains("\nmemory tso\nschedule\n"), "{text}");
    assert_eq!(text.matches(" delays\n").count(), 1, "{text}");
    assert!(captured.file.schedule.len() <= 3, "{text}");
    let scenarios = [&SB];
    let parsed = Parsed::read(text.as_bytes(), Registry::of(&scenarios)).expect("it parses");
    assert_eq!(parsed.file.to_string(), text);
    let replayed = parsed.replay(&mut Machine::new(), &LIMITS);
    let (outcome, _) = replayed.unwrap_or_else(|error| panic!("{error}"));
    let Verdict::Failed(failure) = outcome.verdict else {
        panic!("it passes")
    };
    assert_eq!(failure.rule, "litmus");
    let report = captured.report.to_string();
    println!("{text}\n{report}");
    let plain = text.replace("memory tso\n", "");
    let wrong = Parsed::read(plain.as_bytes(), Registry::of(&scenarios)).expect_err("no buffers");
    assert!(wrong.to_string().contains("store buffers"), "{wrong}");
}

/// Replays the schedule with these departures.
fn replay(scenario: &'static Scenario, departures: &str) -> Verdict {
    replay_on(&mut Machine::new(), scenario, departures)
}

fn replay_on(machine: &mut Machine, scenario: &'static Scenario, departures: &str) -> Verdict {
    let text = format!(
        "rumplab-replay 1\nscenario {}\nvariant fixed\ncpus 2\nxcall native\nmemory tso\nschedule\n{departures}end\n",
        scenario.name
    );
    let scenarios = [scenario];
    let parsed = Parsed::read(text.as_bytes(), Registry::of(&scenarios));
    let parsed = parsed.unwrap_or_else(|wrong| panic!("{wrong}"));
    let replayed = parsed.replay(machine, &LIMITS);
    let (outcome, _) = replayed.unwrap_or_else(|error| panic!("{error}"));
    outcome.verdict
}

const SWITCH: &str = "  before t1 on cpu1 rmw scenario.actors #1: cpu0 steps\n";

fn is_race(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Failed(failure) if failure.kind == FailureKind::DataRace)
}

#[test]
fn what_a_store_passes_on_stays_in_the_buffer_with_it() {
    let delay = "  before t1 on cpu1 store world.x #1: cpu1 delays\n";
    assert_eq!(replay(&UNORDERED, SWITCH), Verdict::Passed);
    assert!(is_race(&replay(&UNORDERED, &format!("{delay}{SWITCH}"))));
    let drained = "  before t1 on cpu1 rmw scenario.actors #1: cpu1 drains\n  before t1 on cpu1 rmw scenario.actors #1 look 2: cpu0 \
                   steps\n";
    assert_eq!(
        replay(&UNORDERED, &format!("{delay}{drained}")),
        Verdict::Passed
    );
    let second = "  before t1 on cpu1 store world.x #2: cpu1 delays\n";
    assert_eq!(replay(&OLDER, SWITCH), Verdict::Passed);
    assert!(is_race(&replay(&OLDER, &format!("{second}{SWITCH}"))));
    // Both are in the queue, and only the first leaves it.
    let both = format!("{delay}{second}{drained}");
    assert!(is_race(&replay(&OLDER, &both)));
    let empty = "  before t1 on cpu1 store world.x #1: cpu1 drains\n";
    let text = format!("{empty}{SWITCH}");
    let scenarios = [&OLDER];
    let file = format!(
        "rumplab-replay 1\nscenario OLDER\nvariant fixed\ncpus 2\nxcall native\nmemory tso\nschedule\n{text}end\n"
    );
    let parsed = Parsed::read(file.as_bytes(), Registry::of(&scenarios)).expect("it parses");
    let wrong = parsed
        .replay(&mut Machine::new(), &LIMITS)
        .expect_err("nothing to drain");
    assert!(
        wrong
            .to_string()
            .contains("the store buffer of cpu1 is empty"),
        "{wrong}"
    );
}

/// A word of its own.
struct Lone {
    word: AtomicU32,
}

kmod::fields!(Lone { word });

static FREED: Scenario = Scenario {
    name: "freed",
    setup: |kernel| {
        let lone = share(
            "lone",
            Lone {
                word: AtomicU32::new(0),
            },
        );
        kmod::machine::label(lone, format_args!("lone"));
        let frees = |lone| {
            let lone: &'static Lone = shared(lone);
            // SAFETY: (1) it came from `share`, which is `kmem_alloc`; (2) that the other thread still uses it is the test.
            unsafe { kmem::kmem_free(lone) };
        };
        let stores = |lone| {
            let lone: &Lone = shared(lone);
            lone.word.store(1, Release);
        };
        actor(kernel, "t0", 0, frees, Arg::of(lone));
        actor(kernel, "t1", 1, stores, Arg::of(lone));
    },
    teardown: |_| {},
    ..SCENARIO
};

#[test]
fn a_store_to_memory_that_ends_comes_before_its_end() {
    let delay = "  before t1 on cpu1 store lone.word #1: cpu1 delays\n";
    let mut machine = Machine::new();
    let verdict = replay_on(&mut machine, &FREED, &format!("{delay}{SWITCH}"));
    assert_eq!(verdict, Verdict::Passed);
    let place = |is_it: &dyn Fn(&What) -> bool| {
        let mut trace = machine.trace().iter();
        trace
            .position(|event| is_it(&event.what))
            .expect("it happens")
    };
    let visible =
        place(&|what| matches!(what, What::Visible { object, .. } if object == "lone.word"));
    let is_word = |refer: &Refer| matches!(refer, Refer::Freed { size: 4 });
    let freed = place(&|what| matches!(what, What::Reference { refer, .. } if is_word(refer)));
    assert!(visible < freed);
}
