//! Counted references, for reports: who took each of them, where, and who has not given it back.
//!
//! # Overview
//!
//! A count does not tell whose the references are. So whatever counts references says here when one is taken and when it is given
//! back: routes, entries of link-level tables, packets. The host writes that down if it records the run, and lists in a report
//! what is left ([`Mark::Took`]). Otherwise nothing is written down, and nothing depends on it. Passive references and localcounts
//! say the same with [`Mark::Shared`].
//!
//! # Contexts
//!
//! Any, in the step that changes the count.

use crate::machine::{self, At, Mark};

/// The running LWP takes a reference to `object`, in `function`, for `holder`: a name that whoever gives it back knows, or nothing.
#[inline(always)]
#[track_caller]
pub(crate) fn taken<T>(object: &T, holder: &'static str, function: &'static str) {
    machine::mark(Mark::Took {
        object: core::ptr::from_ref(object).addr(),
        holder,
        function,
        at: At::caller(),
    });
}

/// A reference of `holder` to `object` is given back.
#[inline(always)]
pub(crate) fn given<T>(object: &T, holder: &'static str) {
    let object = core::ptr::from_ref(object).addr();
    machine::mark(Mark::Gave { object, holder });
}

/// The only reference to `object` goes from one owner to another, in `function`: into a queue, or out of one.
#[inline(always)]
#[track_caller]
pub(crate) fn passed<T>(object: &T, function: &'static str) {
    machine::mark(Mark::Passed {
        object: core::ptr::from_ref(object).addr(),
        function,
        at: At::caller(),
    });
}
