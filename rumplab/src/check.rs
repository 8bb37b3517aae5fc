//! Runs a program under many schedules, and tells the first that fails.
//!
//! # The environment
//!
//! | variable | meaning |
//! |---|---|
//! | `RUMPLAB_SCHEDULES` | how many schedules are run, as `5000`, `100k` or `1e6` |
//! | `RUMPLAB_SECONDS` | how long schedules are run instead, as `30`, `1.5s` or `2m` |
//! | `RUMPLAB_SEED` | the random seed |
//! | `RUMPLAB_JOBS` | the host threads for each test |
//! | `RUMPLAB_MEMORY` | the memory model: `sc`, or `tso` |
//! | `RUMPLAB_REPLAY` | the replay file of the only schedule to run |
//!
//! They go before the [`Config`] of the test.
//!
//! # Replay files
//!
//! A schedule that fails is kept in the folder `rumplab` of cargo's target directory. `RUMPLAB_REPLAY=FILE cargo test NAME` runs it
//! again, also under a debugger: threads of the program are stacks of one host thread.

mod prove;

use std::any::type_name;
use std::collections::BTreeMap;
use std::panic::Location;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use std::{env, fs, thread};

use hostshim::capture::Capture;
use hostshim::files::{for_shell, write_whole};
use hostshim::hunt::{Budget, Found, Hunt, Plan, Watch};
use hostshim::machine::{Heap, Machine, Setup, catch_faults};
use hostshim::minimize::Effort;
use hostshim::registry::Registry;
use hostshim::replay::{LIMITS, Parsed};
use hostshim::report::{self, Account, Story};
use hostshim::{Allocations, Failure, Granularity, MemoryModel, Verdict};
use kmod::kernel::Kernel;
use kmod::scenario::{FIXED, Kind, Scenario};

use crate::program::{self, Program};
use crate::settings::Settings;

pub use prove::{prove, prove_with};

/// How a program is run.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// CPUs of the machine, up to 16. With 0 each actor has one, and each of the threads that they spawn and that run at once in
    /// the default run, up to 8; and there are at least 2.
    ///
    /// Two threads on one CPU are not checked for data races, so there should be as many CPUs as threads that matter.
    pub cpus: usize,
    /// Schedules that are run.
    pub schedules: u64,
    /// How long schedules are run, instead of a number of them.
    pub time: Option<Duration>,
    /// The random seed. The same seed gives the same schedules.
    pub seed: u64,
    /// Host threads that run schedules. What is found does not depend on it.
    pub jobs: usize,
    /// How schedules are chosen.
    pub plan: Plan,
    /// When CPUs see each other's stores: at once, or as on x86-64.
    ///
    /// A store buffer holds stores of [`sync::atomic`](crate::sync::atomic) and of the kernel's cells.
    pub memory: MemoryModel,
}

impl Default for Config {
    /// 10,000 schedules of the portfolio with seed 1, on one host thread.
    fn default() -> Config {
        Config {
            cpus: 0,
            schedules: 10_000,
            time: None,
            seed: 1,
            jobs: 1,
            plan: Plan::Portfolio,
            memory: MemoryModel::Sc,
        }
    }
}

/// CPUs that a machine has at most without being asked for more.
const MOST_CPUS: usize = 8;

/// Runs the program that `setup` sets up under 10,000 schedules.
///
/// The closure can be called several times, on several threads, and must always make the same program. It can use nothing from
/// outside but what is `Copy`: what threads share is made inside of it.
///
/// # Panics
///
/// If one of the schedules fails, after it was told on the standard error, or if a variable of the environment has a bad value.
///
/// # Examples
///
/// A lost update is found:
///
/// ```should_panic
/// use rumplab::sync::atomic::{AtomicU32, Ordering::Relaxed};
///
/// rumplab::check(|program| {
///     let counter = program.share(AtomicU32::new(0));
///     for name in ["one", "other"] {
///         program.actor(name, move || {
///             let value = counter.load(Relaxed);
///             counter.store(value + 1, Relaxed);
///         });
///     }
///     program.at_end(move || assert_eq!(counter.load(Relaxed), 2));
/// });
/// ```
#[track_caller]
pub fn check<F>(setup: F)
where
    F: Fn(&mut Program) + Copy + Send + Sync + 'static,
{
    check_with(Config::default(), setup);
}

/// [`check`](fn@check) with other settings.
///
/// # Panics
///
/// As [`check`](fn@check), and if a setting makes no sense.
///
/// # Examples
///
/// ```
/// use rumplab::{Config, Level};
/// use rumplab::sync::atomic::{AtomicU32, Ordering::Relaxed};
///
/// let config = Config { cpus: 2, schedules: 1_000, ..Config::default() };
/// rumplab::check_with(config, |program| {
///     let ticks = program.share(AtomicU32::new(0));
///     let softint = program.softint(Level::Net, "count", move || { ticks.fetch_add(1, Relaxed); });
///     program.actor("driver", move || softint.schedule());
///     program.at_end(move || assert_eq!(ticks.load(Relaxed), 1));
/// });
/// ```
#[track_caller]
pub fn check_with<F>(config: Config, setup: F)
where
    F: Fn(&mut Program) + Copy + Send + Sync + 'static,
{
    if let Some((test, config)) = begin(config, setup) {
        test.hunt(&config);
    }
}

/// Makes the test of a program, with its settings. `None`: the schedule of the environment was run instead.
#[track_caller]
fn begin<F>(config: Config, setup: F) -> Option<(Test, Config)>
where
    F: Fn(&mut Program) + Copy + Send + Sync + 'static,
{
    let settings = Settings::from_environment();
    let config = with(config, &settings);
    catch_faults();
    let test = Test::new(test_name::<F>(), Location::caller(), Box::new(setup));
    if let Some(path) = settings.replay {
        test.replay(&path);
        return None;
    }
    let cpus = test.cpus(config.cpus);
    Some((test, Config { cpus, ..config }))
}

/// The settings of the test, and before them those of the environment.
#[track_caller]
fn with(config: Config, settings: &Settings) -> Config {
    let config = Config {
        schedules: settings.schedules.unwrap_or(config.schedules),
        time: match settings.schedules {
            Some(_) => None,
            None => settings.time.or(config.time),
        },
        seed: settings.seed.unwrap_or(config.seed),
        jobs: settings.jobs.unwrap_or(config.jobs),
        memory: settings.memory.unwrap_or(config.memory),
        ..config
    };
    let most = kmod::config::Config::MAXCPUS;
    assert!(
        config.cpus <= most,
        "a machine has at most {most} CPUs: give `cpus` a number up to that, or 0"
    );
    assert!(
        config.jobs > 0 && config.schedules > 0,
        "nothing is tested: give `jobs` and `schedules` a number from 1 on"
    );
    config
}

type Closure = Box<dyn Fn(&mut Program) + Send + Sync>;

/// A test of this process. It is never freed: a scenario is a part of the program.
struct Test {
    scenario: &'static Scenario,
    /// The name of the test function.
    name: String,
    entry: &'static Entry,
}

/// What the setup of a scenario needs.
struct Entry {
    setup: Closure,
    /// How many actors it has set up.
    actors: AtomicUsize,
    /// The most threads that it had spawned at once.
    spawned: AtomicUsize,
}

/// By the address of the scenario: its setup, which is a plain function, has nothing else.
static ENTRIES: Mutex<BTreeMap<usize, &'static Entry>> = Mutex::new(BTreeMap::new());

fn entry_of(scenario: &'static Scenario) -> Option<&'static Entry> {
    let entries = ENTRIES.lock().unwrap_or_else(PoisonError::into_inner);
    entries.get(&std::ptr::from_ref(scenario).addr()).copied()
}

fn set_up(kernel: &'static Kernel) {
    let probe = Box::new(0_u8);
    assert!(
        Heap::gave(&*probe),
        "the allocator of this program is not rumplab's, and a run would spoil the memory of the program: leave the feature \
         `allocator` of rumplab on, or write `#[global_allocator] static HEAP: rumplab::Heap = rumplab::Heap;`"
    );
    let Some(entry) = entry_of(kmod::scenario::scenario_of(kernel)) else {
        unreachable!("a scenario that `Test::new` has not made")
    };
    let mut program = Program::new(kernel, &entry.spawned);
    (entry.setup)(&mut program);
    entry.actors.store(program.actors(), Relaxed);
}

/// Makes a scenario of a program. It lives for ever, as those of the kernel do.
fn register(name: String, about: String, setup: Closure) -> (&'static Scenario, &'static Entry) {
    let scenario: &'static Scenario = Box::leak(Box::new(Scenario {
        name: name.leak(),
        summary: "the program of a test",
        about: about.leak(),
        variants: &[FIXED],
        min_cpus: 1,
        default_cpus: 2,
        kind: Kind::Ported,
        configure: |_| {},
        setup: set_up,
        verify: program::verify,
        teardown: program::teardown,
    }));
    let entry: &'static Entry = Box::leak(Box::new(Entry {
        setup,
        actors: AtomicUsize::new(0),
        spawned: AtomicUsize::new(0),
    }));
    let mut entries = ENTRIES.lock().unwrap_or_else(PoisonError::into_inner);
    entries.insert(std::ptr::from_ref(scenario).addr(), entry);
    (scenario, entry)
}

/// Makes a scenario of a program, for a program with the command line of `rumplab` (the feature `cli`: `rumplab::cli::main`), or
/// for a machine of one's own.
///
/// ```no_run
/// use rumplab::thread;
///
/// fn main() -> std::process::ExitCode {
///     let spawns = rumplab::check::scenario("spawns", |program| {
///         program.actor("main", || thread::spawn(|| {}).join().unwrap());
///     });
///     hostshim::cli::main(&[spawns])
/// }
/// ```
#[track_caller]
pub fn scenario<F>(name: &str, setup: F) -> &'static Scenario
where
    F: Fn(&mut Program) + Copy + Send + Sync + 'static,
{
    let at = Location::caller();
    let about = format!("The program that is set up at {}:{}.", at.file(), at.line());
    register(name.to_owned(), about, Box::new(setup)).0
}

/// How many checks a test has made, by the name of the test.
static CHECKS: Mutex<BTreeMap<String, usize>> = Mutex::new(BTreeMap::new());

impl Test {
    fn new(name: String, at: &Location<'_>, setup: Closure) -> Test {
        let mut checks = CHECKS.lock().unwrap_or_else(PoisonError::into_inner);
        let count = checks.entry(name.clone()).or_default();
        *count += 1;
        let unique = match *count {
            1 => name.clone(),
            number => format!("{name}#{number}"),
        };
        let about = format!("The program that is set up at {}:{}.", at.file(), at.line());
        let (scenario, entry) = register(unique, about, setup);
        Test {
            scenario,
            name,
            entry,
        }
    }

    #[track_caller]
    fn hunt(&self, config: &Config) {
        let hunt = self.campaign(config);
        let hunted = match hunt.run(&Watch::default()) {
            Ok(hunted) => hunted,
            Err(failure) => self.not_set_up(&failure),
        };
        let Some(found) = hunted.found else {
            let schedules = hunted.schedules;
            println!("{}: nothing found in {schedules} schedules", self.name);
            for line in hunted.census.lines(schedules) {
                println!("{line}");
            }
            return;
        };
        self.tell(&hunt, &found);
        panic!("{}", words(&found.failure));
    }

    fn campaign(&self, config: &Config) -> Hunt {
        let budget = match config.time {
            Some(time) => Budget::Time(time),
            None => Budget::Schedules(config.schedules),
        };
        Hunt {
            config: self.kernel(config.cpus),
            plan: config.plan,
            // Every access of the program's own is a point in any case.
            granularity: Some(Granularity::Coarse),
            // It is not about the kernel's memory.
            allocations: Some(Allocations::Never),
            seed: config.seed,
            jobs: config.jobs,
            memory: config.memory,
            ..Hunt::new(self.scenario, &FIXED, budget)
        }
    }

    /// As many CPUs as were asked for; a CPU for each thread of the default run if that is 0.
    #[track_caller]
    fn cpus(&self, wanted: usize) -> usize {
        if wanted > 0 {
            return wanted;
        }
        let setup = Setup {
            scenario: self.scenario,
            config: self.kernel(2),
            trace: false,
        };
        let mut machine = Machine::new();
        if let Err(failure) = machine.boot(&setup) {
            self.not_set_up(&failure);
        }
        // The default run shows how many threads there are. It may well fail.
        machine.length(Granularity::Coarse);
        let threads = self.entry.actors.load(Relaxed) + self.entry.spawned.load(Relaxed);
        threads.clamp(2, MOST_CPUS)
    }

    fn kernel(&self, cpus: usize) -> kmod::config::Config {
        self.scenario
            .config(kmod::config::Config::small(cpus), &FIXED)
    }

    #[track_caller]
    fn not_set_up(&self, failure: &Failure) -> ! {
        panic!("the program could not be set up: {}", words(failure));
    }

    /// Tells a failure, and keeps its schedule.
    #[track_caller]
    fn tell(&self, hunt: &Hunt, found: &Found) {
        let captured = hunt.catch(found).capture(&LIMITS, Effort::default());
        let Capture { file, report, .. } = match captured {
            Ok(captured) => captured,
            Err(error) => panic!("{}\n{error}", words(&found.failure)),
        };
        let mut report = report;
        report.extend_first(&format!(", found in schedule {}", found.run + 1));
        eprintln!("{report}");
        let path = folder().join(file.name());
        let text = file.to_string();
        let made = fs::create_dir_all(folder());
        match made.and_then(|()| write_whole(&path, text.as_bytes())) {
            Ok(()) => eprintln!(
                "the schedule is in {}\nrun it again (with the same options): {}",
                path.display(),
                self.command(&path)
            ),
            Err(error) => eprintln!(
                "cannot write {}: {error}\n  the file is\n{text}",
                path.display()
            ),
        }
    }

    fn command(&self, path: &Path) -> String {
        // `cargo rumplab test` says what it was called with.
        let cargo = env::var("RUMPLAB_COMMAND").unwrap_or_else(|_| "cargo test".to_owned());
        format!("RUMPLAB_REPLAY={} {cargo} {}", for_shell(path), self.name)
    }

    /// Runs the schedule of a file, and tells it.
    #[track_caller]
    fn replay(&self, path: &Path) {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) => panic!(
                "RUMPLAB_REPLAY: cannot read {}: {error}\n  help: give the path that the failing test has printed, from {}",
                path.display(),
                env::current_dir().unwrap_or_default().display(),
            ),
        };
        let of = scenario_of(&bytes);
        if let Some(other) = of.filter(|of| of != self.scenario.name) {
            // Another check of the same test: that one runs it.
            if other.split('#').next() == Some(&self.name) {
                return;
            }
            let name = other.split('#').next().unwrap_or_default();
            panic!(
                "RUMPLAB_REPLAY: {0} is a schedule of the test {name}\n  help: RUMPLAB_REPLAY={0} cargo test {name}",
                for_shell(path)
            );
        }
        let registry = [self.scenario];
        let parsed = Parsed::read(&bytes, Registry::of(&registry));
        let parsed = parsed.unwrap_or_else(|wrong| panic!("{}:{wrong}", path.display()));
        let mut machine = Machine::new();
        let replayed = parsed.replay(&mut machine, &LIMITS);
        let (outcome, points) =
            replayed.unwrap_or_else(|wrong| panic!("{}:{wrong}", path.display()));
        let story = Story {
            cpus: parsed.file.config.cpus(),
            outcome: &outcome,
            trace: machine.trace(),
            departures: &parsed.file.schedule,
            points: &points,
        };
        let account = Account::new(&parsed.file, story, machine.wait_graph());
        eprintln!("{}", report::explain(&account, &machine.waits()));
        if let Verdict::Failed(failure) = &outcome.verdict {
            panic!("{}", words(failure));
        }
    }
}

/// The failure in a line or a few.
fn words(failure: &Failure) -> String {
    failure.to_string()
}

/// The scenario that a replay file names.
fn scenario_of(bytes: &[u8]) -> Option<String> {
    let text = str::from_utf8(bytes).ok()?;
    let mut lines = text.lines().map(str::trim);
    let name = lines.find_map(|line| line.strip_prefix("scenario "))?;
    Some(name.trim().trim_matches('"').to_owned())
}

/// The name of the test function that has the closure `F`: that of its thread, which the test harness gives it, or if there is only
/// one thread, the path of the function around the closure.
fn test_name<F>() -> String {
    let thread = thread::current();
    if let Some(name) = thread.name().filter(|name| *name != "main") {
        return name.to_owned();
    }
    let path = type_name::<F>();
    let path = path.split("::{{closure}}").next().unwrap_or(path);
    let in_crate = path.split_once("::").map_or(path, |(_, rest)| rest);
    in_crate.to_owned()
}

/// Where replay files go: `rumplab` in cargo's target directory.
fn folder() -> PathBuf {
    // Cargo marks it with this file, and the test program lies somewhere in it.
    let is_target = |folder: &&Path| folder.join("CACHEDIR.TAG").exists();
    let program = env::current_exe().unwrap_or_default();
    let target = program.ancestors().find(is_target);
    let target = target.unwrap_or(Path::new("target")).to_owned();
    // As seen from here, if it can be: it is shorter.
    let here = env::current_dir().unwrap_or_default();
    let short = target.strip_prefix(&here).map(Path::to_owned);
    short.unwrap_or(target).join("rumplab")
}
