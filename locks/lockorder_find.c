/*
 * Findings: what makes two of them the same, how sure they are, which are waived.
 *
 * A cycle deadlocks when each of its edges is waited at by a thread of its own, all at once.
 *
 *	guarded		two of those threads would hold the same lock exclusively, a gate
 *	latent		some node is wanted and held by readers, so a writer would have to wait
 *			there too; or one thread alone was seen to go all of its ways
 *	unconfirmed	neither; no schedule is known that gets there
 *
 * More evidence only makes a grade worse, and then the finding is told again.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lockorder_int.h"

struct waiver {				/* L */
	const char	*w_print, *w_reason, *w_where;
	bool		 w_used;
};

struct lo_table lo_findings = { .lt_size = sizeof(struct lo_finding) };
static struct lo_map by_print;		/* L */
static struct lo_table waivers = { .lt_size = sizeof(struct waiver) };

void
lo_find_reset(void)
{
	lo_findings = (struct lo_table){ .lt_size = sizeof(struct lo_finding) };
	by_print = (struct lo_map){ 0 };
	waivers = (struct lo_table){ .lt_size = sizeof(struct waiver) };
}

static struct lo_finding *
finding_at(uint32_t i)
{
	return lo_at(&lo_findings, i);
}

static struct lo_edge *
edge_of(const struct lo_finding *f, uint32_t i)
{
	return lo_at(&lo_edges, f->f_edge[i]);
}

static uint64_t
hash(const char *s)
{
	uint64_t h = 0xcbf29ce484222325ULL;

	for (; *s != '\0'; s++)
		h = (h ^ (unsigned char)*s) * 0x100000001b3ULL;
	return h;
}

const char *
lo_rule_kind(const char *rule)
{
	if (strncmp(rule, "lock-order", 10) == 0 || strcmp(rule, "lock-cycle") == 0 ||
	    strcmp(rule, "lock-nesting") == 0)
		return "lock-order";
	if (strcmp(rule, "ipl-inversion") == 0 || strcmp(rule, "lock-in-interrupt") == 0)
		return "interrupt-context";
	return "lock-assertion";
}

/* --- waivers --- */

int
lockorder_waive(const char *print, const char *reason, const char *where)
{
	struct waiver *w;
	uint32_t i;

	reason += strspn(reason, " \t");
	if (*reason == '\0')
		return EINVAL;
	lo_lock();
	w = lo_add(&waivers, &i);
	if (w != NULL)
		*w = (struct waiver){ lo_strdup(print), lo_strdup(reason), lo_strdup(where), false };
	lo_unlock();
	return w != NULL ? 0 : ENOMEM;
}

/* => the reason, or NULL */
static const char *
waived(const struct lo_finding *f)
{
	for (uint32_t i = 0; i < waivers.lt_n; i++) {
		struct waiver *w = lo_at(&waivers, i);

		if (lockgraph_waives(w->w_print, f->f_grade, f->f_print)) {
			w->w_used = true;
			return w->w_reason;
		}
	}
	return NULL;
}

void
lockorder_unused_waivers(void (*fn)(void *, const char *, const char *), void *arg)
{
	for (uint32_t i = 0; i < waivers.lt_n; i++) {
		const struct waiver *w = lo_at(&waivers, i);

		if (!w->w_used)
			fn(arg, w->w_print, w->w_where);
	}
}

/* --- grades --- */

static bool
still_one(uint32_t class)
{
	return lo_class(class)->c_born == 1;
}

/* => the gate's class, held along two edges of the cycle, or NONE */
static uint32_t
gate_of(const struct lo_finding *f)
{
	for (uint32_t a = 0; a < f->f_nedge; a++)
		for (uint32_t g = 0; g < edge_of(f, a)->e_nguard; g++) {
			const struct lo_guard *gate = &edge_of(f, a)->e_guard[g];

			for (uint32_t b = a + 1; b < f->f_nedge && still_one(gate->g_class); b++)
				for (uint32_t k = 0; k < edge_of(f, b)->e_nguard; k++)
					if (edge_of(f, b)->e_guard[k].g_class == gate->g_class &&
					    edge_of(f, b)->e_guard[k].g_id == gate->g_id)
						return gate->g_class;
		}
	return NONE;
}

/* => a class that is only read in this cycle, though its readers wait for writers; or NONE */
static uint32_t
needs_writer(const struct lo_finding *f)
{
	for (uint32_t i = 0; i < f->f_nedge; i++) {
		const struct lo_edge *in = edge_of(f, i), *out = edge_of(f, (i + 1) % f->f_nedge);

		if ((in->e_how >> 2 & LO_MODE) == LO_READ && E_SHARED(out))
			return in->e_to;
	}
	return NONE;
}

static bool
one_runner(const struct lo_finding *f)
{
	for (uint32_t i = 0; i < f->f_nedge; i++)
		if (edge_of(f, i)->e_many || edge_of(f, i)->e_runner != edge_of(f, 0)->e_runner)
			return false;
	return true;
}

static int
badness(enum lockgraph_grade grade)
{
	static const int bad[] = { [LOCKGRAPH_GUARDED] = 0, [LOCKGRAPH_LATENT] = 1,
		[LOCKGRAPH_UNCONFIRMED] = 2, [LOCKGRAPH_CONFIRMED] = 3, [LOCKGRAPH_UNGRADED] = 4 };

	return bad[grade];
}

/* => the grade of a cycle, and why */
static enum lockgraph_grade
grade(const struct lo_finding *f, struct lo_text *why)
{
	uint32_t class = gate_of(f);

	if (class != NONE) {
		lo_text(why, "both sides hold %s", lo_class(class)->c_name);
		return LOCKGRAPH_GUARDED;
	}
	class = needs_writer(f);
	if (class != NONE) {
		lo_text(why, "needs a writer that waits for %s", lo_class(class)->c_name);
		return LOCKGRAPH_LATENT;
	}
	if (one_runner(f)) {
		lo_text(why, "needs a second runner: one alone was seen to take all of them");
		return LOCKGRAPH_LATENT;
	}
	return LOCKGRAPH_UNCONFIRMED;
}

static void
told_add(struct lo_told *told, uint32_t i)
{
	for (int k = 0; k < told->to_n; k++)
		if (told->to_v[k] == i)
			return;
	if (told->to_n < LO_TOLD)
		told->to_v[told->to_n++] = i;
}

static void
set_edges(struct lo_finding *f, const uint32_t *edges, uint32_t n)
{
	f->f_edge = n != 0 ? lo_alloc(n * sizeof(*edges)) : NULL;
	f->f_nedge = f->f_edge != NULL ? n : 0;
	for (uint32_t i = 0; i < f->f_nedge; i++) {
		f->f_edge[i] = edges[i];
		edge_of(f, i)->e_graded = true;
	}
}

/* => a finding of that fingerprint, new or not */
static struct lo_finding *
obtain(const char *rule, const char *print, uint32_t *i, bool *new)
{
	const uint64_t h = hash(print);
	struct lo_finding *f;

	*i = lo_map_get(&by_print, h);
	*new = *i == NONE;
	if (!*new)
		return finding_at(*i);
	f = lo_add(&lo_findings, i);
	if (f == NULL)
		return NULL;
	f->f_rule = lo_strdup(rule);
	f->f_print = lo_strdup(print);
	f->f_held = NONE;
	lo_map_put(&by_print, h, *i);
	return f;
}

void
lo_found(struct lo_told *told, const char *rule, const char *print, enum lockgraph_grade how_sure,
    const uint32_t *edges, uint32_t nedges, uint32_t trace, const char *message)
{
	uint32_t i;
	bool new;
	struct lo_finding *f = obtain(rule, print, &i, &new);

	if (f == NULL)
		return;
	f->f_count++;
	if (!new && badness(how_sure) <= badness(f->f_grade))
		return;
	f->f_grade = how_sure;
	f->f_message = lo_strdup(message);
	f->f_trace = trace;
	set_edges(f, edges, nedges);
	f->f_waived = waived(f);
	told_add(told, i);
}

void
lo_found_held(const char *print, uint32_t trace)
{
	const uint32_t i = lo_map_get(&by_print, hash(print));

	if (i != NONE && finding_at(i)->f_held == NONE)
		finding_at(i)->f_held = trace;
}

void
lockorder_finding_held(const char *print, const struct held_lock *hl)
{
	lo_lock();
	lo_found_held(print, lo_held_trace(hl));
	lo_unlock();
}

/* --- cycles --- */

static const char *
from_name(uint32_t edge)
{
	const struct lo_edge *e = lo_at(&lo_edges, edge);

	return lo_class(e->e_from)->c_name;
}

/* The same cycle is found from each of its edges: begin at the smallest name. */
static void
normalise(const struct lo_path *p)
{
	uint32_t first = 0;

	for (uint32_t i = 1; i < p->p_n; i++)
		if (strcmp(from_name(p->p_v[i]), from_name(p->p_v[first])) < 0)
			first = i;
	while (first-- > 0) {
		const uint32_t head = p->p_v[0];

		memmove(p->p_v, p->p_v + 1, (p->p_n - 1) * sizeof(*p->p_v));
		p->p_v[p->p_n - 1] = head;
	}
}

/* Names of a cycle; of a long one the ends, and a hash of them all. */
static void
cycle_names(const struct lo_path *p, const char *arrow, struct lo_text *t)
{
	uint64_t h = 0;

	for (uint32_t i = 0; i < p->p_n; i++) {
		h = h * 31 + hash(from_name(p->p_v[i]));
		if (p->p_n <= 8 || i < 4 || i >= p->p_n - 2)
			lo_text(t, "%s%s", i != 0 ? arrow : "", from_name(p->p_v[i]));
		else if (i == 4)
			lo_text(t, "%s..", arrow);
	}
	lo_text(t, "%s%s", arrow, from_name(p->p_v[0]));
	if (p->p_n > 8)
		lo_text(t, "#%u.%08x", p->p_n, (unsigned)(h ^ h >> 32));
}

static const char *
mode_name(unsigned how)
{
	static const char *const names[] = { [LO_WRITE] = "", [LO_READ] = "(read)",
		[LO_READ_REC] = "(recursive read)" };

	return names[how & LO_MODE];
}

static void
cycle_message(const struct lo_path *p, struct lo_text *t)
{
	bool wait = false;

	for (uint32_t i = 0; i < p->p_n; i++)
		wait |= ((struct lo_edge *)lo_at(&lo_edges, p->p_v[i]))->e_what != LOCKGRAPH_ORDER;
	lo_text(t, wait ? "waits go round: " : "locks are taken in a circle: ");
	if (p->p_n > 8) {
		cycle_names(p, " -> ", t);
		return;
	}
	for (uint32_t i = 0; i < p->p_n; i++) {
		const struct lo_edge *e = lo_at(&lo_edges, p->p_v[i]);

		lo_text(t, "%s%s%s -> %s%s", i != 0 ? ", " : "", lo_class(e->e_from)->c_name,
		    mode_name(e->e_how), lo_class(e->e_to)->c_name, mode_name(e->e_how >> 2));
	}
}

/* => an edge of the cycle that breaks the declared order, or NONE */
static uint32_t
rank_breaker(const struct lo_path *p)
{
	for (uint32_t i = 0; i < p->p_n; i++)
		if (((struct lo_edge *)lo_at(&lo_edges, p->p_v[i]))->e_rank)
			return p->p_v[i];
	return NONE;
}

/*
 * A cycle through an edge that breaks the declared order belongs to that finding, which has
 * been told: it makes a better story.
 */
static void
add_cycle(const struct lo_path *p, uint32_t breaker)
{
	const struct lo_edge *e = lo_at(&lo_edges, breaker);
	struct lo_text print = { .tx_n = 0 }, why = { .tx_n = 0 };
	uint32_t i;

	lo_text(&print, "lock-order:%s>%s", lo_class(e->e_from)->c_name, lo_class(e->e_to)->c_name);
	i = lo_map_get(&by_print, hash(print.tx));
	if (i == NONE || finding_at(i)->f_nedge > 1)
		return;
	normalise(p);
	cycle_message(p, &why);
	set_edges(finding_at(i), p->p_v, p->p_n);
	finding_at(i)->f_why = lo_strdup(why.tx);
}

static void
found_cycle(struct lo_told *told, const struct lo_path *p, uint32_t trace)
{
	struct lo_text print = { .tx_n = 0 }, message = { .tx_n = 0 }, why = { .tx_n = 0 };
	struct lo_finding tmp = { .f_edge = p->p_v, .f_nedge = p->p_n };
	enum lockgraph_grade g;
	uint32_t i;

	normalise(p);
	g = grade(&tmp, &why);
	lo_text(&print, "lock-cycle:");
	cycle_names(p, ">", &print);
	cycle_message(p, &message);
	lo_found(told, "lock-cycle", print.tx, g, p->p_v, p->p_n, trace, message.tx);
	i = lo_map_get(&by_print, hash(print.tx));
	if (i != NONE && finding_at(i)->f_grade == g)
		finding_at(i)->f_why = why.tx_n != 0 ? lo_strdup(why.tx) : NULL;
}

/*
 * One acquisition may close many cycles, each with each of the locks that are held; the
 * worst one is told, of two alike the shorter.
 */
void
lo_new_edges(uint32_t first, uint32_t trace, struct lo_told *told)
{
	const struct lo_edge *edge = first < lo_edges.lt_n ? lo_at(&lo_edges, first) : NULL;
	uint32_t best = NONE, best_n = 0;
	struct lo_path path;
	int best_bad = -1;

	if (edge == NULL)
		return;
	/* All of them lead to the same lock, wanted in the same way. */
	lo_search(edge->e_to, E_REC(edge));
	for (uint32_t i = first; i < lo_edges.lt_n; i++) {
		struct lo_finding tmp;
		struct lo_text why = { .tx_n = 0 };
		int bad;

		if (!lo_cycle(i, &path))
			continue;
		if (rank_breaker(&path) != NONE) {
			add_cycle(&path, rank_breaker(&path));
			continue;
		}
		tmp = (struct lo_finding){ .f_edge = path.p_v, .f_nedge = path.p_n };
		bad = badness(grade(&tmp, &why));
		if (bad > best_bad || (bad == best_bad && path.p_n < best_n)) {
			best = i;
			best_n = path.p_n;
			best_bad = bad;
		}
	}
	if (best != NONE && lo_cycle(best, &path))
		found_cycle(told, &path, trace);
	lo_usage_edges(told);
}

void
lo_grades(struct lo_told *told)
{
	if (!lo_regrade)
		return;
	lo_regrade = false;
	for (uint32_t i = 0; i < lo_findings.lt_n; i++) {
		struct lo_finding *f = finding_at(i);
		struct lo_text why = { .tx_n = 0 };
		enum lockgraph_grade g;

		if (f->f_nedge < 2 || strcmp(f->f_rule, "lock-cycle") != 0)
			continue;
		g = grade(f, &why);
		if (badness(g) <= badness(f->f_grade))
			continue;
		f->f_grade = g;
		f->f_why = why.tx_n != 0 ? lo_strdup(why.tx) : NULL;
		f->f_waived = waived(f);
		told_add(told, i);
	}
}

/* --- telling --- */

void
lo_tell(const struct lo_told *told)
{
	for (int k = 0; k < told->to_n; k++) {
		struct lockorder_report r;
		const struct lo_finding *f;

		lo_lock();
		f = finding_at(told->to_v[k]);
		r = (struct lockorder_report){ f->f_rule, f->f_print, f->f_message, f->f_why,
			f->f_waived, f->f_grade, told->to_v[k] };
		lo_unlock();
		if (lo_env.le_report != NULL)
			lo_env.le_report(&r);
	}
}

bool
lockorder_finding(const char *rule, const char *print, enum lockgraph_grade how_sure,
    uint32_t trace, const char *fmt, ...)
{
	struct lo_told told = { .to_n = 0 };
	char message[400];
	va_list ap;
	bool tell;

	va_start(ap, fmt);
	vsnprintf(message, sizeof(message), fmt, ap);
	va_end(ap);
	lo_lock();
	lo_found(&told, rule, print, how_sure, NULL, 0, trace, message);
	tell = told.to_n != 0 && finding_at(told.to_v[0])->f_waived == NULL;
	lo_unlock();
	lo_tell(&told);
	return tell;
}
