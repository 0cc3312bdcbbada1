/* SPDX-License-Identifier: MIT */
/* Unit channel_pages lists the channels in pieces. Their order is that of the reversed bits of
 * their hashes, then of their names: it is each channel's own, whatever comes and goes and however
 * large the table has become, and the table's buckets can be walked in it without sorting them all.
 * So a channel that is there all the time is on exactly one page. Loop's thread only. */
#include <inttypes.h>
#include <stdio.h>

#include "hub/channel_internal.h"

/* Channels and buckets that one page looks at: it holds the loop for about a millisecond. */
#define STEPS_MAX 30000

#define ORDER_DIGITS 8

/* Everything beyond it is still to come. */
struct place {
    uint32_t order;
    struct str name;
};

static uint32_t reversed(uint32_t bits)
{
    bits = (bits & 0x55555555) << 1 | (bits >> 1 & 0x55555555);
    bits = (bits & 0x33333333) << 2 | (bits >> 2 & 0x33333333);
    bits = (bits & 0x0f0f0f0f) << 4 | (bits >> 4 & 0x0f0f0f0f);
    return __builtin_bswap32(bits);
}

static struct place place_of(const struct channel *c)
{
    return (struct place){reversed(c->hh.hashv), channel_name(c)};
}

static bool is_beyond(struct place a, struct place b)
{
    if (a.order != b.order) {
        return a.order > b.order;
    }
    size_t len = a.name.len < b.name.len ? a.name.len : b.name.len;
    int difference = len > 0 ? memcmp(a.name.ptr, b.name.ptr, len) : 0;
    return difference > 0 || (difference == 0 && a.name.len > b.name.len);
}

/* Buckets hold few: looking for the least each time needs no memory. */
static struct channel *next_in_bucket(const UT_hash_table *table, uint32_t bucket,
                                      struct place place, size_t *n_steps)
{
    struct channel *found = NULL;
    for (UT_hash_handle *h = table->buckets[bucket].hh_head; h; h = h->hh_next) {
        struct channel *c = container_of(h, struct channel, hh);
        bool is_next =
            is_beyond(place_of(c), place) && (!found || is_beyond(place_of(found), place_of(c)));
        found = is_next ? c : found;
        ++*n_steps;
    }
    ++*n_steps;
    return found;
}

static bool read_cursor(struct str cursor, struct place *ret_place)
{
    uint32_t order = 0;
    if (cursor.len == 0) {
        *ret_place = (struct place){0, STR_EMPTY};
        return true;
    }
    for (size_t i = 0; i < ORDER_DIGITS; i++) {
        char c = i < cursor.len ? cursor.ptr[i] : 'x';
        bool is_digit = c >= '0' && c <= '9';
        if (!is_digit && !(c >= 'a' && c <= 'f')) {
            return false;
        }
        order = order << 4 | (uint32_t)(is_digit ? c - '0' : c - 'a' + 10);
    }
    *ret_place = (struct place){order, str_tail(cursor, ORDER_DIGITS)};
    return true;
}

static void write_cursor(struct buf *out, struct place place)
{
    buf_printf(out, "%08" PRIx32, place.order);
    buf_append(out, place.name);
}

static bool is_wanted(const struct channel *c, const struct channels_page *page)
{
    return channel_n_subscribers(c) > 0 &&
           (page->pattern.len == 0 || str_glob(page->pattern, channel_name(c)));
}

struct walk {
    const struct channels_page *page;
    channels_fn each;
    void *arg;
    struct place place;
    size_t n_given;
    size_t n_steps;
};

static bool is_full(const struct walk *w)
{
    return w->n_given == w->page->limit || w->n_steps > STEPS_MAX;
}

/* To the end of the bucket, or of the page. */
static void walk_bucket(struct walk *w, const UT_hash_table *table, uint32_t bucket)
{
    struct channel *c;
    while (!is_full(w) && (c = next_in_bucket(table, bucket, w->place, &w->n_steps))) {
        w->place = place_of(c);
        if (is_wanted(c, w->page)) {
            w->each(w->arg, w->place.name, channel_n_subscribers(c));
            w->n_given++;
        }
    }
}

enum status hub_channels_page(struct hub *hub, const struct channels_page *page, channels_fn each,
                              void *arg, struct buf *out_cursor)
{
    struct walk w = {.page = page, .each = each, .arg = arg};
    if (!read_cursor(page->cursor, &w.place)) {
        return STATUS_INVALID;
    }
    const UT_hash_table *table = hub->channels ? hub->channels->hh.tbl : NULL;
    unsigned shift = table ? 32 - table->log2_num_buckets : 0;
    for (uint32_t i = w.place.order >> shift; table && i < table->num_buckets; i++) {
        uint32_t order = i << shift;
        if (w.place.order < order) {
            w.place = (struct place){order, STR_EMPTY};
        }
        walk_bucket(&w, table, reversed(order));
        if (is_full(&w)) {
            write_cursor(out_cursor, w.place);
            return STATUS_OK;
        }
    }
    return STATUS_OK;
}
