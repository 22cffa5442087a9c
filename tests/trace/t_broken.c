/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Broken traces: each is answered by its own clear line.
 *
 * A sound trace is built field by field, so that each case can spoil exactly one thing and
 * everything around it, checksums included, stays right.
 */
#include <ktest.h>

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "tr_codec.h"

#define PAGE	0x400u		/* where things are mapped */

/* A payload in the making.  One process, one thread, no file, unless said otherwise. */
struct draft {
	struct tr_header dr_hd;
	struct tr_bytes dr_by;
};

/* Command and tables.  nprocs processes, each the child of the one before, one thread each. */
static struct draft
draft(uint32_t nprocs, uint32_t nops, uint32_t nmaps, const uint32_t *barriers)
{
	struct draft d = { { .hd_nprocs = nprocs, .hd_nthreads = nprocs, .hd_nops = nops,
		.hd_nmaps = nmaps, .hd_nfiles = 1 }, { NULL, 0, 0 } };
	uint32_t i;

	tr_put_string(&d.dr_by, "prog");
	for (i = 0; i < nprocs; i++) {
		tr_put_varint(&d.dr_by, i);
		tr_put_varint(&d.dr_by, 1);
		tr_put_varint(&d.dr_by, barriers[i]);
	}
	for (i = 0; i < nprocs; i++)
		tr_put_varint(&d.dr_by, i);
	tr_put_string(&d.dr_by, "file");
	tr_put_varint(&d.dr_by, 4096);
	return d;
}

static void
put(struct draft *d, uint8_t tag, int n, ...)
{
	va_list ap;

	tr_put_byte(&d->dr_by, tag);
	va_start(ap, n);
	while (n-- > 0)
		tr_put_varint(&d->dr_by, va_arg(ap, unsigned));
	va_end(ap);
}

/* Anonymous, private. */
static void
put_mmap(struct draft *d, unsigned page, unsigned pages, unsigned prot)
{
	put(d, TRACE_MMAP, 5, page, pages, prot, 0u, 0u);
}

static void
refuses_bytes(const void *buf, size_t len, const char *line)
{
	struct trace_error te = { "" };
	struct trace *tr = trace_open_buffer(buf, len, "x.uvmt", &te);

	if (tr != NULL || strncmp(te.msg, "x.uvmt: ", 8) != 0 || strstr(te.msg, line) == NULL)
		fprintf(stderr, "wanted: %s\ngot:    %s\n", line, te.msg);
	CHECK(tr == NULL);
	CHECK(strncmp(te.msg, "x.uvmt: ", 8) == 0);
	CHECK(strstr(te.msg, line) != NULL);
	CHECK(strchr(te.msg, '\n') == NULL);
}

static struct tr_bytes
seal(struct draft *d)
{
	struct tr_bytes out;

	CHECK(tr_seal(&d->dr_hd, d->dr_by.by_buf, d->dr_by.by_len, &out) == 0);
	free(d->dr_by.by_buf);
	return out;
}

static void
refuses(struct draft d, const char *line)
{
	struct tr_bytes out = seal(&d);

	refuses_bytes(out.by_buf, out.by_len, line);
	free(out.by_buf);
}

/* mmap four pages, read the second, exit. */
static struct draft
sound_draft(void)
{
	static const uint32_t barriers[] = { 2 };
	struct draft d = draft(1, 3, 1, barriers);

	put_mmap(&d, PAGE, 4, TM_READ);
	put(&d, TRACE_READ, 1, (PAGE + 1) << 1);
	put(&d, TRACE_EXIT, 0);
	return d;
}

static struct tr_bytes
sound(void)
{
	struct draft d = sound_draft();

	return seal(&d);
}

/* One mapping, then the operation under test, which is the second. */
static struct draft
with_op(uint32_t nmaps)
{
	static const uint32_t barriers[] = { 3 };
	struct draft d = draft(1, 3, nmaps, barriers);

	put_mmap(&d, PAGE, 4, TM_READ);
	return d;
}

/* Change a header byte and mend its checksum. */
static void
refuses_header(unsigned at, uint8_t value, const char *line)
{
	struct tr_bytes s = sound();

	s.by_buf[at] = value;
	tr_checksum(s.by_buf);
	refuses_bytes(s.by_buf, s.by_len, line);
	free(s.by_buf);
}

KTEST(sound_trace_is_read, "sound trace is read")
{
	struct tr_bytes s = sound();
	struct trace_error te;
	struct trace *tr = trace_open_buffer(s.by_buf, s.by_len, "x", &te);

	CHECK(tr != NULL);
	CHECK(tr->tr_nops == 3);
	trace_close(tr);
	free(s.by_buf);
}

KTEST(every_truncation_is_refused, "every truncation is refused")
{
	struct tr_bytes s = sound();
	size_t n;

	for (n = 0; n < s.by_len; n++)
		refuses_bytes(s.by_buf, n, n < 4 ? "not a trace" : n < TR_HEADER ?
		    "ends inside the header" : "truncated");
	free(s.by_buf);
}

KTEST(every_flipped_bit_is_refused, "every flipped bit is refused")
{
	struct tr_bytes s = sound();
	size_t i;

	for (i = 0; i < s.by_len * 8; i++) {
		s.by_buf[i / 8] ^= (uint8_t)(1u << i % 8);
		refuses_bytes(s.by_buf, s.by_len, "");
		s.by_buf[i / 8] ^= (uint8_t)(1u << i % 8);
	}
	free(s.by_buf);
}

KTEST(bad_magic, "refused with its own line: bad magic")
{
	refuses_bytes("\177ELF and so on", 15, "byte 0: not a trace, no UVMT at its start; make one");
}

KTEST(empty_file, "refused with its own line: empty file")
{
	refuses_bytes("", 0, "byte 0: not a trace");
}

KTEST(wrong_version, "refused with its own line: wrong version")
{
	refuses_header(4, 2, "byte 4: version 2, this program reads version 1; record it again");
}

KTEST(wrong_page_size, "refused with its own line: wrong page size")
{
	refuses_header(9, 0x40, "byte 8: page size 16384, only 4096 can be replayed");
}

KTEST(wrong_header_length, "refused with its own line: wrong header length")
{
	refuses_header(6, 63, "byte 6: header length 63, must be 64");
}

KTEST(header_checksum, "refused with its own line: header checksum")
{
	struct tr_bytes s = sound();

	s.by_buf[60] ^= 1;
	refuses_bytes(s.by_buf, s.by_len, "byte 60: header checksum is wrong");
	free(s.by_buf);
}

KTEST(payload_checksum, "refused with its own line: payload checksum")
{
	struct tr_bytes s = sound();

	s.by_buf[s.by_len - 1] ^= 1;
	refuses_bytes(s.by_buf, s.by_len, "byte 56: payload checksum is wrong");
	free(s.by_buf);
}

KTEST(too_many_operations, "refused with its own line: too many operations")
{
	refuses_header(31, 0x7f, "operations, must be 1 to 8388608");
}

KTEST(too_many_processes, "refused with its own line: too many processes")
{
	refuses_header(14, 1, "65537 processes, must be 1 to 4096");
}

KTEST(no_process, "refused with its own line: no process")
{
	refuses_header(12, 0, "0 processes, must be 1 to 4096");
}

KTEST(fewer_threads_than_processes, "refused with its own line: fewer threads than processes")
{
	refuses_header(16, 0, "0 threads, must be 1 to 16384");
}

KTEST(counts_beyond_the_payload, "refused with its own line: counts beyond the payload")
{
	refuses_header(29, 1, "header: counts do not fit into");
}

KTEST(decompression_bomb_by_its_own_word,
    "refused with its own line: decompression bomb by its own word")
{
	refuses_header(35, 0x40, "decompressed bytes, must be 1 to 67108864");
}

KTEST(decompression_bomb_in_disguise,
    "refused with its own line: decompression bomb in disguise")
{
	struct draft d = sound_draft();
	struct tr_bytes s;

	/* A megabyte of zeroes packs into some bytes; the header says a hundred. */
	while (d.dr_by.by_len < 1u << 20)
		tr_put_byte(&d.dr_by, 0);
	s = seal(&d);
	s.by_buf[32] = 100;
	s.by_buf[33] = s.by_buf[34] = 0;
	tr_checksum(s.by_buf);
	refuses_bytes(s.by_buf, s.by_len, "byte 32: payload does not unpack to 100 bytes");
	free(s.by_buf);
}

KTEST(payload_is_not_zstd, "refused with its own line: payload is not zstd")
{
	struct tr_bytes s = sound();
	uint32_t crc;
	unsigned i;

	s.by_buf[TR_HEADER] ^= 0xff;
	crc = tr_crc32(s.by_buf + TR_HEADER, s.by_len - TR_HEADER);
	for (i = 0; i < 4; i++)
		s.by_buf[56 + i] = (uint8_t)(crc >> 8 * i);
	tr_checksum(s.by_buf);
	refuses_bytes(s.by_buf, s.by_len, "byte 64: payload is not one zstd frame");
	free(s.by_buf);
}

KTEST(junk_after_the_payload, "refused with its own line: junk after the payload")
{
	struct tr_bytes s = sound();

	tr_put_byte(&s, 0);
	refuses_bytes(s.by_buf, s.by_len, "1 bytes of junk after the payload");
	free(s.by_buf);
}

KTEST(junk_after_the_last_operation,
    "refused with its own line: junk after the last operation")
{
	struct draft d = sound_draft();

	tr_put_byte(&d.dr_by, 0);
	refuses(d, "1 bytes of junk after the last operation");
}

KTEST(payload_ends_in_a_record, "refused with its own line: payload ends in a record")
{
	struct draft d = sound_draft();

	d.dr_by.by_len--;
	refuses(d, "ends in the middle of a record");
}

KTEST(unknown_tag, "refused with its own line: unknown tag")
{
	struct draft d = with_op(1);

	put(&d, TRACE_NKINDS, 0);
	put(&d, TRACE_EXIT, 0);
	refuses(d, "unknown record tag 0x10");
}

KTEST(reserved_tag_bits, "refused with its own line: reserved tag bits")
{
	struct draft d = with_op(1);

	put(&d, 0x80 | TRACE_READ, 1, PAGE << 1);
	put(&d, TRACE_EXIT, 0);
	refuses(d, "unknown record tag 0x80");
}

KTEST(endless_number, "refused with its own line: endless number")
{
	struct draft d = with_op(1);
	int i;

	tr_put_byte(&d.dr_by, TRACE_READ);
	for (i = 0; i < 10; i++)
		tr_put_byte(&d.dr_by, 0xff);
	refuses(d, "number longer than 64 bits");
}

KTEST(page_out_of_range, "refused with its own line: page out of range")
{
	struct draft d = with_op(1);

	put(&d, TRACE_READ, 0);
	tr_put_varint(&d.dr_by, 0x7ffffffffull << 1);
	put(&d, TRACE_EXIT, 0);
	refuses(d, "reference to page 0x7ffffffff is out of range, the last user page is 0x7fffffffe");
}

KTEST(page_zero, "refused with its own line: page zero")
{
	struct draft d = with_op(1);

	put(&d, TRACE_READ, 1, 0u);
	put(&d, TRACE_EXIT, 0);
	refuses(d, "reference to page 0 is out of range");
}

KTEST(mapping_out_of_range, "refused with its own line: mapping out of range")
{
	struct draft d = with_op(2);

	put(&d, TRACE_MUNMAP, 0);
	tr_put_varint(&d.dr_by, 1ull << 40);
	refuses(d, "page 0x10000000000 is out of range");
}

KTEST(mapping_at_zero, "refused with its own line: mapping at zero")
{
	struct draft d = with_op(2);

	put_mmap(&d, 0, 1, TM_READ);
	refuses(d, "operation 1 (mmap, thread 0, 0): range leaves the user address space");
}

KTEST(mapping_past_the_top, "refused with its own line: mapping past the top")
{
	struct draft d = with_op(2);

	put(&d, TRACE_MUNMAP, 0);
	tr_put_varint(&d.dr_by, 0x7fffffffe);
	tr_put_varint(&d.dr_by, 2);
	refuses(d, "range leaves the user address space");
}

KTEST(mapping_of_no_length, "refused with its own line: mapping of no length")
{
	struct draft d = with_op(2);

	put_mmap(&d, PAGE + 8, 0, TM_READ);
	refuses(d, "length is zero");
}

/* Addresses are page numbers: a misaligned one can only come from a hand that writes memory. */
KTEST(misaligned_mapping_is_not_written, "misaligned mapping is not written")
{
	struct trace_writer *w = trace_writer_create("prog");
	struct trace_map tm = { .tm_va = 0x400001, .tm_len = 4096, .tm_prot = TM_READ,
		.tm_file = TRACE_NONE };

	CHECK(!trace_writer_map(w, 0, TRACE_MMAP, &tm));
	tm.tm_va = 0x400000;
	tm.tm_len = 4097;
	CHECK(!trace_writer_map(w, 0, TRACE_MMAP, &tm));
	trace_writer_destroy(w);
}

KTEST(mapping_over_a_mapping, "refused with its own line: mapping over a mapping")
{
	struct draft d = with_op(2);

	put_mmap(&d, PAGE + 3, 2, TM_READ);
	refuses(d, "mmap without FIXED over an existing mapping");
}

KTEST(bad_file_id, "refused with its own line: bad file id")
{
	struct draft d = with_op(2);

	put(&d, TRACE_MMAP, 6, PAGE + 8, 1u, TM_READ, 0u, 2u, 0u);
	refuses(d, "file id 2 is out of range, must be below 2");
}

KTEST(bad_protection, "refused with its own line: bad protection")
{
	struct draft d = with_op(2);

	put_mmap(&d, PAGE + 8, 1, 8);
	refuses(d, "unknown protection 0x8");
}

KTEST(bad_flags, "refused with its own line: bad flags")
{
	struct draft d = with_op(2);

	put(&d, TRACE_MMAP, 5, PAGE + 8, 1u, TM_READ, TM_SHRINK, 0u);
	refuses(d, "unknown mmap flags 0x10");
}

KTEST(bad_advice, "refused with its own line: bad advice")
{
	struct draft d = with_op(2);

	put(&d, TRACE_MADVISE, 3, PAGE, 1u, 77u);
	refuses(d, "advice 77 is out of range");
}

KTEST(protect_what_is_not_mapped, "refused with its own line: protect what is not mapped")
{
	struct draft d = with_op(2);

	put(&d, TRACE_MPROTECT, 3, PAGE + 2, 3u, TM_READ);
	refuses(d, "range that is not all mapped");
}

KTEST(brk_over_a_mapping, "refused with its own line: brk over a mapping")
{
	struct draft d = with_op(2);

	put(&d, TRACE_BRK, 3, PAGE + 2, 3u, 0u);
	refuses(d, "brk grows over an existing mapping");
}

KTEST(mremap_of_a_hole, "refused with its own line: mremap of a hole")
{
	struct draft d = with_op(2);

	put(&d, TRACE_MREMAP, 4, PAGE + 2, 3u, PAGE + 20, 3u);
	refuses(d, "mremap of a range that is not one mapping");
}

KTEST(mremap_onto_itself, "refused with its own line: mremap onto itself")
{
	struct draft d = with_op(2);

	put(&d, TRACE_MREMAP, 4, PAGE, 4u, PAGE + 2, 4u);
	refuses(d, "mremap to a place that is not free");
}

KTEST(reference_to_a_hole, "refused with its own line: reference to a hole")
{
	struct draft d = with_op(1);

	put(&d, TRACE_READ, 1, (PAGE + 4) << 1);
	refuses(d, "operation 1 (read, thread 0, 0x404000): refers to a page that is not mapped");
}

KTEST(reference_against_the_protection,
    "refused with its own line: reference against the protection")
{
	struct draft d = with_op(1);

	put(&d, TRACE_WRITE, 1, PAGE << 1);
	refuses(d, "protection forbids");
}

KTEST(reference_past_the_end_of_a_file,
    "refused with its own line: reference past the end of a file")
{
	struct draft d = with_op(2);

	put(&d, TRACE_MMAP, 6, PAGE + 8, 2u, TM_READ, 0u, 1u, 0u);
	put(&d, TRACE_READ, 1, (PAGE + 9) << 1);
	refuses(d, "past the end of its file");
}

KTEST(more_mapping_operations_than_promised,
    "refused with its own line: more mapping operations than promised")
{
	struct draft d = with_op(1);

	put(&d, TRACE_MUNMAP, 2, PAGE, 1u);
	refuses(d, "more mapping operations than the header's 1");
}

KTEST(fewer_mapping_operations_than_promised,
    "refused with its own line: fewer mapping operations than promised")
{
	struct draft d = sound_draft();

	d.dr_hd.hd_nmaps = 2;
	refuses(d, "header: 2 mapping operations, but there are 1");
}

KTEST(fork_of_an_unknown_process, "refused with its own line: fork of an unknown process")
{
	struct draft d = with_op(1);

	put(&d, TRACE_FORK, 1, 9u);
	refuses(d, "process 9 is out of range, must be below 1");
}

static struct draft
forking(uint32_t nops)
{
	static const uint32_t barriers[] = { 2, 1 };
	struct draft d = draft(2, nops, 0, barriers);

	put(&d, TRACE_FORK, 1, 1u);
	return d;
}

KTEST(duplicate_process, "refused with its own line: duplicate process")
{
	struct draft d = forking(4);

	put(&d, TRACE_FORK, 1, 1u);
	refuses(d, "fork of a process that was made before");
}

KTEST(fork_of_oneself, "refused with its own line: fork of oneself")
{
	static const uint32_t barriers[] = { 2 };
	struct draft d = draft(1, 2, 0, barriers);

	put(&d, TRACE_FORK, 1, 0u);
	put(&d, TRACE_EXIT, 0);
	refuses(d, "fork of a process that was made before");
}

KTEST(fork_by_a_stranger, "refused with its own line: fork by a stranger")
{
	static const uint32_t barriers[] = { 2, 1, 1 };
	struct draft d = draft(3, 5, 0, barriers);

	put(&d, TRACE_FORK, 1, 1u);
	put(&d, TRACE_FORK, 1, 2u);
	refuses(d, "fork of a process that the process table gives to another parent");
}

KTEST(process_that_is_never_forked, "refused with its own line: process that is never forked")
{
	static const uint32_t barriers[] = { 1, 1 };
	struct draft d = draft(2, 1, 0, barriers);

	put(&d, TRACE_EXIT, 0);
	refuses(d, "process 1 is never forked");
}

KTEST(process_that_never_exits, "refused with its own line: process that never exits")
{
	struct draft d = forking(2);

	put(&d, TRACE_EXIT, 0);
	refuses(d, "process 1 never exits");
}

KTEST(epoch_mismatch, "refused with its own line: epoch mismatch")
{
	static const uint32_t barriers[] = { 5 };
	struct draft d = draft(1, 1, 0, barriers);

	put(&d, TRACE_EXIT, 0);
	refuses(d, "process 0 has 1 epochs and its row says 5");
}

KTEST(thread_that_acts_before_it_is_made,
    "refused with its own line: thread that acts before it is made")
{
	static const uint32_t barriers[] = { 1, 1 };
	struct draft d = draft(2, 2, 0, barriers);

	put(&d, TRACE_EXIT | TR_TAG_THREAD, 1, 1u);
	refuses(d, "a thread acts before it is made");
}

KTEST(thread_that_acts_after_its_end,
    "refused with its own line: thread that acts after its end")
{
	static const uint32_t barriers[] = { 2 };
	struct draft d = draft(1, 2, 0, barriers);

	put(&d, TRACE_EXIT, 0);
	put(&d, TRACE_EXIT, 0);
	refuses(d, "a thread acts after its end");
}

KTEST(unknown_thread, "refused with its own line: unknown thread")
{
	struct draft d = with_op(1);

	put(&d, TRACE_EXIT | TR_TAG_THREAD, 1, 3u);
	refuses(d, "thread 3 is out of range, must be below 1");
}

KTEST(last_thread_exits_alone, "refused with its own line: last thread exits alone")
{
	struct draft d = with_op(1);

	put(&d, TRACE_THREAD_EXIT, 0);
	refuses(d, "thread exit of a process' last thread");
}

KTEST(wait_for_no_child, "refused with its own line: wait for no child")
{
	struct draft d = with_op(1);

	put(&d, TRACE_WAIT, 1, 0u);
	refuses(d, "wait for a process that is no child");
}

KTEST(wait_for_a_child_that_lives, "refused with its own line: wait for a child that lives")
{
	struct draft d = forking(4);

	put(&d, TRACE_WAIT, 1, 1u);
	refuses(d, "wait for a child that has not exited");
}

/* The tables alone. */
static struct draft
tables(uint32_t parent, uint32_t threads, const char *file, uint64_t size)
{
	struct draft d = { { .hd_nprocs = 1, .hd_nthreads = 1, .hd_nops = 1, .hd_nfiles = 1 },
		{ NULL, 0, 0 } };

	tr_put_string(&d.dr_by, "prog");
	tr_put_varint(&d.dr_by, parent);
	tr_put_varint(&d.dr_by, threads);
	tr_put_varint(&d.dr_by, 1);
	tr_put_varint(&d.dr_by, 0);
	tr_put_string(&d.dr_by, file);
	tr_put_varint(&d.dr_by, size);
	put(&d, TRACE_EXIT, 0);
	return d;
}

KTEST(bad_parent, "refused with its own line: bad parent")
{
	refuses(tables(1, 1, "f", 1), "parent of process 0 does not come before it");
}

KTEST(thread_count_mismatch, "refused with its own line: thread count mismatch")
{
	refuses(tables(0, 2, "f", 1), "process 0 has 1 threads in the thread table and 2 in its own row");
}

KTEST(file_too_big, "refused with its own line: file too big")
{
	refuses(tables(0, 1, "f", 1ull << 40), "files of more than 1073741824 bytes together");
}

KTEST(file_name_with_a_path, "refused with its own line: file name with a path")
{
	refuses(tables(0, 1, "../etc/passwd", 1), "file name is not a plain file name");
}

KTEST(empty_file_name, "refused with its own line: empty file name")
{
	refuses(tables(0, 1, "", 1), "empty file name");
}

KTEST_MAIN()
