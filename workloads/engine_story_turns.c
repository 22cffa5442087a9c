/*
 * Turns, told: which of them, which events of each, in so many lines.
 *
 * The newest come first, each with what it needs at least, until there is no room for another; what is
 * left of the room goes round.  Not told is what says no more than how a turn begins and ends.
 */
#include <stdlib.h>
#include <string.h>

#include <harness/xalloc.h>

#include "engine_story.h"

#define	TURNS_LAST	3		/* told in any case */
#define	TOLD_MIN	2		/* events of a turn that are told, or more if there is room */
#define	FRAMES_TOLD	5
#define	NAMES_MAX	40		/* functions of a turn that are named once */
#define	COLUMNS		120

static bool
is_about(const struct happening *ha)
{
	for (size_t i = 0; i < story.st_nsubjects; i++) {
		const struct subject *su = &story.st_subjects[i];

		if (su->what == KS_va ? kernhist_at(&ha->ha_ev, KERNHIST_ANY, KERNHIST_ANY, su->va) :
		    kernhist_about(&ha->ha_ev, su->what, su->id))
			return true;
	}
	return false;
}

/*
 * => is it what any LWP's birth and death come to, its kernel stack, or what inspectors do in order to look,
 *    unless the violation is about that?
 */
static bool
is_upkeep(const struct happening *ha)
{
	for (int i = 0; i < ha->ha_npcs; i++) {
		const char *name = story_function(ha->ha_pcs[i]);

		if (strncmp(name, "uvm_uarea_", 10) == 0 || strncmp(name, "inspect_", 8) == 0)
			return !is_about(ha);
	}
	return false;
}

/* => the first event of a turn that is kept */
static size_t
first_event(const struct turn *tu)
{
	return tu->tu_first > story_oldest() ? tu->tu_first : story_oldest();
}

/* => has it to do with how the last turn ended: is it the same LWP's, or did something happen to a subject? */
static bool
matters(const struct turn *tu)
{
	if (story.st_nsubjects == 0 || tu->tu_lwp == story.st_turns[(story.st_n - 1) % TURNS].tu_lwp)
		return true;
	for (size_t i = first_event(tu); i < tu->tu_end; i++)
		if (is_about(&story.st_ev[i % EVENTS]))
			return true;
	return false;
}

/* => does it say no more than how its turn begins or ends? */
static bool
is_upkeep_of(const struct turn *tu, const struct happening *ha)
{
	const unsigned kind = ha->ha_ev.ke_kind;

	if (is_upkeep(ha))
		return true;
	return !is_about(ha) && (kind == KE_lwp_switch || (kind == KE_lwp_sleep && tu->tu_why == HC_BLOCKED) ||
	    (kind == KE_lwp_wakeup && (tu->tu_idle || tu->tu_ends)) || (kind == KE_proc_unref && tu->tu_ends));
}

/* => event n, if there is something to tell of it, or NULL */
static const struct happening *
worth_telling(const struct turn *tu, size_t n)
{
	const struct happening *ha = &story.st_ev[n % EVENTS];

	return is_upkeep_of(tu, ha) ? NULL : ha;
}

/* A turn that is told. */
struct telling {
	const struct turn *te_turn;
	size_t te_there, te_events;	/* events that are worth telling; that are told */
};

static size_t
lines_of(const struct telling *te)
{
	return 2 + te->te_events + (te->te_events != te->te_there);
}

/* => tell[i]: is event tu_first + i told?  As many as there is room for: half of them on what it is about, and the last */
static void
choose_events(const struct telling *te, bool *tell)
{
	const struct turn *tu = te->te_turn;
	const size_t first = first_event(tu);
	size_t n = 0;

	for (size_t i = tu->tu_end; i-- > first && n < (te->te_events + 1) / 2;)
		if (is_about(&story.st_ev[i % EVENTS]) && worth_telling(tu, i) != NULL) {
			tell[i - tu->tu_first] = true;
			n++;
		}
	for (size_t i = tu->tu_end; i-- > first && n < te->te_events;)
		if (!tell[i - tu->tu_first] && worth_telling(tu, i) != NULL) {
			tell[i - tu->tu_first] = true;
			n++;
		}
}

struct names {
	size_t na_n;
	char na_text[NAMES_MAX][NAME_LEN];
};

/* The innermost functions of an event that are not there yet. */
static void
add_names(struct names *na, void *const *pcs, int npcs, int max)
{
	bool switching = true;
	size_t same;

	for (int i = 0; i < npcs && max > 0 && na->na_n < NAMES_MAX; i++) {
		const char *name = story_function(pcs[i]);

		switching = switching && story_is_switching(name);
		if (name[0] == '\0' || switching)
			continue;
		max--;
		for (same = 0; same < na->na_n && strncmp(na->na_text[same], name, NAME_LEN - 1) != 0; same++)
			;
		if (same == na->na_n)
			snprintf(na->na_text[na->na_n++], NAME_LEN, "%s", name);
		if (strcmp(name, "engine_execute") == 0)
			break;
	}
}

/* The events of a turn that are not told: so many, and functions of the last of them that nothing else has named. */
static void
put_passed(const struct telling *te, const bool *tell, FILE *out)
{
	const struct turn *tu = te->te_turn;
	struct names na = { .na_n = 0 };
	size_t first;
	int column;

	add_names(&na, tu->tu_pcs, tu->tu_npcs, FRAMES_TOLD);
	for (size_t i = tu->tu_end; i-- > first_event(tu);)
		if (tell[i - tu->tu_first])
			add_names(&na, story.st_ev[i % EVENTS].ha_pcs, story.st_ev[i % EVENTS].ha_npcs, EVENT_TOLD);
	first = na.na_n;
	for (size_t i = tu->tu_end; i-- > first_event(tu);)
		if (!tell[i - tu->tu_first] && worth_telling(tu, i) != NULL)
			add_names(&na, story.st_ev[i % EVENTS].ha_pcs, story.st_ev[i % EVENTS].ha_npcs, EVENT_TOLD);
	column = fprintf(out, "       %zu events are left out", te->te_there - te->te_events);
	for (size_t i = first; i < na.na_n && column + strlen(na.na_text[i]) + 5 <= COLUMNS; i++)
		column += fprintf(out, "%s %s", i == first ? ", of" : ",", na.na_text[i]);
	fputc('\n', out);
}

static void
put_events(const struct telling *te, FILE *out)
{
	const struct turn *tu = te->te_turn;
	bool *tell = xcalloc(tu->tu_end - tu->tu_first + 1, sizeof(*tell));
	char what[160], where[WHERE_LEN] = "";
	size_t next = tu->tu_end;

	choose_events(te, tell);
	if (te->te_events != te->te_there)
		put_passed(te, tell, out);
	for (size_t i = first_event(tu); i < tu->tu_end; i++) {
		const struct happening *ha = &story.st_ev[i % EVENTS];

		if (!tell[i - tu->tu_first])
			continue;
		kernhist_say(&ha->ha_ev, what, sizeof(what));
		fprintf(out, "       %s%s%s", i > next ? "... " : "", ha->ha_ev.ke_intr != 0 ? "interrupt: " : "", what);
		story_put_in(ha, is_about(ha) ? ABOUT_TOLD : EVENT_TOLD, where, out);
		next = i + 1;
	}
	free(tell);
}

static void
put_turn(size_t number, const struct telling *te, bool last, FILE *out)
{
	static const char *const ends[] = {
		[HC_POINT] = "is put off in", [HC_YIELD] = "spins in", [HC_BLOCKED] = "waits in",
	};
	const struct turn *tu = te->te_turn;
	char where[WHERE_LEN];

	fprintf(out, "%3zu. ", number);
	if (tu->tu_cpu >= 0)
		fprintf(out, "CPU %d, ", tu->tu_cpu);
	if (tu->tu_lwp != 0)
		fprintf(out, "LWP %u (%s)\n", tu->tu_lwp, tu->tu_name);
	else
		fprintf(out, "thread %s\n", tu->tu_name);
	put_events(te, out);
	if (tu->tu_ends && !last) {
		fprintf(out, "     ends\n");
		return;
	}
	story_functions(tu->tu_pcs, tu->tu_npcs, FRAMES_TOLD, where, sizeof(where));
	fprintf(out, "     %s %s\n", last ? "is found out in" : ends[tu->tu_why],
	    where[0] != '\0' ? where : "the scheduler");
}

/* => of n turns that are told already, is this one to come before them? */
static bool
is_wanted(const struct telling *te, const struct telling *after, size_t n)
{
	const struct turn *tu = te->te_turn;

	if (te->te_there == 0 && (!tu->tu_load || tu->tu_idle || tu->tu_lwp == 0 || tu->tu_why != HC_POINT ||
	    tu->tu_lwp == after->te_turn->tu_lwp))
		return false;
	return n < TURNS_LAST || matters(tu);
}

/* Room that is left goes to their events, one by one, the newest turn's first. */
static void
spread(struct telling *te, size_t n, size_t room)
{
	for (bool any = true; any;) {
		any = false;
		for (size_t i = 0; i < n; i++) {
			const bool all = te[i].te_events + 1 == te[i].te_there;	/* which needs no line more */

			if (te[i].te_events == te[i].te_there || (room == 0 && !all))
				continue;
			te[i].te_events++;
			room -= !all;
			any = true;
		}
	}
}

/* => turns that are told, the newest first, in so many lines; *n of them, and so many between them that are not */
static struct telling *
choose_turns(size_t room, size_t *n, size_t *left)
{
	const size_t kept = story.st_n > TURNS ? TURNS : story.st_n;
	struct telling *told = xcalloc(kept + 1, sizeof(*told));
	size_t passed = 0;

	*n = *left = 0;
	for (size_t i = 0; i < kept; i++) {
		struct telling te = { .te_turn = &story.st_turns[(story.st_n - 1 - i) % TURNS] };

		for (size_t ev = first_event(te.te_turn); ev < te.te_turn->tu_end; ev++)
			te.te_there += worth_telling(te.te_turn, ev) != NULL;
		te.te_events = te.te_there < TOLD_MIN ? te.te_there : TOLD_MIN;
		if (i != 0 && !is_wanted(&te, &told[*n - 1], *n)) {
			passed++;
			continue;
		}
		if (lines_of(&te) > room)
			break;
		room -= lines_of(&te);
		told[(*n)++] = te;
		*left = passed;
	}
	spread(told, *n, room);
	return told;
}

void
story_put_turns(size_t lines, size_t *n, size_t *left, FILE *out)
{
	struct telling *told = choose_turns(lines, n, left);

	for (size_t i = *n; i-- > 0;)
		put_turn(*n - i, &told[i], i == 0, out);
	free(told);
}
