/* The configuration's sections "feeds" and "upstreams". */
#ifndef BELFRY_HUB_FEED_OPTIONS_H
#define BELFRY_HUB_FEED_OPTIONS_H

#include "base/config.h"
#include "hub/feed_upstream_options.h"

/* While what a feed is refreshed by itself. */
enum feed_while {
    FEED_WHILE_WATCHED, /* somebody is in its channel, or reads its event stream */
    FEED_WHILE_ALWAYS,  /* only feeds without parameters */
};

struct feed_refresh_options {
    int64_t every_ms;   /* 0: not by itself */
    int ever;           /* enum feed_while; key "while" */
    int64_t jitter;     /* percent of every_ms, half of it before and half after */
    int64_t grace_ms;   /* it goes on for so long after the last one has gone */
    bool respect_cache; /* an upstream is not asked before its Cache-Control or Retry-After says so
                         */
};

enum feed_merge {
    FEED_MERGE_OBJECT, /* a member for each upstream */
    FEED_MERGE_FLAT,   /* the members of all, the later one's where they have the same name */
    FEED_MERGE_ARRAY,  /* the elements of all, one after the other */
};

enum feed_push {
    FEED_PUSH_CHANGES, /* a snapshot is published when it differs from the one before */
    FEED_PUSH_ALWAYS,  /* after each refresh */
};

/* Who may read GET /feeds/NAME. */
enum feed_access {
    FEED_ACCESS_KEY,    /* who has the API key */
    FEED_ACCESS_TOKEN,  /* who has a connection token, or a subscription token of the channel */
    FEED_ACCESS_PUBLIC, /* everybody */
};

struct feed_options {
    char *name;
    char *channel;             /* "city:{city}" */
    struct config_list params; /* of struct config_pair: name, pattern (POSIX extended, anchored) */
    int64_t timeout_ms;
    struct feed_refresh_options refresh;
    int64_t max_age_ms; /* a subscriber, or a reader, who finds a snapshot older than this starts a
                           refresh; 0: refresh.every, where there is one */
    int merge;          /* enum feed_merge */
    bool meta;          /* the document has a member "_meta" */
    int push;           /* enum feed_push */
    int64_t min_interval_ms;           /* between two publications; the newest waits for its time */
    int access;                        /* enum feed_access */
    int64_t stale_while_revalidate_ms; /* said in Cache-Control of GET /feeds/NAME */
    char *hook_secret;                 /* of POST /hooks/feeds/NAME; "": there is no such hook */
    int64_t snapshot_limit;            /* parameter values whose snapshot is kept */
    int64_t runs_size;                 /* last runs that are kept; 0: none */
    int64_t runs_ttl_ms;
    struct config_list upstreams; /* of struct feed_upstream_options */
};

extern const struct config_shape feed_options_shape;

/* What POST /api/fanout may say of itself: "upstreams" (feed_fanout_upstream_shape's keys),
 * "merge", "meta", "timeout", "channel". Read by config_read_request() into a struct feed_options.
 */
extern const struct config_shape fanout_request_shape;

struct upstreams_options {
    int64_t max_concurrent;
    int64_t max_concurrent_per_host;
    int64_t max_waiting;
    int64_t max_body_size;   /* bytes of one answer */
    int64_t max_refreshes;   /* runs at one time */
    int64_t max_watched;     /* feeds (with their parameters) that are refreshed by themselves */
    int64_t memory_max_size; /* bytes of snapshots and values kept in memory */
    struct config_list allow_hosts; /* of char *: address_guard.h */
    bool direct;                    /* plain requests without libcurl: fetch.h */
};

extern const struct config_shape upstreams_options_shape;

#endif
