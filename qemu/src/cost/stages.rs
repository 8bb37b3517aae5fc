//! The scenario: repeated echoes, measured between the marks on their path.

use kmod::kern::kmem;
use kmod::kern::kthread::Options;
use kmod::kern::lwp::{Arg, curlwp};
use kmod::kernel::Kernel;
use kmod::machine;
use kmod::net::stages::{Stage, reached};
use kmod::scenario::net::steady;
use kmod::scenario::{FIXED, Kind, Scenario, actor_options, actor_with};
use rumplab_kernel::stages::{NOTES, take};

use crate::counter;

/// Measures the cost of an echo.
pub(crate) static ECHO: Scenario = Scenario {
    name: "echo",
    summary: "what an ICMP echo costs in instructions, by stage, and how many allocations",
    about: "Sends echo requests one after another, on a machine whose clock counts instructions.",
    variants: &[FIXED],
    min_cpus: 1,
    default_cpus: 1,
    kind: Kind::Sound,
    configure: |_| {},
    setup,
    verify: steady::verify,
    teardown: steady::teardown,
};

/// The marks on the path of an echo, from the request on the wire to the reply at the other host, and what is done
/// between each and the next.
const WAY: &[(Stage, &str)] = &[
    (
        Stage::Queued,
        "softint: dispatched; if_percpuq: off the queue",
    ),
    (
        Stage::Received,
        "if_input, ether_input: tap, header, protocol",
    ),
    (Stage::Demultiplexed, "pktq_rps_hash, pktq_enqueue"),
    (Stage::Enqueued, "softint: the next; pktq_dequeue"),
    (Stage::Ip, "ip_input: interface, header, checksum, address"),
    (Stage::Icmp, "icmp_input, icmp_reflect: two checksums"),
    (Stage::Output, "ip_output: route"),
    (
        Stage::Routed,
        "ip_output: source, interface, header, checksum",
    ),
    (Stage::Resolve, "ether_output: arpresolve"),
    (Stage::Resolved, "ether_output: header; if_transmit: tap"),
    (
        Stage::Transmit,
        "the driver of the wire; if_percpuq_enqueue",
    ),
    (Stage::Queued, "the driver returns"),
    (Stage::Transmitted, "references given back"),
    (Stage::Done, "softint: the next; if_percpuq: off the queue"),
    (Stage::Received, "the other host's if_input"),
    (Stage::Delivered, ""),
];

/// Number of echoes that are counted, that come before, and during which nothing may be allocated.
const COUNTED: usize = 101;
const WARM_UP: u16 = 200;
const STEADY: u16 = 10_000;

fn setup(kernel: &'static Kernel) {
    steady::setup(kernel);
    let options = Options {
        cpu: Some(0),
        ..actor_options()
    };
    actor_with(kernel, "echo", options, measure, Arg::NONE);
}

fn measure(_: Arg) {
    counter::check();
    let kernel = curlwp().kernel();
    assert!(
        kernel.cpus().len() == 1,
        "what other CPUs do would be counted"
    );
    steady::open();
    (0..WARM_UP).for_each(steady::echo);

    let mut costs = [[0; COUNTED]; WAY.len()];
    for (number, at) in (WARM_UP..).zip(0..COUNTED) {
        let mark = mark();
        take(|_, _| {});
        steady::echo(number);
        for (costs, cost) in costs.iter_mut().zip(stages(mark)) {
            costs[at] = cost;
        }
    }
    let mut whole = 0;
    for (costs, (_, text)) in costs.iter_mut().zip(&WAY[..WAY.len() - 1]) {
        costs.sort_unstable();
        row("stage", text, costs[COUNTED / 2]);
        whole += costs[COUNTED / 2];
    }
    row("whole", "*all of it*", whole);

    let before = kmem::allocated(kernel);
    (0..STEADY).for_each(steady::echo);
    let allocated = kmem::allocated(kernel) - before;
    assert!(
        allocated == 0,
        "{STEADY} echoes allocated {allocated} objects"
    );
    row("steady", "allocations in 10,000 echoes", allocated);
    steady::close();
}

fn row(group: &str, name: &str, value: u64) {
    machine::console(format_args!("cost\t{group}\t{name}\t{value}\n"));
}

/// Instructions that a mark adds to the stage before it, and to the one after it.
fn mark() -> u64 {
    take(|_, _| {});
    reached(Stage::Done);
    reached(Stage::Done);
    let mut times = [0; 2];
    let mut count = 0;
    take(|_, cycles| {
        times[count] = cycles;
        count += 1;
    });
    times[1] - times[0]
}

/// The costs of the last echo's stages.
///
/// Panics if it did not pass the marks of [`WAY`].
fn stages(mark: u64) -> [u64; WAY.len() - 1] {
    let mut notes = [(0, 0); NOTES];
    let mut count = 0;
    take(|stage, cycles| {
        notes[count] = (stage, cycles);
        count += 1;
    });
    // The request is put on the wire first, and that driver returns at the very end.
    let way = notes[..count].get(1..=WAY.len()).unwrap_or_default();
    let fits = way
        .iter()
        .zip(WAY)
        .all(|(note, &(stage, _))| note.0 == stage as usize);
    assert!(
        fits && way.len() == WAY.len(),
        "an echo came by other marks: {:?}",
        &notes[..count]
    );
    core::array::from_fn(|at| way[at + 1].1 - way[at].1 - mark)
}
