/*
 * Interfaces of the network, as far as the tables of link-layer addresses know them.
 */
#ifndef _RUMPLAB_NET_IF_H_
#define _RUMPLAB_NET_IF_H_

#include <sys/mbuf.h>
#include <sys/psref.h>
#include <sys/rwlock.h>
#include <sys/socket.h>

#define IFF_UP		0x0001
#define IFF_LOOPBACK	0x0008
#define IFF_NOARP	0x0080

struct ifnet {
	char if_xname[16];
	u_short if_index;
	u_short if_flags;
	uint8_t if_type;
	uint8_t if_addrlen;
	struct psref_target if_psref;
	krwlock_t *if_afdata_lock;	/* the tables of addresses of this interface */
};

#define IF_AFDATA_WLOCK(ifp)		rw_enter((ifp)->if_afdata_lock, RW_WRITER)
#define IF_AFDATA_RLOCK(ifp)		rw_enter((ifp)->if_afdata_lock, RW_READER)
#define IF_AFDATA_WUNLOCK(ifp)		rw_exit((ifp)->if_afdata_lock)
#define IF_AFDATA_RUNLOCK(ifp)		rw_exit((ifp)->if_afdata_lock)
#define IF_AFDATA_LOCK(ifp)		IF_AFDATA_WLOCK(ifp)
#define IF_AFDATA_UNLOCK(ifp)		IF_AFDATA_WUNLOCK(ifp)
#define IF_AFDATA_LOCK_ASSERT(ifp)	KASSERT(rw_lock_held((ifp)->if_afdata_lock))
#define IF_AFDATA_RLOCK_ASSERT(ifp)	KASSERT(rw_read_held((ifp)->if_afdata_lock))
#define IF_AFDATA_WLOCK_ASSERT(ifp)	KASSERT(rw_write_held((ifp)->if_afdata_lock))

/* There is no list of interfaces. */
static __unused struct ifnet *
if_get_byindex(u_int index __unused, struct psref *psref __unused)
{
	return NULL;
}

static __unused void
if_put(const struct ifnet *ifp __unused, struct psref *psref __unused)
{
}

#endif
