/*
 * What reports show of a broken machine: the objects that a violation is about, what happened to
 * them; and that nothing which is broken stops the showing.
 */
#include <ktest_kern.h>
#include <stdlib.h>
#include <string.h>

#include <harness/show.h>
#include <sys/kernhist.h>
#include <uvm/uvm.h>
#include <uvm/uvm_aobj.h>
#include <uvm/uvm_km.h>
#include <uvm/uvm_swap.h>

#include "tmap.h"

static struct run_result result;
static struct result_violation *shown;
static int said_about;			/* by the finder of the last one */

/* => what the engine's sink does */
static bool
show_it(const struct violation *v)
{
	shown = result_add_violation(&result, violation_kind_name[v->v_kind], v->v_id, v->v_message);
	show_violation(v, shown);
	said_about = v->v_nsubjects;
	return true;
}

static void
setup(void)
{
	tu_history = 256;
	tm_boot(1, 2048);
	run_result_init(&result);
	failure_sink = show_it;
}

static void
teardown(void)
{
	failure_sink = NULL;
	run_result_fini(&result);
	tm_shutdown();
}

static const struct result_object *
object(const char *name)
{
	for (size_t i = 0; i < shown->rv_nobjects; i++)
		if (strncmp(shown->rv_objects[i].ro_name, name, strlen(name)) == 0)
			return &shown->rv_objects[i];
	return NULL;
}

static bool
happened(const struct result_object *ro, const char *what)
{
	for (size_t i = 0; i < ro->ro_history.res_n; i++)
		if (strstr(ro->ro_history.res_v[i].re_what, what) != NULL)
			return true;
	return false;
}

KTEST(what_is_said_is_shown, "an object that the finder names is shown as it is, with its history")
{
	struct vm_page *pg;
	char name[32];

	setup();
	tm_put(tm_proc, "a");
	tm_store(0, 1);
	uvm_pgintent_flush();
	pg = tm_page(tm_proc, 0);
	violation_about(KS_page, VM_PAGE_ID(pg), pg);
	violation(VIOL_INVARIANT, "I-PG-2", "look");
	snprintf(name, sizeof(name), "page %u", VM_PAGE_ID(pg));
	CHECK_EQ(shown->rv_nobjects, 1);
	CHECK(object(name) != NULL);
	CHECK(strstr(object(name)->ro_text, "ACTIVE") != NULL);
	CHECK(happened(object(name), "page_alloc_anon"));
	CHECK(happened(object(name), "pmap_enter"));
	/* it is said of one violation alone */
	violation(VIOL_INVARIANT, "I-PG-2", "and again");
	CHECK_EQ(said_about, 0);
	teardown();
}

#if UVMSTRESS_LOCKDEBUG
KTEST(locks_held_say_what_it_is_about, "map, amap, and anon with its page, by the locks on them")
{
	struct vm_map_entry *e;
	struct vm_anon *anon;

	setup();
	tm_put(tm_proc, "a");
	tm_store(0, 1);
	anon = tm_anon(0);
	e = tm_entry(tm_proc, 0);
	vm_map_lock(tm_map(tm_proc));
	amap_lock(e->aref.ar_amap);
	mutex_enter(&anon->an_lock);
	violation(VIOL_INVARIANT, "I-ANON-1", "look");
	mutex_exit(&anon->an_lock);
	amap_unlock(e->aref.ar_amap);
	vm_map_unlock(tm_map(tm_proc));
	CHECK(object("map ") != NULL && strstr(object("map ")->ro_text, "[0x40000000,0x40001000)") != NULL);
	CHECK(object("amap ") != NULL && strstr(object("amap ")->ro_text, "1 used") != NULL);
	CHECK(object("anon ") != NULL && strstr(object("anon ")->ro_text, "1 references") != NULL);
	CHECK(object("page ") != NULL);
	CHECK(happened(object("map "), "map_lock"));
	CHECK(shown->rv_events.res_n > 4);
	for (size_t i = 1; i < shown->rv_events.res_n; i++)
		CHECK(shown->rv_events.res_v[i].re_before_us <= shown->rv_events.res_v[i - 1].re_before_us);
	teardown();
}
#endif

KTEST(an_address_leads_to_what_is_there, "the entry around it, its amap, the anon and the page")
{
	setup();
	tm_put(tm_proc, ".a");
	tm_store(1, 1);
	violation_about(KS_va, 0, (const void *)TM_VA(1));
	violation(VIOL_CONTENT, "content", "look");
	CHECK(object("map ") != NULL && object("amap ") != NULL && object("anon ") != NULL);
	CHECK(object("page ") != NULL);
	CHECK(happened(object("address 0x"), "fault_enter"));
	/* also where nothing is mapped any more: who took it away */
	CHECK_EQ(sys_munmap(tm_proc, TM_VA(0), ptoa(3)), 0);
	violation_about(KS_va, 0, (const void *)TM_VA(1));
	violation(VIOL_CONTENT, "content", "look");
	CHECK(object("page ") == NULL);
	CHECK(happened(object("address 0x"), "pmap_remove"));
	teardown();
}

KTEST(an_address_of_a_map_or_a_pmap_leads_there_too, "the finder is another process, or none: it says whose address it is")
{
	struct vm_map *map;

	setup();
	tm_put(tm_proc, ".a");
	tm_store(1, 1);
	map = tm_map(tm_proc);
	proc_attach(NULL);			/* lwp0 has no address space now */
	violation_about(KS_map, map->id, map);
	violation_about(KS_va, 0, (const void *)TM_VA(1));
	violation(VIOL_INVARIANT, "I-PMAP-7", "look");
	CHECK(object("map ") != NULL && object("amap ") != NULL && object("anon ") != NULL);
	CHECK(happened(object("page "), "pmap_enter"));
	/* kernel addresses lead through the submaps */
	violation_about(KS_pmap, 0, pmap_kernel());
	violation_about(KS_va, 0, (const void *)kmem_map->header.next->start);
	violation(VIOL_INVARIANT, "I-PMAP-5", "look");
	CHECK(object("pmap 0") != NULL && object("map ") != NULL);
	CHECK_EQ(shown->rv_nobjects, 4);	/* the kernel's map, the one in it, and the address there */
	CHECK(object("address ") != NULL);
	proc_attach(tm_proc);
	teardown();
}

KTEST(a_swap_slot_is_shown, "which device it is of, and whether it is in use; also one that is none")
{
	int slot;

	tu_swap = ptoa(64);
	tu_swapdevs = 1;
	setup();
	slot = uvm_swap_alloc(&(int){ 1 }, true);
	CHECK(slot > 0);
	violation_about(KS_slot, (uint32_t)slot, NULL);
	violation(VIOL_INVARIANT, "I-SWP-4", "look");
	CHECK(strstr(object("swap slot")->ro_text, "of device 1 (on), in use;") != NULL);
	CHECK(happened(object("swap slot"), "swap_alloc"));
	uvm_swap_free(slot, 1);
	violation_about(KS_slot, (uint32_t)slot, NULL);
	violation(VIOL_INVARIANT, "I-SWP-4", "look");
	CHECK(strstr(object("swap slot")->ro_text, "of device 1 (on), free;") != NULL);
	violation_about(KS_slot, 7, NULL);
	violation(VIOL_INVARIANT, "I-SWP-7", "look");
	CHECK(strstr(object("swap slot")->ro_text, "of no device") != NULL);
	teardown();
}

/* => what a show command says of it */
static const char *
said(void (*show)(const void *, FILE *), const void *what)
{
	static char *text;
	size_t len;
	FILE *out;

	free(text);
	out = open_memstream(&text, &len);
	show(what, out);
	fclose(out);
	return text;
}

#define	SAID(show, what)	said((void (*)(const void *, FILE *))(show), (what))

KTEST(pages_of_an_object_are_listed_by_offset, "the first of an object's pages in order; and any by its offset through the map")
{
	const char *text, *at;
	char place[40];

	setup();
	tm_put(tm_proc, "oooooooooo");
	for (int i = 9; i >= 0; i--)
		tm_load(i);
	text = SAID(show_object, tm_obj);
	CHECK(strstr(text, "10 pages\n") != NULL && strstr(text, "and more") != NULL);
	for (int i = 0; i < 8; i++, text = at) {
		snprintf(place, sizeof(place), "of object %u at %#llx;", tm_obj->uo_id, (unsigned long long)ptoa(i));
		at = strstr(text, place);
		CHECK(at != NULL);
	}
	violation_about(KS_va, 0, (const void *)TM_VA(9));
	violation(VIOL_CONTENT, "content", "look");
	snprintf(place, sizeof(place), "of object %u at %#llx;", tm_obj->uo_id, (unsigned long long)ptoa(9));
	CHECK(object("page ") != NULL && strstr(object("page ")->ro_text, place) != NULL);
	teardown();
}

KTEST(wild_pointers_are_told_not_followed, "pages, anons, objects, maps and entries that are none")
{
	const void *wild = (const void *)0x10;
	struct vm_anon anon = { .an_ref = 1, .an_page = (struct vm_page *)0x18 };
	struct uvm_object obj = { .uo_npages = 1 };
	struct vm_map map = { .nentries = 1 };
	struct vm_map_entry ring = { .start = 1, .end = 2 };

	setup();
	CHECK(strstr(SAID(show_page, wild), "none") != NULL);
	CHECK(strstr(SAID(show_anon, wild), "no memory") != NULL);
	CHECK(strstr(SAID(show_object, wild), "no memory") != NULL);
	CHECK(strstr(SAID(show_map, wild), "no memory") != NULL);
	CHECK(strstr(SAID(show_anon, &anon), "a page that is none") != NULL);
	CHECK(strstr(SAID(show_anon, &anon), "OVERWRITTEN") != NULL || strstr(SAID(show_anon, &anon), "overwritten") != NULL);
	obj.uo_pages = UINT32_MAX;
	CHECK(strstr(SAID(show_object, &obj), "a page that is none") != NULL);
	map.header.next = (struct vm_map_entry *)0x20;
	CHECK(strstr(SAID(show_map, &map), "an entry that is no memory") != NULL);
	map.header.next = &ring;
	ring.next = &ring;			/* the list has no end */
	CHECK(strlen(SAID(show_map, &map)) < 10000);
	teardown();
}

KTEST_MAIN()
