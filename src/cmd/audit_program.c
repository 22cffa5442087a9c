/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * uvmstress audit -- CMD: the locks of any program.
 *
 * What the program prints stays as it is; all that is said here goes to standard error.  A
 * cycle whose parties a common lock keeps apart is no violation here: the program has no
 * declared order that it could break.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include <harness/xalloc.h>

#include "audit_program.h"
#include "cmd.h"
#include "preload.h"

/* The program's own failure is nothing that the audit has found, but it may be news. */
static void
tell_end(const char *name, int status)
{
	if (WIFSIGNALED(status))
		fprintf(stderr, "uvmstress: %s was killed by SIG%s%s\n", name,
		    sigabbrev_np(WTERMSIG(status)) != NULL ? sigabbrev_np(WTERMSIG(status)) : "?",
		    WCOREDUMP(status) ? " (core dumped)" : "");
	else if (WEXITSTATUS(status) != 0)
		fprintf(stderr, "uvmstress: %s ended with status %d\n", name, WEXITSTATUS(status));
}

/* --- findings --- */

void
audit_told_fini(struct audit_told *at)
{
	for (size_t i = 0; i < at->at_n; i++)
		free(at->at_v[i].to_print);
	free(at->at_v);
}

static bool
counts(const struct lockgraph_finding *v)
{
	return v->lgv_waived == NULL && v->lgv_grade != LOCKGRAPH_GUARDED;
}

/* => it was not told yet, or as something that had to wait for a second thread; now it counts as told */
static bool
is_news(struct audit_told *at, const struct lockgraph_finding *v)
{
	size_t i = 0;

	while (i < at->at_n && strcmp(at->at_v[i].to_print, v->lgv_fingerprint) != 0)
		i++;
	if (i == at->at_n) {
		at->at_v = xgrow(at->at_v, at->at_n, sizeof(*at->at_v));
		at->at_v[at->at_n++] = (struct told){ xstrdup(v->lgv_fingerprint), v->lgv_grade };
		return true;
	}
	if (at->at_v[i].to_grade != LOCKGRAPH_LATENT || v->lgv_grade == LOCKGRAPH_LATENT)
		return false;
	at->at_v[i].to_grade = v->lgv_grade;
	return true;
}

static void
tell(const struct lockgraph *lg, const struct lockgraph_finding *v)
{
	lockgraph_story(lg, v, stderr);
	fputc('\n', stderr);
}

/* --- waivers --- */

static void
waive(struct lockgraph *lg, const char *pattern, const char *reason)
{
	const struct lockgraph_finding *v = lg->lg_findings;

	for (uint32_t i = 0; i < lg->lg_nfindings; i++)
		if (v[i].lgv_waived == NULL &&
		    lockgraph_waives(pattern, v[i].lgv_grade, v[i].lgv_fingerprint))
			lockgraph_waive(lg, i, reason);
}

int
audit_program_waive(struct lockgraph *lg, const char *path)
{
	static const char white[] = " \t\r\n";
	FILE *in = fopen(path, "re");
	int status = EXIT_CLEAN;
	unsigned number = 0;
	char *line = NULL;
	size_t room = 0;

	if (in == NULL)
		return cmd_fail(EXIT_USAGE, "waivers: cannot read %s: %s", path, strerror(errno));
	while (status == EXIT_CLEAN && getline(&line, &room, in) >= 0) {
		char *print = line + strspn(line, white), *reason = print + strcspn(print, white);

		number++;
		if (*print == '\0' || *print == '#')
			continue;
		if (*reason != '\0')
			*reason++ = '\0';
		reason += strspn(reason, white);
		reason[strcspn(reason, "\r\n")] = '\0';
		if (*reason != '\0')
			waive(lg, print, reason);
		else
			status = cmd_fail(EXIT_USAGE, "%s:%u: the waiver of %s gives no reason: say after it "
			    "why it may stand", path, number, print);
	}
	if (status == EXIT_CLEAN && ferror(in))
		status = cmd_fail(EXIT_USAGE, "waivers: cannot read %s", path);
	free(line);
	fclose(in);
	return status;
}

/* --- the program --- */

static void
tell_news(void *arg, struct lockgraph *lg)
{
	struct audit_told *at = arg;
	bool named = false;

	if (lg->lg_nfindings == 0 || (at->at_waivers != NULL &&
	    audit_program_waive(lg, at->at_waivers) != EXIT_CLEAN))
		return;
	for (uint32_t i = 0; i < lg->lg_nfindings; i++) {
		if (!counts(&lg->lg_findings[i]) || !is_news(at, &lg->lg_findings[i]))
			continue;
		if (!named)
			lockgraph_symbolise(lg);
		named = true;
		tell(lg, &lg->lg_findings[i]);
	}
}

int
audit_program_run(char **argv, unsigned flags, struct audit_told *at,
    void (*add)(void *, struct lockgraph *), void *arg)
{
	struct preloaded pl;
	int status = preload_run(argv, flags, tell_news, at, &pl);

	if (status != 0)
		return status;
	at->at_early = WIFSIGNALED(pl.pl_status);
	tell_end(argv[0], pl.pl_status);
	for (size_t i = 0; i < pl.pl_ngraphs; i++)
		add(arg, pl.pl_graphs[i]);
	pl.pl_ngraphs = 0;
	if (pl.pl_processes == 0)
		status = cmd_fail(EXIT_VACUOUS, "the auditor was not loaded into %s: a program that is "
		    "linked statically, or set-user-ID, cannot be audited", argv[0]);
	preload_fini(&pl);
	return status;
}

/* --- the report --- */

static void
tell_summary(const struct lockgraph *lg, size_t bad, size_t guarded)
{
	uint64_t taken = 0;
	size_t classes = 0, orders = 0;

	for (uint32_t i = 0; i < lg->lg_nclasses; i++) {
		classes += lg->lg_classes[i].lgc_kind == LOCKGRAPH_LOCK;
		taken += lg->lg_classes[i].lgc_acquisitions;
	}
	for (uint32_t i = 0; i < lg->lg_nedges; i++)
		orders += lg->lg_edges[i].lge_kind == LOCKGRAPH_ORDER;
	fprintf(stderr, "uvmstress: %ju acquisitions of locks of %zu classes, %zu pairs held together, "
	    "%zu violations", (uintmax_t)taken, classes, orders, bad);
	if (guarded != 0)
		fprintf(stderr, "; %zu more cannot happen, as a common lock keeps the parties apart",
		    guarded);
	if (lg->lg_lost != 0)
		fprintf(stderr, "; %ju facts lost for want of memory", (uintmax_t)lg->lg_lost);
	fputc('\n', stderr);
}

int
audit_program_tell(const struct lockgraph *lg, struct audit_told *at, bool quiet, bool verbose)
{
	size_t bad = 0, guarded = 0;

	if (verbose)
		lockgraph_text(lg, NULL, 0, stderr, true);
	for (uint32_t i = 0; i < lg->lg_nfindings; i++) {
		const struct lockgraph_finding *v = &lg->lg_findings[i];

		bad += counts(v);
		guarded += v->lgv_waived == NULL && v->lgv_grade == LOCKGRAPH_GUARDED;
		if (counts(v) ? is_news(at, v) : verbose)
			tell(lg, v);
	}
	if (!quiet || bad != 0)
		tell_summary(lg, bad, guarded);
	return bad != 0 ? EXIT_VIOLATION : EXIT_CLEAN;
}
