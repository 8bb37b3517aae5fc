//! Programs of which every schedule up to a number of forced switches is tried.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use rumplab::sync::atomic::{AtomicBool, AtomicU32, Ordering::*};
use rumplab::sync::{Arc, Condvar, Mutex};
use rumplab::{Config, Level, Program, hint, prove, prove_with, thread};

/// The message of the panic with which a proof ends.
fn failure(config: Config, setup: impl Fn(&mut Program) + Copy + Send + Sync + 'static) -> String {
    let prove = || prove_with(config, 2, setup);
    let panic = catch_unwind(AssertUnwindSafe(prove)).expect_err("the program is wrong");
    *panic.downcast::<String>().expect("a message")
}

fn mailbox(program: &mut Program, notifies_early: bool) {
    let mailbox = program.share((Mutex::new(None), Condvar::new()));
    program.actor("consumer", move || {
        let (word, arrived) = &*mailbox;
        let word = arrived.wait_while(word.lock().unwrap(), |word| word.is_none());
        assert_eq!(*word.unwrap(), Some(7));
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
fn a_mailbox_is_proved() {
    prove(2, |program| mailbox(program, false));
}

#[test]
fn a_lost_wakeup_is_found() {
    let message = failure(Config::default(), |program| mailbox(program, true));
    assert!(message.contains("deadlock"), "{message}");
}

#[test]
fn a_softint_and_threads_are_proved() {
    prove(2, |program| {
        let count = program.share(AtomicU32::new(0));
        let softint = program.softint(Level::Net, "count", move || {
            count.fetch_add(1, Relaxed);
        });
        program.actor("driver", move || softint.schedule());
        program.actor("other", move || {
            count.fetch_add(1, Relaxed);
        });
        program.at_end(move || assert_eq!(count.load(Relaxed), 2));
    });
}

#[test]
fn threads_of_a_run_are_proved() {
    prove(1, |program| {
        program.actor("main", || {
            let sum = Arc::new(Mutex::new(0));
            let other = Arc::clone(&sum);
            let child = thread::spawn(move || *other.lock().unwrap() += 1);
            *sum.lock().unwrap() += 1;
            child.join().unwrap();
            assert_eq!(*sum.lock().unwrap(), 2);
        });
    });
}

#[test]
fn a_loop_that_says_that_it_waits_is_proved() {
    prove(2, |program| {
        let ready = program.share(AtomicBool::new(false));
        program.actor("waits", move || {
            while !ready.load(Acquire) {
                hint::spin_loop();
            }
        });
        program.actor("stores", move || ready.store(true, Release));
    });
}

#[test]
fn a_loop_that_does_not_say_so_is_not_called_proved() {
    let message = failure(Config::default(), |program| {
        let ready = program.share(AtomicBool::new(false));
        program.actor("waits", move || while !ready.load(Acquire) {});
        program.actor("stores", move || ready.store(true, Release));
    });
    assert!(message.contains("not complete with"), "{message}");
    assert!(message.contains("must call hint::spin_loop"), "{message}");
}

#[test]
fn a_proof_that_takes_too_long_is_not_called_proved() {
    let config = Config {
        time: Some(Duration::from_millis(1)),
        ..Config::default()
    };
    let message = failure(config, |program| mailbox(program, false));
    assert!(message.contains("the time was over"), "{message}");
}
