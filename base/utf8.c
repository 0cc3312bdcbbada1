/* SPDX-License-Identifier: MIT */
/* UTF-8 validation after the table of well-formed sequences in RFC 3629 section 4. Text is mostly
 * ASCII, which is passed over eight bytes at a time. */
#include "base/utf8.h"

static bool is_tail(char c)
{
    return ((unsigned char)c & 0xc0) == 0x80;
}

/* The range of the second byte is what excludes overlong forms, surrogates and too large ones. */
static bool second_fits(unsigned char first, unsigned char second)
{
    switch (first) {
    case 0xe0: return second >= 0xa0 && second <= 0xbf;
    case 0xed: return second >= 0x80 && second <= 0x9f;
    case 0xf0: return second >= 0x90 && second <= 0xbf;
    case 0xf4: return second >= 0x80 && second <= 0x8f;
    default: return second >= 0x80 && second <= 0xbf;
    }
}

static size_t len_of_first(unsigned char first)
{
    if (first < 0x80) {
        return 1;
    }
    if (first < 0xc2 || first > 0xf4) {
        return 0;
    }
    return first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
}

size_t utf8_sequence(struct str s)
{
    size_t len = s.len > 0 ? len_of_first((unsigned char)s.ptr[0]) : 0;

    if (len <= 1) {
        return len;
    }
    if (len > s.len || !second_fits((unsigned char)s.ptr[0], (unsigned char)s.ptr[1])) {
        return 0;
    }
    for (size_t i = 2; i < len; i++) {
        if (!is_tail(s.ptr[i])) {
            return 0;
        }
    }
    return len;
}

static size_t ascii_run(struct str s)
{
    size_t len = 0;

    while (s.len - len >= sizeof(uint64_t)) {
        uint64_t word;
        memcpy(&word, s.ptr + len, sizeof(word));
        if (word & UINT64_C(0x8080808080808080)) {
            break;
        }
        len += sizeof(word);
    }
    while (len < s.len && (unsigned char)s.ptr[len] < 0x80) {
        len++;
    }
    return len;
}

bool utf8_valid(struct str s)
{
    for (;;) {
        s = str_tail(s, ascii_run(s));
        if (s.len == 0) {
            return true;
        }
        size_t len = utf8_sequence(s);
        if (len == 0) {
            return false;
        }
        s = str_tail(s, len);
    }
}

size_t utf8_encode(uint32_t code_point, char sequence[4])
{
    static const unsigned char first_marks[] = {0, 0x00, 0xc0, 0xe0, 0xf0};
    size_t len = code_point < 0x80 ? 1 : code_point < 0x800 ? 2 : code_point < 0x10000 ? 3 : 4;

    for (size_t i = len; i-- > 1;) {
        sequence[i] = (char)(0x80 | (code_point & 0x3f));
        code_point >>= 6;
    }
    sequence[0] = (char)(first_marks[len] | code_point);
    return len;
}
