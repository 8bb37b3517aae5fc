//! Ctrl-C and SIGTERM: the first ends the work cleanly, a later one ends the program at once.
//!
//! timeout(1) sends SIGTERM to the program and then to its process group. So a signal that comes together with the first
//! counts as the same.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::low_level;

use super::Status;
use crate::stopwatch::Stopwatch;

/// Whether the user wants to stop.
#[derive(Clone)]
pub(super) struct Interrupt(Arc<AtomicUsize>);

/// What a shell adds to the number of a signal that ended a program.
const SHELL: usize = 128;
/// No signal has come.
const NEVER: u64 = u64::MAX;
/// Milliseconds after the first signal in which another one counts as the same.
const TOGETHER: u64 = 300;

impl Interrupt {
    /// Begins to listen. Once a process.
    pub(super) fn listen() -> Interrupt {
        let number = Arc::new(AtomicUsize::new(0));
        let first = Arc::new(AtomicU64::new(NEVER));
        let begin = Stopwatch::start();
        for signal in [SIGINT, SIGTERM] {
            let (number, first) = (Arc::clone(&number), Arc::clone(&first));
            let came = move || {
                let now = begin.elapsed().as_millis() as u64;
                match first.compare_exchange(NEVER, now, Relaxed, Relaxed) {
                    Ok(_) => number.store(signal as usize, Relaxed),
                    Err(first) if now - first < TOGETHER => {}
                    Err(_) => low_level::exit(SHELL as i32 + signal),
                }
            };
            // SAFETY: it reads a clock, accesses atomic words and ends the process: all of that may be done in a signal handler.
            let listens = unsafe { low_level::register(signal, came) };
            // If the host lets nobody listen, a signal ends the program at once, and files are whole all the same.
            let _ = listens;
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
