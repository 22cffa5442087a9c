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
		.le_relax = host_relax, .le_map = host_mem_map, .le_backtrace = host_backtrace,
		.le_report = report,
	};

	lockorder_init(&env);
	memset(thread, 0, sizeof(thread));
	for (unsigned i = 0; i < 3; i++)
		thread[i].hs_runner = i + 1;
	ntold = 0;
}

static void
start_abc(void)
{
	static const char *const names[4] = { "a", "b", "c", "gate" };

	start();
	for (uint32_t i = 0; i < 4; i++) {
		node[i] = lockorder_class(names[i], LOCKGRAPH_LOCK, 0, LO_NEST_NONE, 0, NULL);
		lockorder_born(node[i], i + 1);
	}
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
	CHECK_EQ(lockorder_export()->lg_findings[0].lgv_grade, LOCKGRAPH_UNCONFIRMED);
	CHECK_EQ(ntold, 2);
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
