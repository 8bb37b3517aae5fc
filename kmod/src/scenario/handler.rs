//! The softint or the device of a scenario: established in `setup`, scheduled or raised by actors, disestablished in
//! `teardown`.

use crate::kern::intr::{self, Intrhand};
use crate::kern::lwp::Arg;
use crate::kern::softint::{self, Softint};
use crate::kern::spl::Ipl;
use crate::kern::synch;
use crate::kernel::Kernel;
use crate::machine::{self, Described, Field, ObjectKind, Occasion};
use crate::mem::Plain;
use crate::scenario::classics::shared;

/// What runs.
type Work = Option<(fn(Arg), Arg)>;

/// A softint, once it is established.
pub struct Handler {
    softint: Plain<Option<Softint>>,
    work: Plain<Work>,
}

/// To traces it is one word, named after the field that contains it.
impl Described for Handler {
    const FIELDS: &'static [Field] = &[];
    const SORT: ObjectKind = ObjectKind::Handler;
}

impl Handler {
    /// A handler that is not established yet.
    pub const fn new() -> Self {
        Handler {
            softint: Plain::new(None),
            work: Plain::new(None),
        }
    }

    /// Establishes it: `func(arg)` runs at `level` when it is scheduled. For `setup`.
    pub fn establish(&'static self, kernel: &'static Kernel, level: Ipl, func: fn(Arg), arg: Arg) {
        self.work.set(Some((func, arg)));
        let run = |at| {
            let handler: &Handler = shared(at);
            perform(Arg::of(handler), handler.work.peek());
        };
        let softint = softint::establish_at_boot(kernel.cpus(), level, run, Arg::of(self));
        self.softint.set(softint);
    }

    /// Schedules it on the current CPU.
    #[track_caller]
    pub fn schedule(&self) {
        if let Some(softint) = self.softint.peek() {
            synch::kpreempt_disable();
            softint::schedule(softint);
            synch::kpreempt_enable();
        }
    }

    /// Disestablishes it. For `teardown`.
    pub fn disestablish(&self, kernel: &'static Kernel) {
        if let Some(softint) = self.softint.peek() {
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
pub struct Device {
    interrupt: Plain<Option<Intrhand>>,
    work: Plain<Work>,
}

/// A word to traces: its name is that of the field that holds it.
impl Described for Device {
    const FIELDS: &'static [Field] = &[];
    const SORT: ObjectKind = ObjectKind::Handler;
}

impl Device {
    /// One that is to be established.
    pub const fn new() -> Self {
        Device {
            interrupt: Plain::new(None),
            work: Plain::new(None),
        }
    }

    /// Has `func(arg)` run on CPU `cpu`, at `level`, when it is raised. For `setup`.
    pub fn establish(
        &'static self,
        kernel: &'static Kernel,
        cpu: usize,
        level: Ipl,
        func: fn(Arg),
        arg: Arg,
    ) {
        let ci = kernel.cpu(cpu % kernel.cpus().len());
        self.work.set(Some((func, arg)));
        let run = |at| {
            let device: &Device = shared(at);
            perform(Arg::of(device), device.work.peek());
        };
        self.interrupt
            .set(intr::establish(ci, level, run, Arg::of(self)));
    }

    /// Raises it: its handler runs on its CPU at some point after this. Context: any.
    #[track_caller]
    pub fn raise(&self) {
        if let Some(ih) = self.interrupt.peek() {
            intr::raise(ih);
        }
    }

    /// Gives it back. For `teardown`.
    pub fn disestablish(&self, kernel: &'static Kernel) {
        if let Some(ih) = self.interrupt.peek() {
            intr::disestablish_at_rest(kernel, ih);
        }
    }
}

impl Default for Device {
    fn default() -> Self {
        Self::new()
    }
}

/// Runs the work of the handler at `at`, and tells when.
fn perform(at: Arg, work: Work) {
    machine::happened(Occasion::HandlerBegins(at.0, softint::is_on_top()));
    if let Some((func, arg)) = work {
        func(arg);
    }
    machine::happened(Occasion::HandlerEnds(at.0));
}
