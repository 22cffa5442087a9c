/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * A resolved profile back to text: for `check`, for the copy in a failure directory, and
 * for the digest.  One walk over the option rows serves all three.
 */
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include <harness/profile.h>
#include <harness/xalloc.h>

#include "profile_int.h"

struct printer {
	FILE *pr_out;
	bool pr_origin;
	bool pr_digest;		/* paths by their last component, no seed */
};

static void
print_line(const struct printer *pr, const struct setting *s, const char *key,
    const char *value)
{
	char line[128];

	if (!pr->pr_origin) {
		fprintf(pr->pr_out, "%s = %s\n", key, value);
		return;
	}
	snprintf(line, sizeof(line), "%s = ", key);
	fprintf(pr->pr_out, "%s%-*s ; %s\n", line, (int)(32 - strlen(line) % 32), value,
	    s != NULL ? s->set_where : "default");
}

/*
 * => frees path.  Symbolic links stay as they are, so that the last component, and with
 *    it the digest, stays too
 */
static char *
absolute(char *path)
{
	char cwd[PATH_MAX], *full;

	if (*path == '/' || getcwd(cwd, sizeof(cwd)) == NULL)
		return path;
	full = xasprintf("%s/%s", cwd, path);
	free(path);
	return full;
}

static void
print_option(const struct printer *pr, const struct option_row *row, const void *base,
    const struct setting *list)
{
	const struct setting *s = setting_last(list, row->opt_key);
	char *value = option_format(row, base), *slash;

	if (row->opt_type == OPT_PATH && pr->pr_digest) {
		slash = strrchr(value, '/');
		memmove(value, slash != NULL ? slash + 1 : value,
		    strlen(slash != NULL ? slash + 1 : value) + 1);
	} else if (row->opt_type == OPT_PATH && *value != '\0') {
		value = absolute(value);
	}
	if (*value != '\0')
		print_line(pr, s, row->opt_key, value);
	free(value);
}

static void
print_job(const struct printer *pr, const struct job *job)
{
	const struct workload *wl = job->job_workload;

	fprintf(pr->pr_out, "\n[%s]\n", job->job_name);
	print_line(pr, setting_last(job->job_settings, "workload"), "workload", wl->wl_name);
	for (size_t i = 0; i < job_ncommon; i++)
		if ((wl->wl_common & 1u << i) != 0)
			print_option(pr, &job_common_options[i], job, job->job_settings);
	for (size_t i = 0; i < wl->wl_noptions; i++)
		print_option(pr, &wl->wl_options[i], job->job_options, job->job_settings);
}

static void
print_profile(const struct profile *p, const struct printer *pr)
{
	fprintf(pr->pr_out, "[global]\n");
	for (size_t i = 0; i < machine_noptions; i++) {
		const struct option_row *row = &machine_options[i];

		if (strcmp(row->opt_key, "seed") != 0)
			print_option(pr, row, &p->p_machine, p->p_settings);
		else if (profile_is_set(p, "seed") && !pr->pr_digest)
			print_option(pr, row, &p->p_machine, p->p_settings);
		else if (pr->pr_origin)
			fprintf(pr->pr_out, "; seed is chosen, and printed, at each run\n");
	}
	for (size_t i = 0; i < p->p_njobs; i++)
		print_job(pr, p->p_jobs[i]);
}

void
profile_print(const struct profile *p, FILE *out, bool with_origin)
{
	const struct printer pr = { .pr_out = out, .pr_origin = with_origin };

	print_profile(p, &pr);
}

uint32_t
profile_digest(const struct profile *p)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = xcheck(open_memstream(&text, &len));
	const struct printer pr = { .pr_out = out, .pr_digest = true };
	uint32_t hash = 2166136261u;		/* FNV-1a */

	print_profile(p, &pr);
	if (fclose(out) != 0)
		xcheck(NULL);
	for (size_t i = 0; i < len; i++)
		hash = (hash ^ (unsigned char)text[i]) * 16777619u;
	free(text);
	return hash;
}
