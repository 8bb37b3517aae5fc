//! Every contract, how it is broken, and what it says then; and that none was forgotten.

mod settings;

use hostshim::registry::Registry;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use expect_test::expect_file;
use hostshim::{Failure, FailureKind, Limits, Machine, Replay, Setup, Verdict};
use insta::assert_snapshot;
use kmod::config::Config;
use kmod::scenario::breach::{self, Breach, EXCEPTIONS};
use settings::{fits, settings};

/// The kernel's source, by path from the root of the project.
fn sources() -> BTreeMap<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut sources = BTreeMap::new();
    let mut folders = vec![PathBuf::from("kmod/src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root.join(&folder)).expect("a folder of the kernel") {
            let name = folder.join(entry.expect("an entry").file_name());
            if root.join(&name).is_dir() {
                folders.push(name);
            } else {
                let text = fs::read_to_string(root.join(&name)).expect("source is text");
                sources.insert(name.display().to_string(), text);
            }
        }
    }
    sources
}

/// A comment of its own line.
fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with("//")
}

/// The contracts that a file checks. In `contract!` the name is the first literal that looks like one; the condition
/// before it has none.
fn contracts(source: &str) -> BTreeSet<String> {
    let lines = source.lines().filter(|line| !is_comment(line));
    let code: String = lines.flat_map(|line| [line, "\n"]).collect();
    let is_name = |word: &&str| {
        let mut letters = word.bytes();
        !word.is_empty() && letters.all(|b| b == b'-' || b.is_ascii_lowercase())
    };
    let checked = code.split("contract!(").skip(1).map(|rest| {
        let words = rest.split('"').skip(1).step_by(2);
        let name = words.take(1).find(is_name);
        name.unwrap_or_else(|| panic!("a contract without a name: contract!({:.60}", rest))
    });
    let stopped = code.split("Stop::Contract(").skip(1).filter_map(|rest| {
        let argument = rest.trim_start().strip_prefix('"')?;
        argument.split('"').next()
    });
    checked.chain(stopped).map(str::to_owned).collect()
}

/// The contracts of the kernel, each with the files that check it.
fn checked() -> BTreeMap<String, BTreeSet<String>> {
    let mut checked: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (file, source) in sources() {
        for contract in contracts(&source) {
            checked.entry(contract).or_default().insert(file.clone());
        }
    }
    checked
}

/// Runs a breach under the schedule that the machine has by itself: how it fails, if it does.
fn run(breach: &'static Breach) -> Option<Failure> {
    let scenario = &breach.scenario;
    let config = scenario.config(Config::small(scenario.default_cpus), &scenario.variants[0]);
    let mut machine = Machine::new();
    let setup = Setup {
        scenario,
        config,
        trace: false,
    };
    if let Err(failure) = machine.boot(&setup) {
        return Some(failure);
    }
    let outcome = machine.run(&mut Replay::new(Vec::new()), &Limits::default());
    match outcome.verdict {
        Verdict::Passed => None,
        Verdict::Failed(failure) => Some(failure),
    }
}

/// What is wrong with how a breach failed, if anything.
fn complaint(breach: &Breach, failure: &Failure, files: &BTreeSet<String>) -> Option<String> {
    let name = breach.scenario.name;
    if failure.kind != FailureKind::Contract || failure.rule != breach.contract {
        return Some(format!("{name} stops otherwise: {failure}"));
    }
    let (file, _) = failure.location.split_once(':')?;
    if file != breach.file && !files.contains(file) {
        return Some(format!("{name} is blamed on another file: {failure}"));
    }
    if failure.message.contains("0x") {
        return Some(format!("{name} tells an address: {failure}"));
    }
    None
}

/// The primitive that a breach is of: the name of its file.
fn primitive(breach: &Breach) -> &'static str {
    let (_, file) = breach.file.rsplit_once('/').unwrap_or(("", breach.file));
    file.trim_end_matches(".rs")
}

/// A table for each primitive: the contract, how it is broken, and what it says then.
#[test]
fn every_contract_is_broken_and_says_so() {
    let checked = checked();
    let mut tables: BTreeMap<&str, String> = BTreeMap::new();
    let mut complaints = Vec::new();
    for (contract, files) in &checked {
        let breaches = breach::all().filter(|breach| breach.contract == contract);
        for breach in breaches {
            let table = tables.entry(primitive(breach)).or_default();
            *table += &format!("{contract}\n    {}\n", breach.scenario.summary);
            match run(breach) {
                None => complaints.push(format!("{} breaks nothing", breach.scenario.name)),
                Some(failure) => {
                    complaints.extend(complaint(breach, &failure, files));
                    *table += &format!("    {}\n", failure.message.replace('\n', "\n    "));
                }
            }
        }
    }
    let excepted = EXCEPTIONS.iter();
    let excepted = excepted.map(|(contract, reason)| format!("{contract}\n    {reason}\n"));
    tables.insert("that-no-call-breaks", excepted.collect());
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    for (primitive, table) in tables {
        let mut settings = settings();
        settings.set_snapshot_suffix(primitive);
        settings.bind(|| assert_snapshot!("contracts", fits(&table)));
    }
}

#[test]
fn no_contract_is_without_a_breach() {
    let checked: BTreeSet<String> = checked().into_keys().collect();
    let broken: BTreeSet<String> = breach::all().map(|b| b.contract.to_owned()).collect();
    let excepted: BTreeSet<String> = EXCEPTIONS.iter().map(|(c, _)| (*c).to_owned()).collect();
    let both: Vec<_> = broken.intersection(&excepted).collect();
    assert!(both.is_empty(), "broken, and said not to be: {both:?}");
    let known: BTreeSet<String> = broken.union(&excepted).cloned().collect();
    let forgotten: Vec<_> = checked.difference(&known).collect();
    assert!(
        forgotten.is_empty(),
        "nothing breaks {forgotten:?}: see kmod/src/scenario/breach/mod.rs"
    );
    let gone: Vec<_> = known.difference(&checked).collect();
    assert!(gone.is_empty(), "nothing checks {gone:?}");
}

#[test]
fn names_of_breaches_are_unique() {
    let mut names = BTreeSet::new();
    for breach in breach::all() {
        let scenario = &breach.scenario;
        assert!(
            names.insert(scenario.name),
            "two are named {}",
            scenario.name
        );
        let found = Registry::kmod().find(scenario.name);
        assert!(
            found.is_some_and(|found| std::ptr::eq(found, scenario)),
            "{} is found by its name",
            scenario.name
        );
    }
}

#[test]
fn the_index_has_every_contract() {
    let checked: BTreeSet<String> = checked().into_keys().collect();
    let indexed: BTreeSet<String> = kmod::contracts::ALL
        .iter()
        .map(|contract| contract.name.to_owned())
        .collect();
    let missing: Vec<_> = checked.difference(&indexed).collect();
    assert!(
        missing.is_empty(),
        "no entry explains {missing:?}: see kmod/src/contracts.rs"
    );
    let gone: Vec<_> = indexed.difference(&checked).collect();
    assert!(
        gone.is_empty(),
        "the index has {gone:?}, and nothing checks it"
    );
}

/// `UPDATE_EXPECT=1` writes the document anew.
#[test]
fn the_document_is_the_index() {
    expect_file![concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/contracts.md")]
        .assert_eq(&hostshim::contracts::index());
}

/// The documentation of a primitive names its contracts.
#[test]
fn every_contract_is_documented() {
    let sources = sources();
    let mut documented = String::new();
    for source in sources.values() {
        let mut block = String::new();
        for line in source.lines().chain([""]) {
            if is_comment(line) {
                block += line;
                continue;
            }
            if block.contains("Panics") {
                documented += &block;
            }
            block.clear();
        }
    }
    let silent: Vec<_> = checked()
        .into_iter()
        .filter(|(contract, _)| !documented.contains(&format!("`{contract}`")))
        .collect();
    assert!(silent.is_empty(), "no `Panics` tells of {silent:#?}");
}
