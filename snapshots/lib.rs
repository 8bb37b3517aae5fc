//! The replay files that are kept, and every snapshot of the project.
//!
//! `replays/` holds a minimized schedule for each documented bug. The tests replay each of them, twice, and compare
//! the report with the snapshot beside this file: how the old code failed. For every variant `fixed` another
//! snapshot says over how much it held. `cargo insta review` shows what changed.
