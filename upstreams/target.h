/* Where an http or https URL leads, as libcurl reads it. */
#ifndef BELFRY_UPSTREAMS_TARGET_H
#define BELFRY_UPSTREAMS_TARGET_H

#include <stdbool.h>

struct target {
    bool is_https;
    bool has_user; /* a name or a password stands in it */
    unsigned port;
    char host[256]; /* as it is looked up: lower case, ASCII; without brackets */
};

/* False: it is none, or memory is short. */
bool target_read(const char *url, struct target *ret_target);
bool target_eq(const struct target *a, const struct target *b);

#endif
