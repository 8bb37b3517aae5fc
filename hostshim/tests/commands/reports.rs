//! Reports from outside: every form of an account, `minimize` and `triage`.

use hostshim::registry::Registry;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use hostshim::hunt::{Budget, Hunt, Plan, Watch};
use hostshim::machine::Races;
use hostshim::names::name_schedule;
use hostshim::replay::{LIMITS, ReplayFile};
use hostshim::{Machine, wire::Wire};
use serde_json::Value;

use crate::program::{Scratch, rumplab};

/// The kept replay files.
const KEPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../snapshots/replays");
/// The one of them that is a livelock: 200,000 points.
const LONG: &str = "psref-starved-historical.replay";
const FORMS: [&str; 5] = ["--html", "--json", "--svg", "--dot", "--perfetto"];

fn kept(name: &str) -> String {
    format!("{KEPT}/{name}")
}

fn all_kept() -> Vec<String> {
    let entries = fs::read_dir(KEPT).unwrap_or_else(|error| panic!("{error}"));
    let paths = entries
        .flatten()
        .map(|entry| entry.path().display().to_string());
    let mut paths: Vec<String> = paths.filter(|path| !path.ends_with(LONG)).collect();
    paths.sort();
    assert!(paths.len() > 5, "{paths:?}");
    paths
}

/// What `explain` writes of a file that fails.
fn told(file: &str, form: &str) -> String {
    let ran = rumplab(&["explain", file, form]);
    assert_eq!(ran.status, Some(0), "{file} {form}: {}", ran.err);
    ran.out
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}"))
}

/// The schema, and once more with nothing allowed that it does not describe.
fn schemas() -> [Value; 2] {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/account.schema.json");
    let open = parsed(&fs::read_to_string(path).unwrap_or_else(|error| panic!("{error}")));
    let mut closed = open.clone();
    close(&mut closed);
    [open, closed]
}

fn close(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            members.values_mut().for_each(close);
            // Members may be called `properties` too, but here none is.
            if members.contains_key("properties") {
                members.insert("additionalProperties".to_owned(), Value::Bool(false));
            }
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
}

#[test]
fn json_is_as_its_schema_says_and_the_schema_describes_all_of_it() {
    let validators = schemas()
        .map(|schema| jsonschema::validator_for(&schema).unwrap_or_else(|error| panic!("{error}")));
    for file in all_kept() {
        let account = parsed(&told(&file, "--json"));
        for validator in &validators {
            let wrong: Vec<String> = validator
                .iter_errors(&account)
                .map(|error| format!("{}: {error}", error.instance_path()))
                .take(5)
                .collect();
            assert!(wrong.is_empty(), "{file}: {wrong:#?}");
        }
        let nothing = Value::Object(serde_json::Map::new());
        assert!(!validators[0].is_valid(&nothing));
    }
}

#[test]
fn json_has_the_facts_of_a_deadlock() {
    let account = parsed(&told(&kept("drain-vs-perform-historical.replay"), "--json"));
    let stations = account["waits"]["cycles"][0]["stations"].as_array();
    let names: Vec<&str> = stations
        .into_iter()
        .flatten()
        .filter_map(|station| station["what"].as_str())
        .collect();
    assert_eq!(
        names,
        ["localcount_drain", "xc", "mtx", "pserialize_perform", "xc"]
    );
    // b holds mtx to the end.
    let holds = account["holds"].as_array().cloned().unwrap_or_default();
    let kept: Vec<&Value> = holds
        .iter()
        .filter(|hold| hold["at_end"] == true && hold["lock"] == "sad.mtx")
        .collect();
    assert_eq!(kept.len(), 1, "{kept:?}");
    let lwp = kept[0]["lwp"].as_u64().unwrap_or(u64::MAX) as usize;
    assert_eq!(account["lwps"][lwp]["name"], "b");
    // Positions lead somewhere.
    let last = account["moments"].as_array().and_then(|list| list.last());
    let event = last.map(|moment| moment["event"].clone());
    let events = account["events"].as_array().cloned().unwrap_or_default();
    assert!(events.iter().any(|it| Some(&it["index"]) == event.as_ref()));
}

#[test]
fn the_last_words_of_who_found_out_are_told_however_long_ago() {
    let account = parsed(&told(
        &kept("xcall-early-count-historical.replay"),
        "--json",
    ));
    let moments = account["moments"].as_array().cloned().unwrap_or_default();
    let texts = moments.iter().filter_map(|moment| moment["text"].as_str());
    let texts = Vec::from_iter(texts);
    let place = |words: &str| texts.iter().position(|text| text.contains(words));
    let asked = place("r2 on cpu1: low-priority call: ticket 2");
    assert!(asked.is_some(), "{texts:?}");
    assert!(asked < place("switch to cpu0 here"), "{texts:?}");
}

#[test]
fn every_form_is_the_same_every_time_and_goes_to_a_file_whole() {
    let scratch = Scratch::new("forms");
    let file = kept("xcall-early-count-historical.replay");
    for form in FORMS {
        let once = told(&file, form);
        assert!(!once.is_empty(), "{form}");
        assert_eq!(once, told(&file, form), "{form}: the same bytes twice");
        assert!(!once.contains(KEPT), "{form}: no path of this machine");
        let out = scratch.path("out");
        let ran = rumplab(&["explain", &file, form, "--out", &out]);
        assert_eq!((ran.status, ran.out.as_str()), (Some(0), ""), "{}", ran.err);
        assert_eq!(fs::read_to_string(&out).ok().as_deref(), Some(&*once));
    }
    let out = scratch.path("text");
    let ran = rumplab(&["explain", &file, "--out", &out]);
    assert_eq!((ran.status, ran.out.as_str()), (Some(0), ""), "{}", ran.err);
    let text = fs::read_to_string(&out).unwrap_or_default();
    assert_eq!(text, rumplab(&["explain", &file]).out);
}

#[test]
fn what_cannot_be_written_is_refused_and_two_forms_are_too() {
    let scratch = Scratch::new("refused");
    let file = kept("lost-update.replay");
    let blocked = scratch.path("none/report.html");
    let ran = rumplab(&["explain", &file, "--html", "--out", &blocked]);
    assert_eq!((ran.status, ran.out.as_str()), (Some(2), ""));
    assert!(ran.err.contains("cannot write") && ran.err.contains("--out"));
    assert!(!Path::new(&blocked).exists());
    let ran = rumplab(&["explain", &file, "--html", "--json"]);
    assert_eq!(ran.status, Some(2));
    assert!(ran.err.contains("cannot be used with"), "{}", ran.err);
}

#[test]
fn a_report_begins_with_what_broke_who_did_it_and_the_cycle() {
    for (file, words) in [
        (
            "perform-vs-callout-historical.replay",
            [
                "DEADLOCK in perform-vs-callout (variant historical), 2 threads, needs 1 forced switch",
                "1. ifconfig   HOLDS     softnet_lock ",
                "2. softclk/0  RUNS      callout inet.dad_timer ",
            ],
        ),
        (
            "bind-vs-migration-historical.replay",
            [
                "API CONTRACT psref-cpu BROKEN in bind-vs-migration (variant historical)",
                "acquired by busy on cpu0 is released on cpu1",
                "by busy on cpu1, at kmod/src/scenario/key.rs",
            ],
        ),
    ] {
        let text = rumplab(&["explain", &kept(file)]).out;
        let head: Vec<&str> = text.lines().take(6).collect();
        for word in words {
            assert!(head.iter().any(|line| line.contains(word)), "{head:#?}");
        }
        assert!(text.contains("\nIn short:\n"), "{text}");
    }
}

#[test]
fn graphs_show_the_cycle() {
    let file = kept("drain-vs-perform-historical.replay");
    let dot = told(&file, "--dot");
    assert!(dot.starts_with("digraph waits {") && dot.ends_with("}\n"));
    // As it is printed: localcount_drain => xc => mtx => pserialize_perform => xc.
    let stations = ["localcount_drain", "xc", "mtx", "pserialize_perform"];
    for (index, station) in stations.iter().enumerate() {
        let label = format!("n{index} [label=\"{station}\\n(");
        assert!(dot.contains(&label), "{label} is not in {dot}");
    }
    for arrow in ["n0 -> n1", "n1 -> n2", "n2 -> n3", "n3 -> n1"] {
        assert!(dot.contains(arrow), "{arrow} is not in {dot}");
    }
    assert_eq!(dot.matches(" -> ").count(), 4, "{dot}");
    assert_eq!(dot.matches("color=red").count(), 8, "{dot}");
    let svg = told(&file, "--svg");
    assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
    for (index, from) in stations.iter().enumerate() {
        let to = stations.get(index + 1).unwrap_or(&"xc");
        let arrow = format!("class=\"edge bad\" data-from=\"{from}\" data-to=\"{to}\"");
        assert!(svg.contains(&arrow), "{arrow} is not in {svg}");
    }
    assert_eq!(svg.matches("class=\"edge").count(), 4, "{svg}");
    assert!(told(&kept("lost-update.replay"), "--svg").contains("nobody waits"));
}

/// The numbers of a stream in a page: see the header of `page.rs`.
fn numbers(base64: &str) -> Vec<usize> {
    const LETTERS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut bytes = Vec::new();
    let (mut bits, mut held) = (0_u32, 0);
    for letter in base64.trim_end_matches('=').chars() {
        let value = LETTERS.find(letter).unwrap_or_else(|| panic!("{letter}"));
        bits = bits << 6 | value as u32;
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
        }
    }
    let (mut list, mut number, mut shift) = (Vec::new(), 0, 0);
    for byte in bytes {
        number |= usize::from(byte & 0x7f) << shift;
        shift += 7;
        if byte < 0x80 {
            list.push(number);
            (number, shift) = (0, 0);
        }
    }
    list
}

/// The rows of a page's stream: state and deed.
fn rows(data: &Value) -> Vec<[usize; 2]> {
    let mut stream = numbers(data["stream"].as_str().unwrap_or("")).into_iter();
    let mut take = || stream.next().unwrap_or_else(|| panic!("the stream is cut"));
    let mut next: BTreeMap<[usize; 2], [usize; 2]> = BTreeMap::new();
    let (mut before, mut list) = ([usize::MAX; 2], Vec::new());
    let mut foretold = take();
    for _ in 0..data["rows"].as_u64().unwrap_or(0) {
        let row = if foretold > 0 {
            foretold -= 1;
            next[&before]
        } else {
            let state = if take() & 1 == 1 { take() } else { before[0] };
            let row = [state, take()];
            next.insert(before, row);
            foretold = take();
            row
        };
        list.push(row);
        before = row;
    }
    assert_eq!((foretold, stream.next()), (0, None), "all of it is read");
    list
}

fn data_of(page: &str) -> Value {
    let (_, rest) = page
        .split_once("<script type=\"application/json\" id=\"data\">")
        .unwrap_or_else(|| panic!("no data"));
    let (data, _) = rest.split_once("</script>").unwrap_or((rest, ""));
    parsed(data)
}

#[test]
fn a_page_has_every_step_and_asks_nobody() {
    let file = kept("bind-vs-migration-historical.replay");
    let page = told(&file, "--html");
    for outside in [
        "http-equiv=\"refresh\"",
        " src=",
        "@import",
        "url(http",
        "href=\"http",
    ] {
        assert!(!page.contains(outside), "{outside}");
    }
    let (data, account) = (data_of(&page), parsed(&told(&file, "--json")));
    let events = account["events"].as_array().cloned().unwrap_or_default();
    let rows = rows(&data);
    assert_eq!(rows.len(), events.len());
    for (row, event) in rows.iter().zip(&events) {
        let state = &data["states"][row[0]];
        assert_eq!(state[0], event["cpu"]);
        assert_eq!(state[1], event["lwp"]);
        let deed = data["deeds"][row[1]][0].as_str().unwrap_or("");
        let object = event["object"].as_str().unwrap_or("");
        assert!(deed.contains(object), "{deed} {event}");
    }
}

#[test]
fn a_page_says_what_ran_what_it_was_built_from_and_how_to_run_it_again() {
    let name = "bind-vs-migration-historical.replay";
    let page = told(&kept(name), "--html");
    for words in [
        "<b>bind-vs-migration</b>",
        "<b>historical</b>",
        "2 CPUs",
        &hostshim::version::version(),
        // An absolute path is nothing to others.
        &format!("<code id=\"command\">rumplab replay {name}</code>"),
    ] {
        assert!(page.contains(words), "`{words}` is not in the page");
    }
    let data = data_of(&page);
    let text = fs::read_to_string(kept(name)).unwrap_or_default();
    assert_eq!(data["replay"][0], name);
    assert_eq!(data["replay"][1].as_str(), Some(&*text));
}

#[test]
fn a_page_shows_the_source_where_it_failed_if_that_is_at_hand() {
    let file = kept("bind-vs-migration-historical.replay");
    let data = data_of(&told(&file, "--html"));
    let place = data["failed_at"].as_str().unwrap_or("");
    let (name, line) = place.split_once(':').unwrap_or((place, ""));
    let path = format!("{}/../kmod/src/{name}", env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(path).unwrap_or_default();
    let number: usize = line.parse().unwrap_or(0);
    let expected = text.lines().nth(number - 1);
    assert_eq!(data["sources"][name][line].as_str(), expected, "{place}");
    // Of a deadlock: where each of those in it waits.
    let data = data_of(&told(&kept("abba.replay"), "--html"));
    let waits = data["moments"].as_array().cloned().unwrap_or_default();
    let waits = Vec::from_iter(waits.iter().filter(|moment| moment[1] == "break"));
    assert_eq!(waits.len(), 2, "{waits:?}");
    for moment in waits {
        let place = moment[3].as_str().unwrap_or("");
        let (name, line) = place.split_once(':').unwrap_or((place, ""));
        let told = data["sources"][name][line].as_str().unwrap_or("");
        assert!(told.contains(".enter();"), "{place}: {told}");
    }
}

#[test]
fn a_page_draws_who_waits_only_where_somebody_waits_for_ever() {
    for (name, is_drawn) in [
        ("abba.replay", true),
        // Threads wait here, too, but the run does not fail of it.
        ("xcall-early-count-historical.replay", false),
        ("lost-update.replay", false),
    ] {
        let page = told(&kept(name), "--html");
        assert_eq!(page.contains("<svg"), is_drawn, "{name}");
    }
}

#[test]
fn a_page_of_two_hundred_thousand_steps_is_below_a_megabyte() {
    let page = told(&kept(LONG), "--html");
    let data = data_of(&page);
    let count = rows(&data).len();
    assert!(count > 200_000, "{count}");
    assert!(page.len() < 1_000_000, "{}", page.len());
}

#[test]
fn slices_of_a_perfetto_track_nest_and_no_track_has_two_processes() {
    for file in all_kept() {
        let trace = parsed(&told(&file, "--perfetto"));
        let entries = trace["traceEvents"].as_array().cloned().unwrap_or_default();
        let number = |entry: &Value, name: &str| entry[name].as_u64().unwrap_or(u64::MAX);
        let mut owners: BTreeMap<u64, u64> = BTreeMap::new();
        let mut slices: BTreeMap<u64, Vec<(u64, u64)>> = BTreeMap::new();
        for entry in &entries {
            let (pid, tid) = (number(entry, "pid"), number(entry, "tid"));
            if tid != 0 {
                assert_eq!(*owners.entry(tid).or_insert(pid), pid, "{file}: {entry}");
            }
            if entry["ph"] == "X" {
                let begin = number(entry, "ts");
                let end = begin + number(entry, "dur");
                slices.entry(tid).or_default().push((begin, end));
            }
        }
        assert!(entries.iter().any(|entry| entry["cat"] == "lock"));
        for (track, mut list) in slices {
            list.sort_by_key(|&(begin, end)| (begin, std::cmp::Reverse(end)));
            let mut open: Vec<u64> = Vec::new();
            for (begin, end) in list {
                while open.last().is_some_and(|last| *last <= begin) {
                    open.pop();
                }
                assert!(
                    open.last().is_none_or(|last| end <= *last),
                    "{file}: track {track}, {begin} to {end} lies across {open:?}"
                );
                open.push(end);
            }
        }
    }
}

/// A failing run as it was found, before anybody has minimized it.
fn as_found() -> ReplayFile {
    let scenario = Registry::kmod()
        .find("lost-update")
        .unwrap_or_else(|| panic!("no scenario"));
    let variant = &scenario.variants[0];
    let hunt = Hunt {
        plan: Plan::Random,
        ..Hunt::new(scenario, variant, Budget::Schedules(1000))
    };
    let hunted = hunt.run(&Watch::default());
    let found = hunted.unwrap_or_else(|failure| panic!("{failure}")).found;
    let found = found.unwrap_or_else(|| panic!("nothing was found"));
    let mut file = ReplayFile {
        scenario,
        variant,
        config: hunt.config,
        granularity: found.granularity,
        memory: found.memory,
        refusals: found.refusals.clone(),
        program: None,
        wire: Wire::default(),
        races: Races::Stop,
        schedule: Vec::new(),
    };
    let mut machine = Machine::new();
    assert!(file.boot(&mut machine).is_ok());
    (_, file.schedule) = name_schedule(&mut machine, &found.deviations, &LIMITS);
    assert!(file.schedule.len() > 1, "nothing could be taken away");
    file
}

#[test]
fn a_file_is_minimized_to_what_is_needed_in_its_place_or_on_the_standard_output() {
    let scratch = Scratch::new("minimize");
    let file = scratch.file("long.replay", &as_found().to_string());
    let printed = rumplab(&["minimize", &file]);
    assert_eq!(printed.status, Some(1), "{}", printed.err);
    let departures = |text: &str| text.matches("  before ").count();
    assert_eq!(departures(&printed.out), 1, "{}", printed.out);
    let ran = rumplab(&["minimize", &file, "--out", &file]);
    assert_eq!(ran.status, Some(1), "{}", ran.err);
    assert!(
        ran.out.contains("minimized to 1 forced switch"),
        "{}",
        ran.out
    );
    assert!(
        ran.out.contains(
            "SCENARIO ASSERTION lost-update FAILED in lost-update, needs 1 forced switch"
        ),
        "{}",
        ran.out
    );
    assert_eq!(
        fs::read_to_string(&file).ok().as_deref(),
        Some(&*printed.out)
    );
    assert_eq!(rumplab(&["replay", &file]).status, Some(1));
    // The least that it may take still gives a file that fails.
    let long = scratch.file("long.replay", &as_found().to_string());
    let bounded = rumplab(&["minimize", &long, "--runs", "1"]);
    assert_eq!(bounded.status, Some(1), "{}", bounded.err);
    assert!(departures(&bounded.out) >= 1);
}

const PASSES: &str =
    "rumplab-replay 1\nscenario lost-update\nvariant fixed\ncpus 2\nxcall native\nschedule\nend\n";

#[test]
fn a_run_that_passes_is_not_minimized() {
    let scratch = Scratch::new("passes");
    let file = scratch.file("fair.replay", PASSES);
    let ran = rumplab(&["minimize", &file]);
    assert_eq!((ran.status, ran.out.as_str()), (Some(2), ""));
    assert!(ran.err.contains("does not fail"), "{}", ran.err);
    assert_eq!(rumplab(&["explain", &file, "--html"]).status, Some(0));
}

/// A directory of what hunts with these seeds and this old code find, as they found it.
fn campaign(name: &str, history: &str, seeds: &[&str]) -> Scratch {
    let scratch = Scratch::new(name);
    let directory = scratch.0.display().to_string();
    for seed in seeds {
        let arguments = ["run", "ops", "--history", history, "--as-found"];
        let more = ["--seed", seed, "--out", &directory];
        let ran = rumplab(&[&arguments[..], &more[..]].concat());
        assert_eq!(ran.status, Some(1), "{}", ran.err);
    }
    scratch
}

#[test]
fn runs_that_need_the_same_old_code_are_one_finding_whatever_they_look_like() {
    // All with the old code of another bug too, which none of them needs.
    let history = "arptimer-pending,perform-holds-mutex";
    let scratch = campaign("needs", history, &["1", "2", "10", "11"]);
    let directory = scratch.0.display().to_string();
    let ran = rumplab(&["triage", &directory]);
    assert_eq!(ran.status, Some(1), "{}", ran.err);
    for words in [
        "   4  ops fixed: needs arptimer-pending\n",
        "the handler of a timer that is pending again returns with its reference",
        "         3  API contract llentry-references: by l*, in kmod/src/net/llatbl.rs",
        "         1  API contract llentry-references: by l*, in kmod/src/net/arp.rs",
        "1 finding in 4 files",
    ] {
        assert!(ran.out.contains(words), "`{words}` is not in:\n{}", ran.out);
    }
    let looks = rumplab(&["triage", &directory, "--no-ablation"]);
    assert!(looks.out.contains("2 findings in 4 files"), "{}", looks.out);
}

#[test]
fn two_bugs_are_two_findings_by_their_looks() {
    let seeds = ["1", "2", "3", "4", "5", "6", "15", "43", "77"];
    let scratch = campaign("looks", "xcall-tailp,switch-ignores-bound", &seeds);
    let directory = scratch.0.display().to_string();
    let ran = rumplab(&["triage", &directory, "--no-ablation"]);
    assert_eq!(ran.status, Some(1), "{}", ran.err);
    // Which of the two a seed meets first is the strategies' affair. Both are met, and no file is left out.
    let files = |looks: &str| -> usize {
        let at = ran
            .out
            .find(looks)
            .unwrap_or_else(|| panic!("`{looks}` is not in:\n{}", ran.out));
        let count = ran.out[..at]
            .lines()
            .last()
            .expect("the count stands before it");
        count.trim().parse().expect("it is a number")
    };
    let early = files(
        "  ops fixed: API contract xcall-early\n      by l*, in kmod/src/kern/xcall/owed.rs\n",
    );
    let moved = files(
        "  ops fixed: scenario assertion bound-moved\n      by l*, in kmod/src/scenario/promise.rs\n",
    );
    assert_eq!(early + moved, seeds.len(), "{}", ran.out);
    assert!(ran.out.contains("2 findings in 9 files"), "{}", ran.out);
}

#[test]
fn a_directory_is_folded_into_findings() {
    let scratch = Scratch::new("triage");
    let directory = scratch.0.display().to_string();
    let empty = rumplab(&["triage", &directory]);
    assert_eq!((empty.status, empty.out.as_str()), (Some(2), ""));
    assert!(empty.err.contains("no file *.replay"), "{}", empty.err);

    scratch.file("d-damaged.replay", "nonsense\n");
    let damaged = rumplab(&["triage", &directory]);
    assert_eq!(damaged.status, Some(2));
    assert!(
        damaged.out.contains("d-damaged.replay: "),
        "{}",
        damaged.out
    );
    assert!(
        damaged.err.contains("1 of the files do not replay"),
        "{}",
        damaged.err
    );
    assert!(fs::remove_file(scratch.0.join("d-damaged.replay")).is_ok());

    scratch.file("c-passes.replay", PASSES);
    let nothing = rumplab(&["triage", &directory]);
    assert_eq!(nothing.status, Some(0), "{}", nothing.err);
    assert!(
        nothing.out.contains("0 findings in 0 files"),
        "{}",
        nothing.out
    );

    scratch.file("a-long.replay", &as_found().to_string());
    let short = fs::read_to_string(kept("lost-update.replay")).unwrap_or_default();
    scratch.file("b-short.replay", &short);
    let abba = fs::read_to_string(kept("abba.replay")).unwrap_or_default();
    scratch.file("abba.replay", &abba);
    scratch.file("d-damaged.replay", "nonsense\n");
    scratch.file("notes.txt", "not looked at\n");
    let ran = rumplab(&["triage", &directory]);
    assert_eq!(ran.status, Some(1), "{}", ran.err);
    for words in [
        "   2  lost-update: scenario assertion lost-update",
        "b-short.replay (1 forced switch)",
        "   1  abba: deadlock",
        "cycle: b => a => b",
        "2 findings in 3 files",
        "c-passes.replay: passes",
        "d-damaged.replay: ",
    ] {
        assert!(ran.out.contains(words), "`{words}` is not in:\n{}", ran.out);
    }
    assert!(!ran.out.contains("notes.txt"), "{}", ran.out);
    assert_eq!(ran.out, rumplab(&["triage", &directory]).out);
    let nowhere = format!("{directory}/nowhere");
    let missing = rumplab(&["triage", &nowhere]);
    assert_eq!(missing.status, Some(2));
    assert!(missing.err.contains(&format!("cannot read {nowhere}")));
}
