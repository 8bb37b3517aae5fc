//! The operations: their names and operands.

use core::fmt;

use crate::scenario::ops::interpreter::{self, Actor};
use crate::scenario::ops::runner::{self, Runs};
use crate::scenario::ops::topic::Topic;
use crate::scenario::ops::{MAX_CPUS, MAX_LWPS};
use crate::scenario::ops::{
    arp, inet, key, localcount, pcq, percpu, psref, rwlock, softint, workqueue, world,
};
use crate::scenario::softnet;

/// An operand of an operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Operand {
    /// Its name in help texts.
    pub name: &'static str,
    /// Its smallest value.
    pub first: u8,
    /// How many values it has.
    pub count: u8,
}

pub(crate) const fn operand(name: &'static str, first: u8, count: u8) -> Operand {
    Operand { name, first, count }
}

/// The name and operands of an operation.
#[derive(Debug)]
pub struct Form {
    /// Its name.
    pub word: &'static str,
    /// Its topic.
    pub topic: Topic,
    /// One line: what it does.
    pub help: &'static str,
    /// Its operands.
    pub operands: &'static [Operand],
    pub(crate) run: Run,
}

/// The function of an operation, by the world that it works on.
#[derive(Clone, Copy)]
pub(crate) enum Run {
    /// The LWP that performs it, in every language.
    Lwp(fn(&mut dyn Runs, [u8; 2])),
    /// The world of `ops`.
    Ops(fn(&mut Actor, [u8; 2])),
    /// The world of `softnet`.
    Softnet(fn(&mut softnet::Actor, [u8; 2])),
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Run::Lwp(_) => "Lwp",
            Run::Ops(_) => "Ops",
            Run::Softnet(_) => "Softnet",
        })
    }
}

/// Every operation of every language. A replay file identifies them by name, so their order may change.
pub fn forms() -> impl Iterator<Item = &'static Form> + Clone {
    FORMS.iter().chain(softnet::FORMS)
}

const MUTEX: Operand = operand("mutex", 0, world::MUTEXES as u8);
const LEAF: Operand = operand("leaf", 0, world::LEAVES as u8);
const SPIN: Operand = operand("spin", 0, world::SPINS as u8);
const CV: Operand = operand("cv", 0, world::CVS as u8);
const SOFTINT: Operand = operand("softint", 0, world::SOFTINTS as u8);
const CPU: Operand = operand("cpu", 0, MAX_CPUS as u8);
const LWP: Operand = operand("lwp", 0, MAX_LWPS as u8);
const TICKS: Operand = operand("ticks", 1, 3);
const LEVEL: Operand = operand("level", 1, 4);
const COUNTED: Operand = operand("object", 0, localcount::OBJECTS as u8);
const TARGET: Operand = operand("target", 0, psref::TARGETS as u8);
const PSREF: Operand = operand("psref", 0, psref::HELD as u8);
const RWLOCK: Operand = operand("rwlock", 0, rwlock::RWLOCKS as u8);
const MODE: Operand = operand("mode", 0, 2);
const QUEUE: Operand = operand("queue", 0, workqueue::QUEUES as u8);
const NEIGHBOUR: Operand = operand("neighbour", 0, arp::NEIGHBOURS as u8);
const ITEM: Operand = operand("item", 0, workqueue::ITEMS as u8);

/// The operations of `ops`; those on the LWP itself belong to every language.
static FORMS: &[Form] = &[
    Form {
        word: "mutex_enter",
        topic: Topic::Mutex,
        help: "take an outer mutex, if in order",
        operands: &[MUTEX],
        run: Run::Ops(interpreter::mutex_enter),
    },
    Form {
        word: "mutex_exit",
        topic: Topic::Mutex,
        help: "leave the outer mutex taken last",
        operands: &[],
        run: Run::Ops(interpreter::mutex_exit),
    },
    Form {
        word: "leaf_section",
        topic: Topic::Mutex,
        help: "a short section under an adaptive mutex that handlers take too",
        operands: &[LEAF],
        run: Run::Ops(interpreter::leaf_section),
    },
    Form {
        word: "spin_section",
        topic: Topic::Mutex,
        help: "a short section under a spin mutex",
        operands: &[SPIN],
        run: Run::Ops(interpreter::spin_section),
    },
    Form {
        word: "cv_produce",
        topic: Topic::Condvar,
        help: "add a token and signal",
        operands: &[CV],
        run: Run::Ops(interpreter::cv_produce),
    },
    Form {
        word: "cv_consume",
        topic: Topic::Condvar,
        help: "take a token; wait a while for one",
        operands: &[CV, TICKS],
        run: Run::Ops(interpreter::cv_consume),
    },
    Form {
        word: "kpause",
        topic: Topic::Sched,
        help: "sleep",
        operands: &[TICKS],
        run: Run::Lwp(runner::kpause),
    },
    Form {
        word: "xc_broadcast",
        topic: Topic::Xcall,
        help: "a low-priority cross call to all CPUs",
        operands: &[],
        run: Run::Lwp(runner::xc_broadcast),
    },
    Form {
        word: "xc_broadcast_high",
        topic: Topic::Xcall,
        help: "a cross call to all CPUs by softints",
        operands: &[LEVEL],
        run: Run::Lwp(runner::xc_broadcast_high),
    },
    Form {
        word: "xc_unicast",
        topic: Topic::Xcall,
        help: "a low-priority cross call to one CPU",
        operands: &[CPU],
        run: Run::Lwp(runner::xc_unicast),
    },
    Form {
        word: "xc_unicast_high",
        topic: Topic::Xcall,
        help: "a cross call to one CPU by a softint",
        operands: &[CPU, LEVEL],
        run: Run::Lwp(runner::xc_unicast_high),
    },
    Form {
        word: "callout_reset",
        topic: Topic::Callout,
        help: "arm the LWP's callout",
        operands: &[TICKS],
        run: Run::Ops(interpreter::callout_reset),
    },
    Form {
        word: "callout_stop",
        topic: Topic::Callout,
        help: "disarm the LWP's callout",
        operands: &[],
        run: Run::Ops(interpreter::callout_stop),
    },
    Form {
        word: "callout_halt",
        topic: Topic::Callout,
        help: "disarm the LWP's callout and wait for its handler",
        operands: &[],
        run: Run::Ops(interpreter::callout_halt),
    },
    Form {
        word: "callout_repeat",
        topic: Topic::Callout,
        help: "arm the LWP's callout, whose handler arms it again, before (0) or after (1) its work, until it is halted",
        operands: &[MODE],
        run: Run::Ops(interpreter::callout_repeat),
    },
    Form {
        word: "callout_halt_locked",
        topic: Topic::Callout,
        help: "as callout_halt, with the mutex that the handler takes as the interlock",
        operands: &[],
        run: Run::Ops(interpreter::callout_halt_locked),
    },
    Form {
        word: "callout_barrier",
        topic: Topic::Callout,
        help: "wait for the handler of the LWP's callout, if it runs",
        operands: &[],
        run: Run::Ops(interpreter::callout_barrier),
    },
    Form {
        word: "softint_establish",
        topic: Topic::Softint,
        help: "establish a softint of the LWP's own, unless it has one",
        operands: &[LEVEL],
        run: Run::Ops(softint::establish),
    },
    Form {
        word: "softint_schedule_own",
        topic: Topic::Softint,
        help: "schedule the LWP's own softint on a CPU",
        operands: &[CPU],
        run: Run::Ops(softint::schedule),
    },
    Form {
        word: "softint_disestablish",
        topic: Topic::Softint,
        help: "disestablish the LWP's own softint",
        operands: &[],
        run: Run::Ops(softint::disestablish),
    },
    Form {
        word: "softint_schedule",
        topic: Topic::Softint,
        help: "schedule a softint here",
        operands: &[SOFTINT],
        run: Run::Ops(interpreter::softint_schedule),
    },
    Form {
        word: "softint_schedule_cpu",
        topic: Topic::Softint,
        help: "schedule a softint on a CPU",
        operands: &[SOFTINT, CPU],
        run: Run::Ops(interpreter::softint_schedule_cpu),
    },
    Form {
        word: "curlwp_bind",
        topic: Topic::Sched,
        help: "stay on this CPU from now on",
        operands: &[],
        run: Run::Lwp(runner::curlwp_bind),
    },
    Form {
        word: "curlwp_bindx",
        topic: Topic::Sched,
        help: "end the last curlwp_bind",
        operands: &[],
        run: Run::Lwp(runner::curlwp_bindx),
    },
    Form {
        word: "lwp_migrate",
        topic: Topic::Sched,
        help: "move another LWP by this many CPUs, unless it is bound",
        operands: &[LWP, CPU],
        run: Run::Lwp(runner::lwp_migrate),
    },
    Form {
        word: "yield",
        topic: Topic::Sched,
        help: "let others run",
        operands: &[],
        run: Run::Lwp(runner::yield_now),
    },
    Form {
        word: "spl_section",
        topic: Topic::Softint,
        help: "a section at a soft level",
        operands: &[LEVEL],
        run: Run::Ops(interpreter::spl_section),
    },
    Form {
        word: "kmem",
        topic: Topic::Kthread,
        help: "allocate, use and free memory",
        operands: &[],
        run: Run::Ops(interpreter::kmem),
    },
    Form {
        word: "kthread",
        topic: Topic::Kthread,
        help: "create a thread and join it",
        operands: &[CPU],
        run: Run::Ops(interpreter::kthread),
    },
    Form {
        word: "percpu_add",
        topic: Topic::Percpu,
        help: "count in per-CPU storage",
        operands: &[],
        run: Run::Ops(percpu::add),
    },
    Form {
        word: "percpu_alloc",
        topic: Topic::Percpu,
        help: "allocate per-CPU storage: what there is may move",
        operands: &[],
        run: Run::Ops(percpu::alloc),
    },
    Form {
        word: "percpu_free",
        topic: Topic::Percpu,
        help: "free the per-CPU storage allocated last",
        operands: &[],
        run: Run::Ops(percpu::free),
    },
    Form {
        word: "percpu_foreach",
        topic: Topic::Percpu,
        help: "sum what all CPUs counted, from here",
        operands: &[],
        run: Run::Ops(percpu::foreach),
    },
    Form {
        word: "percpu_foreach_xcall",
        topic: Topic::Percpu,
        help: "look at the per-CPU storage of all CPUs by softints",
        operands: &[LEVEL],
        run: Run::Ops(percpu::foreach_xcall),
    },
    Form {
        word: "localcount_acquire",
        topic: Topic::Localcount,
        help: "look an object up and count a reference",
        operands: &[COUNTED],
        run: Run::Ops(localcount::acquire),
    },
    Form {
        word: "localcount_release",
        topic: Topic::Localcount,
        help: "release the counted reference taken last",
        operands: &[],
        run: Run::Ops(localcount::release),
    },
    Form {
        word: "localcount_hand_over",
        topic: Topic::Localcount,
        help: "have a softint release the counted reference taken last",
        operands: &[],
        run: Run::Ops(localcount::hand_over),
    },
    Form {
        word: "localcount_drain",
        topic: Topic::Localcount,
        help: "replace an object, and drain the old one, if nothing is held",
        operands: &[COUNTED],
        run: Run::Ops(localcount::drain),
    },
    Form {
        word: "psref_acquire",
        topic: Topic::Psref,
        help: "look a target up and take a passive reference; stay on this CPU",
        operands: &[TARGET],
        run: Run::Ops(psref::acquire),
    },
    Form {
        word: "psref_copy",
        topic: Topic::Psref,
        help: "copy a passive reference",
        operands: &[PSREF],
        run: Run::Ops(psref::copy),
    },
    Form {
        word: "psref_release",
        topic: Topic::Psref,
        help: "release a passive reference",
        operands: &[PSREF],
        run: Run::Ops(psref::release),
    },
    Form {
        word: "psref_destroy",
        topic: Topic::Psref,
        help: "replace a target, and destroy the old one, if nothing is held",
        operands: &[TARGET],
        run: Run::Ops(psref::destroy),
    },
    Form {
        word: "psref_class",
        topic: Topic::Psref,
        help: "create a class, hold a reference of it, and destroy it",
        operands: &[],
        run: Run::Ops(psref::class),
    },
    Form {
        word: "ifaddr_add",
        topic: Topic::Netinet,
        help: "give the interface an address, which starts its timer",
        operands: &[],
        run: Run::Ops(inet::address_add),
    },
    Form {
        word: "if_detach",
        topic: Topic::Netinet,
        help: "purge the addresses of the interface",
        operands: &[],
        run: Run::Ops(inet::detach),
    },
    Form {
        word: "ifaddr_lookup",
        topic: Topic::Netinet,
        help: "look the addresses up in a read section",
        operands: &[],
        run: Run::Ops(inet::lookup),
    },
    Form {
        word: "pserialize_read",
        topic: Topic::Netinet,
        help: "a read section in a read section",
        operands: &[],
        run: Run::Ops(inet::read_section),
    },
    Form {
        word: "socreate",
        topic: Topic::Netinet,
        help: "a short section under softnet_lock",
        operands: &[],
        run: Run::Ops(inet::socket),
    },
    Form {
        word: "dad_timer",
        topic: Topic::Netinet,
        help: "start the timer of the interface, which takes softnet_lock",
        operands: &[],
        run: Run::Ops(inet::timer_start),
    },
    Form {
        word: "dad_timer_halt",
        topic: Topic::Netinet,
        help: "stop it and wait for its handler",
        operands: &[],
        run: Run::Ops(inet::timer_stop),
    },
    Form {
        word: "sa_add",
        topic: Topic::Netipsec,
        help: "add an entry to the table of netipsec",
        operands: &[],
        run: Run::Ops(key::add),
    },
    Form {
        word: "sa_lookup",
        topic: Topic::Netipsec,
        help: "find an entry and keep it",
        operands: &[],
        run: Run::Ops(key::lookup),
    },
    Form {
        word: "sa_unref",
        topic: Topic::Netipsec,
        help: "release the entry that was found last",
        operands: &[],
        run: Run::Ops(key::unref),
    },
    Form {
        word: "sa_packet",
        topic: Topic::Netipsec,
        help: "work on an entry, bound, with a passive reference",
        operands: &[],
        run: Run::Ops(key::packet),
    },
    Form {
        word: "sa_destroy",
        topic: Topic::Netipsec,
        help: "destroy an entry, if nothing is held",
        operands: &[],
        run: Run::Ops(key::destroy),
    },
    Form {
        word: "rw_enter",
        topic: Topic::Rwlock,
        help: "take an rwlock to read (0) or to write (1), if in order",
        operands: &[RWLOCK, MODE],
        run: Run::Ops(rwlock::rw_enter),
    },
    Form {
        word: "rw_tryenter",
        topic: Topic::Rwlock,
        help: "try to take an rwlock to read (0) or to write (1)",
        operands: &[RWLOCK, MODE],
        run: Run::Ops(rwlock::rw_tryenter),
    },
    Form {
        word: "rw_exit",
        topic: Topic::Rwlock,
        help: "leave the rwlock with the highest number",
        operands: &[],
        run: Run::Ops(rwlock::rw_exit),
    },
    Form {
        word: "rw_downgrade",
        topic: Topic::Rwlock,
        help: "go from writing to reading",
        operands: &[],
        run: Run::Ops(rwlock::rw_downgrade),
    },
    Form {
        word: "rw_tryupgrade",
        topic: Topic::Rwlock,
        help: "try to go from reading to writing",
        operands: &[],
        run: Run::Ops(rwlock::rw_tryupgrade),
    },
    Form {
        word: "wq_enqueue",
        topic: Topic::Workqueue,
        help: "enqueue a work of the LWP, unless it waits for its turn already",
        operands: &[QUEUE, ITEM],
        run: Run::Ops(workqueue::wq_enqueue),
    },
    Form {
        word: "wq_enqueue_cpu",
        topic: Topic::Workqueue,
        help: "enqueue a work of the LWP for the worker of a CPU",
        operands: &[ITEM, CPU],
        run: Run::Ops(workqueue::wq_enqueue_cpu),
    },
    Form {
        word: "wq_errand",
        topic: Topic::Workqueue,
        help: "enqueue a work that its function frees",
        operands: &[QUEUE],
        run: Run::Ops(workqueue::wq_errand),
    },
    Form {
        word: "wq_wait",
        topic: Topic::Workqueue,
        help: "wait for a work of the LWP",
        operands: &[ITEM],
        run: Run::Ops(workqueue::wq_wait),
    },
    Form {
        word: "pcq_put",
        topic: Topic::Pcq,
        help: "put an item, and schedule the consumer on a CPU",
        operands: &[CPU],
        run: Run::Ops(pcq::pcq_put),
    },
    Form {
        word: "pcq_drain",
        topic: Topic::Pcq,
        help: "take every available item",
        operands: &[],
        run: Run::Ops(pcq::pcq_drain),
    },
    Form {
        word: "arp_send",
        topic: Topic::Arp,
        help: "a packet to a neighbour: sent, or held and the neighbour asked",
        operands: &[NEIGHBOUR],
        run: Run::Ops(arp::send),
    },
    Form {
        word: "arp_answer",
        topic: Topic::Arp,
        help: "a neighbour answers: its entry, if there is one, is good again, and what it held is sent",
        operands: &[NEIGHBOUR],
        run: Run::Ops(arp::answer),
    },
    Form {
        word: "arp_ask",
        topic: Topic::Arp,
        help: "a neighbour asks for us: it has an entry from then on",
        operands: &[NEIGHBOUR],
        run: Run::Ops(arp::ask),
    },
    Form {
        word: "arp_set",
        topic: Topic::Arp,
        help: "set the entry of a neighbour by hand: it does not expire",
        operands: &[NEIGHBOUR],
        run: Run::Ops(arp::set),
    },
    Form {
        word: "arp_delete",
        topic: Topic::Arp,
        help: "delete the entry of a neighbour",
        operands: &[NEIGHBOUR],
        run: Run::Ops(arp::delete),
    },
    Form {
        word: "arp_purge",
        topic: Topic::Arp,
        help: "delete all entries, as if the interface went",
        operands: &[],
        run: Run::Ops(arp::purge),
    },
    Form {
        word: "arp_keep",
        topic: Topic::Arp,
        help: "find the entry of a neighbour and keep it",
        operands: &[NEIGHBOUR],
        run: Run::Ops(arp::keep),
    },
    Form {
        word: "arp_unref",
        topic: Topic::Arp,
        help: "release the entry that was found last",
        operands: &[],
        run: Run::Ops(arp::unref),
    },
];
