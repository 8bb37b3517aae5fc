/*
 * Addresses of the link layer.
 */
#ifndef _RUMPLAB_NET_IF_DL_H_
#define _RUMPLAB_NET_IF_DL_H_

#include <sys/socket.h>
#include <sys/systm.h>

struct sockaddr_dl {
	uint8_t sdl_len;
	sa_family_t sdl_family;
	uint16_t sdl_index;
	uint8_t sdl_type, sdl_nlen, sdl_alen, sdl_slen;
	char sdl_data[24];
};

#define satosdl(sa)	((struct sockaddr_dl *)(sa))
#define satocsdl(sa)	((const struct sockaddr_dl *)(sa))
#define CLLADDR(sdl)	((const char *)((sdl)->sdl_data + (sdl)->sdl_nlen))

static __unused struct sockaddr *
sockaddr_dl_init(struct sockaddr_dl *sdl, socklen_t size, uint16_t index, uint8_t type, const void *name, uint8_t nlen,
    const void *addr, uint8_t alen)
{
	if (size < sizeof(*sdl) || (size_t)nlen + alen > sizeof(sdl->sdl_data))
		return NULL;
	memset(sdl, 0, sizeof(*sdl));
	sdl->sdl_len = sizeof(*sdl);
	sdl->sdl_family = AF_LINK;
	sdl->sdl_index = index;
	sdl->sdl_type = type;
	sdl->sdl_nlen = nlen;
	sdl->sdl_alen = alen;
	if (name != NULL)
		memcpy(sdl->sdl_data, name, nlen);
	if (addr != NULL)
		memcpy(sdl->sdl_data + nlen, addr, alen);
	return (struct sockaddr *)sdl;
}

#endif
