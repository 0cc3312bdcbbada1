/* The head of an HTTP/1.1 request. By hand, which a test tool may: what it reads comes from
 * well-behaved clients, and everything else is refused. */
#ifndef BELFRY_UPSTREAM_HTTP_H
#define BELFRY_UPSTREAM_HTTP_H

#include "base/str.h"

#define HTTP_MAX_HEAD    ((size_t)16 * 1024)
#define HTTP_MAX_BODY    ((size_t)16 * 1024 * 1024)
#define HTTP_MAX_HEADERS 100

struct header {
    struct str name;
    struct str value;
};

/* Views into the text that was parsed. */
struct request {
    struct str method;
    struct str target; /* path and query as they came */
    struct str path;
    struct str query; /* without '?' */
    struct str body;
    struct str if_none_match;
    struct header headers[HTTP_MAX_HEADERS];
    size_t n_headers;
    size_t head_len;
    size_t content_length;
    bool keep_alive;
    bool expects_continue;
};

/* 200: *req is filled, the body excepted; 0: the head is not complete yet; otherwise the status to
 * refuse it with. */
int http_parse_head(struct str input, struct request *req);
/* Its value, empty when there is none. */
struct str http_find_header(const struct request *req, struct str name);
struct str http_status_text(int status);

#endif
