//! A scenario whose functions are in a module.
//!
//! A [`Scenario`] has plain functions, which know nothing of a module. They find it by the scenario that the kernel was
//! booted with.

use std::sync::{Mutex, PoisonError};

use kmod::config::Memory;
use kmod::kernel::Kernel;
use kmod::machine::Stop;
use kmod::scenario::{FIXED, Kind, Scenario, scenario_of};

use super::bind::{self, Services};
use super::object::Linked;
use crate::machine::host::current;
use crate::machine::module::{Module, Place};

/// What C defines.
const SETUP: &str = "rumplab_setup";
const VERIFY: &str = "rumplab_verify";
const TEARDOWN: &str = "rumplab_teardown";

/// A scenario and its module. It is kept for as long as the program runs.
struct Entry {
    scenario: &'static Scenario,
    module: &'static Module,
    services: Services,
    setup: Place,
    verify: Option<Place>,
    teardown: Option<Place>,
}

/// All of them.
static ENTRIES: Mutex<Vec<&'static Entry>> = Mutex::new(Vec::new());

/// Makes a scenario of this name of a module.
pub(super) fn add(name: &str, linked: Linked) -> Result<&'static Scenario, String> {
    let place = |name: &str| linked.symbols.get(name).copied();
    let Some(setup) = place(SETUP) else {
        return Err(format!(
            "no file defines {SETUP}\n  help: write a scenario, and name it with --scenario: docs/c.md has an example"
        ));
    };
    let (verify, teardown) = (place(VERIFY), place(TEARDOWN));
    let scenario = Box::leak(Box::new(Scenario {
        name: name.to_owned().leak(),
        summary: "a scenario in C",
        about: "This scenario is written in C: its source says what it does.",
        variants: &[FIXED],
        min_cpus: 1,
        default_cpus: 2,
        kind: Kind::Sound,
        // Of the kernel's functions, hardly any has a word for it in C; its own requests say whether they may fail.
        configure: |config| {
            config.memory = Memory::Given("code in C asks for memory with KM_SLEEP")
        },
        setup: run_setup,
        verify: |kernel| run(kernel, |entry| entry.verify),
        teardown: |kernel| run(kernel, |entry| entry.teardown),
    }));
    let entry = Box::leak(Box::new(Entry {
        scenario,
        services: Services::of(&linked.symbols),
        module: Box::leak(Box::new(linked.module)),
        setup,
        verify,
        teardown,
    }));
    let mut entries = ENTRIES.lock().unwrap_or_else(PoisonError::into_inner);
    entries.push(entry);
    Ok(scenario)
}

fn entry_of(kernel: &Kernel) -> &'static Entry {
    let entries = ENTRIES.lock().unwrap_or_else(PoisonError::into_inner);
    let mut all = entries.iter();
    match all.find(|entry| std::ptr::eq(entry.scenario, scenario_of(kernel))) {
        Some(entry) => entry,
        None => unreachable!("this scenario was not made by `add`"),
    }
}

/// Loads the module, and runs the scenario's own setup.
fn run_setup(kernel: &'static Kernel) {
    let entry = entry_of(kernel);
    let Some(engine) = current() else { return };
    if !engine.load_module(entry.module) {
        kmod::machine::stop(
            Stop::Contract("scenario-memory"),
            format_args!("no memory for the variables of {}", entry.scenario.name),
        );
    }
    bind::boot(kernel);
    // On a stack that can be abandoned: that of C cannot be unwound.
    engine.aside(engine.cpu.get(), &|| {
        entry.services.begin(kernel);
        call(entry.setup);
    });
    engine.go_on();
}

/// Runs another function of the scenario. The machine is at rest, on a stack that can be abandoned.
fn run(kernel: &Kernel, function: fn(&Entry) -> Option<Place>) {
    if let Some(place) = function(entry_of(kernel)) {
        call(place);
    }
}

fn call(place: Place) {
    let address = current().and_then(|engine| engine.address_of(place));
    if let Some(address) = address {
        let function = std::ptr::with_exposed_provenance::<()>(address);
        // SAFETY: the module defines the function under a name that <rumplab.h> declares with this type. What it does is as
        // sound as the program under test.
        let function = unsafe { std::mem::transmute::<*const (), extern "C" fn()>(function) };
        function();
    }
}
