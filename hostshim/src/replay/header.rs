//! The lines before the schedule: what ran, on which machine.

use kmod::config::{Config, Wiring};
use kmod::history::Bug;
use kmod::machine::Kind;
use kmod::scenario::ops::{Language, MAX_LWPS, MAX_OPS, Op, Program};
use kmod::scenario::{Scenario, Variant};

use super::diagnostic::{Diagnostic, Position};
use super::knobs::KNOBS;
use super::token::{Line, Token};
use super::{MAGIC, parse::Lines};
use crate::machine::{Later, Races};
use crate::registry::Registry;
use crate::schedule::{Granularity, MemoryModel};
use crate::suggest::nearest;

/// What the header says.
pub(super) struct Header {
    pub(super) scenario: &'static Scenario,
    pub(super) variant: &'static Variant,
    pub(super) config: Config,
    pub(super) granularity: Granularity,
    pub(super) memory: MemoryModel,
    pub(super) cpus_at: Position,
    pub(super) races: Races,
}

pub(super) fn parse(lines: &mut Lines<'_>, registry: Registry<'_>) -> Result<Header, Diagnostic> {
    magic(lines)?;
    let scenario = value(lines, "scenario", |token| find_scenario(registry, token))?;
    let variant = value(lines, "variant", |token| find_variant(scenario, token))?;
    let (cpus, cpus_at) = value(lines, "cpus", |token| {
        Ok((cpus(scenario, token)?, token.at))
    })?;
    let mut config = scenario.config(Config::small(cpus), variant);
    config.xcall = value(lines, "xcall", wiring)?;
    history(lines, variant, &mut config)?;
    knobs(lines, &mut config)?;
    if config.cpus() > Config::MAXCPUS {
        let message = format!("{} kernels of {cpus} CPUs are too many", config.kernels);
        let help = format!("a machine has at most {} CPUs", Config::MAXCPUS);
        return Err(Diagnostic::new(cpus_at, message, help));
    }
    let granularity = granularity(lines)?;
    let memory = memory(lines)?;
    let races = races(lines)?;
    Ok(Header {
        scenario,
        variant,
        config,
        granularity,
        memory,
        cpus_at,
        races,
    })
}

fn magic(lines: &mut Lines<'_>) -> Result<(), Diagnostic> {
    let help = format!(
        "a replay file begins with the line `{} {}`",
        MAGIC.0, MAGIC.1
    );
    let mut line = lines.next("the first line of a replay file")?;
    let word = line.next(&format!("`{}`", MAGIC.0))?;
    if !word.is(MAGIC.0) {
        return Err(word.error("this is not a replay file", help));
    }
    let version = line.next("the version of the form")?;
    if number(&version)? != MAGIC.1 {
        let message = format!("version {} of the form is not known", version.text);
        return Err(version.error(message, help));
    }
    line.finish()
}

/// A line with a keyword and one value.
fn value<'a, T>(
    lines: &mut Lines<'a>,
    keyword: &str,
    read: impl FnOnce(&Token<'a>) -> Result<T, Diagnostic>,
) -> Result<T, Diagnostic> {
    let mut line = lines.next(&format!("the line `{keyword} …`"))?;
    line.expect(keyword)?;
    let token = line.next(&format!("a value for `{keyword}`"))?;
    let value = read(&token)?;
    line.finish()?;
    Ok(value)
}

pub(super) fn number(token: &Token<'_>) -> Result<u32, Diagnostic> {
    let digits = !token.quoted && token.text.bytes().all(|b| b.is_ascii_digit());
    // There is only one way to write a number, so that a file that can be parsed is canonical.
    let plain = token.text == "0" || !token.text.starts_with('0');
    if digits
        && plain
        && let Ok(number) = token.text.parse()
    {
        return Ok(number);
    }
    let message = format!("`{}` is not a number", token.text);
    Err(token.error(
        message,
        "write a decimal number without sign or leading zeros",
    ))
}

fn find_scenario(
    registry: Registry<'_>,
    token: &Token<'_>,
) -> Result<&'static Scenario, Diagnostic> {
    let Some(found) = registry.find(&token.text) else {
        let message = format!("there is no scenario `{}`", token.text);
        let near = registry.nearest(&token.text).help();
        let help = format!(
            "{near}; for a scenario in C, name its files: --c {}.c",
            token.text
        );
        return Err(token.error(message, help));
    };
    if found.kind.only_booted() {
        let message = format!(
            "the scenario `{}` runs on the booted machine only",
            token.text
        );
        return Err(token.error(
            message,
            "boot it with scripts/boot; it cannot be replayed here",
        ));
    }
    Ok(found)
}

fn find_variant(scenario: &Scenario, token: &Token<'_>) -> Result<&'static Variant, Diagnostic> {
    scenario
        .variants
        .iter()
        .find(|v| v.name == token.text)
        .ok_or_else(|| {
            let message = format!(
                "the scenario {} has no variant `{}`",
                scenario.name, token.text
            );
            let names = scenario.variants.iter().map(|v| v.name);
            token.error(message, nearest(&token.text, names).help())
        })
}

fn cpus(scenario: &Scenario, token: &Token<'_>) -> Result<usize, Diagnostic> {
    let cpus = number(token)? as usize;
    if (scenario.min_cpus..=Config::MAXCPUS).contains(&cpus) {
        return Ok(cpus);
    }
    let message = format!("the scenario {} cannot have {cpus} CPUs", scenario.name);
    let help = format!("it runs on {} to {}", scenario.min_cpus, Config::MAXCPUS);
    Err(token.error(message, help))
}

fn wiring(token: &Token<'_>) -> Result<Wiring, Diagnostic> {
    Wiring::find(&token.text).ok_or_else(|| {
        let message = format!("there is no wiring `{}`", token.text);
        token.error(message, "cross calls are wired `native` or `rump`")
    })
}

/// The line `history`, if there is one: old code in addition to the variant's.
fn history(
    lines: &mut Lines<'_>,
    variant: &Variant,
    config: &mut Config,
) -> Result<(), Diagnostic> {
    if !lines.peek().is_some_and(|word| word.is("history")) {
        return Ok(());
    }
    let mut line = lines.next("`history`")?;
    line.expect("history")?;
    let mut last = None;
    loop {
        let token = line.next("the word of old code")?;
        let Some(bug) = Bug::find(&token.text) else {
            let message = format!("there is no old code `{}`", token.text);
            let names = Bug::ALL.iter().map(|bug| bug.name());
            return Err(token.error(message, nearest(&token.text, names).help()));
        };
        if variant.history.bugs().any(|has| has == bug) || last >= Some(bug as u8) {
            let message = format!("`{}` stands too late, or twice", bug.name());
            return Err(token.error(
                message,
                "each stands once, in the order of `rumplab list`; those of the variant do not",
            ));
        }
        last = Some(bug as u8);
        config.history = config.history.with(bug);
        if line.peek().is_none() {
            return line.finish();
        }
    }
}

fn knobs(lines: &mut Lines<'_>, config: &mut Config) -> Result<(), Diagnostic> {
    let mut last = None;
    while let Some(index) = lines
        .peek()
        .and_then(|word| KNOBS.iter().position(|k| word.is(k.name)))
    {
        let knob = &KNOBS[index];
        if let Some(word) = lines.peek().filter(|_| last >= Some(index)) {
            let message = format!("`{}` stands too late, or twice", knob.name);
            let order = KNOBS.each_ref().map(|k| k.name).join(", ");
            return Err(word.error(
                message,
                format!("each knob stands once, in the order {order}"),
            ));
        }
        last = Some(index);
        let set = value(lines, knob.name, |token| {
            let number = number(token)?;
            if knob.range.contains(&number) {
                return Ok(number);
            }
            let help = format!("it can be {} to {}", knob.range.start(), knob.range.end());
            Err(token.error(format!("`{}` cannot be {number}", knob.name), help))
        })?;
        (knob.set)(config, set);
    }
    Ok(())
}

/// The line `granularity`, if there is one.
fn granularity(lines: &mut Lines<'_>) -> Result<Granularity, Diagnostic> {
    if !lines.peek().is_some_and(|word| word.is("granularity")) {
        return Ok(Granularity::Coarse);
    }
    value(lines, "granularity", |token| {
        match token.is(Granularity::Fine.name()) {
            true => Ok(Granularity::Fine),
            false => Err(token.error(
                format!("`{}` is no granularity that is written down", token.text),
                "write `fine`, or take the line away for the usual one",
            )),
        }
    })
}

/// The line `memory`, if there is one.
fn memory(lines: &mut Lines<'_>) -> Result<MemoryModel, Diagnostic> {
    if !lines.peek().is_some_and(|word| word.is("memory")) {
        return Ok(MemoryModel::Sc);
    }
    value(lines, "memory", |token| {
        match token.is(MemoryModel::Tso.name()) {
            true => Ok(MemoryModel::Tso),
            false => Err(token.error(
                format!("`{}` is no memory model that is written down", token.text),
                "write `tso`, or take the line away for the usual one",
            )),
        }
    })
}

/// The line `races`, if there is one: what becomes of the run at a data race of foreign code.
fn races(lines: &mut Lines<'_>) -> Result<Races, Diagnostic> {
    if !lines.peek().is_some_and(|word| word.is("races")) {
        return Ok(Races::Stop);
    }
    let mut line = lines.next("`races`")?;
    line.expect("races")?;
    let manner = line.next("`pass` or `until`")?;
    let races = if manner.is("pass") {
        Races::Pass
    } else if manner.is("until") {
        let what = line.next("an access")?;
        if !Kind::ALL.iter().any(|kind| what.is(kind.name())) {
            let help = "the later access of a race is `read`, `write`, `load`, `store` or `rmw`";
            return Err(what.wrong("an access", help));
        }
        let file = line.next("the file of the access")?;
        line.expect(":")?;
        Races::Until(Later {
            what: what.text.into_owned(),
            file: file.text.into_owned(),
            line: number(&line.next("the number of a line")?)?,
        })
    } else {
        let help =
            "`races pass` goes on past data races, `races until read table.c:12` up to that one";
        return Err(manner.wrong("`pass` or `until`", help));
    };
    line.finish()?;
    Ok(races)
}

/// The lines from `program` on, if there are any.
pub(super) fn program(
    lines: &mut Lines<'_>,
    scenario: &Scenario,
) -> Result<Option<Box<Program>>, Diagnostic> {
    if !lines.peek().is_some_and(|word| word.is("program")) {
        return Ok(None);
    }
    let mut line = lines.next("`program`")?;
    let word = line.expect("program")?;
    let Some(language) = Language::of(scenario) else {
        let message = format!("the scenario {} takes no program", scenario.name);
        let [one, other] = Language::ALL.map(|language| language.scenario().name);
        return Err(word.error(message, format!("only {one} and {other} do")));
    };
    line.finish()?;
    let mut program = Box::<Program>::default();
    while lines.peek().is_some_and(|word| {
        !["wire", "allocations", "schedule", "end"]
            .iter()
            .any(|next| word.is(next))
    }) {
        let line = lines.next("an operation")?;
        operation(language, line, &mut program)?;
    }
    Ok(Some(program))
}

fn operation(
    language: Language,
    mut line: Line<'_>,
    program: &mut Program,
) -> Result<(), Diagnostic> {
    let lwp = line.next("an LWP")?;
    let index = (0..MAX_LWPS)
        .find(|index| lwp.is(&format!("l{index}")))
        .ok_or_else(|| {
            let help = format!("an operation begins with its LWP, l0 to l{}", MAX_LWPS - 1);
            lwp.wrong("an LWP, or `schedule`", &help)
        })?;
    let mut words = vec![line.next("an operation")?];
    while line.peek().is_some() {
        words.push(line.next("an operand")?);
    }
    let op = Op::parse(language, words.iter().map(|word| &*word.text));
    let op = op.map_err(|(which, why)| match words.get(which) {
        Some(word) => word.error(
            format!("`{}`: {why}", word.text),
            forms(language, &words[0].text),
        ),
        // The missing operand: where the line ends.
        None => line
            .next("an operand")
            .err()
            .unwrap_or_else(|| lwp.wrong("an operation", why)),
    })?;
    if program.scripts[index].push(op) {
        return Ok(());
    }
    Err(lwp.error(
        format!("l{index} has more operations than fit"),
        format!("an LWP has at most {MAX_OPS}"),
    ))
}

/// How the operation is written, or which name was probably meant.
fn forms(language: Language, word: &str) -> String {
    match language.forms().find(|form| form.word == word) {
        Some(form) => {
            let mut text = format!("it is written `{}", form.word);
            for operand in form.operands {
                let last = operand.first + operand.count - 1;
                text += &format!(" {}({}..={last})", operand.name, operand.first);
            }
            text + "`"
        }
        None => nearest(word, language.forms().map(|form| form.word)).help(),
    }
}
