//! A schedule out of a fuzzer's bytes.
//!
//! # The form
//!
//! Two bytes are one deviation: after how many points, and what. When the bytes are used up the machine keeps to its
//! default to the end. So a short input is a schedule with few preemptions; to change one byte moves or
//! changes one of them; and to cut the input off leaves the beginning of the schedule as it was.
//!
//! Only the first [`Bytes::MOST`] bytes mean anything: known bugs take one to four preemptions, and what
//! a fuzzer adds beyond a few dozen makes its runs slower and its failures harder to read, and finds nothing.

use kmod::machine::Line;

use super::{Answer, Strategy};
use crate::machine::View;
use crate::schedule::Choice;

/// Deviations of a schedule, at most.
const DEVIATIONS: usize = 16;
/// Gaps up to this are the byte itself; beyond, a byte is worth more points, so that long runs are in reach.
const SHORT: u64 = 192;
/// What a byte beyond [`SHORT`] is worth.
const STRIDE: u64 = 16;

/// Deviates as the bytes say.
#[derive(Clone, Debug)]
pub struct Bytes<'a> {
    input: &'a [u8],
    rest: &'a [u8],
    /// Whether the gap before the next deviation has passed.
    due: bool,
}

impl<'a> Bytes<'a> {
    /// Bytes of the longest schedule.
    pub const MOST: usize = 2 * DEVIATIONS;

    /// The schedule that these bytes are.
    pub fn new(input: &'a [u8]) -> Bytes<'a> {
        let input = &input[..input.len().min(Self::MOST)];
        Bytes {
            input,
            rest: input,
            due: false,
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

    /// What the next byte chooses: one of what is possible except the default, or an early tick.
    fn pick(&mut self, view: &View<'_>) -> Choice {
        let default = view.default_choice();
        let Some((&byte, rest)) = self.rest.split_first() else {
            return default;
        };
        self.rest = rest;
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

    /// The default for so many points, and then the next deviation; or the default to the end.
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
