//! A fault inside of the allocator is told, and never a hang.
//!
//! The allocator's lock may be held, and whatever the machine has borrowed stays borrowed. So such a run cannot be reported as
//! others are: the process says what ran, and ends. Each fault takes a process: this program is called by itself.

use hostshim::registry::Registry;
use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use hostshim::machine::{Heap, Limits, Machine, Setup, View, catch_faults};
use hostshim::strategy::{Answer, Strategy};
use kmod::config::Config;

thread_local! {
    /// Allocations until one faults, if any is to.
    static LEFT: Cell<Option<u32>> = const { Cell::new(None) };
}

/// The allocator of `rumplab`, with a fault in it.
struct Faulty;

#[global_allocator]
static HEAP: Faulty = Faulty;

// SAFETY: it is `Heap`, but for the fault.
unsafe impl GlobalAlloc for Faulty {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match LEFT.get() {
            Some(0) => {
                let nowhere = std::ptr::without_provenance::<u64>(std::hint::black_box(8));
                // SAFETY: none is claimed: it is to fault.
                unsafe { nowhere.read_volatile() };
            }
            Some(left) => LEFT.set(Some(left - 1)),
            None => {}
        }
        // SAFETY: the caller's promise.
        unsafe { Heap.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { Heap.dealloc(at, layout) };
    }
}

/// What an inner process is told by: after which point, and how many allocations then, it faults.
const WHEN: &str = "RUMPLAB_TEST_FAULT";
/// How often is looked, every 2 ms, whether a process has ended, before it is said to hang.
const LOOKS: u32 = 30_000;
/// How many processes are tried.
const TRIES: &str = "RUMPLAB_TEST_FAULTS";

/// What an inner process says in which no allocation was to fault.
const NO_FAULT: &str = ", without a fault";

/// Sets the fault at a point.
struct Arms(u64, u32);

impl Strategy for Arms {
    fn choose(&mut self, view: &View<'_>) -> Answer {
        if view.point() == self.0 {
            LEFT.set(Some(self.1));
        }
        Answer::keep(view, 0)
    }
}

/// The inner process.
fn faults(when: &str) {
    let mut numbers = when.split(',').map(|number| number.parse::<u64>());
    let mut next = || numbers.next().and_then(Result::ok).expect("two numbers");
    let (point, after) = (next(), next() as u32);
    catch_faults();
    let name = "heap";
    let scenario = Registry::kmod().find(name).expect("a scenario");
    let mut machine = Machine::new();
    let setup = Setup {
        scenario,
        config: Config::small(2),
        trace: true,
    };
    machine.boot(&setup).expect("the kernel boots");
    let outcome = machine.run(&mut Arms(point, after), &Limits::default());
    // Nothing was allocated any more after that point, or the run had ended before.
    let none = LEFT.take() != Some(0);
    println!(
        "ended: {:?}{}",
        outcome.verdict,
        if none { NO_FAULT } else { "" }
    );
}

fn again(point: u64, after: u64) -> Output {
    let program = std::env::current_exe().expect("this program");
    let mut child = Command::new(program)
        .args([
            "--exact",
            "a_fault_inside_of_the_allocator_is_told",
            "--nocapture",
        ])
        .env(WHEN, format!("{point},{after}"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a process");
    let mut looks = 0;
    while child.try_wait().expect("a status").is_none() {
        if looks == LOOKS {
            let _ = child.kill();
            panic!("it hangs: point {point}, {after} allocations");
        }
        looks += 1;
        std::thread::sleep(Duration::from_millis(2));
    }
    child.wait_with_output().expect("its output")
}

#[test]
fn a_fault_inside_of_the_allocator_is_told() {
    if let Ok(when) = std::env::var(WHEN) {
        return faults(&when);
    }
    let tries = std::env::var(TRIES)
        .ok()
        .and_then(|tries| tries.parse().ok());
    let tries: u64 = tries.unwrap_or(40);
    let (mut in_machine, mut in_guest) = (0, 0);
    let mut number = 0;
    while in_machine + in_guest < tries {
        let output = again(5 + number % 47, number / 47 % 19);
        number += 1;
        assert!(number < 2 * tries, "too few faults");
        let told = String::from_utf8_lossy(&output.stderr);
        let ended = String::from_utf8_lossy(&output.stdout);
        if output.status.code() == Some(2) {
            assert!(told.contains("a fault in the machine itself"), "{told}");
            assert!(told.contains(": heap"), "what ran is not told: {told}");
            in_machine += 1;
        } else {
            assert!(output.status.success(), "{:?}: {told}", output.status);
            if ended.contains(NO_FAULT) {
                continue;
            }
            // The guest's own allocation faulted, which is a failure like any other.
            assert!(ended.contains("Fault"), "{ended}");
            in_guest += 1;
        }
    }
    println!("{in_machine} in the machine, {in_guest} in the guest");
    assert!(in_machine > 0, "no fault was in the machine's own code");
}
