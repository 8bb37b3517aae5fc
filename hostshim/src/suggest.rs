//! Suggestions for misspelled names.

/// The most names that are suggested.
const SUGGESTED: usize = 3;
/// Names that are listed, at most.
const LISTED: usize = 20;

/// The names nearest to a word, and all names.
pub struct Suggestion {
    /// Names close enough to be meant, nearest first.
    near: Vec<String>,
    /// The nearest names, at any distance.
    nearest: Vec<String>,
    all: Vec<String>,
}

/// Compares `word` with each of `names`.
pub fn nearest<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> Suggestion {
    let all: Vec<String> = names.into_iter().map(str::to_owned).collect();
    let distances = all.iter().map(|name| (apart(word, name), name));
    let mut distances = Vec::from_iter(distances);
    // At the same distance, shorter names come first, then those earlier in the list.
    distances.sort_by_key(|(distance, name)| (*distance, name.len()));
    // A third of the letters may be wrong; beyond that, a guess is no help.
    let is_near =
        |(distance, name): &&(usize, &String)| *distance <= name.chars().count().max(3) / 3;
    let names = |(_, name): &(usize, &String)| (*name).clone();
    let best = distances.first().map(|(distance, _)| *distance);
    // An exact match is returned alone.
    let fits = |(distance, _): &&(usize, &String)| match best {
        None | Some(0) => *distance == 0,
        Some(best) => *distance <= best + 1,
    };
    let mut near: Vec<String> = Vec::new();
    for (_, name) in distances.iter().filter(is_near).filter(fits) {
        // A name that begins with a name already suggested adds nothing.
        if !near.iter().any(|told| name.starts_with(told)) {
            near.push((*name).clone());
        }
    }
    near.truncate(SUGGESTED);
    Suggestion {
        near,
        nearest: distances.iter().take(SUGGESTED).map(names).collect(),
        all,
    }
}

impl Suggestion {
    /// The names close enough to be meant, nearest first: three at most.
    pub fn names(&self) -> &[String] {
        &self.near
    }

    /// A sentence: the names that are close; otherwise all of them, or the nearest if there are too many.
    pub fn help(&self) -> String {
        match self.near.is_empty() && self.all.len() > LISTED {
            true => format!("the nearest are {}", list(&self.nearest, "and")),
            false => self.help_or_all(),
        }
    }

    /// A sentence: the names that are near, else all of them, for names that nothing else lists.
    pub fn help_or_all(&self) -> String {
        match self.near.is_empty() {
            false => format!("did you mean {}?", list(&self.near, "or")),
            true => format!("it can be {}", self.all.join(", ")),
        }
    }
}

/// `a`, `b` or `c`.
fn list(names: &[String], or: &str) -> String {
    let quoted = Vec::from_iter(names.iter().map(|name| format!("`{name}`")));
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} {or} {last}", others.join(", ")),
        None => String::new(),
    }
}

/// The distance of a name from a word.
fn apart(word: &str, name: &str) -> usize {
    // Only a part of the name was given.
    match word.len() >= 3 && name.contains(word) {
        true => 0,
        false => distance(word, name),
    }
}

/// The edit distance: how many letters must be changed, added, removed or swapped with their neighbour to turn one
/// word into the other.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before = Vec::new();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for i in 0..a.len() {
        let mut next = vec![i + 1];
        for j in 0..b.len() {
            let changed = row[j] + usize::from(a[i] != b[j]);
            let mut least = changed.min(row[j + 1] + 1).min(next[j] + 1);
            if i > 0 && j > 0 && a[i] == b[j - 1] && a[i - 1] == b[j] {
                least = least.min(before[j - 1] + 1);
            }
            next.push(least);
        }
        before = std::mem::replace(&mut row, next);
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (a, b, expected) in [
            ("", "abc", 3),
            ("abc", "abc", 0),
            ("kitten", "sitting", 3),
            ("rnu", "run", 1),
            ("abab", "abba", 1),
        ] {
            assert_eq!(distance(a, b), expected, "{a} {b}");
            assert_eq!(distance(b, a), expected, "{b} {a}");
        }
    }

    #[test]
    fn near_names_are_suggested_and_far_ones_are_not() {
        let names = [
            "abba",
            "lost-update",
            "xcall-early-count",
            "xcall-late",
            "historical-1.13",
            "historical",
        ];
        for (word, help) in [
            ("xcall-erly-cuont", "did you mean `xcall-early-count`?"),
            ("abab", "did you mean `abba`?"),
            ("xcall", "did you mean `xcall-late` or `xcall-early-count`?"),
            ("hist", "did you mean `historical`?"),
            ("update", "did you mean `lost-update`?"),
            (
                "?",
                "it can be abba, lost-update, xcall-early-count, xcall-late, historical-1.13, historical",
            ),
        ] {
            assert_eq!(nearest(word, names).help(), help);
        }
    }

    #[test]
    fn of_many_names_the_three_nearest_are_told() {
        let names = Vec::from_iter((0..100).map(|number| format!("number-{number:02}")));
        let names = || names.iter().map(String::as_str);
        assert_eq!(
            nearest("number-7", names()).help(),
            "did you mean `number-70`, `number-71` or `number-72`?"
        );
        let help = nearest("?", names()).help();
        assert_eq!(
            help,
            "the nearest are `number-00`, `number-01` and `number-02`"
        );
    }
}
