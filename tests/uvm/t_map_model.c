/*
 * Maps against a model: random calls on a small address space, and an array of
 * pages that says what each must be.
 *
 * After every step the map's own invariants are checked and each page is compared:
 * mapped or not, protection, inheritance, advice, object and offset; loads compare the
 * word that was stored last, by whom it may come from.  findspace is compared with a linear search.
 */
#include "tmap.h"

#include <errno.h>
#include <string.h>

#define	NPAGES	8192
#define	N	TM_PAGES
#define	STEPS	10000

struct model {
	bool		mapped;
	struct uvm_object *uobj;
	voff_t		off;
	vm_prot_t	prot;
	vm_inherit_t	inherit;
	int		advice;
	bool		private;	/* a store is seen by nobody else */
	bool		own;		/* private, and word is its content; else the object's, or 0 */
	uint64_t	word;
};

static struct model model[N];
static uint64_t object_word[2048];	/* what tm_obj holds */
static struct host_rng rng;

static int
below(int n)
{
	return (int)host_rng_below(&rng, (uint64_t)n);
}

static void
compare_page(const struct vm_map_entry *e, int i)
{
	const struct model *m = &model[i];

	if (e == NULL || !m->mapped) {
		if ((e != NULL) != m->mapped)
			ktest_fail(__FILE__, __LINE__, "page %d is %smapped", i, e != NULL ? "" : "not ");
		return;
	}
	CHECK_EQ(e->protection, m->prot);
	CHECK_EQ(e->inheritance, m->inherit);
	CHECK_EQ(e->advice, m->advice);
	CHECK(e->object.uvm_obj == m->uobj);
	CHECK_EQ(UVM_ET_ISOBJ(e), m->uobj != NULL);
	if (m->uobj != NULL)
		CHECK_EQ(e->offset + (voff_t)(TM_VA(i) - e->start), m->off);
}

static void
compare(void)
{
	struct vm_map *map = tm_map(tm_proc);
	struct vm_map_entry *e;
	vsize_t size = 0;

	vm_map_lock_read(map);
	CHECK_EQ(uvm_map_check(map), 0);
	for (int i = 0; i < N; i++) {
		bool hit = uvm_map_lookup_entry(map, TM_VA(i), &e);

		compare_page(hit ? e : NULL, i);
		size += model[i].mapped ? PAGE_SIZE : 0;
	}
	CHECK_EQ(map->size, size);
	vm_map_unlock_read(map);
}

/* --- steps --- */

static void
step_map(int at, int n)
{
	static const char kinds[] = "aarsopqq";
	char kind = kinds[below(8)];
	bool object = kind == 'o' || kind == 'p' || kind == 'q';

	CHECK_EQ(tm_put_at(tm_proc, at, n, kind), 0);
	for (int i = at; i < at + n; i++)
		model[i] = (struct model){
			.mapped = true,
			.uobj = object ? tm_obj : NULL,
			.off = object ? (voff_t)ptoa((uint64_t)i + (kind == 'p' ? 1000 : 0)) : 0,
			.prot = kind == 'r' ? VM_PROT_READ : VM_PROT_READ | VM_PROT_WRITE,
			.inherit = strchr("ops", kind) != NULL ? MAP_INHERIT_SHARE : MAP_INHERIT_COPY,
			.advice = UVM_ADV_NORMAL,
			.private = kind == 'q' || !object,
			.own = !object,
		};
}

static void
step_unmap(int at, int n)
{
	uvm_unmap(tm_map(tm_proc), TM_VA(at), TM_VA(at + n));
	memset(&model[at], 0, (size_t)n * sizeof(model[0]));
}

static void
step_protect(int at, int n)
{
	static const vm_prot_t prots[] = { VM_PROT_NONE, VM_PROT_READ, VM_PROT_READ | VM_PROT_WRITE };
	vm_prot_t prot = prots[below(3)];

	CHECK_EQ(uvm_map_protect(tm_map(tm_proc), TM_VA(at), TM_VA(at + n), prot, false), 0);
	for (int i = at; i < at + n; i++)
		if (model[i].mapped)
			model[i].prot = prot;
}

static void
step_inherit(int at, int n)
{
	int inherit = below(3);

	CHECK_EQ(uvm_map_inherit(tm_map(tm_proc), TM_VA(at), TM_VA(at + n), inherit), 0);
	for (int i = at; i < at + n; i++)
		if (model[i].mapped)
			model[i].inherit = inherit;
}

static void
step_advice(int at, int n)
{
	int advice = below(3);

	CHECK_EQ(uvm_map_advice(tm_map(tm_proc), TM_VA(at), TM_VA(at + n), advice), 0);
	for (int i = at; i < at + n; i++)
		if (model[i].mapped)
			model[i].advice = advice;
}

static void
step_store(int at, int n)
{
	for (int i = at; i < at + n; i++) {
		uint64_t w = host_rng_next(&rng);
		int error = user_store(TM_VA(i), w);

		CHECK_EQ(error, !model[i].mapped ? EFAULT :
		    (model[i].prot & VM_PROT_WRITE) == 0 ? EACCES : 0);
		if (error == 0 && !model[i].private)
			object_word[atop(model[i].off)] = w;
		else if (error == 0) {
			model[i].own = true;
			model[i].word = w;
		}
	}
}

static uint64_t
content(const struct model *m)
{
	return m->own ? m->word : object_word[atop(m->off)];
}

static void
step_load(int at, int n)
{
	for (int i = at; i < at + n; i++) {
		uint64_t w;
		int error = user_load(TM_VA(i), &w);

		CHECK_EQ(error, !model[i].mapped ? EFAULT : model[i].prot == VM_PROT_NONE ? EACCES : 0);
		if (error == 0)
			CHECK_EQ(w, content(&model[i]));
	}
}

/* A child comes and goes: what it leaves are amaps that were shared for a while. */
static void
step_fork(int at, int n)
{
	struct proc *child;

	CHECK_EQ(proc_fork(tm_proc, "child", &child), 0);
	tm_check(child);
	for (int i = at; i < at + n; i++)
		if (model[i].mapped && model[i].inherit == MAP_INHERIT_COPY &&
		    model[i].prot != VM_PROT_NONE)
			CHECK_EQ(tm_load_in(child, i), content(&model[i]));
	if (below(2) == 0)
		step_store(at, n);
	for (int i = at; i < at + n; i++)
		if (model[i].mapped && model[i].inherit == MAP_INHERIT_COPY &&
		    (model[i].prot & VM_PROT_WRITE) != 0)
			tm_store_in(child, i, 666);
	proc_exit(child);
}

static void
step_wire(int at, int n)
{
	bool legal = true;

	for (int i = at; i < at + n; i++)
		legal &= model[i].mapped && model[i].prot != VM_PROT_NONE;
	if (legal) {
		CHECK_EQ(sys_mlock(tm_proc, TM_VA(at), ptoa((uint64_t)n)), 0);
		for (int i = at; i < at + n; i++) {
			CHECK(tm_wire_count(tm_proc, i) >= 1);
			model[i].word = content(&model[i]);
			model[i].own = model[i].private;	/* R13: copied now */
		}
		if (below(2) == 0)
			CHECK_EQ(sys_munlock(tm_proc, TM_VA(at), ptoa((uint64_t)n)), 0);
	} else {
		CHECK(sys_mlock(tm_proc, TM_VA(at), ptoa((uint64_t)n)) != 0);
	}
}

/* => what a linear search finds */
static int
model_findspace(int hint, int n)
{
	for (int i = hint; ; i++) {
		int free = 0;

		while (free < n && (i + free >= N || !model[i + free].mapped))
			free++;
		if (free == n)
			return i;
	}
}

static void
step_find(int at, int n)
{
	struct vm_map *map = tm_map(tm_proc);
	vaddr_t va = 0;
	bool found;

	vm_map_lock(map);
	found = uvm_map_findspace(map, TM_VA(at), ptoa((uint64_t)n), &va, 0, 0);
	vm_map_unlock(map);
	CHECK(found);
	CHECK_EQ(va, TM_VA(model_findspace(at, n)));
}

static void (*const steps[])(int, int) = {
	step_map, step_map, step_map, step_unmap, step_unmap, step_protect, step_protect,
	step_inherit, step_advice, step_store, step_store, step_load, step_fork, step_wire,
	step_find, step_find,
};

static void
run(int nsteps, uint64_t stream)
{
	host_rng_init(&rng, ktest_seed(), stream);
	for (int i = 0; i < nsteps; i++) {
		int at = below(N - 1), n = 1 + below(N - at < 12 ? N - at : 12);

		steps[below((int)(sizeof(steps) / sizeof(steps[0])))](at, n);
		compare();
	}
}

KTEST(random_calls_match_the_model, "after each of many random calls every page is what the model says")
{
	tm_boot(1, NPAGES);
	run(STEPS, 1);
	tm_shutdown();
}

/* Munlockall and unmap in the end must find each wiring that was made. */
KTEST(random_calls_leave_nothing_behind, "many short lives: no wiring, anon, amap, entry or page is left")
{
	tm_boot(2, NPAGES);
	for (uint64_t i = 0; i < 12; i++) {
		run(120, 10 + i);
		if (i % 2 == 0)
			CHECK_EQ(sys_munlockall(tm_proc), 0);
		uvmspace_exec(tm_proc);
		memset(model, 0, sizeof(model));
		CHECK_EQ(uvm.wired, 0);
		CHECK_EQ(uvm_anon_count(), 0);
		CHECK_EQ(amap_count(), 0);
		CHECK_EQ(tm_map(tm_proc)->nentries, 0);
	}
	tm_shutdown();
}

KTEST_MAIN()
