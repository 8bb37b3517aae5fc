//! The scenario: one thread, bound to CPU 0, that measures row after row.

use kmod::kern::kthread::Options;
use kmod::kern::lwp::Arg;
use kmod::kernel::Kernel;
use kmod::machine;
use kmod::scenario::{FIXED, Kind, Scenario, actor_options, actor_with};

use crate::counter;
use crate::rows::ROWS;

/// Measures the cost of the primitives.
pub(crate) static COST: Scenario = Scenario {
    name: "cost",
    summary: "what the primitives cost in instructions, and their peers beside them",
    about: "Measures every primitive alone, on a machine whose clock counts instructions.",
    variants: &[FIXED],
    min_cpus: 1,
    default_cpus: 1,
    kind: Kind::Sound,
    configure: |_| {},
    setup,
    verify: |_| {},
    teardown: |_| {},
};

fn setup(kernel: &'static Kernel) {
    let options = Options {
        cpu: Some(0),
        ..actor_options()
    };
    actor_with(kernel, "cost", options, measure, Arg::NONE);
}

fn measure(_: Arg) {
    counter::check();
    for row in ROWS {
        let (group, name, cost) = (row.group.name(), row.name, (row.measure)());
        machine::console(format_args!("cost\t{group}\t{name}\t{cost}\n"));
    }
}
