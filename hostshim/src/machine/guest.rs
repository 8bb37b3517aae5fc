//! What a machine runs: a kernel, or a test's own few lines.

use std::cell::Cell;
use std::fmt;

use kmod::entry::{self, Idle};
use kmod::kern::order::{self, Dependency, Lost};
use kmod::kernel::Kernel;
use kmod::machine::{Context, Line};
use kmod::scenario::ops::{self, Program};

use super::Setup;
use super::side::as_guest;
use super::waits::WaitGraph;

/// The entries of what a machine runs; those of [`kmod::entry`], with their contexts and meanings.
pub(crate) trait Guest {
    fn boot(&self);
    fn idle_context(&self, cpu: usize) -> Context;
    fn release(&self);
    /// The interrupt entry: it is called from the depth of a context, where there is no guest at hand.
    fn interrupt(&self) -> fn(Line);
    fn idle(&self) -> Idle;
    fn progress(&self) -> u64;
    fn verify(&self);
    fn deadlock(&self) -> !;
    fn waits(&self, out: &mut dyn fmt::Write) -> fmt::Result;
    /// Tells who waits for whom, if the guest knows.
    fn tell(&self, _graph: &mut WaitGraph) {}
    /// Calls `visit` with each dependency between resources of the run; gives what was not recorded.
    fn order(&self, _visit: &mut dyn FnMut(&Dependency)) -> Lost {
        Lost::default()
    }
    /// Gives the actors the program that they are to run, if they run programs.
    fn load(&self, program: &Program);
}

/// The kernel as a guest.
pub(crate) struct Kmod {
    setup: Setup,
    kernel: Cell<Option<&'static Kernel>>,
}

impl Kmod {
    pub(crate) fn new(setup: &Setup) -> Kmod {
        Kmod {
            setup: *setup,
            kernel: Cell::new(None),
        }
    }

    /// The kernel. It lives in the machine's arena: the lifetime says no more than that the machine boots no other
    /// while somebody is here.
    fn kernel(&self) -> &'static Kernel {
        match self.kernel.get() {
            Some(kernel) => kernel,
            None => unreachable!("the kernel is used before it is booted"),
        }
    }
}

impl Guest for Kmod {
    fn boot(&self) {
        let boot = || entry::boot(&self.setup.config, self.setup.scenario);
        self.kernel.set(Some(as_guest(boot)));
    }

    fn idle_context(&self, cpu: usize) -> Context {
        as_guest(|| entry::idle_context(self.kernel(), cpu))
    }

    fn release(&self) {
        as_guest(|| entry::release(self.kernel()));
    }

    fn interrupt(&self) -> fn(Line) {
        entry::interrupt
    }

    fn idle(&self) -> Idle {
        as_guest(|| entry::idle(self.kernel()))
    }

    fn progress(&self) -> u64 {
        as_guest(|| entry::progress(self.kernel()))
    }

    fn verify(&self) {
        as_guest(|| entry::verify(self.kernel()));
    }

    fn deadlock(&self) -> ! {
        entry::deadlock(self.kernel())
    }

    fn waits(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        entry::waits(self.kernel(), out)
    }

    fn tell(&self, graph: &mut WaitGraph) {
        graph.draw(self.kernel());
    }

    fn order(&self, visit: &mut dyn FnMut(&Dependency)) -> Lost {
        order::dependencies(self.kernel(), visit)
    }

    fn load(&self, program: &Program) {
        as_guest(|| ops::load(self.kernel(), program));
    }
}
