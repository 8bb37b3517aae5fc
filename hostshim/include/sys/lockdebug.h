/*
 * lockdebug: the machine checks locks itself.
 */
#ifndef _RUMPLAB_SYS_LOCKDEBUG_H_
#define _RUMPLAB_SYS_LOCKDEBUG_H_

#include <sys/types.h>

typedef struct lockops { const char *lo_name; } lockops_t;

#define LOCKDEBUG_BARRIER(lock, slplocks)	((void)0)
#define LOCKDEBUG_MEM_CHECK(base, size)		((void)0)

#endif
