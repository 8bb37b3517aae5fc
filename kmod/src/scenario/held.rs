//! Broken programs in which a thread holds a lock while it waits for another thread that needs that lock.
//!
//! Each waits for something else: the references of a localcount, passive references, a work, the readers of an
//! rwlock. No primitive is at fault. The report names the lock, the wait, and the other thread.

use crate::kern::condvar::Kcondvar;
use crate::kern::localcount::Localcount;
use crate::kern::lwp::{Arg, curlwp_bind, curlwp_bindx, pri};
use crate::kern::mutex::Kmutex;
use crate::kern::psref::{Psref, PsrefClass, PsrefTarget};
use crate::kern::rwlock::{Krw, Krwlock};
use crate::kern::spl::Ipl;
use crate::kern::workqueue::{self, Work, WorkFunc, Workers, Workqueue};
use crate::kernel::Kernel;
use crate::machine::{self, Described, Stop};
use crate::mem::Plain;
use crate::scenario::classics::{free_data, shared};
use crate::scenario::lookup::Place;
use crate::scenario::{FIXED, Kind, Scenario, actor, psref_class, share};

const fn scenario(
    name: &'static str,
    summary: &'static str,
    about: &'static str,
    setup: fn(&'static Kernel),
    teardown: fn(&'static Kernel),
) -> Scenario {
    Scenario {
        name,
        summary,
        about,
        variants: &[FIXED],
        min_cpus: 1,
        default_cpus: 2,
        kind: Kind::Broken,
        configure: |_| {},
        setup,
        verify: |_| {},
        teardown,
    }
}

/// An actor: its name, and its function.
type Part = (&'static str, fn(Arg));

/// Shares `world` with two actors.
fn start<T: Described + 'static>(kernel: &'static Kernel, world: T, actors: [Part; 2]) {
    let world = share("world", world);
    machine::label(world, format_args!("world"));
    kernel.set_data(Arg::of(world));
    for (cpu, (name, run)) in actors.into_iter().enumerate() {
        actor(kernel, name, cpu, run, Arg::of(world));
    }
}

fn section(mtx: &Kmutex, f: impl FnOnce()) {
    mtx.enter();
    f();
    mtx.exit();
}

/// localcount(9).
pub static LOCALCOUNT: Scenario = scenario(
    "localcount-held",
    "a counter is drained under a mutex that the holder of a reference needs",
    "A thread looks an object up, takes a reference, and enters a mutex before it releases the reference. Another removes \
     the object and drains its counter with that mutex held. The drain releases the interlock, but not the mutex.",
    |kernel| {
        let counted = Counted {
            mtx: Kmutex::new("mtx", Ipl::None),
            place: Place::new(),
            count: Localcount::new(),
            interlock: Kmutex::new("interlock", Ipl::None),
            drained: Kcondvar::new("drained"),
        };
        start(
            kernel,
            counted,
            [
                ("holder", |world| shared::<Counted>(world).hold()),
                ("drainer", |world| shared::<Counted>(world).drain()),
            ],
        );
        let world: &'static Counted = shared(kernel.data());
        if world.count.init().is_none() {
            no_memory("a localcount");
        }
        world.place.publish(&world.count);
    },
    free_data::<Counted>,
);

struct Counted {
    mtx: Kmutex,
    place: Place<Localcount>,
    count: Localcount,
    interlock: Kmutex,
    drained: Kcondvar,
}

crate::fields!(Counted {
    mtx,
    place,
    count,
    interlock,
    drained
});

impl Counted {
    fn hold(&self) {
        let found = self.place.find(|count| {
            count.acquire();
            count
        });
        if let Some(count) = found {
            section(&self.mtx, || {});
            count.release(&self.drained, &self.interlock);
        }
    }

    fn drain(&self) {
        section(&self.mtx, || {
            if let Some(count) = self.place.retract() {
                section(&self.interlock, || {
                    count.drain(&self.drained, &self.interlock)
                });
                count.fini();
            }
        });
    }
}

/// psref(9).
pub static PSREF: Scenario = scenario(
    "psref-held",
    "a target is destroyed under a mutex that the holder of a reference needs",
    "A bound thread looks an object up, takes a passive reference, and enters a mutex before it releases the reference. \
     Another removes the object and destroys the target with that mutex held.",
    |kernel| {
        let referenced = Referenced {
            mtx: Kmutex::new("mtx", Ipl::None),
            place: Place::new(),
            target: PsrefTarget::new(),
            class: psref_class("held", Ipl::SoftNet),
        };
        start(
            kernel,
            referenced,
            [
                ("holder", |world| shared::<Referenced>(world).hold()),
                ("destroyer", |world| shared::<Referenced>(world).destroy()),
            ],
        );
        let world: &'static Referenced = shared(kernel.data());
        world.target.init(world.class);
        world.place.publish(&world.target);
    },
    |kernel| {
        let class = shared::<Referenced>(kernel.data()).class;
        // SAFETY: all actors have come to their end.
        unsafe { class.destroy_at_rest() };
        free_data::<Referenced>(kernel);
    },
);

struct Referenced {
    mtx: Kmutex,
    place: Place<PsrefTarget>,
    target: PsrefTarget,
    class: PsrefClass,
}

crate::fields!(Referenced { mtx, place, target });

impl Referenced {
    fn hold(&self) {
        let bound = curlwp_bind();
        let psref = Psref::new();
        let found = self.place.find(|target| {
            psref.acquire(target, self.class);
            target
        });
        if let Some(target) = found {
            section(&self.mtx, || {});
            psref.release(target, self.class);
        }
        curlwp_bindx(bound);
    }

    fn destroy(&self) {
        section(&self.mtx, || {
            if let Some(target) = self.place.retract() {
                target.destroy(self.class);
            }
        });
    }
}

/// workqueue(9).
pub static WORKQUEUE: Scenario = scenario(
    "workqueue-held",
    "a thread waits for a work while it holds a mutex that the work needs",
    "A thread enqueues a work, which enters a mutex, and waits for it with that mutex held. Another thread only enters \
     the mutex from time to time.",
    |kernel| {
        let func = (|_: &'static Work, world: Arg| shared::<Works>(world).work()) as WorkFunc;
        start(
            kernel,
            Works {
                mtx: Kmutex::new("mtx", Ipl::None),
                work: Work::new(Arg::NONE),
                queue: Plain::new(None),
            },
            [
                ("waiter", |world| shared::<Works>(world).wait()),
                ("other", |world| shared::<Works>(world).work()),
            ],
        );
        let (arg, workers) = (kernel.data(), Workers::One);
        let queue = workqueue::create(
            kernel,
            "works",
            (func, arg),
            pri::KTHREAD,
            Ipl::None,
            workers,
        );
        if queue.is_none() {
            no_memory("a workqueue");
        }
        shared::<Works>(arg).queue.set(queue);
    },
    free_data::<Works>,
);

struct Works {
    mtx: Kmutex,
    work: Work,
    queue: Plain<Option<&'static Workqueue>>,
}

crate::fields!(Works { mtx, work, queue });

impl Works {
    fn work(&self) {
        section(&self.mtx, || {});
    }

    fn wait(&'static self) {
        let Some(queue) = self.queue.get() else {
            return;
        };
        queue.enqueue(&self.work, None);
        section(&self.mtx, || queue.wait(&self.work));
        queue.destroy();
    }
}

/// rwlock(9).
pub static RWLOCK: Scenario = scenario(
    "rwlock-held",
    "two threads each hold an rwlock for reading and want to write under the other's",
    "t1 reads under a and wants to write under b; t2 reads under b and wants to write under a. The words of the locks \
     tell that there is a reader, but not which.",
    |kernel| {
        start(
            kernel,
            Two {
                a: Krwlock::new("a"),
                b: Krwlock::new("b"),
            },
            [
                ("t1", |two| {
                    let two: &Two = shared(two);
                    read_and_write(&two.a, &two.b);
                }),
                ("t2", |two| {
                    let two: &Two = shared(two);
                    read_and_write(&two.b, &two.a);
                }),
            ],
        );
    },
    free_data::<Two>,
);

struct Two {
    a: Krwlock,
    b: Krwlock,
}

crate::fields!(Two { a, b });

fn read_and_write(mine: &Krwlock, other: &Krwlock) {
    mine.enter(Krw::Reader);
    other.enter(Krw::Writer);
    other.exit();
    mine.exit();
}

fn no_memory(what: &str) -> ! {
    machine::stop(
        Stop::Contract("scenario-memory"),
        format_args!("no memory for {what}"),
    )
}
