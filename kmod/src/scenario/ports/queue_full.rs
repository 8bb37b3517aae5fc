//! heapless issue 583: a bounded queue says that it is full when it is not. (loom issue 398 describes it, too.)

use super::{OLD, historical, start};
use crate::kern::lwp::{Arg, curlwp};
use crate::mem::{Acquire, AtomicU8, Plain, Relaxed, Release, relax};
use crate::scenario::classics::{free_data, shared};
use crate::scenario::{FIXED, PORTED, Scenario, broken_promise, runs};

const N: u8 = 2;

struct Cell {
    sequence: AtomicU8,
    value: Plain<u32>,
}

crate::fields!(Cell { sequence, value });

/// A cell can be filled if its sequence number is its position, and emptied if it is one more. Positions wrap.
struct Queue {
    cells: [Cell; N as usize],
    head: AtomicU8,
    tail: AtomicU8,
}

crate::fields!(Queue { cells, head, tail });

/// The program.
pub static SCENARIO: Scenario = Scenario {
    name: "queue-full",
    summary: "two threads each take an element out of a full queue and put it back",
    about: "The queue is bounded, and its cells have sequence numbers. There are as many elements as cells, so a \
            thread that has taken one out must find room for it.",
    variants: &[
        FIXED,
        historical("a put does not wait for a get that has claimed its cell and not emptied it"),
    ],
    setup: |kernel| {
        let cell = |position: u8, value| Cell {
            sequence: AtomicU8::new(position + 1),
            value: Plain::new(value),
        };
        let queue = Queue {
            cells: [cell(0, 10), cell(1, 11)],
            head: AtomicU8::new(0),
            tail: AtomicU8::new(N),
        };
        start(
            kernel,
            "queue",
            queue,
            &[("t0", 0, cycle), ("t1", 1, cycle)],
        );
    },
    teardown: free_data::<Queue>,
    ..PORTED
};

impl Queue {
    fn cell(&self, position: u8) -> &Cell {
        &self.cells[usize::from(position % N)]
    }

    fn get(&self) -> Option<u32> {
        let mut at = self.head.load(Relaxed);
        loop {
            let cell = self.cell(at);
            let next = at.wrapping_add(1);
            let lead = cell.sequence.load(Acquire).wrapping_sub(next) as i8;
            if lead < 0 {
                return None;
            }
            if lead > 0 {
                at = self.head.load(Relaxed);
                continue;
            }
            match self.head.compare_exchange_weak(at, next, Relaxed, Relaxed) {
                Ok(_) => {
                    let value = cell.value.get();
                    cell.sequence.store(at.wrapping_add(N), Release);
                    return Some(value);
                }
                Err(now) => at = now,
            }
        }
    }

    fn put(&self, value: u32) -> bool {
        let mut at = self.tail.load(Relaxed);
        loop {
            let cell = self.cell(at);
            let next = at.wrapping_add(1);
            let lead = cell.sequence.load(Acquire).wrapping_sub(at) as i8;
            if lead < 0 {
                if runs(OLD) {
                    return false;
                }
                // It is full only if no get has claimed the cell, and the tail has not moved.
                let head = self.head.load(Acquire);
                let now = self.tail.load(Acquire);
                if now == at && head.wrapping_add(N) == at {
                    return false;
                }
                relax();
                at = now;
                continue;
            }
            if lead > 0 {
                at = self.tail.load(Relaxed);
                continue;
            }
            match self.tail.compare_exchange_weak(at, next, Relaxed, Relaxed) {
                Ok(_) => {
                    cell.value.set(value);
                    cell.sequence.store(next, Release);
                    return true;
                }
                Err(now) => at = now,
            }
        }
    }
}

fn cycle(queue: Arg) {
    let queue: &Queue = shared(queue);
    for _ in 0..2 {
        if let Some(value) = queue.get()
            && !queue.put(value)
        {
            broken_promise(
                "queue-full",
                format_args!(
                    "{} has taken {value} out, and there is no room to put it back",
                    curlwp().name()
                ),
            );
        }
    }
}
