/*
 * For code that includes this only where it is built with INET6, which is not defined.
 */
#ifndef _RUMPLAB_NETINET6_IN6_VAR_H_
#define _RUMPLAB_NETINET6_IN6_VAR_H_

#include <netinet/in.h>

#endif
