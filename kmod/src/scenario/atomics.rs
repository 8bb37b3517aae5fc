//! Tests of the atomic cells: each operation is one step, whatever the width of the word.

use crate::kern::lwp::{Arg, curlwp};
use crate::machine;
use crate::mem::{
    AcqRel, AtomicBool, AtomicI8, AtomicI16, AtomicI32, AtomicI64, AtomicIsize, AtomicU8,
    AtomicU16, AtomicU32, AtomicU64, AtomicUsize, Relaxed,
};
use crate::scenario::classics::{free_data, shared};
use crate::scenario::{FIXED, Kind, Scenario, actor, broken_promise, share};

macro_rules! words {
    ($($name:ident: $type:ty),* $(,)?) => {
        /// A word of each width, side by side.
        #[derive(Default)]
        struct Words {
            $($name: $type,)*
            flag: AtomicBool,
            most: AtomicI16,
            least: AtomicI16,
            tickets: AtomicU16,
            drawn: AtomicU16,
        }

        crate::fields!(Words { $($name,)* flag, most, least, tickets, drawn });

        impl Words {
            /// Adds 1 to each word, in two steps.
            fn add(&self) {
                $(
                    self.$name.fetch_add(3, Relaxed);
                    self.$name.fetch_sub(2, Relaxed);
                )*
            }

            /// Asserts that each word is `sum`.
            fn check(&self, sum: u32) {
                $(
                    let word = self.$name.peek();
                    if word as u32 != sum {
                        broken_promise(
                            "atomics-sum",
                            format_args!("{} is {word}, and {sum} was added to 0", stringify!($type)),
                        );
                    }
                )*
            }
        }
    };
}

words! {
    i8: AtomicI8,
    u8: AtomicU8,
    i16: AtomicI16,
    u16: AtomicU16,
    i32: AtomicI32,
    u32: AtomicU32,
    i64: AtomicI64,
    u64: AtomicU64,
    isize: AtomicIsize,
    usize: AtomicUsize,
}

/// Threads that change the same words.
pub static WHOLE: Scenario = Scenario {
    name: "atomics-whole",
    summary: "two threads change words of every width with every operation",
    about: "The words are neighbours. Both threads add to each of them, keep the maximum and the minimum of the \
            numbers that they draw, and toggle a flag; numbers are drawn with fetch_update. No change may be \
            lost, none may affect the neighbouring word, and no number may be drawn twice.",
    variants: &[FIXED],
    min_cpus: 1,
    default_cpus: 2,
    kind: Kind::Sound,
    configure: |_| {},
    setup: |kernel| {
        let words = share("words", Words::default());
        machine::label(words, format_args!("words"));
        kernel.set_data(Arg::of(words));
        actor(kernel, "t0", 0, change, Arg::of(words));
        actor(kernel, "t1", 1, change, Arg::of(words));
    },
    verify: |kernel| {
        let words: &Words = shared(kernel.data());
        let rounds = kernel.config().repeat;
        words.check(2 * rounds);
        let (most, least, flag) = (words.most.peek(), words.least.peek(), words.flag.peek());
        let last = i16::try_from(2 * rounds).unwrap_or(i16::MAX) - 1;
        if (most, least, flag) != (last, -last, false) {
            broken_promise(
                "atomics-extremes",
                format_args!(
                    "of 0 to {last} the maximum is {most}, of the negatives the minimum {least}; the flag was toggled an even number of times, and is {flag}"
                ),
            );
        }
    },
    teardown: free_data::<Words>,
};

fn change(words: Arg) {
    let words: &Words = shared(words);
    for _ in 0..curlwp().kernel().config().repeat {
        words.add();
        words.flag.fetch_xor(true, Relaxed);
        words.flag.fetch_nand(true, Relaxed);
        words.flag.fetch_nand(true, Relaxed);
        let next = |ticket: u16| ticket.checked_add(1);
        if let Ok(ticket) = words.tickets.fetch_update(AcqRel, Relaxed, next) {
            draw(words, ticket);
        }
    }
}

/// The caller has drawn this number.
fn draw(words: &Words, ticket: u16) {
    // A booted machine draws more numbers than the word has bits.
    let bit = 1_u16.checked_shl(ticket.into()).unwrap_or(0);
    if words.drawn.fetch_or(bit, Relaxed) & bit != 0 {
        broken_promise(
            "atomics-ticket",
            format_args!(
                "{} has drawn {ticket}, which was drawn before",
                curlwp().name()
            ),
        );
    }
    let number = ticket as i16;
    words.most.fetch_max(number, Relaxed);
    words.least.fetch_min(-number, Relaxed);
}
