/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Values of options: text to value and back, as the option's row says.
 *
 * The text comes from job files that may be anything, so numbers are read by hand:
 * strtoull would take signs and blanks, strtod would take hexadecimal, infinities and
 * the locale's comma.  What option_format writes, option_parse reads back to the same
 * value; `check` and the saved profile of a failure rely on it.
 */
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include <harness/option.h>
#include <harness/xalloc.h>

#define NSEC_PER_USEC UINT64_C(1000)
#define NSEC_PER_MSEC UINT64_C(1000000)
#define NSEC_PER_SEC  UINT64_C(1000000000)

struct unit {
	const char *u_name;
	uint64_t u_factor;
};

/* Largest first, so that formatting finds the largest unit that divides a value. */
static const struct unit size_units[] = {
	{ "T", UINT64_C(1) << 40 },
	{ "G", UINT64_C(1) << 30 },
	{ "M", UINT64_C(1) << 20 },
	{ "K", UINT64_C(1) << 10 },
	{ "", 1 },
	{ NULL, 0 },
};

static const struct unit duration_units[] = {
	{ "h", 3600 * NSEC_PER_SEC },
	{ "m", 60 * NSEC_PER_SEC },
	{ "s", NSEC_PER_SEC },
	{ "ms", NSEC_PER_MSEC },
	{ "us", NSEC_PER_USEC },
	{ "ns", 1 },
	{ NULL, 0 },
};

static const char *const bool_names[] = { "off", "on", "no", "yes", "false", "true", NULL };

const struct option_row *
option_find(const struct option_row *rows, size_t nrows, const char *key)
{
	for (size_t i = 0; i < nrows; i++)
		if (strcmp(rows[i].opt_key, key) == 0)
			return &rows[i];
	return NULL;
}

/* => index of word, or -1 */
static int
name_index(const char *const *names, const char *word)
{
	for (int i = 0; names[i] != NULL; i++)
		if (strcmp(names[i], word) == 0)
			return i;
	return -1;
}

/*
 * Digits, then one of the units, then nothing.
 * => EINVAL: not of that form; ERANGE: does not fit 64 bits
 */
static int
parse_number(const char *text, const struct unit *units, uint64_t *out)
{
	const char *p = text;
	uint64_t n = 0;

	if (*p < '0' || *p > '9')
		return EINVAL;
	for (; *p >= '0' && *p <= '9'; p++)
		if (__builtin_mul_overflow(n, 10, &n) ||
		    __builtin_add_overflow(n, (uint64_t)(*p - '0'), &n))
			return ERANGE;
	if (units == NULL) {
		*out = n;
		return *p == '\0' ? 0 : EINVAL;
	}
	for (; units->u_name != NULL; units++) {
		if (strcasecmp(units->u_name, p) != 0)
			continue;
		return __builtin_mul_overflow(n, units->u_factor, out) ? ERANGE : 0;
	}
	if (n != 0 || *p != '\0')
		return EINVAL;
	*out = 0;			/* "0" needs no unit */
	return 0;
}

/* Digits with at most one point; 0 to 1. */
static int
parse_fraction(const char *text, double *out)
{
	double n = 0, scale = 1;
	bool point = false, digits = false;

	for (const char *p = text; *p != '\0'; p++) {
		if (*p == '.' && !point) {
			point = true;
		} else if (*p >= '0' && *p <= '9' && p - text < 20) {
			n = n * 10 + (*p - '0');
			scale *= point ? 10 : 1;
			digits = true;
		} else {
			return EINVAL;
		}
	}
	if (!digits)
		return EINVAL;
	n /= scale;
	if (n > 1)
		return ERANGE;
	*out = n;
	return 0;
}

static const struct unit *
row_units(const struct option_row *row)
{
	return row->opt_type == OPT_SIZE ? size_units :
	    row->opt_type == OPT_DURATION ? duration_units : NULL;
}

static bool
row_wants_pages(const struct option_row *row)
{
	return row->opt_type == OPT_SIZE && row->opt_min >= OPTION_PAGE &&
	    row->opt_min % OPTION_PAGE == 0;
}

static int
set_number(const struct option_row *row, uint64_t *field, const char *text)
{
	uint64_t n;

	if (parse_number(text, row_units(row), &n) != 0)
		return EINVAL;
	if (n < row->opt_min || n > row->opt_max)
		return EINVAL;
	if (row_wants_pages(row) && n % OPTION_PAGE != 0)
		return EINVAL;
	*field = n;
	return 0;
}

static int
set_name(const struct option_row *row, void *field, const char *text)
{
	bool boolean = row->opt_type == OPT_BOOL;
	int i = name_index(boolean ? bool_names : row->opt_names, text);

	if (i < 0)
		return EINVAL;
	if (boolean)
		*(bool *)field = i & 1;
	else
		*(unsigned *)field = (unsigned)i;
	return 0;
}

static int
set_string(const struct option_row *row, char **field, const char *text, const char *dir)
{
	char *s;

	if (row->opt_type == OPT_PATH && text[0] != '/' && dir[0] != '\0')
		s = xasprintf("%s/%s", dir, text);
	else
		s = xstrdup(text);
	if (strlen(s) > OPTION_TEXT_MAX) {
		free(s);
		return EINVAL;
	}
	free(*field);
	*field = s;
	return 0;
}

static const char *
names_next(const void *ctx, size_t i)
{
	return ((const char *const *)ctx)[i];
}

static int
refuse(const struct option_row *row, const char *text, char *why, size_t whylen)
{
	char allowed[400];
	const char *near = NULL;

	option_allowed(row, allowed, sizeof(allowed));
	if (row->opt_type == OPT_ENUM)
		near = nearest_name(text, names_next, row->opt_names);
	if (near != NULL)
		snprintf(why, whylen, "must be %s; did you mean '%s'?", allowed, near);
	else
		snprintf(why, whylen, "must be %s", allowed);
	return EINVAL;
}

/* Compares values, not spellings: "0M" is 0. */
static int
check_only(const struct option_row *row, const void *base, char *why, size_t whylen)
{
	char *value = option_format(row, base);
	size_t len = strlen(value);
	bool found = false;

	for (const char *p = row->opt_only; p != NULL && !found; p = strchr(p, '|')) {
		p += *p == '|';
		found = strncmp(p, value, len) == 0 && (p[len] == '|' || p[len] == '\0');
	}
	free(value);
	if (found)
		return 0;
	snprintf(why, whylen, "this version offers only %s", row->opt_only);
	return EINVAL;
}

int
option_parse(const struct option_row *row, void *base, const char *text, const char *dir,
    char *why, size_t whylen)
{
	void *field = (char *)base + row->opt_offset;
	int error = 0;

	switch (row->opt_type) {
	case OPT_SIZE:
	case OPT_INT:
	case OPT_DURATION:
		error = set_number(row, field, text);
		break;
	case OPT_FRACTION:
		error = parse_fraction(text, field);
		break;
	case OPT_BOOL:
	case OPT_ENUM:
		error = set_name(row, field, text);
		break;
	case OPT_PATH:
	case OPT_TEXT:
		error = set_string(row, field, text, dir);
		break;
	}
	if (error != 0)
		return refuse(row, text, why, whylen);
	if (row->opt_only != NULL)
		error = check_only(row, base, why, whylen);
	return error;
}

static char *
format_fraction(double f)
{
	char buf[32];

	for (int digits = 1; digits <= 17; digits++) {
		snprintf(buf, sizeof(buf), "%.*f", digits, f);
		double back;
		if (parse_fraction(buf, &back) == 0 && back == f)
			break;
	}
	return xstrdup(buf);
}

char *
option_format(const struct option_row *row, const void *base)
{
	const void *field = (const char *)base + row->opt_offset;
	char buf[64];

	switch (row->opt_type) {
	case OPT_SIZE:
		format_size(*(const uint64_t *)field, buf, sizeof(buf));
		return xstrdup(buf);
	case OPT_DURATION:
		format_duration(*(const uint64_t *)field, buf, sizeof(buf));
		return xstrdup(buf);
	case OPT_INT:
		return xasprintf("%ju", (uintmax_t)*(const uint64_t *)field);
	case OPT_FRACTION:
		return format_fraction(*(const double *)field);
	case OPT_BOOL:
		return xstrdup(bool_names[*(const bool *)field]);
	case OPT_ENUM:
		return xstrdup(row->opt_names[*(const unsigned *)field]);
	case OPT_PATH:
	case OPT_TEXT:
		break;
	}
	return xstrdup(*(char *const *)field != NULL ? *(char *const *)field : "");
}

/* "a, b or c" */
static void
join_names(const char *const *names, char *buf, size_t buflen)
{
	size_t n = 0;

	buf[0] = '\0';
	for (size_t i = 0; names[i] != NULL && n < buflen; i++)
		n += (size_t)snprintf(buf + n, buflen - n, "%s%s",
		    i == 0 ? "" : names[i + 1] == NULL ? " or " : ", ", names[i]);
}

void
option_allowed(const struct option_row *row, char *buf, size_t buflen)
{
	char min[32], max[32];

	switch (row->opt_type) {
	case OPT_INT:
		if (row->opt_max == INT64_MAX)
			snprintf(buf, buflen, "a whole number, %ju or more",
			    (uintmax_t)row->opt_min);
		else
			snprintf(buf, buflen, "a whole number, %ju to %ju",
			    (uintmax_t)row->opt_min, (uintmax_t)row->opt_max);
		return;
	case OPT_SIZE:
		format_size(row->opt_min, min, sizeof(min));
		format_size(row->opt_max, max, sizeof(max));
		snprintf(buf, buflen, "a size such as 64K, 8M or 1G, %s to %s%s", min, max,
		    row_wants_pages(row) ? ", a multiple of 4K" : "");
		return;
	case OPT_DURATION:
		format_duration(row->opt_min, min, sizeof(min));
		format_duration(row->opt_max, max, sizeof(max));
		snprintf(buf, buflen, "a duration such as 500ms, 60s, 10m or 4h, %s to %s", min,
		    max);
		return;
	case OPT_FRACTION:
		snprintf(buf, buflen, "a fraction, 0 to 1");
		return;
	case OPT_BOOL:
		snprintf(buf, buflen, "on or off");
		return;
	case OPT_ENUM:
		join_names(row->opt_names, buf, buflen);
		return;
	case OPT_PATH:
		snprintf(buf, buflen, "a file name, %d bytes at most with its directory",
		    OPTION_TEXT_MAX);
		return;
	case OPT_TEXT:
		snprintf(buf, buflen, "text, %d bytes at most", OPTION_TEXT_MAX);
		return;
	}
}

void
option_fini(const struct option_row *rows, size_t nrows, void *base)
{
	for (size_t i = 0; i < nrows; i++) {
		char **field = (char **)((char *)base + rows[i].opt_offset);

		if (rows[i].opt_type != OPT_PATH && rows[i].opt_type != OPT_TEXT)
			continue;
		free(*field);
		*field = NULL;
	}
}

static void
format_units(uint64_t n, const struct unit *u, char *buf, size_t buflen)
{
	if (n == 0) {
		snprintf(buf, buflen, "0");
		return;
	}
	while (n % u->u_factor != 0)
		u++;
	snprintf(buf, buflen, "%ju%s", (uintmax_t)(n / u->u_factor), u->u_name);
}

void
format_size(uint64_t bytes, char *buf, size_t buflen)
{
	format_units(bytes, size_units, buf, buflen);
}

void
format_duration(uint64_t ns, char *buf, size_t buflen)
{
	format_units(ns, duration_units, buf, buflen);
}

/*
 * Edit distance of two short words, capped: more than NEAR_WORD bytes is never near.
 * Swapping two neighbours counts as one edit, since fingers do it.
 */
#define NEAR_WORD 40
#define NEAR_MAX  2

static size_t
edit_distance(const char *a, const char *b)
{
	size_t d[NEAR_WORD + 1][NEAR_WORD + 1];
	size_t la = strlen(a), lb = strlen(b);

	if (la > NEAR_WORD || lb > NEAR_WORD)
		return NEAR_WORD;
	for (size_t i = 0; i <= la; i++)
		d[i][0] = i;
	for (size_t j = 0; j <= lb; j++)
		d[0][j] = j;
	for (size_t i = 1; i <= la; i++) {
		for (size_t j = 1; j <= lb; j++) {
			size_t best = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);

			if (d[i - 1][j] + 1 < best)
				best = d[i - 1][j] + 1;
			if (d[i][j - 1] + 1 < best)
				best = d[i][j - 1] + 1;
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
			    d[i - 2][j - 2] + 1 < best)
				best = d[i - 2][j - 2] + 1;
			d[i][j] = best;
		}
	}
	return d[la][lb];
}

const char *
nearest_name(const char *word, const char *(*next)(const void *ctx, size_t i), const void *ctx)
{
	const char *name, *best = NULL;
	size_t limit = strlen(word) / 2 < NEAR_MAX ? strlen(word) / 2 : NEAR_MAX;

	for (size_t i = 0; (name = next(ctx, i)) != NULL; i++) {
		size_t d = edit_distance(word, name);

		if (d > limit || (best != NULL && d >= edit_distance(word, best)))
			continue;
		best = name;
	}
	return best;
}
