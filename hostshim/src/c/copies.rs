//! What a compiler copies without a hook, as its own intermediate text shows it: structures that are passed by value or
//! returned, and values of sizes that it announces nothing of.
//!
//! The text is read line by line, and only as far as it is needed here. What is unknown is passed over.

use std::collections::{BTreeMap, BTreeSet};

/// Lines of the source.
pub(super) type Lines = BTreeSet<(String, u32)>;

/// Reads LLVM's text. clang announces accesses of 1, 2, 4, 8 and 16 bytes. A structure that is passed by value is copied
/// by the call itself.
pub(super) fn of_clang(text: &str) -> Lines {
    let mut found = BTreeSet::new();
    let mut own = BTreeSet::new();
    for line in text.lines().map(str::trim) {
        if line.starts_with("define ") {
            own.clear();
        }
        if let Some((name, _)) = line.split_once(" = alloca ") {
            own.insert(name);
        }
        // A copy of what is on the stack, and of no interest to others.
        let is_own = |argument: &str| own.contains(last_word(argument));
        let copies = match line.contains("call ") {
            true => line
                .split(", ptr ")
                .flat_map(|part| part.split("(ptr "))
                .any(|argument| {
                    let argument = argument.split([',', ')']).collect::<Vec<_>>();
                    // `byval(%struct.s) align 8 %1)`: the parenthesis of the type ends the first part.
                    let whole = argument.iter().any(|part| part.contains("byval("));
                    whole && !argument.iter().any(|part| is_own(part))
                }),
            false => accessed(line)
                .is_some_and(|(kind, address)| !is_announced(kind) && !is_own(address)),
        };
        if copies && let Some((_, number)) = line.rsplit_once("!dbg !") {
            found.extend(
                number
                    .split(',')
                    .next()
                    .and_then(|number| number.trim().parse::<u32>().ok()),
            );
        }
    }
    places(text, &found)
}

/// The type of a load or a store, and its address.
fn accessed(line: &str) -> Option<(&str, &str)> {
    let after = match line.split_once(" = load ") {
        Some((_, after)) => after,
        None => line.strip_prefix("store ")?,
    };
    let after = after.strip_prefix("volatile ").unwrap_or(after);
    let is_load = !line.starts_with("store ");
    let (value, rest) = after.split_once(", ptr ")?;
    let address = rest.split(',').next()?.trim();
    match is_load {
        true => Some((value, address)),
        // The value follows its type, which may have blanks.
        false => match value.strip_prefix('<') {
            Some(vector) => Some((&value[..vector.find('>')? + 2], address)),
            None => Some((value.split(' ').next()?, address)),
        },
    }
}

/// Whether clang announces accesses of this type.
fn is_announced(kind: &str) -> bool {
    let bits = |kind: &str| match kind {
        "ptr" | "double" => Some(64),
        "float" => Some(32),
        "half" | "bfloat" => Some(16),
        "fp128" => Some(128),
        "x86_fp80" => Some(80),
        _ => kind
            .strip_prefix('i')
            .and_then(|bits| bits.parse::<u32>().ok()),
    };
    let size = match kind
        .strip_prefix('<')
        .and_then(|kind| kind.strip_suffix('>'))
    {
        Some(vector) => vector
            .split_once(" x ")
            .and_then(|(count, one)| Some(count.parse::<u32>().ok()? * bits(one)?)),
        None => bits(kind),
    };
    size.is_none_or(|bits| [8, 16, 32, 64, 128].contains(&bits.next_multiple_of(8)))
}

fn last_word(text: &str) -> &str {
    text.split_ascii_whitespace()
        .next_back()
        .unwrap_or_default()
}

/// The lines of these places, by the numbers that LLVM's text gives them.
fn places(text: &str, numbers: &BTreeSet<u32>) -> Lines {
    let mut nodes: BTreeMap<u32, &str> = BTreeMap::new();
    for line in text.lines().filter(|line| line.starts_with('!')) {
        if let Some((number, node)) = line[1..].split_once(" = ")
            && let Ok(number) = number.parse()
        {
            nodes.insert(number, node);
        }
    }
    let member = |node: &str, name: &str| {
        let (_, after) = node.split_once(&format!("{name}: "))?;
        let value = after.split([',', ')']).next()?;
        Some(value.trim_matches(['!', '"']).to_owned())
    };
    let place = |number: &u32| {
        let node = nodes.get(number)?;
        let line = member(node, "line")?.parse().ok()?;
        let scope = nodes.get(&member(node, "scope")?.parse().ok()?)?;
        let file = nodes.get(&member(scope, "file")?.parse().ok()?)?;
        let name = member(file, "filename")?;
        Some((name.trim_start_matches("./").to_owned(), line))
    };
    numbers.iter().filter_map(place).collect()
}

/// Reads gcc's text of its last form before registers. A call there has values in its arguments and its result, or
/// whole structures, which it copies. A bare name is a structure if `assembly` defines such a variable; else it may be a
/// function.
pub(super) fn of_gcc(text: &str, assembly: &str) -> Lines {
    let variables = assembly.lines().filter_map(|line| {
        line.trim()
            .strip_prefix(".type\t")?
            .strip_suffix(", @object")
    });
    let variables = BTreeSet::from_iter(variables);
    let mut found = BTreeSet::new();
    let mut own = BTreeSet::new();
    for line in text.lines() {
        if line.starts_with(";; Function ") {
            own.clear();
        }
        let (statement, place) = without_places(&without_texts(line));
        // `  struct s own;`
        if let Some(variable) = statement.strip_suffix(';')
            && !variable.contains(['(', '='])
            && !variable.starts_with("static ")
        {
            own.insert(last_word(variable).to_owned());
        }
        let Some((before, arguments)) = statement.split_once(" (") else {
            continue;
        };
        let (result, function) = before.split_once(" = ").unwrap_or(("", before));
        let is_name = |name: &str| {
            !name.is_empty()
                && name
                    .chars()
                    .all(|letter| letter.is_alphanumeric() || "_.".contains(letter))
        };
        let is_call = is_name(function.trim()) && statement.ends_with(';');
        if !is_call || function.contains("__tsan_") || function.trim() == "if" {
            continue;
        }
        let arguments = arguments.trim_end_matches([';', ')', ' ']);
        let mut all = arguments.split(", ").chain([result]);
        if all.any(|value| is_memory(value.trim(), &variables, &own))
            && let Some(place) = place
        {
            found.insert(place);
        }
    }
    found
}

/// Whether this is a structure in memory, and not one of the function's own.
fn is_memory(value: &str, variables: &BTreeSet<&str>, own: &BTreeSet<String>) -> bool {
    let base = value.split(['.', '[']).next().unwrap_or_default();
    let is_address = value.starts_with(['&', '"']);
    let is_number = value.starts_with(|first: char| first.is_ascii_digit() || first == '-');
    // A value in a register has the number of its version: `q_2(D)`, `_4`, `own.0_9`.
    let version = value.rsplit_once('_').map(|(_, version)| {
        let version = version.trim_end_matches(')');
        version.strip_suffix("(D").unwrap_or(version)
    });
    let is_register = version.is_some_and(|version| {
        !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_digit())
    });
    if value.is_empty() || is_address || is_number || value.starts_with(['(', '{']) {
        return false;
    }
    let is_reached = value.starts_with('*') || value.starts_with("MEM") || value.contains("->");
    is_reached || !is_register && !own.contains(base) && variables.contains(base)
}

/// A line with nothing in its quotes.
fn without_texts(line: &str) -> String {
    let mut kept = String::new();
    let (mut is_text, mut is_escaped) = (false, false);
    for letter in line.chars() {
        let ends = letter == '"' && !is_escaped;
        if !is_text || ends {
            kept.push(letter);
        }
        is_text ^= ends;
        is_escaped = is_text && letter == '\\' && !is_escaped;
    }
    kept
}

/// A statement without the places in brackets, and the first of these.
fn without_places(line: &str) -> (String, Option<(String, u32)>) {
    let mut statement = String::new();
    let mut place = None;
    let mut rest = line.trim();
    while let Some(begin) = rest.find('[') {
        let (before, bracket) = rest.split_at(begin);
        statement += before;
        let end = bracket.find(']').map_or(bracket.len(), |end| end + 1);
        let inside = bracket[1..end].trim_end_matches(']');
        let mut parts = inside
            .split(" discrim ")
            .next()
            .unwrap_or_default()
            .rsplitn(3, ':');
        match (
            parts.next(),
            parts.next().and_then(|line| line.parse().ok()),
            parts.next(),
        ) {
            (Some(_), Some(line), Some(file)) => {
                place.get_or_insert((file.trim_start_matches("./").to_owned(), line));
                rest = bracket[end..].trim_start();
            }
            // An element of an array.
            _ => {
                statement += &bracket[..end];
                rest = &bracket[end..];
            }
        }
    }
    (statement + rest, place)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(lines: &Lines) -> Vec<u32> {
        lines.iter().map(|(_, line)| *line).collect()
    }

    #[test]
    fn copies_of_clang_are_found() {
        let text = "
define dso_local void @f(ptr noundef %0) !dbg !5 {
  %2 = alloca %struct.s, align 8
  call void @take(ptr noundef byval(%struct.s) align 8 %0) #19, !dbg !6
  call void @take(ptr noundef byval(%struct.s) align 8 %2) #19, !dbg !7
  %3 = load x86_fp80, ptr %0, align 16, !dbg !8
  %4 = load <4 x i32>, ptr %0, align 16, !dbg !9
  store <8 x i32> %9, ptr %0, align 32, !dbg !10
  store i1 %4, ptr %0, align 1, !dbg !11
  store i64 3, ptr %0, align 8, !dbg !11
}
!3 = !DIFile(filename: \"./a.c\", directory: \".\")
!5 = distinct !DISubprogram(name: \"f\", scope: !3, file: !3, line: 1)
!6 = !DILocation(line: 2, column: 3, scope: !5)
!7 = !DILocation(line: 3, column: 3, scope: !5)
!8 = !DILocation(line: 4, column: 3, scope: !5)
!9 = !DILocation(line: 5, column: 3, scope: !5)
!10 = !DILocation(line: 6, column: 3, scope: !5)
!11 = !DILocation(line: 7, column: 3, scope: !5)
";
        let found = of_clang(text);
        assert_eq!(lines(&found), [2, 4, 6]);
        assert!(found.contains(&("a.c".to_owned(), 2)));
    }

    #[test]
    fn copies_of_gcc_are_found() {
        let text = ";; Function f (f, funcdef_no=0)
void f (struct s * p, struct s * q)
{
  struct s own;
  [a.c:2:35] _4 = __builtin_return_address (0);
  [a.c:2:35] __builtin___tsan_func_entry (_4);
  [a.c:3:42] [a.c:3:37] *p_2(D) = of (q_3(D));
  [a.c:4:37 discrim 1] take ([a.c:4:37] *q_2(D));
  [a.c:5:37] take (own);
  [a.c:6:37] take (shared);
  [a.c:7:37] _5 = foo (q_2(D), 32, &shared, \"text\", _4, 0B);
  [a.c:8:37] own = of (q_3(D));
  [a.c:9:3] if (_5 != 0)
  [a.c:10:3] keep ([a.c:10:3] (long int) _5);
  [a.c:11:37] take (MEM[(struct s *)q_2(D) + 8B]);
  [a.c:12:46] lend (own.0_9, 16);
  [a.c:13:3] start (f, other);
  [a.c:14:3] broken ([a.c:14:3] \"name\", [a.c:14:3] \"a, *p->b == \\\"shared\\\"\", &p_3->x);
";
        let assembly = "\t.type\tshared, @object\n\t.type\tf, @function\n";
        assert_eq!(lines(&of_gcc(text, assembly)), [3, 4, 6, 11]);
    }
}
