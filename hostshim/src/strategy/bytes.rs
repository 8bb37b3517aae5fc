//! A schedule decoded from a fuzzer's bytes.
//!
//! # Format
//!
//! Two bytes are one deviation: the number of points before it, and the action. An action of [`REFUSALS`] or more is a
//! failure instead: of the first allocation from there on, or of one soon after it. When the bytes are used up the machine
//! keeps to its default until the end. So a short input is a schedule with few preemptions; changing one byte
//! moves or changes one of them; and truncating the input keeps the beginning of the schedule.
//!
//! Only the first [`Bytes::MOST`] bytes are used. Known bugs need one to four preemptions. More than a few dozen
//! bytes make a run slower and its failure harder to read, and find nothing.

use kmod::machine::Line;

use super::{Answer, Request, Strategy};
use crate::machine::View;
use crate::schedule::Choice;

/// Maximum number of deviations in a schedule.
const DEVIATIONS: usize = 16;
/// Gaps up to this are the byte itself. Larger bytes count for more points, so that long runs are covered.
const SHORT: u64 = 192;
/// Points per unit of a byte beyond [`SHORT`].
const STRIDE: u64 = 16;

/// Actions from this one on let an allocation fail.
const REFUSALS: u8 = 240;

/// Deviates as the bytes say.
#[derive(Clone, Debug)]
pub struct Bytes<'a> {
    input: &'a [u8],
    rest: &'a [u8],
    /// Whether the gap before the next deviation has passed.
    due: bool,
    /// Allocations before the one that fails.
    spared: Option<u8>,
}

impl<'a> Bytes<'a> {
    /// Length of the longest schedule in bytes.
    pub const MOST: usize = 2 * DEVIATIONS;

    /// The schedule in these bytes.
    pub fn new(input: &'a [u8]) -> Bytes<'a> {
        let input = &input[..input.len().min(Self::MOST)];
        Bytes {
            input,
            rest: input,
            due: false,
            spared: None,
        }
    }

    /// Points before the next deviation; `None` if there is none.
    fn gap(&mut self) -> Option<u64> {
        let (&gap, rest) = self.rest.split_first()?;
        if rest.is_empty() {
            return None;
        }
        self.rest = rest;
        let gap = u64::from(gap);
        Some(gap.min(SHORT) + gap.saturating_sub(SHORT) * STRIDE)
    }

    /// The action of the next byte: one of what is possible except the default, or an early tick.
    fn pick(&mut self, view: &View<'_>) -> Choice {
        let default = view.default_choice();
        let Some((&byte, rest)) = self.rest.split_first() else {
            return default;
        };
        self.rest = rest;
        if byte >= REFUSALS {
            self.spared = Some(byte - REFUSALS);
            return default;
        }
        let others = || view.choices().filter(|&choice| choice != default);
        let ticks = view.takeable(Line::Clock) & !view.asserted(Line::Clock);
        let (others_count, ticks_count) = (others().count(), ticks.count_ones() as usize);
        if others_count + ticks_count == 0 {
            return default;
        }
        let index = usize::from(byte) % (others_count + ticks_count);
        match others().nth(index) {
            Some(choice) => choice,
            None => crate::machine::members(ticks)
                .nth(index - others_count)
                .map_or(default, |cpu| Choice::Take(cpu, Line::Clock)),
        }
    }

    /// Keeps the default for this many points, then makes the next deviation; or keeps the default until the end.
    fn wait(&mut self, choice: Choice) -> Answer {
        match self.gap() {
            Some(quiet) => Answer { choice, quiet },
            None => {
                self.rest = &[];
                Answer {
                    choice,
                    quiet: u64::MAX,
                }
            }
        }
    }
}

impl Strategy for Bytes<'_> {
    fn begin(&mut self) {
        self.rest = self.input;
        self.due = false;
        self.spared = None;
    }

    fn wants_requests(&self) -> bool {
        self.input.chunks_exact(2).any(|pair| pair[1] >= REFUSALS)
    }

    fn refuses(&mut self, _: &Request) -> bool {
        let spared = self.spared;
        self.spared = spared.and_then(|spared| spared.checked_sub(1));
        spared == Some(0)
    }

    fn choose(&mut self, view: &View<'_>) -> Answer {
        if !self.due {
            self.due = true;
            let answer = self.wait(view.default_choice());
            if answer.quiet > 0 {
                // This point is the first of the gap.
                return Answer {
                    quiet: answer.quiet.saturating_sub(1),
                    ..answer
                };
            }
        }
        let choice = self.pick(view);
        self.wait(choice)
    }
}
