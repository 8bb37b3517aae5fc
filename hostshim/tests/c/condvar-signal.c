/*
 * The scenario condvar-signal of kmod, in C: two consumers wait for items, and a producer signals for each.
 */
#include <rumplab.h>
#include <sys/atomic.h>
#include <sys/condvar.h>
#include <sys/mutex.h>

#define CONSUMERS	2
#define REPEAT		1

struct channel {
	kmutex_t interlock;
	kcondvar_t filled;
	unsigned items;
	unsigned waiting;
	unsigned taken;
};

static struct channel channels[2];

static void
look(struct channel *ch)
{
	unsigned waiting = ch->waiting;

	rumplab_check(cv_has_waiters(&ch->filled) == (waiting > 0), "waiters");
}

static void
put(struct channel *ch)
{
	mutex_enter(&ch->interlock);
	ch->items++;
	look(ch);
	cv_signal(&ch->filled);
	if (ch->waiting > 0)
		ch->waiting--;
	look(ch);
	mutex_exit(&ch->interlock);
}

static void
take(struct channel *ch)
{
	mutex_enter(&ch->interlock);
	while (ch->items == 0) {
		ch->waiting++;
		cv_wait(&ch->filled, &ch->interlock);
		look(ch);
	}
	ch->items--;
	mutex_exit(&ch->interlock);
	atomic_inc_uint(&ch->taken);
}

static void
consume(void *arg)
{
	for (int i = 0; i < REPEAT; i++) {
		take(&channels[0]);
		take(&channels[1]);
	}
}

static void
produce(void *arg)
{
	for (int i = 0; i < CONSUMERS * REPEAT; i++) {
		put(&channels[0]);
		put(&channels[1]);
	}
}

void
rumplab_setup(void)
{
	for (int i = 0; i < 2; i++) {
		mutex_init(&channels[i].interlock, MUTEX_DEFAULT, i == 0 ? IPL_NONE : IPL_VM);
		cv_init(&channels[i].filled, "items");
	}
	rumplab_actor("consumer0", 0, consume, NULL);
	rumplab_actor("consumer1", 1, consume, NULL);
	rumplab_actor("producer", 2, produce, NULL);
}

void
rumplab_verify(void)
{
	for (int i = 0; i < 2; i++)
		rumplab_check(channels[i].taken == CONSUMERS * REPEAT && channels[i].items == 0, "items");
}

void
rumplab_teardown(void)
{
	for (int i = 0; i < 2; i++) {
		cv_destroy(&channels[i].filled);
		mutex_destroy(&channels[i].interlock);
	}
}
