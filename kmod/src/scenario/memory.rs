//! What actors do without memory.
//!
//! Functions of the kernel that take memory may fail in any run ([`kmem_alloc_nosleep`](crate::kern::kmem::kmem_alloc_nosleep)),
//! and that is no bug of theirs. An actor that can do without gives that operation up. One that cannot tries again
//! ([`obtain`]). A program whose check says what becomes of each packet or call declares that it needs all memory
//! ([`Memory::Given`](crate::config::Memory)).

use crate::kern::synch::kpause;
use crate::machine::{self, Stop};

/// How often an actor tries. A schedule has fewer failures than that.
const TRIES: u32 = 100;

/// What `attempt` makes: it is called again, a tick later each time, until there is memory for it.
///
/// Context: thread that may sleep; or `setup`, where it succeeds at once. Panics (contract `scenario-memory`) if there is
/// no memory for long.
pub fn obtain<T>(what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    for _ in 0..TRIES {
        if let Some(made) = attempt() {
            return made;
        }
        kpause("memory", 1, None);
    }
    machine::stop(
        Stop::Contract("scenario-memory"),
        format_args!("no memory for {what}"),
    )
}
