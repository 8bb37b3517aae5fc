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

/*
 * Each of these is a macro: the line that a report shows is the caller's. An entry that is removed keeps its own link, so that a reader
 * at it goes on.
 */
#define pslist_init(head)		((void)((head)->plh_first = NULL))
#define pslist_destroy(head)		KASSERT((head)->plh_first == NULL)
#define pslist_entry_init(entry)	((void)((entry)->ple_next = NULL, (entry)->ple_prevp = NULL))
#define pslist_entry_destroy(entry)	__extension__ ({					\
	struct pslist_entry *entry_ = (entry);							\
	KASSERT(entry_->ple_prevp == NULL);							\
	atomic_store_relaxed(&entry_->ple_next, _PSLIST_POISON);				\
})

/* Links the entry where prevp points, and publishes it. */
#define _PSLIST_INSERT(prevp, entry)	__extension__ ({					\
	struct pslist_entry *volatile *prevp_ = (prevp), *entry_ = (entry), *next_ = *prevp_;	\
	KASSERT(entry_->ple_prevp == NULL && entry_->ple_next == NULL);				\
	if (next_ != NULL) {									\
		KASSERT(next_->ple_prevp == prevp_);						\
		next_->ple_prevp = &entry_->ple_next;						\
	}											\
	entry_->ple_next = next_;								\
	entry_->ple_prevp = prevp_;								\
	atomic_store_release(prevp_, entry_);							\
})
#define pslist_writer_insert_head(head, entry)		_PSLIST_INSERT(&(head)->plh_first, (entry))
#define pslist_writer_insert_after(before, entry)	_PSLIST_INSERT(&(before)->ple_next, (entry))
#define pslist_writer_insert_before(after, entry)	_PSLIST_INSERT((after)->ple_prevp, (entry))
#define pslist_writer_remove(entry)	__extension__ ({					\
	struct pslist_entry *entry_ = (entry), *next_ = entry_->ple_next;			\
	KASSERT(entry_->ple_prevp != NULL && next_ != _PSLIST_POISON);				\
	if (next_ != NULL)									\
		next_->ple_prevp = entry_->ple_prevp;						\
	atomic_store_release(entry_->ple_prevp, next_);						\
	entry_->ple_prevp = NULL;								\
})
#define pslist_writer_first(head)	((head)->plh_first)
#define pslist_writer_next(entry)	__extension__ ({					\
	struct pslist_entry *next_ = (entry)->ple_next;						\
	KASSERT(next_ != _PSLIST_POISON);							\
	next_;											\
})
#define pslist_reader_first(head)	atomic_load_acquire(&(head)->plh_first)
#define pslist_reader_next(entry)	__extension__ ({					\
	struct pslist_entry *next_ = atomic_load_acquire(&(entry)->ple_next);			\
	KASSERT(next_ != _PSLIST_POISON);							\
	next_;											\
})

#define _PSLIST_CONTAINER(entry, type, field)	__extension__ ({				\
	struct pslist_entry *found_ = (entry);							\
	found_ == NULL ? NULL : (type *)(void *)((char *)found_ - offsetof(type, field));	\
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
