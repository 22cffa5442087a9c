/*
 * Vnodes: host files as objects; their life, their size.
 *
 * Life.  A vnode's references are its object's.  vnode_find() takes one with
 * nothing but an RCU section around it: it may only raise a count that is
 * above 0, so once the last reference is gone nobody can bring the vnode back,
 * and the LWP that dropped it tears it down alone: out of the table, dirty
 * pages written, pages freed, writes in flight waited for, and the memory
 * after a grace period.  The page daemon may still meet its pages meanwhile;
 * it holds their object's lock then, and what it starts counts in v_numoutput.
 *
 * Size.  v_size changes under v_lock, v_glock and vmobjlock.  Shrinking (T-65):
 *
 *	1. glock for writing: no get is on its way
 *	2. v_size := new: gets and writes stop at it from here on
 *	3. pages beyond it go, mappings first; busy ones are waited for
 *	4. writes in flight end: one might have been cut to the old size
 *	5. the host's file is cut
 *	6. the rest of the last page becomes zeroes
 *
 * A wired page beyond the new end cannot go (R10).  It is zeroed, stays with
 * its mapping until it is unwired, and is never written.
 *
 * Lock order: v_lock, (maps), v_glock, vmobjlock, vnode table.
 */
#include <errno.h>
#include <host/host.h>
#include <host/rcu.h>
#include <host/sched.h>
#include <string.h>
#include <sys/kernel.h>
#include <sys/pool.h>
#include <unistd.h>
#include <uvm/uvm.h>
#include <uvm/uvm_loan.h>
#include "uvm_vnode_i.h"

#define	VNODE_HASH	64		/* buckets; ids are dense, so chains are short */

static kmutex_t vnode_table_lock;			/* LC_vnode_table */
static struct vnode *vnode_table[VNODE_HASH];		/* t to write, RCU to read */
static uint32_t vnode_lastid;				/* t */
static uint64_t vnode_nalive;				/* t */
static struct pool *vnode_pool;				/* : */

static void uvn_reference(struct uvm_object *);
static void uvn_detach(struct uvm_object *);

const struct uvm_pagerops uvm_vnodeops = {
	.pgo_reference = uvn_reference,
	.pgo_detach = uvn_detach,
	.pgo_get = uvn_get,
	.pgo_put = uvn_put,
};

void
vnode_init(void)
{
	mutex_init(&vnode_table_lock, MUTEX_DEFAULT, IPL_NONE, LC_vnode_table);
	memset(vnode_table, 0, sizeof(vnode_table));
	vnode_lastid = 0;
	vnode_nalive = 0;
	vnode_pool = pool_create(sizeof(struct vnode), 0, "vnode", &pool_allocator_kmem,
	    IPL_NONE);
}

/*
 * => after rcu_barrier(): no vnode waits for its grace period.
 */
void
vnode_fini(void)
{
	for (int i = 0; i < VNODE_HASH; i++)
		for (struct vnode *vp = vnode_table[i]; vp != NULL; vp = vp->v_hash)
			violation(VIOL_LEAK, "I-OBJ-4", "vnode %u (%s) is left with %d references",
			    vp->v_id, vp->v_name, vp->v_uobj.uo_refs);
	if (vnode_nalive == 0)
		pool_destroy(vnode_pool);
	mutex_destroy(&vnode_table_lock);
}

uint64_t
vnode_count(void)
{
	uint64_t n;

	mutex_enter(&vnode_table_lock);
	n = vnode_nalive;
	mutex_exit(&vnode_table_lock);
	return n;
}

/*
 * => no VM lock held; may sleep.  The vnode owns fd from here on.
 */
struct vnode *
vnode_create(const char *name, int fd, voff_t size)
{
	struct vnode *vp = pool_get(vnode_pool, PR_WAITOK | PR_ZERO);

	KASSERT(size >= 0);
	uvm_obj_init(&vp->v_uobj, &uvm_vnodeops, 1);
	rw_init(&vp->v_lock, LC_vnode);
	rw_init(&vp->v_glock, LC_glock);
	vp->v_fd = fd;
	vp->v_size = vp->v_writesize = size;
	snprintf(vp->v_name, sizeof(vp->v_name), "%s", name);
	mutex_enter(&vnode_table_lock);
	vp->v_id = ++vnode_lastid;
	vp->v_hash = vnode_table[vp->v_id % VNODE_HASH];
	/* release: pairs with the acquire in vnode_find(); the vnode is complete */
	rcu_publish(vnode_table[vp->v_id % VNODE_HASH], vp);
	vnode_nalive++;
	mutex_exit(&vnode_table_lock);
	return vp;
}

/* => one more reference, unless there is none any more. */
static bool
vnode_tryref(struct vnode *vp)
{
	int refs;

	host_point(HP_ATOMIC, vp->v_id);
	refs = __atomic_load_n(&vp->v_uobj.uo_refs, __ATOMIC_RELAXED);
	do {
		if (refs <= 0)
			return false;
		/* relaxed: pairs with the decrement in uvn_detach(); RCU keeps the memory */
	} while (!__atomic_compare_exchange_n(&vp->v_uobj.uo_refs, &refs, refs + 1, true,
	    __ATOMIC_RELAXED, __ATOMIC_RELAXED));
	return true;
}

/*
 * => never sleeps; takes no lock.
 */
struct vnode *
vnode_find(uint32_t id)
{
	struct vnode *vp;

	rcu_read_lock();
	vp = rcu_deref(vnode_table[id % VNODE_HASH]);
	while (vp != NULL && vp->v_id != id)
		vp = rcu_deref(vp->v_hash);
	if (vp != NULL && !vnode_tryref(vp))
		vp = NULL;
	rcu_read_unlock();
	return vp;
}

void
vref(struct vnode *vp)
{
	uvn_reference(&vp->v_uobj);
}

void
vrele(struct vnode *vp)
{
	uvn_detach(&vp->v_uobj);
}

/*
 * => object not locked; the caller knows of a reference that stays.
 */
static void
uvn_reference(struct uvm_object *uobj)
{
	int refs;

	mutex_enter(&uobj->vmobjlock);
	/* relaxed: pairs with vnode_tryref() */
	refs = __atomic_fetch_add(&uobj->uo_refs, 1, __ATOMIC_RELAXED);
	KASSERT(refs > 0);
	mutex_exit(&uobj->vmobjlock);
}

/* After the grace period: no reader can see the vnode. */
static void
vnode_free(struct rcu_head *head)
{
	struct vnode *vp = (struct vnode *)((char *)head - offsetof(struct vnode, v_rcu));

	rw_destroy(&vp->v_glock);
	rw_destroy(&vp->v_lock);
	uvm_obj_destroy(&vp->v_uobj);
	pool_put(vnode_pool, vp);
}

/* => no references; the table forgets the vnode; readers may still be looking at it. */
static void
vnode_unhash(struct vnode *vp)
{
	struct vnode **pp;

	mutex_enter(&vnode_table_lock);
	pp = &vnode_table[vp->v_id % VNODE_HASH];
	while (*pp != vp)
		pp = &(*pp)->v_hash;
	/* release: pairs with the acquire in vnode_find() */
	rcu_publish(*pp, vp->v_hash);
	vnode_nalive--;
	mutex_exit(&vnode_table_lock);
}

/* => object locked; sleeps until no write is in flight; locked again on return. */
static void
uvn_drain_output(struct vnode *vp)
{
	while (vp->v_numoutput > 0) {
		lockevent_next(LE_aiodone);
		mtsleep(&vp->v_numoutput, false, "vndrain", 0, &vp->v_uobj.vmobjlock);
	}
}

/*
 * => the caller dropped the last reference; nothing locked; sleeps.
 */
static void
vnode_teardown(struct vnode *vp)
{
	struct uvm_object *uobj = &vp->v_uobj;

	vnode_unhash(vp);
	mutex_enter(&uobj->vmobjlock);
	if (uvn_put(uobj, 0, 0, PGO_CLEANIT | PGO_FREE | PGO_SYNCIO) != 0) {
		/* the host does not take the data: there is nobody left to tell */
		mutex_enter(&uobj->vmobjlock);
		(void)uvn_put(uobj, 0, 0, PGO_FREE | PGO_SYNCIO);
	}
	mutex_enter(&uobj->vmobjlock);
	uvn_drain_output(vp);
	KASSERTMSG(uobj->uo_npages == 0, "I-OBJ-4: vnode %u goes, and has %d pages", vp->v_id, uobj->uo_npages);
	KASSERTMSG(vp->v_numoutput == 0, "vnode %u goes, and %d writes are still to be counted out", vp->v_id,
	    vp->v_numoutput);
	mutex_exit(&uobj->vmobjlock);
	close(vp->v_fd);
	call_rcu(&vp->v_rcu, vnode_free);
}

/*
 * => object and maps not locked; sleeps if last.
 */
static void
uvn_detach(struct uvm_object *uobj)
{
	int refs;

	mutex_enter(&uobj->vmobjlock);
	/* acq_rel: pairs with vnode_tryref() and itself: the last one sees all work done */
	refs = __atomic_sub_fetch(&uobj->uo_refs, 1, __ATOMIC_ACQ_REL);
	KASSERT(refs >= 0);
	mutex_exit(&uobj->vmobjlock);
	if (refs == 0)
		vnode_teardown((struct vnode *)uobj);
}

/*
 * => v_lock and v_glock held for writing; sleeps for busy pages when shrinking.
 */
void
uvm_vnp_setsize(struct vnode *vp, voff_t newsize)
{
	struct uvm_object *uobj = &vp->v_uobj;
	voff_t oldend;
	int npages;

	KASSERT(rw_write_held(&vp->v_lock));
	KASSERT(rw_write_held(&vp->v_glock));
	KASSERT(newsize >= 0);
	mutex_enter(&uobj->vmobjlock);
	oldend = vp->v_writesize;
	KASSERT(oldend >= vp->v_size);
	vp->v_size = vp->v_writesize = newsize;
	if (newsize >= oldend) {
		mutex_exit(&uobj->vmobjlock);
		return;
	}
	npages = uobj->uo_npages;
	(void)uvn_put(uobj, (voff_t)round_page((uint64_t)newsize), 0, PGO_FREE | PGO_SYNCIO);
	mutex_enter(&uobj->vmobjlock);
	if (uobj->uo_npages < npages)
		UVMCNT_ADD(filetrunc_pages, (uint64_t)(npages - uobj->uo_npages));
	uvn_drain_output(vp);
	KASSERTMSG(vp->v_numoutput == 0, "T-65: vnode %u is %ld bytes long now, and %d writes of before are under way",
	    vp->v_id, (long)newsize, vp->v_numoutput);
	mutex_exit(&uobj->vmobjlock);
}

/* Bytes become zero while others may load and store the same words. */
void
uvn_zero_bytes(uint8_t *p, vsize_t len)
{
	/* relaxed: pairs with user_load() and user_store() of whoever maps the page */
	for (; len > 0 && ((uintptr_t)p & 7) != 0; p++, len--)
		__atomic_store_n(p, 0, __ATOMIC_RELAXED);
	for (; len >= 8; p += 8, len -= 8)
		__atomic_store_n((uint64_t *)(void *)p, 0, __ATOMIC_RELAXED);
	for (; len > 0; p++, len--)
		__atomic_store_n(p, 0, __ATOMIC_RELAXED);
}

/* => object locked, page not busy and on loan: the one that takes its place; NULL: memory is short */
static struct vm_page *
break_loan(struct vm_page *pg)
{
	struct vm_page *new;

	uvm_page_busy(pg, "vnzero");
	new = uvm_loanbreak(pg);
	uvm_page_unbusy(new != NULL ? &new : &pg, 1);
	return new;
}

/*
 * Zero what a resident page holds beyond the end of the file.  What is not
 * resident is zero already: the host's file ends there too.
 * => v_lock and v_glock held for writing; sleeps while the page is busy.
 */
void
uvm_vnp_zerorange(struct vnode *vp, voff_t off, vsize_t len)
{
	struct uvm_object *uobj = &vp->v_uobj;
	voff_t pgoff = (voff_t)trunc_page((uint64_t)off);
	struct vm_page *pg;

	KASSERT(rw_write_held(&vp->v_lock));
	KASSERT(rw_write_held(&vp->v_glock));
	KASSERT((uint64_t)off - (uint64_t)pgoff + len <= PAGE_SIZE);
	if (len == 0)
		return;
	mutex_enter(&uobj->vmobjlock);
	while ((pg = uvm_pagelookup(uobj, pgoff)) != NULL) {
		if ((pg->flags & PG_BUSY) != 0)
			uvm_pagewait(pg, &uobj->vmobjlock, "vnzero");
		else if (!uvm_page_loaned(pg) || (pg = break_loan(pg)) != NULL)
			break;
		else {
			mutex_exit(&uobj->vmobjlock);
			uvm_wait("vnzero");
		}
		mutex_enter(&uobj->vmobjlock);
	}
	if (pg != NULL) {
		KASSERTMSG((pg->flags & PG_BUSY) == 0, "T-65: zeroes onto a page that %s has busy",
		    pg->owner_tag);
		KASSERTMSG(!uvm_page_loaned(pg), "I-LOAN-3: zeroes onto a page on loan");
		uvn_zero_bytes((uint8_t *)ram_host(VM_PAGE_TO_PHYS(pg)) + (off - pgoff), len);
	}
	mutex_exit(&uobj->vmobjlock);
}

void
uvm_vnp_setwritesize(struct vnode *vp, voff_t newsize)
{
	voff_t end = vp->v_size;

	KASSERT(rw_write_held(&vp->v_lock));
	KASSERT(vp->v_writesize == end);
	KASSERT(newsize > end);
	rw_enter(&vp->v_glock, RW_WRITER);
	/* stores behind the old end must not become file content (T-65) */
	uvm_vnp_zerorange(vp, end, round_page((uint64_t)end) - (uint64_t)end);
	mutex_enter(&vp->v_uobj.vmobjlock);
	vp->v_writesize = newsize;
	mutex_exit(&vp->v_uobj.vmobjlock);
	rw_exit(&vp->v_glock);
}

void
uvm_vnp_endwrite(struct vnode *vp, voff_t reached)
{
	voff_t end = vp->v_writesize, newsize = reached > vp->v_size ? reached : vp->v_size;

	KASSERT(rw_write_held(&vp->v_lock));
	KASSERT(newsize <= end);
	rw_enter(&vp->v_glock, RW_WRITER);
	uvm_vnp_setsize(vp, newsize);
	if (newsize < end) {
		host_file_limit(vp->v_fd, (uint64_t)newsize);	/* some may have been written */
		uvm_vnp_zerorange(vp, newsize, round_page((uint64_t)newsize) - (uint64_t)newsize);
	}
	rw_exit(&vp->v_glock);
}

/*
 * => no VM lock held; 0, or the host's errno, then the size is what it was.
 */
int
vnode_truncate(struct vnode *vp, voff_t newsize)
{
	voff_t oldsize, end;
	int error = 0;

	if (newsize < 0)
		return EINVAL;
	rw_enter(&vp->v_lock, RW_WRITER);
	rw_enter(&vp->v_glock, RW_WRITER);
	oldsize = vp->v_size;
	/* before it grows: stores behind the old end must not become file content */
	end = newsize < oldsize ? newsize : oldsize;
	if (newsize < oldsize)
		uvm_vnp_setsize(vp, newsize);
	if (ftruncate(vp->v_fd, newsize) != 0) {
		error = errno;
		newsize = oldsize;
	} else
		uvm_vnp_zerorange(vp, end, round_page((uint64_t)end) - (uint64_t)end);
	uvm_vnp_setsize(vp, newsize);
	rw_exit(&vp->v_glock);
	rw_exit(&vp->v_lock);
	return error;
}

/*
 * => no VM lock held.  Reports an error of an earlier asynchronous write once.
 */
int
vnode_fsync(struct vnode *vp)
{
	struct uvm_object *uobj = &vp->v_uobj;
	int error, earlier;

	mutex_enter(&uobj->vmobjlock);
	error = uvn_put(uobj, 0, 0, PGO_CLEANIT | PGO_SYNCIO);
	mutex_enter(&uobj->vmobjlock);
	uvn_drain_output(vp);
	earlier = vp->v_error;
	vp->v_error = 0;
	mutex_exit(&uobj->vmobjlock);
	return error != 0 ? error : earlier;
}
