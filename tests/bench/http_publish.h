/* Publishing by POST over a keep-alive connection. */
#ifndef BELFRY_BENCH_HTTP_PUBLISH_H
#define BELFRY_BENCH_HTTP_PUBLISH_H

#include "base/buf.h"
#include "base/str.h"

/* A request to the publishing path of the command line with suffix behind it. */
void http_publish_append(struct buf *out, struct str suffix, struct str body);

/* As a protocol's take_answer: any 2xx without an error in its body, whose length is told by
 * Content-Length, by chunks, or by the status. */
size_t http_publish_take_answer(struct str data, bool *ret_acknowledged);

#endif
