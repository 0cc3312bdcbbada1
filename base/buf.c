/* SPDX-License-Identifier: MIT */
/* A growable byte buffer with a maximum. It doubles, so that many small appends cost little; once
 * an append failed all later ones do nothing, so that a failed buffer never holds text with a hole
 * in the middle. */
#include "base/buf.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { SMALLEST_CAPACITY = 64 };

void buf_init(struct buf *b, size_t max_bytes)
{
    *b = (struct buf){.max = max_bytes};
}

void buf_release(struct buf *b)
{
    free(b->ptr);
    buf_init(b, b->max);
}

void buf_clear(struct buf *b)
{
    b->len = 0;
    b->failed = false;
}

static size_t grown_capacity(const struct buf *b, size_t needed)
{
    size_t capacity = b->capacity < SMALLEST_CAPACITY ? SMALLEST_CAPACITY : b->capacity;

    while (capacity < needed) {
        if (capacity > b->max / 2) {
            return b->max;
        }
        capacity *= 2;
    }
    return capacity < b->max ? capacity : b->max;
}

enum status buf_reserve(struct buf *b, size_t more_bytes)
{
    if (more_bytes <= b->capacity - b->len) {
        return STATUS_OK;
    }
    if (more_bytes > b->max - b->len) {
        return STATUS_TOO_LARGE;
    }
    size_t capacity = grown_capacity(b, b->len + more_bytes);
    char *ptr = realloc(b->ptr, capacity);
    if (!ptr) {
        return STATUS_NO_MEMORY;
    }
    b->ptr = ptr;
    b->capacity = capacity;
    return STATUS_OK;
}

void buf_append(struct buf *b, struct str s)
{
    if (b->failed || s.len == 0) {
        return;
    }
    if (buf_reserve(b, s.len) != STATUS_OK) {
        b->failed = true;
        return;
    }
    memcpy(b->ptr + b->len, s.ptr, s.len);
    b->len += s.len;
}

void buf_append_char(struct buf *b, char c)
{
    buf_append(b, (struct str){&c, 1});
}

void buf_append_u64(struct buf *b, uint64_t number)
{
    char digits[20];
    size_t at = sizeof(digits);

    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    buf_append(b, (struct str){digits + at, sizeof(digits) - at});
}

void buf_append_i64(struct buf *b, int64_t number)
{
    char text[24];
    int len = snprintf(text, sizeof(text), "%" PRId64, number);

    buf_append(b, (struct str){text, (size_t)len});
}

void buf_printf(struct buf *b, const char *format, ...)
{
    char small[256];
    char *large = NULL;
    va_list args;

    va_start(args, format);
    int len = vsnprintf(small, sizeof(small), format, args);
    va_end(args);
    if (len >= 0 && (size_t)len < sizeof(small)) {
        buf_append(b, (struct str){small, (size_t)len});
        return;
    }
    va_start(args, format);
    len = len < 0 ? -1 : vasprintf(&large, format, args);
    va_end(args);
    if (len < 0) {
        b->failed = true;
        return;
    }
    buf_append(b, (struct str){large, (size_t)len});
    free(large);
}

void buf_consume(struct buf *b, size_t n)
{
    if (n >= b->len) {
        b->len = 0;
        return;
    }
    if (n > 0) {
        memmove(b->ptr, b->ptr + n, b->len - n);
        b->len -= n;
    }
}

char *buf_take(struct buf *b)
{
    /* The NUL does not count towards the maximum. */
    char *text = b->failed ? NULL : realloc(b->ptr, b->len + 1);

    if (!text) {
        buf_release(b);
        return NULL;
    }
    text[b->len] = '\0';
    buf_init(b, b->max);
    return text;
}
