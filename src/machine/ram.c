/*
 * Simulated RAM.
 *
 * One host mapping holds every frame; a physical address is an offset in it.
 * The VM floor keeps an array of its page structures, one for each frame, and
 * tells us where (ram_attach_pages), so frame number, page structure and host
 * address lead to one another by arithmetic alone.
 *
 * A free frame is no ordinary memory: its generation has moved on, so that a
 * TLB entry loaded before is recognised, and with lock debugging it holds a
 * pattern, so that a store through any other way is recognised at the next
 * allocation (D6, I-PG-7).  A frame that was never used has generation 0 and
 * the host's zeroes; writing a pattern to all of RAM at boot would only make
 * the host find memory for it.
 */
#include <errno.h>
#include <host/host.h>
#include <host/race.h>
#include <machine/ram.h>
#include <string.h>
#include <sys/kernel.h>
#include <sys/kernhist.h>

uint8_t *ram_base;
uint64_t ram_npages;

static uint8_t *ram_pages;	/* : first page structure, or NULL */
static size_t ram_stride;	/* : */

int
ram_init(uint64_t npages)
{
	KASSERT(ram_base == NULL);
	KASSERT(npages > 0);
	if (npages > (UINT64_C(1) << 36))
		return ENOMEM;
	ram_base = host_mem_map(npages * PAGE_SIZE);
	if (ram_base == NULL)
		return ENOMEM;
	race_atomic(ram_base, npages * PAGE_SIZE);
	ram_npages = npages;
	return 0;
}

/* => the page structures may be gone already; they are not touched. */
void
ram_fini(void)
{
	KASSERT(ram_base != NULL);
	host_mem_unmap(ram_base, ram_npages * PAGE_SIZE);
	ram_base = NULL;
	ram_npages = 0;
	ram_pages = NULL;
}

void
ram_attach_pages(void *base, size_t stride)
{
	struct vm_page_md *md;

	KASSERT(ram_base != NULL);
	KASSERT(stride >= sizeof(struct vm_page_md));
	KASSERT(stride % _Alignof(struct vm_page_md) == 0);
	ram_pages = base;
	ram_stride = stride;
	for (uint64_t pfn = 0; pfn < ram_npages; pfn++) {
		md = ram_md(ptoa(pfn));
		mutex_init(&md->md_pvlock, MUTEX_DEFAULT, IPL_VM, LC_pv);
		md->md_pvlist = NULL;
		md->md_attrs = 0;
		md->md_ptpcount = 0;
		md->md_generation = 0;
		md->md_readonly = 0;
		md->md_leaving = 0;
		md->md_pa = ptoa(pfn);
	}
}

struct vm_page_md *
ram_md(paddr_t pa)
{
	if (ram_pages == NULL || atop(pa) >= ram_npages)
		return NULL;
	return (struct vm_page_md *)(void *)(ram_pages + atop(pa) * ram_stride);
}

/*
 * => caller owns the frame exclusively; every mapping is gone and every TLB
 *    knows it (S1).  A mapping that is left is reported (I-PMAP-11).
 */
void
ram_frame_freed(struct vm_page_md *md)
{
	if (md->md_pvlist != NULL) {
		violation_about(KS_page, (uint32_t)atop(md->md_pa), NULL);
		violation(VIOL_INVARIANT, "I-PMAP-11", "frame 0x%llx freed while it is mapped",
		    (unsigned long long)md->md_pa);
	}
	KASSERTMSG(__atomic_load_n(&md->md_readonly, __ATOMIC_RELAXED) == 0,
	    "I-LOAN-3: frame 0x%llx freed while it is read-only for a loan",
	    (unsigned long long)md->md_pa);
	/* relaxed: pairs with the read at each TLB hit, which is ordered by the shootdown. */
	__atomic_fetch_add(&md->md_generation, 1, __ATOMIC_RELAXED);
	__atomic_store_n(&md->md_attrs, 0, __ATOMIC_RELAXED);
	md->md_ptpcount = 0;
	if (UVMSTRESS_LOCKDEBUG)
		frame_mark_free(md->md_pa, md->md_generation);
}

void
ram_frame_check(struct vm_page_md *md)
{
	const uint64_t *word;

	if (!UVMSTRESS_LOCKDEBUG)
		return;
	if (__atomic_load_n(&md->md_generation, __ATOMIC_RELAXED) == 0)
		return;
	word = frame_not_free(md->md_pa, md->md_generation);
	if (word != NULL)
		panic("I-PG-7: free frame 0x%llx was written: offset %zu holds 0x%llx",
		    (unsigned long long)md->md_pa, (const char *)word -
		    (const char *)ram_host(md->md_pa), (unsigned long long)*word);
}
