//! Test of who is first: a signal wakes the waiter of the highest priority, and of equals the one that came first; an rwlock is handed to the
//! writer that has waited longest.
//!
//! That a CPU runs those that were woken in the same order is checked by the kernel (`queue-order`, `switch-first`).

use crate::kern::condvar::Kcondvar;
use crate::kern::kthread::Options;
use crate::kern::lwp::{Arg, Lwp, curlwp, pri};
use crate::kern::mutex::Kmutex;
use crate::kern::rwlock::{Krw, Krwlock};
use crate::kern::spl::Ipl;
use crate::kern::synch::kpause;
use crate::machine;
use crate::mem::{Acquire, AtomicRef, AtomicU32, Plain, Release};
use crate::scenario::classics::{free_data, shared};
use crate::scenario::{
    FIXED, Kind, Scenario, actor, actor_options, actor_with, broken_promise, share,
};

/// The waiters: their names and priorities.
const WAITERS: [(&str, u8); 4] = [
    ("waiter0", pri::USER),
    ("waiter1", pri::USER),
    ("waiter2", pri::KTHREAD),
    ("waiter3", pri::USER),
];
/// How often each waits.
const TIMES: u32 = 2;

/// A waiter, under the interlock.
struct Place {
    lwp: Plain<Option<&'static Lwp>>,
    /// When it came; 0 if it does not wait, or was woken.
    number: Plain<u32>,
}

crate::fields!(Place { lwp, number });

struct Queue {
    interlock: Kmutex,
    cv: Kcondvar,
    places: [Place; WAITERS.len()],
    came: Plain<u32>,
    /// Waiters that have not ended.
    left: Plain<usize>,
}

crate::fields!(Queue {
    interlock,
    cv,
    places,
    came,
    left
});

/// Threads of two priorities wait on a condition variable.
pub static SIGNAL: Scenario = Scenario {
    name: "condvar-first",
    summary: "threads of two priorities wait on a condition variable: does each signal wake the one whose turn it is?",
    about: "Four threads wait, and each records when it came, under the interlock. Another one signals when several wait. The thread that \
            the signal has taken off the queue must be the first that came of those of the highest priority. The interlock is an adaptive \
            mutex, so waiters also sleep for that.",
    variants: &[FIXED],
    min_cpus: 1,
    default_cpus: 2,
    kind: Kind::Sound,
    configure: |_| {},
    setup: |kernel| {
        let queue = share(
            "queue",
            Queue {
                interlock: Kmutex::new("queue", Ipl::None),
                cv: Kcondvar::new("turn"),
                places: [const {
                    Place {
                        lwp: Plain::new(None),
                        number: Plain::new(0),
                    }
                }; WAITERS.len()],
                came: Plain::new(0),
                left: Plain::new(WAITERS.len()),
            },
        );
        machine::label(queue, format_args!("queue"));
        kernel.set_data(Arg::of(queue));
        for (index, (name, priority)) in WAITERS.into_iter().enumerate() {
            let options = Options {
                begin_on: index,
                priority,
                ..actor_options()
            };
            actor_with(kernel, name, options, wait, Arg(index));
        }
        actor(kernel, "signals", 0, signal, Arg::NONE);
    },
    verify: |kernel| shared::<Queue>(kernel.data()).cv.destroy(),
    teardown: free_data::<Queue>,
};

fn wait(index: Arg) {
    let queue: &Queue = shared(curlwp().kernel().data());
    let place = &queue.places[index.0];
    queue.interlock.enter();
    place.lwp.set(Some(curlwp()));
    for _ in 0..TIMES {
        let number = queue.came.get() + 1;
        queue.came.set(number);
        place.number.set(number);
        while place.number.get() == number {
            queue.cv.wait(&queue.interlock);
        }
    }
    queue.left.set(queue.left.get() - 1);
    queue.interlock.exit();
}

impl Queue {
    /// Those that wait, with their numbers.
    fn waiting(&self) -> impl Iterator<Item = (&Place, &'static Lwp)> {
        let places = self.places.iter().filter(|place| place.number.get() != 0);
        places.filter_map(|place| Some((place, place.lwp.get()?)))
    }

    /// Whose turn it is.
    fn first(&self) -> Option<&Place> {
        let turn = |(place, l): &(&Place, &Lwp)| {
            (core::cmp::Reverse(l.l_priority.peek()), place.number.get())
        };
        self.waiting().min_by_key(turn).map(|(place, _)| place)
    }

    /// Signals, and checks who has left the queue. The interlock is held.
    fn signal(&self) {
        let Some(first) = self.first() else { return };
        self.cv.signal();
        for (place, l) in self.waiting() {
            let woken = !self.cv.is_wchan(l.l_wchan.peek());
            if woken != core::ptr::eq(place, first) {
                broken_promise(
                    "condvar-first",
                    format_args!(
                        "cv_signal {} {}, number {} of priority {}, and it is the turn of number {}",
                        if woken { "woke" } else { "did not wake" },
                        l.name(),
                        place.number.get(),
                        l.l_priority.peek(),
                        first.number.get()
                    ),
                );
            }
        }
        first.number.set(0);
    }
}

fn signal(_: Arg) {
    let queue: &Queue = shared(curlwp().kernel().data());
    queue.interlock.enter();
    while queue.left.get() > 0 {
        // Or all that there are.
        if queue.waiting().count() >= queue.left.get().min(2) {
            queue.signal();
        } else {
            kpause("waiters", 1, Some(&queue.interlock));
        }
    }
    queue.interlock.exit();
}

/// Who wants the lock of [`HANDOFF`], in each round: two writers, and a reader behind them.
const ROUNDS: [[usize; 3]; 3] = [[0, 1, READER], [1, 0, READER], [1, URGENT, READER]];
/// Who must get it first in each round.
const FIRST: [usize; ROUNDS.len()] = [0, 1, URGENT];
const URGENT: usize = 2;
const READER: usize = 3;
const CLIENTS: [(&str, u8, Krw); 4] = [
    ("writer0", pri::USER, Krw::Writer),
    ("writer1", pri::USER, Krw::Writer),
    ("urgent", pri::KTHREAD, Krw::Writer),
    ("reader", pri::USER, Krw::Reader),
];

/// Somebody who wants the lock when it is called.
struct Client {
    lwp: AtomicRef<Lwp>,
    /// How often it was called, and how often it has had the lock.
    called: Plain<u32>,
    done: AtomicU32,
}

crate::fields!(Client { lwp, called, done });

struct Door {
    lock: Krwlock,
    /// Who has entered since the owner has exited. Protected by the lock: there is one reader.
    entered: Plain<u32>,
    round: Plain<usize>,
    clients: [Client; CLIENTS.len()],
    /// To call clients.
    mutex: Kmutex,
    cv: Kcondvar,
}

crate::fields!(Door {
    lock,
    entered,
    round,
    clients,
    mutex,
    cv
});

/// Writers that come one after another for a lock that is read.
pub static HANDOFF: Scenario = Scenario {
    name: "rwlock-first",
    summary: "writers and a reader wait for an rwlock in a known order: who gets it first?",
    about: "A thread reads, and lets two writers and then a reader come, each when the one before it sleeps on the lock. When it exits, the \
            lock is handed to a writer: the one of the higher priority, and of equals the one that came first. The next is the reader, and \
            not the other writer.",
    variants: &[FIXED],
    min_cpus: 1,
    default_cpus: 2,
    kind: Kind::Sound,
    configure: |_| {},
    setup: |kernel| {
        let door = share(
            "door",
            Door {
                lock: Krwlock::new("door"),
                entered: Plain::new(0),
                round: Plain::new(0),
                clients: [const {
                    Client {
                        lwp: AtomicRef::new(),
                        called: Plain::new(0),
                        done: AtomicU32::new(0),
                    }
                }; CLIENTS.len()],
                mutex: Kmutex::new("calls", Ipl::None),
                cv: Kcondvar::new("called"),
            },
        );
        machine::label(door, format_args!("door"));
        kernel.set_data(Arg::of(door));
        actor(kernel, "owner", 0, own, Arg::of(door));
        for (index, (name, priority, _)) in CLIENTS.into_iter().enumerate() {
            let options = Options {
                begin_on: index,
                priority,
                ..actor_options()
            };
            actor_with(kernel, name, options, enter, Arg(index));
        }
    },
    verify: |kernel| shared::<Door>(kernel.data()).lock.destroy(),
    teardown: free_data::<Door>,
};

/// How often a client is called.
fn calls(client: usize) -> u32 {
    let rounds = ROUNDS.iter().filter(|round| round.contains(&client));
    rounds.count() as u32
}

fn enter(index: Arg) {
    let door: &Door = shared(curlwp().kernel().data());
    let client = &door.clients[index.0];
    for time in 1..=calls(index.0) {
        door.mutex.enter();
        while client.called.get() < time {
            door.cv.wait(&door.mutex);
        }
        door.mutex.exit();
        client.lwp.store(Some(curlwp()), Release);
        door.lock.enter(CLIENTS[index.0].2);
        door.check(index.0);
        door.lock.exit();
        client.done.store(time, Release);
    }
}

impl Door {
    /// A client has the lock. It must be its turn, if that is known.
    fn check(&self, client: usize) {
        let (place, round) = (self.entered.get(), self.round.get());
        self.entered.set(place + 1);
        let turn = match place {
            0 => FIRST[round],
            1 => READER,
            _ => return,
        };
        if client != turn {
            broken_promise(
                "rwlock-first",
                format_args!(
                    "{} is number {place} to get the lock in round {round}, and it is the turn of {}",
                    CLIENTS[client].0, CLIENTS[turn].0
                ),
            );
        }
    }

    /// Lets a client come, and waits until it sleeps on the lock.
    fn call(&self, client: &Client) {
        self.mutex.enter();
        client.called.set(client.called.get() + 1);
        self.cv.broadcast();
        self.mutex.exit();
        while !client.sleeps_on(&self.lock) {
            kpause("client", 1, None);
        }
    }
}

impl Client {
    fn sleeps_on(&self, lock: &Krwlock) -> bool {
        let Some(l) = self.lwp.load(Acquire) else {
            return false;
        };
        l.lock();
        let sleeps = l.l_wchan.get() == core::ptr::from_ref(lock).addr();
        l.unlock();
        sleeps
    }
}

fn own(door: Arg) {
    let door: &Door = shared(door);
    for (round, clients) in ROUNDS.iter().enumerate() {
        // Alone, so that it can change what the lock protects.
        door.lock.enter(Krw::Writer);
        door.entered.set(0);
        door.round.set(round);
        door.lock.downgrade();
        for &client in clients {
            door.call(&door.clients[client]);
        }
        door.lock.exit();
        for &client in clients {
            let (called, client) = (calls_before(client, round), &door.clients[client]);
            while client.done.load(Acquire) < called {
                kpause("round", 1, None);
            }
        }
    }
}

/// How often a client was called up to a round.
fn calls_before(client: usize, round: usize) -> u32 {
    let rounds = ROUNDS[..=round].iter();
    rounds.filter(|round| round.contains(&client)).count() as u32
}
