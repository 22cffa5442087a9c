/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * uvmstress ctl: one verb to the daemon, and its answer for people or, with --json, as it is.
 */
#include <sys/socket.h>
#include <sys/un.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <harness/xalloc.h>

#include "cmd.h"
#include "ctl.h"

enum { OPT_SOCKET = 's', OPT_JSON = CMD_NOSHORT, OPT_COUNT };

#define ANSWER_MAX (64 * 1024 * 1024)

static const struct cmd_option ctl_options[] = {
	{ OPT_SOCKET, "socket", "PATH", "where the daemon listens; $UVMSTRESS_SOCKET, ./uvmstress-state/ctl, "
	    "/run/uvmstress/ctl", NULL },
	{ OPT_JSON, "json", NULL, "print the answer as it came", NULL },
	{ OPT_COUNT, "count", "N", "top: stop after so many pictures", NULL },
	{ 0, NULL, NULL, NULL, NULL },
};

static const char *
find_socket(const char *given)
{
	static const char here[] = DAEMON_STATE "/" DAEMON_SOCKET;

	if (given == NULL)
		given = getenv("UVMSTRESS_SOCKET");
	if (given != NULL)
		return given;
	return access(here, F_OK) == 0 ? here : "/run/uvmstress/ctl";
}

/* => a stream, or NULL: told, *status is set */
static FILE *
connect_to(const char *path, int *status)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd;
	FILE *f;

	*status = EXIT_HOST;
	if (strlen(path) >= sizeof(sun.sun_path)) {
		*status = cmd_fail(EXIT_USAGE, "%s: too long for the name of a socket", path);
		return NULL;
	}
	strcpy(sun.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&sun, sizeof(sun)) != 0) {
		cmd_fail(EXIT_HOST, "cannot reach the daemon at %s: %s", path, strerror(errno));
		if (fd >= 0)
			close(fd);
		return NULL;
	}
	f = xcheck(fdopen(fd, "r+"));
	return f;
}

/* => the answer, NULL: told, *status is set */
static json_t *
ask(FILE *f, const char *verb, const char *arg, int *status)
{
	char line[2000], *body;
	unsigned long len = 0;
	json_t *j = NULL;

	*status = EXIT_HOST;
	fprintf(f, "%s %s%s%s\n", CONTROL_PROTOCOL, verb, arg != NULL ? " " : "", arg != NULL ? arg : "");
	fflush(f);
	if (fgets(line, sizeof(line), f) == NULL) {
		cmd_fail(EXIT_HOST, "the daemon hung up");
		return NULL;
	}
	line[strcspn(line, "\n")] = '\0';
	if (strncmp(line, CONTROL_PROTOCOL " error ", sizeof(CONTROL_PROTOCOL " error ") - 1) == 0) {
		*status = cmd_fail(EXIT_USAGE, "%s", line + sizeof(CONTROL_PROTOCOL " error ") - 1);
		return NULL;
	}
	if (sscanf(line, CONTROL_PROTOCOL " ok %lu", &len) != 1 || len > ANSWER_MAX) {
		cmd_fail(EXIT_HOST, "whoever listens there is not the daemon: %.60s", line);
		return NULL;
	}
	body = xcalloc(1, len + 1);
	if (fread(body, 1, len, f) == len)
		j = json_loadb(body, len, JSON_DECODE_ANY, NULL);
	free(body);
	if (j == NULL)
		cmd_fail(EXIT_HOST, "the daemon's answer broke off");
	else
		*status = EXIT_CLEAN;
	return j;
}

/* => exit status: a check that found something is a violation */
static int
show(const char *verb, const json_t *j, bool raw)
{
	if (raw) {
		json_dumpf(j, stdout, JSON_INDENT(2) | JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));
		putchar('\n');
	} else if (strcmp(verb, "failures") == 0) {
		ctl_failures(j);
	} else if (strcmp(verb, "show") == 0) {
		ctl_failure(j);
	} else if (strcmp(verb, "runs") == 0) {
		ctl_runs(j);
	} else if (strcmp(verb, "check") == 0) {
		ctl_check(j);
	} else {
		ctl_status(j);
	}
	if (strcmp(verb, "check") == 0 && !json_is_true(json_object_get(j, "sound")))
		return EXIT_VIOLATION;
	return EXIT_CLEAN;
}

/* A picture a second until somebody presses ^C or the daemon goes. */
static int
top(FILE *f, unsigned long count, bool raw)
{
	int status = EXIT_CLEAN;

	for (unsigned long n = 0; count == 0 || n < count; n++) {
		json_t *j;

		if (n != 0)
			sleep(1);
		j = ask(f, "top", NULL, &status);
		if (j == NULL)
			return status;
		if (raw)
			show("top", j, true);
		else
			ctl_top(j, n);
		json_decref(j);
		fflush(stdout);
	}
	return status;
}

static int
bad_verb(const struct command *cmd, const char *verb)
{
	if (verb != NULL)
		return cmd_usage(cmd, "unknown verb '%s'", verb);
	return cmd_usage(cmd, "no verb: status, top, failures, show N, runs, pause, resume, check, reload or stop");
}

static int
talk(const struct command *cmd, const char *path, char **words, int n, unsigned long count, bool raw)
{
	const struct control_verb *cv = control_verbs;
	const char *verb = n > 0 ? words[0] : NULL, *arg = n > 1 ? words[1] : NULL;
	int status;
	json_t *j;
	FILE *f;

	while (verb != NULL && cv->cv_name != NULL && strcmp(cv->cv_name, verb) != 0)
		cv++;
	if (verb == NULL || cv->cv_name == NULL)
		return bad_verb(cmd, verb);
	if (n > 2 || (arg != NULL) != (cv->cv_arg != NULL))
		return cmd_usage(cmd, "%s takes %s", verb, cv->cv_arg != NULL ? "one argument: N" :
		    "no argument");
	f = connect_to(path, &status);
	if (f == NULL)
		return status;
	if (strcmp(verb, "top") == 0) {
		status = top(f, count, raw);
	} else if ((j = ask(f, verb, arg, &status)) != NULL) {
		status = show(verb, j, raw);
		json_decref(j);
	}
	fclose(f);
	return status;
}

static int
ctl_main(const struct command *cmd, int argc, char **argv)
{
	const struct cmd_option *row;
	const char *arg, *path = NULL;
	unsigned long count = 0;
	bool raw = false;
	int c, first;

	while ((c = cmd_getopt(cmd, argc, argv, &row, &arg, &first)) != CMD_END) {
		char *end;

		if (c == CMD_HELP || c == CMD_BAD)
			return c == CMD_HELP ? EXIT_CLEAN : EXIT_USAGE;
		if (c == OPT_SOCKET)
			path = arg;
		else if (c == OPT_JSON)
			raw = true;
		else if ((count = strtoul(arg, &end, 10)) == 0 || *end != '\0' || *arg == '-')
			return cmd_usage(cmd, "--count %s: must be a whole number, 1 or more", arg);
	}
	return talk(cmd, find_socket(path), argv + first, argc - first, count, raw);
}

const struct command cmd_ctl = {
	.c_name = "ctl",
	.c_synopsis = "[OPTION...] status|top|failures|show N|runs|pause|resume|check|reload|stop",
	.c_help = "talks to the daemon",
	.c_options = ctl_options,
	.c_main = ctl_main,
};
