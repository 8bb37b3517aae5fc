//! `std::thread`: threads of the program that runs.
//!
//! A thread that is spawned begins on the next CPU, one after another. Like an actor it must end in every schedule; one that never
//! ends, joined or not, fails the run as a deadlock.

use std::any::Any;
use std::cell::UnsafeCell;
use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use kmod::kern::condvar::Kcondvar;
use kmod::kern::lwp::curlwp;
use kmod::kern::mutex::Kmutex;
use kmod::kern::spl::Ipl;
use kmod::kern::synch;
use kmod::mem::Guarded;

use crate::program::start;
use crate::sync::ticks_of;
use crate::world::World;

pub use std::thread::panicking;

/// `std::thread::Result`: always `Ok`, because a panic fails the run.
pub type Result<T> = std::result::Result<T, Box<dyn Any + Send + 'static>>;

/// `std::thread::ThreadId`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ThreadId(usize);

/// `std::thread::Thread`.
#[derive(Clone)]
pub struct Thread(Arc<Parker>);

/// What a thread is known by, and parks on.
struct Parker {
    name: String,
    id: usize,
    lock: Kmutex,
    unparked: Kcondvar,
    /// Whether it may go on.
    token: Guarded<bool>,
}

impl Parker {
    #[track_caller]
    fn park(&self, ticks: Option<u32>) {
        self.lock.enter();
        match ticks {
            // It may return without a reason.
            Some(ticks) if !self.token.get() => {
                self.unparked.timedwait(&self.lock, ticks);
            }
            _ => {
                while !self.token.get() {
                    self.unparked.wait(&self.lock);
                }
            }
        }
        self.token.set(false);
        self.lock.exit();
    }
}

impl Thread {
    fn new(name: String, id: usize) -> Thread {
        Thread(Arc::new(Parker {
            name,
            id,
            lock: Kmutex::new("park", Ipl::None),
            unparked: Kcondvar::new("park"),
            token: Guarded::new(false),
        }))
    }

    /// Its name.
    pub fn name(&self) -> Option<&str> {
        Some(&self.0.name)
    }

    /// Its number.
    pub fn id(&self) -> ThreadId {
        ThreadId(self.0.id)
    }

    /// Lets it go on from [`park`], now or the next time.
    #[track_caller]
    pub fn unpark(&self) {
        self.0.lock.enter();
        self.0.token.set(true);
        self.0.unparked.signal();
        self.0.lock.exit();
    }
}

impl fmt::Debug for Thread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Thread({})", self.0.name)
    }
}

/// The thread that calls.
#[track_caller]
pub fn current() -> Thread {
    let l = curlwp();
    let key = std::ptr::from_ref(l).addr();
    let world = World::current();
    if let Some(thread) = world.thread(key) {
        return thread;
    }
    // An actor: a thread that was spawned is known.
    let thread = Thread::new(l.name().to_string(), world.next_thread());
    world.know(key, thread.clone());
    thread
}

/// Waits until somebody [unparks](Thread::unpark) this thread.
#[track_caller]
pub fn park() {
    current().0.park(None);
}

/// [`park`], for so long at most.
#[track_caller]
pub fn park_timeout(time: Duration) {
    current().0.park(Some(ticks_of(time)));
}

/// Gives the CPU to another thread, if one wants it.
#[track_caller]
pub fn yield_now() {
    synch::yield_now();
}

/// Sleeps for this time, rounded up to ticks of 10 ms.
#[track_caller]
pub fn sleep(time: Duration) {
    synch::kpause("sleep", ticks_of(time), None);
}

/// The number of CPUs.
///
/// # Errors
///
/// None.
pub fn available_parallelism() -> io::Result<std::num::NonZero<usize>> {
    std::num::NonZero::new(kmod::machine::ncpu()).ok_or_else(|| io::Error::other("no CPU"))
}

/// Where a thread leaves its result.
struct Packet<T> {
    lock: Kmutex,
    ended: Kcondvar,
    /// Protected by the lock.
    result: UnsafeCell<Option<T>>,
}

// SAFETY: the result is accessed with the lock held only.
unsafe impl<T: Send> Sync for Packet<T> {}
// SAFETY: it moves with its result.
unsafe impl<T: Send> Send for Packet<T> {}

impl<T> Packet<T> {
    fn new() -> Packet<T> {
        Packet {
            lock: Kmutex::new("join", Ipl::None),
            ended: Kcondvar::new("join"),
            result: UnsafeCell::new(None),
        }
    }

    fn put(&self, value: T) {
        self.lock.enter();
        // SAFETY: the lock is held.
        unsafe { *self.result.get() = Some(value) };
        self.ended.broadcast();
        self.lock.exit();
    }

    #[track_caller]
    fn take(&self) -> T {
        self.lock.enter();
        let value = loop {
            // SAFETY: the lock is held.
            if let Some(value) = unsafe { (*self.result.get()).take() } {
                break value;
            }
            self.ended.wait(&self.lock);
        };
        self.lock.exit();
        value
    }

    fn is_there(&self) -> bool {
        self.lock.enter();
        // SAFETY: the lock is held.
        let is_there = unsafe { (*self.result.get()).is_some() };
        self.lock.exit();
        is_there
    }
}

/// `std::thread::JoinHandle`.
pub struct JoinHandle<T> {
    packet: Arc<Packet<T>>,
    thread: Thread,
}

impl<T> JoinHandle<T> {
    /// Waits until the thread has ended, and gives its result. Context: thread that may sleep.
    ///
    /// # Errors
    ///
    /// None: a panic of the thread has failed the run.
    #[track_caller]
    pub fn join(self) -> Result<T> {
        Ok(self.packet.take())
    }

    /// The thread.
    pub fn thread(&self) -> &Thread {
        &self.thread
    }

    /// Whether it has ended.
    #[track_caller]
    pub fn is_finished(&self) -> bool {
        self.packet.is_there()
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JoinHandle({})", self.thread.0.name)
    }
}

/// Starts a thread. Context: thread of a run.
#[track_caller]
pub fn spawn<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    // SAFETY: everything in it lives as long as is needed.
    unsafe { spawn_unchecked(None, work) }
}

/// # Safety
///
/// What the closure and its result borrow lives until the thread has put its result.
#[track_caller]
unsafe fn spawn_unchecked<'a, T: Send + 'a>(
    name: Option<String>,
    work: impl FnOnce() -> T + Send + 'a,
) -> JoinHandle<T> {
    let world = World::current();
    let id = world.next_thread();
    world.spawns();
    let name = name.unwrap_or_else(|| world.name("thread"));
    let thread = Thread::new(name, id);
    let packet = Arc::new(Packet::new());
    let (own, own_packet) = (thread.clone(), Arc::clone(&packet));
    let body: Box<dyn FnOnce() + Send + 'a> = Box::new(move || {
        let key = std::ptr::from_ref(curlwp()).addr();
        let world = World::current();
        world.know(key, own);
        let value = work();
        own_packet.put(value);
        drop(own_packet);
        drop(world.forget(key));
        world.ends();
    });
    // SAFETY: the caller's promise; after the result is put, only the packet and the thread are used, which it owns.
    let body = unsafe {
        std::mem::transmute::<Box<dyn FnOnce() + Send + 'a>, Box<dyn FnOnce() + Send + 'static>>(
            body,
        )
    };
    let kernel = curlwp().kernel();
    start(kernel, world.next_cpu(), &thread.0.name, false, body);
    JoinHandle { packet, thread }
}

/// `std::thread::Builder`. The size of a stack cannot be chosen.
#[derive(Debug, Default)]
pub struct Builder {
    name: Option<String>,
}

impl Builder {
    /// The usual settings.
    pub fn new() -> Builder {
        Builder::default()
    }

    /// Gives the thread a name. Traces show its first 23 bytes.
    pub fn name(mut self, name: String) -> Builder {
        self.name = Some(name);
        self
    }

    /// Does nothing.
    pub fn stack_size(self, _: usize) -> Builder {
        self
    }

    /// Starts a thread. Context: thread of a run.
    ///
    /// # Errors
    ///
    /// None.
    #[track_caller]
    pub fn spawn<T: Send + 'static>(
        self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<JoinHandle<T>> {
        // SAFETY: everything in it lives as long as is needed.
        Ok(unsafe { spawn_unchecked(self.name, work) })
    }
}

/// `std::thread::Scope`.
pub struct Scope<'scope, 'env: 'scope> {
    running: Arc<Running>,
    _scope: PhantomData<&'scope mut &'scope ()>,
    _env: PhantomData<&'env mut &'env ()>,
}

/// How many threads of a scope run.
struct Running {
    lock: Kmutex,
    ended: Kcondvar,
    /// Protected by the lock.
    count: UnsafeCell<usize>,
}

// SAFETY: the count is accessed with the lock held only.
unsafe impl Sync for Running {}

impl Running {
    fn change(&self, delta: isize) {
        self.lock.enter();
        // SAFETY: the lock is held.
        let count = unsafe { &mut *self.count.get() };
        *count = count.wrapping_add_signed(delta);
        if *count == 0 {
            self.ended.broadcast();
        }
        self.lock.exit();
    }

    fn wait(&self) {
        self.lock.enter();
        // SAFETY: the lock is held.
        while unsafe { *self.count.get() } > 0 {
            self.ended.wait(&self.lock);
        }
        self.lock.exit();
    }
}

/// `std::thread::ScopedJoinHandle`.
pub struct ScopedJoinHandle<'scope, T> {
    handle: JoinHandle<T>,
    _scope: PhantomData<&'scope ()>,
}

impl<T> ScopedJoinHandle<'_, T> {
    /// Waits until the thread has ended, and gives its result. Context: thread that may sleep.
    ///
    /// # Errors
    ///
    /// None: a panic of the thread has failed the run.
    #[track_caller]
    pub fn join(self) -> Result<T> {
        self.handle.join()
    }

    /// The thread.
    pub fn thread(&self) -> &Thread {
        self.handle.thread()
    }

    /// Whether it has ended.
    #[track_caller]
    pub fn is_finished(&self) -> bool {
        self.handle.is_finished()
    }
}

impl<'scope> Scope<'scope, '_> {
    /// Starts a thread that ends before the scope does.
    #[track_caller]
    pub fn spawn<T: Send + 'scope>(
        &'scope self,
        work: impl FnOnce() -> T + Send + 'scope,
    ) -> ScopedJoinHandle<'scope, T> {
        self.running.change(1);
        let running = Arc::clone(&self.running);
        let packet = Arc::new(Packet::new());
        let own = Arc::clone(&packet);
        let work = move || {
            own.put(work());
            drop(own);
            // From here on nothing that is borrowed is used.
            running.change(-1);
        };
        // SAFETY: `scope` waits until the thread is done with everything that is borrowed.
        let JoinHandle { thread, .. } = unsafe { spawn_unchecked(None, work) };
        ScopedJoinHandle {
            handle: JoinHandle { packet, thread },
            _scope: PhantomData,
        }
    }
}

/// Calls `f` with a scope, in which threads can borrow what is outside; waits until all of them have ended.
#[track_caller]
pub fn scope<'env, F, T>(f: F) -> T
where
    F: for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> T,
{
    let scope = Scope {
        running: Arc::new(Running {
            lock: Kmutex::new("scope", Ipl::None),
            ended: Kcondvar::new("scope"),
            count: UnsafeCell::new(0),
        }),
        _scope: PhantomData,
        _env: PhantomData,
    };
    let result = f(&scope);
    scope.running.wait();
    result
}
