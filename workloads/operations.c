/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * `operations = NAME[:SHARE] ...`: which of a workload's operations a job draws from, and how often.
 *
 * What happens once in a thousand operations is never in an execution of fifty; so an execution that
 * is to be small says what it is about.
 *
 * `steps = WORKER:N-M,... ...`: which of them take place.  Under control each operation has its own random
 * numbers, so that the rest of them are the same when some are left out.
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
	value = share != NULL ? strtoul(share, &end, 10) :
	    wl->wl_ops[i].wo_weight != 0 ? wl->wl_ops[i].wo_weight : 1;
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

/* => "3" or "3-7" at *text, which is behind it then */
static bool
range(const char **text, struct job_steps *js)
{
	char *end;

	if (**text < '0' || **text > '9')
		return false;
	js->js_first = js->js_last = strtoull(*text, &end, 10);
	if (*end == '-' && end[1] >= '0' && end[1] <= '9')
		js->js_last = strtoull(end + 1, &end, 10);
	*text = end;
	return js->js_first <= js->js_last;
}

/* => one worker's, "0:3-7,9", at *text, which is behind it then */
static bool
steps_of_worker(struct job *job, const char **text)
{
	struct job_steps js;

	if (!range(text, &js) || js.js_first != js.js_last || **text != ':')
		return false;
	js.js_worker = js.js_first;
	do {
		++*text;
		if (!range(text, &js))
			return false;
		job->job_does = xgrow(job->job_does, job->job_ndoes, sizeof(*job->job_does));
		job->job_does[job->job_ndoes++] = js;
	} while (**text == ',');
	return **text == '\0' || **text == ' ' || **text == '\t';
}

int
steps_parse(struct job *job, char *why, size_t whylen)
{
	const char *text = job->job_steps;

	free(job->job_does);
	job->job_does = NULL;
	job->job_ndoes = 0;
	if (strcmp(text, "all") == 0)
		return 0;
	while (*(text += strspn(text, " \t")) != '\0')
		if (!steps_of_worker(job, &text)) {
			snprintf(why, whylen, "must be 'all', or WORKER:N,N-M,... for some of the workers, "
			    "such as 0:3-7,9 2:0-4");
			return EINVAL;
		}
	return 0;
}

bool
job_does(const struct job *job, uint64_t worker, uint64_t n)
{
	for (size_t i = 0; i < job->job_ndoes; i++) {
		const struct job_steps *js = &job->job_does[i];

		if (js->js_worker == worker && n >= js->js_first && n <= js->js_last)
			return true;
	}
	return job->job_ndoes == 0;
}
