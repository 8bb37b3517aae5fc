//! The report of a run that failed, for a screen: `rumplab run` prints it.

use super::account::Account;
use super::explain::in_short;
use super::text::{Role, Text};
use super::words::how;
use super::{columns, program, subject, verdict};

/// Lines of a screen.
const SCREEN: usize = 60;
/// Moments that are told; `rumplab explain` has all.
const MOMENTS: usize = 12;
/// Lines that the drawing has at least.
const DRAWING: usize = 12;

/// The report of a run that failed: a screen of lines.
pub fn failure(account: &Account<'_>) -> Text {
    let mut text = verdict(account);
    text.gap();
    text.append(subject(account.file));
    text.append(program(account.file));
    text.gap();
    text.append(in_short(account, MOMENTS));
    text.add(Role::Heading, how(&account.story));
    text.add(
        Role::Aside,
        "(the scheduler's own steps are left out; `rumplab explain` has them)",
    );
    let left = SCREEN.saturating_sub(text.len()).max(DRAWING);
    text.append(columns(&account.story, left));
    text
}
