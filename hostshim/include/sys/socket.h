/*
 * Addresses of sockets. There are no sockets.
 */
#ifndef _RUMPLAB_SYS_SOCKET_H_
#define _RUMPLAB_SYS_SOCKET_H_

#include <sys/types.h>

typedef uint8_t sa_family_t;
typedef unsigned int socklen_t;

#define AF_UNSPEC	0
#define AF_INET		2
#define AF_LINK		18
#define AF_INET6	24

struct sockaddr {
	uint8_t sa_len;
	sa_family_t sa_family;
	char sa_data[14];
};

struct sockaddr_storage {
	uint8_t ss_len;
	sa_family_t ss_family;
	char ss_data[126];
} __aligned(8);

#define sstosa(ss)	((struct sockaddr *)(ss))
#define sstocsa(ss)	((const struct sockaddr *)(ss))

#endif
