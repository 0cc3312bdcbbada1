/* SPDX-License-Identifier: MIT */
/* Unit inflater keeps zlib's states: making one costs three allocations, taking a used one none. A
 * state's window is zlib's 32 KiB, whatever the server compressed. Loop's thread only. */
#include "upstreams/inflater.h"

#include <stdlib.h>

#include <utlist.h>
#include <zlib.h>

#define MAX_FREE  64
#define MAX_PIECE ((size_t)1 << 30) /* zlib counts in 32 bits */
#define MIN_ROOM  ((size_t)4096)

/* zlib's windowBits. */
#define WINDOW_GZIP (15 + 16)
#define WINDOW_ZLIB 15
#define WINDOW_RAW  (-15)

struct inflater {
    z_stream zlib; /* first */
    struct inflater *next;
    bool is_begun;
    bool is_complete;
};

static struct inflater *inflater_new(void)
{
    struct inflater *inflater = calloc(1, sizeof(*inflater));
    if (inflater && inflateInit2(&inflater->zlib, WINDOW_GZIP) != Z_OK) {
        free(inflater);
        return NULL;
    }
    return inflater;
}

static void inflater_free(struct inflater *inflater)
{
    (void)inflateEnd(&inflater->zlib);
    free(inflater);
}

struct inflater *inflater_take(struct inflaters *all)
{
    struct inflater *inflater = all->free;
    if (inflater) {
        LL_DELETE(all->free, inflater);
        all->n_free--;
    } else if (!(inflater = inflater_new())) {
        return NULL;
    }
    inflater->is_begun = false;
    inflater->is_complete = false;
    return inflater;
}

void inflater_give(struct inflaters *all, struct inflater *inflater)
{
    if (all->n_free == MAX_FREE) {
        inflater_free(inflater);
        return;
    }
    LL_PREPEND(all->free, inflater);
    all->n_free++;
}

void inflaters_release(struct inflaters *all)
{
    struct inflater *inflater;
    struct inflater *next;
    LL_FOREACH_SAFE (all->free, inflater, next) {
        inflater_free(inflater);
    }
    *all = (struct inflaters){.free = NULL};
}

/* RFC 1952: the first byte of gzip. RFC 1950: method 8, a window of at most 32 KiB. Neither begins
 * a stream without a frame: the one would be a block of no kind, the other an empty block with a
 * bit set that is to be zero. */
static int window_of(unsigned char first)
{
    if (first == 0x1f) {
        return WINDOW_GZIP;
    }
    return (first & 0x0f) == Z_DEFLATED && first >> 4 <= 7 ? WINDOW_ZLIB : WINDOW_RAW;
}

static bool begin(struct inflater *inflater, struct str bytes)
{
    inflater->is_begun = true;
    return inflateReset2(&inflater->zlib, window_of((unsigned char)bytes.ptr[0])) == Z_OK;
}

/* The memory of a buffer that is used again may be larger than its maximum by now. */
static size_t room_of(const struct buf *body)
{
    size_t end = body->capacity < body->max ? body->capacity : body->max;
    return end > body->len ? end - body->len : 0;
}

/* With no room left, a byte beside it shows whether there is more. Returns zlib's word. */
static int run_once(z_stream *zlib, struct buf *body, bool *ret_is_too_much)
{
    unsigned char beyond;
    size_t room = room_of(body);
    bool is_full = room == 0;
    zlib->next_out = is_full ? &beyond : (unsigned char *)body->ptr + body->len;
    zlib->avail_out = is_full ? 1 : (uInt)(room < MAX_PIECE ? room : MAX_PIECE);
    unsigned char *before = zlib->next_out;
    int code = inflate(zlib, Z_NO_FLUSH);
    size_t n = (size_t)(zlib->next_out - before);
    *ret_is_too_much = is_full && n > 0;
    body->len += is_full ? 0 : n;
    return code;
}

static bool make_room(struct buf *body)
{
    size_t most = body->max > body->len ? body->max - body->len : 0;
    if (most == 0 || room_of(body) > 0) {
        return true;
    }
    return buf_reserve(body, most < MIN_ROOM ? most : MIN_ROOM) == STATUS_OK;
}

enum inflated inflater_run(struct inflater *inflater, struct str bytes, struct buf *body)
{
    z_stream *zlib = &inflater->zlib;
    bool is_too_much = false;
    if (inflater->is_complete || bytes.len == 0) {
        return INFLATED;
    }
    if (bytes.len > MAX_PIECE || (!inflater->is_begun && !begin(inflater, bytes))) {
        return INFLATED_NOTHING;
    }
    zlib->next_in = (z_const Bytef *)bytes.ptr;
    zlib->avail_in = (uInt)bytes.len;
    do {
        if (!make_room(body)) {
            return INFLATED_NOTHING;
        }
        int code = run_once(zlib, body, &is_too_much);
        if (is_too_much) {
            return INFLATED_TOO_MUCH;
        }
        inflater->is_complete = code == Z_STREAM_END;
        if (code != Z_OK && code != Z_BUF_ERROR && code != Z_STREAM_END) {
            return INFLATED_NOTHING;
        }
        /* Room that is used up may hide output that is still inside. */
    } while (!inflater->is_complete && (zlib->avail_in > 0 || zlib->avail_out == 0));
    return INFLATED;
}

bool inflater_is_complete(const struct inflater *inflater)
{
    return inflater->is_complete || !inflater->is_begun;
}
