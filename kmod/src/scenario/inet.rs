//! A small netinet: the addresses of an interface, their timer, and how they are purged.
//!
//! # Overview
//!
//! Addresses are on a pslist, are read inside read sections of pserialize, and are removed by a thread that owns
//! `ifnet_lock`. A timer (every address has one for duplicate address detection) takes `softnet_lock` in its
//! callout's handler, and so do sockets. This module uses the primitives by their rules, like `netinet/in.c` and
//! `tcp_subr.c`; scenarios and generated programs share it.
//!
//! # Lock order
//!
//! `ifnet_lock`, then `softnet_lock`. The timer's handler takes `softnet_lock` alone.
//!
//! # Sources
//!
//! `sys/netinet/tcp_subr.c` (`tcp_purgeif`), `sys/netinet/in.c` (`in_purgeif`, `ifa_remove`); before and after
//! 2016-11-18.

use crate::history::Bug;
use crate::kern::callout::Callout;
use crate::kern::kmem::{kmem_alloc, kmem_free};
use crate::kern::lwp::{Arg, curlwp};
use crate::kern::mutex::Kmutex;
use crate::kern::pserialize::{self, Pserialize};
use crate::kern::pslist::{Listed, PslistEntry, PslistHead};
use crate::kern::spl::Ipl;
use crate::kernel::Kernel;
use crate::machine;
use crate::mem::{AtomicU32, Plain, Relaxed};
use crate::scenario::alive::Alive;
use crate::scenario::broken_promise;

/// An address (`struct ifaddr`).
#[repr(C)]
struct Ifaddr {
    ifa_entry: PslistEntry,
    ifa_word: Alive,
}

crate::fields!(Ifaddr {
    ifa_entry,
    ifa_word
});

// SAFETY: `repr(C)`, and the entry is the first field.
unsafe impl Listed for Ifaddr {
    fn entry(&self) -> &PslistEntry {
        &self.ifa_entry
    }
}

/// The addresses of an interface.
pub struct Inet {
    /// Serializes changes of the interface (`IFNET_LOCK`).
    ifnet_lock: Kmutex,
    /// The global lock of the network stack.
    softnet_lock: Kmutex,
    addresses: PslistHead<Ifaddr>,
    psz: Pserialize,
    dad_timer: Callout,
    /// How often the timer's handler ran. Protected by `softnet_lock`.
    dad_ticks: Plain<u32>,
    /// Number of sockets created. Protected by `softnet_lock`.
    sockets: Plain<u32>,
    /// Number of addresses that readers have seen.
    seen: AtomicU32,
}

crate::fields!(Inet {
    ifnet_lock,
    softnet_lock,
    addresses,
    psz,
    dad_timer,
    dad_ticks,
    sockets,
    seen
});

impl Default for Inet {
    fn default() -> Self {
        Self::new()
    }
}

impl Inet {
    /// An interface without addresses, which must be initialized in place ([`init`](Self::init)) before use.
    pub const fn new() -> Self {
        Inet {
            ifnet_lock: Kmutex::new("ifnet_lock", Ipl::None),
            softnet_lock: Kmutex::new("softnet_lock", Ipl::None),
            addresses: PslistHead::new(),
            psz: Pserialize::new(),
            dad_timer: Callout::new(),
            dad_ticks: Plain::new(0),
            sockets: Plain::new(0),
            seen: AtomicU32::new(0),
        }
    }

    /// Initializes the timer. At boot.
    pub fn init(&'static self, kernel: &'static Kernel) {
        self.dad_timer.init(kernel.cpu(0));
        self.dad_timer.setfunc(dad_timer, Arg::of(self));
    }

    /// Adds an address to the interface, and starts duplicate address detection for it.
    ///
    /// Context: thread that may sleep, no lock held.
    pub fn add_address(&self) {
        if self.insert_address() {
            self.start_timer();
        }
    }

    /// Adds an address that needs no detection. Returns whether there was memory.
    ///
    /// Context: thread that may sleep, no lock held.
    pub fn insert_address(&self) -> bool {
        let address = Ifaddr {
            ifa_entry: PslistEntry::new(),
            ifa_word: Alive::new(),
        };
        let Some(address) = kmem_alloc("ifaddr", address) else {
            return false;
        };
        machine::label(address, format_args!("ifaddr"));
        self.ifnet_lock.enter();
        self.addresses.insert_head(address);
        self.ifnet_lock.exit();
        true
    }

    /// The global lock of the network stack.
    pub fn softnet_lock(&self) -> &Kmutex {
        &self.softnet_lock
    }

    /// Restarts the timer.
    ///
    /// Context: any.
    pub fn start_timer(&self) {
        self.dad_timer.schedule(1);
    }

    /// Stops the timer, and waits for its handler.
    ///
    /// Context: thread that may sleep, `softnet_lock` not held.
    pub fn stop_timer(&self) {
        let _waited = self.dad_timer.halt(None);
    }

    /// Looks up addresses for a packet.
    ///
    /// Context: thread, softint.
    pub fn lookup(&self) {
        let s = pserialize::read_enter();
        for address in self.addresses.iter() {
            address.ifa_word.check("psz-reader");
            self.seen.fetch_add(1, Relaxed);
        }
        pserialize::read_exit(s);
    }

    /// Creates a socket (`socreate`), which takes `softnet_lock`.
    ///
    /// Context: thread, no lock held.
    pub fn create_socket(&self) {
        self.softnet_lock.enter();
        self.sockets.set(self.sockets.get() + 1);
        self.softnet_lock.exit();
    }

    /// Destroys the interface: its protocols are told (`if_detach`), and TCP has its addresses purged
    /// (`tcp_purgeif`).
    ///
    /// Context: thread that may sleep, no lock held.
    pub fn detach(&self) {
        self.ifnet_lock.enter();
        self.softnet_lock.enter();
        // tcp_purgeif before 2016-11-18: with the lock held.
        if curlwp()
            .kernel()
            .config()
            .history
            .has(Bug::PurgeHoldsSoftnetLock)
        {
            self.purge();
        } else {
            self.softnet_lock.exit();
            self.purge();
            self.softnet_lock.enter();
        }
        self.softnet_lock.exit();
        self.ifnet_lock.exit();
    }

    /// Removes every address (`in_purgeif`). `ifnet_lock` is held.
    fn purge(&self) {
        while let Some(address) = self.addresses.first() {
            // `ifa_remove`.
            address.ifa_entry.remove();
            self.psz.perform();
            address.ifa_entry.destroy();
            address.ifa_word.end();
            // SAFETY: (1) it came from `kmem_alloc`; (2) it is on no list, and readers that could see it have ended:
            // the promise of `perform`, which the simulated machine checks.
            unsafe { kmem_free(address) };
        }
    }

    /// Checks what must hold at rest: no address, no timer.
    pub fn verify(&self) {
        if self.dad_timer.peek_pending() {
            broken_promise(
                "callout-halted",
                format_args!("the timer is pending after it was stopped for good"),
            );
        }
        self.addresses.destroy();
        self.psz.destroy();
    }
}

/// The handler of the timer (`nd6_dad_timer`, and many others).
fn dad_timer(inet: Arg) {
    // SAFETY: `init` gave it, and whoever frees an `Inet` stops its timer first.
    let inet: &'static Inet = unsafe { inet.get() };
    inet.softnet_lock.enter();
    inet.dad_ticks.set(inet.dad_ticks.get() + 1);
    inet.softnet_lock.exit();
}
