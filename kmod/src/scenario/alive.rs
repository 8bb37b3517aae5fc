//! A word by which whoever keeps an object sees that it is alive.
//!
//! The simulated machine reports a touch of freed memory by itself. The word says it on the booted machine, too, where
//! freed memory may still be read, and between the end of an object and the return of its memory.

use crate::kern::lwp::curlwp;
use crate::machine::{Described, Field};
use crate::mem::Plain;
use crate::scenario::broken_promise;

const ALIVE: u32 = 0x600d;
const ENDED: u32 = 0xdead;

/// Part of an object that readers or references keep from being destroyed.
pub struct Alive(Plain<u32>);

/// A word to traces: its name is that of the field that holds it.
impl Described for Alive {
    const FIELDS: &'static [Field] = &[];
}

impl Default for Alive {
    fn default() -> Self {
        Self::new()
    }
}

impl Alive {
    /// Of an object that is alive.
    pub const fn new() -> Self {
        Alive(Plain::new(ALIVE))
    }

    /// What everybody does who keeps the object. `promise` is what is broken if it is not alive.
    #[track_caller]
    pub fn check(&self, promise: &'static str) {
        let word = self.0.get();
        if word != ALIVE {
            broken_promise(
                promise,
                format_args!(
                    "{} keeps an object that was destroyed meanwhile: its word is {word:#x}",
                    curlwp().name()
                ),
            );
        }
    }

    /// What whoever destroys the object does, before its memory is given back.
    #[track_caller]
    pub fn end(&self) {
        self.0.set(ENDED);
    }
}
