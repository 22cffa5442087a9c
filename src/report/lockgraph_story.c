/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * A violation told as a story: who held what, who wanted what, where, and why it matters.
 */
#include <string.h>

#include <harness/lockgraph.h>

#include "lockgraph_view.h"

#define FRAMES_SHOWN 10

static const char *
class_name(const struct lockgraph *lg, uint32_t class)
{
	return lg->lg_classes[class].lgc_name;
}

/* => how many frames of our auditor's own come first: of no interest, if there are others */
static uint32_t
own_frames(const struct lockgraph *lg, const struct lockgraph_trace *t)
{
	static const char *const names[] = { "lo_trace ", "lockorder_trace ", "lockorder_validate ",
		"lockdebug_", "lockevent_", "lockstate_" };
	uint32_t n = 0;

	while (n < t->lgt_n) {
		char where[256];
		size_t i = 0;

		lg_frame_text(lg, &lg->lg_frames[t->lgt_first + n], where, sizeof(where));
		while (i < sizeof(names) / sizeof(names[0]) && strncmp(where, names[i], strlen(names[i])) != 0)
			i++;
		if (i == sizeof(names) / sizeof(names[0]))
			return n;
		n++;
	}
	return 0;
}

static void
story_trace(const struct lockgraph *lg, uint32_t trace, const char *what, FILE *out)
{
	const struct lockgraph_trace *t;
	uint32_t first;

	if (trace == LOCKGRAPH_NONE || lg->lg_traces[trace].lgt_n == 0) {
		fprintf(out, "      %s: no stack was kept\n", what);
		return;
	}
	t = &lg->lg_traces[trace];
	first = own_frames(lg, t);
	for (uint32_t i = first; i < t->lgt_n && i < first + FRAMES_SHOWN; i++) {
		char where[256];

		lg_frame_text(lg, &lg->lg_frames[t->lgt_first + i], where, sizeof(where));
		fprintf(out, "      %-28s %s\n", i == first ? what : "", where);
	}
	if (t->lgt_n > first + FRAMES_SHOWN)
		fprintf(out, "      %-28s ... %u more\n", "", t->lgt_n - first - FRAMES_SHOWN);
}

static const char *
taken_as(enum lockgraph_mode mode)
{
	static const char *const words[] = { "taken", "taken by a reader",
		"taken by a recursive reader", "got by a try" };

	return words[mode];
}

static const char *
wanted_as(enum lockgraph_mode mode)
{
	static const char *const words[] = { "wanted", "wanted by a reader",
		"wanted by a recursive reader", "tried" };

	return words[mode];
}

static void
story_edge(const struct lockgraph *lg, const struct lockgraph_edge *e, unsigned number, FILE *out)
{
	const char *from = class_name(lg, e->lge_from), *to = class_name(lg, e->lge_to);
	char first[128], second[128], runs[200];

	if (e->lge_kind == LOCKGRAPH_PROVIDE) {
		fprintf(out, "  %u. who ends the wait for %s needs %s", number, from, to);
		snprintf(first, sizeof(first), "%s ended at", from);
	} else if (e->lge_kind == LOCKGRAPH_WAIT) {
		fprintf(out, "  %u. %s is waited for with %s held", number, to, from);
		snprintf(first, sizeof(first), "%s %s at", from, taken_as(e->lge_from_mode));
	} else {
		fprintf(out, "  %u. %s is wanted with %s held", number, to, from);
		snprintf(first, sizeof(first), "%s %s at", from, taken_as(e->lge_from_mode));
	}
	snprintf(second, sizeof(second), "%s %s at", to,
	    e->lge_kind == LOCKGRAPH_WAIT ? "waited for" : wanted_as(e->lge_to_mode));
	lg_edge_runs(lg, e, runs, sizeof(runs));
	fprintf(out, "%s%s%s\n", runs[0] != '\0' ? " (" : "", runs, runs[0] != '\0' ? ")" : "");
	story_trace(lg, e->lge_from_trace, first, out);
	story_trace(lg, e->lge_to_trace, second, out);
}

static void
story_rank(const struct lockgraph_class *c, const char *label, FILE *out)
{
	fprintf(out, "  %-9s %s has rank %d", label, c->lgc_name, c->lgc_rank);
	if (c->lgc_reason != NULL)
		fprintf(out, " (%s)", c->lgc_reason);
	fputc('\n', out);
}

/* The order that was promised, where it was seen broken. */
static void
story_declared(const struct lockgraph *lg, const struct lockgraph_finding *v, FILE *out)
{
	for (uint32_t i = 0; i < v->lgv_ncycle; i++) {
		const struct lockgraph_class *from = &lg->lg_classes[v->lgv_cycle[i].lge_from],
		    *to = &lg->lg_classes[v->lgv_cycle[i].lge_to];

		if (from->lgc_rank <= 0 || to->lgc_rank <= 0 || lg_allowed(from, to))
			continue;
		story_rank(to, "promised:", out);
		if (to != from)
			story_rank(from, "", out);
	}
}

static void
story_grade(const struct lockgraph_finding *v, FILE *out)
{
	static const char *const words[] = {
		[LOCKGRAPH_UNGRADED] = "wrong whatever other threads do",
		[LOCKGRAPH_UNCONFIRMED] = "nothing that was seen rules the deadlock out; no run has shown it",
		[LOCKGRAPH_GUARDED] = "a lock that all parties hold keeps them apart",
		[LOCKGRAPH_LATENT] = "harmless until somebody joins who was not seen",
		[LOCKGRAPH_CONFIRMED] = "a schedule that deadlocks is known",
	};

	fprintf(out, "  grade: %s: %s\n", lockgraph_grade_name(v->lgv_grade),
	    v->lgv_why != NULL ? v->lgv_why : words[v->lgv_grade]);
	if (v->lgv_recording != NULL)
		fprintf(out, "  to see it: uvmstress replay %s\n", v->lgv_recording);
	if (v->lgv_waived != NULL)
		fprintf(out, "  waived: %s\n", v->lgv_waived);
	else if (lockgraph_waives(v->lgv_fingerprint, v->lgv_grade, v->lgv_fingerprint))
		fprintf(out, "  if it must stay, a line for the waiver file, with the reason:\n"
		    "      %s REASON\n", v->lgv_fingerprint);
}

void
lockgraph_story_body(const struct lockgraph *lg, const struct lockgraph_finding *v, FILE *out)
{
	if (v->lgv_ncycle > 1) {
		fprintf(out, "  %s", class_name(lg, v->lgv_cycle[0].lge_from));
		for (uint32_t i = 0; i < v->lgv_ncycle; i++)
			fprintf(out, " -> %s", class_name(lg, v->lgv_cycle[i].lge_to));
		fputc('\n', out);
	}
	for (uint32_t i = 0; i < v->lgv_ncycle; i++)
		story_edge(lg, &v->lgv_cycle[i], i + 1, out);
	if (v->lgv_ncycle == 0)
		story_trace(lg, v->lgv_trace, "noticed at", out);
	if (v->lgv_held != LOCKGRAPH_NONE)
		story_trace(lg, v->lgv_held, strcmp(v->lgv_id, "ipl-inversion") == 0 ||
		    strcmp(v->lgv_id, "lock-in-interrupt") == 0 ? "held, interrupts let in, at" : "which was taken at", out);
	story_declared(lg, v, out);
	story_grade(v, out);
}

void
lockgraph_story(const struct lockgraph *lg, const struct lockgraph_finding *v, FILE *out)
{
	fprintf(out, "%s %s: %s", v->lgv_waived != NULL ? "waived" :
	    lg_is_violation(v) ? "VIOLATION" : "guarded", v->lgv_id,
	    v->lgv_message);
	if (v->lgv_count > 1)
		fprintf(out, " (%ju times)", (uintmax_t)v->lgv_count);
	fputc('\n', out);
	lockgraph_story_body(lg, v, out);
}

size_t
lockgraph_stories(const struct lockgraph *lg, FILE *out)
{
	size_t n = 0;

	for (uint32_t i = 0; i < lg->lg_nfindings; i++) {
		if (lg->lg_findings[i].lgv_waived != NULL)
			continue;
		fputc('\n', out);
		lockgraph_story(lg, &lg->lg_findings[i], out);
		n += lg_is_violation(&lg->lg_findings[i]);
	}
	for (uint32_t i = 0; i < lg->lg_nfindings; i++)
		if (lg->lg_findings[i].lgv_waived != NULL)
			fprintf(out, "\nwaived %s: %s\n  because: %s\n", lg->lg_findings[i].lgv_id,
			    lg->lg_findings[i].lgv_message, lg->lg_findings[i].lgv_waived);
	return n;
}
