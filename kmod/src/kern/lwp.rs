//! lwp(9): threads of the kernel, and `curlwp_bind`.
//!
//! # Overview
//!
//! An LWP's state (`l_stat`, `l_wchan`, the queues it is on) is protected by *the LWP's lock*. That is the spin mutex
//! that `l_mutex` points to: of the run queue, of the CPU it runs on, of a sleep queue or of a turnstile chain.
//! `Lwp::lock` follows the pointer.
//!
//! # Examples
//!
//! ```
//! use hostshim::example::run;
//! use kmod::kern::lwp::{curcpu, curlwp, curlwp_bind, curlwp_bindx};
//! use kmod::kern::synch::kpause;
//!
//! run(|| {
//!     let bound = curlwp_bind();
//!     let here = curcpu().index();
//!     kpause("pause", 1, None); // other threads run, and this one stays on its CPU
//!     assert_eq!(curcpu().index(), here);
//!     curlwp_bindx(bound);
//!     assert!(!curlwp().is_bound());
//! });
//! ```
//!
//! # Invariants
//!
//! 1. `l_pflag` (LP_BOUND, …) is written only by the LWP itself, while it runs.
//! 2. An LWP never changes its own `l_cpu`; others change it only while the LWP is not running, under its lock.
//! 3. `l_running` (LP_RUNNING) is cleared by the LWP that runs next, after the stack was left.
//!
//! # Binding
//!
//! Between [`curlwp_bind`] and [`curlwp_bindx`] an LWP may sleep and be preempted, but resumes on the same CPU.
//! `sched_takecpu`, `sched_catchlwp`, the count of movable LWPs and `mi_switch` respect this, and nothing else does.
//! Softint LWPs and threads created for a CPU are always bound.
//!
//! # Differences from NetBSD
//!
//! There are no processes, signals, suspension or credentials. LP_RUNNING is a separate atomic. The memory of an
//! exited LWP stays with its kernel and is reused for later LWPs. So the owner of a mutex can be read without a
//! reference; NetBSD uses a passively serialized pool for this.
//!
//! # Sources
//!
//! curlwp_bind(9); `sys/kern/kern_lwp.c` 1.269, `sys/sys/lwp.h`.

pub mod layout;

use core::fmt;

use crate::contract;
use crate::kern::callout::Callout;
use crate::kern::condvar::Kcondvar;
use crate::kern::cpu::Cpu;
use crate::kern::inside::{Nest, Operations};
use crate::kern::kmem;
use crate::kern::mutex::Kmutex;
use crate::kern::order;
use crate::kern::shares::Shares;
use crate::kern::sleepq::{Sleepq, SyncObj};
use crate::kern::synch;
use crate::kern::turnstile::Turnstile;
use crate::kernel::Kernel;
use crate::machine::{self, Context};
use crate::mem::{
    self, Acquire, AtomicBool, AtomicPtr, AtomicRef, AtomicU32, Guarded, Local, Plain, Private,
    Relaxed, Release,
};
use crate::note;

/// An argument for a function: a word, or a reference whose type the function knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Arg(pub usize);

impl Arg {
    /// No argument.
    pub const NONE: Arg = Arg(0);

    /// Makes an argument of a reference.
    pub fn of<T>(object: &T) -> Arg {
        Arg(core::ptr::from_ref(object) as usize)
    }

    /// Returns the reference.
    ///
    /// # Safety
    ///
    /// 1. The argument was made by [`Arg::of`] from a `T`. 2. The `T` is alive. For memory of the kernel's allocator
    ///    the simulated machine checks this when the object's cells are accessed.
    #[track_caller]
    pub unsafe fn get<T>(self) -> &'static T {
        // SAFETY: the caller's promise.
        unsafe { mem::object(self.0 as *const T) }
    }
}

/// A name of at most 23 bytes, kept inline.
#[derive(Clone, Copy, Debug)]
pub struct Name {
    bytes: [u8; 23],
    length: u8,
}

impl Name {
    /// Formats a name; the part that does not fit is cut off.
    pub fn format(text: fmt::Arguments<'_>) -> Name {
        let mut name = Name {
            bytes: [0; 23],
            length: 0,
        };
        // A name that is too long is cut; this is not an error.
        let _ = fmt::Write::write_fmt(&mut name, text);
        name
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(&self.bytes[..self.length as usize]).unwrap_or("?")
    }
}

impl fmt::Write for Name {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for &byte in text.as_bytes() {
            if (self.length as usize) < self.bytes.len() && byte.is_ascii() {
                self.bytes[self.length as usize] = byte;
                self.length += 1;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// `l_stat`: what an LWP is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stat {
    /// Being created, or a softint at rest (`LSIDL`).
    Idl,
    /// On a run queue (`LSRUN`).
    Run,
    /// On a CPU (`LSONPROC`).
    Onproc,
    /// On a sleep queue (`LSSLEEP`).
    Sleep,
    /// Has exited (`LSZOMB`).
    Zomb,
}

/// The LWP is bound to its CPU.
pub const LP_BOUND: u32 = 1 << 0;
/// The LWP is a soft interrupt.
pub const LP_INTR: u32 = 1 << 1;
/// The LWP is being preempted.
pub const LP_PREEMPTING: u32 = 1 << 2;
/// The LWP is the idle LWP of its CPU. (NetBSD keeps this one in `l_flag`.)
pub const LP_IDLE: u32 = 1 << 3;

/// Priority bands. A higher number runs first.
pub mod pri {
    /// The idle LWPs.
    pub const IDLE: u8 = 0;
    /// Ordinary threads (the user band).
    pub const USER: u8 = 1;
    /// Threads that hold, or have just waited for, a kernel resource.
    pub const KERNEL: u8 = 2;
    /// Kernel threads.
    pub const KTHREAD: u8 = 3;
    /// The cross-call threads: the top of the kernel threads' band.
    pub const XCALL: u8 = 4;
    /// Softclock; the other levels follow.
    pub const SOFTCLOCK: u8 = 5;
    /// Softbio.
    pub const SOFTBIO: u8 = 6;
    /// Softnet.
    pub const SOFTNET: u8 = 7;
    /// Softserial.
    pub const SOFTSERIAL: u8 = 8;
}

/// A thread of the kernel (`struct lwp`).
///
/// The alignment leaves the low bits of its address free: a mutex keeps its flags there.
#[repr(align(16))]
pub struct Lwp {
    /// The CPU it runs on, or ran on last, or will run on.
    pub(crate) l_cpu: AtomicRef<Cpu>,
    /// The spin mutex that protects its state now.
    pub(crate) l_mutex: AtomicRef<Kmutex>,
    /// LP_RUNNING: its stack is in use.
    pub(crate) l_running: AtomicBool,
    /// Flags of its own: LP_*.
    pub(crate) l_pflag: AtomicU32,
    /// Kernel preemption is off while this is not 0.
    pub(crate) l_nopreempt: Private<i32>,
    pub(crate) l_stat: Guarded<Stat>,
    pub(crate) l_priority: Guarded<u8>,
    /// The CPU that it moves to when it is switched out.
    pub(crate) l_target_cpu: Guarded<Option<&'static Cpu>>,
    /// A softint's: the LWP that it interrupted.
    pub(crate) l_switchto: Local<Option<&'static Lwp>>,
    /// What it sleeps on, or 0.
    pub(crate) l_wchan: Guarded<usize>,
    pub(crate) l_sleepq: Guarded<Option<&'static Sleepq>>,
    pub(crate) l_syncobj: Guarded<SyncObj>,
    pub(crate) l_wmesg: Guarded<&'static str>,
    pub(crate) l_stimo: Guarded<bool>,
    /// Whether the sleep that it is in, or has just left, has a timeout: for checks.
    pub(crate) l_timed: Private<bool>,
    /// Whether the timeout of its sleep is a backstop ([`sleepq::Timeout::Backstop`](crate::kern::sleepq::Timeout)).
    pub(crate) l_backstop: Guarded<bool>,
    /// Neighbours on a sleep queue.
    pub(crate) l_sleepchain: Chain,
    /// Neighbours on a run queue.
    pub(crate) l_runq: Chain,
    /// The turnstile that it contributes when it blocks.
    pub(crate) l_ts: Guarded<Option<&'static Turnstile>>,
    /// A mutex that it spins for: for reports.
    pub(crate) l_wantlock: AtomicPtr,
    /// The operations it is inside of: for reports.
    pub(crate) l_inside: Nest,
    /// An rwlock that it waits for: for reports.
    pub(crate) l_wantrw: AtomicPtr,
    /// Ends its sleeps.
    pub(crate) l_timeout_ch: Callout,
    /// Number of its context switches (`l_ncsw`).
    pub(crate) l_ncsw: Private<u64>,
    /// Ticks during which it was running, since the balancer last ran.
    pub(crate) l_rticks: AtomicU32,
    /// Ticks left of its time slice.
    pub(crate) l_timeslice: Guarded<u32>,
    /// Adaptive mutexes and rwlocks that it holds: for contracts.
    pub(crate) l_locks: Private<i32>,
    /// Passive references that it holds: for contracts.
    pub(crate) l_psrefs: Private<i32>,
    /// Rwlocks that it reads, and localcounts that it has references to: for contracts and reports.
    pub(crate) l_shares: Shares,
    pub(crate) l_func: Plain<Option<fn(Arg)>>,
    pub(crate) l_arg: Plain<Arg>,
    /// Whether somebody will join it; under the kernel's `lwp_lock`.
    pub(crate) l_joinable: Plain<bool>,
    /// Whether it has exited; under the kernel's `lwp_lock`.
    pub(crate) l_exited: Plain<bool>,
    pub(crate) l_exitcv: Kcondvar,
    /// Whether it counts as an actor of the scenario.
    pub(crate) l_actor: Plain<bool>,
    /// Whether it has exited and left its stack, so that a new LWP may reuse it.
    pub(crate) l_reusable: AtomicBool,
    /// The next in the list of all LWPs of the kernel.
    pub(crate) l_list: AtomicRef<Lwp>,
    /// Fields that only C has, see [`layout::L_DATA`].
    pub(crate) l_data: [Local<u64>; 1],
    l_name: Plain<Name>,
    l_context: Plain<Option<Context>>,
    l_kernel: &'static Kernel,
}

crate::fields!(Lwp as Kernel {
    l_cpu,
    l_mutex,
    l_running,
    l_pflag,
    l_nopreempt,
    l_stat,
    l_priority,
    l_target_cpu,
    l_switchto,
    l_wchan,
    l_sleepq,
    l_syncobj,
    l_wmesg,
    l_stimo,
    l_backstop,
    l_sleepchain,
    l_runq,
    l_ts,
    l_wantlock,
    l_inside,
    l_wantrw,
    l_timeout_ch,
    l_ncsw,
    l_rticks,
    l_timeslice,
    l_locks,
    l_psrefs,
    l_func,
    l_arg,
    l_joinable,
    l_exited,
    l_exitcv,
    l_actor,
    l_reusable,
    l_list,
    l_name,
    l_context,
});

/// The links of an LWP on one queue, under the lock of that queue.
#[derive(Default)]
pub struct Chain {
    pub(crate) next: Guarded<Option<&'static Lwp>>,
    pub(crate) prev: Guarded<Option<&'static Lwp>>,
}

crate::fields!(Chain { next, prev });

impl Lwp {
    /// Its name: `xcall/0`, `softclk/1`, or what the creator chose.
    pub fn name(&self) -> Name {
        self.l_name.peek()
    }

    /// Its context in the host.
    pub(crate) fn context(&self) -> Context {
        match self.l_context.peek() {
            Some(context) => context,
            None => unreachable!("{} has no context", self.name()),
        }
    }

    /// Its kernel.
    pub fn kernel(&self) -> &'static Kernel {
        self.l_kernel
    }

    /// `l_cpu` without a step: for the running LWP, which owns it, and for reports.
    #[inline(always)]
    pub(crate) fn cpu_unlocked(&self) -> &'static Cpu {
        match self.l_cpu.look() {
            Some(ci) => ci,
            None if cfg!(feature = "contracts") => unreachable!("an LWP without a CPU"),
            // SAFETY: `prepare` gives an LWP its CPU before anybody knows the LWP, and it always has one from then on.
            None => unsafe { core::hint::unreachable_unchecked() },
        }
    }

    /// Number of context switches of the running LWP (`lwp_pctr`).
    pub fn pctr(&self) -> u64 {
        self.l_ncsw.get()
    }

    /// The operations that it is inside of: for reports.
    pub fn operations(&self) -> Operations {
        self.l_inside.operations()
    }

    /// Reads something of the CPU that the LWP, which is the current one, runs on.
    ///
    /// With preemption on, the LWP may be moved between the read of `l_cpu` and the read of the CPU. Then its number
    /// of context switches has changed, and it reads again (`lwp_pctr`). So `read` must not announce its access: one that is
    /// repeated is no race.
    #[inline]
    pub(crate) fn of_cpu<T>(&self, read: impl Fn(&'static Cpu) -> T) -> T {
        loop {
            let switches = self.l_ncsw.get();
            core::sync::atomic::compiler_fence(crate::mem::SeqCst);
            let value = read(self.cpu_unlocked());
            core::sync::atomic::compiler_fence(crate::mem::SeqCst);
            if self.l_ncsw.get() == switches {
                return value;
            }
        }
    }

    /// `l_cpu`, as part of the current step. For the holder of the LWP's lock.
    #[inline(always)]
    #[track_caller]
    pub(crate) fn cpu_fused(&self) -> &'static Cpu {
        match self.l_cpu.load_fused(Relaxed) {
            Some(ci) => ci,
            None => unreachable!("an LWP without a CPU"),
        }
    }

    /// `l_pflag`. Only the LWP itself changes it; others may read it at any time and may get an old value. The host
    /// does not see the access: it orders nothing, and happens very often.
    #[inline(always)]
    pub(crate) fn pflag(&self) -> u32 {
        self.l_pflag.look()
    }

    /// Changes `l_pflag` of the running LWP.
    #[inline(always)]
    pub(crate) fn set_pflag(&self, pflag: u32) {
        self.l_pflag.store_fused(pflag, Relaxed);
    }

    /// Whether this is a softint.
    #[inline]
    pub fn is_softint(&self) -> bool {
        self.pflag() & LP_INTR != 0
    }

    /// Whether this is the idle LWP of its CPU.
    #[inline]
    pub fn is_idle(&self) -> bool {
        self.pflag() & LP_IDLE != 0
    }

    /// Whether it is bound to its CPU.
    #[inline]
    pub fn is_bound(&self) -> bool {
        self.pflag() & LP_BOUND != 0
    }

    /// Counts the adaptive locks that the running LWP holds, for contracts.
    #[inline(always)]
    pub(crate) fn count_lock(&self, change: i32) {
        if cfg!(feature = "contracts") {
            self.l_locks.set(self.l_locks.get() + change);
        }
    }

    /// Locks the LWP: enters whichever spin mutex protects it (`lwp_lock`).
    #[track_caller]
    pub(crate) fn lock(&self) -> &'static Kmutex {
        loop {
            let mutex = self.mutex();
            mutex.spin_enter();
            if core::ptr::eq(self.mutex_fused(), mutex) {
                return mutex;
            }
            mutex.spin_exit();
        }
    }

    /// Unlocks the LWP (`lwp_unlock`).
    #[track_caller]
    pub(crate) fn unlock(&self) {
        self.mutex_fused().spin_exit();
    }

    /// Whether the LWP's lock is `mutex` (`lwp_locked`): for contracts.
    pub(crate) fn locked_by(&self, mutex: &Kmutex) -> bool {
        core::ptr::eq(self.mutex_fused(), mutex) && mutex.owned()
    }

    #[track_caller]
    fn mutex(&self) -> &'static Kmutex {
        self.l_mutex
            .load(Acquire)
            .unwrap_or_else(|| unreachable!("an LWP without a lock"))
    }

    /// The LWP's lock, as part of the current step. For its holder.
    #[track_caller]
    pub(crate) fn mutex_fused(&self) -> &'static Kmutex {
        self.l_mutex
            .load_fused(Acquire)
            .unwrap_or_else(|| unreachable!("an LWP without a lock"))
    }

    /// Makes `mutex` the LWP's lock (`lwp_setlock`). The caller holds both.
    #[track_caller]
    pub(crate) fn setlock(&self, mutex: &'static Kmutex) {
        self.l_mutex.store_fused(Some(mutex), Release);
    }

    /// Makes `mutex`, which the caller holds, the LWP's lock, and releases the old one (`lwp_unlock_to`).
    #[track_caller]
    pub(crate) fn unlock_to(&self, mutex: &'static Kmutex) {
        let old = self.mutex_fused();
        self.setlock(mutex);
        old.spin_exit();
    }

    /// Sets up a new or reused LWP as `spec` says. A reused one is known to others, so it is locked during this.
    fn prepare(&'static self, spec: &Spec, context: Context) {
        let ci = spec.cpu;
        let lock = self.l_mutex.peek().map(|_| self.lock());
        self.l_name.set_fused(spec.name);
        self.l_context.set_fused(Some(context));
        self.l_cpu.store_fused(Some(ci), Relaxed);

        self.set_pflag(spec.pflag);
        self.l_nopreempt.set(0);
        self.l_locks.set(0);
        self.l_psrefs.set(0);
        self.l_shares.clear();
        self.l_stat.set(Stat::Idl);
        self.l_priority.set(spec.priority);
        self.l_target_cpu.set(None);
        self.l_func.set_fused(Some(spec.func));
        self.l_arg.set_fused(spec.arg);
        self.l_joinable.set_fused(spec.joinable);
        self.l_exited.set_fused(false);
        self.l_actor.set_fused(spec.actor);
        self.l_rticks.store_fused(0, Relaxed);
        self.l_timeslice.set(self.l_kernel.config().timeslice_ticks);
        // Last: from now on the lock of its CPU protects it.
        self.setlock(&ci.ci_schedstate.spc_lwplock);
        if let Some(lock) = lock {
            lock.spin_exit();
        }
        machine::label(self, format_args!("{}", spec.name));
        if let Some(ts) = self.l_ts.peek() {
            machine::label(ts, format_args!("{}.turnstile", spec.name));
        }
    }
}

/// The properties of a new LWP.
pub(crate) struct Spec {
    pub(crate) name: Name,
    pub(crate) cpu: &'static Cpu,
    pub(crate) priority: u8,
    pub(crate) pflag: u32,
    pub(crate) func: fn(Arg),
    pub(crate) arg: Arg,
    pub(crate) joinable: bool,
    pub(crate) actor: bool,
}

/// Creates an LWP, at rest (`LSIDL`). `None` if there is no memory for it.
///
/// Context: thread, or boot.
pub(crate) fn lwp_create(
    kernel: &'static Kernel,
    spec: &Spec,
    entry: fn(*const ()) -> !,
) -> Option<&'static Lwp> {
    let recycled = recycle(kernel);
    let l = match recycled {
        Some(l) => l,
        None => allocate(kernel)?,
    };
    let context = match kmem::is_refused(kernel, "stack") {
        true => None,
        false => machine::context_create(spec.name.as_str(), entry, core::ptr::from_ref(l).cast()),
    };
    let Some(context) = context else {
        match recycled {
            Some(l) => l.l_reusable.store(true, Release),
            None => discard(l),
        }
        return None;
    };
    l.prepare(spec, context);
    if recycled.is_none() {
        kernel.publish_lwp(l);
    }
    Some(l)
}

/// The first function of an ordinary LWP: takes over from the previous one, runs its function, exits.
pub(crate) fn lwp_trampoline(arg: *const ()) -> ! {
    // SAFETY: `lwp_create` gave the LWP, which lives as long as its kernel.
    let l: &'static Lwp = unsafe { &*arg.cast::<Lwp>() };
    synch::lwp_startup(l);
    if l.l_joinable.get_fused() {
        order::thread_begins();
    }
    if let Some(func) = l.l_func.get_fused() {
        func(l.l_arg.get_fused());
    }
    crate::kern::kthread::kthread_exit()
}

/// Reuses an LWP that has exited and left its stack. Softints never exit, and whatever is older than they are belongs to the
/// kernel itself, and does not either.
fn recycle(kernel: &'static Kernel) -> Option<&'static Lwp> {
    let mut recent = kernel.lwps().take_while(|l| !l.is_softint());
    let l = recent.find(|l| {
        l.l_reusable.load(Relaxed)
            && l.l_reusable
                .compare_exchange(true, false, Acquire, Relaxed)
                .is_ok()
    })?;
    if let Some(context) = l.l_context.get_fused() {
        l.l_context.set_fused(None);
        // SAFETY: it exited, and its successor on the CPU said that it has left its stack.
        unsafe { machine::context_destroy(context) };
    }
    Some(l)
}

fn allocate(kernel: &'static Kernel) -> Option<&'static Lwp> {
    if kmem::is_refused(kernel, "lwp") {
        return None;
    }
    let l = kmem::boot_alloc(
        "lwp",
        Lwp {
            l_cpu: AtomicRef::new(),
            l_mutex: AtomicRef::new(),
            l_running: AtomicBool::new(false),
            l_pflag: AtomicU32::new(0),
            l_nopreempt: Private::new(0),
            l_stat: Guarded::new(Stat::Idl),
            l_priority: Guarded::new(0),
            l_target_cpu: Guarded::new(None),
            l_switchto: Local::new(None),
            l_wchan: Guarded::new(0),
            l_sleepq: Guarded::new(None),
            l_data: [const { Local::new(0) }; 1],
            l_syncobj: Guarded::new(SyncObj::Sched),
            l_wmesg: Guarded::new(""),
            l_stimo: Guarded::new(false),
            l_timed: Private::new(false),
            l_backstop: Guarded::new(false),
            l_sleepchain: Chain::default(),
            l_runq: Chain::default(),
            l_ts: Guarded::new(None),
            l_wantlock: AtomicPtr::new(core::ptr::null_mut()),
            l_inside: Nest::new(),
            l_wantrw: AtomicPtr::new(core::ptr::null_mut()),
            l_timeout_ch: Callout::new(),
            l_ncsw: Private::new(0),
            l_rticks: AtomicU32::new(0),
            l_timeslice: Guarded::new(0),
            l_locks: Private::new(0),
            l_psrefs: Private::new(0),
            l_shares: Shares::new(),
            l_func: Plain::new(None),
            l_arg: Plain::new(Arg::NONE),
            l_joinable: Plain::new(false),
            l_exited: Plain::new(false),
            l_exitcv: Kcondvar::new("lwpexit"),
            l_actor: Plain::new(false),
            l_reusable: AtomicBool::new(false),
            l_list: AtomicRef::new(),
            l_name: Plain::new(Name::format(format_args!("lwp"))),
            l_context: Plain::new(None),
            l_kernel: kernel,
        },
    )?;
    let ts = match kmem::is_refused(kernel, "turnstile") {
        true => None,
        false => kmem::boot_alloc("turnstile", Turnstile::new()),
    };
    l.l_ts.set(ts);
    if ts.is_none() {
        discard(l);
        return None;
    }
    l.l_timeout_ch.init(kernel.cpu(0));
    l.l_timeout_ch
        .setfunc(crate::kern::sleepq::sleepq_timeout, Arg::of(l));
    Some(l)
}

/// Frees an LWP of [`allocate`] that was never published.
fn discard(l: &'static Lwp) {
    if let Some(ts) = l.l_ts.peek() {
        // SAFETY: (1) it came from `boot_alloc`; (2) it is that of this LWP only, which nobody knows.
        unsafe { kmem::boot_free(ts) };
    }
    // SAFETY: likewise.
    unsafe { kmem::boot_free(l) };
}

/// The LWP that runs on this CPU.
#[inline(always)]
pub fn curlwp() -> &'static Lwp {
    // SAFETY: the kernel attaches a CPU with its running LWP, at boot and at every switch.
    unsafe { &*machine::word().cast::<Lwp>() }
}

/// The CPU that executes the call. The result is stale as soon as the caller can be preempted, unless it is bound.
#[inline(always)]
pub fn curcpu() -> &'static Cpu {
    curlwp().cpu_unlocked()
}

/// Binds the current LWP to its CPU. Pass the result to [`curlwp_bindx`].
///
/// Context: any. Calls nest. Costs one store to memory of the LWP itself.
#[inline]
#[track_caller]
pub fn curlwp_bind() -> u32 {
    let l = curlwp();
    let pflag = l.pflag();
    l.set_pflag(pflag | LP_BOUND);
    core::sync::atomic::compiler_fence(crate::mem::SeqCst);
    note!(
        "{} binds itself to cpu{}",
        l.name(),
        l.cpu_unlocked().index()
    );
    pflag & LP_BOUND
}

/// Undoes the [`curlwp_bind`] that returned `bound`.
///
/// Context: any. Panics (contract `bind-balance`) if the LWP is not bound.
#[inline]
#[track_caller]
pub fn curlwp_bindx(bound: u32) {
    let l = curlwp();
    let pflag = l.pflag();
    contract!(
        pflag & LP_BOUND != 0,
        "bind-balance",
        "curlwp_bindx({bound}) in {}, which is not bound: bind and bindx must balance",
        l.name()
    );
    core::sync::atomic::compiler_fence(crate::mem::SeqCst);
    l.set_pflag(pflag ^ (bound ^ LP_BOUND));
}

/// Whether the caller stays on its CPU: it is bound, preemption is off, or it is in an interrupt.
pub fn on_this_cpu() -> bool {
    let l = curlwp();
    l.is_bound() || l.is_softint() || synch::kpreempt_disabled()
}
