//! What of a file is not watched, as the compiler's assembly text shows it: inline assembly, and functions that access
//! memory without calling any hook.

use std::collections::{BTreeMap, BTreeSet};

/// What of a file is not watched.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Unwatched {
    /// The lines of inline assembly that is more than a barrier for the compiler.
    pub(crate) assembly: BTreeSet<(String, u32)>,
    /// Functions that access memory and call no hook.
    pub(crate) functions: BTreeSet<String>,
    /// The lines at which the compiler copies something itself.
    pub(crate) copies: BTreeSet<(String, u32)>,
}

/// A function whose text is being read.
struct Function<'a> {
    name: &'a str,
    /// The file in which it is defined.
    file: Option<u32>,
    is_hooked: bool,
    accesses: bool,
}

/// Reads the assembly text of a file. Functions in files below `headers`, which only pass arguments on, are left out.
pub(super) fn unwatched(text: &str, headers: &str) -> Unwatched {
    let mut unwatched = Unwatched::default();
    let mut files: BTreeMap<u32, String> = BTreeMap::new();
    let mut functions = BTreeSet::new();
    let mut at = (0, 0);
    let mut function: Option<Function<'_>> = None;
    let mut in_assembly = false;
    for line in text.lines() {
        let line = line.trim();
        let mut words = line.split_ascii_whitespace();
        let number = |word: Option<&str>| word.and_then(|word| word.parse().ok());
        match words.next() {
            Some("#APP") => in_assembly = true,
            Some("#NO_APP") => in_assembly = false,
            Some(".file") => {
                if let Some(number) = number(words.next()) {
                    files.insert(number, path(line));
                }
            }
            Some(".loc") => {
                at = (
                    number(words.next()).unwrap_or(0),
                    number(words.next()).unwrap_or(0),
                );
                if let Some(function) = &mut function {
                    function.file.get_or_insert(at.0);
                }
            }
            Some(".type") => {
                let of = words.next().unwrap_or_default();
                if let Some((name, "@function")) =
                    of.split_once(',').map(|(name, kind)| (name, kind.trim()))
                {
                    functions.insert(name);
                } else if words.next() == Some("@function") {
                    functions.insert(of.trim_end_matches(','));
                }
            }
            Some(".size") => {
                let ended = function.take();
                let ours = |number| {
                    files
                        .get(&number)
                        .is_some_and(|file| file.starts_with(headers))
                };
                if let Some(ended) = ended
                    && ended.accesses
                    && !ended.is_hooked
                    && !ended.file.is_some_and(ours)
                {
                    unwatched.functions.insert(ended.name.to_owned());
                }
            }
            Some(word) if in_assembly && !word.starts_with('#') => {
                let file = files.get(&at.0).cloned().unwrap_or_default();
                unwatched.assembly.insert((file, at.1));
            }
            Some(word) if word.ends_with(':') => {
                let name = word.trim_end_matches(':');
                if functions.contains(name) {
                    function = Some(Function {
                        name,
                        file: None,
                        is_hooked: false,
                        accesses: false,
                    });
                }
            }
            Some(word) if !word.starts_with(['.', '#']) => {
                if let Some(function) = &mut function {
                    function.is_hooked |= line.contains("__tsan_");
                    function.accesses |= accesses_memory(word, line);
                }
            }
            _ => {}
        }
    }
    unwatched
}

/// The path that a `.file` line names: one or two strings in quotes.
fn path(line: &str) -> String {
    let quoted = line.split('"').skip(1).step_by(2);
    let parts = Vec::from_iter(quoted.filter(|part| *part != "."));
    // A checksum is not quoted.
    parts.join("/").trim_start_matches("./").to_owned()
}

/// Whether an instruction accesses memory that is not on the stack.
fn accesses_memory(mnemonic: &str, line: &str) -> bool {
    if ["lea", "nop", "call", "jmp", "data16", "cs"]
        .iter()
        .any(|other| mnemonic.starts_with(other))
    {
        return false;
    }
    let mut bases = line.split("(%").skip(1);
    bases.any(|base| {
        !["rsp", "rbp", "rip"]
            .iter()
            .any(|own| base.starts_with(own))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "
\t.file\t0 \"/home\" \"a.c\" md5 0xd11b
\t.file\t1 \"rumplab/sys\" \"systm.h\"
\t.type\traw,@function
raw:                                    # @raw
\t.loc\t0 5 0
\tmovq\t%rsp, %rbp
\tmovl\t$3, (%rdi)
\t.size\traw, .-raw
\t.type\tmax, @function
max:
\t.loc\t0 6 0
\tmovl\t8(%rbp), %eax
\tleal\t1(%rdi), %eax
\t.size\tmax, .-max
\t.type\tone,@function
one:
\t.loc\t0 4 28
\tmovabsq\t$__tsan_read4, %rax
\tmovl\t(%rbx), %eax
\t#APP
\t#NO_APP
\t.loc\t0 9 3
#APP
# 9 \"a.c\" 1
\tlock incl (%rbx)
# 0 \"\" 2
#NO_APP
\t.size\tone, .-one
\t.type\tprintf,@function
printf:
\t.loc\t1 21 0
\tmovl\t(%rdi), %eax
\t.size\tprintf, .-printf
";

    #[test]
    fn what_calls_no_hook_is_found_and_what_needs_none_is_not() {
        let found = unwatched(TEXT, "rumplab/");
        assert_eq!(Vec::from_iter(&found.functions), ["raw"]);
        let line = ("/home/a.c".to_owned(), 9);
        assert_eq!(Vec::from_iter(&found.assembly), [&line]);
    }
}
