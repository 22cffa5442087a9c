/*
 * The story of a controlled execution that fails: who ran last, one after the other, what happened in
 * his turn by the histories of the CPUs, and where he stopped.
 *
 * A turn is what a thread does between two switches.  The newest TURNS are kept; the story begins so
 * late that it stays short, and ends when what it is about has been found.
 */
#include <stdlib.h>
#include <string.h>

#include <harness/engine.h>
#include <harness/xalloc.h>
#include <host/sched.h>
#include <sys/kernhist.h>

#include "engine_int.h"

#define	TURNS		256
#define	TURN_EVENTS	32		/* kept of a turn: the last ones */
#define	TOLD_MIN	3		/* of which so many are told, or more if there is room */
#define	TURN_FRAMES	16
#define	FRAMES_TOLD	5
#define	LINES_MAX	42
#define	OBJECTS_TOLD	2		/* of those that the violation is about */
#define	HISTORY_TOLD	6		/* what happened to each, the last of it */

struct turn {
	unsigned	 tu_thread;
	uint32_t	 tu_lwp;		/* 0: none */
	int		 tu_cpu;		/* -1: none */
	bool		 tu_idle, tu_load, tu_ends;
	char		 tu_name[LWP_NAME_MAX];
	enum host_choice tu_why;		/* it ended */
	void		*tu_pcs[TURN_FRAMES];	/* there */
	int		 tu_npcs;
	struct kern_history_ent tu_ev[TURN_EVENTS];
	size_t		 tu_nev, tu_more;	/* those before them */
};

/* All of it: whoever runs in the schedule. */
static struct {
	const char	*st_about;	/* fingerprint; NULL: there is no story */
	bool		 st_over;
	char		*st_end;	/* "tlb I-LOAN-1: ..." */
	struct turn	*st_turns;	/* number n at n % TURNS */
	size_t		 st_n;
	uint64_t	*st_seen;	/* bytes of each CPU's history that are told */
} st;

/* --- while it happens --- */

/* => without those that say no more than what comes after them: a handler's own events tell what it did */
static size_t
leave_out(struct kern_history_ent *ev, size_t n)
{
	size_t kept = 0;

	for (size_t i = 0; i < n; i++)
		if (ev[i].ke_kind != KE_interrupt)
			ev[kept++] = ev[i];
	return kept;
}

static void
take_events(struct turn *tu)
{
	struct kern_history_ent ev[TURN_EVENTS];

	for (int c = 0; cpus != NULL && c < ncpu; c++) {
		const struct kern_history *kh = cpus[c].ci_history;
		size_t n, got;

		if (kh == NULL)
			continue;
		n = (size_t)((kh->kh_bytes - st.st_seen[c]) / sizeof(ev[0]));
		st.st_seen[c] = kh->kh_bytes;
		got = n == 0 ? 0 : kernhist_copy(&cpus[c], ev, n < TURN_EVENTS ? n : TURN_EVENTS);
		got = leave_out(ev, got);
		if (got == 0)
			continue;
		/* one thread ran, so on one CPU, or on two when it changed */
		tu->tu_more += tu->tu_nev + (n > TURN_EVENTS ? n - TURN_EVENTS : 0);
		tu->tu_nev = got;
		memcpy(tu->tu_ev, ev, got * sizeof(ev[0]));
	}
}

static void
turn_ends(enum host_choice why)
{
	struct turn *tu = &st.st_turns[st.st_n++ % TURNS];
	const struct lwp *l = curlwp;

	memset(tu, 0, sizeof(*tu));
	tu->tu_thread = host_sched_self();
	tu->tu_why = why;
	tu->tu_cpu = -1;
	tu->tu_load = host_sched_loaded();
	snprintf(tu->tu_name, sizeof(tu->tu_name), "%s", host_sched_name(tu->tu_thread));
	if (l != NULL) {
		tu->tu_lwp = l->l_id;
		tu->tu_idle = l->l_idle;
		tu->tu_cpu = l->l_cpu != NULL ? l->l_cpu->ci_index : -1;
		snprintf(tu->tu_name, sizeof(tu->tu_name), "%s", l->l_name);
	}
	take_events(tu);
	tu->tu_ends = l == NULL;
	if (tu->tu_nev != 0) {
		tu->tu_cpu = tu->tu_ev[tu->tu_nev - 1].ke_cpu;
		if (l == NULL)			/* it is gone, and was that of the last event */
			tu->tu_lwp = tu->tu_ev[tu->tu_nev - 1].ke_lwp;
	}
	tu->tu_npcs = host_backtrace(tu->tu_pcs, TURN_FRAMES, 1);
}

void
story_leave(enum host_choice why, unsigned next)
{
	if (!st.st_over)
		turn_ends(why);
}

static void
put_event(const struct result_event *re, FILE *out)
{
	fprintf(out, "       CPU %d, LWP %u: %s\n", re->re_cpu, re->re_lwp, re->re_what);
}

/* => the number of the last event of that kind, of that CPU if it is one; or res_n */
static size_t
last_of(const struct result_events *res, const char *kind, int cpu)
{
	for (size_t i = res->res_n; i-- > 0;)
		if ((cpu < 0 || res->res_v[i].re_cpu == cpu) && strncmp(res->res_v[i].re_what, kind, strlen(kind)) == 0)
			return i;
	return res->res_n;
}

/*
 * The last of it.  And if a TLB has what the page tables no longer say, how it came by that: the last walk
 * of that CPU; and the last time that rights were taken, of which it was not told.
 */
static void
put_history(const struct result_events *res, bool tlb, int cpu, FILE *out)
{
	const size_t fill = tlb ? last_of(res, "tlb_fill", cpu) : res->res_n;
	const size_t taken = tlb ? last_of(res, "pmap_page_protect", -1) : res->res_n;
	size_t next = 0;

	for (size_t i = 0; i < res->res_n; i++) {
		if (i != fill && i != taken && res->res_n - i > HISTORY_TOLD)
			continue;
		if (next != 0 && i > next)
			fprintf(out, "       ... %zu events\n", i - next);
		put_event(&res->res_v[i], out);
		next = i + 1;
	}
}

/* => what was found, and what had happened to what it is about */
static char *
end_text(const struct result_violation *rv)
{
	char *text = NULL;
	size_t len;
	FILE *out = xcheck(open_memstream(&text, &len));

	fprintf(out, "%s %s: %s\n", rv->rv_kind, rv->rv_id, rv->rv_message);
	for (size_t i = 0; i < rv->rv_nobjects && i < OBJECTS_TOLD; i++) {
		fprintf(out, "     %s:\n", rv->rv_objects[i].ro_name);
		put_history(&rv->rv_objects[i].ro_history, strcmp(rv->rv_kind, "tlb") == 0, rv->rv_cpu, out);
	}
	fclose(out);
	return xcheck(text);
}

void
story_found(const struct result_violation *rv)
{
	char print[17];

	if (st.st_about == NULL || st.st_over || strcmp(result_fingerprint(rv, print), st.st_about) != 0)
		return;
	turn_ends(HC_POINT);
	st.st_over = true;
	st.st_end = end_text(rv);
}

void
story_begin(const char *about)
{
	memset(&st, 0, sizeof(st));
	st.st_about = about;
	st.st_turns = xcalloc(TURNS, sizeof(*st.st_turns));
	st.st_seen = xcalloc(MAXCPUS, sizeof(*st.st_seen));
}

/* --- told --- */

/* => is the frame part of how threads are switched, rather than of why? */
static bool
is_switching(const char *frame)
{
	static const char *const names[] = { "story_", "turn_", "host_", "hand_to", "switch_to", "sched_",
		"controlled_", "choose", "kernhist_", "record", "found_", "violation", "lwp_switch", "lwp_block",
		"sleepq_", "report" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strncmp(frame, names[i], strlen(names[i])) == 0)
			return true;
	return false;
}

static void
put_where(const struct turn *tu, FILE *out)
{
	char text[512];
	int told = 0;

	for (int i = 0; i < tu->tu_npcs && told < FRAMES_TOLD; i++) {
		host_symbolise(tu->tu_pcs[i], text, sizeof(text));
		text[strcspn(text, "+ ")] = '\0';
		if (text[0] == '\0' || (told == 0 && is_switching(text)))
			continue;
		if (strcmp(text, "pool_main") == 0 || strcmp(text, "main") == 0)
			break;
		fprintf(out, "%s%s", told++ == 0 ? "" : " < ", text);
	}
	fputs(told == 0 ? "the scheduler\n" : "\n", out);
}

/* => is it of no load, or did it do no more than to leave its CPU, or nothing at all? */
static bool
is_empty(const struct turn *tu)
{
	for (size_t i = 0; i < tu->tu_nev && tu->tu_load; i++)
		if (tu->tu_ev[i].ke_kind != KE_lwp_sleep && tu->tu_ev[i].ke_kind != KE_lwp_switch)
			return false;
	return !tu->tu_load || tu->tu_idle || tu->tu_lwp == 0 || tu->tu_why != HC_POINT;
}

static void
put_turn(size_t number, const struct turn *tu, size_t told, bool last, FILE *out)
{
	static const char *const ends[] = {
		[HC_POINT] = "is put off in", [HC_YIELD] = "spins in", [HC_BLOCKED] = "waits in",
	};
	const size_t from = tu->tu_nev > told ? tu->tu_nev - told : 0;
	char what[160];

	fprintf(out, "%3zu. ", number);
	if (tu->tu_cpu >= 0)
		fprintf(out, "CPU %d, ", tu->tu_cpu);
	if (tu->tu_lwp != 0)
		fprintf(out, "LWP %u (%s)\n", tu->tu_lwp, tu->tu_name);
	else
		fprintf(out, "thread %s\n", tu->tu_name);
	if (tu->tu_more + from != 0)
		fprintf(out, "       ... %zu events before these\n", tu->tu_more + from);
	for (size_t i = from; i < tu->tu_nev; i++) {
		kernhist_say(&tu->tu_ev[i], what, sizeof(what));
		fprintf(out, "       %s%s\n", tu->tu_ev[i].ke_intr != 0 ? "interrupt: " : "", what);
	}
	if (tu->tu_ends && !last) {
		fprintf(out, "     ends\n");
		return;
	}
	fprintf(out, "     %s ", last ? "is found out in" : ends[tu->tu_why]);
	put_where(tu, out);
}

char *
story_text(void)
{
	const size_t oldest = st.st_n > TURNS ? st.st_n - TURNS : 0, last = st.st_n - 1;
	size_t first = last, turns = 1, number = 0, empty = 0, told, len;
	char *text = NULL;
	FILE *out;

	if (!st.st_over)
		return NULL;
	out = xcheck(open_memstream(&text, &len));
	for (; first > oldest && (turns + 1) * (TOLD_MIN + 3) <= LINES_MAX; first--)
		turns += !is_empty(&st.st_turns[(first - 1) % TURNS]);
	told = LINES_MAX / turns - 3;
	for (size_t i = first; i <= last; i++) {
		const struct turn *tu = &st.st_turns[i % TURNS];

		if (i < last && is_empty(tu))
			empty++;
		else
			put_turn(++number, tu, told, i == last, out);
	}
	fprintf(out, "%3zu. %s", number + 1, st.st_end);
	if (empty != 0)
		fprintf(out, "(%zu turns of which there is nothing to tell are left out)\n", empty);
	fclose(out);
	return xcheck(text);
}

void
story_fini(void)
{
	free(st.st_turns);
	free(st.st_seen);
	free(st.st_end);
	memset(&st, 0, sizeof(st));
}
