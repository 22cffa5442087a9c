/*
 * What UVM's objects look like: see harness/show.h.
 */
#include <string.h>

#include <harness/show.h>
#include <uvm/uvm.h>
#include <uvm/uvm_aobj.h>
#include <uvm/uvm_swap_i.h>
#include <uvm/uvm_vnode.h>

#include "show_int.h"

#define	ENTRIES_SHOWN	40
#define	PAGES_SHOWN	8
#define	WALK_MAX	100000

static const struct flag {
	uint32_t bit;
	const char *name;
} page_flags[] = {
	{ PG_BUSY, "BUSY" }, { PG_WANTED, "WANTED" }, { PG_TABLED, "TABLED" }, { PG_CLEAN, "CLEAN" },
	{ PG_PAGEOUT, "PAGEOUT" }, { PG_RELEASED, "RELEASED" }, { PG_FAKE, "FAKE" },
	{ PG_RDONLY, "RDONLY" }, { PG_ZERO, "ZERO" }, { 0, NULL },
}, page_queues[] = {
	{ PQ_FREE, "FREE" }, { PQ_ANON, "ANON" }, { PQ_AOBJ, "AOBJ" }, { PQ_ACTIVE, "ACTIVE" },
	{ PQ_INACTIVE, "INACTIVE" }, { PQ_PRIVATE, "PRIVATE" }, { 0, NULL },
};

static void
put_flags(const struct flag *flags, uint32_t word, FILE *out)
{
	const char *sep = "";

	fprintf(out, "%#x<", word);
	for (; flags->name != NULL; flags++)
		if ((word & flags->bit) != 0) {
			fprintf(out, "%s%s", sep, flags->name);
			sep = ",";
		}
	fputc('>', out);
}

/* => a string constant of the program's, copied; "?" if it is no memory */
static void
copy_string(const char *from, char *buf, size_t len)
{
	size_t n = 0;

	while (n + 1 < len && host_mem_read(&buf[n], from + n, 1) && buf[n] != '\0')
		n++;
	buf[n] = '\0';
	if (n == 0)
		strcpy(buf, "?");
}

bool
show_is_page(const struct vm_page *pg)
{
	const uintptr_t first = (uintptr_t)uvm.pages, addr = (uintptr_t)pg;

	return uvm.pages != NULL && addr >= first && addr < (uintptr_t)(uvm.pages + uvm.npages) &&
	    (addr - first) % sizeof(*pg) == 0;
}

/* --- pages and anons --- */

static void
put_owner(const struct vm_page *pg, const struct vm_page *itself, FILE *out)
{
	struct uvm_object obj;
	struct vm_anon anon;

	if (pg->uobject != NULL && host_mem_read(&obj, pg->uobject, sizeof(obj)))
		fprintf(out, ", of object %u at %#llx", obj.uo_id, (unsigned long long)pg->offset);
	else if (pg->uobject != NULL)
		fprintf(out, ", of an object that is no memory");
	if (pg->uanon != NULL && host_mem_read(&anon, pg->uanon, sizeof(anon)))
		fprintf(out, ", of anon %u%s", anon.an_id,
		    anon.an_page != itself ? " (WHICH HAS ANOTHER PAGE)" : "");
	else if (pg->uanon != NULL)
		fprintf(out, ", of an anon that is no memory");
	if (pg->uobject == NULL && pg->uanon == NULL)
		fprintf(out, ", of nobody");
}

static void
put_page(const struct vm_page *copy, const struct vm_page *pg, FILE *out)
{
	char tag[40];
	struct lwp owner;

	fprintf(out, "page %u at %#lx: flags ", VM_PAGE_ID(copy), (unsigned long)VM_PAGE_TO_PHYS(copy));
	put_flags(page_flags, copy->flags, out);
	fprintf(out, ", queues ");
	put_flags(page_queues, copy->pqflags, out);
	if (copy->intent != 0)
		fprintf(out, " (CPU %u has noted it down to become active)", copy->intent - 1u);
	fprintf(out, ", wired %u, on loan %u", copy->wire_count, copy->loan_count);
	put_owner(copy, pg, out);
	if (copy->owner_tag != NULL) {
		copy_string(copy->owner_tag, tag, sizeof(tag));
		fprintf(out, "; last busy in %s", tag);
	}
	if (copy->owner != NULL && host_mem_read(&owner, copy->owner, sizeof(owner)))
		fprintf(out, ", by LWP %u %.*s", owner.l_id, LWP_NAME_MAX, owner.l_name);
	fputc('\n', out);
}

void
show_page(const struct vm_page *pg, FILE *out)
{
	struct vm_page copy;

	if (!show_is_page(pg) || !host_mem_read(&copy, pg, sizeof(copy))) {
		fprintf(out, "a page that is none (%p)\n", (const void *)pg);
		return;
	}
	copy.mdpage.md_pa = ptoa((uint64_t)(pg - uvm.pages));	/* whatever it says there */
	put_page(&copy, pg, out);
}

void
show_anon(const struct vm_anon *anon, FILE *out)
{
	struct vm_anon an;

	if (!host_mem_read(&an, anon, sizeof(an))) {
		fprintf(out, "an anon that is no memory\n");
		return;
	}
	fprintf(out, "anon %u: %d references, swap slot %d", an.an_id, an.an_ref, an.an_swslot);
	if (an.an_lock.mtx_class != LC_anon)
		fprintf(out, " (ITS LOCK IS NO ANON'S: overwritten?)");
	if (an.an_page == NULL) {
		fprintf(out, ", no page\n");
		return;
	}
	fprintf(out, "\n    ");
	show_page(an.an_page, out);
}

/* --- swap --- */

/* => the bit, or false if the map is no memory */
static bool
peek_bit(const uint64_t *map, int i)
{
	uint64_t word;

	return host_mem_read(&word, &map[i / 64], sizeof(word)) && (word >> (i % 64) & 1) != 0;
}

void
show_slot(int slot, FILE *out)
{
	const int dev = slot >> SWAPDEV_SHIFT;
	struct swapdev sd;
	int i;

	if (dev < 1 || dev > SWAP_MAXDEV) {
		fprintf(out, "swap slot %#x: of no device\n", (unsigned)slot);
		return;
	}
	sd = swap_devs[dev - 1];
	i = slot - sd.swd_drumoffset;
	fprintf(out, "swap slot %#x: slot %d of device %d (%s)", (unsigned)slot, i, dev,
	    (sd.swd_flags & SWF_ENABLE) != 0 ? "on" : (sd.swd_flags & SWF_INUSE) != 0 ? "being taken off" : "off");
	if (i >= 0 && i < sd.swd_npages)
		fprintf(out, ", %s%s", peek_bit(sd.swd_inuse, i) ? "in use" : "free",
		    peek_bit(sd.swd_bad, i) ? ", bad" : "");
	else
		fprintf(out, ", which has %d", sd.swd_npages);
	fprintf(out, "; %d of its slots in use, %d bad, %d transfers under way\n", sd.swd_npginuse,
	    sd.swd_npgbad, sd.swd_inflight);
}

/* --- objects --- */

static const char *
object_kind(const struct uvm_object *obj)
{
	if (obj->pgops == &uvm_vnodeops)
		return "vnode";
	return obj->pgops == &aobj_pager ? "aobj" : "other";
}

/*
 * What uvm_pagenext() does, of a tree that may be anything: the first page at or after the offset
 * into *page, and where it is.  NULL: there is none; a pointer to no page: the tree leads there.
 */
static const struct vm_page *
peek_next(const struct uvm_object *copy, voff_t off, struct vm_page *page)
{
	const struct vm_page *pg, *best = NULL;
	struct vm_page at;

	for (uint32_t link = copy->uo_pages, left = WALK_MAX; link != 0 && left-- > 0;) {
		pg = uvm.pages + (link - 1);
		if (!show_is_page(pg) || !host_mem_read(&at, pg, sizeof(at)))
			return pg;
		if (at.offset >= off) {
			best = pg;
			*page = at;
		}
		link = at.offset < off ? at.tree_right : at.tree_left;
	}
	return best;
}

void
show_object(const struct uvm_object *obj, FILE *out)
{
	struct uvm_object copy;
	const struct vm_page *pg;
	struct vm_page page;
	voff_t off = 0;
	int shown = 0;

	if (!host_mem_read(&copy, obj, sizeof(copy))) {
		fprintf(out, "an object that is no memory\n");
		return;
	}
	fprintf(out, "object %u (%s): %d references, %d pages\n", copy.uo_id, object_kind(&copy),
	    copy.uo_refs, copy.uo_npages);
	while ((pg = peek_next(&copy, off, &page)) != NULL && shown++ < PAGES_SHOWN) {
		fprintf(out, "    ");
		show_page(pg, out);
		if (!show_is_page(pg))
			return;
		off = page.offset + (voff_t)PAGE_SIZE;
	}
	if (pg != NULL)
		fprintf(out, "    and more\n");
}

const struct vm_page *
show_find_page(const struct uvm_object *obj, voff_t off)
{
	struct uvm_object copy;
	const struct vm_page *pg;
	struct vm_page page;

	if (!host_mem_read(&copy, obj, sizeof(copy)))
		return NULL;
	pg = peek_next(&copy, off, &page);
	return pg != NULL && show_is_page(pg) && page.offset == off ? pg : NULL;
}

/* --- maps --- */

static void
put_entry(const struct vm_map_entry *e, FILE *out)
{
	static const char *const inherit[] = { "share", "copy", "none", "donate" };
	struct uvm_object obj;

	fprintf(out, "  entry %u [%#lx,%#lx)", e->id, (unsigned long)e->start, (unsigned long)e->end);
	if (UVM_ET_ISSUBMAP(e))
		fprintf(out, " a submap");
	else if (e->object.uvm_obj != NULL && host_mem_read(&obj, e->object.uvm_obj, sizeof(obj)))
		fprintf(out, " object %u+%#llx", obj.uo_id, (unsigned long long)e->offset);
	if (e->aref.ar_amap != NULL)
		fprintf(out, " amap+%lu", (unsigned long)e->aref.ar_pageoff);
	fprintf(out, " %c%c%c/%c%c%c%s%s %s wired %d%s\n", e->protection & VM_PROT_READ ? 'r' : '-',
	    e->protection & VM_PROT_WRITE ? 'w' : '-', e->protection & VM_PROT_EXECUTE ? 'x' : '-',
	    e->max_protection & VM_PROT_READ ? 'r' : '-', e->max_protection & VM_PROT_WRITE ? 'w' : '-',
	    e->max_protection & VM_PROT_EXECUTE ? 'x' : '-', UVM_ET_ISCOPYONWRITE(e) ? " cow" : "",
	    UVM_ET_ISNEEDSCOPY(e) ? " needscopy" : "", inherit[e->inheritance & 3], e->wired_count,
	    e->start >= e->end ? " (UPSIDE DOWN)" : "");
}

void
show_map(const struct vm_map *map, FILE *out)
{
	const struct vm_map_entry *e;
	struct vm_map_entry copy;
	struct lwp busy;
	struct vm_map m;
	int shown = 0;

	if (!host_mem_read(&m, map, sizeof(m))) {
		fprintf(out, "a map that is no memory\n");
		return;
	}
	fprintf(out, "map %u [%#lx,%#lx): %d entries, %lu bytes, %d references, version %u%s%s",
	    m.id, (unsigned long)vm_map_min(&m), (unsigned long)vm_map_max(&m), m.nentries,
	    (unsigned long)m.size, m.ref_count, m.timestamp,
	    (m.flags & VM_MAP_INTRSAFE) != 0 ? ", interrupt-safe" : "", m.dying ? ", dying" : "");
	if (m.busy != NULL && host_mem_read(&busy, m.busy, sizeof(busy)))
		fprintf(out, ", busy by LWP %u %.*s", busy.l_id, LWP_NAME_MAX, busy.l_name);
	fputc('\n', out);
	for (e = m.header.next; e != &map->header && shown < ENTRIES_SHOWN; e = copy.next, shown++) {
		if (!host_mem_read(&copy, e, sizeof(copy))) {
			fprintf(out, "  an entry that is no memory\n");
			return;
		}
		put_entry(&copy, out);
	}
	if (e != &map->header)
		fprintf(out, "  and %d more\n", m.nentries - shown);
}

bool
show_find_entry(const struct vm_map *map, vaddr_t va, struct vm_map_entry *found)
{
	const struct vm_map_entry *e;
	struct vm_map m;
	int left = WALK_MAX;

	if (!host_mem_read(&m, map, sizeof(m)))
		return false;
	for (e = m.header.next; e != &map->header && left-- > 0; e = found->next) {
		if (!host_mem_read(found, e, sizeof(*found)) || va < found->start)
			return false;
		if (va < found->end)
			return true;
	}
	return false;
}
