//! Where snapshots are, what is no change of one, and the allocator of these tests.

/// What scenarios allocate is memory of the machine that runs them.
#[global_allocator]
static HEAP: hostshim::machine::Heap = hostshim::machine::Heap;

/// The settings of every snapshot.
pub(crate) fn settings() -> insta::Settings {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(env!("CARGO_MANIFEST_DIR"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    // A line that moves is no change of what happened.
    settings.add_filter(r"\.rs:\d+", ".rs");
    settings
}

/// The most lines that a screen shows.
const SCREEN: usize = 60;

/// The text, which fits a screen.
#[track_caller]
pub(crate) fn fits(text: &str) -> &str {
    let lines = text.trim().lines().count();
    assert!(
        lines <= SCREEN,
        "{lines} lines do not fit a screen:\n{text}"
    );
    text
}
