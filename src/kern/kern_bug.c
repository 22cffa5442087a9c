/*
 * Which of the known bugs are on.
 */
#include <errno.h>
#include <string.h>

#include <sys/bug.h>

static const char *const bug_names[BUG_COUNT] = {
#define	KNOWN_BUG(name, text, shows, depth, origin, mistake, breaks, notices, profile, note)	text,
#define	IMPOSSIBLE_BUG(text, origin, mistake, proof)
#include "bugs.def"
#undef KNOWN_BUG
#undef IMPOSSIBLE_BUG
};

uint64_t bugs_on[(BUG_COUNT + 63) / 64];

/* => its number, or BUG_COUNT */
static enum bug
find(const char *name, size_t len)
{
	int i = 0;

	while (i < BUG_COUNT &&
	    (strncmp(bug_names[i], name, len) != 0 || bug_names[i][len] != '\0'))
		i++;
	return (enum bug)i;
}

int
bugs_switch(const char *list, const char **badp, size_t *lenp)
{
	uint64_t on[sizeof(bugs_on) / sizeof(bugs_on[0])] = { 0 };
	bool any = false;

	if (strcmp(list, "none") == 0)
		list = "";
	while (*list != '\0') {
		size_t len = strcspn(list, ",");
		enum bug b = find(list, len);

		if (b == BUG_COUNT) {
			*badp = list;
			*lenp = len;
			return EINVAL;
		}
		on[b / 64] |= UINT64_C(1) << b % 64;
		any = true;
		list += len;
		list += *list == ',';
	}
	if (any && !UVMSTRESS_BUGS)
		return ENOTSUP;
	memcpy(bugs_on, on, sizeof(on));
	return 0;
}
