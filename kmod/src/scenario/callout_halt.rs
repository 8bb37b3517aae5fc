//! Tests of callout_halt(9) with an interlock, of callouts whose handlers schedule them again.
//!
//! A session has a timer that keeps it alive: its handler schedules it again each time, and does not know that the
//! session is being closed. Who closes the session holds the mutex that the handler takes, and gives that mutex to
//! callout_halt as the interlock. The memory of the session is freed right after that.

use crate::kern::callout::Callout;
use crate::kern::condvar::Kcondvar;
use crate::kern::kmem::{kmem_alloc, kmem_free};
use crate::kern::lwp::{Arg, curcpu, curlwp};
use crate::kern::mutex::Kmutex;
use crate::kern::spl::Ipl;
use crate::kern::synch::yield_now;
use crate::machine;
use crate::mem::{AcqRel, Acquire, AtomicU32, Plain, Release};
use crate::scenario::classics::{free_data, shared};
use crate::scenario::{FIXED, Kind, Scenario, actor, broken_promise, share};

/// What the handler of a session's timer does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    /// It schedules the timer again at once, and then works.
    Early,
    /// It works, and then schedules the timer again.
    Late,
    /// The second time it halts its own timer, with the mutex held.
    Ends,
}

/// Sessions are opened in these styles, one after another.
const STYLES: [Style; 3] = [Style::Early, Style::Late, Style::Ends];

/// A session. Its words are protected by the mutex of the table.
struct Session {
    timer: Callout,
    style: Style,
    beats: Plain<u32>,
    /// How many handlers are between their first and their last line.
    inside: AtomicU32,
    /// Whether callout_halt has returned to the owner.
    halted: AtomicU32,
}

crate::fields!(Session {
    timer,
    beats,
    inside,
    halted
});

struct Table {
    /// Protects everything here, and the sessions.
    mutex: Kmutex,
    /// A session has had its first beat.
    beaten: Kcondvar,
    /// The open sessions, one for each owner.
    open: [Plain<Option<&'static Session>>; OWNERS],
    /// How often the mutex was entered.
    entered: Plain<u32>,
}

const OWNERS: usize = 2;

crate::fields!(Table {
    mutex,
    beaten,
    open,
    entered
});

/// Sessions are opened and closed while their timers run.
pub static SCENARIO: Scenario = Scenario {
    name: "callout-halt",
    summary: "callouts whose handlers schedule them again are halted with an interlock, and freed",
    about: "Two threads open sessions, wait for a first beat of the timer, and close them: they halt the timer with the \
            mutex that its handler takes as the interlock, and free the session. Before that they wait for a handler that is under \
            way, with a barrier. The handlers schedule the timer again, \
            before or after their work, or halt it themselves. A third thread puts the timers of open sessions off. When \
            callout_halt returns, the interlock is held, no handler runs, and none will. If it returns false, the interlock \
            was never released.",
    variants: &[FIXED],
    min_cpus: 1,
    default_cpus: 2,
    kind: Kind::Sound,
    configure: |config| config.repeat *= 2,
    setup: |kernel| {
        let table = share(
            "table",
            Table {
                mutex: Kmutex::new("mutex", Ipl::SoftClock),
                beaten: Kcondvar::new("beaten"),
                open: [const { Plain::new(None) }; OWNERS],
                entered: Plain::new(0),
            },
        );
        machine::label(table, format_args!("table"));
        kernel.set_data(Arg::of(table));
        for (number, name) in ["owner0", "owner1"].into_iter().enumerate() {
            actor(kernel, name, number, own, Arg(number));
        }
        actor(kernel, "busy", 1, keep_busy, Arg::NONE);
    },
    verify: |_| {},
    teardown: free_data::<Table>,
};

fn table() -> &'static Table {
    shared(curlwp().kernel().data())
}

impl Table {
    fn enter(&self) {
        self.mutex.enter();
        self.entered.set(self.entered.get() + 1);
    }

    /// Halts a timer with the mutex, which is held, as the interlock. Checks what callout_halt says.
    fn halt(&self, session: &Session) -> bool {
        let before = self.entered.get();
        let waited = session.timer.halt(Some(&self.mutex));
        if !self.mutex.owned() {
            broken_promise(
                "callout-halt-interlock",
                format_args!(
                    "callout_halt returned to {} without the interlock",
                    curlwp().name()
                ),
            );
        }
        let after = self.entered.get();
        if !waited && after != before {
            broken_promise(
                "callout-halt-interlock",
                format_args!(
                    "callout_halt told {} that it did not wait, and others have entered the interlock {} times meanwhile",
                    curlwp().name(),
                    after.wrapping_sub(before)
                ),
            );
        }
        waited
    }
}

/// The handler of a session's timer.
fn beat(session: Arg) {
    let (table, session) = (table(), shared::<Session>(session));
    if session.inside.fetch_add(1, AcqRel) != 0 {
        broken_promise(
            "callout-halt-twice",
            format_args!(
                "the handler of a callout begins on cpu{} while it runs elsewhere",
                curcpu().index()
            ),
        );
    }
    session.assert_not_halted("begins");
    if session.style == Style::Early {
        session.timer.schedule(1);
    }
    table.enter();
    let beats = session.beats.get() + 1;
    session.beats.set(beats);
    table.beaten.broadcast();
    if session.style == Style::Ends {
        match beats {
            1 => session.timer.schedule(1),
            // It cannot wait for itself.
            _ if table.halt(session) => broken_promise(
                "callout-halt-self",
                format_args!("callout_halt says that it has waited for the handler that called it"),
            ),
            _ => {}
        }
    }
    table.mutex.exit();
    if session.style == Style::Late {
        session.timer.schedule(1);
    }
    session.assert_not_halted("still runs");
    session.inside.fetch_sub(1, AcqRel);
}

impl Session {
    /// callout_barrier waits for a handler that runs now, and cancels nothing.
    fn wait_for_handler(&self) {
        let before = self.timer.state();
        let _waited = self.timer.barrier();
        let after = self.timer.state();
        if before.running && after.running && before.runs == after.runs {
            broken_promise(
                "callout-barrier",
                format_args!(
                    "callout_barrier returned to {} while the handler runs that ran before",
                    curlwp().name()
                ),
            );
        }
    }

    fn assert_not_halted(&self, what: &str) {
        if self.halted.load(Acquire) != 0 {
            broken_promise(
                "callout-halt-runs",
                format_args!(
                    "the handler of a callout {what} on cpu{} after callout_halt has returned",
                    curcpu().index()
                ),
            );
        }
    }
}

/// Opens and closes sessions of each style.
fn own(number: Arg) {
    let rounds = curlwp().kernel().config().repeat as usize;
    for round in 0..rounds {
        serve(number.0, STYLES[(number.0 + round) % STYLES.len()]);
    }
}

fn serve(number: usize, style: Style) {
    let table = table();
    let session = Session {
        timer: Callout::new(),
        style,
        beats: Plain::new(0),
        inside: AtomicU32::new(0),
        halted: AtomicU32::new(0),
    };
    let Some(session) = kmem_alloc("session", session) else {
        return;
    };
    machine::label(session, format_args!("session{number}"));
    session.timer.init(curcpu());
    session.timer.setfunc(beat, Arg::of(session));
    table.enter();
    table.open[number].set(Some(session));
    session.timer.schedule(1);
    while session.beats.get() == 0 {
        table.beaten.wait(&table.mutex);
    }
    table.mutex.exit();
    session.wait_for_handler();
    table.enter();
    // From here on nobody but its own handler schedules it.
    table.open[number].set(None);
    table.halt(session);
    session.halted.store(1, Release);
    let (state, inside) = (session.timer.state(), session.inside.load(Acquire));
    if state.pending || state.running || inside != 0 {
        broken_promise(
            "callout-halt-runs",
            format_args!(
                "callout_halt returned to {}, and the callout is {}; {inside} handlers are under way",
                curlwp().name(),
                match (state.pending, state.running) {
                    (true, _) => "pending",
                    (_, true) => "running",
                    _ => "neither pending nor running",
                }
            ),
        );
    }
    table.mutex.exit();
    session.timer.destroy();
    // SAFETY: (1) it came from `kmem_alloc`; (2) it is in no table, and its timer is halted: a promise under test.
    unsafe { kmem_free(session) };
}

/// Puts off the timers of the sessions that are open.
fn keep_busy(_: Arg) {
    let table = table();
    for round in 0..curlwp().kernel().config().repeat {
        for open in &table.open {
            table.enter();
            if let Some(session) = open.get() {
                match round % 2 {
                    0 => session.timer.schedule(2),
                    // It runs again at the next tick, if it has run or not.
                    _ => {
                        session.timer.stop();
                        session.timer.schedule(1);
                    }
                }
            }
            table.mutex.exit();
            yield_now();
        }
    }
}
