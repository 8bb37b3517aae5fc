//! Contracts: NetBSD's KASSERTs, as sentences.
//!
//! A contract has a name (for example `mutex-owned`) and a message that states the rule with the values that broke
//! it. Without the feature `contracts` the condition is not evaluated. [`crate::contracts`] explains every contract.

/// Stops the kernel unless the condition holds: `contract!(held, "mutex-owned", "{} is not held", name)`.
#[macro_export]
macro_rules! contract {
    ($condition:expr, $rule:literal, $($message:tt)+) => {
        if cfg!(feature = "contracts") && !$condition {
            $crate::machine::stop(
                $crate::machine::Stop::Contract($rule),
                format_args!($($message)+),
            );
        }
    };
}

use core::fmt;

use crate::kern::lwp::curlwp;
use crate::kern::pserialize;
use crate::kern::spl;
use crate::machine::{self, Stop};

/// Stops the kernel: an assertion of code in another language is false.
///
/// Context: any. Panics (contract `kassert`).
#[track_caller]
pub fn kassert_failed(message: fmt::Arguments<'_>) -> ! {
    machine::stop(Stop::Contract("kassert"), message)
}

/// Stops the kernel: code in another language has called panic(9).
///
/// Context: any. Panics (contract `panic`).
#[track_caller]
pub fn panic_called(message: fmt::Arguments<'_>) -> ! {
    machine::stop(Stop::Contract("panic"), message)
}

/// Stops the kernel: code in another language has called a function with an argument that it does not take.
///
/// Context: any. Panics (contract `c-argument`).
#[track_caller]
pub fn argument_refused(message: fmt::Arguments<'_>) -> ! {
    machine::stop(Stop::Contract("c-argument"), message)
}

/// `ASSERT_SLEEPABLE`: the caller may sleep here.
///
/// Panics (contract `sleepable`) in a hard interrupt, in a softint, on an idle LWP, in a read section of
/// pserialize(9), or with a spin mutex held.
#[inline]
#[track_caller]
pub fn assert_sleepable(what: &str) {
    if cfg!(feature = "contracts") {
        let l = curlwp();
        contract!(
            !spl::cpu_intr_p(),
            "sleepable",
            "{what} may sleep, and was called in a hard interrupt on {}",
            l.name()
        );
        contract!(
            !l.is_softint(),
            "sleepable",
            "{what} may sleep, and was called in the softint {}",
            l.name()
        );
        contract!(
            !l.is_idle(),
            "sleepable",
            "{what} may sleep, and was called on the idle LWP {}",
            l.name()
        );
        contract!(
            pserialize::not_in_read_section(),
            "sleepable",
            "{what} may sleep, and was called in a read section by {}",
            l.name()
        );
        let held = l.of_cpu(|ci| -ci.ci_mtx_count.look());
        contract!(
            held == 0,
            "sleepable",
            "{what} may sleep, and was called by {} with {held} spin mutexes held",
            l.name()
        );
    }
}
