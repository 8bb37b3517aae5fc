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
    /// A count is changed with preemption off and interrupts on (`subr_localcount.c` up to 1.7).
    LocalcountPlain = 2,
    /// The sweep over the references is a low-priority cross call (`subr_psref.c` up to 1.10).
    PsrefSweepLow = 3,
}

impl Bug {
    /// Every bug.
    pub const ALL: [Bug; 4] = [
        Bug::XcallTailp,
        Bug::XcallDonep,
        Bug::LocalcountPlain,
        Bug::PsrefSweepLow,
    ];

    /// The word for lists and the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Bug::XcallTailp => "xcall-tailp",
            Bug::XcallDonep => "xcall-donep",
            Bug::LocalcountPlain => "localcount-plain",
            Bug::PsrefSweepLow => "psref-sweep-low",
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

    /// Whether the old code of `bug` is to run.
    #[inline(always)]
    pub const fn has(self, bug: Bug) -> bool {
        cfg!(feature = "history") && self.0 & (1 << bug as u32) != 0
    }
}
