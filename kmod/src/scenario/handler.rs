//! The softint or the device of a scenario: established in `setup`, scheduled or raised by actors, disestablished in
//! `teardown`.

use crate::kern::intr::{self, Intrhand};
use crate::kern::lwp::Arg;
use crate::kern::softint::{self, Softint};
use crate::kern::spl::Ipl;
use crate::kern::synch;
use crate::kernel::Kernel;
use crate::machine::{Described, Field};
use crate::mem::Plain;

/// A softint, once it is established.
pub struct Handler(Plain<Option<Softint>>);

/// To traces it is one word, named after the field that contains it.
impl Described for Handler {
    const FIELDS: &'static [Field] = &[];
}

impl Handler {
    /// A handler that is not established yet.
    pub const fn new() -> Self {
        Handler(Plain::new(None))
    }

    /// Establishes it: `func(arg)` runs at `level` when it is scheduled. For `setup`.
    pub fn establish(&self, kernel: &'static Kernel, level: Ipl, func: fn(Arg), arg: Arg) {
        self.0
            .set(softint::establish_at_boot(kernel.cpus(), level, func, arg));
    }

    /// Schedules it on the current CPU.
    #[track_caller]
    pub fn schedule(&self) {
        if let Some(softint) = self.0.peek() {
            synch::kpreempt_disable();
            softint::schedule(softint);
            synch::kpreempt_enable();
        }
    }

    /// Disestablishes it. For `teardown`.
    pub fn disestablish(&self, kernel: &'static Kernel) {
        if let Some(softint) = self.0.peek() {
            softint::disestablish_at_rest(kernel, softint);
        }
    }
}

impl Default for Handler {
    fn default() -> Self {
        Self::new()
    }
}

/// The interrupt of a device, once it is established.
pub struct Device(Plain<Option<Intrhand>>);

/// A word to traces: its name is that of the field that holds it.
impl Described for Device {
    const FIELDS: &'static [Field] = &[];
}

impl Device {
    /// One that is to be established.
    pub const fn new() -> Self {
        Device(Plain::new(None))
    }

    /// Has `func(arg)` run on CPU `cpu`, at `level`, when it is raised. For `setup`.
    pub fn establish(
        &self,
        kernel: &'static Kernel,
        cpu: usize,
        level: Ipl,
        func: fn(Arg),
        arg: Arg,
    ) {
        let ci = kernel.cpu(cpu % kernel.cpus().len());
        self.0.set(intr::establish(ci, level, func, arg));
    }

    /// Raises it: its handler runs on its CPU at some point after this. Context: any.
    #[track_caller]
    pub fn raise(&self) {
        if let Some(ih) = self.0.peek() {
            intr::raise(ih);
        }
    }

    /// Gives it back. For `teardown`.
    pub fn disestablish(&self, kernel: &'static Kernel) {
        if let Some(ih) = self.0.peek() {
            intr::disestablish_at_rest(kernel, ih);
        }
    }
}

impl Default for Device {
    fn default() -> Self {
        Self::new()
    }
}
