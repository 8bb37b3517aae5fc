//! What verdicts say about faults that show in somebody else: the first lines name what is missing, and not who noticed it.

use std::net::Ipv4Addr;

use kmod::kern::condvar::Kcondvar;
use kmod::kern::lwp::{Arg, curcpu, curlwp, curlwp_bind, curlwp_bindx};
use kmod::kern::mutex::Kmutex;
use kmod::kern::psref::{Psref, PsrefClass, PsrefTarget};
use kmod::kern::softint::{self, Softint};
use kmod::kern::spl::Ipl;
use kmod::kern::synch::{kpause, kpreempt_disable, kpreempt_enable};
use kmod::kern::xcall::{self, Priority};
use kmod::kernel::Kernel;
use kmod::mem::{Acquire, AtomicBool, Plain, Release};
use kmod::net::mbuf::{End, Mbuf};
use kmod::net::route::{Key, rt_add, rt_unref, rtalloc1};
use kmod::net::{self, Net};
use kmod::scenario::classics::{free_data, shared};
use kmod::scenario::provoke::lose_interrupts;
use kmod::scenario::{FIXED, Kind, Scenario, actor, share};

use crate::told::{assert_in_order, told};

/// The number of schedules of a scenario that fails in one of them.
const SCHEDULES: u64 = 2_000;

const SCENARIO: Scenario = Scenario {
    name: "story",
    summary: "",
    about: "",
    variants: &[FIXED],
    min_cpus: 1,
    default_cpus: 2,
    kind: Kind::Broken,
    configure: |_| {},
    setup: |_| {},
    verify: |_| {},
    teardown: |_| {},
};

struct Asked {
    softint: Plain<Option<Softint>>,
}

kmod::fields!(Asked { softint });

/// Does `ask` on a CPU, while interrupts that it sends to the other one are lost.
fn unheard(kernel: &'static Kernel, ask: fn(Arg)) {
    let softint = softint::establish_at_boot(kernel.cpus(), Ipl::SoftNet, |_| {}, Arg::NONE);
    let asked = share(
        "asked",
        Asked {
            softint: Plain::new(softint),
        },
    );
    kernel.set_data(Arg::of(asked));
    actor(kernel, "asker", 0, ask, Arg::of(asked));
}

static NO_SOFTINT: Scenario = Scenario {
    setup: |kernel| {
        unheard(kernel, |asked| {
            kpreempt_disable();
            let other = curlwp().kernel().cpu(1 - curcpu().index());
            lose_interrupts(other);
            if let Some(softint) = shared::<Asked>(asked).softint.get() {
                softint::schedule_cpu(softint, other);
            }
            kpreempt_enable();
        });
    },
    teardown: free_data::<Asked>,
    ..SCENARIO
};

static NO_CROSS_CALL: Scenario = Scenario {
    setup: |kernel| {
        unheard(kernel, |_| {
            kpreempt_disable();
            lose_interrupts(curlwp().kernel().cpu(1 - curcpu().index()));
            kpreempt_enable();
            let nothing = (Arg::NONE, Arg::NONE);
            xcall::wait(xcall::broadcast(Priority::HIGH, |_, _| {}, nothing));
        });
    },
    teardown: free_data::<Asked>,
    ..SCENARIO
};

#[test]
fn a_softint_that_another_cpu_never_hears_of_is_a_missing_interrupt() {
    let (text, _) = told(&NO_SOFTINT, SCHEDULES);
    assert_in_order(
        &text,
        &[
            "MISSING INTERRUPT to cpu1 in story",
            "cpu1 was asked for a softint, and the interrupt that tells it so was never sent or never taken",
            "asked for by asker on cpu0, at hostshim/tests/programs/stories.rs:",
            "; cpu1 has taken no ipi since",
        ],
    );
}

#[test]
fn a_cross_call_that_another_cpu_never_hears_of_is_a_missing_interrupt() {
    let (text, _) = told(&NO_CROSS_CALL, SCHEDULES);
    assert_in_order(
        &text,
        &[
            "MISSING INTERRUPT to cpu1 in story",
            "cpu1 was asked for a high-priority cross call, and the interrupt",
            "asked for by asker on cpu0, at hostshim/tests/programs/stories.rs:",
            "; cpu1 has taken no ipi since",
        ],
    );
}

/// A target that a thread holds while it sleeps.
struct Room {
    mutex: Kmutex,
    ring: Kcondvar,
    rung: Plain<bool>,
    taken: AtomicBool,
    target: PsrefTarget,
    class: Plain<Option<PsrefClass>>,
}

kmod::fields!(Room {
    mutex,
    ring,
    rung,
    taken,
    target
});

fn room(kernel: &'static Kernel, other: fn(Arg)) {
    let class = PsrefClass::create("room", Ipl::SoftNet);
    let room = share(
        "room",
        Room {
            mutex: Kmutex::new("mutex", Ipl::None),
            ring: Kcondvar::new("ring"),
            rung: Plain::new(false),
            taken: AtomicBool::new(false),
            target: PsrefTarget::new(),
            class: Plain::new(class),
        },
    );
    kmod::machine::label(room, format_args!("room"));
    if let Some(class) = class {
        room.target.init(class);
    }
    kernel.set_data(Arg::of(room));
    actor(kernel, "sleeper", 0, sleep_with_reference, Arg::of(room));
    actor(kernel, "other", 1, other, Arg::of(room));
}

/// Nobody rings.
fn sleep_with_reference(room: Arg) {
    let room: &Room = shared(room);
    let bound = curlwp_bind();
    let psref = Psref::new();
    if let Some(class) = room.class.get() {
        psref.acquire(&room.target, class);
        room.taken.store(true, Release);
        room.mutex.enter();
        while !room.rung.get() {
            room.ring.wait(&room.mutex);
        }
        room.mutex.exit();
        psref.release(&room.target, class);
    }
    curlwp_bindx(bound);
}

fn wait_until_taken(room: &Room) {
    while !room.taken.load(Acquire) {
        kpause("taken", 1, None);
    }
}

static POLLS_FOR_THE_SLEEPER: Scenario = Scenario {
    setup: |kernel| {
        room(kernel, |room| {
            let room: &Room = shared(room);
            wait_until_taken(room);
            if let Some(class) = room.class.get() {
                room.target.destroy(class);
            }
        });
    },
    ..SCENARIO
};

static POLLS_FOR_ITSELF: Scenario = Scenario {
    setup: |kernel| {
        room(kernel, |room| {
            wait_until_taken(shared(room));
            loop {
                kpause("forever", 1, None);
            }
        });
    },
    ..SCENARIO
};

#[test]
fn who_polls_for_a_thread_that_nobody_wakes_is_not_the_story() {
    let (text, _) = told(&POLLS_FOR_THE_SLEEPER, SCHEDULES);
    assert_in_order(
        &text,
        &[
            "LOST WAKE-UP in story, ",
            "no progress after ",
            "sleeper has done nothing since before step ",
            "1. sleeper  HOLDS     a psref of class room ",
            "SLEEPS ON `ring` (room.ring) ",
            "at hostshim/tests/programs/stories.rs:",
            "TESTED    room.rung",
            "not written in this run",
            "`ring` was never signalled in this run",
            "other goes on: it waits for each psref of class room to be released, held by sleeper, in psref_target_destroy",
        ],
    );
}

#[test]
fn a_sleeper_is_told_also_if_nobody_waits_for_it() {
    let (text, _) = told(&POLLS_FOR_ITSELF, SCHEDULES);
    assert_in_order(
        &text,
        &[
            "LIVELOCK in story, ",
            "sleeper has done nothing since before step ",
            "SLEEPS ON `ring` (room.ring) ",
            "`ring` was never signalled in this run",
        ],
    );
}

const KEY: Key = Key {
    dst: Ipv4Addr::new(10, 0, 0, 0),
    prefix: 8,
    ifindex: 1,
};

/// An actor has a reference to a route; `end` says whether it gives it back before the stack is ended.
fn with_route(kernel: &'static Kernel, body: fn(Arg)) {
    let net = net::init(kernel);
    kernel.set_data(Arg::of(net));
    actor(kernel, "forgetter", 0, body, Arg::of(net));
}

fn use_route(net: &'static Net, gives_back: bool) {
    rt_add(net, &KEY, None, KEY.dst);
    if let Some(rt) = rtalloc1(net, KEY.dst)
        && gives_back
    {
        rt_unref(net, rt);
    }
    net::fini(net);
}

fn free_net(kernel: &'static Kernel) {
    net::free(shared(kernel.data()));
}

static KEEPS_ROUTE: Scenario = Scenario {
    setup: |kernel| with_route(kernel, |net| use_route(shared(net), false)),
    teardown: free_net,
    ..SCENARIO
};

static GIVES_ROUTE_BACK: Scenario = Scenario {
    setup: |kernel| with_route(kernel, |net| use_route(shared(net), true)),
    teardown: free_net,
    ..SCENARIO
};

#[test]
fn of_a_reference_to_a_route_that_is_not_given_back_it_is_told_who_took_it() {
    let (text, _) = told(&KEEPS_ROUTE, SCHEDULES);
    assert_in_order(
        &text,
        &[
            "LEAKED REFERENCE in story, ",
            " WAITS FOR each reference to a route to be released ",
            "taken in rtalloc1 by forgetter on cpu",
            ", at hostshim/tests/programs/stories.rs:",
            ", and never given back",
        ],
    );
}

#[test]
fn a_reference_to_a_route_that_is_given_back_is_none() {
    let (text, _) = told(&GIVES_ROUTE_BACK, 10);
    assert!(text.starts_with("story passed: "), "{text}");
}

static FORGETS_PACKET: Scenario = Scenario {
    setup: |kernel| {
        let forgets = |_| {
            if let Some(other) = Mbuf::get() {
                other.free(End::Unused);
            }
            core::mem::forget(Mbuf::get());
        };
        actor(kernel, "forgetter", 0, forgets, Arg::NONE);
    },
    ..SCENARIO
};

#[test]
fn of_a_packet_that_is_left_it_is_told_who_had_it() {
    let (text, _) = told(&FORGETS_PACKET, SCHEDULES);
    assert_in_order(
        &text,
        &[
            "LEAK in story, ",
            "1 objects of kmem were never freed",
            "mbuf#",
            ": taken in m_gethdr by forgetter on cpu",
            ", at hostshim/tests/programs/stories.rs:",
            ", and never given back",
        ],
    );
    assert_eq!(text.matches("never given back").count(), 1, "{text}");
}
