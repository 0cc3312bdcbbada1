/* The letters of JSON, for json_check.c and json_span.c only. */
#ifndef BELFRY_BASE_JSON_TEXT_H
#define BELFRY_BASE_JSON_TEXT_H

#include "base/str.h"

static inline bool json_is_blank(char c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static inline bool json_is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static inline const char *json_skip_blanks(const char *at, const char *end)
{
    while (at < end && json_is_blank(*at)) {
        at++;
    }
    return at;
}

/* Neither a quote, a backslash, a control character nor part of a multi-byte sequence. */
static inline bool json_is_plain(char c)
{
    return (unsigned char)c >= 0x20 && (unsigned char)c < 0x80 && c != '"' && c != '\\';
}

/* Are all eight bytes plain? A subtraction sets the high bit of a byte that was too small; a borrow
 * can spoil only a byte above such a one. */
static inline bool json_word_is_plain(const char *at)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    const uint64_t high = UINT64_C(0x8080808080808080);
    uint64_t word;

    memcpy(&word, at, sizeof(word));
    uint64_t controls = word - ones * 0x20;
    uint64_t quotes = (word ^ ones * '"') - ones;
    uint64_t backslashes = (word ^ ones * '\\') - ones;
    return ((word | controls | quotes | backslashes) & high) == 0;
}

static inline const char *json_skip_plain(const char *at, const char *end)
{
    while ((size_t)(end - at) >= sizeof(uint64_t) && json_word_is_plain(at)) {
        at += sizeof(uint64_t);
    }
    while (at < end && json_is_plain(*at)) {
        at++;
    }
    return at;
}

/* The value of four hexadecimal digits, or -1. */
static inline int32_t json_hex4(const char *at, const char *end)
{
    int32_t value = 0;

    if (end - at < 4) {
        return -1;
    }
    for (int i = 0; i < 4; i++) {
        char c = at[i];
        int digit = json_is_digit(c)       ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0) {
            return -1;
        }
        value = value << 4 | digit;
    }
    return value;
}

#endif
