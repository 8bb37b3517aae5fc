//! bpf(4): taps on interfaces.
//!
//! # Overview
//!
//! A tap on an interface ([`bpf_open`]) gets a copy of every frame that the interface receives or sends while it is up, as long as
//! the tap's queue has room. Its owner reads them ([`BpfD::read`]) until it closes the tap ([`bpf_close`]). When an interface is
//! detached its taps stay, and the frames in them can still be read.
//!
//! # Contexts
//!
//! `bpf_mtap`: softint up to softnet, or thread that is bound. Everything else: thread that may sleep.
//!
//! # Walking the taps
//!
//! Delivering to a tap may sleep for its mutex, and allocates a copy. So it happens outside the read section, with a passive
//! reference to the tap. Continuing from that tap is safe only if it is still on the list: a removed entry keeps its pointer to the
//! next one, which may have been removed and freed *later*. So the walk continues, in a new section, only from a tap that is still
//! listed. Otherwise it ends: while taps are being closed, a tap may miss a frame.
//!
//! ```text
//! walk                                  close
//! section: psref to a
//! deliver to a                          a: not listed, off the list, perform
//!                                       next one b: off the list, perform, freed
//! section: a is not listed: stop        (a's pointer leads to b)
//! ```
//!
//! # Lock order
//!
//! No lock is taken under `bpf_mtx`, which protects changes to the lists of taps, nor under a tap's `bd_mtx`.
//!
//! # Differences from NetBSD
//!
//! There are no filter programs and no time stamps. A tap keeps packets, not a buffer of bytes. NetBSD stays in one read section
//! for all taps, and copies under a spin mutex.
//!
//! # Sources
//!
//! bpf(4); `sys/net/bpf.c`.

use crate::contract;
use crate::kern::condvar::Kcondvar;
use crate::kern::inside::{Awaited, inside_for};
use crate::kern::kmem::{kmem_alloc_nosleep, kmem_free};
use crate::kern::lwp::{Arg, curlwp};
use crate::kern::mutex::Kmutex;
use crate::kern::pserialize::{Pserialize, read_enter, read_exit};
use crate::kern::pslist::{Listed, PslistEntry, PslistHead};
use crate::kern::psref::{Psref, PsrefClass, PsrefTarget};
use crate::kern::spl::Ipl;
use crate::mem::{Acquire, AtomicBool, Plain, Release};
use crate::net::Net;
use crate::net::ifnet::Ifnet;
use crate::net::mbuf::{End, Mbuf, Packet};

/// Most frames that a tap keeps.
const KEPT: u32 = 64;

/// The taps of a stack.
pub struct Taps {
    bpf_mtx: Kmutex,
    bpf_psz: Pserialize,
    bpf_psref_class: PsrefClass,
}

crate::fields!(Taps { bpf_mtx, bpf_psz });

impl Taps {
    /// `None`: there is no memory.
    #[track_caller]
    pub(crate) fn create() -> Option<Taps> {
        let class = PsrefClass::create("bpf", Ipl::SoftNet)?;
        Some(Taps {
            bpf_mtx: Kmutex::new("bpf_mtx", Ipl::None),
            bpf_psz: Pserialize::new(),
            bpf_psref_class: class,
        })
    }

    /// All taps are closed, and nothing runs.
    pub(crate) fn destroy_at_rest(&self) {
        self.bpf_psz.destroy();
        self.bpf_mtx.destroy();
        // SAFETY: (1) `create` created it; (2) there are no taps.
        unsafe { self.bpf_psref_class.destroy_at_rest() };
    }
}

/// The taps of an interface (`struct bpf_if`).
pub struct Bpf {
    bif_dlist: PslistHead<BpfD>,
    /// Whether the interface takes no more taps. Changed with `bpf_mtx` held.
    bif_detached: Plain<bool>,
}

crate::fields!(Bpf {
    bif_dlist,
    bif_detached
});

impl Bpf {
    pub(crate) const fn new() -> Self {
        Bpf {
            bif_dlist: PslistHead::new(),
            bif_detached: Plain::new(false),
        }
    }

    pub(crate) fn destroy(&self) {
        self.bif_dlist.destroy();
    }
}

/// A tap (`struct bpf_d`).
#[repr(C)]
pub struct BpfD {
    bd_entry: PslistEntry,
    bd_psref: PsrefTarget,
    /// Whether it is on the list of an interface: changed with `bpf_mtx` held.
    bd_listed: AtomicBool,
    /// Protects what was captured.
    bd_mtx: Kmutex,
    bd_cv: Kcondvar,
    bd_first: Plain<Option<&'static Packet>>,
    bd_last: Plain<Option<&'static Packet>>,
    bd_kept: Plain<u32>,
    bd_captured: Plain<u64>,
    bd_lost: Plain<u64>,
}

crate::fields!(BpfD {
    bd_entry,
    bd_psref,
    bd_listed,
    bd_mtx,
    bd_first,
    bd_last,
    bd_kept,
    bd_captured,
    bd_lost
});

// SAFETY: `repr(C)`, and the entry is the first field.
unsafe impl Listed for BpfD {
    fn entry(&self) -> &PslistEntry {
        &self.bd_entry
    }
}

/// Opens a tap on an interface, which the caller keeps. `None`: there is no memory, or the interface is being detached
/// (`ENXIO`).
#[track_caller]
pub fn bpf_open(ifp: &'static Ifnet) -> Option<&'static BpfD> {
    let taps = &ifp.net().taps;
    let d = kmem_alloc_nosleep(
        "bpf_d",
        BpfD {
            bd_entry: PslistEntry::new(),
            bd_psref: PsrefTarget::new(),
            bd_listed: AtomicBool::new(true),
            bd_mtx: Kmutex::new("bd_mtx", Ipl::None),
            bd_cv: Kcondvar::new("bpf"),
            bd_first: Plain::new(None),
            bd_last: Plain::new(None),
            bd_kept: Plain::new(0),
            bd_captured: Plain::new(0),
            bd_lost: Plain::new(0),
        },
    )?;
    d.bd_psref.init(taps.bpf_psref_class);
    taps.bpf_mtx.enter();
    // A caller with a reference to the interface may come after its taps were removed: a new tap would stay on the list.
    let detached = ifp.if_bpf.bif_detached.get();
    if !detached {
        ifp.if_bpf.bif_dlist.insert_head(d);
    }
    taps.bpf_mtx.exit();
    if detached {
        d.bd_listed.store(false, Release);
        bpf_close(ifp.net(), d);
        return None;
    }
    Some(d)
}

/// Removes a tap from the list of its interface, if it is on one.
#[track_caller]
fn unlist(net: &'static Net, d: &'static BpfD) {
    let taps = &net.taps;
    taps.bpf_mtx.enter();
    if d.bd_listed.load(Acquire) {
        // Before it leaves the list: a reader that still finds it listed is in a section that is waited for.
        d.bd_listed.store(false, Release);
        d.bd_entry.remove();
        taps.bpf_psz.perform();
    }
    taps.bpf_mtx.exit();
}

/// Closes a tap. Frames in it end as [`End::Flushed`]. No thread may be reading from it.
///
/// Context: thread that may sleep. Panics: contract `sleepable`.
#[track_caller]
pub fn bpf_close(net: &'static Net, d: &'static BpfD) {
    unlist(net, d);
    d.bd_psref.destroy(net.taps.bpf_psref_class);
    while let Some(m) = d.take() {
        m.free(End::Flushed);
    }
    d.bd_entry.assert_waited_for("bpf_close");
    d.bd_entry.destroy();
    d.bd_cv.destroy();
    d.bd_mtx.destroy();
    // SAFETY: (1) it came from `kmem_alloc_nosleep`; (2) nobody finds it, references are gone, and nobody reads.
    unsafe { kmem_free(d) };
}

/// Removes all taps of an interface that is detached, and allows no more (`bpf_detach`, which takes the interface off
/// the list that `bpf_setif` looks through).
#[track_caller]
pub(crate) fn bpf_detach_if(ifp: &'static Ifnet) {
    let taps = &ifp.net().taps;
    taps.bpf_mtx.enter();
    ifp.if_bpf.bif_detached.set(true);
    taps.bpf_mtx.exit();
    // A tap that is closed meanwhile is removed by its owner; the reference keeps it alive here.
    let class = taps.bpf_psref_class;
    let bound = crate::kern::lwp::curlwp_bind();
    loop {
        let psref = Psref::new();
        let s = read_enter();
        let first = ifp.if_bpf.bif_dlist.first();
        if let Some(d) = first {
            psref.acquire(&d.bd_psref, class);
        }
        read_exit(s);
        let Some(d) = first else { break };
        unlist(ifp.net(), d);
        psref.release(&d.bd_psref, class);
    }
    crate::kern::lwp::curlwp_bindx(bound);
}

/// Gives a copy of a frame to each tap of an interface (`bpf_mtap`).
#[inline]
#[track_caller]
pub(crate) fn bpf_mtap(ifp: &'static Ifnet, frame: &[u8]) {
    if ifp.if_bpf.bif_dlist.first().is_some() {
        deliver(ifp, frame);
    }
}

/// See the header of this module (`bpf_deliver`).
#[track_caller]
fn deliver(ifp: &'static Ifnet, frame: &[u8]) {
    let class = ifp.net().taps.bpf_psref_class;
    let list = &ifp.if_bpf.bif_dlist;
    let psrefs = [const { Psref::new() }; 2];
    let mut turn = 0;
    let mut kept: Option<&'static BpfD> = None;
    loop {
        let s = read_enter();
        let next = match kept {
            None => list.first(),
            Some(d) if d.bd_listed.load(Acquire) => {
                assert_listed(d);
                list.next(d)
            }
            Some(_) => None,
        };
        if let Some(d) = next {
            psrefs[turn].acquire(&d.bd_psref, class);
        }
        read_exit(s);
        if let Some(d) = kept {
            psrefs[1 - turn].release(&d.bd_psref, class);
        }
        let Some(d) = next else { break };
        d.capture(frame);
        kept = next;
        turn = 1 - turn;
    }
}

/// A walk is about to continue from a tap that it has found listed.
///
/// Panics (contract `bpf-listed`) if the tap was removed, and its readers were waited for: its pointer may lead to a tap that is freed.
#[track_caller]
fn assert_listed(d: &BpfD) {
    contract!(
        !d.bd_entry.is_waited_for(),
        "bpf-listed",
        "{} continues from a tap that is marked as listed, and that is off its list since before a wait for readers",
        curlwp().name()
    );
}

impl BpfD {
    /// Keeps a copy of a frame (`catchpacket`).
    #[track_caller]
    fn capture(&self, frame: &[u8]) {
        self.bd_mtx.enter();
        let copy = match self.bd_kept.get() < KEPT {
            true => Mbuf::with(frame),
            false => None,
        };
        if let Some(copy) = copy {
            let packet = copy.into_queue();
            packet.m_nextpkt.set(None);
            match self.bd_last.get() {
                None => self.bd_first.set(Some(packet)),
                Some(last) => last.m_nextpkt.set(Some(packet)),
            }
            self.bd_last.set(Some(packet));
            self.bd_kept.set(self.bd_kept.get() + 1);
            self.bd_captured.set(self.bd_captured.get() + 1);
            self.bd_cv.signal();
        } else {
            self.bd_lost.set(self.bd_lost.get() + 1);
        }
        self.bd_mtx.exit();
    }

    /// The oldest frame. `bd_mtx` is held, or the tap captures no more.
    fn take(&self) -> Option<Mbuf> {
        let packet = self.bd_first.get()?;
        let next = packet.m_nextpkt.get();
        self.bd_first.set(next);
        if next.is_none() {
            self.bd_last.set(None);
        }
        self.bd_kept.set(self.bd_kept.get() - 1);
        // SAFETY: (1) `capture` put what `into_queue` gave; (2) it is off the queue.
        Some(unsafe { Mbuf::from_queue(packet) })
    }

    /// Takes the oldest frame; waits for one at most `timeout_ticks` (0: does not wait). Only the opener may call it.
    ///
    /// Context: thread that may sleep. Panics: contract `sleepable`.
    #[track_caller]
    pub fn read(&self, timeout_ticks: u32) -> Option<Mbuf> {
        self.bd_mtx.enter();
        if self.bd_first.get().is_none() && timeout_ticks != 0 {
            let _inside = inside_for(
                "bpf_read",
                Awaited::Until {
                    what: "there is a frame",
                    holds: |d| {
                        // SAFETY: who reads a tap keeps it.
                        unsafe { d.get::<BpfD>() }.bd_first.peek().is_some()
                    },
                    arg: Arg::of(self),
                    cv: Arg::of(&self.bd_cv),
                },
            );
            let _woken = self.bd_cv.timedwait(&self.bd_mtx, timeout_ticks);
        }
        let m = self.take();
        self.bd_mtx.exit();
        m
    }

    /// How many frames were captured, and how many found no room.
    #[track_caller]
    pub fn stats(&self) -> (u64, u64) {
        self.bd_mtx.enter();
        let stats = (self.bd_captured.get(), self.bd_lost.get());
        self.bd_mtx.exit();
        stats
    }
}
