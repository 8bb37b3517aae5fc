//! The kernel command line: words of the form `key=value`. A wrong word is explained.
//!
//! Words have no quotes and no escapes. `scripts/boot` refuses characters that GRUB would change before the kernel sees them.

use core::fmt;
use core::str::FromStr;

use kmod::config::Wiring;
use kmod::history::{Bug, History};

/// All keys, for the message about an unknown one.
const KEYS: &str = "scenario, variant, seconds, seed, cpus, xcall, net_mpsafe, history, predict, perturb, watchdog, net-irq";

/// Which CPUs network cards interrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NetIrq {
    /// All cards interrupt this CPU.
    Cpu(usize),
    /// Each receiving queue interrupts the next CPU.
    Round,
}

/// The options of the command line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options<'a> {
    /// Name of the scenario, or `list`.
    pub(crate) scenario: &'a str,
    /// Name of its variant.
    pub(crate) variant: &'a str,
    /// Seconds for which the scenario is repeated; 0: one round.
    pub(crate) seconds: u64,
    /// Seed of the perturbation.
    pub(crate) seed: u64,
    /// Number of CPUs; all of the machine's if it is not given.
    pub(crate) cpus: Option<usize>,
    /// Wiring of the cross calls; by default the scenario's.
    pub(crate) xcall: Option<Wiring>,
    /// Whether the network stack is NET_MPSAFE; the scenario's choice if it is not given.
    pub(crate) net_mpsafe: Option<bool>,
    /// Old code that runs in addition to the variant's.
    pub(crate) history: History,
    /// Whether to predict deadlocks that did not happen.
    pub(crate) predict: bool,
    /// One of so many points is perturbed; 0: none.
    pub(crate) perturb: Option<u64>,
    /// Seconds without progress that count as a hang; 0: never.
    pub(crate) watchdog: u64,
    /// Which CPUs network cards interrupt.
    pub(crate) net_irq: NetIrq,
}

/// Why a command line is refused.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wrong<'a> {
    /// A word without `=`.
    NotAPair(&'a str),
    /// An unknown key.
    Key(&'a str),
    /// A key, a value that does not fit it, and what would fit.
    Value(&'a str, &'a str, &'static str),
    /// A key that is given twice.
    Twice(&'a str),
    /// No scenario is given.
    NoScenario,
}

impl fmt::Display for Wrong<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wrong::NotAPair(word) => write!(f, "`{word}` is not of the form key=value"),
            Wrong::Key(key) => write!(f, "`{key}` is not a key; there are {KEYS}"),
            Wrong::Value(key, value, want) => write!(f, "{key}={value}: {key} must be {want}"),
            Wrong::Twice(key) => write!(f, "`{key}` is given twice"),
            Wrong::NoScenario => {
                f.write_str("no scenario is given: scenario=NAME, or scenario=list for the names")
            }
        }
    }
}

fn number<'a, T: FromStr>(key: &'a str, value: &'a str) -> Result<T, Wrong<'a>> {
    value
        .parse()
        .map_err(|_| Wrong::Value(key, value, "a number that is not negative"))
}

fn wiring<'a>(key: &'a str, value: &'a str) -> Result<Wiring, Wrong<'a>> {
    Wiring::find(value).ok_or(Wrong::Value(key, value, "native or rump"))
}

fn switch<'a>(key: &'a str, value: &'a str) -> Result<bool, Wrong<'a>> {
    match value {
        "0" => Ok(false),
        "1" => Ok(true),
        _ => Err(Wrong::Value(key, value, "0 or 1")),
    }
}

fn net_irq<'a>(key: &'a str, value: &'a str) -> Result<NetIrq, Wrong<'a>> {
    match value {
        "round" => Ok(NetIrq::Round),
        cpu => match cpu.parse() {
            Ok(cpu) => Ok(NetIrq::Cpu(cpu)),
            Err(_) => Err(Wrong::Value(key, value, "the number of a CPU, or round")),
        },
    }
}

fn history<'a>(key: &'a str, value: &'a str) -> Result<History, Wrong<'a>> {
    value.split(',').try_fold(History::NONE, |history, name| {
        let bug = Bug::find(name).ok_or(Wrong::Value(
            key,
            name,
            "names of old code separated by commas (see `rumplab list`)",
        ))?;
        Ok(history.with(bug))
    })
}

/// Checks that `key` is given once. A command line has few words, so they are compared one by one.
fn check_once<'a>(line: &'a str, key: &'a str) -> Result<(), Wrong<'a>> {
    let given = line
        .split_ascii_whitespace()
        .filter_map(|word| word.split_once('='));
    match given.filter(|(other, _)| *other == key).count() {
        0 | 1 => Ok(()),
        _ => Err(Wrong::Twice(key)),
    }
}

/// Parses the command line.
pub(crate) fn parse(line: &str) -> Result<Options<'_>, Wrong<'_>> {
    let mut options = Options {
        scenario: "",
        variant: "fixed",
        seconds: 0,
        seed: 1,
        cpus: None,
        xcall: None,
        net_mpsafe: None,
        history: History::NONE,
        predict: false,
        perturb: None,
        watchdog: 10,
        net_irq: NetIrq::Round,
    };
    for word in line.split_ascii_whitespace() {
        let (key, value) = word.split_once('=').ok_or(Wrong::NotAPair(word))?;
        check_once(line, key)?;
        match key {
            "scenario" => options.scenario = value,
            "variant" => options.variant = value,
            "seconds" => options.seconds = number(key, value)?,
            "seed" => options.seed = number(key, value)?,
            "cpus" => options.cpus = Some(number(key, value)?),
            "xcall" => options.xcall = Some(wiring(key, value)?),
            "net_mpsafe" => options.net_mpsafe = Some(switch(key, value)?),
            "history" => options.history = history(key, value)?,
            "predict" => options.predict = switch(key, value)?,
            "perturb" => options.perturb = Some(number(key, value)?),
            "watchdog" => options.watchdog = number(key, value)?,
            "net-irq" => options.net_irq = net_irq(key, value)?,
            _ => return Err(Wrong::Key(key)),
        }
    }
    if options.scenario.is_empty() {
        return Err(Wrong::NoScenario);
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_understood() {
        let line = "scenario=s variant=v seconds=5 seed=7 cpus=3 xcall=rump net_mpsafe=0 history=xcall-donep predict=1 perturb=9 watchdog=2 net-irq=1";
        let options = Options {
            scenario: "s",
            variant: "v",
            seconds: 5,
            seed: 7,
            cpus: Some(3),
            xcall: Some(Wiring::Rump),
            net_mpsafe: Some(false),
            history: History::NONE.with(Bug::XcallDonep),
            predict: true,
            perturb: Some(9),
            watchdog: 2,
            net_irq: NetIrq::Cpu(1),
        };
        assert_eq!(parse(line), Ok(options));
    }

    #[test]
    fn what_is_not_given_has_a_default() {
        let options = parse(" scenario=s ").unwrap();
        assert_eq!(
            (options.variant, options.seed, options.watchdog),
            ("fixed", 1, 10)
        );
        assert_eq!((options.cpus, options.perturb), (None, None));
        assert_eq!(options.net_irq, NetIrq::Round);
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert_eq!(parse(""), Err(Wrong::NoScenario));
        assert_eq!(parse("scenario=s quiet"), Err(Wrong::NotAPair("quiet")));
        assert_eq!(parse("scenario=s cpu=4"), Err(Wrong::Key("cpu")));
        assert_eq!(parse("scenario=s seed=1 seed=2"), Err(Wrong::Twice("seed")));
        assert!(matches!(
            parse("scenario=s cpus=-1"),
            Err(Wrong::Value("cpus", "-1", _))
        ));
        assert!(matches!(
            parse("scenario=s net-irq=all"),
            Err(Wrong::Value("net-irq", "all", _))
        ));
        assert!(matches!(
            parse("scenario=s xcall=fast"),
            Err(Wrong::Value("xcall", "fast", _))
        ));
        assert!(matches!(
            parse("scenario=s net_mpsafe=yes"),
            Err(Wrong::Value("net_mpsafe", "yes", _))
        ));
    }
}
