//! The settings, the pooled machines, and the handling of failures.
//!
//! Uses the copy of the machine and the kernel that the crate has under `copy`.

use crate::copy::hostshim::registry::Registry;
use std::env;
use std::path::PathBuf;
use std::process;

use crate::copy::hostshim::capture::Catch;
use crate::copy::hostshim::files::write_whole;
use crate::copy::hostshim::machine::Races;
use crate::copy::hostshim::minimize::Effort;
use crate::copy::hostshim::replay::LIMITS;
use crate::copy::hostshim::wire::Wire;
use crate::copy::hostshim::{Machine, Outcome, Setup, Strategy, Verdict};
use crate::copy::kmod::config::{Config, Wiring};
use crate::copy::kmod::scenario::ops::Program;
use crate::copy::kmod::scenario::{Scenario, Variant};

/// What is fuzzed.
#[derive(Clone, Copy)]
pub struct Subject {
    /// The program.
    pub scenario: &'static Scenario,
    /// The variant of the code.
    pub variant: &'static Variant,
}

fn setting(name: &str, default: &str) -> String {
    env::var(name).unwrap_or_else(|_| default.to_owned())
}

/// Ends the target: the settings are wrong.
fn refuse(message: &str) -> ! {
    eprintln!("rumplab-fuzz: {message}");
    process::exit(2)
}

impl Subject {
    /// What the environment asks for; by default `scenario`.
    pub fn from_environment(scenario: &str) -> Subject {
        let name = setting("RUMPLAB_SCENARIO", scenario);
        let Some(scenario) = Registry::kmod().find(&name) else {
            refuse(&format!(
                "RUMPLAB_SCENARIO={name}: no such scenario; `rumplab list` names them"
            ))
        };
        let name = setting("RUMPLAB_VARIANT", "fixed");
        let Some(variant) = scenario.variant(&name) else {
            let known: Vec<_> = scenario.variants.iter().map(|v| v.name).collect();
            refuse(&format!(
                "RUMPLAB_VARIANT={name}: {} has {}",
                scenario.name,
                known.join(", ")
            ))
        };
        Subject { scenario, variant }
    }

    /// The CPUs that the environment asks for, or the scenario's.
    pub fn cpus(&self) -> usize {
        let text = setting("RUMPLAB_CPUS", &self.scenario.default_cpus.to_string());
        let most = Config::MAXCPUS / self.config(1, None).kernels;
        match text.parse() {
            Ok(cpus) if (self.scenario.min_cpus..=most).contains(&cpus) => cpus,
            _ => refuse(&format!(
                "RUMPLAB_CPUS={text}: {} runs on {} to {} CPUs",
                self.scenario.name, self.scenario.min_cpus, most
            )),
        }
    }

    fn config(&self, cpus: usize, xcall: Option<Wiring>) -> Config {
        let mut config = self.scenario.config(Config::small(cpus), self.variant);
        config.xcall = xcall.unwrap_or(config.xcall);
        config
    }

    /// A machine that is ready to run, by default with the scenario's wiring of cross calls.
    pub fn bench(&self, cpus: usize, xcall: Option<Wiring>) -> Bench {
        self.bench_with(cpus, xcall, |_| {})
    }

    /// The same, with other knobs.
    pub fn bench_with(
        &self,
        cpus: usize,
        xcall: Option<Wiring>,
        configure: impl FnOnce(&mut Config),
    ) -> Bench {
        let mut config = self.config(cpus, xcall);
        configure(&mut config);
        let mut machine = Machine::new();
        let setup = Setup {
            scenario: self.scenario,
            config,
            trace: false,
        };
        if let Err(failure) = machine.boot(&setup) {
            refuse(&format!("the kernel does not boot: {failure}"));
        }
        Bench {
            subject: *self,
            config,
            machine,
        }
    }
}

/// The input of a run, besides its schedule.
#[derive(Default)]
pub struct Case {
    /// What the actors do, if the scenario runs programs.
    pub program: Option<Box<Program>>,
    /// What happens on the wire.
    pub wire: Wire,
}

/// A booted machine, kept from input to input.
pub struct Bench {
    subject: Subject,
    config: Config,
    machine: Machine,
}

impl Bench {
    /// Runs one input, and does not return if it fails.
    pub fn run(&mut self, strategy: &mut dyn Strategy, case: &Case, input: &[u8]) {
        if let Some(program) = &case.program {
            self.machine.load(program);
        }
        if self.config.nics > 0 {
            self.machine.connect(&case.wire);
        }
        let outcome = self.machine.run(strategy, &LIMITS);
        if let Verdict::Failed(_) = outcome.verdict {
            self.fail(&outcome, case, input);
        }
    }

    fn fail(&self, outcome: &Outcome, case: &Case, input: &[u8]) -> ! {
        let Verdict::Failed(failure) = &outcome.verdict else {
            process::abort()
        };
        eprintln!("rumplab-fuzz: {failure}");
        let catch = Catch {
            scenario: self.subject.scenario,
            variant: self.subject.variant,
            config: self.config,
            program: case.program.as_deref(),
            wire: &case.wire,
            races: &Races::Stop,
            deviations: self.machine.deviations(),
            granularity: self.machine.granularity(),
            memory: self.machine.memory(),
            refusals: self.machine.refused(),
            failure,
        };
        match catch.capture(&LIMITS, Effort::default()) {
            Ok(capture) => {
                let path = beside_artifact(input);
                match write_whole(&path, capture.file.to_string().as_bytes()) {
                    Ok(()) => eprintln!(
                        "{}\nreplay it with: rumplab replay {}",
                        capture.report,
                        path.display()
                    ),
                    Err(error) => eprintln!(
                        "rumplab-fuzz: cannot write {}: {error}; the file is\n{}",
                        path.display(),
                        capture.file
                    ),
                }
            }
            Err(error) => eprintln!("rumplab-fuzz: {error}"),
        }
        // libFuzzer writes its artifact when the process exits.
        process::abort()
    }
}

/// The path of an input's replay file: next to the artifact that libFuzzer will write.
fn beside_artifact(input: &[u8]) -> PathBuf {
    let prefix = env::args()
        .filter_map(|arg| arg.strip_prefix("-artifact_prefix=").map(str::to_owned))
        .next_back()
        .unwrap_or_default();
    PathBuf::from(format!(
        "{prefix}crash-{}.replay",
        sha1_smol::Sha1::from(input).digest()
    ))
}
