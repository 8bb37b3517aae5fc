//! What operations are about.
//!
//! A program that is made of bytes or at random keeps to a few topics: operations that have to do with each other meet
//! more often so (swarm testing).

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
    /// rwlock(9), callout(9) and reference counts, as ARP uses them.
    Arp,
}

impl Topic {
    /// Every topic.
    pub const ALL: [Topic; 16] = [
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
    ];
}

/// A set of topics: what a program may be about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Topics(u32);

impl Topics {
    /// The topics that three bytes name, one each; or all, if the first byte is one of the highest.
    pub fn decode(bytes: [u8; 3]) -> Topics {
        // One program in sixteen mixes everything.
        if bytes[0] >= 0xf0 {
            return Topics(u32::MAX);
        }
        let bit = |byte: u8| 1 << (usize::from(byte) % Topic::ALL.len());
        Topics(bytes.map(bit).iter().fold(0, |set, bit| set | bit))
    }

    /// Whether it is one of them.
    pub(super) fn contains(self, topic: Topic) -> bool {
        self.0 & (1 << topic as u32) != 0
    }
}
