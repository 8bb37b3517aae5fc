//! Parses a replay file.

use kmod::config::Config;
use kmod::machine::{Kind, Line as IrqLine};

use super::diagnostic::{Diagnostic, Position};
use super::token::{Line, Token};
use super::{Parsed, Places, ReplayFile, header, memory, wire};
use crate::names::{Action, Departure, PointName, SPIN, WAIT};
use crate::registry::Registry;
use crate::schedule::MemoryModel;
use crate::suggest::nearest;

/// The lines of a file that are not blank.
pub(super) struct Lines<'a> {
    rest: std::vec::IntoIter<Line<'a>>,
    end: Position,
}

impl<'a> Lines<'a> {
    fn new(text: &'a str) -> Result<Lines<'a>, Diagnostic> {
        let mut lines = Vec::new();
        let mut count = 0;
        for (index, line) in text.lines().enumerate() {
            count = index + 1;
            lines.extend(Line::new(count, line)?);
        }
        let end = Position {
            line: count + 1,
            column: 1,
        };
        Ok(Lines {
            rest: lines.into_iter(),
            end,
        })
    }

    /// The next line, or the diagnostic that the file ends before `what`.
    pub(super) fn next(&mut self, what: &str) -> Result<Line<'a>, Diagnostic> {
        self.rest.next().ok_or_else(|| {
            let message = format!("the file ends before {what}");
            Diagnostic::new(
                self.end,
                message,
                "a whole file ends with the line `end`: this one was cut",
            )
        })
    }

    /// The first word of the next line.
    pub(super) fn peek(&self) -> Option<&Token<'a>> {
        self.rest.as_slice().first()?.peek()
    }
}

pub(super) fn parse(bytes: &[u8], registry: Registry<'_>) -> Result<Parsed, Diagnostic> {
    let text = str::from_utf8(bytes).map_err(|error| not_text(bytes, error.valid_up_to()))?;
    parse_text(text, registry).map_err(|diagnostic| suspect_cut(text, diagnostic))
}

/// An error on the last line of a file without an end is caused by the missing rest.
fn suspect_cut(text: &str, mut diagnostic: Diagnostic) -> Diagnostic {
    let last = text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
        .last();
    if last.is_some_and(|(index, line)| index + 1 == diagnostic.at.line && line.trim() != "end") {
        diagnostic.help += "; the file does not end with `end`, so it may have been cut";
    }
    diagnostic
}

fn parse_text(text: &str, registry: Registry<'_>) -> Result<Parsed, Diagnostic> {
    let mut lines = Lines::new(text)?;
    let header = header::parse(&mut lines, registry)?;
    let program = header::program(&mut lines, header.scenario)?;
    let wire = wire::parse(&mut lines, &header.config)?;
    let (refusals, refusals_at) = memory::parse(&mut lines)?;
    keyword(&mut lines, "schedule")?;
    let mut schedule = Vec::new();
    let mut places = Vec::new();
    while lines.peek().is_some_and(|word| !word.is("end")) {
        let line = lines.next("a departure")?;
        let (departure, place) = departure(line, &header.config)?;
        if header.memory == MemoryModel::Sc && departure.action.needs_buffers() {
            let (action, help) = (departure.action, "the line `memory tso` belongs above it");
            let message = format!("`{action}` is of store buffers, and this file has none");
            return Err(Diagnostic::new(place.action, message, help));
        }
        schedule.push(departure);
        places.push(place);
    }
    keyword(&mut lines, "end")?;
    if let Ok(mut line) = lines.next("nothing") {
        return Err(line
            .next("nothing")?
            .error("something follows `end`", "take it away"));
    }
    let header::Header {
        scenario,
        variant,
        config,
        granularity,
        memory,
        cpus_at,
        races,
    } = header;
    let file = ReplayFile {
        scenario,
        variant,
        config,
        granularity,
        memory,
        refusals,
        program,
        wire,
        races,
        schedule,
    };
    Ok(Parsed {
        file,
        cpus_at,
        places,
        refusals_at,
    })
}

fn not_text(bytes: &[u8], offset: usize) -> Diagnostic {
    let before = String::from_utf8_lossy(&bytes[..offset]);
    let at = Position {
        line: before.matches('\n').count() + 1,
        column: before
            .rsplit('\n')
            .next()
            .map_or(0, |last| last.chars().count())
            + 1,
    };
    Diagnostic::new(
        at,
        "this is not text",
        "a replay file is UTF-8 text: is it the right file?",
    )
}

fn keyword(lines: &mut Lines<'_>, word: &str) -> Result<(), Diagnostic> {
    let mut line = lines.next(&format!("the line `{word}`"))?;
    line.expect(word)?;
    line.finish()
}

/// `before r1 on cpu0 mutex_enter xc_low.xc_lock #3 look 2: cpu1 steps`
fn departure(mut line: Line<'_>, config: &Config) -> Result<(Departure, Places), Diagnostic> {
    let before = line.next("`before`, or `end`")?;
    if !before.is("before") {
        let help = "a departure is `before POINT: ACTION`, and `end` ends the file";
        return Err(before.wrong("`before`, or `end`", help));
    }
    let context = line.next("the name of a context")?;
    let point_at = context.at;
    line.expect("on")?;
    let cpu = cpu(&line.next("a CPU")?, config)?;
    let what = what(&line.next("an operation")?)?;
    let object = object(&mut line, &what)?;
    let occurrence = occurrence(&line.next("`#` and a number")?)?;
    let look = look(&mut line)?;
    line.expect(":")?;
    let (action, action_at) = action(&mut line, config)?;
    line.finish()?;
    let context = context.text.into_owned();
    let point = PointName {
        context,
        cpu,
        what,
        object,
        occurrence,
        look,
    };
    let places = Places {
        point: point_at,
        action: action_at,
    };
    Ok((Departure { point, action }, places))
}

fn cpu(token: &Token<'_>, config: &Config) -> Result<usize, Diagnostic> {
    (0..config.cpus())
        .find(|cpu| token.is(&format!("cpu{cpu}")))
        .ok_or_else(|| {
            let message = format!("there is no `{}` here", token.text);
            token.error(
                message,
                format!("the CPUs of this file are cpu0 to cpu{}", config.cpus() - 1),
            )
        })
}

fn what(token: &Token<'_>) -> Result<String, Diagnostic> {
    let known = || Kind::ALL.iter().map(|kind| kind.name()).chain([WAIT, SPIN]);
    if known().any(|word| token.is(word)) {
        return Ok(token.text.clone().into_owned());
    }
    let message = format!("there is no operation `{}`", token.text);
    Err(token.error(message, nearest(&token.text, known()).help()))
}

/// The object of the operation. Every operation has one; a CPU that waits or spins has none.
fn object(line: &mut Line<'_>, what: &str) -> Result<String, Diagnostic> {
    if what == WAIT || what == SPIN {
        return Ok(String::new());
    }
    let token = line.next("the name of an object")?;
    let a_name = token.quoted || !(token.text.starts_with('#') || token.text == ":");
    if a_name && !token.text.is_empty() {
        return Ok(token.text.into_owned());
    }
    Err(token.wrong(
        "the name of an object",
        "an operation is followed by its object, then by `#3`",
    ))
}

pub(super) fn occurrence(token: &Token<'_>) -> Result<u32, Diagnostic> {
    let help = "write how many times the context has come to do that: `#1`, `#2`, …";
    let digits = token.text.strip_prefix('#').filter(|_| !token.quoted);
    let digits = digits.ok_or_else(|| token.wrong("`#` and a number", help))?;
    let number = Token {
        at: token.at,
        text: digits.into(),
        quoted: false,
    };
    header::number(&number).map_err(|_| token.wrong("`#` and a number", help))
}

fn look(line: &mut Line<'_>) -> Result<u32, Diagnostic> {
    if !line.peek().is_some_and(|word| word.is("look")) {
        return Ok(1);
    }
    line.expect("look")?;
    let token = line.next("a number")?;
    match header::number(&token)? {
        look @ 2.. => Ok(look),
        _ => Err(token.error(
            "the first look is not written",
            "take `look` away, or write 2 or more",
        )),
    }
}

/// What a CPU can do at a point.
const ACTIONS: &str = "`steps`, `takes`, `defers`, `delays` or `drains`";

fn action(line: &mut Line<'_>, config: &Config) -> Result<(Action, Position), Diagnostic> {
    let who = line.next("an action")?;
    let at = who.at;
    let cpu = cpu(&who, config)?;
    let verb = line.next(ACTIONS)?;
    let action = if verb.is("steps") {
        Action::Steps(cpu)
    } else if verb.is("takes") {
        Action::Takes(cpu, irq_line(&line.next("an interrupt line")?)?)
    } else if verb.is("defers") {
        Action::Defers(cpu, irq_line(&line.next("an interrupt line")?)?)
    } else if verb.is("delays") {
        Action::Delays(cpu)
    } else if verb.is("drains") {
        Action::Drains(cpu)
    } else {
        let help = "an action is `cpu1 steps`, `cpu1 takes clock`, `cpu1 defers ipi`, `cpu1 delays` or `cpu1 drains`";
        return Err(verb.wrong(ACTIONS, help));
    };
    Ok((action, at))
}

fn irq_line(token: &Token<'_>) -> Result<IrqLine, Diagnostic> {
    IrqLine::ALL
        .into_iter()
        .find(|line| token.is(line.name()))
        .ok_or_else(|| {
            let message = format!("there is no interrupt line `{}`", token.text);
            let names = IrqLine::ALL.iter().map(|line| line.name());
            token.error(message, nearest(&token.text, names).help())
        })
}
