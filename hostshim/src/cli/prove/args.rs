//! The arguments of `rumplab prove`.

use std::path::PathBuf;
use std::time::Duration;

use kmod::history::Bug;

use crate::cli::args::{Form, MemoryArg, XcallArg, parse_bug};
use crate::numbers;
use crate::prove::Shard;
use crate::schedule::Granularity;

const HELP: &str = "\
Examples:
  rumplab prove psref-drain
  rumplab prove all --bound 2 --jobs 2
  rumplab prove xcall-early-count --variant historical
  rumplab prove condvar-signal --bound 3 --early-ticks 1 --seconds 60
  rumplab prove psref-drain --bound 3 --shard 1/4
  rumplab prove --merge target/rumplab/psref-drain-fixed-3-*.proof

The search begins without any forced switch, and allows one more as soon as everything with fewer was tried. So what it \
finds has the fewest. docs/prove.md says what a proof covers.

Exit status:
  0    every schedule was tried up to the bound, and none failed
  1    a failure found, or a certificate is not confirmed, or a variant that has a bug did not show it
  2    wrong usage or input, a kernel that does not boot, or output that could not be written
  3    nothing found, but not complete: the time was over, or a schedule was too long
  130  stopped by Ctrl-C; 143 by SIGTERM";

#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(in crate::cli) struct ProveArgs {
    /// Names or patterns (`mutex-*`) of scenarios, or `all` for every one that must hold
    #[arg(required_unless_present_any = ["resume", "check", "merge"], value_name = "SCENARIO")]
    pub(super) scenarios: Vec<String>,
    /// Which code runs: `fixed` is today's, others have old bugs; `all` for each of them
    #[arg(long, value_name = "NAME", default_value = "fixed")]
    pub(super) variant: String,
    /// Forced switches: how often a schedule may deviate from the machine's default
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = numbers::few, allow_negative_numbers = true)]
    pub(super) bound: u32,
    /// Clock ticks before their time that a schedule may have, each of which is a forced switch
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = numbers::few, allow_negative_numbers = true)]
    pub(super) early_ticks: u32,
    /// What a step is: in fine schedules every access is one, also inside of the kernel's operations
    #[arg(long, value_enum, default_value_t = StepArg::Coarse)]
    pub(super) granularity: StepArg,
    /// Only sc, sequentially consistent: a proof with store buffers is not supported
    #[arg(long, value_enum, default_value_t = MemoryArg::Sc, value_name = "MODEL")]
    pub(super) memory: MemoryArg,
    /// CPUs of the simulated machine [default: what the scenario says]
    #[arg(long, value_name = "N", value_parser = numbers::cpus, allow_negative_numbers = true)]
    pub(super) cpus: Option<usize>,
    /// How high-priority cross calls are wired [default: what the scenario says, usually native]
    #[arg(long, value_enum)]
    pub(super) xcall: Option<XcallArg>,
    /// Run the network stack with NET_MPSAFE, or with softnet_lock [default: what the scenario says]
    #[arg(long, value_name = "BOOL")]
    pub(super) net_mpsafe: Option<bool>,
    /// Old bugs to switch on besides the variant's, by their names in `rumplab list`
    #[arg(long, value_name = "BUG,...", value_delimiter = ',', value_parser = parse_bug)]
    pub(super) history: Vec<Bug>,
    /// Maximum time for each scenario and variant [default: none]
    #[arg(long, value_name = "TIME", value_parser = numbers::duration, allow_negative_numbers = true)]
    pub(super) seconds: Option<Duration>,
    /// Host threads to use
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = numbers::jobs, allow_negative_numbers = true)]
    pub(super) jobs: usize,
    /// Do only this part of the work, as 1/4, with --bound forced switches; see --merge
    #[arg(long, value_name = "K/N", value_parser = shard)]
    pub(super) shard: Option<Shard>,
    /// Go on with a proof that was stopped
    #[arg(long, value_name = "FILE", conflicts_with_all = ["scenarios", "check", "merge", "shard", "certificates", "variant", "bound", "early_ticks", "granularity", "cpus", "xcall", "net_mpsafe", "history"])]
    pub(super) resume: Option<PathBuf>,
    /// Make the proofs of these certificates again, and compare
    #[arg(long, value_name = "FILE", num_args = 1.., conflicts_with_all = ["scenarios", "merge", "shard", "certificates", "variant", "bound", "early_ticks", "granularity", "cpus", "xcall", "net_mpsafe", "history"])]
    pub(super) check: Vec<PathBuf>,
    /// Put the parts of a proof together, and print the certificate
    #[arg(long, value_name = "FILE", num_args = 1.., conflicts_with_all = ["scenarios", "shard", "certificates", "json", "variant", "bound", "early_ticks", "granularity", "cpus", "xcall", "net_mpsafe", "history"])]
    pub(super) merge: Vec<PathBuf>,
    /// Keep the certificate of each proof in this directory, created if needed
    #[arg(long, value_name = "DIR")]
    pub(super) certificates: Option<PathBuf>,
    /// Directory for other files, created if needed [default: rumplab in CARGO_TARGET_DIR or target]
    #[arg(long, value_name = "DIR")]
    pub(super) out: Option<PathBuf>,
    #[command(flatten)]
    pub(super) form: Form,
}

/// What a step of a proof is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub(super) enum StepArg {
    Coarse,
    Fine,
}

impl From<StepArg> for Granularity {
    fn from(arg: StepArg) -> Granularity {
        match arg {
            StepArg::Coarse => Granularity::Coarse,
            StepArg::Fine => Granularity::Fine,
        }
    }
}

/// A part: `2/4`.
fn shard(text: &str) -> Result<Shard, String> {
    let numbers = text.split_once('/');
    let numbers = numbers.and_then(|(number, of)| Some((number.parse().ok()?, of.parse().ok()?)));
    match numbers {
        Some((number, of)) if of <= 1000 && (1..=of).contains(&number) => Ok(Shard { number, of }),
        _ => {
            Err("it is no part: write 1/4, 2/4, 3/4 and 4/4 for four parts, up to 1000".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts() {
        assert_eq!(shard("2/4"), Ok(Shard { number: 2, of: 4 }));
        for wrong in ["", "2", "0/4", "5/4", "1/0", "-1/4", "1/4/2", "1/1001"] {
            assert!(shard(wrong).is_err(), "{wrong}");
        }
    }
}
