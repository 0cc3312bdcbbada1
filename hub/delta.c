/* SPDX-License-Identifier: MIT */
/* Unit delta makes patches. What both texts begin and end with is copied at once. Between, at each
 * place of the target, the longest stretch of the base that stands there is looked for: first where
 * it would be had nothing moved, then by a table of the base's windows. The work has a bound: so
 * many windows are tried as the target has bytes, however much the texts repeat themselves. No
 * state; the table lives during the call. */
#include "hub/delta.h"

#include <endian.h>
#include <stdlib.h>

#include "base/utf8.h"

#define WINDOW         16
#define SHORT_MATCH    8    /* where nothing has moved */
#define LONG_MATCH     512  /* no better one is looked for */
#define TRIES_MAX      64   /* windows with the same hash, at one place */
#define PATIENCE       1024 /* places without a match */
#define DENSE_STEP     4
#define DENSE_MAX_SIZE 65536
#define NO_BLOCK       UINT32_MAX

/* Beyond it making a patch would hold up the loop. */
#define TEXT_MAX_BYTES ((size_t)1 << 20)

/* The base's windows, one each `step` bytes, in chains by hash. */
struct window_table {
    size_t step;
    unsigned hash_bits;
    uint32_t *first; /* by hash */
    uint32_t *next;  /* by window */
};

struct match {
    size_t at; /* in the target */
    size_t base_at;
    size_t len;
};

struct differ {
    struct str base;
    struct str target;
    struct buf *out;
    struct window_table windows;
    size_t from;     /* in the target: what comes before is in the patch */
    size_t end;      /* in the target: what comes from there on is copied at the end */
    ptrdiff_t shift; /* from the target's place to the base's, in the last copy */
    size_t n_tries_left;
};

/* --- the patch --- */

static void append_number(struct buf *out, size_t number)
{
    static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz~";
    char text[12];
    size_t at = sizeof(text);
    do {
        text[--at] = digits[number % 64];
        number /= 64;
    } while (number > 0);
    buf_append(out, (struct str){text + at, sizeof(text) - at});
}

static size_t n_digits(size_t number)
{
    size_t n = 1;
    while (number >= 64) {
        number /= 64;
        n++;
    }
    return n;
}

/* Of big-endian words, with zeros behind the text where it ends inside of one. */
static uint32_t checksum(struct str text)
{
    uint32_t sum = 0;
    for (size_t i = 0; i < text.len; i += sizeof(uint32_t)) {
        uint32_t word = 0;
        memcpy(&word, text.ptr + i, text.len - i < sizeof(word) ? text.len - i : sizeof(word));
        sum += be32toh(word);
    }
    return sum;
}

static void insert_until(struct differ *d, size_t at)
{
    if (at > d->from) {
        append_number(d->out, at - d->from);
        buf_append_char(d->out, ':');
        buf_append(d->out, (struct str){d->target.ptr + d->from, at - d->from});
        d->from = at;
    }
}

static void copy(struct differ *d, struct match m)
{
    insert_until(d, m.at);
    append_number(d->out, m.len);
    buf_append_char(d->out, '@');
    append_number(d->out, m.base_at);
    buf_append_char(d->out, ',');
    d->from = m.at + m.len;
    d->shift = (ptrdiff_t)m.base_at - (ptrdiff_t)m.at;
}

/* --- matches --- */

static bool is_inside_character(struct str text, size_t at)
{
    return at < text.len && ((unsigned char)text.ptr[at] & 0xc0) == 0x80;
}

/* To whole characters, so that what stands between copies is a valid text. */
static struct match trimmed(const struct differ *d, struct match m)
{
    while (m.len > 0 && is_inside_character(d->target, m.at)) {
        m.at++;
        m.base_at++;
        m.len--;
    }
    while (m.len > 0 && is_inside_character(d->target, m.at + m.len)) {
        m.len--;
    }
    return m;
}

/* A copy also divides the text around it, which then takes one more number. */
static bool is_worth(struct match m)
{
    return m.len > n_digits(m.len) + n_digits(m.base_at) + 2 + 3;
}

static size_t common_length(const char *a, const char *b, size_t max)
{
    size_t n = 0;
    while (n + sizeof(uint64_t) <= max && memcmp(a + n, b + n, sizeof(uint64_t)) == 0) {
        n += sizeof(uint64_t);
    }
    while (n < max && a[n] == b[n]) {
        n++;
    }
    return n;
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Both ways from the place, within what is not in the patch yet. */
static struct match match_at(const struct differ *d, size_t at, size_t base_at)
{
    size_t len = common_length(d->target.ptr + at, d->base.ptr + base_at,
                               smaller(d->end - at, d->base.len - base_at));
    size_t back = 0;
    while (len > 0 && at - back > d->from && base_at > back &&
           d->target.ptr[at - back - 1] == d->base.ptr[base_at - back - 1]) {
        back++;
    }
    return (struct match){.at = at - back, .base_at = base_at - back, .len = len + back};
}

/* --- windows --- */

static uint32_t window_hash(const struct window_table *t, const char *at)
{
    uint64_t words[2];
    memcpy(words, at, WINDOW);
    uint64_t mixed = (words[0] ^ words[1] << 29 ^ words[1] >> 35) * UINT64_C(0x9e3779b97f4a7c15);
    mixed = (mixed ^ mixed >> 32 ^ words[1]) * UINT64_C(0xd6e8feb86659fd93);
    return (uint32_t)(mixed >> (64 - t->hash_bits));
}

/* From the end, so that chains begin with the first. */
static void fill_table(struct window_table *t, struct str base, size_t n_windows)
{
    memset(t->first, 0xff, sizeof(*t->first) << t->hash_bits);
    for (size_t i = n_windows; i-- > 0;) {
        uint32_t *first = &t->first[window_hash(t, base.ptr + i * t->step)];
        t->next[i] = *first;
        *first = (uint32_t)i;
    }
}

static bool make_table(struct window_table *t, struct str base)
{
    t->step = base.len <= DENSE_MAX_SIZE ? DENSE_STEP : WINDOW;
    size_t n_windows = base.len < WINDOW ? 0 : (base.len - WINDOW) / t->step + 1;
    t->hash_bits = 4;
    while (((size_t)1 << t->hash_bits) < n_windows) {
        t->hash_bits++;
    }
    t->first = malloc((sizeof(*t->first) << t->hash_bits) + sizeof(*t->next) * n_windows);
    if (!t->first) {
        return false;
    }
    t->next = t->first + ((size_t)1 << t->hash_bits);
    fill_table(t, base, n_windows);
    return true;
}

static struct match longest_of_windows(struct differ *d, size_t at, struct match best)
{
    const struct window_table *t = &d->windows;
    uint32_t i = t->first[window_hash(t, d->target.ptr + at)];
    for (int n = 0; i != NO_BLOCK && n < TRIES_MAX && d->n_tries_left > 0; n++) {
        size_t base_at = i * t->step;
        d->n_tries_left--;
        if (memcmp(d->base.ptr + base_at, d->target.ptr + at, WINDOW) == 0) {
            struct match m = match_at(d, at, base_at);
            best = m.len > best.len ? m : best;
        }
        if (best.len >= LONG_MATCH) {
            break;
        }
        i = t->next[i];
    }
    return best;
}

static bool has_not_moved(const struct differ *d, size_t at)
{
    ptrdiff_t base_at = (ptrdiff_t)at + d->shift;
    return base_at >= 0 && (size_t)base_at + SHORT_MATCH <= d->base.len &&
           memcmp(d->base.ptr + base_at, d->target.ptr + at, SHORT_MATCH) == 0;
}

static struct match longest_match(struct differ *d, size_t at)
{
    struct match best = {.at = at, .len = 0};
    if (has_not_moved(d, at)) {
        best = match_at(d, at, (size_t)((ptrdiff_t)at + d->shift));
    }
    if (best.len < LONG_MATCH && at + WINDOW <= d->end) {
        best = longest_of_windows(d, at, best);
    }
    return trimmed(d, best);
}

/* --- the whole --- */

static void copy_beginning(struct differ *d)
{
    size_t max = smaller(d->base.len, d->target.len);
    struct match m = {.len = common_length(d->base.ptr, d->target.ptr, max)};
    m = trimmed(d, m);
    if (is_worth(m)) {
        copy(d, m);
    }
}

/* What both end with, and is not copied yet. */
static struct match find_end(const struct differ *d)
{
    size_t at = d->target.len;
    size_t base_at = d->base.len;
    while (at > d->from && base_at > 0 && d->target.ptr[at - 1] == d->base.ptr[base_at - 1]) {
        at--;
        base_at--;
    }
    return trimmed(d, (struct match){.at = at, .base_at = base_at, .len = d->target.len - at});
}

/* Where nothing has been found for long, it is looked for at fewer and fewer places. */
static void copy_middle(struct differ *d)
{
    size_t at = d->from;
    size_t n_misses = 0;
    while (at + SHORT_MATCH <= d->end) {
        struct match m = longest_match(d, at);
        if (is_worth(m)) {
            copy(d, m);
            at = d->from;
            n_misses = 0;
        } else {
            at += 1 + n_misses++ / PATIENCE;
        }
    }
}

static bool append_patch(struct differ *d)
{
    append_number(d->out, d->target.len);
    buf_append_char(d->out, '\n');
    copy_beginning(d);
    struct match end = find_end(d);
    d->end = is_worth(end) ? end.at : d->target.len;
    if (d->from + SHORT_MATCH <= d->end) {
        if (!make_table(&d->windows, d->base)) {
            return false;
        }
        copy_middle(d);
        free(d->windows.first);
    }
    if (is_worth(end)) {
        copy(d, end);
    }
    insert_until(d, d->target.len);
    append_number(d->out, checksum(d->target));
    buf_append_char(d->out, ';');
    return true;
}

bool delta_make(struct str base, struct str target, struct buf *out)
{
    if (buf_failed(out) || base.len == 0 || base.len > TEXT_MAX_BYTES || target.len == 0 ||
        target.len > TEXT_MAX_BYTES) {
        return false;
    }
    struct differ d = {.base = base, .target = target, .out = out, .n_tries_left = target.len};
    size_t start = out->len;
    bool is_good = append_patch(&d) && !buf_failed(out) && out->len - start < target.len &&
                   utf8_valid(str_tail(buf_str(out), start));
    if (!is_good) {
        out->len = start;
        out->failed = false;
    }
    return is_good;
}
