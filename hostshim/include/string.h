/*
 * For code that is not only a kernel's: memory and strings, from <sys/systm.h>.
 */
#ifndef _RUMPLAB_STRING_H_
#define _RUMPLAB_STRING_H_

#include <sys/systm.h>

#endif
