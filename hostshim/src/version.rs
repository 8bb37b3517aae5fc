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

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn the_commit_is_the_one_that_is_checked_out() {
        let git = |arguments: &[&str]| {
            let ran = Command::new("git").args(arguments).output().ok()?;
            let text = String::from_utf8_lossy(&ran.stdout).trim().to_owned();
            ran.status.success().then_some(text)
        };
        let is_ours = git(&["ls-files", "--error-unmatch", "build.rs"]).is_some();
        let head = is_ours
            .then(|| git(&["rev-parse", "--short=10", "HEAD"]))
            .flatten();
        assert_eq!(
            COMMIT.map(|commit| commit.trim_end_matches('+')),
            head.as_deref()
        );
        assert_eq!(COMMIT.is_some(), version().contains("(commit "));
    }
}
