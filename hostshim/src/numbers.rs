//! Numbers as people write them: `5000`, `100k`, `2m`, `1e6`; durations as `30`, `1.5s`, `2m`, `1h`.

use std::ops::RangeInclusive;
use std::time::Duration;

use kmod::config::Config;

/// What a letter behind a count multiplies it by, as a power of ten.
const SCALES: [(&str, u32); 4] = [("", 0), ("k", 3), ("m", 6), ("g", 9)];

/// Nanoseconds of the units of time. A number alone means seconds.
const UNITS: [(&str, u128); 5] = [
    ("", 1_000_000_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60 * 1_000_000_000),
    ("h", 3_600 * 1_000_000_000),
];

/// The longest duration, in seconds: a year.
const YEAR: u64 = 31_536_000;

/// A number that can be 0.
pub fn count(text: &str) -> Result<u64, String> {
    within(text, 0..=u64::MAX)
}

/// A number of things of which there must be one at least.
pub fn some(text: &str) -> Result<u64, String> {
    within(text, 1..=u64::MAX)
}

/// A number of runs.
pub fn runs(text: &str) -> Result<u32, String> {
    let runs = within(text, 1..=u64::from(u32::MAX))?;
    u32::try_from(runs).map_err(|error| error.to_string())
}

/// A number that is small: forced switches, or ticks.
pub fn few(text: &str) -> Result<u32, String> {
    Ok(within(text, 0..=64)? as u32)
}

/// A number of host threads.
pub fn jobs(text: &str) -> Result<usize, String> {
    Ok(within(text, 1..=256)? as usize)
}

/// A number of CPUs.
pub fn cpus(text: &str) -> Result<usize, String> {
    let cpus = text.parse().ok();
    let cpus = cpus.filter(|cpus| (1..=Config::MAXCPUS).contains(cpus));
    cpus.ok_or_else(|| format!("a machine has 1 to {} CPUs", Config::MAXCPUS))
}

/// A duration that is not 0.
pub fn duration(text: &str) -> Result<Duration, String> {
    let help = "it is not a duration: write seconds, as in 30 or 1.5, or 500ms, 90s, 2m, 1h";
    let (number, unit) = split(text);
    let unit = UNITS.iter().find(|(name, _)| *name == unit);
    let time = unit.and_then(|(_, nanoseconds)| {
        let (digits, places) = decimal(number)?;
        let scaled = digits.checked_mul(*nanoseconds)?;
        let time = scaled.checked_div(10u128.checked_pow(places)?)?;
        u64::try_from(time).ok().map(Duration::from_nanos)
    });
    let time = time.ok_or_else(|| help.to_owned())?;
    match time.is_zero() || time > Duration::from_secs(YEAR) {
        true => Err("it can be up to a year, and more than 0".to_owned()),
        false => Ok(time),
    }
}

fn within(text: &str, range: RangeInclusive<u64>) -> Result<u64, String> {
    let help = "it is not a whole number from 0 on: write digits, as in 5000, or 100k, 2m, 1e6";
    let number = whole(text).ok_or_else(|| help.to_owned())?;
    if range.contains(&number) {
        return Ok(number);
    }
    Err(match *range.end() {
        u64::MAX => format!("it must be {} at least", range.start()),
        end => format!("it can be {} to {end}", range.start()),
    })
}

/// A whole number, with a letter that scales it or an exponent.
fn whole(text: &str) -> Option<u64> {
    let (number, scale) = match text.split_once(['e', 'E']) {
        Some((number, exponent)) => (number, exponent.parse().ok()?),
        None => {
            let (number, letter) = split(text);
            let lower = letter.to_ascii_lowercase();
            (number, SCALES.iter().find(|(name, _)| *name == lower)?.1)
        }
    };
    let (digits, places) = decimal(number)?;
    let scaled = digits.checked_mul(10u128.checked_pow(scale)?)?;
    let unit = 10u128.checked_pow(places)?;
    match scaled % unit {
        0 => u64::try_from(scaled / unit).ok(),
        _ => None,
    }
}

/// The number that a text begins with, and the rest.
fn split(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !(c.is_ascii_digit() || "._".contains(c)));
    text.split_at(end.unwrap_or(text.len()))
}

/// The digits of a number without its point, and how many stand behind the point.
fn decimal(text: &str) -> Option<(u128, u32)> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if whole.is_empty() || (text.contains('.') && fraction.is_empty()) {
        return None;
    }
    let digits = format!("{whole}{fraction}").replace('_', "");
    let places = fraction.replace('_', "").len() as u32;
    // `parse` would take a sign.
    let plain = digits.bytes().all(|digit| digit.is_ascii_digit());
    plain.then(|| digits.parse().ok())?.map(|n| (n, places))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts() {
        for (text, expected) in [
            ("0", 0),
            ("5000", 5000),
            ("1_000_000", 1_000_000),
            ("100k", 100_000),
            ("2m", 2_000_000),
            ("2M", 2_000_000),
            ("1.5k", 1500),
            ("1e6", 1_000_000),
            ("2.5e3", 2500),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(count(text), Ok(expected), "{text}");
        }
        for text in [
            "",
            "k",
            "-1",
            "+1",
            "1.",
            ".5",
            "1.5",
            "1.0001k",
            "1e-3",
            "1e",
            "12x",
            "1 k",
            "1e40",
            "18446744073709551616",
            "_",
            "1..2",
        ] {
            assert!(count(text).is_err(), "{text}");
        }
        assert_eq!(some("0"), Err("it must be 1 at least".to_owned()));
        assert_eq!(jobs("1k"), Err("it can be 1 to 256".to_owned()));
    }

    #[test]
    fn durations() {
        for (text, milliseconds) in [
            ("30", 30_000),
            ("1.5", 1500),
            ("1.5s", 1500),
            ("500ms", 500),
            ("2m", 120_000),
            ("0.5h", 1_800_000),
        ] {
            let expected = Duration::from_millis(milliseconds);
            assert_eq!(duration(text), Ok(expected), "{text}");
        }
        for text in ["", "0", "s", "-1", "1d", "1e3", "2 m", "8761h", "0.0s"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
