//! How many schedules each strategy needs until it finds a bug, beside shuttle's schedulers.
//!
//! A number is the median over seeds of the first failing schedule's number. `cargo bench -p bench --bench bugs -- [WORDS]` takes only
//! the programs whose names contain one of the words; `--seeds N` and `--most N` (schedules of a search at most) change the effort.

mod classics;
mod peers;

use std::{env, panic};

use bench::cpu_seconds;
use hostshim::hunt::{Budget, Hunt, Plan, Watch};
use hostshim::{Allocations, Granularity};
use kmod::config::Config;
use kmod::scenario::{self, Kind, Scenario, Variant};

use classics::CLASSICS;

/// The strategies, in the order of the columns. The first is the default.
const PLANS: &[&str] = &[
    "portfolio",
    "random",
    "pct",
    "stall",
    "pos:program",
    "pos:modules",
    "pos:everything",
    "urw:program",
    "urw:modules",
    "urw:everything",
];

/// What is wanted on the command line.
struct Effort {
    words: Vec<String>,
    seeds: u64,
    most: u64,
    cpus: usize,
}

fn main() {
    // Failures are counted; their messages would be useless.
    panic::set_hook(Box::new(|_| {}));
    let effort = effort();
    classics(&effort);
    history(&effort);
}

/// The options. `cargo bench` adds one that means nothing here.
fn effort() -> Effort {
    let mut effort = Effort {
        words: Vec::new(),
        seeds: 20,
        most: 20_000,
        cpus: 4,
    };
    let mut args = env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut number = || {
            let value = args.next().and_then(|text| text.parse().ok());
            value.unwrap_or_else(|| panic!("{arg} needs a number"))
        };
        match arg.as_str() {
            "--bench" => {}
            "--seeds" => effort.seeds = number(),
            "--most" => effort.most = number(),
            "--cpus" => effort.cpus = number() as usize,
            _ => effort.words.push(arg),
        }
    }
    effort
}

impl Effort {
    fn wants(&self, name: &str) -> bool {
        self.words.is_empty() || self.words.iter().any(|word| name.contains(word))
    }
}

/// The median of the first failing schedules, and the processor time of a search in milliseconds.
struct Search {
    median: u64,
    milliseconds: f64,
}

/// Searches with each seed. A search that finds nothing counts with one schedule more than it was given.
fn search(effort: &Effort, first: impl Fn(u64) -> (Option<u64>, f64)) -> Search {
    let mut seconds = 0.0;
    let mut numbers: Vec<u64> = (1..=effort.seeds)
        .map(|seed| {
            let (number, took) = first(seed);
            seconds += took;
            number.unwrap_or(effort.most + 1)
        })
        .collect();
    numbers.sort_unstable();
    Search {
        median: numbers[numbers.len() / 2],
        milliseconds: seconds * 1e3 / effort.seeds as f64,
    }
}

fn ours(
    plan: &str,
    seed: u64,
    most: u64,
    scenario: &'static Scenario,
    variant: &'static Variant,
    cpus: usize,
) -> (Option<u64>, f64) {
    let before = cpu_seconds();
    let plan: Plan = plan.parse().expect("the plans are known");
    // As `rumplab::check` does it with programs that are not about the kernel.
    let (granularity, allocations) = match scenario.kind {
        Kind::Ported => (Some(Granularity::Coarse), Some(Allocations::Never)),
        _ => (None, None),
    };
    let hunt = Hunt {
        config: scenario.config(Config::small(cpus), variant),
        plan,
        seed,
        granularity,
        allocations,
        ..Hunt::new(scenario, variant, Budget::Schedules(most))
    };
    let hunted = hunt.run(&Watch::default()).expect("the program boots");
    let number = hunted.found.map(|found| found.run + 1);
    (number, cpu_seconds() - before)
}

fn header(title: &str, columns: &[&str]) {
    print!("\n{title:<40}");
    for column in columns {
        print!("{column:>17}");
    }
    println!();
}

fn row(name: &str, searches: &[Search], most: u64) {
    print!("{name:<40}");
    for search in searches {
        let schedules = match search.median {
            median if median > most => format!("> {most}"),
            median => median.to_string(),
        };
        print!(
            "{:>17}",
            format!("{schedules} {:.1}ms", search.milliseconds)
        );
    }
    println!();
}

fn classics(effort: &Effort) {
    let columns: Vec<&str> = PLANS.iter().chain(&peers::NAMES).copied().collect();
    header("classics: schedules to the bug", &columns);
    for classic in CLASSICS.iter().filter(|c| effort.wants(c.name)) {
        let program = classic.ours;
        let scenario = rumplab::check::scenario(classic.name, move |p| p.actor("main", program));
        let fixed = &scenario.variants[0];
        let mut searches: Vec<Search> = PLANS
            .iter()
            .map(|plan| {
                search(effort, |seed| {
                    ours(plan, seed, effort.most, scenario, fixed, effort.cpus)
                })
            })
            .collect();
        searches.extend(peers::NAMES.iter().map(|name| {
            search(effort, |seed| {
                peers::first(name, seed, effort.most, classic.theirs)
            })
        }));
        row(classic.name, &searches, effort.most);
    }
}

/// Every variant of the kernel's scenarios that is to fail.
fn history(effort: &Effort) {
    header("variants of scenarios: schedules to the bug", PLANS);
    for scenario in scenario::ALL {
        for variant in scenario.variants {
            let broken = match scenario.kind {
                Kind::Broken => true,
                _ => variant.fails,
            };
            let name = format!("{} {}", scenario.name, variant.name);
            if !broken || !effort.wants(&name) {
                continue;
            }
            let searches: Vec<Search> = PLANS
                .iter()
                .map(|plan| {
                    search(effort, |seed| {
                        ours(
                            plan,
                            seed,
                            effort.most,
                            scenario,
                            variant,
                            scenario.default_cpus,
                        )
                    })
                })
                .collect();
            row(&name, &searches, effort.most);
        }
    }
}
