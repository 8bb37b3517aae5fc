//! The modules in place of the standard library's: they do as it does, and correct programs are never called wrong.

use std::panic::catch_unwind;
use std::time::Duration;

use rumplab::cell::UnsafeCell;
use rumplab::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicUsize, Ordering::*, fence};
use rumplab::sync::{
    Arc, Barrier, LazyLock, Mutex, Once, OnceLock, RwLock, TryLockError, Weak, mpsc,
};
use rumplab::{Config, check_with, thread};

/// Checks a program whose only actor is `main`: it spawns the others.
#[track_caller]
fn program(main: fn()) {
    let config = Config {
        cpus: 3,
        schedules: 1_000,
        ..Config::default()
    };
    check_with(config, move |program| program.actor("main", main));
}

/// The message with which it fails.
fn failure(main: fn()) -> String {
    let panic = catch_unwind(|| program(main)).expect_err("it is wrong");
    *panic.downcast::<String>().expect("a message")
}

#[test]
fn atomics() {
    program(|| {
        let count = Arc::new(AtomicU32::new(1));
        let other = Arc::clone(&count);
        let thread =
            thread::spawn(move || other.fetch_update(AcqRel, Acquire, |n| n.checked_add(1)));
        let mine = count.fetch_add(1, Relaxed);
        let others = thread.join().unwrap().unwrap();
        assert_eq!(mine + others, 3);
        let mut count = Arc::try_unwrap(count).unwrap();
        *count.get_mut() += 1;
        assert_eq!(count.into_inner(), 4);
        let mut word = 5;
        let pointer = AtomicPtr::new(&raw mut word);
        assert_eq!(pointer.load(Relaxed), &raw mut word);
        let was = pointer.compare_exchange(std::ptr::null_mut(), &raw mut word, Relaxed, Relaxed);
        assert_eq!(was, Err(&raw mut word));
        assert!(!AtomicBool::new(false).fetch_not(Relaxed));
        assert_eq!(format!("{:?}", AtomicUsize::from(3)), "3");
    });
}

#[test]
fn fences_publish() {
    program(|| {
        let shared = Arc::new((UnsafeCell::new(0), AtomicBool::new(false)));
        let other = Arc::clone(&shared);
        // SAFETY: the flag orders the two accesses.
        let writes = move || other.0.with_mut(|data| unsafe { *data = 7 });
        struct Sends<F>(F);
        // SAFETY: as above.
        unsafe impl<F> Send for Sends<F> {}
        let (writes, flag) = (Sends(writes), Arc::clone(&shared));
        let flag = Sends(flag);
        let writer = thread::spawn(move || {
            let (writes, flag) = (writes, flag);
            (writes.0)();
            fence(Release);
            flag.0.1.store(true, Relaxed);
        });
        if shared.1.load(Relaxed) {
            fence(Acquire);
            // SAFETY: as above.
            assert_eq!(shared.0.with(|data| unsafe { *data }), 7);
        }
        writer.join().unwrap();
    });
}

#[test]
fn rwlocks() {
    program(|| {
        let lock = Arc::new(RwLock::new((0, 0)));
        let other = Arc::clone(&lock);
        let writer = thread::spawn(move || {
            let mut pair = other.write().unwrap();
            pair.0 += 1;
            pair.1 += 1;
        });
        let pair = lock.read().unwrap();
        assert_eq!(pair.0, pair.1);
        assert!(matches!(lock.try_write(), Err(TryLockError::WouldBlock)));
        drop(pair);
        writer.join().unwrap();
        assert_eq!(*lock.try_read().unwrap(), (1, 1));
    });
}

static ONCE: Once = Once::new();
static CALLS: AtomicU32 = AtomicU32::new(0);
static WORDS: LazyLock<Vec<u32>> = LazyLock::new(|| {
    CALLS.fetch_add(1, Relaxed);
    vec![1, 2]
});
static NAME: OnceLock<String> = OnceLock::new();

#[test]
fn what_is_made_once() {
    program(|| {
        let other = thread::spawn(|| {
            ONCE.call_once(|| {
                CALLS.fetch_add(10, Relaxed);
            });
            assert_eq!(WORDS.len(), 2);
            NAME.set("other".to_owned()).is_ok()
        });
        ONCE.call_once(|| {
            CALLS.fetch_add(10, Relaxed);
        });
        assert_eq!(WORDS[1], 2);
        let name = NAME.get_or_init(|| "main".to_owned());
        assert_eq!(name == "other", other.join().unwrap());
        assert_eq!(CALLS.load(Relaxed), 11);
    });
}

#[test]
fn barriers() {
    program(|| {
        let shared = Arc::new((Barrier::new(2), AtomicU32::new(0)));
        let other = Arc::clone(&shared);
        let thread = thread::spawn(move || {
            other.1.fetch_add(1, Relaxed);
            other.0.wait().is_leader()
        });
        shared.1.fetch_add(1, Relaxed);
        let leads = shared.0.wait().is_leader();
        assert_eq!(shared.1.load(Relaxed), 2);
        assert_ne!(leads, thread.join().unwrap());
    });
}

#[test]
fn channels() {
    program(|| {
        let (sender, receiver) = mpsc::channel();
        let other = sender.clone();
        let thread = thread::spawn(move || other.send(1).unwrap());
        sender.send(2).unwrap();
        drop(sender);
        let mut words: Vec<u32> = receiver.iter().collect();
        words.sort_unstable();
        assert_eq!(words, [1, 2]);
        thread.join().unwrap();

        let (sender, receiver) = mpsc::sync_channel(0);
        let taken = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&taken);
        let thread = thread::spawn(move || {
            seen.store(true, Relaxed);
            receiver.recv().unwrap()
        });
        sender.send(5).unwrap();
        assert!(taken.load(Relaxed), "it is handed over, not left");
        assert_eq!(thread.join().unwrap(), 5);
        assert!(sender.send(6).is_err());
    });
}

#[test]
fn arcs() {
    struct Tells(Arc<AtomicU32>);
    impl Drop for Tells {
        fn drop(&mut self) {
            self.0.fetch_add(1, Relaxed);
        }
    }
    program(|| {
        let drops = Arc::new(AtomicU32::new(0));
        let one = Arc::new(Tells(Arc::clone(&drops)));
        let weak: Weak<Tells> = Arc::downgrade(&one);
        let other = Arc::clone(&one);
        let thread = thread::spawn(move || drop(other));
        let upgraded = weak.upgrade().is_some();
        assert!(upgraded, "a handle is left");
        drop(one);
        thread.join().unwrap();
        assert!(weak.upgrade().is_none());
        assert_eq!(drops.load(Relaxed), 1);
        let raw = Arc::into_raw(Arc::new(3));
        // SAFETY: it is from `into_raw`.
        assert_eq!(*unsafe { Arc::from_raw(raw) }, 3);
        let cyclic = Arc::new_cyclic(|weak: &Weak<u32>| {
            assert!(weak.upgrade().is_none());
            4
        });
        assert_eq!(
            (Arc::strong_count(&cyclic), Arc::weak_count(&cyclic)),
            (1, 0)
        );
        let mut shared = Arc::clone(&cyclic);
        *Arc::make_mut(&mut shared) += 1;
        assert_eq!((*cyclic, *shared), (4, 5));
        let text: Arc<dyn std::fmt::Display + Send + Sync> = Arc::from_std(std::sync::Arc::new(6));
        assert_eq!(text.to_string(), "6");
    });
}

/// The last handle drops what another thread has written before it dropped its own: the count orders it.
#[test]
fn the_last_handle_is_ordered_after_all_others() {
    struct Data(UnsafeCell<u32>);
    // SAFETY: each test accesses it in one thread at a time.
    unsafe impl Sync for Data {}
    impl Drop for Data {
        fn drop(&mut self) {
            // SAFETY: nobody else has it.
            self.0.with_mut(|data| unsafe { *data = 9 });
        }
    }
    program(|| {
        let data = Arc::new(Data(UnsafeCell::new(0)));
        let other = Arc::clone(&data);
        let thread = thread::spawn(move || {
            // SAFETY: the other thread only drops its handle.
            other.0.with_mut(|data| unsafe { *data = 1 });
        });
        drop(data);
        thread.join().unwrap();
    });
}

#[test]
fn threads_park_sleep_and_have_names() {
    program(|| {
        let main = thread::current();
        let flag = Arc::new(AtomicBool::new(false));
        let set = Arc::clone(&flag);
        let builder = thread::Builder::new().name("worker".to_owned());
        let worker = builder
            .spawn(move || {
                assert_eq!(thread::current().name(), Some("worker"));
                thread::sleep(Duration::from_millis(15));
                set.store(true, Release);
                main.unpark();
                thread::yield_now();
            })
            .unwrap();
        while !flag.load(Acquire) {
            thread::park();
        }
        worker.join().unwrap();
        thread::park_timeout(Duration::from_millis(1));
    });
}

#[test]
fn scopes_lend() {
    program(|| {
        let mut words = [1, 2];
        let sum = Mutex::new(0);
        let (one, other) = words.split_at_mut(1);
        let result = thread::scope(|scope| {
            scope.spawn(|| {
                one[0] += 10;
                *sum.lock().unwrap() += 1;
            });
            let other = scope.spawn(|| {
                other[0] += 20;
                "done"
            });
            *sum.lock().unwrap() += 1;
            other.join().unwrap()
        });
        assert_eq!((result, words, *sum.lock().unwrap()), ("done", [11, 22], 2));
    });
}

#[test]
fn a_race_in_a_cell_is_found() {
    let message = failure(|| {
        struct Data(UnsafeCell<u32>);
        // SAFETY: none: this is the bug.
        unsafe impl Sync for Data {}
        static DATA: Data = Data(UnsafeCell::new(0));
        // SAFETY: as above.
        let add = || DATA.0.with_mut(|data| unsafe { *data += 1 });
        let thread = thread::spawn(add);
        add();
        thread.join().unwrap();
    });
    assert!(message.starts_with("data-race"), "{message}");
}

#[test]
fn a_lock_that_is_taken_twice_is_told() {
    let message = failure(|| {
        let lock = Mutex::new(());
        let _held = lock.lock().unwrap();
        drop(lock.lock().unwrap());
    });
    assert!(message.contains("mutex"), "{message}");
}

#[test]
fn a_thread_that_never_ends_is_a_deadlock() {
    let message = failure(|| {
        let (sender, receiver) = mpsc::channel::<()>();
        thread::spawn(move || receiver.recv());
        std::mem::forget(sender);
    });
    assert!(message.starts_with("deadlock"), "{message}");
}

#[test]
fn the_types_can_be_made_and_dropped_outside_of_a_run() {
    let arc = Arc::new(Mutex::new(3));
    drop(Arc::clone(&arc));
    assert_eq!(
        Arc::try_unwrap(arc)
            .map(|lock| lock.into_inner().unwrap())
            .ok(),
        Some(3)
    );
    drop(mpsc::channel::<u32>());
    assert_eq!(AtomicU32::new(4).into_inner(), 4);
}
