/*
 * For code that is not only a kernel's: <sys/inttypes.h>.
 */
#ifndef _RUMPLAB_INTTYPES_H_
#define _RUMPLAB_INTTYPES_H_

#include <sys/inttypes.h>

#endif
