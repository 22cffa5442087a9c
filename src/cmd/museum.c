/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The rows of the museum, and who is said to notice.
 */
#include <ctype.h>
#include <stdlib.h>
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

static const struct small {
	const char *sm_bug, *sm_profile;
} smalls[] = {
#define SMALL(bug, profile) { bug, profile },
#include "museum_small.def"
#undef SMALL
};

char *
museum_small(const struct museum_bug *mb)
{
	for (size_t i = 0; i < sizeof(smalls) / sizeof(smalls[0]); i++)
		if (strcmp(smalls[i].sm_bug, mb->mb_name) == 0)
			return xstrdup(smalls[i].sm_profile);
	return mb->mb_profile != NULL ? xasprintf("%s global.ops=20", mb->mb_profile) : NULL;
}

/* chaos: an execution is some ten thousand points long, most of them far from any other LWP's */
const struct museum_strategy museum_strategies[] = {
	{ "free", "free", NULL, false },
	{ "chaos", "free", "p=0.005,ns=100us,budget=100ms", false },
	{ "random", "random", NULL, true },
	{ "pos", "pos", NULL, true },
	{ "pct:2", "pct:2", NULL, true },
	{ "pct:3", "pct:3", NULL, true },
	{ "mix", "mix", NULL, true },
	{ NULL, NULL, NULL, false },
};

bool
museum_wanted(const struct museum_options *mo, const struct museum_bug *mb)
{
	char *list = xstrdup(mo->mo_word != NULL ? mo->mo_word : ""), *save = NULL;
	bool wanted = mo->mo_word == NULL;

	for (char *word = strtok_r(list, ",", &save); word != NULL; word = strtok_r(NULL, ",", &save))
		wanted |= strstr(mb->mb_name, word) != NULL;
	free(list);
	return wanted;
}

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
