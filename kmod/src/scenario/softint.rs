//! Tests of softint(9): each schedule is followed by a run on the right CPU, and a raised level masks the levels
//! below.

use core::ops::Range;

use crate::config::Config;
use crate::kern::lwp::{Arg, curcpu, curlwp};
use crate::kern::mutex::Kmutex;
use crate::kern::softint::{self, LEVELS, Softint};
use crate::kern::spl::{self, Ipl};
use crate::kern::synch;
use crate::kernel::Kernel;
use crate::machine;
use crate::mem::{Acquire, AtomicU32, Plain, Relaxed, Release};
use crate::scenario::classics::{free_data, shared};
use crate::scenario::{FIXED, Kind, Scenario, actor, broken_promise, share};

const SENDERS: usize = 2;

/// A handler on one CPU. A request happens before its run only because it was requested: nothing else orders the
/// words.
struct Desk {
    /// Number of schedules, counted before they are made.
    requested: AtomicU32,
    runs: Plain<u32>,
    /// The number of schedules that the last run saw when it started.
    found: Plain<u32>,
    inside: Plain<bool>,
}

crate::fields!(Desk {
    requested,
    runs,
    found,
    inside
});

/// A message from a thread to a softint. The softint confirms that it was read before the thread writes again.
struct Letter {
    softint: Plain<Option<Softint>>,
    number: Plain<u32>,
    cpu: Plain<usize>,
    read: AtomicU32,
}

crate::fields!(Letter {
    softint,
    number,
    cpu,
    read
});

struct Office {
    desks: [Desk; Config::MAXCPUS],
    letters: [Letter; SENDERS],
    clerk: Plain<Option<Softint>>,
    /// Used by threads that schedule the clerk, and by the clerk.
    mutex: Kmutex,
}

crate::fields!(Office {
    desks,
    letters,
    clerk,
    mutex
});

impl Office {
    /// Schedules the clerk of a CPU, or of this one.
    fn request(&self, cpu: Option<usize>) {
        if let Some(clerk) = self.clerk.peek() {
            synch::kpreempt_disable();
            let ci = cpu.map_or(curcpu(), |cpu| curlwp().kernel().cpu(cpu));
            self.desks[ci.index()].requested.fetch_add(1, Relaxed);
            softint::schedule_cpu(clerk, ci);
            synch::kpreempt_enable();
        }
    }
}

impl Letter {
    /// Sends it to a CPU, if the previous one was read.
    fn send(&self, cpu: usize) {
        let number = self.number.get();
        if let Some(softint) = self.softint.peek()
            && self.read.load(Acquire) == number
        {
            self.cpu.set(cpu);
            self.number.set(number + 1);
            synch::kpreempt_disable();
            softint::schedule_cpu(softint, curlwp().kernel().cpu(cpu));
            synch::kpreempt_enable();
        }
    }
}

/// Softints that are scheduled by threads, by another level, and from another CPU.
pub static ONCE: Scenario = Scenario {
    name: "softint-once",
    summary: "threads on two CPUs and a higher softint schedule softints: is each schedule followed by a run?",
    about: "Threads on both CPUs schedule a softint, for their own CPU and for the other, while it runs and \
            while it blocks; so does a softint of a higher level on top of it. At rest its last run must have \
            begun after the last schedule; it must not run more often than it was scheduled, nor twice at once \
            on one CPU. A thread schedules the higher softint, with a letter: it must run on the right CPU, once \
            per letter, and see what the thread wrote before.",
    variants: &[FIXED],
    min_cpus: 1,
    default_cpus: 2,
    kind: Kind::Sound,
    configure: |_| {},
    setup: set_up_once,
    verify: |kernel| {
        let office: &Office = shared(kernel.data());
        for (cpu, desk) in office.desks.iter().enumerate() {
            let (requested, found) = (desk.requested.peek(), desk.found.peek());
            if requested != found {
                broken_promise(
                    "softint-once-lost",
                    format_args!(
                        "a softint was scheduled {requested} times on cpu{cpu}, but only {found} times when its last run began"
                    ),
                );
            }
        }
        for (sender, letter) in office.letters.iter().enumerate() {
            let (number, read) = (letter.number.peek(), letter.read.peek());
            if number != read {
                broken_promise(
                    "softint-once-lost",
                    format_args!(
                        "thread{sender} has sent {number} letters, but its softint ran for {read}"
                    ),
                );
            }
        }
    },
    teardown: |kernel| {
        let office: &Office = shared(kernel.data());
        let letters = office.letters.iter().map(|letter| &letter.softint);
        disestablish(kernel, letters.chain([&office.clerk]));
        free_data::<Office>(kernel);
    },
};

fn disestablish<'a>(
    kernel: &'static Kernel,
    softints: impl Iterator<Item = &'a Plain<Option<Softint>>>,
) {
    for softint in softints.filter_map(Plain::peek) {
        softint::disestablish_at_rest(kernel, softint);
    }
}

fn set_up_once(kernel: &'static Kernel) {
    let office = share(
        "office",
        Office {
            desks: [const {
                Desk {
                    requested: AtomicU32::new(0),
                    runs: Plain::new(0),
                    found: Plain::new(0),
                    inside: Plain::new(false),
                }
            }; Config::MAXCPUS],
            letters: [const {
                Letter {
                    softint: Plain::new(None),
                    number: Plain::new(0),
                    cpu: Plain::new(0),
                    read: AtomicU32::new(0),
                }
            }; SENDERS],
            clerk: Plain::new(None),
            mutex: Kmutex::new("office", Ipl::SoftNet),
        },
    );
    machine::label(office, format_args!("office"));
    kernel.set_data(Arg::of(office));
    let establish = |level, func, arg| softint::establish_at_boot(kernel.cpus(), level, func, arg);
    let clerk = establish(Ipl::SoftNet, clerk_runs, Arg::of(office));
    office.clerk.set(clerk);
    for (index, name) in ["thread0", "thread1"].into_iter().enumerate() {
        let letter = &office.letters[index];
        let softint = establish(Ipl::SoftSerial, letter_comes, Arg::of(letter));
        letter.softint.set(softint);
        actor(kernel, name, index, schedule, Arg(index));
    }
}

fn schedule(index: Arg) {
    let kernel = curlwp().kernel();
    let office: &Office = shared(kernel.data());
    let cpus = kernel.cpus().len();
    for _ in 0..kernel.config().repeat {
        // All letters go to one CPU, on which several softints may be requested at once.
        office.letters[index.0].send(cpus - 1);
        office.request(Some((index.0 + 1) % cpus));
        office.mutex.enter();
        office.request(None);
        office.mutex.exit();
    }
}

fn letter_comes(letter: Arg) {
    let letter: &Letter = shared(letter);
    let (cpu, here) = (letter.cpu.get(), curcpu().index());
    if cpu != here {
        broken_promise(
            "softint-once-cpu",
            format_args!("a softint was scheduled on cpu{cpu}, but runs on cpu{here}"),
        );
    }
    let (number, read) = (letter.number.get(), letter.read.load(Relaxed));
    if number != read + 1 {
        broken_promise(
            "softint-once-unasked",
            format_args!(
                "a softint that was scheduled {number} times runs again after {read} runs"
            ),
        );
    }
    letter.read.store(number, Release);
    shared::<Office>(curlwp().kernel().data()).request(None);
}

fn clerk_runs(office: Arg) {
    let office: &Office = shared(office);
    let cpu = curcpu().index();
    let desk = &office.desks[cpu];
    if desk.inside.replace(true) {
        broken_promise(
            "softint-once-overlap",
            format_args!("a softint begins on cpu{cpu} before its previous run there has ended"),
        );
    }
    let (requested, runs) = (desk.requested.load(Relaxed), desk.runs.get());
    if runs >= requested {
        broken_promise(
            "softint-once-unasked",
            format_args!(
                "a softint that was scheduled {requested} times on cpu{cpu} runs again after {runs} runs"
            ),
        );
    }
    desk.runs.set(runs + 1);
    desk.found.set(requested);
    office.mutex.enter();
    office.mutex.exit();
    desk.inside.set(false);
}

/// The handlers of [`LEVELS_MASK`]: their levels, and whether they need the mutex.
const HANDLERS: [(usize, bool); 5] = [(0, true), (1, false), (2, true), (2, false), (3, false)];

/// The state of a handler.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Idle,
    Runs,
    /// It may be blocked: then lower levels may run.
    Enters,
}

/// A level on a CPU. Only that CPU accesses it.
struct Floor {
    state: Plain<State>,
    /// Grows whenever a handler makes progress.
    steps: Plain<u32>,
}

crate::fields!(Floor { state, steps });

struct Tower {
    floors: [[Floor; LEVELS.len()]; Config::MAXCPUS],
    /// The handlers that were scheduled on each CPU and have not started since, one bit each.
    asked: [AtomicU32; Config::MAXCPUS],
    mutex: Kmutex,
    softints: [Plain<Option<Softint>>; HANDLERS.len()],
}

crate::fields!(Tower {
    floors,
    asked,
    mutex,
    softints
});

impl Tower {
    /// Schedules handlers on a CPU, or on this one, the lowest first.
    fn schedule(&self, handlers: Range<usize>, cpu: Option<usize>) {
        synch::kpreempt_disable();
        let ci = cpu.map_or(curcpu(), |cpu| curlwp().kernel().cpu(cpu));
        for handler in handlers {
            self.asked[ci.index()].fetch_or(1 << handler, Relaxed);
            if let Some(softint) = self.softints[handler].peek() {
                softint::schedule_cpu(softint, ci);
            }
        }
        synch::kpreempt_enable();
    }

    /// While a level is raised, neither it nor a lower one runs here.
    fn mask(&self, level: usize) {
        let s = spl::splraise(LEVELS[level]);
        let cpu = curcpu().index();
        let steps = || -> u32 {
            let masked = &self.floors[cpu][..=level];
            masked.iter().map(|floor| floor.steps.get()).sum()
        };
        let before = steps();
        self.schedule(0..HANDLERS.len(), None);
        let after = steps();
        if after != before {
            broken_promise(
                "softint-levels-mask",
                format_args!(
                    "softints of cpu{cpu} took {} steps at or below level {} while {} had that level raised there",
                    after - before,
                    LEVELS[level].name(),
                    curlwp().name()
                ),
            );
        }
        spl::splx(s);
    }
}

/// Softints of all levels, on top of each other.
pub static LEVELS_MASK: Scenario = Scenario {
    name: "softint-levels",
    summary: "softints of all levels run on top of threads and of each other, and some block",
    about: "Two threads schedule handlers of all levels, two of them of one level: on another CPU, with a mutex \
            that some handlers need, and on their own, with a level raised. A handler that had to wait for the \
            mutex schedules a lower one. Handlers of one level must not overlap on a CPU, even if one blocks. \
            One of a lower level may begin on top of a higher one only where that one may be blocked. While a \
            thread has a level raised, nothing of that level or below may run there. Every scheduled handler \
            must run.",
    variants: &[FIXED],
    min_cpus: 1,
    default_cpus: 2,
    kind: Kind::Sound,
    configure: |_| {},
    setup: |kernel| {
        let tower = share(
            "tower",
            Tower {
                floors: [const {
                    [const {
                        Floor {
                            state: Plain::new(State::Idle),
                            steps: Plain::new(0),
                        }
                    }; LEVELS.len()]
                }; Config::MAXCPUS],
                asked: [const { AtomicU32::new(0) }; Config::MAXCPUS],
                mutex: Kmutex::new("tower", Ipl::SoftNet),
                softints: [const { Plain::new(None) }; HANDLERS.len()],
            },
        );
        machine::label(tower, format_args!("tower"));
        kernel.set_data(Arg::of(tower));
        for (index, (level, _)) in HANDLERS.into_iter().enumerate() {
            let softint =
                softint::establish_at_boot(kernel.cpus(), LEVELS[level], step, Arg(index));
            tower.softints[index].set(softint);
        }
        actor(kernel, "thread0", 0, climb, Arg(1));
        actor(kernel, "thread1", 1, climb, Arg(2));
    },
    verify: |kernel| {
        for (cpu, asked) in shared::<Tower>(kernel.data()).asked.iter().enumerate() {
            let asked = asked.peek();
            if asked != 0 {
                broken_promise(
                    "softint-levels-lost",
                    format_args!(
                        "softint {} of {} was scheduled on cpu{cpu}, but has not run since",
                        asked.trailing_zeros(),
                        HANDLERS.len()
                    ),
                );
            }
        }
    },
    teardown: |kernel| {
        disestablish(kernel, shared::<Tower>(kernel.data()).softints.iter());
        free_data::<Tower>(kernel);
    },
};

/// Masks the level in `level` on the thread's own CPU, and schedules others on other CPUs.
fn climb(level: Arg) {
    let kernel = curlwp().kernel();
    let tower: &Tower = shared(kernel.data());
    for _ in 0..kernel.config().repeat {
        tower.mutex.enter();
        tower.schedule(0..HANDLERS.len(), Some(level.0 % kernel.cpus().len()));
        tower.mutex.exit();
        tower.mask(level.0);
    }
}

/// The handler.
fn step(index: Arg) {
    let tower: &Tower = shared(curlwp().kernel().data());
    let (level, blocks) = HANDLERS[index.0];
    let cpu = curcpu().index();
    tower.asked[cpu].fetch_and(!(1 << index.0), Relaxed);
    let floors = &tower.floors[cpu];
    for above in level..LEVELS.len() {
        let state = floors[above].state.get();
        if state == State::Runs || (above == level && state != State::Idle) {
            broken_promise(
                "softint-levels-overlap",
                format_args!(
                    "a handler of level {} begins on cpu{cpu}, where one of level {} {}",
                    LEVELS[level].name(),
                    LEVELS[above].name(),
                    match state {
                        State::Enters => "may be blocked",
                        _ => "runs",
                    }
                ),
            );
        }
    }
    let goes_on = |state| {
        floors[level].state.set(state);
        floors[level].steps.set(floors[level].steps.get() + 1);
    };
    if blocks {
        goes_on(State::Enters);
        tower.mutex.enter();
        goes_on(State::Runs);
        // A lower one, which must not start before this one has ended.
        tower.schedule(index.0.saturating_sub(1)..index.0, None);
        tower.mutex.exit();
    } else {
        goes_on(State::Runs);
    }
    goes_on(State::Idle);
}
