/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Address spaces of the trace model: a sorted array of mappings.
 *
 * Real programs have some dozens to some hundreds of mappings, so an array with
 * binary search beats any tree.  Every change is the same three steps: make the
 * ends of the range mapping boundaries (cut), replace what lies between, and join
 * the neighbours again, so that a heap that grows by a thousand mprotects stays one
 * mapping.
 */
#include <string.h>

#include <harness/xalloc.h>

#include "tr_model.h"

size_t
tr_space_at(const struct tr_space *sp, uint64_t va)
{
	size_t lo = 0, hi = sp->sp_n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (sp->sp_seg[mid].sg_end <= va)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

const struct tr_seg *
tr_space_find(const struct tr_space *sp, uint64_t va)
{
	size_t i = tr_space_at(sp, va);

	if (i == sp->sp_n || sp->sp_seg[i].sg_start > va)
		return NULL;
	return &sp->sp_seg[i];
}

bool
tr_space_free(const struct tr_space *sp, uint64_t start, uint64_t end)
{
	size_t i = tr_space_at(sp, start);

	return i == sp->sp_n || sp->sp_seg[i].sg_start >= end;
}

bool
tr_space_covered(const struct tr_space *sp, uint64_t start, uint64_t end)
{
	size_t i;

	for (i = tr_space_at(sp, start); start < end; i++) {
		if (i == sp->sp_n || sp->sp_seg[i].sg_start > start)
			return false;
		start = sp->sp_seg[i].sg_end;
	}
	return true;
}

static void
space_insert(struct tr_space *sp, size_t i, const struct tr_seg *sg)
{
	if (sp->sp_n == sp->sp_cap) {
		sp->sp_cap = sp->sp_cap == 0 ? 32 : sp->sp_cap * 2;
		sp->sp_seg = xcheck(realloc(sp->sp_seg, sp->sp_cap * sizeof(*sg)));
	}
	memmove(&sp->sp_seg[i + 1], &sp->sp_seg[i], (sp->sp_n - i) * sizeof(*sg));
	sp->sp_seg[i] = *sg;
	sp->sp_n++;
}

static void
space_remove(struct tr_space *sp, size_t i, size_t n)
{
	if (n == 0)
		return;
	memmove(&sp->sp_seg[i], &sp->sp_seg[i + n], (sp->sp_n - i - n) * sizeof(*sp->sp_seg));
	sp->sp_n -= n;
}

/* Make va a boundary; the index of the first mapping at or after it. */
static size_t
space_cut(struct tr_space *sp, uint64_t va)
{
	size_t i = tr_space_at(sp, va);
	struct tr_seg upper;

	if (i == sp->sp_n || sp->sp_seg[i].sg_start >= va)
		return i;
	upper = sp->sp_seg[i];
	upper.sg_start = va;
	if (upper.sg_file != TRACE_NONE)
		upper.sg_offset += va - sp->sp_seg[i].sg_start;
	sp->sp_seg[i].sg_end = va;
	space_insert(sp, i + 1, &upper);
	return i + 1;
}

/* Shared anonymous neighbours are two objects; all else that looks alike is one mapping. */
static bool
seg_joins(const struct tr_seg *a, const struct tr_seg *b)
{
	if (a->sg_end != b->sg_start || a->sg_prot != b->sg_prot || a->sg_flags != b->sg_flags ||
	    a->sg_file != b->sg_file)
		return false;
	if (a->sg_file == TRACE_NONE)
		return (a->sg_flags & TM_SHARED) == 0;
	return a->sg_offset + (a->sg_end - a->sg_start) == b->sg_offset;
}

/* Join mappings i - 1 and i if they can be. */
static void
space_join(struct tr_space *sp, size_t i)
{
	if (i == 0 || i >= sp->sp_n || !seg_joins(&sp->sp_seg[i - 1], &sp->sp_seg[i]))
		return;
	sp->sp_seg[i - 1].sg_end = sp->sp_seg[i].sg_end;
	space_remove(sp, i, 1);
}

void
tr_space_unmap(struct tr_space *sp, uint64_t start, uint64_t end)
{
	size_t i, j;

	if (tr_space_free(sp, start, end))
		return;
	i = space_cut(sp, start);
	j = space_cut(sp, end);
	space_remove(sp, i, j - i);
}

void
tr_space_map(struct tr_space *sp, const struct tr_seg *sg)
{
	size_t i = tr_space_at(sp, sg->sg_start);

	space_insert(sp, i, sg);
	space_join(sp, i + 1);
	space_join(sp, i);
}

void
tr_space_protect(struct tr_space *sp, uint64_t start, uint64_t end, uint8_t prot)
{
	size_t i = space_cut(sp, start), j = space_cut(sp, end), k;

	for (k = i; k < j; k++)
		sp->sp_seg[k].sg_prot = prot;
	for (k = j; k + 1 > i; k--) {
		space_join(sp, k);
		if (k == 0)
			break;
	}
}

void
tr_space_copy(struct tr_space *to, const struct tr_space *from)
{
	size_t i;

	for (i = 0; i < from->sp_n; i++)
		space_insert(to, to->sp_n, &from->sp_seg[i]);
}

void
tr_space_fini(struct tr_space *sp)
{
	free(sp->sp_seg);
	memset(sp, 0, sizeof(*sp));
}
