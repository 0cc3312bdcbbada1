/* Regular expressions (PCRE2). What Go's RE2 syntax says means the same here: a search anywhere in
 * the text unless ^ or $ say otherwise, $ is the very end, . is one character of UTF-8. What a
 * search may cost is bounded, so that no text holds the loop. A pattern is for one thread. */
#ifndef BELFRY_BASE_PATTERN_H
#define BELFRY_BASE_PATTERN_H

#include "base/status.h"
#include "base/str.h"

#define PATTERN_TEXT_MAX 4096 /* bytes; a longer text matches nothing */

struct pattern;

struct pattern_error {
    size_t offset;   /* where in the text */
    char words[120]; /* PCRE2's own */
};

/* STATUS_INVALID fills ret_error (may be NULL). STATUS_NO_MEMORY. */
enum status pattern_create(struct str text, struct pattern **ret_pattern,
                           struct pattern_error *ret_error) MUST_CHECK;
/* Accepts NULL. */
void pattern_destroy(struct pattern *pattern);

/* Bytes that are not UTF-8 match nothing. A search that reaches its bounds is given up: false, and
 * a line in the log. */
bool pattern_matches(const struct pattern *pattern, struct str text);

#endif
