/*
 * For code that is not only a kernel's: the numbers of <sys/errno.h>.
 */
#ifndef _RUMPLAB_ERRNO_H_
#define _RUMPLAB_ERRNO_H_

#include <sys/errno.h>

#endif
