/*
 * For code that includes this to get at addresses: there are no sockets.
 */
#ifndef _RUMPLAB_SYS_SOCKETVAR_H_
#define _RUMPLAB_SYS_SOCKETVAR_H_

#include <sys/socket.h>

#endif
