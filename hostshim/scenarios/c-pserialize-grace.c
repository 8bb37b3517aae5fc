/*
 * pserialize(9): pserialize_perform waits for the read sections that began before it.
 */
#include <rumplab.h>
#include <sys/atomic.h>
#include <sys/pserialize.h>

static pserialize_t psz;
static unsigned sections[2];	/* odd while the reader of that CPU is in a section */

static void
reader(void *arg)
{
	unsigned *section = arg;

	for (int i = 0; i < 3; i++) {
		int s = pserialize_read_enter();

		__atomic_add_fetch(section, 1, __ATOMIC_SEQ_CST);
		if (i == 1) {
			int nested = pserialize_read_enter();

			preempt_point();
			pserialize_read_exit(nested);
		}
		__atomic_add_fetch(section, 1, __ATOMIC_SEQ_CST);
		pserialize_read_exit(s);
	}
}

static void
writer(void *arg)
{
	for (int i = 0; i < 2; i++) {
		unsigned before[2];

		for (int r = 0; r < 2; r++)
			before[r] = __atomic_load_n(&sections[r], __ATOMIC_SEQ_CST);
		pserialize_perform(psz);
		for (int r = 0; r < 2; r++)
			rumplab_check(before[r] % 2 == 0 || __atomic_load_n(&sections[r], __ATOMIC_SEQ_CST) != before[r],
			    "psz-grace");
	}
}

void
rumplab_setup(void)
{
	psz = pserialize_create();
	rumplab_label(&sections, "sections");
	rumplab_actor("reader0", 0, reader, &sections[0]);
	rumplab_actor("reader1", 1, reader, &sections[1]);
	rumplab_actor("writer", 1, writer, NULL);
}

void
rumplab_teardown(void)
{
	pserialize_destroy(psz);
}
