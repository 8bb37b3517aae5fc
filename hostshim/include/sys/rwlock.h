/*
 * rwlock(9): locks for many readers or one writer.
 */
#ifndef _RUMPLAB_SYS_RWLOCK_H_
#define _RUMPLAB_SYS_RWLOCK_H_

#include <sys/types.h>
#include <rumplab/layout.h>

typedef enum krw_t {
	RW_READER = 0,
	RW_WRITER = 1
} krw_t;

#ifndef __RWLOCK_PRIVATE
typedef struct krwlock {
	uint64_t rw_opaque[RUMPLAB_SIZEOF_KRWLOCK / 8];
} krwlock_t;
#else
/* One word: the flags, and the LWP that writes or the number of readers. It begins the memory above. */
typedef struct krwlock {
	volatile uintptr_t rw_owner;
} krwlock_t;

#define RW_HAS_WAITERS		0x01ul
#define RW_WRITE_WANTED		0x02ul
#define RW_WRITE_LOCKED		0x04ul
#define RW_NODEBUG		0x00ul
#define RW_READ_COUNT_SHIFT	4
#define RW_READ_INCR		(1ul << RW_READ_COUNT_SHIFT)
#define RW_THREAD		((uintptr_t)-RW_READ_INCR)
#define RW_OWNER(rw)		((rw)->rw_owner & RW_THREAD)
#define RW_COUNT(rw)		((rw)->rw_owner & RW_THREAD)
#define RW_FLAGS(rw)		((rw)->rw_owner & ~RW_THREAD)

void rw_vector_enter(krwlock_t *rw, const krw_t op);
void rw_vector_exit(krwlock_t *rw);
int rw_vector_tryenter(krwlock_t *rw, const krw_t op);
#endif

#if defined(__RWLOCK_PRIVATE) || defined(RUMPLAB_REPLACE_rwlock)
void rw_init(krwlock_t *rw);
#else
void rumplab_rw_init(krwlock_t *rw, const char *name);
#define rw_init(rw)	rumplab_rw_init((rw), #rw)
#endif

void rw_destroy(krwlock_t *rw);
void rw_enter(krwlock_t *rw, const krw_t op);
int rw_tryenter(krwlock_t *rw, const krw_t op);
void rw_exit(krwlock_t *rw);
int rw_tryupgrade(krwlock_t *rw);
void rw_downgrade(krwlock_t *rw);
int rw_read_held(krwlock_t *rw);
int rw_write_held(krwlock_t *rw);
int rw_lock_held(krwlock_t *rw);
krw_t rw_lock_op(krwlock_t *rw);

#endif
