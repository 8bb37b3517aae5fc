/*
 * sysctl(9): for handlers of integers. There is no tree of names: nothing calls a handler but C code.
 */
#ifndef _RUMPLAB_SYS_SYSCTL_H_
#define _RUMPLAB_SYS_SYSCTL_H_

#include <sys/types.h>
#include <sys/errno.h>
#include <sys/lwp.h>
#include <sys/systm.h>

struct sysctlnode {
	const char *sysctl_name;
	void *sysctl_data;	/* an int */
	size_t sysctl_size;
};

struct sysctllog;

#define CTL_EOL			(-1)
#define CTL_CREATE		(-2)
#define CTLTYPE_NODE		1
#define CTLTYPE_INT		2
#define CTLTYPE_STRING		3
#define CTLTYPE_QUAD		4
#define CTLFLAG_READONLY	0x000
#define CTLFLAG_READWRITE	0x070
#define CTLFLAG_PERMANENT	0x200
#define SYSCTL_DESCR(text)	(text)

#define SYSCTLFN_ARGS	const int *name __unused, u_int namelen __unused, void *oldp, size_t *oldlenp, const void *newp,	\
	size_t newlen __unused, const int *oname __unused, struct lwp *l __unused, const struct sysctlnode *rnode
#define SYSCTLFN_PROTO	const int *, u_int, void *, size_t *, const void *, size_t, const int *, struct lwp *, const struct sysctlnode *
#define SYSCTLFN_CALL(node)	name, namelen, oldp, oldlenp, newp, newlen, oname, l, (node)

/* Copies the value of a node to oldp, and to it from newp. */
static __unused int
sysctl_lookup(SYSCTLFN_ARGS)
{
	if (newp != NULL && newlen != sizeof(int))
		return EINVAL;
	if (oldp != NULL)
		memcpy(oldp, rnode->sysctl_data, sizeof(int));
	if (oldlenp != NULL)
		*oldlenp = sizeof(int);
	if (newp != NULL)
		memcpy(rnode->sysctl_data, newp, sizeof(int));
	return 0;
}

/* The node is its parent: there is no other. */
static __unused int
sysctl_createv(struct sysctllog **log __unused, int flags __unused, const struct sysctlnode **parent,
    const struct sysctlnode **node, ...)
{
	if (node != NULL)
		*node = parent == NULL ? NULL : *parent;
	return 0;
}

#endif
