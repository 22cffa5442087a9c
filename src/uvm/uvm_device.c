/*
 * The device pager (uvm-spec 4.8).
 *
 * A device has one object, found by its number while anybody maps it.  The list's lock
 * comes after the object's, so who has found an object on the list cannot lock it there;
 * he marks it HOLD, lets the list go, takes his reference and takes the mark away.
 * Meanwhile the last reference may be on its way out; it waits for the mark (WANTED) and
 * looks again.
 *
 * There are no pages to get, so the fault is the device's from end to end (pgo_fault): ask
 * it for the frame, enter it.  The frame has no vm_page: nobody can wire, loan, age or
 * write it, and what wiring such a mapping means is the wired attribute of the mapping
 * alone.  A failed enter is everybody's: unlock all, wait, fault again (R29, R39).
 */
#include <uvm/uvm_device.h>
#include <uvm/uvm_fault_i.h>
#include <uvm/uvm_proc.h>
#include <uvm/uvm_vslock.h>

#define	UVM_DEVICE_HOLD		1	/* found on the list, reference not yet taken */
#define	UVM_DEVICE_WANTED	2	/* somebody waits for HOLD to go */

/*
 *	:  stable after creation	d  udv_lock
 */
struct uvm_device {
	struct uvm_object	u_obj;		/* must be first */
	dev_minor_t		u_device;	/* : */
	int			u_flags;	/* d: UVM_DEVICE_ */
	LIST_ENTRY(uvm_device)	u_list;		/* d */
};

static kmutex_t udv_lock;			/* LC_udv */
static LIST_HEAD(, uvm_device) udv_list;	/* d */
static uint64_t udv_nalive;			/* d */

void
udv_init(void)
{
	mutex_init(&udv_lock, MUTEX_DEFAULT, IPL_NONE, LC_udv);
	LIST_INIT(&udv_list);
	udv_nalive = 0;
}

void
udv_fini(void)
{
	if (udv_nalive > 0)
		violation(VIOL_LEAK, "I-OBJ-4", "%llu device objects are left",
		    (unsigned long long)udv_nalive);
	mutex_destroy(&udv_lock);
}

uint64_t
udv_count(void)
{
	uint64_t n;

	mutex_enter(&udv_lock);
	n = udv_nalive;
	mutex_exit(&udv_lock);
	return n;
}

/* --- references --- */

/* => udv_lock held, given up while another has the object on hold; then look again */
static void
wait_unheld(struct uvm_device *udv)
{
	udv->u_flags |= UVM_DEVICE_WANTED;
	(void)UVM_UNLOCK_AND_WAIT(udv, &udv_lock, "udvhold");
}

/* => udv_lock held; so on return, with a reference to the object */
static void
take_held(struct uvm_device *udv)
{
	KASSERT((udv->u_flags & UVM_DEVICE_HOLD) == 0);
	udv->u_flags |= UVM_DEVICE_HOLD;
	mutex_exit(&udv_lock);
	mutex_enter(&udv->u_obj.vmobjlock);
	udv->u_obj.uo_refs++;
	mutex_exit(&udv->u_obj.vmobjlock);
	mutex_enter(&udv_lock);
	if ((udv->u_flags & UVM_DEVICE_WANTED) != 0)
		wakeup(udv);
	udv->u_flags &= ~(UVM_DEVICE_HOLD | UVM_DEVICE_WANTED);
}

static struct uvm_device *
udv_lookup(dev_minor_t dev)
{
	struct uvm_device *udv;

	KASSERT(mutex_owned(&udv_lock));
	LIST_FOREACH(udv, &udv_list, u_list)
		if (udv->u_device == dev)
			break;
	return udv;
}

/* => the one that is known by now, with a reference; new is then left to the caller */
static struct uvm_device *
find_or_insert(dev_minor_t dev, struct uvm_device *new)
{
	struct uvm_device *udv;

	mutex_enter(&udv_lock);
	while ((udv = udv_lookup(dev)) != NULL && (udv->u_flags & UVM_DEVICE_HOLD) != 0) {
		wait_unheld(udv);
		mutex_enter(&udv_lock);
	}
	if (udv != NULL)
		take_held(udv);
	else if (new != NULL) {
		udv = new;
		LIST_INSERT_HEAD(&udv_list, udv, u_list);
		udv_nalive++;
	}
	mutex_exit(&udv_lock);
	return udv;
}

struct uvm_object *
udv_attach(dev_minor_t dev, vm_prot_t access, voff_t off, vsize_t size)
{
	struct uvm_device *udv, *new;

	for (vsize_t o = 0; o < size; o += PAGE_SIZE)
		if (device_mmap(dev, off + (voff_t)o, access) == DEVICE_NONE)
			return NULL;
	udv = find_or_insert(dev, NULL);
	if (udv != NULL)
		return &udv->u_obj;
	new = kmem_zalloc(sizeof(*new), KM_SLEEP);	/* nothing is locked */
	uvm_obj_init(&new->u_obj, &uvm_deviceops, 1);
	new->u_device = dev;
	udv = find_or_insert(dev, new);
	if (udv != new) {				/* another was faster */
		uvm_obj_destroy(&new->u_obj);
		kmem_free(new, sizeof(*new));
	}
	return &udv->u_obj;
}

static void
udv_reference(struct uvm_object *uobj)
{
	mutex_enter(&uobj->vmobjlock);
	KASSERT(uobj->uo_refs > 0);
	uobj->uo_refs++;
	mutex_exit(&uobj->vmobjlock);
}

static void
udv_detach(struct uvm_object *uobj)
{
	struct uvm_device *udv = (struct uvm_device *)uobj;

	for (;;) {
		mutex_enter(&uobj->vmobjlock);
		KASSERT(uobj->uo_refs > 0);
		if (uobj->uo_refs > 1) {
			uobj->uo_refs--;
			mutex_exit(&uobj->vmobjlock);
			return;
		}
		mutex_enter(&udv_lock);
		if ((udv->u_flags & UVM_DEVICE_HOLD) == 0)
			break;
		mutex_exit(&uobj->vmobjlock);
		wait_unheld(udv);		/* he is about to take a reference */
	}
	/* locked: object, list; nobody has it on hold, nobody else refers to it */
	KASSERT((udv->u_flags & UVM_DEVICE_WANTED) == 0);
	LIST_REMOVE(udv, u_list);
	udv_nalive--;
	mutex_exit(&udv_lock);
	KASSERT(uobj->uo_npages == 0);
	uobj->uo_refs = 0;
	mutex_exit(&uobj->vmobjlock);
	uvm_obj_destroy(uobj);
	kmem_free(udv, sizeof(*udv));
}

/* --- the fault --- */

/*
 * => maps(R), amap, object locked: map one page
 * => 0, EIO, ENOMEM; locks as before
 */
static int
enter_frame(struct uvm_faultinfo *ufi, vaddr_t va, vm_prot_t access, bool wired, bool wiring)
{
	struct vm_map_entry *entry = ufi->entry;
	struct uvm_device *udv = (struct uvm_device *)entry->object.uvm_obj;
	paddr_t pa = device_mmap(udv->u_device, entry->offset + (voff_t)(va - entry->start),
	    entry->protection);
	int error;

	KASSERT(mutex_owned(&udv->u_obj.vmobjlock));
	if (pa == DEVICE_NONE)
		return EIO;
	UVMCNT(flt_device);
	/* R30, B-15: the access that there was, not all that would be allowed */
	error = pmap_enter(ufi->orig_map->pmap, va, pa, entry->protection,
	    (unsigned)access | PMAP_CANFAIL | (wired ? PMAP_WIRED : 0));
	if (error == 0 && wiring)
		uvm_mapping_reached(ufi, pa);
	return error;
}

/*
 * => as pgo_fault; the centre alone decides about the answer
 */
static int
udv_fault(struct uvm_faultinfo *ufi, vaddr_t startva, struct vm_page **pps, int npages,
    int centeridx, vm_prot_t access, int flags)
{
	struct vm_map_entry *entry = ufi->entry;
	struct uvm_object *uobj = entry->object.uvm_obj;
	bool wiring = (flags & PGO_WIRE) != 0, wired;
	int error = 0;

	KASSERT(vm_map_locked(ufi->map));
	KASSERT(mutex_owned(&uobj->vmobjlock));
	if (UVM_ET_ISCOPYONWRITE(entry)) {
		uvmfault_unlockall(ufi, entry->aref.ar_amap, uobj, NULL);
		return EIO;
	}
	for (int i = 0; i < npages; i++) {
		vaddr_t va = startva + ptoa(i);

		if (i == centeridx) {
			wired = wiring || uvm_mapping_wired(ufi->map, entry, va);
			error = enter_frame(ufi, va, access, wired, wiring);
		} else if (pps[i] != PGO_DONTCARE) {
			(void)enter_frame(ufi, va, 0, false, false);
		}
	}
	pmap_update(ufi->orig_map->pmap);
	uvmfault_unlockall(ufi, entry->aref.ar_amap, uobj, NULL);
	return error == ENOMEM ? uvmfault_shortage(&ufi->waits) : error;
}

const struct uvm_pagerops uvm_deviceops = {
	.pgo_reference = udv_reference,
	.pgo_detach = udv_detach,
	.pgo_fault = udv_fault,
};

/* --- the system call --- */

int
sys_mmap_device(struct proc *p, vaddr_t *addr, vsize_t len, int prot, int flags, dev_minor_t dev,
    voff_t off)
{
	vaddr_t start = *addr;
	struct uvm_object *uobj;
	unsigned mf;
	int error;

	/* B-20's relative: a private mapping of a device would be EIO at each access */
	if ((flags & UMAP_SHARED) == 0 || (flags & ~(UMAP_SHARED | UMAP_FIXED)) != 0)
		return EINVAL;
	if (((start | (vaddr_t)off) & PAGE_MASK) != 0 || off < 0 || len == 0 || len > INT64_MAX / 2)
		return EINVAL;
	if ((prot & VM_PROT_EXECUTE) != 0)
		return EACCES;
	if (prot != VM_PROT_NONE)
		prot |= VM_PROT_READ;
	if ((flags & UMAP_FIXED) == 0 && start == 0)
		start = VM_MMAP_ADDRESS;
	len = round_page(len);
	uobj = udv_attach(dev, prot, off, len);
	if (uobj == NULL)
		return EINVAL;
	mf = UVM_MAPFLAG(prot, VM_PROT_READ | VM_PROT_WRITE, MAP_INHERIT_SHARE, UVM_ADV_RANDOM,
	    (flags & UMAP_FIXED) != 0 ? UVM_FLAG_FIXED | UVM_FLAG_UNMAP : 0);
	error = uvm_map(&p->p_vmspace->vm_map, &start, len, uobj, off, 0, mf);
	if (error != 0)
		uobj->pgops->pgo_detach(uobj);
	else
		*addr = start;
	return error;
}
