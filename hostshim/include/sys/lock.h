/*
 * For code that includes this to get at the locks of the kernel.
 */
#ifndef _RUMPLAB_SYS_LOCK_H_
#define _RUMPLAB_SYS_LOCK_H_

#include <sys/mutex.h>
#include <sys/systm.h>

/* A spin loop has read something, and will read it again. */

#endif
