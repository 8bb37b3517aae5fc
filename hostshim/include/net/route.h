/*
 * Messages of routing sockets, for code that dumps tables. There are no such sockets: nobody gets a message.
 */
#ifndef _RUMPLAB_NET_ROUTE_H_
#define _RUMPLAB_NET_ROUTE_H_

#include <sys/errno.h>
#include <sys/socket.h>

#define RTM_ADD		0x1
#define RTM_DELETE	0x2
#define RTM_GET		0x4
#define RTF_HOST	0x4
#define RTF_STATIC	0x800
#define RTF_ANNOUNCE	0x20000
#define RTAX_DST	0
#define RTAX_GATEWAY	1
#define RTAX_MAX	9

struct rt_metrics {
	uint64_t rmx_expire;
};

struct rt_msghdr {
	int rtm_flags, rtm_addrs;
	struct rt_metrics rtm_rmx;
};

struct rt_addrinfo {
	int rti_addrs, rti_flags;
	const struct sockaddr *rti_info[RTAX_MAX];
};

struct rt_walkarg {
	int w_needed;
	void *w_where, *w_tmem;
};

static __unused int
rt_msg3(int type __unused, struct rt_addrinfo *info __unused, void *to __unused, struct rt_walkarg *w __unused, int *size)
{
	*size = 0;
	return EOPNOTSUPP;
}

/* There are no processes to copy to. */
static __unused int
copyout(const void *from __unused, void *to __unused, size_t size __unused)
{
	return EFAULT;
}

#endif
