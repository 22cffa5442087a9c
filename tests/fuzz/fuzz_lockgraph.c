/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Lock graphs from anywhere: whatever the bytes, the reader answers a graph or one line; a
 * graph that it accepts is written and read again as the same, and every report can be made of it.
 */
#include <stdlib.h>
#include <string.h>

#include <harness/lockgraph.h>
#include <harness/xalloc.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void
must(bool ok)
{
	if (!ok)
		abort();
}

static void
put(void *arg, const char *text, size_t len)
{
	fwrite(text, 1, len, arg);
}

static char *
written(const struct lockgraph *lg, size_t *len)
{
	static char *text;
	static size_t n;
	FILE *out = xcheck(open_memstream(&text, &n));

	lockgraph_write(lg, put, out);
	must(fclose(out) == 0);
	*len = n;
	return text;
}

static void
report(const struct lockgraph *lg)
{
	static const struct lockgraph_known known[] = { { "map", "amap", "smoke" } };
	static FILE *null;

	if (null == NULL)
		null = xcheck(fopen("/dev/null", "we"));
	lockgraph_text(lg, known, 1, null, true);
	lockgraph_stories(lg, null);
	lockgraph_dot(lg, null);
	for (unsigned i = 0; lockgraph_exports[i] != NULL; i++)
		lockgraph_export(lg, i, null);
	must(lockgraph_diff(lg, lg, null) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char why[300] = "", *text, *again;
	struct lockgraph *lg = lockgraph_read((const char *)data, len, "fuzz", why, sizeof(why)), *back;
	size_t n, m;

	if (lg == NULL) {
		must(why[0] != '\0' && strchr(why, '\n') == NULL);
		return 0;
	}
	text = written(lg, &n);
	back = lockgraph_read(text, n, "written", why, sizeof(why));
	must(back != NULL);
	again = written(back, &m);
	must(n == m && memcmp(text, again, n) == 0);
	lockgraph_free(back);
	free(again);
	free(text);
	report(lg);
	back = lockgraph_dup(lg);
	must(back != NULL);
	report(back);
	lockgraph_free(back);
	lockgraph_free(lg);
	return 0;
}
