/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Options of subcommands, from their rows; and profiles from the command line.
 */
#include <sys/random.h>

#include <getopt.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <harness/xalloc.h>

#include "cmd.h"

#define OPTIONS_MAX 40

int
cmd_fail(int status, const char *fmt, ...)
{
	va_list ap;

	fflush(stdout);
	fputs("uvmstress: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return status;
}

int
cmd_usage(const struct command *cmd, const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "uvmstress %s: ", cmd->c_name);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, "; see `uvmstress %s --help`\n", cmd->c_name);
	return EXIT_USAGE;
}

static void
print_help(const struct command *cmd)
{
	printf("usage: uvmstress %s %s\n\n%s\n", cmd->c_name, cmd->c_synopsis, cmd->c_help);
	if (cmd->c_options == NULL)
		return;
	putchar('\n');
	for (const struct cmd_option *o = cmd->c_options; o->co_name != NULL; o++) {
		char left[64];

		snprintf(left, sizeof(left), "%s%c%s--%s%s%s",
		    o->co_id < CMD_NOSHORT ? "-" : "  ",
		    o->co_id < CMD_NOSHORT ? (char)o->co_id : ' ',
		    o->co_id < CMD_NOSHORT ? ", " : " ", o->co_name,
		    o->co_arg != NULL ? " " : "", o->co_arg != NULL ? o->co_arg : "");
		printf("  %-28s %s\n", left, o->co_help);
	}
}

static const char *
option_next(const void *ctx, size_t i)
{
	const struct command *cmd = ctx;

	if (cmd->c_options == NULL)
		return i == 0 ? "help" : NULL;
	return cmd->c_options[i].co_name;	/* the row after the last has none */
}

/* => CMD_BAD; getopt_long has just refused argv[optind - 1] */
static int
bad_option(const struct command *cmd, char **argv, int c)
{
	const char *word = argv[optind - 1], *near;
	char shortform[3] = { '-', (char)optopt, '\0' };
	bool is_long = strncmp(word, "--", 2) == 0;
	char *name;

	if (c == ':') {
		cmd_usage(cmd, "%s needs a value", is_long ? word : shortform);
		return CMD_BAD;
	}
	if (!is_long) {
		cmd_usage(cmd, "unknown option '%s'", shortform);
		return CMD_BAD;
	}
	name = xstrndup(word + 2, strcspn(word + 2, "="));
	near = nearest_name(name, option_next, cmd);
	if (optopt != 0)
		cmd_usage(cmd, "--%s takes no value", name);
	else if (near != NULL && strcmp(near, name) != 0)
		cmd_usage(cmd, "unknown option '--%s'; did you mean '--%s'?", name, near);
	else
		cmd_usage(cmd, "unknown option '--%s'", name);
	free(name);
	return CMD_BAD;
}

int
cmd_getopt(const struct command *cmd, int argc, char **argv, const struct cmd_option **row,
    const char **arg, int *first)
{
	struct option longs[OPTIONS_MAX] = { 0 };
	char shorts[2 * OPTIONS_MAX + 4], *s = shorts;
	size_t n = 0;
	int c;

	if (cmd->c_stop_at_word)
		*s++ = '+';
	*s++ = ':';
	*s++ = 'h';
	longs[n++] = (struct option){ "help", no_argument, NULL, 'h' };
	for (const struct cmd_option *o = cmd->c_options; o != NULL && o->co_name != NULL; o++) {
		longs[n++] = (struct option){ o->co_name,
			o->co_arg != NULL ? required_argument : no_argument, NULL, o->co_id };
		if (o->co_id >= CMD_NOSHORT)
			continue;
		*s++ = (char)o->co_id;
		if (o->co_arg != NULL)
			*s++ = ':';
	}
	*s = '\0';
	opterr = 0;
	c = getopt_long(argc, argv, shorts, longs, NULL);
	*first = optind;
	*arg = optarg;
	*row = NULL;
	if (c == 'h') {
		print_help(cmd);
		return CMD_HELP;
	}
	if (c == '?' || c == ':')
		return bad_option(cmd, argv, c);
	for (const struct cmd_option *o = cmd->c_options; o != NULL && o->co_name != NULL; o++)
		if (o->co_id == c)
			*row = o;
	return c;
}

bool
overrides_take(struct overrides *ovs, const struct cmd_option *row, const char *arg)
{
	struct override *ov;

	if (row == NULL || (row->co_key == NULL && strcmp(row->co_name, "set") != 0))
		return false;
	ovs->ovs_v = xgrow(ovs->ovs_v, ovs->ovs_n, sizeof(*ov));
	ov = &ovs->ovs_v[ovs->ovs_n++];
	ov->ov_key = row->co_key;
	ov->ov_value = arg != NULL ? arg : "on";	/* a switch */
	ov->ov_option = row->co_name;
	return true;
}

void
overrides_add(struct overrides *ovs, const char *key, const char *value)
{
	ovs->ovs_v = xgrow(ovs->ovs_v, ovs->ovs_n, sizeof(*ovs->ovs_v));
	ovs->ovs_v[ovs->ovs_n++] = (struct override){ key, value, key };
}

static int
apply_override(struct profile *p, const struct override *ov, struct profile_error *err)
{
	char *where;
	int error;

	if (ov->ov_key == NULL)
		return profile_set(p, ov->ov_value, err);
	where = xasprintf("--%s %.200s", ov->ov_option, ov->ov_value);
	error = profile_set_global(p, ov->ov_key, ov->ov_value, where, err);
	free(where);
	return error;
}

/* 31 bits are plenty for choosing, and easy to type again. */
static int
choose_seed(struct profile *p, struct profile_error *err)
{
	unsigned seed;
	char text[16];

	if (profile_is_set(p, "seed"))
		return 0;
	if (getentropy(&seed, sizeof(seed)) != 0)
		seed = (unsigned)time(NULL) ^ (unsigned)getpid() << 16;
	snprintf(text, sizeof(text), "%u", seed >> 1);
	return profile_set_global(p, "seed", text, "chosen", err);
}

int
cmd_load_profile(const struct command *cmd, char **files, int nfiles, struct overrides *ovs,
    bool want_seed, struct profile **pp)
{
	struct profile *p = profile_create(workload_table);
	struct profile_error err;
	int error = 0;

	if (nfiles == 0) {
		profile_destroy(p);
		free(ovs->ovs_v);
		return cmd_usage(cmd, "no job file given");
	}
	for (int i = 0; error == 0 && i < nfiles; i++)
		error = profile_parse_file(p, files[i], &err);
	for (size_t i = 0; error == 0 && i < ovs->ovs_n; i++)
		error = apply_override(p, &ovs->ovs_v[i], &err);
	if (error == 0 && want_seed)
		error = choose_seed(p, &err);
	if (error == 0)
		error = profile_resolve(p, &err);
	if (error == 0)
		error = profile_check_files(p, &err);
	free(ovs->ovs_v);
	if (error == 0) {
		*pp = p;
		return EXIT_CLEAN;
	}
	profile_destroy(p);
	return cmd_fail(EXIT_USAGE, "%s", err.pe_text);
}
