//! A word in an object that shows whether the object is alive.
//!
//! The simulated machine detects accesses to freed memory itself. The word also detects them on the booted machine,
//! where freed memory may still be readable, and between the end of an object and the free of its memory.

use crate::kern::lwp::curlwp;
use crate::machine::{Described, Field};
use crate::mem::Plain;
use crate::scenario::broken_promise;

const ALIVE: u32 = 0x600d;
const ENDED: u32 = 0xdead;

/// Part of an object that readers or references keep from being destroyed.
pub struct Alive(Plain<u32>);

/// To traces it is one word, named after the field that contains it.
impl Described for Alive {
    const FIELDS: &'static [Field] = &[];
}

impl Default for Alive {
    fn default() -> Self {
        Self::new()
    }
}

impl Alive {
    /// The word of an object that is alive.
    pub const fn new() -> Self {
        Alive(Plain::new(ALIVE))
    }

    /// Called by every holder. `promise` is the assertion that fails if the object is not alive.
    #[track_caller]
    pub fn check(&self, promise: &'static str) {
        let word = self.0.get();
        if word != ALIVE {
            broken_promise(
                promise,
                format_args!(
                    "{} uses an object that was destroyed meanwhile: its word is {word:#x}",
                    curlwp().name()
                ),
            );
        }
    }

    /// Called before the memory of the object is freed.
    #[track_caller]
    pub fn end(&self) {
        self.0.set(ENDED);
    }
}
