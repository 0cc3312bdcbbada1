/* Bodies that are compressed (Content-Encoding: gzip or deflate), inflated piece by piece with
 * zlib. Which of the formats it is, the first byte says: gzip's frame, zlib's, which is what
 * deflate means, or none, which is how some servers understand it. Loop's thread only. */
#ifndef BELFRY_UPSTREAMS_INFLATER_H
#define BELFRY_UPSTREAMS_INFLATER_H

#include "base/buf.h"

struct inflater;

/* Those that nobody uses: about 40 KiB each, so only some are kept. Zero-initialise it. */
struct inflaters {
    struct inflater *free;
    unsigned n_free;
};

enum inflated {
    INFLATED,
    INFLATED_TOO_MUCH, /* the buffer's maximum is reached and there is more */
    INFLATED_NOTHING,  /* it is no such format, or memory is short */
};

/* NULL when memory is short. */
struct inflater *inflater_take(struct inflaters *all);
void inflater_give(struct inflaters *all, struct inflater *inflater);
void inflaters_release(struct inflaters *all);

/* Appends what the bytes come to. What stands behind the end is ignored. */
enum inflated inflater_run(struct inflater *inflater, struct str bytes, struct buf *body);
/* Has all come? Also when nothing has: such answers have no body at all. */
bool inflater_is_complete(const struct inflater *inflater);

#endif
