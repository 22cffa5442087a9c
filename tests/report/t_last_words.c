/*
 * The last words of a process: a failure's directory by system calls alone, whole or not there.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <harness/result.h>
#include <jansson.h>
#include <ktest.h>

static char dir[] = "/tmp/uvmstress-test.XXXXXX";
static char out[64];

static void
prepare(void)
{
	struct run_result rr;

	CHECK(mkdtemp(dir) != NULL);
	snprintf(out, sizeof(out), "%s/a/b", dir);
	run_result_init(&rr);
	rr.rr_schedule = strdup("free");
	rr.rr_profile = strdup("[global]\ncpus = 1 ; name@home\n");
	rr.rr_command = strdup("uvmstress run x.ini --seed 7");
	rr.rr_seed = 7;
	report_last_prepare(&rr, out);
	run_result_fini(&rr);
}

static void
cleanup(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -r %s", dir);
	CHECK_EQ(system(command), 0);
	report_last_forget();
}

static void
more(int fd, void *arg)
{
	CHECK(write(fd, arg, strlen(arg)) > 0);
}

static const char *
content(const char *name)
{
	static char text[65536];
	char path[128];
	FILE *in;
	size_t n;

	snprintf(path, sizeof(path), "%s/%s", out, name);
	in = fopen(path, "r");
	CHECK(in != NULL);
	n = fread(text, 1, sizeof(text) - 1, in);
	text[n] = '\0';
	fclose(in);
	return text;
}

KTEST(they_are_a_whole_failure, "report, result and profile, with what is known, under the first free number")
{
	json_t *obj, *v;

	prepare();
	CHECK(report_last_words("crash", "bad \"address\"\n", more, (char []){ "events" }));
	CHECK(strstr(content("0001/report.txt"), "crash") != NULL);
	CHECK(strstr(content("0001/report.txt"), "uvmstress run x.ini --seed 7") != NULL);
	CHECK(strstr(content("0001/report.txt"), "events") != NULL);
	CHECK(strcmp(content("0001/profile.ini"), "[global]\ncpus = 1 ; name@home\n") == 0);
	obj = json_loads(content("0001/result.json"), 0, NULL);
	CHECK(obj != NULL);
	v = json_array_get(json_object_get(obj, "violations"), 0);
	CHECK(strcmp(json_string_value(json_object_get(v, "kind")), "crash") == 0);
	CHECK(strcmp(json_string_value(json_object_get(v, "message")), "bad 'address''") == 0);
	json_decref(obj);
	CHECK(report_last_words("hang", "again", NULL, NULL));
	CHECK(strstr(content("0002/report.txt"), "hang") != NULL);
	cleanup();
}

KTEST(who_could_do_better_is_not_repeated, "nothing is written when the real report is there, or nothing was prepared")
{
	struct stat st;

	CHECK(!report_last_words("crash", "early", NULL, NULL));
	prepare();
	report_last_told();
	CHECK(!report_last_words("crash", "late", NULL, NULL));
	CHECK(stat(out, &st) != 0);
	cleanup();
}

KTEST(no_room_leaves_nothing, "where nothing can be written nothing is left half")
{
	char path[128];
	struct stat st;

	prepare();
	snprintf(path, sizeof(path), "%s/a", dir);
	CHECK(symlink("/dev/full", path) == 0);
	CHECK(!report_last_words("crash", "full", NULL, NULL));
	CHECK(lstat(path, &st) == 0 && S_ISLNK(st.st_mode));
	cleanup();
}

KTEST_MAIN()
