//! The table of measurements.

use std::fmt;
use std::time::Duration;

use bench::grouped;

use crate::packet::PACKET;
use crate::sender::{Echoes, WINDOW};

/// The goal: this many times the replies of Linux.
const REPLIES_TO_REACH: f64 = 2.0;
/// The goal: at most this part of Linux's time to the first ARP reply.
const ARP_TO_REACH: f64 = 0.25;

/// The measurements of one boot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figures {
    /// From QEMU's start to the first ARP reply.
    pub(crate) first_arp: Duration,
    pub(crate) echoes: Echoes,
    /// QEMU's CPU time during the replies.
    pub(crate) processor_seconds: f64,
}

impl Figures {
    fn rate(&self) -> f64 {
        self.echoes.replies as f64 / self.echoes.seconds
    }

    /// QEMU's CPU time per reply, in microseconds.
    fn cost_us(&self) -> f64 {
        self.processor_seconds * 1e6 / self.echoes.replies as f64
    }

    fn arp_ms(&self) -> f64 {
        self.first_arp.as_secs_f64() * 1e3
    }
}

/// One boot of each kernel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pair {
    pub(crate) ours: Figures,
    pub(crate) linux: Figures,
}

impl Pair {
    fn rate_ratio(&self) -> f64 {
        self.ours.rate() / self.linux.rate()
    }

    fn cost_ratio(&self) -> f64 {
        self.ours.cost_us() / self.linux.cost_us()
    }

    fn arp_ratio(&self) -> f64 {
        self.ours.arp_ms() / self.linux.arp_ms()
    }
}

impl fmt::Display for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} and {} replies a second, {:.2} times, for {:.1} and {:.1} µs of QEMU's each; first ARP reply after {:.0} and {:.0} ms",
            grouped(self.ours.rate()),
            grouped(self.linux.rate()),
            self.rate_ratio(),
            self.ours.cost_us(),
            self.linux.cost_us(),
            self.ours.arp_ms(),
            self.linux.arp_ms()
        )
    }
}

/// The minimum, the median and the maximum of some values.
struct Spread {
    least: f64,
    median: f64,
    greatest: f64,
}

impl Spread {
    fn of(values: impl Iterator<Item = f64>) -> Spread {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        let count = values.len();
        assert!(count > 0, "there is at least one pair");
        Spread {
            least: values[0],
            median: (values[(count - 1) / 2] + values[count / 2]) / 2.0,
            greatest: values[count - 1],
        }
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Spread {
            least,
            median,
            greatest,
        } = self;
        write!(f, "{median:.2} ({least:.2} to {greatest:.2})")
    }
}

/// The table.
pub(crate) struct Table {
    linux: String,
    pairs: Vec<Pair>,
}

impl Table {
    /// The table of some pairs, at least one.
    pub(crate) fn new(linux: &str, pairs: Vec<Pair>) -> Table {
        Table {
            linux: linux.to_owned(),
            pairs,
        }
    }

    fn of(&self, figure: impl Fn(&Pair) -> f64) -> Spread {
        Spread::of(self.pairs.iter().map(figure))
    }

    fn rate_reached(&self) -> bool {
        self.of(Pair::rate_ratio).median >= REPLIES_TO_REACH
    }

    fn arp_reached(&self) -> bool {
        self.of(Pair::arp_ratio).median <= ARP_TO_REACH
    }

    /// Whether all goals are reached.
    pub(crate) fn is_reached(&self) -> bool {
        self.rate_reached() && self.arp_reached()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let said = |reached| if reached { "reached" } else { "not reached" };
        writeln!(
            f,
            "| 2 CPUs under TCG | rumplab | {} | ratio | to reach | |",
            self.linux
        )?;
        writeln!(f, "|---|---:|---:|---:|---:|---|")?;
        writeln!(
            f,
            "| ICMP echo replies a second, packets of {PACKET} bytes, {WINDOW} on their way | {} | {} | {} | {REPLIES_TO_REACH:.0} | {} |",
            grouped(self.of(|pair| pair.ours.rate()).median),
            grouped(self.of(|pair| pair.linux.rate()).median),
            self.of(Pair::rate_ratio),
            said(self.rate_reached())
        )?;
        writeln!(
            f,
            "| from QEMU's start to the first ARP reply, ms | {} | {} | {} | {ARP_TO_REACH} | {} |",
            grouped(self.of(|pair| pair.ours.arp_ms()).median),
            grouped(self.of(|pair| pair.linux.arp_ms()).median),
            self.of(Pair::arp_ratio),
            said(self.arp_reached())
        )?;
        writeln!(
            f,
            "| processor time of QEMU for a reply, µs | {:.1} | {:.1} | {} | | |",
            self.of(|pair| pair.ours.cost_us()).median,
            self.of(|pair| pair.linux.cost_us()).median,
            self.of(Pair::cost_ratio),
        )?;
        let lost = |lost: fn(&Pair) -> u64| self.pairs.iter().map(lost).sum::<u64>();
        writeln!(
            f,
            "| requests lost, in all | {} | {} | | | |",
            lost(|pair| pair.ours.echoes.lost),
            lost(|pair| pair.linux.echoes.lost)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(replies: u64, first_arp_ms: u64) -> Figures {
        Figures {
            first_arp: Duration::from_millis(first_arp_ms),
            echoes: Echoes {
                replies,
                lost: 1,
                seconds: 2.0,
            },
            processor_seconds: 0.5,
        }
    }

    #[test]
    fn medians_and_ratios_are_told() {
        let pair = |ours, linux| Pair { ours, linux };
        let table = Table::new(
            "Linux",
            vec![
                pair(figures(60_000, 200), figures(20_000, 2000)),
                pair(figures(30_000, 300), figures(20_000, 1000)),
                pair(figures(50_000, 250), figures(20_000, 2000)),
            ],
        );
        let text = table.to_string();
        assert!(
            text.contains("| 25 000 | 10 000 | 2.50 (1.50 to 3.00) | 2 | reached |"),
            "{text}"
        );
        assert!(
            text.contains("| 250 | 2 000 | 0.12 (0.10 to 0.30) | 0.25 | reached |"),
            "{text}"
        );
        assert!(
            text.contains("| 10.0 | 25.0 | 0.40 (0.33 to 0.67) |"),
            "{text}"
        );
        assert!(text.contains("| 3 | 3 |"), "{text}");
        assert!(table.is_reached());
    }

    #[test]
    fn what_is_not_reached_is_said() {
        let pair = Pair {
            ours: figures(39_999, 251),
            linux: figures(20_000, 1000),
        };
        let table = Table::new("Linux", vec![pair]);
        assert_eq!(table.to_string().matches("| not reached |").count(), 2);
        assert!(!table.is_reached());
    }

    #[test]
    fn an_even_number_has_a_median_too() {
        let spread = Spread::of([4.0, 1.0, 3.0, 2.0].into_iter());
        assert_eq!(spread.to_string(), "2.50 (1.00 to 4.00)");
    }
}
