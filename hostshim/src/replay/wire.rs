//! The lines from `wire` on.

use kmod::config::Config;
use kmod::machine::NIC_FRAME;

use super::diagnostic::Diagnostic;
use super::header::number;
use super::parse::Lines;
use super::token::{Line, Token};
use crate::suggest::nearest;
use crate::wire::{Frame, MOST, Mishap, Wire};

/// The events on the wire; none if the next line is not `wire`.
pub(super) fn parse(lines: &mut Lines<'_>, config: &Config) -> Result<Wire, Diagnostic> {
    let mut wire = Wire::default();
    if !lines.peek().is_some_and(|word| word.is("wire")) {
        return Ok(wire);
    }
    let mut line = lines.next("`wire`")?;
    let word = line.expect("wire")?;
    if config.nics == 0 {
        return Err(word.error(
            "this kernel has no network cards",
            "take the wire away, or give the kernel cards, as in `nics 2`",
        ));
    }
    line.finish()?;
    while lines.peek().is_some_and(|word| {
        !["allocations", "schedule", "end"]
            .iter()
            .any(|next| word.is(next))
    }) {
        event(lines.next("what happens")?, config, &mut wire)?;
    }
    if wire.is_plain() {
        return Err(word.error(
            "nothing happens on this wire",
            "take the line away: a wire is written if something happens on it",
        ));
    }
    Ok(wire)
}

fn event(mut line: Line<'_>, config: &Config, wire: &mut Wire) -> Result<(), Diagnostic> {
    let word = line.next("what happens")?;
    if word.is("frame") {
        let frame = frame(&mut line, config)?;
        let late = !wire.mishaps.is_empty();
        if late || wire.frames.len() == MOST {
            let message = match late {
                true => "a frame stands behind a mishap".to_owned(),
                false => format!("a wire brings at most {MOST} frames from outside"),
            };
            return Err(word.error(message, "frames come first, in their order"));
        }
        wire.frames.push(frame);
        return line.finish();
    }
    let Some(mishap) = Mishap::ALL.into_iter().find(|what| word.is(what.name())) else {
        let names = Mishap::ALL.iter().map(|what| what.name()).chain(["frame"]);
        let message = format!("nothing on a wire is called `{}`", word.text);
        return Err(word.error(message, nearest(&word.text, names).help()));
    };
    let token = line.next("the number of a frame")?;
    let of = number(&token)?;
    let behind = wire.mishaps.last().is_none_or(|(last, _)| *last < of);
    if !behind || !wire.befall(of, mishap) {
        return Err(token.error(
            format!("`{of}` stands too late, or twice, or is one too many"),
            format!("one thing happens to a frame; they stand in their order, {MOST} at most"),
        ));
    }
    line.finish()
}

fn frame(line: &mut Line<'_>, config: &Config) -> Result<Frame, Diagnostic> {
    let token = line.next("the number of a card")?;
    let card = number(&token)? as usize;
    let cards = config.nics * config.kernels;
    if card >= cards {
        let help = format!("the cards of this file are 0 to {}", cards - 1);
        return Err(token.error(format!("there is no card {card}"), help));
    }
    let token = line.next("the bytes of the frame")?;
    Ok(Frame {
        card,
        bytes: bytes(&token)?,
    })
}

fn bytes(token: &Token<'_>) -> Result<Vec<u8>, Diagnostic> {
    let help = "write two of 0-9 and a-f for each byte, and no spaces";
    let wrong = |message: String| token.error(message, help);
    let text = token.text.as_bytes();
    if token.quoted || text.is_empty() || !text.len().is_multiple_of(2) {
        return Err(wrong("these are not the bytes of a frame".to_owned()));
    }
    if text.len() / 2 > NIC_FRAME {
        return Err(wrong(format!("a frame has at most {NIC_FRAME} bytes")));
    }
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    text.chunks(2)
        .map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?))
        .collect::<Option<Vec<u8>>>()
        .ok_or_else(|| wrong("these are not the bytes of a frame".to_owned()))
}
