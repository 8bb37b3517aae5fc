//! A frame that a card has received is somebody's: one that stays in a queue, and one that nobody has counted, is a failure of its own.

use hostshim::hunt::{Budget, Hunt, Watch};
use kmod::config::Memory;
use kmod::kern::kmem::kmem_free;
use kmod::kern::lwp::{Arg, curlwp};
use kmod::kern::softint::{self, Softint};
use kmod::kern::spl::Ipl;
use kmod::kern::synch::kpause;
use kmod::kern::xcall;
use kmod::machine::{self, NIC_FRAME};
use kmod::net::listener::listen;
use kmod::net::{self, stats};
use kmod::scenario::classics::shared;
use kmod::scenario::{FIXED, Kind, Scenario, actor, share};

/// Frames that card 1 is sent.
const FRAMES: usize = 4;
/// Ticks in which they all arrive.
const SOON: u32 = 3;

const SCENARIO: Scenario = Scenario {
    name: "frames-test",
    summary: "a softint takes the frames that a card has received",
    about: "",
    variants: &[FIXED],
    min_cpus: 1,
    default_cpus: 2,
    kind: Kind::Sound,
    configure: |config| {
        config.nics = 2;
        config.memory = Memory::Given("its frames are what is tested");
    },
    setup: |kernel| actor(kernel, "listens", 0, |_| receive(true), Arg::NONE),
    verify: |_| {},
    teardown: |_| {},
};

/// The softint takes all frames that there are.
static THOROUGH: Scenario = SCENARIO;

/// It takes one, each time that it runs.
static HASTY: Scenario = Scenario {
    setup: |kernel| actor(kernel, "listens", 0, |_| receive(false), Arg::NONE),
    ..SCENARIO
};

fn take() -> bool {
    let mut frame = [0; NIC_FRAME];
    machine::nic_receive(1, 0, &mut frame).is_some()
}

fn send() {
    for _ in 0..FRAMES {
        assert!(machine::nic_transmit(0, &[0; 60]), "the wire is full");
    }
}

/// Sends frames to a softint that takes all that are there, or one.
fn receive(all: bool) {
    let takes = |all: Arg| {
        while take() && all.0 != 0 {}
    };
    let softint = softint::establish(Ipl::SoftNet, takes, Arg(all.into())).expect("an entry");
    let listener: &'static Softint = share("listener", softint);
    listen(Some(listener));
    send();
    kpause("frames", SOON, None);
    listen(None);
    xcall::barrier(xcall::Priority::Low);
    softint::disestablish(softint);
    // SAFETY: (1) it came from `share`, which is `kmem_alloc`; (2) nobody finds it any more.
    unsafe { kmem_free(listener) };
}

/// Frames come while there is no stack, and others when there is one.
static BEFORE: Scenario = Scenario {
    setup: |kernel| {
        let begins = |_| {
            send();
            kpause("frames", SOON, None);
            let net = net::init(curlwp().kernel());
            curlwp().kernel().set_data(Arg::of(net));
            kpause("frames", SOON, None);
            net::fini(net);
        };
        actor(kernel, "begins", 0, begins, Arg::NONE);
    },
    verify: |kernel| {
        let net: &'static net::Net = shared(kernel.data());
        stats::accounting(net, net.kept());
    },
    teardown: |kernel| net::free(shared(kernel.data())),
    ..SCENARIO
};

/// Somebody sends frames past the driver of the stack.
static PAST: Scenario = Scenario {
    setup: |kernel| {
        kernel.set_data(Arg::of(net::init(kernel)));
        let sends = |_| {
            send();
            net::fini(shared(curlwp().kernel().data()));
        };
        actor(kernel, "sends", 0, sends, Arg::NONE);
    },
    ..BEFORE
};

/// The rule that the scenario breaks, and the message.
fn broken(scenario: &'static Scenario) -> Option<(String, String)> {
    let hunt = Hunt::new(scenario, &FIXED, Budget::Schedules(500));
    let hunted = hunt.run(&Watch::default());
    let hunted = hunted.unwrap_or_else(|failure| panic!("it does not boot: {failure}"));
    hunted
        .found
        .map(|found| (found.failure.rule, found.failure.message))
}

#[test]
fn frames_that_nobody_takes_are_told() {
    let (rule, message) = broken(&HASTY).unwrap_or_else(|| panic!("it holds"));
    assert_eq!(rule, "nic-left", "{message}");
    assert!(message.contains("in queue 0 of nic1"), "{message}");
}

#[test]
fn a_softint_that_takes_all_frames_is_right() {
    assert_eq!(broken(&THOROUGH), None);
}

#[test]
fn a_stack_takes_what_has_come_before_it() {
    assert_eq!(broken(&BEFORE), None);
}

#[test]
fn a_frame_that_the_driver_has_not_counted_is_told() {
    let (rule, message) = broken(&PAST).unwrap_or_else(|| panic!("it holds"));
    assert_eq!(rule, "accounting", "{message}");
    let sentence = "4 frames were sent by the network cards, and their driver has counted 0";
    assert!(message.contains(sentence), "{message}");
}
