/*
 * Two readers look up what a writer removes and what expires, and a reaper frees it.
 */
#include <rumplab.h>

#include "table.h"

#define KEY_REMOVED	1
#define KEY_EXPIRES	2
#define VALUE(key)	((key) * 100)

static struct table *table;

static void
reader(void *arg)
{
	unsigned value;

	for (unsigned key = KEY_REMOVED; key <= KEY_EXPIRES; key++) {
		if (table_lookup(table, key, &value))
			rumplab_check(value == VALUE(key), "value");
	}
}

static void
writer(void *arg)
{
	/* It may have expired. */
	(void)table_remove(table, KEY_REMOVED);
	rumplab_note("the writer waits until the table is empty");
	table_drain(table);
}

static void
reaper(void *arg)
{
	table_reap(table);
}

void
rumplab_setup(void)
{
	table = table_create();
	table_insert(table, KEY_REMOVED, VALUE(KEY_REMOVED), 2);
	table_insert(table, KEY_EXPIRES, VALUE(KEY_EXPIRES), 1);
	rumplab_label(table, "table");
	rumplab_actor("reader", 0, reader, NULL);
	rumplab_actor("reader2", 1, reader, NULL);
	rumplab_actor("writer", 1, writer, NULL);
	rumplab_actor("reaper", 0, reaper, NULL);
}

void
rumplab_verify(void)
{
	rumplab_check(table->t_count == 0, "empty");
}

void
rumplab_teardown(void)
{
	table_destroy(table);
}
