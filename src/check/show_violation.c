/*
 * What a violation is about, and what led up to it.
 *
 * Its finder may have said so (violation_about()).  The locks that its LWP holds name maps,
 * amaps, objects and anons; what that LWP did last names pages.  So no failing assertion has to
 * know about reports.  Each object is shown as it is now, which may be a moment later, with the
 * events that name it; then the last events of each CPU, merged by time.
 */
#include <stdlib.h>
#include <string.h>

#include <harness/show.h>
#include <harness/xalloc.h>
#include <sys/kernel.h>
#include <sys/kernhist.h>
#include <uvm/uvm_proc.h>

#include "show_int.h"

#define	SUBJECTS_MAX	10
#define	HISTORY_MAX	24		/* events of one object */
#define	CPU_EVENTS	12		/* of each CPU */
#define	OWN_EVENTS	8		/* of the LWP: pages there are subjects */
#define	OWN_PAGES	2
#define	STACK_MAX	24
#define	SUBMAP_DEPTH	3

struct about {
	enum kern_subject ab_what;
	uint32_t	  ab_id;	/* KS_va: of its map */
	const void	 *ab_object;
	vaddr_t		  ab_va;	/* KS_va, and the number of its pmap: */
	uint32_t	  ab_pmap;
};

struct telling {
	const struct violation *t_v;
	struct kern_history_ent *t_ev;	/* all that is remembered, by time */
	size_t		 t_n;
	double		 t_tick_ns;
	struct about	 t_about[SUBJECTS_MAX];
	size_t		 t_nabout;
};

/* --- what happened --- */

static void
put_event(const struct telling *t, const struct kern_history_ent *ke, struct result_events *res)
{
	char what[160];
	struct result_event re = {
		.re_before_us = ke->ke_when < t->t_v->v_when ?
		    (double)(t->t_v->v_when - ke->ke_when) * t->t_tick_ns / 1e3 : 0,
		.re_cpu = ke->ke_cpu, .re_lwp = ke->ke_lwp, .re_intr = ke->ke_intr != 0, .re_what = what,
	};

	kernhist_say(ke, what, sizeof(what));
	result_event(res, &re);
}

static bool
is_about(const struct kern_history_ent *ke, const struct about *ab)
{
	return ab->ab_what == KS_va ? kernhist_at(ke, ab->ab_id, ab->ab_pmap, ab->ab_va) :
	    kernhist_about(ke, ab->ab_what, ab->ab_id);
}

/* => the newest events that name it */
static void
put_history(const struct telling *t, const struct about *ab, struct result_events *res)
{
	size_t first = t->t_n, n = 0;

	while (first > 0 && n < HISTORY_MAX)
		n += is_about(&t->t_ev[--first], ab);
	for (; first < t->t_n; first++)
		if (is_about(&t->t_ev[first], ab))
			put_event(t, &t->t_ev[first], res);
}

/* => the newest of each CPU, all by time */
static void
put_last(const struct telling *t, struct result_events *res)
{
	unsigned *left = xcalloc((size_t)ncpu, sizeof(*left));
	bool *shown = xcalloc(t->t_n + 1, sizeof(*shown));

	for (size_t i = t->t_n; i-- > 0;)
		if (left[t->t_ev[i].ke_cpu] < CPU_EVENTS) {
			left[t->t_ev[i].ke_cpu]++;
			shown[i] = true;
		}
	for (size_t i = 0; i < t->t_n; i++)
		if (shown[i])
			put_event(t, &t->t_ev[i], res);
	free(shown);
	free(left);
}

/* --- what it is about --- */

static void
add(struct telling *t, enum kern_subject what, uint32_t id, const void *object)
{
	for (size_t i = 0; i < t->t_nabout; i++)
		if (t->t_about[i].ab_what == what && t->t_about[i].ab_id == id)
			return;
	if (t->t_nabout < SUBJECTS_MAX)
		t->t_about[t->t_nabout++] = (struct about){ .ab_what = what, .ab_id = id, .ab_object = object };
}

static void
add_page(struct telling *t, const struct vm_page *pg)
{
	if (show_is_page(pg))
		add(t, KS_page, (uint32_t)(pg - uvm.pages), pg);
}

static void
add_anon(struct telling *t, const struct vm_anon *anon)
{
	struct vm_anon copy;

	if (!host_mem_read(&copy, anon, sizeof(copy)))
		return;
	add(t, KS_anon, copy.an_id, anon);
	add_page(t, copy.an_page);
}

static void
add_map(struct telling *t, const struct vm_map *map)
{
	struct vm_map copy;

	if (host_mem_read(&copy, map, sizeof(copy)))
		add(t, KS_map, copy.id, map);
}

static void
add_object(struct telling *t, const struct uvm_object *obj)
{
	struct uvm_object copy;

	if (host_mem_read(&copy, obj, sizeof(copy)))
		add(t, KS_object, copy.uo_id, obj);
}

static void
add_amap(struct telling *t, const struct vm_amap *amap)
{
	uint32_t id;

	if (amap_peek_id(amap, &id))
		add(t, KS_amap, id, amap);
}

static const struct vm_map *
map_of(const struct lwp *l)
{
	struct vmspace *vm;

	if (l == NULL || l->l_proc == NULL ||
	    !host_mem_read(&vm, &l->l_proc->p_vmspace, sizeof(vm)) || vm == NULL)
		return NULL;
	return &vm->vm_map;
}

/* Whose pmap it is. */
struct pmap_owner {
	const struct pmap	*po_pmap;
	const struct vm_map	*po_map;
};

static void
ask_for_pmap(struct lwp *l, void *arg)
{
	struct pmap_owner *po = arg;
	const struct vm_map *map = map_of(l);
	struct vm_map copy;

	if (map != NULL && host_mem_read(&copy, map, sizeof(copy)) && copy.pmap == po->po_pmap)
		po->po_map = map;
}

/* => the map that it is of, or NULL */
static const struct vm_map *
map_of_pmap(const struct pmap *pm)
{
	struct pmap_owner po = { pm, pm == pmap_kernel() ? kernel_map : NULL };

	if (po.po_map == NULL)
		lwp_peek(ask_for_pmap, &po);
	return po.po_map;
}

static void
add_address(struct telling *t, const struct vm_map *map, vaddr_t va)
{
	struct about ab = { .ab_what = KS_va, .ab_va = trunc_page(va) };
	struct vm_map copy;

	if (t->t_nabout == SUBJECTS_MAX || !host_mem_read(&copy, map, sizeof(copy)) ||
	    !pmap_peek_id(copy.pmap, &ab.ab_pmap))
		return;
	ab.ab_id = copy.id;
	t->t_about[t->t_nabout++] = ab;
}

/* => an address in the map: itself, the entry around it, what is there, upper layer first */
static void
add_va(struct telling *t, const struct vm_map *map, vaddr_t va)
{
	const struct vm_anon *anon = NULL;
	const struct vm_map *in = NULL;
	struct vm_map_entry e;
	int depth = SUBMAP_DEPTH;
	bool mapped;

	do {
		if (map == NULL)
			return;
		in = map;
		add_map(t, in);
		mapped = show_find_entry(in, va, &e);
		map = mapped ? e.object.sub_map : NULL;
	} while (mapped && UVM_ET_ISSUBMAP(&e) && depth-- > 0);
	add_address(t, in, va);
	if (!mapped)
		return;
	if (e.aref.ar_amap != NULL) {
		add_amap(t, e.aref.ar_amap);
		anon = amap_peek(e.aref.ar_amap, e.aref.ar_pageoff + atop(va - e.start));
	}
	if (anon != NULL)
		add_anon(t, anon);
	if (e.object.uvm_obj != NULL && !UVM_ET_ISSUBMAP(&e)) {
		add_object(t, e.object.uvm_obj);
		add_page(t, show_find_page(e.object.uvm_obj,
		    e.offset + (voff_t)(trunc_page(va) - e.start)));
	}
}

static void
add_lock(struct telling *t, const struct held_lock *hl)
{
	const char *lock = hl->hl_lock;

	switch (hl->hl_class) {
	case LC_map:
	case LC_kmap:
		add_map(t, (const void *)(lock - offsetof(struct vm_map, lock)));
		break;
	case LC_kmem_map:
		add_map(t, (const void *)(lock - offsetof(struct vm_map, mutex)));
		break;
	case LC_amap:
		add_amap(t, amap_of_mutex(lock));
		break;
	case LC_uobj:
		add_object(t, (const void *)(lock - offsetof(struct uvm_object, vmobjlock)));
		break;
	case LC_anon:
		add_anon(t, (const void *)(lock - offsetof(struct vm_anon, an_lock)));
		break;
	default:
		break;
	}
}

/* => what the LWP did last: the pages of that */
static void
add_own(struct telling *t, const struct lwp *l)
{
	enum kern_subject first, second;
	int events = 0, pages = 0;

	for (size_t i = t->t_n; i-- > 0 && events < OWN_EVENTS && pages < OWN_PAGES;) {
		const struct kern_history_ent *ke = &t->t_ev[i];

		if (ke->ke_lwp != l->l_id)
			continue;
		events++;
		kernhist_subjects((enum kern_event)ke->ke_kind, &first, &second);
		if (first == KS_page && ke->ke_first < uvm.npages) {
			add_page(t, &uvm.pages[ke->ke_first]);
			pages++;
		}
	}
}

/* A slot in swap, and the anon that had it last: where it is of a slot that nobody has, that is who was lost. */
static void
add_slot(struct telling *t, uint32_t slot)
{
	add(t, KS_slot, slot, NULL);
	for (size_t i = t->t_n; i-- > 0;)
		if (t->t_ev[i].ke_kind == KE_anon_slot && t->t_ev[i].ke_second == slot) {
			add(t, KS_anon, t->t_ev[i].ke_first, NULL);
			break;
		}
}

static void
find_subjects(struct telling *t)
{
	const struct violation *v = t->t_v;
	const struct vm_map *map = map_of(v->v_who);	/* that an address is of */

	for (int i = 0; i < v->v_nsubjects; i++) {
		const struct violation_subject *vs = &v->v_subjects[i];

		switch ((enum kern_subject)vs->vs_what) {
		case KS_va:
			add_va(t, map, (vaddr_t)(uintptr_t)vs->vs_object);
			break;
		case KS_map:
			map = vs->vs_object;
			add_map(t, map);
			break;
		case KS_pmap:
			map = map_of_pmap(vs->vs_object);
			add(t, KS_pmap, vs->vs_id, NULL);
			break;
		case KS_anon:
			add_anon(t, vs->vs_object);
			break;
		case KS_slot:
			add_slot(t, vs->vs_id);
			break;
		case KS_page:
			if (vs->vs_id < uvm.npages)
				add_page(t, &uvm.pages[vs->vs_id]);
			break;
		default:
			add(t, (enum kern_subject)vs->vs_what, vs->vs_id, vs->vs_object);
			break;
		}
	}
	if (v->v_who == NULL)
		return;
	for (int i = v->v_who->l_held.hs_n; i-- > 0;)
		add_lock(t, &v->v_who->l_held.hs_v[i]);
	if (v->v_nsubjects == 0)
		add_own(t, v->v_who);
}

/* --- LWPs --- */

void
show_lwp(const struct lwp *l, FILE *out)
{
	void *stack[STACK_MAX];
	char name[160];
	int n, stat = __atomic_load_n(&l->l_stat, __ATOMIC_RELAXED);

	for (int i = 0; i < l->l_held.hs_n; i++) {
		const struct held_lock *hl = &l->l_held.hs_v[i];

		host_symbolise((void *)(uintptr_t)hl->hl_where, name, sizeof(name));
		fprintf(out, "  holds %s %u at %s\n", lockorder_class_name(hl->hl_class), hl->hl_id, name);
	}
	if (stat == LSIDL || stat == LSZOMB || l->l_thread == NULL)
		return;
	if (l == curlwp) {
		fprintf(out, "  (it is this one that reports: its stack is above)\n");
		return;
	}
	n = host_thread_backtrace(l->l_thread, stack, STACK_MAX);
	if (n == 0)
		fprintf(out, "  (its thread does not answer)\n");
	for (int i = 0; i < n; i++) {
		host_symbolise(stack[i], name, sizeof(name));
		fprintf(out, "  #%d %s\n", i, name);
	}
}

static void
show_any(struct lwp *l, void *arg)
{
	static const char *const stat[] = {
		[LSIDL] = "not started", [LSRUN] = "runnable", [LSONPROC] = "running",
		[LSSLEEP] = "asleep", [LSZOMB] = "gone",
	};
	const char *wmesg = __atomic_load_n(&l->l_wmesg, __ATOMIC_RELAXED);
	FILE *out = arg;

	fprintf(out, "\nLWP %u %s: %s, CPU %d", l->l_id, l->l_name, stat[l->l_stat],
	    l->l_cpu != NULL ? l->l_cpu->ci_index : -1);
	fprintf(out, l->l_stat == LSSLEEP && wmesg != NULL ? ", in '%s'\n" : "\n", wmesg);
	show_lwp(l, out);
}

/* --- telling --- */

static void
put_slot(const struct vm_anon *anon, void *arg)
{
	show_anon(anon, arg);
}

static void
show(const struct about *ab, FILE *out)
{
	if (ab->ab_what == KS_slot)
		show_slot((int)ab->ab_id, out);
	if (ab->ab_object == NULL)
		return;
	switch (ab->ab_what) {
	case KS_lwp:
		show_any((struct lwp *)(uintptr_t)ab->ab_object, out);
		break;
	case KS_page:
		show_page(ab->ab_object, out);
		break;
	case KS_anon:
		show_anon(ab->ab_object, out);
		break;
	case KS_amap:
		amap_print(ab->ab_object, out, put_slot, out);
		break;
	case KS_map:
		show_map(ab->ab_object, out);
		break;
	case KS_object:
		show_object(ab->ab_object, out);
		break;
	default:
		break;
	}
}

static void
put_subject(const struct telling *t, const struct about *ab, struct result_violation *rv)
{
	struct result_object *ro;
	char name[80], *text = NULL;
	size_t len;
	FILE *out = xcheck(open_memstream(&text, &len));

	if (ab->ab_what == KS_va)
		snprintf(name, sizeof(name), "address %#lx of map %u (pmap %u)", (unsigned long)ab->ab_va, ab->ab_id,
		    ab->ab_pmap);
	else
		snprintf(name, sizeof(name), "%s %u", kern_subject_name[ab->ab_what], ab->ab_id);
	show(ab, out);
	fclose(out);
	ro = result_violation_object(rv, name, text);
	put_history(t, ab, &ro->ro_history);
	free(text);
}

void
show_violation(const struct violation *v, struct result_violation *rv)
{
	struct telling t = { .t_v = v, .t_tick_ns = kernhist_tick_ns() };

	if (cpus == NULL || uvm.pages == NULL)
		return;				/* before boot, or after it */
	host_racy_begin();
	t.t_ev = history_by_time(v->v_when, &t.t_n);	/* not what came since */
	find_subjects(&t);
	for (size_t i = 0; i < t.t_nabout; i++)
		put_subject(&t, &t.t_about[i], rv);
	put_last(&t, &rv->rv_events);
	host_racy_end();
	free(t.t_ev);
}

/* --- the machine --- */

static void
show_busy_pages(FILE *out)
{
	/* before UVM is up, and when it is down again, there are none */
	for (uint64_t i = 0; uvm.pages != NULL && i < uvm.npages; i++)
		if ((uvm.pages[i].flags & PG_BUSY) != 0) {
			fprintf(out, "busy: ");
			show_page(&uvm.pages[i], out);
		}
}

void
show_machine(FILE *out)
{
	host_racy_begin();
	fprintf(out, "memory: %lu pages free of %lu, %lu waiters, %lu being written\n",
	    (unsigned long)uvm.free, (unsigned long)uvm.npages, (unsigned long)uvm.nwaiters,
	    (unsigned long)uvm.paging);
	for (int i = 0; i < ncpu; i++)
		fprintf(out, "CPU %d: %s, IPL %d, pending %#x, %s\n", i,
		    cpus[i].ci_curlwp != NULL ? cpus[i].ci_curlwp->l_name : "nobody",
		    cpus[i].ci_ilevel, cpus[i].ci_ipending,
		    cpus[i].ci_offline ? "offline" : "online");
	show_busy_pages(out);
	host_racy_end();
}

void
show_lwps(FILE *out)
{
	host_racy_begin();
	lwp_peek(show_any, out);
	host_racy_end();
}
