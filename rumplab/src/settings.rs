//! What the environment says about a test.

use std::env::{self, VarError};
use std::path::PathBuf;
use std::time::Duration;

use hostshim::{MemoryModel, numbers};

/// Settings that go before those of the test.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) schedules: Option<u64>,
    pub(crate) time: Option<Duration>,
    pub(crate) seed: Option<u64>,
    pub(crate) jobs: Option<usize>,
    pub(crate) memory: Option<MemoryModel>,
    /// The file of the only schedule to run.
    pub(crate) replay: Option<PathBuf>,
}

impl Settings {
    /// Those of the environment. Panics with a sentence if one has a bad value.
    pub(crate) fn from_environment() -> Settings {
        match Settings::read(|name| env::var(name)) {
            Ok(settings) => settings,
            Err(why) => panic!("{why}"),
        }
    }

    fn read(get: impl Fn(&str) -> Result<String, VarError>) -> Result<Settings, String> {
        let text = |name: &str| match get(name) {
            Ok(text) => Ok(Some(text)),
            Err(VarError::NotPresent) => Ok(None),
            Err(VarError::NotUnicode(_)) => Err(format!("{name} is not UTF-8 text")),
        };
        let settings = Settings {
            schedules: parsed("RUMPLAB_SCHEDULES", &text, numbers::some)?,
            time: parsed("RUMPLAB_SECONDS", &text, numbers::duration)?,
            seed: parsed("RUMPLAB_SEED", &text, numbers::count)?,
            jobs: parsed("RUMPLAB_JOBS", &text, numbers::jobs)?,
            memory: parsed("RUMPLAB_MEMORY", &text, model)?,
            replay: text("RUMPLAB_REPLAY")?.map(PathBuf::from),
        };
        match settings {
            Settings {
                schedules: Some(_),
                time: Some(_),
                ..
            } => Err("give RUMPLAB_SCHEDULES or RUMPLAB_SECONDS, not both".to_owned()),
            settings => Ok(settings),
        }
    }
}

fn model(text: &str) -> Result<MemoryModel, String> {
    let mut all = MemoryModel::ALL.into_iter();
    all.find(|model| model.name() == text)
        .ok_or_else(|| "it can be sc or tso".to_owned())
}

fn parsed<T>(
    name: &str,
    text: &impl Fn(&str) -> Result<Option<String>, String>,
    read: fn(&str) -> Result<T, String>,
) -> Result<Option<T>, String> {
    let Some(text) = text(name)? else {
        return Ok(None);
    };
    match read(&text) {
        Ok(value) => Ok(Some(value)),
        Err(why) => Err(format!("{name}={text}: {why}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(set: &[(&str, &str)]) -> Result<Settings, String> {
        Settings::read(|name| {
            let found = set.iter().find(|(known, _)| *known == name);
            found
                .map(|(_, text)| (*text).to_owned())
                .ok_or(VarError::NotPresent)
        })
    }

    #[test]
    fn numbers_can_be_short() {
        assert_eq!(read(&[]), Ok(Settings::default()));
        let settings = read(&[("RUMPLAB_SCHEDULES", "50k"), ("RUMPLAB_JOBS", "2")]);
        let expected = Settings {
            schedules: Some(50_000),
            jobs: Some(2),
            ..Settings::default()
        };
        assert_eq!(settings, Ok(expected));
    }

    #[test]
    fn bad_values_are_told_with_the_name() {
        for (name, text) in [
            ("RUMPLAB_SCHEDULES", "0"),
            ("RUMPLAB_SCHEDULES", "many"),
            ("RUMPLAB_SECONDS", "-1"),
            ("RUMPLAB_SEED", ""),
            ("RUMPLAB_JOBS", "0"),
            ("RUMPLAB_MEMORY", "arm"),
        ] {
            let why = read(&[(name, text)]).expect_err("it is refused");
            assert!(why.starts_with(&format!("{name}={text}: it ")), "{why}");
        }
        let both = read(&[("RUMPLAB_SCHEDULES", "1"), ("RUMPLAB_SECONDS", "1")]);
        assert!(both.is_err_and(|why| why.contains("not both")));
    }
}
