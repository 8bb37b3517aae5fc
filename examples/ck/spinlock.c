/*
 * A spin lock excludes: three threads increment a counter that is not atomic. -D LOCK=fas, ticket, cas or dec.
 */
#include <rumplab.h>

#include <ck_spinlock.h>

#define NAME_(a, b, c)	a ## b ## c
#define NAME(a, b, c)	NAME_(a, b, c)
#define CALL(what)	NAME(ck_spinlock_, LOCK, what)

static CALL(_t) lock;
static unsigned count;

static void
increment(void *arg)
{
	for (int i = 0; i < 2; i++) {
		CALL(_lock)(&lock);
		count++;
		CALL(_unlock)(&lock);
	}
}

void
rumplab_setup(void)
{
	CALL(_init)(&lock);
	rumplab_actor("a", 0, increment, NULL);
	rumplab_actor("b", 1, increment, NULL);
	rumplab_actor("c", 2, increment, NULL);
}

void
rumplab_verify(void)
{
	rumplab_check(count == 6, "each increment counts");
}
