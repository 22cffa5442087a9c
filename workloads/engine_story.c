/*
 * The story of a controlled execution that fails: who ran last, one after the other, what happened in
 * his turn, in which function, and where he stopped.
 *
 * A turn is what a thread does between two switches.  The newest are kept.  Told are the last of them
 * and those before them in which something happened to what the violation is about, so many that it
 * stays on a page; of a turn, likewise, its last events and those about that, and by name functions
 * that led to the others.  In the end there is the history of what it is about.  The end has its lines,
 * each turn a few, newest first until there is no room for another; what room is left goes round.
 */
#include <stdlib.h>
#include <string.h>

#include <harness/engine.h>
#include <harness/xalloc.h>
#include <host/sched.h>
#include <sys/kernhist.h>

#include "engine_int.h"
#include "engine_story.h"

#define	KNOWN		4096
#define	OBJECTS_TOLD	2		/* of those that the violation is about */
#define	HISTORY_TOLD	6		/* what happened to them, the last of it */
#define	LINES_MAX	40		/* of all of it */
#define	LINES_LAST	5		/* of which the last turn has some in any case */

struct story story;

/* --- while it happens --- */

void
story_event(const struct kern_history_ent *ke)
{
	struct happening *ha = &story.st_ev[story.st_nev % EVENTS];

	/* that of an interrupt says no more than what comes after it: what its handler did */
	if (story.st_over || ke->ke_kind == KE_interrupt)
		return;
	ha->ha_ev = *ke;
	ha->ha_npcs = host_backtrace(ha->ha_pcs, EVENT_FRAMES, 1);
	story.st_nev++;
}

static void
turn_ends(enum host_choice why)
{
	struct turn *tu = &story.st_turns[story.st_n % TURNS];
	const struct happening *last = &story.st_ev[(story.st_nev - 1) % EVENTS];
	const struct lwp *l = curlwp;

	*tu = (struct turn){ .tu_thread = host_sched_self(), .tu_why = why, .tu_cpu = -1,
	    .tu_load = host_sched_loaded(), .tu_ends = l == NULL, .tu_end = story.st_nev,
	    .tu_first = story.st_n != 0 ? story.st_turns[(story.st_n - 1) % TURNS].tu_end : 0 };
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
	story.st_n++;
}

void
story_leave(enum host_choice why, unsigned next)
{
	if (!story.st_over)
		turn_ends(why);
}

/* --- functions --- */

bool
story_is_switching(const char *frame)
{
	static const char *const names[] = { "story_", "turn_", "host_", "hand_to", "switch_to", "sched_",
		"controlled_", "choose", "kernhist_", "record", "found_", "violation", "lwp_switch", "lwp_block",
		"sleepq_", "report", "die", "kern_assert_fail", "panic" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strncmp(frame, names[i], strlen(names[i])) == 0)
			return true;
	return is_auditors(frame);
}

const char *
story_function(void *pc)
{
	struct function *f = &story.st_known[(uintptr_t)pc % KNOWN];	/* most are asked for again and again */
	char text[512];

	if (f->pc != pc) {
		host_symbolise(pc, text, sizeof(text));
		text[strcspn(text, "+ ")] = '\0';
		snprintf(f->name, NAME_LEN, "%.*s", NAME_LEN - 1, text);
		f->pc = pc;
	}
	return f->name;
}

void
story_functions(void *const *pcs, int npcs, int max, char *buf, size_t len)
{
	size_t used = 0;
	int told = 0;

	buf[0] = '\0';
	for (int i = 0; i < npcs && told < max; i++) {
		const char *name = story_function(pcs[i]);

		if (name[0] == '\0' || (told == 0 && story_is_switching(name)))
			continue;
		if (strcmp(name, "pool_main") == 0 || strcmp(name, "main") == 0 ||
		    used + strlen(name) + sizeof(" < ") > len)
			break;
		used += (size_t)sprintf(buf + used, "%s%s", told++ == 0 ? "" : " < ", name);
		if (strcmp(name, "engine_execute") == 0)
			break;			/* beyond it is who runs the machine, not what runs in it */
	}
}

void
story_put_in(const struct happening *ha, int functions, char where[WHERE_LEN], FILE *out)
{
	char here[WHERE_LEN] = "";

	if (ha != NULL)
		story_functions(ha->ha_pcs, ha->ha_npcs, functions, here, sizeof(here));
	fprintf(out, "%s%s\n", here[0] != '\0' && strcmp(here, where) != 0 ? ", in " : "",
	    strcmp(here, where) != 0 ? here : "");
	memcpy(where, here, WHERE_LEN);
}

/* --- the end of it --- */

/* => the number of the last event of that kind; or res_n */
static size_t
last_of(const struct result_events *res, const char *kind)
{
	for (size_t i = res->res_n; i-- > 0;)
		if (strncmp(res->res_v[i].re_what, kind, strlen(kind)) == 0)
			return i;
	return res->res_n;
}

/* => the one that reads so, before number *n, which is its number from now on; NULL: not kept */
static const struct happening *
happened_before(const struct result_event *re, size_t *n)
{
	char what[160];

	for (size_t i = *n; i-- > story_oldest();) {
		const struct happening *ha = &story.st_ev[i % EVENTS];

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

/* => the number of what has a name like "page 22", of that kind; or NULL */
static const char *
named(const struct result_violation *rv, size_t object, enum kern_subject ks)
{
	const char *name = rv->rv_objects[object].ro_name;
	const size_t len = strlen(kern_subject_name[ks]);

	return strncmp(name, kern_subject_name[ks], len) == 0 && name[len] == ' ' ? name + len + 1 : NULL;
}

/* If a TLB has what the page tables no longer say: how it came by that, the last walk of that CPU to that address. */
static void
put_walk(const struct result_violation *rv, FILE *out)
{
	const struct subject *su = story.st_subjects, *end = su + story.st_nsubjects;
	char what[160], where[WHERE_LEN] = "";

	while (su < end && su->what != KS_va)
		su++;
	for (size_t i = story.st_nev; su < end && i-- > story_oldest();) {
		const struct happening *ha = &story.st_ev[i % EVENTS];

		if (ha->ha_ev.ke_kind != KE_tlb_fill || ha->ha_ev.ke_cpu != rv->rv_cpu ||
		    ha->ha_ev.ke_word >> PAGE_SHIFT != su->va >> PAGE_SHIFT)
			continue;
		kernhist_say(&ha->ha_ev, what, sizeof(what));
		fprintf(out, "     the TLB has it from:\n       CPU %d, LWP %u: %s", ha->ha_ev.ke_cpu, ha->ha_ev.ke_lwp, what);
		story_put_in(ha, ABOUT_TOLD, where, out);
		break;
	}
}

/*
 * The last of it.  And if a TLB has what the page tables no longer say, the last time that rights were taken, of
 * which it was not told.
 */
static void
put_history(const struct result_events *res, size_t most, bool tlb, FILE *out)
{
	const size_t taken = tlb ? last_of(res, "pmap_page_protect") : res->res_n;
	const struct happening **of = xcalloc(res->res_n + 1, sizeof(*of));
	size_t next = 0, n = story.st_nev;
	char where[WHERE_LEN] = "";

	for (size_t i = res->res_n; i-- > 0;)
		of[i] = happened_before(&res->res_v[i], &n);
	for (size_t i = 0; i < res->res_n; i++) {
		const struct result_event *re = &res->res_v[i];

		if (i != taken && res->res_n - i > most)
			continue;
		if (next != 0 && i > next)
			fprintf(out, "       ... %zu events\n", i - next);
		fprintf(out, "       CPU %d, LWP %u: %s", re->re_cpu, re->re_lwp, re->re_what);
		story_put_in(of[i], ABOUT_TOLD, where, out);
		next = i + 1;
	}
	free(of);
}

/* => is its history told?  That of a map or a file, which is long, is after no other, nor if there is an address. */
static bool
is_told(const struct result_violation *rv, size_t object, size_t told)
{
	if (named(rv, object, KS_map) == NULL && named(rv, object, KS_object) == NULL)
		return true;
	if (told != 0)
		return false;
	for (size_t i = 0; i < rv->rv_nobjects; i++)
		if (named(rv, i, KS_va) != NULL)
			return false;
	return true;
}

/* => what was found, and what had happened to what it is about: each has half of the room, and what the other leaves */
static char *
end_text(const struct result_violation *rv)
{
	const struct result_object *ro[OBJECTS_TOLD];
	const bool tlb = strcmp(rv->rv_kind, "tlb") == 0;
	size_t n = 0, room = HISTORY_TOLD, len;
	char *text = NULL;
	FILE *out = xcheck(open_memstream(&text, &len));

	for (size_t i = 0; i < rv->rv_nobjects && n < OBJECTS_TOLD; i++)
		if (rv->rv_objects[i].ro_history.res_n != 0 && is_told(rv, i, n))
			ro[n++] = &rv->rv_objects[i];
	fprintf(out, "%s %s: %s\n", rv->rv_kind, rv->rv_id, rv->rv_message);
	if (tlb)
		put_walk(rv, out);
	for (size_t i = 0; i < n; i++) {
		const size_t had = ro[i]->ro_history.res_n, others = i + 1 < n ? ro[i + 1]->ro_history.res_n : 0;
		const size_t left = others < room / 2 ? others : room / 2, most = had < room - left ? had : room - left;

		fprintf(out, "     %s:\n", ro[i]->ro_name);
		put_history(&ro[i]->ro_history, most, tlb, out);
		room -= most;
	}
	fclose(out);
	return xcheck(text);
}

/*
 * => "page 22", "address 0x1000 ..." are subjects; a map is not: everything happens to it.  An address is one
 *    in any map: what is forked or moved to another process keeps its own.
 */
static void
take_subjects(const struct result_violation *rv)
{
	for (size_t i = 0; i < rv->rv_nobjects && story.st_nsubjects < SUBJECTS; i++)
		for (enum kern_subject ks = KS_page; ks < KS_COUNT; ks++) {
			const char *number = ks != KS_map ? named(rv, i, ks) : NULL;
			struct subject *su = &story.st_subjects[story.st_nsubjects];

			if (number == NULL)
				continue;
			*su = (struct subject){ .what = ks, .id = (uint32_t)strtoul(number, NULL, 10),
			    .va = strtoul(number, NULL, 16) };
			story.st_nsubjects++;
			break;
		}
}

void
story_found(const struct result_violation *rv)
{
	char print[17];

	if (story.st_about == NULL || story.st_over || strcmp(result_fingerprint(rv, print), story.st_about) != 0)
		return;
	turn_ends(HC_POINT);
	story.st_over = true;
	take_subjects(rv);
	story.st_end = end_text(rv);
}

void
story_begin(const char *about)
{
	memset(&story, 0, sizeof(story));
	story.st_about = about;
	story.st_turns = xcalloc(TURNS, sizeof(*story.st_turns));
	story.st_ev = xcalloc(EVENTS, sizeof(*story.st_ev));
	story.st_known = xcalloc(KNOWN, sizeof(*story.st_known));
	kernhist.told = story_event;
}

/* --- told --- */

static size_t
lines_in(const char *text)
{
	size_t n = 0;

	while ((text = strchr(text, '\n')) != NULL) {
		text++;
		n++;
	}
	return n;
}

char *
story_text(void)
{
	const size_t end = 1 + lines_in(story.st_end != NULL ? story.st_end : "");
	size_t turns, left, len;
	char *text = NULL;
	FILE *out;

	if (!story.st_over)
		return NULL;
	out = xcheck(open_memstream(&text, &len));
	story_put_turns(end + LINES_LAST < LINES_MAX ? LINES_MAX - end : LINES_LAST, &turns, &left, out);
	fprintf(out, "%3zu. %s", turns + 1, story.st_end);
	if (left != 0)
		fprintf(out, "(%zu turns of which there is nothing to tell are left out)\n", left);
	fclose(out);
	return xcheck(text);
}

void
story_fini(void)
{
	kernhist.told = NULL;
	free(story.st_turns);
	free(story.st_ev);
	free(story.st_known);
	free(story.st_end);
	memset(&story, 0, sizeof(story));
}
