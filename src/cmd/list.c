/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * uvmstress list: what there is, one line each.
 *
 * Each topic is a function from an index to a name and a line, over tables that exist for
 * their own sake: what is listed is what the program uses.
 */
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include <harness/checks.h>
#include <harness/xalloc.h>

#include "cmd.h"
#include "museum.h"
#include "../daemon/daemon.h"

struct entry {
	char e_name[80];
	const char *e_help;
	const struct workload *e_workload;	/* topic workloads only */
	const struct order_row *e_order;	/* topic locks only */
	const struct museum_bug *e_bug;		/* topic bugs only */
	const struct check_info *e_check;	/* topic checks only */
	const struct option_row *e_key;		/* topics global and daemon only */
};

struct topic {
	const char *t_name;
	bool (*t_get)(size_t i, struct entry *);	/* false: no more */
};

static const struct {
	const char *n_name, *n_help;
} uvm_counters[] = {
#define UVM_COUNTER(name, text) { "uvmexp." #name, text },
#include <uvm/uvm_counters.def>
#undef UVM_COUNTER
}, inject_sites[] = {
#define INJECT_SITE(name, text, delay, help) { text, help },
#include <sys/inject.def>
#undef INJECT_SITE
};

/* A row of lockrank.def or of lockevent.def, as it stands there. */
struct order_row {
	const char *or_name;
	int or_rank;
	const char *or_nest, *or_ipl, *or_reason;	/* or_ipl: NULL: an event, no lock */
};

static const struct order_row order_rows[] = {
#define LOCK_CLASS(name, rank, nest, ipl, reason) { #name, rank, #nest, #ipl, reason },
#include "lockrank.def"
#undef LOCK_CLASS
#define LOCK_EVENT(name, text, rank, nest, reason) { text, rank, #nest, NULL, reason },
#include "lockevent.def"
#undef LOCK_EVENT
};

/* The words of the tables, for people. */
static const char *
nest_text(const struct order_row *row)
{
	static const struct {
		const char *w_word, *w_text;
	} words[] = {
		{ "NONEST", "never two" }, { "BYID", "two by birth number" },
		{ "CHILD", "a child's with its parent's" }, { "FREE", "any number" },
		{ "NEST", "several in order" },
	};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strcmp(words[i].w_word, row->or_nest) == 0)
			return words[i].w_text;
	return row->or_nest;
}

static const char *
ipl_text(const struct order_row *row)
{
	return strcmp(row->or_ipl, "NONE") == 0 ? "none" : strcmp(row->or_ipl, "ANY") == 0 ? "any" :
	    strcmp(row->or_ipl, "VM") == 0 ? "vm" : row->or_ipl;
}

static bool
get_workload(size_t i, struct entry *e)
{
	const struct workload *wl = workload_table[i];

	if (wl == NULL)
		return false;
	snprintf(e->e_name, sizeof(e->e_name), "%s", wl->wl_name);
	e->e_help = wl->wl_help;
	e->e_workload = wl;
	return true;
}

static bool
get_counter(size_t i, struct entry *e)
{
	size_t n = 0;

	while (counter_table[n].ci_name != NULL)
		n++;
	if (i < n) {
		snprintf(e->e_name, sizeof(e->e_name), "%s.%s", counter_table[i].ci_group,
		    counter_table[i].ci_name);
		e->e_help = counter_table[i].ci_help;
		return true;
	}
	i -= n;
	if (i >= sizeof(uvm_counters) / sizeof(uvm_counters[0]))
		return false;
	snprintf(e->e_name, sizeof(e->e_name), "%s", uvm_counters[i].n_name);
	e->e_help = uvm_counters[i].n_help;
	return true;
}

static bool
get_lock(size_t i, struct entry *e)
{
	if (i >= sizeof(order_rows) / sizeof(order_rows[0]))
		return false;
	snprintf(e->e_name, sizeof(e->e_name), "%s", order_rows[i].or_name);
	e->e_help = order_rows[i].or_reason;
	e->e_order = &order_rows[i];
	return true;
}

static bool
get_fault(size_t i, struct entry *e)
{
	if (i >= sizeof(inject_sites) / sizeof(inject_sites[0]))
		return false;
	snprintf(e->e_name, sizeof(e->e_name), "%s", inject_sites[i].n_name);
	e->e_help = inject_sites[i].n_help;
	return true;
}

static bool
get_bug(size_t i, struct entry *e)
{
	if (museum_bugs[i].mb_name == NULL)
		return false;
	snprintf(e->e_name, sizeof(e->e_name), "%s", museum_bugs[i].mb_name);
	e->e_help = museum_bugs[i].mb_mistake;
	e->e_bug = &museum_bugs[i];
	return true;
}

static bool
get_check(size_t i, struct entry *e)
{
	if (i >= CHK_COUNT)
		return false;
	snprintf(e->e_name, sizeof(e->e_name), "%s", check_table[i].ch_id);
	e->e_help = check_table[i].ch_sentence;
	e->e_check = &check_table[i];
	return true;
}

static bool
get_key(const struct option_row *rows, size_t n, size_t i, struct entry *e)
{
	if (i >= n)
		return false;
	snprintf(e->e_name, sizeof(e->e_name), "%s", rows[i].opt_key);
	e->e_help = rows[i].opt_help;
	e->e_key = &rows[i];
	return true;
}

static bool
get_global(size_t i, struct entry *e)
{
	return get_key(machine_options, machine_noptions, i, e);
}

static bool
get_daemon(size_t i, struct entry *e)
{
	return get_key(daemon_keys, daemon_nkeys, i, e);
}

static const struct topic topics[] = {
	{ "workloads", get_workload },
	{ "checks", get_check },
	{ "counters", get_counter },
	{ "locks", get_lock },
	{ "faults", get_fault },
	{ "bugs", get_bug },
	{ "global", get_global },
	{ "daemon", get_daemon },
};
#define NTOPICS (sizeof(topics) / sizeof(topics[0]))

static const char *
topic_next(const void *ctx, size_t i)
{
	return i < NTOPICS ? topics[i].t_name : NULL;
}

/* What a key takes, after what it is for. */
static void
print_allowed(const struct option_row *row)
{
	char allowed[400];

	option_allowed(row, allowed, sizeof(allowed));
	printf(": %s%s%s", allowed, row->opt_default != NULL ? "; default " : "",
	    row->opt_default != NULL ? row->opt_default : "");
}

static void
print_row(const struct option_row *row)
{
	printf("    %-16s %s", row->opt_key, row->opt_help);
	print_allowed(row);
	putchar('\n');
}

static void
print_workload(const struct workload *wl)
{
	for (size_t i = 0; i < job_ncommon; i++)
		if ((wl->wl_common & 1u << i) != 0)
			print_row(&job_common_options[i]);
	for (size_t i = 0; i < wl->wl_noptions; i++)
		print_row(&wl->wl_options[i]);
	for (size_t i = 0; i < wl->wl_nops; i++)
		printf("    %-16s %s (share %u)\n", wl->wl_ops[i].wo_name, wl->wl_ops[i].wo_help,
		    wl->wl_ops[i].wo_weight);
	printf("    exercises: %s\n    verifies: %s\n", wl->wl_exercises, wl->wl_verifies);
}

static void
print_order(const struct order_row *row)
{
	printf("rank %3d  ", row->or_rank);
	if (row->or_ipl != NULL)
		printf("IPL %-4s", ipl_text(row));
	else
		printf("%-8s", "event");
	printf("  %-26s  ", nest_text(row));
}

static void
print_bug(const struct museum_bug *mb)
{
	char *small;

	if (mb->mb_shows == SHOWS_IMPOSSIBLE) {
		printf("    from %s; impossible: %s\n", mb->mb_origin, mb->mb_note);
		return;
	}
	printf("    from %s; shows: %s, depth %d\n    breaks: %s\n    noticed by: %s\n", mb->mb_origin,
	    bug_shows_names[mb->mb_shows], mb->mb_depth, mb->mb_breaks, mb->mb_notices);
	small = museum_small(mb);
	printf("    profile: museum/%s; in small executions: museum/%s\n", mb->mb_profile, small);
	free(small);
	if (mb->mb_note != NULL)
		printf("    note: %s\n", mb->mb_note);
}

/* After the sentence: how it is held, and where it comes from. */
static void
print_check(const struct check_info *ch)
{
	const char *sep = " [";

	for (int bit = 0; bit < CHECK_NHOW; bit++)
		if ((ch->ch_how & 1u << bit) != 0) {
			printf("%s%s", sep, check_how_name[bit]);
			sep = ", ";
		}
	if (ch->ch_note != NULL)
		printf(": %s", ch->ch_note);
	printf("] (%s)", ch->ch_source);
}

static void
print_topic(const struct topic *t, bool heading, bool verbose)
{
	struct entry e = { 0 };

	if (heading)
		printf("%s:\n", t->t_name);
	for (size_t i = 0; t->t_get(i, &e); i++) {
		printf("%s%-22s ", heading ? "  " : "", e.e_name);
		if (e.e_order != NULL)
			print_order(e.e_order);
		printf("%s%s", e.e_help,
		    e.e_bug != NULL && e.e_bug->mb_shows == SHOWS_IMPOSSIBLE ? " (impossible)" : "");
		if (e.e_check != NULL)
			print_check(e.e_check);
		if (e.e_key != NULL)
			print_allowed(e.e_key);
		putchar('\n');
		if (verbose && e.e_bug != NULL)
			print_bug(e.e_bug);
		if (verbose && e.e_workload != NULL)
			print_workload(e.e_workload);
	}
}

static void
put(json_t *obj, const char *key, json_t *value)
{
	if (json_object_set_new(obj, key, xcheck(value)) != 0)
		xcheck(NULL);
}

static void
json_allowed(json_t *obj, const struct option_row *row)
{
	char allowed[400];

	option_allowed(row, allowed, sizeof(allowed));
	put(obj, "allowed", json_string(allowed));
	put(obj, "default", row->opt_default != NULL ? json_string(row->opt_default) : json_null());
}

static json_t *
json_row(const struct option_row *row)
{
	json_t *obj = xcheck(json_object());

	put(obj, "key", json_string(row->opt_key));
	put(obj, "help", json_string(row->opt_help));
	json_allowed(obj, row);
	return obj;
}

static void
json_workload(json_t *obj, const struct workload *wl)
{
	json_t *options = xcheck(json_array()), *ops = xcheck(json_array());

	for (size_t i = 0; i < job_ncommon; i++)
		if ((wl->wl_common & 1u << i) != 0)
			json_array_append_new(options, json_row(&job_common_options[i]));
	for (size_t i = 0; i < wl->wl_noptions; i++)
		json_array_append_new(options, json_row(&wl->wl_options[i]));
	for (size_t i = 0; i < wl->wl_nops; i++) {
		json_t *op = xcheck(json_object());

		put(op, "name", json_string(wl->wl_ops[i].wo_name));
		put(op, "help", json_string(wl->wl_ops[i].wo_help));
		put(op, "share", json_integer(wl->wl_ops[i].wo_weight));
		json_array_append_new(ops, op);
	}
	put(obj, "options", options);
	put(obj, "operations", ops);
	put(obj, "exercises", json_string(wl->wl_exercises));
	put(obj, "verifies", json_string(wl->wl_verifies));
}

static void
json_order(json_t *obj, const struct order_row *row)
{
	put(obj, "rank", json_integer(row->or_rank));
	put(obj, "kind", json_string(row->or_ipl != NULL ? "lock" : "event"));
	put(obj, "ipl", row->or_ipl != NULL ? json_string(ipl_text(row)) : json_null());
	put(obj, "nesting", json_string(nest_text(row)));
}

static json_t *
text_or_null(const char *text)
{
	return text != NULL ? json_string(text) : json_null();
}

static void
json_bug(json_t *obj, const struct museum_bug *mb)
{
	char *small = museum_small(mb);

	put(obj, "origin", json_string(mb->mb_origin));
	put(obj, "shows", json_string(bug_shows_names[mb->mb_shows]));
	put(obj, "depth", json_integer(mb->mb_depth));
	put(obj, "breaks", text_or_null(mb->mb_breaks));
	put(obj, "noticed_by", text_or_null(mb->mb_notices));
	put(obj, "profile", text_or_null(mb->mb_profile));
	put(obj, "profile_small", text_or_null(small));
	free(small);
	put(obj, "note", text_or_null(mb->mb_note));
}

static void
json_check(json_t *obj, const struct check_info *ch)
{
	json_t *how = xcheck(json_array());

	for (int bit = 0; bit < CHECK_NHOW; bit++)
		if ((ch->ch_how & 1u << bit) != 0)
			json_array_append_new(how, xcheck(json_string(check_how_name[bit])));
	put(obj, "how", how);
	put(obj, "source", json_string(ch->ch_source));
	put(obj, "note", text_or_null(ch->ch_note));
}

static json_t *
json_topic(const struct topic *t)
{
	json_t *array = xcheck(json_array());
	struct entry e = { 0 };

	for (size_t i = 0; t->t_get(i, &e); i++) {
		json_t *obj = xcheck(json_object());

		put(obj, "name", json_string(e.e_name));
		put(obj, "help", json_string(e.e_help));
		if (e.e_workload != NULL)
			json_workload(obj, e.e_workload);
		if (e.e_order != NULL)
			json_order(obj, e.e_order);
		if (e.e_bug != NULL)
			json_bug(obj, e.e_bug);
		if (e.e_check != NULL)
			json_check(obj, e.e_check);
		if (e.e_key != NULL)
			json_allowed(obj, e.e_key);
		json_array_append_new(array, obj);
	}
	return array;
}

static const struct cmd_option list_options[] = {
	{ CMD_NOSHORT, "json", NULL, "as one JSON object", NULL },
	{ 'v', "verbose", NULL, "with the options and operations of each workload, the whole row of each bug", NULL },
	{ 0, NULL, NULL, NULL, NULL },
};

/* => the topic of that name, told to the user if there is none */
static const struct topic *
find_topic(const struct command *cmd, const char *name)
{
	const char *near = nearest_name(name, topic_next, NULL);

	for (size_t i = 0; i < NTOPICS; i++)
		if (strcmp(topics[i].t_name, name) == 0)
			return &topics[i];
	if (near != NULL)
		cmd_usage(cmd, "nothing to list under '%s'; did you mean '%s'?", name, near);
	else
		cmd_usage(cmd, "nothing to list under '%s'; there are workloads, checks, counters, locks, faults, "
		    "bugs, global and daemon",
		    name);
	return NULL;
}

static void
list_topics(const struct topic *const *which, size_t n, bool json, bool verbose)
{
	json_t *obj;

	if (!json) {
		for (size_t i = 0; i < n; i++)
			print_topic(which[i], n > 1, verbose);
		return;
	}
	obj = xcheck(json_object());
	for (size_t i = 0; i < n; i++)
		put(obj, which[i]->t_name, json_topic(which[i]));
	json_dumpf(obj, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(obj);
}

static int
list_main(const struct command *cmd, int argc, char **argv)
{
	const struct topic *which[NTOPICS];
	const struct cmd_option *row;
	bool json = false, verbose = false;
	const char *arg;
	size_t n = 0;
	int c, first;

	while ((c = cmd_getopt(cmd, argc, argv, &row, &arg, &first)) != CMD_END) {
		if (c == CMD_HELP || c == CMD_BAD)
			return c == CMD_HELP ? EXIT_CLEAN : EXIT_USAGE;
		json |= c == CMD_NOSHORT;
		verbose |= c == 'v';
	}
	if (argc - first > 1)
		return cmd_usage(cmd, "one topic at a time");
	if (argc - first == 1) {
		which[n++] = find_topic(cmd, argv[first]);
		if (which[0] == NULL)
			return EXIT_USAGE;
	} else {
		for (; n < NTOPICS; n++)
			which[n] = &topics[n];
	}
	list_topics(which, n, json, verbose);
	return EXIT_CLEAN;
}

const struct command cmd_list = {
	.c_name = "list",
	.c_synopsis = "[workloads|checks|counters|locks|faults|bugs|global|daemon] [--json] [--verbose]",
	.c_help = "what there is, one line each",
	.c_options = list_options,
	.c_main = list_main,
};
