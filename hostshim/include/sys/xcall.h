/*
 * xcall(9): functions that run on every CPU.
 */
#ifndef _RUMPLAB_SYS_XCALL_H_
#define _RUMPLAB_SYS_XCALL_H_

#include <sys/types.h>

typedef void (*xcfunc_t)(void *, void *);

#define XC_HIGHPRI		0x01u
#define XC_IPL_MASK		0xff00u
#define XC_IPL_SHIFT		8
/* The serial level is encoded as 0: it is the level of a plain XC_HIGHPRI. */
u_int xc_encode_ipl(int ipl);
#define XC_HIGHPRI_IPL(ipl)	(XC_HIGHPRI | xc_encode_ipl(ipl))

uint64_t xc_broadcast(u_int flags, xcfunc_t func, void *arg1, void *arg2);
uint64_t xc_unicast(u_int flags, xcfunc_t func, void *arg1, void *arg2, struct cpu_info *ci);
void xc_wait(uint64_t where);
void xc_barrier(u_int flags);

/* For a file that is xcall(9) itself. */
void xc__highpri_intr(void *dummy);
void xc_init_cpu(struct cpu_info *ci);
void xc_ipi_handler(void);
void xc_send_ipi(struct cpu_info *ci);

#endif
