/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Job files from anywhere: whatever the bytes, the reader answers 0 or one line, and what
 * it accepts it prints as a profile that it accepts again, with the same digest.
 */
#include <stdlib.h>
#include <string.h>

#include <harness/profile.h>
#include <harness/xalloc.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

struct fuzz_options {
	uint64_t fo_size, fo_count, fo_pause;
	double fo_share;
	bool fo_flag;
	unsigned fo_colour;
	char *fo_file, *fo_note;
};

static const char *const colours[] = { "red", "green", NULL };

#define FO(field) offsetof(struct fuzz_options, field)
static const struct option_row rows[] = {
	{ "bytes", OPT_SIZE, FO(fo_size), 1, UINT64_C(1) << 40, "1M", NULL, NULL, "" },
	{ "count", OPT_INT, FO(fo_count), 2, 77, "3", NULL, NULL, "" },
	{ "pause", OPT_DURATION, FO(fo_pause), 0, INT64_MAX, "1s", NULL, NULL, "" },
	{ "share", OPT_FRACTION, FO(fo_share), 0, 0, "0.1", NULL, NULL, "" },
	{ "flag", OPT_BOOL, FO(fo_flag), 0, 0, "off", NULL, NULL, "" },
	{ "colour", OPT_ENUM, FO(fo_colour), 0, 0, "red", colours, NULL, "" },
	{ "file", OPT_PATH, FO(fo_file), 0, 0, NULL, NULL, NULL, "" },
	{ "note", OPT_TEXT, FO(fo_note), 0, 0, "none", NULL, NULL, "" },
};

static const struct workload wl_full = {
	.wl_name = "full", .wl_help = "", .wl_common = WL_COMMON_ALL, .wl_options = rows,
	.wl_noptions = sizeof(rows) / sizeof(rows[0]),
	.wl_options_size = sizeof(struct fuzz_options),
};
static const struct workload wl_bare = { .wl_name = "bare", .wl_help = "", .wl_common = WL_WEIGHT };
static const struct workload *const table[] = { &wl_full, &wl_bare, NULL };

static void
require(bool truth)
{
	if (!truth)
		abort();
}

static char *
print(const struct profile *p, bool with_origin)
{
	char *text = NULL;
	size_t len;
	FILE *out = xcheck(open_memstream(&text, &len));

	profile_print(p, out, with_origin);
	require(fclose(out) == 0 && strlen(text) == len);
	return text;
}

/* => the profile, or NULL; a refusal is one line of text */
static struct profile *
accept(const char *bytes, size_t len, const char *assignment)
{
	struct profile *p = profile_create(table);
	struct profile_error err = { "" };
	int error = profile_parse_buffer(p, "fuzz.ini", "/nowhere", bytes, len, &err);

	if (error == 0 && assignment != NULL)
		error = profile_set(p, assignment, &err);
	if (error == 0)
		error = profile_resolve(p, &err);
	if (error == 0)
		return p;
	require(err.pe_text[0] != '\0' && strlen(err.pe_text) < sizeof(err.pe_text));
	for (const char *s = err.pe_text; *s != '\0'; s++)
		require(*s == '\t' || ((unsigned char)*s >= ' ' && *s != 0x7f));
	profile_destroy(p);
	return NULL;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct profile *p = accept((const char *)data, len, NULL), *q;
	char *text, *again;

	if (p == NULL)
		return 0;
	text = print(p, false);
	q = accept(text, strlen(text), NULL);
	require(q != NULL && profile_digest(q) == profile_digest(p));
	again = print(q, false);
	require(strcmp(text, again) == 0);
	free(again);
	profile_destroy(q);
	q = accept(text, strlen(text), "global.cpus=5");
	require(q != NULL && q->p_machine.ms_cpus == 5);
	profile_destroy(q);
	free(text);
	free(print(p, true));
	profile_destroy(p);
	return 0;
}
