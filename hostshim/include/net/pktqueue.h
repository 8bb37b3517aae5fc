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
typedef enum { PKTQ_MAXLEN, PKTQ_NITEMS, PKTQ_DROPS } pktq_count_t;

pktqueue_t *pktq_create(size_t maxlen, void (*intrh)(void *), void *sc);
void pktq_destroy(pktqueue_t *pq);
bool pktq_enqueue(pktqueue_t *pq, struct mbuf *m, const u_int hash);
struct mbuf *pktq_dequeue(pktqueue_t *pq);
void pktq_barrier(pktqueue_t *pq);
void pktq_ifdetach(void);
void pktq_flush(pktqueue_t *pq);
int pktq_set_maxlen(pktqueue_t *pq, size_t maxlen);
uint32_t pktq_rps_hash(const struct mbuf *m);
uint64_t pktq_get_count(pktqueue_t *pq, pktq_count_t what);
int sysctl_pktq_maxlen(SYSCTLFN_PROTO, pktqueue_t *pq);
int sysctl_pktq_count(SYSCTLFN_PROTO, pktqueue_t *pq, u_int what);

#endif
