/*
 * A reader of a sequence lock tries again until it has seen one whole write.
 */
#include <rumplab.h>

#include <ck_sequence.h>

static ck_sequence_t sequence;
static unsigned left, right;

static void
writer(void *arg)
{
	for (unsigned i = 1; i <= 2; i++) {
		ck_sequence_write_begin(&sequence);
		ck_pr_store_uint(&left, i);
		ck_pr_store_uint(&right, i);
		ck_sequence_write_end(&sequence);
	}
}

static void
reader(void *arg)
{
	unsigned version, l, r;

	do {
		version = ck_sequence_read_begin(&sequence);
		l = ck_pr_load_uint(&left);
		r = ck_pr_load_uint(&right);
	} while (ck_sequence_read_retry(&sequence, version));
	rumplab_check(l == r, "a reader sees one whole write");
}

void
rumplab_setup(void)
{
	ck_sequence_init(&sequence);
	rumplab_actor("writer", 0, writer, NULL);
	rumplab_actor("reader", 1, reader, NULL);
	rumplab_actor("reader2", 2, reader, NULL);
}
