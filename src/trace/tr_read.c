/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Reading traces that nobody vouches for.
 *
 * Four stages, each of which trusts only what the stages before it have checked:
 * the header (fixed places, checksum, every count against its limit), the payload
 * (checksum, one zstd frame that says how long it will be and keeps its word), the
 * tables, and the operations, each of which is decoded with bounds and then run
 * through the model.  Memory is bounded by the TRACE_*_MAX limits before anything
 * is allocated; a count in the header never makes an array that the payload could
 * not fill.
 *
 * Operations are decoded in the order of recording and then dealt to the threads'
 * streams, which keeps that order.
 */
#include <errno.h>
#include <string.h>
#include <zstd.h>

#include <harness/xalloc.h>

#include "tr_codec.h"
#include "tr_model.h"

/* One load in progress.  Its caller owns all fields. */
struct load {
	const char *ld_name;		/* of the file, for messages */
	struct trace_error *ld_error;
	struct tr_header ld_hd;
	struct trace *ld_tr;
	struct tr_model ld_md;
	uint8_t *ld_raw;		/* payload, decompressed */
	const uint8_t *ld_at, *ld_end;	/* what is left of it */
	uint32_t *ld_barriers;		/* per process, as the table has it */
	struct trace_op *ld_ops;	/* in order of recording */
	uint32_t *ld_who;		/* their threads */
	bool ld_failed;
};

/* The first complaint wins; always false, so that callers can return it. */
static bool __attribute__((format(printf, 2, 3)))
complain(struct load *ld, const char *fmt, ...)
{
	va_list ap;
	int n;

	if (ld->ld_failed)
		return false;
	ld->ld_failed = true;
	n = snprintf(ld->ld_error->msg, sizeof(ld->ld_error->msg), "%.80s: ", ld->ld_name);
	va_start(ap, fmt);
	vsnprintf(ld->ld_error->msg + n, sizeof(ld->ld_error->msg) - (size_t)n, fmt, ap);
	va_end(ap);
	return false;
}

static size_t
where(const struct load *ld)
{
	return (size_t)(ld->ld_at - ld->ld_raw);
}

static bool
cut_short(struct load *ld)
{
	return complain(ld, "payload byte %zu: ends in the middle of a record; record it again",
	    where(ld));
}

static uint8_t
get_byte(struct load *ld)
{
	if (ld->ld_at == ld->ld_end) {
		cut_short(ld);
		return 0;
	}
	return *ld->ld_at++;
}

static uint64_t
get_varint(struct load *ld)
{
	uint64_t v = 0;
	unsigned shift;

	for (shift = 0; shift < 64; shift += 7) {
		uint8_t b = get_byte(ld);

		if (shift == 63 && b > 1)
			break;
		v |= (uint64_t)(b & 0x7f) << shift;
		if ((b & 0x80) == 0)
			return v;
	}
	complain(ld, "payload byte %zu: number longer than 64 bits; record it again", where(ld));
	return 0;
}

/* A number that must be below limit; limit < 2^32. */
static uint32_t
get_below(struct load *ld, uint32_t limit, const char *what)
{
	size_t at = where(ld);
	uint64_t v = get_varint(ld);

	if (v < limit)
		return (uint32_t)v;
	complain(ld, "payload byte %zu: %s %llu is out of range, must be below %u; record it again",
	    at, what, (unsigned long long)v, limit);
	return 0;
}

/* A page number, as an address; the ends are judged by tr_range_refuse. */
static uint64_t
get_page(struct load *ld)
{
	size_t at = where(ld);
	uint64_t v = get_varint(ld);

	if (v < TRACE_VA_MAX / TRACE_PAGE)
		return v * TRACE_PAGE;
	complain(ld, "payload byte %zu: page %#llx is out of range, the last user page is %#llx",
	    at, (unsigned long long)v, TRACE_VA_MAX / TRACE_PAGE - 1);
	return 0;
}

static void
get_string(struct load *ld, char out[TRACE_NAME_MAX + 1], const char *what)
{
	uint32_t i, n = get_below(ld, TRACE_NAME_MAX + 1, what);

	if (n == 0)
		complain(ld, "payload byte %zu: empty %s; record it again", where(ld), what);
	for (i = 0; i < n && !ld->ld_failed; i++) {
		out[i] = (char)get_byte(ld);
		if (out[i] <= ' ' || out[i] >= 0x7f || out[i] == '/')
			complain(ld, "payload byte %zu: %s is not a plain file name", where(ld), what);
	}
	out[i] = '\0';
}

static bool
check_counts(struct load *ld)
{
	const struct tr_header *hd = &ld->ld_hd;
	const struct {
		const char *what;
		uint64_t n, min, max;
	} row[] = {
		{ "processes", hd->hd_nprocs, 1, TRACE_PROCS_MAX },
		{ "threads", hd->hd_nthreads, hd->hd_nprocs, TRACE_THREADS_MAX },
		{ "files", hd->hd_nfiles, 0, TRACE_FILES_MAX },
		{ "operations", hd->hd_nops, 1, TRACE_OPS_MAX },
		{ "mapping operations", hd->hd_nmaps, 0, TRACE_MAPS_MAX },
		{ "decompressed bytes", hd->hd_raw_len, 1, TRACE_RAW_MAX },
	};
	size_t i;

	for (i = 0; i < sizeof(row) / sizeof(row[0]); i++)
		if (row[i].n < row[i].min || row[i].n > row[i].max)
			return complain(ld, "header: %llu %s, must be %llu to %llu; record a shorter run",
			    (unsigned long long)row[i].n, row[i].what, (unsigned long long)row[i].min,
			    (unsigned long long)row[i].max);
	/* Each record is a byte at least, so no count can ask for more than the payload fills. */
	if ((uint64_t)hd->hd_nops + hd->hd_nprocs + hd->hd_nthreads + hd->hd_nfiles > hd->hd_raw_len ||
	    hd->hd_nmaps > hd->hd_nops)
		return complain(ld, "header: counts do not fit into %llu bytes of payload; record it again",
		    (unsigned long long)hd->hd_raw_len);
	return true;
}

static bool
read_header(struct load *ld, const uint8_t *buf, size_t len)
{
	struct tr_header *hd = &ld->ld_hd;

	if (len < 4 || memcmp(buf, "UVMT", 4) != 0)
		return complain(ld, "byte 0: not a trace, no UVMT at its start; "
		    "make one with `uvmstress trace record`");
	if (len < TR_HEADER)
		return complain(ld, "byte %zu: ends inside the header; copy or record it again", len);
	if (tr_get_le(buf + 4, 2) != TR_VERSION)
		return complain(ld, "byte 4: version %u, this program reads version %u; record it again",
		    (unsigned)tr_get_le(buf + 4, 2), TR_VERSION);
	if (tr_get_le(buf + 60, 4) != tr_crc32(buf, 60))
		return complain(ld, "byte 60: header checksum is wrong; copy or record it again");
	if (tr_get_le(buf + 6, 2) != TR_HEADER)
		return complain(ld, "byte 6: header length %u, must be %u; record it again",
		    (unsigned)tr_get_le(buf + 6, 2), TR_HEADER);
	if (tr_get_le(buf + 8, 4) != TRACE_PAGE)
		return complain(ld, "byte 8: page size %u, only %u can be replayed; record it elsewhere",
		    (unsigned)tr_get_le(buf + 8, 4), TRACE_PAGE);
	hd->hd_nprocs = (uint32_t)tr_get_le(buf + 12, 4);
	hd->hd_nthreads = (uint32_t)tr_get_le(buf + 16, 4);
	hd->hd_nfiles = (uint32_t)tr_get_le(buf + 20, 4);
	hd->hd_nmaps = (uint32_t)tr_get_le(buf + 24, 4);
	hd->hd_nops = (uint32_t)tr_get_le(buf + 28, 4);
	hd->hd_raw_len = tr_get_le(buf + 32, 8);
	hd->hd_packed_len = tr_get_le(buf + 40, 8);
	hd->hd_dropped = tr_get_le(buf + 48, 8);
	return check_counts(ld);
}

static bool
read_payload(struct load *ld, const uint8_t *buf, size_t len)
{
	const struct tr_header *hd = &ld->ld_hd;
	const uint8_t *packed = buf + TR_HEADER;
	size_t room = len - TR_HEADER, got;

	if (hd->hd_packed_len > room)
		return complain(ld, "byte %zu: truncated, %llu bytes of payload are missing; "
		    "copy or record it again", len, (unsigned long long)(hd->hd_packed_len - room));
	if (hd->hd_packed_len < room)
		return complain(ld, "byte %llu: %llu bytes of junk after the payload; copy it again",
		    (unsigned long long)(TR_HEADER + hd->hd_packed_len),
		    (unsigned long long)(room - hd->hd_packed_len));
	if (tr_get_le(buf + 56, 4) != tr_crc32(packed, room))
		return complain(ld, "byte 56: payload checksum is wrong; copy or record it again");
	if (ZSTD_findFrameCompressedSize(packed, room) != room)
		return complain(ld, "byte %u: payload is not one zstd frame; record it again", TR_HEADER);
	if (ZSTD_getFrameContentSize(packed, room) != hd->hd_raw_len)
		return complain(ld, "byte 32: payload does not unpack to %llu bytes; record it again",
		    (unsigned long long)hd->hd_raw_len);
	ld->ld_raw = xcalloc(1, hd->hd_raw_len);
	got = ZSTD_decompress(ld->ld_raw, hd->hd_raw_len, packed, room);
	if (ZSTD_isError(got) || got != hd->hd_raw_len)
		return complain(ld, "byte %u: payload cannot be unpacked (%s); record it again",
		    TR_HEADER, ZSTD_isError(got) ? ZSTD_getErrorName(got) : "wrong length");
	ld->ld_at = ld->ld_raw;
	ld->ld_end = ld->ld_raw + got;
	return true;
}

static void
read_procs(struct load *ld)
{
	uint32_t i, n = ld->ld_hd.hd_nprocs;

	ld->ld_tr->tr_procs = xcalloc(n, sizeof(*ld->ld_tr->tr_procs));
	ld->ld_barriers = xcalloc(n, sizeof(*ld->ld_barriers));
	for (i = 0; i < n && !ld->ld_failed; i++) {
		size_t at = where(ld);
		uint32_t parent = get_below(ld, n + 1, "parent process");

		if ((parent == 0) != (i == 0) || parent > i)
			complain(ld, "payload byte %zu: parent of process %u does not come before it",
			    at, i);
		tr_model_proc(&ld->ld_md, parent == 0 ? TRACE_NONE : parent - 1);
		ld->ld_tr->tr_procs[i].tp_nthreads = get_below(ld, TRACE_THREADS_MAX + 1, "thread count");
		ld->ld_barriers[i] = get_below(ld, TRACE_OPS_MAX + 1, "epoch count");
	}
}

static void
read_threads(struct load *ld)
{
	uint32_t i;

	for (i = 0; i < ld->ld_hd.hd_nthreads && !ld->ld_failed; i++) {
		size_t at = where(ld);
		uint32_t proc = get_below(ld, ld->ld_hd.hd_nprocs, "process of a thread");

		if (i == 0 && proc != 0)
			complain(ld, "payload byte %zu: thread 0 is not of process 0; record it again", at);
		tr_model_thread(&ld->ld_md, proc);
	}
	for (i = 0; i < ld->ld_hd.hd_nprocs && !ld->ld_failed; i++)
		if (ld->ld_md.md_proc[i].pr_nthreads != ld->ld_tr->tr_procs[i].tp_nthreads ||
		    ld->ld_md.md_proc[i].pr_nthreads == 0)
			complain(ld, "payload byte %zu: process %u has %u threads in the thread table "
			    "and %u in its own row; record it again", where(ld), i,
			    ld->ld_md.md_proc[i].pr_nthreads, ld->ld_tr->tr_procs[i].tp_nthreads);
}

static void
read_files(struct load *ld)
{
	struct trace *tr = ld->ld_tr;
	uint32_t i;

	tr->tr_files = xcalloc(ld->ld_hd.hd_nfiles + 1u, sizeof(*tr->tr_files));
	for (i = 0; i < ld->ld_hd.hd_nfiles && !ld->ld_failed; i++) {
		size_t at;
		uint64_t size;

		get_string(ld, tr->tr_files[i].tf_name, "file name");
		at = where(ld);
		size = get_varint(ld);
		if (size > TRACE_SIZE_MAX - tr->tr_file_bytes)
			complain(ld, "payload byte %zu: files of more than %llu bytes together; "
			    "record a smaller run", at, TRACE_SIZE_MAX);
		else
			tr->tr_file_bytes += size;
		tr->tr_files[i].tf_size = size;
	}
	ld->ld_md.md_file = tr->tr_files;
	ld->ld_md.md_nfile = ld->ld_hd.hd_nfiles;
}

static uint8_t
get_bits(struct load *ld, uint8_t allowed, const char *what)
{
	size_t at = where(ld);
	uint8_t b = get_byte(ld);

	if ((b & ~allowed) != 0)
		complain(ld, "payload byte %zu: unknown %s %#x; record it again", at, what, b);
	return b & allowed;
}

static void
read_map(struct load *ld, uint32_t kind, struct trace_map *tm)
{
	tm->tm_file = TRACE_NONE;
	tm->tm_va = get_page(ld);
	tm->tm_len = get_page(ld);
	switch (kind) {
	case TRACE_MMAP:
		tm->tm_prot = get_bits(ld, TM_READ | TM_WRITE | TM_EXEC, "protection");
		tm->tm_flags = get_bits(ld, TM_SHARED | TM_FIXED | TM_INITIAL | TM_STACK, "mmap flags");
		tm->tm_file = get_below(ld, ld->ld_hd.hd_nfiles + 1, "file id") - 1;
		if (tm->tm_file != TRACE_NONE)
			tm->tm_offset = get_page(ld);
		break;
	case TRACE_MPROTECT:
		tm->tm_prot = get_bits(ld, TM_READ | TM_WRITE | TM_EXEC, "protection");
		break;
	case TRACE_MREMAP:
		tm->tm_new_va = get_page(ld);
		tm->tm_new_len = get_page(ld);
		break;
	case TRACE_MADVISE:
		tm->tm_advice = (uint8_t)get_below(ld, TRACE_ADV_NADVICE, "advice");
		break;
	case TRACE_MSYNC:
		tm->tm_flags = get_bits(ld, TM_ASYNC | TM_INVALIDATE, "msync flags");
		break;
	case TRACE_BRK:
		tm->tm_flags = get_bits(ld, TM_SHRINK, "brk flags");
		break;
	default:
		break;
	}
}

static uint64_t
read_ref(struct load *ld, uint32_t thread, uint32_t kind)
{
	uint64_t *last = &ld->ld_md.md_thread[thread].th_page[kind];
	size_t at = where(ld);
	uint64_t z = get_varint(ld);
	uint64_t page = *last + ((z >> 1) ^ (0 - (z & 1)));

	if (page == 0 || page >= TRACE_VA_MAX / TRACE_PAGE) {
		complain(ld, "payload byte %zu: reference to page %#llx is out of range, "
		    "the last user page is %#llx", at, (unsigned long long)page,
		    TRACE_VA_MAX / TRACE_PAGE - 1);
		return 0;
	}
	*last = page;
	return page * TRACE_PAGE;
}

/* The operand of each kind; the map, if there is one, is the next of tr_maps. */
static void
read_operand(struct load *ld, uint32_t thread, struct trace_op *op)
{
	struct trace *tr = ld->ld_tr;

	if (trace_is_reference(op->to_kind)) {
		op->to_va = read_ref(ld, thread, op->to_kind);
	} else if (trace_has_map(op->to_kind)) {
		if (tr->tr_nmaps == ld->ld_hd.hd_nmaps) {
			complain(ld, "payload byte %zu: more mapping operations than the header's %u; "
			    "record it again", where(ld), ld->ld_hd.hd_nmaps);
			return;
		}
		read_map(ld, op->to_kind, &tr->tr_maps[tr->tr_nmaps]);
		op->to_va = tr->tr_maps[tr->tr_nmaps].tm_va;
		op->to_arg = tr->tr_nmaps++;
	} else if (op->to_kind == TRACE_FORK || op->to_kind == TRACE_WAIT) {
		op->to_arg = get_below(ld, ld->ld_hd.hd_nprocs, "process");
	} else if (op->to_kind == TRACE_THREAD_CREATE) {
		op->to_arg = get_below(ld, ld->ld_hd.hd_nthreads, "thread");
	}
}

static void
read_op(struct load *ld, uint32_t seq, uint32_t *threadp)
{
	struct trace_op *op = &ld->ld_ops[seq];
	size_t at = where(ld);
	uint8_t tag = get_byte(ld);
	const char *why;

	op->to_kind = tag & TR_TAG_KIND;
	op->to_seq = seq;
	if (op->to_kind >= TRACE_NKINDS || (tag & ~(TR_TAG_KIND | TR_TAG_THREAD)) != 0) {
		complain(ld, "payload byte %zu: unknown record tag %#x; record it again with this version",
		    at, tag);
		return;
	}
	if (tag & TR_TAG_THREAD)
		*threadp = get_below(ld, ld->ld_hd.hd_nthreads, "thread");
	if (!ld->ld_failed)
		read_operand(ld, *threadp, op);
	if (ld->ld_failed)
		return;
	ld->ld_who[seq] = *threadp;
	why = tr_model_apply(&ld->ld_md, *threadp, op->to_kind, op->to_va, op->to_arg,
	    trace_has_map(op->to_kind) ? &ld->ld_tr->tr_maps[op->to_arg] : NULL, &op->to_epoch);
	if (why != NULL)
		complain(ld, "payload byte %zu: operation %u (%s, thread %u, %#llx): %s", at, seq,
		    trace_kind_name(op->to_kind), *threadp, (unsigned long long)op->to_va, why);
}

static bool
read_ops(struct load *ld)
{
	uint32_t seq, thread = 0, i;

	ld->ld_tr->tr_maps = xcalloc(ld->ld_hd.hd_nmaps + 1u, sizeof(*ld->ld_tr->tr_maps));
	ld->ld_ops = xcalloc(ld->ld_hd.hd_nops, sizeof(*ld->ld_ops));
	ld->ld_who = xcalloc(ld->ld_hd.hd_nops, sizeof(*ld->ld_who));
	tr_model_start(&ld->ld_md);
	for (seq = 0; seq < ld->ld_hd.hd_nops && !ld->ld_failed; seq++)
		read_op(ld, seq, &thread);
	if (ld->ld_failed)
		return false;
	if (ld->ld_at != ld->ld_end)
		return complain(ld, "payload byte %zu: %zu bytes of junk after the last operation; "
		    "record it again", where(ld), (size_t)(ld->ld_end - ld->ld_at));
	if (ld->ld_tr->tr_nmaps != ld->ld_hd.hd_nmaps)
		return complain(ld, "header: %u mapping operations, but there are %u; record it again",
		    ld->ld_hd.hd_nmaps, ld->ld_tr->tr_nmaps);
	for (i = 0; i < ld->ld_hd.hd_nprocs; i++) {
		const struct tr_proc *pr = &ld->ld_md.md_proc[i];

		if (!pr->pr_exited)
			return complain(ld, "payload: process %u %s; record it again", i,
			    pr->pr_started ? "never exits" : "is never forked");
		if (pr->pr_nepochs != ld->ld_barriers[i])
			return complain(ld, "payload: process %u has %u epochs and its row says %u; "
			    "record it again", i, pr->pr_nepochs, ld->ld_barriers[i]);
	}
	for (i = 0; i < ld->ld_hd.hd_nthreads; i++)
		if (!ld->ld_md.md_thread[i].th_started)
			return complain(ld, "payload: thread %u is never made; record it again", i);
	return true;
}

/* Deal the operations to their threads and hand the tables over. */
static void
deal(struct load *ld)
{
	struct trace *tr = ld->ld_tr;
	struct trace_op **next = xcalloc(ld->ld_hd.hd_nthreads, sizeof(*next));
	struct trace_op *at;
	uint32_t i;

	tr->tr_nprocs = ld->ld_hd.hd_nprocs;
	tr->tr_nthreads = ld->ld_hd.hd_nthreads;
	tr->tr_nfiles = ld->ld_hd.hd_nfiles;
	tr->tr_nops = ld->ld_hd.hd_nops;
	tr->tr_dropped = ld->ld_hd.hd_dropped;
	tr->tr_peak_pages = ld->ld_md.md_touched_peak;
	tr->tr_threads = xcalloc(tr->tr_nthreads, sizeof(*tr->tr_threads));
	tr->tr_ops = at = xcalloc(tr->tr_nops, sizeof(*tr->tr_ops));
	for (i = 0; i < tr->tr_nthreads; i++) {
		const struct tr_thread *th = &ld->ld_md.md_thread[i];

		tr->tr_threads[i] = (struct trace_thread){ th->th_proc, th->th_creator, at, th->th_nops };
		next[i] = at;
		at += th->th_nops;
	}
	for (i = 0; i < tr->tr_nops; i++)
		*next[ld->ld_who[i]]++ = ld->ld_ops[i];
	free(next);
	for (i = 0; i < tr->tr_nprocs; i++) {
		struct tr_proc *pr = &ld->ld_md.md_proc[i];

		tr->tr_procs[i] = (struct trace_proc){ pr->pr_parent, pr->pr_main, pr->pr_nthreads,
			pr->pr_nepochs, pr->pr_epoch_ops };
		pr->pr_epoch_ops = NULL;
	}
}

static void
load_all(struct load *ld, const uint8_t *buf, size_t len)
{
	if (!read_header(ld, buf, len) || !read_payload(ld, buf, len))
		return;
	get_string(ld, ld->ld_tr->tr_command, "command name");
	if (!ld->ld_failed)
		read_procs(ld);
	if (!ld->ld_failed)
		read_threads(ld);
	if (!ld->ld_failed)
		read_files(ld);
	if (!ld->ld_failed && read_ops(ld))
		deal(ld);
}

struct trace *
trace_open_buffer(const void *buf, size_t len, const char *name, struct trace_error *te)
{
	struct load ld = { .ld_name = name, .ld_error = te };

	ld.ld_tr = xcalloc(1, sizeof(*ld.ld_tr));
	load_all(&ld, buf, len);
	tr_model_fini(&ld.ld_md);
	free(ld.ld_raw);
	free(ld.ld_barriers);
	free(ld.ld_ops);
	free(ld.ld_who);
	if (!ld.ld_failed)
		return ld.ld_tr;
	trace_close(ld.ld_tr);
	return NULL;
}

/* The whole file, but never more than TRACE_FILE_MAX + 1 bytes: it may be a device. */
static uint8_t *
slurp(const char *path, size_t *lenp, struct trace_error *te)
{
	FILE *f = fopen(path, "rb");
	uint8_t *buf = NULL;
	size_t cap = 0, len = 0, got;

	if (f == NULL) {
		snprintf(te->msg, sizeof(te->msg), "%.120s: cannot open the trace: %s", path,
		    strerror(errno));
		return NULL;
	}
	do {
		if (cap - len < 65536)
			buf = xcheck(realloc(buf, cap = cap * 2 + 131072));
		got = fread(buf + len, 1, 65536, f);
		len += got;
	} while (got != 0 && len <= TRACE_FILE_MAX);
	if (ferror(f) || len > TRACE_FILE_MAX) {
		snprintf(te->msg, sizeof(te->msg), "%.120s: %s", path,
		    ferror(f) ? "cannot read the trace, is it a regular file?" :
			"longer than a trace may be (64 MiB); record a shorter run");
		free(buf);
		buf = NULL;
	}
	fclose(f);
	*lenp = len;
	return buf;
}

struct trace *
trace_open(const char *path, struct trace_error *te)
{
	struct trace *tr;
	size_t len;
	uint8_t *buf = slurp(path, &len, te);

	if (buf == NULL)
		return NULL;
	tr = trace_open_buffer(buf, len, path, te);
	free(buf);
	return tr;
}

void
trace_close(struct trace *tr)
{
	uint32_t i;

	if (tr == NULL)
		return;
	for (i = 0; tr->tr_procs != NULL && i < tr->tr_nprocs; i++)
		free((uint32_t *)(uintptr_t)tr->tr_procs[i].tp_epoch_ops);
	free(tr->tr_procs);
	free(tr->tr_threads);
	free(tr->tr_files);
	free(tr->tr_maps);
	free(tr->tr_ops);
	free(tr);
}
