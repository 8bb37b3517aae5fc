/*
 * mutex(9): adaptive and spin mutexes.
 *
 * IPL_NONE and the soft levels make an adaptive mutex, IPL_VM and above a spin mutex. A mutex is called by the expression that initialized it.
 */
#ifndef _RUMPLAB_SYS_MUTEX_H_
#define _RUMPLAB_SYS_MUTEX_H_

#include <sys/types.h>
#include <rumplab/layout.h>

typedef enum kmutex_type_t {
	MUTEX_SPIN = 0,
	MUTEX_ADAPTIVE = 1,
	MUTEX_DEFAULT = 2,
	MUTEX_DRIVER = 3,
	MUTEX_NODEBUG = 4
} kmutex_type_t;

#ifndef __MUTEX_PRIVATE
typedef struct kmutex {
	uint64_t mtx_opaque[RUMPLAB_SIZEOF_KMUTEX / 8];
} kmutex_t;

void rumplab_mutex_init(kmutex_t *mtx, kmutex_type_t type, int ipl, const char *name);
#define mutex_init(mtx, type, ipl)	rumplab_mutex_init((mtx), (type), (ipl), #mtx)
#else
typedef struct kmutex kmutex_t;
void mutex_init(kmutex_t *mtx, kmutex_type_t type, int ipl);
#endif

void mutex_destroy(kmutex_t *mtx);
void mutex_enter(kmutex_t *mtx);
void mutex_exit(kmutex_t *mtx);
int mutex_tryenter(kmutex_t *mtx);
int mutex_owned(const kmutex_t *mtx);
int mutex_ownable(const kmutex_t *mtx);
void mutex_spin_enter(kmutex_t *mtx);
void mutex_spin_exit(kmutex_t *mtx);

/* Mutexes that are shared by several objects, with a count of them. */
kmutex_t *mutex_obj_alloc(kmutex_type_t type, int ipl);
void mutex_obj_hold(kmutex_t *mtx);
bool mutex_obj_free(kmutex_t *mtx);
u_int mutex_obj_refcnt(kmutex_t *mtx);

#endif
