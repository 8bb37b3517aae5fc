//! The classic programs, as users of the peers would write them.

use std::cell::Cell;
use std::hint::black_box;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use bench::Work;
use shuttle::scheduler::{RandomScheduler, Schedule, Scheduler, Task, TaskId};

/// Counts the calls to the scheduler inside it.
struct Counting {
    inner: RandomScheduler,
    steps: Rc<Cell<u64>>,
    schedules: Rc<Cell<u64>>,
}

impl Scheduler for Counting {
    fn new_execution(&mut self) -> Option<Schedule> {
        let schedule = self.inner.new_execution();
        if schedule.is_some() {
            self.schedules.set(self.schedules.get() + 1);
        }
        schedule
    }

    fn next_task(
        &mut self,
        runnable: &[&Task],
        current: Option<TaskId>,
        yielding: bool,
    ) -> Option<TaskId> {
        self.steps.set(self.steps.get() + 1);
        self.inner.next_task(runnable, current, yielding)
    }

    fn next_u64(&mut self) -> u64 {
        self.inner.next_u64()
    }
}

fn shuttle_config() -> shuttle::Config {
    let mut config = shuttle::Config::new();
    config.failure_persistence = shuttle::FailurePersistence::None;
    config.silence_warnings = true;
    config
}

/// Runs `program` under shuttle's random strategy until `schedules` have begun. A schedule that fails ends the
/// runner, as it does for shuttle's users; the next schedule gets a new runner.
pub(crate) fn shuttle(schedules: u64, seed: &mut u64, program: fn()) -> Work {
    let steps = Rc::new(Cell::new(0));
    let begun = Rc::new(Cell::new(0));
    while begun.get() < schedules {
        *seed += 1;
        let left = (schedules - begun.get()) as usize;
        let scheduler = Counting {
            inner: RandomScheduler::new_from_seed(*seed, left),
            steps: steps.clone(),
            schedules: begun.clone(),
        };
        let runner = shuttle::Runner::new(scheduler, shuttle_config());
        // A failure is a panic; it counts as a schedule.
        let _failed = catch_unwind(AssertUnwindSafe(|| runner.run(program)));
    }
    Work {
        schedules: begun.get() as f64,
        steps: steps.get() as f64,
    }
}

/// Without the assertion: a failure is a panic, which would dominate the measurement. [`shuttle_asserted`] has it.
pub(crate) fn shuttle_lost_update() {
    black_box(shuttle_count());
}

pub(crate) fn shuttle_asserted() {
    assert_eq!(shuttle_count(), 2, "an update was lost");
}

fn shuttle_count() -> u32 {
    use shuttle::sync::Arc;
    use shuttle::sync::atomic::{AtomicU32, Ordering::Relaxed};
    let counter = Arc::new(AtomicU32::new(0));
    let threads = [(); 2].map(|()| {
        let counter = counter.clone();
        shuttle::thread::spawn(move || {
            let value = counter.load(Relaxed);
            counter.store(value + 1, Relaxed);
        })
    });
    for thread in threads {
        thread.join().expect("the thread adds and ends");
    }
    counter.load(Relaxed)
}

/// Two mutexes; `crossed`: in opposite orders.
fn shuttle_two_mutexes(crossed: bool) {
    use shuttle::sync::{Arc, Mutex};
    let locks = Arc::new((Mutex::new(()), Mutex::new(())));
    let threads = [false, true].map(|second| {
        let locks = locks.clone();
        shuttle::thread::spawn(move || {
            let (first, then) = if second && crossed {
                (&locks.1, &locks.0)
            } else {
                (&locks.0, &locks.1)
            };
            let _first = first.lock().expect("nobody panics with it");
            let _then = then.lock().expect("nobody panics with it");
        })
    });
    for thread in threads {
        thread.join().expect("the thread locks and ends");
    }
}

pub(crate) fn shuttle_abba() {
    shuttle_two_mutexes(true);
}

pub(crate) fn shuttle_abab() {
    shuttle_two_mutexes(false);
}

/// Explores `program` completely with loom, repeatedly, until `schedules` have been run.
pub(crate) fn loom(schedules: u64, program: fn()) -> Work {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
    let done = Arc::new(AtomicU64::new(0));
    while done.load(Relaxed) < schedules {
        let count = done.clone();
        // A failure is a panic, and ends the exploration.
        let _failed = catch_unwind(AssertUnwindSafe(|| {
            loom::model(move || {
                count.fetch_add(1, Relaxed);
                program();
            });
        }));
    }
    Work {
        schedules: done.load(Relaxed) as f64,
        steps: f64::NAN,
    }
}

/// Without the assertion: loom ends at the first failure, and would not be measured.
pub(crate) fn loom_lost_update() {
    use loom::sync::Arc;
    use loom::sync::atomic::{AtomicU32, Ordering::Relaxed};
    let counter = Arc::new(AtomicU32::new(0));
    let threads = [(); 2].map(|()| {
        let counter = counter.clone();
        loom::thread::spawn(move || {
            let value = counter.load(Relaxed);
            counter.store(value + 1, Relaxed);
        })
    });
    for thread in threads {
        thread.join().expect("the thread adds and ends");
    }
}

/// In order: loom ends at the first deadlock, and would not be measured.
pub(crate) fn loom_abab() {
    use loom::sync::{Arc, Mutex};
    let locks = Arc::new((Mutex::new(()), Mutex::new(())));
    let threads = [(); 2].map(|()| {
        let locks = locks.clone();
        loom::thread::spawn(move || {
            let (first, then) = (&locks.0, &locks.1);
            let _first = first.lock().expect("nobody panics with it");
            let _then = then.lock().expect("nobody panics with it");
        })
    });
    for thread in threads {
        thread.join().expect("the thread locks and ends");
    }
}
