/*
 * malloc(9): memory by types. It is kmem(9)'s, with the size in front, because free(9) is not told the size.
 */
#ifndef _RUMPLAB_SYS_MALLOC_H_
#define _RUMPLAB_SYS_MALLOC_H_

#include <sys/types.h>
#include <sys/kmem.h>

#define M_WAITOK	0x0000
#define M_NOWAIT	0x0001
#define M_ZERO		0x0002		/* all memory is zero at first */

/* A type of memory is a name only. */
struct malloc_type {
	const char *ks_shortdesc;
};

#define MALLOC_DECLARE(type)				extern struct malloc_type *const type
#define MALLOC_DEFINE(type, name, description)		struct malloc_type *const type = &(struct malloc_type){ (name) }
#define M_DEVBUF	NULL
#define M_TEMP		NULL

#define _MALLOC_HEAD	16

#define malloc(size, type, flags)	rumplab_malloc((size), (flags), #size)
#define free(p, type)			rumplab_free(p)

static __unused void *
rumplab_malloc(size_t size, int flags, const char *what)
{
	size_t *head = rumplab_kmem_alloc(size + _MALLOC_HEAD, (flags & M_NOWAIT) != 0 ? KM_NOSLEEP : KM_SLEEP, what);

	if (head == NULL)
		return NULL;
	*head = size + _MALLOC_HEAD;
	return (char *)head + _MALLOC_HEAD;
}

static __unused void
rumplab_free(void *p)
{
	size_t *head = (size_t *)(void *)((char *)p - _MALLOC_HEAD);

	if (p != NULL)
		kmem_free(head, *head);
}

#endif
