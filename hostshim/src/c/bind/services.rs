//! Services of the kernel that a program in C defines itself.
//!
//! The kernel calls them where NetBSD does: their initialization at boot, before the scenario's setup, and the rest by
//! its [hooks](kmod::kern::hooks).

use std::collections::BTreeMap;

use kmod::kern::hooks::{self, Hook};
use kmod::kern::lwp::Arg;
use kmod::kern::{kmem, softint};
use kmod::kernel::Kernel;

use super::Func;
use super::intern::{call, closure};
use crate::machine::host::current;
use crate::machine::module::Place;

/// What initializes a service, in the order of a boot, and whether once for each CPU, with the CPU as the argument.
const BEGINNINGS: [(&str, bool); 6] = [
    ("percpu_init", false),
    ("percpu_init_cpu", true),
    ("pserialize_init", false),
    ("callout_startup", false),
    ("callout_init_cpu", true),
    ("xc_init_cpu", true),
];

/// What the kernel calls later.
const HOOKS: [(&str, Hook); 3] = [
    ("pserialize_switchpoint", Hook::Switchpoint),
    ("callout_hardclock", Hook::Hardclock),
    ("xc_ipi_handler", Hook::Xcall),
];

/// Those that a program defines.
pub(crate) struct Services {
    beginnings: Vec<(Place, bool)>,
    hooks: Vec<(Place, Hook)>,
}

impl Services {
    /// Finds them among the program's global names.
    pub(crate) fn of(symbols: &BTreeMap<String, Place>) -> Services {
        let find = |name: &str| symbols.get(name).copied();
        Services {
            beginnings: Vec::from_iter(
                BEGINNINGS
                    .iter()
                    .filter_map(|(name, each)| Some((find(name)?, *each))),
            ),
            hooks: Vec::from_iter(
                HOOKS
                    .iter()
                    .filter_map(|(name, hook)| Some((find(name)?, *hook))),
            ),
        }
    }

    /// Initializes them in a kernel that boots.
    pub(crate) fn begin(&self, kernel: &'static Kernel) {
        for (place, each) in &self.beginnings {
            let Some(func) = function(*place) else {
                continue;
            };
            match each {
                true => kernel
                    .cpus()
                    .iter()
                    .for_each(|ci| call(closure(Func(func), [address(ci), 0]))),
                false => call(closure(Func(func), [0, 0])),
            }
        }
        for (place, hook) in &self.hooks {
            if let Some(func) = function(*place) {
                let work: (fn(Arg), Arg) = (call, closure(Func(func), [0, 0]));
                hooks::set(kernel, *hook, work);
            }
        }
        kmem::keep(kernel);
        softint::keep(kernel);
    }
}

fn function(place: Place) -> Option<usize> {
    current()?.address_of(place)
}

fn address<T>(object: &T) -> usize {
    core::ptr::from_ref(object).expose_provenance()
}
