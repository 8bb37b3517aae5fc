/*
 * Calls each construct with two pieces of memory, and prints how many bytes of each were announced as read and as written, and by which hooks.
 * Its functions stand for the hooks of the machine, and are compiled without hooks themselves.
 */
#include <stdio.h>
#include <string.h>
#include "names.h"

struct region {
	const char *begin;
	size_t size;
	unsigned char is_read[256], is_written[256];
};

static _Alignas(64) char left[256], right[256];
static struct region regions[2];
static char hooks[16][48];
static int used;

static void
note(const char *name)
{
	if (strncmp(name, "__", 2) == 0)
		name = strchr(name + 2, '_') + 1;
	for (int i = 0; i < used; i++)
		if (strcmp(hooks[i], name) == 0)
			return;
	if (used < 16)
		snprintf(hooks[used++], sizeof(hooks[0]), "%s", name);
}

static void
touch(const char *name, const volatile void *at, size_t size, int reads, int writes)
{
	int met = 0;

	for (int r = 0; r < 2; r++)
		for (size_t i = 0; i < size; i++) {
			size_t inside = (const volatile char *)at + i - regions[r].begin;

			if (inside >= regions[r].size)
				continue;
			met = 1;
			regions[r].is_read[inside] |= reads;
			regions[r].is_written[inside] |= writes;
		}
	if (met)
		note(name);
}

/* What the constructs call. */
struct s { long a, b, c, d; };
struct two { long a, b; };
static void nothing(void) { }
void take(struct s v) { }
void take_two(struct two v) { }
void keep(long v) { }
int count(void) { return 4; }

/* From now on this is the first piece of memory. */
void
lend(void *at, size_t size)
{
	regions[0].begin = at;
	regions[0].size = size;
}

#define PAIR(pre, s) \
	void __tsan_##pre##read##s(void *p) { touch(#pre "read" #s, p, s, 1, 0); } \
	void __tsan_##pre##write##s(void *p) { touch(#pre "write" #s, p, s, 0, 1); }
#define BOTH(pre, s) \
	void __tsan_##pre##read_write##s(void *p) { touch(#pre "read_write" #s, p, s, 1, 1); }
#define EACH(pre) PAIR(pre, 1) PAIR(pre, 2) PAIR(pre, 4) PAIR(pre, 8) PAIR(pre, 16)
EACH() EACH(unaligned_) EACH(volatile_) EACH(unaligned_volatile_)
BOTH(, 1) BOTH(, 2) BOTH(, 4) BOTH(, 8) BOTH(, 16)
BOTH(unaligned_, 2) BOTH(unaligned_, 4) BOTH(unaligned_, 8) BOTH(unaligned_, 16)

void __tsan_read_range(void *p, size_t n) { touch("read_range", p, n, 1, 0); }
void __tsan_write_range(void *p, size_t n) { touch("write_range", p, n, 0, 1); }

#define COPY(name) \
void * \
name(void *to, const void *from, size_t n) \
{ \
	char whole[256]; \
	touch(#name, from, n, 1, 0); \
	touch(#name, to, n, 0, 1); \
	for (size_t i = 0; i < n; i++) \
		whole[i] = ((const volatile char *)from)[i]; \
	for (size_t i = 0; i < n; i++) \
		((volatile char *)to)[i] = whole[i]; \
	return to; \
}
COPY(__tsan_memcpy) COPY(__tsan_memmove) COPY(__wrap_memcpy) COPY(__wrap_memmove)

#define SET(name) \
void * \
name(void *to, int c, size_t n) \
{ \
	touch(#name, to, n, 0, 1); \
	for (size_t i = 0; i < n; i++) \
		((volatile char *)to)[i] = c; \
	return to; \
}
SET(__tsan_memset) SET(__wrap_memset)

int
__wrap_memcmp(const void *a, const void *b, size_t n)
{
	touch("memcmp", a, n, 1, 0);
	touch("memcmp", b, n, 1, 0);
	return 1;
}

int
__wrap_bcmp(const void *a, const void *b, size_t n)
{
	return __wrap_memcmp(a, b, n);
}

size_t
__wrap_strlen(const char *s)
{
	size_t n = 0;

	while (((const volatile char *)s)[n] != 0)
		n++;
	touch("strlen", s, n + 1, 1, 0);
	return n;
}

/* A compare-exchange announces the value that it expects, if that is not on its caller's stack: `hooks.rs` does it. */
#define ATOMIC(bits, T) \
T __tsan_atomic##bits##_load(volatile T *p, int o) { touch("atomic" #bits "_load", p, bits / 8, 1, 0); return *p; } \
void __tsan_atomic##bits##_store(volatile T *p, T v, int o) { touch("atomic" #bits "_store", p, bits / 8, 0, 1); *p = v; } \
T __tsan_atomic##bits##_compare_exchange_val(volatile T *p, T e, T n, int o, int f) \
{ \
	touch("atomic" #bits "_compare_exchange_val", p, bits / 8, 1, 1); \
	T old = *p; \
	if (old == e) *p = n; \
	return old; \
} \
int __tsan_atomic##bits##_compare_exchange_strong(volatile T *p, T *e, T n, int o, int f) \
{ \
	touch("atomic" #bits "_compare_exchange_strong", p, bits / 8, 1, 1); \
	touch("atomic" #bits "_compare_exchange_strong", e, bits / 8, 1, 0); \
	T old = *p; \
	if (old == *e) { *p = n; return 1; } \
	*e = old; \
	return 0; \
} \
int __tsan_atomic##bits##_compare_exchange_weak(volatile T *p, T *e, T n, int o, int f) \
{ \
	return __tsan_atomic##bits##_compare_exchange_strong(p, e, n, o, f); \
} \
CHANGE(bits, T, exchange, v) CHANGE(bits, T, fetch_add, old + v) CHANGE(bits, T, fetch_sub, old - v) \
CHANGE(bits, T, fetch_and, old & v) CHANGE(bits, T, fetch_or, old | v) CHANGE(bits, T, fetch_xor, old ^ v) \
CHANGE(bits, T, fetch_nand, ~(old & v))
#define CHANGE(bits, T, name, value) \
T __tsan_atomic##bits##_##name(volatile T *p, T v, int o) \
{ \
	touch("atomic" #bits "_" #name, p, bits / 8, 1, 1); \
	T old = *p; \
	*p = value; \
	return old; \
}
ATOMIC(8, unsigned char) ATOMIC(16, unsigned short) ATOMIC(32, unsigned) ATOMIC(64, unsigned long)
ATOMIC(128, unsigned __int128)

void __tsan_atomic_thread_fence(int o) { note("atomic_thread_fence"); }
void __tsan_atomic_signal_fence(int o) { note("atomic_signal_fence"); }
void __tsan_func_entry(void *p) { }
void __tsan_func_exit(void) { }
void __tsan_init(void) { }

/* These are not the machine's: a program that needs them is refused. */
void refused_load(size_t n, void *p, void *to, int o) __asm__("__atomic_load");
void refused_load(size_t n, void *p, void *to, int o) { note("refused:__atomic_load"); }
void refused_store(size_t n, void *p, void *from, int o) __asm__("__atomic_store");
void refused_store(size_t n, void *p, void *from, int o) { note("refused:__atomic_store"); }

int
main(void)
{
	for (int i = 0; i < COUNT; i++) {
		int bytes[4] = { 0 };

		memset(regions, 0, sizeof(regions));
		memset(left, 0, sizeof(left));
		memset(right, 0, sizeof(right));
		*(void (**)(void))right = nothing;
		for (int r = 0; r < 2; r++) {
			regions[r].begin = r == 0 ? left : right;
			regions[r].size = sizeof(left);
		}
		used = 0;
		all[i](left, right);
		for (int r = 0; r < 2; r++)
			for (size_t b = 0; b < sizeof(left); b++) {
				bytes[2 * r] += regions[r].is_read[b];
				bytes[2 * r + 1] += regions[r].is_written[b];
			}
		printf("%d %d %d %d", bytes[0], bytes[1], bytes[2], bytes[3]);
		for (int h = 0; h < used; h++)
			printf(" %s", hooks[h]);
		printf("\n");
	}
}
