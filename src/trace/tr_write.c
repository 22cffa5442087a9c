/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Writing traces.
 *
 * A recording is not always sound: a program may be killed at any point, a log may
 * miss an operation.  The writer runs all it is given through the model and repairs
 * what does not fit: references without a mapping are dropped and counted, range
 * operations are cut to what is mapped, ends that were not seen are supplied.
 *
 * Records are encoded as they come; the tables, which are known only at the end, go
 * in front of them when the trace is sealed.  The first limit that is met is
 * remembered, and everything after it is ignored, so that callers need to look once.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <harness/xalloc.h>

#include "tr_codec.h"
#include "tr_model.h"

/* The writer's caller owns all fields. */
struct trace_writer {
	struct tr_model w_md;
	struct tr_bytes w_rec;		/* operations, encoded */
	char w_command[TRACE_NAME_MAX + 1];
	struct trace_file *w_files;
	char **w_paths;			/* to know a file again */
	uint64_t *w_extent;		/* per file: end of the furthest mapping of it */
	uint32_t w_nfiles;
	uint32_t w_nops, w_nmaps;
	uint32_t w_last;		/* thread of the last record */
	uint64_t w_dropped;
	const char *w_limit;		/* the first limit met */
	bool w_done;
};

struct trace_writer *
trace_writer_create(const char *command)
{
	struct trace_writer *w = xcalloc(1, sizeof(*w));

	tr_clean_name(w->w_command, command);
	tr_model_proc(&w->w_md, TRACE_NONE);
	tr_model_thread(&w->w_md, 0);
	tr_model_start(&w->w_md);
	return w;
}

void
trace_writer_destroy(struct trace_writer *w)
{
	uint32_t i;

	if (w == NULL)
		return;
	for (i = 0; i < w->w_nfiles; i++)
		free(w->w_paths[i]);
	free(w->w_paths);
	free(w->w_extent);
	free(w->w_files);
	free(w->w_rec.by_buf);
	tr_model_fini(&w->w_md);
	free(w);
}

static void
writer_limit(struct trace_writer *w, const char *what)
{
	if (w->w_limit == NULL)
		w->w_limit = what;
}

uint32_t
trace_writer_file(struct trace_writer *w, const char *path, uint64_t size)
{
	uint32_t i;

	for (i = 0; i < w->w_nfiles; i++)
		if (strcmp(w->w_paths[i], path) == 0)
			return i;
	if (w->w_nfiles == TRACE_FILES_MAX) {
		writer_limit(w, "too many different files");
		return TRACE_NONE;
	}
	w->w_files = xgrow(w->w_files, i, sizeof(*w->w_files));
	w->w_paths = xgrow(w->w_paths, i, sizeof(*w->w_paths));
	w->w_extent = xgrow(w->w_extent, i, sizeof(*w->w_extent));
	tr_clean_name(w->w_files[i].tf_name, path);
	w->w_files[i].tf_size = size;
	w->w_paths[i] = xstrdup(path);
	w->w_nfiles++;
	w->w_md.md_file = w->w_files;
	w->w_md.md_nfile = w->w_nfiles;
	return i;
}

void
trace_writer_file_size(struct trace_writer *w, uint32_t file, uint64_t size)
{
	if (file < w->w_nfiles && size > w->w_files[file].tf_size)
		w->w_files[file].tf_size = size;
}

/* Can this thread act at all? */
static bool
writer_can(const struct trace_writer *w, uint32_t thread)
{
	const struct tr_model *md = &w->w_md;

	return w->w_limit == NULL && thread < md->md_nthread && !md->md_thread[thread].th_ended;
}

static struct tr_proc *
writer_proc(struct trace_writer *w, uint32_t thread)
{
	return &w->w_md.md_proc[w->w_md.md_thread[thread].th_proc];
}

static void
encode_map(struct tr_bytes *by, uint32_t kind, const struct trace_map *tm)
{
	tr_put_varint(by, tm->tm_va / TRACE_PAGE);
	tr_put_varint(by, tm->tm_len / TRACE_PAGE);
	switch (kind) {
	case TRACE_MMAP:
		tr_put_byte(by, tm->tm_prot);
		tr_put_byte(by, tm->tm_flags);
		tr_put_varint(by, tm->tm_file == TRACE_NONE ? 0 : tm->tm_file + 1ull);
		if (tm->tm_file != TRACE_NONE)
			tr_put_varint(by, tm->tm_offset / TRACE_PAGE);
		break;
	case TRACE_MPROTECT:
		tr_put_byte(by, tm->tm_prot);
		break;
	case TRACE_MREMAP:
		tr_put_varint(by, tm->tm_new_va / TRACE_PAGE);
		tr_put_varint(by, tm->tm_new_len / TRACE_PAGE);
		break;
	case TRACE_MADVISE:
		tr_put_byte(by, tm->tm_advice);
		break;
	case TRACE_MSYNC:
	case TRACE_BRK:
		tr_put_byte(by, tm->tm_flags);
		break;
	default:
		break;
	}
}

static void
encode_ref(struct trace_writer *w, uint32_t thread, uint32_t kind, uint64_t va)
{
	uint64_t *last = &w->w_md.md_thread[thread].th_page[kind];

	tr_put_zigzag(&w->w_rec, (int64_t)(va / TRACE_PAGE - *last));
	*last = va / TRACE_PAGE;
}

/* Model first, then the record.  False: the model refuses. */
static bool
emit(struct trace_writer *w, uint32_t thread, uint32_t kind, uint64_t va, uint32_t arg,
    const struct trace_map *tm)
{
	uint32_t epoch;

	if (!writer_can(w, thread))
		return false;
	if (w->w_nops == TRACE_OPS_MAX || w->w_rec.by_len > TRACE_RAW_MAX / 2) {
		writer_limit(w, "too many operations");
		return false;
	}
	if (tm != NULL && w->w_nmaps == TRACE_MAPS_MAX) {
		writer_limit(w, "too many mapping operations");
		return false;
	}
	if (tr_model_apply(&w->w_md, thread, kind, va, arg, tm, &epoch) != NULL)
		return false;
	tr_put_byte(&w->w_rec, (uint8_t)(kind | (thread != w->w_last ? TR_TAG_THREAD : 0)));
	if (thread != w->w_last)
		tr_put_varint(&w->w_rec, thread);
	w->w_last = thread;
	w->w_nops++;
	if (trace_is_reference(kind))
		encode_ref(w, thread, kind, va);
	else if (tm != NULL)
		encode_map(&w->w_rec, kind, tm);
	else if (kind == TRACE_FORK || kind == TRACE_WAIT || kind == TRACE_THREAD_CREATE)
		tr_put_varint(&w->w_rec, arg);
	w->w_nmaps += tm != NULL;
	return true;
}

bool
trace_writer_ref(struct trace_writer *w, uint32_t thread, enum trace_kind kind, uint64_t va)
{
	if (emit(w, thread, kind, va & ~(uint64_t)(TRACE_PAGE - 1), 0, NULL))
		return true;
	w->w_dropped++;
	return false;
}

/* mprotect, madvise, msync: one operation for each stretch that is mapped. */
static bool
emit_covered(struct trace_writer *w, uint32_t thread, uint32_t kind, const struct trace_map *tm)
{
	uint64_t end = tm->tm_va + tm->tm_len, va = tm->tm_va;
	const struct tr_space *sp = &writer_proc(w, thread)->pr_space;
	bool any = false;

	while (va < end && w->w_limit == NULL) {
		struct trace_map part = *tm;
		size_t i = tr_space_at(sp, va);
		uint64_t stop;

		if (i == sp->sp_n || sp->sp_seg[i].sg_start >= end)
			break;
		if (sp->sp_seg[i].sg_start > va)
			va = sp->sp_seg[i].sg_start;
		for (stop = sp->sp_seg[i].sg_end; stop < end; stop = sp->sp_seg[i].sg_end)
			if (++i == sp->sp_n || sp->sp_seg[i].sg_start != stop)
				break;
		part.tm_va = va;
		part.tm_len = (stop < end ? stop : end) - va;
		any |= emit(w, thread, kind, va, 0, &part);
		va = part.tm_va + part.tm_len;
	}
	return any;
}

bool
trace_writer_map(struct trace_writer *w, uint32_t thread, enum trace_kind kind,
    const struct trace_map *tm)
{
	struct trace_map fixed = *tm;

	if (!writer_can(w, thread) || tr_range_refuse(tm->tm_va, tm->tm_len) != NULL)
		return false;
	/* What may be written or executed may be read on the machines that we record. */
	if (fixed.tm_prot != 0)
		fixed.tm_prot |= TM_READ;
	if (kind == TRACE_MPROTECT || kind == TRACE_MADVISE || kind == TRACE_MSYNC)
		return emit_covered(w, thread, kind, &fixed);
	if (!emit(w, thread, kind, tm->tm_va, 0, &fixed)) {
		if (tr_model_full(&w->w_md))
			writer_limit(w, "too many mappings at one time");
		return false;
	}
	if (kind == TRACE_MMAP && tm->tm_file != TRACE_NONE &&
	    w->w_extent[tm->tm_file] < tm->tm_offset + tm->tm_len)
		w->w_extent[tm->tm_file] = tm->tm_offset + tm->tm_len;
	if (kind == TRACE_MREMAP) {
		const struct tr_seg *sg = tr_space_find(&writer_proc(w, thread)->pr_space, tm->tm_new_va);
		uint64_t reach = sg->sg_offset + (sg->sg_end - sg->sg_start);

		if (sg->sg_file != TRACE_NONE && w->w_extent[sg->sg_file] < reach)
			w->w_extent[sg->sg_file] = reach;
	}
	return true;
}

uint32_t
trace_writer_fork(struct trace_writer *w, uint32_t thread)
{
	uint32_t proc, child;

	if (!writer_can(w, thread))
		return TRACE_NONE;
	if (w->w_md.md_nproc == TRACE_PROCS_MAX || w->w_md.md_nthread == TRACE_THREADS_MAX) {
		writer_limit(w, "too many processes or threads");
		return TRACE_NONE;
	}
	proc = tr_model_proc(&w->w_md, w->w_md.md_thread[thread].th_proc);
	child = tr_model_thread(&w->w_md, proc);
	if (!emit(w, thread, TRACE_FORK, 0, proc, NULL)) {
		writer_limit(w, "too many mappings at one time");
		return TRACE_NONE;
	}
	return child;
}

uint32_t
trace_writer_thread(struct trace_writer *w, uint32_t thread)
{
	uint32_t made;

	if (!writer_can(w, thread))
		return TRACE_NONE;
	if (w->w_md.md_nthread == TRACE_THREADS_MAX) {
		writer_limit(w, "too many threads");
		return TRACE_NONE;
	}
	made = tr_model_thread(&w->w_md, w->w_md.md_thread[thread].th_proc);
	emit(w, thread, TRACE_THREAD_CREATE, 0, made, NULL);
	return made;
}

void
trace_writer_thread_exit(struct trace_writer *w, uint32_t thread)
{
	emit(w, thread, TRACE_THREAD_EXIT, 0, 0, NULL);
}

/* The other threads of this thread's process end here. */
static void
end_others(struct trace_writer *w, uint32_t thread)
{
	struct tr_model *md = &w->w_md;
	uint32_t i, proc = md->md_thread[thread].th_proc;

	for (i = 0; i < md->md_nthread && md->md_proc[proc].pr_live > 1; i++)
		if (i != thread && md->md_thread[i].th_proc == proc)
			trace_writer_thread_exit(w, i);
}

void
trace_writer_exec(struct trace_writer *w, uint32_t thread)
{
	if (!writer_can(w, thread))
		return;
	end_others(w, thread);
	emit(w, thread, TRACE_EXEC, 0, 0, NULL);
}

void
trace_writer_exit(struct trace_writer *w, uint32_t thread)
{
	if (!writer_can(w, thread))
		return;
	end_others(w, thread);
	emit(w, thread, TRACE_EXIT, 0, 0, NULL);
}

void
trace_writer_wait(struct trace_writer *w, uint32_t thread, uint32_t proc)
{
	emit(w, thread, TRACE_WAIT, 0, proc, NULL);
}

void
trace_writer_dropped(struct trace_writer *w, uint64_t n)
{
	w->w_dropped += n;
}

/* End what still lives, children first so that nobody's end comes before its children's. */
static void
writer_end(struct trace_writer *w)
{
	uint32_t i;

	for (i = w->w_md.md_nthread; i-- > 0;)
		if (!w->w_md.md_thread[i].th_ended)
			trace_writer_exit(w, i);
}

/* A synthetic file need not be longer than what was mapped of it. */
static void
writer_trim(struct trace_writer *w)
{
	uint64_t total = 0;
	uint32_t i;

	for (i = 0; i < w->w_nfiles; i++) {
		if (w->w_files[i].tf_size > w->w_extent[i])
			w->w_files[i].tf_size = w->w_extent[i];
		total += w->w_files[i].tf_size;
		if (total > TRACE_SIZE_MAX)
			writer_limit(w, "mapped files are too big together");
	}
}

static void
put_tables(const struct trace_writer *w, struct tr_bytes *by)
{
	uint32_t i;

	tr_put_string(by, w->w_command);
	for (i = 0; i < w->w_md.md_nproc; i++) {
		const struct tr_proc *pr = &w->w_md.md_proc[i];

		tr_put_varint(by, pr->pr_parent == TRACE_NONE ? 0 : pr->pr_parent + 1ull);
		tr_put_varint(by, pr->pr_nthreads);
		tr_put_varint(by, pr->pr_nepochs);
	}
	for (i = 0; i < w->w_md.md_nthread; i++)
		tr_put_varint(by, w->w_md.md_thread[i].th_proc);
	for (i = 0; i < w->w_nfiles; i++) {
		tr_put_string(by, w->w_files[i].tf_name);
		tr_put_varint(by, w->w_files[i].tf_size);
	}
}

int
trace_writer_encode(struct trace_writer *w, void **bufp, size_t *lenp, struct trace_error *te)
{
	struct tr_header hd = { 0 };
	struct tr_bytes raw = { 0 }, out = { 0 };
	size_t i;
	int error;

	writer_end(w);
	writer_trim(w);
	if (w->w_limit != NULL) {
		snprintf(te->msg, sizeof(te->msg),
		    "this recording does not fit into a trace: %s; record a shorter run", w->w_limit);
		return E2BIG;
	}
	put_tables(w, &raw);
	for (i = 0; i < w->w_rec.by_len; i++)
		tr_put_byte(&raw, w->w_rec.by_buf[i]);
	hd.hd_nprocs = w->w_md.md_nproc;
	hd.hd_nthreads = w->w_md.md_nthread;
	hd.hd_nfiles = w->w_nfiles;
	hd.hd_nmaps = w->w_nmaps;
	hd.hd_nops = w->w_nops;
	hd.hd_dropped = w->w_dropped;
	error = tr_seal(&hd, raw.by_buf, raw.by_len, &out);
	free(raw.by_buf);
	if (error != 0) {
		snprintf(te->msg, sizeof(te->msg), "the trace could not be compressed");
		return error;
	}
	*bufp = out.by_buf;
	*lenp = out.by_len;
	return 0;
}

int
trace_writer_finish(struct trace_writer *w, const char *path, struct trace_error *te)
{
	void *buf;
	size_t len;
	FILE *f;
	int error = trace_writer_encode(w, &buf, &len, te);

	if (error != 0)
		return error;
	f = fopen(path, "wb");
	if (f == NULL)
		error = errno;
	else if (fwrite(buf, 1, len, f) != len)
		error = errno;
	if (f != NULL && fclose(f) != 0 && error == 0)
		error = errno;
	if (error != 0) {
		snprintf(te->msg, sizeof(te->msg), "%.120s: cannot write the trace: %s", path,
		    strerror(error));
		if (f != NULL)
			unlink(path);
	}
	free(buf);
	return error;
}
