//! The historical variants: which old code runs instead of the current code.
//!
//! Each documented bug is a real code path that stands beside the fix, chosen by [`History::has`] at the one place
//! where the two differ. Nothing else may call it: no detector, no scenario, no strategy. Without the feature
//! `history` it is a constant `false`.
//!
//! A scenario that re-creates a program of another kernel has old code of its own ([`Own`]): no other program
//! can run it.

macro_rules! bugs {
    ($($(#[$doc:meta])* $bug:ident, $name:literal, $summary:literal;)*) => {
        /// A documented bug whose old code can be switched on.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[repr(u8)]
        pub enum Bug {
            $($(#[$doc])* $bug,)*
        }

        impl Bug {
            /// Every bug.
            pub const ALL: &[Bug] = &[$(Bug::$bug),*];

            /// The name in lists, replay files and on the command line.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Bug::$bug => $name,)*
                }
            }

            /// One line: what the old code does, and until when.
            pub const fn summary(self) -> &'static str {
                match self {
                    $(Bug::$bug => $summary,)*
                }
            }
        }
    };
}

bugs! {
    /// PR kern/51632.
    XcallTailp, "xcall-tailp",
        "xc_tailp, counted at pick-up, admits the next request too early (subr_xcall.c 1.18)";
    /// The bug as the talk tells it.
    XcallDonep, "xcall-donep",
        "xc_donep is counted before the function runs (as the talk tells it)";
    /// And it waits for switch points.
    PserializeKpause, "pserialize-kpause",
        "pserialize_perform sleeps a tick in every round (subr_pserialize.c 1.10)";
    /// The same algorithm, from 1.11 on.
    PserializeLateKpause, "pserialize-late-kpause",
        "pserialize_perform sleeps a tick from the third round on (subr_pserialize.c 1.13)";
    /// It does not look at LP_BOUND.
    SwitchIgnoresBound, "switch-ignores-bound",
        "mi_switch moves an LWP that was chosen to move, bound or not (kern_synch.c 1.313)";
    /// PR kern/57240. Only a memory with store buffers shows it.
    SwitchCurlwp, "switch-curlwp",
        "mi_switch sets ci_curlwp without a barrier after it (cpu_switchto of amd64 before 2023-02)";
    /// `tcp_purgeif` before 2016-11-18.
    PurgeHoldsSoftnetLock, "purge-holds-softnet-lock",
        "addresses are purged with softnet_lock held (tcp_subr.c in 2016)";
    /// Before there was a flag and a condition variable for it.
    PerformHoldsMutex, "perform-holds-mutex",
        "an entry is destroyed with the mutex held across pserialize_perform (key.c 1.233)";
    /// An interrupt's count is lost.
    LocalcountPlain, "localcount-plain",
        "a count is changed with preemption off and interrupts on (subr_localcount.c 1.7)";
    /// It starves under load, and shares a box with others.
    PsrefSweepLow, "psref-sweep-low",
        "the sweep over references is a low-priority cross call (subr_psref.c 1.10)";
    /// What `callout_reset` replaces never runs.
    ArpSettimer, "arp-settimer",
        "a timer that is pending is armed again, and its reference with it (if_arp.c 1.255)";
    /// What was armed again has a reference of its own.
    ArptimerPending, "arptimer-pending",
        "the handler of a timer that is pending again returns with its reference (if_arp.c 1.255)";
    /// What is taken off never runs.
    LlentryFree, "llentry-free",
        "a timer that is pending is stopped, and its reference stays (if_llatbl.c 1.22)";
}

impl Bug {
    /// The bug of this name.
    pub fn find(name: &str) -> Option<Bug> {
        Bug::ALL.iter().copied().find(|bug| bug.name() == name)
    }
}

/// A set of bugs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct History(u64);

const _: () = assert!(
    Bug::ALL.len() <= u64::BITS as usize,
    "a set has a bit for each bug"
);

impl History {
    /// Current code everywhere.
    pub const NONE: History = History(0);

    /// The set with `bug` added.
    #[must_use]
    pub const fn with(self, bug: Bug) -> History {
        History(self.0 | 1 << bug as u64)
    }

    /// The union of both sets.
    #[must_use]
    pub const fn union(self, other: History) -> History {
        History(self.0 | other.0)
    }

    /// The set without the bugs of `other`.
    #[must_use]
    pub const fn without(self, other: History) -> History {
        History(self.0 & !other.0)
    }

    /// The bugs in the set, in the order of [`Bug::ALL`].
    pub fn bugs(self) -> impl Iterator<Item = Bug> {
        let all = Bug::ALL.iter().copied();
        all.filter(move |bug| self.0 & (1 << *bug as u64) != 0)
    }

    /// Whether the old code of `bug` runs.
    #[inline(always)]
    pub const fn has(self, bug: Bug) -> bool {
        cfg!(feature = "history") && self.0 & (1 << bug as u64) != 0
    }
}

/// Code of a scenario's own that a variant runs: a set of pieces, each with a number that the scenario gives it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Own(u32);

impl Own {
    /// None of it.
    pub const NONE: Own = Own(0);

    /// The piece with this number, 0 to 31.
    pub const fn piece(number: u32) -> Own {
        Own(1 << number)
    }

    /// Both sets together.
    #[must_use]
    pub const fn with(self, other: Own) -> Own {
        Own(self.0 | other.0)
    }

    /// Whether all of `other` is in the set.
    pub const fn has(self, other: Own) -> bool {
        self.0 & other.0 == other.0
    }
}
