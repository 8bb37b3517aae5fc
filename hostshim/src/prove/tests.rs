//! The search against the simplest one, which runs every schedule: both must see the same executions. And what counts as one state
//! must be one: the same choice must lead to the same state from it, whatever led to it.

use std::cell::RefCell;
use std::collections::BTreeMap;

use kmod::config::{Config, Wiring};

use super::certificate::Certificate;
use super::{Proof, Proved, Shard};
use crate::hunt::Watch;
use crate::machine::{OMITTED, Omission, Verdict};
use crate::registry::Registry;
use crate::schedule::Granularity;

/// What the runs of this thread did.
#[derive(Default)]
struct Ledger {
    /// The state after each choice in each state.
    after: BTreeMap<(u64, u8), u64>,
    /// The end of each execution.
    ends: BTreeMap<u64, Option<String>>,
    /// How often something else came of the same.
    contradictions: u64,
}

thread_local! {
    static LEDGER: RefCell<Option<Ledger>> = const { RefCell::new(None) };
}

/// A choice in a state has led to another state. That must follow from the choice and the state.
pub(super) fn went(state: u64, choice: u8, after: u64) {
    LEDGER.with_borrow_mut(|ledger| {
        if let Some(ledger) = ledger {
            let known = *ledger.after.entry((state, choice)).or_insert(after);
            ledger.contradictions += u64::from(known != after);
        }
    });
}

/// A run has ended with this trace.
pub(super) fn ended(trace: u64, verdict: &Verdict) {
    LEDGER.with_borrow_mut(|ledger| {
        if let Some(ledger) = ledger {
            let end = match verdict {
                Verdict::Passed => None,
                Verdict::Failed(failure) => Some(failure.to_string()),
            };
            let known = ledger.ends.entry(trace).or_insert_with(|| end.clone());
            ledger.contradictions += u64::from(*known != end);
        }
    });
}

/// A program, and how far it is searched.
struct Case {
    scenario: &'static str,
    variant: &'static str,
    cpus: usize,
    bound: u32,
    early_ticks: u32,
    granularity: Granularity,
    wiring: Wiring,
}

const CASE: Case = Case {
    scenario: "lost-update",
    variant: "fixed",
    cpus: 2,
    bound: 2,
    early_ticks: 0,
    granularity: Granularity::Coarse,
    wiring: Wiring::Native,
};

impl Case {
    fn proof(&self, reduces: bool) -> Proof {
        let scenario = Registry::kmod().find(self.scenario);
        let scenario = scenario.unwrap_or_else(|| panic!("no scenario {}", self.scenario));
        let mut variants = scenario.variants.iter();
        let variant = variants.find(|variant| variant.name == self.variant);
        let variant = variant.unwrap_or_else(|| panic!("no variant {}", self.variant));
        let mut config = scenario.config(Config::small(self.cpus), variant);
        config.xcall = self.wiring;
        Proof {
            scenario,
            variant,
            config,
            granularity: self.granularity,
            early_ticks: self.early_ticks,
            shard: Shard::WHOLE,
            jobs: 1,
            reduces,
        }
    }

    fn run(&self, reduces: bool) -> Proved {
        let proved = self.proof(reduces).run(self.bound, &Watch::default());
        proved.unwrap_or_else(|failure| panic!("{}: {failure}", self.scenario))
    }

    /// Every schedule, and the number of runs that contradict another one.
    fn brute(&self) -> (Proved, u64) {
        LEDGER.replace(Some(Ledger::default()));
        let proved = self.run(false);
        let ledger = LEDGER.take().unwrap_or_default();
        (proved, ledger.contradictions)
    }

    /// Whether the search sees what there is, and nothing more, and what counts as one execution is one.
    fn is_sound(&self) -> bool {
        let (all, contradictions) = self.brute();
        let reduced = self.run(true);
        assert!(
            all.found.is_none() && all.cut == 0,
            "{}: {} cut, {:?}",
            self.scenario,
            all.cut,
            all.found
        );
        let same = all.executions == reduced.executions;
        let name = (self.scenario, self.cpus, self.bound, self.early_ticks);
        println!(
            "{name:?}: {} runs, {} executions; reduced {} and {}; {contradictions} contradictions, {} and {} went otherwise",
            all.runs,
            all.executions.len(),
            reduced.runs,
            reduced.executions.len(),
            all.diverged,
            reduced.diverged,
        );
        same && contradictions == 0 && all.diverged == 0 && reduced.diverged == 0
    }
}

#[track_caller]
fn sound(cases: &[Case]) {
    let wrong = cases.iter().filter(|case| !case.is_sound());
    let wrong = Vec::from_iter(wrong.map(|case| case.scenario));
    assert!(wrong.is_empty(), "{wrong:?}");
}

macro_rules! case {
    ($scenario:literal, $($field:ident: $value:expr),*) => {
        Case { scenario: $scenario, $($field: $value,)* ..CASE }
    };
}

#[test]
fn two_cpus() {
    sound(&[
        case!("condvar-signal", bound: 2),
        case!("perform-vs-callout", bound: 2),
        case!("psref-drain", bound: 1),
        case!("xcall-early-count", bound: 1),
        case!("rwlock-answers", bound: 1),
        case!("callout-due", bound: 1),
        case!("percpu-moves", bound: 1),
        case!("globals", bound: 3),
        case!("idle-halt", bound: 3),
        case!("llentry-timer", bound: 3),
    ]);
}

#[test]
fn rump_wiring() {
    sound(&[
        case!("perform-vs-callout", wiring: Wiring::Rump),
        case!("xcall-early-count", bound: 1, wiring: Wiring::Rump),
    ]);
}

#[test]
fn three_cpus() {
    sound(&[
        case!("condvar-signal", cpus: 3, bound: 1),
        case!("psref-drain", cpus: 3, bound: 1),
        case!("xcall-early-count", cpus: 3, bound: 1),
        case!("globals", cpus: 3, bound: 2),
    ]);
}

#[test]
fn early_ticks() {
    sound(&[
        case!("globals", bound: 2, early_ticks: 1),
        case!("idle-halt", bound: 3, early_ticks: 2),
        case!("condvar-signal", bound: 1, early_ticks: 1),
        case!("callout-reset-leak", bound: 1, early_ticks: 1),
        case!("llentry-timer", bound: 2, early_ticks: 2),
    ]);
}

#[test]
fn fine_steps() {
    sound(&[
        case!("globals", bound: 1, granularity: Granularity::Fine),
        case!("condvar-signal", bound: 1, granularity: Granularity::Fine),
    ]);
}

#[test]
fn the_network() {
    sound(&[
        case!("ifdetach-vs-arptimer", bound: 1),
        case!("arp-states", bound: 1),
    ]);
}

/// Each mistake must be found out by a case of the tests above.
#[test]
fn mistakes_are_found_out() {
    for omission in [Omission::Fused, Omission::Wake, Omission::Stores] {
        OMITTED.set(Some(omission));
        let cases = [
            case!("condvar-signal", bound: 2),
            case!("globals", bound: 2),
            case!("psref-drain", bound: 1),
            case!("xcall-early-count", bound: 1),
        ];
        let found = cases.iter().any(|case| !case.is_sound());
        OMITTED.set(None);
        assert!(found, "{omission:?} makes no difference");
    }
}

#[test]
fn threads_find_the_same() {
    let case = case!("condvar-signal", bound: 2);
    let proof = Proof {
        jobs: 3,
        ..case.proof(true)
    };
    let proved = proof.run(case.bound, &Watch::default());
    let proved = proved.unwrap_or_else(|failure| panic!("{failure}"));
    assert_eq!(proved.executions, case.run(true).executions);
}

#[test]
fn parts_make_the_whole() {
    let case = case!("perform-vs-callout", bound: 2);
    let certificate = |shard| {
        let proof = Proof {
            shard,
            ..case.proof(true)
        };
        let proved = proof.run(case.bound, &Watch::default());
        let proved = proved.unwrap_or_else(|failure| panic!("{failure}"));
        let text = Certificate::of(&proof, &proved, case.bound).text();
        Certificate::read(&text).unwrap_or_else(|why| panic!("{why}"))
    };
    let whole = certificate(Shard::WHOLE);
    let parts = Vec::from_iter((1..=4).map(|number| certificate(Shard { number, of: 4 })));
    assert!(
        parts
            .iter()
            .all(|part| part.executions() < whole.executions())
    );
    assert_eq!(Certificate::merge(&parts), Ok(whole));
    let missing = Certificate::merge(&parts[1..]);
    assert_eq!(missing, Err("part 1 of 4 is missing".to_owned()));
}

#[test]
fn a_proof_that_was_stopped_goes_on() {
    let case = case!("condvar-signal", bound: 2);
    let proof = case.proof(true);
    let whole = Certificate::of(&proof, &case.run(true), case.bound);
    let mut stopped = 0;
    let mut kept: Option<Certificate> = None;
    loop {
        let watch = Watch::default();
        let proved = std::thread::scope(|scope| {
            scope.spawn(|| {
                use std::sync::atomic::Ordering::Relaxed;
                while watch.schedules.load(Relaxed) < 300 && !watch.stop.load(Relaxed) {
                    std::thread::yield_now();
                }
                watch.stop.store(true, Relaxed);
            });
            let proved = match &kept {
                None => proof.run(case.bound, &watch),
                Some(kept) => {
                    let (progress, up_to) = kept.progress().unwrap_or_else(|why| panic!("{why}"));
                    assert_eq!(up_to, case.bound);
                    proof.go_on(case.bound, progress, &watch)
                }
            };
            watch.stop.store(true, std::sync::atomic::Ordering::Relaxed);
            proved.unwrap_or_else(|failure| panic!("{failure}"))
        });
        let text = Certificate::of(&proof, &proved, case.bound).text();
        let certificate = Certificate::read(&text).unwrap_or_else(|why| panic!("{why}"));
        if certificate.is_complete() {
            assert_eq!(certificate, whole);
            break;
        }
        stopped += 1;
        kept = Some(certificate);
    }
    assert!(stopped > 0, "it was never stopped");
}

#[test]
fn a_failure_has_the_fewest_switches() {
    let case = Case {
        variant: "historical",
        ..case!("xcall-early-count", bound: 1)
    };
    let none = case.proof(true).run(0, &Watch::default());
    let none = none.unwrap_or_else(|failure| panic!("{failure}"));
    assert!(none.is_complete());
    let found = case.run(true).found.unwrap_or_else(|| panic!("it holds"));
    assert_eq!(found.deviations.len(), 1);
    assert_eq!(found.failure.rule, "xcall-early");
}

/// Runs a proof until so many schedules were run.
fn stopped(proof: &Proof, bound: u32, schedules: u64) -> Proved {
    use std::sync::atomic::Ordering::Relaxed;
    let watch = Watch::default();
    let proved = std::thread::scope(|scope| {
        scope.spawn(|| {
            while watch.schedules.load(Relaxed) < schedules && !watch.stop.load(Relaxed) {
                std::thread::yield_now();
            }
            watch.stop.store(true, Relaxed);
        });
        let proved = proof.run(bound, &watch);
        watch.stop.store(true, Relaxed);
        proved
    });
    proved.unwrap_or_else(|failure| panic!("{failure}"))
}

#[test]
fn a_stop_ends_threads_without_work() {
    let proof = Proof {
        jobs: 4,
        ..case!("idle-halt", bound: 2).proof(true)
    };
    for schedules in 1..40 {
        let _ = stopped(&proof, 2, schedules);
    }
}

#[test]
fn runs_that_were_cut_off_are_not_forgotten() {
    let case = Case {
        variant: "hint",
        ..case!("spin-loops", bound: 1)
    };
    let proof = case.proof(true);
    let whole = case.run(true);
    assert!(whole.cut > 0 && !whole.is_complete());
    let part = stopped(&proof, 1, whole.runs - 2);
    assert!(part.cut > 0);
    let Some(left) = &part.left else {
        // It was faster than the stop.
        return;
    };
    let text = Certificate::of(&proof, &part, 1).text();
    let certificate = Certificate::read(&text).unwrap_or_else(|why| panic!("{why}"));
    let (progress, _) = certificate.progress().unwrap_or_else(|why| panic!("{why}"));
    assert_eq!(&progress, left);
    let rest = proof.go_on(1, progress, &Watch::default());
    let rest = rest.unwrap_or_else(|failure| panic!("{failure}"));
    assert!(rest.cut >= part.cut && !rest.is_complete());
}

#[test]
fn a_file_that_was_changed_is_refused() {
    let case = case!("condvar-signal", bound: 2);
    let proof = case.proof(true);
    let part = stopped(&proof, 2, 300);
    let text = Certificate::of(&proof, &part, 2).text();
    let read = |text: &str| Certificate::read(text).and_then(|it| it.progress().map(drop));
    assert_eq!(read(&text), Ok(()));
    for (from, to) in [
        ("\"fingerprint\": \"", "\"fingerprint\": \"0"),
        ("\"forced_switches\": 2", "\"forced_switches\": 4000000000"),
        ("\"executions\": ", "\"executions\": 9"),
        ("\"cpus\": 2", "\"cpus\": 1"),
    ] {
        assert!(text.contains(from), "{from}");
        let wrong = read(&text.replacen(from, to, 1));
        assert!(wrong.is_err(), "{to}");
    }
}
