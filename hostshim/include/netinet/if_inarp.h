/*
 * Addresses of ARP.
 */
#ifndef _RUMPLAB_NETINET_IF_INARP_H_
#define _RUMPLAB_NETINET_IF_INARP_H_

#include <netinet/in.h>

#define SIN_PROXY	1

struct sockaddr_inarp {
	uint8_t sin_len;
	sa_family_t sin_family;
	in_port_t sin_port;
	struct in_addr sin_addr, sin_srcaddr;
	uint16_t sin_tos, sin_other;
};

#endif
