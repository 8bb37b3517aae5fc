/*
 * evcnt(9): event counters. Nobody but the code that counts reads them.
 */
#ifndef _RUMPLAB_SYS_EVCNT_H_
#define _RUMPLAB_SYS_EVCNT_H_

#include <sys/types.h>

#define EVCNT_TYPE_MISC		0
#define EVCNT_TYPE_INTR		1
#define EVCNT_TYPE_TRAP		2

struct evcnt {
	uint64_t ev_count;
	const struct evcnt *ev_parent;
	const char *ev_group;
	const char *ev_name;
	uint8_t ev_type;
};

#define EVCNT_INITIALIZER(type, parent, group, name)	\
	{ .ev_type = (type), .ev_parent = (parent), .ev_group = (group), .ev_name = (name) }
#define EVCNT_ATTACH_STATIC(ev)		_Static_assert(1, "nothing to attach")
#define EVCNT_ATTACH_STATIC2(ev, n)	_Static_assert(1, "nothing to attach")

static inline void
evcnt_attach_dynamic(struct evcnt *ev, int type, const struct evcnt *parent, const char *group, const char *name)
{
	ev->ev_count = 0;
	ev->ev_parent = parent;
	ev->ev_group = group;
	ev->ev_name = name;
	ev->ev_type = (uint8_t)type;
}

static inline void
evcnt_attach_static(struct evcnt *ev)
{
	(void)ev;
}

static inline void
evcnt_detach(struct evcnt *ev)
{
	(void)ev;
}

#endif
