//! A small netipsec: a table of security associations, and how an entry is destroyed.
//!
//! # Overview
//!
//! Entries are on a pslist and are found inside read sections of pserialize. A localcount keeps an entry across
//! sleeps and migrations; a psref keeps it while a packet is processed. A thread that destroys an entry owns the
//! table's mutex, unlinks the entry, and waits for the readers and for the references. This module uses the
//! primitives by their rules, like `netipsec/key.c`; scenarios and generated programs share it.
//!
//! # The rule
//!
//! The function that `localcount_drain` runs on the cross-call threads enters the mutex. So no thread may hold the
//! mutex while it waits for a cross call, neither in `pserialize_perform` nor in `psref_target_destroy`. The mutex is
//! released during the wait, and a flag keeps other threads from performing at the same time.
//!
//! # Sources
//!
//! `sys/netipsec/key.c` (`key_sad_pserialize_perform`, since 1.234, 2017-10-03), and the code before that.

use crate::history::Bug;
use crate::kern::condvar::Kcondvar;
use crate::kern::kmem::{kmem_alloc, kmem_free};
use crate::kern::localcount::Localcount;
use crate::kern::lwp::curlwp;
use crate::kern::mutex::Kmutex;
use crate::kern::pserialize::{self, Pserialize};
use crate::kern::pslist::{Listed, PslistEntry, PslistHead};
use crate::kern::psref::{Psref, PsrefClass, PsrefTarget};
use crate::kern::spl::Ipl;
use crate::kernel::Kernel;
use crate::machine;
use crate::mem::Plain;
use crate::scenario::alive::Alive;
use crate::scenario::{broken_promise, psref_class, share};

/// A security association (`struct secasvar`).
#[repr(C)]
pub struct Sa {
    sa_entry: PslistEntry,
    /// References that are kept across sleeps, by connections.
    sa_localcount: Localcount,
    /// References of packets.
    sa_psref: PsrefTarget,
    sa_word: Alive,
}

crate::fields!(Sa {
    sa_entry,
    sa_localcount,
    sa_psref,
    sa_word
});

// SAFETY: `repr(C)`, and the entry is the first field.
unsafe impl Listed for Sa {
    fn entry(&self) -> &PslistEntry {
        &self.sa_entry
    }
}

impl Sa {
    /// Done by every holder of a reference: checks that the entry is alive.
    pub fn touch(&self) {
        self.sa_word.check("reference");
    }
}

/// The table (`key_sad`).
pub struct Sad {
    /// Serializes changes of the table, and is the interlock of drains.
    mtx: Kmutex,
    list: PslistHead<Sa>,
    psz: Pserialize,
    /// Whether a thread waits for readers with the mutex released. Protected by the mutex.
    psz_performing: Plain<bool>,
    cv_psz: Kcondvar,
    cv_localcount: Kcondvar,
    class: Plain<Option<PsrefClass>>,
}

crate::fields!(Sad {
    mtx,
    list,
    psz,
    psz_performing,
    cv_psz,
    cv_localcount,
    class
});

impl Default for Sad {
    fn default() -> Self {
        Self::new()
    }
}

impl Sad {
    /// An empty table, which must be initialized ([`init`](Self::init)) before use.
    pub const fn new() -> Self {
        Sad {
            mtx: Kmutex::new("mtx", Ipl::None),
            list: PslistHead::new(),
            psz: Pserialize::new(),
            psz_performing: Plain::new(false),
            cv_psz: Kcondvar::new("psz"),
            cv_localcount: Kcondvar::new("localcount"),
            class: Plain::new(None),
        }
    }

    /// Creates the class of its references. At boot, or between two rounds.
    pub fn init(&self) {
        self.class.set(Some(psref_class("sa", Ipl::SoftNet)));
    }

    fn class(&self) -> Option<PsrefClass> {
        self.class.peek()
    }

    /// Adds an entry.
    ///
    /// Context: thread that may sleep, no lock held. Returns whether there was memory.
    pub fn add(&self) -> bool {
        let sa = Sa {
            sa_entry: PslistEntry::new(),
            sa_localcount: Localcount::new(),
            sa_psref: PsrefTarget::new(),
            sa_word: Alive::new(),
        };
        let (Some(class), Some(sa)) = (self.class(), kmem_alloc("sa", sa)) else {
            return false;
        };
        if sa.sa_localcount.init().is_none() {
            // SAFETY: it came from `kmem_alloc` just now, and nobody else knows it.
            unsafe { kmem_free(sa) };
            return false;
        }
        machine::label(sa, format_args!("sa"));
        sa.sa_psref.init(class);
        self.mtx.enter();
        self.list.insert_head(sa);
        self.mtx.exit();
        true
    }

    /// Finds an entry and takes a reference that may be kept across sleeps and migrations.
    ///
    /// Context: thread, softint.
    pub fn lookup(&self) -> Option<&'static Sa> {
        let s = pserialize::read_enter();
        let sa = self.list.first();
        if let Some(sa) = sa {
            sa.sa_localcount.acquire();
        }
        pserialize::read_exit(s);
        sa
    }

    /// Releases a reference from [`lookup`](Self::lookup).
    ///
    /// Context: thread, softint; the table's mutex not held.
    pub fn unref(&self, sa: &'static Sa) {
        sa.sa_localcount.release(&self.cv_localcount, &self.mtx);
    }

    /// Finds an entry and uses it with a passive reference.
    ///
    /// Context: bound thread, or softint up to softnet.
    pub fn with_packet(&self, work: impl FnOnce(&'static Sa)) {
        let Some(class) = self.class() else { return };
        let psref = Psref::new();
        let s = pserialize::read_enter();
        let sa = self.list.first();
        if let Some(sa) = sa {
            psref.acquire(&sa.sa_psref, class);
        }
        pserialize::read_exit(s);
        if let Some(sa) = sa {
            work(sa);
            psref.release(&sa.sa_psref, class);
        }
    }

    /// Destroys the newest entry, if there is one: when it returns, the entry is gone.
    ///
    /// Context: thread that may sleep, no lock held, no reference either.
    pub fn destroy(&self) {
        self.mtx.enter();
        let Some(sa) = self.list.first() else {
            return self.mtx.exit();
        };
        sa.sa_entry.remove();
        self.wait_for_readers(sa);
        sa.sa_localcount.drain(&self.cv_localcount, &self.mtx);
        self.mtx.exit();
        sa.sa_localcount.fini();
        sa.sa_entry.destroy();
        sa.sa_word.end();
        // SAFETY: (1) it came from `kmem_alloc`; (2) it is on no list, readers have ended and references are gone:
        // the promises of the primitives, which the simulated machine checks.
        unsafe { kmem_free(sa) };
    }

    /// Waits until no thread finds or uses an entry that was unlinked (`key_sad_pserialize_perform`). The mutex is
    /// held.
    fn wait_for_readers(&self, sa: &Sa) {
        let Some(class) = self.class() else { return };
        let wait = || {
            self.psz.perform();
            sa.sa_psref.destroy(class);
        };
        // key.c up to 1.233: with the mutex held.
        if curlwp()
            .kernel()
            .config()
            .history
            .has(Bug::PerformHoldsMutex)
        {
            return wait();
        }
        while self.psz_performing.get() {
            self.cv_psz.wait(&self.mtx);
        }
        self.psz_performing.set(true);
        self.mtx.exit();
        wait();
        self.mtx.enter();
        self.psz_performing.set(false);
        self.cv_psz.broadcast();
    }

    /// Checks what must hold at rest, and destroys the class. Entries that are left are destroyed.
    pub fn fini(&self, kernel: &'static Kernel) {
        while let Some(sa) = self.list.first() {
            let references = sa.sa_localcount.total(kernel);
            if references != 0 {
                broken_promise(
                    "reference-count",
                    format_args!("an entry has no references, but its count is {references}"),
                );
            }
            sa.sa_entry.remove();
            sa.sa_localcount.fini_at_rest();
            // SAFETY: it came from `kmem_alloc`, and nothing runs any more.
            unsafe { kmem_free(sa) };
        }
        if let Some(class) = self.class.replace(None) {
            // SAFETY: it came from `create`, and nothing runs any more.
            unsafe { class.destroy_at_rest() };
        }
        self.psz.destroy();
    }
}

/// Shares a table. For `setup`.
pub fn share_table() -> &'static Sad {
    let sad = share("sad", Sad::new());
    machine::label(sad, format_args!("sad"));
    sad.init();
    sad
}
