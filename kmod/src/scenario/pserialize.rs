//! What pserialize(9) and pslist(9) guarantee.

use crate::kern::kmem::{kmem_alloc, kmem_free};
use crate::kern::lwp::{Arg, curcpu, curlwp};
use crate::kern::mutex::Kmutex;
use crate::kern::pserialize::{Pserialize, read_enter, read_exit};
use crate::kern::pslist::{Listed, PslistEntry, PslistHead};
use crate::kern::softint::{self, Softint};
use crate::kern::spl::Ipl;
use crate::kern::synch::{self, preempt_point};
use crate::kernel::Kernel;
use crate::machine;
use crate::mem::{AtomicU32, Plain, SeqCst};
use crate::scenario::classics::{free_data, shared};
use crate::scenario::{FIXED, Kind, Scenario, actor, broken_promise, share};

const READERS: usize = 2;

/// Who is inside of a read section: odd numbers.
struct Grace {
    sections: [AtomicU32; READERS],
    psz: Pserialize,
}

crate::fields!(Grace { sections, psz });

/// A writer waits for the readers that are inside.
pub static GRACE: Scenario = Scenario {
    name: "pserialize-grace",
    summary: "every section that was open when pserialize_perform began has ended when it returns",
    about: "Two readers count the beginnings and ends of their sections; one nests them. Two writers look at the counts, \
            perform, and look again: whoever was inside of a section must have left that section.",
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
        if index == 1 {
            let nested = read_enter();
            preempt_point();
            read_exit(nested);
        }
        preempt_point();
        section.fetch_add(1, SeqCst);
        read_exit(s);
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
                        "pserialize_perform returned to {}, and reader{index} is still in the section in which it was \
                         when that began",
                        curlwp().name()
                    ),
                );
            }
        }
    }
}

/// An item of a list that is kept in order.
#[repr(C)]
struct Item {
    entry: PslistEntry,
    number: Plain<u32>,
}

crate::fields!(Item { entry, number });

// SAFETY: `repr(C)`, and the entry is the first field.
unsafe impl Listed for Item {
    fn entry(&self) -> &PslistEntry {
        &self.entry
    }
}

struct List {
    lock: Kmutex,
    items: PslistHead<Item>,
    psz: Pserialize,
    softint: Plain<Option<Softint>>,
}

crate::fields!(List {
    lock,
    items,
    psz,
    softint
});

/// The items that stay: every reader must see them.
const LASTING: [u32; 2] = [10, 30];

/// Readers in threads and softints walk a list that a writer changes.
pub static LIST: Scenario = Scenario {
    name: "pslist-traverse",
    summary: "who walks a list that changes sees what stays, in order, and nothing that was destroyed",
    about: "A list has two items that stay. A writer inserts items before, between and behind them, removes them, \
            waits for readers and frees them. A thread and a softint walk the list in read sections: they must see the \
            lasting items, numbers that only grow, and no memory that was freed.",
    variants: &[FIXED],
    min_cpus: 1,
    default_cpus: 2,
    kind: Kind::Sound,
    configure: |_| {},
    setup: setup_list,
    verify: |kernel| shared::<List>(kernel.data()).psz.destroy(),
    teardown: |kernel| {
        let list: &'static List = shared(kernel.data());
        if let Some(softint) = list.softint.peek() {
            softint::disestablish_at_rest(kernel, softint);
        }
        while let Some(item) = list.items.first() {
            item.entry.remove();
            free(item);
        }
        list.items.destroy();
        free_data::<List>(kernel);
    },
};

fn setup_list(kernel: &'static Kernel) {
    let list = share(
        "list",
        List {
            lock: Kmutex::new("list.lock", Ipl::None),
            items: PslistHead::new(),
            psz: Pserialize::new(),
            softint: Plain::new(None),
        },
    );
    machine::label(list, format_args!("list"));
    kernel.set_data(Arg::of(list));
    for number in LASTING.into_iter().rev() {
        list.items.insert_head(share("item", item(number)));
    }
    let softint = softint::establish_at_boot(kernel.cpus(), Ipl::SoftNet, |_| walk(), Arg::NONE);
    list.softint.set(softint);
    actor(kernel, "walker", 0, |_| walks(), Arg::NONE);
    actor(kernel, "packets", 1, |_| packets(), Arg::NONE);
    actor(kernel, "writer", 1, |_| changes(), Arg::NONE);
}

fn item(number: u32) -> Item {
    Item {
        entry: PslistEntry::new(),
        number: Plain::new(number),
    }
}

fn list() -> &'static List {
    shared(curlwp().kernel().data())
}

fn walks() {
    for _ in 0..=curlwp().kernel().config().repeat {
        walk();
    }
}

/// Has the softint walk the list on this CPU.
fn packets() {
    let list = list();
    for _ in 0..curlwp().kernel().config().repeat {
        synch::kpreempt_disable();
        if let Some(softint) = list.softint.peek() {
            softint::schedule(softint);
        }
        synch::kpreempt_enable();
        preempt_point();
    }
}

fn walk() {
    let s = read_enter();
    let (mut last, mut lasting) = (0, 0);
    for item in list().items.iter() {
        let number = item.number.get();
        if number <= last {
            broken_promise(
                "pslist-order",
                format_args!(
                    "{} on cpu{} saw item {number} behind item {last}",
                    curlwp().name(),
                    curcpu().index()
                ),
            );
        }
        last = number;
        lasting += usize::from(LASTING.contains(&number));
    }
    read_exit(s);
    if lasting != LASTING.len() {
        broken_promise(
            "pslist-lasting",
            format_args!(
                "{} saw {lasting} of the {} items that were there all the time",
                curlwp().name(),
                LASTING.len()
            ),
        );
    }
}

fn changes() {
    let list = list();
    for _ in 0..curlwp().kernel().config().repeat {
        let fresh = [5, 20, 40].map(|number| kmem_alloc("item", item(number)));
        let [Some(before), Some(between), Some(behind)] = fresh else {
            fresh.into_iter().flatten().for_each(free);
            return;
        };
        list.lock.enter();
        if let Some(first) = list.items.first() {
            list.items.insert_after(first, between);
        }
        if let Some(last) = list.items.next(between) {
            list.items.insert_after(last, behind);
        }
        if let Some(first) = list.items.first() {
            list.items.insert_before(first, before);
        }
        for item in [between, before, behind] {
            item.entry.remove();
        }
        list.lock.exit();
        list.psz.perform();
        [before, between, behind].into_iter().for_each(free);
    }
}

/// Nobody sees it any more.
fn free(item: &'static Item) {
    item.entry.destroy();
    item.number.set(0);
    // SAFETY: (1) it came from `kmem_alloc`; (2) it is on no list and readers have ended, which the simulated machine
    // checks.
    unsafe { kmem_free(item) };
}
