//! Section 9 as C calls it: one table from the names of the C interface to functions over the kernel's Rust API.
//!
//! # Overview
//!
//! An entry of the table is a function with C's calling convention. The macro `bound!` makes it from a line that reads
//! as the declaration does, with Rust types: `fn mutex_enter(mutex: &'static Kmutex) { mutex.enter() }`. [`FromC`] and
//! [`IntoC`] say how an argument and a result are passed.
//!
//! The kernel keeps functions with one argument, of Rust's calling convention. A function of C and its arguments
//! become such a pair as a [closure](intern::closure).
//!
//! An object that C has memory for, such as a `kmutex_t`, is made there by its `init` function ([`Raw`]). Its size
//! comes from `rumplab/layout.h`, which [`layout`] writes.
//!
//! # Ends of a run
//!
//! A broken contract stops the machine inside the call, and no C frame is unwound.
//!
//! # Places
//!
//! The entry of a function passes the address that it returns to. What the kernel does meanwhile is at the line of the
//! call: [`placed`].

use kmod::kern::contract::argument_refused;
use kmod::kern::lwp::curlwp;
use kmod::kern::spl::{self, Ipl};

mod convert;
mod cpus;
mod intern;
mod later;
mod layout;
mod locks;
mod memory;
mod print;
mod references;
mod scenario;
mod services;
mod sleep;
mod thread;

use crate::machine::foreign::placed;
pub(crate) use cpus::boot;
pub(crate) use services::Services;

use convert::{FromC, Func, IntoC, Raw, Text};

/// A function of the C interface.
struct Entry {
    name: &'static str,
    code: unsafe extern "C" fn(),
}

/// All of them, by subject.
static TABLES: [&[Entry]; 8] = [
    locks::TABLE,
    later::TABLE,
    memory::TABLE,
    print::TABLE,
    references::TABLE,
    scenario::TABLE,
    sleep::TABLE,
    thread::TABLE,
];

/// The function that C code calls by this name.
pub(crate) fn lookup(name: &str) -> Option<*const ()> {
    let mut entries = TABLES.iter().flat_map(|table| table.iter());
    let entry = entries.find(|entry| entry.name == name)?;
    Some(entry.code as *const ())
}

/// Every name that C code can call.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    TABLES
        .iter()
        .flat_map(|table| table.iter())
        .map(|entry| entry.name)
}

/// Ends the run: C has called a function with an argument that it does not take.
#[cold]
#[track_caller]
fn refused(what: core::fmt::Arguments<'_>) -> ! {
    argument_refused(format_args!("{what} (in {})", curlwp().name()))
}

/// Whether nothing of the kernel runs: it boots, or every actor has ended. The machine calls C on an idle LWP then.
fn at_rest() -> bool {
    curlwp().is_idle() && !spl::cpu_intr_p()
}

/// Whether the kernel boots.
fn boots() -> bool {
    at_rest() && !curlwp().kernel().mp_online()
}

/// The level of this number.
fn level(number: i32) -> Ipl {
    match u8::try_from(number) {
        Ok(number) if number <= Ipl::High as u8 => Ipl::from_number(number),
        _ => refused(format_args!(
            "there is no interrupt priority level {number}"
        )),
    }
}

/// The register that has the argument after the given ones.
macro_rules! register_after {
    () => {
        "rdi"
    };
    ($a:ident) => {
        "rsi"
    };
    ($a:ident $b:ident) => {
        "rdx"
    };
    ($a:ident $b:ident $c:ident) => {
        "rcx"
    };
    ($a:ident $b:ident $c:ident $d:ident) => {
        "r8"
    };
    ($a:ident $b:ident $c:ident $d:ident $e:ident) => {
        "r9"
    };
}
use register_after;

/// A table of functions with at most five arguments, each of which fits a register for integers.
///
/// The entry of a function puts its return address behind the arguments, and goes on to a function that converts them.
/// Instructions in `#[packed(...)]` make five arguments of more before that.
macro_rules! bound {
    ($($(#[packed($($pack:literal),*)])? fn $name:ident($($arg:ident: $type:ty),* $(,)?) $(-> $result:ty)? $body:block)*) => {
        pub(super) static TABLE: &[$crate::c::bind::Entry] = &[$({
            extern "C" fn converted(
                $($arg: <$type as $crate::c::bind::FromC>::Word,)*
                caller: usize,
            ) -> <$crate::c::bind::result!($($result)?) as $crate::c::bind::IntoC>::Word {
                #[inline(always)]
                fn body($($arg: $type),*) $(-> $result)? $body

                $crate::c::bind::placed(caller, || {
                    $(
                        // SAFETY: the header declares what C passes.
                        let $arg = unsafe { <$type as $crate::c::bind::FromC>::from_c($arg) };
                    )*
                    $crate::c::bind::IntoC::into_c(body($($arg),*))
                })
            }

            #[unsafe(naked)]
            unsafe extern "C" fn entry() {
                core::arch::naked_asm!(
                    $($($pack,)*)?
                    concat!("mov ", $crate::c::bind::register_after!($($arg)*), ", [rsp]"),
                    "jmp {converted}",
                    converted = sym converted,
                )
            }

            $crate::c::bind::Entry { name: stringify!($name), code: entry }
        }),*];
    };
}
use bound;

macro_rules! result {
    () => {
        ()
    };
    ($result:ty) => {
        $result
    };
}
use result;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::{lookup, names};

    /// What the headers declare and a C file defines: a scenario, or a file of the kernel that is a primitive.
    const DEFINED_IN_C: [&str; 19] = [
        "rumplab_setup",
        "rumplab_verify",
        "rumplab_teardown",
        "mutex_init",
        "rw_init",
        "rw_vector_enter",
        "rw_vector_exit",
        "rw_vector_tryenter",
        "callout_init",
        "xc__highpri_intr",
        "xc_init_cpu",
        "xc_ipi_handler",
        "callout_startup",
        "callout_init_cpu",
        "callout_hardclock",
        "percpu_init",
        "percpu_init_cpu",
        "pserialize_init",
        "pserialize_switchpoint",
    ];
    /// What the compiler may call on its own, too. It is offered beside the hooks.
    const OF_THE_COMPILER: [&str; 5] = ["memcpy", "memmove", "memset", "memcmp", "strlen"];

    fn headers() -> Vec<PathBuf> {
        let include = Path::new(env!("CARGO_MANIFEST_DIR")).join("include");
        let mut headers = vec![include.join("rumplab.h")];
        for entry in fs::read_dir(include.join("sys")).expect("the headers") {
            headers.push(entry.expect("a header").path());
        }
        headers
    }

    /// The functions that a header declares: at the beginning of a line, with a semicolon behind the arguments.
    fn declared(text: &str) -> Vec<String> {
        let mut names = Vec::new();
        let mut lines = text.lines().peekable();
        while let Some(line) = lines.next() {
            let begins = line.starts_with(|c: char| c.is_ascii_lowercase());
            let Some((before, _)) = line.split_once('(').filter(|_| begins) else {
                continue;
            };
            let mut end = line.to_owned();
            while !end.ends_with([';', '{', '}', ')']) && lines.peek().is_some() {
                end = lines.next().unwrap_or_default().to_owned();
            }
            let name = before.rsplit([' ', '*']).next().unwrap_or_default();
            let kind = before.split(' ').next().unwrap_or_default();
            if end.ends_with(';') && !["typedef", "static"].contains(&kind) && !name.is_empty() {
                names.push(name.to_owned());
            }
        }
        names
    }

    #[test]
    fn what_a_header_declares_is_offered_and_nothing_else() {
        let mut all = BTreeSet::new();
        for header in headers() {
            let text = fs::read_to_string(&header).expect("a header");
            let names = declared(&text);
            all.extend(names);
        }
        assert!(
            all.len() > 120,
            "only {} declarations were found",
            all.len()
        );
        let offered = BTreeSet::from_iter(names().map(str::to_owned));
        let elsewhere = DEFINED_IN_C.iter().chain(&OF_THE_COMPILER);
        let elsewhere = BTreeSet::from_iter(elsewhere.map(|name| (*name).to_owned()));
        let missing = Vec::from_iter(
            all.iter()
                .filter(|name| !offered.contains(*name) && !elsewhere.contains(*name)),
        );
        assert!(missing.is_empty(), "declared and not offered: {missing:?}");
        let unknown = Vec::from_iter(offered.difference(&all));
        assert!(unknown.is_empty(), "offered and not declared: {unknown:?}");
    }

    #[test]
    fn each_name_has_one_function() {
        let all = Vec::from_iter(names());
        let different = BTreeSet::from_iter(all.iter().copied());
        assert_eq!(all.len(), different.len());
        let addresses =
            BTreeSet::from_iter(all.iter().map(|name| lookup(name).expect("an address")));
        assert_eq!(addresses.len(), all.len());
        assert_eq!(lookup("mutex_entre"), None);
    }
}
