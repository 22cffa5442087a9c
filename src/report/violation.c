/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * A violation told to a stranger: on the first screen what broke, which rule that is, where, and
 * how to see it again; then what the objects looked like and what had happened to them.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include <harness/checks.h>
#include <harness/result.h>

#include "report_int.h"

#define	FRAMES_NAMED	7

/* --- the rule --- */

/* => "I-PG-2" out of a message that begins with it, or has it after a colon; or the violation's id */
static const struct check_info *
rule_of(const struct result_violation *rv)
{
	const struct check_info *ch = check_find(rv->rv_id);
	char id[24];

	for (const char *p = rv->rv_message; ch == NULL && (p = strstr(p, "I-")) != NULL; p++) {
		size_t n = 2;

		while (n + 1 < sizeof(id) && (isupper((unsigned char)p[n]) || isdigit((unsigned char)p[n]) || p[n] == '-'))
			n++;
		memcpy(id, p, n);
		id[n] = '\0';
		ch = check_find(id);
	}
	return ch;
}

/* => out: "R15" if the message names a rule of docs/rules.md */
static bool
seed_rule(const char *message, char *buf, size_t len)
{
	for (const char *p = message; (p = strchr(p, 'R')) != NULL; p++) {
		size_t n = strspn(p + 1, "0123456789");

		if (n == 0 || n + 2 > len || (p > message && isalnum((unsigned char)p[-1])) ||
		    isalpha((unsigned char)p[n + 1]))
			continue;
		memcpy(buf, p, n + 1);
		buf[n + 1] = '\0';
		return true;
	}
	return false;
}

static void
put_rule(const struct result_violation *rv, FILE *out)
{
	const struct check_info *ch = rule_of(rv);
	char rule[8];

	if (ch != NULL)
		fprintf(out, "rule     %s: %s (%s)\n", ch->ch_id, ch->ch_sentence, ch->ch_source);
	if (seed_rule(rv->rv_message, rule, sizeof(rule)))
		fprintf(out, "rule     %s, see docs/rules.md\n", rule);
}

/* --- the first screen --- */

/* => the function's name alone */
static void
put_frame(const char *frame, FILE *out)
{
	fprintf(out, "%.*s", (int)strcspn(frame, "+ "), frame);
}

static void
put_where(const struct result_violation *rv, FILE *out)
{
	if (rv->rv_nstack == 0)
		return;
	fprintf(out, "where    ");
	for (size_t i = 0; i < rv->rv_nstack && i < FRAMES_NAMED; i++) {
		fprintf(out, "%s", i == 0 ? "" : " < ");
		put_frame(rv->rv_stack[i], out);
	}
	fputc('\n', out);
}

static void
put_held(const struct result_violation *rv, FILE *out)
{
	fprintf(out, "holds    ");
	for (size_t i = 0; i < rv->rv_nheld; i++)
		fprintf(out, "%s%.*s", i == 0 ? "" : ", ", (int)(strcspn(rv->rv_held[i], ")") + 1),
		    rv->rv_held[i]);
	fprintf(out, "%s\n", rv->rv_nheld == 0 ? "no lock" : "");
}

static void
put_objects(const struct result_violation *rv, FILE *out)
{
	if (rv->rv_nobjects == 0)
		return;
	fprintf(out, "about    ");
	for (size_t i = 0; i < rv->rv_nobjects; i++)
		fprintf(out, "%s%s", i == 0 ? "" : ", ", rv->rv_objects[i].ro_name);
	fprintf(out, ": see below\n");
}

/* => of the first that concerns memory; locks alone are seldom what broke a run */
static const struct result_violation *
main_violation(const struct run_result *rr)
{
	for (size_t i = 0; i < rr->rr_nviolations; i++)
		if (rr->rr_violations[i].rv_grade == NULL)
			return &rr->rr_violations[i];
	return &rr->rr_violations[0];
}

void
report_essence(const struct run_result *rr, FILE *out)
{
	const struct result_violation *rv;

	if (rr->rr_nviolations == 0)
		return;
	rv = main_violation(rr);
	fprintf(out, "\nwhat     %s %s after %.3f s", rv->rv_kind, rv->rv_id, rv->rv_time_s);
	if (rv->rv_lwp != NULL)
		fprintf(out, ", in LWP %s", rv->rv_lwp);
	if (rv->rv_cpu >= 0)
		fprintf(out, " on CPU %d", rv->rv_cpu);
	fprintf(out, "\n         %s\n", rv->rv_message);
	put_rule(rv, out);
	put_where(rv, out);
	put_held(rv, out);
	put_objects(rv, out);
	fprintf(out, "again    %s\n", rr->rr_command);
	if (rr->rr_nviolations > 1)
		fprintf(out, "more     %zu other violations follow; what broke first is told here\n",
		    rr->rr_nviolations - 1);
}

/* --- all of it --- */

static void
put_events(const struct result_events *res, FILE *out)
{
	for (size_t i = 0; i < res->res_n; i++) {
		const struct result_event *re = &res->res_v[i];

		fprintf(out, "    %12.3f us  CPU %-3d LWP %-4u%s %s\n", -re->re_before_us, re->re_cpu, re->re_lwp,
		    re->re_intr ? " interrupt:" : "", re->re_what);
	}
}

static void
put_object(const struct result_object *ro, FILE *out)
{
	fprintf(out, "\n%s%s", ro->ro_text, ro->ro_text[0] == '\0' ? ro->ro_name : "");
	if (ro->ro_text[0] == '\0')
		fputc('\n', out);
	if (ro->ro_history.res_n == 0) {
		fprintf(out, "  nothing is remembered of it\n");
		return;
	}
	fprintf(out, "  what happened to %s, as far as the CPUs remember:\n", ro->ro_name);
	put_events(&ro->ro_history, out);
}

void
report_violation_body(const struct result_violation *rv, FILE *out)
{
	fprintf(out, "\n==== %s %s: %s\n", rv->rv_kind, rv->rv_id, rv->rv_message);
	put_rule(rv, out);
	for (size_t i = 0; i < rv->rv_nheld; i++)
		fprintf(out, "holds    %s\n", rv->rv_held[i]);
	for (size_t i = 0; i < rv->rv_nobjects; i++)
		put_object(&rv->rv_objects[i], out);
	if (rv->rv_events.res_n != 0) {
		fprintf(out, "\nThe last events of each CPU before it, by time:\n");
		put_events(&rv->rv_events, out);
	}
	if (rv->rv_details != NULL)
		fprintf(out, "\n%s\n", rv->rv_details);
}
