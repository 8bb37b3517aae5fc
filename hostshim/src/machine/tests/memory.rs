//! Races, freed memory, leaks.

use std::alloc::Layout;

use super::*;

pub(super) const RUNS: u64 = 300;
const ONE_CPU: Shape = Shape {
    kernels: 1,
    ncpu: 1,
    nics: 0,
};

pub(super) fn wait_for(cell: &AtomicU32, value: u32, order: kmod::mem::Ordering) {
    while cell.load(order) != value {
        machine::relax();
    }
}

#[test]
fn a_message_passed_with_release_and_acquire_is_no_race() {
    let guest = Little::new(&[
        |s| {
            s.data.set(1);
            s.x.store(1, Release);
        },
        |s| {
            wait_for(&s.x, 1, Acquire);
            assert_eq!(s.data.get(), 1);
        },
    ]);
    assert_eq!(hunt(&guest, RUNS), None);
}

#[test]
fn a_message_passed_with_relaxed_is_a_race_with_two_sides() {
    let guest = Little::new(&[
        |s| {
            s.data.set(1);
            s.x.store(1, Relaxed);
        },
        |s| {
            wait_for(&s.x, 1, Acquire);
            s.data.get();
        },
    ]);
    let failure = hunt(&guest, RUNS).expect("a race");
    assert_eq!(failure.kind, FailureKind::DataRace);
    assert_eq!((failure.cpu, failure.context.as_str()), (1, "t1"));
    assert!(
        failure.message.contains("the write by t0 on cpu0 at "),
        "{}",
        failure.message
    );
    assert!(
        failure.location.contains("tests/memory.rs:"),
        "{}",
        failure.location
    );
}

#[test]
fn a_relaxed_load_synchronizes_with_nobody() {
    let guest = Little::new(&[
        |s| {
            s.data.set(1);
            s.x.store(1, Release);
        },
        |s| {
            wait_for(&s.x, 1, Relaxed);
            s.data.get();
        },
    ]);
    assert_eq!(
        hunt(&guest, RUNS).map(|f| f.kind),
        Some(FailureKind::DataRace)
    );
}

#[test]
fn a_read_modify_write_continues_a_release_sequence() {
    let guest = Little::new(&[
        |s| {
            s.data.set(1);
            s.x.store(1, Release);
        },
        |s| {
            wait_for(&s.x, 1, Relaxed);
            s.x.fetch_add(1, Relaxed);
        },
        |s| {
            wait_for(&s.x, 2, Acquire);
            s.data.get();
        },
    ]);
    assert_eq!(hunt(&guest, RUNS), None);
}

#[test]
fn a_relaxed_store_ends_a_release_sequence() {
    let guest = Little::new(&[
        |s| {
            s.data.set(1);
            s.x.store(1, Release);
        },
        |s| {
            wait_for(&s.x, 1, Relaxed);
            s.x.store(2, Relaxed);
        },
        |s| {
            wait_for(&s.x, 2, Acquire);
            s.data.get();
        },
    ]);
    assert_eq!(
        hunt(&guest, RUNS).map(|f| f.kind),
        Some(FailureKind::DataRace)
    );
}

#[test]
fn reads_of_many_cpus_race_only_with_a_write() {
    let readers: [Body; 3] = [|s| assert_eq!(s.data.get(), 0); 3];
    assert_eq!(hunt(&Little::new(&readers), RUNS), None);
    let guest = Little::new(&[readers[0], readers[0], |s| s.data.set(1)]);
    assert_eq!(
        hunt(&guest, RUNS).map(|f| f.kind),
        Some(FailureKind::DataRace)
    );
}

#[test]
fn atomics_do_not_race_and_a_failed_exchange_releases_nothing() {
    let guest = Little::new(&[
        |s| {
            s.data.set(1);
            let _ = s.x.compare_exchange(7, 8, AcqRel, Relaxed);
            s.y.store(1, Relaxed);
        },
        |s| {
            wait_for(&s.y, 1, Acquire);
            let _ = s.x.load(Acquire);
            s.data.get();
        },
    ]);
    assert_eq!(
        hunt(&guest, RUNS).map(|f| f.kind),
        Some(FailureKind::DataRace)
    );
}

#[test]
fn freed_memory_is_never_touched_unnoticed() {
    let guest = Little::new(&[|_| {
        let cell: &'static AtomicU32 = place("victim", AtomicU32::new(0));
        cell.store(1, Relaxed);
        give_back(cell);
        cell.load(Relaxed);
    }]);
    let failure = failure(&fair(&guest)).expect("a use after free");
    assert_eq!(failure.kind, FailureKind::UseAfterFree);
    let words = [
        "load of victim#0, which was freed by t0 on cpu0 at ",
        "tests/memory.rs:",
    ];
    words
        .iter()
        .for_each(|part| assert!(failure.message.contains(part), "{}", failure.message));
}

#[test]
fn what_was_freed_keeps_its_name_in_messages() {
    let guest = Little::new(&[|_| {
        let cell: &'static AtomicU32 = place("victim", AtomicU32::new(0));
        kmod::machine::label(cell, format_args!("entry"));
        cell.store(1, Relaxed);
        give_back(cell);
        cell.load(Relaxed);
    }]);
    let failure = failure(&fair(&guest)).expect("a use after free");
    let told = "load of entry, which was freed by t0 on cpu0 at ";
    assert!(failure.message.starts_with(told), "{}", failure.message);
}

#[test]
fn memory_freed_before_the_image_stays_freed() {
    fn victim(s: &Shared) -> &'static AtomicU32 {
        let at = std::ptr::from_ref(s) as usize + size_of::<Shared>().next_multiple_of(16);
        // SAFETY: memory of the machine, which stays mapped; that it was freed is what the test is about.
        unsafe { &*(at as *const AtomicU32) }
    }
    /// A guest that frees something while it boots.
    struct Frees(Little);
    impl Guest for Frees {
        fn boot(&self) {
            self.0.boot();
            let cell: &'static AtomicU32 = place("victim", AtomicU32::new(0));
            assert!(
                std::ptr::eq(cell, victim(self.0.shared())),
                "the test knows where it is"
            );
            give_back(cell);
        }
        fn idle_context(&self, cpu: usize) -> Context {
            self.0.idle_context(cpu)
        }
        fn release(&self) {
            self.0.release();
        }
        fn interrupt(&self) -> fn(Line) {
            self.0.interrupt()
        }
        fn idle(&self) -> Idle {
            self.0.idle()
        }
        fn progress(&self) -> u64 {
            self.0.progress()
        }
        fn verify(&self) {}
        fn deadlock(&self) -> ! {
            self.0.deadlock()
        }
        fn waits(&self, _: &mut dyn fmt::Write) -> fmt::Result {
            Ok(())
        }
        fn load(&self, _: &Program) {}
    }
    let mut machine = Machine::new();
    let little = Little::new(&[|s| assert_eq!(victim(s).load(Relaxed), 0)]);
    machine
        .boot_guests(ONE_CPU, &|| Box::new(Frees(little.clone())))
        .expect("it boots");
    for _ in 0..3 {
        let outcome = machine.run(&mut Fair, &Limits::default());
        assert_eq!(kind(&outcome), Some(FailureKind::UseAfterFree));
    }
    // Another kernel gets the same memory, alive.
    let honest = Little::new(&[|_| {
        place("again", AtomicU32::new(0)).store(1, Relaxed);
    }]);
    machine
        .boot_guests(ONE_CPU, &|| Box::new(honest.clone()))
        .expect("it boots");
    assert_eq!(
        machine.run(&mut Fair, &Limits::default()).verdict,
        Verdict::Passed
    );
}

#[test]
fn memory_is_given_back_once() {
    let guest = Little::new(&[|_| {
        let cell: &'static AtomicU32 = place("victim", AtomicU32::new(0));
        give_back(cell);
        give_back(cell);
    }]);
    let failure = failure(&fair(&guest)).expect("a double free");
    assert_eq!(failure.kind, FailureKind::DoubleFree);
    assert!(
        failure
            .message
            .starts_with("victim#0 is freed a second time"),
        "{}",
        failure.message
    );
}

#[test]
fn an_access_through_a_null_pointer_ends_the_run_and_not_the_process() {
    let guest = Little::new(&[|_| machine::access(1, machine::Kind::Read, Relaxed)]);
    let failure = failure(&fair(&guest)).expect("a failure");
    assert_eq!(failure.rule, "wild-access");
    assert_eq!(failure.message, "read through a null pointer");
}

#[test]
fn a_pointer_that_can_be_none_ends_the_run_and_not_the_process() {
    let guest = Little::new(&[|_| {
        // SAFETY: there is no object there, which the machine finds before anybody looks at it.
        let nothing: &'static u64 = unsafe { kmod::mem::object(std::ptr::without_provenance(1)) };
        assert_eq!(*nothing, 0, "never read");
    }]);
    let failure = failure(&fair(&guest)).expect("a failure");
    assert_eq!(failure.rule, "wild-access");
}

#[test]
fn what_was_never_allocated_is_neither_freed_nor_used() {
    let inside = Little::new(&[|_| {
        let pair: &'static [u64; 4] = place("pair", [0; 4]);
        give_back(&pair[1]);
    }]);
    assert_eq!(
        failure(&fair(&inside)).expect("a failure").rule,
        "invalid-free"
    );
    let beyond = Little::new(&[|_| {
        let last: &'static AtomicU32 = place("last", AtomicU32::new(0));
        let beyond = std::ptr::from_ref(last).wrapping_add(1024);
        machine::access(beyond as usize, machine::Kind::Load, Relaxed);
    }]);
    assert_eq!(
        failure(&fair(&beyond)).expect("a failure").rule,
        "wild-access"
    );
}

#[test]
fn to_free_what_another_cpu_has_just_written_is_a_race() {
    let guest = Little::new(&[
        |s| {
            let cell: &'static Plain<u32> = place("shared cell", Plain::new(0));
            s.y.store(1, Relaxed);
            cell.set(1);
            s.x.store(
                (std::ptr::from_ref(cell) as usize - std::ptr::from_ref(s) as usize) as u32,
                Release,
            );
            wait_for(&s.y, 2, Relaxed);
            give_back(cell);
        },
        |s| {
            while s.x.load(Acquire) == 0 {
                machine::relax();
            }
            let at = std::ptr::from_ref(s) as usize + s.x.load(Relaxed) as usize;
            // SAFETY: the other thread gave the offset of a cell that it gives back only after `y` is 2.
            let cell = unsafe { &*(at as *const Plain<u32>) };
            cell.set(2);
            s.y.store(2, Relaxed);
        },
    ]);
    let failure = hunt(&guest, RUNS).expect("a race");
    assert_eq!(failure.kind, FailureKind::DataRace);
    assert!(
        failure
            .message
            .starts_with("free of the memory of shared cell#0"),
        "{}",
        failure.message
    );
}

/// One CPU creates an object and publishes its offset; the other reads it.
fn publisher<const RELEASE: bool>() -> Little {
    Little::new(&[
        |s| {
            let cell: &'static Plain<u32> = place("fresh", Plain::new(7));
            let offset = std::ptr::from_ref(cell) as usize - std::ptr::from_ref(s) as usize;
            s.x.store(offset as u32, if RELEASE { Release } else { Relaxed });
        },
        |s| {
            let offset = s.x.load(Acquire) as usize;
            if offset != 0 {
                let at = std::ptr::from_ref(s) as usize + offset;
                // SAFETY: the other thread gave the offset of a cell that is never given back.
                let cell = unsafe { &*(at as *const Plain<u32>) };
                assert_eq!(cell.get(), 7);
            }
        },
    ])
}

#[test]
fn what_was_just_made_is_published_with_release_or_read_in_a_race() {
    assert_eq!(hunt(&publisher::<true>(), RUNS), None);
    let failure = hunt(&publisher::<false>(), RUNS).expect("a race");
    assert_eq!(failure.kind, FailureKind::DataRace);
    let text = &failure.message;
    assert!(
        text.starts_with("read of fresh#0 is not ordered after"),
        "{text}"
    );
    assert!(
        text.contains("its memory was allocated by t0 on cpu0"),
        "{text}"
    );
    assert!(text.contains("machine/tests/"), "{text}");
}

#[test]
fn what_was_never_touched_is_freed_all_the_same() {
    let guest = Little::new(&[|_| {
        let cells: &'static [Plain<u32>; 500] = place("cells", [const { Plain::new(0) }; 500]);
        cells[7].set(1);
        give_back(cells);
        cells[400].set(1);
    }]);
    let failure = failure(&fair(&guest)).expect("a use after free");
    assert_eq!(failure.kind, FailureKind::UseAfterFree);
    let text = &failure.message;
    assert!(
        text.starts_with("write of cells#0+1600, which was freed"),
        "{text}"
    );
}

#[test]
fn to_free_what_another_cpu_has_just_made_is_a_race() {
    let guest = Little::new(&[
        |s| {
            let cells: &'static [u64; 100] = place("cells", [0; 100]);
            let offset = std::ptr::from_ref(cells) as usize - std::ptr::from_ref(s) as usize;
            s.x.store(offset as u32, Relaxed);
        },
        |s| {
            let offset = s.x.load(Acquire) as usize;
            if offset != 0 {
                let at = std::ptr::from_ref(s) as usize + offset;
                // SAFETY: the other thread gave the offset of what it never uses again.
                give_back(unsafe { &*(at as *const [u64; 100]) });
            }
        },
    ]);
    let failure = hunt(&guest, RUNS).expect("a race");
    assert_eq!(failure.kind, FailureKind::DataRace);
    let text = &failure.message;
    assert!(
        text.starts_with("free of the memory of cells#0 is not ordered"),
        "{text}"
    );
    assert!(text.contains("its memory was allocated by t0"), "{text}");
}

#[test]
fn cells_of_one_word_are_told_apart() {
    // Two bytes side by side, each of its own CPU.
    let guest = Little::new(&[
        |s| machine::access(s.data_address(), machine::Kind::Write, Relaxed),
        |s| machine::access(s.data_address() + 1, machine::Kind::Write, Relaxed),
    ]);
    assert_eq!(hunt(&guest, RUNS), None);
}

impl Shared {
    fn data_address(&self) -> usize {
        std::ptr::from_ref(&self.data) as usize
    }
}

#[test]
fn memory_is_zeroed_and_what_is_left_over_is_counted() {
    let guest = Little::new(&[|_| {
        std::hint::black_box(place("dirty", [7u8; 64]));
        let fresh = machine::alloc(Layout::new::<[u8; 64]>(), "fresh").cast::<[u8; 64]>();
        // SAFETY: allocated just now, and zeroed, which is a valid value.
        assert_eq!(unsafe { *fresh }, [0; 64]);
    }]);
    let mut machine = booted(&guest, false);
    for _ in 0..3 {
        assert_eq!(
            machine.run(&mut Fair, &Limits::default()).verdict,
            Verdict::Passed
        );
        assert_eq!(
            machine.live().into_iter().collect::<Vec<_>>(),
            [("dirty", 1), ("fresh", 1)]
        );
    }
}
