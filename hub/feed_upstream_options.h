/* One item of "upstreams" of a feed: what is asked, how, and what becomes of the answer. */
#ifndef BELFRY_HUB_FEED_UPSTREAM_OPTIONS_H
#define BELFRY_HUB_FEED_UPSTREAM_OPTIONS_H

#include "base/config.h"
#include "upstreams/upstream_options.h"

/* What stands in the document for an upstream that has no fresh value. */
enum feed_on_failure {
    FEED_ON_FAILURE_STALE, /* its last good value within stale_ttl; null without one */
    FEED_ON_FAILURE_NULL,
    FEED_ON_FAILURE_OMIT, /* nothing */
    FEED_ON_FAILURE_FAIL, /* the refresh fails, and nothing is stored or published */
};

struct feed_upstream_options {
    char *name;
    int method; /* enum fetch_method */
    char *url;  /* this, query, headers and body: a request_template over the feed's parameters, and
                   over values of upstreams in needs ("{user.id}") */
    struct config_list query;   /* of struct config_pair */
    struct config_list headers; /* of struct config_pair */
    char *body;
    struct config_list needs; /* of char *: names of upstreams whose answers come first */

    char *select;              /* JSON Pointer into the answer; "": all of it */
    struct config_list allow;  /* of char *: pointers (shape.h) */
    struct config_list deny;   /* of char * */
    struct config_list rename; /* of struct config_pair: member, new name */
    char *group;               /* "": none */
    char *as;                  /* the document's member; "": name */
    int on_failure;            /* enum feed_on_failure */
    int64_t stale_ttl_ms;      /* 0: without an end */
    bool conditional;          /* asks with If-None-Match or If-Modified-Since where it can */

    struct upstream_options how;
};

/* All keys; and those of them that a caller of POST /api/fanout may use (no files, no proxy, no
 * memory of former calls). There the other numbers are 0, and the other texts empty. */
extern const struct config_shape feed_upstream_shape;
extern const struct config_shape feed_fanout_upstream_shape;

/* Of the key "upstreams" of the object being checked: names and needs, and what stands in {}, which
 * are names under its key "params", or values of needs. params: NULL when it has no such key. */
void feed_upstreams_check(struct config_reader *reader, const struct config_list *upstreams,
                          const struct config_list *params);

#endif
