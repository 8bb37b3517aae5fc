//! How many schedules shuttle's schedulers need.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::thread;

use bench::cpu_seconds;
use shuttle::scheduler::{
    PctScheduler, RandomScheduler, Schedule, Scheduler, Task, TaskId, UrwRandomScheduler,
};

/// Shuttle's schedulers, in the order of the columns.
pub(crate) const NAMES: [&str; 3] = ["sh.random", "sh.pct", "sh.urw"];

/// Counts the executions of the scheduler inside it.
struct Counting<S> {
    inner: S,
    executions: Rc<Cell<u64>>,
}

impl<S: Scheduler> Scheduler for Counting<S> {
    fn new_execution(&mut self) -> Option<Schedule> {
        let schedule = self.inner.new_execution();
        if schedule.is_some() {
            self.executions.set(self.executions.get() + 1);
        }
        schedule
    }

    fn next_task(
        &mut self,
        runnable: &[&Task],
        current: Option<TaskId>,
        yielding: bool,
    ) -> Option<TaskId> {
        self.inner.next_task(runnable, current, yielding)
    }

    fn next_u64(&mut self) -> u64 {
        self.inner.next_u64()
    }
}

/// The number of the first of `most` executions that fails, from 1, and the processor time in seconds.
///
/// Each search has a thread of its own: a failure leaves shuttle's state of the thread behind.
pub(crate) fn first(
    scheduler: &'static str,
    seed: u64,
    most: u64,
    program: fn(),
) -> (Option<u64>, f64) {
    let search = move || {
        let before = cpu_seconds();
        let found = search(scheduler, seed, most as usize, program);
        (found, cpu_seconds() - before)
    };
    thread::spawn(search).join().expect("panics are caught")
}

fn search(scheduler: &str, seed: u64, most: usize, program: fn()) -> Option<u64> {
    match scheduler {
        "sh.random" => until(RandomScheduler::new_from_seed(seed, most), program),
        "sh.pct" => until(PctScheduler::new_from_seed(seed, 3, most), program),
        _ => until(UrwRandomScheduler::new_from_seed(seed, most), program),
    }
}

fn until(scheduler: impl Scheduler + 'static, program: fn()) -> Option<u64> {
    let executions = Rc::new(Cell::new(0));
    let counting = Counting {
        inner: scheduler,
        executions: executions.clone(),
    };
    let mut config = shuttle::Config::new();
    config.failure_persistence = shuttle::FailurePersistence::None;
    config.silence_warnings = true;
    let runner = shuttle::Runner::new(counting, config);
    match catch_unwind(AssertUnwindSafe(|| runner.run(program))) {
        Ok(_) => None,
        Err(_) => Some(executions.get()),
    }
}
