//! Names for addresses: the kernel's labels, resolved down to the field.

use std::collections::BTreeMap;
use std::fmt::Write;

use kmod::machine::{Field, Kind};

use super::memory::STACK_BYTES;

/// Whether an operation is on the labelled structure as a whole, not on a cell or a lock in it.
pub(super) fn is_on_whole(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Splx | Kind::Switch | Kind::Free | Kind::Yield | Kind::Kpreempt
    )
}

#[derive(Clone)]
struct Label {
    name: String,
    fields: &'static [Field],
    /// Whether it is the name of a local variable that is gone.
    gone: bool,
}

/// The labels of a kernel, by offset and size.
#[derive(Clone, Default)]
pub(crate) struct Labels(BTreeMap<(usize, usize), Label>);

impl Labels {
    /// Names the `size` bytes at `offset`.
    pub(crate) fn put(
        &mut self,
        offset: usize,
        size: usize,
        name: String,
        fields: &'static [Field],
    ) {
        let label = Label {
            name,
            fields,
            gone: false,
        };
        self.0.insert((offset, size), label);
    }

    /// A local variable at `offset` is gone, and so is what it was a part of.
    pub(crate) fn drop_local(&mut self, offset: usize) {
        // No label of a stack begins further below.
        let lowest = offset.saturating_sub(STACK_BYTES);
        for ((start, size), label) in self.0.range_mut((lowest, 0)..=(offset, usize::MAX)) {
            label.gone |= offset < start + size;
        }
    }

    /// Removes the names of the `size` bytes at `offset`.
    pub(crate) fn remove(&mut self, offset: usize, size: usize) {
        self.0
            .retain(|&(start, _), _| start < offset || start >= offset + size);
    }

    /// The labels in the `size` bytes at `offset`.
    pub(crate) fn within(&self, offset: usize, size: usize) -> Labels {
        let inside = self.0.range((offset, 0)..(offset + size, 0));
        Labels(inside.map(|(&at, label)| (at, label.clone())).collect())
    }

    /// Adds the labels of `others`, with `from` moved to `to`.
    pub(crate) fn add_moved(&mut self, others: Labels, from: usize, to: usize) {
        let moved = others.0.into_iter();
        self.0
            .extend(moved.map(|((at, size), label)| ((at - from + to, size), label)));
    }

    /// The name of the object of an operation of that kind at `offset`. What is there may be gone.
    pub(crate) fn resolve(&self, offset: usize, kind: Kind, gone: bool) -> Option<String> {
        let (&(start, _), label) = self
            .0
            .range(..=(offset, usize::MAX))
            .filter(|&(&(start, size), label)| offset < start + size && (gone || !label.gone))
            .max_by_key(|&(&(start, size), _)| (start, std::cmp::Reverse(size)))?;
        let mut name = label.name.clone();
        if !is_on_whole(kind) {
            descend(&mut name, label.fields, offset - start);
        }
        Some(name)
    }
}

/// Appends the fields that lead to `offset`.
pub(super) fn descend(name: &mut String, fields: &'static [Field], offset: usize) {
    let holds = |f: &&Field| (f.offset..f.offset + f.size).contains(&offset);
    let Some(field) = fields.iter().find(holds) else {
        return;
    };
    name.push('.');
    name.push_str(field.name);
    let mut inside = offset - field.offset;
    if let Some(element) = field.size.checked_div(field.count) {
        // Writing to a string cannot fail.
        let _ = write!(name, "[{}]", inside / element);
        inside %= element;
    }
    descend(name, field.fields, inside);
}

#[cfg(test)]
mod tests {
    use super::*;

    static QUEUE: [Field; 2] = [
        Field {
            name: "head",
            offset: 0,
            size: 8,
            count: 0,
            fields: &[],
            sort: kmod::machine::ObjectKind::Other,
        },
        Field {
            name: "lock",
            offset: 8,
            size: 8,
            count: 0,
            fields: &[],
            sort: kmod::machine::ObjectKind::Other,
        },
    ];
    static BOX: [Field; 3] = [
        Field {
            name: "queue",
            offset: 0,
            size: 16,
            count: 0,
            fields: &QUEUE,
            sort: kmod::machine::ObjectKind::Other,
        },
        Field {
            name: "queues",
            offset: 16,
            size: 32,
            count: 2,
            fields: &QUEUE,
            sort: kmod::machine::ObjectKind::Other,
        },
        Field {
            name: "count",
            offset: 48,
            size: 8,
            count: 0,
            fields: &[],
            sort: kmod::machine::ObjectKind::Other,
        },
    ];

    fn labels() -> Labels {
        let mut labels = Labels::default();
        labels.put(64, 56, "box".into(), &BOX);
        labels
    }

    fn name(labels: &Labels, offset: usize, kind: Kind) -> String {
        labels.resolve(offset, kind, false).unwrap_or_default()
    }

    #[test]
    fn cells_are_named_through_structures_and_arrays() {
        let labels = labels();
        assert_eq!(name(&labels, 64, Kind::Load), "box.queue.head");
        assert_eq!(
            name(&labels, 64 + 40, Kind::MutexEnter),
            "box.queues[1].lock"
        );
        assert_eq!(name(&labels, 64 + 48, Kind::Store), "box.count");
        assert_eq!(labels.resolve(63, Kind::Load, false), None);
        assert_eq!(labels.resolve(64 + 56, Kind::Load, false), None);
    }

    #[test]
    fn an_operation_on_the_whole_names_the_whole() {
        assert_eq!(name(&labels(), 64, Kind::Switch), "box");
    }

    #[test]
    fn the_innermost_label_wins_until_it_is_removed() {
        let mut labels = labels();
        labels.put(64, 16, "inner".into(), &QUEUE);
        assert_eq!(name(&labels, 72, Kind::Read), "inner.lock");
        labels.put(64, 16, "renamed".into(), &QUEUE);
        assert_eq!(name(&labels, 72, Kind::Read), "renamed.lock");
        labels.remove(64, 56);
        assert_eq!(labels.resolve(72, Kind::Read, false), None);
    }

    #[test]
    fn a_name_goes_with_its_local_variable() {
        let mut labels = labels();
        labels.drop_local(72);
        assert_eq!(labels.resolve(64, Kind::Read, false), None);
        assert_eq!(
            labels.resolve(64, Kind::Read, true).as_deref(),
            Some("box.queue.head")
        );
        labels.put(64, 16, "next".into(), &QUEUE);
        assert_eq!(name(&labels, 72, Kind::Read), "next.lock");
    }

    #[test]
    fn labels_move_with_what_they_name() {
        let mut labels = labels();
        let inside = labels.within(64, 56);
        labels.remove(64, 56);
        labels.add_moved(inside, 64, 640);
        assert_eq!(name(&labels, 648, Kind::Read), "box.queue.lock");
        assert_eq!(labels.resolve(72, Kind::Read, false), None);
        let nothing = labels.within(0, 640);
        assert_eq!(nothing.resolve(640, Kind::Read, false), None);
    }
}
