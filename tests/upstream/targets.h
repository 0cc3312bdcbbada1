/* What is remembered of a request's target, which is its path with its query: how often it was
 * asked to fail, and since when its body is what it is. */
#ifndef BELFRY_UPSTREAM_TARGETS_H
#define BELFRY_UPSTREAM_TARGETS_H

#include "base/str.h"

#define TARGETS_MAX 1000

struct targets;

struct targets *targets_create(void);
void targets_destroy(struct targets *t);
/* Forgets all. */
void targets_reset(struct targets *t);

/* Counts a request: is it one of the first n to that target? False without *ret_fails: no room for
 * one more target. */
bool targets_count(struct targets *t, struct str target, int64_t n, bool *ret_fails);
/* The second since which its body has this hash. It never gets the same second twice, as
 * Last-Modified knows nothing finer: a body that changes more often runs ahead of the clock. False:
 * no room. */
bool targets_modified(struct targets *t, struct str target, uint64_t body_hash,
                      int64_t *ret_modified_s);

#endif
