//! Programs as a user writes them: what holds, and what is found.

use std::panic::{AssertUnwindSafe, catch_unwind};

use rumplab::sync::atomic::{AtomicBool, AtomicU32, Ordering::*, fence};
use rumplab::sync::{Condvar, Mutex};
use rumplab::{Config, Level, MemoryModel, Program, check, check_with};

/// The message of the panic with which the check of a program ends.
fn failure(setup: impl Fn(&mut Program) + Copy + Send + Sync + 'static) -> String {
    let panic = catch_unwind(AssertUnwindSafe(|| check(setup))).expect_err("the program is wrong");
    *panic.downcast::<String>().expect("a message")
}

fn mailbox(program: &mut Program, notifies_early: bool) {
    let mailbox = program.share((Mutex::new(None), Condvar::new()));
    program.actor("consumer", move || {
        let (word, arrived) = &*mailbox;
        let mut word = word.lock().unwrap();
        while word.is_none() {
            word = arrived.wait(word).unwrap();
        }
        assert_eq!(*word, Some(7));
    });
    program.actor("producer", move || {
        let (word, arrived) = &*mailbox;
        if notifies_early {
            arrived.notify_one();
        }
        *word.lock().unwrap() = Some(7);
        if !notifies_early {
            arrived.notify_one();
        }
    });
}

#[test]
fn a_mailbox_works() {
    check(|program| mailbox(program, false));
}

#[test]
fn a_wakeup_that_comes_early_is_lost() {
    let message = failure(|program| mailbox(program, true));
    assert!(message.contains("deadlock"), "{message}");
}

#[test]
fn a_check_at_the_end_can_look_at_everything() {
    check(|program| {
        let sum = program.share(Mutex::new(0));
        for name in ["one", "other"] {
            program.actor(name, move || *sum.lock().unwrap() += 1);
        }
        program.at_end(move || assert_eq!(*sum.lock().unwrap(), 2));
    });
}

#[test]
#[should_panic(expected = "the counter is 1")]
fn a_lost_update_is_found() {
    check(|program| {
        let counter = program.share(AtomicU32::new(0));
        for name in ["one", "other"] {
            program.actor(name, move || {
                let value = counter.load(Relaxed);
                counter.store(value + 1, Relaxed);
            });
        }
        program.at_end(move || {
            let value = counter.load(Relaxed);
            assert_eq!(value, 2, "the counter is {value}");
        });
    });
}

#[test]
fn a_panic_has_its_place() {
    let message = failure(|program| {
        program.actor("one", || panic!("on purpose"));
    });
    assert!(message.contains("on purpose"), "{message}");
    assert!(message.contains("tests/programs.rs:"), "{message}");
    let message = failure(|_| panic!("in the setup"));
    assert!(message.contains("could not be set up"), "{message}");
    assert!(message.contains("tests/programs.rs:"), "{message}");
}

#[test]
fn softints_interrupts_and_callouts_run() {
    let config = Config {
        cpus: 4,
        schedules: 2_000,
        ..Config::default()
    };
    check_with(config, |program| {
        let seen = program.share([const { AtomicU32::new(0) }; 3]);
        let softint = program.softint(Level::Net, "softint", move || {
            seen[0].fetch_add(1, Relaxed);
        });
        let mut raised = 0;
        let interrupt = program.interrupt("device", move || {
            raised += 1;
            assert_eq!(raised, 1);
            seen[1].fetch_add(1, Relaxed);
            softint.schedule();
        });
        let callout = program.callout("timer", move || {
            seen[2].fetch_add(1, Relaxed);
        });
        program.actor("driver", move || {
            interrupt.raise();
            callout.schedule(2);
            while seen.iter().any(|count| count.load(Relaxed) == 0) {
                rumplab::pause(1);
            }
        });
        program.at_end(move || assert!(seen.iter().all(|count| count.load(Relaxed) == 1)));
    });
}

static READY: AtomicBool = AtomicBool::new(false);
static WORDS: Mutex<Vec<u32>> = Mutex::new(Vec::new());

#[test]
fn statics_begin_each_run_as_they_are_written() {
    check(|program| {
        program.actor("writer", || {
            WORDS.lock().unwrap().push(1);
            assert!(!READY.swap(true, Release));
        });
        program.actor("reader", || {
            while !READY.load(Acquire) {}
            assert_eq!(*WORDS.lock().unwrap(), [1]);
        });
    });
}

#[test]
fn what_is_shared_is_dropped_at_the_end() {
    struct Last;
    impl Drop for Last {
        fn drop(&mut self) {
            panic!("dropped");
        }
    }
    let message = failure(|program| {
        program.share(Last);
    });
    assert!(message.contains("dropped"), "{message}");
}

#[test]
fn the_primitives_say_that_they_were_used_outside_of_a_run() {
    let panic = catch_unwind(|| READY.load(Relaxed)).expect_err("no machine runs");
    let message = panic.downcast::<&str>().expect("a message");
    assert!(message.contains("outside of a run"), "{message}");
}

/// Seven philosophers, each of whom takes the left fork first.
fn philosophers(program: &mut Program) {
    let forks = program.share([(); 7].map(|()| Mutex::new(())));
    program.actor("table", move || {
        let seats: Vec<_> = (0..7)
            .map(|seat| {
                rumplab::thread::spawn(move || {
                    let _left = forks[seat].lock().unwrap();
                    let _right = forks[(seat + 1) % 7].lock().unwrap();
                })
            })
            .collect();
        for seat in seats {
            seat.join().unwrap();
        }
    });
}

#[test]
fn seven_philosophers_starve_within_two_hundred_schedules() {
    for seed in 1..=20 {
        let config = Config {
            seed,
            schedules: 200,
            ..Config::default()
        };
        let check = AssertUnwindSafe(|| check_with(config, philosophers));
        catch_unwind(check).expect_err("each of them has one fork");
    }
}

#[test]
fn each_thread_has_a_cpu() {
    check(|program| {
        program.actor("main", || {
            let cpus = rumplab::thread::available_parallelism().unwrap().get();
            let threads: Vec<_> = (0..4).map(|_| rumplab::thread::spawn(|| {})).collect();
            for thread in threads {
                thread.join().unwrap();
            }
            // The run that counts them has the fewest.
            assert!(cpus == 2 || cpus == 5, "{cpus}");
        });
    });
    let seen = catch_unwind(AssertUnwindSafe(|| {
        check(|program| {
            program.actor("main", || {
                let cpus = rumplab::thread::available_parallelism().unwrap().get();
                rumplab::thread::spawn(|| {}).join().unwrap();
                rumplab::thread::spawn(|| {}).join().unwrap();
                assert!(cpus != 2, "one after the other");
            });
        });
    }));
    let message = *seen.expect_err("two CPUs").downcast::<String>().unwrap();
    assert!(message.contains("one after the other"), "{message}");
}

/// Each of two threads stores a word and looks at the other's.
fn raises_flags(program: &mut Program, fences: bool) {
    let flags = program.share([const { AtomicBool::new(false) }; 2]);
    let saw = program.share(AtomicU32::new(0));
    for (own, name) in ["one", "other"].into_iter().enumerate() {
        program.actor(name, move || {
            flags[own].store(true, Release);
            if fences {
                fence(SeqCst);
            }
            if flags[1 - own].load(Acquire) {
                saw.fetch_add(1, Relaxed);
            }
        });
    }
    program.at_end(move || assert_ne!(saw.load(Relaxed), 0, "nobody saw the other"));
}

const BUFFERS: Config = Config {
    cpus: 0,
    schedules: 10_000,
    time: None,
    seed: 1,
    jobs: 1,
    plan: rumplab::Plan::Portfolio,
    memory: MemoryModel::Tso,
};

#[test]
fn without_store_buffers_no_fence_is_missed() {
    check(|program| raises_flags(program, false));
}

#[test]
#[should_panic(expected = "nobody saw the other")]
fn a_load_may_come_before_a_store() {
    check_with(BUFFERS, |program| raises_flags(program, false));
}

#[test]
fn a_fence_keeps_it_behind() {
    check_with(BUFFERS, |program| raises_flags(program, true));
}

#[test]
#[should_panic(expected = "leave the memory model")]
fn a_proof_has_no_store_buffers() {
    rumplab::prove_with(BUFFERS, 1, |program| raises_flags(program, true));
}

#[test]
fn what_works_works_with_store_buffers() {
    check_with(BUFFERS, |program| mailbox(program, false));
}
