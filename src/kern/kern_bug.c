/*
 * Which of the known bugs are on.
 */
#include <errno.h>
#include <string.h>

#include <sys/bug.h>

const struct bug_info bug_table[BUG_COUNT] = {
#define	KNOWN_BUG(name, origin, breaks, notices)	{ #name, origin, breaks, notices },
#include "bugs.def"
#undef KNOWN_BUG
};

uint64_t bugs_on;

/* => its number, or BUG_COUNT */
static enum bug
find(const char *name, size_t len)
{
	int i = 0;

	while (i < BUG_COUNT &&
	    (strncmp(bug_table[i].bi_name, name, len) != 0 || bug_table[i].bi_name[len] != '\0'))
		i++;
	return (enum bug)i;
}

int
bugs_switch(const char *list, const char **badp, size_t *lenp)
{
	uint64_t on = 0;

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
		on |= UINT64_C(1) << b;
		list += len;
		list += *list == ',';
	}
	if (on != 0 && !UVMSTRESS_BUGS)
		return ENOTSUP;
	bugs_on = on;
	return 0;
}
