/*
 * Lock graphs: what is written is read again, what is broken is refused with one line, and
 * the reports say what a graph holds.
 */
#include <link.h>
#include <string.h>

#include <harness/lockgraph.h>
#include <harness/xalloc.h>

#include "ktest.h"

enum { VNODE, MAP, AMAP, UOBJ, PAGEQ, BUSY, IDLE, NCLASSES };

#define CLASS(name, rank, n) \
	{ .lgc_name = name, .lgc_rank = rank, .lgc_reason = "because of " name, \
	  .lgc_created = LOCKGRAPH_NONE, .lgc_intr_ipl = -1, .lgc_intr_trace = LOCKGRAPH_NONE, \
	  .lgc_open_ipl = -1, .lgc_open_trace = LOCKGRAPH_NONE, .lgc_acquisitions = n, \
	  .lgc_contended = n / 10, .lgc_usage = LOCKGRAPH_WRITE }

#define ORDER(from, to, n) \
	{ from, to, LOCKGRAPH_ORDER, LOCKGRAPH_M_WRITE, LOCKGRAPH_M_WRITE, n, 0, 1, NULL, 0 }

static const struct lockgraph_class classes[NCLASSES] = {
	[VNODE] = CLASS("vnode", 20, 100), [MAP] = CLASS("map", 40, 90), [AMAP] = CLASS("amap", 70, 80),
	[UOBJ] = CLASS("uobj", 80, 70), [PAGEQ] = CLASS("pageq", 110, 60),
	[BUSY] = { .lgc_name = "page busy", .lgc_kind = LOCKGRAPH_EVENT, .lgc_created = LOCKGRAPH_NONE,
	    .lgc_intr_ipl = -1, .lgc_intr_trace = LOCKGRAPH_NONE, .lgc_open_ipl = -1,
	    .lgc_open_trace = LOCKGRAPH_NONE },
	[IDLE] = CLASS("idle", 130, 0),
};

static const struct lockgraph_edge edges[] = {
	ORDER(VNODE, MAP, 1), ORDER(MAP, AMAP, 2), ORDER(MAP, UOBJ, 3), ORDER(AMAP, UOBJ, 4),
	ORDER(UOBJ, PAGEQ, 5), ORDER(AMAP, PAGEQ, 6),
	{ PAGEQ, UOBJ, LOCKGRAPH_ORDER, LOCKGRAPH_M_WRITE, LOCKGRAPH_M_TRY, 7, 1, 0, NULL, 0 },
	{ UOBJ, BUSY, LOCKGRAPH_WAIT, LOCKGRAPH_M_WRITE, LOCKGRAPH_M_WRITE, 8, 0, 1, NULL, 0 },
	ORDER(PAGEQ, AMAP, 9),
};

static const struct lockgraph_edge cycle[] = {
	ORDER(AMAP, UOBJ, 1), ORDER(UOBJ, PAGEQ, 1), ORDER(PAGEQ, AMAP, 1),
};

static const struct lockgraph_finding findings[] = {
	{ "lock-order", "lock-cycle", LOCKGRAPH_LATENT, "f00dfeed", "amap, uobj and pageq form a cycle",
	    "needs a second runner", NULL, 3, 0, cycle, 3, LOCKGRAPH_NONE },
	{ "lock-order", "lock-order", LOCKGRAPH_UNCONFIRMED, "0badcafe", "amap wanted with pageq held",
	    NULL, NULL, 1, 1, &cycle[2], 1, LOCKGRAPH_NONE },
	{ "lock-assertion", "spl-leak", LOCKGRAPH_UNGRADED, "5eed", "returned at \"IPL\" 5", NULL,
	    "it is how \\ it is", 1, LOCKGRAPH_NONE, NULL, 0, 1 },
};

static const struct lockgraph_module modules[] = { { "/usr/bin/thing", "abcd" }, { "/lib/x.so", NULL } };
static const struct lockgraph_frame frames[] = {
	{ 0, 0x1000, "uvm_fault (uvm_fault.c:210)" }, { 0, 0x2000, NULL }, { 1, 0x30, NULL },
	{ LOCKGRAPH_NONE, 0x4444, "caf\303\251" },
};
static const struct lockgraph_trace traces[] = { { 0, 2 }, { 2, 2 } };
static const struct lockgraph_run runs[] = { { "smoke", "uvmstress audit smoke.ini", 7 } };
static const struct lockgraph_site sites[] = {
	{ MAP, { 0, 0x1010, "vm_map_lock (uvm_map_lock.c:30)" }, 50, 5, 4000, 2000, 10, 1000, 300 },
	{ AMAP, { 0, 0x1020, NULL }, 40, 4, 90000, 70000, 10, 1000, 300 },
};

#define N(array) (uint32_t)(sizeof(array) / sizeof((array)[0]))

static const struct lockgraph sample = {
	runs, modules, frames, traces, classes, edges, findings, sites, N(runs), N(modules), N(frames),
	N(traces), N(classes), N(edges), N(findings), N(sites), 42, 0,
};

/* --- helpers --- */

static void
put(void *arg, const char *text, size_t len)
{
	fwrite(text, 1, len, arg);
}

static char *captured;
static size_t captured_len;

static FILE *
capture(void)
{
	return xcheck(open_memstream(&captured, &captured_len));
}

static char *
written(const struct lockgraph *lg)
{
	FILE *out = capture();

	lockgraph_write(lg, put, out);
	fclose(out);
	return captured;
}

/* => what fn prints */
static char *
printed(const struct lockgraph *lg, void (*fn)(const struct lockgraph *, FILE *))
{
	FILE *out = capture();

	fn(lg, out);
	fclose(out);
	return captured;
}

static void
must_have(const char *text, const char *part)
{
	if (strstr(text, part) == NULL)
		ktest_fail(__FILE__, __LINE__, "'%s' is not in:\n%s", part, text);
}

static void
must_not_have(const char *text, const char *part)
{
	if (strstr(text, part) != NULL)
		ktest_fail(__FILE__, __LINE__, "'%s' is in:\n%s", part, text);
}

/* => text with the first `from` replaced, in fresh memory */
static char *
replaced(const char *text, const char *from, const char *to)
{
	const char *at = strstr(text, from);

	if (at == NULL)
		ktest_fail(__FILE__, __LINE__, "'%s' is not in the text", from);
	return xasprintf("%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
}

/* --- files --- */

KTEST(what_is_written_is_read_again, "reading back what was written gives the same text")
{
	char *text = written(&sample), *again, why[300] = "";
	struct lockgraph *lg = lockgraph_read(text, strlen(text), "a.json", why, sizeof(why));

	if (lg == NULL)
		ktest_fail(__FILE__, __LINE__, "%s", why);
	again = written(lg);
	CHECK(strcmp(text, again) == 0);
	must_have(text, "\"class\": \"page busy\", \"kind\": \"event\"");
	must_have(text, "caf\303\251");
	must_have(text, "returned at \\\"IPL\\\" 5");
	lockgraph_free(lg);
	free(text);
	free(again);
}

KTEST(a_copy_is_the_same, "a copy of a graph is written as the graph itself, but says who saw what")
{
	struct lockgraph *lg = lockgraph_dup(&sample), *again = lockgraph_dup(lg);
	char *a = written(lg), *b = written(again);

	CHECK(strcmp(a, b) == 0);
	CHECK_EQ(lg->lg_nedges, sample.lg_nedges);
	CHECK_EQ(lg->lg_edges[0].lge_nruns, 1);
	lockgraph_free(lg);
	lockgraph_free(again);
	free(a);
	free(b);
}

KTEST(bad_text_is_written_as_questions, "what is no UTF-8 becomes question marks, and JSON stays JSON")
{
	const struct lockgraph_run odd[] = { { "\xff\xc0\x80\xed\xa0\x80 \n\x01", NULL, 1 } };
	struct lockgraph lg = { .lg_runs = odd, .lg_nruns = 1 };
	char *text = written(&lg), why[300] = "";
	struct lockgraph *back = lockgraph_read(text, strlen(text), "a.json", why, sizeof(why));

	CHECK(back != NULL);
	CHECK(strcmp(back->lg_runs[0].lgr_name, "?????? \n\x01") == 0);
	lockgraph_free(back);
	free(text);
}

KTEST(broken_graphs_are_refused, "a broken file is refused with one line that says where")
{
	static const struct {
		const char *from, *to, *why;
	} breaks[] = {
		{ "uvmstress-lockgraph/1", "uvmstress-run/1", "a.json: schema must be uvmstress-lockgraph/1" },
		{ "\"chains\": 42", "\"chains\": -1", "a.json: chains must be a whole number, at least 0" },
		{ "\"chains\": 42", "\"chains\": 4.2", "a.json: chains must be" },
		{ "\"runs\"", "\"walks\"", "a.json: runs must be an array" },
		{ "\"name\": \"smoke\"", "\"name\": 3", "a.json: runs[0].name must be a text" },
		{ "[0, 4096,", "[2, 4096,", "a.json: traces[0].frames must be an index below 2" },
		{ "[0, 4096,", "[0, -4096,", "a.json: traces[0].frames must be [module, offset, symbol]" },
		{ "\"rank\": 20", "\"rank\": \"high\"", "a.json: locks[0].rank must be a whole number" },
		{ "\"kind\": \"event\"", "\"kind\": \"day\"", "a.json: locks[5].kind must be lock, instance" },
		{ "\"nest\": \"no\"", "\"nest\": \"yes\"", "a.json: locks[0].nest must be no, by-id" },
		{ "\"from_class\": 0", "\"from_class\": 7", "a.json: edges[0].from_class must be an index below 7" },
		{ "\"to_class\": 1", "\"to_class\": null", "a.json: edges[0].to_class must be an index" },
		{ "\"to_trace\": 1", "\"to_trace\": 2", "a.json: edges[0].to_trace must be an index below 2" },
		{ "\"to_mode\": \"write\"", "\"to_mode\": 1", "a.json: edges[0].to_mode must be write, read" },
		{ "\"grade\": \"latent\"", "\"grade\": \"bad\"", "a.json: violations[0].grade must be none" },
		{ "\"class\": 1, \"frame\"", "\"class\": 9, \"frame\"", "a.json: sites[0].class must be" },
		{ "\"to\": \"map\"", "\"to\": ", "a.json:" },
		{ "\"cycle\": [\n    {\"from\": \"amap\", \"to\": \"uobj\", \"from_class\": 2, \"to_class\": 3",
		    "\"cycle\": [\n    {\"from\": \"amap\", \"to\": \"uobj\", \"from_class\": 2, \"to_class\": 2",
		    "a.json: violations[0].cycle is broken" },
	};
	char *text = written(&sample);

	for (size_t i = 0; i < N(breaks); i++) {
		char *broken = replaced(text, breaks[i].from, breaks[i].to), why[300] = "";

		CHECK(lockgraph_read(broken, strlen(broken), "a.json", why, sizeof(why)) == NULL);
		if (strncmp(why, breaks[i].why, strlen(breaks[i].why)) != 0 || strchr(why, '\n') != NULL)
			ktest_fail(__FILE__, __LINE__, "%s => %s: '%s', want '%s'", breaks[i].from,
			    breaks[i].to, why, breaks[i].why);
		free(broken);
	}
	free(text);
}

/* --- merging --- */

KTEST(runs_add_up, "merged counts add up, each edge knows which runs saw it, stacks are there once")
{
	const struct lockgraph_run other[] = { { "swap-storm", "x", 9 } };
	const struct lockgraph_edge more[] = { ORDER(MAP, AMAP, 20), ORDER(VNODE, AMAP, 30) };
	struct lockgraph b = sample;
	const struct lockgraph *both[] = { &sample, &b };
	struct lockgraph *lg;

	b.lg_runs = other;
	b.lg_edges = more;
	b.lg_nedges = N(more);
	lg = lockgraph_merge(both, 2, NULL, 0);
	CHECK(lg != NULL);
	CHECK_EQ(lg->lg_nruns, 2);
	CHECK_EQ(lg->lg_nclasses, NCLASSES);
	CHECK_EQ(lg->lg_classes[MAP].lgc_acquisitions, 180);
	CHECK_EQ(lg->lg_ntraces, 2);
	CHECK_EQ(lg->lg_nmodules, 2);
	CHECK_EQ(lg->lg_nedges, N(edges) + 1);
	CHECK_EQ(lg->lg_edges[1].lge_count, 22);
	CHECK_EQ(lg->lg_edges[1].lge_nruns, 2);
	CHECK_EQ(lg->lg_edges[0].lge_nruns, 1);
	CHECK_EQ(lg->lg_edges[N(edges)].lge_runs[0], 1);
	CHECK_EQ(lg->lg_nfindings, N(findings));
	CHECK_EQ(lg->lg_findings[0].lgv_count, 6);
	CHECK_EQ(lg->lg_findings[0].lgv_ncycle, 3);
	CHECK_EQ(lg->lg_sites[0].lgs_acquisitions, 100);
	CHECK_EQ(lg->lg_sites[0].lgs_wait_ns_max, 2000);
	lockgraph_free(lg);
}

KTEST(different_orders_do_not_merge, "graphs in which a class has different ranks are not added up")
{
	struct lockgraph_class moved[NCLASSES];
	struct lockgraph b = sample;
	const struct lockgraph *both[] = { &sample, &b };
	char why[300] = "";

	memcpy(moved, classes, sizeof(moved));
	moved[AMAP].lgc_rank = 75;
	b.lg_classes = moved;
	CHECK(lockgraph_merge(both, 2, why, sizeof(why)) == NULL);
	must_have(why, "class amap has rank 70, nesting no, in one graph and rank 75");
}

KTEST(a_confirmed_finding_wins, "a merged finding is as grave as its gravest, and waived only if all are")
{
	struct lockgraph_finding worse[N(findings)];
	struct lockgraph b = sample;
	const struct lockgraph *both[] = { &sample, &b };
	struct lockgraph *lg;

	memcpy(worse, findings, sizeof(worse));
	worse[0].lgv_grade = LOCKGRAPH_CONFIRMED;
	worse[1].lgv_waived = "not so bad";
	worse[2].lgv_waived = NULL;
	b.lg_findings = worse;
	lg = lockgraph_merge(both, 2, NULL, 0);
	CHECK_EQ(lg->lg_findings[0].lgv_grade, LOCKGRAPH_CONFIRMED);
	CHECK(lg->lg_findings[1].lgv_waived == NULL);
	CHECK(lg->lg_findings[2].lgv_waived == NULL);
	lockgraph_free(lg);
}

/* --- reports --- */

static const struct lockgraph_known known[] = {
	{ "vnode", "map", "smoke" }, { "vnode", "uobj", "ubc, swap-storm" },
	{ "pageq", "uobj", "none: it is only tried" },
};

static void
text(const struct lockgraph *lg, FILE *out)
{
	lockgraph_text(lg, known, N(known), out, true);
}

static void
stories(const struct lockgraph *lg, FILE *out)
{
	CHECK_EQ(lockgraph_stories(lg, out), 2);
}

KTEST(text_shows_both_orders, "the declared order stands beside the observed one, only nearest arrows")
{
	char *s = printed(&sample, text);

	must_have(s, "lock order of smoke (seed 7): 6 classes used");
	must_have(s, "   20 vnode                              0 |     0      100 -\n");
	must_have(s, "   70 amap                               0 |     2       80 map, AGAINST pageq!\n");
	must_have(s, "   80 uobj                               0 |     3       70 amap!\n");
	must_have(s, "  110 pageq                              0 |     4       60 uobj!\n");
	must_have(s, "    - page busy (event)                  0 |     4        0 uobj\n");
	must_have(s, "  130 idle                               0 | never\n");
	must_have(s, "tried against the order: pageq -> uobj\n");
	free(s);
}

KTEST(text_shows_coverage, "known edges that were not exercised name the profile; new ones, their place")
{
	struct lockgraph_coverage cov;
	char *s = printed(&sample, text);

	must_have(s, "1 of 3 known edges (33 %), 5 of 6 classes; 6 of the 15 pairs");
	must_have(s, "classes never taken: idle\n");
	must_have(s, "  vnode -> uobj                          ubc, swap-storm\n");
	must_have(s, "  pageq -> uobj                          none: it is only tried\n");
	must_not_have(s, "  vnode -> map    ");
	must_have(s, "  not known before: map -> amap, in smoke at x.so+0x30\n");
	must_have(s, "  1 pairs: no lock is taken with these held: pageq, idle\n");
	must_have(s, "  4 pairs: these are taken with no lock held: vnode, idle\n");
	must_have(s, "  3 pairs beside those:\n    vnode -> amap, pageq\n    map -> pageq\n");
	lockgraph_coverage(&sample, known, N(known), &cov);
	CHECK_EQ(cov.cov_known_seen, 1);
	CHECK_EQ(cov.cov_allowed, 15);
	CHECK_EQ(cov.cov_allowed_seen, 6);
	free(s);
}

static void
lockstat(const struct lockgraph *lg, FILE *out)
{
	lockgraph_lockstat(lg, out);
}

KTEST(lockstat_by_class_and_site, "--lockstat: classes and call sites, those first for which most was waited, events left out")
{
	char *s = printed(&sample, lockstat), *vnode = strstr(s, "\nvnode ");

	must_have(s, "class, by wait ");
	CHECK(vnode != NULL && strstr(vnode, "\nmap ") != NULL);
	CHECK(strstr(s, "page busy") == NULL);
	must_have(s, "amap                    40         4   90.0 us   70.0 us    100 ns    300 ns  thing+0x1020");
	free(s);
}

KTEST(text_shows_call_sites, "call sites stand in the order of how long was waited there")
{
	char *s = printed(&sample, text), *second;

	second = strstr(s, "vm_map_lock (uvm_map_lock.c:30)");
	CHECK(second != NULL && strstr(s, "thing+0x1020") < second);
	must_have(s, "amap                    40         4   90.0 us   70.0 us    100 ns    300 ns  thing+0x1020");
	free(s);
}

KTEST(a_violation_is_a_story, "each edge of the cycle has the stacks of both ends; the waiver line is there")
{
	char *s = printed(&sample, stories);

	must_have(s, "VIOLATION lock-cycle: amap, uobj and pageq form a cycle (3 times)\n"
	    "  amap -> uobj -> pageq -> amap\n  1. uobj is wanted with amap held (smoke)\n"
	    "      amap taken at                uvm_fault (uvm_fault.c:210)\n"
	    "                                   thing+0x2000\n"
	    "      uobj wanted at               x.so+0x30\n"
	    "                                   caf\303\251\n  2. ");
	must_have(s, "  3. amap is wanted with pageq held");
	must_have(s, "grade: latent: needs a second runner");
	must_have(s, "      f00dfeed REASON\n");
	must_have(s, "promised: amap has rank 70 (because of amap)\n            pageq has rank 110 (because");
	must_have(s, "waived spl-leak: returned at \"IPL\" 5\n  because: it is how \\ it is\n");
	must_not_have(s, "5eed REASON");
	free(s);
}

KTEST(confirmed_has_no_waiver, "a confirmed finding offers no line to waive it")
{
	struct lockgraph_finding v = findings[0];
	FILE *out = capture();

	v.lgv_grade = LOCKGRAPH_CONFIRMED;
	lockgraph_story(&sample, &v, out);
	fclose(out);
	must_have(captured, "grade: confirmed");
	must_not_have(captured, "REASON");
	free(captured);
}

KTEST(picture_has_layers, "ranks are layers, implied arrows are left out, violations are red")
{
	char *s = printed(&sample, lockgraph_dot);

	must_have(s, "{ rank=same; r20; n0; }");
	must_have(s, "r20 -> r40 [style=invis];");
	must_have(s, "  n0 -> n1 [tooltip=\"vnode -> map, 1: x.so+0x30\"];");
	must_not_have(s, "n1 -> n3");	/* map -> amap -> uobj says it */
	must_have(s, "n4 -> n2 [tooltip=\"pageq -> amap, 9: x.so+0x30\", color=\"#d00000\"");
	must_have(s, "n2 -> n3 [tooltip=\"amap -> uobj, 4: x.so+0x30\", color=\"#d00000\"");
	must_not_have(s, "n4 -> n3");	/* only tried */
	must_have(s, "n3 -> n5 [tooltip=\"uobj -> page busy, 8: x.so+0x30\", style=dashed]");
	free(s);
}

/* --- comparing --- */

static const struct lockgraph *other_graph;
static size_t other_new;

static void
diff(const struct lockgraph *lg, FILE *out)
{
	other_new = lockgraph_diff(lg, other_graph, out);
}

static void
baseline(const struct lockgraph *lg, FILE *out)
{
	other_new = lockgraph_baseline(lg, other_graph, out);
}

KTEST(diff_tells_what_is_new, "a diff names new and gone edges, classes, violations; equal graphs differ in nothing")
{
	struct lockgraph_edge changed[N(edges)];
	struct lockgraph b = sample;
	char *s;

	memcpy(changed, edges, sizeof(changed));
	changed[1].lge_count = 1000;			/* no news */
	changed[2] = (struct lockgraph_edge)ORDER(VNODE, PAGEQ, 1);
	b.lg_edges = changed;
	b.lg_nfindings = 1;
	other_graph = &b;
	s = printed(&sample, diff);
	CHECK(strcmp(s, "- edge map -> uobj; held since uvm_fault (uvm_fault.c:210), wanted at x.so+0x30; smoke\n"
	    "+ edge vnode -> pageq; held since uvm_fault (uvm_fault.c:210), wanted at x.so+0x30; smoke\n"
	    "- violation lock-order 0badcafe: amap wanted with pageq held\n") == 0);
	CHECK_EQ(other_new, 1);
	free(s);
	s = printed(&sample, baseline);
	CHECK(s[0] == '+' && strchr(s, '\n')[1] == '\0');
	CHECK_EQ(other_new, 1);
	free(s);
	other_graph = &sample;
	s = printed(&sample, diff);
	CHECK(*s == '\0' && other_new == 0);
	free(s);
}

KTEST(a_baseline_hides_no_new_violation, "a violation that the baseline had waived is new without the waiver")
{
	struct lockgraph_finding bare[N(findings)];
	struct lockgraph b = sample;
	char *s;

	memcpy(bare, findings, sizeof(bare));
	bare[2].lgv_waived = NULL;
	b.lg_findings = bare;
	other_graph = &b;
	s = printed(&sample, baseline);
	must_have(s, "+ violation spl-leak 5eed");
	CHECK_EQ(other_new, 1);
	free(s);
}

/* --- source text --- */

static enum lockgraph_export which;

static void
export(const struct lockgraph *lg, FILE *out)
{
	lockgraph_export(lg, which, out);
}

KTEST(the_order_as_source, "the observed order comes as a comment, as assertions, as rows of the table")
{
	char *s;

	which = LOCKGRAPH_EXPORT_COMMENT;
	s = printed(&sample, export);
	must_have(s, " *\tvnode            > map\n *\tmap              > amap\n *\tamap             > uobj\n");
	must_not_have(s, "idle");
	free(s);
	which = LOCKGRAPH_EXPORT_KASSERT;
	s = printed(&sample, export);
	must_have(s, "/* before map is taken, such as in uvm_fault (uvm_fault.c:210) */\n"
	    "\tKASSERT(!mutex_owned(amap));\t/* taken after it: x.so+0x30 */\n");
	must_not_have(s, "mutex_owned(vnode)");
	CHECK(strstr(strstr(s, "mutex_owned(uobj)") + 1, "mutex_owned(uobj)") == NULL);
	free(s);
	which = LOCKGRAPH_EXPORT_EDGES;
	s = printed(&sample, export);
	must_have(s, "LOCK_EDGE(\"map\", \"uobj\", \"smoke\")\n");
	must_not_have(s, "LOCK_EDGE(\"pageq");
	free(s);
}

/* --- stacks --- */

static int
main_bias(struct dl_phdr_info *info, size_t size, void *arg)
{
	*(uintptr_t *)arg = info->dlpi_addr;
	return 1;			/* the first one is the program */
}

/* => a graph with one frame: 4 bytes into written() above */
static struct lockgraph *
own_frame(const char *build_id)
{
	const struct lockgraph_module self = { "/proc/self/exe", build_id };
	const struct lockgraph_trace one = { 0, 1 };
	struct lockgraph_frame f = { 0, 0, NULL };
	struct lockgraph lg = { .lg_modules = &self, .lg_nmodules = 1, .lg_frames = &f, .lg_nframes = 1,
		.lg_traces = &one, .lg_ntraces = 1 };
	uintptr_t bias = 0;

	dl_iterate_phdr(main_bias, &bias);
	f.lgf_offset = (uintptr_t)written - bias + 4;
	return lockgraph_dup(&lg);
}

KTEST(frames_get_names, "a frame of this program gets its function and line; of another build, none")
{
	struct lockgraph *lg = own_frame(NULL),
	    *other = own_frame("0011223344556677889900112233445566778899");

	lockgraph_symbolise(lg);
	lockgraph_symbolise(other);
	CHECK(other->lg_frames[0].lgf_symbol == NULL);
	if (HAVE_LIBDW) {
		CHECK(lg->lg_frames[0].lgf_symbol != NULL);
		must_have(lg->lg_frames[0].lgf_symbol, "written (t_lockgraph.c:");
	}
	lockgraph_free(lg);
	lockgraph_free(other);
}

/* --- odd graphs --- */

KTEST(long_and_round_graphs, "a chain of 5000 classes without ranks that ends in its start has levels, and is drawn")
{
	enum { LONG = 5000 };
	struct lockgraph_class *c = xcalloc(LONG, sizeof(*c));
	struct lockgraph_edge *e = xcalloc(LONG, sizeof(*e));
	struct lockgraph lg = { .lg_classes = c, .lg_nclasses = LONG, .lg_edges = e, .lg_nedges = LONG };
	char *s;

	for (uint32_t i = 0; i < LONG; i++) {
		c[i] = (struct lockgraph_class)CLASS("x", 0, 1);
		e[i] = (struct lockgraph_edge)ORDER(i, (i + 1) % LONG, 1);
		e[i].lge_from_trace = e[i].lge_to_trace = LOCKGRAPH_NONE;
	}
	s = printed(&lg, text);
	must_have(s, "|  4999        1 x\n");
	must_not_have(s, "|  5000");
	free(s);
	s = printed(&lg, lockgraph_dot);
	must_have(s, "n4999 -> n0 [");
	free(s);
	free(c);
	free(e);
}

KTEST(nothing_at_all, "an empty graph is a report, a picture, and no difference")
{
	const struct lockgraph none = { .lg_nruns = 0 };
	struct lockgraph *lg = lockgraph_dup(&none);
	char *s = printed(lg, text);

	must_have(s, "lock order of one program: 0 classes used");
	free(s);
	s = printed(lg, lockgraph_dot);
	must_have(s, "digraph");
	free(s);
	CHECK_EQ(lockgraph_diff(lg, &none, stdout), 0);
	lockgraph_free(lg);
}

static void
text_of_nothing_known(const struct lockgraph *lg, FILE *out)
{
	lockgraph_text(lg, NULL, 0, out, false);
}

KTEST(runs_without_a_name, "of two runs one has no name: the report ends, and names the other one")
{
	const struct lockgraph_run two[] = { { "smoke", "", 1 }, { "", "", 2 } };
	struct lockgraph_edge edge = sample.lg_edges[0];
	struct lockgraph lg = sample;
	char *s;

	edge.lge_runs = NULL;			/* of both */
	lg.lg_runs = two;
	lg.lg_nruns = 2;
	lg.lg_edges = &edge;
	lg.lg_nedges = 1;
	lg.lg_nfindings = 0;
	s = printed(&lg, text_of_nothing_known);
	must_have(s, ", in smoke at ");
	free(s);
}

KTEST_MAIN()
