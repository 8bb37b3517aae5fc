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

#endif
