/* See tmap.h. */
#include "tmap.h"

#include <stdio.h>
#include <string.h>

struct proc *tm_proc;
struct uvm_object *tm_obj;
char tm_seen[256];
static int tm_stopped;			/* atomic */

void
tm_boot(int ncpus, uint64_t npages)
{
	tu_boot(ncpus, npages);
	tm_obj = uao_create(ptoa(2048), 0);
	CHECK_EQ(proc_create("test", &tm_proc), 0);
	proc_attach(tm_proc);
}

void
tm_shutdown(void)
{
	tm_check(tm_proc);
	proc_attach(NULL);
	proc_exit(tm_proc);
	uao_detach(tm_obj);
	CHECK_EQ(uvm.wired, 0);
	tu_shutdown();
}

struct vm_map *
tm_map(struct proc *p)
{
	return &p->p_vmspace->vm_map;
}

void
tm_check(struct proc *p)
{
	vm_map_lock_read(tm_map(p));
	CHECK_EQ(uvm_map_check(tm_map(p)), 0);
	vm_map_unlock_read(tm_map(p));
}

/* --- lanes --- */

int
tm_put_at(struct proc *p, int page, int n, char kind)
{
	vaddr_t va = TM_VA(page);
	struct uvm_object *uobj = strchr("opq", kind) != NULL ? tm_obj : NULL;
	voff_t off = uobj == NULL ? 0 : (voff_t)ptoa((uint64_t)page + (kind == 'p' ? 1000 : 0));
	vm_prot_t prot = kind == 'r' ? VM_PROT_READ : VM_PROT_READ | VM_PROT_WRITE;
	bool shared = strchr("ops", kind) != NULL;
	unsigned flags = UVM_FLAG_FIXED | UVM_FLAG_UNMAP;
	int error;

	if (!shared)
		flags |= UVM_FLAG_COPYONW;
	if (kind == 's')
		flags |= UVM_FLAG_OVERLAY;
	if (kind == 'n')
		flags |= UVM_FLAG_NOMERGE;
	if (uobj != NULL)
		uao_reference(uobj);
	error = uvm_map(tm_map(p), &va, ptoa((uint64_t)n), uobj, off, 0,
	    UVM_MAPFLAG(prot, VM_PROT_ALL, shared ? MAP_INHERIT_SHARE : MAP_INHERIT_COPY,
		UVM_ADV_NORMAL, flags));
	if (error != 0 && uobj != NULL)
		uao_detach(uobj);
	CHECK(error != 0 || va == TM_VA(page));
	return error;
}

void
tm_put(struct proc *p, const char *lane)
{
	for (int i = 0, n; lane[i] != '\0'; i += n) {
		for (n = 1; lane[i + n] == lane[i];)
			n++;
		if (lane[i] != '.')
			CHECK_EQ(tm_put_at(p, i, n, lane[i]), 0);
	}
	tm_check(p);
}

const char *
tm_shape(struct proc *p, int n)
{
	static char buf[TM_PAGES + 1];
	struct vm_map *map = tm_map(p);
	char letter = 'a' - 1;

	tm_check(p);
	CHECK(n <= TM_PAGES);
	memset(buf, '.', sizeof(buf));
	buf[n] = '\0';
	vm_map_lock_read(map);
	for (struct vm_map_entry *e = map->header.next; e != &map->header; e = e->next) {
		if (e->end <= TM_BASE || e->start >= TM_VA(n))
			continue;
		letter++;
		for (int i = 0; i < n; i++)
			if (TM_VA(i) >= e->start && TM_VA(i) < e->end)
				buf[i] = letter;
	}
	vm_map_unlock_read(map);
	return buf;
}

/* --- memory --- */

void
tm_store(int page, uint64_t w)
{
	CHECK_EQ(user_store(TM_VA(page), w), 0);
}

uint64_t
tm_load(int page)
{
	uint64_t w = 0;

	CHECK_EQ(user_load(TM_VA(page), &w), 0);
	return w;
}

int
tm_store_error(int page)
{
	return user_store(TM_VA(page), 1);
}

int
tm_load_error(int page)
{
	uint64_t w;

	return user_load(TM_VA(page), &w);
}

uint64_t
tm_load_in(struct proc *p, int page)
{
	struct proc *own = curlwp->l_proc;
	uint64_t w;

	proc_attach(p);
	w = tm_load(page);
	proc_attach(own);
	return w;
}

void
tm_store_in(struct proc *p, int page, uint64_t w)
{
	struct proc *own = curlwp->l_proc;

	proc_attach(p);
	tm_store(page, w);
	proc_attach(own);
}

struct vm_page *
tm_page(struct proc *p, int page)
{
	paddr_t pa;

	return pmap_extract(tm_map(p)->pmap, TM_VA(page), &pa) ? PHYS_TO_VM_PAGE(pa) : NULL;
}

struct vm_map_entry *
tm_entry(struct proc *p, int page)
{
	struct vm_map_entry *e;

	vm_map_lock_read(tm_map(p));
	CHECK(uvm_map_lookup_entry(tm_map(p), TM_VA(page), &e));
	vm_map_unlock_read(tm_map(p));
	return e;
}

struct vm_anon *
tm_anon(int page)
{
	return tm_page(tm_proc, page)->uanon;
}

uint32_t
tm_wire_count(struct proc *p, int page)
{
	struct vm_page *pg = tm_page(p, page);
	uint32_t n;

	uvm_lock_pageq();
	n = pg == NULL ? 0 : pg->wire_count;
	uvm_unlock_pageq();
	return n;
}

/* --- violations --- */

/* => the rule is about a sum or a queue, which no object stands for */
static bool
of_no_object(const char *id)
{
	static const char *const sums[] = {
		"I-PG-3", "I-PG-4", "I-PG-14", "I-PD-1", "I-SWP-1", "I-SWP-2", "I-OBJ-10", "I-KM-4", "I-LOAN-8",
		"I-PMAP-2", "I-POOL-", "I-STAT-", "R39",
	};

	for (size_t i = 0; i < sizeof(sums) / sizeof(sums[0]); i++)
		if (strncmp(id, sums[i], strlen(sums[i])) == 0)
			return true;
	return false;
}

static bool
tm_sink(const struct violation *v)
{
	size_t used = strlen(tm_seen);

	/* else a report has nothing to show but a sentence */
	if (v->v_kind == VIOL_INVARIANT && v->v_nsubjects == 0 && !of_no_object(v->v_id))
		ktest_fail(__FILE__, __LINE__, "%s names no object: %s", v->v_id, v->v_message);

	snprintf(tm_seen + used, sizeof(tm_seen) - used, "%s%s", used != 0 ? " " : "", v->v_id);
	return !v->v_fatal;
}

void
tm_collect(void)
{
	failure_sink = tm_sink;
}

/* --- threads --- */

static void
tm_main(void *arg)
{
	struct tm_thread *tt = arg;

	tt->tt_fn(tt);
}

void
tm_start(struct proc *p, struct tm_thread *tt, int n, void (*fn)(struct tm_thread *), void *arg)
{
	__atomic_store_n(&tm_stopped, 0, __ATOMIC_RELAXED);
	for (int i = 0; i < n; i++) {
		char name[16];

		snprintf(name, sizeof(name), "t%d", i);
		tt[i] = (struct tm_thread){ .tt_fn = fn, .tt_arg = arg, .tt_number = i };
		if (p != NULL)
			CHECK_EQ(proc_lwp_create(p, &tt[i].tt_lwp, name, tm_main, &tt[i]), 0);
		else
			CHECK_EQ(lwp_create(&tt[i].tt_lwp, NULL, name, tm_main, &tt[i]), 0);
	}
	for (int i = 0; i < n; i++)		/* not before all are there: the first may eat all memory */
		lwp_start(tt[i].tt_lwp);
}

void
tm_wait(struct tm_thread *tt, int n)
{
	for (int i = 0; i < n; i++)
		lwp_wait(tt[i].tt_lwp);
}

bool
tm_go_on(struct tm_thread *tt)
{
	tt->tt_rounds++;
	lwp_userret(64);
	/* relaxed: pairs with tm_stop(); nothing else is passed */
	return !__atomic_load_n(&tm_stopped, __ATOMIC_RELAXED);
}

void
tm_stop(void)
{
	__atomic_store_n(&tm_stopped, 1, __ATOMIC_RELAXED);
}
