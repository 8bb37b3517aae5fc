//! The historical variants: which old code runs in place of the new.
//!
//! Each documented bug is a real code path that stands beside the fix, chosen by
//! [`History::has`] at the one place where the two differ. Nothing else may ask: no detector, no
//! scenario, no strategy. Without the feature `history` the test is a constant `false`.

/// A documented bug whose old code can be switched on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Bug {
    /// `xc_tailp` is counted when a request is picked up, and a new request is let in by it
    /// (`subr_xcall.c` up to 1.18; PR kern/51632).
    XcallTailp = 0,
    /// `xc_donep` is counted before the callback runs (the bug as the talk tells it).
    XcallDonep = 1,
    /// `pserialize_perform` waits for switch points, and sleeps a tick in every round (`subr_pserialize.c` up to 1.10).
    PserializeKpause = 2,
    /// The same, but it sleeps from the third round on only (`subr_pserialize.c` 1.11 to 1.13).
    PserializeLateKpause = 3,
    /// `mi_switch` moves an LWP that was chosen to be moved, although it has bound itself since (`kern_synch.c` up to 1.313).
    SwitchIgnoresBound = 4,
    /// Addresses are purged with `softnet_lock` held (`tcp_purgeif` before 2016-11-18).
    PurgeHoldsSoftnetLock = 5,
    /// An entry is destroyed with its table's mutex held across `pserialize_perform` (`key.c` before 1.234).
    PerformHoldsMutex = 6,
}

impl Bug {
    /// Every bug.
    pub const ALL: [Bug; 7] = [
        Bug::XcallTailp,
        Bug::XcallDonep,
        Bug::PserializeKpause,
        Bug::PserializeLateKpause,
        Bug::SwitchIgnoresBound,
        Bug::PurgeHoldsSoftnetLock,
        Bug::PerformHoldsMutex,
    ];

    /// The bug with this word.
    pub fn find(name: &str) -> Option<Bug> {
        Bug::ALL.into_iter().find(|bug| bug.name() == name)
    }

    /// The word for lists and the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Bug::XcallTailp => "xcall-tailp",
            Bug::XcallDonep => "xcall-donep",
            Bug::PserializeKpause => "pserialize-kpause",
            Bug::PserializeLateKpause => "pserialize-late-kpause",
            Bug::SwitchIgnoresBound => "switch-ignores-bound",
            Bug::PurgeHoldsSoftnetLock => "purge-holds-softnet-lock",
            Bug::PerformHoldsMutex => "perform-holds-mutex",
        }
    }
}

impl Bug {
    /// What the old code does, in a line, and until when it stood there.
    pub const fn summary(self) -> &'static str {
        match self {
            Bug::XcallTailp => {
                "xc_tailp, counted at pick-up, lets the next request in (subr_xcall.c 1.18)"
            }
            Bug::XcallDonep => "xc_donep is counted before the function runs (the talk)",
            Bug::PserializeKpause => {
                "pserialize_perform sleeps a tick in every round (subr_pserialize.c 1.10)"
            }
            Bug::PserializeLateKpause => {
                "pserialize_perform sleeps a tick from the third round on (subr_pserialize.c 1.13)"
            }
            Bug::SwitchIgnoresBound => {
                "mi_switch moves an LWP that was chosen to move, bound or not (kern_synch.c 1.313)"
            }
            Bug::PurgeHoldsSoftnetLock => {
                "addresses are purged with softnet_lock held (tcp_purgeif until 2016-11-18)"
            }
            Bug::PerformHoldsMutex => {
                "an entry is destroyed with the mutex held across pserialize_perform (key.c 1.233)"
            }
        }
    }
}

/// A set of bugs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct History(u32);

impl History {
    /// Today's code everywhere.
    pub const NONE: History = History(0);

    /// The set with `bug` in it too.
    #[must_use]
    pub const fn with(self, bug: Bug) -> History {
        History(self.0 | 1 << bug as u32)
    }

    /// Both sets together.
    #[must_use]
    pub const fn union(self, other: History) -> History {
        History(self.0 | other.0)
    }

    /// The set without what is in `other`.
    #[must_use]
    pub const fn without(self, other: History) -> History {
        History(self.0 & !other.0)
    }

    /// The bugs in the set, in the order of [`Bug::ALL`].
    pub fn bugs(self) -> impl Iterator<Item = Bug> {
        Bug::ALL
            .into_iter()
            .filter(move |bug| self.0 & (1 << *bug as u32) != 0)
    }

    /// Whether the old code of `bug` is to run.
    #[inline(always)]
    pub const fn has(self, bug: Bug) -> bool {
        cfg!(feature = "history") && self.0 & (1 << bug as u32) != 0
    }
}
