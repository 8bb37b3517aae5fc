//! Tests of softint_establish(9), softint_disestablish(9), intr_establish(9) and intr_disestablish(9) while handlers run.
//!
//! Drivers come and go: each establishes a softint, and the interrupt of a device, whose handler schedules the softint. It
//! schedules the softint here and on other CPUs, and the device interrupts. Then it ends both, and frees its memory. The entries of
//! the tables are used again, by other drivers and at other levels.

use crate::config::Config;
use crate::kern::intr;
use crate::kern::kmem::{kmem_alloc, kmem_free};
use crate::kern::lwp::{Arg, curcpu, curlwp};
use crate::kern::mutex::Kmutex;
use crate::kern::softint::{self, LEVELS, Softint};
use crate::kern::spl::Ipl;
use crate::kern::synch;
use crate::machine;
use crate::mem::{Acquire, AtomicU32, Plain, Relaxed, Release};
use crate::scenario::classics::{free_data, shared};
use crate::scenario::handler::Handler;
use crate::scenario::{FIXED, Kind, Scenario, actor, broken_promise, share};

/// How often a driver's device interrupts.
const RAISED: u32 = 2;

/// What drivers share.
struct Bus {
    /// Threads and handlers enter it: some handlers have to wait, and run on as threads.
    mutex: Kmutex,
    /// A softint that is always there.
    clerk: Handler,
    /// How often it was scheduled, and how often its runs had seen that.
    asked: AtomicU32,
    seen: AtomicU32,
}

crate::fields!(Bus {
    mutex,
    clerk,
    asked,
    seen
});

/// A driver, as long as it is there.
struct Driver {
    level: Ipl,
    /// Set before the interrupt is established.
    softint: Plain<Option<Softint>>,
    /// How often the handler of its interrupt has run.
    interrupts: AtomicU32,
    /// For each CPU: how often the softint was scheduled there by a thread or a handler that ran there.
    asked: [AtomicU32; Config::MAXCPUS],
    /// What the last run on each CPU has seen of that.
    seen: [AtomicU32; Config::MAXCPUS],
    /// Whether intr_disestablish has returned.
    silent: AtomicU32,
    /// Whether softint_disestablish has returned.
    gone: AtomicU32,
    runs: [Plain<u32>; Config::MAXCPUS],
}

crate::fields!(Driver {
    softint,
    interrupts,
    asked,
    seen,
    silent,
    gone,
    runs
});

/// Softints are established and disestablished while others run.
pub static SCENARIO: Scenario = Scenario {
    name: "softint-establish",
    summary: "softints are established, scheduled on all CPUs, disestablished, and their data freed",
    about: "Three threads are drivers that come and go. Each establishes a softint, schedules it on its own CPU and on \
            others, and has a device interrupt, whose handler schedules it, too. It disestablishes the interrupt, then the \
            softint; then it frees the data of the handlers. The next driver gets the same entries, at other levels. When \
            intr_disestablish or softint_disestablish returns, the handler neither runs nor will run, and what was \
            scheduled on the CPU of the caller has run. A handler runs at the level and with the argument that it was \
            established with.",
    variants: &[FIXED],
    min_cpus: 1,
    default_cpus: 2,
    kind: Kind::Sound,
    configure: |_| {},
    setup: |kernel| {
        let bus = share(
            "bus",
            Bus {
                mutex: Kmutex::new("bus", Ipl::SoftSerial),
                clerk: Handler::new(),
                asked: AtomicU32::new(0),
                seen: AtomicU32::new(0),
            },
        );
        machine::label(bus, format_args!("bus"));
        kernel.set_data(Arg::of(bus));
        bus.clerk
            .establish(kernel, Ipl::SoftNet, clerk_runs, Arg::NONE);
        for (number, name) in ["driver0", "driver1", "driver2"].into_iter().enumerate() {
            actor(kernel, name, number, drive, Arg(number));
        }
    },
    verify: |kernel| {
        let bus: &Bus = shared(kernel.data());
        let (asked, seen) = (bus.asked.peek(), bus.seen.peek());
        if asked != seen {
            broken_promise(
                "softint-establish-lost",
                format_args!(
                    "a softint that stays was scheduled {asked} times, and its last run has seen {seen}"
                ),
            );
        }
    },
    teardown: |kernel| {
        shared::<Bus>(kernel.data()).clerk.disestablish(kernel);
        free_data::<Bus>(kernel);
    },
};

fn bus() -> &'static Bus {
    shared(curlwp().kernel().data())
}

/// The highest of what runs have seen.
fn raise(seen: &AtomicU32, asked: u32) {
    let mut before = seen.load(Relaxed);
    while before < asked {
        match seen.compare_exchange(before, asked, Release, Relaxed) {
            Ok(_) => return,
            Err(now) => before = now,
        }
    }
}

/// The softint that is always there.
fn clerk_runs(_: Arg) {
    let bus = bus();
    let asked = bus.asked.load(Acquire);
    bus.mutex.enter();
    bus.mutex.exit();
    raise(&bus.seen, asked);
}

/// The interrupt of a driver's device.
fn device_interrupts(driver: Arg) {
    let driver: &Driver = shared(driver);
    driver.assert_not_silent("begins");
    let runs = driver.interrupts.fetch_add(1, Relaxed) + 1;
    if runs > RAISED {
        broken_promise(
            "intr-unasked",
            format_args!(
                "an interrupt was raised {RAISED} times, and its handler runs for the {runs}th time"
            ),
        );
    }
    if let Some(softint) = driver.softint.get() {
        driver.asked[curcpu().index()].fetch_add(1, Release);
        softint::schedule(softint);
    }
    driver.assert_not_silent("still runs");
}

/// The softint of a driver.
fn driver_runs(driver: Arg) {
    let driver: &Driver = shared(driver);
    driver.assert_there("begins");
    let level = softint::level_of(curlwp());
    if level != driver.level {
        broken_promise(
            "softint-establish-level",
            format_args!(
                "a softint that was established at {} runs at {}",
                driver.level.name(),
                level.name()
            ),
        );
    }
    let cpu = curcpu().index();
    let asked = driver.asked[cpu].load(Acquire);
    driver.runs[cpu].set(driver.runs[cpu].get() + 1);
    bus().mutex.enter();
    bus().mutex.exit();
    raise(&driver.seen[cpu], asked);
    driver.assert_there("still runs");
}

impl Driver {
    fn assert_not_silent(&self, what: &str) {
        if self.silent.load(Acquire) != 0 {
            broken_promise(
                "intr-disestablish-gone",
                format_args!(
                    "the handler of an interrupt {what} on cpu{} after intr_disestablish has returned",
                    curcpu().index()
                ),
            );
        }
    }

    /// The device interrupts some CPU, while the driver establishes the interrupt and gives it back.
    fn interrupt(&self, number: usize) {
        let cpus = curlwp().kernel().cpus();
        let level = [Ipl::Vm, Ipl::High][number % 2];
        let ci = &cpus[number % cpus.len()];
        if let Some(ih) = intr::establish(ci, level, device_interrupts, Arg::of(self)) {
            intr::raise(ih);
            self.schedule_everywhere();
            intr::raise(ih);
            intr::disestablish(ih);
            self.silent.store(1, Release);
        }
    }

    /// Schedules the softint on this CPU and on all others.
    fn schedule_everywhere(&self) {
        let Some(softint) = self.softint.get() else {
            return;
        };
        for ci in curlwp().kernel().cpus() {
            // Handlers that interrupt this have to wait.
            bus().mutex.enter();
            synch::kpreempt_disable();
            self.asked[curcpu().index()].fetch_add(1, Release);
            softint::schedule(softint);
            softint::schedule_cpu(softint, ci);
            synch::kpreempt_enable();
            bus().mutex.exit();
        }
    }

    fn assert_there(&self, what: &str) {
        if self.gone.load(Acquire) != 0 {
            broken_promise(
                "softint-establish-gone",
                format_args!(
                    "a softint {what} on cpu{} after softint_disestablish has returned",
                    curcpu().index()
                ),
            );
        }
    }
}

/// A driver comes and goes.
fn drive(number: Arg) {
    let kernel = curlwp().kernel();
    let cpus = kernel.cpus();
    for round in 0..kernel.config().repeat as usize {
        let level = LEVELS[(number.0 + round) % LEVELS.len()];
        let driver = Driver {
            level,
            softint: Plain::new(None),
            interrupts: AtomicU32::new(0),
            asked: [const { AtomicU32::new(0) }; Config::MAXCPUS],
            seen: [const { AtomicU32::new(0) }; Config::MAXCPUS],
            silent: AtomicU32::new(0),
            gone: AtomicU32::new(0),
            runs: [const { Plain::new(0) }; Config::MAXCPUS],
        };
        let Some(driver) = kmem_alloc("driver", driver) else {
            return;
        };
        machine::label(driver, format_args!("driver{}", number.0));
        if let Some(softint) = softint::establish(level, driver_runs, Arg::of(driver)) {
            driver.softint.set(Some(softint));
            bus().asked.fetch_add(1, Release);
            bus().clerk.schedule();
            driver.interrupt(number.0 + round);
            driver.schedule_everywhere();
            softint::disestablish(softint);
            driver.gone.store(1, Release);
            for ci in cpus {
                let at = ci.index();
                let (asked, seen) = (
                    driver.asked[at].load(Acquire),
                    driver.seen[at].load(Acquire),
                );
                if asked != seen {
                    broken_promise(
                        "softint-establish-lost",
                        format_args!(
                            "softint_disestablish returned: the softint was scheduled {asked} times on cpu{at} by a thread \
                             there, and its last run has seen {seen}"
                        ),
                    );
                }
            }
        }
        // SAFETY: (1) it came from `kmem_alloc`; (2) the softint neither runs nor will run: a promise under test.
        unsafe { kmem_free(driver) };
    }
}
