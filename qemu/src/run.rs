//! Runs a scenario for a given time, under a watchdog.
//!
//! # Overview
//!
//! [`main`] reads the command line, starts the CPUs, builds a kernel and lets every CPU enter it. From then on
//! everything happens in the kernel's own threads and interrupts: one of its threads repeats the scenario as long as
//! [`again`] returns true. The result is printed on the console as TAP, one test per boot.
//!
//! # The watchdog
//!
//! At each clock interrupt CPU 0 checks, before the kernel is entered, whether any actor has made progress since the
//! last time. If none has for a given number of seconds, that is a hang. A kernel level that masks the clock does not
//! hide it: the interrupt still arrives, and is only marked as pending.

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use kmod::config::Config;
use kmod::entry;
use kmod::kern::order;
use kmod::kernel::Kernel;
use kmod::scenario::{Kind, Scenario, Variant};
use spin::Once;

use crate::boot::BootInfo;
use crate::console::{self, println};
use crate::cpu::{self, PerCpu, smp, time};
use crate::memory::heap;
use crate::options::{self, NetIrq, Options};
use crate::report::yaml::Yaml;
use crate::report::{self, Cause, Status};
use crate::{context, net, perturb};

/// The options, and the kernel.
struct Run {
    scenario: &'static Scenario,
    variant: &'static Variant,
    options: Options<'static>,
    rate: u64,
    kernel: &'static Kernel,
    start_us: u64,
}

unsafe extern "Rust" {
    /// The scenarios of this binary: see [`boots!`](crate::boots).
    safe fn rumplab_scenarios() -> &'static [&'static Scenario];
}

static INFO: Once<BootInfo> = Once::new();
static RUN: Once<Run> = Once::new();

/// Rounds that have ended.
static ROUNDS: AtomicU64 = AtomicU64::new(0);
/// The progress that the watchdog saw last, and how many ticks ago it changed.
static PROGRESS: AtomicU64 = AtomicU64::new(0);
static QUIET_TICKS: AtomicU64 = AtomicU64::new(0);

/// Stores the boot information.
pub(crate) fn remember(info: BootInfo) -> &'static BootInfo {
    INFO.call_once(|| info)
}

/// The kernel's own debugging information, if the loader provided it.
pub(crate) fn debug_module() -> Option<&'static [u8]> {
    INFO.get()?.debug_module
}

/// The kernel, once it has been built.
pub(crate) fn kernel() -> Option<&'static Kernel> {
    Some(RUN.get()?.kernel)
}

/// The boot processor's entry into the kernel. Interrupts are off.
pub(crate) extern "C" fn main() -> ! {
    heap::reserve_arena();
    let info = INFO.get().expect("the boot information was kept");
    println!("TAP version 14");
    println!("1..1");
    let options = match options::parse(info.command_line.text()) {
        Ok(options) if options.scenario == "list" => list(),
        Ok(options) => options,
        Err(wrong) => usage(format_args!("{wrong}")),
    };
    let (scenario, variant) = find(&options);
    let rate = perturbation(&options);
    let apic_ids = smp::discover(info);
    let count = options.cpus.unwrap_or(apic_ids.len());
    if count == 0 || count > apic_ids.len().min(cpu::MAX_CPUS) {
        usage(format_args!(
            "cpus={count}: the machine has {}",
            apic_ids.len()
        ));
    }
    if count < scenario.min_cpus {
        usage(format_args!(
            "{} needs {} CPUs",
            scenario.name, scenario.min_cpus
        ));
    }
    if let NetIrq::Cpu(cpu) = options.net_irq
        && cpu >= count
    {
        usage(format_args!(
            "net-irq={cpu}: the last of {count} CPUs is cpu{}",
            count - 1
        ));
    }
    smp::start(&apic_ids[..count]);
    println!(
        "# {} {}, booted by {} on {count} CPUs",
        scenario.name, variant.name, info.protocol
    );
    net::init(options.net_irq, count);
    if scenario.kind == Kind::Net && net::count() == 0 {
        usage(format_args!(
            "{} needs a network card: add one with scripts/boot --net",
            scenario.name
        ));
    }

    let usual = scenario.config(Config::new(count), variant);
    if usual.nics != 0 {
        usage(format_args!(
            "{} needs the wire of the simulated machine: rumplab run {0}",
            scenario.name
        ));
    }
    let config = Config {
        xcall: options.xcall.unwrap_or(usual.xcall),
        net_mpsafe: options.net_mpsafe.unwrap_or(usual.net_mpsafe),
        history: usual.history.union(options.history),
        predict: options.predict,
        ..usual
    };
    let kernel = entry::boot(&config, scenario);
    let start_us = time::now_us();
    let seed = options.seed;
    RUN.call_once(|| Run {
        scenario,
        variant,
        options,
        rate,
        kernel,
        start_us,
    });
    entry::rounds(kernel, again);
    perturb::start(seed, rate);
    smp::open_gate();
    enter(0)
}

fn scenarios() -> impl Iterator<Item = &'static Scenario> {
    rumplab_scenarios().iter().copied()
}

fn find(options: &Options<'_>) -> (&'static Scenario, &'static Variant) {
    let name = options.scenario;
    let Some(scenario) = scenarios().find(|scenario| scenario.name == name) else {
        usage(format_args!(
            "there is no scenario `{name}`; scenario=list names them"
        ))
    };
    let Some(variant) = scenario.variant(options.variant) else {
        let name = options.variant;
        usage(format_args!(
            "{} has no variant `{name}`; scenario=list names them",
            scenario.name
        ))
    };
    if options.predict && !cfg!(feature = "order") {
        usage(format_args!("this kernel was built without prediction"));
    }
    if variant.history.union(options.history) != kmod::history::History::NONE
        && !cfg!(feature = "history")
    {
        usage(format_args!(
            "this kernel was built without the historical variants"
        ));
    }
    (scenario, variant)
}

/// The rate of perturbation: one point in this many, 0 for none.
fn perturbation(options: &Options<'_>) -> u64 {
    match (options.perturb, cfg!(feature = "perturb")) {
        (Some(rate), true) => rate,
        (None, true) => perturb::DEFAULT_RATE,
        (None | Some(0), false) => 0,
        (Some(_), false) => usage(format_args!("this kernel was built without perturbation")),
    }
}

fn usage(what: fmt::Arguments<'_>) -> ! {
    println!("not ok 1 - the kernel command line");
    println!("  ---");
    println!("  kind: usage");
    println!("  message: \"{what}\"");
    println!("  ...");
    report::exit(Status::Usage)
}

fn list() -> ! {
    for scenario in scenarios() {
        println!("# {:<20} {}", scenario.name, scenario.summary);
        for variant in scenario.variants {
            println!("#     variant={:<12} {}", variant.name, variant.summary);
        }
    }
    println!("ok 1 - list # {} scenarios", scenarios().count());
    report::exit(Status::Passed)
}

/// Makes this CPU enter the kernel, for ever. Interrupts are off; the idle LWP enables them.
pub(crate) fn enter(index: usize) -> ! {
    time::start_ticking();
    let kernel = kernel().expect("a kernel is there before the gate is opened");
    // SAFETY: the idle context of this CPU has not run yet, and runs nowhere else.
    unsafe { context::begin(entry::idle_context(kernel, index)) }
}

/// Called by the kernel after each round: whether there is time for another and `q` was not typed.
fn again(rounds: u64) -> bool {
    ROUNDS.store(rounds, Relaxed);
    let run = RUN.get().expect("rounds are run after the run is known");
    elapsed_us(run) < run.options.seconds * 1_000_000 && !console::asked_to_end()
}

fn elapsed_us(run: &Run) -> u64 {
    time::now_us() - run.start_us
}

/// A tick of `cpu`'s clock, in its interrupt, before the kernel is entered.
pub(crate) fn tick(cpu: &PerCpu) {
    if cpu.index() != 0 {
        return;
    }
    let Some(run) = RUN.get() else { return };
    let progress = entry::progress(run.kernel);
    if PROGRESS.swap(progress, Relaxed) != progress {
        QUIET_TICKS.store(0, Relaxed);
        return;
    }
    let quiet_ticks = QUIET_TICKS.fetch_add(1, Relaxed) + 1;
    let seconds = run.options.watchdog;
    if seconds != 0 && quiet_ticks >= seconds * u64::from(time::HZ) {
        report::begin(&Cause::Hang { seconds });
    }
}

/// Whether anything could still make progress, when the CPUs have been stopped. For the report of a hang.
pub(crate) fn outlook() -> &'static str {
    let Some(run) = RUN.get() else {
        return "there is no kernel yet";
    };
    match entry::idle(run.kernel) {
        entry::Idle::Finished => "and all of them have come to their end",
        entry::Idle::Clock => "a timer could still wake a thread",
        entry::Idle::Stuck if entry::runs(run.kernel) => "a thread is running, and does not finish",
        entry::Idle::Stuck => "no clock and no interrupt will ever wake them",
    }
}

/// Seconds with two decimals.
struct Seconds(u64);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:02} s", self.0 / 1_000_000, self.0 / 10_000 % 100)
    }
}

/// The scenario ran for its time, and nothing was found.
pub(crate) fn passed() -> ! {
    let run = RUN.get().expect("only a kernel that runs passes");
    let rounds = ROUNDS.load(Relaxed);
    let (scenario, variant) = (run.scenario.name, run.variant.name);
    let time = Seconds(elapsed_us(run));
    net::print_counts();
    print_predicted(run.kernel);
    println!("ok 1 - {scenario} {variant} # {rounds} rounds in {time}");
    report::exit(Status::Passed)
}

/// Prints what all rounds together predicted; each prediction was printed after its round.
fn print_predicted(kernel: &'static Kernel) {
    let Some((count, lost)) = order::predicted(kernel) else {
        return;
    };
    match count {
        0 => println!("# no deadlock predicted"),
        1 => println!("# 1 deadlock predicted"),
        count => println!("# {count} deadlocks predicted"),
    }
    if !lost.is_nothing() {
        println!("# {lost}");
    }
}

/// The line of TAP that says that the run failed; the report follows.
pub(crate) fn print_failed() {
    match RUN.get() {
        Some(run) => println!(
            "not ok 1 - {} {} # in round {} after {}",
            run.scenario.name,
            run.variant.name,
            ROUNDS.load(Relaxed) + 1,
            Seconds(elapsed_us(run))
        ),
        None => println!("not ok 1 - boot"),
    }
}

/// Writes the options of the run, for the report.
pub(crate) fn write_settings(yaml: &mut Yaml) -> fmt::Result {
    let Some(run) = RUN.get() else { return Ok(()) };
    let options = &run.options;
    yaml.field("seed", format_args!("{}", options.seed))?;
    let wiring = run.kernel.config().xcall.name();
    yaml.field("xcall", format_args!("{wiring}"))?;
    yaml.field("cpus_running", format_args!("{}", cpu::count()))?;
    match run.rate {
        0 => yaml.field("perturb", format_args!("none")),
        rate => yaml.field("perturb", format_args!("one point in {rate}")),
    }
}
