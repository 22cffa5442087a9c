/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * A run or a failure as one HTML page that needs nothing else: no script, no font, no
 * picture from anywhere.  It is made from files alone (result.json, and report.txt and
 * profile.ini if they are there), so it can be made years later on another machine.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include <harness/result.h>
#include <harness/xalloc.h>

#include "html_int.h"

#define FILE_MAX (INT64_C(64) << 20)
#define BARS_MAX 12

static const char style[] =
    ":root{color-scheme:light dark;--page:#f6f6f3;--card:#fff;--ink:#1b1b1a;--soft:#5c5b57;--line:#dddcd6;"
    "--grid:#e4e3dd;--a:#2766b8;--bad:#b3261e;--good:#1e7a3c;--warn:#8a6100}\n"
    "@media(prefers-color-scheme:dark){:root{--page:#161616;--card:#1f1f1e;--ink:#ecebe6;--soft:#a9a79f;"
    "--line:#3a3936;--grid:#33322f;--a:#6ea8ef;--bad:#ff8a80;--good:#6fcf8b;--warn:#e3b341}}\n"
    "*{box-sizing:border-box}body{margin:0 auto;max-width:1240px;padding:16px;background:var(--page);"
    "color:var(--ink);font:15px/1.45 system-ui,sans-serif}h1{font-size:20px;margin:0 0 4px}"
    "h2{font-size:15px;margin:0 0 8px}section{background:var(--card);border:1px solid var(--line);"
    "border-radius:8px;padding:14px 16px;margin:14px 0;min-width:0}"
    ".two{display:grid;grid-template-columns:repeat(2,minmax(0,1fr));gap:0 14px}"
    "@media(max-width:900px){.two{display:block}}.soft{color:var(--soft)}.bad{color:var(--bad)}"
    ".good{color:var(--good)}.warn{color:var(--warn)}.scroll{overflow-x:auto}"
    "svg{display:block;width:100%;overflow:visible}.scroll svg{width:auto;max-width:none}svg text{fill:var(--ink);font:12px system-ui,sans-serif}"
    ".grid{stroke:var(--grid)}.bar{fill:var(--a)}.mark{fill:var(--warn)}.edge{fill:none;stroke:var(--soft);opacity:.6}"
    ".edge.cycle{stroke:var(--bad);stroke-width:2;opacity:1}.node{fill:var(--card);stroke:var(--soft)}"
    "table{border-collapse:collapse;width:100%;font-size:14px}th{text-align:left;color:var(--soft);"
    "font-weight:500}th,td{padding:3px 10px 3px 0;border-bottom:1px solid var(--grid);vertical-align:top}"
    "td.n,th.n{text-align:right;padding-right:18px;font-variant-numeric:tabular-nums;white-space:nowrap}"
    "pre{white-space:pre-wrap;overflow-wrap:anywhere;font:12.5px/1.4 ui-monospace,monospace;margin:8px 0;"
    "background:var(--page);border:1px solid var(--line);border-radius:6px;padding:10px}"
    "summary{cursor:pointer}\n";

static double
number(const json_t *obj, const char *key)
{
	return json_number_value(json_object_get(obj, key));
}

static const char *
text(const json_t *obj, const char *key)
{
	const char *s = json_string_value(json_object_get(obj, key));

	return s != NULL ? s : "";
}

/* --- pieces --- */

static void
section(FILE *out, const char *title)
{
	fprintf(out, "<section><h2>%s</h2>\n", title);
}

static void
cell(FILE *out, const char *s)
{
	fputs("<td>", out);
	html_text(out, s);
	fputs("</td>", out);
}

static void
cell_number(FILE *out, double n)
{
	fprintf(out, "<td class=n>%.0f</td>", n);
}

/* heads: "class|#acquired": # is a column of numbers */
static void
table(FILE *out, const char *heads)
{
	char *copy = xstrdup(heads), *save = NULL;

	fputs("<div class=scroll><table><thead><tr>", out);
	for (char *h = strtok_r(copy, "|", &save); h != NULL; h = strtok_r(NULL, "|", &save))
		fprintf(out, "<th%s>%s</th>", *h == '#' ? " class=n" : "", *h == '#' ? h + 1 : h);
	fputs("</tr></thead><tbody>\n", out);
	free(copy);
}

static void
table_end(FILE *out)
{
	fputs("</tbody></table></div>\n", out);
}

/* The largest of a group's numbers, the largest first. */
static void
chart(FILE *out, const json_t *group, const char *leave_out, const char *unit)
{
	struct html_bar bars[BARS_MAX];
	const char *name;
	json_t *value;
	size_t n = 0;

	json_object_foreach((json_t *)group, name, value) {
		struct html_bar bar = { name, json_number_value(value) };
		size_t i;

		if (bar.hb_value <= 0 || strstr(leave_out, name) != NULL)
			continue;
		if (n == BARS_MAX && bars[n - 1].hb_value >= bar.hb_value)
			continue;
		n += n < BARS_MAX;
		for (i = n - 1; i > 0 && bars[i - 1].hb_value < bar.hb_value; i--)
			bars[i] = bars[i - 1];
		bars[i] = bar;
	}
	html_bars(out, bars, n, unit);
}

/* --- sections --- */

static const char *
verdict_class(const char *outcome)
{
	return strcmp(outcome, "clean") == 0 ? "good" : strcmp(outcome, "violation") == 0 ? "bad" : "warn";
}

static void
summary(FILE *out, const json_t *r)
{
	char memory[16], swap[16], faults[16];

	html_count(number(r, "memory_bytes"), memory);
	html_count(number(r, "swap_bytes"), swap);
	html_count(number(json_object_get(r, "faults"), "per_s"), faults);
	fprintf(out, "<h1>uvmstress: <span class=%s>", verdict_class(text(r, "outcome")));
	html_text(out, text(r, "outcome"));
	fprintf(out, "</span> after %.1f s</h1>\n<p class=soft>version ", number(r, "elapsed_s"));
	html_text(out, text(r, "version"));
	fprintf(out, ", seed %.0f, profile ", number(r, "seed"));
	html_text(out, text(r, "profile_digest"));
	fputs(", schedule ", out);
	html_text(out, text(r, "schedule"));
	fprintf(out, ", %.0f CPUs, %sB of memory, %sB of swap", number(r, "cpus"), memory, swap);
	if (number(r, "cpu_s") > 0)		/* it came to its end */
		fprintf(out, ", %s page faults a second, %.1f s of the host's cores", faults, number(r, "cpu_s"));
	fputs("</p>\n", out);
	section(out, "To see it again");
	fputs("<pre>", out);
	html_text(out, text(r, "command"));
	fputs("</pre></section>\n", out);
}

static void
violations(FILE *out, const json_t *list)
{
	json_t *v, *frame;
	size_t i, k;

	json_array_foreach(list, i, v) {
		fputs("<section><h2 class=bad>", out);
		html_text(out, text(v, "kind"));
		fputs(" ", out);
		html_text(out, text(v, "id"));
		fputs("</h2><p>", out);
		html_text(out, text(v, "message"));
		fprintf(out, "</p><p class=soft>after %.3f s", number(v, "time_s"));
		if (number(v, "cpu") >= 0)
			fprintf(out, ", CPU %.0f", number(v, "cpu"));
		if (*text(v, "grade") != '\0') {
			fputs(", ", out);
			html_text(out, text(v, "grade"));
		}
		fputs(", fingerprint ", out);
		html_text(out, text(v, "fingerprint"));
		fputs("</p>\n<pre>", out);
		json_array_foreach(json_object_get(v, "stack"), k, frame) {
			fprintf(out, "#%-2zu ", k);
			html_text(out, json_string_value(frame));
			fputc('\n', out);
		}
		fputs("</pre>\n", out);
		html_lanes(out, json_object_get(v, "events"));
		fputs("</section>\n", out);
	}
}

static void
list(FILE *out, const json_t *lines, const char *title)
{
	json_t *line;
	size_t i;

	if (json_array_size(lines) == 0)
		return;
	section(out, title);
	json_array_foreach(lines, i, line) {
		fputs("<p>", out);
		html_text(out, json_string_value(line));
		fputs("</p>\n", out);
	}
	fputs("</section>\n", out);
}

static void
jobs(FILE *out, const json_t *array)
{
	json_t *job;
	size_t i;

	section(out, "Jobs");
	table(out, "job|workload|#threads|#operations|#per second|#bytes verified|#killed for want of memory");
	json_array_foreach(array, i, job) {
		fputs("<tr>", out);
		cell(out, text(job, "name"));
		cell(out, text(job, "workload"));
		cell_number(out, number(job, "threads"));
		cell_number(out, number(job, "operations"));
		cell_number(out, number(job, "operations_per_s"));
		cell_number(out, number(job, "bytes_verified"));
		cell_number(out, number(job, "killed"));
		fputs("</tr>\n", out);
	}
	table_end(out);
	fputs("</section>\n", out);
}

static void
throughput(FILE *out, const json_t *series)
{
	if (json_array_size(series) < 2)
		return;
	fputs("<div class=two>\n", out);
	section(out, "Page faults over time");
	html_rate(out, series, 1, "page faults a second");
	fputs("</section>\n", out);
	section(out, "Operations over time");
	html_rate(out, series, 2, "operations of all jobs a second");
	fputs("</section></div>\n", out);
}

static void
latencies(FILE *out, const json_t *all)
{
	const char *name;
	json_t *l;

	section(out, "Latencies");
	table(out, "what|#half within, us|#90%, us|#99%, us|#99.9%, us|#worst, us");
	json_object_foreach((json_t *)all, name, l) {
		static const char *const keys[] = { "p50", "p90", "p99", "p999", "max" };

		fputs("<tr>", out);
		cell(out, name);
		for (size_t i = 0; i < 5; i++)
			fprintf(out, "<td class=n>%.3f</td>", number(l, keys[i]) / 1e3);
		fputs("</tr>\n", out);
	}
	table_end(out);
	json_object_foreach((json_t *)all, name, l) {
		char *what = xasprintf("%s: how many of those sampled", name);

		html_histogram(out, json_object_get(l, "histogram"), what);
		free(what);
	}
	fputs("</section>\n", out);
}

static void
locks(FILE *out, const json_t *array)
{
	json_t *waits = xcheck(json_object()), *lock;
	size_t i;

	json_array_foreach(array, i, lock)
		json_object_set_new(waits, text(lock, "class"), xcheck(json_real(number(lock, "wait_ns") / 1e6)));
	section(out, "Locks by wait");
	chart(out, waits, "", "time waited by all together, ms");
	json_decref(waits);
	fputs("<details><summary>all classes</summary>", out);
	table(out, "class|#acquired|#contended|#waited, ms|#held longest, us");
	json_array_foreach(array, i, lock) {
		fputs("<tr>", out);
		cell(out, text(lock, "class"));
		cell_number(out, number(lock, "acquisitions"));
		cell_number(out, number(lock, "contended"));
		fprintf(out, "<td class=n>%.3f</td><td class=n>%.3f</td></tr>\n", number(lock, "wait_ns") / 1e6,
		    number(lock, "hold_ns_max") / 1e3);
	}
	table_end(out);
	fputs("</details></section>\n", out);
}

static void
checks(FILE *out, const json_t *array)
{
	double made = 0, wrong = 0;
	json_t *check;
	size_t i;

	json_array_foreach(array, i, check) {
		made += number(check, "runs");
		wrong += number(check, "violations");
	}
	section(out, "Checks");
	fprintf(out, "<details%s><summary>%.0f made, of %zu kinds; <span class=%s>%.0f violations</span></summary>",
	    wrong != 0 ? " open" : "", made, json_array_size(array), wrong != 0 ? "bad" : "good", wrong);
	table(out, "check|#times made|#violations");
	json_array_foreach(array, i, check) {
		fputs("<tr>", out);
		cell(out, text(check, "id"));
		cell_number(out, number(check, "runs"));
		cell_number(out, number(check, "violations"));
		fputs("</tr>\n", out);
	}
	table_end(out);
	fputs("</details></section>\n", out);
}

static void
counters(FILE *out, const json_t *r)
{
	static const char *const groups[] = { "loans", "interrupts", "injected", "uvmexp" };
	const char *name;
	json_t *value;

	section(out, "Counters");
	for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
		fprintf(out, "<details><summary>%s</summary>", groups[i]);
		table(out, "counter|#value");
		json_object_foreach(json_object_get(r, groups[i]), name, value) {
			fputs("<tr>", out);
			cell(out, name);
			cell_number(out, json_number_value(value));
			fputs("</tr>\n", out);
		}
		table_end(out);
		fputs("</details>\n", out);
	}
	fputs("</section>\n", out);
}

/* What it leaves out here is in the file. */
static void
whole_file(FILE *out, const char *dir, const char *name, const char *title, bool open)
{
	char *path = xasprintf("%s/%s", dir, name), line[4096];
	FILE *in = fopen(path, "re");

	free(path);
	if (in == NULL)
		return;
	section(out, title);
	fprintf(out, "<details%s><summary>%s</summary><pre>", open ? " open" : "", name);
	while (fgets(line, sizeof(line), in) != NULL)
		html_text(out, line);
	fputs("</pre></details></section>\n", out);
	fclose(in);
}

static void
page(const struct report_page *rpg, FILE *out)
{
	const json_t *r = rpg->rpg_result;

	fprintf(out, "<!DOCTYPE html>\n<html lang=en><head><meta charset=utf-8><meta name=viewport "
	    "content=\"width=device-width, initial-scale=1\"><title>uvmstress report</title>"
	    "<link rel=icon href=\"data:,\"><style>\n%s</style></head><body>\n", style);
	summary(out, r);
	violations(out, json_object_get(r, "violations"));
	list(out, json_object_get(r, "missing"), "Required counters that stayed at 0");
	list(out, json_object_get(r, "notes"), "Notes");
	whole_file(out, rpg->rpg_dir, "report.txt", "What was found, with the last events, the locks held and all stacks",
	    json_array_size(json_object_get(r, "violations")) != 0);
	jobs(out, json_object_get(r, "jobs"));
	throughput(out, json_object_get(r, "series"));
	fputs("<div class=two>\n", out);
	section(out, "Page faults by kind");
	chart(out, json_object_get(r, "faults"), "total per_s", "page faults");
	fputs("</section>\n", out);
	latencies(out, json_object_get(r, "latency_ns"));
	locks(out, json_object_get(r, "locks"));
	checks(out, json_object_get(r, "checks"));
	fputs("</div>\n", out);
	section(out, "Lock order that was seen");
	fputs("<p class=soft>A lock stands below those that were held when it was taken. Arrows that others imply "
	    "are left out.</p>\n", out);
	html_order(out, json_object_get(r, "lock_order"));
	fputs("</section>\n", out);
	counters(out, r);
	whole_file(out, rpg->rpg_dir, "profile.ini", "The profile", false);
	fputs("</body></html>\n", out);
}

/* --- the door --- */

static void
write_page(const void *what, FILE *out)
{
	page(what, out);
}

/* => a result; NULL with a line in why */
static json_t *
load(const char *path, char *why, size_t whylen)
{
	struct stat st;
	json_error_t error;
	json_t *r;

	if (stat(path, &st) != 0) {
		snprintf(why, whylen, "cannot read %s: %s", path, strerror(errno));
		return NULL;
	}
	if (!S_ISREG(st.st_mode) || st.st_size > FILE_MAX) {
		snprintf(why, whylen, "%s: not a file of a run's result", path);
		return NULL;
	}
	r = json_load_file(path, 0, &error);
	if (r != NULL && strcmp(text(r, "schema"), "uvmstress-run/1") == 0)
		return r;
	if (r == NULL)
		snprintf(why, whylen, "%s:%d: not JSON: %s", path, error.line, error.text);
	else
		snprintf(why, whylen, "%s: not the result of a run (schema uvmstress-run/1)", path);
	json_decref(r);
	return NULL;
}

int
report_html(const char *path, const char *output, char *why, size_t whylen)
{
	struct stat st;
	bool is_dir = stat(path, &st) == 0 && S_ISDIR(st.st_mode);
	const char *slash = strrchr(path, '/');
	char *dir = is_dir ? xstrdup(path) : slash == NULL ? xstrdup(".") : xstrndup(path, (size_t)(slash - path) + 1);
	char *file = is_dir ? xasprintf("%s/result.json", path) : xstrdup(path);
	struct report_page rpg = { load(file, why, whylen), dir };
	char *place = output != NULL ? xstrdup(output) : xasprintf("%s/report.html", dir);
	int error = EINVAL;

	if (rpg.rpg_result != NULL)
		error = report_write(place, write_page, &rpg, why, whylen) != 0 ? EIO : 0;
	if (error == 0 && strcmp(place, "-") != 0)
		printf("%s\n", place);
	json_decref(rpg.rpg_result);
	free(place);
	free(file);
	free(dir);
	return error;
}
