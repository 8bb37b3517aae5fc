//! The cost of a step, and schedules per second: the simulated machine and its peers, alternating on one core.
//!
//! Every number is a median over turns, which the candidates take one after another, in CPU time. Compare the ratios,
//! not the numbers, because machines differ and drift. `cargo bench -- WORDS` makes only the tables whose titles contain the words.

mod ours;
mod peers;

use std::{env, panic};

use bench::{Candidate, Rate, Work, grouped, paired};
use corosensei::{Coroutine, CoroutineResult};
use hostshim::strategy::Fair;
use hostshim::{Pct, Portfolio, Random};
use kmod::scenario::classics::{ABBA, LOST_UPDATE};

use ours::{Ours, STEPS};

/// Number of turns of each candidate.
const TURNS: usize = 15;
/// Switches between two stacks per turn.
const SWITCHES: u64 = 2_000_000;

fn main() {
    // Failures are counted; a million messages would be useless.
    panic::set_hook(Box::new(|_| {}));
    let wanted: Vec<String> = env::args()
        .skip(1)
        .filter(|arg| !arg.starts_with('-'))
        .collect();
    let is_wanted =
        |title: &str| wanted.is_empty() || wanted.iter().any(|word| title.contains(word));
    let switch = is_wanted("the cost of a step").then(cost_of_a_step);
    for (title, scenario, mut peers) in [
        (
            "lost update, two threads",
            &LOST_UPDATE,
            lost_update_peers(),
        ),
        (
            "lost update, threads that are spawned and joined in the run",
            ours::spawned_lost_update(),
            lost_update_peers(),
        ),
        ("ABBA deadlock, two threads", &ABBA, abba_peers()),
    ] {
        if is_wanted(title) {
            compare(title, scenario, &mut peers);
        }
    }
    if let Some(switch) = switch {
        println!("\na switch is a resume or a suspend: {switch:.2} ns here");
    }
    println!(
        "A step of the simulated machine is one shared-memory access or scheduling decision, with all checks on."
    );
    println!("Its schedules run a whole kernel. The peers run only the test program.");
}

/// A resume and a suspend are two switches.
fn bare_switches() -> Work {
    let mut coroutine = Coroutine::<(), (), ()>::new(|yielder, ()| {
        loop {
            yielder.suspend(());
        }
    });
    for _ in 0..SWITCHES / 2 {
        match coroutine.resume(()) {
            CoroutineResult::Yield(()) => {}
            CoroutineResult::Return(()) => break,
        }
    }
    // SAFETY: its stack holds nothing that wants to be dropped.
    unsafe { coroutine.force_reset() };
    Work {
        schedules: f64::NAN,
        steps: SWITCHES as f64,
    }
}

fn candidate<'a>(name: &'static str, mut ours: Ours, schedules: u64) -> Candidate<'a> {
    Candidate {
        name,
        turn: Box::new(move || ours.schedules(schedules)),
    }
}

/// Returns the nanoseconds of a bare switch.
fn cost_of_a_step() -> f64 {
    let mut candidates = [
        Candidate {
            name: "bare switch of a coroutine (corosensei)",
            turn: Box::new(bare_switches),
        },
        candidate(
            "step, the same CPU goes on",
            Ours::new(&STEPS, Box::new(Fair)),
            20,
        ),
        candidate(
            "step, random walk",
            Ours::new(&STEPS, Box::new(Random::new(1))),
            20,
        ),
        candidate("step, PCT", Ours::new(&STEPS, Box::new(Pct::new(1))), 20),
        candidate(
            "step, portfolio (the default)",
            Ours::new(&STEPS, Box::new(Portfolio::new(1))),
            20,
        ),
    ];
    let rates = paired(&mut candidates, TURNS);
    println!(
        "{:44} {:>14} {:>9} {:>12}",
        "the cost of a step, all checks on", "a second", "ns", "in switches"
    );
    let bare = rates[0].steps;
    for (candidate, rate) in candidates.iter().zip(&rates) {
        println!(
            "{:44} {:>14} {:>9.2} {:>12.1}",
            candidate.name,
            grouped(rate.steps),
            1e9 / rate.steps,
            bare / rate.steps
        );
    }
    1e9 / bare
}

fn lost_update_peers() -> [Candidate<'static>; 3] {
    let (mut seed, mut other_seed) = (0, 0);
    [
        Candidate {
            name: "shuttle, random",
            turn: Box::new(move || peers::shuttle(3_000, &mut seed, peers::shuttle_lost_update)),
        },
        Candidate {
            name: "shuttle, random, with the assertion",
            turn: Box::new(move || peers::shuttle(3_000, &mut other_seed, peers::shuttle_asserted)),
        },
        Candidate {
            name: "loom, exhaustive",
            turn: Box::new(|| peers::loom(300, peers::loom_lost_update)),
        },
    ]
}

fn abba_peers() -> [Candidate<'static>; 3] {
    let (mut seed, mut other_seed) = (0, 0);
    [
        Candidate {
            name: "shuttle, random, mutexes in order: none fails",
            turn: Box::new(move || peers::shuttle(3_000, &mut seed, peers::shuttle_abab)),
        },
        Candidate {
            name: "shuttle, random",
            turn: Box::new(move || peers::shuttle(3_000, &mut other_seed, peers::shuttle_abba)),
        },
        Candidate {
            name: "loom, exhaustive, mutexes in order",
            turn: Box::new(|| peers::loom(300, peers::loom_abab)),
        },
    ]
}

/// Compares the simulated machine, under its strategies, with the peers.
fn compare(
    title: &str,
    scenario: &'static kmod::scenario::Scenario,
    peers: &mut [Candidate<'static>],
) {
    let mut candidates = vec![
        candidate(
            "rumplab, random",
            Ours::new(scenario, Box::new(Random::new(1))),
            3_000,
        ),
        candidate(
            "rumplab, portfolio",
            Ours::new(scenario, Box::new(Portfolio::new(1))),
            3_000,
        ),
    ];
    let own = candidates.len();
    candidates.extend(peers.iter_mut().map(|peer| Candidate {
        name: peer.name,
        turn: Box::new(&mut *peer.turn),
    }));
    let rates = paired(&mut candidates, TURNS);
    println!(
        "\n{title:46} {:>12} {:>14} {:>10}",
        "schedules/s", "steps/s", "steps"
    );
    for (candidate, rate) in candidates.iter().zip(&rates) {
        row(candidate.name, rate);
    }
    for (peer, rate) in candidates[own..].iter().zip(&rates[own..]) {
        println!(
            "  {:.2} times the schedules a second of {}",
            rates[0].schedules / rate.schedules,
            peer.name
        );
        if !rate.steps.is_nan() {
            println!(
                "  {:.1} times the steps a second of {}",
                rates[0].steps / rate.steps,
                peer.name
            );
        }
    }
}

fn row(name: &str, rate: &Rate) {
    let steps = if rate.steps.is_nan() {
        "-".to_owned()
    } else {
        grouped(rate.steps)
    };
    let each = rate.steps / rate.schedules;
    let each = if each.is_nan() {
        "-".to_owned()
    } else {
        format!("{each:.0}")
    };
    println!(
        "{name:46} {:>12} {steps:>14} {each:>10}",
        grouped(rate.schedules)
    );
}
