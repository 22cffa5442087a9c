/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Runs one conformance case, or lists them: name, rule that must be reported, grade, legal
 * twin; - for none.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#include "cases.h"

static const struct preload_case *const all[] = { order_cases, misuse_cases, wait_cases };

void
must(int error)
{
	if (error == 0)
		return;
	fprintf(stderr, "a call that must not fail: %s\n", strerror(error));
	abort();
}

void
in_thread(void *(*fn)(void *), void *arg)
{
	pthread_t t;

	must(pthread_create(&t, NULL, fn, arg));
	must(pthread_join(t, NULL));
}

void
killed_soon(void)
{
	const struct itimerval soon = { .it_value = { .tv_usec = 200000 } };

	must(setitimer(ITIMER_REAL, &soon, NULL));
}

static const char *
or_dash(const char *word)
{
	return word != NULL ? word : "-";
}

static void
list(void)
{
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		for (const struct preload_case *pc = all[i]; pc->pc_name != NULL; pc++)
			printf("%s %s %s %s\n", pc->pc_name, or_dash(pc->pc_rule), or_dash(pc->pc_grade),
			    or_dash(pc->pc_twin));
}

int
main(int argc, char **argv)
{
	if (argc != 2) {
		list();
		return argc == 1 ? 0 : 2;
	}
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		for (const struct preload_case *pc = all[i]; pc->pc_name != NULL; pc++)
			if (strcmp(pc->pc_name, argv[1]) == 0) {
				pc->pc_run();
				return 0;
			}
	fprintf(stderr, "no case %s\n", argv[1]);
	return 2;
}
