/* An answer: what a route fills in, what the query options change, and its encoding. */
#ifndef BELFRY_UPSTREAM_RESPONSE_H
#define BELFRY_UPSTREAM_RESPONSE_H

#include "base/buf.h"
#include "tests/upstream/behaviour.h"
#include "tests/upstream/http.h"

#define RESPONSE_MAX_BODY ((size_t)96 * 1024 * 1024)

struct response {
    int status;
    struct str content_type;
    struct buf body; /* the three are reused from answer to answer */
    struct buf packed;
    struct buf location; /* of a redirect; empty: none */
    bool with_etag;
    bool is_gzip;       /* what the body is, whoever asks */
    int64_t modified_s; /* Last-Modified; 0: none */
};

void response_init(struct response *res);
void response_release(struct response *res);
void response_clear(struct response *res);
/* {"error":"..."} with a status. */
void response_error(struct response *res, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* "text", quoted and escaped. Bytes from 0x80 on pass as they are. */
void response_text(struct response *res, struct str text);
/* Adds "name":number to the object that the body is. Any other body stays as it is. */
void response_add_number(struct response *res, struct str name, int64_t number);
/* Adds "padding":"xxx" so that the object is exactly `size` bytes long, if it is shorter. */
void response_pad(struct response *res, size_t size);

/* Tells apart bodies that differ; no protection against anybody. */
uint64_t response_hash(const struct response *res);
/* Changes status and body as the options ask. */
void response_apply(struct response *res, const struct behaviour *b);
/* Appends head and body, or 304 when the request has that already; *ret_head_len is the length of
 * the head. */
void response_encode(struct response *res, const struct behaviour *b, const struct request *req,
                     struct buf *out, size_t *ret_head_len);

#endif
