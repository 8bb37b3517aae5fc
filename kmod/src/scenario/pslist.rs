//! Tests of pslist(9): readers walk a list that writers change.

use crate::kern::kmem::{kmem_alloc, kmem_free};
use crate::kern::lwp::{Arg, curcpu, curlwp, curlwp_bind, curlwp_bindx};
use crate::kern::mutex::Kmutex;
use crate::kern::pserialize::{Pserialize, read_enter, read_exit};
use crate::kern::pslist::{Listed, PslistEntry, PslistHead};
use crate::kern::psref::{Psref, PsrefClass, PsrefTarget};
use crate::kern::softint::{self, Softint};
use crate::kern::spl::Ipl;
use crate::kern::synch::{self, kpause, preempt_point};
use crate::kernel::Kernel;
use crate::machine;
use crate::mem::Plain;
use crate::scenario::alive::Alive;
use crate::scenario::classics::{free_data, shared};
use crate::scenario::{FIXED, Kind, Scenario, actor, broken_promise, psref_class, share};

/// An item of a sorted list.
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
pub static TRAVERSE: Scenario = Scenario {
    name: "pslist-traverse",
    summary: "do readers of a changing list see all lasting items, in order, and nothing that was destroyed?",
    about: "A list has two lasting items. A writer inserts items before, between and after them, removes them, \
            waits for readers and frees them. A thread and a softint walk the list in read sections: they must \
            see the lasting items, increasing numbers, and no memory that was freed.",
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

/// Makes the softint walk the list on this CPU.
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
                "{} saw {lasting} of the {} lasting items",
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

/// Frees an item that no reader can see any more.
fn free(item: &'static Item) {
    item.entry.destroy();
    item.number.set(0);
    // SAFETY: (1) it came from `kmem_alloc`; (2) it is on no list and readers have ended, which the simulated machine
    // checks.
    unsafe { kmem_free(item) };
}

/// An item that can be referred to.
#[repr(C)]
struct Node {
    entry: PslistEntry,
    number: u32,
    target: PsrefTarget,
    word: Alive,
}

crate::fields!(Node {
    entry,
    target,
    word
});

// SAFETY: `repr(C)`, and the entry is the first field.
unsafe impl Listed for Node {
    fn entry(&self) -> &PslistEntry {
        &self.entry
    }
}

struct Chain {
    lock: Kmutex,
    nodes: PslistHead<Node>,
    psz: Pserialize,
    class: PsrefClass,
}

crate::fields!(Chain { lock, nodes, psz });

impl Chain {
    /// Inserts a new item in its place. The lock is held, or nothing runs.
    fn insert(&self, number: u32) {
        let node = share(
            "node",
            Node {
                entry: PslistEntry::new(),
                number,
                target: PsrefTarget::new(),
                word: Alive::new(),
            },
        );
        machine::label(node, format_args!("node{number}"));
        node.target.init(self.class);
        let before = self.nodes.iter().take_while(|node| node.number < number);
        match before.last() {
            Some(before) => self.nodes.insert_after(before, node),
            None => self.nodes.insert_head(node),
        }
    }
}

/// The numbers of the items. The last one stays.
const NODES: [u32; 3] = [1, 2, 3];

/// A reader leaves its section with a reference, and continues from that item.
pub static RESUME: Scenario = Scenario {
    name: "pslist-resume",
    summary: "a reader sleeps with a reference to its item, and continues from there: is the next item alive?",
    about: "A bound thread walks a list. At each item it takes a passive reference, leaves its read section, \
            sleeps, begins another section and continues from the item, which may have been removed by then. Two \
            threads each remove an item, wait for readers and references with the lock of the list held, free \
            it, and insert another in its place. Because the lock is held, the successor of a removed item is \
            not destroyed before the reference to that item is released.",
    variants: &[FIXED],
    min_cpus: 1,
    default_cpus: 2,
    kind: Kind::Sound,
    configure: |_| {},
    setup: |kernel| {
        let chain = share(
            "chain",
            Chain {
                lock: Kmutex::new("chain.lock", Ipl::None),
                nodes: PslistHead::new(),
                psz: Pserialize::new(),
                class: psref_class("node", Ipl::SoftNet),
            },
        );
        machine::label(chain, format_args!("chain"));
        kernel.set_data(Arg::of(chain));
        NODES.into_iter().for_each(|number| chain.insert(number));
        actor(kernel, "walker", 0, |_| walks_and_sleeps(), Arg::NONE);
        actor(kernel, "remover1", 1, |_| replaces(NODES[0]), Arg::NONE);
        actor(kernel, "remover2", 1, |_| replaces(NODES[1]), Arg::NONE);
    },
    verify: |kernel| shared::<Chain>(kernel.data()).psz.destroy(),
    teardown: |kernel| {
        let chain: &'static Chain = shared(kernel.data());
        while let Some(node) = chain.nodes.first() {
            node.entry.remove();
            free_node(node);
        }
        chain.nodes.destroy();
        // SAFETY: (1) it came from `create`; (2) nothing runs.
        unsafe { chain.class.destroy_at_rest() };
        free_data::<Chain>(kernel);
    },
};

fn chain() -> &'static Chain {
    shared(curlwp().kernel().data())
}

fn walks_and_sleeps() {
    let chain = chain();
    for _ in 0..curlwp().kernel().config().repeat {
        let bound = curlwp_bind();
        let psref = Psref::new();
        let mut last = 0;
        let mut s = read_enter();
        let mut next = chain.nodes.first();
        while let Some(node) = next {
            psref.acquire(&node.target, chain.class);
            read_exit(s);
            kpause("walker", 1, None);
            node.word.check("pslist-alive");
            if node.number <= last {
                broken_promise(
                    "pslist-order",
                    format_args!(
                        "{} saw item {} behind item {last}",
                        curlwp().name(),
                        node.number
                    ),
                );
            }
            last = node.number;
            s = read_enter();
            next = chain.nodes.next(node);
            psref.release(&node.target, chain.class);
        }
        read_exit(s);
        curlwp_bindx(bound);
        if last != NODES[2] {
            broken_promise(
                "pslist-lasting",
                format_args!(
                    "{} reached the end of the list after item {last}, but item {} was on it all the time",
                    curlwp().name(),
                    NODES[2]
                ),
            );
        }
    }
}

/// Removes an item and inserts another in its place.
fn replaces(number: u32) {
    let chain = chain();
    for _ in 0..curlwp().kernel().config().repeat {
        chain.lock.enter();
        if let Some(node) = chain.nodes.iter().find(|node| node.number == number) {
            node.entry.remove();
            chain.psz.perform();
            node.target.destroy(chain.class);
            free_node(node);
            chain.insert(number);
        }
        chain.lock.exit();
    }
}

/// Frees a node that no thread can see or refers to any more.
fn free_node(node: &'static Node) {
    node.entry.destroy();
    node.word.end();
    // SAFETY: (1) it came from `share`, which is `kmem_alloc`; (2) it is on no list, and readers and references have
    // ended, which the simulated machine checks.
    unsafe { kmem_free(node) };
}
