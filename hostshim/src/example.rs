//! Runs a function as a thread of a simulated kernel: for the examples in the documentation of the kernel.
//!
//! [`run`] boots a kernel on a simulated machine with two CPUs and lets it run under [`SCHEDULES`] schedules. Every check of the machine is
//! on: a race, a leak, a broken contract or a failed `assert!` in any of the schedules makes the example fail.
//!
//! # Examples
//!
//! ```
//! use hostshim::example::{run, thread};
//! use kmod::kern::kthread::kthread_join;
//! use kmod::kern::lwp::Arg;
//! use kmod::mem::{AtomicU32, Relaxed};
//! use kmod::scenario::classics::shared;
//!
//! run(|| {
//!     let counter = AtomicU32::new(0);
//!     let other = thread(|counter| { shared::<AtomicU32>(counter).fetch_add(1, Relaxed); }, Arg::of(&counter));
//!     counter.fetch_add(1, Relaxed);
//!     kthread_join(other);
//!     assert_eq!(counter.load(Relaxed), 2);
//! });
//! ```

use std::cell::Cell;

use kmod::kern::kthread::{Options, kthread_create};
use kmod::kern::lwp::{Arg, Lwp, curlwp};
use kmod::kernel::Kernel;
use kmod::scenario::{FIXED, Kind, Scenario, actor};

use crate::hunt::{Budget, Hunt, Watch};
use crate::schedule::Allocations;

/// Schedules under which an example runs.
pub const SCHEDULES: u64 = 200;

static SCENARIO: Scenario = Scenario {
    name: "example",
    summary: "an example of the documentation",
    about: "Runs one function as a thread of the kernel.",
    variants: &[FIXED],
    min_cpus: 1,
    default_cpus: 2,
    kind: Kind::Sound,
    configure: |_| {},
    setup,
    verify: |_| {},
    teardown: |_| {},
};

thread_local! {
    /// The function that the kernel of this host thread is to run.
    static EXAMPLE: Cell<fn()> = const { Cell::new(|| {}) };
}

fn setup(kernel: &'static Kernel) {
    actor(kernel, "example", 0, |_| EXAMPLE.get()(), Arg::NONE);
}

/// Runs `example` as a thread of a kernel, under [`SCHEDULES`] schedules.
///
/// # Panics
///
/// If one of the schedules fails.
pub fn run(example: fn()) {
    EXAMPLE.set(example);
    let hunt = Hunt {
        // An example says what a function is for, and not what to do without memory.
        allocations: Some(Allocations::Never),
        ..Hunt::new(&SCENARIO, &FIXED, Budget::Schedules(SCHEDULES))
    };
    match hunt.run(&Watch::default()) {
        Err(failure) => panic!("the kernel does not boot: {failure}"),
        Ok(hunted) => {
            if let Some(found) = hunted.found {
                panic!("schedule {} fails: {}", found.run + 1, found.failure);
            }
        }
    }
}

/// Starts a thread on the other CPU, which runs `func(arg)` and is to be joined with
/// [`kthread_join`](kmod::kern::kthread::kthread_join).
///
/// # Panics
///
/// If the kernel has no memory for it.
pub fn thread(func: fn(Arg), arg: Arg) -> &'static Lwp {
    let options = Options {
        begin_on: 1,
        must_join: true,
        ..Options::default()
    };
    let kernel = curlwp().kernel();
    kthread_create(kernel, &options, func, arg, format_args!("other")).expect("memory for a thread")
}

#[cfg(test)]
mod tests {
    use std::panic::catch_unwind;

    use kmod::kern::kthread::kthread_join;
    use kmod::kern::lwp::Arg;
    use kmod::kern::mutex::Kmutex;
    use kmod::kern::spl::Ipl;
    use kmod::mem::{AtomicU32, Relaxed};
    use kmod::scenario::classics::shared;

    use super::{run, thread};

    fn message(example: fn()) -> String {
        let panic = catch_unwind(|| run(example)).expect_err("the example is wrong");
        *panic.downcast::<String>().expect("a message")
    }

    #[test]
    fn a_wrong_example_fails() {
        let broken = message(|| Kmutex::new("lock", Ipl::None).exit());
        assert!(broken.contains("mutex-owned"), "{broken}");
        let lost = message(|| {
            let counter = AtomicU32::new(0);
            let add = |counter| {
                let counter = shared::<AtomicU32>(counter);
                counter.store(counter.load(Relaxed) + 1, Relaxed);
            };
            let other = thread(add, Arg::of(&counter));
            add(Arg::of(&counter));
            kthread_join(other);
            assert_eq!(counter.load(Relaxed), 2);
        });
        assert!(lost.contains("left: 1"), "{lost}");
    }
}
