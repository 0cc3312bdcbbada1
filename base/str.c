/* SPDX-License-Identifier: MIT */
/* Views of bytes: search, comparison, glob patterns. No state, nothing but str_dup() allocates. */
#include "base/str.h"

#include <stdlib.h>

static unsigned char ascii_lower(char c)
{
    unsigned char u = (unsigned char)c;
    return u >= 'A' && u <= 'Z' ? (unsigned char)(u + ('a' - 'A')) : u;
}

bool str_eq_nocase(struct str a, struct str b)
{
    if (a.len != b.len) {
        return false;
    }
    for (size_t i = 0; i < a.len; i++) {
        if (ascii_lower(a.ptr[i]) != ascii_lower(b.ptr[i])) {
            return false;
        }
    }
    return true;
}

struct str str_head(struct str s, size_t n)
{
    return (struct str){s.ptr, n < s.len ? n : s.len};
}

struct str str_tail(struct str s, size_t n)
{
    if (n == 0 || s.len == 0) {
        return s; /* no arithmetic on a NULL pointer */
    }
    return n < s.len ? (struct str){s.ptr + n, s.len - n} : (struct str){s.ptr + s.len, 0};
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

struct str str_trim(struct str s)
{
    while (s.len > 0 && is_blank(s.ptr[s.len - 1])) {
        s.len--;
    }
    while (s.len > 0 && is_blank(s.ptr[0])) {
        s.ptr++;
        s.len--;
    }
    return s;
}

ptrdiff_t str_find(struct str s, char c)
{
    const char *at = s.len > 0 ? memchr(s.ptr, c, s.len) : NULL;
    return at ? at - s.ptr : -1;
}

ptrdiff_t str_find_text(struct str s, struct str text)
{
    const char *found = text.len > 0 && s.len > 0 ? memmem(s.ptr, s.len, text.ptr, text.len) : NULL;
    return found ? found - s.ptr : -1;
}

bool str_to_u64(struct str s, uint64_t *ret_number)
{
    uint64_t number = 0;

    if (s.len == 0) {
        return false;
    }
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] < '0' || s.ptr[i] > '9') {
            return false;
        }
        if (__builtin_mul_overflow(number, UINT64_C(10), &number) ||
            __builtin_add_overflow(number, (uint64_t)(s.ptr[i] - '0'), &number)) {
            return false;
        }
    }
    *ret_number = number;
    return true;
}

bool str_eq_secret(struct str a, struct str b)
{
    volatile unsigned char difference = a.len != b.len;

    /* Walks the whole of b, whatever a is: only b's length shows in the time. */
    for (size_t i = 0; i < b.len; i++) {
        char other = i < a.len ? a.ptr[i] : '\0';
        difference = (unsigned char)(difference | (unsigned char)(other ^ b.ptr[i]));
    }
    return difference == 0;
}

/* One byte of a set: itself, or what a '\' protects. */
static unsigned char set_byte(struct str pattern, size_t *at)
{
    if (pattern.ptr[*at] == '\\' && *at + 1 < pattern.len) {
        (*at)++;
    }
    return (unsigned char)pattern.ptr[(*at)++];
}

/* The length of the set that begins at '[', with both brackets; 0 when it is never closed. *ret_in:
 * is c in it? */
static size_t match_set(struct str pattern, size_t open, unsigned char c, bool *ret_in)
{
    size_t at = open + 1;
    bool inverted = at < pattern.len && pattern.ptr[at] == '^';
    bool in = false;

    at += inverted;
    while (at < pattern.len && pattern.ptr[at] != ']') {
        unsigned char first = set_byte(pattern, &at);
        unsigned char last = first;
        if (at + 1 < pattern.len && pattern.ptr[at] == '-' && pattern.ptr[at + 1] != ']') {
            at++;
            last = set_byte(pattern, &at);
        }
        in = in || (first <= c && c <= last) || (last <= c && c <= first);
    }
    if (at >= pattern.len) {
        return 0;
    }
    *ret_in = in != inverted;
    return at + 1 - open;
}

/* Matches one byte against the element of the pattern that begins at `at`. The element's length;
 * 0 when it does not match. A '[' that is never closed and a '\' at the end stand for themselves.
 */
static size_t match_element(struct str pattern, size_t at, char c)
{
    size_t set_len;
    bool in = false;

    if (at == pattern.len) {
        return 0;
    }
    switch (pattern.ptr[at]) {
    case '?': return 1;
    case '[':
        set_len = match_set(pattern, at, (unsigned char)c, &in);
        if (set_len > 0) {
            return in ? set_len : 0;
        }
        break;
    case '\\':
        if (at + 1 < pattern.len) {
            return pattern.ptr[at + 1] == c ? 2 : 0;
        }
        break;
    default: break;
    }
    return pattern.ptr[at] == c ? 1 : 0;
}

bool str_glob(struct str pattern, struct str text)
{
    const size_t none = SIZE_MAX;
    size_t p = 0;
    size_t t = 0;
    size_t after_star = none; /* where to go back to: only the last '*' can still help */
    size_t retry = 0;

    while (t < text.len) {
        if (p < pattern.len && pattern.ptr[p] == '*') {
            after_star = ++p;
            retry = t;
            continue;
        }
        size_t len = match_element(pattern, p, text.ptr[t]);
        if (len > 0) {
            p += len;
            t++;
        } else if (after_star != none) {
            p = after_star;
            t = ++retry;
        } else {
            return false;
        }
    }
    while (p < pattern.len && pattern.ptr[p] == '*') {
        p++;
    }
    return p == pattern.len;
}

char *str_dup(struct str s)
{
    char *copy = malloc(s.len + 1);

    if (!copy) {
        return NULL;
    }
    if (s.len > 0) {
        memcpy(copy, s.ptr, s.len);
    }
    copy[s.len] = '\0';
    return copy;
}
