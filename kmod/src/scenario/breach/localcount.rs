//! localcount(9).

use super::percpu::number;
use super::{Breach, breach};
use crate::kern::condvar::Kcondvar;
use crate::kern::localcount::Localcount;
use crate::kern::mutex::Kmutex;
use crate::kern::percpu::Percpu;
use crate::kern::spl::Ipl;
use crate::mem::Plain;
use crate::scenario::share;

struct World {
    count: Localcount,
    mutex: Kmutex,
    cv: Kcondvar,
}

fn world() -> &'static World {
    let world = World {
        count: Localcount::new(),
        mutex: Kmutex::new("sc_lock", Ipl::SoftNet),
        cv: Kcondvar::new("drain"),
    };
    let world = share("world", world);
    if world.count.init().is_none() {
        unreachable!("there is memory for a localcount");
    }
    world
}

/// Freed storage that a counter has got since.
fn freed() -> (Percpu<Plain<i64>>, &'static World) {
    let freed = number();
    freed.free();
    (freed, world())
}

/// Writes to it anyway.
fn write(freed: Percpu<Plain<i64>>, value: i64) {
    freed.getref().set(value);
    freed.putref();
}

impl World {
    fn drain(&self) {
        self.mutex.enter();
        self.count.drain(&self.cv, &self.mutex);
        self.mutex.exit();
    }

    fn release(&self) {
        self.count.release(&self.cv, &self.mutex);
    }
}

pub(super) static BREACHES: &[Breach] = &[
    breach!("localcount-init": "acquires a reference of a localcount that was not initialized",
        || Localcount::new().acquire()),
    breach!("localcount-acquire": "acquires a reference after the localcount was drained", || {
        let world = world();
        world.drain();
        world.count.acquire();
    }),
    breach!("localcount-ownable": "releases a reference with the interlock held", || {
        let world = world();
        world.count.acquire();
        world.mutex.enter();
        world.release();
    }),
    breach!("localcount-underflow": "releases a reference when none is held", || world().release()),
    breach!("localcount-interlock": "drains a localcount without its interlock", || {
        let world = world();
        world.count.drain(&world.cv, &world.mutex);
    }),
    breach!("localcount-drain": "drains a localcount twice", || {
        let world = world();
        world.drain();
        world.drain();
    }),
    breach!("localcount-negative": "writes to freed per-CPU storage that a localcount was given", || {
        let (freed, world) = freed();
        write(freed, -1);
        world.drain();
    }),
    breach!("localcount-release": "wipes a reference out of a localcount, and releases it when that was drained", || {
        let (freed, world) = freed();
        world.count.acquire();
        write(freed, 0);
        world.drain();
        world.release();
    }),
    breach!("localcount-fini": "ends a localcount that was not drained", || world().count.fini()),
];
