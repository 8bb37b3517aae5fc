//! How far a campaign is: a bar on a terminal, else a line on the standard error every few seconds.

use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::interrupt::Interrupt;
use super::terminal;
use crate::Failure;
use crate::hunt::{Budget, Hunt, Hunted, Watch};
use crate::stopwatch::Stopwatch;

const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How often a line is written where there is no terminal.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// Runs a hunt and shows its progress; stops it if the user wants.
pub(super) fn hunt(hunt: &Hunt, title: &str, interrupt: &Interrupt) -> Result<Hunted, Failure> {
    watched(hunt.budget, title, interrupt, |watch| hunt.run(watch))
}

/// Searches for as long as it takes, or for this time, and shows its progress; stops it if the user wants.
pub(super) fn search<T: Send>(
    time: Option<Duration>,
    title: &str,
    interrupt: &Interrupt,
    work: impl FnOnce(&Watch) -> Result<T, Failure> + Send,
) -> Result<T, Failure> {
    let budget = time.map_or(Budget::Schedules(u64::MAX), Budget::Time);
    let clock = Stopwatch::start();
    watched(budget, title, interrupt, |watch| {
        thread::scope(|scope| {
            let (over, is_over) = std::sync::mpsc::channel::<()>();
            if let Some(time) = time {
                scope.spawn(move || {
                    let left = time.saturating_sub(clock.elapsed());
                    // It ends early if the other side is dropped.
                    if is_over.recv_timeout(left) == Err(std::sync::mpsc::RecvTimeoutError::Timeout)
                    {
                        watch.stop.store(true, Relaxed);
                    }
                });
            }
            let result = work(watch);
            drop(over);
            result
        })
    })
}

/// Does something that makes schedules and shows its progress; stops it if the user wants.
pub(super) fn watched<T: Send>(
    budget: Budget,
    title: &str,
    interrupt: &Interrupt,
    work: impl FnOnce(&Watch) -> Result<T, Failure> + Send,
) -> Result<T, Failure> {
    let watch = Watch::default();
    let clock = Stopwatch::start();
    let bar = bar_of(budget, title);
    let mut beat = Beat::default();
    let watcher = thread::current();
    let result = thread::scope(|scope| {
        let hunter = scope.spawn(|| {
            let result = work(&watch);
            watcher.unpark();
            result
        });
        while !hunter.is_finished() {
            if interrupt.is_wanted() {
                watch.stop.store(true, Relaxed);
            }
            match bar.is_hidden() {
                false => show(&bar, &watch, &clock, budget),
                true if beat.is_due(clock.elapsed()) => {
                    terminal::remark(format!("{title}: {} so far", speed(&watch, &clock)));
                }
                true => {}
            }
            thread::park_timeout(LOOK_EVERY);
        }
        hunter.join()
    });
    bar.finish_and_clear();
    let done = result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
    terminal::remark(format!("{title}: {}", speed(&watch, &clock)));
    Ok(done)
}

/// When the next line is due.
#[derive(Default)]
struct Beat(u32);

impl Beat {
    /// Whether one is due, so long after the start. It is so once for each interval.
    fn is_due(&mut self, elapsed: Duration) -> bool {
        let intervals = (elapsed.as_secs() / TELL_EVERY.as_secs()) as u32;
        std::mem::replace(&mut self.0, intervals) < intervals
    }
}

fn bar_of(budget: Budget, title: &str) -> ProgressBar {
    let length = match budget {
        Budget::Schedules(count) => count,
        Budget::Time(time) => time.as_millis() as u64,
    };
    bar(length, title)
}

/// A bar on the terminal, if there is one and the user wants it, for something of this length.
pub(super) fn bar(length: u64, title: &str) -> ProgressBar {
    if terminal::is_quiet() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(length);
    // A template without mistakes in it: the test below reads it.
    if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
        bar.set_style(style);
    }
    bar.set_prefix(title.to_owned());
    bar
}

const TEMPLATE: &str = "{prefix} [{bar:24}] {percent}% {msg}";

fn show(bar: &ProgressBar, watch: &Watch, clock: &Stopwatch, budget: Budget) {
    bar.set_position(match budget {
        Budget::Schedules(_) => watch.schedules.load(Relaxed),
        Budget::Time(_) => clock.elapsed().as_millis() as u64,
    });
    bar.set_message(speed(watch, clock));
}

fn speed(watch: &Watch, clock: &Stopwatch) -> String {
    let (schedules, steps) = (watch.schedules.load(Relaxed), watch.steps.load(Relaxed));
    let seconds = clock.elapsed().as_secs_f64();
    let per_second = |count: u64| (count as f64 / seconds.max(0.001)) as u64;
    format!(
        "{schedules} schedules in {seconds:.1} s: {} schedules/s, {} steps/s",
        per_second(schedules),
        per_second(steps)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_is_well_formed() {
        assert!(ProgressStyle::with_template(TEMPLATE).is_ok());
    }

    #[test]
    fn a_line_is_due_once_in_ten_seconds() {
        let mut beat = Beat::default();
        let tenths = |tenths: u64| Duration::from_millis(100 * tenths);
        let due = (0..350).filter(|&now| beat.is_due(tenths(now)));
        assert_eq!(Vec::from_iter(due), [100, 200, 300]);
    }
}
