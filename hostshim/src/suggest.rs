//! What somebody may have meant.

/// The name nearest to a word, and all names.
pub struct Suggestion {
    nearest: Option<String>,
    all: Vec<String>,
}

/// Compares `word` with each of `names`.
pub fn nearest<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> Suggestion {
    let all: Vec<String> = names.into_iter().map(str::to_owned).collect();
    let apart = |name: &str| match name.strip_prefix(word) {
        // Somebody wrote only the beginning.
        Some(_) if word.len() >= 3 => 0,
        _ => distance(word, name),
    };
    let distances = all.iter().map(|name| (apart(name), name));
    // A third of the letters may be wrong; beyond that, a guess helps nobody.
    let near = distances.filter(|(d, name)| *d <= name.chars().count().max(3) / 3);
    let nearest = near.min_by_key(|(d, _)| *d).map(|(_, name)| name.clone());
    Suggestion { nearest, all }
}

impl Suggestion {
    /// A sentence: the nearest name if one is near, else all of them.
    pub fn help(&self) -> String {
        match &self.nearest {
            Some(name) => format!("did you mean `{name}`?"),
            None => format!("it can be {}", self.all.join(", ")),
        }
    }
}

/// How many letters must be changed, added or taken away to make one word of the other.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, letter) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, other) in b.iter().enumerate() {
            let changed = diagonal + usize::from(letter != *other);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (a, b, expected) in [("", "abc", 3), ("abc", "abc", 0), ("kitten", "sitting", 3)] {
            assert_eq!(distance(a, b), expected, "{a} {b}");
            assert_eq!(distance(b, a), expected, "{b} {a}");
        }
    }

    #[test]
    fn a_near_name_is_suggested_and_a_far_one_is_not() {
        let names = ["abba", "lost-update", "xcall-early-count"];
        assert_eq!(
            nearest("xcall-erly-cuont", names).help(),
            "did you mean `xcall-early-count`?"
        );
        assert_eq!(
            nearest("abab", names).help(),
            "it can be abba, lost-update, xcall-early-count"
        );
        assert_eq!(
            nearest("xcall", names).help(),
            "did you mean `xcall-early-count`?"
        );
        assert_eq!(
            nearest("?", names).help(),
            "it can be abba, lost-update, xcall-early-count"
        );
    }
}
