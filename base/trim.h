/* Memory back to the system after a crowd has gone. glibc keeps what was freed below the top of its
 * heap: tens of megabytes after a storm of connections, for as long as anything above them lives.
 * Loop's thread only. */
#ifndef BELFRY_BASE_TRIM_H
#define BELFRY_BASE_TRIM_H

#include <stddef.h>

#include "base/deadlines.h"

struct trim {
    struct deadlines *deadlines;
    struct deadline due;
    size_t n_most; /* of the things that were counted since the last time */
    size_t n_now;
    size_t n_then; /* when the waiting began */
};

void trim_init(struct trim *trim, struct deadlines *deadlines);
void trim_stop(struct trim *trim);
/* n: of the things in memory that come and go. When fewer than half of the most are left, and more
 * than a thousand have gone, memory is given back as soon as no more than a thousand go in two
 * seconds: the few that always come and go do not put it off. It takes some milliseconds, which is
 * why it is not done more often. */
void trim_count(struct trim *trim, size_t n);

#endif
