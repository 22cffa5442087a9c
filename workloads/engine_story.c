/*
 * The story of a controlled execution that fails: who ran last, one after the other, what happened in
 * his turn, in which function, and where he stopped.
 *
 * A turn is what a thread does between two switches.  The newest are kept.  Told are the last of them
 * and those before them in which something happened to what the violation is about, so many that it
 * stays short; of a turn, likewise, its last events and those about that, and by name the functions
 * that led to the others.  In the end there is the history of what it is about.
 */
#include <stdlib.h>
#include <string.h>

#include <harness/engine.h>
#include <harness/xalloc.h>
#include <host/sched.h>
#include <sys/kernhist.h>

#include "engine_int.h"

#define	TURNS		1024		/* kept: the last ones */
#define	EVENTS		16384		/* likewise */
#define	TURNS_LAST	3		/* told in any case */
#define	TOLD_MIN	3		/* of which so many are told, or more if there is room */
#define	TURN_FRAMES	16
#define	FRAMES_TOLD	5
#define	EVENT_FRAMES	10
#define	EVENT_TOLD	3
#define	WHERE_LEN	200
#define	PASSED_MAX	16		/* functions named of events that are not told */
#define	NAME_LEN	64
#define	COLUMNS		120
#define	KNOWN		4096
#define	LINES_MAX	42
#define	SUBJECTS	4		/* of the violation, for whose sake turns and events are told */
#define	OBJECTS_TOLD	2		/* of those that the violation is about */
#define	HISTORY_TOLD	6		/* what happened to each, the last of it */

struct happening {
	struct kern_history_ent ha_ev;
	void		*ha_pcs[EVENT_FRAMES];	/* there */
	int		 ha_npcs;
};

struct turn {
	unsigned	 tu_thread;
	uint32_t	 tu_lwp;		/* 0: none */
	int		 tu_cpu;		/* -1: none */
	bool		 tu_idle, tu_load, tu_ends;
	char		 tu_name[LWP_NAME_MAX];
	enum host_choice tu_why;		/* it ended */
	void		*tu_pcs[TURN_FRAMES];	/* there */
	int		 tu_npcs;
	size_t		 tu_first, tu_end;	/* its events: numbers */
};

/* All of it: whoever runs in the schedule. */
static struct {
	const char	*st_about;	/* fingerprint; NULL: there is no story */
	bool		 st_over;
	char		*st_end;	/* "tlb I-LOAN-1: ..." */
	struct turn	*st_turns;	/* number n at n % TURNS */
	size_t		 st_n;		/* the one under way */
	struct happening *st_ev;	/* number n at n % EVENTS */
	size_t		 st_nev;
	struct { enum kern_subject what; uint32_t id; } st_subjects[SUBJECTS];
	size_t		 st_nsubjects;
	struct function { void *pc; char name[NAME_LEN]; } *st_known;	/* at pc % KNOWN */
} st;

/* --- while it happens --- */

void
story_event(const struct kern_history_ent *ke)
{
	struct happening *ha = &st.st_ev[st.st_nev % EVENTS];

	/* that of an interrupt says no more than what comes after it: what its handler did */
	if (st.st_over || ke->ke_kind == KE_interrupt)
		return;
	ha->ha_ev = *ke;
	ha->ha_npcs = host_backtrace(ha->ha_pcs, EVENT_FRAMES, 1);
	st.st_nev++;
}

static void
turn_ends(enum host_choice why)
{
	struct turn *tu = &st.st_turns[st.st_n % TURNS];
	const struct happening *last = &st.st_ev[(st.st_nev - 1) % EVENTS];
	const struct lwp *l = curlwp;

	*tu = (struct turn){ .tu_thread = host_sched_self(), .tu_why = why, .tu_cpu = -1,
	    .tu_load = host_sched_loaded(), .tu_ends = l == NULL, .tu_end = st.st_nev,
	    .tu_first = st.st_n != 0 ? st.st_turns[(st.st_n - 1) % TURNS].tu_end : 0 };
	snprintf(tu->tu_name, sizeof(tu->tu_name), "%s", host_sched_name(tu->tu_thread));
	if (l != NULL) {
		tu->tu_lwp = l->l_id;
		tu->tu_idle = l->l_idle;
		tu->tu_cpu = l->l_cpu != NULL ? l->l_cpu->ci_index : -1;
		snprintf(tu->tu_name, sizeof(tu->tu_name), "%s", l->l_name);
	}
	if (tu->tu_end != tu->tu_first) {
		tu->tu_cpu = last->ha_ev.ke_cpu;
		if (l == NULL)			/* it is gone, and was that of the last event */
			tu->tu_lwp = last->ha_ev.ke_lwp;
	}
	tu->tu_npcs = host_backtrace(tu->tu_pcs, TURN_FRAMES, 1);
	st.st_n++;
}

void
story_leave(enum host_choice why, unsigned next)
{
	if (!st.st_over)
		turn_ends(why);
}

/* --- functions --- */

/* => is the frame part of how threads are switched and events kept, rather than of why? */
static bool
is_switching(const char *frame)
{
	static const char *const names[] = { "story_", "turn_", "host_", "hand_to", "switch_to", "sched_",
		"controlled_", "choose", "kernhist_", "record", "found_", "violation", "lwp_switch", "lwp_block",
		"sleepq_", "report" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strncmp(frame, names[i], strlen(names[i])) == 0)
			return true;
	return is_auditors(frame);
}

/* => the function that it is in, good until somebody else asks; "" */
static const char *
function_at(void *pc)
{
	struct function *f = &st.st_known[(uintptr_t)pc % KNOWN];	/* most are asked for again and again */
	char text[512];

	if (f->pc != pc) {
		host_symbolise(pc, text, sizeof(text));
		text[strcspn(text, "+ ")] = '\0';
		snprintf(f->name, NAME_LEN, "%.*s", NAME_LEN - 1, text);
		f->pc = pc;
	}
	return f->name;
}

/* => "amap_copy < uvm_fault < worker_main": the innermost `max` of them; "" */
static void
say_functions(void *const *pcs, int npcs, int max, char *buf, size_t len)
{
	size_t used = 0;
	int told = 0;

	buf[0] = '\0';
	for (int i = 0; i < npcs && told < max; i++) {
		const char *name = function_at(pcs[i]);

		if (name[0] == '\0' || (told == 0 && is_switching(name)))
			continue;
		if (strcmp(name, "pool_main") == 0 || strcmp(name, "main") == 0 ||
		    used + strlen(name) + sizeof(" < ") > len)
			break;
		used += (size_t)sprintf(buf + used, "%s%s", told++ == 0 ? "" : " < ", name);
	}
}

/* Ends the line of an event: where it was, unless that is where the one before it was. */
static void
put_in(const struct happening *ha, char where[WHERE_LEN], FILE *out)
{
	char here[WHERE_LEN] = "";

	if (ha != NULL)
		say_functions(ha->ha_pcs, ha->ha_npcs, EVENT_TOLD, here, sizeof(here));
	fprintf(out, "%s%s\n", here[0] != '\0' && strcmp(here, where) != 0 ? ", in " : "",
	    strcmp(here, where) != 0 ? here : "");
	memcpy(where, here, WHERE_LEN);
}

/* --- the end of it --- */

/* => the number of the last event of that kind, of that CPU if it is one; or res_n */
static size_t
last_of(const struct result_events *res, const char *kind, int cpu)
{
	for (size_t i = res->res_n; i-- > 0;)
		if ((cpu < 0 || res->res_v[i].re_cpu == cpu) && strncmp(res->res_v[i].re_what, kind, strlen(kind)) == 0)
			return i;
	return res->res_n;
}

/* => the number of the first event that is kept */
static size_t
oldest_event(void)
{
	return st.st_nev > EVENTS ? st.st_nev - EVENTS : 0;
}

/* => the one that reads so, before number *n, which is its number from now on; NULL: not kept */
static const struct happening *
happened_before(const struct result_event *re, size_t *n)
{
	char what[160];

	for (size_t i = *n; i-- > oldest_event();) {
		const struct happening *ha = &st.st_ev[i % EVENTS];

		if (ha->ha_ev.ke_lwp != re->re_lwp || ha->ha_ev.ke_cpu != re->re_cpu)
			continue;
		kernhist_say(&ha->ha_ev, what, sizeof(what));
		if (strcmp(what, re->re_what) == 0) {
			*n = i;
			return ha;
		}
	}
	return NULL;
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
	const struct happening **of = xcalloc(res->res_n + 1, sizeof(*of));
	size_t next = 0, n = st.st_nev;
	char where[WHERE_LEN] = "";

	for (size_t i = res->res_n; i-- > 0;)
		of[i] = happened_before(&res->res_v[i], &n);
	for (size_t i = 0; i < res->res_n; i++) {
		const struct result_event *re = &res->res_v[i];

		if (i != fill && i != taken && res->res_n - i > HISTORY_TOLD)
			continue;
		if (next != 0 && i > next)
			fprintf(out, "       ... %zu events\n", i - next);
		fprintf(out, "       CPU %d, LWP %u: %s", re->re_cpu, re->re_lwp, re->re_what);
		put_in(of[i], where, out);
		next = i + 1;
	}
	free(of);
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

/* => "page 22", "swap slot 3" are subjects; a map is not: everything happens to it */
static void
take_subjects(const struct result_violation *rv)
{
	for (size_t i = 0; i < rv->rv_nobjects && st.st_nsubjects < SUBJECTS; i++)
		for (enum kern_subject ks = KS_page; ks < KS_va; ks++) {
			const char *name = rv->rv_objects[i].ro_name;
			const size_t len = strlen(kern_subject_name[ks]);

			if (ks == KS_map || strncmp(name, kern_subject_name[ks], len) != 0 || name[len] != ' ')
				continue;
			st.st_subjects[st.st_nsubjects].what = ks;
			st.st_subjects[st.st_nsubjects++].id = (uint32_t)strtoul(name + len + 1, NULL, 10);
			break;
		}
}

void
story_found(const struct result_violation *rv)
{
	char print[17];

	if (st.st_about == NULL || st.st_over || strcmp(result_fingerprint(rv, print), st.st_about) != 0)
		return;
	turn_ends(HC_POINT);
	st.st_over = true;
	take_subjects(rv);
	st.st_end = end_text(rv);
}

void
story_begin(const char *about)
{
	memset(&st, 0, sizeof(st));
	st.st_about = about;
	st.st_turns = xcalloc(TURNS, sizeof(*st.st_turns));
	st.st_ev = xcalloc(EVENTS, sizeof(*st.st_ev));
	st.st_known = xcalloc(KNOWN, sizeof(*st.st_known));
	kernhist.told = story_event;
}

/* --- told --- */

static bool
is_about(const struct happening *ha)
{
	for (size_t i = 0; i < st.st_nsubjects; i++)
		if (kernhist_about(&ha->ha_ev, st.st_subjects[i].what, st.st_subjects[i].id))
			return true;
	return false;
}

/* => is it what any LWP's birth and death come to, its kernel stack, unless the violation is about that? */
static bool
is_upkeep(const struct happening *ha)
{
	for (int i = 0; i < ha->ha_npcs; i++)
		if (strncmp(function_at(ha->ha_pcs[i]), "uvm_uarea_", 10) == 0)
			return !is_about(ha);
	return false;
}

/* => the first event of a turn that is kept */
static size_t
first_event(const struct turn *tu)
{
	return tu->tu_first > oldest_event() ? tu->tu_first : oldest_event();
}

/* => has it to do with how the last turn ended: is it the same LWP's, or did something happen to a subject? */
static bool
matters(const struct turn *tu)
{
	if (st.st_nsubjects == 0 || tu->tu_lwp == st.st_turns[(st.st_n - 1) % TURNS].tu_lwp)
		return true;
	for (size_t i = first_event(tu); i < tu->tu_end; i++)
		if (is_about(&st.st_ev[i % EVENTS]))
			return true;
	return false;
}

/* => did it do no more than to leave its CPU, or nothing at all? */
static bool
is_empty(const struct turn *tu)
{
	for (size_t i = first_event(tu); i < tu->tu_end; i++) {
		const struct happening *ha = &st.st_ev[i % EVENTS];
		const unsigned kind = ha->ha_ev.ke_kind;

		if (kind != KE_lwp_sleep && kind != KE_lwp_switch && (kind != KE_lwp_wakeup || !tu->tu_idle) &&
		    !is_upkeep(ha))
			return false;
	}
	return !tu->tu_load || tu->tu_idle || tu->tu_lwp == 0 || tu->tu_why != HC_POINT;
}

/* => how many names there are when those on the way to an event are there, innermost first */
static size_t
add_passed(const struct happening *ha, char names[PASSED_MAX][NAME_LEN], size_t n)
{
	bool switching = true;
	size_t same;

	for (int i = 0; i < ha->ha_npcs && n < PASSED_MAX; i++) {
		const char *name = function_at(ha->ha_pcs[i]);
		const size_t len = strlen(name);

		switching = switching && is_switching(name);
		if (len > 5 && strcmp(name + len - 5, "_main") == 0)
			break;			/* worker_main() has everybody */
		if (len == 0 || switching)
			continue;
		for (same = 0; same < n && strncmp(names[same], name, NAME_LEN - 1) != 0; same++)
			;
		if (same == n)
			snprintf(names[n++], NAME_LEN, "%s", name);
	}
	return n;
}

/* => tell[i]: is event tu_first + i told?  At most `room` are: half of them about what it is about, and the last */
static size_t
choose_events(const struct turn *tu, bool *tell, size_t room)
{
	const size_t first = first_event(tu);
	size_t n = 0;

	for (size_t i = tu->tu_end; i-- > first && n < (room + 1) / 2;)
		if (is_about(&st.st_ev[i % EVENTS])) {
			tell[i - tu->tu_first] = true;
			n++;
		}
	for (size_t i = tu->tu_end; i-- > first && n < room;)
		if (!tell[i - tu->tu_first] && !is_upkeep(&st.st_ev[i % EVENTS])) {
			tell[i - tu->tu_first] = true;
			n++;
		}
	return n;
}

/* The events of a turn that are not told: so many, and which functions led to the last of them. */
static void
put_passed(const struct turn *tu, const bool *tell, size_t left, FILE *out)
{
	char names[PASSED_MAX][NAME_LEN];
	size_t n = 0;
	int column;

	for (size_t i = tu->tu_end; i-- > first_event(tu);)
		if (!tell[i - tu->tu_first] && !is_upkeep(&st.st_ev[i % EVENTS]))
			n = add_passed(&st.st_ev[i % EVENTS], names, n);
	column = fprintf(out, "       %zu events are left out%s", left, n != 0 ? ", of" : "");
	for (size_t i = n; i-- > 0;) {
		if (column + strlen(names[i]) > COLUMNS)
			column = fprintf(out, "\n          ") - 1;
		column += fprintf(out, " %s%s", names[i], i != 0 ? "," : "");
	}
	fputc('\n', out);
}

static void
put_events(const struct turn *tu, size_t room, FILE *out)
{
	bool *tell = xcalloc(tu->tu_end - tu->tu_first + 1, sizeof(*tell));
	const size_t told = choose_events(tu, tell, room);
	char what[160], where[WHERE_LEN] = "";
	size_t next = tu->tu_end;

	if (told != tu->tu_end - tu->tu_first)
		put_passed(tu, tell, tu->tu_end - tu->tu_first - told, out);
	for (size_t i = first_event(tu); i < tu->tu_end; i++) {
		const struct happening *ha = &st.st_ev[i % EVENTS];

		if (!tell[i - tu->tu_first])
			continue;
		kernhist_say(&ha->ha_ev, what, sizeof(what));
		fprintf(out, "       %s%s%s", i > next ? "... " : "", ha->ha_ev.ke_intr != 0 ? "interrupt: " : "", what);
		put_in(ha, where, out);
		next = i + 1;
	}
	free(tell);
}

static void
put_turn(size_t number, const struct turn *tu, size_t room, bool last, FILE *out)
{
	static const char *const ends[] = {
		[HC_POINT] = "is put off in", [HC_YIELD] = "spins in", [HC_BLOCKED] = "waits in",
	};
	char where[WHERE_LEN];

	fprintf(out, "%3zu. ", number);
	if (tu->tu_cpu >= 0)
		fprintf(out, "CPU %d, ", tu->tu_cpu);
	if (tu->tu_lwp != 0)
		fprintf(out, "LWP %u (%s)\n", tu->tu_lwp, tu->tu_name);
	else
		fprintf(out, "thread %s\n", tu->tu_name);
	put_events(tu, room, out);
	if (tu->tu_ends && !last) {
		fprintf(out, "     ends\n");
		return;
	}
	say_functions(tu->tu_pcs, tu->tu_npcs, FRAMES_TOLD, where, sizeof(where));
	fprintf(out, "     %s %s\n", last ? "is found out in" : ends[tu->tu_why],
	    where[0] != '\0' ? where : "the scheduler");
}

/* => tell[i]: is the turn that was i turns before the last told?  *n: so many are */
static bool *
choose_turns(size_t *n, size_t *empty)
{
	const size_t kept = st.st_n > TURNS ? TURNS : st.st_n;
	bool *tell = xcalloc(kept + 1, sizeof(*tell));

	tell[0] = true;
	*n = 1;
	*empty = 0;
	for (size_t i = 1; i < kept && (*n + 1) * (TOLD_MIN + 3) <= LINES_MAX; i++) {
		const struct turn *tu = &st.st_turns[(st.st_n - 1 - i) % TURNS];

		tell[i] = !is_empty(tu) && (*n < TURNS_LAST || matters(tu));
		*n += tell[i];
		*empty += !tell[i];
	}
	return tell;
}

char *
story_text(void)
{
	size_t turns, left, number = 0, len;
	char *text = NULL;
	bool *tell;
	FILE *out;

	if (!st.st_over)
		return NULL;
	out = xcheck(open_memstream(&text, &len));
	tell = choose_turns(&turns, &left);
	for (size_t i = turns + left; i-- > 0;)
		if (tell[i])
			put_turn(++number, &st.st_turns[(st.st_n - 1 - i) % TURNS], LINES_MAX / turns - 3, i == 0, out);
	fprintf(out, "%3zu. %s", number + 1, st.st_end);
	if (left != 0)
		fprintf(out, "(%zu turns of which there is nothing to tell are left out)\n", left);
	free(tell);
	fclose(out);
	return xcheck(text);
}

void
story_fini(void)
{
	kernhist.told = NULL;
	free(st.st_turns);
	free(st.st_ev);
	free(st.st_known);
	free(st.st_end);
	memset(&st, 0, sizeof(st));
}
