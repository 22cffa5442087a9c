/*
 * The pmap's inspectors: walks over everything, for a stopped world or a pmap
 * that nobody else uses.
 *
 * pmap_check() compares four things that must tell the same story: the PTEs,
 * the pv lists, the counters, and the TLBs.  Each difference is one violation
 * with the invariant's name; it goes on to the next as far as the failure sink
 * lets it.
 */
#include <sys/kernhist.h>

#include "pmap_private.h"

static vaddr_t
canonical(vaddr_t va)
{
	return va & (UINT64_C(1) << 47) ? va | UINT64_C(0xffff) << 48 : va;
}

static void
foreach_table(uint64_t pde, int level, vaddr_t base, void (*fn)(vaddr_t, uint64_t, void *),
    void *arg)
{
	const uint64_t *table = ptp_table(pde);

	for (vaddr_t i = 0; i < PTP_ENTRIES; i++) {
		vaddr_t va = base | i << (PAGE_SHIFT + 9 * level);
		uint64_t e = pte_load(&table[i]);

		if ((e & PTE_V) == 0)
			continue;
		if (level > 0)
			foreach_table(e, level - 1, va, fn, arg);
		else
			fn(canonical(va), e, arg);
	}
}

void
pmap_foreach(struct pmap *pm, void (*fn)(vaddr_t, uint64_t, void *), void *arg)
{
	uint64_t pde = pte_load(&pm->pm_root);

	if (pde & PTE_V)
		foreach_table(pde, PTP_LEVELS - 1, 0, fn, arg);
}

uint64_t
pmap_peek(struct pmap *pm, vaddr_t va)
{
	uint64_t pte = 0, *ptep;

	mutex_enter(&pm->pm_lock);
	ptep = pmap_pte(pm, va);
	if (ptep != NULL)
		pte = pte_load(ptep);
	mutex_exit(&pm->pm_lock);
	return (pte & PTE_V) != 0 ? pte : 0;
}

struct check {
	struct pmap	*c_pmap;
	unsigned	 c_found;
	long		 c_resident;
	long		 c_wired;
	long		 c_managed;
	long		 c_nptp;
	vaddr_t		 c_va;		/* pv entry looked for */
	unsigned	 c_pvs;		/* how many there are */
};

#define	CHECK_FAIL(c, id, ...)							\
	((c)->c_found++, violation_about(KS_pmap, (c)->c_pmap->pm_id, (c)->c_pmap),	\
	violation(VIOL_INVARIANT, id, __VA_ARGS__))

/* => of the pmap, the address, and the page that is mapped there or was */
#define	CHECK_FAIL_VA(c, va, md, id, ...)						\
	((c)->c_found++, violation_about(KS_pmap, (c)->c_pmap->pm_id, (c)->c_pmap),	\
	violation_about(KS_va, 0, (const void *)(va)), about_frame(md),		\
	violation(VIOL_INVARIANT, id, __VA_ARGS__))

static void
about_frame(const struct vm_page_md *md)
{
	if (md != NULL && ram_md(md->md_pa) == md)	/* else a device's */
		violation_about(KS_page, (uint32_t)atop(md->md_pa), NULL);
}

static void
count_pv(struct pmap *pm, vaddr_t va, void *arg)
{
	struct check *c = arg;

	if (pm == c->c_pmap && va == c->c_va)
		c->c_pvs++;
}

/* I-PMAP-3, from the PTE to the pv list. */
static void
check_pte(vaddr_t va, uint64_t pte, void *arg)
{
	struct check *c = arg;
	struct vm_page_md *md = ram_md(pte & PTE_FRAME);

	c->c_resident++;
	c->c_wired += (pte & PTE_WIRED) != 0;
	if ((pte & PTE_MANAGED) == 0)
		return;
	c->c_managed++;
	c->c_va = va;
	c->c_pvs = 0;
	if (md != NULL)
		pmap_pv_foreach((struct vm_page *)md, count_pv, c);
	if (c->c_pvs != 1)
		CHECK_FAIL_VA(c, va, md, "I-PMAP-3", "va 0x%llx has PTE 0x%llx and %u pv entries",
		    (unsigned long long)va, (unsigned long long)pte, c->c_pvs);
}

/* I-PMAP-3, from the pv list to the PTE. */
static void
check_pv(struct pmap *pm, vaddr_t va, void *arg)
{
	struct check *c = arg;

	if (pm == c->c_pmap)
		c->c_managed--;
}

static void
check_pvs(struct check *c)
{
	for (uint64_t pfn = 0; pfn < ram_npages; pfn++) {
		struct vm_page_md *md = ram_md(ptoa(pfn));

		if (md == NULL || md->md_ptpcount != 0)
			continue;
		pmap_pv_foreach((struct vm_page *)md, check_pv, c);
		/* of any pmap's mappings; the kernel's is looked at once, when nobody works */
		if (c->c_pmap->pm_kernel && RELAXED_GET(md->md_leaving) != 0)
			CHECK_FAIL_VA(c, 0, md, "I-PMAP-5", "frame 0x%llx: %u removed mappings are not settled, and "
			    "nobody is at work (pmap_pv_settle)", (unsigned long long)md->md_pa, md->md_leaving);
	}
	if (c->c_managed != 0)
		CHECK_FAIL(c, "I-PMAP-3", "%ld pv entries too %s for the managed PTEs",
		    c->c_managed < 0 ? -c->c_managed : c->c_managed,
		    c->c_managed < 0 ? "many" : "few");
}

/* I-PMAP-9: every table counts its entries, and none is empty. */
static void
check_table(struct check *c, uint64_t pde, int level, vaddr_t base)
{
	const uint64_t *table = ptp_table(pde);
	struct vm_page_md *md = pmap_ptp_md(table);
	unsigned valid = 0;

	c->c_nptp++;
	for (vaddr_t i = 0; i < PTP_ENTRIES; i++) {
		uint64_t e = pte_load(&table[i]);

		if ((e & PTE_V) == 0)
			continue;
		valid++;
		if (level > 0)
			check_table(c, e, level - 1, base | i << (PAGE_SHIFT + 9 * level));
	}
	if (md->md_ptpcount != valid)
		CHECK_FAIL(c, "I-PMAP-9", "table of level %d at 0x%llx counts %u entries, has %u",
		    level, (unsigned long long)canonical(base), md->md_ptpcount, valid);
	else if (valid == 0 && !c->c_pmap->pm_kernel)
		CHECK_FAIL(c, "I-PMAP-9", "table of level %d at 0x%llx is empty", level,
		    (unsigned long long)canonical(base));
}

/* I-PMAP-8 */
static void
check_counters(struct check *c)
{
	struct pmap *pm = c->c_pmap;

	if (c->c_resident != pm->pm_resident)
		CHECK_FAIL(c, "I-PMAP-8", "resident count %ld, but %ld PTEs", pm->pm_resident,
		    c->c_resident);
	if (c->c_wired != pm->pm_wired)
		CHECK_FAIL(c, "I-PMAP-8", "wired count %ld, but %ld wired PTEs", pm->pm_wired,
		    c->c_wired);
	if (c->c_nptp != pm->pm_nptp)
		CHECK_FAIL(c, "I-PMAP-9", "PT page count %ld, but %ld tables", pm->pm_nptp,
		    c->c_nptp);
	if (pm->pm_limbo != NULL)
		CHECK_FAIL(c, "I-PMAP-9", "PT pages wait for a pmap_update() that never came");
	if (RELAXED_GET(pm->pm_unsettled) != 0)
		CHECK_FAIL(c, "I-PMAP-5", "%u packets are under way, and nobody is at work (pmap_update)",
		    pm->pm_unsettled);
}

/*
 * I-PMAP-5: same frame, and no right that the PTE has not.  I-PMAP-6, I-LOAN-1: nor what the
 * TLB itself would be told at its next hit (softmmu.c), though nobody may ever have one.
 */
static void
check_tlb_entry(struct check *c, int cpu, const struct tlb_entry *te)
{
	vaddr_t va = te->te_tag & ~TLB_EPOCH_MASK;
	uint64_t *ptep = pmap_pte(c->c_pmap, va);
	uint64_t pte = ptep != NULL ? pte_load(ptep) : 0;
	uint64_t rights = te->te_rights & PTE_RIGHTS;

	if (RELAXED_GET(te->te_md->md_generation) != te->te_gen)
		CHECK_FAIL_VA(c, va, te->te_md, "I-PMAP-6", "CPU %d: TLB entry of va 0x%llx reaches frame 0x%llx, "
		    "which has been freed since", cpu, (unsigned long long)va,
		    (unsigned long long)(te->te_host - ram_base));
	else if ((rights & PTE_W) != 0 && RELAXED_GET(te->te_md->md_readonly) != 0)
		CHECK_FAIL_VA(c, va, te->te_md, "I-LOAN-1", "CPU %d: TLB entry of va 0x%llx may store to frame "
		    "0x%llx, which is on loan (R15)", cpu, (unsigned long long)va,
		    (unsigned long long)(te->te_host - ram_base));
	if ((pte & PTE_V) && !device_register(pte & PTE_FRAME) && te->te_host == frame_host(pte & PTE_FRAME) &&
	    (rights & ~pte) == 0 && (pte & PTE_REF) && (!(rights & PTE_W) || (pte & PTE_MOD)))
		return;
	CHECK_FAIL_VA(c, va, te->te_md, "I-PMAP-5", "CPU %d: TLB entry of va 0x%llx (frame 0x%llx, rights 0x%llx), "
	    "but PTE 0x%llx", cpu, (unsigned long long)va,
	    (unsigned long long)(te->te_host - ram_base), (unsigned long long)rights,
	    (unsigned long long)pte);
}

/* => a live entry is of the pmap; or of none that its CPU is in the set of, which the kernel's reports */
static void
check_tlb_live(struct check *c, int cpu, const struct tlb *t, const struct tlb_entry *te)
{
	const bool user = (te->te_rights & TE_USER) != 0, kernel = c->c_pmap->pm_kernel;
	const struct pmap *of = RELAXED_GET(t->t_pmap);

	if (user ? of == c->c_pmap : kernel && RELAXED_GET(t->t_kernel))
		check_tlb_entry(c, cpu, te);
	else if (kernel && (!user || of == NULL))
		CHECK_FAIL(c, "I-PMAP-13", "CPU %d: TLB entry of va 0x%llx, and the CPU is in the set of no pmap "
		    "that has it", cpu, (unsigned long long)(te->te_tag & ~TLB_EPOCH_MASK));
}

static void
check_tlbs(struct check *c)
{
	for (int cpu = 0; tlbs != NULL && cpu < ncpu; cpu++) {
		const struct tlb *t = &tlbs[cpu];
		uint64_t epoch = RELAXED_GET(t->t_epoch);

		for (int i = 0; i < TLB_ENTRIES; i++) {
			const struct tlb_entry *te = &t->t_entry[i];

			if (te->te_tag != 0 && (te->te_tag & TLB_EPOCH_MASK) == epoch)
				check_tlb_live(c, cpu, t, te);
		}
	}
}

/* I-PMAP-13: a CPU that has the pmap active is in its set. */
static void
check_set(struct check *c)
{
	struct pmap *pm = c->c_pmap;

	for (int cpu = 0; tlbs != NULL && cpu < ncpu; cpu++) {
		bool in = (RELAXED_GET(pm->pm_cpus[cpu / 64]) >> (cpu % 64)) & 1;
		bool active = pm->pm_kernel ? RELAXED_GET(tlbs[cpu].t_kernel) :
		    RELAXED_GET(tlbs[cpu].t_pmap) == pm;

		if (in != active)
			CHECK_FAIL(c, "I-PMAP-13", "CPU %d is %s the pmap's set, but it is %s", cpu,
			    in ? "in" : "not in", active ? "active" : "not active");
	}
}

/*
 * => world stopped, or nobody else uses the pmap; every LWP has run pmap_update()
 * => number of violations
 */
unsigned
pmap_check(struct pmap *pm)
{
	struct check c = { .c_pmap = pm };

	pmap_foreach(pm, check_pte, &c);
	check_pvs(&c);
	if (pm->pm_root & PTE_V)
		check_table(&c, pm->pm_root, PTP_LEVELS - 1, 0);
	check_counters(&c);
	check_tlbs(&c);
	check_set(&c);
	return c.c_found;
}
