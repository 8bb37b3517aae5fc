//! `rumplab triage`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use kmod::history::History;
use serde::Serialize;

use super::args::TriageArgs;
use super::results::{self, Size};
use super::{Status, Wrong, progress, terminal};
use crate::files::for_shell;
use crate::registry::Registry;
use crate::replay::{LIMITS, Parsed};
use crate::report::{Role, Text};
use crate::triage::{Finding, Findings, Symptom, needed};
use crate::{Machine, Verdict};

/// Groups the files of a directory by bug, and prints the groups.
pub(super) fn triage(args: &TriageArgs, registry: Registry<'_>) -> Result<Status, Wrong> {
    terminal::leave_to_document(args.form);
    let directory = &args.directory;
    let files = replay_files(directory)?;
    if files.is_empty() {
        return Err(Wrong(format!(
            "there is no file *.replay in {}\n  help: give the directory that `rumplab run --out` wrote to",
            directory.display()
        )));
    }
    let mut findings = Findings::default();
    let mut others: BTreeMap<PathBuf, String> = BTreeMap::new();
    let mut machine = Machine::new();
    let mut damaged = 0;
    let bar = progress::bar(files.len() as u64, "triage");
    for path in files {
        match look(&path, args, registry, &mut machine, &mut findings) {
            Ok(true) => {}
            Ok(false) => {
                others.insert(path, "passes".to_owned());
            }
            Err(why) => {
                damaged += 1;
                others.insert(path, why);
            }
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    terminal::print(&table(&findings, &others));
    let status = match findings.list().next() {
        Some(_) => Status::Found,
        None if damaged > 0 => {
            terminal::complain(format!(
                "{damaged} of the files do not replay, and no other fails\n  help: `rumplab replay FILE` says where a \
                 file is wrong"
            ));
            Status::Broken
        }
        None => Status::Nothing,
    };
    let entries = findings.list().map(Entry::from);
    let others = others.iter().map(|(path, why)| Entry::Other {
        file: path.display().to_string(),
        why: why.clone(),
    });
    let entries = Vec::from_iter(entries.chain(others));
    Ok(results::print(args.form, "triage", status, &entries))
}

/// A finding, or a file that is none, for programs.
#[derive(Serialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
enum Entry {
    Finding {
        scenario: &'static str,
        variants: Vec<&'static str>,
        /// The old bugs without which none of the files fails so.
        needs: Vec<&'static str>,
        /// How many files show it.
        files: usize,
        symptoms: Vec<Face>,
        /// The smallest file.
        best: String,
        size: Size,
    },
    Other {
        file: String,
        why: String,
    },
}

/// A way to fail.
#[derive(Serialize)]
struct Face {
    rule: String,
    signature: Vec<String>,
    files: usize,
}

impl From<&Finding> for Entry {
    fn from(finding: &Finding) -> Entry {
        let symptoms = finding.symptoms().into_iter();
        let face = |(symptom, files): (&Symptom, usize)| Face {
            rule: symptom.rule.clone(),
            signature: symptom.signature.clone(),
            files,
        };
        Entry::Finding {
            scenario: finding.scenario,
            variants: finding.variants.clone(),
            needs: finding.needs.iter().map(|bug| bug.name()).collect(),
            files: finding.count,
            symptoms: symptoms.map(face).collect(),
            best: finding.best.display().to_string(),
            size: finding.size.into(),
        }
    }
}

/// The files of a directory, by name.
fn replay_files(directory: &Path) -> Result<Vec<PathBuf>, Wrong> {
    let unreadable = |error: std::io::Error| {
        Wrong(format!(
            "cannot read {}: {error}\n  help: give a directory of replay files",
            directory.display()
        ))
    };
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_some_and(|end| end == "replay") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Replays a file. Whether it fails, and so belongs to a finding; the error says why it does not replay.
fn look(
    path: &Path,
    args: &TriageArgs,
    registry: Registry<'_>,
    machine: &mut Machine,
    findings: &mut Findings,
) -> Result<bool, String> {
    let bytes = fs::read(path).map_err(|error| error.to_string())?;
    let parsed = Parsed::read(&bytes, registry).map_err(|wrong| wrong.to_string())?;
    let (outcome, _) = parsed
        .replay(machine, &LIMITS)
        .map_err(|error| error.to_string())?;
    match &outcome.verdict {
        Verdict::Failed(failure) => {
            let needs = match args.no_ablation {
                true => History::NONE,
                false => needed(machine, &parsed.file, failure, &LIMITS),
            };
            findings.add(path.to_owned(), &parsed.file, failure, &outcome, needs);
            Ok(true)
        }
        Verdict::Passed => Ok(false),
    }
}

fn table(findings: &Findings, others: &BTreeMap<PathBuf, String>) -> Text {
    let mut text = Text::default();
    for finding in findings.list() {
        text.append(entry(finding));
    }
    let (count, files) = (findings.list().count(), findings.files());
    let s = |n: usize| if n == 1 { "" } else { "s" };
    text.add(
        Role::Heading,
        format!("{count} finding{} in {files} file{}", s(count), s(files)),
    );
    for (path, why) in others {
        let why = why.lines().next().unwrap_or("");
        text.add(
            Role::Aside,
            format!("no finding: {}: {why}", path.display()),
        );
    }
    text
}

/// The most ways to fail that are told of a finding.
const TOLD: usize = 6;

fn entry(finding: &Finding) -> Text {
    let mut text = Text::default();
    let symptoms = finding.symptoms();
    let what = match (finding.needs.is_empty(), symptoms.first()) {
        (true, Some((symptom, _))) => symptom.rule.clone(),
        _ => {
            let names = Vec::from_iter(finding.needs.iter().map(|bug| bug.name()));
            format!("needs {}", names.join(" and "))
        }
    };
    let title = format!("{} {}", finding.scenario, finding.variants.join("+"));
    text.add(
        Role::Heading,
        format!("{:4}  {}: {what}", finding.count, title.trim_end()),
    );
    match finding.needs.is_empty() {
        true => {
            let signature = symptoms.iter().flat_map(|(symptom, _)| &symptom.signature);
            for line in signature {
                text.add(Role::Plain, format!("      {line}"));
            }
        }
        false => faces(finding, &symptoms, &mut text),
    }
    let best = for_shell(&finding.best);
    text.add(
        Role::Plain,
        format!("      best: {} ({})", best, finding.size),
    );
    text.gap();
    text
}

/// What the old code does that a finding needs, and how that shows.
fn faces(finding: &Finding, symptoms: &[(&Symptom, usize)], text: &mut Text) {
    for bug in &finding.needs {
        text.add(Role::Plain, format!("      {}", bug.summary()));
    }
    for (symptom, count) in symptoms.iter().take(TOLD) {
        let signature = symptom.signature.join("; ");
        text.add(
            Role::Aside,
            format!("      {count:4}  {}: {signature}", symptom.rule),
        );
    }
    if let Some(more) = symptoms.get(TOLD..).filter(|more| !more.is_empty()) {
        let files = more.iter().map(|(_, count)| count).sum::<usize>();
        text.add(
            Role::Aside,
            format!("      {files:4}  in {} other ways", more.len()),
        );
    }
}
