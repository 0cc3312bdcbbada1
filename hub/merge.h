/* Puts the values of several upstreams into one document. */
#ifndef BELFRY_HUB_MERGE_H
#define BELFRY_HUB_MERGE_H

#include "base/buf.h"
#include "base/status.h"
#include "base/str.h"

struct merge_part {
    struct str name;
    struct str value; /* checked JSON; empty: null */
};

/* Appends {"name":value,...} on one line, in the order of parts, every value's text byte for byte.
 * STATUS_TOO_LARGE, STATUS_NO_MEMORY: as buf_failed(). */
enum status merge_object(const struct merge_part *parts, size_t n_parts,
                         struct buf *out) MUST_CHECK;

/* The part of a checked answer that a JSON Pointer selects. STATUS_NOT_FOUND when nothing lies
 * there. */
enum status merge_select(struct str answer, struct str pointer, struct str *ret_value) MUST_CHECK;

#endif
