/*
 * lockstat(4): nothing is counted.
 */
#ifndef _RUMPLAB_DEV_LOCKSTAT_H_
#define _RUMPLAB_DEV_LOCKSTAT_H_

#define LOCKSTAT_FLAG(flag)			_Static_assert(1, "nothing is counted")
#define LOCKSTAT_TIMER(name)			_Static_assert(1, "nothing is counted")
#define LOCKSTAT_COUNTER(name)			_Static_assert(1, "nothing is counted")
#define LOCKSTAT_ENTER(flag)			((void)0)
#define LOCKSTAT_EXIT(flag)			((void)0)
#define LOCKSTAT_START_TIMER(flag, name)	((void)0)
#define LOCKSTAT_STOP_TIMER(flag, name)		((void)0)
#define LOCKSTAT_COUNT(name, inc)		((void)0)
#define LOCKSTAT_EVENT(flag, lock, type, count, time)	((void)0)
#define LOCKSTAT_EVENT_RA(flag, lock, type, count, time, ra)	((void)0)

#endif
