/*
 * The content model of a replayed process.
 *
 * Regions mirror the recorded mappings, split and cut as the calls do.  A
 * private region remembers one word for each page and thread; a region mapped
 * shared is written by several processes and remembers nothing: there a word
 * must be a stamp of its place, or what the file was made with.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <harness/xalloc.h>

#include "replay_space.h"

#define	NOBODYS_WORD	(PAGE_SIZE / 8 - 1)

#define	CHUNK_SHIFT	21
#define	CHUNK_PAGES	(1UL << (CHUNK_SHIFT - PAGE_SHIFT))

/* --- words of private regions --- */

static size_t
chunk_count(const struct replay_region *rr)
{
	return ((rr->rr_end - 1) >> CHUNK_SHIFT) - (rr->rr_start >> CHUNK_SHIFT) + 1;
}

static void
words_init(struct replay_region *rr)
{
	rr->rr_chunks = rr->rr_shared ? NULL : xcalloc(chunk_count(rr), sizeof(*rr->rr_chunks));
}

static void
words_fini(struct replay_region *rr)
{
	for (size_t i = 0; rr->rr_chunks != NULL && i < chunk_count(rr); i++)
		free(rr->rr_chunks[i]);
	free(rr->rr_chunks);
	rr->rr_chunks = NULL;
}

static uint64_t **
chunk_of(const struct replay_region *rr, vaddr_t page)
{
	return &rr->rr_chunks[(page >> CHUNK_SHIFT) - (rr->rr_start >> CHUNK_SHIFT)];
}

static uint64_t
word_get(const struct replay_space *rs, const struct replay_region *rr, vaddr_t page,
    unsigned slot)
{
	/* acquire: pairs with word_set(), by another thread of the process */
	const uint64_t *chunk = __atomic_load_n(chunk_of(rr, page), __ATOMIC_ACQUIRE);

	return chunk == NULL ? 0 :
	    chunk[(page >> PAGE_SHIFT) % CHUNK_PAGES * rs->rs_slots + slot];
}

static void
word_set(const struct replay_space *rs, const struct replay_region *rr, vaddr_t page,
    unsigned slot, uint64_t value)
{
	uint64_t **where = chunk_of(rr, page);
	uint64_t *chunk = __atomic_load_n(where, __ATOMIC_ACQUIRE);

	if (chunk == NULL) {
		uint64_t *made = xcalloc(CHUNK_PAGES * rs->rs_slots, sizeof(*made));

		/* release: the chunk is zeroed before others see it; pairs with word_get() */
		if (__atomic_compare_exchange_n(where, &chunk, made, false, __ATOMIC_ACQ_REL,
		    __ATOMIC_ACQUIRE))
			chunk = made;
		else
			free(made);
	}
	chunk[(page >> PAGE_SHIFT) % CHUNK_PAGES * rs->rs_slots + slot] = value;
}

/* => to's words that lie in from, distance bytes lower, are as there */
static void
words_copy(const struct replay_space *rs, struct replay_region *to,
    const struct replay_region *from, vaddr_t distance)
{
	vaddr_t page = from->rr_start;

	while (page < from->rr_end) {
		vaddr_t next = ((page >> CHUNK_SHIFT) + 1) << CHUNK_SHIFT;

		if (*chunk_of(from, page) == NULL) {
			page = next;
			continue;
		}
		for (; page < next && page < from->rr_end; page += PAGE_SIZE) {
			vaddr_t there = page + distance;

			for (unsigned s = 0; s < rs->rs_slots; s++) {
				uint64_t value = word_get(rs, from, page, s);

				if (value != 0 && there >= to->rr_start && there < to->rr_end)
					word_set(rs, to, there, s, value);
			}
		}
	}
}

/* --- the set of regions --- */

void
replay_space_init(struct replay_space *rs, struct replay_file *files, uint32_t nfiles,
    unsigned slots)
{
	*rs = (struct replay_space){ .rs_files = files, .rs_nfiles = nfiles, .rs_slots = slots };
}

void
replay_space_clear(struct replay_space *rs)
{
	for (size_t i = 0; i < rs->rs_n; i++)
		words_fini(&rs->rs_regions[i]);
	rs->rs_n = 0;
	rs->rs_version++;
}

void
replay_space_fini(struct replay_space *rs)
{
	replay_space_clear(rs);
	free(rs->rs_regions);
	rs->rs_regions = NULL;
	rs->rs_room = 0;
}

void
replay_space_fork(struct replay_space *child, const struct replay_space *parent)
{
	child->rs_n = child->rs_room = parent->rs_n;
	child->rs_regions = xcalloc(parent->rs_n + 1, sizeof(*child->rs_regions));
	for (size_t i = 0; i < parent->rs_n; i++) {
		struct replay_region *rr = &child->rs_regions[i];

		*rr = parent->rs_regions[i];
		words_init(rr);
		if (!rr->rr_shared)
			words_copy(child, rr, &parent->rs_regions[i], 0);
	}
	child->rs_version++;
}

/* => first region that ends above va: its index, or rs_n */
static size_t
region_find(const struct replay_space *rs, vaddr_t va)
{
	size_t low = 0, high = rs->rs_n;

	while (low < high) {
		size_t mid = (low + high) / 2;

		if (rs->rs_regions[mid].rr_end <= va)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static void
region_insert(struct replay_space *rs, const struct replay_region *rr)
{
	size_t at = region_find(rs, rr->rr_start);

	if (rs->rs_n == rs->rs_room) {
		rs->rs_room = rs->rs_room * 2 + 16;
		rs->rs_regions = xcheck(realloc(rs->rs_regions,
		    rs->rs_room * sizeof(*rs->rs_regions)));
	}
	memmove(&rs->rs_regions[at + 1], &rs->rs_regions[at],
	    (rs->rs_n - at) * sizeof(*rs->rs_regions));
	rs->rs_regions[at] = *rr;
	rs->rs_n++;
	rs->rs_version++;
}

/* => the region becomes two that meet at va */
static void
region_split(struct replay_space *rs, size_t at, vaddr_t va)
{
	struct replay_region whole = rs->rs_regions[at];
	struct replay_region *low = &rs->rs_regions[at];
	struct replay_region high = whole;

	high.rr_start = va;
	high.rr_offset += va - whole.rr_start;
	high.rr_first += (va - whole.rr_start) / PAGE_SIZE;
	low->rr_end = va;
	words_init(low);
	words_init(&high);
	if (!whole.rr_shared) {
		words_copy(rs, low, &whole, 0);
		words_copy(rs, &high, &whole, 0);
	}
	words_fini(&whole);
	region_insert(rs, &high);
}

static void
split_at(struct replay_space *rs, vaddr_t va)
{
	size_t at = region_find(rs, va);

	if (at < rs->rs_n && rs->rs_regions[at].rr_start < va)
		region_split(rs, at, va);
}

static void
range_remove(struct replay_space *rs, vaddr_t start, vaddr_t end)
{
	size_t first, last;

	split_at(rs, start);
	split_at(rs, end);
	first = region_find(rs, start);
	for (last = first; last < rs->rs_n && rs->rs_regions[last].rr_start < end; last++)
		words_fini(&rs->rs_regions[last]);
	if (first == last)
		return;
	memmove(&rs->rs_regions[first], &rs->rs_regions[last],
	    (rs->rs_n - last) * sizeof(*rs->rs_regions));
	rs->rs_n -= last - first;
	rs->rs_version++;
}

/* --- mapping calls --- */

static void
model_map(struct replay_space *rs, const struct trace_map *tm)
{
	struct replay_region rr = {
		.rr_start = tm->tm_va,
		.rr_end = tm->tm_va + tm->tm_len,
		.rr_file = tm->tm_file,
		.rr_offset = tm->tm_offset,
		.rr_shared = (tm->tm_flags & TM_SHARED) != 0,
	};

	range_remove(rs, rr.rr_start, rr.rr_end);
	words_init(&rr);
	if (rr.rr_shared && rr.rr_file != TRACE_NONE) {
		rr.rr_object = rs->rs_files[rr.rr_file].rf_object;
		rr.rr_first = rr.rr_offset / PAGE_SIZE;
	} else if (rr.rr_shared) {
		rr.rr_object = engine_object_id();
	}
	region_insert(rs, &rr);
}

static int
do_mmap(struct job_worker *jw, struct proc *p, struct replay_space *rs,
    const struct trace_map *tm)
{
	bool file = tm->tm_file != TRACE_NONE;
	vaddr_t va = tm->tm_va;
	int error;

	error = sys_mmap(p, &va, tm->tm_len, tm->tm_prot, UMAP_FIXED | (file ? 0 : UMAP_ANON) |
	    ((tm->tm_flags & TM_SHARED) != 0 ? UMAP_SHARED : UMAP_PRIVATE),
	    file ? rs->rs_files[tm->tm_file].rf_vnode : NULL, file ? UF_READ | UF_WRITE : 0,
	    file ? (voff_t)tm->tm_offset : 0);
	if (error != 0)
		return call_failed(jw, "mmap", tm->tm_va, error);
	model_map(rs, tm);
	return 0;
}

static int
do_munmap(struct job_worker *jw, struct proc *p, struct replay_space *rs,
    const struct trace_map *tm)
{
	int error = sys_munmap(p, tm->tm_va, tm->tm_len);

	if (error != 0)
		return call_failed(jw, "munmap", tm->tm_va, error);
	range_remove(rs, tm->tm_va, tm->tm_va + tm->tm_len);
	return 0;
}

/* One mapping's pages move, or it grows or shrinks where it is. */
static void
model_mremap(struct replay_space *rs, const struct trace_map *tm)
{
	struct replay_region rr;
	const struct replay_region *old;

	split_at(rs, tm->tm_va);
	split_at(rs, tm->tm_va + tm->tm_len);
	old = &rs->rs_regions[region_find(rs, tm->tm_va)];
	rr = *old;
	rr.rr_start = tm->tm_new_va;
	rr.rr_end = tm->tm_new_va + tm->tm_new_len;
	words_init(&rr);
	if (!rr.rr_shared)
		words_copy(rs, &rr, old, rr.rr_start - old->rr_start);
	range_remove(rs, tm->tm_va, tm->tm_va + tm->tm_len);
	range_remove(rs, rr.rr_start, rr.rr_end);
	region_insert(rs, &rr);
}

static int
do_mremap(struct job_worker *jw, struct proc *p, struct replay_space *rs,
    const struct trace_map *tm)
{
	vaddr_t va = tm->tm_new_va;
	int error;

	error = sys_mremap(p, tm->tm_va, tm->tm_len, &va, tm->tm_new_len, true);
	if (error != 0)
		return call_failed(jw, "mremap", tm->tm_va, error);
	model_mremap(rs, tm);
	return 0;
}

/*
 * Linux' DONTNEED and FREE may drop data, NetBSD's DONTNEED keeps them.  The
 * replay uses the latter: contents stay known.
 */
static int
do_madvise(struct job_worker *jw, struct proc *p, const struct trace_map *tm)
{
	static const int advice[TRACE_ADV_NADVICE] = {
		[TRACE_ADV_NORMAL] = UMADV_NORMAL,
		[TRACE_ADV_RANDOM] = UMADV_RANDOM,
		[TRACE_ADV_SEQUENTIAL] = UMADV_SEQUENTIAL,
		[TRACE_ADV_WILLNEED] = UMADV_WILLNEED,
		[TRACE_ADV_DONTNEED] = UMADV_DONTNEED,
		[TRACE_ADV_FREE] = UMADV_DONTNEED,
	};
	int error = sys_madvise(p, tm->tm_va, tm->tm_len, advice[tm->tm_advice]);

	return error != 0 ? call_failed(jw, "madvise", tm->tm_va, error) : 0;
}

/* INVALIDATE would drop private words of the model's; write-back alone is what programs rely on. */
static int
do_msync(struct job_worker *jw, struct proc *p, const struct trace_map *tm)
{
	int error = sys_msync(p, tm->tm_va, tm->tm_len,
	    (tm->tm_flags & TM_ASYNC) != 0 ? UMS_ASYNC : UMS_SYNC);

	return error != 0 ? call_failed(jw, "msync", tm->tm_va, error) : 0;
}

static int
do_brk(struct job_worker *jw, struct proc *p, struct replay_space *rs,
    const struct trace_map *tm)
{
	struct trace_map heap = *tm;

	if ((tm->tm_flags & TM_SHRINK) != 0)
		return do_munmap(jw, p, rs, tm);
	heap.tm_file = TRACE_NONE;
	heap.tm_flags = 0;
	heap.tm_offset = 0;
	heap.tm_prot = TM_READ | TM_WRITE;
	return do_mmap(jw, p, rs, &heap);
}

int
replay_map_op(struct job_worker *jw, struct proc *p, struct replay_space *rs, uint32_t kind,
    const struct trace_map *tm)
{
	int error;

	switch (kind) {
	case TRACE_MMAP:
		return do_mmap(jw, p, rs, tm);
	case TRACE_MUNMAP:
		return do_munmap(jw, p, rs, tm);
	case TRACE_MREMAP:
		return do_mremap(jw, p, rs, tm);
	case TRACE_MADVISE:
		return do_madvise(jw, p, tm);
	case TRACE_MSYNC:
		return do_msync(jw, p, tm);
	case TRACE_BRK:
		return do_brk(jw, p, rs, tm);
	default:
		error = sys_mprotect(p, tm->tm_va, tm->tm_len, tm->tm_prot);
		return error != 0 ? call_failed(jw, "mprotect", tm->tm_va, error) : 0;
	}
}

/* --- references --- */

/* => the region of a page; the trace promises that there is one */
static struct replay_region *
region_of(struct replay_space *rs, struct replay_cursor *cu, vaddr_t page)
{
	struct replay_region *rr;

	if (cu->cu_version == rs->rs_version && cu->cu_region < rs->rs_n) {
		rr = &rs->rs_regions[cu->cu_region];
		if (page >= rr->rr_start && page < rr->rr_end)
			return rr;
	}
	cu->cu_version = rs->rs_version;
	cu->cu_region = region_find(rs, page);
	rr = &rs->rs_regions[cu->cu_region];
	KASSERTMSG(cu->cu_region < rs->rs_n && page >= rr->rr_start,
	    "the trace refers to %#lx, where it has mapped nothing", (unsigned long)page);
	return rr;
}

/* What a word of a page holds as long as nobody has stored to it. */
static uint64_t
pristine(const struct replay_space *rs, const struct replay_region *rr, vaddr_t page,
    unsigned word)
{
	const struct replay_file *rf;

	if (rr->rr_file == TRACE_NONE)
		return 0;
	rf = &rs->rs_files[rr->rr_file];
	return content_file_word(rf->rf_object,
	    (rr->rr_offset + (page - rr->rr_start)) / 8 + word, rf->rf_size);
}

static uint64_t
shared_word(const struct replay_region *rr, vaddr_t page, unsigned word)
{
	return (rr->rr_first + (page - rr->rr_start) / PAGE_SIZE) * (PAGE_SIZE / 8) + word;
}

static int
write_word(struct job_worker *jw, struct replay_space *rs, struct replay_region *rr,
    unsigned slot, vaddr_t page)
{
	vaddr_t va = page + slot * 8;
	uint64_t value;
	int error;

	if (rr->rr_shared)
		value = stamp_make(rr->rr_object, shared_word(rr, page, slot),
		    (struct stamp){ (uint32_t)++jw->jw_seq, slot % STAMP_WRITERS });
	else
		value = private_value(jw->jw_run->jr_seed + jw->jw_index, va, ++jw->jw_seq);
	error = user_store(va, value);
	if (error != 0)
		return call_failed(jw, "store", va, error);
	if (!rr->rr_shared)
		word_set(rs, rr, page, slot, value);
	return 0;
}

static int
check_shared(struct job_worker *jw, struct replay_space *rs, struct replay_region *rr,
    unsigned slot, vaddr_t page)
{
	vaddr_t va = page + slot * 8;
	struct stamp st;
	uint64_t value;
	int error = user_load(va, &value);

	if (error != 0)
		return call_failed(jw, "load", va, error);
	if (value != pristine(rs, rr, page, slot) &&
	    !stamp_read(value, rr->rr_object, shared_word(rr, page, slot), &st))
		return content_bad(jw, "shared", va, "%#lx is no stamp of this word",
		    (unsigned long)value);
	worker_verified(jw, sizeof(value));
	return 0;
}

static int
check_word(struct job_worker *jw, struct replay_space *rs, struct replay_region *rr,
    unsigned slot, vaddr_t page)
{
	uint64_t want;

	if (rr->rr_shared)
		return check_shared(jw, rs, rr, slot, page);
	if (host_rng_below(&jw->jw_rng, 4) == 0)
		return expect_word(jw, page + NOBODYS_WORD * 8,
		    pristine(rs, rr, page, NOBODYS_WORD),
		    rr->rr_file == TRACE_NONE ? "zero-fill" : "file-content");
	want = word_get(rs, rr, page, slot);
	if (want == 0)
		want = pristine(rs, rr, page, slot);
	return expect_word(jw, page + slot * 8, want, "private");
}

int
replay_reference(struct job_worker *jw, struct replay_space *rs, struct replay_cursor *cu,
    unsigned slot, uint32_t kind, vaddr_t page)
{
	struct replay_region *rr = region_of(rs, cu, page);
	int error;

	switch (kind) {
	case TRACE_WRITE:
		return write_word(jw, rs, rr, slot, page);
	case TRACE_READ:
		return check_word(jw, rs, rr, slot, page);
	default:
		error = user_fetch(page);
		return error != 0 ? call_failed(jw, "fetch", page, error) : 0;
	}
}

/* --- files --- */

static int
file_create(struct replay_file *rf, const struct trace_file *tf)
{
	rf->rf_object = engine_object_id();
	rf->rf_size = tf->tf_size;
	return content_vnode(tf->tf_name, rf->rf_object, rf->rf_size, &rf->rf_vnode);
}

int
replay_files_create(struct replay_file **filesp, const struct trace *tr)
{
	struct replay_file *files = xcalloc(tr->tr_nfiles + 1, sizeof(*files));
	int error = 0;

	*filesp = files;
	for (uint32_t i = 0; i < tr->tr_nmaps; i++)
		if (tr->tr_maps[i].tm_file != TRACE_NONE && (tr->tr_maps[i].tm_flags & TM_SHARED) != 0)
			files[tr->tr_maps[i].tm_file].rf_own = true;
	for (uint32_t i = 0; i < tr->tr_nfiles && error == 0; i++)
		if (!files[i].rf_own)
			error = file_create(&files[i], &tr->tr_files[i]);
	return error;
}

int
replay_files_copy(struct replay_file **filesp, const struct replay_file *shared,
    const struct trace *tr)
{
	struct replay_file *files = xcalloc(tr->tr_nfiles + 1, sizeof(*files));
	int error = 0;

	*filesp = files;
	for (uint32_t i = 0; i < tr->tr_nfiles && error == 0; i++) {
		files[i] = shared[i];
		if (shared[i].rf_own)
			error = file_create(&files[i], &tr->tr_files[i]);
		else
			vref(files[i].rf_vnode);
	}
	return error;
}

void
replay_files_destroy(struct replay_file *files, const struct trace *tr)
{
	for (uint32_t i = 0; files != NULL && i < tr->tr_nfiles; i++)
		if (files[i].rf_vnode != NULL)
			vrele(files[i].rf_vnode);
	free(files);
}
