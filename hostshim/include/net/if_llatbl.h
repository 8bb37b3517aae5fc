/*
 * Tables of link-layer addresses: entries that are found by an address of the network layer. A C file is them; what is put into a table, and
 * how it is looked up, is its user's.
 *
 * Locks, in this order: the list of tables (lltable_rwlock), the tables of an interface (IF_AFDATA_*), an entry (LLE_*).
 */
#ifndef _RUMPLAB_NET_IF_LLATBL_H_
#define _RUMPLAB_NET_IF_LLATBL_H_

#include <sys/callout.h>
#include <sys/malloc.h>
#include <sys/queue.h>
#include <sys/rwlock.h>
#include <sys/systm.h>
#include <netinet/in.h>

struct ifnet;
struct mbuf;
struct rt_addrinfo;
struct rt_walkarg;
struct lltable;

struct llentry {
	LIST_ENTRY(llentry) lle_next;		/* in its list of the table */
	union {
		struct in_addr addr4;
		struct in6_addr addr6;
	} r_l3addr;
	union {
		uint64_t mac_aligned;
		uint8_t mac8[20];
	} ll_addr;
	struct lltable *lle_tbl;
	struct llentries *lle_head;
	void (*lle_free)(struct llentry *);	/* with the lock of the entry held, and the last reference */
	void (*lle_ll_free)(struct llentry *);
	struct mbuf *la_hold;			/* packets that wait for the address */
	int la_numheld;
	time_t la_expire;
	uint16_t la_flags;
	int lle_refcnt;				/* its table's one, its timer's one, and others */
	LIST_ENTRY(llentry) lle_chain;		/* of entries that are being removed */
	struct callout lle_timer;
	krwlock_t lle_lock;
};
#define la_timer		lle_timer

LIST_HEAD(llentries, llentry);

#define LLE_STATIC		0x0002
#define LLE_VALID		0x0008
#define LLE_PUB			0x0020
#define LLE_LINKED		0x0040		/* it is in its table */
#define LLE_EXCLUSIVE		0x2000		/* for a lookup: with its lock held for writing */

#define LLE_LOCK_INIT(lle)	rw_init(&(lle)->lle_lock)
#define LLE_LOCK_DESTROY(lle)	rw_destroy(&(lle)->lle_lock)
#define LLE_WLOCK(lle)		rw_enter(&(lle)->lle_lock, RW_WRITER)
#define LLE_RLOCK(lle)		rw_enter(&(lle)->lle_lock, RW_READER)
#define LLE_WUNLOCK(lle)	rw_exit(&(lle)->lle_lock)
#define LLE_RUNLOCK(lle)	rw_exit(&(lle)->lle_lock)
#define LLE_WLOCK_ASSERT(lle)	KASSERT(rw_write_held(&(lle)->lle_lock))

#define LLE_ADDREF(lle)								\
	do {									\
		LLE_WLOCK_ASSERT(lle);						\
		KASSERT((lle)->lle_refcnt >= 0);				\
		(lle)->lle_refcnt++;						\
	} while (0)
#define LLE_REMREF(lle)								\
	do {									\
		LLE_WLOCK_ASSERT(lle);						\
		KASSERT((lle)->lle_refcnt > 0);					\
		(lle)->lle_refcnt--;						\
	} while (0)

/* Gives a reference back, and unlocks. With the last one, the entry ends. */
#define LLE_FREE_LOCKED(lle)							\
	do {									\
		if ((lle)->lle_refcnt == 1) {					\
			if ((lle)->lle_ll_free != NULL)				\
				(lle)->lle_ll_free(lle);			\
			(lle)->lle_free(lle);					\
		} else {							\
			LLE_REMREF(lle);					\
			LLE_WUNLOCK(lle);					\
		}								\
		(lle) = NULL;							\
	} while (0)

typedef int (llt_foreach_cb_t)(struct lltable *, struct llentry *, void *);

struct lltable {
	SLIST_ENTRY(lltable) llt_link;
	int llt_af, llt_hsize;
	struct llentries *lle_head;
	unsigned llt_lle_count;
	struct ifnet *llt_ifp;
	/* Its user's: */
	struct llentry *(*llt_lookup)(struct lltable *, u_int, const struct sockaddr *);
	struct llentry *(*llt_create)(struct lltable *, u_int, const struct sockaddr *);
	int (*llt_delete)(struct lltable *, u_int, const struct sockaddr *);
	int (*llt_dump_entry)(struct lltable *, struct llentry *, struct rt_walkarg *);
	uint32_t (*llt_hash)(const struct llentry *, uint32_t);
	int (*llt_match_prefix)(const struct sockaddr *, const struct sockaddr *, u_int, struct llentry *);
	void (*llt_free_entry)(struct lltable *, struct llentry *);
	void (*llt_fill_sa_entry)(const struct llentry *, struct sockaddr *);
	/* The file's: */
	void (*llt_prefix_free)(struct lltable *, const struct sockaddr *, const struct sockaddr *, u_int);
	int (*llt_foreach_entry)(struct lltable *, llt_foreach_cb_t *, void *);
	void (*llt_link_entry)(struct lltable *, struct llentry *);
	void (*llt_unlink_entry)(struct llentry *);
	void (*llt_free_tbl)(struct lltable *);
};

#define M_LLTABLE		NULL

extern krwlock_t lltable_rwlock;
#define LLTABLE_RLOCK()		rw_enter(&lltable_rwlock, RW_READER)
#define LLTABLE_RUNLOCK()	rw_exit(&lltable_rwlock)
#define LLTABLE_WLOCK()		rw_enter(&lltable_rwlock, RW_WRITER)
#define LLTABLE_WUNLOCK()	rw_exit(&lltable_rwlock)
#define LLTABLE_LOCK_ASSERT()	KASSERT(rw_lock_held(&lltable_rwlock))

#define lla_lookup(llt, flags, l3addr)	((llt)->llt_lookup((llt), (flags), (l3addr)))
#define lla_create(llt, flags, l3addr)	((llt)->llt_create((llt), (flags), (l3addr)))
#define lla_delete(llt, flags, l3addr)	((llt)->llt_delete((llt), (flags), (l3addr)))

void lltableinit(void);
struct lltable *lltable_allocate_htbl(uint32_t hsize);
void lltable_link(struct lltable *llt);
void lltable_link_entry(struct lltable *llt, struct llentry *lle);
void lltable_unlink_entry(struct lltable *llt, struct llentry *lle);
int lltable_foreach_lle(struct lltable *llt, llt_foreach_cb_t *f, void *farg);
size_t lltable_drop_entry_queue(struct llentry *lle);
size_t llentry_free(struct llentry *lle);
void lltable_purge_entries(struct lltable *llt);
void lltable_free(struct lltable *llt);

#endif
