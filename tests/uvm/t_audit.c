/*
 * The full audit over UVM: what UVM does is silent, and each mistake that it watches for is
 * told when it is made once, by one LWP, with nobody in the way.
 */
#include <string.h>
#include <sys/lockevent.h>
#include <sys/lockorder.h>

#include "tswap.h"

static unsigned findings;			/* atomic */
static bool amap_told;				/* atomic */
static char last[640];				/* one LWP at a time makes mistakes here */

static bool
note(const struct violation *v)
{
	if (strstr(v->v_message, "page-busy:anon (rank 65) wanted while amap") != NULL)
		__atomic_store_n(&amap_told, true, __ATOMIC_RELAXED);
	snprintf(last, sizeof(last), "%s: %s", v->v_id, v->v_message);
	__atomic_fetch_add(&findings, 1, __ATOMIC_RELAXED);
	return true;
}

static unsigned
told(void)
{
	return __atomic_load_n(&findings, __ATOMIC_RELAXED);
}

static void
begin(int ncpus)
{
	lockdebug_on = lockaudit_full = true;
	ts_boot(ncpus, 2048, 64, 1);
	failure_sink = note;
}

static void
end(void)
{
	failure_sink = NULL;
	tm_shutdown();
}

/* --- callees that misbehave --- */

bool	__real_uvmfault_recheck(struct uvm_faultinfo *, struct vm_amap *, const struct vm_anon *);
bool	__wrap_uvmfault_recheck(struct uvm_faultinfo *, struct vm_amap *, const struct vm_anon *);
struct vm_page *__real_uvm_pagelookup(struct uvm_object *, voff_t);
struct vm_page *__wrap_uvm_pagelookup(struct uvm_object *, voff_t);
bool	__real_vm_map_lock_read_try(struct vm_map *);
bool	__wrap_vm_map_lock_read_try(struct vm_map *);

static bool no_recheck, drops_object, waits_for_map;	/* atomic */

static bool
armed(bool *what)
{
	return __atomic_exchange_n(what, false, __ATOMIC_RELAXED);
}

bool
__wrap_uvmfault_recheck(struct uvm_faultinfo *ufi, struct vm_amap *amap, const struct vm_anon *anon)
{
	return armed(&no_recheck) || __real_uvmfault_recheck(ufi, amap, anon);
}

struct vm_page *
__wrap_uvm_pagelookup(struct uvm_object *uobj, voff_t off)
{
	if (armed(&drops_object)) {
		mutex_exit(&uobj->vmobjlock);
		mutex_enter(&uobj->vmobjlock);
	}
	return __real_uvm_pagelookup(uobj, off);
}

bool
__wrap_vm_map_lock_read_try(struct vm_map *map)
{
	if (!armed(&waits_for_map))
		return __real_vm_map_lock_read_try(map);
	vm_map_lock_read(map);
	return true;
}

/* --- what UVM does --- */

static void
use_everything(void)
{
	struct proc *child;

	tm_put(tm_proc, "aaaassoo");
	for (int i = 0; i < 8; i++)
		tm_store(i, (uint64_t)i + 1);
	for (int i = 0; i < 6; i++)
		(void)ts_pageout(tm_proc, i);
	CHECK_EQ(proc_fork(tm_proc, "child", &child), 0);
	for (int i = 0; i < 8; i++)
		CHECK_EQ(tm_load(i), (uint64_t)i + 1);
	tm_store_in(child, 0, 7);
	CHECK_EQ(uvm_map_pageable(tm_map(tm_proc), TM_VA(0), TM_VA(4), false, 0), 0);
	CHECK_EQ(uvm_map_pageable(tm_map(tm_proc), TM_VA(0), TM_VA(4), true, 0), 0);
	proc_exit(child);
}

KTEST(uvm_is_silent, "page-ins, forks, wiring and pageouts: not a word")
{
	begin(2);
	use_everything();
	CHECK_EQ(told(), 0);
	end();
}

/* => is there an edge from the one node to the other? */
static bool
seen(const char *from, const char *to)
{
	const struct lockgraph *lg = lockorder_export();

	for (uint32_t i = 0; i < lg->lg_nedges; i++)
		if (strcmp(lg->lg_classes[lg->lg_edges[i].lge_from].lgc_name, from) == 0 &&
		    strcmp(lg->lg_classes[lg->lg_edges[i].lge_to].lgc_name, to) == 0)
			return true;
	return false;
}

KTEST(uvm_waits_are_seen, "who has a page busy reads it, takes amap and anon; who waits for memory waits for the daemon")
{
	begin(2);
	use_everything();
	CHECK(seen("page-busy:anon", "disk-interrupt"));
	CHECK(seen("page-busy:anon", "amap"));
	CHECK(seen("page-busy:anon", "anon"));
	CHECK(seen("map-busy", "map"));
	CHECK(seen("anon", "shootdown"));
	CHECK(!seen("amap", "page-busy:anon"));
	CHECK(!seen("page-busy:anon", "map"));
	CHECK(!seen("page-busy:anon", "memory"));
	end();
}

/* --- mistakes --- */

/* An LWP that waits for a busy page, and forgets to let go of the amap first. */
static void
waits_with_amap(struct tm_thread *tt)
{
	struct vm_page *pg = tt->tt_arg;
	struct vm_map_entry *e;

	vm_map_lock_read(tm_map(tm_proc));
	CHECK(uvm_map_lookup_entry(tm_map(tm_proc), TM_VA(0), &e));
	amap_lock(e->aref.ar_amap);
	mutex_enter(&pg->uanon->an_lock);
	uvm_pagewait(pg, &pg->uanon->an_lock, "tamap");
	amap_unlock(e->aref.ar_amap);
	vm_map_unlock_read(tm_map(tm_proc));
}

KTEST(amap_against_page_busy, "an LWP that waits for a busy page with its amap locked is told at once, whoever has it busy")
{
	struct tm_thread tt;
	struct vm_page *pg;
	struct vm_anon *anon;

	begin(2);
	tm_put(tm_proc, "a");
	tm_store(0, 5);
	pg = tm_page(tm_proc, 0);
	anon = pg->uanon;
	mutex_enter(&anon->an_lock);
	uvm_page_busy(pg, "test");
	mutex_exit(&anon->an_lock);
	CHECK_EQ(told(), 0);
	tm_start(tm_proc, &tt, 1, waits_with_amap, pg);
	TU_WAIT(sleepq_has_waiters(pg));
	TU_WAIT(__atomic_load_n(&amap_told, __ATOMIC_RELAXED));
	mutex_enter(&anon->an_lock);
	uvm_page_unbusy(&pg, 1);
	mutex_exit(&anon->an_lock);
	tm_wait(&tt, 1);
	end();
}

KTEST(map_with_a_busy_page, "H-1: who comes back with a page read waits for no map")
{
	begin(2);
	tm_put(tm_proc, "a");
	tm_store(0, 5);
	CHECK(ts_pageout(tm_proc, 0));
	waits_for_map = true;
	CHECK_EQ(tm_load(0), 5);
	CHECK(told() >= 1);
	CHECK(strstr(last, "map (rank 40) wanted while page-busy:anon") != NULL);
	end();
}

KTEST(slot_not_looked_at_again, "T-37: who comes back with a page read looks at the slot again")
{
	begin(2);
	tm_put(tm_proc, "a");
	tm_store(0, 5);
	CHECK(ts_pageout(tm_proc, 0));
	no_recheck = true;
	CHECK_EQ(tm_load(0), 5);
	CHECK(told() >= 1);
	CHECK(strncmp(last, "lock-stale-read: amap", 21) == 0);
	end();
}

KTEST(object_dropped_by_the_pager, "a pager that is asked with PGO_LOCKED does not drop the object's lock")
{
	begin(2);
	tm_put(tm_proc, "o");
	tm_store(0, 5);
	pmap_remove(tm_map(tm_proc)->pmap, TM_VA(0), TM_VA(1));
	pmap_update(tm_map(tm_proc)->pmap);
	drops_object = true;
	CHECK_EQ(tm_load(0), 5);
	CHECK(told() >= 1);
	CHECK(strncmp(last, "lock-pinned: uobj", 17) == 0);
	end();
}

static void
lets_go(struct tm_thread *tt)
{
	struct vm_page *pg = tt->tt_arg;

	mutex_enter(&pg->uanon->an_lock);
	uvm_page_unbusy(&pg, 1);
}

KTEST_DEATH(page_let_go_by_another, "a busy page is let go by who made it busy",
    "a page that lwp0 made busy in test is let go by")
{
	struct tm_thread tt;
	struct vm_page *pg;

	begin(2);
	tm_put(tm_proc, "a");
	tm_store(0, 5);
	pg = tm_page(tm_proc, 0);
	mutex_enter(&pg->uanon->an_lock);
	uvm_page_busy(pg, "test");
	mutex_exit(&pg->uanon->an_lock);
	tm_start(tm_proc, &tt, 1, lets_go, pg);
	tm_wait(&tt, 1);
}

KTEST_MAIN()
