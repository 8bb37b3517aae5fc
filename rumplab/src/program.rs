//! The setup of a program: what it shares, what runs, and what must hold at the end.

use std::any::type_name;
use std::cell::RefCell;
use std::ops::Deref;
use std::ptr::{self, with_exposed_provenance_mut};
use std::sync::atomic::AtomicUsize;

use kmod::kern::callout;
use kmod::kern::clock::getticks;
use kmod::kern::lwp::{Arg, curlwp};
use kmod::kern::spl::Ipl;
use kmod::kern::synch::kpause;
use kmod::kernel::Kernel;
use kmod::machine::{Described, Field, ObjectKind, label};
use kmod::scenario::handler::{Device, Handler};
use kmod::scenario::{actor_options, actor_with};

use crate::world::World;

/// The program that a closure sets up: see [`check`](crate::check()).
///
/// What is made here lives as long as the machine, in its memory, and every run begins with the values of the setup.
pub struct Program {
    kernel: &'static Kernel,
    world: &'static World,
    actors: usize,
}

/// Something that the threads and handlers of a program share: a reference that can be copied into each of them.
pub struct Shared<T: 'static>(&'static T);

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Shared<T> {}

impl<T> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0
    }
}

/// The level of a softint.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Level {
    /// Callouts run at this level. The lowest.
    Clock,
    /// Block devices.
    Bio,
    /// The network stack.
    Net,
    /// Serial lines. The highest.
    Serial,
}

impl From<Level> for Ipl {
    fn from(level: Level) -> Ipl {
        match level {
            Level::Clock => Ipl::SoftClock,
            Level::Bio => Ipl::SoftBio,
            Level::Net => Ipl::SoftNet,
            Level::Serial => Ipl::SoftSerial,
        }
    }
}

/// What traces call an object whose type has no field names: its words have numbers.
#[repr(transparent)]
struct Unnamed<T>(T);

impl<T> Described for Unnamed<T> {
    const FIELDS: &'static [Field] = match size_of::<T>() / 8 {
        0 | 1 => &[],
        words => &[Field {
            name: "word",
            offset: 0,
            size: words * 8,
            count: words,
            fields: &[],
            sort: ObjectKind::Other,
        }],
    };
}

impl Program {
    pub(crate) fn new(kernel: &'static Kernel, most: &'static AtomicUsize) -> Program {
        Program {
            kernel,
            world: World::create(kernel, most),
            actors: 0,
        }
    }

    /// How many actors it has so far.
    pub(crate) fn actors(&self) -> usize {
        self.actors
    }

    /// Moves a value to where all threads can reach it. It is dropped at the end of each run, after the checks.
    ///
    /// Traces name it after its type: `mailbox` for a `Mailbox`. [`share_as`](Self::share_as) gives it a name.
    pub fn share<T: 'static>(&mut self, value: T) -> Shared<T> {
        let name = self.world.name(&name_of_type::<T>());
        let shared = self.keep(value);
        // SAFETY: the layout is the same.
        let unnamed = unsafe { &*ptr::from_ref(shared.0).cast::<Unnamed<T>>() };
        label(unnamed, format_args!("{name}"));
        shared
    }

    /// [`share`](Self::share), with a name and with the names of the fields, which [`fields!`](crate::fields) lists.
    ///
    /// ```
    /// use rumplab::sync::atomic::{AtomicU32, Ordering::Relaxed};
    ///
    /// struct Meter { total: AtomicU32, peak: AtomicU32 }
    /// rumplab::fields!(Meter { total, peak });
    ///
    /// rumplab::check(|program| {
    ///     let meter = program.share_as("meter", Meter { total: AtomicU32::new(0), peak: AtomicU32::new(0) });
    ///     program.actor("reader", move || { meter.total.fetch_add(1, Relaxed); });
    /// });
    /// ```
    pub fn share_as<T: Described + 'static>(&mut self, name: &str, value: T) -> Shared<T> {
        let shared = self.keep(value);
        label(shared.0, format_args!("{name}"));
        shared
    }

    fn keep<T: 'static>(&self, value: T) -> Shared<T> {
        let at = Box::into_raw(Box::new(value));
        self.at_rest(move |_| {
            // SAFETY: `Box::into_raw` has given it, and nothing of the run is left that could use it.
            drop(unsafe { Box::from_raw(at) });
        });
        // SAFETY: it is freed at the end of the run, which everything that has the reference is a part of.
        Shared(unsafe { &*at })
    }

    fn at_rest(&self, work: impl FnOnce(&'static Kernel) + 'static) {
        self.world.leftovers.borrow_mut().push(Box::new(work));
    }

    /// Adds a thread. The first begins on CPU 0, the next on CPU 1, and so on.
    pub fn actor(&mut self, name: &str, work: impl FnOnce() + Send + 'static) {
        self.actor_on(self.world.next_cpu(), name, work);
    }

    /// Adds a thread that begins on this CPU, modulo their number. It can be moved to another one.
    pub fn actor_on(&mut self, cpu: usize, name: &str, work: impl FnOnce() + Send + 'static) {
        self.actors += 1;
        start(self.kernel, cpu, name, true, Box::new(work));
    }

    /// Adds a softint: `work` runs at this level, on the CPU that [schedules](Softint::schedule) it, after the interrupts and before
    /// the threads. It must not sleep, and can run on several CPUs at once.
    pub fn softint(
        &mut self,
        level: Level,
        name: &str,
        work: impl Fn() + Send + Sync + 'static,
    ) -> Softint {
        let handler: &'static Handler = Box::leak(Box::new(Handler::new()));
        label(handler, format_args!("{name}"));
        handler.establish(self.kernel, level.into(), call, closure(Box::new(work)));
        self.at_rest(|kernel| handler.disestablish(kernel));
        Softint(handler)
    }

    /// Adds a device that interrupts CPU 0: `work` runs there, in the middle of whatever runs there, each time that it was
    /// [raised](Interrupt::raise). It must not sleep, and must not take a lock that is not of its level
    /// ([`Kmutex`](crate::kern::mutex::Kmutex) at [`Ipl::Vm`]).
    pub fn interrupt(&mut self, name: &str, work: impl FnMut() + Send + 'static) -> Interrupt {
        self.interrupt_on(0, Ipl::Vm, name, work)
    }

    /// [`interrupt`](Self::interrupt) of this CPU, modulo their number, at level `Ipl::Vm`, `Ipl::Sched` or `Ipl::High`.
    pub fn interrupt_on(
        &mut self,
        cpu: usize,
        level: Ipl,
        name: &str,
        work: impl FnMut() + Send + 'static,
    ) -> Interrupt {
        let device: &'static Device = Box::leak(Box::new(Device::new()));
        label(device, format_args!("{name}"));
        // A handler runs on one CPU only, and never on top of itself.
        let work = RefCell::new(work);
        let work: Box<dyn Fn()> = Box::new(move || (work.borrow_mut())());
        device.establish(self.kernel, cpu, level, call, closure(work));
        self.at_rest(|kernel| device.disestablish(kernel));
        Interrupt(device)
    }

    /// Adds a callout: `work` runs at the level `Level::Clock` when the time has come that [`Callout::schedule`] sets. It must not
    /// sleep.
    pub fn callout(&mut self, name: &str, work: impl Fn() + Send + Sync + 'static) -> Callout {
        let callout: &'static callout::Callout = Box::leak(Box::new(callout::Callout::new()));
        label(callout, format_args!("{name}"));
        callout.init(self.kernel.cpu(0));
        callout.setfunc(call, closure(Box::new(work)));
        self.at_rest(|_| {
            callout.stop();
            callout.destroy();
        });
        Callout(callout)
    }

    /// Adds a check that is made when all threads have ended, and nothing runs any more. It fails the run if it panics.
    pub fn at_end(&mut self, check: impl FnOnce() + 'static) {
        self.world.checks.borrow_mut().push(Box::new(check));
    }
}

/// Makes the checks of the program.
pub(crate) fn verify(kernel: &'static Kernel) {
    for check in World::of(kernel).checks.take() {
        check();
    }
}

/// Gives back what the program has, the last first.
pub(crate) fn teardown(kernel: &'static Kernel) {
    for work in World::of(kernel).leftovers.take().into_iter().rev() {
        work(kernel);
    }
}

/// Starts a thread that calls `work`; one that is `at_rest` waits for the beginning of the run.
pub(crate) fn start(
    kernel: &'static Kernel,
    cpu: usize,
    name: &str,
    at_rest: bool,
    work: Box<dyn FnOnce() + Send>,
) {
    let options = kmod::kern::kthread::Options {
        begin_on: cpu,
        at_rest,
        ..actor_options()
    };
    let work = Box::into_raw(Box::new(work)).expose_provenance();
    let run = |work: Arg| {
        let work = with_exposed_provenance_mut::<Box<dyn FnOnce() + Send>>(work.0);
        // SAFETY: `Box::into_raw` has given it, for this thread alone.
        let work = unsafe { Box::from_raw(work) };
        work();
        hostshim::machine::thread_ends();
    };
    actor_with(kernel, name, options, run, Arg(work));
}

/// What a handler does.
struct Work(Box<dyn Fn()>);

/// The argument that makes [`call`] call this, again and again.
fn closure(work: Box<dyn Fn()>) -> Arg {
    Arg::of(Box::leak(Box::new(Work(work))))
}

fn call(work: Arg) {
    // SAFETY: `closure` has made it, for ever.
    let work: &Work = unsafe { work.get() };
    (work.0)();
}

/// A softint of the program.
#[derive(Clone, Copy)]
pub struct Softint(&'static Handler);

impl Softint {
    /// Has it run on the current CPU, once: soon, or when the level allows it. Context: any.
    #[track_caller]
    pub fn schedule(self) {
        self.0.schedule();
    }
}

/// A device of the program.
#[derive(Clone, Copy)]
pub struct Interrupt(&'static Device);

impl Interrupt {
    /// Has it interrupt its CPU at some step after this one. Raised several times before it runs, it runs once. Context: any.
    #[track_caller]
    pub fn raise(self) {
        self.0.raise();
    }
}

/// A callout of the program.
#[derive(Clone, Copy)]
pub struct Callout(&'static callout::Callout);

impl Callout {
    /// Has it run in so many ticks, and not when it was scheduled for before. Context: any.
    #[track_caller]
    pub fn schedule(self, ticks: u32) {
        self.0.schedule(ticks);
    }

    /// Takes back [`schedule`](Self::schedule). It may run at this moment, and still run when this returns. Whether it has expired,
    /// so that it was too late. Context: any.
    #[track_caller]
    pub fn stop(self) -> bool {
        self.0.stop()
    }

    /// [`stop`](Self::stop), and waits until it does not run any more. Context: thread that may sleep.
    #[track_caller]
    pub fn halt(self) -> bool {
        self.0.halt(None)
    }

    /// Whether it is to run. Context: any.
    #[track_caller]
    pub fn pending(self) -> bool {
        self.0.pending()
    }
}

/// The ticks of the clock since the beginning, as CPU 0 counts them. Context: any, in a run.
pub fn ticks() -> u32 {
    getticks(curlwp().kernel())
}

/// Sleeps for so many ticks. Context: thread, in a run.
#[track_caller]
pub fn pause(ticks: u32) {
    kpause("pause", ticks, None);
}

/// The last word of the name of a type, as names of objects are written: `ring_buffer` for `queue::RingBuffer<u32>`.
fn name_of_type<T>() -> String {
    let whole = type_name::<T>();
    let path = whole.split('<').next().unwrap_or(whole);
    let last = path.rsplit("::").next().unwrap_or(path);
    let mut name = String::new();
    for letter in last.chars() {
        match letter {
            _ if !(letter.is_alphanumeric() || letter == '_') => {}
            _ if letter.is_uppercase() => {
                if !name.is_empty() && !name.ends_with('_') {
                    name.push('_');
                }
                name.extend(letter.to_lowercase());
            }
            _ => name.push(letter),
        }
    }
    match name.is_empty() || !whole.starts_with(|c: char| c.is_alphabetic()) {
        true => "shared".to_owned(),
        false => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct RingBuffer<T>(#[allow(dead_code, reason = "a type with a parameter")] T);

    #[test]
    fn objects_are_named_after_their_types() {
        assert_eq!(name_of_type::<RingBuffer<Vec<u32>>>(), "ring_buffer");
        assert_eq!(name_of_type::<u32>(), "u32");
        assert_eq!(name_of_type::<(u32, String)>(), "shared");
        assert_eq!(name_of_type::<[u8; 4]>(), "shared");
    }
}
