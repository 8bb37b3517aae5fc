//! A place for one letter.

use crate::sys::sync::{Condvar, Mutex};

/// A place for one letter. Who takes it waits for it.
pub struct Mailbox<T> {
    letter: Mutex<Option<T>>,
    arrived: Condvar,
}

impl<T> Mailbox<T> {
    /// An empty one.
    pub const fn new() -> Self {
        Mailbox {
            letter: Mutex::new(None),
            arrived: Condvar::new(),
        }
    }

    /// Puts a letter in, in place of one that is there.
    pub fn put(&self, letter: T) {
        *self.letter.lock().unwrap() = Some(letter);
        self.arrived.notify_one();
    }

    /// Takes the letter out, when there is one.
    pub fn take(&self) -> T {
        let mut letter = self.letter.lock().unwrap();
        loop {
            match letter.take() {
                Some(letter) => return letter,
                None => letter = self.arrived.wait(letter).unwrap(),
            }
        }
    }

    /// Takes the letter out. Wrong: between the look and the wait a letter can arrive.
    pub fn take_badly(&self) -> T {
        while self.letter.lock().unwrap().is_none() {
            let letter = self.letter.lock().unwrap();
            drop(self.arrived.wait(letter).unwrap());
        }
        self.letter.lock().unwrap().take().unwrap()
    }
}

impl<T> Default for Mailbox<T> {
    fn default() -> Self {
        Mailbox::new()
    }
}
