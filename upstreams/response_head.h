/* The head of an answer, line by line. Only the few header lines that are used are looked at; the
 * first letter decides. */
#ifndef BELFRY_UPSTREAMS_RESPONSE_HEAD_H
#define BELFRY_UPSTREAMS_RESPONSE_HEAD_H

#include "upstreams/fetch.h"

#define RESPONSE_HEAD_TEXT_MAX 1024

/* Zero-initialise it, then reset it. */
struct response_head {
    struct fetch_head head; /* complete once is_complete; the status is there before */
    bool is_complete;       /* the end of a head that is not an interim one (1xx) */
    bool has_location;
    bool is_gzip; /* the body's only encoding is gzip or deflate */
    /* Until it is complete. */
    bool is_interim;
    bool forbids_reuse; /* no-store, no-cache, private */
    bool has_coding;    /* Transfer-Encoding: the length says nothing */
    int64_t shared_max_age_s;
    int64_t max_age_s;
    int64_t age_s;
    char etag[RESPONSE_HEAD_TEXT_MAX];
    char last_modified[RESPONSE_HEAD_TEXT_MAX];
    char content_type[RESPONSE_HEAD_TEXT_MAX];
    char cache_control[RESPONSE_HEAD_TEXT_MAX];
};

/* Nothing has come. */
void response_head_reset(struct response_head *h);
/* A line with its end, as libcurl passes it: a status line begins anew, an empty one completes;
 * after that nothing counts. */
void response_head_line(struct response_head *h, struct str line);

#endif
