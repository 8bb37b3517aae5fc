//! The guest of a machine: a kernel, or a test's own few lines.

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

/// The entry points of a guest: those of [`kmod::entry`], with their contexts and meanings.
pub(crate) trait Guest {
    fn boot(&self);
    fn idle_context(&self, cpu: usize) -> Context;
    fn release(&self);
    /// The interrupt entry, a plain function: it is called from inside a context, where no guest is available.
    fn interrupt(&self) -> fn(Line);
    fn idle(&self) -> Idle;
    fn progress(&self) -> u64;
    fn verify(&self);
    fn deadlock(&self) -> !;
    fn waits(&self, out: &mut dyn fmt::Write) -> fmt::Result;
    /// Adds the wait-for graph, if the guest has one.
    fn tell(&self, _graph: &mut WaitGraph) {}
    /// Calls `visit` with each recorded dependency of the run. Returns what was not recorded.
    fn order(&self, _visit: &mut dyn FnMut(&Dependency)) -> Lost {
        Lost::default()
    }
    /// Loads the program for actors that run programs.
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

    /// The kernel. It is in the machine's arena: the lifetime only says that the machine boots no other kernel while
    /// this is in use.
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
