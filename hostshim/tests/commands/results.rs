//! Results for other programs: JSON as its schema says, and JUnit XML.

use std::fs;

use serde_json::Value;

// The kernel, whose symbols the program's library needs, links only with a machine beside it.
use hostshim as _;

use crate::program::{Ran, Scratch, rumplab};

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn schema() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/results.schema.json");
    parsed(&fs::read_to_string(path).unwrap_or_else(|error| panic!("{error}")))
}

/// The schema with nothing allowed that it does not describe.
fn closed() -> Value {
    let mut schema = schema();
    for (name, definition) in schema["$defs"].as_object_mut().into_iter().flatten() {
        // Others are it and more.
        if name != "subject" {
            close(definition);
        }
    }
    schema
}

fn close(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            members.values_mut().for_each(close);
            // Members may be called `properties` too, but here none is.
            if members.contains_key("properties") {
                members.insert("unevaluatedProperties".to_owned(), Value::Bool(false));
            }
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
}

/// What a command prints as JSON, which is as the schema says.
fn results(arguments: &[&str]) -> (Ran, Value) {
    let ran = rumplab(&[arguments, &["--json"]].concat());
    let document = parsed(&ran.out);
    for schema in [schema(), closed()] {
        let validator = jsonschema::validator_for(&schema);
        let validator = validator.unwrap_or_else(|error| panic!("{error}"));
        let wrong: Vec<String> = validator
            .iter_errors(&document)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .take(5)
            .collect();
        assert!(wrong.is_empty(), "{arguments:?}: {wrong:#?}");
    }
    assert_eq!(document["command"], arguments[0]);
    let status = document["status"].as_i64();
    assert_eq!(status, ran.status.map(i64::from), "{arguments:?}");
    (ran, document["results"].clone())
}

#[test]
fn the_schema_refuses_what_is_no_result() {
    let validator = jsonschema::validator_for(&closed()).unwrap_or_else(|error| panic!("{error}"));
    for (from, to) in [
        ("rumplab-results", "rumplab-account"),
        ("\"held\"", "\"fine\""),
        ("\"seed\"", "\"sead\""),
    ] {
        let (ran, _) = results(&["run", "mutex-exclusion", "--schedules", "5"]);
        let wrong = parsed(&ran.out.replace(from, to));
        assert!(!validator.is_valid(&wrong), "{to}");
    }
}

#[test]
fn a_list_has_every_scenario_and_variant() {
    let (_, list) = results(&["list"]);
    let list = list.as_array().cloned().unwrap_or_default();
    for scenario in kmod::scenario::ALL {
        let entry = list.iter().find(|entry| entry["scenario"] == scenario.name);
        let entry = entry.unwrap_or_else(|| panic!("{} is missing", scenario.name));
        let variants = entry["variants"].as_array().map(Vec::len);
        assert_eq!(variants, Some(scenario.variants.len()), "{entry}");
    }
    let (_, one) = results(&["describe", "abba"]);
    assert_eq!(one[0]["kind"], "broken");
    assert_eq!(one[1], Value::Null);
}

#[test]
fn runs_are_told_with_their_failures_and_their_files() {
    let scratch = Scratch::new("json-run");
    let directory = scratch.0.display().to_string();
    let arguments = [
        "run",
        "mutex-exclusion",
        "lost-*",
        "--schedules",
        "200",
        "--out",
        &directory,
    ];
    let (ran, results) = results(&arguments);
    assert_eq!(ran.status, Some(1), "{}", ran.err);
    assert_eq!(results[0]["outcome"], "held");
    assert_eq!(results[0]["schedules"], 200);
    let lost = &results[1];
    assert_eq!(lost["outcome"], "failed");
    assert_eq!(lost["found"]["failure"]["rule"], "lost-update");
    let file = lost["found"]["replay"].as_str().unwrap_or_default();
    let replayed = rumplab(&["replay", file]);
    assert_eq!(replayed.status, Some(1), "{}", replayed.err);
    let again = rumplab(&[&arguments[..], &["--json"]].concat());
    assert_eq!(again.out, ran.out, "the same bytes twice");
}

#[test]
fn a_bug_that_was_not_reproduced_is_not_status_0() {
    // On one CPU this bug cannot show itself: see the scenario.
    let arguments = [
        "run",
        "xcall-early-count",
        "--variant",
        "historical",
        "--cpus",
        "1",
        "--schedules",
        "50",
    ];
    let (ran, results) = results(&arguments);
    assert_eq!(ran.status, Some(1), "{}", ran.err);
    assert_eq!(results[0]["outcome"], "not-reproduced");
    let text = rumplab(&arguments);
    assert_eq!(text.status, Some(1));
    for words in ["this variant has a bug", "not reproduced", "--cpus"] {
        assert!(text.out.contains(words), "{}", text.out);
    }
}

#[test]
fn a_prediction_has_its_confirmation() {
    let scratch = Scratch::new("json-predict");
    let directory = scratch.0.display().to_string();
    let historical = ["predict", "perform-vs-callout", "--variant", "historical"];
    let one = ["--schedules", "1", "--out", &directory];
    let (ran, results) = results(&[&historical[..], &one].concat());
    assert_eq!(ran.status, Some(1), "{}", ran.err);
    let deadlock = &results[0]["deadlocks"][0];
    let cycle = deadlock["cycle"].as_str().unwrap_or_default();
    assert!(cycle.starts_with("softnet_lock => "), "{cycle}");
    let file = deadlock["confirmed"]["replay"].as_str().unwrap_or_default();
    assert_eq!(rumplab(&["replay", file]).status, Some(1));
}

#[test]
fn triage_tells_findings_and_files_that_are_none() {
    let scratch = Scratch::new("json-triage");
    let directory = scratch.0.display().to_string();
    let found = rumplab(&["run", "abba", "--out", &directory]);
    assert_eq!(found.status, Some(1), "{}", found.err);
    scratch.file("bad.replay", "rumplab-replay 9\n");
    let (ran, results) = results(&["triage", &directory]);
    assert_eq!(ran.status, Some(1), "{}", ran.err);
    assert_eq!(results[0]["what"], "finding");
    assert_eq!(results[0]["files"], 1);
    assert_eq!(results[1]["what"], "other");
}

#[test]
fn a_hunt_names_what_is_wrong_last_and_for_programs() {
    let scratch = Scratch::new("json-hunt");
    let directory = scratch.0.display().to_string();
    let junit = scratch.path("junit.xml");
    // In one schedule no bug that takes two can show itself.
    let few = ["hunt", "xcall-*", "--schedules", "1", "--out", &directory];
    let (ran, results) = results(&[&few[..], &["--junit", &junit]].concat());
    assert_eq!(ran.status, Some(1), "{}", ran.err);
    let rows = results.as_array().cloned().unwrap_or_default();
    let outcome = |row: &Value| row["simulated"]["outcome"].clone();
    let lost = rows.iter().filter(|row| outcome(row) == "not-reproduced");
    let lost = Vec::from_iter(lost);
    assert!(!lost.is_empty());
    assert!(lost.iter().all(|row| row["must_fail"] == true));

    let text = rumplab(&few);
    let lines = Vec::from_iter(text.out.lines());
    let last = &lines[lines.len() - lost.len() - 1..];
    let head = format!(
        "{} of {} variants did not behave as expected:",
        lost.len(),
        rows.len()
    );
    assert_eq!(last[0], head);
    for (line, row) in last[1..].iter().zip(&lost) {
        let name = format!(
            "  {} {}, simulated: the bug of this variant was not reproduced in 1 schedules",
            row["scenario"].as_str().unwrap_or_default(),
            row["variant"].as_str().unwrap_or_default()
        );
        assert_eq!(*line, name);
    }

    let xml = fs::read_to_string(&junit).unwrap_or_default();
    let count = |words: &str| xml.matches(words).count();
    assert_eq!(count("<testcase "), rows.len(), "{xml}");
    assert_eq!(count("<failure "), lost.len(), "{xml}");
    assert_eq!(count("<testsuite "), 1, "{xml}");
}

#[test]
fn junit_has_the_report_of_a_failure() {
    let scratch = Scratch::new("junit");
    let directory = scratch.0.display().to_string();
    let junit = scratch.path("junit.xml");
    let ran = rumplab(&[
        "run",
        "lost-update",
        "mutex-exclusion",
        "--schedules",
        "100",
        "--out",
        &directory,
        "--junit",
        &junit,
    ]);
    assert_eq!(ran.status, Some(1), "{}", ran.err);
    let xml = fs::read_to_string(&junit).unwrap_or_default();
    for words in [
        "<testsuite name=\"run\" tests=\"2\"",
        "failures=\"1\"",
        "<testcase name=\"lost-update fixed\" classname=\"lost-update\">",
        "ASSERTION lost-update FAILED",
    ] {
        assert!(xml.contains(words), "no `{words}` in {xml}");
    }
}

#[test]
fn proofs_are_told() {
    let scratch = Scratch::new("json-prove");
    let directory = scratch.0.display().to_string();
    let arguments = ["prove", "idle-halt", "lost-update", "--out", &directory];
    let (ran, results) = results(&arguments);
    assert_eq!(ran.status, Some(1), "{}", ran.err);
    assert_eq!(results[0]["outcome"], "complete");
    assert_eq!(results[0]["complete_up_to"], 2);
    assert_eq!(results[1]["outcome"], "failed");
    assert_eq!(results[1]["complete_up_to"], 0);
    assert_eq!(results[1]["found"]["failure"]["rule"], "lost-update");
}
