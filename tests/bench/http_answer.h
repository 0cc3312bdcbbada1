/* The least of HTTP/1.1 that every server under measurement answers with: a status line,
 * Content-Length, a body. */
#ifndef BELFRY_BENCH_HTTP_ANSWER_H
#define BELFRY_BENCH_HTTP_ANSWER_H

#include <stdbool.h>

#include "base/str.h"

struct http_answer {
    int status;
    struct str body; /* in the bytes */
    size_t size;     /* of head and body together */
};

/* bytes begin with an answer. False: it is not complete yet. What has no Content-Length, or is no
 * HTTP, ends the program (see cli.h). */
bool http_answer_read(struct str bytes, struct http_answer *ret_answer);

#endif
