/* What the constructs use. */
typedef __SIZE_TYPE__ size_t;
void *memcpy(void *, const void *, size_t);
void *memmove(void *, const void *, size_t);
void *memset(void *, int, size_t);
int memcmp(const void *, const void *, size_t);
size_t strlen(const char *);
struct s { long a, b, c, d; };
struct two { long a, b; };
struct three { int a, b, c; };
struct bits { unsigned a : 3, b : 5; };
struct packed { char c; int i; } __attribute__((packed));
struct ops { void (*go)(void); };
union u { long whole; char part[8]; };
typedef int four __attribute__((vector_size(16)));
typedef int eight __attribute__((vector_size(32)));
void take(struct s), take_two(struct two), keep(long), lend(void *, size_t);
int count(void);
__attribute__((noinline)) struct s of(struct s *q) { return *q; }
__attribute__((noinline)) struct two of_two(struct two *q) { return *q; }
