/*
 * What all of the kernel uses: assertions, messages, memory, preemption, short sleeps.
 *
 * A failed KASSERT and a panic(9) end the run with a report. printf(9) adds a line to the trace; %p prints the name of the object that the
 * pointer points to.
 */
#ifndef _RUMPLAB_SYS_SYSTM_H_
#define _RUMPLAB_SYS_SYSTM_H_

#include <sys/types.h>
#include <sys/inttypes.h>
#include <sys/mutex.h>

struct lwp;

void rumplab_vprintf(const char *fmt, __builtin_va_list ap);
int vsnprintf(char *buf, size_t size, const char *fmt, __builtin_va_list ap);
void rumplab_vpanic(void *caller, const char *fmt, __builtin_va_list ap) __dead;
void rumplab_vassert(void *caller, const char *kind, const char *condition, const char *fmt, __builtin_va_list ap) __dead;

__rumplab_glue __printflike(1, 2) void
printf(const char *fmt, ...)
{
	__builtin_va_list ap;

	__builtin_va_start(ap, fmt);
	rumplab_vprintf(fmt, ap);
	__builtin_va_end(ap);
}

__rumplab_glue __printflike(3, 4) int
snprintf(char *buf, size_t size, const char *fmt, ...)
{
	__builtin_va_list ap;
	int length;

	__builtin_va_start(ap, fmt);
	length = vsnprintf(buf, size, fmt, ap);
	__builtin_va_end(ap);
	return length;
}

__rumplab_glue __dead __printflike(1, 2) void
panic(const char *fmt, ...)
{
	__builtin_va_list ap;

	__builtin_va_start(ap, fmt);
	rumplab_vpanic(__builtin_return_address(0), fmt, ap);
}

__rumplab_glue __dead __printflike(3, 4) void
kern_assert(const char *kind, const char *condition, const char *fmt, ...)
{
	__builtin_va_list ap;

	__builtin_va_start(ap, fmt);
	rumplab_vassert(__builtin_return_address(0), kind, condition, fmt, ap);
}

#define printf_nolog		printf
#define aprint_normal		printf
#define aprint_verbose		printf
#define aprint_debug		printf
#define aprint_error		printf
#define log(level, ...)		printf(__VA_ARGS__)
#define uprintf			printf

#define KASSERTMSG(e, msg, ...)							\
	(__predict_true(e) ? (void)0 : kern_assert("KASSERT", #e, msg, ##__VA_ARGS__))
#define KASSERT(e)								\
	(__predict_true(e) ? (void)0 : kern_assert("KASSERT", #e, "%s", ""))
#ifdef DEBUG
#define KDASSERT(e)		KASSERT(e)
#define KDASSERTMSG(e, ...)	KASSERTMSG(e, __VA_ARGS__)
#else
#define KDASSERT(e)		((void)sizeof(!(e)))
#define KDASSERTMSG(e, ...)	((void)sizeof(!(e)))
#endif

/* A function that does nothing, for whoever needs one. */
int nullop(void *arg);

/* assert_sleepable(9): the caller may sleep here. */
void assert_sleepable(void);
#define ASSERT_SLEEPABLE()	assert_sleepable()

/* kpreempt(9), cpu_intr_p(9). */
void kpreempt_disable(void);
void kpreempt_enable(void);
bool kpreempt_disabled(void);
#define KPREEMPT_DISABLE(l)	kpreempt_disable()
#define KPREEMPT_ENABLE(l)	kpreempt_enable()
void preempt(void);
void preempt_point(void);
void yield(void);

/* kpause(9): sleeps for a number of ticks, at least one. */
int kpause(const char *wmesg, bool intr, int timo, kmutex_t *mtx);

void *memcpy(void *dst, const void *src, size_t size);
void *memmove(void *dst, const void *src, size_t size);
void *memset(void *dst, int c, size_t size);
/* A memset that the compiler must not leave out: it leaves out none here. */
#define explicit_memset(dst, c, size)	memset((dst), (c), (size))
int memcmp(const void *a, const void *b, size_t size);
size_t strlen(const char *s);

static inline int
strncmp(const char *a, const char *b, size_t size)
{
	for (; size > 0; a++, b++, size--) {
		if (*a != *b)
			return (unsigned char)*a - (unsigned char)*b;
		if (*a == '\0')
			break;
	}
	return 0;
}

static inline int
strcmp(const char *a, const char *b)
{
	return strncmp(a, b, SIZE_MAX);
}

/* Copies at most size bytes, and fills the rest with zeros. */
static inline char *
strncpy(char *dst, const char *src, size_t size)
{
	size_t i = 0;

	for (; i < size && src[i] != '\0'; i++)
		dst[i] = src[i];
	for (; i < size; i++)
		dst[i] = '\0';
	return dst;
}

/* Copies what fits, with a zero at the end, and returns how long the source is. */
static inline size_t
strlcpy(char *dst, const char *src, size_t size)
{
	size_t length = strlen(src);

	if (size > 0) {
		size_t copied = length < size ? length : size - 1;

		memcpy(dst, src, copied);
		dst[copied] = '\0';
	}
	return length;
}

/* While rumplab_setup runs, the machine boots. A run ends with a panic, so nothing ever runs after one. */
bool rumplab_cold(void);
#define cold			rumplab_cold()
#define panicstr		((const char *)NULL)
#define mp_online		(!cold)
#define boothowto		0

/* Nothing of the machine needs the big lock: all of its handlers are MP-safe. */
#define KERNEL_LOCK(count, l)		((void)(l))
#define KERNEL_UNLOCK_ONE(l)		((void)(l))
#define KERNEL_UNLOCK_LAST(l)		((void)(l))
#define KERNEL_UNLOCK_ALL(l, p)		((void)(l), (void)(p))
#define KERNEL_LOCKED_P()		1

#define SPINLOCK_SPIN_HOOK		rumplab_relax()
#define SPINLOCK_BACKOFF_HOOK		rumplab_relax()
#define SPINLOCK_BACKOFF_MIN		1
#define SPINLOCK_BACKOFF(count)		((void)(count), rumplab_relax())
#define DELAY(us)			rumplab_relax()
#define delay(us)			rumplab_relax()
void rumplab_relax(void);

#endif
