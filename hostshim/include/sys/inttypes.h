/*
 * Integers of a size and the formats that print them.
 */
#ifndef _RUMPLAB_SYS_INTTYPES_H_
#define _RUMPLAB_SYS_INTTYPES_H_

#include <sys/types.h>

#define PRId32 "d"
#define PRIu32 "u"
#define PRIx32 "x"
#define PRId64 "ld"
#define PRIu64 "lu"
#define PRIx64 "lx"
#define PRIdMAX "ld"
#define PRIuMAX "lu"
#define PRIxMAX "lx"
#define PRIuPTR "lu"
#define PRIxPTR "lx"

#endif
