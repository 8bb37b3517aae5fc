/*
 * workqueue(9): work for threads.
 *
 * A struct work is initialized by zeros (kmem_zalloc, a static variable) before it is enqueued for the first time.
 */
#ifndef _RUMPLAB_SYS_WORKQUEUE_H_
#define _RUMPLAB_SYS_WORKQUEUE_H_

#include <sys/types.h>
#include <rumplab/layout.h>

struct work {
	void *wk_opaque[RUMPLAB_SIZEOF_WORK / 8];
};

struct workqueue;

#define WQ_FPU		0x02
#define WQ_MPSAFE	0x04
#define WQ_PERCPU	0x08

int workqueue_create(struct workqueue **wqp, const char *name, void (*func)(struct work *, void *), void *arg,
    pri_t pri, int ipl, int flags);
void workqueue_destroy(struct workqueue *wq);
void workqueue_enqueue(struct workqueue *wq, struct work *wk, struct cpu_info *ci);
void workqueue_wait(struct workqueue *wq, struct work *wk);

#endif
