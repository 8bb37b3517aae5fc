//! mutex(9), rwlock(9), condvar(9).

use core::ffi::{c_int, c_uint};

use kmod::kern::condvar::Kcondvar;
use kmod::kern::kmem::{kmem_alloc, kmem_free};
use kmod::kern::mutex::Kmutex;
use kmod::kern::rwlock::{Krw, Krwlock};
use kmod::kern::sleepq::Woken;
use kmod::kern::spl::Ipl;
use kmod::mem::{AcqRel, AtomicU32, Relaxed};

use super::convert::Expression;
use super::{FromC, Raw, Text, bound, refused};

/// `EWOULDBLOCK`.
pub(super) const EWOULDBLOCK: c_int = 35;

/// A mutex that several objects share (mutex_obj(9)). C uses it as the mutex that it begins with.
#[repr(C)]
struct MutexObj {
    mo_lock: Kmutex,
    mo_refcnt: AtomicU32,
}

impl FromC for Krw {
    type Word = c_uint;

    unsafe fn from_c(word: c_uint) -> Krw {
        match word {
            0 => Krw::Reader,
            1 => Krw::Writer,
            other => refused(format_args!(
                "an rwlock is entered as RW_READER or RW_WRITER, not {other}"
            )),
        }
    }
}

fn answer(woken: Woken) -> c_int {
    match woken {
        Woken::Wakeup => 0,
        Woken::Timeout => EWOULDBLOCK,
    }
}

/// The number of ticks of a timeout; 0 is none.
pub(super) fn ticks(timeout: c_int) -> u32 {
    match u32::try_from(timeout) {
        Ok(ticks) => ticks,
        Err(_) => refused(format_args!("a timeout of {timeout} ticks is none")),
    }
}

bound! {
    fn rumplab_mutex_init(mutex: Raw<Kmutex>, _kind: c_uint, ipl: Ipl, name: Expression) {
        mutex.make_named(Kmutex::new(name.0, ipl), name.0);
    }
    fn mutex_destroy(mutex: &'static Kmutex) {
        mutex.destroy();
    }
    fn mutex_enter(mutex: &'static Kmutex) {
        mutex.enter();
    }
    fn mutex_exit(mutex: &'static Kmutex) {
        mutex.exit();
    }
    fn mutex_tryenter(mutex: &'static Kmutex) -> bool {
        mutex.tryenter()
    }
    fn mutex_owned(mutex: &'static Kmutex) -> bool {
        mutex.owned()
    }
    fn mutex_ownable(_mutex: &'static Kmutex) -> bool {
        true
    }
    fn mutex_spin_enter(mutex: &'static Kmutex) {
        mutex.spin_enter();
    }
    fn mutex_spin_exit(mutex: &'static Kmutex) {
        mutex.spin_exit();
    }

    fn mutex_obj_alloc(_kind: c_uint, ipl: Ipl) -> Option<&'static MutexObj> {
        let object = MutexObj {
            mo_lock: Kmutex::new("mutex_obj", ipl),
            mo_refcnt: AtomicU32::new(1),
        };
        kmem_alloc("mutex_obj", object)
    }
    fn mutex_obj_hold(object: &'static MutexObj) {
        object.mo_refcnt.fetch_add(1, Relaxed);
    }
    fn mutex_obj_free(object: &'static MutexObj) -> bool {
        let last = object.mo_refcnt.fetch_sub(1, AcqRel) == 1;
        if last {
            object.mo_lock.destroy();
            // SAFETY: (1) it came from `kmem_alloc`; (2) this was the last reference.
            unsafe { kmem_free(object) };
        }
        last
    }
    fn mutex_obj_refcnt(object: &'static MutexObj) -> c_uint {
        object.mo_refcnt.load(Relaxed)
    }

    fn rumplab_rw_init(lock: Raw<Krwlock>, name: Expression) {
        lock.make_named(Krwlock::new(name.0), name.0);
    }
    fn rw_destroy(lock: &'static Krwlock) {
        lock.destroy();
    }
    fn rw_enter(lock: &'static Krwlock, op: Krw) {
        lock.enter(op);
    }
    fn rw_tryenter(lock: &'static Krwlock, op: Krw) -> bool {
        lock.tryenter(op)
    }
    fn rw_exit(lock: &'static Krwlock) {
        lock.exit();
    }
    fn rw_tryupgrade(lock: &'static Krwlock) -> bool {
        lock.tryupgrade()
    }
    fn rw_downgrade(lock: &'static Krwlock) {
        lock.downgrade();
    }
    fn rw_read_held(lock: &'static Krwlock) -> bool {
        lock.read_held()
    }
    fn rw_write_held(lock: &'static Krwlock) -> bool {
        lock.write_held()
    }
    fn rw_lock_held(lock: &'static Krwlock) -> bool {
        lock.lock_held()
    }
    fn rw_lock_op(lock: &'static Krwlock) -> c_uint {
        c_uint::from(lock.write_held())
    }

    fn cv_init(cv: Raw<Kcondvar>, wmesg: Text) {
        cv.make_named(Kcondvar::new(wmesg.0), wmesg.0);
    }
    fn cv_destroy(cv: &'static Kcondvar) {
        cv.destroy();
    }
    fn cv_wait(cv: &'static Kcondvar, mutex: &'static Kmutex) {
        cv.wait(mutex);
    }
    fn cv_wait_sig(cv: &'static Kcondvar, mutex: &'static Kmutex) -> c_int {
        cv.wait(mutex);
        0
    }
    fn cv_timedwait(cv: &'static Kcondvar, mutex: &'static Kmutex, timeout: c_int) -> c_int {
        answer(cv.timedwait(mutex, ticks(timeout)))
    }
    fn cv_timedwait_sig(cv: &'static Kcondvar, mutex: &'static Kmutex, timeout: c_int) -> c_int {
        answer(cv.timedwait(mutex, ticks(timeout)))
    }
    fn rumplab_cv_timedwait_backstop(
        cv: &'static Kcondvar,
        mutex: &'static Kmutex,
        timeout: c_int,
    ) -> c_int {
        answer(cv.timedwait_backstop(mutex, ticks(timeout)))
    }
    fn cv_signal(cv: &'static Kcondvar) {
        cv.signal();
    }
    fn cv_broadcast(cv: &'static Kcondvar) {
        cv.broadcast();
    }
    fn cv_has_waiters(cv: &'static Kcondvar) -> bool {
        cv.has_waiters()
    }
    fn cv_is_valid(_cv: &'static Kcondvar) -> bool {
        true
    }
}
