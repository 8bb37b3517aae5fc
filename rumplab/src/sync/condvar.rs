//! Waiting for a change of what a lock protects.

use std::fmt;
use std::time::Duration;

use kmod::kern::condvar::Kcondvar;
use kmod::kern::sleepq::Woken;
use kmod::machine::{Described, Field, ObjectKind};
use kmod::mem::own;

use super::{LockResult, Mutex, MutexGuard, ticks_of};

/// `std::sync::Condvar`.
pub struct Condvar(Kcondvar);

/// `std::sync::WaitTimeoutResult`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WaitTimeoutResult(bool);

impl WaitTimeoutResult {
    /// Whether the wait ended because the time was over.
    pub fn timed_out(&self) -> bool {
        self.0
    }
}

impl Condvar {
    /// A condition on which nobody waits.
    pub const fn new() -> Condvar {
        Condvar(Kcondvar::new("Condvar"))
    }

    /// Releases the lock, waits until it is notified, and takes the lock again. Context: thread that may sleep.
    ///
    /// # Errors
    ///
    /// None: see [`sync`](super).
    #[track_caller]
    pub fn wait<'a, T: ?Sized>(&self, guard: MutexGuard<'a, T>) -> LockResult<MutexGuard<'a, T>> {
        own(&self.0).wait(guard.lock);
        Ok(guard)
    }

    /// [Waits](Self::wait) as long as `condition` is true of the data.
    ///
    /// # Errors
    ///
    /// None: see [`sync`](super).
    #[track_caller]
    pub fn wait_while<'a, T: ?Sized>(
        &self,
        mut guard: MutexGuard<'a, T>,
        mut condition: impl FnMut(&mut T) -> bool,
    ) -> LockResult<MutexGuard<'a, T>> {
        while condition(&mut guard) {
            own(&self.0).wait(guard.lock);
        }
        Ok(guard)
    }

    /// [Waits](Self::wait), for so long at most.
    ///
    /// # Errors
    ///
    /// None: see [`sync`](super).
    #[track_caller]
    pub fn wait_timeout<'a, T: ?Sized>(
        &self,
        guard: MutexGuard<'a, T>,
        time: Duration,
    ) -> LockResult<(MutexGuard<'a, T>, WaitTimeoutResult)> {
        let woken = own(&self.0).timedwait(guard.lock, ticks_of(time));
        Ok((guard, WaitTimeoutResult(woken == Woken::Timeout)))
    }

    /// [Waits](Self::wait) as long as `condition` is true of the data, for so long at most.
    ///
    /// # Errors
    ///
    /// None: see [`sync`](super).
    #[track_caller]
    pub fn wait_timeout_while<'a, T: ?Sized>(
        &self,
        mut guard: MutexGuard<'a, T>,
        time: Duration,
        mut condition: impl FnMut(&mut T) -> bool,
    ) -> LockResult<(MutexGuard<'a, T>, WaitTimeoutResult)> {
        let begin = crate::ticks();
        let all = ticks_of(time);
        loop {
            if !condition(&mut guard) {
                return Ok((guard, WaitTimeoutResult(false)));
            }
            let left = all.saturating_sub(crate::ticks().wrapping_sub(begin));
            if left == 0 {
                return Ok((guard, WaitTimeoutResult(true)));
            }
            own(&self.0).timedwait(guard.lock, left);
        }
    }

    /// Wakes a thread that waits, if there is one.
    #[track_caller]
    pub fn notify_one(&self) {
        own(&self.0).signal();
    }

    /// Wakes all threads that wait.
    #[track_caller]
    pub fn notify_all(&self) {
        own(&self.0).broadcast();
    }
}

impl Default for Condvar {
    fn default() -> Self {
        Condvar::new()
    }
}

impl fmt::Debug for Condvar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Condvar { .. }")
    }
}

impl Described for Condvar {
    const FIELDS: &'static [Field] = &[];
    const SORT: ObjectKind = ObjectKind::Condvar;
}

/// `std::sync::Barrier`.
pub struct Barrier {
    state: Mutex<State>,
    all_are_there: Condvar,
    wanted: usize,
}

struct State {
    there: usize,
    generation: usize,
}

/// `std::sync::BarrierWaitResult`.
#[derive(Debug)]
pub struct BarrierWaitResult(bool);

impl BarrierWaitResult {
    /// Whether this thread came last.
    pub fn is_leader(&self) -> bool {
        self.0
    }
}

impl Barrier {
    /// A barrier for so many threads.
    pub const fn new(wanted: usize) -> Barrier {
        Barrier {
            state: Mutex::new(State {
                there: 0,
                generation: 0,
            }),
            all_are_there: Condvar::new(),
            wanted,
        }
    }

    /// Waits until all are there. Context: thread that may sleep.
    #[track_caller]
    pub fn wait(&self) -> BarrierWaitResult {
        let Ok(mut state) = self.state.lock() else {
            unreachable!("it is never poisoned")
        };
        state.there += 1;
        if state.there >= self.wanted {
            state.there = 0;
            state.generation = state.generation.wrapping_add(1);
            self.all_are_there.notify_all();
            return BarrierWaitResult(true);
        }
        let mine = state.generation;
        let same = |state: &mut State| state.generation == mine;
        drop(self.all_are_there.wait_while(state, same));
        BarrierWaitResult(false)
    }
}

impl fmt::Debug for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Barrier { .. }")
    }
}
