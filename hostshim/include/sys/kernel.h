/*
 * The kernel's own variables.
 */
#ifndef _RUMPLAB_SYS_KERNEL_H_
#define _RUMPLAB_SYS_KERNEL_H_

#include <sys/param.h>

u_int rumplab_ticks(void);
#define getticks()	rumplab_ticks()

#endif
