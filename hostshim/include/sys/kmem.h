/*
 * kmem(9): memory.
 *
 * An object is called by the type or the expression whose size was asked for. There is always memory, but for a table that is
 * full; with KM_NOSLEEP an allocation fails if the schedule says so.
 */
#ifndef _RUMPLAB_SYS_KMEM_H_
#define _RUMPLAB_SYS_KMEM_H_

#include <sys/types.h>

typedef unsigned int km_flag_t;

#define KM_SLEEP	0x00000001
#define KM_NOSLEEP	0x00000002

void *rumplab_kmem_alloc(size_t size, km_flag_t flags, const char *what);
#define kmem_alloc(size, flags)			rumplab_kmem_alloc((size), (flags), #size)
#define kmem_zalloc(size, flags)		rumplab_kmem_alloc((size), (flags), #size)
#define kmem_intr_alloc(size, flags)		kmem_alloc(size, flags)
#define kmem_intr_zalloc(size, flags)		kmem_alloc(size, flags)
void kmem_free(void *p, size_t size);
#define kmem_intr_free(p, size)			kmem_free((p), (size))

#endif
