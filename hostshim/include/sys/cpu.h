/*
 * cpu(9): the CPUs.
 */
#ifndef _RUMPLAB_SYS_CPU_H_
#define _RUMPLAB_SYS_CPU_H_

#include <sys/types.h>
#include <sys/param.h>
#include <sys/condvar.h>
#include <sys/lwp.h>
#include <sys/percpu_types.h>

#define SPCF_RUNNING		0x0001
#define SPCF_IDLE		0x0002
#define SPCF_OFFLINE		0x0004

struct schedstate_percpu {
	volatile int spc_flags;		/* SPCF_RUNNING: no CPU of the machine is ever offline */
};

/* What files in C keep for each CPU. Zero at first, but for the flags and the number. */
struct cpu_data {
	struct schedstate_percpu cpu_schedstate;
	u_int cpu_index;
	kcondvar_t cpu_xcall;
	bool cpu_xcall_pending;
	u_int cpu_psz_read_depth;
	uint64_t cpu_nswtch;
	void *cpu_softcpu;
	void *cpu_callout;
	percpu_cpu_t cpu_percpu;
	struct lwp *volatile cpu_biglock_wanted;	/* nobody */
};

_Static_assert(sizeof(struct cpu_data) <= RUMPLAB_SIZEOF_CPU_DATA, "the kernel leaves room for it");

/* A CPU: the kernel's own structure, with the fields that C may use. */
struct cpu_info {
	union {
		struct {
			uint8_t ci_data_opaque[RUMPLAB_CPU_DATA];
			struct cpu_data ci_data;
		};
		struct {
			uint8_t ci_curlwp_opaque[RUMPLAB_CPU_CURLWP];
			struct lwp *volatile ci_curlwp;
		};
		uint64_t ci_opaque[RUMPLAB_SIZEOF_CPU_INFO / 8];
	};
};

#define ci_schedstate		ci_data.cpu_schedstate
#define ci_biglock_wanted	ci_data.cpu_biglock_wanted
#define ci_index		ci_data.cpu_index
#define ci_psz_read_depth	ci_data.cpu_psz_read_depth

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
