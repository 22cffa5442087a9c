/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Predict, then confirm: directed schedules for what the lock auditor has found.
 *
 * A circle of locks is a prediction.  The profile of the run is executed again, by this program in a process
 * of its own, with schedule = direct and the circle: seed after seed, a few hundred milliseconds of virtual time
 * each, until one execution deadlocks in just that circle.  It is kept as any failure of a controlled
 * schedule is, and can be replayed.
 */
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include <harness/xalloc.h>

#include "child.h"
#include "confirm.h"

#define TIME	"300ms"			/* of an execution, if it does not go by operations; virtual */
#define LIMIT_S	300			/* for all schedules of a circle */

/* What the schedules are given, which stays, so that they can be repeated; and what they leave. */
struct scratch {
	char *sc_profile, *sc_json;
};

/* What became of the schedules of one circle. */
struct tried {
	uint64_t tr_n;			/* executions that came to an end */
	char *tr_recording;		/* of the one that deadlocked, or NULL */
	char *tr_other;			/* something else that was found, or NULL */
};

/* => "amap>map>amap", for free(); NULL: no schedule can bring it about, and why */
static char *
circle_of(const struct lockgraph *lg, const struct lockgraph_finding *v, const char **why)
{
	char text[240];

	*why = NULL;
	if (!lockgraph_circle(lg, v, text, sizeof(text)))
		*why = "nobody was seen to go the other way, so no schedule can deadlock";
	else if (text[0] == '\0')
		*why = "it is too long for a directed schedule";
	return *why == NULL ? xstrdup(text) : NULL;
}

/* => a wait in it is for no lock: who has to end it is known with audit=full only */
static bool
has_event(const struct lockgraph *lg, const struct lockgraph_finding *v)
{
	for (uint32_t i = 0; i < v->lgv_ncycle; i++)
		if (lg->lg_classes[v->lgv_cycle[i].lge_from].lgc_kind == LOCKGRAPH_EVENT)
			return true;
	return false;
}

static bool
can_deadlock(const struct lockgraph_finding *v)
{
	return strcmp(v->lgv_kind, "lock-order") == 0 &&
	    (v->lgv_grade == LOCKGRAPH_UNCONFIRMED || v->lgv_grade == LOCKGRAPH_LATENT);
}

/* --- the schedules --- */

static void __attribute__((noreturn))
be_schedules(const struct run *r, const struct scratch *sc, const char *circle, const char *audit, uint64_t n)
{
	char *set = xasprintf("global.schedule-circle=%s", circle);
	char *iterations = xasprintf("%ju", (uintmax_t)(n > 1 ? n : 2));	/* two or more: seed by seed */
	char *seed = xasprintf("%ju", (uintmax_t)r->r_result.rr_seed);
	const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	const char *words[40] = {
		"uvmstress", "run", sc->sc_profile, "--schedule", "direct", "--set", set, "--iterations", iterations,
		"--seed", seed, "--audit", audit, "--set", "global.audit-stop=off", "--set", "global.chaos=none",
		"--set", "global.keep-going=off", "--set", "global.interrupts=poll", "--set", "global.require=none",
		"--out", r->r_out, "--json", sc->sc_json, "--quiet",
	};

	if (r->r_profile->p_machine.ms_ops == 0)
		for (int i = 0; i < 40; i++)
			if (words[i] == NULL) {
				words[i] = "--time";
				words[i + 1] = TIME;
				break;
			}
	if (null >= 0) {
		dup2(null, STDOUT_FILENO);
		dup2(null, STDERR_FILENO);
	}
	execv("/proc/self/exe", (char *const *)(uintptr_t)words);
	_exit(EXIT_HOST);
}

/* => false: there is no result */
static bool
read_result(const char *path, struct tried *tr)
{
	json_t *root = json_load_file(path, 0, NULL), *v;
	size_t i;

	if (root == NULL)
		return false;
	tr->tr_n = (uint64_t)json_integer_value(json_object_get(root, "iterations"));
	json_array_foreach(json_object_get(root, "violations"), i, v) {
		const char *grade = json_string_value(json_object_get(v, "grade"));
		const char *dir = json_string_value(json_object_get(v, "dir"));
		const char *message = json_string_value(json_object_get(v, "message"));

		if (grade != NULL && dir != NULL && strcmp(grade, "confirmed") == 0 && tr->tr_recording == NULL)
			tr->tr_recording = xstrdup(dir);
		else if (tr->tr_other == NULL)
			tr->tr_other = xasprintf("%s%s%s", message != NULL ? message : "?",
			    dir != NULL ? ", kept in " : "", dir != NULL ? dir : "");
	}
	json_decref(root);
	return true;
}

/* => why they did not run, or NULL */
static const char *
try_circle(const struct run *r, const struct scratch *sc, const char *circle, const char *audit, uint64_t n,
    struct tried *tr)
{
	pid_t pid;

	*tr = (struct tried){ 0 };
	unlink(sc->sc_json);
	fflush(NULL);
	pid = fork();
	if (pid == 0)
		be_schedules(r, sc, circle, audit, n);
	if (pid < 0)
		return "the host has no process for directed schedules";
	(void)child_wait(pid, SIGTERM, LIMIT_S, 2 * LIMIT_S);
	return read_result(sc->sc_json, tr) ? NULL : "its directed schedules came to no result";
}

static void
tell(struct lockgraph *lg, uint32_t i, const struct tried *tr)
{
	const char *was = lg->lg_findings[i].lgv_why;
	char *why;

	if (tr->tr_recording != NULL)
		why = xasprintf("a schedule that deadlocks was found, and is recorded in %s", tr->tr_recording);
	else
		why = xasprintf("%s%s%ju directed schedules did not deadlock%s%s", was != NULL ? was : "",
		    was != NULL ? "; " : "", (uintmax_t)tr->tr_n,
		    tr->tr_other != NULL ? ", but found: " : "", tr->tr_other != NULL ? tr->tr_other : "");
	lockgraph_tried(lg, i, why, tr->tr_recording);
	free(why);
}

static void
confirm_one(const struct run *r, const struct scratch *sc, struct lockgraph *lg, uint32_t i, uint64_t n)
{
	const char *why;
	char *circle = circle_of(lg, &lg->lg_findings[i], &why);
	struct tried tr = { 0 };

	if (circle != NULL) {
		fprintf(stderr, "uvmstress: %s: looking for a schedule that deadlocks\n", circle);
		why = try_circle(r, sc, circle, has_event(lg, &lg->lg_findings[i]) ? "full" : "order", n, &tr);
	}
	if (why == NULL)
		tell(lg, i, &tr);
	else if (lg->lg_findings[i].lgv_why == NULL)
		lockgraph_tried(lg, i, why, NULL);
	free(tr.tr_recording);
	free(tr.tr_other);
	free(circle);
}

/* --- scratch --- */

static void
write_profile(const void *text, FILE *out)
{
	fputs(text, out);
}

/* => an exit status, told */
static int
scratch_begin(struct scratch *sc, const struct run *r)
{
	char why[600];

	if (mkdir(r->r_out, 0777) != 0 && errno != EEXIST)
		return cmd_fail(EXIT_HOST, "no directed schedules: cannot make %s: %s", r->r_out, strerror(errno));
	sc->sc_profile = xasprintf("%s/directed-%08x.ini", r->r_out, r->r_result.rr_digest);
	sc->sc_json = xasprintf("%s/directed-%ld.json", r->r_out, (long)getpid());
	if (report_write(sc->sc_profile, write_profile, r->r_result.rr_profile, why, sizeof(why)) != 0)
		return cmd_fail(EXIT_HOST, "no directed schedules: %s", why);
	return EXIT_CLEAN;
}

static void
scratch_end(struct scratch *sc)
{
	if (sc->sc_json != NULL)
		unlink(sc->sc_json);
	free(sc->sc_profile);
	free(sc->sc_json);
}

void
confirm(const struct run *r, struct lockgraph *lg, uint64_t n)
{
	struct scratch sc = { NULL, NULL };
	int status = EXIT_CLEAN;

	for (uint32_t i = 0; i < lg->lg_nfindings && status == EXIT_CLEAN && !run_stopped(); i++) {
		if (!can_deadlock(&lg->lg_findings[i]))
			continue;
		if (sc.sc_profile == NULL)
			status = scratch_begin(&sc, r);
		if (status == EXIT_CLEAN)
			confirm_one(r, &sc, lg, i, n);
	}
	scratch_end(&sc);
}
