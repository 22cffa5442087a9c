/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The rows of the museum, and who is said to notice.
 */
#include <string.h>

#include <harness/xalloc.h>

#include "museum.h"

const struct museum_bug museum_bugs[] = {
#define KNOWN_BUG(name, text, shows, depth, origin, mistake, breaks, notices, profile, note) \
	{ text, SHOWS_##shows, depth, origin, mistake, breaks, notices, profile, note },
#define IMPOSSIBLE_BUG(text, origin, mistake, proof) \
	{ text, SHOWS_IMPOSSIBLE, 0, origin, mistake, NULL, NULL, NULL, proof },
#include "../kern/bugs.def"
#undef KNOWN_BUG
#undef IMPOSSIBLE_BUG
	{ NULL, SHOWS_IMPOSSIBLE, 0, NULL, NULL, NULL, NULL, NULL, NULL },
};

const char *const bug_shows_names[] = { "free", "race", "controlled", "impossible" };

/* => word, of len bytes, is KIND[/ID][@TEXT] and says this */
static bool
word_matches(const char *word, size_t len, const char *kind, const char *id, const char *message,
    const char *stack)
{
	char copy[200], *at, *slash;
	bool same;

	if (len >= sizeof(copy))
		return false;
	memcpy(copy, word, len);
	copy[len] = '\0';
	at = strchr(copy, '@');
	if (at != NULL)
		*at++ = '\0';
	slash = strchr(copy, '/');
	if (slash != NULL)
		*slash++ = '\0';
	same = strcmp(copy, kind) == 0 && (slash == NULL || strcmp(slash, id) == 0);
	return same && (at == NULL || strstr(message, at) != NULL || strstr(stack, at) != NULL);
}

int
museum_judge(const char *notices, const char *kind, const char *id, const char *message,
    const char *stack)
{
	for (int place = 0; *(notices += strspn(notices, " ")) != '\0'; place++) {
		const size_t len = strcspn(notices, " ");

		if (word_matches(notices, len, kind, id, message, stack))
			return place;
		notices += len;
	}
	return -1;
}
