/* JSON objects one behind the other, with or without blanks in between: the body of POST /api. */
#ifndef BELFRY_PROTOCOLS_API_STREAM_H
#define BELFRY_PROTOCOLS_API_STREAM_H

#include "base/status.h"
#include "base/str.h"

struct api_stream_fault {
    size_t offset;
    const char *expected; /* static text */
};

/* STATUS_INVALID: something in it is not an object. STATUS_LIMIT: there is none, or more than max.
 */
enum status api_stream_check(struct str stream, size_t max, size_t *ret_n,
                             struct api_stream_fault *ret_fault) MUST_CHECK;
/* The next one of a stream that was found good. False: there is none. */
bool api_stream_next(struct str *rest, struct str *ret_object);

#endif
