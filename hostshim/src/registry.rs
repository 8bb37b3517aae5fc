//! The scenarios that a program knows.
//!
//! Whoever looks for scenarios by name or pattern is given a [`Registry`]: the command line (`cli::main`), and
//! the reader of replay files ([`Parsed::read`](crate::replay::Parsed::read)). The program `rumplab` has those of `kmod`; a program
//! with scenarios of its own gives its own.

use std::sync::OnceLock;

use kmod::scenario::{ALL, Scenario, breach};

use crate::suggest::{Suggestion, nearest};

/// A list of scenarios, each with a name of its own.
#[derive(Clone, Copy, Debug)]
pub struct Registry<'a>(&'a [&'static Scenario]);

impl<'a> Registry<'a> {
    /// The registry of these scenarios.
    ///
    /// # Examples
    ///
    /// ```
    /// use hostshim::registry::Registry;
    /// use kmod::scenario::classics;
    ///
    /// let scenarios = [&classics::ABBA];
    /// let registry = Registry::of(&scenarios);
    /// assert!(registry.find("abba").is_some());
    /// assert!(registry.find("lost-update").is_none());
    /// ```
    pub const fn of(scenarios: &'a [&'static Scenario]) -> Registry<'a> {
        Registry(scenarios)
    }

    /// All of them, in the order in which they were given.
    pub fn all(self) -> impl Iterator<Item = &'static Scenario> + 'a {
        self.0.iter().copied()
    }

    /// The scenario with this name.
    pub fn find(self, name: &str) -> Option<&'static Scenario> {
        self.all().find(|scenario| scenario.name == name)
    }

    /// The names that look like `name`.
    pub fn nearest(self, name: &str) -> Suggestion {
        nearest(name, self.all().map(|scenario| scenario.name))
    }
}

impl Registry<'static> {
    /// The scenarios of `kmod`, and its breaches of contracts.
    pub fn kmod() -> Registry<'static> {
        static SCENARIOS: OnceLock<Vec<&'static Scenario>> = OnceLock::new();
        let breaches = || breach::all().map(|breach| &breach.scenario);
        Registry(SCENARIOS.get_or_init(|| ALL.iter().copied().chain(breaches()).collect()))
    }
}
