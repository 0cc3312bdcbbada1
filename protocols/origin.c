/* SPDX-License-Identifier: MIT */
#include "protocols/origin.h"

#include <ctype.h>

#define ORIGIN_MAX_BYTES 512

static struct str lower(struct str s, char *out)
{
    for (size_t i = 0; i < s.len; i++) {
        out[i] = (char)tolower((unsigned char)s.ptr[i]);
    }
    return (struct str){out, s.len};
}

bool origin_is_allowed(const struct config_list *allowed_origins, struct str origin)
{
    if (origin.len == 0) {
        return true;
    }
    if (origin.len > ORIGIN_MAX_BYTES) {
        return false;
    }
    char text[ORIGIN_MAX_BYTES];
    char pattern[ORIGIN_MAX_BYTES];
    struct str lower_origin = lower(origin, text);
    char *const *globs = allowed_origins->items;
    for (size_t i = 0; i < allowed_origins->n_items; i++) {
        struct str glob = str_of(globs[i]);
        if (glob.len <= ORIGIN_MAX_BYTES && str_glob(lower(glob, pattern), lower_origin)) {
            return true;
        }
    }
    return false;
}
