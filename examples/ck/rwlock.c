/*
 * A read/write lock excludes: a reader sees all of a write or nothing. -D RWLOCK, PFLOCK, TFLOCK, BYTELOCK or BRLOCK.
 */
#include <rumplab.h>

#if defined(RWLOCK)
#include <ck_rwlock.h>
static ck_rwlock_t lock;
#define INIT()		ck_rwlock_init(&lock)
#define WRITE_ENTER(me)	ck_rwlock_write_lock(&lock)
#define WRITE_EXIT()	ck_rwlock_write_unlock(&lock)
#define READ_ENTER(me)	ck_rwlock_read_lock(&lock)
#define READ_EXIT(me)	ck_rwlock_read_unlock(&lock)
#elif defined(PFLOCK)
#include <ck_pflock.h>
static ck_pflock_t lock;
#define INIT()		ck_pflock_init(&lock)
#define WRITE_ENTER(me)	ck_pflock_write_lock(&lock)
#define WRITE_EXIT()	ck_pflock_write_unlock(&lock)
#define READ_ENTER(me)	ck_pflock_read_lock(&lock)
#define READ_EXIT(me)	ck_pflock_read_unlock(&lock)
#elif defined(TFLOCK)
#include <ck_tflock.h>
static ck_tflock_ticket_t lock;
#define INIT()		ck_tflock_ticket_init(&lock)
#define WRITE_ENTER(me)	ck_tflock_ticket_write_lock(&lock)
#define WRITE_EXIT()	ck_tflock_ticket_write_unlock(&lock)
#define READ_ENTER(me)	ck_tflock_ticket_read_lock(&lock)
#define READ_EXIT(me)	ck_tflock_ticket_read_unlock(&lock)
#elif defined(BYTELOCK)
#include <ck_bytelock.h>
static ck_bytelock_t lock;
#define INIT()		ck_bytelock_init(&lock)
#define WRITE_ENTER(me)	ck_bytelock_write_lock(&lock, (me) + 1)
#define WRITE_EXIT()	ck_bytelock_write_unlock(&lock)
#define READ_ENTER(me)	ck_bytelock_read_lock(&lock, (me) + 1)
#define READ_EXIT(me)	ck_bytelock_read_unlock(&lock, (me) + 1)
#elif defined(BRLOCK)
#include <ck_brlock.h>
static ck_brlock_t lock;
static ck_brlock_reader_t readers[4];
#define INIT()								\
	do {								\
		ck_brlock_init(&lock);					\
		for (int i = 0; i < 4; i++)				\
			ck_brlock_read_register(&lock, &readers[i]);	\
	} while (0)
#define WRITE_ENTER(me)	ck_brlock_write_lock(&lock)
#define WRITE_EXIT()	ck_brlock_write_unlock(&lock)
#define READ_ENTER(me)	ck_brlock_read_lock(&lock, &readers[me])
#define READ_EXIT(me)	ck_brlock_read_unlock(&readers[me])
#endif

static unsigned left, right;

static void
writer(void *arg)
{
	unsigned me = (uintptr_t)arg;

	(void)me;
	WRITE_ENTER(me);
	left++;
	right++;
	WRITE_EXIT();
}

static void
reader(void *arg)
{
	unsigned me = (uintptr_t)arg;

	(void)me;
	READ_ENTER(me);
	rumplab_check(left == right, "a reader sees all of a write or nothing");
	READ_EXIT(me);
}

void
rumplab_setup(void)
{
	INIT();
	rumplab_actor("writer", 0, writer, (void *)0);
	rumplab_actor("writer2", 1, writer, (void *)1);
	rumplab_actor("reader", 2, reader, (void *)2);
	rumplab_actor("reader2", 0, reader, (void *)3);
}

void
rumplab_verify(void)
{
	rumplab_check(left == 2 && right == 2, "each write counts");
}
