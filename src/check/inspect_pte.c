/*
 * The inspector of mappings: every valid PTE of every process against what a fault at
 * that address would find now.
 *
 * A pmap is a cache of what the maps say.  An entry that is missing costs a fault; one
 * that is wrong shows somebody's data to somebody else.  So each PTE must lie in an
 * entry, grant no more than the entry and the page permit, and map the very page that
 * is there: the anon's, if the amap has one, else the object's.
 */
#include <stdio.h>

#include <uvm/uvm.h>
#include <uvm/uvm_anon.h>
#include <uvm/uvm_proc.h>

#include "about.h"
#include "inspect_int.h"

struct pte_walk {
	struct vm_map	*pw_map;	/* map(R) */
	unsigned	 pw_bad;
};

static void
wrong(struct pte_walk *pw, const char *id, vaddr_t va, uint64_t pte, const char *what)
{
	const struct vm_page *pg = (pte & PTE_MANAGED) != 0 ? PHYS_TO_VM_PAGE(pte & PTE_FRAME) : NULL;

	about_va(pw->pw_map, va);
	if (pg != NULL)
		about_page(pg);			/* what is mapped; what should be is at the address */
	violation(VIOL_INVARIANT, id, "map %u, address %#lx, PTE %#lx: %s", pw->pw_map->id,
	    (unsigned long)va, (unsigned long)pte, what);
	pw->pw_bad++;
}

/* A page that is not the anon's: whose it is says where to look. */
static void
stranger(struct pte_walk *pw, vaddr_t va, uint64_t pte, const struct vm_anon *anon,
    const struct vm_page *pg)
{
	char what[256];
	struct vm_map_entry *e;

	(void)uvm_map_lookup_entry(pw->pw_map, va, &e);
	snprintf(what, sizeof(what), "maps another page than its anon has: one of %s %u, offset %#lx, "
	    "flags %#x, wired %u; the anon has %s, slot %d, %d references; amap %u has %d%s; entry "
	    "etype %#x, wired %d, prot %d/%d, inherit %d",
	    pg->uobject != NULL ? "object" : pg->uanon != NULL ? "anon" : "nobody",
	    pg->uobject != NULL ? pg->uobject->uo_id : 0, (unsigned long)pg->offset, pg->flags,
	    pg->wire_count, anon->an_page != NULL ? "a page" : "none", anon->an_swslot, anon->an_ref,
	    amap_id(e->aref.ar_amap), amap_refs(e->aref.ar_amap),
	    amap_shared(e->aref.ar_amap) ? ", shared" : "", e->etype, e->wired_count, e->protection,
	    e->max_protection, e->inheritance);
	wrong(pw, CHECK_ID(I_AMAP_9), va, pte, what);
}

/* => the page of an anon; its amap locked, nothing runs */
static void
check_upper(struct pte_walk *pw, vaddr_t va, uint64_t pte, const struct vm_anon *anon,
    const struct vm_page *pg)
{
	if (anon->an_page != pg)
		stranger(pw, va, pte, anon, pg);
	else if ((pte & PTE_W) != 0 && anon->an_ref > 1)
		wrong(pw, CHECK_ID(I_AMAP_10), va, pte, "writable, and the anon is shared copy-on-write");
}

static void
check_lower(struct pte_walk *pw, vaddr_t va, uint64_t pte, const struct vm_map_entry *e,
    const struct vm_page *pg)
{
	voff_t off = e->offset + (voff_t)(va - e->start);

	if (!UVM_ET_ISOBJ(e))
		wrong(pw, CHECK_ID(I_MAP_14), va, pte, "there is neither an anon nor an object");
	else if (pg->uobject != e->object.uvm_obj || pg->offset != off)
		wrong(pw, CHECK_ID(I_OBJ_1), va, pte, "maps another page than its object has there");
	else if ((pte & PTE_W) != 0 && UVM_ET_ISCOPYONWRITE(e))
		wrong(pw, CHECK_ID(I_FLT_2), va, pte, "writable, and the object's page is copy-on-write");
	else if ((pte & PTE_W) != 0 && (pg->flags & PG_RDONLY) != 0)
		wrong(pw, CHECK_ID(I_OBJ_8), va, pte, "writable, and the page has no backing yet");
}

/* => the page's owner is locked, and the amap, if there is one; or nothing runs */
static void
check_page(struct pte_walk *pw, vaddr_t va, uint64_t pte, struct vm_map_entry *e,
    const struct vm_anon *anon, const struct vm_page *pg)
{
	if ((pg->pqflags & PQ_FREE) != 0)
		wrong(pw, CHECK_ID(I_PMAP_11), va, pte, "the frame is free");
	if ((pg->flags & PG_FAKE) != 0)
		wrong(pw, CHECK_ID(I_PG_9), va, pte, "the page has no content yet");
	if ((pte & PTE_W) != 0 && uvm_page_loaned(pg))
		wrong(pw, CHECK_ID(I_LOAN_1), va, pte, "writable, and the page is on loan (R15)");
	if ((pte & PTE_WIRED) != 0 && !uvm_page_wired(pg))
		wrong(pw, CHECK_ID(I_PG_15), va, pte, "wired, and the page is not");
	if (anon != NULL)
		check_upper(pw, va, pte, anon, pg);
	else
		check_lower(pw, va, pte, e, pg);
}

/* => likewise: one mapping against the entry around it, and what that shows there */
static void
judge(struct pte_walk *pw, vaddr_t va, uint64_t pte, struct vm_map_entry *e,
    const struct vm_anon *anon)
{
	vm_prot_t prot = (pte & PTE_R ? VM_PROT_READ : 0) | (pte & PTE_W ? VM_PROT_WRITE : 0) |
	    (pte & PTE_X ? VM_PROT_EXECUTE : 0);

	if ((prot & ~e->protection) != 0)
		wrong(pw, CHECK_ID(I_PMAP_7), va, pte, "grants more than the entry's protection");
	if ((pte & PTE_W) != 0 && UVM_ET_ISNEEDSCOPY(e))
		wrong(pw, CHECK_ID(I_MAP_5), va, pte, "writable, and the amap is to be copied first");
	if ((pte & PTE_MANAGED) != 0)
		check_page(pw, va, pte, e, anon, PHYS_TO_VM_PAGE(pte & PTE_FRAME));
}

static void
check_pte(vaddr_t va, uint64_t pte, void *arg)
{
	struct pte_walk *pw = arg;
	struct vm_anon *anon = NULL;
	struct vm_map_entry *e;

	if (!uvm_map_lookup_entry(pw->pw_map, va, &e)) {
		wrong(pw, CHECK_ID(I_MAP_14), va, pte, "no entry maps this address");
		return;
	}
	if (e->aref.ar_amap != NULL) {
		amap_lock(e->aref.ar_amap);
		anon = amap_lookup(&e->aref, va - e->start);
	}
	judge(pw, va, pte, e, anon);
	if (e->aref.ar_amap != NULL)
		amap_unlock(e->aref.ar_amap);
}

/* => map(R), amap locked if there is one: the owner of what is mapped there is locked now; or NULL */
static kmutex_t *
lock_owner(const struct vm_map_entry *e, struct vm_anon *anon)
{
	kmutex_t *owner = anon != NULL ? &anon->an_lock :
	    UVM_ET_ISOBJ(e) ? &e->object.uvm_obj->vmobjlock : NULL;

	if (owner != NULL)
		mutex_enter(owner);
	return owner;
}

unsigned
inspect_address(struct vm_map *map, struct vm_map_entry *e, vaddr_t va)
{
	struct pte_walk pw = { .pw_map = map };
	struct vm_amap *amap = e->aref.ar_amap;
	struct vm_anon *anon = NULL;
	kmutex_t *owner;
	uint64_t pte;

	CHECKS_RAN(CHK_I_AMAP_9, CHK_I_AMAP_10, CHK_I_FLT_2, CHK_I_LOAN_1, CHK_I_MAP_5, CHK_I_MAP_14,
	    CHK_I_OBJ_1, CHK_I_OBJ_8, CHK_I_PG_9, CHK_I_PG_15, CHK_I_PMAP_7, CHK_I_PMAP_11);
	if (amap != NULL) {
		amap_lock(amap);
		anon = amap_lookup(&e->aref, va - e->start);
	}
	owner = lock_owner(e, anon);
	pte = pmap_peek(map->pmap, va);
	/* what is borrowed has an owner elsewhere, who is not locked */
	if (pte != 0 && (anon == NULL || anon->an_page == NULL || anon->an_page->uobject == NULL))
		judge(&pw, va, pte, e, anon);
	if (anon != NULL)
		pw.pw_bad += inspect_anon(anon);
	if (owner != NULL)
		mutex_exit(owner);
	if (amap != NULL)
		amap_unlock(amap);
	return pw.pw_bad;
}

static void
walk_vmspace(struct vmspace *vm, void *arg)
{
	struct pte_walk pw = { .pw_map = &vm->vm_map };
	unsigned *bad = arg;

	vm_map_lock_read(pw.pw_map);
	pmap_foreach(pw.pw_map->pmap, check_pte, &pw);
	vm_map_unlock_read(pw.pw_map);
	*bad += pw.pw_bad;
}

unsigned
inspect_ptes(void)
{
	unsigned bad = 0;

	CHECKS_RAN(CHK_I_AMAP_9, CHK_I_AMAP_10, CHK_I_FLT_2, CHK_I_LOAN_1, CHK_I_MAP_5, CHK_I_MAP_14,
	    CHK_I_OBJ_1, CHK_I_OBJ_8, CHK_I_PG_9, CHK_I_PG_15, CHK_I_PMAP_7, CHK_I_PMAP_11);
	vmspace_foreach(walk_vmspace, &bad);
	return bad;
}
