/*
 * A queue lock excludes: three threads increment a counter that is not atomic. -D MCS, CLH or ANDERSON.
 */
#include <rumplab.h>

#include <ck_spinlock.h>

#define THREADS	3

#if defined(MCS)
static ck_spinlock_mcs_t lock;
static ck_spinlock_mcs_context_t nodes[THREADS];
#define INIT()		ck_spinlock_mcs_init(&lock)
#define ENTER(me)	ck_spinlock_mcs_lock(&lock, &nodes[me])
#define EXIT(me)	ck_spinlock_mcs_unlock(&lock, &nodes[me])
#elif defined(CLH)
static ck_spinlock_clh_t *lock, unowned, own[THREADS], *nodes[THREADS];
#define INIT()								\
	do {								\
		ck_spinlock_clh_init(&lock, &unowned);			\
		for (int i = 0; i < THREADS; i++)			\
			nodes[i] = &own[i];				\
	} while (0)
#define ENTER(me)	ck_spinlock_clh_lock(&lock, nodes[me])
#define EXIT(me)	ck_spinlock_clh_unlock(&nodes[me])
#elif defined(ANDERSON)
static ck_spinlock_anderson_t lock;
static ck_spinlock_anderson_thread_t places[THREADS + 1], *nodes[THREADS];
#define INIT()		ck_spinlock_anderson_init(&lock, places, THREADS + 1)
#define ENTER(me)	ck_spinlock_anderson_lock(&lock, &nodes[me])
#define EXIT(me)	ck_spinlock_anderson_unlock(&lock, nodes[me])
#endif

static unsigned count;

static void
increment(void *arg)
{
	unsigned me = (uintptr_t)arg;

	for (int i = 0; i < 2; i++) {
		ENTER(me);
		count++;
		EXIT(me);
	}
}

void
rumplab_setup(void)
{
	INIT();
	rumplab_actor("a", 0, increment, (void *)0);
	rumplab_actor("b", 1, increment, (void *)1);
	rumplab_actor("c", 2, increment, (void *)2);
}

void
rumplab_verify(void)
{
	rumplab_check(count == 6, "each increment counts");
}
