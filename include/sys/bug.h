/*
 * Known bugs, to be switched on: whether those that must notice do.
 *
 * A switch is one line where the bug was or would be, `if (BUG(name))`, and a row in
 * src/kern/bugs.def: where it comes from, what it breaks, who must notice.  A build without
 * -Dbugs=true has none of them in it.
 */
#ifndef SYS_BUG_H
#define SYS_BUG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <uvmstress_config.h>

enum bug {
#define	KNOWN_BUG(name, text, shows, depth, origin, mistake, breaks, notices, profile, note)	BUG_##name,
#define	IMPOSSIBLE_BUG(text, origin, mistake, proof)
#include "../../src/kern/bugs.def"
#undef KNOWN_BUG
#undef IMPOSSIBLE_BUG
	BUG_COUNT
};

extern uint64_t bugs_on[(BUG_COUNT + 63) / 64];	/* : bit per enum bug; set before boot */
#define	BUG(name)	(UVMSTRESS_BUGS && (bugs_on[BUG_##name / 64] >> BUG_##name % 64 & 1) != 0)

/*
 * => list: names with commas between them, or "none"; no other thread runs
 * => 0; EINVAL: *badp, of *lenp bytes, is none of them, and nothing has changed; ENOTSUP: a name,
 *    but this build has no bugs
 */
int	bugs_switch(const char *list, const char **badp, size_t *lenp);

#endif /* SYS_BUG_H */
