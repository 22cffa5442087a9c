/*
 * Map entry passing: reserve, replace, extract (uvm-spec 1.14).
 *
 *	src	|AAAAAABBBB..CCC|
 *		     ^^^^^^^^^		extract
 *	dst	|....-------------|	a blank entry keeps the addresses meanwhile
 *	dst	|....AABBBB..C....|	replaced, in one step, by twins of the entries
 *
 * A twin shares amap and object with its original, like a child's entry after a fork
 * with MAP_INHERIT_SHARE, and by the same rules: needs-copy is resolved first, so that
 * both see one amap; it is marked SHARED; and pages of the object that the source has
 * mapped under copy-on-write are dropped, for the other side may put an anon above them
 * (I-AMAP-9).
 *
 * A move passes the entries themselves, so no reference changes, and nothing can fail
 * once it has begun.
 *
 * Two maps: a user's map before the kernel's, by rank; two users' in the order of their
 * births (T-8).  The work is done with both locked: what is moved is seen at one place or
 * the other at any moment, and a reservation that has been replaced is found out before
 * anything has changed.  NetBSD tries the second lock; and if that fails lets the first
 * go and waits for the second.  With queues at both maps, and locks that are handed on
 * to who waits, the try then never succeeds: six debuggers hung here for ever (H-4).
 *
 * Memory is not waited for with the maps locked: shortage undoes what there is, waits with
 * nothing held, and begins anew.
 *
 * QREF: a window that is dropped soon, while its maker holds it, refers to the whole
 * amap.  So counting by slot need not begin for it, and it is never clipped.
 */
#include <uvm/uvm_vslock.h>

#include "uvm_map_i.h"

/* --- blank entries --- */

/*
 * Nobody can make one by other means: no right at all, now or ever, and nothing behind it.
 */
static bool
blank(const struct vm_map_entry *e)
{
	return e->etype == 0 && e->aref.ar_amap == NULL && e->object.uvm_obj == NULL &&
	    e->max_protection == VM_PROT_NONE && (e->flags & UVM_MAP_NOMERGE) != 0;
}

bool
uvm_map_reserve(struct vm_map *map, vsize_t size, vaddr_t hint, vsize_t align, vaddr_t *vap,
    unsigned flags)
{
	vaddr_t va = hint;

	if (uvm_map(map, &va, size, NULL, 0, align, UVM_MAPFLAG(VM_PROT_NONE, VM_PROT_NONE,
	    MAP_INHERIT_NONE, UVM_ADV_RANDOM, flags | UVM_FLAG_NOMERGE)) != 0)
		return false;
	*vap = va;
	return true;
}

/* => map(W): the blank entry that is just [start,end), or NULL */
static struct vm_map_entry *
reservation(struct vm_map *map, vaddr_t start, vaddr_t end)
{
	struct vm_map_entry *e;

	KASSERT(vm_map_locked_write(map));
	if (!uvm_map_lookup_entry(map, start, &e) || e->start != start || e->end != end || !blank(e))
		return NULL;
	return e;
}

bool
uvm_map_replace(struct vm_map *map, vaddr_t start, vaddr_t end, struct vm_map_entry *list, int n)
{
	struct vm_map_entry *e = reservation(map, start, end), *prev, *next;

	if (e == NULL)
		return false;
	prev = e->prev;
	uvm_map_entry_unlink(map, e);
	uvm_mapent_free(e);
	for (; list != NULL; list = next, n--) {
		next = list->next;
		KASSERT(list->start >= start && list->end <= end);
		uvm_map_entry_link(map, prev, list);
		prev = list;
	}
	KASSERT(n == 0);
	return true;
}

/* => map unlocked: a reservation of ours goes, unless it is somebody else's by now */
static void
unreserve(struct vm_map *map, vaddr_t start, vaddr_t end)
{
	vm_map_lock(map);
	if (uvm_map_replace(map, start, end, NULL, 0))
		uvm_map_wakeva(map);
	vm_map_unlock(map);
}

/* --- sharing --- */

void
uvm_map_drop_lower(struct vm_map *map, struct vm_map_entry *e)
{
	struct vm_amap *amap = e->aref.ar_amap;

	KASSERT(vm_map_locked_write(map));
	KASSERT(!UVM_ET_ISNEEDSCOPY(e));
	if (!UVM_ET_ISOBJ(e) || !UVM_ET_ISCOPYONWRITE(e) || VM_MAPENT_ISWIRED(e))
		return;
	/* Not the anons' pages: some may be wired for I/O, and then they are anons (R13). */
	amap_lock(amap);
	for (vaddr_t va = e->start; va < e->end; va += PAGE_SIZE)
		if (amap_lookup(&e->aref, va - e->start) == NULL)
			pmap_remove(map->pmap, va, va + PAGE_SIZE);
	amap_unlock(amap);
}

/* --- extract --- */

struct passing {
	struct vm_map	*ps_src, *ps_dst;
	vaddr_t		 ps_start, ps_end;	/* in the source */
	vaddr_t		 ps_to;			/* in the destination */
	int		 ps_flags;
	struct vm_map_entry *ps_list, **ps_tail;	/* twins, not in a map yet */
	int		 ps_n;
};

static void	unlock_both(const struct passing *);

/* => both maps(W); moves: no I/O is under way to what is moved */
static void
lock_both(const struct passing *ps)
{
	struct vm_map *src = ps->ps_src, *dst = ps->ps_dst, *first = src, *second = dst;

	if (dst->pmap != pmap_kernel() && rw_older(&dst->lock, &src->lock))
		first = dst, second = src;
	for (;;) {
		vm_map_lock(first);
		if (second != first)
			vm_map_lock(second);
		if ((ps->ps_flags & UVM_EXTRACT_REMOVE) == 0 ||
		    !uvm_vslock_under_way(src, ps->ps_start, ps->ps_end))
			return;
		unlock_both(ps);
		uvm_vslock_drain(src, ps->ps_start, ps->ps_end);
		vm_map_unlock(src);
	}
}

static void
unlock_both(const struct passing *ps)
{
	if (ps->ps_dst != ps->ps_src)
		vm_map_unlock(ps->ps_dst);
	vm_map_unlock(ps->ps_src);
}

/* => src(W): the entry at or above va */
static struct vm_map_entry *
entry_from(struct vm_map *map, vaddr_t va)
{
	struct vm_map_entry *e;

	return uvm_map_lookup_entry(map, va, &e) ? e : e->next;
}

/* => both maps(W): 0, or why it cannot be, whatever memory there is */
static int
check(const struct passing *ps)
{
	struct vm_map *src = ps->ps_src;
	vaddr_t va = ps->ps_start;

	if (reservation(ps->ps_dst, ps->ps_to, ps->ps_to + (ps->ps_end - ps->ps_start)) == NULL)
		return EIO;
	for (struct vm_map_entry *e = entry_from(src, va); e != &src->header &&
	    e->start < ps->ps_end; e = e->next) {
		if (UVM_ET_ISSUBMAP(e))
			return EINVAL;
		if ((ps->ps_flags & UVM_EXTRACT_CONTIG) != 0 && e->start > va)
			return EINVAL;
		va = e->end;
	}
	return (ps->ps_flags & UVM_EXTRACT_CONTIG) != 0 && va < ps->ps_end ? EINVAL : 0;
}

/*
 * The entry around va may be shared: it has an amap of its own, and its pages are mapped
 * as sharing wants it (I-AMAP-9).  It may be clipped on the way.
 * => src(W); 0 and *ep, which contains va; or ENOMEM
 */
static int
make_sharable(const struct passing *ps, vaddr_t va, struct vm_map_entry **ep)
{
	struct vm_map *src = ps->ps_src;
	struct vm_map_entry *e = *ep;

	if (UVM_ET_ISNEEDSCOPY(e))
		amap_copy(src, e, AMAP_COPY_NOWAIT, va,
		    e->end < ps->ps_end ? e->end : ps->ps_end);
	if (UVM_ET_ISNEEDSCOPY(e))
		return ENOMEM;
	uvm_map_drop_lower(src, e);
	*ep = e;
	return 0;
}

/* => src(W): a twin of e's part of the range goes to the list; 0 or ENOMEM */
static int
add_twin(struct passing *ps, const struct vm_map_entry *e)
{
	vaddr_t start = e->start > ps->ps_start ? e->start : ps->ps_start;
	vaddr_t end = e->end < ps->ps_end ? e->end : ps->ps_end;
	bool qref = (ps->ps_flags & UVM_EXTRACT_QREF) != 0;
	struct vm_map_entry *new = uvm_mapent_twin(ps->ps_dst, e, start, end,
	    AMAP_SHARED | (qref ? AMAP_REFALL : 0));

	if (new == NULL)
		return ENOMEM;
	new->start = start - ps->ps_start + ps->ps_to;
	new->end = end - ps->ps_start + ps->ps_to;
	if (qref)
		new->flags |= UVM_MAP_QREF | UVM_MAP_NOMERGE;
	if ((ps->ps_flags & UVM_EXTRACT_FIXPROT) != 0)
		new->protection = new->max_protection;
	new->next = NULL;
	*ps->ps_tail = new;
	ps->ps_tail = &new->next;
	ps->ps_n++;
	return 0;
}

/* => both maps(W): twins of all entries of the range; ENOMEM: of some, to be detached */
static int
make_twins(struct passing *ps)
{
	struct vm_map *src = ps->ps_src;
	struct vm_map_entry *e = entry_from(src, ps->ps_start);
	int error = 0;

	for (; e != &src->header && e->start < ps->ps_end && error == 0; e = e->next) {
		error = make_sharable(ps, e->start > ps->ps_start ? e->start : ps->ps_start, &e);
		if (error == 0)
			error = add_twin(ps, e);
	}
	pmap_update(src->pmap);		/* before anybody can come in */
	return error;
}

/* => both maps(W) */
static int
pass(struct passing *ps)
{
	vaddr_t end = ps->ps_to + (ps->ps_end - ps->ps_start);
	const vaddr_t splits[] = { ps->ps_start, ps->ps_end };
	int error = check(ps);

	if (error != 0)
		return error;
	if ((ps->ps_flags & UVM_EXTRACT_REMOVE) == 0)
		error = make_twins(ps);
	else if (!uvm_mapent_ready(ps->ps_src, splits, 2))
		error = ENOMEM;
	if (error != 0)
		return error;
	(void)uvm_map_replace(ps->ps_dst, ps->ps_to, end, ps->ps_list, ps->ps_n);
	ps->ps_list = NULL;
	if ((ps->ps_flags & UVM_EXTRACT_REMOVE) != 0) {
		uvm_map_move(ps->ps_src, ps->ps_start, ps->ps_end - ps->ps_start, ps->ps_dst,
		    ps->ps_to);
		UVMCNT(extract_moves);
	}
	return 0;
}

void
uvm_map_move(struct vm_map *src, vaddr_t from, vsize_t size, struct vm_map *dst, vaddr_t to)
{
	struct vm_map_entry *e, *next, *prev;

	KASSERT(vm_map_locked_write(src) && vm_map_locked_write(dst));
	KASSERTMSG(!uvm_vslock_overlaps(src, from, from + size),
	    "I-PG-16: moving %#lx-%#lx while I/O is under way to it", (unsigned long)from,
	    (unsigned long)(from + size));
	e = uvm_map_clip_range(src, from, from + size);
	for (; e != &src->header && e->start < from + size; e = next) {
		next = e->next;
		if (VM_MAPENT_ISWIRED(e))
			uvm_map_entry_unwire(src, e);
		pmap_remove(src->pmap, e->start, e->end);
		uvm_map_entry_unlink(src, e);
		e->end = e->end - from + to;
		e->start = e->start - from + to;
		if (uvm_map_lookup_entry(dst, e->start, &prev))
			panic("uvm_map_move: %#lx is not free", (unsigned long)e->start);
		uvm_map_entry_link(dst, prev, e);
	}
	pmap_update(src->pmap);		/* I-SYS-3 */
	uvm_map_wakeva(src);
}

static bool
flags_ok(const struct vm_map *src, const struct vm_map *dst, int flags)
{
	bool kernel = dst->pmap == pmap_kernel();

	if ((flags & UVM_EXTRACT_REMOVE) != 0 &&
	    ((flags & (UVM_EXTRACT_CONTIG | UVM_EXTRACT_QREF)) != 0 || kernel))
		return false;
	if ((flags & UVM_EXTRACT_QREF) != 0 && !kernel)
		return false;		/* a process could clip it, or fork */
	return src->pmap != pmap_kernel() && (dst->flags & VM_MAP_PAGEABLE) != 0;
}

int
uvm_map_extract(struct vm_map *src, vaddr_t start, vsize_t len, struct vm_map *dst,
    vaddr_t *dstaddrp, int flags)
{
	struct passing ps = {
		.ps_src = src, .ps_dst = dst, .ps_start = start, .ps_end = start + len,
		.ps_to = *dstaddrp, .ps_flags = flags,
	};
	unsigned waits = 0;
	int error;

	KASSERT(((start | len) & PAGE_MASK) == 0 && len != 0 && start + len > start);
	KASSERT(flags_ok(src, dst, flags));
	if ((flags & UVM_EXTRACT_RESERVED) == 0 &&
	    !uvm_map_reserve(dst, len, *dstaddrp, 0, &ps.ps_to, 0))
		return ENOMEM;
	for (;;) {
		ps.ps_list = NULL;
		ps.ps_tail = &ps.ps_list;
		ps.ps_n = 0;
		lock_both(&ps);
		error = pass(&ps);
		unlock_both(&ps);
		uvm_unmap_detach(ps.ps_list);		/* twins, if it failed */
		if (error != ENOMEM || !uvm_wait_again(&waits, "extract"))
			break;
	}
	if (error == 0) {
		UVMCNT(extracts);
		*dstaddrp = ps.ps_to;
	} else if ((flags & UVM_EXTRACT_RESERVED) == 0) {
		unreserve(dst, ps.ps_to, ps.ps_to + len);
	}
	return error;
}
