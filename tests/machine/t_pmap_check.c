/*
 * pmap(9) on one CPU, judged as a whole: pmap_check()'s alarms, and everything at random
 * against a model.
 */
#include "pmap_case.h"

/*
 * pmap_check() rings for each kind of damage, and only then.
 */

struct damage {
	struct vm_page	*pg;
	uint64_t	*ptep;
};

static void
alarm_begin(struct damage *d)
{
	begin(false);
	fv_expect_violations();
	d->pg = fv_alloc();
	CHECK(pmap_enter(pm, VA, fv_pa(d->pg), RW, RW | PMAP_WIRED) == 0);
	CHECK(load(VA) == 0);
	d->ptep = pmap_pte(pm, VA);
	CHECK(pmap_check(pm) == 0);
	CHECK(fv_violations_any() == 0);
}

static void
alarm_end(struct damage *d, const char *id)
{
	CHECK(pmap_check(pm) == 0);
	CHECK(fv_violations(id) > 0);
	pmap_remove(pm, VA, VA + PAGE_SIZE);
	pmap_update(pm);
	fv_free(d->pg);
	end();
}

KTEST(check_alarm_I_PMAP_3_pv_entry_missing,
    "pmap_check() rings: pv entry missing")
{
	struct damage d;
	struct pv_entry *pv;

	alarm_begin(&d);
	pv = d.pg->md.md_pvlist;
	d.pg->md.md_pvlist = NULL;
	CHECK(pmap_check(pm) > 0);
	d.pg->md.md_pvlist = pv;
	alarm_end(&d, "I-PMAP-3");
}

KTEST(check_alarm_I_PMAP_3_pv_entry_too_many,
    "pmap_check() rings: pv entry too many")
{
	struct pv_entry extra = { .pv_va = VA + PAGE_SIZE };
	struct damage d;

	alarm_begin(&d);
	extra.pv_pmap = pm;
	d.pg->md.md_pvlist->pv_next = &extra;
	CHECK(pmap_check(pm) == 1);
	d.pg->md.md_pvlist->pv_next = NULL;
	alarm_end(&d, "I-PMAP-3");
}

KTEST(check_alarm_I_PMAP_5_tlb_has_more_than_the_pte,
    "pmap_check() rings: tlb has more than the pte")
{
	struct damage d;

	alarm_begin(&d);
	*d.ptep &= ~PTE_W;
	CHECK(pmap_check(pm) == 1);
	*d.ptep |= PTE_W;
	alarm_end(&d, "I-PMAP-5");
}

KTEST(check_alarm_I_PMAP_5_packet_that_is_never_sent,
    "pmap_check() rings: packet that is never sent")
{
	struct damage d;

	alarm_begin(&d);
	pm->pm_unsettled++;
	CHECK(pmap_check(pm) == 1);
	pm->pm_unsettled--;
	alarm_end(&d, "I-PMAP-5");
}

KTEST(check_alarm_I_PMAP_5_removal_that_is_never_settled,
    "pmap_check() rings: removal that is never settled")
{
	struct damage d;

	alarm_begin(&d);
	d.pg->md.md_leaving++;
	CHECK(pmap_check(pmap_kernel()) == 1);
	d.pg->md.md_leaving--;
	alarm_end(&d, "I-PMAP-5");
}

KTEST(check_alarm_I_PMAP_5_tlb_has_another_frame,
    "pmap_check() rings: tlb has another frame")
{
	struct damage d;
	struct vm_page *other;

	alarm_begin(&d);
	other = fv_alloc();
	tlb_slot(curtlb(), VA)->te_host = ram_host(fv_pa(other));
	CHECK(pmap_check(pm) == 1);
	tlb_slot(curtlb(), VA)->te_host = ram_host(fv_pa(d.pg));
	fv_free(other);
	alarm_end(&d, "I-PMAP-5");
}

KTEST(check_alarm_I_PMAP_6_tlb_reaches_a_frame_of_before,
    "pmap_check() rings: the frame was freed, and is mapped there again, and the TLB has not been told")
{
	struct damage d;

	alarm_begin(&d);
	d.pg->md.md_generation++;
	CHECK(pmap_check(pm) == 1);
	d.pg->md.md_generation--;
	alarm_end(&d, "I-PMAP-6");
}

KTEST(check_alarm_I_LOAN_1_tlb_may_store_to_a_page_on_loan,
    "pmap_check() rings: the frame has become read-only, and the TLB lets stores through")
{
	struct damage d;

	alarm_begin(&d);
	CHECK(tlb_slot(curtlb(), VA)->te_rights & PTE_R);
	tlb_slot(curtlb(), VA)->te_rights |= PTE_W;
	*d.ptep |= PTE_MOD;
	CHECK(pmap_check(pm) == 0);
	d.pg->md.md_readonly = 1;
	CHECK(pmap_check(pm) == 1);
	d.pg->md.md_readonly = 0;
	alarm_end(&d, "I-LOAN-1");
}

KTEST(check_alarm_I_PMAP_13_tlb_of_a_cpu_in_no_set,
    "pmap_check() rings: a CPU has left all sets, and its TLB still has a mapping")
{
	struct damage d;

	alarm_begin(&d);
	CHECK(pmap_check(pmap_kernel()) == 0);
	curtlb()->t_pmap = NULL;
	CHECK(pmap_check(pmap_kernel()) == 1);
	curtlb()->t_pmap = pm;
	CHECK(pmap_check(pmap_kernel()) == 0);
	alarm_end(&d, "I-PMAP-13");
}

KTEST(check_alarm_I_PMAP_8_resident_count,
    "pmap_check() rings: resident count")
{
	struct damage d;

	alarm_begin(&d);
	pm->pm_resident++;
	CHECK(pmap_check(pm) == 1);
	pm->pm_resident--;
	alarm_end(&d, "I-PMAP-8");
}

KTEST(check_alarm_I_PMAP_8_wired_count,
    "pmap_check() rings: wired count")
{
	struct damage d;

	alarm_begin(&d);
	pm->pm_wired--;
	CHECK(pmap_check(pm) == 1);
	pm->pm_wired++;
	alarm_end(&d, "I-PMAP-8");
}

KTEST(check_alarm_I_PMAP_9_table_miscounts,
    "pmap_check() rings: table miscounts")
{
	struct damage d;

	alarm_begin(&d);
	pmap_ptp_md(d.ptep)->md_ptpcount++;
	CHECK(pmap_check(pm) == 1);
	pmap_ptp_md(d.ptep)->md_ptpcount--;
	alarm_end(&d, "I-PMAP-9");
}

KTEST(check_alarm_I_PMAP_9_empty_table,
    "pmap_check() rings: empty table")
{
	struct damage d;

	alarm_begin(&d);
	mutex_enter(&pm->pm_lock);
	CHECK(pmap_ptp_grow(pm, VA + (2UL << 20)) != NULL);
	mutex_exit(&pm->pm_lock);
	CHECK(pmap_check(pm) == 1);
	CHECK(fv_violations("I-PMAP-9") == 1);
	/* Filled and emptied as usual it goes away. */
	CHECK(pmap_enter(pm, VA + (2UL << 20), fv_pa(d.pg), RO, 0) == 0);
	pmap_remove(pm, VA + (2UL << 20), VA + (4UL << 20));
	pmap_update(pm);
	alarm_end(&d, "I-PMAP-9");
}

KTEST(check_alarm_I_PMAP_13_cpu_not_in_the_set,
    "pmap_check() rings: cpu not in the set")
{
	struct damage d;

	alarm_begin(&d);
	pm->pm_cpus[0] = 0;
	CHECK(pmap_check(pm) == 1);
	pm->pm_cpus[0] = 1;
	alarm_end(&d, "I-PMAP-13");
}

/*
 * Everything at random against a model of an array.
 */

#define	MODEL_PAGES	64
#define	MODEL_FRAMES	8

struct model {
	int		frame;		/* -1: none */
	vm_prot_t	prot;
	bool		wired;
};

static vaddr_t
model_va(int i)
{
	/* Two pages in each of 32 leaf tables, over several gigabytes. */
	return VA + (vaddr_t)(i / 2) * (160UL << 20) + (i & 1) * PAGE_SIZE;
}

static void
model_compare(const struct model *m, struct vm_page **frames)
{
	long resident = 0, wired = 0;

	for (int i = 0; i < MODEL_PAGES; i++) {
		CHECK(mapped_to(model_va(i), m[i].frame < 0 ? NULL : frames[m[i].frame]));
		resident += m[i].frame >= 0;
		wired += m[i].frame >= 0 && m[i].wired;
	}
	CHECK(pmap_resident_count(pm) == resident);
	CHECK(pmap_wired_count(pm) == wired);
	CHECK(pmap_check(pm) == 0);
}

static void
model_step(struct host_rng *rng, struct model *m, struct vm_page **frames)
{
	int i = (int)host_rng_below(rng, MODEL_PAGES);
	int f = (int)host_rng_below(rng, MODEL_FRAMES);
	vm_prot_t prot = host_rng_chance(rng, 0.5) ? RW : RO;
	bool wired = host_rng_chance(rng, 0.3);
	vaddr_t va = model_va(i);
	uint64_t val;

	switch (host_rng_below(rng, 6)) {
	case 0:
	case 1:
		CHECK(pmap_enter(pm, va, fv_pa(frames[f]), prot, wired ? PMAP_WIRED : 0) == 0);
		m[i] = (struct model){ f, prot, wired };
		break;
	case 2:
		pmap_remove(pm, va, va + PAGE_SIZE);
		m[i].frame = -1;
		break;
	case 3:
		pmap_protect(pm, va, va + PAGE_SIZE, prot);
		m[i].prot &= prot;
		break;
	case 4:
		if (m[i].frame >= 0)
			pmap_unwire(pm, va);
		m[i].wired = false;
		break;
	case 5:
		for (int j = 0; j < MODEL_PAGES; j++) {
			if (m[j].frame == f && m[j].wired)
				return;
		}
		pmap_revoke(frames[f]);
		for (int j = 0; j < MODEL_PAGES; j++) {
			if (m[j].frame == f)
				m[j].frame = -1;
		}
		break;
	}
	pmap_update(pm);
	CHECK(user_load(va, &val) == (m[i].frame >= 0 ? 0 : EFAULT));
	CHECK(user_store(va, 1) == (m[i].frame >= 0 && (m[i].prot & VM_PROT_WRITE) ? 0 : EFAULT));
}

static void
model_run(bool software_rm)
{
	struct vm_page *frames[MODEL_FRAMES];
	struct model m[MODEL_PAGES];
	struct host_rng rng;

	begin(software_rm);
	host_rng_init(&rng, 42, 0);
	for (int i = 0; i < MODEL_PAGES; i++)
		m[i] = (struct model){ -1, 0, false };
	for (int i = 0; i < MODEL_FRAMES; i++)
		frames[i] = fv_alloc();
	for (unsigned i = 0; i < fv_rounds(20000); i++) {
		model_step(&rng, m, frames);
		if (i % 50 == 0)
			model_compare(m, frames);
	}
	model_compare(m, frames);
	pmap_remove(pm, 0, VM_MAXUSER_ADDRESS);
	pmap_update(pm);
	for (int i = 0; i < MODEL_FRAMES; i++)
		fv_free(frames[i]);
	end();
}

KTEST(I_PMAP_8_random_operations_agree_with_a_model,
    "random operations agree with a model")
{
	model_run(false);
}

KTEST(I_PMAP_8_random_operations_agree_with_a_model_software_rm,
    "random operations agree with a model software rm")
{
	model_run(true);
}

KTEST_MAIN()
