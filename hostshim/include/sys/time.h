/*
 * bintime(9): times in seconds and parts of 2^64.
 */
#ifndef _RUMPLAB_SYS_TIME_H_
#define _RUMPLAB_SYS_TIME_H_

#include <sys/types.h>

struct bintime {
	time_t sec;
	uint64_t frac;
};

#define bintimecmp(a, b, cmp)	((a)->sec == (b)->sec ? (a)->frac cmp (b)->frac : (a)->sec cmp (b)->sec)

static inline void
bintime_add(struct bintime *to, const struct bintime *by)
{
	to->frac += by->frac;
	to->sec += by->sec + (to->frac < by->frac);
}

static inline void
bintime_sub(struct bintime *from, const struct bintime *by)
{
	from->sec -= by->sec + (from->frac < by->frac);
	from->frac -= by->frac;
}

#endif
