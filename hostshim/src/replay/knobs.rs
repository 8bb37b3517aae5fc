//! The settings of a kernel by name, as replay files contain them.

use std::ops::RangeInclusive;

use kmod::config::Config;

/// A boot setting: a size of the real code.
pub(super) struct Knob {
    /// Its name: the field's.
    pub(super) name: &'static str,
    /// The values with which a kernel boots.
    pub(super) range: RangeInclusive<u32>,
    pub(super) get: fn(&Config) -> u32,
    pub(super) set: fn(&mut Config, u32),
}

/// Every knob, in the order in which a file has them.
pub(super) static KNOBS: [Knob; 15] = [
    Knob {
        name: "callout_wheel_bits",
        range: 1..=8,
        get: |c| c.callout_wheel_bits,
        set: |c, value| c.callout_wheel_bits = value,
    },
    Knob {
        name: "callout_wheel_levels",
        range: 1..=4,
        get: |c| c.callout_wheel_levels as u32,
        set: |c, value| c.callout_wheel_levels = value as usize,
    },
    Knob {
        name: "timeslice_ticks",
        range: 1..=1_000_000,
        get: |c| c.timeslice_ticks,
        set: |c, value| c.timeslice_ticks = value,
    },
    Knob {
        name: "balance_ticks",
        range: 0..=1_000_000,
        get: |c| c.balance_ticks,
        set: |c, value| c.balance_ticks = value,
    },
    Knob {
        name: "softint_handlers",
        range: 1..=32,
        get: |c| c.softint_handlers as u32,
        set: |c, value| c.softint_handlers = value as usize,
    },
    Knob {
        name: "percpu_import_words",
        range: 1..=256,
        get: |c| c.percpu_import_words as u32,
        set: |c, value| c.percpu_import_words = value as usize,
    },
    Knob {
        name: "pcq_slots",
        range: 2..=65_535,
        get: |c| c.pcq_slots as u32,
        set: |c, value| c.pcq_slots = value as usize,
    },
    Knob {
        name: "mbuf_cache",
        range: 0..=1_024,
        get: |c| c.mbuf_cache as u32,
        set: |c, value| c.mbuf_cache = value as usize,
    },
    Knob {
        name: "net_mpsafe",
        range: 0..=1,
        get: |c| u32::from(c.net_mpsafe),
        set: |c, value| c.net_mpsafe = value != 0,
    },
    Knob {
        name: "lltable_buckets",
        range: 1..=256,
        get: |c| c.lltable_buckets as u32,
        set: |c, value| c.lltable_buckets = value as usize,
    },
    Knob {
        name: "arpt_keep_ticks",
        range: 1..=1_000_000,
        get: |c| c.arpt_keep_ticks,
        set: |c, value| c.arpt_keep_ticks = value,
    },
    Knob {
        name: "arpt_down_ticks",
        range: 1..=1_000_000,
        get: |c| c.arpt_down_ticks,
        set: |c, value| c.arpt_down_ticks = value,
    },
    Knob {
        name: "repeat",
        range: 1..=1_000_000,
        get: |c| c.repeat,
        set: |c, value| c.repeat = value,
    },
    Knob {
        name: "nics",
        range: 0..=Config::MAXNICS as u32,
        get: |c| c.nics as u32,
        set: |c, value| c.nics = value as usize,
    },
    Knob {
        name: "kernels",
        range: 1..=Config::MAXKERNELS as u32,
        get: |c| c.kernels as u32,
        set: |c, value| c.kernels = value as usize,
    },
];

/// Fails to compile if a setting is added to the kernel and not to the file format.
const _: fn(Config) = |config| {
    let Config {
        // Separate lines in a file.
        ncpu: _,
        xcall: _,
        history: _,
        // The variant's.
        own: _,
        // The scenario's.
        memory: _,
        // Does not influence a run.
        predict: _,
        // The settings above.
        callout_wheel_bits: _,
        callout_wheel_levels: _,
        timeslice_ticks: _,
        balance_ticks: _,
        softint_handlers: _,
        percpu_import_words: _,
        pcq_slots: _,
        mbuf_cache: _,
        net_mpsafe: _,
        lltable_buckets: _,
        arpt_keep_ticks: _,
        arpt_down_ticks: _,
        repeat: _,
        nics: _,
        kernels: _,
    } = config;
};

/// The settings that differ from the default.
pub(super) fn changed(
    config: &Config,
    usual: &Config,
) -> impl Iterator<Item = (&'static str, u32)> + use<> {
    let (given, usual) = (*config, *usual);
    KNOBS
        .iter()
        .filter(move |knob| (knob.get)(&given) != (knob.get)(&usual))
        .map(move |knob| (knob.name, (knob.get)(&given)))
}
