//! Tests of condvar(9): a signal wakes one waiter, a broadcast wakes all, and a timeout does not consume a wake-up.

use crate::kern::condvar::Kcondvar;
use crate::kern::lwp::{Arg, curlwp};
use crate::kern::mutex::Kmutex;
use crate::kern::sleepq::Woken;
use crate::kern::spl::Ipl;
use crate::machine;
use crate::mem::{AtomicU32, Plain, Relaxed};
use crate::scenario::classics::{free_data, shared};
use crate::scenario::handler::Handler;
use crate::scenario::{FIXED, Kind, Scenario, actor, broken_promise, share};

const CONSUMERS: u32 = 2;

/// Items, and their waiters.
struct Channel {
    interlock: Kmutex,
    filled: Kcondvar,
    items: Plain<u32>,
    /// Number of waiters that no signal has woken. Only they and the producer change the queue, under the interlock.
    waiting: Plain<u32>,
    taken: AtomicU32,
}

crate::fields!(Channel {
    interlock,
    filled,
    items,
    waiting,
    taken
});

impl Channel {
    const fn new(name: &'static str, ipl: Ipl) -> Self {
        Channel {
            interlock: Kmutex::new(name, ipl),
            filled: Kcondvar::new("items"),
            items: Plain::new(0),
            waiting: Plain::new(0),
            taken: AtomicU32::new(0),
        }
    }

    /// Compares the queue with this count, under the interlock. A woken waiter is in neither, even before it runs.
    #[track_caller]
    fn look(&self, when: &str) {
        let (waiting, has) = (self.waiting.get(), self.filled.has_waiters());
        if has != (waiting > 0) {
            broken_promise(
                "condvar-signal-waiters",
                format_args!(
                    "{waiting} LWPs wait on {} and were not signalled, but cv_has_waiters returned {has} {when}",
                    self.interlock.name()
                ),
            );
        }
    }

    fn put(&self) {
        self.interlock.enter();
        self.items.set(self.items.get() + 1);
        self.look("before the signal");
        self.filled.signal();
        self.waiting.set(self.waiting.get().saturating_sub(1));
        self.look("after the signal");
        self.interlock.exit();
    }

    fn take(&self) {
        self.interlock.enter();
        while self.items.get() == 0 {
            self.waiting.set(self.waiting.get() + 1);
            self.filled.wait(&self.interlock);
            self.look("after a wait");
        }
        self.items.set(self.items.get() - 1);
        self.interlock.exit();
        self.taken.fetch_add(1, Relaxed);
    }
}

struct Channels {
    both: [Channel; 2],
}

crate::fields!(Channels { both });

/// A producer that signals once for each item.
pub static SIGNAL: Scenario = Scenario {
    name: "condvar-signal",
    summary: "two consumers wait for items, and a producer signals for each",
    about: "Consumers take items alternately from a channel with an adaptive mutex and from one with a spin \
            mutex, and wait when there is none. A producer puts as many as they take, and signals for each. Each \
            item must be taken once, and no thread may sleep for ever. Under the interlock the number of waiters \
            is known: a signal must take exactly one off the queue, and cv_has_waiters must say whether any is \
            left.",
    variants: &[FIXED],
    min_cpus: 1,
    default_cpus: 2,
    kind: Kind::Sound,
    configure: |_| {},
    setup: |kernel| {
        let channels = share(
            "channels",
            Channels {
                both: [
                    Channel::new("adaptive", Ipl::None),
                    Channel::new("spin", Ipl::Vm),
                ],
            },
        );
        machine::label(channels, format_args!("channels"));
        kernel.set_data(Arg::of(channels));
        actor(kernel, "consumer0", 0, consume, Arg::of(channels));
        actor(kernel, "consumer1", 1, consume, Arg::of(channels));
        actor(kernel, "producer", 2, produce, Arg::of(channels));
    },
    verify: |kernel| {
        let put = CONSUMERS * kernel.config().repeat;
        for channel in &shared::<Channels>(kernel.data()).both {
            let (taken, left) = (channel.taken.peek(), channel.items.peek());
            if (taken, left) != (put, 0) {
                broken_promise(
                    "condvar-signal-items",
                    format_args!("{put} items were put, {taken} taken, and {left} are left"),
                );
            }
            channel.filled.destroy();
        }
    },
    teardown: free_data::<Channels>,
};

fn consume(channels: Arg) {
    let channels: &Channels = shared(channels);
    for _ in 0..curlwp().kernel().config().repeat {
        channels.both.iter().for_each(Channel::take);
    }
}

fn produce(channels: Arg) {
    let channels: &Channels = shared(channels);
    for _ in 0..CONSUMERS * curlwp().kernel().config().repeat {
        channels.both.iter().for_each(Channel::put);
    }
}

/// A gate that opens once for each token.
struct Gate {
    interlock: Kmutex,
    changed: Kcondvar,
    /// A condition variable that is never signalled.
    never: Kcondvar,
    /// Number of tokens that were given and not taken, and of those taken.
    tokens: Plain<u32>,
    taken: Plain<u32>,
    /// How often it has opened, which is the number of the round.
    opened: Plain<u32>,
    /// Signals and broadcasts.
    wakes: Plain<u32>,
    softint: Handler,
}

crate::fields!(Gate {
    interlock,
    changed,
    never,
    tokens,
    taken,
    opened,
    wakes,
    softint
});

impl Gate {
    /// Whether the gate has opened for a round. If not, takes a token if there is one, and a softint will open the
    /// gate.
    fn passes(&self, round: u32) -> bool {
        let passes = self.opened.get() >= round;
        if !passes && self.tokens.get() > 0 {
            self.tokens.set(self.tokens.get() - 1);
            self.taken.set(self.taken.get() + 1);
            self.softint.schedule();
        }
        passes
    }

    /// `cv_timedwait` for a tick. Checks that a waiter that reports a wake-up was woken.
    fn timedwait(&self, cv: &Kcondvar) -> Woken {
        let wakes = self.wakes.get();
        let woken = cv.timedwait(&self.interlock, 1);
        let now = self.wakes.get();
        let may_be = !core::ptr::eq(cv, &raw const self.never) && now > wakes;
        if woken == Woken::Wakeup && !may_be {
            broken_promise(
                "condvar-broadcast-woken",
                format_args!(
                    "cv_timedwait({}) reports a wake-up, but the number of wake-ups was {wakes} before the wait and {now} after it",
                    cv.wmesg()
                ),
            );
        }
        woken
    }
}

/// Waiters with and without a timeout, and a softint that broadcasts.
pub static BROADCAST: Scenario = Scenario {
    name: "condvar-broadcast",
    summary: "waiters, one with a timeout, a token that wakes one of them, and a softint that wakes all",
    about: "A thread gives a token and a signal. The waiter that finds the token makes a softint open the gate, \
            which it does with a broadcast. After that the queue must be empty, and every waiter gets through. \
            One waiter has a timeout, and leaves after it without checking for the token: if the signal was \
            spent on it anyway, the others sleep for ever. A wait on a condition variable that is never \
            signalled must end by its timeout.",
    variants: &[FIXED],
    min_cpus: 1,
    default_cpus: 2,
    kind: Kind::Sound,
    configure: |_| {},
    setup: |kernel| {
        let gate = share(
            "gate",
            Gate {
                interlock: Kmutex::new("gate", Ipl::SoftNet),
                changed: Kcondvar::new("changed"),
                never: Kcondvar::new("never"),
                tokens: Plain::new(0),
                taken: Plain::new(0),
                opened: Plain::new(0),
                wakes: Plain::new(0),
                softint: Handler::new(),
            },
        );
        machine::label(gate, format_args!("gate"));
        let arg = Arg::of(gate);
        kernel.set_data(arg);
        gate.softint.establish(kernel, Ipl::SoftNet, open, arg);
        actor(kernel, "giver", 1, give, arg);
        actor(kernel, "patient0", 0, pass, arg);
        actor(kernel, "patient1", 1, pass, arg);
        actor(kernel, "hurried", 0, pass_or_give_up, arg);
    },
    verify: |kernel| {
        let gate: &Gate = shared(kernel.data());
        let (given, opened) = (kernel.config().repeat, gate.opened.peek());
        if opened != given {
            broken_promise(
                "condvar-broadcast-opened",
                format_args!("{given} tokens were given, and the gate has opened {opened} times"),
            );
        }
        gate.changed.destroy();
    },
    teardown: |kernel| {
        shared::<Gate>(kernel.data()).softint.disestablish(kernel);
        free_data::<Gate>(kernel);
    },
};

fn give(gate: Arg) {
    let gate: &Gate = shared(gate);
    for _ in 0..curlwp().kernel().config().repeat {
        gate.interlock.enter();
        gate.tokens.set(gate.tokens.get() + 1);
        gate.wakes.set(gate.wakes.get() + 1);
        gate.changed.signal();
        gate.interlock.exit();
    }
}

/// The softint.
fn open(gate: Arg) {
    let gate: &Gate = shared(gate);
    gate.interlock.enter();
    gate.opened.set(gate.taken.get());
    gate.wakes.set(gate.wakes.get() + 1);
    gate.changed.broadcast();
    if gate.changed.has_waiters() {
        broken_promise(
            "condvar-broadcast-all",
            format_args!(
                "an LWP still waits after broadcast {} of the gate, under the interlock",
                gate.opened.get()
            ),
        );
    }
    gate.interlock.exit();
}

fn pass(gate: Arg) {
    let gate: &Gate = shared(gate);
    for round in 1..=curlwp().kernel().config().repeat {
        gate.interlock.enter();
        while !gate.passes(round) {
            gate.changed.wait(&gate.interlock);
        }
        gate.interlock.exit();
    }
}

fn pass_or_give_up(gate: Arg) {
    let gate: &Gate = shared(gate);
    for round in 1..=curlwp().kernel().config().repeat {
        gate.interlock.enter();
        while !gate.passes(round) && gate.timedwait(&gate.changed) == Woken::Wakeup {}
        gate.interlock.exit();
    }
    gate.interlock.enter();
    gate.timedwait(&gate.never);
    gate.interlock.exit();
}
