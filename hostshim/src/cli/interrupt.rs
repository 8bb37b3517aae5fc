//! Ctrl-C: the first ends the hunt cleanly, the second ends the program.

use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Whether the user wants to stop.
#[derive(Clone)]
pub(super) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Begins to listen. Once a process.
    pub(super) fn listen() -> Interrupt {
        let wanted = Arc::new(AtomicBool::new(false));
        let set = Arc::clone(&wanted);
        // If the host lets nobody listen, Ctrl-C ends the program at once, and files are whole all the same.
        let _ = ctrlc::set_handler(move || {
            if set.swap(true, Relaxed) {
                process::exit(130);
            }
        });
        Interrupt(wanted)
    }

    /// Whether it came.
    pub(super) fn is_wanted(&self) -> bool {
        self.0.load(Relaxed)
    }
}
