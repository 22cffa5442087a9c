/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Changes in the text of a job file that profile_print() wrote: each key has its line.
 */
#include <stdlib.h>
#include <string.h>

#include <harness/xalloc.h>

#include "minimize.h"

/* => the line after this one, or the end */
static const char *
next_line(const char *line)
{
	line += strcspn(line, "\n");
	return *line == '\n' ? line + 1 : line;
}

static bool
is_section(const char *line, const char *name)
{
	const size_t len = strlen(name);

	return line[0] == '[' && strncmp(line + 1, name, len) == 0 && line[1 + len] == ']';
}

/* => its head, or NULL; *end: the next section's head, or the end */
static const char *
section_of(const char *text, const char *name, const char **end)
{
	const char *line = text;

	while (*line != '\0' && !is_section(line, name))
		line = next_line(line);
	if (*line == '\0')
		return NULL;
	for (*end = next_line(line); **end != '\0' && **end != '[';)
		*end = next_line(*end);
	return line;
}

const char *
ini_value(const char *text, const char *section, const char *key, size_t *len)
{
	const char *end, *line = section_of(text, section, &end);
	const size_t n = strlen(key);

	for (; line != NULL && line < end; line = next_line(line))
		if (strncmp(line, key, n) == 0 && strncmp(line + n, " = ", 3) == 0) {
			*len = strcspn(line + n + 3, "\n");
			return line + n + 3;
		}
	return NULL;
}

char *
ini_section(const char *text, size_t n)
{
	for (const char *line = text; *line != '\0'; line = next_line(line))
		if (line[0] == '[' && n-- == 0)
			return xstrndup(line + 1, strcspn(line + 1, "]\n"));
	return NULL;
}

char *
ini_with(const char *text, const char *section, const char *key, const char *value)
{
	size_t len;
	const char *old = ini_value(text, section, key, &len);

	return old == NULL ? xstrdup(text) :
	    xasprintf("%.*s%s%s", (int)(old - text), text, value, old + len);
}

char *
ini_without(const char *text, const char *section)
{
	const char *end, *head = section_of(text, section, &end);

	return head == NULL ? xstrdup(text) : xasprintf("%.*s%s", (int)(head - text), text, end);
}
