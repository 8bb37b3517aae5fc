//! `rumplab predict`.

use hostshim::Limits;
use hostshim::hunt::{Budget, Found};
use hostshim::minimize::Effort;
use hostshim::predict::{LuckyPair, Predicted, Prediction, Predictions, Touch};
use hostshim::replay::LIMITS;
use hostshim::report::{Role, Text, title};
use kmod::config::{Config, Wiring};

use super::args::PredictArgs;
use super::interrupt::Interrupt;
use super::run::{Target, each, for_shell, targets};
use super::{Status, Wrong, progress, save, terminal};

/// Steps after the last departure of a schedule within which a failure is shown.
const STEPS_AFTER: u64 = 20_000;

/// What it may cost to shorten the schedule of a confirmation. There can be many; `rumplab minimize` does more.
const EFFORT: Effort = Effort {
    runs: 2_000,
    points: 400_000,
};

/// Looks at every scenario and variant that was asked for.
pub(super) fn predict(args: &PredictArgs) -> Result<Status, Wrong> {
    let targets = targets(&args.scenario, &args.variant, args.xcall.map(Wiring::from))?;
    each(targets, args.cpus, &args.out, |target, interrupt| {
        look(target, args, interrupt)
    })
}

fn look(
    (scenario, variant): Target,
    args: &PredictArgs,
    interrupt: &Interrupt,
) -> Result<Status, Wrong> {
    let cpus = args.cpus.unwrap_or(scenario.default_cpus);
    let mut config = scenario.config(Config::small(cpus), variant);
    config.xcall = args.xcall.map_or(config.xcall, Wiring::from);
    for bug in &args.history {
        config.history = config.history.with(*bug);
    }
    let prediction = Prediction {
        scenario,
        variant,
        config,
        plan: args.strategy,
        seed: args.seed,
        schedules: args.schedules,
        tries: args.tries,
        jobs: args.jobs.into(),
        limits: LIMITS,
    };
    let title = title(scenario, variant);
    let boots = |failure| Wrong(format!("{title}: the kernel does not boot: {failure}"));
    let budget = Budget::Schedules(args.schedules);
    let predictions = progress::watched(budget, &title, interrupt, |watch| prediction.run(watch))
        .map_err(boots)?;
    say_result(&title, args, &predictions);
    if predictions.interrupted {
        return Ok(Status::Interrupted);
    }
    for predicted in &predictions.list {
        terminal::print(&text(predicted));
        let what = format!("{title}: trying {}", predicted.line);
        let tries = Budget::Schedules(args.tries);
        let (found, tried) = progress::watched(tries, &what, interrupt, |watch| {
            prediction.confirm(predicted, watch)
        })
        .map_err(boots)?;
        if interrupt.is_wanted() {
            return Ok(Status::Interrupted);
        }
        say_confirmation(&prediction, found.as_ref(), tried, args)?;
    }
    let raced = races(&prediction, &title, args, interrupt)?;
    Ok(match raced {
        Status::Nothing if !predictions.list.is_empty() => Status::Found,
        raced => raced,
    })
}

/// Looks for races that luck has kept from happening.
fn races(
    prediction: &Prediction,
    title: &str,
    args: &PredictArgs,
    interrupt: &Interrupt,
) -> Result<Status, Wrong> {
    let schedules = args.races.min(args.schedules);
    if schedules == 0 {
        return Ok(Status::Nothing);
    }
    let what = format!("{title}: races");
    let races = progress::watched(Budget::Schedules(0), &what, interrupt, |watch| {
        prediction.races(schedules, watch)
    })
    .map_err(|failure| Wrong(format!("{title}: the kernel does not boot: {failure}")))?;
    if races.interrupted {
        return Ok(Status::Interrupted);
    }
    for LuckyPair { pair, run, found } in &races.list {
        let touch = |touch: &Touch| {
            let what = if touch.wrote { "write" } else { "read" };
            format!("the {what} by {} at {}", touch.context, touch.location)
        };
        let (earlier, later) = (touch(&pair.earlier), touch(&pair.later));
        let title = format!("predicted: a race for {}", pair.object);
        terminal::say(Role::Failure, title);
        let number = run + 1;
        let lines = format!(
            "  {earlier}\n  {later}\n  no lock is held over both: it was luck that schedule {number} ordered them"
        );
        terminal::say(Role::Plain, lines);
        say_confirmation(prediction, Some(found), found.run + 1, args)?;
    }
    let line = format!(
        "  accesses of {schedules} schedules: {} races; {} pairs more have no lock in common, and no schedule showed a race",
        races.list.len(),
        races.unconfirmed
    );
    terminal::say(Role::Aside, line);
    Ok(match races.list.is_empty() {
        true => Status::Nothing,
        false => Status::Found,
    })
}

fn say_result(title: &str, args: &PredictArgs, predictions: &Predictions) {
    let Predictions {
        list,
        schedules,
        failed,
        lost,
        interrupted,
        ..
    } = predictions;
    let what = match list.len() {
        0 => "nothing predicted".to_owned(),
        1 => "1 deadlock predicted".to_owned(),
        count => format!("{count} deadlocks predicted"),
    };
    let stopped = if *interrupted { "stopped: " } else { "" };
    let aside = match failed {
        0 => String::new(),
        failed => format!("; {failed} failed by themselves and were set aside"),
    };
    let line = format!(
        "{title}: {stopped}{what} from {schedules} schedules ({}, seed {}){aside}",
        args.strategy, args.seed
    );
    let role = if list.is_empty() {
        Role::Success
    } else {
        Role::Heading
    };
    terminal::say(role, line);
    if !lost.is_nothing() {
        terminal::say(Role::Aside, format!("  {lost}"));
    }
}

/// A prediction for people.
fn text(predicted: &Predicted) -> Text {
    let Predicted {
        line,
        by,
        witnesses,
        run,
        together,
        alike,
        program,
        ..
    } = predicted;
    let mut text = Text::default();
    text.add(Role::Failure, format!("predicted: {line}"));
    text.add(Role::Plain, format!("       by: {by}"));
    text.add(Role::Plain, witnesses);
    let number = run + 1;
    let seen = match (together, program) {
        (true, _) => format!("by schedules up to number {number} together"),
        (false, Some(_)) => format!("by program {number}"),
        (false, None) => format!("by schedule {number}"),
    };
    let more = match alike {
        0 | 1 => String::new(),
        alike => format!(", and {} times more", alike - 1),
    };
    text.add(Role::Aside, format!("  shown {seen}{more}"));
    text
}

fn say_confirmation(
    prediction: &Prediction,
    found: Option<&Found>,
    tried: u64,
    args: &PredictArgs,
) -> Result<(), Wrong> {
    let Some(found) = found else {
        let line = match tried {
            0 => "not tried".to_owned(),
            tried => format!("not confirmed in {tried} schedules"),
        };
        terminal::say(Role::Plain, line);
        return Ok(());
    };
    // What is tried while it is shortened, and does not fail, need not go on for long.
    let last = found
        .deviations
        .last()
        .map_or(0, |deviation| deviation.point);
    let limits = Limits {
        steps: last + STEPS_AFTER,
        ..LIMITS
    };
    let captured = prediction
        .catch(found)
        .capture(&limits, EFFORT)
        .map_err(|error| Wrong(error.to_string()))?;
    let path = save::save(&captured.file, &args.out)?;
    let line = format!(
        "confirmed in schedule {tried}: rumplab explain {}",
        for_shell(&path)
    );
    terminal::say(Role::Failure, line);
    Ok(())
}
