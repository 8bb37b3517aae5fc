//! The classic programs on the simulated machine, and a program that makes only steps.

use bench::Work;
use hostshim::{Limits, Machine, Setup, Strategy};
use kmod::config::Config;
use kmod::kern::lwp::Arg;
use kmod::kernel::Kernel;
use kmod::mem::{AtomicU32, Plain, Relaxed};
use kmod::scenario::classics::{free_data, shared};
use kmod::scenario::{FIXED, Kind, Scenario, actor, share};

/// Iterations of the program that makes only steps; three steps each.
const ROUNDS: u32 = 2_000;

/// The words of two actors: one atomic word together, and one plain word each.
struct Words {
    shared: AtomicU32,
    own: [Plain<u32>; 2],
}

/// Two LWPs on two CPUs that load, read and write: only steps, all of them checked.
pub(crate) static STEPS: Scenario = Scenario {
    name: "steps",
    summary: "nothing but steps",
    about: "",
    variants: &[FIXED],
    min_cpus: 1,
    default_cpus: 2,
    kind: Kind::Sound,
    configure: |_| {},
    setup,
    verify: |_| {},
    teardown: free_data::<Words>,
};

fn setup(kernel: &'static Kernel) {
    let words = share(
        "words",
        Words {
            shared: AtomicU32::new(0),
            own: [Plain::new(0), Plain::new(0)],
        },
    );
    kernel.set_data(Arg::of(words));
    actor(
        kernel,
        "t1",
        0,
        |words| rounds(shared(words), 0),
        Arg::of(words),
    );
    actor(
        kernel,
        "t2",
        1,
        |words| rounds(shared(words), 1),
        Arg::of(words),
    );
}

fn rounds(words: &Words, own: usize) {
    for _ in 0..ROUNDS {
        let value = words.shared.load(Relaxed);
        words.own[own].set(words.own[own].get() + value);
    }
}

/// The lost update as a program that spawns its threads in the run and joins them: the text of shuttle's.
pub(crate) fn spawned_lost_update() -> &'static Scenario {
    use rumplab::sync::Arc;
    use rumplab::sync::atomic::{AtomicU32, Ordering::Relaxed};
    use rumplab::thread;
    rumplab::check::scenario("spawned-lost-update", |program| {
        program.actor("main", || {
            let counter = Arc::new(AtomicU32::new(0));
            let threads = [(); 2].map(|()| {
                let counter = counter.clone();
                thread::spawn(move || {
                    let value = counter.load(Relaxed);
                    counter.store(value + 1, Relaxed);
                })
            });
            for thread in threads {
                thread.join().expect("the thread adds and ends");
            }
            std::hint::black_box(counter.load(Relaxed));
        });
    })
}

/// A machine that has booted a scenario, and a strategy to run it with.
pub(crate) struct Ours {
    machine: Machine,
    strategy: Box<dyn Strategy>,
}

impl Ours {
    pub(crate) fn new(scenario: &'static Scenario, strategy: Box<dyn Strategy>) -> Ours {
        let mut machine = Machine::new();
        let config = scenario.config(Config::small(scenario.default_cpus), &FIXED);
        if let Err(failure) = machine.boot(&Setup {
            scenario,
            config,
            trace: false,
        }) {
            panic!("{} does not boot: {failure}", scenario.name);
        }
        Ours { machine, strategy }
    }

    /// Runs this many schedules, whether they fail or not.
    pub(crate) fn schedules(&mut self, schedules: u64) -> Work {
        let mut steps = 0;
        for _ in 0..schedules {
            steps += self
                .machine
                .run(&mut *self.strategy, &Limits::default())
                .steps;
        }
        Work {
            schedules: schedules as f64,
            steps: steps as f64,
        }
    }
}
