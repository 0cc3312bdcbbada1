/* Puts the values of several upstreams into one document, in the order given, whatever came first.
 * Texts are joined, not trees: numbers stay as their upstream wrote them. */
#ifndef BELFRY_HUB_MERGE_H
#define BELFRY_HUB_MERGE_H

#include "base/buf.h"
#include "base/status.h"
#include "base/str.h"
#include "hub/feed_options.h"

struct merge_part {
    struct str as;       /* the member's name */
    struct str value;    /* checked JSON, shaped; empty: null */
    bool is_omitted;     /* leaves no trace but in meta */
    struct str name;     /* these are for meta: of the upstream */
    const char *outcome; /* "fresh", "stale", "timeout" ... */
    int64_t age_ms;      /* of the value; -1: there is none */
};

struct merge_options {
    enum feed_merge how;
    bool meta;
    bool is_completed; /* for meta */
};

/* Appends the document, on one line, every value's text byte for byte.
 * - object: {"as":value,...}; where two parts have one name, the later value stands in the place of
 *   the first.
 * - flat: the members of all objects, in the order of their first appearance, with the value of the
 *   last; a value that is no object is a member by its name `as`.
 * - array: the elements of arrays, and values that are no arrays as elements; null for an empty
 *   value.
 * meta adds the last member "_meta" (not to an array; other members of that name are left out):
 * {"completed":true,"upstreams":{"air":{"outcome":"fresh","age_ms":0},...}}, with "age_ms":null
 * where there is no value.
 * STATUS_TOO_LARGE, STATUS_NO_MEMORY: as buf_failed(). */
enum status merge_parts(const struct merge_options *options, const struct merge_part *parts,
                        size_t n_parts, struct buf *out) MUST_CHECK;

/* Do two checked documents made with meta say the same, byte for byte, beside their "_meta", and
 * are both or neither completed? Either may be something that another configuration has made: one
 * without "_meta" differs from one that has it. */
bool merge_is_same(struct str a, struct str b);

/* The part of a checked answer that a JSON Pointer selects. STATUS_NOT_FOUND when nothing lies
 * there. */
enum status merge_select(struct str answer, struct str pointer, struct str *ret_value) MUST_CHECK;

#endif
