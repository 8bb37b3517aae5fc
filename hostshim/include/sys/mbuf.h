/*
 * mbuf(9): packets. Here one piece of memory each, without clusters.
 */
#ifndef _RUMPLAB_SYS_MBUF_H_
#define _RUMPLAB_SYS_MBUF_H_

#include <sys/types.h>
#include <sys/kmem.h>

#define MSIZE		256
#define M_DONTWAIT	KM_NOSLEEP
#define M_WAIT		KM_SLEEP
#define MT_FREE		0
#define MT_DATA		1
#define MT_HEADER	MT_DATA
#define M_PKTHDR	0x00000002

struct m_hdr {
	struct mbuf *mh_next;		/* the rest of this packet */
	struct mbuf *mh_nextpkt;	/* the next packet of a queue */
	char *mh_data;
	int mh_len;
	int mh_flags;
	short mh_type;
};

struct mbuf {
	struct m_hdr m_hdr;
	char m_dat[MSIZE - sizeof(struct m_hdr)];
};

#define m_next		m_hdr.mh_next
#define m_nextpkt	m_hdr.mh_nextpkt
#define m_data		m_hdr.mh_data
#define m_len		m_hdr.mh_len
#define m_flags		m_hdr.mh_flags
#define m_type		m_hdr.mh_type
#define mtod(m, type)	((type)((m)->m_data))

static __unused struct mbuf *
m_get(int how, int type)
{
	struct mbuf *m = kmem_intr_zalloc(sizeof(struct mbuf), (km_flag_t)how);

	if (m != NULL) {
		m->m_data = m->m_dat;
		m->m_type = (short)type;
	}
	return m;
}

static __unused struct mbuf *
m_gethdr(int how, int type)
{
	struct mbuf *m = m_get(how, type);

	if (m != NULL)
		m->m_flags = M_PKTHDR;
	return m;
}

static __unused struct mbuf *
m_free(struct mbuf *m)
{
	struct mbuf *next = m->m_next;

	kmem_intr_free(m, sizeof(struct mbuf));
	return next;
}

static __unused void
m_freem(struct mbuf *m)
{
	while (m != NULL)
		m = m_free(m);
}

#endif
