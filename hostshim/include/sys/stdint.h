/*
 * Integers of a size, for code that asks for them by this name.
 */
#ifndef _RUMPLAB_SYS_STDINT_H_
#define _RUMPLAB_SYS_STDINT_H_

#include <sys/types.h>

#endif
