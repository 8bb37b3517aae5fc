/*
 * atomic_ops(3), atomic_loadstore(9) and membar_ops(3), by the builtins of the compiler, so that the machine sees them.
 *
 * The read-modify-write operations order nothing by themselves, as in NetBSD. All of them are macros: the line that a report shows is the
 * caller's.
 */
#ifndef _RUMPLAB_SYS_ATOMIC_H_
#define _RUMPLAB_SYS_ATOMIC_H_

#include <sys/types.h>

#define __rumplab_atomic(type, p)	((volatile type *)(1 ? (p) : (volatile type *)0))

/* atomic_add(3) */
#define atomic_add_32(p, d)	((void)__atomic_fetch_add(__rumplab_atomic(uint32_t, p), (uint32_t)(d), __ATOMIC_RELAXED))
#define atomic_add_32_nv(p, d)	__atomic_add_fetch(__rumplab_atomic(uint32_t, p), (uint32_t)(d), __ATOMIC_RELAXED)
#define atomic_add_int(p, d)	((void)__atomic_fetch_add(__rumplab_atomic(unsigned int, p), (unsigned int)(d), __ATOMIC_RELAXED))
#define atomic_add_int_nv(p, d)	__atomic_add_fetch(__rumplab_atomic(unsigned int, p), (unsigned int)(d), __ATOMIC_RELAXED)
#define atomic_add_long(p, d)	((void)__atomic_fetch_add(__rumplab_atomic(unsigned long, p), (unsigned long)(d), __ATOMIC_RELAXED))
#define atomic_add_long_nv(p, d)	__atomic_add_fetch(__rumplab_atomic(unsigned long, p), (unsigned long)(d), __ATOMIC_RELAXED)
#define atomic_add_64(p, d)	((void)__atomic_fetch_add(__rumplab_atomic(uint64_t, p), (uint64_t)(d), __ATOMIC_RELAXED))
#define atomic_add_64_nv(p, d)	__atomic_add_fetch(__rumplab_atomic(uint64_t, p), (uint64_t)(d), __ATOMIC_RELAXED)
#define atomic_add_ptr(p, d)	((void)__atomic_fetch_add((char *volatile *)(p), (d), __ATOMIC_RELAXED))
#define atomic_add_ptr_nv(p, d)	((void *)__atomic_add_fetch((char *volatile *)(p), (d), __ATOMIC_RELAXED))

/* atomic_and(3) */
#define atomic_and_32(p, v)	((void)__atomic_fetch_and(__rumplab_atomic(uint32_t, p), (uint32_t)(v), __ATOMIC_RELAXED))
#define atomic_and_32_nv(p, v)	__atomic_and_fetch(__rumplab_atomic(uint32_t, p), (uint32_t)(v), __ATOMIC_RELAXED)
#define atomic_and_uint(p, v)	((void)__atomic_fetch_and(__rumplab_atomic(unsigned int, p), (unsigned int)(v), __ATOMIC_RELAXED))
#define atomic_and_uint_nv(p, v)	__atomic_and_fetch(__rumplab_atomic(unsigned int, p), (unsigned int)(v), __ATOMIC_RELAXED)
#define atomic_and_ulong(p, v)	((void)__atomic_fetch_and(__rumplab_atomic(unsigned long, p), (unsigned long)(v), __ATOMIC_RELAXED))
#define atomic_and_ulong_nv(p, v)	__atomic_and_fetch(__rumplab_atomic(unsigned long, p), (unsigned long)(v), __ATOMIC_RELAXED)
#define atomic_and_64(p, v)	((void)__atomic_fetch_and(__rumplab_atomic(uint64_t, p), (uint64_t)(v), __ATOMIC_RELAXED))
#define atomic_and_64_nv(p, v)	__atomic_and_fetch(__rumplab_atomic(uint64_t, p), (uint64_t)(v), __ATOMIC_RELAXED)

/* atomic_or(3) */
#define atomic_or_32(p, v)	((void)__atomic_fetch_or(__rumplab_atomic(uint32_t, p), (uint32_t)(v), __ATOMIC_RELAXED))
#define atomic_or_32_nv(p, v)	__atomic_or_fetch(__rumplab_atomic(uint32_t, p), (uint32_t)(v), __ATOMIC_RELAXED)
#define atomic_or_uint(p, v)	((void)__atomic_fetch_or(__rumplab_atomic(unsigned int, p), (unsigned int)(v), __ATOMIC_RELAXED))
#define atomic_or_uint_nv(p, v)	__atomic_or_fetch(__rumplab_atomic(unsigned int, p), (unsigned int)(v), __ATOMIC_RELAXED)
#define atomic_or_ulong(p, v)	((void)__atomic_fetch_or(__rumplab_atomic(unsigned long, p), (unsigned long)(v), __ATOMIC_RELAXED))
#define atomic_or_ulong_nv(p, v)	__atomic_or_fetch(__rumplab_atomic(unsigned long, p), (unsigned long)(v), __ATOMIC_RELAXED)
#define atomic_or_64(p, v)	((void)__atomic_fetch_or(__rumplab_atomic(uint64_t, p), (uint64_t)(v), __ATOMIC_RELAXED))
#define atomic_or_64_nv(p, v)	__atomic_or_fetch(__rumplab_atomic(uint64_t, p), (uint64_t)(v), __ATOMIC_RELAXED)

/* atomic_inc(3) */
#define atomic_inc_32(p)	((void)__atomic_fetch_add(__rumplab_atomic(uint32_t, p), (uint32_t)1, __ATOMIC_RELAXED))
#define atomic_inc_32_nv(p)	__atomic_add_fetch(__rumplab_atomic(uint32_t, p), (uint32_t)1, __ATOMIC_RELAXED)
#define atomic_inc_uint(p)	((void)__atomic_fetch_add(__rumplab_atomic(unsigned int, p), (unsigned int)1, __ATOMIC_RELAXED))
#define atomic_inc_uint_nv(p)	__atomic_add_fetch(__rumplab_atomic(unsigned int, p), (unsigned int)1, __ATOMIC_RELAXED)
#define atomic_inc_ulong(p)	((void)__atomic_fetch_add(__rumplab_atomic(unsigned long, p), (unsigned long)1, __ATOMIC_RELAXED))
#define atomic_inc_ulong_nv(p)	__atomic_add_fetch(__rumplab_atomic(unsigned long, p), (unsigned long)1, __ATOMIC_RELAXED)
#define atomic_inc_64(p)	((void)__atomic_fetch_add(__rumplab_atomic(uint64_t, p), (uint64_t)1, __ATOMIC_RELAXED))
#define atomic_inc_64_nv(p)	__atomic_add_fetch(__rumplab_atomic(uint64_t, p), (uint64_t)1, __ATOMIC_RELAXED)
#define atomic_inc_ptr(p)	((void)__atomic_fetch_add((char *volatile *)(p), 1, __ATOMIC_RELAXED))
#define atomic_inc_ptr_nv(p)	((void *)__atomic_add_fetch((char *volatile *)(p), 1, __ATOMIC_RELAXED))

/* atomic_dec(3) */
#define atomic_dec_32(p)	((void)__atomic_fetch_sub(__rumplab_atomic(uint32_t, p), (uint32_t)1, __ATOMIC_RELAXED))
#define atomic_dec_32_nv(p)	__atomic_sub_fetch(__rumplab_atomic(uint32_t, p), (uint32_t)1, __ATOMIC_RELAXED)
#define atomic_dec_uint(p)	((void)__atomic_fetch_sub(__rumplab_atomic(unsigned int, p), (unsigned int)1, __ATOMIC_RELAXED))
#define atomic_dec_uint_nv(p)	__atomic_sub_fetch(__rumplab_atomic(unsigned int, p), (unsigned int)1, __ATOMIC_RELAXED)
#define atomic_dec_ulong(p)	((void)__atomic_fetch_sub(__rumplab_atomic(unsigned long, p), (unsigned long)1, __ATOMIC_RELAXED))
#define atomic_dec_ulong_nv(p)	__atomic_sub_fetch(__rumplab_atomic(unsigned long, p), (unsigned long)1, __ATOMIC_RELAXED)
#define atomic_dec_64(p)	((void)__atomic_fetch_sub(__rumplab_atomic(uint64_t, p), (uint64_t)1, __ATOMIC_RELAXED))
#define atomic_dec_64_nv(p)	__atomic_sub_fetch(__rumplab_atomic(uint64_t, p), (uint64_t)1, __ATOMIC_RELAXED)
#define atomic_dec_ptr(p)	((void)__atomic_fetch_sub((char *volatile *)(p), 1, __ATOMIC_RELAXED))
#define atomic_dec_ptr_nv(p)	((void *)__atomic_sub_fetch((char *volatile *)(p), 1, __ATOMIC_RELAXED))

/* atomic_swap(3) */
#define atomic_swap_32(p, v)	__atomic_exchange_n(__rumplab_atomic(uint32_t, p), (uint32_t)(v), __ATOMIC_RELAXED)
#define atomic_swap_uint(p, v)	__atomic_exchange_n(__rumplab_atomic(unsigned int, p), (unsigned int)(v), __ATOMIC_RELAXED)
#define atomic_swap_ulong(p, v)	__atomic_exchange_n(__rumplab_atomic(unsigned long, p), (unsigned long)(v), __ATOMIC_RELAXED)
#define atomic_swap_64(p, v)	__atomic_exchange_n(__rumplab_atomic(uint64_t, p), (uint64_t)(v), __ATOMIC_RELAXED)
#define atomic_swap_ptr(p, v)	((void *)__atomic_exchange_n((void *volatile *)(p), (void *)(v), __ATOMIC_RELAXED))

/* atomic_cas(3): the value that was there. */
#define __rumplab_cas(type, p, old, new)	__extension__ ({					\
	type old_ = (old);									\
	__atomic_compare_exchange_n((p), &old_, (new), 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED);	\
	old_;											\
})
#define atomic_cas_8(p, o, n)	__rumplab_cas(uint8_t, __rumplab_atomic(uint8_t, p), (uint8_t)(o), (uint8_t)(n))
#define atomic_cas_16(p, o, n)	__rumplab_cas(uint16_t, __rumplab_atomic(uint16_t, p), (uint16_t)(o), (uint16_t)(n))
#define atomic_cas_32(p, o, n)	__rumplab_cas(uint32_t, __rumplab_atomic(uint32_t, p), (uint32_t)(o), (uint32_t)(n))
#define atomic_cas_uint(p, o, n)	__rumplab_cas(unsigned int, __rumplab_atomic(unsigned int, p), (unsigned int)(o), (unsigned int)(n))
#define atomic_cas_ulong(p, o, n)	__rumplab_cas(unsigned long, __rumplab_atomic(unsigned long, p), (unsigned long)(o), (unsigned long)(n))
#define atomic_cas_64(p, o, n)	__rumplab_cas(uint64_t, __rumplab_atomic(uint64_t, p), (uint64_t)(o), (uint64_t)(n))
#define atomic_cas_ptr(p, o, n)	__rumplab_cas(void *, (void *volatile *)(p), (void *)(o), (void *)(n))
#define atomic_cas_32_ni(p, o, n)	atomic_cas_32(p, o, n)
#define atomic_cas_uint_ni(p, o, n)	atomic_cas_uint(p, o, n)
#define atomic_cas_ulong_ni(p, o, n)	atomic_cas_ulong(p, o, n)
#define atomic_cas_ptr_ni(p, o, n)	atomic_cas_ptr(p, o, n)
#define atomic_cas_64_ni(p, o, n)	atomic_cas_64(p, o, n)

/* atomic_loadstore(9) */
#define atomic_load_relaxed(p)		__atomic_load_n((p), __ATOMIC_RELAXED)
#define atomic_load_acquire(p)		__atomic_load_n((p), __ATOMIC_ACQUIRE)
#define atomic_load_consume(p)		__atomic_load_n((p), __ATOMIC_ACQUIRE)
#define atomic_store_relaxed(p, v)	__atomic_store_n((p), (v), __ATOMIC_RELAXED)
#define atomic_store_release(p, v)	__atomic_store_n((p), (v), __ATOMIC_RELEASE)

/* membar_ops(3), as fences of C11: the weakest that orders what the page says. */
#define membar_acquire()		__atomic_thread_fence(__ATOMIC_ACQUIRE)
#define membar_release()		__atomic_thread_fence(__ATOMIC_RELEASE)
#define membar_acquire_preloads()	membar_acquire()
#define membar_producer()		__atomic_thread_fence(__ATOMIC_RELEASE)
#define membar_consumer()		__atomic_thread_fence(__ATOMIC_ACQUIRE)
#define membar_datadep_consumer()	__atomic_thread_fence(__ATOMIC_ACQUIRE)
#define membar_enter()			__atomic_thread_fence(__ATOMIC_SEQ_CST)
#define membar_exit()			__atomic_thread_fence(__ATOMIC_RELEASE)
#define membar_sync()			__atomic_thread_fence(__ATOMIC_SEQ_CST)
#define __HAVE_ATOMIC64_LOADSTORE	1

#endif
