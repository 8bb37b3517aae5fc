//! Paired timing: candidates alternate, so that a drift of the machine's speed affects all of them.

use std::hint::black_box;

/// Seconds of CPU time that this thread has used.
pub fn cpu_seconds() -> f64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the clock exists on every Linux, and `time` is ours.
    let status = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    assert_eq!(status, 0, "the thread's processor time cannot be read");
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

/// What a candidate did in one turn.
#[derive(Clone, Copy, Debug, Default)]
pub struct Work {
    /// Schedules that were run to their end.
    pub schedules: f64,
    /// Steps (scheduling points) in all of them.
    pub steps: f64,
}

/// Something to be timed.
pub struct Candidate<'a> {
    /// Its name in the table.
    pub name: &'static str,
    /// One turn.
    pub turn: Box<dyn FnMut() -> Work + 'a>,
}

/// Medians of what a candidate did per second of CPU time.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    /// Schedules per second.
    pub schedules: f64,
    /// Steps per second.
    pub steps: f64,
}

/// Lets the candidates take `turns` turns each, one after another, and returns the median rates.
pub fn paired(candidates: &mut [Candidate<'_>], turns: usize) -> Vec<Rate> {
    let mut rates = vec![Vec::new(); candidates.len()];
    for turn in 0..=turns {
        for (candidate, rates) in candidates.iter_mut().zip(&mut rates) {
            let before = cpu_seconds();
            let work = black_box((candidate.turn)());
            let seconds = cpu_seconds() - before;
            // The first turn warms up.
            if turn > 0 {
                rates.push(Rate {
                    schedules: work.schedules / seconds,
                    steps: work.steps / seconds,
                });
            }
        }
    }
    rates.into_iter().map(median).collect()
}

fn median(rates: Vec<Rate>) -> Rate {
    let of = |get: fn(&Rate) -> f64| {
        let mut values: Vec<f64> = rates.iter().map(get).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    Rate {
        schedules: of(|r| r.schedules),
        steps: of(|r| r.steps),
    }
}

/// A number with thousands separated.
pub fn grouped(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!(grouped(7.0), "7");
        assert_eq!(grouped(1234.0), "1 234");
        assert_eq!(grouped(1_234_567.4), "1 234 567");
    }

    #[test]
    fn processor_time_goes_on() {
        let before = cpu_seconds();
        let mut sum = 0u64;
        while cpu_seconds() == before {
            sum = black_box(sum + 1);
        }
        assert!(cpu_seconds() > before);
    }
}
