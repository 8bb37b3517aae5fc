//! Tests of callout(9): when a callout runs, and what its predicates return.

use crate::kern::callout::{self, Callout};
use crate::kern::clock::getticks;
use crate::kern::condvar::Kcondvar;
use crate::kern::lwp::{Arg, curcpu, curlwp, curlwp_bind, curlwp_bindx};
use crate::kern::mutex::Kmutex;
use crate::kern::spl::Ipl;
use crate::kernel::Kernel;
use crate::machine;
use crate::mem::{Local, Plain};
use crate::scenario::classics::{free_data, shared};
use crate::scenario::{FIXED, Kind, Scenario, actor, broken_promise, share};

const ACTORS: usize = 2;
/// Timers of each actor.
const TIMERS: usize = 3;
/// Number of CPUs whose callouts are watched.
const WATCHED: usize = 4;

/// Callouts run when they are due.
pub static DUE: Scenario = Scenario {
    name: "callout-due",
    summary: "callouts are scheduled, and moved while they are pending: does each run when it is due?",
    about: "Two threads schedule callouts and move them, to earlier and to later times, while they are pending. \
            None may run before it is due, on another CPU than its own, or without being scheduled. On each CPU \
            one more callout runs every tick; whatever was due at its previous run must have run by then. getticks \
            counts the ticks of CPU 0, no more and no less.",
    variants: &[FIXED],
    min_cpus: 1,
    default_cpus: 2,
    kind: Kind::Sound,
    configure: |_| {},
    setup: |kernel| {
        let due = share("due", Due::new());
        machine::label(due, format_args!("due"));
        kernel.set_data(Arg::of(due));
        due.ahead.set(ahead(kernel));
        for (index, timer) in due.timers.iter().enumerate() {
            timer.callout.init(kernel.cpu(0));
            timer.callout.setfunc(timer_runs, Arg(index));
        }
        for (index, watch) in due.watches.iter().enumerate() {
            watch.callout.init(kernel.cpu(0));
            watch.callout.setfunc(watch_runs, Arg(index));
        }
        for (number, name) in ["t1", "t2"].into_iter().enumerate() {
            actor(kernel, name, number, schedule_and_move, Arg(number));
        }
    },
    verify: |_| {},
    teardown: free_data::<Due>,
};

/// When a callout is due, in ticks of its CPU: one of these, because the clock may tick while it is scheduled.
#[derive(Clone, Copy)]
struct Scheduled {
    cpu: usize,
    earliest: u32,
    latest: u32,
}

/// A callout, and its scheduled runs that have not happened. Protected by `account`.
struct Timer {
    callout: Callout,
    scheduled: Plain<Option<Scheduled>>,
}

crate::fields!(Timer { callout, scheduled });

/// Runs every tick of a CPU, as long as there are actors.
struct Watch {
    callout: Callout,
    begun: Plain<bool>,
    /// The tick at which it last ran.
    before: Plain<u32>,
}

crate::fields!(Watch {
    callout,
    begun,
    before
});

struct Due {
    /// Protects the records of each callout, and keeps scheduled runs from starting.
    account: Kmutex,
    ran: Kcondvar,
    timers: [Timer; ACTORS * TIMERS],
    watches: [Watch; WATCHED],
    /// How far getticks is ahead of the ticks of CPU 0's callouts.
    ahead: Local<u32>,
    /// Number of actors that have finished.
    ended: Plain<usize>,
}

crate::fields!(Due {
    account,
    ran,
    timers,
    watches,
    ahead,
    ended
});

/// Whether tick `a` comes before tick `b`.
fn is_before(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) < 0
}

/// How far getticks is ahead of the ticks of CPU 0's callouts. While that CPU does not handle a tick.
fn ahead(kernel: &Kernel) -> u32 {
    getticks(kernel).wrapping_sub(callout::ticks(kernel.cpu(0)))
}

impl Due {
    const fn new() -> Self {
        Due {
            account: Kmutex::new("account", Ipl::Sched),
            ran: Kcondvar::new("ran"),
            timers: [const {
                Timer {
                    callout: Callout::new(),
                    scheduled: Plain::new(None),
                }
            }; ACTORS * TIMERS],
            watches: [const {
                Watch {
                    callout: Callout::new(),
                    begun: Plain::new(false),
                    before: Plain::new(0),
                }
            }; WATCHED],
            ahead: Local::new(0),
            ended: Plain::new(0),
        }
    }

    /// Schedules a timer, pending or not, and records when it is due.
    fn schedule(&self, timer: &Timer, ticks: u32) {
        let cpus = curlwp().kernel().cpus();
        self.account.spin_enter();
        let mut before = [0; crate::config::Config::MAXCPUS];
        for (tick, ci) in before.iter_mut().zip(cpus) {
            *tick = callout::ticks(ci);
        }
        timer.callout.schedule(ticks);
        // No other LWP schedules it, and its handler has to wait, so it stays where it is.
        let cpu = timer.callout.state().cpu;
        timer.scheduled.set(Some(Scheduled {
            cpu,
            earliest: before[cpu].wrapping_add(ticks),
            latest: callout::ticks(&cpus[cpu]).wrapping_add(ticks),
        }));
        self.account.spin_exit();
    }

    /// Waits until a timer has run.
    fn wait(&self, timer: &Timer) {
        self.account.spin_enter();
        while timer.scheduled.get().is_some() {
            self.ran.wait(&self.account);
        }
        self.account.spin_exit();
    }

    /// Starts to watch the CPU of the caller.
    fn watch(&self) {
        let bound = curlwp_bind();
        let ci = curcpu();
        if let Some(watch) = self.watches.get(ci.index()) {
            self.account.spin_enter();
            if !watch.begun.replace(true) {
                watch.before.set(callout::ticks(ci));
                watch.callout.schedule(1);
            }
            self.account.spin_exit();
        }
        curlwp_bindx(bound);
    }

    /// Nothing is scheduled any more.
    fn end(&self) {
        let callouts = self.timers.iter().map(|timer| &timer.callout);
        let watches = self.watches.iter().map(|watch| &watch.callout);
        for callout in callouts.chain(watches) {
            // Its handler may be about to return.
            callout.halt(None);
            callout.destroy();
        }
    }
}

/// The handler of a timer.
fn timer_runs(index: Arg) {
    let due: &Due = shared(curlwp().kernel().data());
    let (timer, ci) = (&due.timers[index.0], curcpu());
    due.account.spin_enter();
    // It may have been scheduled again since it was taken off the list. Then that is what is recorded.
    if !timer.callout.pending() {
        let now = callout::ticks(ci);
        match timer.scheduled.replace(None) {
            None => broken_promise(
                "callout-once",
                format_args!(
                    "callout {} ran on cpu{} but was not scheduled",
                    index.0,
                    ci.index()
                ),
            ),
            Some(Scheduled { cpu, earliest, .. })
                if cpu != ci.index() || is_before(now, earliest) =>
            {
                broken_promise(
                    "callout-early",
                    format_args!(
                        "callout {} ran at tick {now} of cpu{}, but was due at {earliest} of cpu{cpu}",
                        index.0,
                        ci.index()
                    ),
                )
            }
            Some(_) => {}
        }
        due.ran.broadcast();
    }
    due.account.spin_exit();
}

/// The handler of a CPU's watch.
///
/// Every callout that was due when the watch last ran was on the list that was then run to its end. So it has run.
fn watch_runs(index: Arg) {
    let due: &Due = shared(curlwp().kernel().data());
    let (watch, ci) = (&due.watches[index.0], curcpu());
    due.account.spin_enter();
    let (now, before) = (callout::ticks(ci), watch.before.get());
    if ci.index() == 0 && ahead(ci.kernel()) != due.ahead.get() {
        broken_promise(
            "getticks",
            format_args!(
                "getticks is {} ticks ahead of the callouts of cpu0, and was {} ahead at first",
                ahead(ci.kernel()) as i32,
                due.ahead.get() as i32
            ),
        );
    }
    for (number, timer) in due.timers.iter().enumerate() {
        if let Some(Scheduled { cpu, latest, .. }) = timer.scheduled.get()
            && cpu == ci.index()
            && !is_before(before, latest)
        {
            broken_promise(
                "callout-late",
                format_args!(
                    "callout {number} was due at tick {latest} of cpu{cpu}, but has not run: callouts ran there at {before} and \
                     at {now}",
                ),
            );
        }
    }
    watch.before.set(now);
    if due.ended.get() < ACTORS {
        watch.callout.schedule(1);
    }
    due.account.spin_exit();
}

fn schedule_and_move(number: Arg) {
    let kernel = curlwp().kernel();
    let due: &Due = shared(kernel.data());
    let timers = &due.timers[number.0 * TIMERS..][..TIMERS];
    for _ in 0..kernel.config().repeat {
        due.watch();
        // Near, beyond the first level of a small wheel, and beyond its range.
        for (timer, ticks) in timers.iter().zip([1, 5, 18]) {
            due.schedule(timer, ticks);
        }
        due.schedule(&timers[1], 7);
        due.schedule(&timers[2], 2);
        for timer in timers {
            due.wait(timer);
        }
    }
    due.account.spin_enter();
    let ended = due.ended.get() + 1;
    due.ended.set(ended);
    due.account.spin_exit();
    if ended == ACTORS {
        due.end();
    }
}

/// The results of a callout's predicates.
pub static ANSWERS: Scenario = Scenario {
    name: "callout-answers",
    summary: "the predicates of a callout (pending, expired, active, invoking) are checked in every state",
    about: "Two threads, each with its own callout, schedule it, stop it, schedule it again and wait for it. \
            They and the handler check its predicates at every step, and know the right results.",
    variants: &[FIXED],
    min_cpus: 1,
    default_cpus: 2,
    kind: Kind::Sound,
    configure: |_| {},
    setup: |kernel| {
        let asked = share("asked", [const { Asked::new() }; ACTORS]);
        for (number, name) in ["t1", "t2"].into_iter().enumerate() {
            let asked = &asked[number];
            machine::label(asked, format_args!("{name}'s"));
            asked.callout.init(kernel.cpu(0));
            actor(kernel, name, number, ask, Arg::of(asked));
        }
        kernel.set_data(Arg::of(asked));
    },
    verify: |_| {},
    teardown: free_data::<[Asked; ACTORS]>,
};

/// A callout, and whether it has run.
struct Asked {
    callout: Callout,
    mutex: Kmutex,
    cv: Kcondvar,
    has_run: Plain<bool>,
}

crate::fields!(Asked {
    callout,
    mutex,
    cv,
    has_run
});

/// A number of ticks that no run lasts.
const LONG: u32 = 10_000;

impl Asked {
    const fn new() -> Self {
        Asked {
            callout: Callout::new(),
            mutex: Kmutex::new("asked", Ipl::None),
            cv: Kcondvar::new("asked"),
            has_run: Plain::new(false),
        }
    }

    /// Checks the results of the predicates.
    #[track_caller]
    fn expect(&self, when: &str, expected: [bool; 4]) {
        let callout = &self.callout;
        let answers = [
            callout.pending(),
            callout.expired(),
            callout.active(),
            callout.invoking(),
        ];
        if answers != expected {
            broken_promise(
                "callout-answers",
                format_args!(
                    "a callout {when}: pending, expired, active and invoking are {answers:?}, but should be \
                     {expected:?}"
                ),
            );
        }
    }

    /// Stops it, and checks that the result says whether it had run.
    fn stop(&self, when: &str, ran: bool) {
        if self.callout.stop() != ran {
            broken_promise(
                "callout-answers",
                format_args!("callout_stop of a callout {when} returned {}", !ran),
            );
        }
    }
}

fn asked_runs(asked: Arg) {
    let asked: &Asked = shared(asked);
    asked.expect("whose handler has begun", [false, true, true, true]);
    asked.callout.ack();
    asked.expect("that was acknowledged", [false, true, true, false]);
    asked.mutex.enter();
    asked.has_run.set(true);
    asked.cv.signal();
    asked.mutex.exit();
}

fn ask(asked: Arg) {
    let at = asked;
    let asked: &Asked = shared(at);
    let nothing = [false; 4];
    for _ in 0..curlwp().kernel().config().repeat {
        asked.callout.reset(LONG, asked_runs, at);
        asked.expect("that was scheduled", [true, false, true, false]);
        asked.stop("that is pending", false);
        asked.expect("that was stopped", nothing);
        asked.callout.schedule(LONG);
        asked.callout.schedule(1);
        asked.mutex.enter();
        while !asked.has_run.get() {
            asked.cv.wait(&asked.mutex);
        }
        asked.has_run.set(false);
        asked.mutex.exit();
        asked.expect("that has run", [false, true, true, false]);
        asked.stop("that has run", true);
        asked.expect("that has run and was stopped", nothing);
        asked.callout.schedule(LONG);
        asked.callout.halt(None);
        asked.expect("that was halted", nothing);
    }
    // Its handler may be about to return.
    asked.callout.halt(None);
    asked.callout.destroy();
}
