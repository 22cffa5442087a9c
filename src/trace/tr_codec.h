/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The .uvmt file, version 1.  All numbers little-endian.
 *
 *	offset	bytes
 *	0	4	"UVMT"
 *	4	2	version, 1
 *	6	2	header length, 64
 *	8	4	page size, 4096
 *	12	4	processes
 *	16	4	threads
 *	20	4	files
 *	24	4	mapping operations
 *	28	4	operations
 *	32	8	payload length, decompressed
 *	40	8	payload length in the file
 *	48	8	references dropped by the recorder
 *	56	4	CRC-32 of the payload as it is in the file
 *	60	4	CRC-32 of the header's first 60 bytes
 *	64		payload: one zstd frame, to the end of the file
 *
 * The payload, decompressed (v: varint of 7-bit groups, lowest first, at most 10
 * bytes; z: varint of a zigzag-coded difference; s: v length, then that many bytes):
 *
 *	command		s
 *	each process	v parent + 1 (0: none), v threads, v barriers
 *	each thread	v process
 *	each file	s name, v size
 *	each operation	tag byte: kind in bits 0-4; bit 5: v thread follows; bits 6, 7 zero
 *	 read, write, ifetch	z page, against the thread's last of that kind
 *	 mmap		v page, v pages, byte prot, byte flags, v file + 1, with a file: v offset page
 *	 munmap		v page, v pages
 *	 mprotect	v page, v pages, byte prot
 *	 mremap		v page, v pages, v new page, v new pages
 *	 madvise	v page, v pages, byte advice
 *	 msync, brk	v page, v pages, byte flags
 *	 fork, wait	v process
 *	 thread-create	v thread
 *	 exec, exit, thread-exit	nothing
 *
 * Addresses are stored as page numbers, so that an unaligned one cannot be said.
 */
#ifndef TR_CODEC_H
#define TR_CODEC_H

#include <stddef.h>
#include <stdint.h>

#include <harness/trace.h>

#define TR_HEADER	64u
#define TR_VERSION	1u
#define TR_TAG_KIND	0x1fu
#define TR_TAG_THREAD	0x20u

/* The header's numbers. */
struct tr_header {
	uint32_t hd_nprocs, hd_nthreads, hd_nfiles, hd_nmaps, hd_nops;
	uint64_t hd_raw_len, hd_packed_len, hd_dropped;
};

/* Growing bytes. */
struct tr_bytes {
	uint8_t *by_buf;
	size_t by_len, by_cap;
};

void tr_put_byte(struct tr_bytes *, uint8_t);
void tr_put_varint(struct tr_bytes *, uint64_t);
void tr_put_zigzag(struct tr_bytes *, int64_t);
void tr_put_string(struct tr_bytes *, const char *);

/*
 * tr_seal: compress the payload and put the header with its lengths and checksums before it.
 * => 0 or an errno; *out is fresh memory
 */
int tr_seal(const struct tr_header *, const void *raw, size_t rawlen, struct tr_bytes *out);

/* tr_checksum: write the header's own checksum, for tests that spoil a header on purpose. */
void tr_checksum(uint8_t *header);

uint32_t tr_crc32(const void *, size_t);
uint64_t tr_get_le(const uint8_t *, unsigned bytes);

/* tr_clean_name: last component of a path, printable, cut to TRACE_NAME_MAX; never empty. */
void tr_clean_name(char out[TRACE_NAME_MAX + 1], const char *path);

#endif /* TR_CODEC_H */
