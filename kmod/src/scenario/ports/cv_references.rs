//! ZFS on Linux issue 4106 and spl issue 519: a condition variable is destroyed under the mutex that its
//! waiters need.

use super::{OLD, historical, start};
use crate::kern::condvar::Kcondvar;
use crate::kern::lwp::Arg;
use crate::kern::mutex::Kmutex;
use crate::kern::spl::Ipl;
use crate::mem::{AcqRel, Acquire, AtomicU32, Plain, Relaxed};
use crate::scenario::classics::{free_data, shared};
use crate::scenario::{FIXED, PORTED, Scenario, runs};

/// A condition variable that counts its users.
struct Cv {
    inner: Kmutex,
    woken: Kcondvar,
    unused: Kcondvar,
    generation: Plain<u32>,
    references: AtomicU32,
}

crate::fields!(Cv {
    inner,
    woken,
    unused,
    generation,
    references
});

struct Header {
    mutex: Kmutex,
    done: Plain<bool>,
    cv: Cv,
}

crate::fields!(Header { mutex, done, cv });

/// The program.
pub static SCENARIO: Scenario = Scenario {
    name: "cv-references",
    summary: "a condition variable that counts its users is destroyed under the mutex",
    about: "A thread waits for a header. Another one has finished with the header: it wakes the first and \
            destroys the condition variable, which waits until it has no users; all of this with the mutex held.",
    variants: &[
        FIXED,
        historical("a waiter enters the mutex before it releases its reference"),
    ],
    setup: |kernel| {
        let header = Header {
            mutex: Kmutex::new("hash_lock", Ipl::None),
            done: Plain::new(false),
            cv: Cv {
                inner: Kmutex::new("cv_lock", Ipl::None),
                woken: Kcondvar::new("cv_event"),
                unused: Kcondvar::new("cv_destroy"),
                generation: Plain::new(0),
                references: AtomicU32::new(0),
            },
        };
        start(
            kernel,
            "header",
            header,
            &[("reader", 0, read), ("evicter", 1, evict)],
        );
    },
    teardown: free_data::<Header>,
    ..PORTED
};

impl Cv {
    fn wait(&self, mutex: &Kmutex) {
        self.references.fetch_add(1, Relaxed);
        self.inner.enter();
        let generation = self.generation.get();
        mutex.exit();
        while self.generation.get() == generation {
            self.woken.wait(&self.inner);
        }
        self.inner.exit();
        if runs(OLD) {
            mutex.enter();
        }
        self.inner.enter();
        if self.references.fetch_sub(1, AcqRel) == 1 {
            self.unused.broadcast();
        }
        self.inner.exit();
        if !runs(OLD) {
            mutex.enter();
        }
    }

    fn broadcast(&self) {
        self.inner.enter();
        self.generation.set(self.generation.get() + 1);
        self.woken.broadcast();
        self.inner.exit();
    }

    fn destroy(&self) {
        self.inner.enter();
        while self.references.load(Acquire) != 0 {
            self.unused.wait(&self.inner);
        }
        self.inner.exit();
    }
}

fn read(header: Arg) {
    let header: &Header = shared(header);
    header.mutex.enter();
    while !header.done.get() {
        header.cv.wait(&header.mutex);
    }
    header.mutex.exit();
}

fn evict(header: Arg) {
    let header: &Header = shared(header);
    header.mutex.enter();
    header.done.set(true);
    header.cv.broadcast();
    header.cv.destroy();
    header.mutex.exit();
}
