//! Which build of the program this is.

/// The commit that the program is built from, with a `+` at its end if the sources had changes that were not committed.
/// `None` if the program is built without git, or from a copy of the sources.
pub const COMMIT: Option<&str> = option_env!("RUMPLAB_COMMIT");

/// The version and the commit, if that is known: `0.1.0 (commit 5d80f327aa)`.
pub fn version() -> String {
    let version = env!("CARGO_PKG_VERSION");
    match COMMIT {
        Some(commit) => format!("{version} (commit {commit})"),
        None => version.to_owned(),
    }
}
