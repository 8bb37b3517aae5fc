//! What the machine does with crates that it watches: their variables, their loops, and what the standard library does for them. Some
//! fail on purpose: `scripts/crates` looks at how.

use std::cell::{Cell, UnsafeCell};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Barrier, Condvar, Mutex, OnceLock, RwLock};
use std::thread;
use std::time::Duration;

use rumplab::{Config, check, check_with};

/// A cell without any order of its own.
struct Plain(UnsafeCell<u32>);

// SAFETY: it is not: that is what is tested. On the machine there is one thread of the host.
unsafe impl Sync for Plain {}

impl Plain {
    const fn new() -> Plain {
        Plain(UnsafeCell::new(0))
    }

    fn add(&self) {
        // SAFETY: as above.
        unsafe { *self.0.get() += 1 };
    }

    fn get(&self) -> u32 {
        // SAFETY: as above.
        unsafe { *self.0.get() }
    }
}

/// Orders two threads with the order that it is given.
fn hand_over(order: Ordering) {
    check(move |program| {
        let shared = program.share((Plain::new(), AtomicBool::new(false)));
        program.actor("giver", move || {
            shared.0.add();
            shared.1.store(true, order);
        });
        program.actor("taker", move || {
            if shared.1.load(Ordering::Acquire) {
                assert_eq!(shared.0.get(), 1);
            }
        });
    });
}

#[test]
fn a_release_orders() {
    hand_over(Ordering::Release);
}

#[test]
#[ignore = "it fails on purpose: plain accesses are checked, with a nightly toolchain"]
fn a_relaxed_store_does_not() {
    hand_over(Ordering::Relaxed);
}

#[test]
#[ignore = "it fails on purpose: atomic accesses are steps"]
fn an_update_is_lost() {
    check(|program| {
        let word = program.share(AtomicU32::new(0));
        for name in ["one", "other"] {
            program.actor(name, move || {
                let value = word.load(Ordering::SeqCst);
                word.store(value + 1, Ordering::SeqCst);
            });
        }
        program.at_end(move || assert_eq!(word.load(Ordering::SeqCst), 2));
    });
}

#[test]
#[ignore = "it fails on purpose: static variables are checked, with a nightly toolchain"]
fn a_static_races() {
    static COUNT: Plain = Plain::new();
    check(|program| {
        for name in ["one", "other"] {
            program.actor(name, || COUNT.add());
        }
    });
}

static COUNTS: [AtomicU32; 2] = [AtomicU32::new(5), AtomicU32::new(0)];

/// Each run begins with the initial values of static variables, and the host gets its own back.
fn statics_begin_anew() {
    COUNTS[1].store(9, Ordering::Relaxed);
    let config = Config {
        schedules: 200,
        ..Config::default()
    };
    check_with(config, |program| {
        for name in ["one", "other"] {
            program.actor(name, || {
                COUNTS[0].fetch_add(1, Ordering::Relaxed);
                assert_eq!(COUNTS[1].load(Ordering::Relaxed), 0);
            });
        }
        program.at_end(|| assert_eq!(COUNTS[0].swap(0, Ordering::Relaxed), 7));
    });
    assert_eq!(
        COUNTS.each_ref().map(|count| count.load(Ordering::Relaxed)),
        [5, 9]
    );
}

#[test]
fn static_variables_begin_anew() {
    statics_begin_anew();
}

/// Two checks at once in one process: the variables of a crate belong to one run at a time.
#[test]
fn checks_on_two_threads_of_the_host_do_not_meet() {
    static CELLS: [AtomicU32; 2] = [AtomicU32::new(0), AtomicU32::new(0)];
    let both = || {
        let config = Config {
            schedules: 3_000,
            ..Config::default()
        };
        check_with(config, |program| {
            for name in ["one", "other"] {
                program.actor(name, || {
                    for cell in &CELLS {
                        cell.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            program.at_end(|| {
                CELLS
                    .iter()
                    .for_each(|cell| assert_eq!(cell.load(Ordering::Relaxed), 2))
            });
        });
    };
    thread::scope(|scope| {
        let threads = [(); 2].map(|()| scope.spawn(both));
        threads
            .map(|thread| thread.join().is_ok())
            .iter()
            .for_each(|held| assert!(held));
    });
}

/// A variable with a destructor, which counts.
struct Counted(Cell<u32>);

static DROPS: AtomicU32 = AtomicU32::new(0);

impl Drop for Counted {
    fn drop(&mut self) {
        DROPS.fetch_add(self.0.get(), Ordering::Relaxed);
    }
}

thread_local! {
    static COUNT: Cell<u32> = const { Cell::new(10) };
    static COUNTED: Counted = const { Counted(Cell::new(0)) };
    static LAZY: Box<Cell<u32>> = Box::new(Cell::new(1));
}

/// Each thread of a run has its own thread-local variables, in each run anew, and drops them when it ends.
#[test]
fn thread_local_variables_are_a_threads_own() {
    COUNT.set(1);
    let config = Config {
        schedules: 500,
        ..Config::default()
    };
    check_with(config, |program| {
        let step = program.share(AtomicU32::new(0));
        for name in ["one", "two", "three"] {
            program.actor(name, move || {
                for count in 10..13 {
                    assert_eq!(COUNT.replace(count + 1), count);
                    step.fetch_add(1, Ordering::Relaxed);
                    COUNTED.with(|counted| counted.0.set(counted.0.get() + 1));
                    LAZY.with(|lazy| {
                        assert_eq!(lazy.replace(count + 1), if count == 10 { 1 } else { count })
                    });
                }
            });
        }
        program.at_end(|| assert_eq!(DROPS.load(Ordering::Relaxed), 9));
    });
    assert_eq!(COUNT.get(), 1);
}

/// A loop that waits without saying so gives way, and so does one that yields.
#[test]
fn loops_that_wait_give_way() {
    check(|program| {
        let turn = program.share(AtomicU32::new(0));
        program.actor("waits", move || {
            while turn.load(Ordering::Acquire) == 0 {}
            turn.store(2, Ordering::Release);
        });
        program.actor("yields", move || {
            turn.store(1, Ordering::Release);
            while turn.load(Ordering::Acquire) != 2 {
                thread::yield_now();
            }
        });
    });
}

#[test]
#[ignore = "it fails on purpose: it waits for ever"]
fn a_loop_that_nobody_ends_is_told() {
    check(|program| {
        let turn = program.share(AtomicU32::new(0));
        program.actor("waits", move || while turn.load(Ordering::Acquire) == 0 {});
    });
}

/// Locks of the standard library sleep and wake on the machine, and what they order is no race.
#[test]
fn locks_of_the_standard_library_order() {
    check(|program| {
        let shared = program.share((Mutex::new(0), Condvar::new(), RwLock::new(0), Plain::new()));
        let step = program.share(AtomicU32::new(0));
        let met = program.share((Barrier::new(2), Plain::new()));
        for name in ["one", "other"] {
            program.actor(name, move || {
                if met.0.wait().is_leader() {
                    met.1.add();
                }
                met.0.wait();
                assert_eq!(met.1.get(), 1);
                let (count, changed, total, plain) = &*shared;
                let mut count = count.lock().unwrap();
                step.fetch_add(1, Ordering::Relaxed);
                *count += 1;
                plain.add();
                changed.notify_all();
                drop(changed.wait_while(count, |count| *count < 2).unwrap());
                *total.write().unwrap() += 1;
                step.fetch_add(1, Ordering::Relaxed);
                assert!(*total.read().unwrap() > 0);
            });
        }
        program.at_end(move || assert_eq!((*shared.2.read().unwrap(), shared.3.get()), (2, 2)));
    });
}

/// Makes one actor of this.
fn alone(work: fn()) {
    check(move |program| program.actor("alone", work));
}

#[test]
#[ignore = "it fails on purpose: the thread of the host would sleep"]
fn a_sleep_is_told() {
    alone(|| thread::sleep(Duration::from_secs(1000)));
}

#[test]
#[ignore = "it fails on purpose: nobody could wake the thread of the host"]
fn a_park_is_told() {
    alone(thread::park);
}

#[test]
#[ignore = "it fails on purpose: the thread would be none of the machine's"]
fn a_spawn_is_told() {
    alone(|| drop(thread::spawn(|| {})));
}

/// What the standard library's `OnceLock` orders is no race, although a part of it is not watched.
#[test]
fn a_once_lock_orders() {
    static MADE: OnceLock<Plain> = OnceLock::new();
    check(|program| {
        for name in ["one", "other"] {
            program.actor(name, || {
                let made = MADE.get_or_init(|| {
                    let made = Plain::new();
                    made.add();
                    made
                });
                assert_eq!(made.get(), 1);
            });
        }
    });
}
