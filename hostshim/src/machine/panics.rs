//! Panics of the kernel: caught, and turned into a failure.
//!
//! A panic inside a run is a finding, not an error of this program. Its message is kept for the failure, and nothing
//! is printed. The hook for this is installed once per process, in front of the previous one; panics outside a run go
//! to that one.

use std::cell::RefCell;
use std::panic::{self, PanicHookInfo};
use std::sync::Once;

use super::host::current;
use super::side::leave_guest;
use super::source::Line;

/// A panic of the kernel: its message, and its place in the source.
pub(crate) struct Panic {
    pub(crate) message: String,
    pub(crate) location: String,
}

thread_local! {
    static LAST: RefCell<Option<Panic>> = const { RefCell::new(None) };
}

/// Makes sure that panics inside runs are kept.
pub(crate) fn install() {
    static INSTALL: Once = Once::new();
    INSTALL.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| match current() {
            Some(engine) => {
                leave_guest();
                // Code that runs during unwinding makes no decision and fails no check.
                engine.failing.set(true);
                engine.attention.set(u64::MAX);
                LAST.set(Some(of(info)));
            }
            None => before(info),
        }));
    });
}

fn of(info: &PanicHookInfo<'_>) -> Panic {
    Panic {
        message: info
            .payload_as_str()
            .unwrap_or("a panic without words")
            .to_owned(),
        location: info
            .location()
            .map_or_else(String::new, |at| Line::from(at).place()),
    }
}

/// The last panic that was caught on this thread.
pub(crate) fn take() -> Option<Panic> {
    LAST.take()
}
