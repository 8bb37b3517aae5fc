//! Topics of operations, and the languages of the scenarios that run programs.
//!
//! A program that is decoded from bytes or generated at random uses only a few topics, so that related operations
//! meet more often (swarm testing).

use crate::scenario::ops::form::{Form, forms};
use crate::scenario::{Scenario, ops, softnet};

/// The topic of an operation. Programs that use few topics go deeper than those that mix all of them.
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
    /// rwlock(9), callout(9) and reference counts, as ARP uses them.
    Arp,
    /// Frames that come from other hosts.
    Frames,
    /// Interfaces that are attached, detached, taken up and down.
    Interfaces,
    /// Addresses of this host.
    Addresses,
    /// Routes.
    Routes,
    /// The table of neighbours.
    Neighbours,
    /// Sockets, and what is sent.
    Sockets,
    /// Taps.
    Taps,
    /// The queues of the protocols.
    Queues,
}

/// The language of a program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Language {
    /// The primitives: the scenario `ops`.
    Ops,
    /// The network stack: the scenario `softnet`.
    Softnet,
}

impl Language {
    /// Both.
    pub const ALL: [Language; 2] = [Language::Ops, Language::Softnet];

    /// The language of the programs that a scenario runs, if it runs programs.
    pub fn of(scenario: &Scenario) -> Option<Language> {
        let named = |language: &Language| language.scenario().name == scenario.name;
        Language::ALL.into_iter().find(named)
    }

    /// The scenario that runs its programs.
    pub fn scenario(self) -> &'static Scenario {
        match self {
            Language::Ops => &ops::SCENARIO,
            Language::Softnet => &softnet::SCENARIO,
        }
    }

    /// The topics of its operations.
    pub const fn topics(self) -> &'static [Topic] {
        match self {
            Language::Ops => &[
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
                Topic::Arp,
            ],
            Language::Softnet => &[
                Topic::Sched,
                Topic::Xcall,
                Topic::Frames,
                Topic::Interfaces,
                Topic::Addresses,
                Topic::Routes,
                Topic::Neighbours,
                Topic::Sockets,
                Topic::Taps,
                Topic::Queues,
            ],
        }
    }

    /// Its operations.
    pub fn forms(self) -> impl Iterator<Item = &'static Form> + Clone {
        forms().filter(move |form| self.topics().contains(&form.topic))
    }
}

/// A set of topics for a program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Topics(u32);

impl Topics {
    /// All topics of a language.
    fn all(language: Language) -> Topics {
        let bits = language.topics().iter().map(|&topic| 1 << topic as u32);
        Topics(bits.fold(0, |set, bit| set | bit))
    }

    /// The topics of a language that three bytes select, one each; or all, if the first byte is one of the highest.
    pub fn decode(language: Language, bytes: [u8; 3]) -> Topics {
        // One program in sixteen mixes everything.
        if bytes[0] >= 0xf0 {
            return Topics::all(language);
        }
        let topics = language.topics();
        let bit = |byte: u8| 1 << topics[usize::from(byte) % topics.len()] as u32;
        Topics(bytes.map(bit).iter().fold(0, |set, bit| set | bit))
    }

    /// Whether it contains the topic.
    pub(super) fn contains(self, topic: Topic) -> bool {
        self.0 & (1 << topic as u32) != 0
    }
}
