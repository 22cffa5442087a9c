/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Traces from anywhere: whatever the bytes, the reader answers a trace or one line, and a
 * trace that it accepts keeps the promises that a replay relies on.
 *
 * Checksums would stop nearly all random files at the door.  So an input that starts with
 * an even byte is a payload, behind six bytes of counts; it is sealed before it is read.  Any other
 * is a file as it is.
 */
#include <stdlib.h>
#include <string.h>

#include "../../src/trace/tr_codec.h"

#define COUNTS 6	/* bytes of counts in front of a payload */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void
must(bool ok)
{
	if (!ok)
		abort();
}

/* Streams in order, epochs that add up, forks and threads that exist. */
static void
check_promises(const struct trace *tr)
{
	uint64_t inepoch = 0, counted = 0, barriers = 0, epochs = 0;
	uint32_t t, p, e;
	size_t i;

	for (t = 0; t < tr->tr_nthreads; t++) {
		const struct trace_thread *tt = &tr->tr_threads[t];

		must(tt->tt_proc < tr->tr_nprocs);
		must(tt->tt_nops > 0);
		for (i = 0; i < tt->tt_nops; i++) {
			const struct trace_op *op = &tt->tt_ops[i];

			must(i == 0 || op->to_seq > op[-1].to_seq);
			must(op->to_epoch < tr->tr_procs[tt->tt_proc].tp_nepochs);
			must(!trace_has_map(op->to_kind) || op->to_arg < tr->tr_nmaps);
			must(op->to_kind != TRACE_FORK || op->to_arg < tr->tr_nprocs);
			must(op->to_kind != TRACE_THREAD_CREATE || op->to_arg < tr->tr_nthreads);
			if (trace_is_barrier(op->to_kind))
				barriers++;
			else
				inepoch++;
		}
	}
	for (p = 0; p < tr->tr_nprocs; p++) {
		epochs += tr->tr_procs[p].tp_nepochs;
		for (e = 0; e < tr->tr_procs[p].tp_nepochs; e++)
			counted += tr->tr_procs[p].tp_epoch_ops[e];
	}
	must(counted == inepoch);
	must(epochs == barriers);
}

static void
try_file(const void *buf, size_t len)
{
	struct trace_error te = { "" };
	struct trace *tr = trace_open_buffer(buf, len, "fuzz", &te);

	if (tr == NULL) {
		must(te.msg[0] != '\0' && strchr(te.msg, '\n') == NULL);
		return;
	}
	check_promises(tr);
	trace_close(tr);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct tr_header hd;
	struct tr_bytes out;

	if (len < 1 + COUNTS || (data[0] & 1) != 0) {
		try_file(len == 0 ? data : data + 1, len == 0 ? 0 : len - 1);
		return 0;
	}
	hd = (struct tr_header){ .hd_nprocs = data[1], .hd_nthreads = data[2], .hd_nfiles = data[3],
		.hd_nmaps = data[4], .hd_nops = data[5] | (uint32_t)data[6] << 8 };
	if (tr_seal(&hd, data + 1 + COUNTS, len - 1 - COUNTS, &out) != 0)
		return 0;
	try_file(out.by_buf, out.by_len);
	free(out.by_buf);
	return 0;
}
