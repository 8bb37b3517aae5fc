/*
 * For code that is not only a kernel's: nothing but the kernel's <sys/systm.h>: there is no malloc.
 */
#ifndef _RUMPLAB_STDLIB_H_
#define _RUMPLAB_STDLIB_H_

#include <sys/systm.h>

#endif
