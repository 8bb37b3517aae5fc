//! The primitives under thousands of schedules: `cargo test --features rumplab`.
#![cfg(feature = "rumplab")]

use outside::mailbox::Mailbox;
use outside::ring::Ring;
use outside::spinlock::SpinLock;
use rumplab::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use rumplab::{Config, check, check_with};

#[test]
fn the_consumer_is_woken() {
    check(|program| {
        let mailbox = program.share(Mailbox::new());
        program.actor("consumer", move || assert_eq!(mailbox.take(), 7));
        program.actor("producer", move || mailbox.put(7));
    });
}

/// It fails, on purpose: `scripts/outside` looks at how.
#[test]
#[ignore = "it fails on purpose"]
fn the_consumer_sleeps_for_ever() {
    check(|program| {
        let mailbox = program.share(Mailbox::new());
        program.actor("consumer", move || assert_eq!(mailbox.take_badly(), 7));
        program.actor("producer", move || mailbox.put(7));
    });
}

/// The producer is a device: it interrupts the consumer in the middle of `pop`, or runs beside it.
fn receive(cpu_of_device: usize) {
    let config = Config {
        cpus: 2,
        schedules: 5_000,
        ..Config::default()
    };
    check_with(config, move |program| {
        let ring = program.share(Ring::<2>::new());
        let mut next = 0;
        let device = program.interrupt_on(
            cpu_of_device,
            rumplab::kern::spl::Ipl::Vm,
            "device",
            move || {
                while next < 3 && ring.push(next) {
                    next += 1;
                }
            },
        );
        program.actor_on(0, "driver", move || {
            let mut expected = 0;
            while expected < 3 {
                match ring.pop() {
                    Some(word) => {
                        assert_eq!(word, expected);
                        expected += 1;
                    }
                    None => device.raise(),
                }
            }
        });
    });
}

#[test]
fn a_device_of_the_same_cpu_fills_a_ring() {
    receive(0);
}

#[test]
fn a_device_of_another_cpu_fills_a_ring() {
    receive(1);
}

#[test]
#[should_panic(expected = "data-race")]
fn a_ring_that_publishes_relaxed_has_a_race() {
    check(|program| {
        let ring = program.share(Ring::<2>::publishing(Ordering::Relaxed));
        program.actor("producer", move || assert!(ring.push(1)));
        program.actor("consumer", move || {
            ring.pop();
        });
    });
}

/// A static is as it is written at the beginning of each run.
static SUM: SpinLock<u64> = SpinLock::new(40);
static IS_LAST: AtomicBool = AtomicBool::new(false);

#[test]
fn a_static_spin_lock_excludes() {
    check(|program| {
        for name in ["one", "other"] {
            program.actor(name, || {
                let sum = SUM.with(|sum| {
                    *sum += 1;
                    *sum
                });
                if sum == 42 {
                    assert!(!IS_LAST.swap(true, Ordering::Relaxed));
                }
            });
        }
        program.at_end(|| assert!(IS_LAST.load(Ordering::Relaxed)));
    });
}

#[test]
fn threads_can_be_spawned_in_a_run() {
    let config = Config {
        cpus: 4,
        schedules: 2_000,
        ..Config::default()
    };
    check_with(config, |program| {
        program.actor("main", || {
            let sum = rumplab::sync::Arc::new(AtomicU64::new(0));
            let threads: Vec<_> = (1..=3)
                .map(|number| {
                    let sum = sum.clone();
                    rumplab::thread::spawn(move || sum.fetch_add(number, Ordering::Relaxed))
                })
                .collect();
            for thread in threads {
                thread.join().unwrap();
            }
            assert_eq!(sum.load(Ordering::Relaxed), 6);
        });
    });
}
