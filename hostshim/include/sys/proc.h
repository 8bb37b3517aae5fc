/*
 * The machine has no processes: for code that includes this to get at lwp(9).
 */
#ifndef _RUMPLAB_SYS_PROC_H_
#define _RUMPLAB_SYS_PROC_H_

#include <sys/lwp.h>

#endif
