//! OpenZFS issue 9047: a callback wakes a thread through a handle that was destroyed meanwhile.

use super::{OLD, historical, start};
use crate::kern::condvar::Kcondvar;
use crate::kern::kmem::{kmem_alloc, kmem_free};
use crate::kern::kthread::kthread_join;
use crate::kern::lwp::Arg;
use crate::kern::mutex::Kmutex;
use crate::kern::spl::Ipl;
use crate::machine;
use crate::mem::{AcqRel, Acquire, AtomicBool, AtomicRef, Plain, Release};
use crate::scenario::classics::{free_data, shared};
use crate::scenario::{FIXED, PORTED, Scenario, runs, thread};

struct Handle {
    lock: Kmutex,
    cv: Kcondvar,
    wanted: Plain<bool>,
}

crate::fields!(Handle { lock, cv, wanted });

struct Cache {
    initialized: AtomicBool,
    handle: AtomicRef<Handle>,
}

crate::fields!(Cache {
    initialized,
    handle
});

/// The program.
pub static SCENARIO: Scenario = Scenario {
    name: "thread-handle",
    summary: "a cache is destroyed while memory is reclaimed",
    about: "A thread that reclaims memory checks whether the cache exists, and wakes the cache's thread through \
            its handle. Another one destroys the cache: it waits for the first, and destroys the handle.",
    variants: &[
        FIXED,
        historical("the handle is destroyed before the thread that reclaims has ended"),
    ],
    setup: |kernel| {
        let cache = Cache {
            initialized: AtomicBool::new(false),
            handle: AtomicRef::new(),
        };
        start(kernel, "cache", cache, &[("owner", 0, own)]);
    },
    teardown: free_data::<Cache>,
    ..PORTED
};

fn reclaim(cache: Arg) {
    let cache: &Cache = shared(cache);
    if cache.initialized.load(Acquire)
        && let Some(handle) = cache.handle.load(Acquire)
    {
        handle.lock.enter();
        handle.wanted.set(true);
        handle.cv.broadcast();
        handle.lock.exit();
    }
}

fn destroy(cache: &Cache) {
    if let Some(handle) = cache.handle.swap(None, AcqRel) {
        handle.cv.destroy();
        handle.lock.destroy();
        // SAFETY: it came from `kmem_alloc`; that it is no longer in use is what this scenario tests.
        unsafe { kmem_free(handle) };
    }
}

fn own(at: Arg) {
    let cache: &Cache = shared(at);
    let new = Handle {
        lock: Kmutex::new("handle", Ipl::None),
        cv: Kcondvar::new("wanted"),
        wanted: Plain::new(false),
    };
    let Some(handle) = kmem_alloc("handle", new) else {
        return;
    };
    machine::label(handle, format_args!("handle"));
    cache.handle.store(Some(handle), Release);
    cache.initialized.store(true, Release);
    let reclaimer = thread("reclaimer", 1, reclaim, at);
    cache.initialized.store(false, Release);
    if runs(OLD) {
        destroy(cache);
    }
    kthread_join(reclaimer);
    if !runs(OLD) {
        destroy(cache);
    }
}
