/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The file of --waivers: findings of the lock auditor that may stand, one on a line,
 *
 *	lock-cycle:amap>uobj>amap	only at boot, before there is a second CPU
 *
 * its fingerprint and the reason.  # begins a comment.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <harness/xalloc.h>
#include <sys/lockdebug.h>

#include "engine_int.h"

static struct lock_waiver *rows;	/* ends at one without a fingerprint */
static size_t nrows;

void
waivers_free(void)
{
	for (size_t i = 0; i < nrows; i++) {
		free((void *)(uintptr_t)rows[i].lw_print);
		free((void *)(uintptr_t)rows[i].lw_reason);
		free((void *)(uintptr_t)rows[i].lw_where);
	}
	free(rows);
	rows = NULL;
	nrows = 0;
	lockdebug_waivers = NULL;
}

static void
add(const char *print, const char *reason, const char *where)
{
	rows = xgrow(rows, nrows, sizeof(*rows));
	rows[nrows++] = (struct lock_waiver){ print != NULL ? xstrdup(print) : NULL,
		print != NULL ? xstrdup(reason) : NULL, print != NULL ? xstrdup(where) : NULL };
}

/* => NULL, or what is wrong with the line */
static char *
take_line(char *line, const char *path, unsigned number)
{
	static const char white[] = " \t\r\n";
	char *print = line + strspn(line, white), *reason, *where;
	size_t len = strlen(print);

	while (len > 0 && strchr(white, print[len - 1]) != NULL)
		print[--len] = '\0';
	if (*print == '\0' || *print == '#')
		return NULL;
	reason = print + strcspn(print, white);
	if (*reason == '\0')
		return xasprintf("%s:%u: the waiver of %s gives no reason: say after it why it may stand",
		    path, number, print);
	*reason++ = '\0';
	where = xasprintf("%s:%u", path, number);
	add(print, reason + strspn(reason, white), where);
	free(where);
	return NULL;
}

int
waivers_load(const char *path, char **why)
{
	FILE *in = fopen(path, "re");
	unsigned number = 0;
	char *line = NULL;
	size_t room = 0;

	*why = NULL;
	if (in == NULL) {
		*why = xasprintf("waivers: cannot read %s: %s", path, strerror(errno));
		return EINVAL;
	}
	while (*why == NULL && getline(&line, &room, in) >= 0)
		*why = take_line(line, path, ++number);
	if (*why == NULL && ferror(in))
		*why = xasprintf("waivers: cannot read %s", path);
	free(line);
	fclose(in);
	if (*why != NULL) {
		waivers_free();
		return EINVAL;
	}
	add(NULL, NULL, NULL);
	lockdebug_waivers = rows;
	return 0;
}
