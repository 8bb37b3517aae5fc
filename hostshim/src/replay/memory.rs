//! The lines from `allocations` on.

use super::diagnostic::{Diagnostic, Position};
use super::parse::{Lines, occurrence};
use super::token::Line;
use crate::schedule::Refusal;

/// The allocations that fail, with their positions; none if the next line is not `allocations`.
pub(super) fn parse(lines: &mut Lines<'_>) -> Result<(Vec<Refusal>, Vec<Position>), Diagnostic> {
    let (mut refusals, mut places) = (Vec::new(), Vec::new());
    if !lines.peek().is_some_and(|word| word.is("allocations")) {
        return Ok((refusals, places));
    }
    let mut line = lines.next("`allocations`")?;
    let word = line.expect("allocations")?;
    line.finish()?;
    while lines
        .peek()
        .is_some_and(|word| !word.is("schedule") && !word.is("end"))
    {
        let (refusal, at) = refusal(lines.next("an allocation")?)?;
        if refusals.contains(&refusal) {
            let message = format!("`{refusal}` stands here twice");
            return Err(Diagnostic::new(
                at,
                message,
                "take one of the two lines away",
            ));
        }
        refusals.push(refusal);
        places.push(at);
    }
    if refusals.is_empty() {
        return Err(word.error(
            "no allocation fails",
            "take the line away: it is written if an allocation fails",
        ));
    }
    Ok((refusals, places))
}

/// `r1 rtentry #2 fails`
fn refusal(mut line: Line<'_>) -> Result<(Refusal, Position), Diagnostic> {
    let context = line.next("the name of a context")?;
    let what = line.next("the name of an object")?;
    let occurrence = match occurrence(&line.next("`#` and a number")?)? {
        0 => {
            let help = "the first allocation of an object by its context is #1";
            return Err(what.error("allocations are counted from 1", help));
        }
        number => number,
    };
    line.expect("fails")?;
    line.finish()?;
    let at = context.at;
    let refusal = Refusal {
        context: context.text.into_owned(),
        what: what.text.into_owned(),
        occurrence,
    };
    Ok((refusal, at))
}
