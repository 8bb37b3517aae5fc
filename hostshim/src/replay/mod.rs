//! Replay files: runs as readable text that does not depend on the build.
//!
//! # Overview
//!
//! A file says what ran, and where the schedule departs from the machine's default. It does not say how the run
//! ended; replaying shows that.
//!
//! ```text
//! rumplab-replay 1
//! scenario xcall-early-count
//! variant historical
//! cpus 2
//! xcall native
//! schedule
//!   before r1 on cpu0 mutex_enter xc_low.xc_lock #3: cpu1 steps
//!   before r2 on cpu1 load xc_low.xc_headp #1 look 2: cpu0 takes clock
//! end
//! ```
//!
//! # Format
//!
//! * One item per line. Blank lines and lines that begin with `#` are accepted and not kept.
//! * The header has these lines in this order. After `xcall` come the old code in addition to the variant's, as
//!   `history pserialize-kpause`, and the settings that differ from the scenario's default ([`Scenario::config`] of
//!   [`Config::small`]), as `timeslice_ticks 3`, in the order of [`Config`].
//! * The line `granularity fine` is next if the steps of the run were [fine](Granularity::Fine), then `memory tso` if stores could
//!   stay in [store buffers](MemoryModel::Tso).
//! * After these, for a program in C: `races pass` if the run goes on past data races of the program, or
//!   `races until read table.c:12` if it ends at the first one whose later access is this. Without the line, it ends at
//!   the first race.
//! * A program for the scenario `ops` or `softnet` is between the header and the schedule: the line `program`, then
//!   one operation per line, after its LWP: `  l0 mutex_enter 1`.
//! * Events on the wire between network cards are there too, if the kernel has any: the line `wire`, then the lines
//!   that [`wire`](crate::wire) shows.
//! * Allocations that fail are next, if there are any: the line `allocations`, then a line for each, as
//!   `  r1 rtentry #2 fails`: the second one of an `rtentry` by the context `r1` ([`Refusal`]).
//! * A departure is `before` *point* `:` *action*. [`names`](crate::names) describes the names of points. An action
//!   is `cpu1 steps`, `cpu1 takes clock`, `cpu0 takes ipi`, or `cpu0 defers ipi`, which is a step although the line
//!   is asserted. With `memory tso` it can also be `cpu0 delays`, which is a step whose atomic stores go to the store buffer of the
//!   CPU, or `cpu0 drains`: the oldest store there becomes visible.
//! * A name with unusual characters is in quotes, with `\"` and `\\` inside.
//! * `end` is the last line, so that a truncated file is detected.
//!
//! A file is canonical if printing the parsed file gives the same bytes. Files written by this program are canonical.

use std::fmt;

use kmod::config::Config;
use kmod::scenario::ops::Program;
use kmod::scenario::{Scenario, Variant};

use crate::machine::{Failure, Later, Limits, Machine, Outcome, Races, Setup};
use crate::names::{Departure, Follower, Miss, Reached};
use crate::registry::Registry;
use crate::report::title;
use crate::schedule::{Granularity, MemoryModel, Refusal};
use crate::wire::Wire;

mod diagnostic;
mod header;
mod knobs;
mod memory;
mod parse;
#[cfg(test)]
mod tests;
pub(crate) mod token;
mod wire;

pub use diagnostic::{Diagnostic, Position};

/// The version of the format.
pub const VERSION: u32 = 1;

/// The first word of every file, and the version of the format.
const MAGIC: (&str, u32) = ("rumplab-replay", VERSION);

/// The limits of a run that is replayed, or that may be. Such runs are traced, so the limit for a livelock is lower
/// than what a machine could run.
pub const LIMITS: Limits = Limits {
    steps: 200_000,
    early_ticks: 64,
};

/// Everything that determines a run.
#[derive(Clone, Debug)]
pub struct ReplayFile {
    /// The program that ran.
    pub scenario: &'static Scenario,
    /// Which code of it.
    pub variant: &'static Variant,
    /// CPUs, settings and history: the variant's, or more.
    pub config: Config,
    /// What a step is.
    pub granularity: Granularity,
    /// The model of memory.
    pub memory: MemoryModel,
    /// The allocations that fail.
    pub refusals: Vec<Refusal>,
    /// What the actors run, if the scenario runs programs.
    pub program: Option<Box<Program>>,
    /// What happens on the wire between the network cards.
    pub wire: Wire,
    /// What becomes of the run at a data race of foreign code.
    pub races: Races,
    /// Where the schedule departs from the default.
    pub schedule: Vec<Departure>,
}

/// A parsed file, with the positions of its departures.
#[derive(Clone, Debug)]
pub struct Parsed {
    /// Its contents.
    pub file: ReplayFile,
    /// The position of the number of CPUs.
    pub cpus_at: Position,
    /// The places of each departure.
    places: Vec<Places>,
    /// The position of each allocation that fails.
    refusals_at: Vec<Position>,
}

/// The positions of a departure.
#[derive(Clone, Copy, Debug)]
struct Places {
    point: Position,
    action: Position,
}

/// Why a file could not be replayed.
#[derive(Debug)]
pub enum ReplayError {
    /// The file does not fit this kernel.
    Misfit(Diagnostic),
    /// The kernel failed before its actors began.
    Boot(Failure),
}

impl fmt::Display for ReplayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReplayError::Misfit(wrong) => write!(f, "{wrong}"),
            ReplayError::Boot(failure) => write!(f, "the kernel does not boot: {failure}"),
        }
    }
}

impl std::error::Error for ReplayError {}

impl ReplayFile {
    /// The default configuration of the scenario and variant.
    fn usual(&self) -> Config {
        let small = Config::small(self.config.ncpu);
        self.scenario.config(small, self.variant)
    }

    /// The name of a file for it: what ran, and a number for the contents. The same run has the same name.
    pub fn name(&self) -> String {
        let title = title(self.scenario, self.variant);
        let plain = |letter: char| letter.is_alphanumeric() || "-_.".contains(letter);
        let words = title.split(|letter| !plain(letter));
        let words = Vec::from_iter(words.filter(|word| !word.is_empty()));
        let digest = digest(&self.to_string());
        format!("{}-{digest:08x}.replay", words.join("-"))
    }

    /// The settings that differ from the default, with their values.
    pub fn knobs(&self) -> impl Iterator<Item = (&'static str, u32)> + use<> {
        knobs::changed(&self.config, &self.usual())
    }

    /// The names of the old code in addition to the variant's.
    pub fn history(&self) -> impl Iterator<Item = &'static str> + use<> {
        let more = self.config.history.without(self.variant.history);
        more.bugs().map(|bug| bug.name())
    }

    /// Boots `machine` for this file, with its trace on: names need it.
    ///
    /// # Errors
    ///
    /// If the kernel fails before its actors begin.
    pub fn boot(&self, machine: &mut Machine) -> Result<(), Failure> {
        let ReplayFile {
            scenario, config, ..
        } = *self;
        machine.boot(&Setup {
            scenario,
            config,
            trace: true,
        })?;
        if let Some(program) = &self.program {
            machine.load(program);
        }
        machine.connect(&self.wire);
        machine.set_granularity(self.granularity);
        machine.set_memory(self.memory);
        machine.refuse(&self.refusals);
        machine.at_races(&self.races);
        Ok(())
    }
}

impl Parsed {
    /// Parses a file of one of these scenarios. See the [module](self) for the format.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong with it, with its place.
    pub fn read(bytes: &[u8], registry: Registry<'_>) -> Result<Parsed, Diagnostic> {
        parse::parse(bytes, registry)
    }

    /// Runs it on `machine`, which then has the trace. Also returns the point number of each departure.
    ///
    /// # Errors
    ///
    /// If a departure's point is not reached, or its action is not possible there; or if an allocation that is to fail is not
    /// made.
    pub fn replay(
        &self,
        machine: &mut Machine,
        limits: &Limits,
    ) -> Result<(Outcome, Vec<u64>), ReplayError> {
        self.file.boot(machine).map_err(ReplayError::Boot)?;
        let followed = Follower::exact(&self.file.schedule, machine, limits)
            .map_err(|miss| ReplayError::Misfit(self.diagnose(miss)))?;
        match self.not_made(machine) {
            Some(wrong) => Err(ReplayError::Misfit(wrong)),
            None => Ok(followed),
        }
    }

    /// What is wrong if an allocation that is to fail was not made in the machine's last run.
    fn not_made(&self, machine: &Machine) -> Option<Diagnostic> {
        let mut all = self.file.refusals.iter().zip(&self.refusals_at);
        let (refusal, at) = all.find(|(refusal, _)| !machine.refused().contains(refusal))?;
        let Refusal { context, what, .. } = refusal;
        Some(Diagnostic::new(
            *at,
            format!("this allocation is never made: {context} makes fewer of {what}, or none"),
            "the kernel or the schedule have changed: take the line away, or correct it from the trace",
        ))
    }

    fn diagnose(&self, miss: Miss) -> Diagnostic {
        let places = self.places[miss.index];
        match miss.reason {
            Reached::Impossible(why) => Diagnostic::new(
                places.action,
                format!("not possible here: {why}"),
                "take the line away, or choose what can happen there; the line before it may be at fault",
            ),
            Reached::Never(how_far) => Diagnostic::new(
                places.point,
                format!("this point is never reached: {how_far}"),
                "the kernel or the lines before this one have changed: find the failure anew with `rumplab run`, or \
                 correct the name from the trace",
            ),
        }
    }
}

/// FNV-1a, folded: a name for a content, the same for ever.
fn digest(text: &str) -> u32 {
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    (hash >> 32) as u32 ^ hash as u32
}

impl fmt::Display for ReplayFile {
    /// The canonical text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} {}", MAGIC.0, MAGIC.1)?;
        writeln!(f, "scenario {}", self.scenario.name)?;
        writeln!(f, "variant {}", self.variant.name)?;
        writeln!(f, "cpus {}", self.config.ncpu)?;
        writeln!(f, "xcall {}", self.config.xcall.name())?;
        let history = Vec::from_iter(self.history());
        if !history.is_empty() {
            writeln!(f, "history {}", history.join(" "))?;
        }
        for (name, value) in self.knobs() {
            writeln!(f, "{name} {value}")?;
        }
        if self.granularity != Granularity::Coarse {
            writeln!(f, "granularity {}", self.granularity.name())?;
        }
        if self.memory != MemoryModel::Sc {
            writeln!(f, "memory {}", self.memory.name())?;
        }
        match &self.races {
            Races::Stop => {}
            Races::Pass => writeln!(f, "races pass")?,
            Races::Until(Later { what, file, line }) => {
                writeln!(f, "races until {what} {}:{line}", token::Name(file))?;
            }
        }
        if let Some(program) = &self.program {
            writeln!(f, "program")?;
            for (lwp, script) in program.scripts.iter().enumerate() {
                for op in script.ops() {
                    writeln!(f, "  l{lwp} {op}")?;
                }
            }
        }
        write!(f, "{}", self.wire)?;
        if !self.refusals.is_empty() {
            writeln!(f, "allocations")?;
        }
        for refusal in &self.refusals {
            writeln!(f, "  {refusal} fails")?;
        }
        writeln!(f, "schedule")?;
        for departure in &self.schedule {
            writeln!(f, "  {departure}")?;
        }
        writeln!(f, "end")
    }
}
