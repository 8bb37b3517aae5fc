//! Drawings of hand-written traces.

use kmod::machine::Kind;
use kmod::mem::Ordering;

use super::event::{fit, short_deed};
use super::*;
use crate::machine::{Access, Outcome, TraceEvent, Verdict, What};
use crate::names::{Action, Departure, PointName};

fn event(point: u64, cpu: usize, context: &str, what: What) -> TraceEvent {
    TraceEvent {
        point,
        cpu,
        context: context.to_owned(),
        ipl: 0,
        what,
        occurrence: 0,
    }
}

fn load(object: &str) -> Access {
    Access {
        kind: Kind::Load,
        order: Ordering::Acquire,
        object: object.to_owned(),
        location: "kmod/src/kern/xcall.rs:7".to_owned(),
    }
}

fn departure(cpu: usize) -> Departure {
    let point = PointName {
        context: "r0".to_owned(),
        cpu: 0,
        what: "load".to_owned(),
        object: "x".to_owned(),
        occurrence: 1,
        look: 1,
    };
    Departure {
        point,
        action: Action::Steps(cpu),
    }
}

fn passed() -> Outcome {
    Outcome {
        verdict: Verdict::Passed,
        steps: 1,
        points: 1,
        ticks: 0,
    }
}

fn draw(cpus: usize, trace: &[TraceEvent], points: &[u64]) -> String {
    let departures = vec![departure(1); points.len()];
    let outcome = passed();
    let story = Story {
        cpus,
        outcome: &outcome,
        trace,
        departures: &departures,
        points,
    };
    columns(&story, 46).to_string()
}

#[test]
fn each_cpu_has_a_column_and_a_departure_stands_where_it_took_effect() {
    let trace = [
        event(0, 0, "r0", What::Op(load("x"))),
        event(0, 0, "r0", What::Fused(load("inside"))),
        event(1, 1, "r1", What::Op(load("y"))),
        event(2, 1, "r1", What::Note("done".to_owned())),
    ];
    let expected = "   step  cpu0                                          cpu1
      0  r0: load.acquire x #1                                                                         kmod/src/kern/xcall.rs:7
   >>> switch to cpu1 here, just before r0 on cpu0 loads x
      1                                                r1: load.acquire y #1                           kmod/src/kern/xcall.rs:7
      2                                                  \"done\"
";
    assert_eq!(draw(2, &trace, &[1]), expected);
}

#[test]
fn a_long_trace_is_drawn_in_part_and_the_rest_is_counted() {
    let mut trace: Vec<_> = (0..1000)
        .map(|n| event(n, (n % 2) as usize, "r", What::Op(load("x"))))
        .collect();
    trace.push(event(1000, 0, "last", What::Wait));
    let drawing = draw(2, &trace, &[100, 500, 900]);
    assert!(drawing.lines().count() <= 41, "{drawing}");
    assert_eq!(drawing.matches(">>>").count(), 3, "{drawing}");
    let shown = drawing
        .lines()
        .filter(|line| line.contains("load.acquire"))
        .count();
    let skipped: usize = drawing
        .lines()
        .filter_map(|line| {
            line.trim()
                .strip_prefix("…  ")?
                .split(' ')
                .next()?
                .parse::<usize>()
                .ok()
        })
        .sum();
    assert_eq!(shown + skipped, 1000, "{drawing}");
}

#[test]
fn so_many_departures_that_they_do_not_fit_are_counted_too() {
    let trace: Vec<_> = (0..1000)
        .map(|n| event(n, (n % 2) as usize, "r", What::Op(load("x"))))
        .collect();
    let points: Vec<u64> = (100..900).collect();
    let drawing = draw(2, &trace, &points);
    assert!(drawing.lines().count() <= 41, "{drawing}");
    assert_eq!(drawing.matches(">>>").count(), 8, "{drawing}");
    assert!(
        drawing.contains(" and 792 more forced switches"),
        "{drawing}"
    );
}

#[test]
fn many_cpus_are_told_by_number() {
    let trace: Vec<_> = (0..6)
        .map(|n| event(n, n as usize, "r", What::Op(load("x"))))
        .collect();
    let drawing = draw(6, &trace, &[]);
    for cpu in 0..6 {
        assert!(
            drawing.contains(&format!("cpu{cpu} r: load.acquire x #1")),
            "{drawing}"
        );
    }
}

#[test]
fn nothing_is_wider_than_it_may_be() {
    let long = event(
        0,
        0,
        "r",
        What::Op(load("cpu0.ci_schedstate.spc_queue.spc_lwplock")),
    );
    assert_eq!(
        short_deed(&long, 80),
        "load.acquire cpu0.ci_schedstate.spc_queue.spc_lwplock #1"
    );
    assert_eq!(
        short_deed(&long, 50),
        "load.acquire cpu0.…spc_queue.spc_lwplock #1"
    );
    assert_eq!(short_deed(&long, 35), "load.acquire cpu0.…spc_lwplock #1");
    let kernel = event(0, 0, "r", What::Op(load("kernel.xcall.xc_low_pri.xc_lock")));
    assert_eq!(
        short_deed(&kernel, 45),
        "load.acquire xcall.xc_low_pri.xc_lock #1"
    );
    assert_eq!(
        short_deed(&kernel, 36),
        "load.acquire …xc_low_pri.xc_lock #1"
    );
    assert_eq!(fit("abc", 5), "abc  ");
    assert_eq!(fit("abcdef", 5), "abcd…");
}

#[test]
fn lanes_and_details() {
    let trace = [
        event(7, 1, "r1", What::Op(load("x"))),
        event(7, 1, "r1", What::Fused(load("inside"))),
        event(8, 0, "idle/0", What::Interrupt(kmod::machine::Line::Ipi)),
        event(
            9,
            0,
            "idle/0",
            What::Switch {
                to: "r0".to_owned(),
            },
        ),
    ];
    let outcome = passed();
    let story = Story {
        cpus: 2,
        outcome: &outcome,
        trace: &trace,
        departures: &[],
        points: &[],
    };
    let text = lines(&story, Detail::Accesses).to_string();
    let expected =
        "  step 01 level      who    what                                             where
     7 |* none       r1     load.acquire x #1                                kmod/src/kern/xcall.rs:7
     7 |* none       r1     + load.acquire inside                            kmod/src/kern/xcall.rs:7
     8 !| none       idle/0 -> takes ipi
     9 =| none       idle/0 => r0
";
    assert_eq!(text, expected);
    assert_eq!(
        lines(&story, Detail::Steps).len(),
        lines(&story, Detail::Accesses).len() - 1
    );
}

#[test]
fn a_paragraph_is_broken_between_words() {
    let mut text = Text::default();
    text.wrap(Role::Plain, &["words"; 40].join("\n  "));
    let lengths: Vec<usize> = text.lines().map(|(_, line)| line.len()).collect();
    // Sixteen words of five letters, and fifteen blanks, are as many as fit into a hundred columns.
    assert_eq!(lengths, [95, 95, 47]);
}
