/*
 * pktqueue: packets that wait for the softint of a protocol, one queue for each CPU.
 *
 * The kernel's own is not offered to C: a C file is it.
 */
#ifndef _RUMPLAB_NET_PKTQUEUE_H_
#define _RUMPLAB_NET_PKTQUEUE_H_

#include <sys/types.h>
#include <sys/sysctl.h>

struct mbuf;
struct ifnet;

typedef struct pktqueue pktqueue_t;
typedef uint32_t (*pktq_rps_hash_func_t)(const struct mbuf *m);
typedef enum { PKTQ_MAXLEN, PKTQ_NITEMS, PKTQ_DROPS } pktq_count_t;

pktqueue_t *pktq_create(size_t maxlen, void (*intrh)(void *), void *sc);
void pktq_destroy(pktqueue_t *pq);
/* Counts, hashes and sysctl(9) differ from revision to revision, and no scenario uses them: they are not declared. */
#define PKTQ_RPS_HASH_NAME_LEN	32
#define IFQCTL_LEN		1
#define IFQCTL_MAXLEN		2
#define IFQCTL_PEAK		3
#define IFQCTL_DROPS		4

bool pktq_enqueue(pktqueue_t *pq, struct mbuf *m, const u_int hash);
struct mbuf *pktq_dequeue(pktqueue_t *pq);
void pktq_barrier(pktqueue_t *pq);
void pktq_ifdetach(void);
void pktq_flush(pktqueue_t *pq);
int pktq_set_maxlen(pktqueue_t *pq, size_t maxlen);

#endif
