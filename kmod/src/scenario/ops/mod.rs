//! The operation language: programs that fuzzers write and replay files keep.
//!
//! # Overview
//!
//! A program is a list of operations for each of a few LWPs, over a small world of shared objects
//! (`world`). Every program is within the contracts: an operation that its LWP must not make in
//! the state it is in (a second lock out of order, say) does nothing. So whatever breaks is a
//! primitive, or this interpreter.
//!
//! # Text
//!
//! One operation a line: the word of its [`Form`] and its operands, as in `callout_reset 2`.
//! [`Op::decode`] gives every three bytes a meaning, [`FORMS`] gives every operation a text. A program that is made of
//! bytes or at random keeps to a few [`Topics`]: operations that have to do with each other meet more often so (swarm
//! testing).
//!
//! # What is checked
//!
//! At each operation: that a bound LWP is on its CPU, that sections exclude each other, that a
//! callout does not run after `callout_halt`, that cross calls keep their promise. At the end: that
//! nothing was lost (counts, tokens, softints, references), that all locks are free and all memory is back.

use core::fmt;

use crate::config::{Config, Wiring};
use crate::history::{Bug, History};
use crate::kern::lwp::Arg;
use crate::kernel::Kernel;
use crate::scenario::classics::shared;
use crate::scenario::{FIXED, Kind, Scenario, Variant, actor, share};

mod inet;
mod interpreter;
mod key;
mod localcount;
mod pcq;
mod percpu;
mod psref;
mod rwlock;
mod workqueue;
mod world;

use world::World;

/// LWPs a program can have.
pub const MAX_LWPS: usize = 6;
/// Operations an LWP can have.
pub const MAX_OPS: usize = 24;
/// CPUs a program can ask for.
pub const MAX_CPUS: usize = 4;

/// What an operand of an operation is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Operand {
    /// What it is called in help texts.
    pub name: &'static str,
    /// Its smallest value.
    pub first: u8,
    /// How many values it has.
    pub count: u8,
}

const fn operand(name: &'static str, first: u8, count: u8) -> Operand {
    Operand { name, first, count }
}

/// What an operation is about. Programs that keep to a few topics go deeper than those that mix all of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Topic {
    /// Sleeping, yielding, binding, migrating.
    Sched,
    /// mutex(9).
    Mutex,
    /// condvar(9).
    Condvar,
    /// xcall(9).
    Xcall,
    /// callout(9).
    Callout,
    /// softint(9), spl(9).
    Softint,
    /// kthread(9), kmem(9).
    Kthread,
    /// percpu(9).
    Percpu,
    /// localcount(9).
    Localcount,
    /// psref(9).
    Psref,
    /// pserialize(9) and callouts, as netinet uses them.
    Netinet,
    /// pserialize(9), psref(9) and localcount(9), as netipsec uses them.
    Netipsec,
    /// rwlock(9).
    Rwlock,
    /// workqueue(9).
    Workqueue,
    /// pcq(9).
    Pcq,
}

impl Topic {
    /// Every topic.
    pub const ALL: [Topic; 15] = [
        Topic::Sched,
        Topic::Mutex,
        Topic::Condvar,
        Topic::Xcall,
        Topic::Callout,
        Topic::Softint,
        Topic::Kthread,
        Topic::Percpu,
        Topic::Localcount,
        Topic::Psref,
        Topic::Netinet,
        Topic::Netipsec,
        Topic::Rwlock,
        Topic::Workqueue,
        Topic::Pcq,
    ];
}

/// A set of topics: what a program may be about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Topics(u16);

impl Topics {
    /// The topics that three bytes name, one each; or all, if the first byte is one of the highest.
    pub fn decode(bytes: [u8; 3]) -> Topics {
        // One program in sixteen mixes everything.
        if bytes[0] >= 0xf0 {
            return Topics(u16::MAX);
        }
        let bit = |byte: u8| 1 << (usize::from(byte) % Topic::ALL.len());
        Topics(bytes.map(bit).iter().fold(0, |set, bit| set | bit))
    }

    fn contains(self, topic: Topic) -> bool {
        self.0 & (1 << topic as u16) != 0
    }

    /// The forms of these topics.
    fn forms(self) -> impl Iterator<Item = (usize, &'static Form)> + Clone {
        let all = FORMS.iter().enumerate();
        all.filter(move |(_, form)| self.contains(form.topic))
    }
}

/// How an operation is written, and what it takes.
#[derive(Debug)]
pub struct Form {
    /// Its word.
    pub word: &'static str,
    /// What it is about.
    pub topic: Topic,
    /// What it does, in a line.
    pub help: &'static str,
    /// Its operands.
    pub operands: &'static [Operand],
    pub(crate) run: fn(&mut interpreter::Actor, [u8; 2]),
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
const ITEM: Operand = operand("item", 0, workqueue::ITEMS as u8);

/// Every operation. A replay file names them by word, so their order may change.
pub static FORMS: &[Form] = &[
    Form {
        word: "mutex_enter",
        topic: Topic::Mutex,
        help: "take an outer mutex, if in order",
        operands: &[MUTEX],
        run: interpreter::mutex_enter,
    },
    Form {
        word: "mutex_exit",
        topic: Topic::Mutex,
        help: "leave the outer mutex taken last",
        operands: &[],
        run: interpreter::mutex_exit,
    },
    Form {
        word: "leaf_section",
        topic: Topic::Mutex,
        help: "a short section under an adaptive mutex that handlers take too",
        operands: &[LEAF],
        run: interpreter::leaf_section,
    },
    Form {
        word: "spin_section",
        topic: Topic::Mutex,
        help: "a short section under a spin mutex",
        operands: &[SPIN],
        run: interpreter::spin_section,
    },
    Form {
        word: "cv_produce",
        topic: Topic::Condvar,
        help: "add a token and signal",
        operands: &[CV],
        run: interpreter::cv_produce,
    },
    Form {
        word: "cv_consume",
        topic: Topic::Condvar,
        help: "take a token; wait a while for one",
        operands: &[CV, TICKS],
        run: interpreter::cv_consume,
    },
    Form {
        word: "kpause",
        topic: Topic::Sched,
        help: "sleep",
        operands: &[TICKS],
        run: interpreter::kpause,
    },
    Form {
        word: "xc_broadcast",
        topic: Topic::Xcall,
        help: "a low-priority cross call to all CPUs",
        operands: &[],
        run: interpreter::xc_broadcast,
    },
    Form {
        word: "xc_broadcast_high",
        topic: Topic::Xcall,
        help: "a cross call to all CPUs by softints",
        operands: &[LEVEL],
        run: interpreter::xc_broadcast_high,
    },
    Form {
        word: "xc_unicast",
        topic: Topic::Xcall,
        help: "a low-priority cross call to one CPU",
        operands: &[CPU],
        run: interpreter::xc_unicast,
    },
    Form {
        word: "xc_unicast_high",
        topic: Topic::Xcall,
        help: "a cross call to one CPU by a softint",
        operands: &[CPU, LEVEL],
        run: interpreter::xc_unicast_high,
    },
    Form {
        word: "callout_reset",
        topic: Topic::Callout,
        help: "arm the LWP's callout",
        operands: &[TICKS],
        run: interpreter::callout_reset,
    },
    Form {
        word: "callout_stop",
        topic: Topic::Callout,
        help: "disarm the LWP's callout",
        operands: &[],
        run: interpreter::callout_stop,
    },
    Form {
        word: "callout_halt",
        topic: Topic::Callout,
        help: "disarm the LWP's callout and wait for its handler",
        operands: &[],
        run: interpreter::callout_halt,
    },
    Form {
        word: "softint_schedule",
        topic: Topic::Softint,
        help: "schedule a softint here",
        operands: &[SOFTINT],
        run: interpreter::softint_schedule,
    },
    Form {
        word: "softint_schedule_cpu",
        topic: Topic::Softint,
        help: "schedule a softint on a CPU",
        operands: &[SOFTINT, CPU],
        run: interpreter::softint_schedule_cpu,
    },
    Form {
        word: "curlwp_bind",
        topic: Topic::Sched,
        help: "stay on this CPU from now on",
        operands: &[],
        run: interpreter::curlwp_bind,
    },
    Form {
        word: "curlwp_bindx",
        topic: Topic::Sched,
        help: "end the last curlwp_bind",
        operands: &[],
        run: interpreter::curlwp_bindx,
    },
    Form {
        word: "lwp_migrate",
        topic: Topic::Sched,
        help: "have another LWP moved so many CPUs further, unless it is bound",
        operands: &[LWP, CPU],
        run: interpreter::lwp_migrate,
    },
    Form {
        word: "yield",
        topic: Topic::Sched,
        help: "let others run",
        operands: &[],
        run: interpreter::yield_now,
    },
    Form {
        word: "spl_section",
        topic: Topic::Softint,
        help: "a section at a soft level",
        operands: &[LEVEL],
        run: interpreter::spl_section,
    },
    Form {
        word: "kmem",
        topic: Topic::Kthread,
        help: "allocate, use and free memory",
        operands: &[],
        run: interpreter::kmem,
    },
    Form {
        word: "kthread",
        topic: Topic::Kthread,
        help: "create a thread and join it",
        operands: &[CPU],
        run: interpreter::kthread,
    },
    Form {
        word: "percpu_add",
        topic: Topic::Percpu,
        help: "count in per-CPU storage",
        operands: &[],
        run: percpu::add,
    },
    Form {
        word: "percpu_alloc",
        topic: Topic::Percpu,
        help: "allocate per-CPU storage: what there is may move",
        operands: &[],
        run: percpu::alloc,
    },
    Form {
        word: "percpu_free",
        topic: Topic::Percpu,
        help: "free the per-CPU storage allocated last",
        operands: &[],
        run: percpu::free,
    },
    Form {
        word: "percpu_foreach",
        topic: Topic::Percpu,
        help: "sum what all CPUs counted, from here",
        operands: &[],
        run: percpu::foreach,
    },
    Form {
        word: "percpu_foreach_xcall",
        topic: Topic::Percpu,
        help: "look at the per-CPU storage of all CPUs by softints",
        operands: &[LEVEL],
        run: percpu::foreach_xcall,
    },
    Form {
        word: "localcount_acquire",
        topic: Topic::Localcount,
        help: "look an object up and count a reference",
        operands: &[COUNTED],
        run: localcount::acquire,
    },
    Form {
        word: "localcount_release",
        topic: Topic::Localcount,
        help: "release the counted reference taken last",
        operands: &[],
        run: localcount::release,
    },
    Form {
        word: "localcount_hand_over",
        topic: Topic::Localcount,
        help: "have a softint release the counted reference taken last",
        operands: &[],
        run: localcount::hand_over,
    },
    Form {
        word: "localcount_drain",
        topic: Topic::Localcount,
        help: "replace an object, and drain the old one, if nothing is held",
        operands: &[COUNTED],
        run: localcount::drain,
    },
    Form {
        word: "psref_acquire",
        topic: Topic::Psref,
        help: "look a target up and take a passive reference; stay on this CPU",
        operands: &[TARGET],
        run: psref::acquire,
    },
    Form {
        word: "psref_copy",
        topic: Topic::Psref,
        help: "copy a passive reference",
        operands: &[PSREF],
        run: psref::copy,
    },
    Form {
        word: "psref_release",
        topic: Topic::Psref,
        help: "release a passive reference",
        operands: &[PSREF],
        run: psref::release,
    },
    Form {
        word: "psref_destroy",
        topic: Topic::Psref,
        help: "replace a target, and destroy the old one, if nothing is held",
        operands: &[TARGET],
        run: psref::destroy,
    },
    Form {
        word: "ifaddr_add",
        topic: Topic::Netinet,
        help: "give the interface an address, which starts its timer",
        operands: &[],
        run: inet::address_add,
    },
    Form {
        word: "if_detach",
        topic: Topic::Netinet,
        help: "purge the addresses of the interface",
        operands: &[],
        run: inet::detach,
    },
    Form {
        word: "ifaddr_lookup",
        topic: Topic::Netinet,
        help: "look the addresses up in a read section",
        operands: &[],
        run: inet::lookup,
    },
    Form {
        word: "pserialize_read",
        topic: Topic::Netinet,
        help: "a read section in a read section",
        operands: &[],
        run: inet::read_section,
    },
    Form {
        word: "socreate",
        topic: Topic::Netinet,
        help: "a short section under softnet_lock",
        operands: &[],
        run: inet::socket,
    },
    Form {
        word: "dad_timer",
        topic: Topic::Netinet,
        help: "start the timer of the interface, which takes softnet_lock",
        operands: &[],
        run: inet::timer_start,
    },
    Form {
        word: "dad_timer_halt",
        topic: Topic::Netinet,
        help: "stop it and wait for its handler",
        operands: &[],
        run: inet::timer_stop,
    },
    Form {
        word: "sa_add",
        topic: Topic::Netipsec,
        help: "add an entry to the table of netipsec",
        operands: &[],
        run: key::add,
    },
    Form {
        word: "sa_lookup",
        topic: Topic::Netipsec,
        help: "find an entry and keep it",
        operands: &[],
        run: key::lookup,
    },
    Form {
        word: "sa_unref",
        topic: Topic::Netipsec,
        help: "give the entry back that was found last",
        operands: &[],
        run: key::unref,
    },
    Form {
        word: "sa_packet",
        topic: Topic::Netipsec,
        help: "work on an entry, bound, with a passive reference",
        operands: &[],
        run: key::packet,
    },
    Form {
        word: "sa_destroy",
        topic: Topic::Netipsec,
        help: "destroy an entry, if nothing is held",
        operands: &[],
        run: key::destroy,
    },
    Form {
        word: "rw_enter",
        topic: Topic::Rwlock,
        help: "take an rwlock to read (0) or to write (1), if in order",
        operands: &[RWLOCK, MODE],
        run: rwlock::rw_enter,
    },
    Form {
        word: "rw_tryenter",
        topic: Topic::Rwlock,
        help: "try to take an rwlock to read (0) or to write (1)",
        operands: &[RWLOCK, MODE],
        run: rwlock::rw_tryenter,
    },
    Form {
        word: "rw_exit",
        topic: Topic::Rwlock,
        help: "leave the rwlock with the highest number",
        operands: &[],
        run: rwlock::rw_exit,
    },
    Form {
        word: "rw_downgrade",
        topic: Topic::Rwlock,
        help: "go from writing to reading",
        operands: &[],
        run: rwlock::rw_downgrade,
    },
    Form {
        word: "rw_tryupgrade",
        topic: Topic::Rwlock,
        help: "try to go from reading to writing",
        operands: &[],
        run: rwlock::rw_tryupgrade,
    },
    Form {
        word: "wq_enqueue",
        topic: Topic::Workqueue,
        help: "enqueue a work of the LWP, unless it waits for its turn already",
        operands: &[QUEUE, ITEM],
        run: workqueue::wq_enqueue,
    },
    Form {
        word: "wq_enqueue_cpu",
        topic: Topic::Workqueue,
        help: "enqueue a work of the LWP for the worker of a CPU",
        operands: &[ITEM, CPU],
        run: workqueue::wq_enqueue_cpu,
    },
    Form {
        word: "wq_errand",
        topic: Topic::Workqueue,
        help: "enqueue a work that its function frees",
        operands: &[QUEUE],
        run: workqueue::wq_errand,
    },
    Form {
        word: "wq_wait",
        topic: Topic::Workqueue,
        help: "wait for a work of the LWP",
        operands: &[ITEM],
        run: workqueue::wq_wait,
    },
    Form {
        word: "pcq_put",
        topic: Topic::Pcq,
        help: "put an item, and schedule the consumer on a CPU",
        operands: &[CPU],
        run: pcq::pcq_put,
    },
    Form {
        word: "pcq_drain",
        topic: Topic::Pcq,
        help: "take all items that can be had",
        operands: &[],
        run: pcq::pcq_drain,
    },
];

/// One operation: a form and its operands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Op {
    form: u8,
    operands: [u8; 2],
}

impl Op {
    /// An operation on one of these topics out of any three bytes.
    pub fn decode(topics: Topics, bytes: [u8; 3]) -> Op {
        let forms = topics.forms();
        let chosen = usize::from(bytes[0]) % forms.clone().count().max(1);
        // Every topic has operations, and a set of topics is never empty.
        let (number, form) = forms.clone().nth(chosen).unwrap_or((0, &FORMS[0]));
        let mut operands = [0; 2];
        for (value, (operand, byte)) in operands
            .iter_mut()
            .zip(form.operands.iter().zip(&bytes[1..]))
        {
            *value = operand.first + byte % operand.count;
        }
        Op {
            form: number as u8,
            operands,
        }
    }

    /// An operation out of its word and operands. The error says what is wrong with which word (0: the operation's).
    pub fn parse<'a>(words: impl Iterator<Item = &'a str>) -> Result<Op, (usize, &'static str)> {
        let mut words = words;
        let word = words.next().unwrap_or("");
        let form = FORMS
            .iter()
            .position(|f| f.word == word)
            .ok_or((0, "no such operation"))?;
        let mut operands = [0; 2];
        for (i, operand) in FORMS[form].operands.iter().enumerate() {
            let text = words.next().ok_or((i + 1, "an operand is missing"))?;
            let value: u8 = text.parse().map_err(|_| (i + 1, "not a number"))?;
            if !(operand.first..operand.first + operand.count).contains(&value) {
                return Err((i + 1, "out of range"));
            }
            operands[i] = value;
        }
        match words.next() {
            Some(_) => Err((FORMS[form].operands.len() + 1, "one operand too many")),
            None => Ok(Op {
                form: form as u8,
                operands,
            }),
        }
    }

    /// Its form.
    pub fn form(&self) -> &'static Form {
        &FORMS[self.form as usize]
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.form().word)?;
        for (_, value) in self.form().operands.iter().zip(self.operands) {
            write!(f, " {value}")?;
        }
        Ok(())
    }
}

/// What one LWP does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Script {
    ops: [Op; MAX_OPS],
    length: u8,
}

impl Default for Script {
    fn default() -> Self {
        Script::EMPTY
    }
}

impl Script {
    /// Nothing to do.
    pub const EMPTY: Script = Script {
        ops: [Op {
            form: 0,
            operands: [0; 2],
        }; MAX_OPS],
        length: 0,
    };

    /// Its operations.
    pub fn ops(&self) -> &[Op] {
        &self.ops[..self.length as usize]
    }

    /// Adds an operation; false if the script is full.
    pub fn push(&mut self, op: Op) -> bool {
        let room = (self.length as usize) < MAX_OPS;
        if room {
            self.ops[self.length as usize] = op;
            self.length += 1;
        }
        room
    }
}

/// What all LWPs do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Program {
    /// A script for each LWP; LWP `n` begins on CPU `n` modulo the number of CPUs.
    pub scripts: [Script; MAX_LWPS],
}

/// Gives a kernel that was booted with [`SCENARIO`] the program that its actors are to run.
///
/// Context: the host, before the actors run.
pub fn load(kernel: &'static Kernel, program: &Program) {
    shared::<World>(kernel.data()).load(program);
}

/// The interpreter of a program; without [`load`] the program is empty.
pub static SCENARIO: Scenario = Scenario {
    name: "ops",
    summary: "a program of operations over every primitive, as a fuzzer or a replay file gives it",
    about: "Up to six LWPs run lists of operations: locks, condition variables, cross calls, callouts, softints, \
            migrations, priorities, per-CPU storage, references of both kinds. Every program is within the contracts; what breaks is a primitive.",
    variants: VARIANTS,
    min_cpus: 1,
    default_cpus: 2,
    kind: Kind::Sound,
    configure: |_: &mut Config| {},
    setup: |kernel| {
        let world = share("world", World::new());
        crate::machine::label(world, format_args!("world"));
        kernel.set_data(Arg::of(world));
        world.establish(kernel);
        for index in 0..MAX_LWPS {
            actor(
                kernel,
                world::LWP_NAMES[index],
                index,
                interpreter::run,
                Arg(index),
            );
        }
    },
    verify: |kernel| shared::<World>(kernel.data()).verify(kernel),
    teardown: |kernel| {
        shared::<World>(kernel.data()).disestablish(kernel);
        crate::scenario::classics::free_data::<World>(kernel);
    },
};

/// Every historical variant there is: any of them may show in an arbitrary program.
pub const VARIANTS: &[Variant] = &[
    FIXED,
    old("historical", Bug::XcallTailp.summary(), &[Bug::XcallTailp]),
    old("as-told", Bug::XcallDonep.summary(), &[Bug::XcallDonep]),
    old(
        "perform-vs-callout",
        "what the scenario of that name calls historical",
        &[Bug::PserializeKpause, Bug::PurgeHoldsSoftnetLock],
    ),
    Variant {
        xcall: Some(Wiring::Rump),
        ..old(
            "drain-vs-perform",
            "what the scenario of that name calls historical",
            &[Bug::PerformHoldsMutex],
        )
    },
    old(
        "bind-vs-migration",
        "what the scenario of that name calls historical",
        &[Bug::SwitchIgnoresBound],
    ),
];

const fn old(name: &'static str, summary: &'static str, bugs: &[Bug]) -> Variant {
    let mut history = History::NONE;
    let mut index = 0;
    while index < bugs.len() {
        history = history.with(bugs[index]);
        index += 1;
    }
    Variant {
        name,
        summary,
        history,
        xcall: None,
        fails: true,
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::ToString;

    #[test]
    fn every_op_has_a_text_that_reads_back() {
        for a in 0..=255u8 {
            for (b, c) in [(0, 0), (1, 255), (77, 3), (255, 128)] {
                let op = Op::decode(Topics::decode([0xff, 0, 0]), [a, b, c]);
                let text = op.to_string();
                assert_eq!(Op::parse(text.split(' ')), Ok(op), "{text}");
            }
        }
    }

    #[test]
    fn every_topic_has_operations() {
        for (number, topic) in Topic::ALL.into_iter().enumerate() {
            assert_eq!(topic as usize, number);
            assert!(FORMS.iter().any(|form| form.topic == topic), "{topic:?}");
        }
        let few = Topics::decode([1, 2, 2]);
        for byte in 0..=255 {
            let topic = Op::decode(few, [byte, 0, 0]).form().topic;
            assert!(matches!(topic, Topic::Mutex | Topic::Condvar), "{topic:?}");
        }
    }

    #[test]
    fn words_are_distinct() {
        for (i, form) in FORMS.iter().enumerate() {
            assert!(
                FORMS[..i].iter().all(|f| f.word != form.word),
                "{}",
                form.word
            );
        }
    }

    #[test]
    fn a_wrong_word_is_named() {
        assert_eq!(
            Op::parse("mutex_entr 1".split(' ')),
            Err((0, "no such operation"))
        );
        assert_eq!(
            Op::parse("mutex_enter".split(' ')),
            Err((1, "an operand is missing"))
        );
        assert_eq!(
            Op::parse("mutex_enter x".split(' ')),
            Err((1, "not a number"))
        );
        assert_eq!(
            Op::parse("mutex_enter 9".split(' ')),
            Err((1, "out of range"))
        );
        assert_eq!(
            Op::parse("mutex_enter 1 1".split(' ')),
            Err((2, "one operand too many"))
        );
    }

    #[test]
    fn a_script_has_a_bound() {
        let mut script = Script::default();
        let pushed = (0..100).filter(|_| script.push(Op::default())).count();
        assert_eq!(pushed, MAX_OPS);
        assert_eq!(script.ops().len(), MAX_OPS);
    }
}
