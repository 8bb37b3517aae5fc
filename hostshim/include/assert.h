/*
 * For code that is not only a kernel's: assertions are the kernel's.
 */
#ifndef _RUMPLAB_ASSERT_H_
#define _RUMPLAB_ASSERT_H_

#include <sys/systm.h>

#define assert(condition)	KASSERT(condition)

#endif
