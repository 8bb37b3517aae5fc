//! The arguments of each command, and its help.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{ColorChoice, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use kmod::config::Wiring;
use kmod::history::Bug;

use crate::hunt::Plan;
use crate::machine::Races;
use crate::minimize::Effort;
use crate::numbers;
use crate::replay;
use crate::schedule::{Allocations, Granularity, MemoryModel};
use crate::suggest::nearest;

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default())
    .placeholder(AnsiColor::Yellow.on_default());

/// What `--version` prints behind the name.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    format!(
        "{} (commit {}, replay format {})",
        env!("CARGO_PKG_VERSION"),
        crate::version::COMMIT.unwrap_or("unknown"),
        replay::VERSION
    )
});

// Lines of examples stay below 80 columns: paragraphs are wrapped to the terminal, commands cannot be.
const EXAMPLES: &str = "\
Examples:
  rumplab list
      What there is to run
  rumplab run xcall-early-count --variant historical
      See how the old code fails
  rumplab run xcall-early-count
      See that today's code does not
  rumplab run all --seconds 60 --jobs 2
      A minute for each scenario, on two host CPUs
  rumplab explain FILE
      What happened in a failing run, as text
  rumplab explain FILE --html --out report.html
      The same as a page
  rumplab triage DIR
      Which bugs the replay files of a directory show

Exit status:
  0    nothing found
  1    a failure found
  2    wrong usage or input, or output that could not be written
  130  stopped by Ctrl-C
  143  stopped by SIGTERM

The help of each command says what these mean for it.";

/// Finds, replays and explains concurrency failures of a kernel on a simulated SMP machine.
///
/// A scenario is a small program on the kernel's primitives. `run` executes it under many schedules until something
/// breaks: a data race, a use after free, a deadlock, a broken contract or assertion. The failing run is minimized and
/// kept as a replay file: text that gives the same run again, on any machine.
#[derive(Debug, Parser)]
#[command(name = "rumplab", version = VERSION.as_str(), styles = STYLES, max_term_width = 100, after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(subcommand)]
    pub(super) command: Command,
    #[command(flatten)]
    pub(super) screen: Screen,
}

/// What every command takes.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct Screen {
    /// No progress and no speeds on the standard error
    #[arg(long, short, global = true)]
    pub(super) quiet: bool,
    /// When to use colours; `auto`: on a terminal, unless NO_COLOR is set
    #[arg(long, value_name = "WHEN", global = true, default_value_t = ColorChoice::Auto)]
    pub(super) color: ColorChoice,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Lists the scenarios and their variants
    List(ListArgs),
    /// Describes a scenario: what it does, its variants, how to run it
    Describe(DescribeArgs),
    /// Runs scenarios under many schedules until something breaks
    Run(RunArgs),
    /// Tries every schedule up to a number of forced switches: a proof, or the shortest way to a failure
    Prove(super::prove::ProveArgs),
    /// Runs C files of a kernel under many schedules until something breaks
    C(CArgs),
    /// Runs scenarios in every variant and prints a table: old code must fail, today's must hold
    Hunt(HuntArgs),
    /// Predicts deadlocks and races from runs that did not fail
    Predict(PredictArgs),
    /// Executes a replay file again and prints every step
    Replay(ReplayArgs),
    /// Explains a replay file as text, as a page, or as data for other programs; or a contract
    Explain(ExplainArgs),
    /// Shortens a replay file: the same failure with fewer steps, CPUs and operations
    Minimize(MinimizeArgs),
    /// Groups replay files by bug; prints a count and the smallest file for each
    Triage(TriageArgs),
    /// Prints a completion script for a shell
    Completions(CompletionsArgs),
    /// Prints the manual page of rumplab or of one command
    Man(ManArgs),
}

/// Which form the results have.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct Form {
    /// Print the results as one JSON document (docs/cli.md) instead of text
    #[arg(long)]
    pub(super) json: bool,
}

const LIST_STATUS: &str = "\
Exit status:
  0    it was printed
  2    wrong usage, or output that could not be written";

#[derive(Debug, clap::Args)]
#[command(after_help = LIST_STATUS)]
pub(super) struct ListArgs {
    #[command(flatten)]
    pub(super) form: Form,
}

#[derive(Debug, clap::Args)]
#[command(after_help = LIST_STATUS)]
pub(super) struct DescribeArgs {
    /// The scenario (`rumplab list`)
    pub(super) scenario: String,
    #[command(flatten)]
    pub(super) form: Form,
}

/// What a step is.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct Steps {
    /// What a step is: in fine schedules every access is one, also inside of the kernel's operations; mixed: a share is fine
    #[arg(long, value_enum, default_value_t = GranularityArg::Mixed)]
    granularity: GranularityArg,
}

impl Steps {
    /// `None`: mixed.
    pub(super) fn granularity(self) -> Option<Granularity> {
        match self.granularity {
            GranularityArg::Coarse => Some(Granularity::Coarse),
            GranularityArg::Fine => Some(Granularity::Fine),
            GranularityArg::Mixed => None,
        }
    }
}

/// Whether there is always memory.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct Supply {
    /// Whether a few allocations of the kernel fail: never, in every schedule, or in a share of them (mixed)
    #[arg(long, value_enum, default_value_t = AllocationsArg::Mixed)]
    allocations: AllocationsArg,
}

impl Supply {
    /// `None`: mixed.
    pub(super) fn allocations(self) -> Option<Allocations> {
        match self.allocations {
            AllocationsArg::Never => Some(Allocations::Never),
            AllocationsArg::Fail => Some(Allocations::Fail),
            AllocationsArg::Mixed => None,
        }
    }
}

/// How CPUs see each other's stores.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct Model {
    /// When CPUs see each other's stores: at once (sc), or as on x86-64, where they can stay in a store buffer (tso)
    #[arg(long, value_enum, default_value_t = MemoryArg::Sc)]
    memory: MemoryArg,
}

impl Model {
    pub(super) fn memory(self) -> MemoryModel {
        match self.memory {
            MemoryArg::Sc => MemoryModel::Sc,
            MemoryArg::Tso => MemoryModel::Tso,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub(super) enum MemoryArg {
    Sc,
    Tso,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
enum AllocationsArg {
    Never,
    Fail,
    Mixed,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
enum GranularityArg {
    Coarse,
    Fine,
    Mixed,
}

/// What is run, and how: the arguments that `run` and `predict` have in common.
#[derive(Debug, clap::Args)]
pub(super) struct Campaign {
    /// Names or patterns (`mutex-*`) of scenarios, or `all` for every one that must hold
    #[arg(required = true, value_name = "SCENARIO")]
    pub(super) scenarios: Vec<String>,
    /// Which code runs: `fixed` is today's, others have old bugs; `all` for each of them
    #[arg(long, value_name = "NAME", default_value = "fixed")]
    pub(super) variant: String,
    /// How schedules are chosen: portfolio, urw, pos, stall, random, pct; also pct:DEPTH, and urw:POINTS or pos:POINTS with program,
    /// modules or everything
    #[arg(long, default_value_t = Plan::Portfolio)]
    pub(super) strategy: Plan,
    /// Random seed
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = numbers::count, allow_negative_numbers = true)]
    pub(super) seed: u64,
    /// CPUs of the simulated machine [default: what the scenario says]
    #[arg(long, value_name = "N", value_parser = numbers::cpus, allow_negative_numbers = true)]
    pub(super) cpus: Option<usize>,
    /// Host threads to use
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = numbers::jobs, allow_negative_numbers = true)]
    pub(super) jobs: usize,
    /// How high-priority cross calls are wired [default: what the scenario says, usually native]
    #[arg(long, value_enum)]
    pub(super) xcall: Option<XcallArg>,
    /// Old bugs to switch on besides the variant's, by their names in `rumplab list`
    #[arg(long, value_name = "BUG,...", value_delimiter = ',', value_parser = parse_bug)]
    pub(super) history: Vec<Bug>,
    /// Directory for replay files, created if needed [default: rumplab in CARGO_TARGET_DIR or target]
    #[arg(long, value_name = "DIR")]
    pub(super) out: Option<PathBuf>,
    #[command(flatten)]
    pub(super) form: Form,
}

const RUN_HELP: &str = "\
Examples:
  rumplab run xcall-early-count --variant historical --seed 7
  rumplab run 'mutex-*' condvar-signal --schedules 1m
  rumplab run abba --cpus 4 --strategy pct:2 --out /tmp/replays
  rumplab run all --junit target/junit.xml

The same arguments find the same failure, with any number of --jobs. The failing run is reduced to the shortest schedule \
that still fails. The last lines printed are the commands that explain and replay it.

Numbers can be written as 5000, 100k, 2m or 1e6, durations as 30, 1.5s, 2m or 1h.

Exit status:
  0    nothing found
  1    a failure found, or a variant that has a bug did not show it
  2    wrong usage or input, a kernel that does not boot, or output that could not be written
  130  stopped by Ctrl-C; 143 by SIGTERM";

#[derive(Debug, clap::Args)]
#[command(after_help = RUN_HELP)]
pub(super) struct RunArgs {
    #[command(flatten)]
    pub(super) campaign: Campaign,
    #[command(flatten)]
    pub(super) steps: Steps,
    #[command(flatten)]
    pub(super) supply: Supply,
    #[command(flatten)]
    pub(super) model: Model,
    /// Maximum number of schedules; stops at the first failure [default: 100000]
    #[arg(long, value_name = "N", conflicts_with = "seconds", value_parser = numbers::some, allow_negative_numbers = true)]
    pub(super) schedules: Option<u64>,
    /// Maximum time for each scenario and variant; stops at the first failure
    #[arg(long, value_name = "TIME", value_parser = numbers::duration, allow_negative_numbers = true)]
    pub(super) seconds: Option<Duration>,
    /// Run the network stack with NET_MPSAFE, or with softnet_lock [default: what the scenario says]
    #[arg(long, value_name = "BOOL")]
    pub(super) net_mpsafe: Option<bool>,
    /// A pcap or pcapng file of frames that network card 0 receives from outside, in every run
    #[arg(long, value_name = "PCAP")]
    pub(super) frames: Option<PathBuf>,
    /// Keep a failure as it was found; `rumplab minimize` can shorten it later
    #[arg(long)]
    pub(super) as_found: bool,
    /// Also write the results to this file as JUnit XML
    #[arg(long, value_name = "FILE")]
    pub(super) junit: Option<PathBuf>,
    /// What the commands for a replay file need besides it: ` --c FILE.c`.
    #[arg(skip)]
    pub(super) sources: String,
    /// What to do at data races of C code.
    #[arg(skip)]
    pub(super) races: RacesArg,
}

const C_HELP: &str = "\
Examples:
  rumplab c examples/c/table.c --scenario examples/c/table-scenario.c
  rumplab c queue.c --scenario stress.c -I include -D DEBUG --schedules 1m
  rumplab c table.c --scenario stress.c --cc gcc-12
  rumplab c my_psref.c --replace psref --scenario psref-drain

The files are compiled with the hooks of the thread sanitizer, by clang-19 unless --cc says otherwise, and loaded into the \
simulated kernel. Every access to memory that the compiler announces is a step, and is checked. The kernel's functions that \
the files call (mutex_enter, cv_wait, callout_schedule, kmem_alloc) are the simulated kernel's. One file is the scenario: \
it defines rumplab_setup. docs/c.md is a guide.

Data races that no mark is about do not end a run: they are listed at the end, because old code has many that are meant, \
and the fault may be behind one. Each is listed with the line for a file of marks that says it is meant.

Exit status:
  0    nothing found
  1    a failure found, or an unmarked race
  2    wrong usage or input, a file that does not compile, or output that could not be written
  130  stopped by Ctrl-C; 143 by SIGTERM";

#[derive(Debug, clap::Args)]
#[command(after_help = C_HELP)]
pub(super) struct CArgs {
    /// The C files under test; the last is the scenario unless --scenario names one
    #[arg(required_unless_present = "scenario", value_name = "FILE.c")]
    pub(super) files: Vec<PathBuf>,
    /// The C file that defines rumplab_setup, or the name of one that comes with rumplab, as psref-drain
    #[arg(long, value_name = "FILE.c|NAME")]
    pub(super) scenario: Option<PathBuf>,
    #[command(flatten)]
    pub(super) compiling: Compiling,
    #[command(flatten)]
    pub(super) steps: Steps,
    #[command(flatten)]
    pub(super) supply: Supply,
    #[command(flatten)]
    pub(super) model: Model,
    /// Execute this replay file and print every step, instead of looking for a failure
    #[arg(long, value_name = "FILE")]
    pub(super) replay: Option<PathBuf>,
    /// What to do at data races that no mark is about
    #[arg(long, value_enum, default_value_t = RacesArg::List)]
    pub(super) races: RacesArg,
    /// How schedules are chosen: portfolio, urw, pos, stall, random, pct; also pct:DEPTH, and urw:POINTS or pos:POINTS with program,
    /// modules or everything
    #[arg(long, default_value_t = Plan::Portfolio)]
    pub(super) strategy: Plan,
    /// Random seed
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = numbers::count, allow_negative_numbers = true)]
    pub(super) seed: u64,
    /// CPUs of the simulated machine [default: 2]
    #[arg(long, value_name = "N", value_parser = numbers::cpus, allow_negative_numbers = true)]
    pub(super) cpus: Option<usize>,
    /// Host threads to use
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = numbers::jobs, allow_negative_numbers = true)]
    pub(super) jobs: usize,
    /// Maximum number of schedules; stops at the first failure [default: 100000]
    #[arg(long, value_name = "N", conflicts_with = "seconds", value_parser = numbers::some, allow_negative_numbers = true)]
    pub(super) schedules: Option<u64>,
    /// Maximum time; stops at the first failure
    #[arg(long, value_name = "TIME", value_parser = numbers::duration, allow_negative_numbers = true)]
    pub(super) seconds: Option<Duration>,
    /// Keep a failure as it was found; `rumplab minimize` can shorten it later
    #[arg(long)]
    pub(super) as_found: bool,
    /// Directory for replay files, created if needed [default: rumplab in CARGO_TARGET_DIR or target]
    #[arg(long, value_name = "DIR")]
    pub(super) out: Option<PathBuf>,
    #[command(flatten)]
    pub(super) form: Form,
}

/// How C files are compiled.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct Compiling {
    /// The compiler for C files: a clang or a gcc [default: clang-19, or clang]
    #[arg(long, value_name = "COMPILER")]
    pub(super) cc: Option<String>,
    /// Directory in which C files look for headers; may be repeated
    #[arg(short = 'I', value_name = "DIR")]
    pub(super) include: Vec<PathBuf>,
    /// Macro for C files; may be repeated
    #[arg(short = 'D', value_name = "NAME[=VALUE]")]
    pub(super) define: Vec<String>,
    /// Primitives that the C files define, to be used in place of the kernel's own: psref, xcall, condvar, ...
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub(super) replace: Vec<String>,
    /// One more argument for the C compiler; may be repeated
    #[arg(long, value_name = "ARG", allow_hyphen_values = true)]
    pub(super) cflag: Vec<String>,
    /// File of marks: accesses of C files that race on purpose, and what is meant by them (docs/c.md)
    #[arg(long, value_name = "FILE")]
    pub(super) marks: Option<PathBuf>,
}

const HUNT_HELP: &str = "\
Examples:
  rumplab hunt --jobs 2
  rumplab hunt 'psref-*' --schedules 1000 --json
  scripts/hunt

The last lines name every variant that did not do what it must. A variant that has a bug and did not show it counts among \
them, on either machine.

Exit status:
  0    every variant with a bug failed, every other one held
  1    some did not, or could not be booted
  2    wrong usage or input, or output that could not be written
  130  stopped by Ctrl-C; 143 by SIGTERM";

#[derive(Debug, clap::Args)]
#[command(after_help = HUNT_HELP)]
pub(super) struct HuntArgs {
    /// Names or patterns (`mutex-*`) of scenarios; every one that must hold if none is given
    #[arg(value_name = "SCENARIO")]
    pub(super) scenarios: Vec<String>,
    /// Schedules for each variant, and for each wiring of one that must hold; fewer if its schedules are long
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = numbers::some, allow_negative_numbers = true)]
    pub(super) schedules: u64,
    /// Random seed
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = numbers::count, allow_negative_numbers = true)]
    pub(super) seed: u64,
    /// Host threads to use
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = numbers::jobs, allow_negative_numbers = true)]
    pub(super) jobs: usize,
    /// Also boot each variant on 4 CPUs, with this script (scripts/boot)
    #[arg(long, value_name = "SCRIPT")]
    pub(super) boot: Option<PathBuf>,
    /// How long today's code of a documented bug must hold on the booted machine; other scenarios a sixth of it
    #[arg(long, value_name = "TIME", default_value = "20", value_parser = numbers::duration, allow_negative_numbers = true)]
    pub(super) boot_seconds: Duration,
    /// Directory for replay files and pages, created if needed [default: rumplab in CARGO_TARGET_DIR or target]
    #[arg(long, value_name = "DIR")]
    pub(super) out: Option<PathBuf>,
    /// Also write the results to this file as JUnit XML
    #[arg(long, value_name = "FILE")]
    pub(super) junit: Option<PathBuf>,
    #[command(flatten)]
    pub(super) form: Form,
}

const PREDICT_HELP: &str = "\
Examples:
  rumplab predict perform-vs-callout --variant historical --schedules 1
  rumplab predict all --variant all --jobs 2
  rumplab predict ops --schedules 10k
      10,000 random programs, one schedule each

Each run records which resources a thread held when it blocked: locks, cross calls, softint levels, softclocks, \
references. Dependencies that form a cycle, by threads that can exist at the same time, are printed with the places where \
they were seen. Then schedules are tried that bring these threads together. A schedule that ends in this cycle confirms \
it and is kept as a replay file. Pairs of accesses without a common lock are tried in the same way, and reported only if a \
schedule shows a race. docs/predict.md says what can and what cannot be predicted.

Exit status:
  0    nothing predicted
  1    something predicted
  2    wrong usage or input, or output that could not be written
  130  stopped by Ctrl-C; 143 by SIGTERM";

#[derive(Debug, clap::Args)]
#[command(after_help = PREDICT_HELP)]
pub(super) struct PredictArgs {
    #[command(flatten)]
    pub(super) campaign: Campaign,
    /// Number of schedules to observe; for `ops` and `softnet` each has a program of its own
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = numbers::some, allow_negative_numbers = true)]
    pub(super) schedules: u64,
    /// Number of schedules in which each prediction is tried; 0 to try none
    #[arg(long, value_name = "N", default_value_t = 2000, value_parser = numbers::count, allow_negative_numbers = true)]
    pub(super) tries: u64,
    /// Number of schedules whose memory accesses are searched for possible races; 0 to search none
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = numbers::count, allow_negative_numbers = true)]
    pub(super) races: u64,
}

/// A replay file, and what every command that reads one can do with it.
#[derive(Debug, clap::Args)]
pub(super) struct FileArgs {
    /// The replay file
    pub(super) file: PathBuf,
    /// Refuse the file unless it is for this number of CPUs
    #[arg(long, value_name = "N", value_parser = numbers::cpus, allow_negative_numbers = true)]
    pub(super) cpus: Option<usize>,
    /// Also write the frames that the network cards send to this file, in pcap form
    #[arg(long, value_name = "PCAP")]
    pub(super) pcap: Option<PathBuf>,
    /// C file of the program that the replay file is for; once for each, in the order of `rumplab c`
    #[arg(long = "c", value_name = "FILE.c")]
    pub(super) sources: Vec<PathBuf>,
    #[command(flatten)]
    pub(super) compiling: Compiling,
}

impl FileArgs {
    /// This file, and nothing else.
    pub(super) fn of(path: &Path) -> FileArgs {
        FileArgs {
            file: path.to_owned(),
            cpus: None,
            pcap: None,
            sources: Vec::new(),
            compiling: Compiling::default(),
        }
    }
}

const REPLAY_STATUS: &str = "\
Exit status:
  0    the run passes
  1    the run fails as recorded
  2    wrong usage or input, or output that could not be written";

#[derive(Debug, clap::Args)]
#[command(after_help = REPLAY_STATUS)]
pub(super) struct ReplayArgs {
    #[command(flatten)]
    pub(super) of: FileArgs,
}

const EXPLAIN_HELP: &str = "\
Examples:
  rumplab explain FILE
      As text
  rumplab explain FILE --html --out report.html
      As a page: CPUs as lanes, time downward
  rumplab explain FILE --json | jq .moments
      For programs (docs/reports.md)
  rumplab explain FILE --perfetto --out trace.json
      For https://ui.perfetto.dev
  rumplab explain mutex-owned
      A contract: its rule, and what to do when it is broken

Exit status:
  0    it was explained; with --exit-code: the run passes
  1    with --exit-code only: the run fails as recorded
  2    wrong usage or input, or output that could not be written";

#[derive(Debug, clap::Args)]
#[command(after_help = EXPLAIN_HELP)]
pub(super) struct ExplainArgs {
    #[command(flatten)]
    pub(super) of: FileArgs,
    #[command(flatten)]
    account: Accounts,
    /// End with status 1 if the run fails, as `rumplab replay` does
    #[arg(long)]
    pub(super) exit_code: bool,
    /// Write to this file instead of the standard output
    #[arg(long, value_name = "FILE")]
    pub(super) out: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
#[group(multiple = false)]
struct Accounts {
    /// Self-contained HTML page: CPUs as lanes, locks and their holders, the wait graph
    #[arg(long)]
    html: bool,
    /// Everything that is known about the run, as JSON
    #[arg(long)]
    json: bool,
    /// The wait graph as an SVG drawing
    #[arg(long)]
    svg: bool,
    /// The wait graph in the language of Graphviz
    #[arg(long)]
    dot: bool,
    /// A trace for the Perfetto viewer
    #[arg(long)]
    perfetto: bool,
}

const MINIMIZE_HELP: &str = "\
Examples:
  rumplab minimize FILE
      Print the shorter file
  rumplab minimize FILE --out FILE
      Put it in the place of the longer one

`rumplab run` does the same with what it finds. The same file gives the same result. If the limit on runs is reached, the \
best file so far is given.

Exit status:
  1    the run fails, and the shorter file was made
  2    wrong usage or input, a run that passes, or output that could not be written";

#[derive(Debug, clap::Args)]
#[command(after_help = MINIMIZE_HELP)]
pub(super) struct MinimizeArgs {
    #[command(flatten)]
    pub(super) of: FileArgs,
    /// Write the shorter file here, and print its report
    #[arg(long, value_name = "FILE")]
    pub(super) out: Option<PathBuf>,
    /// Maximum number of runs
    #[arg(long, value_name = "N", default_value_t = Effort::default().runs, value_parser = numbers::runs, allow_negative_numbers = true)]
    pub(super) runs: u32,
}

const TRIAGE_HELP: &str = "\
Two files show one bug if they have the same scenario, broke the same rule, and failed alike: the same cycle, the same two \
places of a race, the same place and kind of thread. If a run had old bugs switched on (--variant, --history), it is \
executed again without each of them: files that need the same old bugs to fail are grouped together, however they fail. \
The smallest file of each group is named.

Exit status:
  0    no file fails
  1    some files fail
  2    wrong usage or input, or output that could not be written";

#[derive(Debug, clap::Args)]
#[command(after_help = TRIAGE_HELP)]
pub(super) struct TriageArgs {
    /// The directory; its files *.replay are read
    #[arg(value_name = "DIR")]
    pub(super) directory: PathBuf,
    /// Do not run files again without their old bugs: group them by how they fail
    #[arg(long)]
    pub(super) no_ablation: bool,
    #[command(flatten)]
    pub(super) form: Form,
}

const COMPLETIONS_HELP: &str = "\
Examples:
  rumplab completions bash > ~/.local/share/bash-completion/completions/rumplab
  rumplab completions fish > ~/.config/fish/completions/rumplab.fish

Exit status:
  0    it was printed
  2    wrong usage, or output that could not be written";

#[derive(Debug, clap::Args)]
#[command(after_help = COMPLETIONS_HELP)]
pub(super) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    pub(super) shell: Shell,
}

const MAN_HELP: &str = "\
Examples:
  rumplab man | man -l -
  rumplab man run > rumplab-run.1

Exit status:
  0    it was printed
  2    wrong usage, or output that could not be written";

#[derive(Debug, clap::Args)]
#[command(after_help = MAN_HELP)]
pub(super) struct ManArgs {
    /// The command whose page to print
    pub(super) command: Option<String>,
}

/// The form of an account.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum AccountForm {
    Text,
    Json,
    Dot,
    Svg,
    Perfetto,
    Html,
}

impl ExplainArgs {
    /// The form that was asked for.
    pub(super) fn account(&self) -> AccountForm {
        let Accounts {
            html,
            json,
            svg,
            dot,
            perfetto,
        } = self.account;
        let asked = [
            (html, AccountForm::Html),
            (json, AccountForm::Json),
            (svg, AccountForm::Svg),
            (dot, AccountForm::Dot),
            (perfetto, AccountForm::Perfetto),
        ];
        let found = asked.into_iter().find(|(is_asked, _)| *is_asked);
        found.map_or(AccountForm::Text, |(_, form)| form)
    }
}

/// `--xcall`.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum XcallArg {
    /// A mailbox for each priority, as on hardware
    Native,
    /// High priority is carried by the low mailbox, as in a rump kernel
    Rump,
}

/// `--races`.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, ValueEnum)]
pub(super) enum RacesArg {
    /// Go on, and list them at the end
    List,
    /// The first one is a failure
    #[default]
    Stop,
}

impl From<RacesArg> for Races {
    fn from(arg: RacesArg) -> Races {
        match arg {
            RacesArg::List => Races::Pass,
            RacesArg::Stop => Races::Stop,
        }
    }
}

impl From<XcallArg> for Wiring {
    fn from(arg: XcallArg) -> Wiring {
        match arg {
            XcallArg::Native => Wiring::Native,
            XcallArg::Rump => Wiring::Rump,
        }
    }
}

pub(super) fn parse_bug(text: &str) -> Result<Bug, String> {
    let help = || nearest(text, Bug::ALL.iter().map(|bug| bug.name())).help();
    Bug::find(text).ok_or_else(|| format!("{}; `rumplab list` has all of them", help()))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_are_well_formed() {
        Args::command().debug_assert();
    }
}
