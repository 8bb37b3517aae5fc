/*
 * pslist(9): lists that are read without a lock, inside a read section of pserialize(9).
 */
#ifndef _RUMPLAB_SYS_PSLIST_H_
#define _RUMPLAB_SYS_PSLIST_H_

#include <sys/types.h>
#include <sys/atomic.h>
#include <sys/systm.h>

struct pslist_head {
	struct pslist_entry *volatile plh_first;
};

struct pslist_entry {
	struct pslist_entry *volatile *ple_prevp;
	struct pslist_entry *volatile ple_next;
};

/* What the link of a destroyed entry holds: no address. */
#define _PSLIST_POISON		((struct pslist_entry *)1)

#define PSLIST_INITIALIZER	{ .plh_first = NULL }
#define PSLIST_ENTRY_INITIALIZER { .ple_next = NULL, .ple_prevp = NULL }

static inline void
pslist_init(struct pslist_head *head)
{
	head->plh_first = NULL;
}

static inline void
pslist_destroy(struct pslist_head *head)
{
	KASSERT(head->plh_first == NULL);
}

static inline void
pslist_entry_init(struct pslist_entry *entry)
{
	entry->ple_next = NULL;
	entry->ple_prevp = NULL;
}

static inline void
pslist_entry_destroy(struct pslist_entry *entry)
{
	KASSERT(entry->ple_prevp == NULL);
	atomic_store_relaxed(&entry->ple_next, _PSLIST_POISON);
}

/* Links the entry where prevp points, and publishes it. */
static inline void
_pslist_insert(struct pslist_entry *volatile *prevp, struct pslist_entry *entry)
{
	struct pslist_entry *next = *prevp;

	KASSERT(entry->ple_prevp == NULL && entry->ple_next == NULL);
	if (next != NULL) {
		KASSERT(next->ple_prevp == prevp);
		next->ple_prevp = &entry->ple_next;
	}
	entry->ple_next = next;
	entry->ple_prevp = prevp;
	atomic_store_release(prevp, entry);
}

static inline void
pslist_writer_insert_head(struct pslist_head *head, struct pslist_entry *entry)
{
	_pslist_insert(&head->plh_first, entry);
}

static inline void
pslist_writer_insert_after(struct pslist_entry *before, struct pslist_entry *entry)
{
	KASSERT(before->ple_prevp != NULL);
	_pslist_insert(&before->ple_next, entry);
}

static inline void
pslist_writer_insert_before(struct pslist_entry *after, struct pslist_entry *entry)
{
	KASSERT(after->ple_prevp != NULL);
	_pslist_insert(after->ple_prevp, entry);
}

/* The entry keeps its own link: a reader at it goes on. */
static inline void
pslist_writer_remove(struct pslist_entry *entry)
{
	struct pslist_entry *next = entry->ple_next;

	KASSERT(entry->ple_prevp != NULL && next != _PSLIST_POISON);
	if (next != NULL)
		next->ple_prevp = entry->ple_prevp;
	atomic_store_release(entry->ple_prevp, next);
	entry->ple_prevp = NULL;
}

static inline struct pslist_entry *
pslist_writer_first(const struct pslist_head *head)
{
	return head->plh_first;
}

static inline struct pslist_entry *
pslist_writer_next(const struct pslist_entry *entry)
{
	KASSERT(entry->ple_next != _PSLIST_POISON);
	return entry->ple_next;
}

static inline struct pslist_entry *
pslist_reader_first(const struct pslist_head *head)
{
	return atomic_load_acquire(&head->plh_first);
}

static inline struct pslist_entry *
pslist_reader_next(const struct pslist_entry *entry)
{
	struct pslist_entry *next = atomic_load_acquire(&entry->ple_next);

	KASSERT(next != _PSLIST_POISON);
	return next;
}

#define _PSLIST_CONTAINER(entry, type, field)	__extension__ ({				\
	struct pslist_entry *entry_ = (entry);							\
	entry_ == NULL ? NULL : (type *)(void *)((char *)entry_ - offsetof(type, field));	\
})

#define PSLIST_INIT(head)			pslist_init(head)
#define PSLIST_DESTROY(head)			pslist_destroy(head)
#define PSLIST_ENTRY_INIT(e, field)		pslist_entry_init(&(e)->field)
#define PSLIST_ENTRY_DESTROY(e, field)		pslist_entry_destroy(&(e)->field)
#define PSLIST_WRITER_INSERT_HEAD(head, e, field)	pslist_writer_insert_head((head), &(e)->field)
#define PSLIST_WRITER_INSERT_BEFORE(a, e, field)	pslist_writer_insert_before(&(a)->field, &(e)->field)
#define PSLIST_WRITER_INSERT_AFTER(b, e, field)		pslist_writer_insert_after(&(b)->field, &(e)->field)
#define PSLIST_WRITER_REMOVE(e, field)		pslist_writer_remove(&(e)->field)
#define PSLIST_WRITER_FIRST(head, type, field)	_PSLIST_CONTAINER(pslist_writer_first(head), type, field)
#define PSLIST_WRITER_NEXT(e, type, field)	_PSLIST_CONTAINER(pslist_writer_next(&(e)->field), type, field)
#define PSLIST_WRITER_EMPTY(head)		(pslist_writer_first(head) == NULL)
#define PSLIST_WRITER_FOREACH(e, head, type, field)	\
	for ((e) = PSLIST_WRITER_FIRST(head, type, field); (e) != NULL; (e) = PSLIST_WRITER_NEXT(e, type, field))
#define PSLIST_READER_FIRST(head, type, field)	_PSLIST_CONTAINER(pslist_reader_first(head), type, field)
#define PSLIST_READER_NEXT(e, type, field)	_PSLIST_CONTAINER(pslist_reader_next(&(e)->field), type, field)
#define PSLIST_READER_EMPTY(head)		(pslist_reader_first(head) == NULL)
#define PSLIST_READER_FOREACH(e, head, type, field)	\
	for ((e) = PSLIST_READER_FIRST(head, type, field); (e) != NULL; (e) = PSLIST_READER_NEXT(e, type, field))

#endif
