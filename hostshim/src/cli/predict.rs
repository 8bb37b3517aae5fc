//! `rumplab predict`.

use std::fmt;
use std::path::Path;

use serde::Serialize;

use super::args::{Campaign, PredictArgs};
use super::interrupt::Interrupt;
use super::results::{self, Kept, Subject};
use super::targets::Target;
use super::{Status, Wrong, progress, save, terminal};
use crate::capture::Capture;
use crate::files::for_shell;
use crate::hunt::{Budget, Found};
use crate::minimize::Effort;
use crate::predict::{LuckyPair, Predicted, Prediction, Predictions, Touch};
use crate::registry::Registry;
use crate::replay::LIMITS;
use crate::report::{Role, Text, title};
use crate::{Failure, Limits};

/// Steps after the last departure of a schedule within which a failure is shown.
const STEPS_AFTER: u64 = 20_000;

/// What it may cost to shorten the schedule of a confirmation. There can be many; `rumplab minimize` does more.
const EFFORT: Effort = Effort {
    runs: 2_000,
    points: 400_000,
};

/// What was predicted of one scenario and variant.
#[derive(Serialize)]
struct Looked {
    #[serde(flatten)]
    subject: Subject,
    /// Whether the user stopped it.
    stopped: bool,
    /// Schedules that were observed.
    schedules: u64,
    /// How many of them failed by themselves and were set aside.
    set_aside: u64,
    deadlocks: Vec<Deadlock>,
    races: Vec<Race>,
    /// Pairs of accesses without a common lock of which no schedule showed a race.
    unconfirmed_pairs: u64,
    /// Why it could not be run to its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(Serialize)]
struct Deadlock {
    cycle: String,
    by: String,
    witnesses: Vec<String>,
    /// The number of the schedule that showed it, from 1.
    schedule: u64,
    /// How often it was seen.
    seen: u64,
    /// Schedules in which it was tried.
    tried: u64,
    confirmed: Option<Kept>,
}

#[derive(Serialize)]
struct Race {
    object: String,
    earlier: Access,
    later: Access,
    /// The number of the schedule that ordered the two, from 1.
    schedule: u64,
    confirmed: Option<Kept>,
}

#[derive(Serialize)]
struct Access {
    does: &'static str,
    lwp: String,
    at: String,
}

impl From<&Touch> for Access {
    fn from(touch: &Touch) -> Access {
        Access {
            does: if touch.wrote { "write" } else { "read" },
            lwp: touch.context.clone(),
            at: touch.location.clone(),
        }
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Access { does, lwp, at } = self;
        write!(f, "the {does} by {lwp} at {at}")
    }
}

/// Looks at every scenario and variant that was asked for.
pub(super) fn predict(args: &PredictArgs, registry: Registry<'_>) -> Result<Status, Wrong> {
    let campaign = &args.campaign;
    let targets = campaign.targets(registry)?;
    let out = save::directory(campaign.out.as_deref())?;
    terminal::leave_to_document(campaign.form);
    let interrupt = Interrupt::listen();
    let wanted = targets.len();
    let mut all = Vec::new();
    for target in targets {
        let mut looking = Looking::new(target, args, &out, &interrupt);
        if let Err(Wrong(why)) = looking.look() {
            terminal::complain(&why);
            looking.looked.error = Some(why);
        }
        looking.looked.stopped = interrupt.is_wanted();
        all.push(looking.looked);
        if interrupt.is_wanted() {
            let line = format!(
                "stopped: {} of {wanted} looked at, the last in part",
                all.len()
            );
            terminal::say(Role::Plain, line);
            break;
        }
    }
    let found = |looked: &Looked| !(looked.deadlocks.is_empty() && looked.races.is_empty());
    let status = if all.iter().any(|looked| looked.error.is_some()) {
        Status::Broken
    } else if interrupt.is_wanted() {
        interrupt.status()
    } else if all.iter().any(found) {
        Status::Found
    } else {
        Status::Nothing
    };
    Ok(results::print(campaign.form, "predict", status, &all))
}

/// A target that is looked at.
struct Looking<'a> {
    prediction: Prediction,
    args: &'a PredictArgs,
    out: &'a Path,
    interrupt: &'a Interrupt,
    title: String,
    looked: Looked,
}

impl<'a> Looking<'a> {
    fn new(
        target: Target,
        args: &'a PredictArgs,
        out: &'a Path,
        interrupt: &'a Interrupt,
    ) -> Looking<'a> {
        let campaign = &args.campaign;
        let config = campaign.config(target);
        let (scenario, variant) = target;
        Looking {
            title: title(scenario, variant),
            looked: Looked {
                subject: Subject::new(target, &config, campaign.strategy, campaign.seed),
                stopped: false,
                schedules: 0,
                set_aside: 0,
                deadlocks: Vec::new(),
                races: Vec::new(),
                unconfirmed_pairs: 0,
                error: None,
            },
            prediction: Prediction {
                scenario,
                variant,
                config,
                plan: campaign.strategy,
                seed: campaign.seed,
                schedules: args.schedules,
                tries: args.tries,
                jobs: campaign.jobs,
                limits: LIMITS,
            },
            args,
            out,
            interrupt,
        }
    }

    fn does_not_boot(&self, failure: &Failure) -> Wrong {
        let title = &self.title;
        Wrong(format!("{title}: the kernel does not boot: {failure}"))
    }

    fn look(&mut self) -> Result<(), Wrong> {
        let budget = Budget::Schedules(self.args.schedules);
        let predictions = progress::watched(budget, &self.title, self.interrupt, |watch| {
            self.prediction.run(watch)
        })
        .map_err(|failure| self.does_not_boot(&failure))?;
        self.looked.schedules = predictions.schedules;
        self.looked.set_aside = predictions.failed;
        say_result(&self.title, &self.args.campaign, &predictions);
        if predictions.interrupted {
            return Ok(());
        }
        for predicted in predictions.list {
            terminal::print(&text(&predicted));
            let (confirmed, tried) = self.confirm(&predicted)?;
            self.looked.deadlocks.push(Deadlock {
                cycle: predicted.line,
                by: predicted.by,
                witnesses: predicted.witnesses.lines().map(str::to_owned).collect(),
                schedule: predicted.run + 1,
                seen: predicted.alike.max(1),
                tried,
                confirmed,
            });
            if self.interrupt.is_wanted() {
                return Ok(());
            }
        }
        self.races()
    }

    /// Tries a prediction: what confirms it, and in how many schedules it was tried.
    fn confirm(&self, predicted: &Predicted) -> Result<(Option<Kept>, u64), Wrong> {
        let what = format!("{}: trying {}", self.title, predicted.line);
        let tries = Budget::Schedules(self.args.tries);
        let (found, tried) = progress::watched(tries, &what, self.interrupt, |watch| {
            self.prediction.confirm(predicted, watch)
        })
        .map_err(|failure| self.does_not_boot(&failure))?;
        if let Some(found) = &found {
            return Ok((Some(self.keep(found, tried)?), tried));
        }
        let line = match tried {
            _ if self.interrupt.is_wanted() => return Ok((None, tried)),
            0 => "not tried".to_owned(),
            tried => format!("not confirmed in {tried} schedules"),
        };
        terminal::say(Role::Plain, line);
        Ok((None, tried))
    }

    /// Looks for races that luck has kept from happening.
    fn races(&mut self) -> Result<(), Wrong> {
        let schedules = self.args.races.min(self.args.schedules);
        if schedules == 0 {
            return Ok(());
        }
        let what = format!("{}: races", self.title);
        let races = progress::watched(Budget::Schedules(0), &what, self.interrupt, |watch| {
            self.prediction.races(schedules, watch)
        })
        .map_err(|failure| self.does_not_boot(&failure))?;
        self.looked.unconfirmed_pairs = races.unconfirmed;
        if races.interrupted {
            return Ok(());
        }
        let count = races.list.len();
        for LuckyPair { pair, run, found } in races.list {
            let (earlier, later) = (Access::from(&pair.earlier), Access::from(&pair.later));
            let title = format!("predicted: a race for {}", pair.object);
            terminal::say(Role::Failure, title);
            let number = run + 1;
            let lines = format!(
                "  {earlier}\n  {later}\n  no lock is held over both: it was luck that schedule {number} ordered them"
            );
            terminal::say(Role::Plain, lines);
            let confirmed = Some(self.keep(&found, found.run + 1)?);
            self.looked.races.push(Race {
                object: pair.object,
                earlier,
                later,
                schedule: number,
                confirmed,
            });
        }
        let line = format!(
            "  accesses of {schedules} schedules: {count} races; {} pairs more have no lock in common, and no schedule showed a race",
            races.unconfirmed
        );
        terminal::say(Role::Aside, line);
        Ok(())
    }

    /// Keeps a schedule that confirms a prediction: number `tried` of those in which it was tried.
    fn keep(&self, found: &Found, tried: u64) -> Result<Kept, Wrong> {
        // What is tried while it is shortened, and does not fail, need not go on for long.
        let last = found
            .deviations
            .last()
            .map_or(0, |deviation| deviation.point);
        let limits = Limits {
            steps: last + STEPS_AFTER,
            ..LIMITS
        };
        let Capture { file, report, .. } = self
            .prediction
            .catch(found)
            .capture(&limits, EFFORT)
            .map_err(|error| Wrong(error.to_string()))?;
        let path = save::save(&file, self.out);
        let next = match &path {
            Some(path) => format!(": rumplab explain {}", for_shell(path)),
            None => String::new(),
        };
        terminal::say(
            Role::Failure,
            format!("confirmed in schedule {tried}{next}"),
        );
        let failure = &found.failure;
        Ok(Kept::new(tried, failure, &file, path.as_deref(), &report))
    }
}

fn say_result(title: &str, campaign: &Campaign, predictions: &Predictions) {
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
        campaign.strategy, campaign.seed
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
