/*
 * lwp(9): the threads of the kernel, and curlwp_bind(9).
 *
 * The fields are those of the kernel's own structure, where it has them.
 */
#ifndef _RUMPLAB_SYS_LWP_H_
#define _RUMPLAB_SYS_LWP_H_

#include <sys/types.h>
#include <sys/param.h>
#include <sys/condvar.h>
#include <sys/kcpuset.h>
#include <sys/queue.h>
#include <rumplab/layout.h>

#define LP_BOUND		0x00000001
#define LP_INTR			0x00000002
#define LW_SINTR		0x0080

struct sleepq;

struct lwp {
	union {
		struct {
			uint8_t l_cpu_opaque[RUMPLAB_LWP_CPU];
			struct cpu_info *volatile l_cpu;	/* where it runs, or ran last, or will run */
		};
		struct {
			uint8_t l_mutex_opaque[RUMPLAB_LWP_MUTEX];
			kmutex_t *volatile l_mutex;		/* what protects its state now */
		};
		struct {
			uint8_t l_wchan_opaque[RUMPLAB_LWP_WCHAN];
			volatile const void *l_wchan;		/* what it sleeps on */
		};
		struct {
			uint8_t l_sleepq_opaque[RUMPLAB_LWP_SLEEPQ];
			struct sleepq *l_sleepq;
		};
		struct {
			uint8_t l_sleepchain_opaque[RUMPLAB_LWP_SLEEPCHAIN];
			struct {
				union {
					struct lwp *tqe_next;
					struct lwp *le_next;
				};
			} l_sleepchain;
		};
		struct {
			uint8_t l_data_opaque[RUMPLAB_LWP_DATA];
			bool l_kpriority;			/* the kernel has no such boost of priority */
			uint16_t l_flag;			/* always 0: there are no signals */
			union {
				int l_biglocks, l_blcnt;	/* always 0 */
			};
		};
		struct {
			uint8_t l_pflag_opaque[RUMPLAB_LWP_PFLAG];
			u_int l_pflag;
		};
		struct {
			uint8_t l_psrefs_opaque[RUMPLAB_LWP_PSREFS];
			int l_psrefs;
		};
		struct {
			uint8_t l_nopreempt_opaque[RUMPLAB_LWP_NOPREEMPT];
			int l_nopreempt;
		};
		struct {
			uint8_t l_ncsw_opaque[RUMPLAB_LWP_NCSW];
			uint64_t l_ncsw;			/* its context switches */
		};
		uint8_t l_opaque[RUMPLAB_SIZEOF_LWP];
	};
} __aligned(16);

typedef struct lwp lwp_t;

/* The thread that runs: the same one however often a function asks. */
struct lwp *rumplab_curlwp(void) __attribute__((__const__));
#define curlwp			rumplab_curlwp()

int curlwp_bind(void);
void curlwp_bindx(int bound);
long lwp_pctr(void);

#endif
