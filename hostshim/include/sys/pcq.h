/*
 * pcq(9): queues with many producers and one consumer.
 */
#ifndef _RUMPLAB_SYS_PCQ_H_
#define _RUMPLAB_SYS_PCQ_H_

#include <sys/types.h>
#include <sys/kmem.h>

typedef struct pcq pcq_t;

/* The most slots of a queue. */
#define PCQ_MAXLEN	0xffffu

pcq_t *pcq_create(size_t nitems, km_flag_t flags);
void pcq_destroy(pcq_t *pcq);
void *pcq_get(pcq_t *pcq);
void *pcq_peek(pcq_t *pcq);
bool pcq_put(pcq_t *pcq, void *item);
size_t pcq_maxitems(pcq_t *pcq);

#endif
