//! A kernel: what its CPUs share, and how it is created.
//!
//! There is no other global state: everything is reached from the current LWP, so one process can hold many kernels.
//!
//! What is built on the primitives is attached: the network stack and the scenario keep their state in a slot each, and
//! a device registers the handler of its interrupt line. So this module names nothing above it.

use core::sync::atomic::{AtomicU32 as BareU32, AtomicU64, Ordering::Relaxed as Bare};

use crate::config::Config;
use crate::kern::condvar::SleepqLocks;
use crate::kern::cpu::{self, Cpu};
use crate::kern::evcnt::Counters;
use crate::kern::grace::Graces;
use crate::kern::hooks::Hooks;
use crate::kern::intr::Intrs;
use crate::kern::ipi::Ipis;
use crate::kern::kmem::Kmem;
use crate::kern::lwp::{Arg, Lwp};
use crate::kern::mutex::Kmutex;
use crate::kern::order::Order;
use crate::kern::percpu::PercpuArena;
use crate::kern::pserialize::Switchpoints;
use crate::kern::softint::Softints;
use crate::kern::spl::Ipl;
use crate::kern::turnstile::Turnstiles;
use crate::kern::xcall::Xcall;
use crate::kern::{callout, clock, idle, ipi, kmem, sched, softint, xcall};
use crate::machine::{self, Line};
use crate::mem::{AcqRel, Acquire, AtomicBool, AtomicRef, Local, Relaxed, Release};

/// What the CPUs of one kernel share.
pub struct Kernel {
    pub(crate) turnstiles: Turnstiles,
    pub(crate) sleepq_locks: SleepqLocks,
    pub(crate) softints: Softints,
    pub(crate) xcall: Xcall,
    pub(crate) switchpoints: Switchpoints,
    /// Waits for readers of pserialize(9), and for the handlers of softclock.
    pub(crate) psz_graces: Graces,
    pub(crate) softclock_graces: Graces,
    pub(crate) percpu: PercpuArena,
    pub(crate) ipis: Ipis,
    pub(crate) intrs: Intrs,
    /// Protects the exits of LWPs that are joined.
    pub(crate) lwp_lock: Kmutex,
    pub(crate) lwps: AtomicRef<Lwp>,
    pub(crate) mp_online: AtomicBool,
    pub(crate) counters: Counters,
    pub(crate) kmem: Kmem,
    cpus: Local<&'static [Cpu]>,
    order: Local<Option<&'static Order>>,
    progress: AtomicU64,
    /// Threads that have ended and wait for `kthread_join`, or are still to go after it. Changes with `lwp_lock` held.
    pub(crate) unjoined: BareU32,
    /// Ticks that CPU 0 has counted.
    pub(crate) ticks: BareU32,
    handlers: [Local<Option<Handler>>; Line::ALL.len()],
    /// The check of what is attached, when the machine is at rest.
    rests: Local<Option<fn(&'static Kernel)>>,
    /// What other code has the kernel call.
    pub(crate) hooks: Hooks,
    network: Local<Arg>,
    scenario: Local<Arg>,
    data: Local<Arg>,
    config: Config,
}

/// The handler of an interrupt line. It runs on the CPU whose line is asserted, in a hard interrupt.
pub type Handler = fn(&'static Cpu);

crate::fields!(Kernel {
    turnstiles,
    sleepq_locks,
    softints,
    xcall,
    switchpoints,
    percpu,
    ipis,
    intrs,
    lwp_lock,
    lwps,
    mp_online,
});

impl Kernel {
    /// The CPUs.
    #[inline]
    pub fn cpus(&self) -> &'static [Cpu] {
        self.cpus.peek()
    }

    /// CPU number `index`.
    #[inline]
    pub fn cpu(&self, index: usize) -> &'static Cpu {
        &self.cpus()[index]
    }

    /// What it was booted with.
    #[inline]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The recorded order in which resources are taken, if the kernel is to predict deadlocks.
    #[inline(always)]
    pub(crate) fn order(&self) -> Option<&'static Order> {
        self.order.peek()
    }

    /// The handler of an interrupt line, if there is one.
    #[inline]
    pub(crate) fn handler(&self, line: Line) -> Option<Handler> {
        self.handlers[line as usize].peek()
    }

    /// Sets the handler of an interrupt line, at boot.
    pub(crate) fn handle(&self, line: Line, handler: Handler) {
        self.handlers[line as usize].set(Some(handler));
    }

    /// Has `check` called whenever every CPU idles and no interrupt is asserted, and at the end, at boot: it stops the machine if work is
    /// left.
    pub(crate) fn check_at_rest(&self, check: fn(&'static Kernel)) {
        self.rests.set(Some(check));
    }

    /// Every CPU idles, and no interrupt is asserted: calls the [check](Self::check_at_rest), if there is one.
    pub(crate) fn attached_rests(&'static self) {
        if let Some(check) = self.rests.peek() {
            check(self);
        }
    }

    /// What the network stack keeps for this kernel.
    #[inline]
    pub(crate) fn network(&self) -> Arg {
        self.network.peek()
    }

    /// Stores what the network stack keeps, at boot.
    pub(crate) fn attach_network(&self, network: Arg) {
        self.network.set(network);
    }

    /// What the scenario keeps for this kernel.
    #[inline]
    pub(crate) fn scenario(&self) -> Arg {
        self.scenario.peek()
    }

    /// Stores what the scenario keeps, at boot.
    pub(crate) fn attach_scenario(&self, scenario: Arg) {
        self.scenario.set(scenario);
    }

    /// The event counters.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// All LWPs, the newest first.
    pub fn lwps(&self) -> impl Iterator<Item = &'static Lwp> + use<> {
        let first = self.lwps.peek();
        core::iter::successors(first, |l| l.l_list.peek())
    }

    /// Whether all CPUs run (`mp_online`).
    #[inline]
    pub fn mp_online(&self) -> bool {
        self.mp_online.load_fused(Relaxed)
    }

    pub(crate) fn progress(&self) -> u64 {
        self.progress.load(Bare)
    }

    /// All CPUs run from now on.
    pub(crate) fn go_online(&self) {
        self.mp_online.store(true, Release);
    }

    /// Counts progress if `l` is an actor.
    pub(crate) fn count_progress(&self, l: &Lwp) {
        if l.l_actor.peek() {
            self.progress.fetch_add(1, Bare);
        }
    }

    /// The data that the program stored for its threads and its check.
    pub fn data(&self) -> Arg {
        self.data.peek()
    }

    /// Stores data for the program's threads and its check, at boot.
    pub fn set_data(&self, data: Arg) {
        self.data.set(data);
    }

    /// Adds an LWP to the list of all, which never shrinks.
    pub(crate) fn publish_lwp(&self, l: &'static Lwp) {
        loop {
            let first = self.lwps.load(Acquire);
            l.l_list.store_fused(first, Relaxed);
            if self.lwps.compare_exchange(first, Some(l), AcqRel, Relaxed) {
                return;
            }
        }
    }
}

/// Creates a kernel: its CPUs, their idle LWPs, softints and cross-call threads. `None`: there is no memory.
///
/// The caller attaches what the kernel has besides, and lets it [go online](Kernel::go_online).
pub(crate) fn create(config: &Config) -> Option<&'static Kernel> {
    // First of all, so that everything after it has the same address whether or not this is allocated.
    let order = match cfg!(feature = "order") && config.predict {
        true => Some(Order::new()?),
        false => None,
    };
    let kernel = kmem::boot_alloc("kernel", new(config))?;
    kernel.order.set(order);
    let cpus = cpu::create(kernel, config)?;
    kernel.cpus.set(cpus);
    kernel.switchpoints.init();
    kernel.handle(Line::Clock, clock::hardclock);
    kernel.handle(Line::Ipi, ipi::intr);
    machine::label(kernel, format_args!("kernel"));
    for ci in cpus {
        machine::label(ci, format_args!("cpu{}", ci.index()));
    }
    for ci in cpus {
        idle::create(kernel, ci)?;
    }
    start_services(kernel, cpus)?;
    Some(kernel)
}

/// The part that has a current LWP. A separate function: see [`machine::Machine::word`].
#[inline(never)]
fn start_services(kernel: &'static Kernel, cpus: &'static [Cpu]) -> Option<()> {
    for ci in cpus {
        callout::init_cpu(ci)?;
        softint::init_cpu(kernel, ci)?;
    }
    callout::init(cpus)?;
    xcall::init(kernel)?;
    sched::start_balancer(kernel);
    Some(())
}

fn new(config: &Config) -> Kernel {
    Kernel {
        turnstiles: Turnstiles::new(),
        sleepq_locks: SleepqLocks::new(),
        softints: Softints::new(),
        xcall: Xcall::new(),
        switchpoints: Switchpoints::new(),
        psz_graces: Graces::new(),
        softclock_graces: Graces::new(),
        percpu: PercpuArena::new(),
        ipis: Ipis::new(),
        intrs: Intrs::new(),
        lwp_lock: Kmutex::new("lwp_lock", Ipl::None),
        lwps: AtomicRef::new(),
        mp_online: AtomicBool::new(false),
        counters: Counters::new(),
        kmem: Kmem::default(),
        cpus: Local::new(&[]),
        order: Local::new(None),
        progress: AtomicU64::new(0),
        unjoined: BareU32::new(0),
        ticks: BareU32::new(0),
        hooks: Hooks::new(),
        handlers: [const { Local::new(None) }; Line::ALL.len()],
        rests: Local::new(None),
        network: Local::new(Arg::NONE),
        scenario: Local::new(Arg::NONE),
        data: Local::new(Arg::NONE),
        config: *config,
    }
}
