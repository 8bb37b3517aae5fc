//! A kernel: what its CPUs share, and how it is booted.
//!
//! There is no other global state: everything is reached from the current LWP, so one process can hold many kernels.

use core::sync::atomic::{AtomicU32 as BareU32, AtomicU64, Ordering::Relaxed as Bare};

use crate::config::Config;
use crate::contract;
use crate::kern::condvar::SleepqLocks;
use crate::kern::cpu::{self, Cpu};
use crate::kern::evcnt::Counters;
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
use crate::kern::{callout, idle, kmem, sched, softint, xcall};
use crate::machine::{self, Occasion};
use crate::mem::{AcqRel, Acquire, AtomicBool, AtomicRef, AtomicU32, Local, Relaxed, Release};
use crate::net::Net;
use crate::net::listener::Listener;
use crate::net::mbuf::Mbufs;
use crate::scenario::Scenario;
use crate::scenario::rounds::Rounds;

/// What the CPUs of one kernel share.
pub struct Kernel {
    pub(crate) turnstiles: Turnstiles,
    pub(crate) sleepq_locks: SleepqLocks,
    pub(crate) softints: Softints,
    pub(crate) xcall: Xcall,
    pub(crate) switchpoints: Switchpoints,
    pub(crate) percpu: PercpuArena,
    pub(crate) ipis: Ipis,
    pub(crate) intrs: Intrs,
    /// Protects the exits of LWPs that are joined.
    pub(crate) lwp_lock: Kmutex,
    pub(crate) lwps: AtomicRef<Lwp>,
    /// Actors of the scenario that have not finished.
    pub(crate) actors: AtomicU32,
    pub(crate) mp_online: AtomicBool,
    pub(crate) counters: Counters,
    pub(crate) kmem: Kmem,
    pub(crate) nic_listener: Listener,
    pub(crate) rounds: Rounds,
    pub(crate) mbufs: Mbufs,
    /// The network stack, while a scenario has one.
    pub(crate) net: AtomicRef<Net>,
    cpus: Local<&'static [Cpu]>,
    order: Local<Option<&'static Order>>,
    progress: AtomicU64,
    /// Ticks that CPU 0 has counted.
    pub(crate) ticks: BareU32,
    data: Local<Arg>,
    config: Config,
    scenario: &'static Scenario,
}

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
    actors,
    mp_online,
    mbufs,
    net,
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

    /// The scenario that it runs.
    pub fn scenario(&self) -> &'static Scenario {
        self.scenario
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

    /// Counts progress if `l` is an actor.
    pub(crate) fn count_progress(&self, l: &Lwp) {
        if l.l_actor.peek() {
            self.progress.fetch_add(1, Bare);
        }
    }

    /// The data that the scenario's setup stored for its actors and its check.
    pub fn data(&self) -> Arg {
        self.data.peek()
    }

    /// Stores data for the actors and the check. For a scenario's setup.
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

/// See [`crate::entry::boot`]. Panics: contracts `boot-memory`, `scenario-cpus`.
pub(crate) fn boot(config: &Config, scenario: &'static Scenario) -> &'static Kernel {
    let Some(kernel) = try_boot(config, scenario) else {
        machine::stop(
            machine::Stop::Contract("boot-memory"),
            format_args!("no memory for a kernel of {} CPUs", config.ncpu),
        )
    };
    kernel
}

fn try_boot(config: &Config, scenario: &'static Scenario) -> Option<&'static Kernel> {
    // First of all, so that everything after it has the same address whether or not this is allocated.
    let order = match cfg!(feature = "order") && config.predict {
        true => Some(Order::new()?),
        false => None,
    };
    let kernel = kmem::boot_alloc("kernel", new(config, scenario))?;
    kernel.order.set(order);
    let cpus = cpu::create(kernel, config)?;
    kernel.cpus.set(cpus);
    kernel.switchpoints.init();
    machine::label(kernel, format_args!("kernel"));
    for ci in cpus {
        machine::label(ci, format_args!("cpu{}", ci.index()));
    }
    for ci in cpus {
        idle::create(kernel, ci)?;
    }
    boot_services(kernel, cpus)?;
    Some(kernel)
}

/// The part of the boot that has a current LWP. A separate function: see [`machine::Machine::word`].
#[inline(never)]
fn boot_services(kernel: &'static Kernel, cpus: &'static [Cpu]) -> Option<()> {
    for ci in cpus {
        callout::init_cpu(ci)?;
        softint::init_cpu(kernel, ci)?;
    }
    callout::init(cpus)?;
    xcall::init(kernel)?;
    sched::start_balancer(kernel);
    let scenario = kernel.scenario();
    contract!(
        cpus.len() >= scenario.min_cpus,
        "scenario-cpus",
        "the scenario {} needs {} CPUs, and the machine has {}",
        scenario.name,
        scenario.min_cpus,
        cpus.len()
    );
    softint::keep(kernel);
    machine::happened(Occasion::SetUp);
    (scenario.setup)(kernel);
    machine::happened(Occasion::SetUpOver);
    kernel.mp_online.store(true, Release);
    Some(())
}

fn new(config: &Config, scenario: &'static Scenario) -> Kernel {
    Kernel {
        turnstiles: Turnstiles::new(),
        sleepq_locks: SleepqLocks::new(),
        softints: Softints::new(),
        xcall: Xcall::new(),
        switchpoints: Switchpoints::new(),
        percpu: PercpuArena::new(),
        ipis: Ipis::new(),
        intrs: Intrs::new(),
        lwp_lock: Kmutex::new("lwp_lock", Ipl::None),
        lwps: AtomicRef::new(),
        actors: AtomicU32::new(0),
        mp_online: AtomicBool::new(false),
        counters: Counters::new(),
        kmem: Kmem::default(),
        nic_listener: Listener::new(),
        rounds: Rounds::new(),
        mbufs: Mbufs::new(),
        net: AtomicRef::new(),
        cpus: Local::new(&[]),
        order: Local::new(None),
        progress: AtomicU64::new(0),
        ticks: BareU32::new(0),
        data: Local::new(Arg::NONE),
        config: *config,
        scenario,
    }
}
