//! `rumplab prove`.

use std::time::Duration;

use kmod::config::{Config, Wiring};

use super::args::ProveArgs;
use super::interrupt::Interrupt;
use super::targets::{Target, check_cpus, targets};
use super::{Status, Wrong, progress, terminal};
use crate::hunt::Budget;
use crate::prove::Proof;
use crate::registry::Registry;
use crate::report::{self, Role};

pub(super) fn prove(args: &ProveArgs, registry: Registry<'_>) -> Result<Status, Wrong> {
    let wiring = args.xcall.map(Wiring::from);
    let targets = targets(&args.scenarios, &args.variant, wiring, registry)?;
    for (scenario, _) in &targets {
        check_cpus(scenario, args.cpus)?;
    }
    let interrupt = Interrupt::listen();
    for target in &targets {
        one(args, *target, &interrupt)?;
    }
    Ok(Status::Nothing)
}

fn one(args: &ProveArgs, (scenario, variant): Target, interrupt: &Interrupt) -> Result<(), Wrong> {
    let cpus = args.cpus.unwrap_or(scenario.default_cpus);
    let config = scenario.config(Config::small(cpus), variant);
    let title = report::title(scenario, variant);
    let proof = Proof {
        scenario,
        variant,
        config,
        granularity: args.granularity.into(),
        early_ticks: args.early_ticks,
        shard: (0, 1),
        jobs: args.jobs,
        reduces: std::env::var_os("BRUTE").is_none(),
    };
    for bound in 0..=args.bound {
        let budget = Budget::Time(args.seconds.unwrap_or(Duration::from_secs(3600)));
        let proved = progress::watched(budget, &title, interrupt, |watch| proof.run(bound, watch))
            .map_err(|failure| Wrong(failure.to_string()))?;
        terminal::say(
            Role::Plain,
            format!(
                "{title}: {bound} complete {} executions {} traces {} states {} cut {} diverged {} longest {} {:?}",
                proved.is_complete(),
                proved.executions,
                proved.traces.len(),
                proved.states,
                proved.cut,
                proved.diverged,
                proved.longest,
                proved.found.as_ref().map(|found| (found.run, found.failure.rule.clone()))
            ),
        );
        if proved.found.is_some() || interrupt.is_wanted() {
            break;
        }
    }
    Ok(())
}
