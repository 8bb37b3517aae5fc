/*
 * For code that includes this to get at the scheduler: the kernel's is not offered to C.
 */
#ifndef _RUMPLAB_SYS_SCHED_H_
#define _RUMPLAB_SYS_SCHED_H_

#include <sys/cpu.h>
#include <sys/lwp.h>

#endif
