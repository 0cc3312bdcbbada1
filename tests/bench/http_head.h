/* The head of an HTTP/1.1 message: its first line and its headers. */
#ifndef BELFRY_BENCH_HTTP_HEAD_H
#define BELFRY_BENCH_HTTP_HEAD_H

#include "base/str.h"

/* With the empty line at its end; false while that is not there. */
bool http_head_read(struct str data, struct str *ret_head);

/* name: in lower case, with its colon. The value is trimmed; it is empty where there is none. */
struct str http_head_value(struct str head, struct str name);

#endif
