/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Runs one conformance case, or lists them: name, rule that must be reported, grade, legal
 * twin; - for none.
 */
#include <dirent.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

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

static bool
sleeps(const char *tid)
{
	char path[64], state = 'R';
	FILE *in;

	snprintf(path, sizeof(path), "/proc/self/task/%.20s/stat", tid);
	in = fopen(path, "re");
	if (in != NULL) {
		if (fscanf(in, "%*d (%*[^)]) %c", &state) != 1)
			state = 'R';
		fclose(in);
	}
	return state == 'S';
}

void
until_main_sleeps(void)
{
	const struct timespec moment = { 0, 1000000 };
	char tid[24];

	snprintf(tid, sizeof(tid), "%d", (int)getpid());
	while (!sleeps(tid))
		(void)nanosleep(&moment, NULL);
}

static bool
others_sleep(void)
{
	DIR *dir = opendir("/proc/self/task");
	struct dirent *de;
	bool asleep = dir != NULL;

	while (asleep && (de = readdir(dir)) != NULL)
		asleep = de->d_name[0] == '.' || atoi(de->d_name) == (int)gettid() || sleeps(de->d_name);
	if (dir != NULL)
		closedir(dir);
	return asleep;
}

static void *
kill_those_who_sleep(void *arg)
{
	const struct timespec moment = { 0, 10000000 };

	for (int looks = 0; looks < 20; looks = others_sleep() ? looks + 1 : 0)
		(void)nanosleep(&moment, NULL);
	must(kill(getpid(), SIGALRM));
	return arg;
}

void
killed_asleep(void)
{
	pthread_t t;

	must(pthread_create(&t, NULL, kill_those_who_sleep, NULL));
	must(pthread_detach(t));
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
