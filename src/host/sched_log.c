/*
 * What is kept of a schedule: the log of its switches, which repeats it, and the trace of all its
 * events, which shows where two of them part.
 *
 * An entry of the log: points since the last one and the thread's number, seven bits a byte, the
 * lowest first; then a byte of the event hash.
 */
#include <stdlib.h>
#include <string.h>

#include <host/race.h>

#include "host_int.h"

#define	ENTRY_MAX	(10 + 5 + 1)

/* => room for more; NULL: the host has none.  Who has the baton grows it, and of hand-overs nobody is told. */
static void *
grow(void *old, size_t bytes)
{
	void *p;

	race_access_ignore(true);
	p = realloc(old, bytes);
	race_access_ignore(false);
	return p;
}

static void
put(struct host_log *hl, uint64_t value)
{
	for (; value >= 0x80; value >>= 7)
		hl->hl_bytes[hl->hl_len++] = (uint8_t)(value | 0x80);
	hl->hl_bytes[hl->hl_len++] = (uint8_t)value;
}

static bool
get(const struct host_log *hl, size_t *pos, uint64_t *value)
{
	*value = 0;
	for (unsigned shift = 0; shift < 64 && *pos < hl->hl_len; shift += 7) {
		const uint8_t byte = hl->hl_bytes[(*pos)++];

		*value |= (uint64_t)(byte & 0x7f) << shift;
		if ((byte & 0x80) == 0)
			return true;
	}
	return false;
}

void
host_log_add(struct host_log *hl, const struct host_log_entry *hle)
{
	if (hl->hl_len + ENTRY_MAX > hl->hl_room) {
		size_t room = hl->hl_room != 0 ? hl->hl_room * 2 : 4096;
		void *bytes = grow(hl->hl_bytes, room);

		if (bytes == NULL)
			abort();		/* a recording with a hole is none */
		hl->hl_bytes = bytes;
		hl->hl_room = room;
	}
	put(hl, hle->hle_points);
	put(hl, hle->hle_thread);
	hl->hl_bytes[hl->hl_len++] = hle->hle_check;
}

bool
host_log_next(const struct host_log *hl, size_t *pos, struct host_log_entry *hle)
{
	uint64_t thread;

	if (!get(hl, pos, &hle->hle_points) || !get(hl, pos, &thread) || thread >= HOST_THREADS ||
	    *pos >= hl->hl_len)
		return false;
	hle->hle_thread = (unsigned)thread;
	hle->hle_check = hl->hl_bytes[(*pos)++];
	return true;
}

struct host_switch *
host_log_switches(const struct host_log *hl, size_t *n)
{
	uint64_t *own = calloc(HOST_THREADS, sizeof(*own));	/* points of each thread so far */
	struct host_switch *v = NULL;
	struct host_log_entry hle;
	size_t pos = 0, room = 0;
	unsigned runs = 0;

	for (*n = 0; own != NULL && host_log_next(hl, &pos, &hle); ++*n) {
		if (*n == room) {
			room = room != 0 ? room * 2 : 256;
			v = realloc(v, room * sizeof(*v));
			if (v == NULL)
				abort();
		}
		own[runs] += hle.hle_points;	/* between two switches one thread runs */
		v[*n] = (struct host_switch){ own[runs], runs, hle.hle_thread };
		runs = hle.hle_thread;
	}
	free(own);
	return v;
}

void
host_log_free(struct host_log *hl)
{
	free(hl->hl_bytes);
	memset(hl, 0, sizeof(*hl));
}

void
trace_add(struct host_trace *ht, const struct host_event_rec *he)
{
	if (ht->ht_n == HOST_TRACE_MAX)
		return;
	if (ht->ht_n == ht->ht_room) {
		size_t room = ht->ht_room != 0 ? ht->ht_room * 2 : 4096;
		void *v = grow(ht->ht_v, room * sizeof(*ht->ht_v));

		if (v == NULL)
			return;			/* what is compared later is shorter */
		ht->ht_v = v;
		ht->ht_room = room;
	}
	ht->ht_v[ht->ht_n++] = *he;
}

void
host_trace_free(struct host_trace *ht)
{
	free(ht->ht_v);
	memset(ht, 0, sizeof(*ht));
}

void
trace_compare(const struct host_trace *ht, uint64_t n, const struct host_event_rec *he,
    struct host_divergence *hd)
{
	if (hd->hd_set || n >= HOST_TRACE_MAX)
		return;
	if (n < ht->ht_n && memcmp(&ht->ht_v[n], he, sizeof(*he)) == 0)
		return;
	hd->hd_set = true;
	hd->hd_event = n;
	hd->hd_is = *he;
	if (n < ht->ht_n)
		hd->hd_was = ht->ht_v[n];
	else
		hd->hd_was.he_kind = HP_COUNT;	/* it was over by then */
}
