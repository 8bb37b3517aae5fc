//! Which compiler there is, and what it can watch.

use std::process::Command;

use crate::Wrong;

/// What hooks a compiler can make.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Hooks {
    /// At plain and at atomic accesses: nightly.
    All,
    /// At atomic accesses.
    Atomics,
}

impl Hooks {
    /// As the wrapper is told.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Hooks::All => "all",
            Hooks::Atomics => "atomics",
        }
    }

    /// What [`name`](Self::name) has named.
    pub(crate) fn of(name: &str) -> Option<Hooks> {
        [Hooks::All, Hooks::Atomics]
            .into_iter()
            .find(|hooks| hooks.name() == name)
    }
}

/// A toolchain.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Toolchain {
    /// Its name for rustup, unless it is the usual one.
    name: Option<String>,
    /// The first line of `rustc -vV`.
    pub(crate) version: String,
    /// The system that it compiles for.
    pub(crate) host: String,
    pub(crate) hooks: Hooks,
}

impl Toolchain {
    /// The one that was asked for, or nightly if it is there, or the usual one.
    pub(crate) fn find(wanted: Option<&str>) -> Result<Toolchain, Wrong> {
        if let Some(name) = wanted {
            return Toolchain::named(Some(name)).map_err(|said| {
                Wrong(format!(
                    "there is no toolchain `{name}`: {said}\n  help: `rustup toolchain list` shows those that are installed"
                ))
            });
        }
        let nightly = Toolchain::named(Some("nightly")).ok();
        if let Some(nightly) = nightly.filter(|nightly| nightly.hooks == Hooks::All) {
            return Ok(nightly);
        }
        Toolchain::named(None).map_err(|said| Wrong(format!("rustc cannot be run: {said}")))
    }

    fn named(name: Option<&str>) -> Result<Toolchain, String> {
        let name = name.map(str::to_owned);
        let mut command = Command::new("rustc");
        set(&mut command, name.as_deref());
        let output = command
            .arg("-vV")
            .output()
            .map_err(|error| error.to_string())?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            let said = said.lines().next().unwrap_or("rustc has failed");
            return Err(said.strip_prefix("error: ").unwrap_or(said).to_owned());
        }
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        Toolchain::read(name, &text).ok_or_else(|| format!("rustc says {text}"))
    }

    /// Reads what `rustc -vV` has said.
    fn read(name: Option<String>, text: &str) -> Option<Toolchain> {
        let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
        let release = field("release: ")?;
        let is_nightly = release.contains("-nightly") || release.contains("-dev");
        Some(Toolchain {
            name,
            version: text.lines().next()?.to_owned(),
            host: field("host: ")?.to_owned(),
            hooks: if is_nightly {
                Hooks::All
            } else {
                Hooks::Atomics
            },
        })
    }

    /// A command of this toolchain.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        set(&mut command, self.name.as_deref());
        command
    }
}

/// rustup's proxies choose the toolchain by this variable. A compiler of its own ignores it.
fn set(command: &mut Command, name: Option<&str>) {
    if let Some(name) = name {
        command.env("RUSTUP_TOOLCHAIN", name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_compiler_says_is_understood() {
        let text = |release: &str| {
            format!(
                "rustc {release} (1 2026-01-01)\nbinary: rustc\nhost: x86_64-unknown-linux-gnu\nrelease: {release}\n"
            )
        };
        let hooks =
            |release| Toolchain::read(None, &text(release)).map(|toolchain| toolchain.hooks);
        assert_eq!(hooks("1.97.0-nightly"), Some(Hooks::All));
        assert_eq!(hooks("1.95.0"), Some(Hooks::Atomics));
        assert_eq!(Toolchain::read(None, "no compiler"), None);
    }
}
