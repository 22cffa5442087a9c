/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * `uvmstress trace info`: what a trace holds, for people.
 */
#include <inttypes.h>
#include <string.h>

#include <harness/xalloc.h>

#include <harness/trace.h>

static const char *const kind_name[TRACE_NKINDS] = {
	[TRACE_READ] = "read", [TRACE_WRITE] = "write", [TRACE_IFETCH] = "ifetch",
	[TRACE_MMAP] = "mmap", [TRACE_MUNMAP] = "munmap", [TRACE_MPROTECT] = "mprotect",
	[TRACE_MREMAP] = "mremap", [TRACE_MADVISE] = "madvise", [TRACE_MSYNC] = "msync",
	[TRACE_BRK] = "brk", [TRACE_FORK] = "fork", [TRACE_EXEC] = "exec", [TRACE_EXIT] = "exit",
	[TRACE_THREAD_CREATE] = "thread-create", [TRACE_THREAD_EXIT] = "thread-exit",
	[TRACE_WAIT] = "wait",
};

const char *
trace_kind_name(uint32_t kind)
{
	return kind < TRACE_NKINDS ? kind_name[kind] : "unknown";
}

/* A reference as a sortable number: process, page, kind. */
static int
compare_key(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* Different pages of each kind, per process; fork makes a page count again. */
static void
count_pages(const struct trace *tr, uint64_t pages[3])
{
	uint64_t *key = xcalloc(tr->tr_nops + 1, sizeof(*key));
	size_t n, i;
	uint32_t kind, t;

	for (kind = TRACE_READ; kind <= TRACE_IFETCH; kind++) {
		n = 0;
		for (t = 0; t < tr->tr_nthreads; t++)
			for (i = 0; i < tr->tr_threads[t].tt_nops; i++)
				if (tr->tr_threads[t].tt_ops[i].to_kind == kind)
					key[n++] = (uint64_t)tr->tr_threads[t].tt_proc << 48 |
					    tr->tr_threads[t].tt_ops[i].to_va / TRACE_PAGE;
		qsort(key, n, sizeof(*key), compare_key);
		pages[kind] = n > 0;
		for (i = 1; i < n; i++)
			pages[kind] += key[i] != key[i - 1];
	}
	free(key);
}

static void
print_procs(const struct trace *tr, FILE *f)
{
	uint32_t i, t;

	for (i = 0; i < tr->tr_nprocs; i++) {
		const struct trace_proc *tp = &tr->tr_procs[i];
		size_t ops = 0;

		for (t = 0; t < tr->tr_nthreads; t++)
			if (tr->tr_threads[t].tt_proc == i)
				ops += tr->tr_threads[t].tt_nops;
		fprintf(f, "  process %-3u ", i);
		if (tp->tp_parent == TRACE_NONE)
			fprintf(f, "the first      ");
		else
			fprintf(f, "child of %-5u ", tp->tp_parent);
		fprintf(f, " %3u thread%s %8zu operations %6u epochs\n", tp->tp_nthreads,
		    tp->tp_nthreads == 1 ? " " : "s", ops, tp->tp_nepochs);
	}
}

void
trace_info_print(const struct trace *tr, FILE *f)
{
	uint64_t count[TRACE_NKINDS] = { 0 }, pages[3], anon = 0, file = 0, initial = 0;
	size_t i;
	uint32_t k;

	for (i = 0; i < tr->tr_nops; i++) {
		const struct trace_op *op = &tr->tr_ops[i];

		count[op->to_kind]++;
		if (op->to_kind != TRACE_MMAP)
			continue;
		initial += (tr->tr_maps[op->to_arg].tm_flags & TM_INITIAL) != 0;
		if (tr->tr_maps[op->to_arg].tm_file == TRACE_NONE)
			anon++;
		else
			file++;
	}
	count_pages(tr, pages);
	fprintf(f, "command      %s\n", tr->tr_command);
	fprintf(f, "processes    %u\nthreads      %u\noperations   %zu\n", tr->tr_nprocs,
	    tr->tr_nthreads, tr->tr_nops);
	print_procs(tr, f);
	for (k = 0; k < TRACE_NKINDS; k++)
		if (count[k] != 0)
			fprintf(f, "  %-14s %10" PRIu64 "\n", kind_name[k], count[k]);
	fprintf(f, "references   %" PRIu64 " kept by the filter, %" PRIu64 " dropped\n",
	    count[TRACE_READ] + count[TRACE_WRITE] + count[TRACE_IFETCH], tr->tr_dropped);
	fprintf(f, "pages        %" PRIu64 " read, %" PRIu64 " written, %" PRIu64 " executed; "
	    "at most %" PRIu64 " touched at one time\n", pages[0], pages[1], pages[2],
	    tr->tr_peak_pages);
	fprintf(f, "mappings     %" PRIu64 " anonymous, %" PRIu64 " of files; %" PRIu64
	    " of both made by exec\n", anon, file, initial);
	fprintf(f, "files        %u, %" PRIu64 " bytes mapped\n", tr->tr_nfiles, tr->tr_file_bytes);
	for (k = 0; k < tr->tr_nfiles; k++)
		fprintf(f, "  %-40s %10" PRIu64 "\n", tr->tr_files[k].tf_name, tr->tr_files[k].tf_size);
}
