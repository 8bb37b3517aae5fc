//! The record of a run for reports: events, names, and the last access to each cell.
//!
//! An ordinary run does not use this: the machine records only if it was booted to be traced, or when it repeats a
//! failing run to find the other side of a race.

use std::collections::BTreeMap;

use kmod::kern::spl::Ipl;
use kmod::machine::{At, Field, Kind, Line};
use kmod::mem::Ordering;

use super::foreign::is_atomic;
use super::label::{Labels, is_on_whole};
use super::words::{Word, Words};

/// One event of a trace.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TraceEvent {
    /// Number of the decision after which it happened, counted from the release of the actors.
    pub point: u64,
    /// The CPU on which it happened.
    pub cpu: usize,
    /// The name of the context that ran there.
    pub context: String,
    /// The interrupt priority level at which it ran.
    pub ipl: u8,
    /// What happened.
    pub what: What,
    /// How many events with the same context, kind and object came before. 0 for an event that is no operation.
    pub occurrence: u32,
}

/// The kind of an event.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum What {
    /// The operation that announced the step.
    Op(Access),
    /// An access that belongs to the current step.
    Fused(Access),
    /// The CPU waits for an interrupt.
    Wait,
    /// The CPU spins.
    Spin {
        /// Where in the source.
        location: String,
    },
    /// The CPU takes an interrupt, on top of the context.
    Interrupt(Line),
    /// The CPU continues with another context.
    Switch {
        /// The other context's name.
        to: String,
    },
    /// A line that the kernel wrote.
    Note(String),
    /// An allocation fails, because the schedule says so.
    Refused {
        /// What the memory was for.
        object: String,
        /// Where in the source.
        location: String,
    },
    /// A store that was in the store buffer of this CPU becomes visible to others.
    Visible {
        /// What was stored to.
        object: String,
        /// Where in the source it was stored.
        location: String,
    },
    /// The load of this step reads what was there before a store that is still in the store buffer of another CPU.
    Missed {
        /// What is loaded.
        object: String,
        /// That CPU.
        by: usize,
        /// Where in the source it stored.
        stored: String,
        /// Where in the source it is loaded.
        location: String,
    },
    /// The context now holds a lock, or no longer holds it. Belongs to the current step.
    Lock {
        /// The lock, named as in accesses.
        object: String,
        /// How it is held now.
        hold: Hold,
    },
    /// A reference is taken, passed on or given back, or memory is allocated or freed. Belongs to the current step.
    Reference {
        /// The object, named as in accesses.
        object: String,
        /// Where in memory it is: its name may change.
        offset: usize,
        /// What happens.
        refer: Refer,
    },
    /// Something starts to run on this CPU, on top of the context. Belongs to the current step.
    Begin(Layer),
    /// It has ended, or returned the CPU.
    End(Layer),
    /// An operation on a condition variable. Belongs to the current step.
    Condvar {
        /// The condition variable, named as in accesses.
        object: String,
        /// The operation.
        act: Act,
    },
}

/// What happens to a reference, or to the memory of an object.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Refer {
    /// The context has allocated the object.
    Allocated {
        /// Where in the source.
        location: String,
    },
    /// The context has freed the object.
    Freed {
        /// Its size.
        size: usize,
    },
    /// The context takes a reference.
    Took {
        /// On whose behalf, if that has a name.
        holder: &'static str,
        /// The function that takes it.
        function: &'static str,
        /// Where in the source.
        location: String,
    },
    /// A reference is given back.
    Gave {
        /// On whose behalf it was taken.
        holder: &'static str,
    },
    /// The only reference goes to another owner.
    Passed {
        /// The function that passes it on.
        function: &'static str,
        /// Where in the source.
        location: String,
    },
}

/// An operation on a condition variable.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Act {
    /// The context goes to sleep on it, and releases this mutex.
    Sleep {
        /// The mutex, named as in accesses.
        interlock: String,
    },
    /// The context signals it.
    Signal {
        /// Whether an LWP sleeps there.
        sleepers: bool,
    },
    /// It broadcasts.
    Broadcast {
        /// Whether an LWP sleeps there.
        sleepers: bool,
    },
}

/// How a lock is held.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hold {
    /// Exclusively.
    Alone,
    /// By a reader, perhaps one of many.
    Shared,
    /// No longer by this context.
    Released,
}

/// Something that runs on top of something else.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Layer {
    /// The handler of an interrupt.
    Handler(Line),
    /// The handlers of devices at this level.
    Device(Ipl),
    /// A softint level.
    Softint(Ipl),
}

impl Layer {
    /// Its name: `clock`, `softnet`.
    pub const fn name(self) -> &'static str {
        match self {
            Layer::Handler(line) => line.name(),
            Layer::Device(_) => "device",
            Layer::Softint(level) => level.name(),
        }
    }
}

/// An operation on an object.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Access {
    /// The operation.
    pub kind: Kind,
    /// Its ordering.
    pub order: Ordering,
    /// The object: `xc_low.xc_headp`; `what#n+offset` for memory without a label.
    pub object: String,
    /// Where in the source: `kmod/src/kern/xcall.rs:88`.
    pub location: String,
}

/// The name of a point: what a CPU is about to do, in words that do not change when the code around it does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PointName {
    /// The name of the context that runs on the CPU.
    pub context: Word,
    /// The kind of operation; `wait` or `spin` if there is none.
    pub what: Word,
    /// The object, empty if there is none.
    pub object: Word,
    /// How often the context has done that in this run.
    pub occurrence: u32,
}

/// How much is recorded of a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Recording {
    /// Nothing: it is one of many.
    Nothing,
    /// The data for the names of points.
    Names,
    /// The same, and the last access to each cell, for the other side of a failure.
    Sites,
    /// Everything.
    Trace,
}

impl Recording {
    /// For a machine that is booted to be traced, or not.
    pub(crate) fn of_setup(trace: bool) -> Recording {
        match trace {
            true => Recording::Trace,
            false => Recording::Nothing,
        }
    }
}

/// The last access to an address.
#[derive(Clone, Debug)]
pub(crate) struct Site {
    pub(crate) kind: Kind,
    pub(crate) cpu: usize,
    pub(crate) context: String,
    pub(crate) location: String,
    /// Where in the code.
    pub(crate) at: Option<At>,
}

/// What is recorded of a run.
#[derive(Default)]
pub(crate) struct Recorder {
    pub(crate) labels: Labels,
    /// The labels of memory that was freed in this run.
    buried: Labels,
    pub(crate) events: Vec<TraceEvent>,
    /// Last access by cell, CPU, whether it was a write, and whether it was atomic.
    sites: BTreeMap<(usize, usize, bool, bool), Site>,
    /// Last atomic write by cell.
    stores: BTreeMap<usize, Site>,
    /// Where memory from one offset to another was freed.
    frees: Vec<(usize, usize, Site)>,
    /// Where memory from one offset to another was allocated.
    births: Vec<(usize, usize, Site)>,
    occurrences: BTreeMap<(Word, Word, Word), u32>,
    labels_of_image: Labels,
    pub(crate) words: Words,
    /// Names of objects that were looked up, by offset, and whether the whole object is meant. They change with the
    /// labels.
    objects: BTreeMap<(usize, bool), Word>,
}

impl Recorder {
    /// Forgets everything: another kernel is about to boot.
    pub(crate) fn clear(&mut self) {
        *self = Recorder::default();
    }

    /// Every recorded run begins with these labels.
    pub(crate) fn take_image(&mut self) {
        self.labels_of_image.clone_from(&self.labels);
    }

    /// Begins to record a run.
    pub(crate) fn restore(&mut self) {
        self.labels.clone_from(&self.labels_of_image);
        self.buried = Labels::default();
        self.events.clear();
        self.sites.clear();
        self.stores.clear();
        self.frees.clear();
        self.births.clear();
        self.occurrences.clear();
        self.objects.clear();
    }

    /// Names the `size` bytes at `offset`.
    pub(crate) fn put_label(
        &mut self,
        offset: usize,
        size: usize,
        name: String,
        fields: &'static [Field],
    ) {
        self.labels.put(offset, size, name, fields);
        self.forget_objects(offset, size);
    }

    /// Nothing in the `size` bytes at `offset` has a name of its own any more.
    pub(crate) fn forget_names(&mut self, offset: usize, size: usize) {
        self.labels.remove(offset, size);
        self.forget_objects(offset, size);
    }

    /// The object in the `size` bytes at `offset` was freed. Points are no longer named after it, but messages are.
    pub(crate) fn bury_labels(&mut self, offset: usize, size: usize) {
        let gone = self.labels.within(offset, size);
        self.buried.add_moved(gone, offset, offset);
        self.labels.remove(offset, size);
        self.forget_objects(offset, size);
    }

    /// The local variable of `size` bytes at `offset` is gone.
    pub(crate) fn drop_local(&mut self, offset: usize, size: usize) {
        self.labels.drop_local(offset);
        self.forget_objects(offset, size);
    }

    /// The object at `from` was moved to `to`.
    pub(crate) fn move_labels(&mut self, from: usize, to: usize, size: usize) {
        let moved = self.labels.within(from, size);
        self.labels.add_moved(moved, from, to);
        self.labels.remove(from, size);
        self.forget_objects(from, size);
        self.forget_objects(to, size);
    }

    /// The name of an object that was freed in this run.
    pub(crate) fn buried(&self, offset: usize, kind: Kind) -> Option<String> {
        self.buried.resolve(offset, kind, true)
    }

    /// The `size` bytes at `offset` contain something else now.
    pub(crate) fn forget_objects(&mut self, offset: usize, size: usize) {
        let known = self.objects.range((offset, false)..(offset + size, false));
        let known: Vec<_> = known.map(|(&key, _)| key).collect();
        for key in known {
            self.objects.remove(&key);
        }
    }

    /// The name of the object at `offset`, if it was looked up before.
    pub(crate) fn known_object(&self, offset: usize, kind: Kind) -> Option<Word> {
        self.objects.get(&(offset, is_on_whole(kind))).copied()
    }

    /// Stores the name of the object at `offset`, which is valid until a label changes.
    pub(crate) fn know_object(&mut self, offset: usize, kind: Kind, name: Word) {
        self.objects.insert((offset, is_on_whole(kind)), name);
    }

    /// A name for the point before an operation of a context.
    pub(crate) fn name_point(&self, context: Word, what: Word, object: Word) -> PointName {
        let key = (context, what, object);
        let occurrence = self.occurrences.get(&key).copied().unwrap_or(0);
        PointName {
            context,
            what,
            object,
            occurrence,
        }
    }

    /// Counts an operation of the context, and returns how often it was done before.
    pub(crate) fn count(&mut self, context: Word, what: Word, object: Word) -> u32 {
        let count = self.occurrences.entry((context, what, object)).or_insert(0);
        *count += 1;
        *count - 1
    }

    /// Records an access to the cell at `offset`.
    pub(crate) fn touched(&mut self, offset: usize, site: Site) {
        let key = (offset, site.cpu, site.kind.writes(), is_atomic(site.kind));
        self.sites.insert(key, site);
    }

    /// The cell at `to` was a part of that at `from`.
    pub(crate) fn copy_sites(&mut self, from: usize, to: usize) {
        let sites = self
            .sites
            .range((from, 0, false, false)..(from + 1, 0, false, false));
        let copies: Vec<_> = sites
            .map(|(&(_, cpu, wrote, atomic), site)| ((to, cpu, wrote, atomic), site.clone()))
            .collect();
        self.sites.extend(copies);
    }

    /// Records the writer of the atomic cell at `offset`.
    pub(crate) fn stored(&mut self, offset: usize, site: Site) {
        self.stores.insert(offset, site);
    }

    /// The last atomic write of the cell at `offset`, if there was one in this run.
    pub(crate) fn last_store(&self, offset: usize) -> Option<&Site> {
        self.stores.get(&offset)
    }

    /// Records an allocation.
    pub(crate) fn born(&mut self, offset: usize, size: usize, site: Site) {
        self.births.push((offset, size, site));
    }

    /// Records a free.
    pub(crate) fn freed(&mut self, offset: usize, size: usize, site: Site) {
        self.frees.push((offset, size, site));
    }

    /// The last access of that CPU to the cell.
    pub(crate) fn site(
        &self,
        offset: usize,
        cpu: usize,
        wrote: bool,
        atomic: bool,
    ) -> Option<&Site> {
        self.sites.get(&(offset, cpu, wrote, atomic))
    }

    /// Where the memory that contains `offset` was freed.
    pub(crate) fn free_site(&self, offset: usize) -> Option<&Site> {
        holder(&self.frees, offset)
    }

    /// Where the memory that contains `offset` was allocated, in this run.
    pub(crate) fn birth(&self, offset: usize) -> Option<&Site> {
        holder(&self.births, offset)
    }
}

/// The last of these that contains `offset`.
fn holder(areas: &[(usize, usize, Site)], offset: usize) -> Option<&Site> {
    areas
        .iter()
        .rev()
        .find(|&&(start, size, _)| (start..start + size).contains(&offset))
        .map(|(_, _, site)| site)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn occurrences_are_counted_by_context_kind_and_object() {
        let mut recorder = Recorder::default();
        let [a, x] = ["a", "x"].map(|text| recorder.words.word(text));
        assert_eq!(recorder.count(a, Word::of(Kind::Load), x), 0);
        assert_eq!(recorder.count(a, Word::of(Kind::Load), x), 1);
        assert_eq!(recorder.count(a, Word::of(Kind::Store), x), 0);
        assert_eq!(
            recorder.name_point(a, Word::of(Kind::Load), x).occurrence,
            2
        );
        recorder.restore();
        assert_eq!(
            recorder.name_point(a, Word::of(Kind::Load), x).occurrence,
            0
        );
    }

    #[test]
    fn an_object_is_looked_up_again_when_labels_change() {
        let mut recorder = Recorder::default();
        let [x, y] = ["x", "y"].map(|text| recorder.words.word(text));
        recorder.know_object(64, Kind::Load, x);
        recorder.know_object(64, Kind::Switch, y);
        recorder.know_object(72, Kind::Load, y);
        assert_eq!(recorder.known_object(64, Kind::Store), Some(x));
        assert_eq!(recorder.known_object(64, Kind::Free), Some(y));
        recorder.put_label(64, 8, "z".to_owned(), &[]);
        assert_eq!(recorder.known_object(64, Kind::Load), None);
        assert_eq!(recorder.known_object(64, Kind::Switch), None);
        assert_eq!(recorder.known_object(72, Kind::Load), Some(y));
        recorder.bury_labels(0, 1000);
        assert_eq!(recorder.known_object(72, Kind::Load), None);
    }
}
