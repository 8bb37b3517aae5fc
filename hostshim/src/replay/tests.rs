//! Parsing and printing: round trips, each mistake with its position, and damaged files.

use super::*;
use crate::registry::Registry;
use crate::strategy::Rng;

const FILE: &str = "\
rumplab-replay 1
scenario ops
variant historical
cpus 3
xcall rump
timeslice_ticks 3
softint_handlers 16
program
  l0 mutex_enter 1
  l0 mutex_exit
  l5 callout_reset 2
schedule
  before r1 on cpu0 mutex_enter xc_low.xc_lock #3: cpu1 steps
  before \"a \\\"b\\\" \\\\\" on cpu2 load \"xcall request#0+8\" #1 look 2: cpu0 takes clock
  before idle/1 on cpu1 wait #0: cpu2 takes ipi
  before l2 on cpu1 spin #12: cpu0 defers ipi
end
";

fn read(text: &str) -> Result<Parsed, Diagnostic> {
    Parsed::read(text.as_bytes(), Registry::kmod())
}

/// The position and message for what is wrong with `text`.
fn wrong(text: &str) -> (usize, usize, String) {
    match read(text) {
        Ok(_) => panic!("this reads as a file:\n{text}"),
        Err(Diagnostic { at, message, help }) => {
            assert!(!help.is_empty(), "no help: {message}");
            (at.line, at.column, message)
        }
    }
}

#[test]
fn a_canonical_file_prints_as_itself() {
    let parsed = read(FILE).unwrap_or_else(|wrong| panic!("{wrong}"));
    assert_eq!(parsed.file.to_string(), FILE);
    assert_eq!(parsed.file.config.ncpu, 3);
    assert_eq!(parsed.file.config.timeslice_ticks, 3);
    assert_eq!(parsed.file.config.history, parsed.file.variant.history);
    assert_eq!(parsed.file.schedule[1].point.context, "a \"b\" \\");
    assert_eq!(parsed.file.schedule[1].point.look, 2);
}

#[test]
fn what_becomes_of_races_is_kept() {
    let with = |races: &str| {
        let after = "softint_handlers 16\n";
        FILE.replace(after, &format!("{after}races {races}\n"))
    };
    for races in ["pass", "until read table.c:12", "until rmw \"a b.c\":1"] {
        let text = with(races);
        let parsed = read(&text).unwrap_or_else(|wrong| panic!("{wrong}"));
        assert_eq!(parsed.file.to_string(), text);
        assert_ne!(parsed.file.races, Races::Stop);
    }
    let wrong = |races: &str| wrong(&with(races));
    let (line, column, message) = wrong("go");
    assert_eq!((line, column), (8, 7));
    assert_eq!(message, "expected `pass` or `until`, found `go`");
    assert!(wrong("until reads t.c:1").2.contains("expected an access"));
    assert!(wrong("until read t.c").2.contains("expected `:`"));
    assert!(wrong("until read t.c:01").2.contains("is not a number"));
    assert!(
        wrong("pass pass")
            .2
            .contains("expected the end of the line")
    );
}

#[test]
fn every_knob_is_kept() {
    for knob in &knobs::KNOBS {
        let mut parsed = read(FILE).unwrap_or_else(|wrong| panic!("{wrong}"));
        let usual = (knob.get)(&Config::small(3));
        let other = if usual == *knob.range.start() {
            usual + 1
        } else {
            usual - 1
        };
        (knob.set)(&mut parsed.file.config, other);
        let again = read(&parsed.file.to_string()).unwrap_or_else(|wrong| panic!("{wrong}"));
        assert_eq!((knob.get)(&again.file.config), other, "{}", knob.name);
    }
}

#[test]
fn comments_blanks_and_line_ends_are_read_and_not_kept() {
    let untidy = FILE.replace("schedule\n", "\n# why\r\n   schedule   \r\n\t# because\n\n");
    let parsed = read(&untidy).unwrap_or_else(|wrong| panic!("{wrong}"));
    assert_eq!(parsed.file.to_string(), FILE);
}

#[test]
fn a_knob_at_its_usual_value_is_not_printed() {
    let usual = Config::small(3).timeslice_ticks;
    let text = FILE.replace("timeslice_ticks 3", &format!("timeslice_ticks {usual}"));
    let parsed = read(&text).unwrap_or_else(|wrong| panic!("{wrong}"));
    assert_eq!(
        parsed.file.to_string(),
        FILE.replace("timeslice_ticks 3\n", "")
    );
}

/// Old text, new text, the word of the damaged line where the mistake is found (empty: at its end), and the message.
type Mistake = (&'static str, &'static str, &'static str, &'static str);

const MISTAKES: &[Mistake] = &[
    (
        "rumplab-replay 1",
        "#!/bin/sh\nx",
        "x",
        "this is not a replay file",
    ),
    (
        "replay 1",
        "replay 2",
        "2",
        "version 2 of the form is not known",
    ),
    (
        "scenario ops",
        "scenario opps",
        "opps",
        "there is no scenario `opps`",
    ),
    (
        "variant historical",
        "variant old",
        "old",
        "the scenario ops has no variant `old`",
    ),
    (
        "cpus 3",
        "cpus 17",
        "17",
        "the scenario ops cannot have 17 CPUs",
    ),
    ("cpus 3", "cpus 03", "03", "`03` is not a number"),
    (
        "cpus 3",
        "cpus",
        "",
        "expected a value for `cpus`, found the end of the line",
    ),
    (
        "cpus 3",
        "cpus 3 4",
        "4",
        "expected the end of the line, found `4`",
    ),
    (
        "xcall rump",
        "xcall both",
        "both",
        "there is no wiring `both`",
    ),
    (
        "handlers 16",
        "handlers 99",
        "99",
        "`softint_handlers` cannot be 99",
    ),
    (
        "softint_handlers 16",
        "timeslice_ticks 4",
        "timeslice",
        "`timeslice_ticks` stands too late, or twice",
    ),
    (
        "l0 mutex_exit",
        "l9 mutex_exit",
        "l9",
        "expected an LWP, or `schedule`, found `l9`",
    ),
    (
        "l0 mutex_exit",
        "l0 mutex_quit",
        "mutex_quit",
        "`mutex_quit`: no such operation",
    ),
    (
        "callout_reset 2",
        "callout_reset 9",
        "9",
        "`9`: out of range",
    ),
    (
        "callout_reset 2",
        "callout_reset",
        "",
        "expected an operand, found the end of the line",
    ),
    (
        "before r1",
        "after r1",
        "after",
        "expected `before`, or `end`, found `after`",
    ),
    (
        "r1 on cpu0",
        "r1 on cpu3",
        "cpu3",
        "there is no `cpu3` here",
    ),
    (
        "mutex_enter xc",
        "mutex_entr xc",
        "mutex_entr",
        "there is no operation `mutex_entr`",
    ),
    (
        "xc_low.xc_lock #3",
        "#3",
        "#3",
        "expected the name of an object, found `#3`",
    ),
    (
        "#3: cpu1",
        "3: cpu1",
        "3: cpu1",
        "expected `#` and a number, found `3`",
    ),
    ("#3: cpu1", "#3 cpu1", "cpu1", "expected `:`, found `cpu1`"),
    (
        "look 2",
        "look 1",
        "1: cpu0",
        "the first look is not written",
    ),
    (
        "takes clock",
        "takes disk",
        "disk",
        "there is no interrupt line `disk`",
    ),
    (
        "cpu1 steps",
        "cpu1 jumps",
        "jumps",
        "expected `steps`, `takes`, `defers`, `delays` or `drains`, found `jumps`",
    ),
    (
        "\"xcall request#0+8\"",
        "\"xcall",
        "\"xcall",
        "a quote that does not end on its line",
    ),
    ("\\\\", "\\n", "\\n", "an unknown escape"),
    ("r1 on", "r1? on", "? on", "a stray '?'"),
    ("end\n", "end\nmore\n", "more", "something follows `end`"),
];

#[test]
fn every_mistake_has_its_place() {
    for (from, to, word, expected) in MISTAKES {
        assert_eq!(FILE.matches(from).count(), 1, "{from}");
        let text = FILE.replace(from, to);
        let (number, column, message) = wrong(&text);
        let line = text.lines().nth(number - 1).unwrap_or("");
        let place = if word.is_empty() {
            Some(line.len())
        } else {
            line.find(word)
        };
        assert_eq!(message, *expected);
        assert_eq!(
            Some(column),
            place.map(|offset| offset + 1),
            "{message}: {line}"
        );
    }
}

#[test]
fn a_file_without_an_end_was_cut() {
    let text = FILE.replace("end\n", "");
    assert_eq!(
        wrong(&text),
        (17, 1, "the file ends before the line `end`".to_owned())
    );
}

#[test]
fn a_program_needs_a_scenario_that_runs_it() {
    let text = FILE.replace("scenario ops", "scenario xcall-early-count");
    assert_eq!(
        wrong(&text),
        (
            8,
            1,
            "the scenario xcall-early-count takes no program".to_owned()
        )
    );
}

#[test]
fn what_is_not_text_has_a_place_too() {
    let mut bytes = FILE.as_bytes().to_vec();
    let at = FILE.find("rump\n").unwrap_or(0);
    bytes[at] = 0xff;
    let wrong = Parsed::read(&bytes, Registry::kmod())
        .err()
        .map(|wrong| (wrong.at.line, wrong.at.column));
    // The first `rump` is at the very beginning of the file.
    assert_eq!(wrong, Some((5, 7)));
}

#[test]
fn every_cut_file_is_refused_with_its_last_place() {
    for length in 0..FILE.len() - 1 {
        let (line, column, message) = wrong(&FILE[..length]);
        let lines = FILE[..length].lines().count();
        assert!(
            line <= lines + 1,
            "cut at {length}: {line}:{column}: {message}"
        );
        assert!(
            line >= lines.min(1),
            "cut at {length}: {line}:{column}: {message}"
        );
    }
    assert!(
        read(FILE.trim_end()).is_ok(),
        "only the last line end is missing"
    );
}

/// A damaged file is refused with a position inside it, or it is parsed; then it prints as something that parses to
/// the same.
#[test]
fn damaged_files_never_do_worse_than_be_refused() {
    let (mut refused, mut read) = (0, 0);
    for number in 0..20_000 {
        let damaged = damage(FILE, &mut Rng::new(1, number));
        match Parsed::read(&damaged, Registry::kmod()) {
            Err(wrong) => {
                let lines = damaged.iter().filter(|byte| **byte == b'\n').count() + 1;
                assert!((1..=lines + 1).contains(&wrong.at.line), "{wrong}");
                assert!(wrong.at.column >= 1, "{wrong}");
                refused += 1;
            }
            Ok(parsed) => {
                let printed = parsed.file.to_string();
                let again = Parsed::read(printed.as_bytes(), Registry::kmod())
                    .map(|again| again.file.to_string());
                assert_eq!(again.as_ref(), Ok(&printed));
                read += 1;
            }
        }
    }
    assert!(
        refused > 1000,
        "{refused} of the damaged files were refused"
    );
    assert!(read > 100, "{read} of the damaged files could be read");
}

/// Changes a few bytes, words or lines.
fn damage(text: &str, rng: &mut Rng) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    for _ in 0..=rng.below(2) {
        let at = rng.below(bytes.len() as u64) as usize;
        let to = (at + rng.below(12) as usize).min(bytes.len());
        match rng.below(5) {
            0 => bytes[at] = rng.bits() as u8,
            1 => bytes[at] = b" \n#\":\\0123cpul"[rng.below(14) as usize],
            2 => drop(bytes.drain(at..to)),
            3 => {
                let copy = bytes[at..to].to_vec();
                let place = rng.below(bytes.len() as u64) as usize;
                bytes.splice(place..place, copy);
            }
            _ => bytes.truncate(at.max(1)),
        }
        if bytes.is_empty() {
            return bytes;
        }
    }
    bytes
}

/// A file with a wire and these lines.
fn with_wire(lines: &str) -> String {
    FILE.replace("softint_handlers 16\n", "softint_handlers 16\nnics 2\n")
        .replace("schedule\n", &format!("wire\n{lines}schedule\n"))
}

#[test]
fn a_file_with_a_wire_prints_as_itself() {
    let text = with_wire("  frame 1 00ff7e\n  frame 0 0a\n  lost 0\n  late 1\n  twice 12\n");
    let parsed = read(&text).unwrap_or_else(|wrong| panic!("{wrong}"));
    assert_eq!(parsed.file.wire.frames[0].bytes, [0, 0xff, 0x7e]);
    assert_eq!(parsed.file.to_string(), text);
}

#[test]
fn what_is_wrong_on_a_wire_is_said_with_its_place() {
    let cases = [
        ("", 13, "nothing happens"),
        ("  frame 2 00\n", 14, "no card 2"),
        ("  frame 1 0\n", 14, "not the bytes"),
        ("  frame 1 0G\n", 14, "not the bytes"),
        ("  frame 1\n", 14, "the bytes of the frame"),
        ("  frame 1 00 00\n", 14, ""),
        ("  lost 3\n  late 3\n", 15, "twice"),
        ("  lost 3\n  late 2\n", 15, "too late"),
        ("  lost 3\n  frame 0 00\n", 15, "behind a mishap"),
        ("  list 3\n", 14, "called `list`"),
    ];
    for (lines, line, message) in cases {
        let (at, _, said) = wrong(&with_wire(lines));
        assert_eq!(at, line, "{lines}: {said}");
        assert!(said.contains(message), "{lines}: {said}");
    }
    let cardless = with_wire("  lost 1\n").replace("nics 2\n", "");
    assert!(wrong(&cardless).2.contains("no network cards"));
}

#[test]
fn the_granularity_is_written_down_if_it_is_fine() {
    let text = FILE.replace("program\n", "granularity fine\nprogram\n");
    let parsed = read(&text).unwrap_or_else(|wrong| panic!("{wrong}"));
    assert_eq!(parsed.file.granularity, Granularity::Fine);
    assert_eq!(parsed.file.to_string(), text);
    for other in ["coarse", "finer"] {
        let (at, _, said) =
            wrong(&text.replace("granularity fine", &format!("granularity {other}")));
        assert_eq!(at, 8, "{said}");
        assert!(said.contains(other), "{said}");
    }
}

#[test]
fn a_memory_with_store_buffers_is_written_down() {
    let lines = "granularity fine\nmemory tso\nprogram\n";
    let actions = "  before l0 on cpu0 store x #1: cpu0 delays\n  before l0 on cpu0 load y #1: cpu1 drains\nend\n";
    let text = FILE.replace("program\n", lines).replace("end\n", actions);
    let parsed = read(&text).unwrap_or_else(|wrong| panic!("{wrong}"));
    assert_eq!(parsed.file.memory, MemoryModel::Tso);
    assert_eq!(parsed.file.to_string(), text);
    for other in ["sc", "arm"] {
        let (at, _, said) = wrong(&text.replace("memory tso", &format!("memory {other}")));
        assert_eq!(at, 9, "{said}");
        assert!(said.contains(other), "{said}");
    }
    let (_, _, said) = wrong(&text.replace("memory tso\n", ""));
    assert!(said.contains("`cpu0 delays`"), "{said}");
    let (_, _, said) = wrong(&text.replace("cpu1 drains", "cpu1 pours"));
    assert!(said.contains("`drains`"), "{said}");
}

#[test]
fn a_digest_never_changes() {
    // FNV-1a of nothing is its offset basis, of "a" 0xaf63dc4c8601ec8c.
    assert_eq!(digest(""), 0xcbf2_9ce4 ^ 0x8422_2325);
    assert_eq!(digest("a"), 0xaf63_dc4c ^ 0x8601_ec8c);
}

/// A file with allocations that fail.
fn with_allocations(lines: &str) -> String {
    FILE.replace("schedule\n", &format!("allocations\n{lines}schedule\n"))
}

#[test]
fn allocations_that_fail_are_written_down() {
    let text = with_allocations("  l2 rtentry #1 fails\n  softnet/0 \"pcq slots\" #12 fails\n");
    let parsed = read(&text).unwrap_or_else(|wrong| panic!("{wrong}"));
    assert_eq!(parsed.file.refusals[1].what, "pcq slots");
    assert_eq!(parsed.file.refusals[1].occurrence, 12);
    assert_eq!(parsed.file.to_string(), text);
    let after_wire = with_wire("  lost 1\n").replace(
        "schedule\n",
        "allocations\n  l2 rtentry #1 fails\nschedule\n",
    );
    let parsed = read(&after_wire).unwrap_or_else(|wrong| panic!("{wrong}"));
    assert_eq!(parsed.file.to_string(), after_wire);
}

#[test]
fn what_is_wrong_with_allocations_is_said_with_its_place() {
    let first = wrong(&with_allocations("")).0;
    let cases = [
        ("", 0, "no allocation fails"),
        ("  l2 rtentry #0 fails\n", 1, "counted from 1"),
        ("  l2 rtentry fails\n", 1, "`#` and a number"),
        ("  l2 rtentry #1\n", 1, "`fails`"),
        ("  l2 rtentry #1 fails twice\n", 1, "the end of the line"),
        (
            "  l2 m #1 fails\n  l2 m #2 fails\n  l2 m #1 fails\n",
            3,
            "twice",
        ),
    ];
    for (lines, line, message) in cases {
        let (at, _, said) = wrong(&with_allocations(lines));
        assert_eq!(at, first + line, "{lines}: {said}");
        assert!(said.contains(message), "{lines}: {said}");
    }
}
