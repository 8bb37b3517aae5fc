//! Boot, and what scenarios need.

use super::{Breach, breach};
use crate::scenario::share;

pub(super) static BREACHES: &[Breach] = &[
    breach!("boot-memory": "boots with a wheel of callouts that is larger than the memory", || {},
        configure: |config| config.callout_wheel_bits = 24),
    breach!("scenario-cpus": "boots on one CPU with a scenario that needs two", || {},
        min_cpus: 2, default_cpus: 1),
    breach!("scenario-memory": "shares pages without end in its setup", || {},
    setup: |_| loop {
        share("page", [0_u8; 4096]);
    }),
];
