/*
 * The table. Four mistakes can be compiled in, one at a time: see README.md.
 */
#include <sys/param.h>
#include <sys/atomic.h>
#include <sys/kmem.h>
#include <sys/lwp.h>

#include "table.h"

struct table *
table_create(void)
{
	struct table *t = kmem_zalloc(sizeof(struct table), KM_SLEEP);

	mutex_init(&t->t_lock, MUTEX_DEFAULT, IPL_SOFTCLOCK);
	cv_init(&t->t_work, "work");
	cv_init(&t->t_empty, "empty");
	PSLIST_INIT(&t->t_entries);
	SLIST_INIT(&t->t_dead);
	t->t_psz = pserialize_create();
	t->t_class = psref_class_create("table", IPL_SOFTCLOCK);
	return t;
}

void
table_destroy(struct table *t)
{
	KASSERT(t->t_count == 0);
	psref_class_destroy(t->t_class);
	pserialize_destroy(t->t_psz);
	PSLIST_DESTROY(&t->t_entries);
	cv_destroy(&t->t_empty);
	cv_destroy(&t->t_work);
	mutex_destroy(&t->t_lock);
	kmem_free(t, sizeof(struct table));
}

/* Takes an entry off the list. The lock is held; readers may be at the entry still. */
static void
entry_unlink(struct entry *e)
{
	struct table *t = e->e_table;

	KASSERT(mutex_owned(&t->t_lock));
	e->e_gone = true;
	PSLIST_WRITER_REMOVE(e, e_link);
	SLIST_INSERT_HEAD(&t->t_dead, e, e_dead);
}

/* Frees an entry that is off the list, when nobody uses it any more. May sleep. */
static void
entry_free(struct entry *e)
{
	struct table *t = e->e_table;

	pserialize_perform(t->t_psz);
	psref_target_destroy(&e->e_target, t->t_class);
	callout_halt(&e->e_timer, NULL);
	callout_destroy(&e->e_timer);
	PSLIST_ENTRY_DESTROY(e, e_link);
	kmem_free(e, sizeof(struct entry));
}

/* The time of an entry is over. Called by softclock. */
static void
entry_expire(void *arg)
{
	struct entry *e = arg;
	struct table *t = e->e_table;

#ifdef BUG_LOST_WAKEUP
	/* Wake the reaper first: it need not wait for this function. */
	cv_signal(&t->t_work);
#endif
	mutex_enter(&t->t_lock);
	if (!e->e_gone) {
		entry_unlink(e);
#ifdef BUG_SLEEP_IN_SOFTINT
		/* Nobody can find it any more: free it at once. */
		SLIST_REMOVE_HEAD(&t->t_dead, e_dead);
		mutex_exit(&t->t_lock);
		entry_free(e);
		mutex_enter(&t->t_lock);
		if (--t->t_count == 0)
			cv_broadcast(&t->t_empty);
#elif !defined(BUG_LOST_WAKEUP)
		cv_signal(&t->t_work);
#endif
	}
	mutex_exit(&t->t_lock);
}

void
table_insert(struct table *t, unsigned key, unsigned value, int ticks)
{
	struct entry *e = kmem_zalloc(sizeof(struct entry), KM_SLEEP);

	PSLIST_ENTRY_INIT(e, e_link);
	psref_target_init(&e->e_target, t->t_class);
	callout_init(&e->e_timer, CALLOUT_MPSAFE);
	e->e_table = t;
	e->e_key = key;
	e->e_value = value;

	mutex_enter(&t->t_lock);
	t->t_count++;
	PSLIST_WRITER_INSERT_HEAD(&t->t_entries, e, e_link);
	callout_reset(&e->e_timer, ticks, entry_expire, e);
	mutex_exit(&t->t_lock);
}

bool
table_remove(struct table *t, unsigned key)
{
	struct entry *e;

	mutex_enter(&t->t_lock);
	PSLIST_WRITER_FOREACH(e, &t->t_entries, struct entry, e_link) {
		if (e->e_key == key)
			break;
	}
	if (e != NULL) {
		entry_unlink(e);
		cv_signal(&t->t_work);
	}
	mutex_exit(&t->t_lock);
	return e != NULL;
}

/* Finds an entry and takes a reference to it. The caller is bound to its CPU. */
static struct entry *
entry_get(struct table *t, unsigned key, struct psref *ref)
{
	struct entry *e;
	int s;

	s = pserialize_read_enter();
	PSLIST_READER_FOREACH(e, &t->t_entries, struct entry, e_link) {
		if (e->e_key == key) {
			psref_acquire(ref, &e->e_target, t->t_class);
			break;
		}
	}
	pserialize_read_exit(s);
	return e;
}

bool
table_lookup(struct table *t, unsigned key, unsigned *value)
{
	struct psref ref;
	struct entry *e;
	int bound;

	bound = curlwp_bind();
	e = entry_get(t, key, &ref);
	if (e != NULL) {
#ifdef BUG_RACE
		e->e_hits++;
#else
		atomic_inc_uint(&e->e_hits);
#endif
#ifdef BUG_USE_AFTER_FREE
		/* Keep the reference as short as possible. */
		psref_release(&ref, &e->e_target, t->t_class);
		*value = e->e_value;
#else
		*value = e->e_value;
		psref_release(&ref, &e->e_target, t->t_class);
#endif
	}
	curlwp_bindx(bound);
	return e != NULL;
}

void
table_reap(struct table *t)
{
	struct entry *e;

	mutex_enter(&t->t_lock);
	for (;;) {
		while ((e = SLIST_FIRST(&t->t_dead)) == NULL && !t->t_closed)
			cv_wait(&t->t_work, &t->t_lock);
		if (e == NULL)
			break;
		SLIST_REMOVE_HEAD(&t->t_dead, e_dead);
		mutex_exit(&t->t_lock);
		entry_free(e);
		mutex_enter(&t->t_lock);
		if (--t->t_count == 0)
			cv_broadcast(&t->t_empty);
	}
	mutex_exit(&t->t_lock);
}

void
table_drain(struct table *t)
{
	mutex_enter(&t->t_lock);
	while (t->t_count != 0)
		cv_wait(&t->t_empty, &t->t_lock);
	t->t_closed = true;
	cv_broadcast(&t->t_work);
	mutex_exit(&t->t_lock);
}
