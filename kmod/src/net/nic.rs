//! nic: the driver of the machine's network cards.
//!
//! # Overview
//!
//! A card that has received something interrupts a CPU. The handler *claims* each receive queue that is free, and schedules a
//! softint at the level of softnet on its CPU. The softint copies each frame into a packet ([`machine::nic_receive`]) and gives it
//! to the interface. When there are no more frames, it releases the claim. Without a stack the interrupt goes to a [`listener`].
//!
//! # Contexts
//!
//! `intr`: hard interrupt at IPL_VM. `attach`: thread, or boot. Sending: softint up to softnet, or thread.
//!
//! # A frame that arrives when the softint has just looked
//!
//! Its interrupt may come on another CPU, which finds the queue claimed. The handler leaves a note (AGAIN) in the claim. The softint
//! finds the note when it releases the claim, and looks again:
//!
//! ```text
//! softint on cpu0                      interrupt on cpu1
//! nic_receive: None
//!                                      a frame; claimed by cpu0: AGAIN
//! release: AGAIN, so still claimed
//! nic_receive: the frame
//! nic_receive: None
//! release: free
//! ```
//!
//! # Under load
//!
//! The softints of the protocols have the same level, and run only when this one returns. So it takes at most half as many frames
//! as the ring of a protocol holds, keeps its claims, and schedules itself again.
//!
//! A softint that schedules itself could outlive `softint_disestablish`, which waits only for runs that are queued already. So the
//! stack is removed from the kernel first, and a softint that finds no stack does nothing.
//!
//! # Invariants
//!
//! 1. Only the softint that has claimed a queue empties it.
//! 2. After each interrupt, a queue is either free and was looked at after the interrupt, or claimed and will be looked at.
//! 3. The claim names a CPU, so the softints of other CPUs leave the queue alone.
//! 4. A frame that has arrived is counted as taken in ([`Count::NicIn`]) or as dropped ([`Count::NicNoMemory`], [`Count::NicFlushed`]), or is in
//!    a claimed queue. The scenario's end, and each moment when every CPU idles, finds none in a queue (`nic-left`).
//!
//! # Lock order
//!
//! `nic_tx` of a card is a spin mutex at IPL_VM: one CPU at a time gives frames to the card. No lock is taken under it.
//!
//! # Differences from NetBSD
//!
//! The handler allocates no packets: they come from kmem(9), which a hard interrupt must not call. NetBSD's drivers allocate in the
//! handler, from a pool at IPL_VM; those for fast cards use a softint under load (`ixg(4)`, `vioif(4)`), as this one always does. A
//! card is never detached while it runs; only its interface is ([`detach`]).
//!
//! # Sources
//!
//! `sys/dev/pci/if_vioif.c`, `sys/dev/pci/ixgbe/ixgbe.c`.

use crate::kern::cpu::Cpu;
use crate::kern::lwp::{Arg, Name, curcpu};
use crate::kern::mutex::Kmutex;
use crate::kern::psref::Psref;
use crate::kern::softint::{self, Softint};
use crate::kern::spl::{self, Ipl};
use crate::machine::{self, NIC_FRAME, NicCounts};
use crate::mem::{AcqRel, Acquire, AtomicU32, Local, Relaxed, Release};
use crate::net::ifnet::{
    Driver, Ifnet, MAX_INTERFACES, Spec, if_attach, if_detach, if_get_byindex, if_input, if_put,
};
use crate::net::mbuf::{End, Mbuf};
use crate::net::stats::Count;
use crate::net::{Net, listener};

/// Most receive queues of a card that are used.
pub(super) const QUEUES: usize = 16;
/// Most cards that are used: with the others, they must have an index each.
pub(super) const CARDS: usize = MAX_INTERFACES - 3;

/// Whose a receive queue is: a word that is 0 if nobody empties it, else names the CPU that does, with a note ([`AGAIN`]).
const FREE: u32 = 0;
/// It is to be looked at again before it is given back.
const AGAIN: u32 = 1;

/// The word of a queue that a CPU has claimed.
const fn claimed_by(cpu: usize) -> u32 {
    (cpu as u32 + 1) << 1
}

/// A card.
struct Card {
    /// Whose each queue is.
    claims: [AtomicU32; QUEUES],
    nic_tx: Kmutex,
    /// Index of its interface; 0 if it has none.
    ifindex: AtomicU32,
}

crate::fields!(Card {
    claims,
    nic_tx,
    ifindex
});

/// What a stack has for the cards.
pub struct Cards {
    cards: [Card; CARDS],
    /// Set before the first interface of a card is there.
    si: Local<Option<Softint>>,
    /// What had gone through the cards before.
    before: Option<NicCounts>,
}

crate::fields!(Cards { cards });

impl Cards {
    pub(crate) fn new() -> Self {
        Cards {
            before: machine::nic_counts(),
            cards: [const {
                Card {
                    claims: [const { AtomicU32::new(FREE) }; QUEUES],
                    nic_tx: Kmutex::new("nic_tx", Ipl::Vm),
                    ifindex: AtomicU32::new(0),
                }
            }; CARDS],
            si: Local::new(None),
        }
    }

    /// Ends the softint, and takes out what it had claimed and not come to. No card has an interface, and no interrupt tells the stack any
    /// more.
    #[track_caller]
    pub(crate) fn fini(&self, net: &'static Net) {
        if let Some(si) = self.si.get() {
            softint::disestablish(si);
        }
        for (unit, card) in self.all() {
            let queues = card.claims.iter().take(machine::nic(unit).queues);
            for (queue, claim) in queues.enumerate() {
                if claim.load(Acquire) != FREE {
                    while lose(net, (unit, queue), Count::NicFlushed) {}
                    claim.store(FREE, Relaxed);
                }
                super::of(net.kernel).told.assert_none_left(unit, queue);
            }
        }
    }

    /// What went through the cards since this stack was built, if the machine counts that.
    pub(crate) fn counts(&self) -> Option<NicCounts> {
        let (before, now) = (self.before?, machine::nic_counts()?);
        Some(NicCounts {
            received: now.received - before.received,
            sent: now.sent - before.sent,
            refused: now.refused - before.refused,
        })
    }

    /// The cards that are used, with their numbers.
    fn all(&self) -> impl Iterator<Item = (usize, &Card)> {
        self.cards.iter().enumerate().take(machine::nics())
    }
}

/// Gives each card an interface, `nic0` and so on. `None`: there is no memory.
///
/// Context: thread that may sleep, or boot.
#[track_caller]
pub(crate) fn attach(net: &'static Net) -> Option<()> {
    if machine::nics() == 0 {
        return Some(());
    }
    let si = crate::net::establish(net.kernel, Ipl::SoftNet, softintr, Arg::of(net))?;
    net.nics.si.set(Some(si));
    for (unit, _) in net.nics.all() {
        attach_unit(net, unit)?;
    }
    Some(())
}

/// Gives card `unit`, which has none, an interface. `None`: there is no memory, no index, or no room for a softint.
///
/// Nobody else attaches or detaches that of this card meanwhile. Context: thread that may sleep, or boot.
#[track_caller]
pub fn attach_unit(net: &'static Net, unit: usize) -> Option<&'static Ifnet> {
    let spec = Spec {
        lladdr: Some(machine::nic(unit).address),
        mtu: NIC_FRAME - crate::net::ether::ETHER_HDR_LEN,
        driver: Driver {
            input: crate::net::ether::ether_input,
            transmit,
            softc: Arg(unit),
        },
    };
    let ifp = if_attach(net, Name::format(format_args!("nic{unit}")), &spec)?;
    net.nics.cards[unit].ifindex.store(ifp.index(), Release);
    Some(ifp)
}

/// Detaches the interface of a card, which goes on: what it receives comes to nothing until it has another.
///
/// Context: as [`if_detach`].
#[track_caller]
pub fn detach(ifp: &'static Ifnet) {
    stop(ifp.net(), ifp);
    if_detach(ifp);
}

/// A card of an interface that is to be detached gives it no frames any more.
pub(crate) fn stop(net: &'static Net, ifp: &'static Ifnet) {
    for card in &net.nics.cards {
        if card.ifindex.load(Relaxed) == ifp.index() {
            card.ifindex.store(0, Relaxed);
        }
    }
}

/// Looks at the cards once without an interrupt: what they have received before anybody listened asserts none.
///
/// Context: thread.
#[track_caller]
pub(crate) fn kick() {
    let s = spl::splraise(Ipl::Vm);
    intr(curcpu());
    spl::splx(s);
}

/// A card has received something. Called in a hard interrupt, at [`Ipl::Vm`].
pub(crate) fn intr(ci: &'static Cpu) {
    let Some(net) = super::of(ci.kernel()).stack.load(Acquire) else {
        return listener::tell();
    };
    super::of(ci.kernel()).told.of_all();
    let mut wanted = false;
    for (unit, card) in net.nics.all() {
        for claim in card.claims.iter().take(machine::nic(unit).queues) {
            wanted |= ask(claim, ci.index());
        }
    }
    if wanted && let Some(si) = net.nics.si.get() {
        softint::schedule(si);
    }
}

/// Asks for a queue to be emptied. True: it was free, and is this CPU's now.
fn ask(claim: &AtomicU32, cpu: usize) -> bool {
    let mut word = claim.load(Relaxed);
    loop {
        let asked = match word {
            FREE => claimed_by(cpu),
            _ => word | AGAIN,
        };
        match claim.compare_exchange(word, asked, AcqRel, Relaxed) {
            Ok(was) => return was == FREE,
            Err(now) => word = now,
        }
    }
}

/// Gives a queue of this CPU back. False: somebody asked meanwhile, and it is this CPU's still.
fn give_back(claim: &AtomicU32, cpu: usize) -> bool {
    let own = claimed_by(cpu);
    let given = claim.compare_exchange(own, FREE, AcqRel, Relaxed).is_ok();
    if !given {
        claim.store(own, Relaxed);
    }
    given
}

/// The softint: empties the queues that this CPU has claimed.
fn softintr(net: Arg) {
    // SAFETY: `attach` gave the stack, which lives until the softint has ended.
    let net: &'static Net = unsafe { net.get() };
    let cpu = curcpu().index();
    let mut more = false;
    for (unit, card) in net.nics.all() {
        let queues = card.claims.iter().take(machine::nic(unit).queues);
        for (queue, claim) in queues.enumerate() {
            if claim.load(Acquire) & !AGAIN != claimed_by(cpu) {
                continue;
            }
            loop {
                if !empty(net, card, (unit, queue)) {
                    more = true;
                    break;
                }
                if give_back(claim, cpu) {
                    break;
                }
            }
        }
    }
    if more {
        go_on(net);
    }
}

/// Schedules the softint again, unless the stack is ended: who ends it has cross calls come behind what is queued, and
/// must not find the softint behind those. Their interrupt does not come between the look and the queue.
fn go_on(net: &'static Net) {
    let s = spl::splhigh();
    let lives = super::of(net.kernel).stack.load(Acquire).is_some();
    if lives && let Some(si) = net.nics.si.get() {
        softint::schedule(si);
    }
    spl::splx(s);
}

/// Takes frames out of a queue that this CPU has claimed. False: there may be more.
fn empty(net: &'static Net, card: &Card, (unit, queue): (usize, usize)) -> bool {
    let psref = Psref::new();
    let ifp = if_get_byindex(net, card.ifindex.load(Acquire), &psref);
    let limit = (net.kernel.config().pcq_slots / 2).max(1);
    let mut emptied = false;
    for _ in 0..limit {
        let Some(mut m) = Mbuf::get() else {
            // Taken all the same: a card interrupts again only when it was found empty.
            emptied = !lose(net, (unit, queue), Count::NicNoMemory);
            if emptied {
                break;
            }
            continue;
        };
        let len = match m.claim(NIC_FRAME) {
            true => machine::nic_receive(unit, queue, m.bytes_mut()),
            false => None,
        };
        let Some(len) = len else {
            m.free(End::Unused);
            emptied = true;
            break;
        };
        net.stats.count(Count::NicIn);
        m.truncate(len);
        match ifp {
            Some(ifp) => if_input(ifp, m),
            None => m.free(End::IfGone),
        }
    }
    if let Some(ifp) = ifp {
        if_put(ifp, &psref);
    }
    emptied
}

/// Takes a frame out of a queue and drops it, for the reason that is counted. False: there is none.
#[cold]
fn lose(net: &'static Net, (unit, queue): (usize, usize), reason: Count) -> bool {
    let mut scratch = [0; NIC_FRAME];
    let there = machine::nic_receive(unit, queue, &mut scratch).is_some();
    if there {
        net.stats.count(reason);
    }
    there
}

/// Gives a frame to the card, which copies it.
#[track_caller]
fn transmit(ifp: &'static Ifnet, m: Mbuf) {
    let unit = ifp.softc().0;
    let card = &ifp.net().nics.cards[unit];
    card.nic_tx.enter();
    let sent = machine::nic_transmit(unit, m.bytes());
    card.nic_tx.exit();
    let (count, end) = match sent {
        true => (Count::NicOut, End::Sent),
        false => (Count::NicRefused, End::IfFull),
    };
    ifp.net().stats.count(count);
    m.free(end);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_is_given_back_unless_somebody_asked() {
        let claim = AtomicU32::new(FREE);
        assert!(ask(&claim, 0));
        assert!(!ask(&claim, 1), "cpu0 has it");
        assert!(!give_back(&claim, 0), "cpu1 asked");
        assert!(give_back(&claim, 0));
        assert!(ask(&claim, 1));
        assert_eq!(claim.peek(), claimed_by(1));
    }
}
