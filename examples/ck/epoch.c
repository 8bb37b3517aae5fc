/*
 * Memory that a reader of an epoch section has found is not freed before its section ends. -D CALL defers the free instead of
 * waiting. To be compiled with ck_epoch.c.
 */
#include <rumplab.h>
#include <sys/kmem.h>

#include <ck_epoch.h>

struct object {
	ck_epoch_entry_t entry;
	unsigned value;
};

static ck_epoch_t epoch;
static ck_epoch_record_t records[3];
static struct object *current;

static struct object *
object_new(unsigned value)
{
	struct object *object = kmem_alloc(sizeof(struct object), KM_SLEEP);

	object->value = value;
	return object;
}

#ifdef CALL
static void
object_free(ck_epoch_entry_t *entry)
{
	kmem_free(entry, sizeof(struct object));
}
#endif

static void
writer(void *arg)
{
	for (unsigned i = 2; i <= 3; i++) {
		struct object *old = current, *new = object_new(i);

		ck_pr_fence_store();
		ck_pr_store_ptr(&current, new);
#ifdef CALL
		ck_epoch_call(&records[0], &old->entry, object_free);
		ck_epoch_poll(&records[0]);
#else
		ck_epoch_synchronize(&records[0]);
		kmem_free(old, sizeof(*old));
#endif
	}
	ck_epoch_barrier(&records[0]);
}

static void
reader(void *arg)
{
	ck_epoch_record_t *record = arg;

	for (int i = 0; i < 2; i++) {
		struct object *object;
		ck_epoch_section_t section;

		ck_epoch_begin(record, &section);
		object = ck_pr_load_ptr(&current);
		ck_pr_fence_load();
		rumplab_check(object->value != 0, "an object in use is whole");
		ck_epoch_end(record, &section);
	}
}

void
rumplab_setup(void)
{
	ck_epoch_init(&epoch);
	for (int i = 0; i < 3; i++)
		ck_epoch_register(&epoch, &records[i], NULL);
	current = object_new(1);
	rumplab_actor("writer", 0, writer, NULL);
	rumplab_actor("reader", 1, reader, &records[1]);
	rumplab_actor("reader2", 2, reader, &records[2]);
}

void
rumplab_teardown(void)
{
	kmem_free(current, sizeof(*current));
}
