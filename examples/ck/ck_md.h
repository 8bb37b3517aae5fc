/*
 * For what machine ConcurrencyKit is compiled: one that orders nothing by itself, so that each of its fences is one. Debian's own
 * file is for x86, where most fences are none, and the machine would rightly ask for them.
 */
#ifndef CK_MD_H
#define CK_MD_H

#define CK_MD_RMO
#define CK_MD_CACHELINE (64)
#define CK_MD_PAGESIZE (4096)
#define CK_MD_VMA_BITS 48ULL
#define CK_MD_RTM_DISABLE
#define CK_MD_LSE_DISABLE
#define CK_MD_POINTER_PACK_DISABLE
#define CK_MD_PPC32_LWSYNC_DISABLE
#define CK_USE_CC_BUILTINS 1

/*
 * The exchange of two words, which its port to the compiler's atomics lacks. Compile with -mcx16.
 */
#include <stdbool.h>

#define CK_F_PR_CAS_PTR_2_VALUE

static inline bool
ck_pr_cas_ptr_2_value(void *target, void *compare, void *set, void *value)
{
	unsigned __int128 expected, new, old;

	__builtin_memcpy(&expected, compare, sizeof(expected));
	__builtin_memcpy(&new, set, sizeof(new));
	old = __sync_val_compare_and_swap((unsigned __int128 *)target, expected, new);
	__builtin_memcpy(value, &old, sizeof(old));
	return old == expected;
}

#endif
