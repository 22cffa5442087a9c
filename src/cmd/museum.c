/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The rows of the museum, and who is said to notice.
 */
#include <ctype.h>
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

/* => is it in there, not as a part of a longer word? */
static bool
has_word(const char *in, const char *text)
{
	const size_t len = strlen(text);

	for (const char *p = in; (p = strstr(p, text)) != NULL; p++)
		if ((p == in || !isalnum((unsigned char)p[-1])) && !isalnum((unsigned char)p[len]))
			return true;
	return false;
}

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
	return same && (at == NULL || has_word(message, at) || has_word(stack, at));
}

char *
museum_judge(const char *notices, const struct museum_run *mr)
{
	while (*(notices += strspn(notices, " ")) != '\0') {
		const size_t len = strcspn(notices, " ");

		if (word_matches(notices, len, mr->mr_kind, mr->mr_id, mr->mr_message, mr->mr_stack))
			return xstrndup(notices, len);
		notices += len;
	}
	return NULL;
}
