/*
 * percpu(9): storage with one copy per CPU. It moves when storage is added: its address is valid up to percpu_putref.
 */
#ifndef _RUMPLAB_SYS_PERCPU_H_
#define _RUMPLAB_SYS_PERCPU_H_

#include <sys/percpu_types.h>

/* For a file that is percpu(9) itself. */
void percpu_init(void);
void percpu_init_cpu(struct cpu_info *ci);

percpu_t *percpu_alloc(size_t size);
void percpu_free(percpu_t *pc, size_t size);
void *percpu_getref(percpu_t *pc);
void percpu_putref(percpu_t *pc);
void percpu_traverse_enter(void);
void percpu_traverse_exit(void);
void *percpu_getptr_remote(percpu_t *pc, struct cpu_info *ci);
void percpu_foreach(percpu_t *pc, percpu_callback_t cb, void *arg);
void percpu_foreach_xcall(percpu_t *pc, u_int xcflags, percpu_callback_t cb, void *arg);
percpu_t *percpu_create(size_t size, percpu_callback_t ctor, percpu_callback_t dtor, void *arg);

#endif
