/* SPDX-License-Identifier: MIT */
#include "base/base64.h"

/* The last two digits of each alphabet. */
static const char standard_end[] = "+/";
static const char url_end[] = "-_";

static int digit_value(char c, const char *end)
{
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }
    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }
    return c == end[0] ? 62 : c == end[1] ? 63 : -1;
}

static bool decode(struct str text, const char *end, struct buf *out)
{
    unsigned bits = 0;
    int n_bits = 0;
    if (buf_reserve(out, text.len / 4 * 3 + 3) != STATUS_OK) {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        int digit = digit_value(text.ptr[i], end);
        if (digit < 0) {
            return false;
        }
        bits = (bits << 6 | (unsigned)digit) & 0xffff;
        n_bits += 6;
        if (n_bits >= 8) {
            n_bits -= 8;
            buf_append_char(out, (char)(bits >> n_bits & 0xff));
        }
    }
    return true;
}

bool base64_decode(struct str text, struct buf *out)
{
    size_t n_padding = 0;
    while (n_padding < 2 && n_padding < text.len && text.ptr[text.len - 1 - n_padding] == '=') {
        n_padding++;
    }
    return text.len % 4 == 0 && decode(str_head(text, text.len - n_padding), standard_end, out);
}

bool base64url_decode(struct str text, struct buf *out)
{
    return decode(text, url_end, out);
}
