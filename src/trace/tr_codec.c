/*
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Bytes of a .uvmt file: numbers, checksums, the sealed envelope.  See tr_codec.h
 * for the layout.  The records' meaning is the writer's and the reader's.
 */
#include <errno.h>
#include <string.h>
#include <zstd.h>

#include <harness/xalloc.h>

#include "tr_codec.h"

#define TR_ZSTD_LEVEL 19	/* recordings are made once and kept */

void
tr_put_byte(struct tr_bytes *by, uint8_t b)
{
	if (by->by_len == by->by_cap) {
		by->by_cap = by->by_cap == 0 ? 4096 : by->by_cap * 2;
		by->by_buf = xcheck(realloc(by->by_buf, by->by_cap));
	}
	by->by_buf[by->by_len++] = b;
}

void
tr_put_varint(struct tr_bytes *by, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		tr_put_byte(by, (uint8_t)(v | 0x80));
	tr_put_byte(by, (uint8_t)v);
}

void
tr_put_zigzag(struct tr_bytes *by, int64_t d)
{
	tr_put_varint(by, ((uint64_t)d << 1) ^ (d < 0 ? ~0ull : 0));
}

void
tr_put_string(struct tr_bytes *by, const char *s)
{
	tr_put_varint(by, strlen(s));
	for (; *s != '\0'; s++)
		tr_put_byte(by, (uint8_t)*s);
}

uint32_t
tr_crc32(const void *buf, size_t len)
{
	/* Four bits at a time: a table small enough to read, fast enough for megabytes. */
	static const uint32_t nibble[16] = {
		0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4,
		0x4db26158, 0x5005713c, 0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
		0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
	};
	const uint8_t *p = buf;
	uint32_t crc = ~0u;

	while (len-- > 0) {
		crc ^= *p++;
		crc = crc >> 4 ^ nibble[crc & 15];
		crc = crc >> 4 ^ nibble[crc & 15];
	}
	return ~crc;
}

static void
put_le(uint8_t *p, uint64_t v, unsigned bytes)
{
	unsigned i;

	for (i = 0; i < bytes; i++)
		p[i] = (uint8_t)(v >> (8 * i));
}

uint64_t
tr_get_le(const uint8_t *p, unsigned bytes)
{
	uint64_t v = 0;

	while (bytes-- > 0)
		v = v << 8 | p[bytes];
	return v;
}

void
tr_checksum(uint8_t *header)
{
	put_le(header + 60, tr_crc32(header, 60), 4);
}

static void
put_header(uint8_t *h, const struct tr_header *hd, uint32_t crc)
{
	memcpy(h, "UVMT", 4);
	put_le(h + 4, TR_VERSION, 2);
	put_le(h + 6, TR_HEADER, 2);
	put_le(h + 8, TRACE_PAGE, 4);
	put_le(h + 12, hd->hd_nprocs, 4);
	put_le(h + 16, hd->hd_nthreads, 4);
	put_le(h + 20, hd->hd_nfiles, 4);
	put_le(h + 24, hd->hd_nmaps, 4);
	put_le(h + 28, hd->hd_nops, 4);
	put_le(h + 32, hd->hd_raw_len, 8);
	put_le(h + 40, hd->hd_packed_len, 8);
	put_le(h + 48, hd->hd_dropped, 8);
	put_le(h + 56, crc, 4);
	tr_checksum(h);
}

int
tr_seal(const struct tr_header *hd, const void *raw, size_t rawlen, struct tr_bytes *out)
{
	struct tr_header sealed = *hd;
	size_t bound = ZSTD_compressBound(rawlen), packed;
	uint8_t *buf = xcalloc(1, TR_HEADER + bound);

	packed = ZSTD_compress(buf + TR_HEADER, bound, raw, rawlen, TR_ZSTD_LEVEL);
	if (ZSTD_isError(packed)) {
		free(buf);
		return ENOMEM;
	}
	sealed.hd_raw_len = rawlen;
	sealed.hd_packed_len = packed;
	put_header(buf, &sealed, tr_crc32(buf + TR_HEADER, packed));
	out->by_buf = buf;
	out->by_len = TR_HEADER + packed;
	out->by_cap = TR_HEADER + bound;
	return 0;
}

void
tr_clean_name(char out[TRACE_NAME_MAX + 1], const char *path)
{
	const char *base = strrchr(path, '/');
	size_t i;

	base = base == NULL ? path : base + 1;
	for (i = 0; i < TRACE_NAME_MAX && base[i] != '\0'; i++)
		out[i] = base[i] > ' ' && base[i] < 0x7f ? base[i] : '_';
	if (i == 0)
		out[i++] = '_';
	out[i] = '\0';
}
