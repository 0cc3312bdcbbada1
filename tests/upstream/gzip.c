/* SPDX-License-Identifier: MIT */
/* gzip (RFC 1952) with zlib. A bomb is compressed once and then repeated: after a full flush a
 * deflate stream is at a byte's begin and remembers nothing, so its parts may be copied. */
#include "tests/upstream/gzip.h"

#include <zlib.h>

#define MIB           ((size_t)1024 * 1024)
#define WINDOW_BITS   15
#define GZIP_FORMAT   16 /* added to the bits of the window */
#define MEMORY_LEVEL  8
#define FLUSH_RESERVE 64 /* what a flush adds to deflateBound(), generously */

static bool deflate_into(z_stream *z, struct str text, int flush, struct buf *out)
{
    size_t most = deflateBound(z, text.len) + FLUSH_RESERVE;
    if (buf_reserve(out, most) != STATUS_OK) {
        return false;
    }
    z->next_in = (Bytef *)(uintptr_t)text.ptr;
    z->avail_in = (uInt)text.len;
    z->next_out = (Bytef *)out->ptr + out->len;
    z->avail_out = (uInt)most;
    int rc = deflate(z, flush);
    out->len += most - z->avail_out;
    return rc == (flush == Z_FINISH ? Z_STREAM_END : Z_OK) && z->avail_in == 0;
}

bool gzip_text(struct str text, struct buf *out)
{
    z_stream z = {0};
    if (deflateInit2(&z, Z_BEST_SPEED, Z_DEFLATED, WINDOW_BITS + GZIP_FORMAT, MEMORY_LEVEL,
                     Z_DEFAULT_STRATEGY) != Z_OK) {
        return false;
    }
    bool done = deflate_into(&z, text, Z_FINISH, out);
    (void)deflateEnd(&z);
    return done;
}

static void append_le32(struct buf *out, uint64_t number)
{
    for (int shift = 0; shift < 32; shift += 8) {
        buf_append_char(out, (char)(number >> shift & 0xff));
    }
}

static struct str mebibyte_of_blanks(void)
{
    static char blanks[MIB];
    if (blanks[0] == 0) {
        memset(blanks, ' ', sizeof(blanks));
    }
    return (struct str){blanks, sizeof(blanks)};
}

/* Appends one MiB n times; it lies at the end of *out once. */
static bool repeat_tail(struct buf *out, size_t start, uint64_t n)
{
    size_t len = out->len - start;
    if (buf_reserve(out, len * (size_t)n) != STATUS_OK) {
        return false;
    }
    for (uint64_t i = 0; i < n; i++) {
        buf_append(out, (struct str){out->ptr + start, len});
    }
    return true;
}

static bool bomb_data(z_stream *z, uint64_t n_mib, struct buf *out)
{
    if (!deflate_into(z, STR("\""), Z_FULL_FLUSH, out)) {
        return false;
    }
    size_t start = out->len;
    return deflate_into(z, mebibyte_of_blanks(), Z_FULL_FLUSH, out) &&
           repeat_tail(out, start, n_mib - 1) && deflate_into(z, STR("\""), Z_FINISH, out);
}

static void append_trailer(uint64_t n_mib, struct buf *out)
{
    struct str blanks = mebibyte_of_blanks();
    uLong quote = crc32(0, (const Bytef *)"\"", 1);
    uLong part = crc32(0, (const Bytef *)blanks.ptr, (uInt)blanks.len);
    uLong all = quote;
    for (uint64_t i = 0; i < n_mib; i++) {
        all = crc32_combine(all, part, (z_off_t)blanks.len);
    }
    append_le32(out, crc32_combine(all, quote, 1));
    append_le32(out, n_mib * MIB + 2);
}

bool gzip_bomb(uint64_t n_mib, struct buf *out)
{
    static const char head[] = {0x1f, (char)0x8b, Z_DEFLATED, 0, 0, 0, 0, 0, 0, (char)0xff};
    z_stream z = {0};
    if (deflateInit2(&z, Z_BEST_COMPRESSION, Z_DEFLATED, -WINDOW_BITS, MEMORY_LEVEL,
                     Z_DEFAULT_STRATEGY) != Z_OK) {
        return false;
    }
    buf_append(out, (struct str){head, sizeof(head)});
    bool done = bomb_data(&z, n_mib, out);
    (void)deflateEnd(&z);
    append_trailer(n_mib, out);
    return done && !buf_failed(out);
}
