/*
 * Parameters of the machine, and macros that all of the kernel uses.
 *
 * Interrupt priority levels are those of intr(9).
 */
#ifndef _RUMPLAB_SYS_PARAM_H_
#define _RUMPLAB_SYS_PARAM_H_

#include <sys/types.h>
#include <sys/errno.h>

/* The last release whose interfaces these headers have. */
#define __NetBSD__		1
#define __NetBSD_Version__	1100000000

#define COHERENCY_UNIT		64
#define CACHE_LINE_SIZE		64
#define PAGE_SHIFT		12
#define PAGE_SIZE		4096
#define MAXCPUS			32
#define MAXCOMLEN		16
#define hz			100

#ifndef MIN
#define MIN(a, b)		((a) < (b) ? (a) : (b))
#define MAX(a, b)		((a) > (b) ? (a) : (b))
#endif

#define howmany(x, y)		(((x) + ((y) - 1)) / (y))
#define roundup(x, y)		(howmany(x, y) * (y))
#define roundup2(x, m)		(((x) + ((m) - 1)) & ~((__typeof__(x))(m) - 1))
#define rounddown(x, y)		((x) / (y) * (y))
#define powerof2(x)		((((x) - 1) & (x)) == 0)
#define ALIGNBYTES		15
#define coherency_unit		COHERENCY_UNIT
#define ALIGN(p)		(((uintptr_t)(p) + 15) & ~(uintptr_t)15)

#define SET(t, f)		((t) |= (f))
#define CLR(t, f)		((t) &= ~(f))
#define ISSET(t, f)		((t) & (f))

#define mstohz(ms)		((ms) * hz / 1000)
#define hztoms(t)		((t) * 1000 / hz)

/* Priorities of threads. The machine has bands, lowest first: user, kernel, kernel threads, cross calls. */
#define PRI_NONE		(-1)
#define PRI_USER		1
#define PRI_KERNEL		2
#define PRI_KTHREAD		3
#define PRI_SOFTCLOCK		4
#define PRI_SOFTBIO		4
#define PRI_SOFTNET		4
#define PRI_SOFTSERIAL		4
#define PRI_XCALL		4
#define PRI_BIO			3
#define PRI_IDLE		0
#define MAXPRI_KTHREAD		4
#define MAXPRI_KERNEL_RT	4

#include <sys/intr.h>
#include <sys/systm.h>

#endif
