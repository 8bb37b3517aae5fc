//! Programs: lists of operations for each LWP, decoded from bytes or parsed from text.

use core::fmt;

use crate::scenario::ops::form::{Form, forms};
use crate::scenario::ops::topic::{Language, Topics};
use crate::scenario::ops::{MAX_LWPS, MAX_OPS};

/// One operation: a form and its operands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Op {
    /// Its index in [`forms`].
    form: u8,
    pub(crate) operands: [u8; 2],
}

impl Op {
    /// Decodes any three bytes to an operation on one of these topics.
    pub fn decode(topics: Topics, bytes: [u8; 3]) -> Op {
        let all = forms().enumerate();
        let forms = all.filter(|(_, form)| topics.contains(form.topic));
        let chosen = usize::from(bytes[0]) % forms.clone().count().max(1);
        // Every topic has operations, and a set of topics is never empty.
        let Some((number, form)) = forms.clone().nth(chosen) else {
            return Op::default();
        };
        let mut operands = [0; 2];
        for (value, (operand, byte)) in operands
            .iter_mut()
            .zip(form.operands.iter().zip(&bytes[1..]))
        {
            *value = operand.first + byte % operand.count;
        }
        Op {
            form: number as u8,
            operands,
        }
    }

    /// Parses an operation of a language from its name and operands. An error says what is wrong with which word (0:
    /// the name).
    pub fn parse<'a>(
        language: Language,
        words: impl Iterator<Item = &'a str>,
    ) -> Result<Op, (usize, &'static str)> {
        let mut words = words;
        let word = words.next().unwrap_or("");
        let is_it = |f: &Form| f.word == word && language.topics().contains(&f.topic);
        let (number, form) = forms()
            .enumerate()
            .find(|(_, f)| is_it(f))
            .ok_or((0, "no such operation"))?;
        let mut operands = [0; 2];
        for (i, operand) in form.operands.iter().enumerate() {
            let text = words.next().ok_or((i + 1, "an operand is missing"))?;
            let value: u8 = text.parse().map_err(|_| (i + 1, "not a number"))?;
            if !(operand.first..operand.first + operand.count).contains(&value) {
                return Err((i + 1, "out of range"));
            }
            operands[i] = value;
        }
        match words.next() {
            Some(_) => Err((form.operands.len() + 1, "one operand too many")),
            None => Ok(Op {
                form: number as u8,
                operands,
            }),
        }
    }

    /// Its form.
    pub fn form(&self) -> &'static Form {
        match forms().nth(self.form as usize) {
            Some(form) => form,
            None => unreachable!("`decode` and `parse` count forms"),
        }
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.form().word)?;
        for (_, value) in self.form().operands.iter().zip(self.operands) {
            write!(f, " {value}")?;
        }
        Ok(())
    }
}

/// The operations of one LWP.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Script {
    ops: [Op; MAX_OPS],
    length: u8,
}

impl Default for Script {
    fn default() -> Self {
        Script::EMPTY
    }
}

impl Script {
    /// Nothing to do.
    pub const EMPTY: Script = Script {
        ops: [Op {
            form: 0,
            operands: [0; 2],
        }; MAX_OPS],
        length: 0,
    };

    /// Its operations.
    pub fn ops(&self) -> &[Op] {
        &self.ops[..self.length as usize]
    }

    /// Adds an operation. Returns false if the script is full.
    pub fn push(&mut self, op: Op) -> bool {
        let room = (self.length as usize) < MAX_OPS;
        if room {
            self.ops[self.length as usize] = op;
            self.length += 1;
        }
        room
    }
}

/// The operations of all LWPs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Program {
    /// A script per LWP. LWP `n` starts on CPU `n` modulo the number of CPUs.
    pub scripts: [Script; MAX_LWPS],
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::scenario::ops::form::Run;
    use crate::scenario::ops::topic::Topic;

    /// Every topic of a language.
    fn all(language: Language) -> Topics {
        Topics::decode(language, [0xff, 0, 0])
    }
    use std::string::ToString;

    #[test]
    fn every_op_has_a_text_that_reads_back() {
        assert!(forms().count() <= 256, "a byte counts them");
        for language in Language::ALL {
            for a in 0..=255u8 {
                for (b, c) in [(0, 0), (1, 255), (77, 3), (255, 128)] {
                    let op = Op::decode(all(language), [a, b, c]);
                    let text = op.to_string();
                    assert_eq!(Op::parse(language, text.split(' ')), Ok(op), "{text}");
                }
            }
        }
    }

    #[test]
    fn every_topic_has_operations() {
        for language in Language::ALL {
            for &topic in language.topics() {
                let mut forms = language.forms();
                assert!(forms.any(|form| form.topic == topic), "{topic:?}");
            }
        }
        let few = Topics::decode(Language::Ops, [1, 2, 2]);
        for byte in 0..=255 {
            let topic = Op::decode(few, [byte, 0, 0]).form().topic;
            assert!(matches!(topic, Topic::Mutex | Topic::Condvar), "{topic:?}");
        }
    }

    #[test]
    fn words_are_distinct_in_a_language() {
        for language in Language::ALL {
            for (i, form) in language.forms().enumerate() {
                let mut before = language.forms().take(i);
                assert!(before.all(|f| f.word != form.word), "{}", form.word);
            }
        }
    }

    #[test]
    fn every_form_runs_in_its_languages() {
        for language in Language::ALL {
            for form in language.forms() {
                let fits = matches!(
                    (language, form.run),
                    (_, Run::Lwp(_))
                        | (Language::Ops, Run::Ops(_))
                        | (Language::Softnet, Run::Softnet(_))
                );
                assert!(fits, "{}", form.word);
            }
        }
    }

    #[test]
    fn a_wrong_word_is_named() {
        assert_eq!(
            Op::parse(Language::Ops, "mutex_entr 1".split(' ')),
            Err((0, "no such operation"))
        );
        assert_eq!(
            Op::parse(Language::Ops, "mutex_enter".split(' ')),
            Err((1, "an operand is missing"))
        );
        assert_eq!(
            Op::parse(Language::Ops, "mutex_enter x".split(' ')),
            Err((1, "not a number"))
        );
        assert_eq!(
            Op::parse(Language::Ops, "mutex_enter 9".split(' ')),
            Err((1, "out of range"))
        );
        assert_eq!(
            Op::parse(Language::Ops, "mutex_enter 1 1".split(' ')),
            Err((2, "one operand too many"))
        );
    }

    #[test]
    fn a_script_has_a_bound() {
        let mut script = Script::default();
        let pushed = (0..100).filter(|_| script.push(Op::default())).count();
        assert_eq!(pushed, MAX_OPS);
        assert_eq!(script.ops().len(), MAX_OPS);
    }
}
