/*
 * psref(9): passive references.
 */
#ifndef _RUMPLAB_SYS_PSREF_H_
#define _RUMPLAB_SYS_PSREF_H_

#include <sys/types.h>
#include <sys/queue.h>
#include <rumplab/layout.h>

struct psref_class;

/* A target. Its own part comes first; the rest is room for the fields of the kernel's. */
struct psref_target {
	struct psref_class *prt_class;
	bool prt_draining;
	uint8_t prt_opaque[RUMPLAB_SIZEOF_PSREF_TARGET - 9];
} __aligned(8);

/* A reference: memory of its holder, from psref_acquire to psref_release. */
struct psref {
	/* A link of an SLIST or, as in older revisions, of a LIST. */
	struct {
		union {
			struct psref *sle_next;
			struct psref *le_next;
		};
		struct psref **le_prev;
	} psref_entry;
	const struct psref_target *psref_target;
	struct lwp *psref_lwp;
	struct cpu_info *psref_cpu;
};

struct psref_class *psref_class_create(const char *name, int ipl);
void psref_class_destroy(struct psref_class *prc);
void psref_target_init(struct psref_target *target, struct psref_class *prc);
void psref_target_destroy(struct psref_target *target, struct psref_class *prc);
void psref_acquire(struct psref *psref, const struct psref_target *target, struct psref_class *prc);
void psref_release(struct psref *psref, const struct psref_target *target, struct psref_class *prc);
void psref_copy(struct psref *to, const struct psref *from, struct psref_class *prc);
bool psref_held(const struct psref_target *target, struct psref_class *prc);
#define PSREF_DEBUG_BARRIER()	((void)0)
#define PSREF_DEBUG_FILL_RETURN_ADDRESS(psref)	((void)0)

#endif
