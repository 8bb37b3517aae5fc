//! The table of `rumplab hunt`, and the rows that are not as expected.

use std::path::Path;

use super::hunt::{Row, World};
use super::results::Outcome;
use super::terminal;
use crate::files::for_shell;
use crate::report::{Role, Text};

/// Prints the table of the rows that were made of `wanted`, and in words what is wrong: that comes last.
pub(super) fn print(rows: &[Row], wanted: usize, out: &Path, stopped: bool) {
    let mut text = Text::default();
    text.gap();
    table(rows, &mut text);
    rows.iter().for_each(|row| cycles(row, &mut text));
    if rows.iter().any(|row| row.simulated.page.is_some()) {
        let line = format!("a page for each failure: {}/*.html", for_shell(out));
        text.add(Role::Plain, line);
    }
    if stopped {
        let line = format!(
            "stopped: {} of {wanted} variants were tried on the simulated machine",
            rows.len()
        );
        text.add(Role::Plain, line);
    }
    verdict(rows, stopped, &mut text);
    terminal::print(&text);
}

/// The width of a column.
fn width<'a>(head: &str, cells: impl Iterator<Item = &'a str>) -> usize {
    cells.fold(head.len(), |width, cell| width.max(cell.chars().count()))
}

/// Characters of the widest cell. What is longer is an error, which the last lines have in full.
const WIDEST: usize = 60;

fn cell(world: &World) -> &str {
    match world.text.chars().count() > WIDEST {
        true => "error: see the last lines",
        false => &world.text,
    }
}

fn table(rows: &[Row], text: &mut Text) {
    let heads = ["scenario", "variant", "simulated"];
    let scenarios = width(heads[0], rows.iter().map(|row| row.scenario.name));
    let variants = width(heads[1], rows.iter().map(|row| row.variant.name));
    let simulated = width(heads[2], rows.iter().map(|row| cell(&row.simulated)));
    let [head0, head1, head2] = heads;
    text.add(
        Role::Heading,
        format!("{head0:scenarios$}  {head1:variants$}  {head2:simulated$}  booted on 4 CPUs"),
    );
    for row in rows {
        let line = format!(
            "{:scenarios$}  {:variants$}  {:simulated$}  {}",
            row.scenario.name,
            row.variant.name,
            cell(&row.simulated),
            cell(&row.booted)
        );
        let line = line.trim_end();
        match row.is_right() {
            true => text.add(Role::Plain, line),
            false => text.add(Role::Failure, format!("{line}  <- unexpected")),
        }
    }
}

/// The cycles of a row, once if both machines have the same.
fn cycles(row: &Row, text: &mut Text) {
    let mut say = |worlds: &str, cycle: &str| {
        text.add(Role::Plain, format!("{}, {worlds}: {cycle}", row.name()));
    };
    match (&row.simulated.cycle, &row.booted.cycle) {
        (Some(one), Some(other)) if one == other => say("both worlds", one),
        (simulated, booted) => {
            simulated.iter().for_each(|cycle| say("simulated", cycle));
            booted.iter().for_each(|cycle| say("booted", cycle));
        }
    }
}

/// Says that everything is as expected, or what is not, one line each.
fn verdict(rows: &[Row], stopped: bool, text: &mut Text) {
    let wrong = Vec::from_iter(rows.iter().filter(|row| !row.is_right()));
    if wrong.is_empty() {
        let line = match stopped {
            true => "everything that was tried behaved as expected",
            false => "every variant that must fail fails, every other one holds",
        };
        return text.add(Role::Success, line);
    }
    text.add(
        Role::Failure,
        format!(
            "{} of {} variants did not behave as expected:",
            wrong.len(),
            rows.len()
        ),
    );
    for row in wrong {
        for (machine, world) in row.worlds() {
            if !world.is_right(row.variant) {
                let line = format!("  {}, {machine}: {}", row.name(), reason(world));
                text.add(Role::Failure, line);
            }
        }
    }
}

/// What is wrong with what came of a variant.
fn reason(world: &World) -> String {
    let what = &world.text;
    match world.outcome {
        Outcome::NotReproduced => format!("the bug of this variant was {what}"),
        Outcome::Failed => format!("{what}, but this variant must hold"),
        _ => what.clone(),
    }
}

#[cfg(test)]
mod tests {
    use crate::registry::Registry;

    use super::*;

    fn row(variant: &str, simulated: World, booted: World) -> Row {
        let scenario = Registry::kmod()
            .find("xcall-early-count")
            .expect("it is there");
        let variant = scenario.variant(variant).expect("it has it");
        Row {
            scenario,
            variant,
            must_fail: variant.fails,
            simulated,
            booted,
        }
    }

    fn lines(rows: &[Row]) -> Vec<String> {
        let mut text = Text::default();
        verdict(rows, false, &mut text);
        text.lines().map(|(_, line)| line.to_owned()).collect()
    }

    #[test]
    fn the_last_lines_name_each_row_that_is_wrong_and_why() {
        let held = || World::new(Outcome::Held, "held over 100 schedules");
        let failed = || World::failed("deadlock after 3 schedules", "");
        let good = [
            row("fixed", held(), World::skipped()),
            row("historical", failed(), failed()),
        ];
        assert_eq!(
            lines(&good),
            ["every variant that must fail fails, every other one holds"]
        );
        let quiet = World::quiet(
            good[1].variant,
            "held: 5 rounds".to_owned(),
            "not reproduced in 60 s: 5 rounds".to_owned(),
        );
        let [fixed, _] = good;
        let broken = World::new(Outcome::Broken, "the boot ended with status 3");
        let bad = [
            fixed,
            row("historical", failed(), quiet),
            row("fixed", failed(), broken),
        ];
        assert_eq!(
            lines(&bad),
            [
                "2 of 3 variants did not behave as expected:",
                "  xcall-early-count historical, booted: the bug of this variant was not reproduced in 60 s: 5 rounds",
                "  xcall-early-count fixed, simulated: deadlock after 3 schedules, but this variant must hold",
                "  xcall-early-count fixed, booted: the boot ended with status 3",
            ]
        );
        let mut table_text = Text::default();
        table(&bad, &mut table_text);
        let marked = table_text.lines();
        let marked = marked.filter(|(_, line)| line.ends_with("<- unexpected"));
        assert_eq!(marked.count(), 2);
    }

    #[test]
    fn a_long_error_does_not_widen_the_table() {
        let error = "it failed in one way, and in another way when it was repeated".repeat(3);
        let rows = [row(
            "historical",
            World::new(Outcome::Broken, error.as_str()),
            World::skipped(),
        )];
        let mut text = Text::default();
        table(&rows, &mut text);
        assert!(text.lines().all(|(_, line)| line.chars().count() < 120));
        assert!(lines(&rows)[1].contains(&error));
    }
}
