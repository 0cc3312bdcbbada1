/* A subscriber's wish to get only publications with certain tags (FilterNode of the Centrifugo
 * protocol). Immutable.
 *
 * A leaf has a key and a cmp; eq, neq, sw (starts with), ew, ct (contains), gt, gte, lt and lte
 * compare the tag with val; in and nin with vals; ex and nex ask whether there is such a tag. A tag
 * that is not there is matched by neq, nin and nex alone. gt, gte, lt and lte compare decimal
 * numbers (-12.50) exactly, however long; what is no such number never matches. "and" and "or" have
 * at least one of nodes, "not" exactly one. At most 64 nodes, 16 deep, with 100 vals and 8 KiB of
 * text together. */
#ifndef BELFRY_HUB_TAGS_FILTER_H
#define BELFRY_HUB_TAGS_FILTER_H

#include <stdbool.h>

#include "base/status.h"
#include "base/str.h"

struct tags_filter;

/* From the checked JSON of a subscribe command's "tf". STATUS_INVALID: an unknown operator, members
 * of a wrong type or that do not go together, too many nodes or too deep; STATUS_NO_MEMORY. */
enum status tags_filter_create(struct str json, struct tags_filter **ret_filter) MUST_CHECK;
/* Accepts NULL. */
void tags_filter_destroy(struct tags_filter *filter);
/* tags: a checked JSON object of strings, or empty. */
bool tags_filter_matches(const struct tags_filter *filter, struct str tags);

#endif
