/* SPDX-License-Identifier: MIT */
#include "protocols/request_id.h"

#include <string.h>

#include "base/rng.h"

static bool is_good_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("-._~:+/=@", c));
}

bool request_id_is_good(struct str id)
{
    bool is_good = id.len > 0 && id.len <= REQUEST_ID_MAX_BYTES;
    for (size_t i = 0; is_good && i < id.len; i++) {
        is_good = is_good_char(id.ptr[i]);
    }
    return is_good;
}

void request_id_make(char id[REQUEST_ID_MADE_BYTES])
{
    static const char digits[] = "0123456789abcdef";
    uint64_t bits = rng_u64();
    for (int i = 0; i < REQUEST_ID_MADE_BYTES; i++) {
        id[i] = digits[bits & 15];
        bits >>= 4;
    }
}
