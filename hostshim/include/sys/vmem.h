/*
 * vmem(9): numbers that are handed out in ranges. First fit; no caches of small sizes.
 *
 * An arena without a range of its own asks its import function for one. A range that was imported is kept.
 */
#ifndef _RUMPLAB_SYS_VMEM_H_
#define _RUMPLAB_SYS_VMEM_H_

#include <sys/types.h>
#include <sys/kmem.h>
#include <sys/mutex.h>
#include <sys/systm.h>

#define VM_SLEEP	0x00000001
#define VM_NOSLEEP	0x00000002
#define VM_INSTANTFIT	0x00001000
#define VM_BESTFIT	0x00002000

typedef uintptr_t vmem_addr_t;
typedef size_t vmem_size_t;
typedef unsigned int vm_flag_t;
typedef struct vmem vmem_t;
typedef int (vmem_import_t)(vmem_t *, vmem_size_t, vm_flag_t, vmem_addr_t *);
typedef int (vmem_ximport_t)(vmem_t *, vmem_size_t, vmem_size_t *, vm_flag_t, vmem_addr_t *);
typedef void (vmem_release_t)(vmem_t *, vmem_addr_t, vmem_size_t);

/* Most ranges of free numbers in an arena. */
#define VMEM_RANGES	32

struct vmem {
	kmutex_t vm_lock;
	vmem_size_t vm_quantum;
	vmem_ximport_t *vm_import;
	vmem_t *vm_source;
	unsigned vm_ranges;
	struct {
		vmem_addr_t begin, end;
	} vm_free[VMEM_RANGES];
};

/* Adds free numbers, to a range that they border on if there is one. */
static __unused void
vmem_add(vmem_t *vm, vmem_addr_t begin, vmem_size_t size)
{
	vmem_addr_t end = begin + size;

	mutex_enter(&vm->vm_lock);
	for (unsigned i = 0; i < vm->vm_ranges;) {
		if (vm->vm_free[i].end != begin && vm->vm_free[i].begin != end) {
			i++;
			continue;
		}
		if (vm->vm_free[i].end == begin)
			begin = vm->vm_free[i].begin;
		else
			end = vm->vm_free[i].end;
		vm->vm_free[i] = vm->vm_free[--vm->vm_ranges];
		i = 0;
	}
	KASSERTMSG(vm->vm_ranges < VMEM_RANGES, "a vmem arena in more than %d pieces", VMEM_RANGES);
	vm->vm_free[vm->vm_ranges].begin = begin;
	vm->vm_free[vm->vm_ranges++].end = end;
	mutex_exit(&vm->vm_lock);
}

static __unused vmem_t *
vmem_xcreate(const char *name __unused, vmem_addr_t base, vmem_size_t size, vmem_size_t quantum, vmem_ximport_t *import,
    vmem_release_t *release __unused, vmem_t *source, vmem_size_t qcache_max __unused, vm_flag_t flags, int ipl)
{
	vmem_t *vm = kmem_zalloc(sizeof(*vm), flags & (KM_SLEEP | KM_NOSLEEP));

	if (vm == NULL)
		return NULL;
	mutex_init(&vm->vm_lock, MUTEX_DEFAULT, ipl);
	vm->vm_quantum = quantum;
	vm->vm_import = import;
	vm->vm_source = source;
	if (size != 0)
		vmem_add(vm, base, size);
	return vm;
}

/* Takes the beginning of the first range that is large enough. */
static __unused bool
vmem_take(vmem_t *vm, vmem_size_t size, vmem_addr_t *addrp)
{
	bool taken = false;

	mutex_enter(&vm->vm_lock);
	for (unsigned i = 0; i < vm->vm_ranges; i++) {
		if (vm->vm_free[i].end - vm->vm_free[i].begin < size)
			continue;
		*addrp = vm->vm_free[i].begin;
		vm->vm_free[i].begin += size;
		if (vm->vm_free[i].begin == vm->vm_free[i].end)
			vm->vm_free[i] = vm->vm_free[--vm->vm_ranges];
		taken = true;
		break;
	}
	mutex_exit(&vm->vm_lock);
	return taken;
}

static __unused int
vmem_alloc(vmem_t *vm, vmem_size_t size, vm_flag_t flags, vmem_addr_t *addrp)
{
	size = howmany(size, vm->vm_quantum) * vm->vm_quantum;
	while (!vmem_take(vm, size, addrp)) {
		vmem_size_t imported;
		vmem_addr_t begin;
		int error;

		if (vm->vm_import == NULL)
			return ENOMEM;
		error = vm->vm_import(vm->vm_source, size, &imported, flags, &begin);
		if (error != 0)
			return error;
		vmem_add(vm, begin, imported);
	}
	return 0;
}

static __unused void
vmem_free(vmem_t *vm, vmem_addr_t addr, vmem_size_t size)
{
	vmem_add(vm, addr, howmany(size, vm->vm_quantum) * vm->vm_quantum);
}

/* Of an arena that nobody uses. */
static __unused void
vmem_destroy(vmem_t *vm)
{
	mutex_destroy(&vm->vm_lock);
	kmem_free(vm, sizeof(*vm));
}

#endif
