//! `rumplab minimize`.

use super::args::MinimizeArgs;
use super::explain::Replayed;
use super::{Status, Wrong, c, save, terminal};
use crate::minimize::Effort;
use crate::registry::Registry;
use crate::replay::LIMITS;
use crate::report::{self, Role};
use crate::{Verdict, capture};

/// Minimizes a file; prints the shorter one, or writes it and says what became of it.
pub(super) fn minimize(args: &MinimizeArgs, registry: Registry<'_>) -> Result<Status, Wrong> {
    let replayed = Replayed::new(&args.of, registry)?;
    replayed.write_pcap(&args.of);
    let path = args.of.file.display();
    let Verdict::Failed(failure) = &replayed.outcome.verdict else {
        return Err(Wrong(format!(
            "{path} does not fail: there is nothing to keep of it\n  help: minimize a file that `rumplab replay` ends \
             with FAILED"
        )));
    };
    let before = &replayed.parsed.file;
    let effort = Effort {
        runs: args.runs,
        ..Effort::default()
    };
    let capture = capture::shorten(before, failure, &LIMITS, effort);
    let capture = capture.map_err(|error| Wrong(error.to_string()))?;
    let (text, size) = (capture.file.to_string(), report::size(&capture.file));
    let Some(out) = &args.out else {
        if !terminal::raw(&text) {
            // It may have taken long to find.
            terminal::spill(&text);
        }
        return Ok(Status::Found);
    };
    let was = report::size(before);
    terminal::say(Role::Heading, format!("{path}: {was}; minimized to {size}"));
    terminal::print(&capture.report);
    if save::write_replay(out, &text) {
        super::run::say_next_steps(out, &c::sources(&args.of.sources, &args.of.compiling));
    }
    Ok(Status::Found)
}
