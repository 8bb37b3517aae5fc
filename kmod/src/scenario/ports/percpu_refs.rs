//! SCST issue 176: a per-CPU reference count is checked before every CPU has left its per-CPU mode.

use super::{OLD, historical, start};
use crate::kern::condvar::Kcondvar;
use crate::kern::lwp::Arg;
use crate::kern::mutex::Kmutex;
use crate::kern::percpu::{Percpu, percpu_alloc};
use crate::kern::pserialize::{self, Pserialize};
use crate::kern::spl::Ipl;
use crate::mem::{AcqRel, Acquire, AtomicBool, AtomicI64, Local, Relaxed, Release};
use crate::scenario::alive::Alive;
use crate::scenario::classics::{free_data, shared};
use crate::scenario::{FIXED, PORTED, Scenario, runs};

struct Device {
    counts: Local<Option<Percpu<AtomicI64>>>,
    dead: AtomicBool,
    count: AtomicI64,
    alive: Alive,
    psz: Pserialize,
    lock: Kmutex,
    zero: Kcondvar,
}

crate::fields!(Device {
    dead,
    count,
    alive,
    psz,
    lock,
    zero
});

/// The program.
pub static SCENARIO: Scenario = Scenario {
    name: "percpu-refs",
    summary: "a device is removed while commands take references to it",
    about: "Commands count their references in a counter of their CPU. To remove the device, a thread switches \
            them to one common counter, adds the counters of all CPUs to it, and waits until it is zero.",
    variants: &[
        FIXED,
        historical("the counters are added up before every CPU has seen that they are out of use"),
    ],
    setup: |kernel| {
        let device = Device {
            counts: Local::new(percpu_alloc()),
            dead: AtomicBool::new(false),
            count: AtomicI64::new(0),
            alive: Alive::new(),
            psz: Pserialize::new(),
            lock: Kmutex::new("device", Ipl::None),
            zero: Kcondvar::new("zero"),
        };
        let command = |device| command(shared(device));
        let kill = |device| kill(shared(device));
        let actors = [
            ("command0", 0, command as fn(Arg)),
            ("command1", 1, command),
            ("killer", 1, kill),
        ];
        start(kernel, "device", device, &actors);
    },
    verify: |kernel| shared::<Device>(kernel.data()).psz.destroy(),
    teardown: |kernel| {
        if let Some(counts) = shared::<Device>(kernel.data()).counts.peek() {
            counts.free_at_rest();
        }
        free_data::<Device>(kernel);
    },
    ..PORTED
};

impl Device {
    /// Changes the counter of this CPU, if it is in use.
    fn change(&self, change: impl FnOnce(&AtomicI64)) -> bool {
        let s = pserialize::read_enter();
        let live = !self.dead.load(Acquire);
        if let Some(counts) = self.counts.get().filter(|_| live) {
            change(counts.getref());
            counts.putref();
        }
        pserialize::read_exit(s);
        live
    }

    fn get(&self) -> bool {
        self.change(|count| {
            count.fetch_add(1, Relaxed);
        })
    }

    fn put(&self) {
        let live = self.change(|count| {
            count.fetch_sub(1, Release);
        });
        if !live {
            self.lock.enter();
            if self.count.fetch_sub(1, AcqRel) == 1 {
                self.zero.broadcast();
            }
            self.lock.exit();
        }
    }
}

fn command(device: &Device) {
    if device.get() {
        device.alive.check("device-alive");
        device.put();
    }
}

fn kill(device: &Device) {
    device.dead.store(true, Release);
    if !runs(OLD) {
        device.psz.perform();
    }
    let mut sum = 0;
    if let Some(counts) = device.counts.get() {
        counts.foreach(|count, _| sum += count.load(Acquire));
    }
    device.lock.enter();
    device.count.fetch_add(sum, AcqRel);
    while device.count.load(Acquire) != 0 {
        device.zero.wait(&device.lock);
    }
    device.lock.exit();
    device.alive.end();
}
