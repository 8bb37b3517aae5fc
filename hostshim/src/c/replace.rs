//! Primitives of the kernel that a program in C defines itself.
//!
//! Their objects have a layout of their own. So a primitive is the kernel's or the program's as a whole.

use std::collections::BTreeSet;

use super::bind;

/// A primitive: its name, how the names of its functions begin, and functions of others that take its objects.
struct Primitive {
    name: &'static str,
    prefix: &'static str,
    takers: &'static [&'static str],
}

const fn primitive(name: &'static str, prefix: &'static str) -> Primitive {
    Primitive {
        name,
        prefix,
        takers: &[],
    }
}

/// Those that can be replaced.
const PRIMITIVES: [Primitive; 10] = [
    primitive("callout", "callout_"),
    primitive("localcount", "localcount_"),
    primitive("pcq", "pcq_"),
    primitive("percpu", "percpu_"),
    primitive("pserialize", "pserialize_"),
    primitive("psref", "psref_"),
    primitive("rwlock", "rw_"),
    primitive("workqueue", "workqueue_"),
    primitive("xcall", "xc_"),
    Primitive {
        name: "condvar",
        prefix: "cv_",
        takers: &["localcount_drain", "localcount_release"],
    },
];

/// What the kernel does for a primitive that the program defines.
const FOR_PRIMITIVES: [&str; 1] = ["xc_send_ipi"];

/// The macro that tells the headers that a primitive is the program's.
pub(super) fn define(name: &str) -> String {
    format!("-DRUMPLAB_REPLACE_{name}")
}

/// Checks that exactly the primitives of `replace` are defined by the program, each as a whole.
///
/// `defined` are the global names of the program, `wanted` those that its files refer to.
pub(super) fn check<'a>(
    replace: &[String],
    defined: impl Iterator<Item = &'a str>,
    wanted: impl Iterator<Item = &'a str>,
) -> Result<(), String> {
    for name in replace {
        if !PRIMITIVES.iter().any(|primitive| primitive.name == name) {
            let mut known = Vec::from_iter(PRIMITIVES.iter().map(|primitive| primitive.name));
            known.sort_unstable();
            return Err(format!(
                "`{name}` is no primitive that C can replace\n  help: --replace takes {}",
                known.join(", ")
            ));
        }
    }
    let (defined, wanted): (BTreeSet<_>, BTreeSet<_>) = (defined.collect(), wanted.collect());
    PRIMITIVES.iter().try_for_each(|primitive| {
        let replaced = replace.iter().any(|name| name == primitive.name);
        check_one(primitive, replaced, &defined, &wanted)
    })
}

fn check_one(
    primitive: &Primitive,
    replaced: bool,
    defined: &BTreeSet<&str>,
    wanted: &BTreeSet<&str>,
) -> Result<(), String> {
    let Primitive {
        name,
        prefix,
        takers,
    } = primitive;
    let mut own = defined
        .iter()
        .filter(|function| function.starts_with(prefix) && bind::lookup(function).is_some());
    match (own.next(), replaced) {
        (None, false) => return Ok(()),
        (Some(function), false) => {
            return Err(format!(
                "`{function}` is the kernel's, and defined by the program, too\n  help: --replace {name}, if the program's {name}(9) is to be \
                 used; or give the function another name"
            ));
        }
        (None, true) => {
            return Err(format!(
                "{name}(9) is to be replaced, and no file defines it\n  help: add the C file that does, or leave --replace {name} away"
            ));
        }
        (Some(_), true) => {}
    }
    let missing = |function: &&&str| {
        let of_primitive = function.starts_with(prefix) && !FOR_PRIMITIVES.contains(*function);
        of_primitive && !defined.contains(**function)
    };
    if let Some(function) = wanted.iter().find(missing) {
        return Err(format!(
            "`{function}` is used, and the program's {name}(9) does not define it\n  help: define it, or use another scenario: the kernel's \
             own does not know the program's objects"
        ));
    }
    let taken = |function: &&&str| wanted.contains(**function) && !defined.contains(**function);
    if let Some(function) = takers.iter().find(taken) {
        return Err(format!(
            "`{function}` is the kernel's, and does not know the objects of the program's {name}(9)\n  help: add a C file that defines it, \
             with --replace"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::check;

    fn checked(replace: &[&str], defined: &[&str], wanted: &[&str]) -> String {
        let replace = Vec::from_iter(replace.iter().map(|name| (*name).to_owned()));
        let checked = check(&replace, defined.iter().copied(), wanted.iter().copied());
        checked.err().unwrap_or_default()
    }

    #[test]
    fn a_primitive_is_replaced_as_a_whole_and_only_if_asked_for() {
        let pcq = ["pcq_put", "pcq_get", "helper"];
        assert_eq!(checked(&["pcq"], &pcq, &["pcq_put"]), "");
        assert_eq!(checked(&[], &["helper"], &["pcq_put"]), "");
        assert!(checked(&[], &pcq, &[]).contains("--replace pcq"));
        assert!(checked(&["pcq"], &["helper"], &[]).contains("no file defines it"));
        assert!(checked(&["pcq"], &pcq, &["pcq_peek"]).contains("`pcq_peek` is used"));
        assert!(checked(&["pqc"], &pcq, &[]).contains("callout, condvar, localcount, pcq"));
    }

    #[test]
    fn the_kernel_gets_no_object_of_a_replaced_primitive() {
        let told = checked(&["condvar"], &["cv_wait"], &["cv_wait", "localcount_drain"]);
        assert!(
            told.contains("`localcount_drain` is the kernel's"),
            "{told}"
        );
    }
}
