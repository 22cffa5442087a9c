/*
 * --chaos: delays at the points of a free run, by seed, kind and budget (see <host/sched.h>).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <harness/engine.h>
#include <harness/option.h>
#include <harness/xalloc.h>
#include <host/sched.h>

#include "engine_int.h"

#define	P_DEFAULT	0.001
#define	NS_DEFAULT	UINT64_C(100000)
#define	BUDGET_DEFAULT	UINT64_C(1000000000)
#define	KINDS_LAST	HP_RCU		/* what comes later is no point of the machine's */

static bool on;				/* between chaos_begin() and chaos_end() */

static const struct option_row rows[] = {
	{ "p", OPT_FRACTION, offsetof(struct host_chaos, hc_p), 0, 0, NULL, NULL, NULL, "" },
	{ "ns", OPT_DURATION, offsetof(struct host_chaos, hc_ns), 1, UINT64_C(1000000000), NULL, NULL, NULL, "" },
	{ "budget", OPT_DURATION, offsetof(struct host_chaos, hc_budget), 1,
	    UINT64_C(86400) * 1000000000, NULL, NULL, NULL, "" },
};
#define	NROWS	(sizeof(rows) / sizeof(rows[0]))

/* => "lock+pte" as a mask; 0: one of them is no kind */
static uint64_t
kinds_of(char *list)
{
	uint64_t mask = 0;
	char *save = NULL;

	for (char *word = strtok_r(list, "+", &save); word != NULL; word = strtok_r(NULL, "+", &save)) {
		unsigned k = 0;

		while (k <= KINDS_LAST && strcmp(host_point_name[k], word) != 0)
			k++;
		if (k > KINDS_LAST)
			return 0;
		mask |= UINT64_C(1) << k;
	}
	return mask;
}

static int
take(struct host_chaos *hc, char *word, char *why, size_t whylen)
{
	char *value = strchr(word, '='), reason[300];
	const struct option_row *row;
	int n;

	if (value == NULL) {
		snprintf(why, whylen, "'%.60s' is not of the form KEY=VALUE", word);
		return EINVAL;
	}
	*value++ = '\0';
	if (strcmp(word, "kinds") == 0) {
		if ((hc->hc_kinds = kinds_of(value)) != 0)
			return 0;
		n = snprintf(why, whylen, "kinds= are some of");
		for (unsigned k = 0; k <= KINDS_LAST && (size_t)n < whylen; k++)
			n += snprintf(why + n, whylen - (size_t)n, "%s%s", k == 0 ? " " : "+", host_point_name[k]);
		return EINVAL;
	}
	row = option_find(rows, NROWS, word);
	if (row == NULL) {
		snprintf(why, whylen, "there is no '%.60s': p, ns, budget and kinds are what can be said", word);
		return EINVAL;
	}
	if (option_parse(row, hc, value, "", reason, sizeof(reason)) == 0)
		return 0;
	snprintf(why, whylen, "%s=%.60s: %s", word, value, reason);
	return EINVAL;
}

int
chaos_begin(const struct profile *p, struct run_result *rr)
{
	struct host_chaos hc = {
		.hc_seed = p->p_machine.ms_seed, .hc_kinds = (UINT64_C(2) << KINDS_LAST) - 1,
		.hc_p = P_DEFAULT, .hc_ns = NS_DEFAULT, .hc_budget = BUDGET_DEFAULT,
	};
	char *list = xstrdup(p->p_machine.ms_chaos), *save = NULL, why[400];
	int error = 0;

	on = false;
	if (strcmp(list, "none") != 0 && p->p_machine.ms_schedule != SCHED_FREE) {
		snprintf(why, sizeof(why), "a controlled schedule has no use for delays: say schedule = free");
		error = EINVAL;
	} else if (strcmp(list, "none") != 0) {
		for (char *word = strtok_r(list, ",", &save); word != NULL && error == 0;
		    word = strtok_r(NULL, ",", &save))
			error = take(&hc, word, why, sizeof(why));
		on = error == 0;
	}
	if (error != 0)
		rr->rr_error = xasprintf("chaos = %s: %s", p->p_machine.ms_chaos, why);
	else if (on)
		host_chaos_start(&hc);
	free(list);
	return error;
}

void
chaos_end(struct run_result *rr)
{
	uint64_t n, ns;

	if (!on)
		return;
	host_chaos_stop(&n, &ns);
	on = false;
	result_note(rr, "chaos: %lu delays, %.3f s in all", (unsigned long)n, (double)ns / 1e9);
}
