/*
 * NULL.
 */
#ifndef _RUMPLAB_SYS_NULL_H_
#define _RUMPLAB_SYS_NULL_H_

#ifndef NULL
#define NULL ((void *)0)
#endif

#endif
