//! Runs a program under every schedule up to a number of forced switches.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use hostshim::hunt::Watch;
use hostshim::prove::{LONGEST, Proof, Proved, Shard};
use hostshim::stopwatch::Stopwatch;
use hostshim::{Granularity, MemoryModel};
use kmod::scenario::FIXED;

use super::{Config, Test, begin, words};
use crate::program::Program;

/// Runs the program that `setup` sets up under *every* schedule with at most `switches` forced switches, or under one that differs from it
/// only in the order of steps that do not depend on each other.
///
/// By default the machine lets a thread go on until it waits, and takes every interrupt at once. Whatever else happens is a forced switch.
/// Most bugs need one or two. What is found first needs the fewest.
///
/// # Panics
///
/// As [`check`](fn@crate::check); and if not every schedule could be tried: one was too long, because a thread loops without saying that it
/// waits ([`hint::spin_loop`](crate::hint::spin_loop)), or the time of the [`Config`] was over.
///
/// # Examples
///
/// ```
/// use rumplab::sync::atomic::{AtomicU32, Ordering::Relaxed};
///
/// rumplab::prove(2, |program| {
///     let counter = program.share(AtomicU32::new(0));
///     for name in ["one", "other"] {
///         program.actor(name, move || { counter.fetch_add(1, Relaxed); });
///     }
///     program.at_end(move || assert_eq!(counter.load(Relaxed), 2));
/// });
/// ```
#[track_caller]
pub fn prove<F>(switches: u32, setup: F)
where
    F: Fn(&mut Program) + Copy + Send + Sync + 'static,
{
    prove_with(Config::default(), switches, setup);
}

/// [`prove`] with other settings. Of these count the CPUs, the time and the host threads.
///
/// # Panics
///
/// As [`prove`], and if the memory model is not `sc`.
#[track_caller]
pub fn prove_with<F>(config: Config, switches: u32, setup: F)
where
    F: Fn(&mut Program) + Copy + Send + Sync + 'static,
{
    if let Some((test, config)) = begin(config, setup) {
        assert!(
            config.memory == MemoryModel::Sc,
            "a proof tries every schedule of a sequentially consistent memory, and none of store buffers: leave the memory model \
             (`Config::memory`, RUMPLAB_MEMORY) at `sc`, or use `check`"
        );
        test.prove(&config, switches);
    }
}

impl Test {
    #[track_caller]
    fn prove(&self, config: &Config, switches: u32) {
        let proof = Proof {
            scenario: self.scenario,
            variant: &FIXED,
            config: self.kernel(config.cpus),
            granularity: Granularity::Coarse,
            early_ticks: 0,
            shard: Shard::WHOLE,
            jobs: config.jobs,
            reduces: true,
        };
        let clock = Stopwatch::start();
        let mut runs = 0;
        let mut executions = 0;
        for bound in 0..=switches {
            let left = config.time.map(|time| time.saturating_sub(clock.elapsed()));
            let proved = self.run(&proof, bound, left);
            runs += proved.runs;
            executions = proved.executions.len();
            if let Some(found) = &proved.found {
                let found = hostshim::hunt::Found {
                    run: runs - 1,
                    ..found.clone()
                };
                self.tell(&self.campaign(config), &found);
                panic!("{}", words(&found.failure));
            }
            if !proved.is_complete() {
                self.not_complete(&proved);
            }
        }
        println!(
            "{}: complete up to {switches} forced switches: {executions} executions ({runs} runs)",
            self.name
        );
    }

    /// One number of forced switches, for this long.
    #[track_caller]
    fn run(&self, proof: &Proof, bound: u32, left: Option<Duration>) -> Proved {
        let watch = Watch::default();
        let proved = thread::scope(|scope| {
            let (over, is_over) = mpsc::channel::<()>();
            if let Some(left) = left {
                let watch = &watch;
                scope.spawn(move || {
                    if is_over.recv_timeout(left) == Err(RecvTimeoutError::Timeout) {
                        watch.stop.store(true, Relaxed);
                    }
                });
            }
            let proved = proof.run(bound, &watch);
            drop(over);
            proved
        });
        match proved {
            Ok(proved) => proved,
            Err(failure) => self.not_set_up(&failure),
        }
    }

    #[track_caller]
    fn not_complete(&self, proved: &Proved) -> ! {
        let (name, bound) = (&self.name, proved.bound);
        let why = if proved.left.is_some() {
            format!("the time was over after {} runs", proved.runs)
        } else if proved.diverged > 0 {
            "a part of a run went otherwise when it was repeated: the closure must depend on nothing outside of it".to_owned()
        } else {
            format!(
                "{} runs had more than {LONGEST} points and were cut off: a thread that waits in a loop must call hint::spin_loop",
                proved.cut
            )
        };
        panic!("{name}: not complete with {bound} forced switches, and nothing found: {why}");
    }
}
