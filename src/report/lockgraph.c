/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Lock graphs: their memory, and the tables that find their parts by content.
 */
#include <harness/lockgraph.h>

#include "lockgraph_int.h"

#define CHUNK 65536

struct lg_chunk {
	struct lg_chunk *ch_next;
	size_t ch_used, ch_size;
	_Alignas(16) char ch_mem[];
};

const char *
lockgraph_grade_name(enum lockgraph_grade grade)
{
	return lg_grades[grade];
}

struct lg_owned *
lg_create(void)
{
	return xcalloc(1, sizeof(struct lg_owned));
}

void *
lg_alloc(struct lg_owned *lo, size_t n, size_t size)
{
	struct lg_chunk *ch = lo->lo_chunks;
	size_t bytes;
	void *p;

	if (__builtin_mul_overflow(n, size, &bytes) || bytes > SIZE_MAX - 2 * CHUNK)
		xcheck(NULL);
	bytes = (bytes + 15) & ~(size_t)15;
	if (ch == NULL || ch->ch_size - ch->ch_used < bytes) {
		size_t room = bytes > CHUNK ? bytes : CHUNK;

		ch = xcalloc(1, sizeof(*ch) + room);
		ch->ch_size = room;
		ch->ch_next = lo->lo_chunks;
		lo->lo_chunks = ch;
	}
	p = ch->ch_mem + ch->ch_used;
	ch->ch_used += bytes;
	return p;
}

const char *
lg_text(struct lg_owned *lo, const char *text)
{
	char *copy;

	if (text == NULL)
		return NULL;
	copy = lg_alloc(lo, strlen(text) + 1, 1);
	return strcpy(copy, text);
}

void
lockgraph_free(struct lockgraph *lg)
{
	struct lg_owned *lo = (struct lg_owned *)lg;
	struct lg_chunk *ch, *next;

	if (lo == NULL)
		return;
	for (ch = lo->lo_chunks; ch != NULL; ch = next) {
		next = ch->ch_next;
		free(ch);
	}
	free(lo);
}

void
lockgraph_waive(struct lockgraph *lg, size_t i, const char *reason)
{
	/* A copy's findings are its own. */
	struct lockgraph_finding *v = (struct lockgraph_finding *)(uintptr_t)lg->lg_findings;

	v[i].lgv_waived = lg_text((struct lg_owned *)lg, reason);
}

void
lockgraph_tried(struct lockgraph *lg, size_t i, const char *why, const char *recording)
{
	struct lockgraph_finding *v = (struct lockgraph_finding *)(uintptr_t)&lg->lg_findings[i];

	v->lgv_why = lg_text((struct lg_owned *)lg, why);
	if (recording == NULL)
		return;
	v->lgv_recording = lg_text((struct lg_owned *)lg, recording);
	v->lgv_grade = LOCKGRAPH_CONFIRMED;
	v->lgv_waived = NULL;
}

struct lockgraph *
lockgraph_dup(const struct lockgraph *lg)
{
	return lockgraph_merge(&lg, 1, NULL, 0);
}

struct lockgraph *
lockgraph_of_run(const struct lockgraph *lg, const char *path, const char *command, uint64_t seed)
{
	const char *slash = strrchr(path, '/'), *name = slash != NULL ? slash + 1 : path;
	size_t len = strlen(name);
	char *stem = xstrndup(name, len > 4 && strcmp(name + len - 4, ".ini") == 0 ? len - 4 : len);
	const struct lockgraph_run run = { stem, command, seed };
	struct lockgraph named = *lg, *copy;

	named.lg_runs = &run;
	named.lg_nruns = 1;
	copy = lockgraph_dup(&named);
	free(stem);
	return copy;
}

uint32_t
lg_hash(uint32_t hash, const void *bytes, size_t len)
{
	for (const unsigned char *p = bytes; len > 0; p++, len--)
		hash = (hash ^ *p) * 16777619u;	/* FNV-1a */
	return hash;
}

uint32_t
lg_hash_text(uint32_t hash, const char *text)
{
	return text != NULL ? lg_hash(hash, text, strlen(text) + 1) : hash;
}

uint32_t
lg_find(const struct lg_index *li, uint32_t hash, bool (*same)(const void *ctx, uint32_t i),
    const void *ctx)
{
	if (li->li_size == 0)
		return LOCKGRAPH_NONE;
	for (uint32_t s = hash & (li->li_size - 1); li->li_slots[s] != 0;
	    s = (s + 1) & (li->li_size - 1)) {
		uint32_t i = li->li_slots[s] - 1;

		if (li->li_hashes[i] == hash && same(ctx, i))
			return i;
	}
	return LOCKGRAPH_NONE;
}

static void
enter(struct lg_index *li, uint32_t i)
{
	uint32_t s = li->li_hashes[i] & (li->li_size - 1);

	while (li->li_slots[s] != 0)
		s = (s + 1) & (li->li_size - 1);
	li->li_slots[s] = i + 1;
}

void
lg_add(struct lg_index *li, uint32_t hash)
{
	if (li->li_n >= li->li_size / 2) {
		li->li_size = li->li_size == 0 ? 64 : li->li_size * 2;
		free(li->li_slots);
		li->li_slots = xcalloc(li->li_size, sizeof(*li->li_slots));
		li->li_hashes = xcheck(realloc(li->li_hashes, li->li_size * sizeof(*li->li_hashes)));
		for (uint32_t i = 0; i < li->li_n; i++)
			enter(li, i);
	}
	li->li_hashes[li->li_n] = hash;
	enter(li, li->li_n++);
}

void
lg_index_fini(struct lg_index *li)
{
	free(li->li_slots);
	free(li->li_hashes);
}

/* => no party goes that way: who waits for the one event waits for the other, or for who has that lock */
static bool
passive(const struct lockgraph *lg, const struct lockgraph_edge *e)
{
	const struct lockgraph_class *from = &lg->lg_classes[e->lge_from], *to = &lg->lg_classes[e->lge_to];

	return e->lge_kind == LOCKGRAPH_PROVIDE &&
	    (to->lgc_kind == LOCKGRAPH_EVENT || strncmp(from->lgc_name, "sleep:", 6) == 0);
}

bool
lockgraph_circle(const struct lockgraph *lg, const struct lockgraph_finding *v, char *text, size_t size)
{
	/* two of one class: another one goes the same way, the other one first */
	const bool pair = v->lgv_ncycle == 1 && v->lgv_cycle[0].lge_from == v->lgv_cycle[0].lge_to;
	const uint32_t n = pair ? 2 : v->lgv_ncycle;
	size_t len = 0;

	if (n < 2)
		return false;
	for (uint32_t i = 0; i <= n && len < size; i++) {
		const struct lockgraph_edge *e = &v->lgv_cycle[pair ? 0 : i % n];

		len += (size_t)snprintf(text + len, size - len, "%s%s", lg->lg_classes[e->lge_from].lgc_name,
		    i == n ? "" : passive(lg, e) ? "=" : ">");
	}
	if (len >= size)
		text[0] = '\0';
	return true;
}
