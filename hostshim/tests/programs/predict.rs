//! Each way to wait for something with something else in hand is predicted from runs that came to their end, told as the
//! wait-for graph tells it, and shown; and what only looks like one is not.

use hostshim::hunt::{Plan, Watch};
use hostshim::predict::{Predicted, Prediction};
use hostshim::replay::LIMITS;
use kmod::config::Config;
use kmod::kern::callout::Callout;
use kmod::kern::kthread::{self, Options};
use kmod::kern::lwp::{Arg, curlwp, curlwp_bind, curlwp_bindx};
use kmod::kern::mutex::Kmutex;
use kmod::kern::psref::{Psref, PsrefClass, PsrefTarget};
use kmod::kern::spl::Ipl;
use kmod::kern::workqueue::{self, Work, Workers};
use kmod::kern::xcall::{self, Priority};
use kmod::kern::{kmem, pserialize, softint, synch};
use kmod::kernel::Kernel;
use kmod::mem::{Acquire, AtomicPtr, Relaxed, Release};
use kmod::scenario::classics::shared;
use kmod::scenario::{FIXED, Kind, Scenario, actor, share};

struct World {
    lock: Kmutex,
    gate: Kmutex,
    callout: Callout,
    target: PsrefTarget,
    class: AtomicPtr,
    done: Kmutex,
    work: Work,
}

type Part = fn(&'static World);

/// A scenario of two threads with these parts.
macro_rules! scenario {
    ($name:ident, $first:expr, $second:expr) => {
        static $name: Scenario = Scenario {
            name: "predict-test",
            summary: "",
            about: "",
            variants: &[FIXED],
            min_cpus: 1,
            default_cpus: 2,
            kind: Kind::Broken,
            configure: |_| {},
            setup: |kernel| {
                let world = world(kernel);
                actor(
                    kernel,
                    "t1",
                    0,
                    |world| ($first as Part)(shared(world)),
                    Arg::of(world),
                );
                actor(
                    kernel,
                    "t2",
                    1,
                    |world| ($second as Part)(shared(world)),
                    Arg::of(world),
                );
            },
            verify: |_| {},
            teardown: |kernel| {
                let world: &'static World = shared(kernel.data());
                // SAFETY: (1) it came from `share`, which is `kmem_alloc`; (2) the actors have ended.
                unsafe { kmem::kmem_free(world) };
            },
        };
    };
}

fn world(kernel: &'static Kernel) -> &'static World {
    let world = share(
        "world",
        World {
            lock: Kmutex::new("lock", Ipl::None),
            gate: Kmutex::new("gate", Ipl::None),
            callout: Callout::new(),
            target: PsrefTarget::new(),
            class: AtomicPtr::new(core::ptr::null_mut()),
            done: Kmutex::new("done", Ipl::None),
            work: Work::new(Arg::NONE),
        },
    );
    world.callout.init(kernel.cpu(0));
    kernel.set_data(Arg::of(world));
    world
}

fn nothing(_: &'static World) {}

fn enter_and_leave(world: Arg) {
    let world: &'static World = shared(world);
    world.lock.enter();
    world.lock.exit();
}

fn prediction(scenario: &'static Scenario) -> Prediction {
    Prediction {
        scenario,
        variant: &scenario.variants[0],
        config: scenario.config(Config::small(2), &scenario.variants[0]),
        plan: Plan::Portfolio,
        seed: 1,
        schedules: 60,
        tries: 3000,
        jobs: 1,
        limits: LIMITS,
    }
}

fn predict(scenario: &'static Scenario) -> Vec<Predicted> {
    let found = prediction(scenario).run(&Watch::default());
    let found = found.unwrap_or_else(|failure| panic!("it does not boot: {failure}"));
    assert!(
        found.failed < found.schedules,
        "some runs came to their end"
    );
    found.list
}

/// What is predicted is this, and a schedule shows it.
#[track_caller]
fn shows(scenario: &'static Scenario, line: &str) {
    let predicted = predict(scenario);
    let lines = Vec::from_iter(predicted.iter().map(|predicted| &*predicted.line));
    assert_eq!(lines, [line]);
    let tried = prediction(scenario).confirm(&predicted[0], &Watch::default());
    let (found, _) = tried.unwrap_or_else(|failure| panic!("it does not boot: {failure}"));
    assert!(found.is_some(), "{line} is not shown");
}

/// The handler of the callout takes the lock, which who halts it holds.
fn halts_with_the_lock(world: &'static World) {
    world.callout.reset(1, enter_and_leave, Arg::of(world));
    synch::kpause("test", 3, None);
    world.callout.reset(1, enter_and_leave, Arg::of(world));
    world.lock.enter();
    world.callout.halt(None);
    world.lock.exit();
    world.callout.halt(None);
}

scenario!(HALT, halts_with_the_lock, nothing);

#[test]
fn a_callout_that_is_halted_under_a_lock_of_its_handler() {
    shows(&HALT, "lock => callout => lock");
}

/// The same with the lock as the interlock, which is given up meanwhile.
fn halts_with_an_interlock(world: &'static World) {
    world.callout.reset(1, enter_and_leave, Arg::of(world));
    synch::kpause("test", 3, None);
    world.callout.reset(1, enter_and_leave, Arg::of(world));
    world.lock.enter();
    world.callout.halt(Some(&world.lock));
    world.lock.exit();
    world.callout.halt(None);
}

scenario!(INTERLOCK, halts_with_an_interlock, nothing);

#[test]
fn an_interlock_is_not_held_while_it_is_waited() {
    assert!(predict(&INTERLOCK).is_empty());
}

/// A softint takes the lock, and a cross call at its level waits for it.
fn calls_with_the_lock(world: &'static World) {
    let Some(softint) = softint::establish(Ipl::SoftNet, enter_and_leave, Arg::of(world)) else {
        return;
    };
    synch::kpreempt_disable();
    softint::schedule_cpu(softint, curlwp().kernel().cpu(1));
    synch::kpreempt_enable();
    world.lock.enter();
    xcall::barrier(Priority::High(Ipl::SoftNet));
    world.lock.exit();
    softint::disestablish(softint);
}

scenario!(SOFTINT, calls_with_the_lock, nothing);

#[test]
fn a_cross_call_at_a_level_whose_handler_takes_a_lock_that_is_held() {
    let predicted = predict(&SOFTINT);
    let lines = Vec::from_iter(predicted.iter().map(|predicted| &*predicted.line));
    let mut shown = 0;
    for (line, predicted) in lines.iter().zip(&predicted) {
        assert!(
            line.starts_with("xc (high) => softint softnet of cpu"),
            "{line}"
        );
        assert!(line.ends_with(" => lock => xc (high)"), "{line}");
        let tried = prediction(&SOFTINT).confirm(predicted, &Watch::default());
        let (found, _) = tried.unwrap_or_else(|failure| panic!("it does not boot: {failure}"));
        shown += u32::from(found.is_some());
    }
    assert!(shown > 0, "of {lines:?}");
}

/// Who has a reference takes the lock, which who drains them holds.
fn drains_with_the_lock(world: &'static World) {
    let Some(class) = PsrefClass::create("refs", Ipl::SoftNet) else {
        return;
    };
    world.target.init(class);
    world
        .class
        .store(core::ptr::from_ref(&class).cast_mut().cast(), Release);
    synch::kpause("test", 2, None);
    world.class.store(core::ptr::null_mut(), Relaxed);
    pserialize::Pserialize::new().perform();
    world.lock.enter();
    world.target.destroy(class);
    world.lock.exit();
    world.done.enter();
    world.done.exit();
    // SAFETY: (1) it came from `create`; (2) its only target was destroyed, and who had a reference is done with it.
    unsafe { class.destroy() };
}

fn uses_with_the_lock(world: &'static World) {
    world.done.enter();
    let bound = curlwp_bind();
    for _ in 0..4 {
        let mut psref = Psref::new();
        let psref = &mut psref;
        let s = pserialize::read_enter();
        // SAFETY: null, or on the stack of the other thread, which does not return before this one is done.
        let class = unsafe { world.class.load(Acquire).cast::<PsrefClass>().as_ref() };
        let class = class.copied();
        if let Some(class) = class {
            psref.acquire(&world.target, class);
        }
        pserialize::read_exit(s);
        if let Some(class) = class {
            world.lock.enter();
            world.lock.exit();
            psref.release(&world.target, class);
        }
        synch::kpause("test", 1, None);
    }
    curlwp_bindx(bound);
    world.done.exit();
}

scenario!(PSREF, drains_with_the_lock, uses_with_the_lock);

#[test]
fn references_that_are_drained_under_a_lock_of_who_has_one() {
    shows(
        &PSREF,
        "lock => psref_target_destroy => cv_timedwait => psref of class refs => lock",
    );
}

#[test]
fn a_thread_that_is_joined_under_a_lock_that_it_takes() {
    shows(&JOIN, "lock => kthread_join => lock");
}

fn joins_with_the_lock(world: &'static World) {
    let options = Options {
        must_join: true,
        ..Options::default()
    };
    let kernel = curlwp().kernel();
    let child = kthread::kthread_create(
        kernel,
        &options,
        enter_and_leave,
        Arg::of(world),
        format_args!("child"),
    );
    let Some(child) = child else { return };
    world.lock.enter();
    kthread::kthread_join(child);
    world.lock.exit();
}

scenario!(JOIN, joins_with_the_lock, nothing);

/// A thread that begins only after the other order was taken.
fn joins_after(world: &'static World) {
    world.gate.enter();
    world.lock.enter();
    world.lock.exit();
    world.gate.exit();
    let options = Options {
        must_join: true,
        ..Options::default()
    };
    let other: fn(Arg) = |world| {
        let world: &'static World = shared(world);
        world.lock.enter();
        world.gate.enter();
        world.gate.exit();
        world.lock.exit();
    };
    let kernel = curlwp().kernel();
    let name = format_args!("child");
    if let Some(child) = kthread::kthread_create(kernel, &options, other, Arg::of(world), name) {
        kthread::kthread_join(child);
    }
    world.gate.enter();
    world.lock.enter();
    world.lock.exit();
    world.gate.exit();
}

scenario!(AFTER, joins_after, nothing);

#[test]
fn what_comes_before_a_thread_begins_and_after_it_ended_is_not_beside_it() {
    assert!(predict(&AFTER).is_empty());
}

/// The function of a queue takes the lock, which who waits for its work holds.
fn waits_with_the_lock(world: &'static World) {
    let kernel = curlwp().kernel();
    let func: workqueue::WorkFunc = |_, world| enter_and_leave(world);
    let made = workqueue::create(
        kernel,
        "works",
        (func, Arg::of(world)),
        kmod::kern::lwp::pri::KTHREAD,
        Ipl::None,
        Workers::One,
    );
    let Some(wq) = made else { return };
    wq.enqueue(&world.work, None);
    world.lock.enter();
    wq.wait(&world.work);
    world.lock.exit();
    wq.destroy();
}

scenario!(WORK, waits_with_the_lock, nothing);

#[test]
fn a_work_that_is_waited_for_under_a_lock_that_it_takes() {
    shows(&WORK, "lock => workqueue_wait => work of works => lock");
}

/// Bound, it sleeps with a lock that a callout of its own CPU takes.
fn sleeps_with_the_lock(world: &'static World) {
    let bound = curlwp_bind();
    world.callout.reset(2, enter_and_leave, Arg::of(world));
    world.lock.enter();
    synch::kpause("test", 1, None);
    world.lock.exit();
    synch::kpause("test", 4, None);
    world.callout.halt(None);
    curlwp_bindx(bound);
}

scenario!(SLEEP, sleeps_with_the_lock, nothing);

#[test]
fn a_sleep_under_a_lock_that_a_callout_takes() {
    shows(&SLEEP, "lock => kpause => callout => lock");
}
