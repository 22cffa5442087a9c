/*
 * Anonymous objects.
 */
#include "tuvm.h"

#include <errno.h>
#include <uvm/uvm_loan.h>

#define	NPAGES	4096

static struct uvm_object *obj;

static void
begin(int ncpus)
{
	tu_boot(ncpus, NPAGES);
	obj = uao_create(ptoa(32), 0);
}

static void
end(void)
{
	tu_unmap_all();
	uao_detach(obj);
	tu_shutdown();
}

static void
check_zero(struct vm_page *pg)
{
	for (size_t i = 0; i < PAGE_SIZE / 8; i++)
		CHECK(tu_words(pg)[i] == 0);
}

/* R34: there is no copy anywhere else, so no page of it is ever clean. */
KTEST(R34_page_begins_as_zeroes_and_is_dirty, "R34 page begins as zeroes and is dirty")
{
	struct vm_page *pg;

	begin(1);
	pg = tu_resident(obj, (voff_t)ptoa(5));
	check_zero(pg);
	CHECK((pg->flags & (PG_CLEAN | PG_FAKE | PG_BUSY)) == 0);
	CHECK((pg->pqflags & (PQ_AOBJ | PQ_ACTIVE)) == (PQ_AOBJ | PQ_ACTIVE));
	tu_words(pg)[3] = 42;
	CHECK(tu_resident(obj, (voff_t)ptoa(5)) == pg && tu_words(pg)[3] == 42);
	end();
}

/* centre page made on the spot, neighbours only if they are there: ..c.. of R.c.R */
KTEST(locked_get_makes_the_centre_page_only, "locked get makes the centre page only")
{
	struct vm_page *pps[5] = { NULL, PGO_DONTCARE, NULL, NULL, NULL };
	int n = 5;

	begin(1);
	tu_resident(obj, 0);
	tu_resident(obj, (voff_t)ptoa(4));
	mutex_enter(&obj->vmobjlock);
	CHECK_EQ(obj->pgops->pgo_get(obj, 0, pps, &n, 2, VM_PROT_READ, UVM_ADV_NORMAL, PGO_LOCKED),
	    EBUSY);
	CHECK(mutex_owned(&obj->vmobjlock));
	CHECK_EQ(n, 3);
	CHECK(pps[1] == PGO_DONTCARE && pps[3] == NULL);
	for (int i = 0; i < 5; i += 2)
		CHECK(pps[i] != NULL && (pps[i]->flags & (PG_BUSY | PG_FAKE)) == PG_BUSY);
	check_zero(pps[2]);
	uvm_page_unbusy(pps, 5);
	mutex_exit(&obj->vmobjlock);
	end();
}

KTEST(R18_get_answers_in_errno_values, "R18 get answers in errno values")
{
	struct vm_page *pg;

	begin(1);
	CHECK_EQ(tu_get_error(obj, 0, 0), 0);
	CHECK_EQ(tu_get_error(obj, (voff_t)ptoa(32), 0), EINVAL);
	CHECK_EQ(tu_get_error(obj, (voff_t)ptoa(32), PGO_LOCKED), EBUSY);
	pg = tu_get(obj, 0);
	CHECK_EQ(tu_get_error(obj, 0, PGO_LOCKED), EBUSY);	/* busy: not without sleeping */
	tu_unbusy(pg);
	end();
}

KTEST(get_without_memory_is_ENOMEM, "get without memory is ENOMEM")
{
	begin(1);
	tu_take(NPAGES, 0);
	CHECK_EQ(tu_get_error(obj, 0, PGO_LOCKED), EBUSY);
	CHECK_EQ(tu_get_error(obj, 0, 0), ENOMEM);
	tu_release();
	CHECK_EQ(tu_get_error(obj, 0, 0), 0);
	end();
}

KTEST(size_is_of_whole_pages, "an object of a byte has a page, and no second")
{
	struct uvm_object *small;

	begin(1);
	small = uao_create(1, 0);
	CHECK_EQ(uao_size(small), PAGE_SIZE);
	tu_resident(small, 0);
	CHECK_EQ(tu_get_error(small, (voff_t)PAGE_SIZE, 0), EINVAL);
	uao_detach(small);
	end();
}

KTEST(get_of_a_range_is_all_or_nothing, "pages that were had before memory ran out are let go, and not handed over")
{
	struct vm_page *pps[2] = { NULL, NULL }, *pg;
	int n = 2;

	begin(1);
	pg = tu_resident(obj, 0);
	tu_exhaust();
	mutex_enter(&obj->vmobjlock);
	CHECK_EQ(obj->pgops->pgo_get(obj, 0, pps, &n, 0, VM_PROT_READ, UVM_ADV_NORMAL, 0), ENOMEM);
	CHECK(pps[0] == NULL && pps[1] == NULL);
	CHECK(tu_lookup(obj, 0) == pg && (pg->flags & PG_BUSY) == 0);
	tu_release();
	end();
}

KTEST(range_ends_before_its_end, "free of a range leaves the page where it stops")
{
	struct vm_page *pg;

	begin(1);
	for (int i = 0; i < 3; i++)
		tu_resident(obj, (voff_t)ptoa(i));
	pg = tu_lookup(obj, (voff_t)ptoa(2));
	CHECK_EQ(tu_put(obj, (voff_t)PAGE_SIZE, 2 * (voff_t)PAGE_SIZE, PGO_FREE), 0);
	CHECK(tu_lookup(obj, 0) != NULL && tu_lookup(obj, (voff_t)PAGE_SIZE) == NULL);
	CHECK(tu_lookup(obj, 2 * (voff_t)PAGE_SIZE) == pg);
	end();
}

KTEST(R20_deactivation_clears_the_reference, "of a page that somebody has just looked at; one on loan is left alone")
{
	struct vm_page *pg, *lent;

	begin(1);
	pg = tu_resident(obj, 0);
	lent = tu_resident(obj, (voff_t)PAGE_SIZE);
	tu_lend(lent);
	tu_map(pg, 0, VM_PROT_READ, 0);
	tu_load(0);
	CHECK(pmap_is_referenced(pg));
	CHECK_EQ(tu_put(obj, 0, 0, PGO_DEACTIVATE), 0);
	CHECK((pg->pqflags & PQ_INACTIVE) != 0 && !pmap_is_referenced(pg) && tu_mapped(0));
	CHECK(lent->pqflags == PQ_AOBJ);
	uvm_unloan(&lent, 1, UVM_LOAN_TOPAGE);
	end();
}

KTEST(free_of_a_shared_object_only_deactivates, "free of a shared object only deactivates")
{
	struct vm_page *pg;

	begin(1);
	pg = tu_resident(obj, 0);
	uao_reference(obj);
	CHECK_EQ(tu_put(obj, 0, 0, PGO_FREE), 0);
	CHECK(tu_lookup(obj, 0) == pg && (pg->pqflags & PQ_INACTIVE) != 0);
	uao_detach(obj);
	CHECK_EQ(tu_put(obj, 0, 0, PGO_FREE | PGO_CLEANIT), 0);
	CHECK(tu_lookup(obj, 0) == pg);
	CHECK_EQ(tu_put(obj, 0, 0, PGO_FREE), 0);
	CHECK(tu_lookup(obj, 0) == NULL);
	end();
}

KTEST(free_removes_mappings_first, "free removes mappings first")
{
	begin(1);
	tu_map(tu_resident(obj, 0), 0, VM_PROT_READ | VM_PROT_WRITE, VM_PROT_WRITE);
	tu_store(0, 1);
	CHECK_EQ(tu_put(obj, 0, 0, PGO_FREE), 0);
	CHECK(!tu_mapped(0) && tu_lookup(obj, 0) == NULL);
	end();
}

KTEST(T19_wired_page_is_neither_freed_nor_deactivated, "T19 wired page is neither freed nor deactivated")
{
	struct vm_page *pg;

	begin(1);
	pg = tu_resident(obj, 0);
	uvm_lock_pageq();
	uvm_pagewire(pg);
	uvm_unlock_pageq();
	CHECK_EQ(tu_put(obj, 0, 0, PGO_FREE), EBUSY);
	CHECK_EQ(tu_put(obj, 0, 0, PGO_DEACTIVATE), 0);
	CHECK(tu_lookup(obj, 0) == pg && pg->pqflags == PQ_AOBJ);
	uvm_lock_pageq();
	uvm_pageunwire(pg);
	uvm_unlock_pageq();
	end();
}

/* --- with others about --- */

static struct vm_page *held;

static void
let_go(void *arg)
{
	kpause("letgo", 20000000);
	tu_unbusy(held);
}

KTEST(last_detach_waits_for_a_busy_page, "last detach waits for a busy page")
{
	struct lwp *l;

	begin(2);
	held = tu_get(obj, 0);
	uvm_page_pass(&held, 1);			/* let_go() does it */
	tu_resident(obj, (voff_t)ptoa(1));
	CHECK_EQ(lwp_create(&l, NULL, "letgo", let_go, NULL), 0);
	lwp_start(l);
	uao_detach(obj);
	lwp_wait(l);
	CHECK(held->pqflags == PQ_FREE);
	CHECK_EQ(uao_count(), 0);
	tu_shutdown();
}

KTEST(busyfail_does_not_wait, "busyfail does not wait")
{
	begin(1);
	held = tu_get(obj, 0);
	CHECK_EQ(tu_put(obj, 0, 0, PGO_FREE | PGO_BUSYFAIL), EDEADLK);
	tu_unbusy(held);
	end();
}

static void
range_getter(void *arg)
{
	struct vm_page *pps[8];
	voff_t base = (voff_t)(uintptr_t)arg;

	for (int i = 0; i < 300; i++) {
		int n = 8;

		for (int k = 0; k < 8; k++)
			pps[k] = NULL;
		mutex_enter(&obj->vmobjlock);
		CHECK_EQ(obj->pgops->pgo_get(obj, base, pps, &n, 0, VM_PROT_READ, UVM_ADV_NORMAL, 0), 0);
		yield();
		for (int k = 0; k < 8; k++)
			tu_unbusy(pps[k]);
		lwp_userret(1);
	}
}

/* 0 1 2 3 4 5 6 7          two LWPs that want overlapping ranges
 *         4 5 6 7 8 9 a b  cannot wait for each other: both go upwards */
KTEST(T70_overlapping_gets_do_not_deadlock, "T70 overlapping gets do not deadlock")
{
	struct lwp *l[4];

	begin(4);
	for (int i = 0; i < 4; i++) {
		CHECK_EQ(lwp_create(&l[i], NULL, "getter", range_getter,
		    (void *)(uintptr_t)ptoa(i % 2 * 4)), 0);
		lwp_start(l[i]);
	}
	for (int i = 0; i < 4; i++)
		lwp_wait(l[i]);
	end();
}

KTEST_DEATH(I_OBJ_6_slot_beyond_the_end, "a slot of a page that the object has not is not asked for", "I-OBJ-6")
{
	begin(1);
	mutex_enter(&obj->vmobjlock);
	(void)uao_find_swslot(obj, 32);
}

KTEST_MAIN()
