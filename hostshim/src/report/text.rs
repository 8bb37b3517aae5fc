//! Lines of a report, each with a role. A terminal shows roles as styles; a snapshot ignores them.

use std::fmt;

/// The role of a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// What broke.
    Failure,
    /// That nothing broke.
    Success,
    /// The heading of a part.
    Heading,
    /// A forced switch.
    Departure,
    /// Detail that can be skipped.
    Aside,
    /// Everything else.
    Plain,
}

/// Width of a paragraph in columns.
const PAGE: usize = 100;

/// A text of lines.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Text(Vec<(Role, String)>);

impl Text {
    /// Adds a line, or several if `text` has line breaks. Trailing blanks are removed.
    pub fn add(&mut self, role: Role, text: impl AsRef<str>) {
        let text = text.as_ref();
        if text.is_empty() {
            self.0.push((role, String::new()));
        }
        self.0
            .extend(text.lines().map(|line| (role, line.trim_end().to_owned())));
    }

    /// Adds a paragraph, wrapped to the width of the page.
    pub fn wrap(&mut self, role: Role, paragraph: &str) {
        let mut line = String::new();
        for word in paragraph.split_whitespace() {
            if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > PAGE {
                self.add(role, &line);
                line.clear();
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        self.add(role, &line);
    }

    /// Adds an indented paragraph, as [`Text::wrap`] does, with a deeper indent from the second line on.
    pub fn wrap_hanging(&mut self, role: Role, paragraph: &str) {
        let first = self.0.len();
        self.wrap(role, paragraph);
        for (index, (_, line)) in self.0[first..].iter_mut().enumerate() {
            let indent = if index == 0 { "  " } else { "    " };
            line.insert_str(0, indent);
        }
    }

    /// Adds to the first line.
    pub fn extend_first(&mut self, words: &str) {
        if let Some((_, line)) = self.0.first_mut() {
            line.push_str(words);
        }
    }

    /// Puts a line in front of the one at `position`, or at the end if there are fewer.
    pub fn insert(&mut self, position: usize, role: Role, line: String) {
        self.0.insert(position.min(self.0.len()), (role, line));
    }

    /// Adds an empty line.
    pub fn gap(&mut self) {
        self.add(Role::Plain, "");
    }

    /// Adds another text.
    pub fn append(&mut self, mut other: Text) {
        self.0.append(&mut other.0);
    }

    /// The lines.
    pub fn lines(&self) -> impl Iterator<Item = (Role, &str)> {
        self.0.iter().map(|(role, line)| (*role, line.as_str()))
    }

    /// Number of lines.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no lines.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|(_, line)| writeln!(f, "{line}"))
    }
}
