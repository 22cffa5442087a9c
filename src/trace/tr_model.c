/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * What may come next in a trace.
 *
 * Each operation passes two gates: is the thread alive, and does the operation
 * make sense for what is mapped and who lives now.  The checks come first and
 * change nothing, the change comes last and cannot fail, so that a refusal leaves
 * the model as it was.
 *
 * The reasons are halves of sentences for people; the reader puts the place in
 * front of them.
 */
#include <string.h>

#include <harness/xalloc.h>

#include "tr_model.h"

/* A thread about to act, and on what. */
struct step {
	struct tr_model *st_md;
	struct tr_proc *st_pr;
	uint32_t st_proc;
	uint32_t st_thread;
	uint32_t st_arg;
	uint64_t st_va;
	const struct trace_map *st_tm;
};

const char *
tr_range_refuse(uint64_t va, uint64_t len)
{
	if (va % TRACE_PAGE != 0 || len % TRACE_PAGE != 0)
		return "address or length is not a multiple of the page size";
	if (len == 0)
		return "length is zero";
	if (va < TRACE_VA_MIN || va >= TRACE_VA_MAX || len > TRACE_VA_MAX - va)
		return "range leaves the user address space";
	return NULL;
}

const char *
tr_model_refuse(const struct tr_model *md, uint32_t proc, uint32_t kind, uint64_t va)
{
	static const uint8_t need[] = { TM_READ, TM_WRITE, TM_EXEC };
	const struct tr_seg *sg = tr_space_find(&md->md_proc[proc].pr_space, va);

	if (sg == NULL)
		return "refers to a page that is not mapped at this point";
	if ((sg->sg_prot & need[kind]) == 0)
		return "refers to a page that its mapping's protection forbids";
	if (sg->sg_file != TRACE_NONE &&
	    sg->sg_offset + (va - sg->sg_start) >= md->md_file[sg->sg_file].tf_size)
		return "refers to a page past the end of its file";
	return NULL;
}

/* Note a touched page, for the peak. */
static void
pages_touch(struct tr_model *md, struct tr_pages *pg, uint64_t page)
{
	size_t i;

	if (pg->pg_n * 2 >= pg->pg_size) {
		struct tr_pages old = *pg;

		pg->pg_size = old.pg_size == 0 ? 64 : old.pg_size * 2;
		pg->pg_slot = xcalloc(pg->pg_size, sizeof(*pg->pg_slot));
		pg->pg_n = 0;
		md->md_touched -= old.pg_n;
		for (i = 0; i < old.pg_size; i++)
			if (old.pg_slot[i] != 0)
				pages_touch(md, pg, old.pg_slot[i]);
		free(old.pg_slot);
	}
	i = (page * 0x9e3779b97f4a7c15ull >> 20) & (pg->pg_size - 1);
	while (pg->pg_slot[i] != 0) {
		if (pg->pg_slot[i] == page)
			return;
		i = (i + 1) & (pg->pg_size - 1);
	}
	pg->pg_slot[i] = page;
	pg->pg_n++;
	if (++md->md_touched > md->md_touched_peak)
		md->md_touched_peak = md->md_touched;
}

static void
pages_forget(struct tr_model *md, struct tr_pages *pg)
{
	md->md_touched -= pg->pg_n;
	free(pg->pg_slot);
	memset(pg, 0, sizeof(*pg));
}

static void
drop_space(struct step *st)
{
	st->st_md->md_live -= st->st_pr->pr_space.sp_n;
	tr_space_fini(&st->st_pr->pr_space);
	pages_forget(st->st_md, &st->st_pr->pr_pages);
}

static const char *
do_mmap(struct step *st)
{
	const struct trace_map *tm = st->st_tm;
	uint64_t end = tm->tm_va + tm->tm_len;
	struct tr_seg sg = { tm->tm_va, end, tm->tm_offset, tm->tm_file, tm->tm_prot,
		tm->tm_flags & TM_SHARED };

	if (tm->tm_file != TRACE_NONE && tm->tm_file >= st->st_md->md_nfile)
		return "mmap of a file id that is not in the file table";
	if (tm->tm_offset % TRACE_PAGE != 0 || tm->tm_offset > TRACE_VA_MAX)
		return "mmap at a file offset that is not a whole page or out of range";
	if ((tm->tm_flags & TM_FIXED) == 0 && !tr_space_free(&st->st_pr->pr_space, tm->tm_va, end))
		return "mmap without FIXED over an existing mapping";
	tr_space_unmap(&st->st_pr->pr_space, tm->tm_va, end);
	tr_space_map(&st->st_pr->pr_space, &sg);
	return NULL;
}

static const char *
do_brk(struct step *st)
{
	const struct trace_map *tm = st->st_tm;
	uint64_t end = tm->tm_va + tm->tm_len;
	struct tr_seg sg = { tm->tm_va, end, 0, TRACE_NONE, TM_READ | TM_WRITE, 0 };

	if (tm->tm_flags & TM_SHRINK) {
		tr_space_unmap(&st->st_pr->pr_space, tm->tm_va, end);
		return NULL;
	}
	if (!tr_space_free(&st->st_pr->pr_space, tm->tm_va, end))
		return "brk grows over an existing mapping";
	tr_space_map(&st->st_pr->pr_space, &sg);
	return NULL;
}

static const char *
do_mremap(struct step *st)
{
	const struct trace_map *tm = st->st_tm;
	struct tr_space *sp = &st->st_pr->pr_space;
	uint64_t end = tm->tm_va + tm->tm_len, new_end = tm->tm_new_va + tm->tm_new_len;
	const struct tr_seg *found = tr_space_find(sp, tm->tm_va);
	const char *why = tr_range_refuse(tm->tm_new_va, tm->tm_new_len);
	bool in_place = tm->tm_new_va == tm->tm_va;
	struct tr_seg sg;

	if (why != NULL)
		return why;
	if (found == NULL || found->sg_end < end)
		return "mremap of a range that is not one mapping";
	if (in_place ? new_end > end && !tr_space_free(sp, end, new_end) :
	    !tr_space_free(sp, tm->tm_new_va, new_end))
		return "mremap to a place that is not free";
	sg = *found;
	if (sg.sg_file != TRACE_NONE)
		sg.sg_offset += tm->tm_va - sg.sg_start;
	sg.sg_start = tm->tm_new_va;
	sg.sg_end = new_end;
	tr_space_unmap(sp, tm->tm_va, end);
	tr_space_map(sp, &sg);
	return NULL;
}

/* A range in the middle of one mapping makes three of it. */
bool
tr_model_full(const struct tr_model *md)
{
	return md->md_live + 2 > TRACE_LIVE_MAX;
}

/* The operations that carry a struct trace_map. */
static const char *
do_map(struct step *st, uint32_t kind)
{
	const struct trace_map *tm = st->st_tm;
	struct tr_space *sp = &st->st_pr->pr_space;
	const char *why = tr_range_refuse(tm->tm_va, tm->tm_len);
	size_t before = sp->sp_n;

	if (why != NULL)
		return why;
	if (tr_model_full(st->st_md))
		return "more mappings at one time than a trace may have";
	switch (kind) {
	case TRACE_MMAP:
		why = do_mmap(st);
		break;
	case TRACE_MUNMAP:
		tr_space_unmap(sp, tm->tm_va, tm->tm_va + tm->tm_len);
		break;
	case TRACE_BRK:
		why = do_brk(st);
		break;
	case TRACE_MREMAP:
		why = do_mremap(st);
		break;
	default:
		if (!tr_space_covered(sp, tm->tm_va, tm->tm_va + tm->tm_len))
			why = "mprotect, madvise or msync of a range that is not all mapped";
		else if (kind == TRACE_MPROTECT)
			tr_space_protect(sp, tm->tm_va, tm->tm_va + tm->tm_len, tm->tm_prot);
		break;
	}
	st->st_md->md_live += sp->sp_n - before;
	return why;
}

static void
thread_start(struct tr_model *md, uint32_t thread, uint32_t creator)
{
	struct tr_thread *th = &md->md_thread[thread];

	th->th_started = true;
	th->th_creator = creator;
	md->md_proc[th->th_proc].pr_live++;
}

static const char *
do_fork(struct step *st)
{
	struct tr_model *md = st->st_md;
	struct tr_proc *child;

	if (st->st_arg >= md->md_nproc)
		return "fork of a process that is not in the process table";
	child = &md->md_proc[st->st_arg];
	if (child->pr_started)
		return "fork of a process that was made before";
	if (child->pr_parent != st->st_proc)
		return "fork of a process that the process table gives to another parent";
	if (md->md_live + st->st_pr->pr_space.sp_n > TRACE_LIVE_MAX)
		return "more mappings at one time than a trace may have";
	child->pr_started = true;
	tr_space_copy(&child->pr_space, &st->st_pr->pr_space);
	md->md_live += child->pr_space.sp_n;
	thread_start(md, child->pr_main, st->st_thread);
	return NULL;
}

static const char *
do_thread_create(struct step *st)
{
	struct tr_model *md = st->st_md;

	if (st->st_arg >= md->md_nthread)
		return "creation of a thread that is not in the thread table";
	if (md->md_thread[st->st_arg].th_proc != st->st_proc)
		return "creation of a thread that the thread table gives to another process";
	if (md->md_thread[st->st_arg].th_started)
		return "creation of a thread that was made before";
	/* Main threads are started by the fork, so this is none. */
	thread_start(md, st->st_arg, st->st_thread);
	return NULL;
}

static const char *
do_thread_end(struct step *st, uint32_t kind)
{
	struct tr_model *md = st->st_md;

	if (kind == TRACE_THREAD_EXIT && st->st_pr->pr_live == 1)
		return "thread exit of a process' last thread, which must be a process exit";
	if (kind == TRACE_EXIT && st->st_pr->pr_live != 1)
		return "process exit while other threads of it live";
	md->md_thread[st->st_thread].th_ended = true;
	st->st_pr->pr_live--;
	if (kind == TRACE_EXIT) {
		st->st_pr->pr_exited = true;
		drop_space(st);
	}
	return NULL;
}

static const char *
do_wait(struct step *st)
{
	const struct tr_model *md = st->st_md;

	if (st->st_arg >= md->md_nproc || md->md_proc[st->st_arg].pr_parent != st->st_proc)
		return "wait for a process that is no child";
	if (!md->md_proc[st->st_arg].pr_exited)
		return "wait for a child that has not exited";
	return NULL;
}

static const char *
do_step(struct step *st, uint32_t kind)
{
	switch (kind) {
	case TRACE_FORK:
		return do_fork(st);
	case TRACE_EXEC:
		if (st->st_pr->pr_live != 1)
			return "exec while other threads of the process live";
		drop_space(st);
		return NULL;
	case TRACE_EXIT:
	case TRACE_THREAD_EXIT:
		return do_thread_end(st, kind);
	case TRACE_THREAD_CREATE:
		return do_thread_create(st);
	case TRACE_WAIT:
		return do_wait(st);
	default:
		return do_map(st, kind);
	}
}

/* One more operation of the process: which epoch is it, and does it end it? */
static uint32_t
count_epoch(struct tr_proc *pr, uint32_t kind)
{
	uint32_t epoch = pr->pr_nepochs;

	if (!trace_is_barrier(kind)) {
		pr->pr_inepoch++;
		return epoch;
	}
	pr->pr_epoch_ops = xgrow(pr->pr_epoch_ops, epoch, sizeof(*pr->pr_epoch_ops));
	pr->pr_epoch_ops[epoch] = pr->pr_inepoch;
	pr->pr_inepoch = 0;
	pr->pr_nepochs++;
	return epoch;
}

const char *
tr_model_apply(struct tr_model *md, uint32_t thread, uint32_t kind, uint64_t va, uint32_t arg,
    const struct trace_map *tm, uint32_t *epochp)
{
	struct tr_thread *th = &md->md_thread[thread];
	struct tr_proc *pr = &md->md_proc[th->th_proc];
	struct step st = { md, pr, th->th_proc, thread, arg, va, tm };
	const char *why;

	if (!th->th_started)
		return "a thread acts before it is made";
	if (th->th_ended)
		return "a thread acts after its end";
	why = trace_is_reference(kind) ? tr_model_refuse(md, th->th_proc, kind, va) :
	    do_step(&st, kind);
	if (why != NULL)
		return why;
	if (trace_is_reference(kind))
		pages_touch(md, &pr->pr_pages, va / TRACE_PAGE);
	*epochp = count_epoch(pr, kind);
	th->th_nops++;
	return NULL;
}

uint32_t
tr_model_proc(struct tr_model *md, uint32_t parent)
{
	struct tr_proc *pr;

	md->md_proc = xgrow(md->md_proc, md->md_nproc, sizeof(*pr));
	pr = &md->md_proc[md->md_nproc];
	pr->pr_parent = parent;
	pr->pr_main = TRACE_NONE;
	return md->md_nproc++;
}

uint32_t
tr_model_thread(struct tr_model *md, uint32_t proc)
{
	md->md_thread = xgrow(md->md_thread, md->md_nthread, sizeof(*md->md_thread));
	md->md_thread[md->md_nthread].th_proc = proc;
	md->md_thread[md->md_nthread].th_creator = TRACE_NONE;
	md->md_proc[proc].pr_nthreads++;
	if (md->md_proc[proc].pr_main == TRACE_NONE)
		md->md_proc[proc].pr_main = md->md_nthread;
	return md->md_nthread++;
}

void
tr_model_start(struct tr_model *md)
{
	md->md_proc[0].pr_started = true;
	thread_start(md, 0, TRACE_NONE);
}

void
tr_model_fini(struct tr_model *md)
{
	uint32_t i;

	for (i = 0; i < md->md_nproc; i++) {
		tr_space_fini(&md->md_proc[i].pr_space);
		free(md->md_proc[i].pr_pages.pg_slot);
		free(md->md_proc[i].pr_epoch_ops);
	}
	free(md->md_proc);
	free(md->md_thread);
}
