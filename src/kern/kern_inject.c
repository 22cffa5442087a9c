/*
 * Fault injection.  See <sys/inject.h>.
 */
#include <sys/inject.h>

#include <errno.h>
#include <host/race.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kern_int.h"

#define	DELAY_NS	100000		/* of sites that take their time, unless ns= says other */
#define	STACK_LEN	48		/* of stack= */

/* One site's specification: stable while anything runs; counts: atomic. */
struct rule {
	uint64_t ru_below;		/* p: fails when the hash of the call is below; UINT64_MAX: 1 */
	uint64_t ru_every;		/* each so-manieth call; 0: each */
	uint64_t ru_after;		/* not before so many calls */
	uint64_t ru_times;		/* so often at most; UINT64_MAX: no limit */
	uint64_t ru_ns;			/* of a delay */
	char	 ru_stack[STACK_LEN];	/* only called from a function of that name; "": from anywhere */
	uint64_t ru_calls, ru_failed;	/* @ */
};

const struct inject_info inject_info[INJECT_COUNT] = {
#define	INJECT_SITE(name, text, delay, help)	{ text, delay, help },
#include <sys/inject.def>
#undef INJECT_SITE
};

uint32_t inject_active;
static uint32_t chosen;			/* stable while anything runs: bit per site */
static struct rule rules[INJECT_COUNT];
static uint64_t inject_seed;		/* stable */

/* --- whether --- */

static uint64_t
mix(uint64_t x)
{
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ x >> 27) * 0x94d049bb133111ebULL;
	return x ^ x >> 31;
}

static bool
called_from(const char *name)
{
	void *pcs[HOST_BACKTRACE_MAX];
	int n = host_backtrace(pcs, HOST_BACKTRACE_MAX, 0);
	const size_t len = strlen(name);
	char at[160];

	for (int i = 0; i < n; i++) {
		host_symbolise(pcs[i], at, sizeof(at));
		if (strncmp(at, name, len) == 0 && at[len] == '+')
			return true;
	}
	return false;
}

bool
inject_now(enum inject_site site)
{
	struct rule *ru = &rules[site];
	const uint64_t n = __atomic_add_fetch(&ru->ru_calls, 1, __ATOMIC_RELAXED);

	if (n <= ru->ru_after || (ru->ru_every != 0 && (n - ru->ru_after) % ru->ru_every != 0))
		return false;
	if (ru->ru_below != UINT64_MAX && mix(inject_seed ^ mix(n ^ (uint64_t)site << 56)) >= ru->ru_below)
		return false;
	if (ru->ru_stack[0] != '\0' && !called_from(ru->ru_stack))
		return false;
	if (__atomic_fetch_add(&ru->ru_failed, 1, __ATOMIC_RELAXED) < ru->ru_times)
		return true;
	__atomic_fetch_sub(&ru->ru_failed, 1, __ATOMIC_RELAXED);
	return false;
}

void
inject_delay_now(enum inject_site site)
{
	uint64_t until;
	unsigned spins = 0;

	if (!inject_now(site))
		return;
	until = host_now_ns() + rules[site].ru_ns;
	while (host_now_ns() < until)
		host_relax(&spins);
}

void
inject_counts(enum inject_site site, uint64_t *calls, uint64_t *failed)
{
	*calls = __atomic_load_n(&rules[site].ru_calls, __ATOMIC_RELAXED);
	*failed = __atomic_load_n(&rules[site].ru_failed, __ATOMIC_RELAXED);
}

void
inject_start(void)
{
	__atomic_store_n(&inject_active, chosen, __ATOMIC_RELAXED);
	lock_slowly((chosen & (1u << INJECT_lock_delay | 1u << INJECT_tryfail)) != 0);
}

void
inject_stop(void)
{
	__atomic_store_n(&inject_active, 0, __ATOMIC_RELAXED);
	lock_slowly(false);
}

bool
inject_chosen(enum inject_site site)
{
	return (chosen >> site & 1) != 0;
}

/* --- reading a specification --- */

static int
site_of(const char *name, size_t len)
{
	for (int i = 0; i < INJECT_COUNT; i++)
		if (strlen(inject_info[i].ii_name) == len && strncmp(inject_info[i].ii_name, name, len) == 0)
			return i;
	return -1;
}

static bool
number(const char *text, uint64_t *out)
{
	char *end;

	errno = 0;
	*out = strtoull(text, &end, 10);
	return *text >= '0' && *text <= '9' && *end == '\0' && errno == 0;
}

static bool
probability(const char *text, uint64_t *below)
{
	char *end;
	double p = strtod(text, &end);

	if (end == text || *end != '\0' || !(p > 0) || p > 1)
		return false;
	*below = p >= 1 ? UINT64_MAX : (uint64_t)ldexp(p, 64);
	return true;
}

/* => "key=value" of a site; NULL: taken; else what it should have been */
static const char *
take(struct rule *ru, bool delay, const char *word)
{
	const char *value = strchr(word, '=') + 1;
	const size_t len = (size_t)(value - word);

	if (strncmp(word, "p=", len) == 0)
		return probability(value, &ru->ru_below) ? NULL : "p= is above 0 and at most 1";
	if (strncmp(word, "every=", len) == 0)
		return number(value, &ru->ru_every) && ru->ru_every != 0 ? NULL : "every= is a number from 1";
	if (strncmp(word, "after=", len) == 0)
		return number(value, &ru->ru_after) ? NULL : "after= is a number of calls";
	if (strncmp(word, "times=", len) == 0)
		return number(value, &ru->ru_times) ? NULL : "times= is a number";
	if (strncmp(word, "stack=", len) == 0) {
		if (*value == '\0' || strlen(value) >= sizeof(ru->ru_stack))
			return "stack= is the name of a function";
		strcpy(ru->ru_stack, value);
		return NULL;
	}
	if (strncmp(word, "ns=", len) == 0 && delay)
		return number(value, &ru->ru_ns) && ru->ru_ns <= UINT64_C(3600000000000) ? NULL :
		    "ns= is a number up to 3600000000000, an hour";
	return delay ? "known are p= every= after= times= stack= ns=" :
	    "known are p= every= after= times= stack=";
}

/* => one word of a specification, which may begin a site: "site", "site:key=value", "key=value" */
static const char *
read_word(char *word, int *site)
{
	char *colon = strchr(word, ':');
	const size_t len = colon != NULL ? (size_t)(colon - word) : strlen(word);

	if (colon != NULL || strchr(word, '=') == NULL) {
		*site = site_of(word, len);
		if (*site < 0)
			return "no such place (uvmstress list faults)";
		rules[*site] = (struct rule){ .ru_below = UINT64_MAX, .ru_times = UINT64_MAX,
			.ru_ns = DELAY_NS };
		chosen |= 1u << *site;
		if (colon == NULL)
			return NULL;
		word = colon + 1;
	}
	if (*site < 0)
		return "a place comes first: page-alloc:p=0.01";
	if (strchr(word, '=') == NULL)
		return "after a place comes key=value";
	return take(&rules[*site], inject_info[*site].ii_delay, word);
}

int
inject_configure(const char *spec, uint64_t seed, char *why, size_t whylen)
{
	char *copy, *rest, *word;
	int site = -1;

	memset(rules, 0, sizeof(rules));
	race_atomic(&inject_active, sizeof(inject_active));
	inject_stop();
	chosen = 0;
	inject_seed = mix(seed ^ 0x19ec7);
	if (strcmp(spec, "none") == 0)
		return 0;
	copy = rest = strdup(spec);
	while (copy != NULL && (word = strsep(&rest, ",")) != NULL) {
		char original[80];
		const char *wrong;

		snprintf(original, sizeof(original), "%s", word);
		wrong = read_word(word, &site);
		if (wrong == NULL)
			continue;
		snprintf(why, whylen, "'%s': %s", original, wrong);
		free(copy);
		chosen = 0;
		return EINVAL;
	}
	free(copy);
	return 0;
}
