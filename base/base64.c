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

static char digit_of(unsigned value, const char *end)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    return value < 62 ? digits[value] : end[value - 62];
}

/* bytes: 1 to 3. Returns how many digits there are. */
static size_t encode_group(struct str bytes, const char *end, char group[4])
{
    unsigned bits = 0;
    for (size_t i = 0; i < 3; i++) {
        bits = bits << 8 | (i < bytes.len ? (unsigned char)bytes.ptr[i] : 0);
    }
    for (size_t i = 0; i <= bytes.len; i++) {
        group[i] = digit_of(bits >> (18 - 6 * i) & 63, end);
    }
    return bytes.len + 1;
}

void base64_encode(struct str bytes, struct buf *out)
{
    for (; bytes.len > 0; bytes = str_tail(bytes, 3)) {
        char group[4] = {0, 0, '=', '='};
        (void)encode_group(str_head(bytes, 3), standard_end, group);
        buf_append(out, (struct str){group, sizeof(group)});
    }
}

void base64url_encode(struct str bytes, struct buf *out)
{
    for (; bytes.len > 0; bytes = str_tail(bytes, 3)) {
        char group[4];
        size_t n = encode_group(str_head(bytes, 3), url_end, group);
        buf_append(out, (struct str){group, n});
    }
}
