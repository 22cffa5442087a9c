/*
 * Debugger access to an address space (uvm-spec 1.16).
 *
 *	process	|rrrrRRRR....|
 *		    ^^^^		a chunk, extracted: QREF | CONTIG | FIXPROT
 *	kernel	|...rwrw.....|		a window in exec_map, accessed, and dropped
 *
 * The window is an ordinary mapping: kernel loads and stores fault its pages in, promote
 * what is mapped copy-on-write into the amap that window and process share, and wait for
 * I/O, like any access of the process.  So text can be patched though it is read-only, and
 * the file does not change.  The process' own mappings are not touched; what they must not
 * show any longer was dropped by the extraction.
 *
 * exec_map, not kernel_map itself: it is the kernel's pageable memory.
 */
#include <machine/softmmu.h>
#include <uvm/uvm.h>
#include <uvm/uvm_proc.h>

/*
 * => one window: [va, va+len) lies in whole pages [start, start+size) of the map
 * => *donep bytes moved, also on error
 */
static int
window_io(struct vm_map *map, vaddr_t va, uint8_t *buf, size_t len, bool write, size_t *donep)
{
	vaddr_t start = trunc_page(va), kva = vm_map_min(exec_map);
	vsize_t size = round_page(va + len) - start;
	int error;

	*donep = 0;
	/* One page is all we need in the end, so for that we wait. */
	if (!uvm_map_reserve(exec_map, size, kva, 0, &kva, size == PAGE_SIZE ?
	    UVM_FLAG_WAITVA : 0))
		return ENOMEM;
	error = uvm_map_extract(map, start, size, exec_map, &kva, UVM_EXTRACT_RESERVED |
	    UVM_EXTRACT_QREF | UVM_EXTRACT_CONTIG | UVM_EXTRACT_FIXPROT);
	if (error != 0) {
		uvm_unmap(exec_map, kva, kva + size);
		return error == EINVAL ? EFAULT : error;
	}
	UVMCNT(uvm_ios);
	if (write)
		error = kern_write(kva + (va - start), buf, len, donep);
	else
		error = kern_read(kva + (va - start), buf, len, donep);
	uvm_unmap(exec_map, kva, kva + size);
	return error == EACCES ? EFAULT : error;
}

/* => bytes from va to the end of a window of so many pages that contains it */
static size_t
window_room(vaddr_t va, vsize_t window)
{
	KASSERT(window >= PAGE_SIZE && (window & PAGE_MASK) == 0);
	return window - (va & PAGE_MASK);
}

int
uvm_io(struct vm_map *map, vaddr_t va, void *buf, size_t *residp, bool write)
{
	vsize_t window = MAXPHYS;
	size_t left = *residp, beyond = 0, done, n;
	uint8_t *p = buf;
	vaddr_t end;
	int error = 0;

	KASSERT(vm_map_notlocked(map));
	KASSERT(map->pmap != pmap_kernel());
	if (left == 0)
		return 0;
	if (__builtin_add_overflow(va, left, &end))
		return EIO;
	if (va >= vm_map_max(map))
		return 0;
	if (end > vm_map_max(map)) {
		beyond = end - vm_map_max(map);
		left -= beyond;
	}
	while (left > 0 && error == 0) {
		n = window_room(va, window) < left ? window_room(va, window) : left;
		error = window_io(map, va, p, n, write, &done);
		va += done;
		p += done;
		left -= done;
		if (error == ENOMEM && window > PAGE_SIZE) {
			UVMCNT(uvm_io_halved);
			window /= 2;		/* a smaller one may still find room */
			error = 0;
		}
	}
	*residp = left + beyond;
	return error;
}

/* --- for those who have processes, not maps --- */

int
sys_ptrace_io(struct proc *p, vaddr_t va, void *buf, size_t *len, bool write)
{
	struct vmspace *vm = proc_vmspace_hold(p);
	size_t resid = *len;
	int error;

	if (vm == NULL) {
		*len = 0;
		return ESRCH;
	}
	error = uvm_io(&vm->vm_map, va, buf, &resid, write);
	uvmspace_free(vm);
	*len -= resid;
	return error;
}

int
sys_extract(struct proc *src, vaddr_t va, vsize_t len, struct proc *dst, vaddr_t *newva, bool move)
{
	struct vmspace *from, *to = NULL;
	vaddr_t end, at = *newva;
	int error = ESRCH;

	len = round_page(len);		/* what wraps is 0 */
	if (((va | at) & PAGE_MASK) != 0 || len == 0 || __builtin_add_overflow(va, len, &end) ||
	    end > VM_MAXUSER_ADDRESS)
		return EINVAL;
	from = proc_vmspace_hold(src);
	if (from != NULL)
		to = proc_vmspace_hold(dst);
	if (to != NULL) {
		if (at == 0)
			at = VM_MMAP_ADDRESS;
		error = uvm_map_extract(&from->vm_map, va, len, &to->vm_map, &at,
		    move ? UVM_EXTRACT_REMOVE : 0);
		uvmspace_free(to);
	}
	if (from != NULL)
		uvmspace_free(from);
	if (error == 0)
		*newva = at;
	return error;
}
