/*
 * A reader of a sequence lock tries again until it has seen one whole write. With -D PLAIN, what it reads is not atomic.
 */
#include <rumplab.h>

#include <ck_sequence.h>

#ifdef PLAIN
#define LOAD(word)		(word)
#define STORE(word, value)	((word) = (value))
#else
#define LOAD(word)		ck_pr_load_uint(&(word))
#define STORE(word, value)	ck_pr_store_uint(&(word), value)
#endif

static ck_sequence_t sequence;
static unsigned left, right;

static void
writer(void *arg)
{
	for (unsigned i = 1; i <= 2; i++) {
		ck_sequence_write_begin(&sequence);
		STORE(left, i);
		STORE(right, i);
		ck_sequence_write_end(&sequence);
	}
}

/* One whole write. */
static void
snapshot(unsigned *l, unsigned *r)
{
	unsigned version;

	do {
		version = ck_sequence_read_begin(&sequence);
		*l = LOAD(left);
		*r = LOAD(right);
	} while (ck_sequence_read_retry(&sequence, version));
}

static void
reader(void *arg)
{
	unsigned l, r;

	snapshot(&l, &r);
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
