/*
 * The lock-order engine: what is told, how often, how sure it is, and what is kept.
 *
 * Whether each mistake is noticed is `uvmstress selftest locks`.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <ktest.h>
#include <host/host.h>
#include <sys/lockorder.h>

static struct held_stack thread[3];
static uint32_t node[4];
static char lock[4];			/* their addresses are the locks */

static int ntold;
static char told[400], told_print[400], told_why[200];
static enum lockgraph_grade told_grade;
static bool told_waived;
static void *mark;			/* what all stacks are, unless NULL */

static int
backtrace(void **pc, int max, int skip)
{
	if (mark == NULL)
		return host_backtrace(pc, max, skip);
	pc[0] = mark;
	return 1;
}

static void
report(const struct lockorder_report *r)
{
	ntold++;
	snprintf(told, sizeof(told), "%s: %s", r->lr_rule, r->lr_message);
	snprintf(told_print, sizeof(told_print), "%s", r->lr_fingerprint);
	snprintf(told_why, sizeof(told_why), "%s", r->lr_why != NULL ? r->lr_why : "");
	told_grade = r->lr_grade;
	told_waived = r->lr_waived != NULL;
}

static void
start(void)
{
	static const struct lockorder_env env = {
		.le_relax = host_relax, .le_map = host_mem_map, .le_backtrace = backtrace,
		.le_report = report,
	};

	lockorder_init(&env);
	memset(thread, 0, sizeof(thread));
	for (unsigned i = 0; i < 3; i++)
		thread[i].hs_runner = i + 1;
	ntold = 0;
	told_print[0] = '\0';
}

static void
start_with(const int rank[4], const enum lockorder_nest nest[4])
{
	static const char *const names[4] = { "a", "b", "c", "gate" };

	start();
	for (uint32_t i = 0; i < 4; i++) {
		node[i] = lockorder_class(names[i], LOCKGRAPH_LOCK, rank[i], nest[i], 0, NULL);
		lockorder_born(node[i], i + 1);
	}
}

static const int no_rank[4];
static const enum lockorder_nest no_nest[4];	/* LO_NEST_NONE */

static void
start_abc(void)
{
	start_with(no_rank, no_nest);
}

static void
take_as(int t, int i, unsigned how)
{
	const struct lockorder_want w = { .lw_lock = &lock[i], .lw_class = node[i],
		.lw_id = (uint32_t)i + 1, .lw_how = (uint8_t)how };

	held_push(&thread[t], &w, lockorder_want(&thread[t], &w));
}

static void
take(int t, int i)
{
	take_as(t, i, LO_WRITE);
}

static void
drop(int t, int i)
{
	held_pop(&thread[t], held_find(&thread[t], &lock[i]));
}

static void
both(int t, int i, int k)
{
	take(t, i);
	take(t, k);
	drop(t, k);
	drop(t, i);
}

enum { A, B, C, GATE };

/* --- what is told --- */

KTEST(once_for_each_fingerprint, "a cycle is told once, from wherever it is closed, and counted")
{
	const struct lockgraph *lg;

	start_abc();
	both(0, B, A);
	both(1, A, B);
	CHECK_EQ(ntold, 1);
	CHECK(strcmp(told_print, "lock-cycle:a>b>a") == 0);
	both(2, A, B);
	both(2, B, A);
	CHECK_EQ(ntold, 1);
	lg = lockorder_export();
	CHECK_EQ(lg->lg_nfindings, 1);
	CHECK_EQ(lg->lg_findings[0].lgv_count, 1);
	CHECK_EQ(lg->lg_findings[0].lgv_ncycle, 2);
	CHECK_EQ(lg->lg_findings[0].lgv_cycle[0].lge_to, lg->lg_findings[0].lgv_cycle[1].lge_from);
	CHECK_EQ(lg->lg_findings[0].lgv_cycle[1].lge_to, lg->lg_findings[0].lgv_cycle[0].lge_from);
}

KTEST(shortest_cycle, "of the cycles that an acquisition closes the shortest is told")
{
	start_abc();
	both(0, A, B);
	both(0, B, C);
	both(0, A, C);
	CHECK_EQ(ntold, 0);
	both(1, C, A);
	CHECK_EQ(ntold, 1);
	CHECK(strcmp(told_print, "lock-cycle:a>c>a") == 0);
}

/* => with what is held a is wanted, at last: a>b>a and a>c>gate>a are closed, b being held for reading or not */
static void
close_two(bool b_first, unsigned how)
{
	start_abc();
	take(0, A);
	take_as(0, B, how);
	drop(0, B);
	drop(0, A);
	both(0, A, C);
	both(0, C, GATE);
	take_as(1, b_first ? B : GATE, b_first ? how : LO_WRITE);
	take_as(1, b_first ? GATE : B, (b_first ? LO_WRITE : how) | LO_TRY);
	CHECK_EQ(ntold, 0);
	take(1, A);
	CHECK_EQ(ntold, 1);
}

KTEST(worst_of_several, "of the cycles that one acquisition closes with several locks the worst is told, of two alike the shorter")
{
	for (int b_first = 0; b_first < 2; b_first++) {
		close_two(b_first, LO_WRITE);
		CHECK(strcmp(told_print, "lock-cycle:a>b>a") == 0);
		close_two(b_first, LO_READ);		/* needs a writer: latent */
		CHECK(strcmp(told_print, "lock-cycle:a>c>gate>a") == 0);
		CHECK_EQ(told_grade, LOCKGRAPH_UNCONFIRMED);
	}
}

/*
 * a -> gate -> b -> c -> a	b for reading: whoever waits for b in a -> gate -> b waits for its readers
 * a ----(r)--> b		who reads it recursively does not, and comes there first
 */
KTEST(cycle_behind_a_recursive_reader, "where a recursive reader gets no further, another one does")
{
	start_abc();
	take(0, A);
	take_as(0, B, LO_READ_REC);
	drop(0, B);
	drop(0, A);
	both(0, A, GATE);
	both(0, GATE, B);
	take_as(0, B, LO_READ);
	take(0, C);
	drop(0, C);
	drop(0, B);
	CHECK_EQ(ntold, 0);
	both(1, C, A);
	CHECK_EQ(ntold, 1);
	CHECK(strcmp(told_print, "lock-cycle:a>gate>b>c>a") == 0);
}

KTEST(new_start_forgets, "after a start nothing is known of before")
{
	start_abc();
	both(0, A, B);
	start_abc();
	both(0, B, A);
	CHECK_EQ(ntold, 0);
	CHECK_EQ(lockorder_export()->lg_nedges, 1);
}

/* --- grades --- */

KTEST(one_runner_is_latent, "what one thread alone does is latent, and told again when a second comes")
{
	start_abc();
	both(0, A, B);
	both(0, B, A);
	CHECK_EQ(ntold, 1);
	CHECK_EQ(told_grade, LOCKGRAPH_LATENT);
	CHECK(strstr(told_why, "second runner") != NULL);
	both(1, B, A);
	CHECK_EQ(ntold, 2);
	CHECK_EQ(told_grade, LOCKGRAPH_UNCONFIRMED);
	both(2, B, A);
	CHECK_EQ(ntold, 2);
}

KTEST(reader_that_waits_for_a_writer, "who wants to read what is held exclusively needs no other writer")
{
	start_abc();
	take(0, A);
	take_as(0, B, LO_READ);
	drop(0, B);
	drop(0, A);
	both(1, B, A);
	CHECK_EQ(ntold, 1);
	CHECK_EQ(told_grade, LOCKGRAPH_UNCONFIRMED);
}

KTEST(two_runners_are_not, "what two threads do is not")
{
	start_abc();
	both(0, A, B);
	both(1, B, A);
	CHECK_EQ(told_grade, LOCKGRAPH_UNCONFIRMED);
}

KTEST(readers_are_latent, "a cycle of readers needs a writer, which is said of whom; writers make it worse")
{
	start_abc();
	for (int t = 0; t < 2; t++) {
		take_as(t, t == 0 ? A : B, LO_READ);
		take_as(t, t == 0 ? B : A, LO_READ);
		drop(t, A);
		drop(t, B);
	}
	CHECK_EQ(ntold, 1);
	CHECK_EQ(told_grade, LOCKGRAPH_LATENT);
	CHECK(strstr(told_why, "needs a writer that waits for ") != NULL);
	both(0, A, B);
	both(1, B, A);
	CHECK_EQ(ntold, 2);
	CHECK_EQ(told_grade, LOCKGRAPH_UNCONFIRMED);
}

static void
gated(int t, int i, int k)
{
	take(t, GATE);
	both(t, i, k);
	drop(t, GATE);
}

KTEST(gate_is_named, "a gate is named, and told again when somebody goes without")
{
	start_abc();
	gated(0, A, B);
	gated(1, B, A);
	CHECK_EQ(ntold, 1);
	CHECK_EQ(told_grade, LOCKGRAPH_GUARDED);
	CHECK(strstr(told_why, "gate") != NULL);
	both(1, B, A);
	CHECK_EQ(ntold, 2);
	CHECK_EQ(told_grade, LOCKGRAPH_UNCONFIRMED);
}

KTEST(second_gate, "when a second lock of the gate's class is made, it is no gate any more")
{
	start_abc();
	gated(0, A, B);
	gated(1, B, A);
	CHECK_EQ(told_grade, LOCKGRAPH_GUARDED);
	lockorder_born(node[GATE], 17);
	both(2, A, C);			/* something new is judged, and grades are */
	CHECK_EQ(ntold, 2);
	CHECK_EQ(lockorder_export()->lg_findings[0].lgv_grade, LOCKGRAPH_UNCONFIRMED);
	CHECK_EQ(ntold, 2);
}

KTEST(gate_for_a_reader, "nor is what somebody holds for reading only, there")
{
	start_abc();
	gated(0, A, B);
	gated(1, B, A);
	CHECK_EQ(told_grade, LOCKGRAPH_GUARDED);
	take_as(1, GATE, LO_READ);
	both(1, B, A);
	drop(1, GATE);
	CHECK_EQ(ntold, 2);
	CHECK_EQ(told_grade, LOCKGRAPH_UNCONFIRMED);
}

/* --- ranks, families, contexts --- */

/* => a, b, c, gate: of these ranks; the last two are equal */
static void
start_ranks(enum lockorder_nest c, enum lockorder_nest gate)
{
	static const int rank[4] = { 10, 20, 30, 30 };

	start_with(rank, (const enum lockorder_nest[4]){ 0, 0, c, gate });
}

KTEST(highest_rank_is_told, "of all that is held and may not come first, the one of highest rank is told, whichever was taken first")
{
	for (int c_first = 0; c_first < 2; c_first++) {
		start_ranks(LO_NEST_NONE, LO_NEST_NONE);
		take(0, c_first ? C : B);
		take_as(0, c_first ? B : C, LO_TRY);
		CHECK_EQ(ntold, 0);
		take(0, A);
		CHECK_EQ(ntold, 1);
		CHECK(strcmp(told_print, "lock-order:c>a") == 0);
	}
}

KTEST(shortest_story_of_a_rank, "a finding about ranks is told with the first circle that is found, and keeps it")
{
	start_ranks(LO_NEST_NONE, LO_NEST_NONE);
	both(0, A, C);
	both(1, C, A);
	CHECK(strcmp(told_print, "lock-order:c>a") == 0);
	CHECK_EQ(lockorder_export()->lg_findings[0].lgv_ncycle, 2);
	both(0, A, B);
	both(0, B, C);
	CHECK_EQ(ntold, 1);
	CHECK_EQ(lockorder_export()->lg_nfindings, 1);
	CHECK_EQ(lockorder_export()->lg_findings[0].lgv_ncycle, 2);
}

KTEST(equal_ranks, "classes of one rank do not nest, unless both do as they like")
{
	for (unsigned any = 0; any < 4; any++) {
		start_ranks(any & 1 ? LO_NEST_ANY : LO_NEST_NONE, any & 2 ? LO_NEST_ANY : LO_NEST_NONE);
		both(0, C, GATE);
		CHECK_EQ(ntold, any != 3);
		CHECK(any == 3 || strcmp(told_print, "lock-order:c>gate") == 0);
	}
}

KTEST(family, "between classes of one family there is no order, with others there is")
{
	start_abc();
	lockorder_family(node[A], 7);
	lockorder_family(node[B], 7);
	lockorder_family(node[C], 8);
	both(0, A, B);
	both(1, B, A);
	CHECK_EQ(ntold, 0);
	CHECK_EQ(lockorder_export()->lg_nedges, 0);
	both(0, A, C);
	both(1, C, A);
	CHECK_EQ(ntold, 1);
}

KTEST(peer_of_whom_it_interrupts, "two of a class do not nest; but one that a handler takes is in none of the interrupted thread's")
{
	struct lockorder_want w = { .lw_lock = &lock[B], .lw_id = 2, .lw_ipl = 7 };

	for (uint8_t depth = 0; depth < 2; depth++) {
		start_abc();
		w.lw_class = node[A];
		w.lw_depth = depth;
		w.lw_level = depth != 0 ? 5 : 0;
		held_push(&thread[0], &(struct lockorder_want){ .lw_lock = &lock[A], .lw_class = node[A],
		    .lw_id = 1, .lw_ipl = 7 }, 1);
		lockorder_want(&thread[0], &w);
		CHECK_EQ(ntold, depth == 0);
		CHECK(depth != 0 || strcmp(told_print, "lock-nesting:a") == 0);
	}
}

/* --- waivers --- */

static int nunused;

static void
unused(void *arg, const char *print, const char *where)
{
	nunused++;
	CHECK(strcmp(print, "lock-cycle:x>y>x") == 0);
	CHECK(strcmp(where, "file:7") == 0);
}

KTEST(waived, "a waived finding is told as such, and kept with its reason; a waiver without use is known")
{
	start_abc();
	CHECK_EQ(lockorder_waive("lock-cycle:a>b>a", "because", "file:3"), 0);
	CHECK_EQ(lockorder_waive("lock-cycle:x>y>x", "no more", "file:7"), 0);
	both(0, A, B);
	both(1, B, A);
	CHECK(told_waived);
	CHECK(strcmp(lockorder_export()->lg_findings[0].lgv_waived, "because") == 0);
	lockorder_unused_waivers(unused, NULL);
	CHECK_EQ(nunused, 1);
}

KTEST(waiver_by_prefix, "a waiver that ends in * stands for all that begin so")
{
	start_abc();
	CHECK_EQ(lockorder_waive("lock-cycle:a>*", "because", "file:3"), 0);
	both(0, A, B);
	both(1, B, A);
	CHECK(told_waived);
	both(0, B, C);
	both(1, C, B);
	CHECK_EQ(ntold, 2);
	CHECK(!told_waived);
}

KTEST(waiver_needs_reason, "a waiver without a reason is refused")
{
	start_abc();
	CHECK_EQ(lockorder_waive("lock-cycle:a>b>a", " \t", "file:3"), EINVAL);
}

KTEST(no_waiver_for_facts, "what is wrong whatever others do is not waived")
{
	start_abc();
	CHECK_EQ(lockorder_waive("rule:x", "because", "file:3"), 0);
	CHECK(lockorder_finding("rule", "rule:x", LOCKGRAPH_UNGRADED, LOCKGRAPH_NONE, "it is wrong"));
	CHECK(!told_waived);
	CHECK(!lockorder_finding("rule", "rule:x", LOCKGRAPH_UNGRADED, LOCKGRAPH_NONE, "it is wrong"));
	CHECK_EQ(lockorder_export()->lg_findings[0].lgv_count, 2);
}

/* --- what is held, and kept --- */

KTEST(held_in_any_order, "locks are released in any order, and a chain is that of the locks still held")
{
	static char many[500];
	uint64_t chain;

	start_abc();
	take(0, A);
	take(0, C);
	chain = thread[0].hs_v[1].hl_chain;
	drop(0, C);
	take(0, B);
	take(0, C);
	CHECK(thread[0].hs_v[2].hl_chain != chain);
	drop(0, B);
	CHECK_EQ(thread[0].hs_v[1].hl_chain, chain);
	drop(0, A);
	drop(0, C);
	for (uint32_t i = 0; i < 500; i++) {
		const struct lockorder_want w = { .lw_lock = &many[i], .lw_class = node[A], .lw_id = i,
			.lw_how = LO_TRY };

		held_push(&thread[0], &w, lockorder_want(&thread[0], &w));
	}
	for (int i = 0; i < 500; i += 2)
		held_pop(&thread[0], held_find(&thread[0], &many[i]));
	CHECK_EQ(thread[0].hs_n, 250);
	for (int i = 0; i < 500; i++)
		CHECK_EQ(held_find(&thread[0], &many[i]) != NULL, i % 2);
	held_fini(&thread[0]);
}

KTEST(export_has_all, "the graph has classes, edges by mode, and a stack at each end")
{
	const struct lockgraph *lg;
	const struct lockgraph_edge *e;

	start_abc();
	take_as(0, A, LO_READ);
	take_as(0, B, LO_WRITE | LO_TRY);
	take(0, C);
	lg = lockorder_export();
	CHECK_EQ(lg->lg_nclasses, 4);
	CHECK(strcmp(lg->lg_classes[3].lgc_name, "gate") == 0);
	CHECK((lg->lg_classes[node[A]].lgc_usage & LOCKGRAPH_READ) != 0);
	CHECK((lg->lg_classes[node[B]].lgc_usage & LOCKGRAPH_TRY) != 0);
	CHECK_EQ(lg->lg_nedges, 2);	/* none to what was tried */
	for (uint32_t i = 0; i < 2; i++) {
		e = &lg->lg_edges[i];
		CHECK_EQ(e->lge_to, node[C]);
		CHECK_EQ(e->lge_from_mode, e->lge_from == node[A] ? LOCKGRAPH_M_READ : LOCKGRAPH_M_WRITE);
		CHECK(e->lge_from_trace < lg->lg_ntraces);
		CHECK(e->lge_to_trace < lg->lg_ntraces);
		CHECK(lg->lg_traces[e->lge_to_trace].lgt_n > 1);
	}
	CHECK_EQ(lg->lg_chains, 3);
	CHECK_EQ(lg->lg_lost, 0);
}

KTEST(newest_hold, "of a lock that is held twice the newest hold is the one that is released")
{
	start_abc();
	take_as(0, A, LO_READ_REC);
	take(0, B);
	take_as(0, A, LO_READ_REC);
	CHECK(held_find(&thread[0], &lock[A]) == &thread[0].hs_v[2]);
	drop(0, A);
	CHECK(held_find(&thread[0], &lock[A]) == &thread[0].hs_v[0]);
}

static bool
stack_is(const struct lockgraph *lg, uint32_t trace, void *at)
{
	return trace != LOCKGRAPH_NONE && lg->lg_traces[trace].lgt_n == 1 &&
	    lg->lg_frames[lg->lg_traces[trace].lgt_first].lgf_offset == (uint64_t)(uintptr_t)at;
}

KTEST(edge_has_both_stacks, "an edge begins where the one lock was taken, and ends where the other was wanted")
{
	static char first, second;
	const struct lockgraph *lg;

	start_abc();
	mark = &first;
	take(0, A);
	mark = &second;
	take(0, B);
	lg = lockorder_export();
	CHECK_EQ(lg->lg_nedges, 1);
	CHECK(stack_is(lg, lg->lg_edges[0].lge_from_trace, &first));
	CHECK(stack_is(lg, lg->lg_edges[0].lge_to_trace, &second));
}

KTEST(kinds_of_edges, "to wait for an event, and to want what its end needs, is no order of locks")
{
	const struct lockgraph *lg;
	struct lockorder_want w = { .lw_lock = &lock[GATE], .lw_how = LO_WRITE | LO_TRY | LO_EVENT };

	start_abc();
	w.lw_class = lockorder_class("event", LOCKGRAPH_EVENT, 0, LO_NEST_NONE, 0, NULL);
	held_push(&thread[0], &w, lockorder_want(&thread[0], &w));
	take(0, A);
	drop(0, A);
	drop(0, GATE);
	w.lw_lock = NULL;
	w.lw_how = LO_WRITE;
	take(1, A);
	lockorder_want(&thread[1], &w);
	CHECK_EQ(ntold, 1);
	CHECK(strstr(told, "waits go round") != NULL);
	lg = lockorder_export();
	CHECK_EQ(lg->lg_nedges, 2);
	CHECK_EQ(lg->lg_edges[0].lge_kind, LOCKGRAPH_PROVIDE);
	CHECK_EQ(lg->lg_edges[1].lge_kind, LOCKGRAPH_WAIT);
	both(0, B, C);
	CHECK_EQ(lockorder_export()->lg_edges[2].lge_kind, LOCKGRAPH_ORDER);
}

KTEST(known_chain_is_cached, "a known chain is not validated again, even when thousands came between")
{
	static char many[8192];
	const struct lockgraph *lg;
	uint64_t before;

	start_abc();
	both(0, A, B);
	both(1, A, B);
	before = lockorder_export()->lg_edges[0].lge_count;
	for (int i = 0; i < 8192; i++) {
		const struct lockorder_want w = { .lw_lock = &many[i], .lw_class = node[C],
			.lw_where = &many[i] };

		lockorder_want(&thread[2], &w);
	}
	both(0, A, B);
	lg = lockorder_export();
	CHECK_EQ(lg->lg_edges[0].lge_count, before);
	CHECK_EQ(lg->lg_chains, 2 + 8192);
}

KTEST(known_to_all_at_one_look, "a chain that a second runner has gone is known to all by the inline look-up")
{
	static char place[64];
	uint64_t chain[64];
	int at_once = 0;

	start_abc();
	for (int round = 0; round < 2; round++)
		for (int i = 0; i < 64; i++) {
			const struct lockorder_want w = { .lw_lock = &lock[A], .lw_class = node[A],
				.lw_where = &place[i] };

			chain[i] = lockorder_want(&thread[round], &w);
			CHECK(lockorder_known(chain[i], thread[round].hs_runner));
			CHECK_EQ(lockorder_known(chain[i], thread[2].hs_runner), round);
		}
	/* of what one runner alone did nothing is left, so there is room for the next chains */
	for (int i = 0; i < 64; i++)
		at_once += lockorder_known_at(lockorder_place(chain[i]), chain[i], 0);
	CHECK(at_once >= 60);
}

/* --- interrupts --- */

/* => a lock is taken at an IPL; depth 1: by an interrupt of a level */
static void
take_at(int i, unsigned how, int ipl, unsigned depth, int level)
{
	const struct lockorder_want w = { .lw_lock = &lock[i], .lw_class = node[i], .lw_id = (uint32_t)i + 1,
		.lw_how = (uint8_t)how, .lw_ipl = (uint8_t)ipl, .lw_depth = (uint8_t)depth, .lw_level = (uint8_t)level };

	held_push(&thread[0], &w, lockorder_want(&thread[0], &w));
}

static void
in_interrupt(int i, unsigned how, int level)
{
	take_at(i, how, 7, 1, level);	/* it keeps all others out: so it is open nowhere here */
	drop(0, i);
}

static void
open_at(int i, unsigned how, int ipl)
{
	take_at(i, how, ipl, 0, 0);
	drop(0, i);
}

KTEST(highest_level_counts, "a class that interrupts of two levels take is kept from the higher one, whichever came first")
{
	for (int high = 0; high < 2; high++) {
		start_abc();
		in_interrupt(A, LO_WRITE, high ? 5 : 3);
		in_interrupt(A, LO_WRITE, high ? 3 : 5);
		open_at(A, LO_WRITE, 5);
		CHECK_EQ(ntold, 0);
		open_at(A, LO_WRITE, 3);
		CHECK_EQ(ntold, 1);
		CHECK(strcmp(told_print, "ipl-inversion:a") == 0);
	}
}

KTEST(interrupt_of_an_interrupt, "what a handler takes that interrupts another one counts as well")
{
	start_abc();
	take_at(A, LO_WRITE, 7, 2, 6);
	drop(0, A);
	open_at(A, LO_WRITE, 5);
	CHECK_EQ(ntold, 1);
	CHECK(strcmp(told_print, "ipl-inversion:a") == 0);
}

KTEST(readers_in_interrupts, "who reads there waits for a writer below, and for a reader only if writers come between; a recursive one does not")
{
	static const struct { unsigned intr, open; int told; enum lockgraph_grade grade; } want[] = {
		{ LO_WRITE, LO_WRITE, 1, LOCKGRAPH_UNCONFIRMED }, { LO_WRITE, LO_READ, 1, LOCKGRAPH_UNCONFIRMED },
		{ LO_READ, LO_WRITE, 1, LOCKGRAPH_UNCONFIRMED }, { LO_READ, LO_READ, 1, LOCKGRAPH_LATENT },
		{ LO_READ_REC, LO_WRITE, 1, LOCKGRAPH_UNCONFIRMED }, { LO_READ_REC, LO_READ, 0, 0 },
		{ LO_WRITE | LO_TRY, LO_WRITE, 0, 0 }, { LO_WRITE, LO_WRITE | LO_TRY, 1, LOCKGRAPH_UNCONFIRMED },
	};

	for (unsigned i = 0; i < sizeof(want) / sizeof(want[0]); i++)
		for (int first = 0; first < 2; first++) {
			start_abc();
			if (first)
				open_at(A, want[i].open, 0);
			in_interrupt(A, want[i].intr, 5);
			if (!first)
				open_at(A, want[i].open, 0);
			CHECK_EQ(ntold, want[i].told);
			CHECK(ntold == 0 || told_grade == want[i].grade);
		}
}

KTEST(all_that_interrupts_take, "what one class leads to is judged, whichever others interrupts take, before and after")
{
	for (int i = A; i <= C; i++) {
		start_abc();
		for (int k = A; k <= C; k++)
			in_interrupt(k, LO_WRITE, 5);
		open_at(GATE, LO_WRITE, 0);
		CHECK_EQ(ntold, 0);
		take_at(i, LO_WRITE, 5, 0, 0);
		take_at(GATE, LO_WRITE, 5, 0, 0);
		CHECK_EQ(ntold, 1);
		CHECK(strncmp(told_print, "ipl-inversion:", 14) == 0 && strstr(told_print, ">gate") != NULL);
	}
}

KTEST(order_from_readers, "an interrupt that reads a waits for who has it for writing, and wants b; recursively, not for who reads it")
{
	static const struct { unsigned intr, held; int told; } want[] = { { LO_WRITE, LO_WRITE, 1 }, { LO_WRITE, LO_READ, 1 },
		{ LO_READ, LO_WRITE, 1 }, { LO_READ, LO_READ, 1 }, { LO_READ_REC, LO_WRITE, 1 }, { LO_READ_REC, LO_READ, 0 } };

	for (unsigned i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
		start_abc();
		in_interrupt(A, want[i].intr, 5);
		open_at(B, LO_WRITE, 0);
		take_at(A, want[i].held, 5, 0, 0);
		take_at(B, LO_WRITE, 5, 0, 0);
		CHECK_EQ(ntold, want[i].told);
	}
}

KTEST(interrupts_come_to_all, "what interrupts alone do needs no second runner, whoever they interrupt")
{
	start_abc();
	take_at(A, LO_WRITE, 7, 1, 5);
	in_interrupt(B, LO_WRITE, 5);
	drop(0, A);
	take_at(B, LO_WRITE, 7, 1, 5);
	in_interrupt(A, LO_WRITE, 5);
	CHECK_EQ(ntold, 1);
	CHECK_EQ(told_grade, LOCKGRAPH_UNCONFIRMED);
}

KTEST(whatever_is_seen_last, "an interrupt takes a; b is wanted with a in hand; b is held where it may come in: told with the last of these")
{
	for (int last = 0; last < 3; last++) {
		start_abc();
		open_at(A, LO_WRITE, 5);	/* each by itself: then the order alone is new */
		open_at(B, LO_WRITE, 5);
		for (int k = 1; k <= 3; k++) {
			CHECK_EQ(ntold, 0);
			switch ((last + k) % 3) {
			case 0:
				in_interrupt(A, LO_WRITE, 5);
				break;
			case 1:
				take_at(A, LO_WRITE, 5, 0, 0);
				open_at(B, LO_WRITE, 5);
				drop(0, A);
				break;
			case 2:
				open_at(B, LO_WRITE, 0);
				break;
			}
		}
		CHECK_EQ(ntold, 1);
		CHECK(strcmp(told_print, "ipl-inversion:a>b") == 0);
	}
}

KTEST(inversion_has_both_stacks, "of an inversion are told where an interrupt of the highest level took it, and where it was held at the lowest IPL")
{
	static char high, low, there, elsewhere;
	const struct lockgraph *lg;

	for (int high_first = 0; high_first < 2; high_first++) {
		start_abc();
		for (int i = 0; i < 2; i++) {
			mark = i != high_first ? &high : &low;
			in_interrupt(A, LO_WRITE, mark == &high ? 5 : 3);
		}
		mark = &there;
		open_at(A, LO_WRITE, 1);
		mark = &elsewhere;		/* has been told */
		open_at(A, LO_WRITE, 0);
		CHECK_EQ(ntold, 1);
		lg = lockorder_export();
		CHECK(stack_is(lg, lg->lg_findings[0].lgv_trace, &high));
		CHECK(stack_is(lg, lg->lg_findings[0].lgv_held, &there));

		start_abc();
		for (int i = 0; i < 2; i++) {
			mark = i != high_first ? &high : &low;
			open_at(A, LO_WRITE, mark == &high ? 2 : 1);
		}
		in_interrupt(A, LO_WRITE, 5);
		lg = lockorder_export();
		CHECK(stack_is(lg, lg->lg_findings[0].lgv_held, &low));
	}
}

KTEST(finding_with_where_it_is_open, "where a lock is held goes with a finding about an interrupt that may come there, and not with another")
{
	static char there;

	start_abc();
	mark = &there;
	open_at(A, LO_WRITE, 5);
	mark = NULL;
	CHECK(lockorder_finding("rule", "rule:a", LOCKGRAPH_UNGRADED, LOCKGRAPH_NONE, "it is wrong"));
	lockorder_finding_open("rule:a", node[A], 5);
	CHECK_EQ(lockorder_export()->lg_findings[0].lgv_held, LOCKGRAPH_NONE);
	lockorder_finding_open("rule:a", node[A], 6);
	CHECK(stack_is(lockorder_export(), lockorder_export()->lg_findings[0].lgv_held, &there));
}

KTEST(order_through_readers, "who is waited for in an interrupt waits for readers of another lock that are open, unless he reads recursively")
{
	static const struct { unsigned wanted; int told; } want[] = { { LO_WRITE, 1 }, { LO_READ, 1 }, { LO_READ_REC, 0 } };

	for (unsigned i = 0; i < 3; i++) {
		start_abc();
		in_interrupt(A, LO_WRITE, 5);
		open_at(B, LO_READ, 0);
		take_at(A, LO_WRITE, 5, 0, 0);
		take_at(B, want[i].wanted, 5, 0, 0);
		CHECK_EQ(ntold, want[i].told);
	}
}

KTEST_MAIN()
