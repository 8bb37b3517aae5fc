//! Contracts explained: what `rumplab explain CONTRACT` prints, and `docs/contracts.md`.
//!
//! Both are rendered from the index of the kernel ([`kmod::contracts`]) and from the scenarios that break a contract on purpose
//! ([`kmod::scenario::breach`]).
//!
//! # Examples
//!
//! ```
//! let text = hostshim::contracts::explain("mutex-owned").expect("there is such a contract");
//! assert!(text.contains("rumplab run breach-mutex-owned"));
//! assert_eq!(hostshim::contracts::explain("mutex-owner"), None);
//! ```

use std::fmt::Write as _;

use kmod::contracts::{self, Contract};
use kmod::scenario::breach;

/// A text about the contract of this name, or `None` if there is no such contract. Every line ends with a newline.
pub fn explain(name: &str) -> Option<String> {
    let contract = contracts::find(name)?;
    let Contract {
        name, rule, advice, ..
    } = contract;
    let mut text = format!(
        "{name}: {rule}\n\n{advice}\n\nread more: {}\n",
        source(contract)
    );
    for breach in breaches(name) {
        text += &format!("see it broken: rumplab run {breach}\n");
    }
    Some(text)
}

/// The names of all contracts, by manual page.
pub fn names() -> impl Iterator<Item = &'static str> {
    contracts::ALL.iter().map(|contract| contract.name)
}

/// All contracts as a document in Markdown.
pub fn index() -> String {
    let mut text = String::from(HEAD);
    let mut page = "";
    for contract in contracts::ALL {
        if contract.page != page {
            page = contract.page;
            let _ = write!(
                text,
                "\n## {page}\n\n| contract | rule | what to do |\n|---|---|---|\n"
            );
        }
        let Contract {
            name, rule, advice, ..
        } = contract;
        let _ = writeln!(text, "| `{name}` | {rule} | {advice} |");
    }
    text
}

const HEAD: &str = "\
# Contracts

A contract is a rule of the kernel's API that every run checks: one of NetBSD's KASSERTs, or a rule of this kernel. When one is broken, the report
names it and says which values broke it. `rumplab explain NAME` prints the entry of this list. The scenario `breach-NAME` breaks it on purpose.

This file is generated from `kmod/src/contracts.rs`: `UPDATE_EXPECT=1 cargo test -p snapshots --test contracts` writes it.
";

/// The scenarios that break a contract on purpose.
fn breaches(name: &str) -> impl Iterator<Item = &'static str> {
    breach::all()
        .filter(move |breach| breach.contract == name)
        .map(|breach| breach.scenario.name)
}

/// Where to read about the primitive of a contract.
fn source(contract: &Contract) -> String {
    match contract.page.strip_suffix("(9)") {
        // NetBSD has no semaphores: these are FreeBSD's.
        Some("sema") => "sema(9) of FreeBSD, https://man.freebsd.org/sema/9".to_owned(),
        Some(page) => format!("{}, https://man.netbsd.org/{page}.9", contract.page),
        None => format!("the documentation of {}", contract.page),
    }
}
