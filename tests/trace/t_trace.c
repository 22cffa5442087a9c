/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * What is written is what is read, and the writer keeps the promises of harness/trace.h
 * whatever it is told.
 */
#include <ktest.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <harness/trace.h>

#define VA	0x400000ull
#define PG	4096ull

static struct trace_map
anon(uint64_t va, uint64_t pages, uint8_t prot)
{
	struct trace_map tm = { .tm_va = va, .tm_len = pages * PG, .tm_prot = prot,
		.tm_file = TRACE_NONE };

	return tm;
}

static bool
map(struct trace_writer *w, uint32_t thread, enum trace_kind kind, struct trace_map tm)
{
	return trace_writer_map(w, thread, kind, &tm);
}

static struct trace *
reopen(struct trace_writer *w)
{
	struct trace_error te;
	struct trace *tr;
	void *buf;
	size_t len;

	CHECK(trace_writer_encode(w, &buf, &len, &te) == 0);
	trace_writer_destroy(w);
	tr = trace_open_buffer(buf, len, "t.uvmt", &te);
	if (tr == NULL)
		fprintf(stderr, "%s\n", te.msg);
	CHECK(tr != NULL);
	free(buf);
	return tr;
}

static const struct trace_op *
op_of(const struct trace *tr, uint32_t thread, size_t i)
{
	CHECK(thread < tr->tr_nthreads);
	CHECK(i < tr->tr_threads[thread].tt_nops);
	return &tr->tr_threads[thread].tt_ops[i];
}

KTEST(every_kind_comes_back_as_it_was_written, "every kind comes back as it was written")
{
	struct trace_writer *w = trace_writer_create("/usr/bin/prog");
	struct trace_map tm;
	uint32_t file, child, other;
	struct trace *tr;
	const struct trace_map *got;
	uint32_t seen[TRACE_NKINDS] = { 0 }, k;
	size_t i;

	file = trace_writer_file(w, "/lib/x86/libc.so.6", 3 * PG + 17);
	tm = anon(VA, 4, TM_READ | TM_EXEC);
	tm.tm_file = file;
	tm.tm_offset = 2 * PG;
	tm.tm_flags = TM_INITIAL;
	CHECK(map(w, 0, TRACE_MMAP, tm));
	CHECK(trace_writer_ref(w, 0, TRACE_IFETCH, VA + PG + 5));
	CHECK(map(w, 0, TRACE_BRK, anon(VA + 16 * PG, 8, 0)));
	CHECK(trace_writer_ref(w, 0, TRACE_WRITE, VA + 17 * PG));
	CHECK(map(w, 0, TRACE_MPROTECT, anon(VA + 16 * PG, 2, TM_READ)));
	CHECK(trace_writer_ref(w, 0, TRACE_READ, VA + 16 * PG));
	tm = anon(VA + 18 * PG, 2, 0);
	tm.tm_new_va = VA + 64 * PG;
	tm.tm_new_len = 3 * PG;
	CHECK(map(w, 0, TRACE_MREMAP, tm));
	tm = anon(VA + 64 * PG, 3, 0);
	tm.tm_advice = TRACE_ADV_DONTNEED;
	CHECK(map(w, 0, TRACE_MADVISE, tm));
	tm.tm_flags = TM_ASYNC;
	CHECK(map(w, 0, TRACE_MSYNC, tm));
	other = trace_writer_thread(w, 0);
	CHECK(trace_writer_ref(w, other, TRACE_WRITE, VA + 65 * PG));
	trace_writer_thread_exit(w, other);
	child = trace_writer_fork(w, 0);
	CHECK(trace_writer_ref(w, child, TRACE_READ, VA + 65 * PG));
	trace_writer_exec(w, child);
	trace_writer_exit(w, child);
	trace_writer_wait(w, 0, 1);
	CHECK(map(w, 0, TRACE_MUNMAP, anon(VA, 4, 0)));
	trace_writer_dropped(w, 5);
	trace_writer_exit(w, 0);

	tr = reopen(w);
	CHECK(strcmp(tr->tr_command, "prog") == 0);
	CHECK(tr->tr_nprocs == 2 && tr->tr_nthreads == 3 && tr->tr_nfiles == 1);
	CHECK(strcmp(tr->tr_files[0].tf_name, "libc.so.6") == 0);
	CHECK(tr->tr_files[0].tf_size == 3 * PG + 17);
	CHECK(tr->tr_dropped == 5);
	for (i = 0; i < tr->tr_nops; i++)
		seen[tr->tr_ops[i].to_kind]++;
	for (k = 0; k < TRACE_NKINDS; k++)
		CHECK(seen[k] > 0);
	got = &tr->tr_maps[op_of(tr, 0, 0)->to_arg];
	CHECK(got->tm_va == VA && got->tm_len == 4 * PG && got->tm_offset == 2 * PG);
	CHECK(got->tm_file == 0 && got->tm_flags == TM_INITIAL && got->tm_prot == (TM_READ | TM_EXEC));
	CHECK(op_of(tr, 0, 1)->to_kind == TRACE_IFETCH && op_of(tr, 0, 1)->to_va == VA + PG);
	got = &tr->tr_maps[op_of(tr, 0, 6)->to_arg];
	CHECK(got->tm_new_va == VA + 64 * PG && got->tm_new_len == 3 * PG);
	CHECK(tr->tr_threads[1].tt_creator == 0 && tr->tr_threads[1].tt_proc == 0);
	CHECK(tr->tr_threads[2].tt_creator == 0 && tr->tr_threads[2].tt_proc == 1);
	CHECK(tr->tr_procs[1].tp_parent == 0 && tr->tr_procs[1].tp_main == 2);
	trace_close(tr);
}

/* One by one by seq; per process, barriers count the epochs and the rest fills them. */
KTEST(epochs_count_barriers_and_what_lies_between,
    "epochs count barriers and what lies between")
{
	struct trace_writer *w = trace_writer_create("prog");
	uint32_t other, i;
	struct trace *tr;

	map(w, 0, TRACE_MMAP, anon(VA, 8, TM_READ | TM_WRITE));
	other = trace_writer_thread(w, 0);
	trace_writer_ref(w, other, TRACE_READ, VA);
	trace_writer_ref(w, 0, TRACE_WRITE, VA);
	map(w, other, TRACE_MMAP, anon(VA + 16 * PG, 1, TM_READ));
	trace_writer_ref(w, 0, TRACE_READ, VA + 16 * PG);
	trace_writer_exit(w, 0);

	tr = reopen(w);
	CHECK(tr->tr_procs[0].tp_nepochs == 3);
	CHECK(tr->tr_procs[0].tp_epoch_ops[0] == 0);
	CHECK(tr->tr_procs[0].tp_epoch_ops[1] == 3);	/* create, read, write */
	CHECK(tr->tr_procs[0].tp_epoch_ops[2] == 2);	/* read, end of the other thread */
	CHECK(op_of(tr, 0, 0)->to_epoch == 0);
	CHECK(op_of(tr, 1, 0)->to_epoch == 1);
	CHECK(op_of(tr, 1, 1)->to_epoch == 1);		/* the barrier itself */
	CHECK(op_of(tr, 0, 3)->to_epoch == 2);
	for (i = 1; i < tr->tr_threads[0].tt_nops; i++)
		CHECK(op_of(tr, 0, i)->to_seq > op_of(tr, 0, i - 1)->to_seq);
	CHECK(op_of(tr, 1, 2)->to_kind == TRACE_THREAD_EXIT);
	trace_close(tr);
}

KTEST(references_that_nothing_allows_are_dropped_and_counted,
    "references that nothing allows are dropped and counted")
{
	struct trace_writer *w = trace_writer_create("prog");
	struct trace_map tm = anon(VA + 8 * PG, 4, TM_READ | TM_WRITE);
	struct trace *tr;

	tm.tm_file = trace_writer_file(w, "short", PG + 1);
	map(w, 0, TRACE_MMAP, anon(VA, 2, TM_READ));
	map(w, 0, TRACE_MMAP, tm);
	CHECK(!trace_writer_ref(w, 0, TRACE_WRITE, VA));
	CHECK(!trace_writer_ref(w, 0, TRACE_IFETCH, VA));
	CHECK(!trace_writer_ref(w, 0, TRACE_READ, VA + 2 * PG));
	CHECK(!trace_writer_ref(w, 0, TRACE_READ, VA + 10 * PG));	/* past the file's end */
	CHECK(!trace_writer_ref(w, 7, TRACE_READ, VA));
	CHECK(trace_writer_ref(w, 0, TRACE_READ, VA));
	CHECK(trace_writer_ref(w, 0, TRACE_READ, VA + 9 * PG));		/* its last page */
	tr = reopen(w);
	CHECK(tr->tr_dropped == 5);
	trace_close(tr);
}

/*
 * page    0....5....a
 * mapped  MM.MM.....
 * advise  AAAAAAA...	becomes two operations
 */
KTEST(range_operations_are_cut_to_what_is_mapped, "range operations are cut to what is mapped")
{
	struct trace_writer *w = trace_writer_create("prog");
	struct trace *tr;

	map(w, 0, TRACE_MMAP, anon(VA, 2, TM_READ));
	map(w, 0, TRACE_MMAP, anon(VA + 3 * PG, 2, TM_READ));
	CHECK(map(w, 0, TRACE_MADVISE, anon(VA, 7, 0)));
	CHECK(!map(w, 0, TRACE_MADVISE, anon(VA + 8 * PG, 2, 0)));
	tr = reopen(w);
	CHECK(tr->tr_nmaps == 4);
	CHECK(tr->tr_maps[2].tm_va == VA && tr->tr_maps[2].tm_len == 2 * PG);
	CHECK(tr->tr_maps[3].tm_va == VA + 3 * PG && tr->tr_maps[3].tm_len == 2 * PG);
	trace_close(tr);
}

/* A heap that becomes writable page by page is one mapping at the end, and can move. */
KTEST(neighbours_that_look_alike_join, "neighbours that look alike join")
{
	struct trace_writer *w = trace_writer_create("prog");
	struct trace_map tm = anon(VA, 32, 0);
	uint64_t i;

	map(w, 0, TRACE_MMAP, anon(VA, 32, 0));
	for (i = 0; i < 32; i++)
		CHECK(map(w, 0, TRACE_MPROTECT, anon(VA + i * PG, 1, TM_READ | TM_WRITE)));
	tm.tm_new_va = VA + 100 * PG;
	tm.tm_new_len = 64 * PG;
	CHECK(map(w, 0, TRACE_MREMAP, tm));
	CHECK(trace_writer_ref(w, 0, TRACE_WRITE, VA + 163 * PG));
	CHECK(!trace_writer_ref(w, 0, TRACE_WRITE, VA));
	trace_close(reopen(w));
}

/*
 * page    0..3
 * before  FFFF		two pages of file behind them
 * after   F.FF		the third is still the file's third, which is past its end
 */
KTEST(a_split_file_mapping_keeps_its_offsets, "a split file mapping keeps its offsets")
{
	struct trace_writer *w = trace_writer_create("prog");
	struct trace_map tm = anon(VA, 4, TM_READ);

	tm.tm_file = trace_writer_file(w, "file", 2 * PG);
	map(w, 0, TRACE_MMAP, tm);
	map(w, 0, TRACE_MUNMAP, anon(VA + PG, 1, 0));
	CHECK(trace_writer_ref(w, 0, TRACE_READ, VA));
	CHECK(!trace_writer_ref(w, 0, TRACE_READ, VA + 2 * PG));
	trace_close(reopen(w));
}

KTEST(what_may_be_written_may_be_read, "what may be written may be read")
{
	struct trace_writer *w = trace_writer_create("prog");

	map(w, 0, TRACE_MMAP, anon(VA, 4, TM_WRITE));
	CHECK(trace_writer_ref(w, 0, TRACE_READ, VA));
	map(w, 0, TRACE_MPROTECT, anon(VA, 4, TM_EXEC));
	CHECK(trace_writer_ref(w, 0, TRACE_READ, VA));
	map(w, 0, TRACE_MPROTECT, anon(VA, 4, 0));
	CHECK(!trace_writer_ref(w, 0, TRACE_READ, VA));
	trace_close(reopen(w));
}

KTEST(ends_that_were_not_seen_are_supplied, "ends that were not seen are supplied")
{
	struct trace_writer *w = trace_writer_create("prog");
	uint32_t child = trace_writer_fork(w, 0), thread = trace_writer_thread(w, child);
	struct trace *tr;

	CHECK(child != TRACE_NONE);
	CHECK(thread != TRACE_NONE);
	tr = reopen(w);
	CHECK(tr->tr_procs[0].tp_nepochs == 2);		/* fork, exit */
	CHECK(tr->tr_procs[1].tp_nepochs == 1);
	trace_close(tr);
}

KTEST(a_fork_takes_the_mappings_along_and_keeps_them_apart,
    "a fork takes the mappings along and keeps them apart")
{
	struct trace_writer *w = trace_writer_create("prog");
	uint32_t child;

	map(w, 0, TRACE_MMAP, anon(VA, 4, TM_READ | TM_WRITE));
	child = trace_writer_fork(w, 0);
	map(w, 0, TRACE_MUNMAP, anon(VA, 4, 0));
	CHECK(!trace_writer_ref(w, 0, TRACE_READ, VA));
	CHECK(trace_writer_ref(w, child, TRACE_WRITE, VA + 3 * PG));
	trace_writer_exec(w, child);
	CHECK(!trace_writer_ref(w, child, TRACE_READ, VA));
	trace_close(reopen(w));
}

KTEST(a_limit_is_told_once_at_the_end, "a limit is told once at the end")
{
	struct trace_writer *w = trace_writer_create("prog");
	struct trace_error te;
	void *buf;
	size_t len;
	uint32_t i;

	for (i = 0; i < TRACE_LIVE_MAX; i++)
		map(w, 0, TRACE_MMAP, anon(VA + 2 * PG * i, 1, TM_READ));
	CHECK(trace_writer_encode(w, &buf, &len, &te) != 0);
	CHECK(strstr(te.msg, "too many mappings at one time; record a shorter run") != NULL);
	trace_writer_destroy(w);
}

KTEST(a_file_written_can_be_opened_and_printed, "a file written can be opened and printed")
{
	struct trace_writer *w = trace_writer_create("prog");
	char path[] = "trace-XXXXXX", *text = NULL;
	struct trace_error te;
	struct trace *tr;
	size_t len;
	FILE *f = open_memstream(&text, &len);
	int fd = mkstemp(path);

	CHECK(fd >= 0);
	close(fd);
	map(w, 0, TRACE_MMAP, anon(VA, 4, TM_READ));
	trace_writer_ref(w, 0, TRACE_READ, VA);
	CHECK(trace_writer_finish(w, path, &te) == 0);
	trace_writer_destroy(w);
	tr = trace_open(path, &te);
	CHECK(tr != NULL);
	trace_info_print(tr, f);
	fclose(f);
	CHECK(strstr(text, "1 kept by the filter, 0 dropped") != NULL);
	CHECK(strstr(text, "1 read, 0 written, 0 executed; at most 1 touched") != NULL);
	free(text);
	trace_close(tr);
	unlink(path);
	CHECK(trace_open(path, &te) == NULL);
	CHECK(strstr(te.msg, "cannot open the trace: No such file") != NULL);
	CHECK(trace_open(".", &te) == NULL);
}

KTEST_MAIN()
