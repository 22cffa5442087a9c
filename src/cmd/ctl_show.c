/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The daemon's answers as text.  Nothing in them is trusted to be there or to be printable:
 * a failure's message is whatever a broken machine said.
 */
#include <sys/ioctl.h>

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <harness/xalloc.h>

#include "ctl.h"

static double
number(const json_t *obj, const char *key)
{
	return json_number_value(json_object_get(obj, key));
}

static const char *
text(const json_t *obj, const char *key)
{
	const char *s = json_string_value(json_object_get(obj, key));

	return s != NULL ? s : "-";
}

/* Without control characters: they would do things to a terminal. */
static void
print_safe(const char *s)
{
	for (; *s != '\0'; s++)
		putchar((unsigned char)*s >= ' ' || *s == '\n' || *s == '\t' ? *s : '?');
}

/* "1.2M": six characters at most. */
static const char *
human(double n, char buf[static 16])
{
	static const char units[] = " kMGTPE";
	size_t u = 0;

	for (; n >= 1000 && u < sizeof(units) - 2; u++)
		n /= 1000;
	snprintf(buf, 16, u == 0 || n >= 100 ? "%.0f%.*s" : "%.1f%.*s", n, u != 0, &units[u]);
	return buf;
}

static const char *
duration(double s, char buf[static 32])
{
	if (s < 120)
		snprintf(buf, 32, "%.0f s", s);
	else if (s < 2 * 3600)
		snprintf(buf, 32, "%.0f min", s / 60);
	else if (s < 2 * 86400)
		snprintf(buf, 32, "%.1f h", s / 3600);
	else
		snprintf(buf, 32, "%.1f days", s / 86400);
	return buf;
}

static const char *
when(double unix_time, char buf[static 32])
{
	time_t t = (time_t)unix_time;
	struct tm tm;

	if (t == 0 || localtime_r(&t, &tm) == NULL || strftime(buf, 32, "%Y-%m-%d %H:%M:%S", &tm) == 0)
		strcpy(buf, "-");
	return buf;
}

static const char *
base(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash != NULL ? slash + 1 : path;
}

static void
print_worker(const json_t *w)
{
	const json_t *p = json_object_get(w, "progress");
	char ops[16], faults[16];

	printf("  worker %.0f: %s", number(w, "slot"), text(w, "state"));
	if (json_object_get(w, "run") == NULL) {
		if (number(w, "starts_in_s") > 0)
			printf(", %.0f s to go", number(w, "starts_in_s"));
		putchar('\n');
		return;
	}
	printf(" run %.0f, %s, schedule %s, seed %.0f, process %.0f", number(w, "run"),
	    base(text(w, "profile")), text(w, "schedule"), number(w, "seed"), number(w, "pid"));
	if (p != NULL)
		printf("\n    %.0f of %.0f s, %s operations/s, %s faults/s, %.0f violations",
		    number(p, "elapsed_s"), number(p, "planned_s"), human(number(p, "operations_per_s"), ops),
		    human(number(p, "faults_per_s"), faults), number(p, "violations"));
	putchar('\n');
}

void
ctl_status(const json_t *st)
{
	char buf[32], space[16];
	const char *what;
	json_t *w, *n;
	size_t i;

	printf("uvmstress %s, process %.0f: %s for %s\n", text(st, "version"), number(st, "pid"),
	    text(st, "state"), duration(number(st, "uptime_s"), buf));
	printf("  state in %s, %sB free", text(st, "state_directory"), human(number(st, "free_bytes"), space));
	if (json_is_number(json_object_get(st, "http_port")))
		printf(", page on port %.0f", number(st, "http_port"));
	printf("\n  runs:");
	json_object_foreach(json_object_get(st, "runs"), what, n)
		printf(" %.0f %s", json_number_value(n), what);
	printf("\n  %.0f failures, %.0f workers ended without a result", number(st, "failures"),
	    number(st, "worker_restarts"));
	if (number(st, "results_waiting") > 0)
		printf(", %.0f RESULTS WAIT TO BE STORED", number(st, "results_waiting"));
	putchar('\n');
	json_array_foreach(json_object_get(st, "workers"), i, w)
		print_worker(w);
}

void
ctl_failures(const json_t *list)
{
	char last[32];
	json_t *f;
	size_t i;

	if (json_array_size(list) == 0)
		printf("no failures\n");
	json_array_foreach(list, i, f) {
		printf("%4.0f  %s  %5.0fx  %s %s: ", number(f, "id"), when(number(f, "last_seen"), last),
		    number(f, "count"), text(f, "kind"), text(f, "rule"));
		print_safe(text(f, "message"));
		putchar('\n');
	}
}

void
ctl_failure(const json_t *f)
{
	char first[32], last[32];
	json_t *seen;
	size_t i;

	printf("failure %.0f: %s %s, seen %.0f times, first %s, last %s\n", number(f, "id"), text(f, "kind"),
	    text(f, "rule"), number(f, "count"), when(number(f, "first_seen"), first),
	    when(number(f, "last_seen"), last));
	printf("fingerprint %s\n", text(f, "fingerprint"));
	print_safe(text(f, "message"));
	printf("\n\n");
	json_array_foreach(json_object_get(f, "seen"), i, seen)
		if (i < 5)
			printf("  run %.0f: %s, schedule %s, seed %.0f, after %.1f s%s%s\n", number(seen, "run"),
			    base(text(seen, "profile")), text(seen, "schedule"), number(seen, "seed"),
			    number(seen, "time_s"), json_is_string(json_object_get(seen, "dir")) ? ", kept in " : "",
			    json_is_string(json_object_get(seen, "dir")) ? text(seen, "dir") : "");
	if (json_object_get(f, "directory") != NULL)
		printf("\n%s:\n\n", text(f, "directory"));
	print_safe(json_object_get(f, "report") != NULL ? text(f, "report") : text(f, "stack"));
}

void
ctl_runs(const json_t *list)
{
	char started[32], faults[16];
	json_t *r;
	size_t i;

	json_array_foreach(list, i, r) {
		const char *outcome = json_string_value(json_object_get(r, "outcome"));

		printf("%6.0f  %s  %-11s  %-16s %-8s seed %-10.0f %7s faults/s", number(r, "id"),
		    when(number(r, "started"), started), outcome != NULL ? outcome : text(r, "state"),
		    base(text(r, "profile")), text(r, "schedule"), number(r, "seed"),
		    human(number(r, "faults_per_s"), faults));
		if (json_is_string(json_object_get(r, "message"))) {
			printf("  ");
			print_safe(text(r, "message"));
		}
		putchar('\n');
	}
}

void
ctl_check(const json_t *j)
{
	json_t *line;
	size_t i;

	if (json_is_true(json_object_get(j, "sound")))
		printf("database and failures are sound\n");
	json_array_foreach(json_object_get(j, "wrong"), i, line) {
		print_safe(json_is_string(line) ? json_string_value(line) : "?");
		putchar('\n');
	}
	if (number(j, "results_waiting") > 0)
		printf("%.0f results wait to be stored\n", number(j, "results_waiting"));
}

/* --- top --- */

/* What all workers together say of something, by name. */
static double
sum(const json_t *workers, const char *key)
{
	double n = 0;
	json_t *w;
	size_t i;

	json_array_foreach(workers, i, w)
		n += number(json_object_get(w, "progress"), key);
	return n;
}

static void
bar(const char *name, double part, double whole, int width)
{
	int full = whole > 0 ? (int)(part / whole * width + 0.5) : 0;
	char n[16];

	printf("  %-10s %7s  [", name, human(part, n));
	for (int i = 0; i < width; i++)
		putchar(i < full ? '#' : '.');
	printf("] %3.0f%%\n", whole > 0 ? 100 * part / whole : 0);
}

static void
top_pages(const json_t *workers)
{
	double total = sum(workers, "total_pages");

	printf("\nPAGES       pages\n");
	bar("free", sum(workers, "free_pages"), total, 40);
	bar("active", sum(workers, "active_pages"), total, 40);
	bar("inactive", sum(workers, "inactive_pages"), total, 40);
	bar("wired", sum(workers, "wired_pages"), total, 40);
}

static void
top_cpus(const json_t *workers)
{
	static const char *const names[] = { "user", "system", "interrupt", "idle" };
	static const char *const keys[] = { "cpu_user", "cpu_system", "cpu_interrupt", "cpu_idle" };
	double all = 0;

	for (size_t i = 0; i < 4; i++)
		all += sum(workers, keys[i]);
	printf("\nSIMULATED CPUS  clock ticks of these runs\n");
	for (size_t i = 0; i < 4; i++)
		bar(names[i], sum(workers, keys[i]), all, 40);
}

struct top_lock {
	const char *tl_class;
	double tl_wait, tl_contended;
};

struct top_locks {
	struct top_lock *tls_v;
	size_t tls_n;
};

/* => a class has one row, whichever worker waited */
static void
top_add(struct top_locks *tls, const char *class, const json_t *lock)
{
	size_t i = 0;

	while (i < tls->tls_n && strcmp(tls->tls_v[i].tl_class, class) != 0)
		i++;
	if (i == tls->tls_n) {
		tls->tls_v = xgrow(tls->tls_v, tls->tls_n++, sizeof(*tls->tls_v));
		tls->tls_v[i] = (struct top_lock){ .tl_class = class };
	}
	tls->tls_v[i].tl_wait += number(lock, "wait_ns");
	tls->tls_v[i].tl_contended += number(lock, "contended");
}

static int
by_wait(const void *a, const void *b)
{
	double x = ((const struct top_lock *)a)->tl_wait, y = ((const struct top_lock *)b)->tl_wait;

	return x < y ? 1 : x > y ? -1 : 0;
}

static void
top_locks(const json_t *workers, const json_t *finished, size_t max)
{
	struct top_locks tls = { 0 };
	const char *class;
	json_t *w, *lock;
	size_t i, k;

	json_array_foreach(workers, i, w)
		json_array_foreach(json_object_get(json_object_get(w, "progress"), "locks"), k, lock)
			top_add(&tls, text(lock, "class"), lock);
	if (tls.tls_n == 0)	/* between two runs: what they did until now */
		json_object_foreach((json_t *)finished, class, lock)
			top_add(&tls, class, lock);
	if (tls.tls_n != 0)
		qsort(tls.tls_v, tls.tls_n, sizeof(*tls.tls_v), by_wait);
	printf("\nLOCKS BY WAIT       waited, s   contended\n");
	for (i = 0; i < tls.tls_n && i < max; i++) {
		const struct top_lock *tl = &tls.tls_v[i];
		char c[16];

		printf("  %-16s %9.3f   %9s\n", tl->tl_class, tl->tl_wait / 1e9, human(tl->tl_contended, c));
	}
	free(tls.tls_v);
}

static void
top_checks(const json_t *checks)
{
	double runs = 0, wrong = 0;
	const char *id;
	json_t *c;

	json_object_foreach((json_t *)checks, id, c) {
		runs += number(c, "runs");
		wrong += number(c, "violations");
	}
	printf("\nCHECKS  %zu kinds, %.0f made in finished runs, %.0f violations\n", json_object_size(checks),
	    runs, wrong);
}

void
ctl_top(const json_t *j, unsigned long n)
{
	const json_t *st = json_object_get(j, "status"), *workers = json_object_get(st, "workers");
	struct winsize ws = { .ws_row = 40 };
	char a[16], b[16];
	size_t rows;

	if (isatty(STDOUT_FILENO))
		printf("\033[H\033[J");
	else if (n != 0)
		putchar('\n');
	(void)ioctl(STDOUT_FILENO, TIOCGWINSZ, &ws);
	ctl_status(st);
	printf("\nTHROUGHPUT  %s faults/s, %s operations/s\n", human(sum(workers, "faults_per_s"), a),
	    human(sum(workers, "operations_per_s"), b));
	top_pages(workers);
	top_cpus(workers);
	top_checks(json_object_get(st, "checks"));
	rows = 24 + 2 * json_array_size(workers);
	top_locks(workers, json_object_get(json_object_get(j, "locks"), "classes"),
	    ws.ws_row > rows + 5 ? ws.ws_row - rows : 5);
}
