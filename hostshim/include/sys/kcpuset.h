/*
 * kcpuset(9): sets of CPUs.
 */
#ifndef _RUMPLAB_SYS_KCPUSET_H_
#define _RUMPLAB_SYS_KCPUSET_H_

#include <sys/types.h>
#include <sys/atomic.h>
#include <sys/kmem.h>

u_int rumplab_ncpu(void);

typedef struct kcpuset {
	uint32_t kcs_bits;
} kcpuset_t;

/* Not by a builtin: gcc would call a function of its library. */
static inline int
kcpuset_count_bits(uint32_t bits)
{
	int count = 0;

	for (int i = 0; i < 32; i++)
		count += (int)((bits >> i) & 1);
	return count;
}

#define kcpuset_create(kcsp, zero)							\
	(*(kcsp) = kmem_zalloc(sizeof(kcpuset_t), KM_SLEEP), (void)(zero))
#define kcpuset_destroy(kcs)			kmem_free((kcs), sizeof(kcpuset_t))
#define kcpuset_zero(kcs)			((kcs)->kcs_bits = 0)
#define kcpuset_copy(to, from)			((to)->kcs_bits = (from)->kcs_bits)
#define kcpuset_set(kcs, i)			((kcs)->kcs_bits |= 1u << (i))
#define kcpuset_clear(kcs, i)			((kcs)->kcs_bits &= ~(1u << (i)))
#define kcpuset_isset(kcs, i)			(((kcs)->kcs_bits >> (i)) & 1)
#define kcpuset_iszero(kcs)			((kcs)->kcs_bits == 0)
#define kcpuset_match(a, b)			((a)->kcs_bits == (b)->kcs_bits)
#define kcpuset_intersecting_p(a, b)		(((a)->kcs_bits & (b)->kcs_bits) != 0)
#define kcpuset_merge(to, from)			((to)->kcs_bits |= (from)->kcs_bits)
#define kcpuset_remove(to, from)		((to)->kcs_bits &= ~(from)->kcs_bits)
#define kcpuset_intersect(to, from)		((to)->kcs_bits &= (from)->kcs_bits)
#define kcpuset_countset(kcs)			kcpuset_count_bits((kcs)->kcs_bits)
#define kcpuset_ffs(kcs)			__builtin_ffs((int)(kcs)->kcs_bits)
/* The CPUs that run: all. */
#define kcpuset_running				\
	(&(kcpuset_t){ .kcs_bits = (uint32_t)((1ull << rumplab_ncpu()) - 1) })
#define kcpuset_attached			kcpuset_running
#define kcpuset_atomic_set(kcs, i)		atomic_or_32(&(kcs)->kcs_bits, 1u << (i))
#define kcpuset_atomic_clear(kcs, i)		atomic_and_32(&(kcs)->kcs_bits, ~(1u << (i)))

#endif
