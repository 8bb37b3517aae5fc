/*
 * For code that is not only a kernel's: the types and limits of <sys/types.h>.
 */
#ifndef _RUMPLAB_STDBOOL_H_
#define _RUMPLAB_STDBOOL_H_

#include <sys/types.h>

#endif
