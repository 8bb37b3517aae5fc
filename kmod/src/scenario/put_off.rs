//! Test of what is put off: soft interrupts, preemptions and clock interrupts happen as soon as they may, and in the order of their rank.
//!
//! Each CPU has a thread that is bound to it, and that puts things off with a raised level or with preemption disabled. What happens then on
//! its CPU is known exactly, because handlers here never wait for anything. So the thread checks after each of its calls what must have
//! happened, and what must not.

use crate::kern::clock;
use crate::kern::condvar::Kcondvar;
use crate::kern::kthread::Options;
use crate::kern::lwp::{Arg, curcpu, curlwp, pri};
use crate::kern::mutex::Kmutex;
use crate::kern::softint::LEVELS;
use crate::kern::spl::{self, Ipl};
use crate::kern::synch::{self, kpause};
use crate::machine;
use crate::mem::{AtomicU32, Plain, Relaxed, relax};
use crate::scenario::classics::{free_data, shared};
use crate::scenario::handler::{Device, Handler};
use crate::scenario::{FIXED, Kind, Scenario, actor_options, actor_with, broken_promise, share};

/// CPUs that take part.
const CPUS: usize = 2;
/// The soft interrupts whose runs are recorded, in the order in which they are scheduled: two of one level.
const RECORDED: [Ipl; 4] = [Ipl::SoftClock, Ipl::SoftNet, Ipl::SoftNet, Ipl::SoftSerial];
/// The level of the soft interrupt that the device schedules.
const OF_DEVICE: Ipl = Ipl::SoftBio;

/// A CPU: only what runs there touches it.
struct Desk {
    /// The soft interrupts that have run since the record was read, by number.
    record: [Plain<usize>; RECORDED.len()],
    recorded: Plain<usize>,
    device: Device,
    /// Another one of the same level, and how often it has interrupted.
    other: Device,
    others: AtomicU32,
    /// How often the device has interrupted, which schedules a soft interrupt each time, and what the last run of that has found.
    interrupts: AtomicU32,
    found: AtomicU32,
    /// Protects what follows, from threads and soft interrupts of this CPU.
    lock: Kmutex,
    cv: Kcondvar,
    /// Whether `urgent` waits to be told, and whether it is to end.
    waits: Plain<bool>,
    over: Plain<bool>,
    /// How often it was told to run, and how often it has.
    told: AtomicU32,
    ran: AtomicU32,
}

crate::fields!(Desk {
    record,
    recorded,
    device,
    other,
    others,
    interrupts,
    found,
    lock,
    cv,
    waits,
    over,
    told,
    ran
});

struct Office {
    desks: [Desk; CPUS],
    recorded: [Handler; RECORDED.len()],
    of_device: Handler,
}

crate::fields!(Office {
    desks,
    recorded,
    of_device
});

/// Soft interrupts, a device, and a thread of a higher priority, all put off.
pub static SCENARIO: Scenario = Scenario {
    name: "put-off",
    summary: "soft interrupts, preemptions and ticks are put off: do they happen as soon as they may, by their rank?",
    about: "On each CPU a thread raises the level or disables preemption, schedules soft interrupts of all levels, wakes a thread of a \
            higher priority, and lowers the level in one step or two. Before splx or kpreempt_enable returns, everything must have \
            happened that is no longer masked: the highest level first, and within a level in the order in which it was scheduled; \
            nothing that is masked. Two devices interrupt the CPU, at a level that is raised at first; one schedules a soft interrupt, \
            and that wakes the urgent thread, too: the thread below never finds that an interrupt has come whose soft interrupt has not \
            run, or one told to run that did not. Each clock interrupt that has come is a tick before the thread goes on.",
    variants: &[FIXED],
    min_cpus: 1,
    default_cpus: CPUS,
    kind: Kind::Sound,
    configure: |_| {},
    setup: |kernel| {
        let office = share("office", Office::new());
        machine::label(office, format_args!("office"));
        kernel.set_data(Arg::of(office));
        for (number, (handler, level)) in office.recorded.iter().zip(RECORDED).enumerate() {
            handler.establish(kernel, level, runs, Arg(number));
        }
        office
            .of_device
            .establish(kernel, OF_DEVICE, runs_for_device, Arg::NONE);
        for cpu in 0..kernel.cpus().len().min(CPUS) {
            let desk = &office.desks[cpu];
            desk.device
                .establish(kernel, cpu, Ipl::Vm, interrupts, Arg::of(desk));
            desk.other
                .establish(kernel, cpu, Ipl::Vm, other_interrupts, Arg::of(desk));
            for (name, priority, body) in [
                ("clerk", pri::USER, work as fn(Arg)),
                ("urgent", pri::KTHREAD, urgent),
            ] {
                let options = Options {
                    cpu: Some(cpu),
                    priority,
                    ..actor_options()
                };
                actor_with(kernel, name, options, body, Arg::of(desk));
            }
        }
    },
    verify: |_| {},
    teardown: |kernel| {
        let office: &Office = shared(kernel.data());
        for handler in office.recorded.iter().chain([&office.of_device]) {
            handler.disestablish(kernel);
        }
        for desk in &office.desks {
            desk.device.disestablish(kernel);
            desk.other.disestablish(kernel);
        }
        free_data::<Office>(kernel);
    },
};

impl Office {
    const fn new() -> Self {
        Office {
            desks: [const {
                Desk {
                    record: [const { Plain::new(0) }; RECORDED.len()],
                    recorded: Plain::new(0),
                    device: Device::new(),
                    other: Device::new(),
                    others: AtomicU32::new(0),
                    interrupts: AtomicU32::new(0),
                    found: AtomicU32::new(0),
                    lock: Kmutex::new("desk", Ipl::Vm),
                    cv: Kcondvar::new("told"),
                    waits: Plain::new(false),
                    over: Plain::new(false),
                    told: AtomicU32::new(0),
                    ran: AtomicU32::new(0),
                }
            }; CPUS],
            recorded: [const { Handler::new() }; RECORDED.len()],
            of_device: Handler::new(),
        }
    }
}

fn office() -> &'static Office {
    shared(curlwp().kernel().data())
}

/// A recorded soft interrupt.
fn runs(number: Arg) {
    let desk = &office().desks[curcpu().index()];
    let place = desk.recorded.get();
    if let Some(record) = desk.record.get(place) {
        record.set(number.0);
    }
    desk.recorded.set(place + 1);
}

/// The device of a desk.
fn interrupts(desk: Arg) {
    let desk: &Desk = shared(desk);
    desk.interrupts.fetch_add(1, Relaxed);
    office().of_device.schedule();
}

fn other_interrupts(desk: Arg) {
    shared::<Desk>(desk).others.fetch_add(1, Relaxed);
}

/// The soft interrupt that the device schedules.
fn runs_for_device(_: Arg) {
    let desk = &office().desks[curcpu().index()];
    desk.found.store(desk.interrupts.load(Relaxed), Relaxed);
    desk.tell();
}

/// Runs each time that it is told to.
fn urgent(desk: Arg) {
    let desk: &Desk = shared(desk);
    desk.lock.enter();
    loop {
        desk.waits.set(true);
        while desk.waits.get() && !desk.over.get() {
            desk.cv.wait(&desk.lock);
        }
        if desk.waits.get() {
            break;
        }
        desk.ran.fetch_add(1, Relaxed);
    }
    desk.lock.exit();
}

/// What becomes of what a thread has put off.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Put {
    Off,
    Through,
}

impl Desk {
    /// Wakes `urgent`, if it waits.
    fn tell(&self) {
        self.lock.enter();
        if self.waits.replace(false) {
            self.told.fetch_add(1, Relaxed);
            self.cv.signal();
        }
        self.lock.exit();
    }

    /// The soft interrupts that have run since the last call must be these, in this order.
    #[track_caller]
    fn must_have_run(&self, when: &str, expected: impl Iterator<Item = usize> + Clone) {
        let number = self.recorded.replace(0);
        let record = self.record.iter().map(Plain::get).take(number);
        if number > RECORDED.len() || !record.clone().eq(expected.clone()) {
            broken_promise(
                "put-off-softints",
                format_args!(
                    "{} {when}, and the soft interrupts that have run are{}, not{}",
                    curlwp().name(),
                    List(record),
                    List(expected)
                ),
            );
        }
    }

    /// The caller is at level none: what has come here must have been handled.
    #[track_caller]
    fn must_have_been_handled(&self) {
        synch::kpreempt_disable();
        // Each pair in this order: more may come in between, and is handled at once.
        let came = clock::interrupts(curcpu());
        let ticks = curcpu().ci_callout.peek_ticks();
        let interrupts = self.interrupts.load(Relaxed);
        let found = self.found.load(Relaxed);
        synch::kpreempt_enable();
        if (ticks.wrapping_sub(came) as i32) < 0 {
            broken_promise(
                "put-off-clock",
                format_args!(
                    "{} goes on when {came} clock interrupts have come to its CPU, and {ticks} ticks were counted",
                    curlwp().name()
                ),
            );
        }
        if found < interrupts {
            broken_promise(
                "put-off-interrupt",
                format_args!(
                    "{} goes on when a device has interrupted it {interrupts} times, and the soft interrupt that this schedules has found \
                     {found}",
                    curlwp().name()
                ),
            );
        }
    }

    /// `urgent` must have run each time that it was told to; or not since it had run so often, if that is `Put::Off`.
    #[track_caller]
    fn must_have_preempted(&self, when: &str, put: Put, before: u32) {
        let told = self.told.load(Relaxed);
        let ran = self.ran.load(Relaxed);
        let right = match put {
            Put::Off => ran == before,
            Put::Through => ran >= told,
        };
        if !right {
            broken_promise(
                "put-off-preemption",
                format_args!(
                    "{} {when}: a thread of a higher priority was told to run {told} times on this CPU, and has run {ran} times, {before} of \
                     these before",
                    curlwp().name()
                ),
            );
        }
    }

    /// Waits until `urgent` waits to be told.
    fn until_urgent_waits(&self) {
        loop {
            self.lock.enter();
            let waits = self.waits.get();
            self.lock.exit();
            if waits {
                return;
            }
            kpause("urgent", 1, None);
        }
    }

    /// Soft interrupts at a raised level, which is lowered at once or by way of another one.
    fn raise(&self, level: Ipl, by_way: Option<Ipl>) {
        let below = by_way.map(spl::splraise);
        let s = spl::splraise(level);
        office().recorded.iter().for_each(Handler::schedule);
        self.must_have_run("has scheduled all at a raised level", above(level));
        spl::splx(s);
        if let Some((below, by_way)) = below.zip(by_way) {
            let unmasked = by_rank(by_way, level);
            self.must_have_run("has lowered the level in part", unmasked);
            spl::splx(below);
            self.must_have_run("has lowered the level again", by_rank(Ipl::None, by_way));
        } else {
            self.must_have_run("has lowered the level", by_rank(Ipl::None, level));
        }
        self.must_have_been_handled();
    }

    /// `urgent` is woken with preemption disabled, at a raised level, and with neither.
    fn wake(&self) {
        self.until_urgent_waits();
        synch::kpreempt_disable();
        let before = self.ran.load(Relaxed);
        self.tell();
        self.must_have_preempted("has disabled preemption", Put::Off, before);
        synch::kpreempt_enable();
        self.must_have_preempted("has enabled preemption", Put::Through, before);

        self.until_urgent_waits();
        let s = spl::splraise(Ipl::SoftClock);
        let before = self.ran.load(Relaxed);
        self.tell();
        self.must_have_preempted("has raised the level", Put::Off, before);
        spl::splx(s);
        self.must_have_preempted("has lowered the level", Put::Through, before);

        self.until_urgent_waits();
        let before = self.ran.load(Relaxed);
        self.tell();
        self.must_have_preempted("has exited a spin mutex", Put::Through, before);
    }
}

/// The soft interrupts above a level, which run as soon as they are scheduled.
fn above(level: Ipl) -> impl Iterator<Item = usize> + Clone {
    (0..RECORDED.len()).filter(move |number| RECORDED[*number] > level)
}

/// Those above one level and not above another, the highest first, and of one level the one that was scheduled first.
fn by_rank(level: Ipl, upto: Ipl) -> impl Iterator<Item = usize> + Clone {
    let levels = LEVELS.into_iter().rev();
    let levels = levels.filter(move |of| *of > level && *of <= upto);
    levels.flat_map(|of| (0..RECORDED.len()).filter(move |number| RECORDED[*number] == of))
}

/// The levels of soft interrupts, as text.
struct List<I>(I);

impl<I: Iterator<Item = usize> + Clone> core::fmt::Display for List<I> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let mut none = true;
        for number in self.0.clone() {
            none = false;
            write!(f, " {number} ({})", RECORDED[number].name())?;
        }
        match none {
            true => f.write_str(" none"),
            false => Ok(()),
        }
    }
}

/// The thread of a desk.
fn work(desk: Arg) {
    let desk: &Desk = shared(desk);
    for time in 1..=curlwp().kernel().config().repeat {
        // Each comes at any moment after it was raised, and waits for the level.
        let s = spl::splraise(Ipl::Vm);
        desk.device.raise();
        desk.other.raise();
        spl::splx(s);
        for level in LEVELS.into_iter().chain([Ipl::Vm, Ipl::High]) {
            desk.raise(level, None);
        }
        desk.raise(Ipl::High, Some(Ipl::SoftNet));
        desk.raise(Ipl::SoftSerial, Some(Ipl::SoftClock));
        desk.wake();
        while desk.interrupts.load(Relaxed) < time || desk.others.load(Relaxed) < time {
            desk.must_have_been_handled();
            relax();
        }
        desk.must_have_been_handled();
    }
    desk.lock.enter();
    desk.over.set(true);
    desk.cv.broadcast();
    desk.lock.exit();
}
