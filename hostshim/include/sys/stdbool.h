/*
 * bool, for code that asks for it by this name.
 */
#ifndef _RUMPLAB_SYS_STDBOOL_H_
#define _RUMPLAB_SYS_STDBOOL_H_

#include <sys/types.h>

#endif
