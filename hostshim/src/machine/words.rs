//! Interned texts.
//!
//! A run along a list of names needs the name of every point, and these are the same few hundred texts again and
//! again.

use std::collections::BTreeMap;
use std::rc::Rc;

use kmod::machine::Kind;

/// A text of one machine, until that boots another kernel.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Word(u32);

impl Word {
    /// The word of an operation.
    pub(crate) const fn of(kind: Kind) -> Word {
        Word(kind as u32)
    }

    /// `wait`.
    pub(crate) const WAIT: Word = Word(Kind::ALL.len() as u32);
    /// `spin`.
    pub(crate) const SPIN: Word = Word(Self::WAIT.0 + 1);
    /// `start`.
    pub(crate) const START: Word = Word(Self::WAIT.0 + 2);
    /// No text.
    pub(crate) const NOTHING: Word = Word(Self::WAIT.0 + 3);
}

/// The texts of a machine.
pub(crate) struct Words {
    texts: Vec<Rc<str>>,
    words: BTreeMap<Rc<str>, Word>,
}

impl Default for Words {
    /// With the words that have constants.
    fn default() -> Words {
        let mut words = Words {
            texts: Vec::new(),
            words: BTreeMap::new(),
        };
        let kinds = Kind::ALL.iter().map(|kind| kind.name());
        for text in kinds.chain(["wait", "spin", "start", ""]) {
            words.word(text);
        }
        words
    }
}

impl Words {
    /// The word for a text.
    pub(crate) fn word(&mut self, text: &str) -> Word {
        if let Some(&word) = self.words.get(text) {
            return word;
        }
        let (text, word) = (Rc::from(text), Word(self.texts.len() as u32));
        self.texts.push(Rc::clone(&text));
        self.words.insert(text, word);
        word
    }

    /// The text of a word.
    pub(crate) fn text(&self, word: Word) -> &str {
        self.texts.get(word.0 as usize).map_or("?", |text| text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_has_one_word() {
        let mut words = Words::default();
        let (a, b) = (words.word("a"), words.word("b"));
        assert_ne!(a, b);
        assert_eq!(words.word("a"), a);
        assert_eq!((words.text(a), words.text(b)), ("a", "b"));
    }

    #[test]
    fn the_constants_stand_for_their_texts() {
        let words = Words::default();
        for kind in Kind::ALL {
            assert_eq!(words.text(Word::of(kind)), kind.name());
        }
        let others = [Word::WAIT, Word::SPIN, Word::START, Word::NOTHING];
        assert_eq!(
            others.map(|word| words.text(word)),
            ["wait", "spin", "start", ""]
        );
    }
}
