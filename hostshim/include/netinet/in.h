/*
 * Addresses of the Internet protocols.
 */
#ifndef _RUMPLAB_NETINET_IN_H_
#define _RUMPLAB_NETINET_IN_H_

#include <sys/socket.h>

typedef uint32_t in_addr_t;
typedef uint16_t in_port_t;

struct in_addr {
	in_addr_t s_addr;
};

struct in6_addr {
	uint8_t s6_addr[16];
};

struct sockaddr_in {
	uint8_t sin_len;
	sa_family_t sin_family;
	in_port_t sin_port;
	struct in_addr sin_addr;
	char sin_zero[8];
};

#define satosin(sa)	((struct sockaddr_in *)(sa))
#define satocsin(sa)	((const struct sockaddr_in *)(sa))

#endif
