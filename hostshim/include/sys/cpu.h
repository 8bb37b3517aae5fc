/*
 * cpu(9): the CPUs.
 */
#ifndef _RUMPLAB_SYS_CPU_H_
#define _RUMPLAB_SYS_CPU_H_

#include <sys/types.h>
#include <sys/param.h>
#include <sys/condvar.h>
#include <sys/lwp.h>

#define SPCF_RUNNING		0x0001
#define SPCF_IDLE		0x0002
#define SPCF_OFFLINE		0x0004

struct schedstate_percpu {
	volatile int spc_flags;
};

/* What C files of the kernel keep for each CPU. */
struct cpu_data {
	struct schedstate_percpu cpu_schedstate;
	kcondvar_t cpu_xcall;
	bool cpu_xcall_pending;
	u_int cpu_psz_read_depth;
	void *cpu_softcpu;
	void *cpu_callout;
};

struct cpu_info *rumplab_curcpu(void);
struct cpu_info *cpu_lookup(u_int index);
u_int cpu_index(const struct cpu_info *ci);
const char *cpu_name(struct cpu_info *ci);
u_int rumplab_ncpu(void);

#define curcpu()		rumplab_curcpu()
#define cpu_number()		cpu_index(curcpu())
#define ncpu			((int)rumplab_ncpu())
#define ncpuonline		((int)rumplab_ncpu())
#define maxcpus			ncpu

typedef u_int CPU_INFO_ITERATOR;
#define CPU_INFO_FOREACH(cii, ci)	\
	(cii) = 0; ((ci) = cpu_lookup(cii)) != NULL; (cii)++
#define CPU_IS_PRIMARY(ci)	(cpu_index(ci) == 0)

#endif
