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

void rumplab_rw_init(krwlock_t *rw, const char *name);
#define rw_init(rw)	rumplab_rw_init((rw), #rw)
#else
typedef struct krwlock krwlock_t;
void rw_init(krwlock_t *rw);
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
