//! Sleep queues and turnstiles: what condition variables and rwlocks in C stand on.

use core::ffi::{c_int, c_uint};

use kmod::kern::condvar::sleepq_lock;
use kmod::kern::lwp::Lwp;
use kmod::kern::mutex::Kmutex;
use kmod::kern::sleepq::{self, Sleepq, SyncObj, Timeout, Woken};
use kmod::kern::turnstile::{self, Lookup, Queue, Turnstile};
use kmod::machine::{self, Occasion};

use super::locks::{EWOULDBLOCK, ticks};
use super::{FromC, Text, bound, refused};

/// `TS_READER_Q` or `TS_WRITER_Q`.
impl FromC for Queue {
    type Word = c_int;

    unsafe fn from_c(word: c_int) -> Queue {
        match word {
            0 => Queue::Reader,
            1 => Queue::Writer,
            other => refused(format_args!(
                "a turnstile has the queues 0 and 1, not {other}"
            )),
        }
    }
}

/// The lookup of a turnstile that is active.
fn again(ts: &'static Turnstile) -> Lookup {
    Lookup::again(ts.obj(), Some(ts))
}

bound! {
    fn sleepq_hashlock(wchan: usize) -> &'static Kmutex {
        let lock = sleepq_lock(wchan);
        lock.spin_enter();
        lock
    }
    fn rumplab_sleepq_enter(lock: &'static Kmutex) {
        sleepq::enter(lock);
    }
    fn sleepq_enqueue(queue: &'static Sleepq, wchan: usize, wmesg: Text, _sobj: usize) {
        sleepq::enqueue(Some(queue), wchan, wmesg.0, SyncObj::Cv);
        machine::happened(Occasion::Slept(wchan));
    }
    fn sleepq_block(timeout: c_int, _interruptible: bool) -> c_int {
        match sleepq::block(Timeout::After(ticks(timeout))) {
            Woken::Wakeup => 0,
            Woken::Timeout => EWOULDBLOCK,
        }
    }
    fn rumplab_sleepq_remove(l: &'static Lwp) {
        sleepq::remove(l);
    }
    fn sleepq_wake(queue: &'static Sleepq, wchan: usize, count: c_uint, lock: &'static Kmutex) {
        for l in queue.sleepers(wchan, count as usize) {
            sleepq::remove(l);
        }
        lock.spin_exit();
    }

    fn turnstile_lookup(obj: usize) -> Option<&'static Turnstile> {
        turnstile::lookup(obj).active()
    }
    fn turnstile_exit(obj: usize) {
        Lookup::again(obj, None).exit();
    }
    fn turnstile_block(ts: Option<&'static Turnstile>, queue: Queue, obj: usize, _sobj: usize) {
        machine::happened(Occasion::Contended(obj));
        Lookup::again(obj, ts).block(obj, queue, SyncObj::Rwlock);
    }
    fn turnstile_wakeup(ts: &'static Turnstile, queue: Queue, count: c_int, _next: usize) {
        again(ts).wakeup(queue, count as u32);
    }
    fn rumplab_turnstile_waiters(ts: Option<&'static Turnstile>, queue: Queue) -> c_uint {
        ts.map_or(0, |ts| again(ts).waiters(queue))
    }
    fn rumplab_turnstile_first(ts: &'static Turnstile, queue: Queue) -> Option<&'static Lwp> {
        again(ts).first(queue)
    }
}
