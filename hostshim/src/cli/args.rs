//! What can be asked for.

use std::path::{Path, PathBuf};

use clap::builder::styling::{AnsiColor, Styles};
use clap::{Parser, Subcommand, ValueEnum};
use hostshim::hunt::Plan;
use hostshim::minimize::Effort;
use hostshim::suggest::nearest;
use kmod::config::{Config, Wiring};
use kmod::history::Bug;

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default())
    .placeholder(AnsiColor::Yellow.on_default());

const EXAMPLES: &str = "\
Examples:
  rumplab list                                          what there is to run
  rumplab run xcall-early-count --variant historical    how the old code failed
  rumplab run xcall-early-count                         that today's code does not
  rumplab run all --seconds 60 --jobs 2                 a minute on each scenario, on two host CPUs
  rumplab predict perform-vs-callout --variant historical    a deadlock, from runs that had none
  rumplab replay FILE                                   the same run again, step by step
  rumplab explain FILE                                  the same, told for people
  rumplab explain FILE --html --out report.html         the same, to look at
  rumplab minimize FILE --out FILE                      the same failure with less of everything
  rumplab triage DIR                                    which failures the files of a directory show

Exit status:
  0    nothing found        2    wrong usage or input
  1    a failure found      130  stopped by Ctrl-C";

/// Finds, replays and explains concurrency failures of a kernel on a simulated SMP machine.
///
/// A scenario is a small program on the kernel's primitives. `run` lets it run under many schedules, each chosen by a
/// strategy, until something breaks: a data race, a use after free, a deadlock, a broken contract or promise. What
/// breaks is minimized and kept as a replay file: text that gives the same run again, on any machine.
#[derive(Debug, Parser)]
#[command(name = "rumplab", version, styles = STYLES, after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Lists the scenarios and their variants.
    List,
    /// Runs a scenario under many schedules until something breaks.
    Run(RunArgs),
    /// Runs every scenario in every variant and prints the table: the old code must fail, today's must hold.
    Hunt(HuntArgs),
    /// Warns of deadlocks and races that runs which did not fail could have had.
    Predict(PredictArgs),
    /// Makes a run again from its file: prints every step, and how it ends.
    Replay(FileArgs),
    /// Tells the story of a run, as text, as a page to look at, or for other programs.
    Explain(ExplainArgs),
    /// Shortens the run of a file: the same failure with less of everything.
    Minimize(MinimizeArgs),
    /// Folds a directory of replay files into findings: how many show each, and the best file of it.
    Triage(TriageArgs),
}

const RUN_EXAMPLES: &str = "\
Examples:
  rumplab run xcall-early-count --variant historical --seed 7
  rumplab run xcall-early-count --variant all --schedules 1000000
  rumplab run abba --cpus 4 --strategy pct:2 --out /tmp/replays

The same arguments find the same failure, whatever --jobs says. Of a failure, the shortest schedule that still shows
it is kept; the last line printed is the command that replays it.";

#[derive(Debug, clap::Args)]
#[command(after_help = RUN_EXAMPLES)]
pub(super) struct RunArgs {
    /// The scenario, or `all` for every one that must hold (`rumplab list`)
    pub(super) scenario: String,
    /// The code that runs: `fixed` is today's, the others are historical; `all` for each of them
    #[arg(long, value_name = "NAME", default_value = "fixed")]
    pub(super) variant: String,
    /// Who chooses the schedules: portfolio, random, pct, or pct:DEPTH
    #[arg(long, default_value_t = Plan::Portfolio)]
    pub(super) strategy: Plan,
    /// How many schedules, unless something breaks before [default: 100000]
    #[arg(long, value_name = "N", conflicts_with = "seconds", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) schedules: Option<u64>,
    /// How long, unless something breaks before, for each scenario and variant
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u64).range(1..=31_536_000))]
    pub(super) seconds: Option<u64>,
    /// Which of all sequences of schedules
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(super) seed: u64,
    /// CPUs of the simulated machine [default: what the scenario says]
    #[arg(long, value_name = "N", value_parser = parse_cpus)]
    pub(super) cpus: Option<usize>,
    /// Host threads to use
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(super) jobs: u16,
    /// How high-priority cross calls are wired [default: what the scenario says, which is native mostly]
    #[arg(long, value_enum)]
    pub(super) xcall: Option<XcallArg>,
    /// Whether the network stack does without softnet_lock where it can [default: what the scenario says]
    #[arg(long, value_name = "BOOL")]
    pub(super) net_mpsafe: Option<bool>,
    /// Old code that runs besides the variant's, by the words of `rumplab list`
    #[arg(long, value_name = "BUG,...", value_delimiter = ',', value_parser = parse_bug)]
    pub(super) history: Vec<Bug>,
    /// A pcap or pcapng file of frames that network card 0 receives from outside, in every run
    #[arg(long, value_name = "PCAP")]
    pub(super) frames: Option<PathBuf>,
    /// Keep a failure as it was found; `rumplab minimize` can make it small later
    #[arg(long)]
    pub(super) as_found: bool,
    /// Where replay files go
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub(super) out: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(super) struct HuntArgs {
    /// How many schedules of each variant, and of each wiring of one that must hold; fewer of those that are long
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) schedules: u64,
    /// Which of all sequences of schedules
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(super) seed: u64,
    /// Host threads to use
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(super) jobs: u16,
    /// Boots each variant on 4 CPUs too, with this script (scripts/boot)
    #[arg(long, value_name = "SCRIPT")]
    pub(super) boot: Option<PathBuf>,
    /// How long today's code of a documented bug must hold on the booted machine; other scenarios a sixth of it
    #[arg(long, value_name = "S", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(super) boot_seconds: u64,
    /// Where replay files and pages go
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub(super) out: PathBuf,
}

const PREDICT_EXAMPLES: &str = "\
Examples:
  rumplab predict perform-vs-callout --variant historical --schedules 1
  rumplab predict all --variant all --jobs 2
  rumplab predict ops --schedules 10000                 10,000 programs, a schedule each

Recorded is, in every run, who held or occupied what when it waited for something else: locks, the slot of a cross call,
softint levels, softclocks, references. Dependencies that close a cycle, by threads that can all be there at the same
time, are printed with their witnesses. Then schedules are tried in which these threads meet: one that ends in that very
cycle confirms it and is kept as a replay file. Accesses with no lock in common are tried likewise, and reported if
they were shown to be a race. docs/predict.md says what is and what is not seen.

Exit status:
  0    nothing predicted    2    wrong usage or input
  1    something predicted  130  stopped by Ctrl-C";

#[derive(Debug, clap::Args)]
#[command(after_help = PREDICT_EXAMPLES)]
pub(super) struct PredictArgs {
    /// The scenario, or `all` for every one that must hold (`rumplab list`)
    pub(super) scenario: String,
    /// The code that runs: `fixed` is today's, the others are historical; `all` for each of them
    #[arg(long, value_name = "NAME", default_value = "fixed")]
    pub(super) variant: String,
    /// Who chooses the schedules: portfolio, random, pct, or pct:DEPTH
    #[arg(long, default_value_t = Plan::Portfolio)]
    pub(super) strategy: Plan,
    /// How many schedules; of `ops`, each has a program of its own
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) schedules: u64,
    /// In how many schedules each prediction is tried; 0: in none
    #[arg(long, value_name = "N", default_value_t = 2000)]
    pub(super) tries: u64,
    /// Of how many schedules the accesses are looked at, for pairs that luck alone orders; 0: of none
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub(super) races: u64,
    /// Which of all sequences of schedules
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(super) seed: u64,
    /// CPUs of the simulated machine [default: what the scenario says]
    #[arg(long, value_name = "N", value_parser = parse_cpus)]
    pub(super) cpus: Option<usize>,
    /// Host threads to use
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(super) jobs: u16,
    /// How high-priority cross calls are wired [default: what the scenario says, which is native mostly]
    #[arg(long, value_enum)]
    pub(super) xcall: Option<XcallArg>,
    /// Old code that runs besides the variant's, by the words of `rumplab list`
    #[arg(long, value_name = "BUG,...", value_delimiter = ',', value_parser = parse_bug)]
    pub(super) history: Vec<Bug>,
    /// Where replay files go
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub(super) out: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(super) struct FileArgs {
    /// The replay file
    pub(super) file: PathBuf,
    /// Refuse the file unless it is for so many CPUs
    #[arg(long, value_name = "N", value_parser = parse_cpus)]
    pub(super) cpus: Option<usize>,
    /// Write what the network cards send and receive in it to this file, in pcap form
    #[arg(long, value_name = "PCAP")]
    pub(super) pcap: Option<PathBuf>,
}

impl FileArgs {
    /// This file, and nothing else.
    pub(super) fn of(path: &Path) -> FileArgs {
        FileArgs {
            file: path.to_owned(),
            cpus: None,
            pcap: None,
        }
    }
}

const EXPLAIN_EXAMPLES: &str = "\
Examples:
  rumplab explain FILE                                  as text
  rumplab explain FILE --html --out report.html         as a page: CPUs as lanes, time downward
  rumplab explain FILE --json | jq .moments             for programs (docs/reports.md)
  rumplab explain FILE --perfetto --out trace.json      for https://ui.perfetto.dev

Exit status:
  0    the run passes       1    it fails as told       2    wrong usage or input";

#[derive(Debug, clap::Args)]
#[command(after_help = EXPLAIN_EXAMPLES)]
pub(super) struct ExplainArgs {
    #[command(flatten)]
    pub(super) of: FileArgs,
    #[command(flatten)]
    form: Forms,
    /// Write it to this file, whole or not at all, instead of the standard output
    #[arg(long, value_name = "FILE")]
    pub(super) out: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
#[group(multiple = false)]
struct Forms {
    /// One page that asks nobody for anything: lanes, what holds which lock, who waits for whom
    #[arg(long)]
    html: bool,
    /// Everything that is known of the run, as JSON
    #[arg(long)]
    json: bool,
    /// Who waits for whom, as an SVG drawing
    #[arg(long)]
    svg: bool,
    /// Who waits for whom, in the language of Graphviz
    #[arg(long)]
    dot: bool,
    /// A trace for the Perfetto viewer
    #[arg(long)]
    perfetto: bool,
}

const MINIMIZE_EXAMPLES: &str = "\
Examples:
  rumplab minimize FILE                                 prints the shorter file
  rumplab minimize FILE --out FILE                      puts it in the place of the longer one

What `rumplab run` does with what it finds by itself. The same file gives the same result; if the runs do not suffice,
the best one so far.

Exit status:
  1    it fails, and so does what was made of it        2    wrong usage or input, or a run that passes";

#[derive(Debug, clap::Args)]
#[command(after_help = MINIMIZE_EXAMPLES)]
pub(super) struct MinimizeArgs {
    #[command(flatten)]
    pub(super) of: FileArgs,
    /// Write it to this file, whole or not at all, and print its report
    #[arg(long, value_name = "FILE")]
    pub(super) out: Option<PathBuf>,
    /// How many runs it may take
    #[arg(long, value_name = "N", default_value_t = Effort::default().runs, value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) runs: u32,
}

const TRIAGE_EXAMPLES: &str = "\
Two files are one finding if they have the same scenario, broke the same promise, and look alike where it broke: the same
cycle, the same two places of a race, the same place and LWP. Of a run that was made with old code (--variant, --history),
each piece of that is left out in turn: files that need the same pieces to fail are one finding, however they fail. The
best file is the smallest.

Exit status:
  0    no file fails        1    there are findings     2    wrong usage or input";

#[derive(Debug, clap::Args)]
#[command(after_help = TRIAGE_EXAMPLES)]
pub(super) struct TriageArgs {
    /// The directory; files *.replay in it are looked at
    #[arg(value_name = "DIR")]
    pub(super) directory: PathBuf,
    /// Do not run files again without their old code: fold them by looks alone
    #[arg(long)]
    pub(super) no_ablation: bool,
}

/// The form of an account.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Form {
    Text,
    Json,
    Dot,
    Svg,
    Perfetto,
    Html,
}

impl ExplainArgs {
    /// The form that was asked for.
    pub(super) fn form(&self) -> Form {
        let Forms {
            html,
            json,
            svg,
            dot,
            perfetto,
        } = self.form;
        let asked = [
            (html, Form::Html),
            (json, Form::Json),
            (svg, Form::Svg),
            (dot, Form::Dot),
            (perfetto, Form::Perfetto),
        ];
        let found = asked.into_iter().find(|(is_asked, _)| *is_asked);
        found.map_or(Form::Text, |(_, form)| form)
    }
}

/// `--xcall`.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum XcallArg {
    /// A box for each priority, as on hardware
    Native,
    /// High priority is carried by the low box, as in a rump kernel
    Rump,
}

impl From<XcallArg> for Wiring {
    fn from(arg: XcallArg) -> Wiring {
        match arg {
            XcallArg::Native => Wiring::Native,
            XcallArg::Rump => Wiring::Rump,
        }
    }
}

fn parse_bug(text: &str) -> Result<Bug, String> {
    Bug::find(text).ok_or_else(|| nearest(text, Bug::ALL.iter().map(|bug| bug.name())).help())
}

fn parse_cpus(text: &str) -> Result<usize, String> {
    let cpus = text
        .parse()
        .ok()
        .filter(|cpus| (1..=Config::MAXCPUS).contains(cpus));
    cpus.ok_or_else(|| format!("a machine has 1 to {} CPUs", Config::MAXCPUS))
}
