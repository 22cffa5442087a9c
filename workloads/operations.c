/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * `operations = NAME[:SHARE] ...`: which of a workload's operations a job draws from, and how often.
 *
 * What happens once in a thousand operations is never in an execution of fifty; so an execution that
 * is to be small says what it is about.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <harness/profile.h>
#include <harness/xalloc.h>

#include "profile_int.h"

#define SHARE_MAX 1000000u

/* => its number, or wl_nops */
static size_t
find(const struct workload *wl, const char *name)
{
	size_t i = 0;

	while (i < wl->wl_nops && strcmp(wl->wl_ops[i].wo_name, name) != 0)
		i++;
	return i;
}

static int
unknown(const struct workload *wl, const char *name, char *why, size_t whylen)
{
	int n = snprintf(why, whylen, "workload %s has no operation '%.60s'; it has", wl->wl_name, name);

	for (size_t i = 0; i < wl->wl_nops && n > 0 && (size_t)n < whylen; i++)
		n += snprintf(why + n, whylen - (size_t)n, " %s", wl->wl_ops[i].wo_name);
	return EINVAL;
}

/* => word: NAME or NAME:SHARE; its share is taken */
static int
take(struct job *job, char *word, char *why, size_t whylen)
{
	const struct workload *wl = job->job_workload;
	char *share = strchr(word, ':'), *end = NULL;
	unsigned long value;
	size_t i;

	if (share != NULL)
		*share++ = '\0';
	i = find(wl, word);
	if (i == wl->wl_nops)
		return unknown(wl, word, why, whylen);
	value = share != NULL ? strtoul(share, &end, 10) : wl->wl_ops[i].wo_weight;
	if (share != NULL && (*share < '0' || *share > '9' || *end != '\0' || value == 0 || value > SHARE_MAX)) {
		snprintf(why, whylen, "the share of %s must be a number from 1 to %u", word, SHARE_MAX);
		return EINVAL;
	}
	if (job->job_shares[i] != 0) {
		snprintf(why, whylen, "%s is there twice", word);
		return EINVAL;
	}
	job->job_shares[i] = value;
	return 0;
}

int
operations_parse(struct job *job, char *why, size_t whylen)
{
	const struct workload *wl = job->job_workload;
	char *list = xstrdup(job->job_operations), *save = NULL;
	int error = 0;

	free(job->job_shares);
	job->job_shares = xcalloc(wl->wl_nops + 1, sizeof(*job->job_shares));
	if (strcmp(list, "all") == 0)
		for (size_t i = 0; i < wl->wl_nops; i++)
			job->job_shares[i] = wl->wl_ops[i].wo_weight;
	else
		for (char *word = strtok_r(list, " \t", &save); word != NULL && error == 0;
		    word = strtok_r(NULL, " \t", &save))
			error = take(job, word, why, whylen);
	for (size_t i = 0; i < wl->wl_nops; i++)
		job->job_shares[wl->wl_nops] += job->job_shares[i];
	if (error == 0 && job->job_shares[wl->wl_nops] == 0 && wl->wl_nops != 0)
		error = unknown(wl, "", why, whylen);
	free(list);
	return error;
}
