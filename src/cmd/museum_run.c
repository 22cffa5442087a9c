/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * One run of the museum: this program once more, in a process of its own, whose result is read
 * back from its JSON.  What it is asked is what a user would type.
 */
#include <sys/wait.h>

#include <fcntl.h>
#include <ftw.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include <harness/xalloc.h>

#include "cmd.h"
#include "museum.h"
#include "preload.h"
#include "run.h"
#include "uvmstress_config.h"

#define WORDS_MAX 40
#define EXIT_RACE 66			/* of ThreadSanitizer */
#define EXIT_ASAN 67
#define EXECUTIONS_MAX	1000000000	/* more than anybody waits for */
#define GRACE_S	  30.0			/* after its limit: for a report on a busy host */
#define WALL_FACTOR	10		/* the host may have so many others to run */

struct words {
	char *w_v[WORDS_MAX + 1];
	int w_n;
};

static void
word(struct words *w, const char *text)
{
	if (w->w_n < WORDS_MAX)
		w->w_v[w->w_n++] = xstrdup(text);
}

static void
words_fini(struct words *w)
{
	for (int i = 0; i < w->w_n; i++)
		free(w->w_v[i]);
}

static void
word_number(struct words *w, const char *option, uint64_t value)
{
	char text[32];

	snprintf(text, sizeof(text), "%ju", (uintmax_t)value);
	word(w, option);
	word(w, text);
}

/* => false: its profile is not there */
static bool
run_words(struct words *w, const struct museum_ask *ma)
{
	char *copy = xstrdup(ma->ma_profile), *save = NULL, *name = strtok_r(copy, " ", &save), *set;
	char *in_build = xasprintf("workloads/profiles/museum/%s.ini", name);
	char *in_prefix = xasprintf(UVMSTRESS_DATADIR "/uvmstress/profiles/museum/%s.ini", name);
	const char *path = preload_find(in_build, in_prefix);
	const struct museum_strategy *ms = ma->ma_strategy;

	if (path != NULL) {
		word(w, "uvmstress");
		word(w, "run");
		word(w, path);
		while ((set = strtok_r(NULL, " ", &save)) != NULL) {
			word(w, "--set");
			word(w, set);
		}
		if (ma->ma_bug != NULL) {
			word(w, "--bug");
			word(w, ma->ma_bug);
		}
		word_number(w, "--seed", ma->ma_seed);
		word(w, "--audit-stop");
	}
	if (path != NULL && ms != NULL) {
		word(w, "--schedule");
		word(w, ms->ms_schedule);
		if (ms->ms_chaos != NULL) {
			word(w, "--chaos");
			word(w, ms->ms_chaos);
		}
		word_number(w, "--iterations", EXECUTIONS_MAX);
	}
	free((char *)(uintptr_t)path);
	free(in_build);
	free(in_prefix);
	free(copy);
	return path != NULL;
}

char *
museum_command(const struct museum_ask *ma)
{
	struct words w = { .w_n = 0 };
	char *text = xstrdup("");

	if (run_words(&w, ma))
		for (int i = 0; i < w.w_n; i++) {
			char *longer = xasprintf("%s%s%s", text, i == 0 ? "" : " ", w.w_v[i]);

			free(text);
			text = longer;
		}
	words_fini(&w);
	return text;
}

/* What a sanitizer finds has an exit status of its own, and ends the run. */
static void
sanitizer_option(const char *name, const char *options)
{
	const char *own = getenv(name);
	char *both = xasprintf("%s%s%s", options, own != NULL ? ":" : "", own != NULL ? own : "");

	setenv(name, both, 1);
	free(both);
}

static void __attribute__((noreturn))
be_run(struct words *w, const struct museum_ask *ma)
{
	int null = ma->ma_verbose ? -1 : open("/dev/null", O_RDWR | O_CLOEXEC);
	cpu_set_t set;

	if (ma->ma_core != 0) {
		CPU_ZERO(&set);
		CPU_SET(ma->ma_core - 1, &set);
		sched_setaffinity(0, sizeof(set), &set);
	}
	if (null >= 0) {
		dup2(null, STDOUT_FILENO);
		dup2(null, STDERR_FILENO);
	}
	sanitizer_option("TSAN_OPTIONS", "exitcode=66:halt_on_error=1");
	sanitizer_option("ASAN_OPTIONS", "exitcode=67");
	execv("/proc/self/exe", w->w_v);
	_exit(127);
}

static struct child_limits
limits(const struct museum_ask *ma)
{
	struct child_limits cl = {
		.cl_ask = SIGTERM, .cl_ask_s = INFINITY, .cl_ask_cpu_s = INFINITY, .cl_kill_s = ma->ma_limit_s + GRACE_S,
	};

	if (ma->ma_strategy != NULL) {
		cl.cl_ask_cpu_s = ma->ma_limit_s;
		cl.cl_ask_s = WALL_FACTOR * ma->ma_limit_s;
		cl.cl_kill_s = cl.cl_ask_s + GRACE_S;
	}
	return cl;
}

static char *
member(const json_t *obj, const char *key)
{
	const char *text = json_string_value(json_object_get(obj, key));

	return xstrdup(text != NULL ? text : "");
}

/* => the frames of a violation, a line each */
static char *
frames_of(const json_t *v)
{
	char *text = xstrdup("");
	const json_t *frame;
	size_t i;

	json_array_foreach(json_object_get(v, "stack"), i, frame) {
		char *longer = xasprintf("%s%s\n", text, json_string_value(frame));

		free(text);
		text = longer;
	}
	return text;
}

/* => those that the failure's directory has: of many executions only that one knows them */
static char *
frames_kept(const json_t *v)
{
	char *dir = member(v, "dir"), *path = xasprintf("%s/result.json", dir), *text;
	json_t *root = json_load_file(path, 0, NULL);

	text = frames_of(json_array_get(json_object_get(root, "violations"), 0));
	json_decref(root);
	free(path);
	free(dir);
	return text;
}

/* => false: there is no violation in it */
static bool
read_violation(const char *path, const struct museum_ask *ma, struct museum_run *mr)
{
	json_t *root = json_load_file(path, 0, NULL);
	const json_t *v = json_array_get(json_object_get(root, "violations"), 0);

	mr->mr_executions = (uint64_t)json_integer_value(json_object_get(root, "iterations"));
	if (v != NULL) {
		mr->mr_kind = member(v, "kind");
		mr->mr_id = member(v, "id");
		mr->mr_message = member(v, "message");
		mr->mr_time_s = json_number_value(json_object_get(v, "time_s"));
		mr->mr_stack = ma->ma_strategy != NULL ? frames_kept(v) : frames_of(v);
	}
	json_decref(root);
	return v != NULL;
}

static void
sanitizer_noticed(struct museum_run *mr, const char *kind, const char *whose)
{
	mr->mr_kind = xstrdup(kind);
	mr->mr_id = xstrdup("");
	mr->mr_message = xasprintf("%s has reported something", whose);
	mr->mr_stack = xstrdup("");
	mr->mr_time_s = mr->mr_wall_s;
}

static void
judge_end(struct museum_run *mr, const struct museum_ask *ma, int status, bool asked, const char *json)
{
	const int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;

	mr->mr_end = MR_NOTICED;
	if (code == EXIT_RACE)
		sanitizer_noticed(mr, "race", "ThreadSanitizer");
	else if (code == EXIT_ASAN)
		sanitizer_noticed(mr, "asan", "AddressSanitizer");
	else if (read_violation(json, ma, mr))
		;
	else if (code == EXIT_CLEAN)
		mr->mr_end = MR_CLEAN;
	else if (code == EXIT_VACUOUS)
		mr->mr_end = MR_VACUOUS;
	else if (asked && WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM)
		mr->mr_end = MR_CLEAN;		/* its time was up before it could hear that */
	else {
		mr->mr_end = MR_FAILED;
		mr->mr_message = WIFSIGNALED(status) ?
		    xasprintf("died of signal %d", WTERMSIG(status)) : xasprintf("exit status %d", code);
	}
}

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

void
museum_start(const struct museum_ask *ma, struct museum_child *mc, struct museum_run *mr)
{
	struct words w = { .w_n = 0 };
	pid_t pid;

	*mr = (struct museum_run){ .mr_end = MR_FAILED };
	*mc = (struct museum_child){
		.mc_json = xasprintf("%s/result.json", ma->ma_dir), .mc_out = xasprintf("%s/out", ma->ma_dir),
	};
	if (run_words(&w, ma)) {
		word(&w, "--quiet");
		word(&w, "--json");
		word(&w, mc->mc_json);
		word(&w, "--out");
		word(&w, mc->mc_out);
		fflush(NULL);
		pid = child_fork();
		if (pid == 0)
			be_run(&w, ma);
		mc->mc_started = pid > 0;
		if (pid > 0)
			child_start(&mc->mc_child, pid);
		else
			mr->mr_message = xstrdup("the host has no process for it");
	} else
		mr->mr_message = xstrdup("its profile is not there");
	words_fini(&w);
}

bool
museum_ended(const struct museum_ask *ma, struct museum_child *mc, struct museum_run *mr)
{
	const struct child_limits cl = limits(ma);
	struct child_end ce = { 0 };

	if (mc->mc_started) {
		if (!child_ended(&mc->mc_child, &cl, &ce))
			return false;
		mr->mr_wall_s = ce.ce_wall_s;
		mr->mr_cpu_s = ce.ce_cpu_s;
		judge_end(mr, ma, ce.ce_status, mc->mc_child.ch_asked, mc->mc_json);
	}
	unlink(mc->mc_json);
	nftw(mc->mc_out, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	free(mc->mc_json);
	free(mc->mc_out);
	return true;
}

void
museum_run(const struct museum_ask *ma, struct museum_run *mr)
{
	struct museum_child mc;

	museum_start(ma, &mc, mr);
	while (!museum_ended(ma, &mc, mr))
		child_pause();
}

void
museum_run_fini(struct museum_run *mr)
{
	free(mr->mr_kind);
	free(mr->mr_id);
	free(mr->mr_message);
	free(mr->mr_stack);
}
