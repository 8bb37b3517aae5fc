//! Tests of pserialize(9): a writer waits for the readers in their sections.

use crate::kern::lwp::{Arg, curlwp};
use crate::kern::pserialize::{
    Pserialize, in_read_section, not_in_read_section, read_enter, read_exit,
};
use crate::kern::synch::preempt_point;
use crate::machine;
use crate::mem::{AtomicU32, SeqCst};
use crate::scenario::classics::{free_data, shared};
use crate::scenario::{FIXED, Kind, Scenario, actor, broken_promise, share};

const READERS: usize = 2;

/// Which readers are inside a read section: odd numbers.
struct Grace {
    sections: [AtomicU32; READERS],
    psz: Pserialize,
}

crate::fields!(Grace { sections, psz });

/// A writer waits for the readers that are in a section.
pub static GRACE: Scenario = Scenario {
    name: "pserialize-grace",
    summary: "has every section that was open when pserialize_perform began ended when it returns?",
    about: "Two readers count the beginnings and ends of their sections; one nests them. Two writers read the \
            counts, perform, and read them again: a reader that was in a section must have left that section.",
    variants: &[FIXED],
    min_cpus: 1,
    default_cpus: 2,
    kind: Kind::Sound,
    configure: |_| {},
    setup: |kernel| {
        let grace = share(
            "grace",
            Grace {
                sections: [const { AtomicU32::new(0) }; READERS],
                psz: Pserialize::new(),
            },
        );
        machine::label(grace, format_args!("grace"));
        kernel.set_data(Arg::of(grace));
        actor(kernel, "reader0", 0, |_| read(0), Arg::NONE);
        actor(kernel, "reader1", 1, |_| read(1), Arg::NONE);
        actor(kernel, "writer", 1, |_| write(), Arg::NONE);
    },
    verify: |kernel| shared::<Grace>(kernel.data()).psz.destroy(),
    teardown: free_data::<Grace>,
};

fn grace() -> &'static Grace {
    shared(curlwp().kernel().data())
}

fn read(index: usize) {
    let section = &grace().sections[index];
    for _ in 0..=curlwp().kernel().config().repeat {
        let s = read_enter();
        section.fetch_add(1, SeqCst);
        expect_section(true);
        if index == 1 {
            let nested = read_enter();
            preempt_point();
            read_exit(nested);
            expect_section(true);
        }
        preempt_point();
        section.fetch_add(1, SeqCst);
        read_exit(s);
        expect_section(false);
    }
}

/// What the predicates say, inside and outside of a section.
fn expect_section(inside: bool) {
    if in_read_section() != inside || inside && not_in_read_section() {
        broken_promise(
            "psz-inside",
            format_args!(
                "{} is {} a read section, and pserialize_in_read_section says otherwise",
                curlwp().name(),
                if inside { "in" } else { "outside of" }
            ),
        );
    }
}

fn write() {
    let grace = grace();
    for _ in 0..curlwp().kernel().config().repeat {
        let before = grace
            .sections
            .each_ref()
            .map(|section| section.load(SeqCst));
        grace.psz.perform();
        for (index, (section, before)) in grace.sections.iter().zip(before).enumerate() {
            if before % 2 == 1 && section.load(SeqCst) == before {
                broken_promise(
                    "psz-grace",
                    format_args!(
                        "pserialize_perform returned to {}, but reader{index} is still in the section that it was in \
                         when the call began",
                        curlwp().name()
                    ),
                );
            }
        }
    }
}
