//! Ctrl-C and SIGTERM: the first ends the work cleanly, the second ends the program at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use super::Status;

/// Whether the user wants to stop.
#[derive(Clone)]
pub(super) struct Interrupt(Arc<AtomicUsize>);

/// What a shell adds to the number of a signal that ended a program.
const SHELL: usize = 128;

impl Interrupt {
    /// Begins to listen. Once a process.
    pub(super) fn listen() -> Interrupt {
        let number = Arc::new(AtomicUsize::new(0));
        let second = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            let status = SHELL as i32 + signal;
            // In this order: the first signal arms the second. If the host lets nobody listen, a signal ends the program
            // at once, and files are whole all the same.
            let _ = flag::register_conditional_shutdown(signal, status, Arc::clone(&second));
            let _ = flag::register(signal, Arc::clone(&second));
            let _ = flag::register_usize(signal, Arc::clone(&number), signal as usize);
        }
        Interrupt(number)
    }

    /// Whether it came.
    pub(super) fn is_wanted(&self) -> bool {
        self.0.load(Relaxed) != 0
    }

    /// The status of a program that it ended: what a shell makes of one that dies of the signal.
    pub(super) fn status(&self) -> Status {
        Status::Interrupted((SHELL + self.0.load(Relaxed)) as u8)
    }
}
