//! The size of a replay file.

use std::fmt;

use super::words::count;
use crate::replay::ReplayFile;

/// The size of a replay file: the smaller, the easier to understand. Operations count first, then departures.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Size {
    /// Operations of a program for the scenario `ops`.
    pub operations: usize,
    /// Departures from the default schedule.
    pub departures: usize,
    /// Allocations that fail.
    pub refusals: usize,
    /// Frames from outside, and mishaps on the wire.
    pub on_the_wire: usize,
    /// CPUs.
    pub cpus: usize,
}

/// The size of a file.
pub fn size(file: &ReplayFile) -> Size {
    let scripts = file.program.iter().flat_map(|program| &program.scripts);
    Size {
        operations: scripts.map(|script| script.ops().len()).sum(),
        departures: file.schedule.len(),
        refusals: file.refusals.len(),
        on_the_wire: file.wire.frames.len() + file.wire.mishaps.len(),
        cpus: file.config.cpus(),
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.operations > 0 {
            write!(f, "{}, ", count(self.operations, "operation"))?;
        }
        if self.refusals > 0 {
            write!(f, "{}, ", count(self.refusals, "failed allocation"))?;
        }
        if self.on_the_wire > 0 {
            write!(f, "{} on the wire, ", self.on_the_wire)?;
        }
        f.write_str(&count(self.departures, "forced switch"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_there_is_none_of_is_not_told() {
        let mut size = Size {
            operations: 0,
            departures: 1,
            refusals: 0,
            on_the_wire: 0,
            cpus: 2,
        };
        assert_eq!(size.to_string(), "1 forced switch");
        size.operations = 3;
        size.departures = 0;
        size.refusals = 1;
        size.on_the_wire = 2;
        assert_eq!(
            size.to_string(),
            "3 operations, 1 failed allocation, 2 on the wire, 0 forced switches"
        );
    }

    #[test]
    fn operations_count_first() {
        let size = |operations, departures| Size {
            operations,
            departures,
            refusals: 0,
            on_the_wire: 0,
            cpus: 2,
        };
        assert!(size(1, 9) < size(2, 0));
        assert!(size(1, 1) < size(1, 2));
    }
}
