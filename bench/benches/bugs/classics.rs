//! Small programs with a bug, in one text for this laboratory and for shuttle: both have the names of `std::sync` and `std::thread`.
//!
//! They are of the kinds that the literature compares schedulers with (SCTBench: Thomson, Donaldson, Betts, 2014), written anew.

/// A program, and how many schedules it is given at most.
pub(crate) struct Classic {
    pub(crate) name: &'static str,
    pub(crate) ours: fn(),
    pub(crate) theirs: fn(),
}

/// Makes a table of the programs, each for both.
macro_rules! table {
    ($($name:literal: $function:ident $(($number:literal))?;)*) => {
        pub(crate) static CLASSICS: &[Classic] = &[$(Classic {
            name: $name,
            ours: || ours::$function($($number)?),
            theirs: || theirs::$function($($number)?),
        },)*];
    };
}

table! {
    "lost update, 2 threads": lost_update(2);
    "lost update, 4 threads": lost_update(4);
    "bank account": account;
    "abba": abba;
    "philosophers, 3": philosophers(3);
    "philosophers, 5": philosophers(5);
    "philosophers, 7": philosophers(7);
    "reorder, 2 and 1": reorder(2);
    "reorder, 4 and 1": reorder(4);
    "reorder, 7 and 1": reorder(7);
    "two-stage lock": two_stages;
    "wrong lock, 3": wrong_lock(3);
    "lazy sum": lazy_sum;
    "token ring": token_ring;
    "check, then act": check_then_act;
    "lost wake-up": lost_wakeup;
    "fibonacci race, 3": fibonacci(3);
    "stopped driver": stopped_driver;
    "uneven threads": uneven;
    "stack, aba": aba;
    "one signal for two": one_signal;
    "read, then upgrade": upgrade;
    "closed queue": closed_queue;
    "publication in two words": two_words;
}

/// The programs, with the threads and locks of `$lab`.
macro_rules! programs {
    ($module:ident, $lab:ident) => {
        mod $module {
            use $lab::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering::SeqCst};
            use $lab::sync::{Arc, Condvar, Mutex, RwLock, mpsc};
            use $lab::thread::{self, JoinHandle};

            fn join(threads: Vec<JoinHandle<()>>) {
                for thread in threads {
                    thread.join().expect("no thread panics");
                }
            }

            pub(super) fn lost_update(threads: u32) {
                let counter = Arc::new(AtomicU32::new(0));
                let each = |_| {
                    let counter = counter.clone();
                    thread::spawn(move || {
                        let value = counter.load(SeqCst);
                        counter.store(value + 1, SeqCst);
                    })
                };
                join((0..threads).map(each).collect());
                assert_eq!(counter.load(SeqCst), threads, "an update was lost");
            }

            /// A withdrawal and a payment lock the account twice each; a third thread looks at the end.
            pub(super) fn account() {
                let balance = Arc::new(Mutex::new(100));
                let change = |by: i32| {
                    let balance = balance.clone();
                    thread::spawn(move || {
                        let seen = *balance.lock().unwrap();
                        *balance.lock().unwrap() = seen + by;
                    })
                };
                join(vec![change(-30), change(50)]);
                assert_eq!(*balance.lock().unwrap(), 120, "money is gone");
            }

            pub(super) fn abba() {
                let locks = Arc::new((Mutex::new(()), Mutex::new(())));
                let first = locks.clone();
                let second = locks.clone();
                join(vec![
                    thread::spawn(move || {
                        let _a = first.0.lock().unwrap();
                        let _b = first.1.lock().unwrap();
                    }),
                    thread::spawn(move || {
                        let _b = second.1.lock().unwrap();
                        let _a = second.0.lock().unwrap();
                    }),
                ]);
            }

            pub(super) fn philosophers(seats: usize) {
                let forks: Arc<Vec<Mutex<()>>> =
                    Arc::new((0..seats).map(|_| Mutex::new(())).collect());
                let each = |seat: usize| {
                    let forks = forks.clone();
                    thread::spawn(move || {
                        let _left = forks[seat].lock().unwrap();
                        let _right = forks[(seat + 1) % seats].lock().unwrap();
                    })
                };
                join((0..seats).map(each).collect());
            }

            /// Some threads set two words one after the other; one looks whether it sees only the first.
            pub(super) fn reorder(setters: u32) {
                let words = Arc::new((AtomicU32::new(0), AtomicU32::new(0)));
                let set = |_| {
                    let words = words.clone();
                    thread::spawn(move || {
                        words.0.store(1, SeqCst);
                        words.1.store(1, SeqCst);
                    })
                };
                let mut threads: Vec<_> = (0..setters).map(set).collect();
                let looked = words.clone();
                threads.push(thread::spawn(move || {
                    let first = looked.0.load(SeqCst);
                    let second = looked.1.load(SeqCst);
                    assert_eq!(first, second, "half of it is there");
                }));
                join(threads);
            }

            /// The second word follows the first under another lock, and a reader takes the locks one after the other.
            pub(super) fn two_stages() {
                let words = Arc::new((Mutex::new(0), Mutex::new(0)));
                let write = |_| {
                    let words = words.clone();
                    thread::spawn(move || {
                        *words.0.lock().unwrap() = 1;
                        *words.1.lock().unwrap() = 2;
                    })
                };
                let read = |_| {
                    let words = words.clone();
                    thread::spawn(move || {
                        let first = *words.0.lock().unwrap();
                        if first == 0 {
                            return;
                        }
                        let second = *words.1.lock().unwrap();
                        assert_eq!(second, first + 1, "the second stage is not there yet");
                    })
                };
                join(vec![write(0), read(0), write(1), read(1)]);
            }

            /// One thread takes another lock than the others.
            pub(super) fn wrong_lock(others: u32) {
                let right = Arc::new(Mutex::new(()));
                let wrong = Arc::new(Mutex::new(()));
                let word = Arc::new(AtomicU32::new(0));
                let with = |lock: &Arc<Mutex<()>>| {
                    let (lock, word) = (lock.clone(), word.clone());
                    thread::spawn(move || {
                        let _held = lock.lock().unwrap();
                        let before = word.load(SeqCst);
                        word.store(before + 1, SeqCst);
                        assert_eq!(word.load(SeqCst), before + 1, "somebody else was here");
                    })
                };
                let mut threads = vec![with(&wrong)];
                threads.extend((0..others).map(|_| with(&right)));
                join(threads);
            }

            /// Three threads add under a lock; the last must not see the sum of all.
            pub(super) fn lazy_sum() {
                let sum = Arc::new(Mutex::new(0));
                let add = |by: u32| {
                    let sum = sum.clone();
                    thread::spawn(move || *sum.lock().unwrap() += by)
                };
                let looked = sum.clone();
                join(vec![
                    add(1),
                    add(2),
                    thread::spawn(move || {
                        assert!(*looked.lock().unwrap() < 3, "both came before");
                    }),
                ]);
            }

            /// Each of four threads passes a token on if it is theirs; only one order brings it around.
            pub(super) fn token_ring() {
                let token = Arc::new(AtomicU32::new(3));
                let pass = |from: u32, to: u32| {
                    let token = token.clone();
                    thread::spawn(move || {
                        if token.load(SeqCst) == from {
                            token.store(to, SeqCst);
                        }
                    })
                };
                join(vec![pass(0, 4), pass(1, 0), pass(2, 1), pass(3, 2)]);
                assert_ne!(token.load(SeqCst), 4, "the token went all the way");
            }

            /// Two consumers look whether there is something, and then take it.
            pub(super) fn check_then_act() {
                let items = Arc::new(Mutex::new(vec![1]));
                let take = |_| {
                    let items = items.clone();
                    thread::spawn(move || {
                        let any = !items.lock().unwrap().is_empty();
                        if any {
                            items.lock().unwrap().pop().expect("it was there");
                        }
                    })
                };
                join((0..2).map(take).collect());
            }

            /// The condition is looked at before the lock that the waker holds.
            pub(super) fn lost_wakeup() {
                let ready = Arc::new(AtomicBool::new(false));
                let wait = Arc::new((Mutex::new(()), Condvar::new()));
                let (seen, waited) = (ready.clone(), wait.clone());
                join(vec![
                    thread::spawn(move || {
                        if !seen.load(SeqCst) {
                            let held = waited.0.lock().unwrap();
                            drop(waited.1.wait(held).unwrap());
                        }
                    }),
                    thread::spawn(move || {
                        ready.store(true, SeqCst);
                        let _held = wait.0.lock().unwrap();
                        wait.1.notify_one();
                    }),
                ]);
            }

            /// Two threads add each other's words in turn; only strict alternation reaches the highest sum.
            pub(super) fn fibonacci(rounds: u32) {
                let words = Arc::new((AtomicU32::new(1), AtomicU32::new(1)));
                let (left, right) = (words.clone(), words.clone());
                join(vec![
                    thread::spawn(move || {
                        for _ in 0..rounds {
                            let sum = left.0.load(SeqCst) + left.1.load(SeqCst);
                            left.0.store(sum, SeqCst);
                        }
                    }),
                    thread::spawn(move || {
                        for _ in 0..rounds {
                            let sum = right.1.load(SeqCst) + right.0.load(SeqCst);
                            right.1.store(sum, SeqCst);
                        }
                    }),
                ]);
                let (mut a, mut b) = (1, 1);
                for _ in 0..rounds {
                    a += b;
                    b += a;
                }
                let most = words.0.load(SeqCst).max(words.1.load(SeqCst));
                assert!(most < b, "the highest sum was reached");
            }

            /// A driver's worker looks whether it may begin, then counts itself; the stopper trusts the count.
            pub(super) fn stopped_driver() {
                let stopping = Arc::new(AtomicBool::new(false));
                let pending = Arc::new(AtomicU32::new(1));
                let stopped = Arc::new(AtomicBool::new(false));
                let (asked, counted, gone) = (stopping.clone(), pending.clone(), stopped.clone());
                join(vec![
                    thread::spawn(move || {
                        if asked.load(SeqCst) {
                            return;
                        }
                        counted.fetch_add(1, SeqCst);
                        assert!(!gone.load(SeqCst), "it works after the stop");
                        counted.fetch_sub(1, SeqCst);
                    }),
                    thread::spawn(move || {
                        stopping.store(true, SeqCst);
                        if pending.fetch_sub(1, SeqCst) == 1 {
                            stopped.store(true, SeqCst);
                        }
                    }),
                ]);
            }

            /// A short thread meets a long one in one of its many rounds.
            pub(super) fn uneven() {
                let turn = Arc::new(AtomicU32::new(0));
                let wanted = Arc::new(AtomicBool::new(false));
                let (counted, seen) = (turn.clone(), wanted.clone());
                join(vec![
                    thread::spawn(move || {
                        for round in 1..=40 {
                            counted.store(round, SeqCst);
                            if round == 30 {
                                assert!(!seen.load(SeqCst), "it came in this very round");
                            }
                        }
                    }),
                    thread::spawn(move || {
                        if turn.load(SeqCst) == 29 {
                            wanted.store(true, SeqCst);
                        }
                    }),
                ]);
            }

            /// A stack of indices whose pop trusts that an equal top is the same top.
            pub(super) fn aba() {
                const NONE: usize = 9;
                let top = Arc::new(AtomicUsize::new(0));
                // 0 is on top of 1.
                let next = Arc::new([AtomicUsize::new(1), AtomicUsize::new(NONE)]);
                let taken = Arc::new([AtomicU32::new(0), AtomicU32::new(0)]);
                let (top1, next1, taken1) = (top.clone(), next.clone(), taken.clone());
                join(vec![
                    thread::spawn(move || {
                        let head = top1.load(SeqCst);
                        if head == NONE {
                            return;
                        }
                        let then = next1[head].load(SeqCst);
                        if top1.compare_exchange(head, then, SeqCst, SeqCst).is_ok() {
                            taken1[head].fetch_add(1, SeqCst);
                        }
                    }),
                    thread::spawn(move || {
                        // Pops 0 and 1, keeps 1, and puts 0 back.
                        if top.compare_exchange(0, 1, SeqCst, SeqCst).is_err() {
                            return;
                        }
                        if top.compare_exchange(1, NONE, SeqCst, SeqCst).is_err() {
                            return;
                        }
                        taken[1].fetch_add(1, SeqCst);
                        next[0].store(NONE, SeqCst);
                        top.store(0, SeqCst);
                        if top.load(SeqCst) == 1 {
                            panic!("1 is on the stack, and it was taken");
                        }
                    }),
                ]);
            }

            /// Two wait for one condition, and one of them is told.
            pub(super) fn one_signal() {
                let state = Arc::new((Mutex::new(false), Condvar::new()));
                let wait = |_| {
                    let state = state.clone();
                    thread::spawn(move || {
                        let mut open = state.0.lock().unwrap();
                        while !*open {
                            open = state.1.wait(open).unwrap();
                        }
                    })
                };
                let mut threads: Vec<_> = (0..2).map(wait).collect();
                threads.push(thread::spawn(move || {
                    *state.0.lock().unwrap() = true;
                    state.1.notify_one();
                }));
                join(threads);
            }

            /// What was read under the read lock is written under the write lock.
            pub(super) fn upgrade() {
                let number = Arc::new(RwLock::new(0));
                let count = |_| {
                    let number = number.clone();
                    thread::spawn(move || {
                        let seen = *number.read().unwrap();
                        *number.write().unwrap() = seen + 1;
                    })
                };
                join((0..2).map(count).collect());
                assert_eq!(*number.read().unwrap(), 2, "a number was given twice");
            }

            /// A sender looks whether the queue is open; it is closed before the item arrives.
            pub(super) fn closed_queue() {
                let (sender, receiver) = mpsc::channel();
                let open = Arc::new(AtomicBool::new(true));
                let seen = open.clone();
                join(vec![
                    thread::spawn(move || {
                        for item in 0..2 {
                            if seen.load(SeqCst) {
                                sender.send(item).expect("the queue is open");
                            }
                        }
                    }),
                    thread::spawn(move || {
                        let _first: Result<u32, _> = receiver.recv();
                        open.store(false, SeqCst);
                        drop(receiver);
                    }),
                ]);
            }

            /// A writer raises a version, writes two words, raises it again; the reader looks at the version once.
            pub(super) fn two_words() {
                let version = Arc::new(AtomicU32::new(0));
                let words = Arc::new([AtomicU32::new(0), AtomicU32::new(0)]);
                let (raised, written) = (version.clone(), words.clone());
                join(vec![
                    thread::spawn(move || {
                        for value in 1..=3 {
                            raised.fetch_add(1, SeqCst);
                            written[0].store(value, SeqCst);
                            written[1].store(value, SeqCst);
                            raised.fetch_add(1, SeqCst);
                        }
                    }),
                    thread::spawn(move || {
                        if version.load(SeqCst) == 4 {
                            let first = words[0].load(SeqCst);
                            let second = words[1].load(SeqCst);
                            assert_eq!(first, second, "torn");
                        }
                    }),
                ]);
            }
        }
    };
}

programs!(ours, rumplab);
programs!(theirs, shuttle);
