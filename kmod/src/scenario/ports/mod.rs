//! Programs after public bug reports of other kernels.
//!
//! Each file re-creates one report in our own words, over the primitives of this kernel: the variant `fixed` is the
//! program as it was mended, `historical` as it was reported. The two differ at one place, where the program asks whether
//! its old code [`runs`](super::runs).

use crate::history::Own;
use crate::kern::lwp::Arg;
use crate::kernel::Kernel;
use crate::machine::{self, Described};
use crate::scenario::{FIXED, Variant, actor, share};

pub mod cv_references;
pub mod descriptor_close;
pub mod flush_marker;
pub mod idle_halt;
pub mod interrupt_thread;
pub mod llentry_timer;
pub mod note_scan;
pub mod percpu_refs;
pub mod poll_list;
pub mod queue_full;
pub mod refcount_release;
pub mod runqueue_interrupt;
pub mod spin_order;
pub mod thread_handle;
pub mod timer_lock;
pub mod timer_rearms;
pub mod upgrade_bit;
pub mod waiter_forgets;
pub mod work_cancel;

/// The code that was reported.
const OLD: Own = Own::piece(0);

/// The variant that runs it.
const fn historical(summary: &'static str) -> Variant {
    Variant {
        name: "historical",
        summary,
        own: OLD,
        fails: true,
        ..FIXED
    }
}

/// An actor: its name, the CPU on which it begins, and what it does.
type Part = (&'static str, usize, fn(Arg));

/// Shares `world` under a name, with these actors.
fn start<T: Described + 'static>(
    kernel: &'static Kernel,
    name: &'static str,
    world: T,
    actors: &[Part],
) -> &'static T {
    let world = share(name, world);
    machine::label(world, format_args!("{name}"));
    kernel.set_data(Arg::of(world));
    for &(name, cpu, run) in actors {
        actor(kernel, name, cpu, run, Arg::of(world));
    }
    world
}
