/*
 * A table of entries that expire.
 *
 * Readers look an entry up without a lock and keep it with a passive reference. An entry leaves the table when it is removed or when
 * its time is over, and a thread, the reaper, frees it when nobody uses it any more.
 */
#ifndef TABLE_H
#define TABLE_H

#include <sys/callout.h>
#include <sys/condvar.h>
#include <sys/mutex.h>
#include <sys/pserialize.h>
#include <sys/pslist.h>
#include <sys/psref.h>
#include <sys/queue.h>

struct table;

struct entry {
	struct pslist_entry e_link;	/* in t_entries */
	SLIST_ENTRY(entry) e_dead;	/* in t_dead */
	struct psref_target e_target;
	callout_t e_timer;
	struct table *e_table;
	unsigned e_key;
	unsigned e_value;
	unsigned e_hits;		/* how often it was found */
	bool e_gone;			/* no longer in t_entries */
};

struct table {
	kmutex_t t_lock;		/* for everything here, and for writers of the list */
	kcondvar_t t_work;		/* t_dead has an entry, or t_closed is set */
	kcondvar_t t_empty;		/* t_count is 0 */
	struct pslist_head t_entries;
	SLIST_HEAD(, entry) t_dead;	/* for the reaper */
	unsigned t_count;		/* entries that were not freed */
	bool t_closed;
	pserialize_t t_psz;
	struct psref_class *t_class;
};

struct table *table_create(void);
void table_destroy(struct table *t);

/* Adds an entry that expires after some ticks. */
void table_insert(struct table *t, unsigned key, unsigned value, int ticks);
/* Removes an entry. Returns whether there was one. */
bool table_remove(struct table *t, unsigned key);
/* Looks the value of a key up. Returns false if there is none. */
bool table_lookup(struct table *t, unsigned key, unsigned *value);
/* Frees what has left the table, until it is closed. For one thread. */
void table_reap(struct table *t);
/* Waits until the table is empty, and closes it. */
void table_drain(struct table *t);

#endif
