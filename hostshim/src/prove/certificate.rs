//! Certificates: what is kept of a proof, to check it again, to go on with it, and to put its parts together.
//!
//! # The form
//!
//! JSON: the scope in words and numbers, how many executions there were, and a fingerprint of the set of them. Two proofs of the
//! same scope by the same build have the same certificate, whatever the number of threads, and also if one was stopped and went on.
//! How many schedules had to be run for it depends on all that, so it is not in there.
//!
//! A certificate of a part, or of a proof that was stopped, also has every execution by its fingerprint; that of a proof that was
//! stopped has what is left as well.

use kmod::config::{Config, Wiring};
use kmod::history::Bug;
use serde::{Deserialize, Serialize};

use super::past::mix;
use super::search::{Task, choice_of, number_of};
use super::{Progress, Proof, Proved, Shard};
use crate::registry::Registry;
use crate::schedule::{Deviation, Granularity};

const FORMAT: &str = "rumplab-proof";
const VERSION: u32 = 1;
/// The most forced switches and early ticks that can be asked for.
const MOST: u32 = 64;

/// What was to be proved.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scope {
    scenario: String,
    variant: String,
    cpus: usize,
    xcall: String,
    net_mpsafe: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    history: Vec<String>,
    granularity: String,
    forced_switches: u32,
    early_ticks: u32,
    /// Points of a run at most.
    longest: u64,
}

/// A part of a proof.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Part {
    number: u32,
    of: u32,
}

/// What is left of a task.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Left {
    /// Points, and the number of the choice there.
    deviations: Vec<(u64, u8)>,
    /// Points, and the set of choices there, as hexadecimal digits.
    choices: Option<Vec<(u64, String)>>,
}

/// What is kept of a proof.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    format: String,
    version: u32,
    scope: Scope,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    part: Option<Part>,
    /// Whether nothing is left.
    complete: bool,
    /// Runs that differ in more than the order of independent steps.
    executions: u64,
    fingerprint: String,
    /// Runs that were cut off at the limit of points.
    #[serde(default, skip_serializing_if = "is_none")]
    cut: u64,
    /// Forced switches up to which the proof is to go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    up_to: Option<u32>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    left: Vec<Left>,
    /// Each execution.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    each: Vec<String>,
}

fn is_none(count: &u64) -> bool {
    *count == 0
}

/// The fingerprint of a set.
fn of_all(executions: &[u64]) -> String {
    let all = executions.iter().fold(0, |all, one| mix(all, *one));
    format!("{all:016x}")
}

fn hexadecimal(digits: &str) -> Result<u64, String> {
    u64::from_str_radix(digits, 16).map_err(|_| format!("`{digits}` is no hexadecimal number"))
}

impl Scope {
    fn of(proof: &Proof, bound: u32) -> Scope {
        let Proof {
            variant, config, ..
        } = *proof;
        let more = config.history.without(variant.history);
        Scope {
            scenario: proof.scenario.name.to_owned(),
            variant: variant.name.to_owned(),
            cpus: config.ncpu,
            xcall: config.xcall.name().to_owned(),
            net_mpsafe: config.net_mpsafe,
            history: Vec::from_iter(more.bugs().map(|bug| bug.name().to_owned())),
            granularity: proof.granularity.name().to_owned(),
            forced_switches: bound,
            early_ticks: proof.early_ticks,
            longest: super::LONGEST,
        }
    }

    fn proof(&self, registry: Registry<'_>) -> Result<Proof, String> {
        let Scope { cpus, longest, .. } = *self;
        let scenario = registry
            .find(&self.scenario)
            .ok_or_else(|| format!("there is no scenario `{}`", self.scenario))?;
        let mut variants = scenario.variants.iter();
        let variant = variants
            .find(|variant| variant.name == self.variant)
            .ok_or_else(|| format!("{} has no variant `{}`", self.scenario, self.variant))?;
        if !(scenario.min_cpus..=Config::MAXCPUS).contains(&cpus) {
            let (name, least) = (scenario.name, scenario.min_cpus);
            return Err(format!(
                "{name} runs on {least} to {} CPUs",
                Config::MAXCPUS
            ));
        }
        let mut config = scenario.config(Config::small(cpus), variant);
        config.xcall = Wiring::find(&self.xcall)
            .ok_or_else(|| format!("there is no wiring `{}`", self.xcall))?;
        config.net_mpsafe = self.net_mpsafe;
        for name in &self.history {
            let bug = Bug::find(name).ok_or_else(|| format!("there is no old code `{name}`"))?;
            config.history = config.history.with(bug);
        }
        let mut all = Granularity::ALL.into_iter();
        let granularity = all
            .find(|granularity| granularity.name() == self.granularity)
            .ok_or_else(|| format!("there is no granularity `{}`", self.granularity))?;
        if longest != super::LONGEST {
            return Err(format!(
                "its runs have up to {longest} points, and this program's up to {}",
                super::LONGEST
            ));
        }
        Ok(Proof {
            scenario,
            variant,
            config,
            granularity,
            early_ticks: self.early_ticks,
            shard: Shard::WHOLE,
            jobs: 1,
            reduces: true,
        })
    }
}

impl Left {
    fn of(task: &Task) -> Left {
        let deviations = task.deviations.iter();
        let deviations = deviations.map(|deviation| (deviation.point, number_of(deviation.choice)));
        let hexadecimal = |(point, set): &(u64, u64)| (*point, format!("{set:x}"));
        let choices = task.choices.as_ref();
        Left {
            deviations: Vec::from_iter(deviations),
            choices: choices.map(|choices| Vec::from_iter(choices.iter().map(hexadecimal))),
        }
    }

    fn task(&self, cpus: usize) -> Result<Task, String> {
        let mut deviations: Vec<Deviation> = Vec::new();
        for (point, number) in &self.deviations {
            if deviations.last().is_some_and(|last| last.point >= *point) {
                return Err(format!("the deviation at point {point} is not in order"));
            }
            let choice = choice_of(*number).filter(|choice| choice.cpu() < cpus);
            let choice = choice.ok_or_else(|| format!("there is no choice number {number}"))?;
            deviations.push(Deviation {
                point: *point,
                choice,
            });
        }
        let mut choices = None;
        let mut last = None;
        for (point, set) in self.choices.iter().flatten() {
            let set = hexadecimal(set)?;
            let numbers = (0..64).filter(|number| set >> number & 1 != 0);
            let fits = |number: u8| choice_of(number).is_some_and(|choice| choice.cpu() < cpus);
            if set == 0 || *point > super::LONGEST || last >= Some(*point) {
                return Err(format!("what is left at point {point} makes no sense"));
            }
            if !numbers.map(|number| number as u8).all(fits) {
                return Err(format!(
                    "at point {point} there are choices of CPUs that there are not"
                ));
            }
            last = Some(*point);
            choices.get_or_insert_with(Vec::new).push((*point, set));
        }
        Ok(Task {
            deviations,
            choices,
        })
    }
}

impl Certificate {
    /// What is kept of what came of a proof. It is to go on `up_to` so many forced switches.
    pub fn of(proof: &Proof, proved: &Proved, up_to: u32) -> Certificate {
        let is_part = proof.shard != Shard::WHOLE;
        let Shard { number, of } = proof.shard;
        let left = proved.left.as_ref();
        let each = proved.executions.iter();
        let each = each.map(|execution| format!("{execution:016x}"));
        let is_open = left.is_some();
        Certificate {
            format: FORMAT.to_owned(),
            version: VERSION,
            scope: Scope::of(proof, proved.bound),
            part: is_part.then_some(Part { number, of }),
            complete: proved.is_complete(),
            executions: proved.executions.len() as u64,
            fingerprint: of_all(&proved.executions),
            cut: proved.cut,
            up_to: is_open.then_some(up_to),
            left: left.map_or(Vec::new(), |left| {
                Vec::from_iter(left.tasks.iter().map(Left::of))
            }),
            each: match is_part || is_open {
                true => Vec::from_iter(each),
                false => Vec::new(),
            },
        }
    }

    /// Reads one. What is inside is checked when it is used.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn read(text: &str) -> Result<Certificate, String> {
        let certificate: Certificate =
            serde_json::from_str(text).map_err(|error| format!("it is no certificate: {error}"))?;
        let Certificate {
            format,
            version,
            executions,
            each,
            ..
        } = &certificate;
        if format != FORMAT {
            return Err(format!("its format is `{format}`, not `{FORMAT}`"));
        }
        if *version != VERSION {
            return Err(format!("version {version} of the form is not known"));
        }
        let listed = certificate.each()?;
        let is_listed = !each.is_empty() || certificate.part.is_some() || !certificate.complete;
        if is_listed && listed.len() as u64 != *executions {
            return Err(format!(
                "it says {executions} executions, and lists {}",
                each.len()
            ));
        }
        if is_listed && !listed.is_sorted_by(|one, next| one < next) {
            return Err("its executions are not in order, or one stands twice".to_owned());
        }
        if is_listed && certificate.fingerprint != of_all(&listed) {
            return Err("its fingerprint is not that of the executions that it lists".to_owned());
        }
        let scope = &certificate.scope;
        let most = certificate.up_to.max(Some(scope.forced_switches));
        if most > Some(MOST) || scope.early_ticks > MOST {
            return Err(format!(
                "there can be {MOST} forced switches and early ticks at most"
            ));
        }
        Ok(certificate)
    }

    /// The proof that it is of.
    ///
    /// # Errors
    ///
    /// What this program does not have.
    pub fn proof(&self, registry: Registry<'_>) -> Result<Proof, String> {
        let shard = match self.part {
            None => Shard::WHOLE,
            Some(Part { number, of }) if (1..=of).contains(&number) => Shard { number, of },
            Some(Part { number, of }) => return Err(format!("there is no part {number} of {of}")),
        };
        let proof = self.scope.proof(registry)?;
        Ok(Proof { shard, ..proof })
    }

    /// Forced switches.
    pub fn bound(&self) -> u32 {
        self.scope.forced_switches
    }

    /// Whether nothing is left.
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// Executions.
    pub fn executions(&self) -> u64 {
        self.executions
    }

    /// Whether something is left.
    pub fn is_open(&self) -> bool {
        !self.left.is_empty()
    }

    /// A number for the scope.
    pub fn digest(&self) -> u32 {
        let text = serde_json::to_string(&self.scope).unwrap_or_default();
        let digest = text.bytes().fold(0, |all, byte| mix(all, u64::from(byte)));
        (digest >> 32) as u32
    }

    /// The fingerprint of the set of executions.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// How far the proof has come, and up to how many forced switches it is to go on.
    ///
    /// # Errors
    ///
    /// What is wrong with it, or that nothing is left.
    pub fn progress(&self) -> Result<(Progress, u32), String> {
        let Some(up_to) = self.up_to.filter(|_| !self.left.is_empty()) else {
            return Err("nothing is left of this proof".to_owned());
        };
        let tasks = self.left.iter().map(|left| left.task(self.scope.cpus));
        let tasks = tasks.collect::<Result<Vec<Task>, String>>()?;
        let (traces, cut) = (self.each()?, self.cut);
        Ok((Progress { tasks, traces, cut }, up_to))
    }

    fn each(&self) -> Result<Vec<u64>, String> {
        self.each.iter().map(|each| hexadecimal(each)).collect()
    }

    /// Puts the parts of a proof together.
    ///
    /// # Errors
    ///
    /// If they are not all parts of one proof, or not complete.
    pub fn merge(parts: &[Certificate]) -> Result<Certificate, String> {
        let first = parts.first().ok_or("there is nothing to put together")?;
        let Some(Part { of, .. }) = first.part else {
            return Err("the first file is no part: it is the whole".to_owned());
        };
        let mut all = Vec::new();
        for number in 1..=of {
            let wanted = Some(Part { number, of });
            let part = parts
                .iter()
                .find(|part| part.part == wanted)
                .ok_or_else(|| format!("part {number} of {of} is missing"))?;
            if part.scope != first.scope {
                return Err(format!("part {number} of {of} is of another proof"));
            }
            if !part.complete {
                return Err(format!("part {number} of {of} is not complete"));
            }
            all.extend(part.each()?);
        }
        if parts.len() as u32 != of {
            return Err(format!(
                "there are {of} parts, and {} files: one is given twice, or is of another proof",
                parts.len()
            ));
        }
        all.sort_unstable();
        all.dedup();
        Ok(Certificate {
            part: None,
            executions: all.len() as u64,
            fingerprint: of_all(&all),
            each: Vec::new(),
            ..first.clone()
        })
    }

    /// In what the other differs, in a sentence; both are of the same proof. `None`: in nothing.
    pub fn difference(&self, other: &Certificate) -> Option<String> {
        if self.executions != other.executions {
            return Some(format!(
                "it has {} executions, and now there are {}",
                self.executions, other.executions
            ));
        }
        (self.fingerprint != other.fingerprint).then(|| {
            format!(
                "the executions are as many, but not the same: {}, and now {}",
                self.fingerprint, other.fingerprint
            )
        })
    }

    /// The text of the file.
    pub fn text(&self) -> String {
        // A structure of numbers, strings and lists has no error.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }
}
