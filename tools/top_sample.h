/* What a hub says of itself, as plain figures: the answers of the server API (info, feeds) and of
 * /metrics, read, and compared with those before. Nothing here waits or prints. A figure that the
 * hub does not tell is NAN. */
#ifndef BELFRY_TOOLS_TOP_SAMPLE_H
#define BELFRY_TOOLS_TOP_SAMPLE_H

#include "base/status.h"
#include "base/str.h"
#include "upstreams/upstream.h"

/* What top_sample_read_answer() reads the answer of: to POST /api/batch. */
#define TOP_SAMPLE_COMMANDS "{\"commands\":[{\"info\":{}},{\"feeds\":{}}]}"

#define TOP_BUCKETS_MAX 64

struct top_histogram {
    size_t n_buckets;
    double bounds[TOP_BUCKETS_MAX]; /* in seconds, rising; the last is infinite */
    double counts[TOP_BUCKETS_MAX]; /* of all that is not above the bound */
};

/* Upper bounds in seconds; NAN: there was nothing in that time. */
struct top_spread {
    double p50;
    double p99;
    double highest;
};

struct top_hub {
    struct str version;
    double n_clients;
    double n_users;
    double n_subscriptions;
    double n_channels;
    double uptime_s;
    double cpu_s;
    double memory_bytes;
};

struct top_figures {
    double publications; /* counters, since the hub's start */
    double messages_in;  /* from clients */
    double bytes_in;
    double messages_out; /* publications times subscribers */
    double bytes_out;
    double slow_clients;
    double commits;
    double queue_length; /* operations that wait for the storage */
    double queue_bytes;
    double queue_max_bytes;
    struct top_histogram loop_lag;
    struct top_histogram commit_time;
};

struct top_feed {
    struct str name;
    double running;
    double refreshes;
    double shared;
    double changed;
    double incomplete;
    double failed;
    double scheduled;
    double not_modified;
    double watched;
    double last_time; /* milliseconds since 1970-01-01 UTC; 0: never */
    double last_duration_ms;
    double p50_ms; /* of its slowest upstream, for which a refresh waits */
    double p90_ms;
    double p99_ms;
    double refreshes_per_s;
};

struct top_upstream {
    struct str feed;
    struct str name;
    struct str breaker;
    double breaker_opened;
    double calls;
    double attempts;
    double retries;
    double hedges;
    double hedges_won;
    double budget_spent;
    double active;
    double waiting;
    double p50_ms;
    double p90_ms;
    double p99_ms;
    double outcomes[N_UPSTREAM_OUTCOMES];
    double calls_per_s;
    double failures_per_s;
};

/* From one sample to the next; NAN: there is none before, or the hub was started anew. */
struct top_rates {
    double cpu_percent;
    double publications;
    double messages_in;
    double bytes_in;
    double messages_out;
    double bytes_out;
    double commits;
    struct top_spread loop_lag;
    struct top_spread commit_time;
};

struct top_sample {
    int64_t time_us; /* monotonic */
    bool has_hub;
    bool has_feeds;
    bool has_figures;
    struct str hub_refused; /* in the hub's words; empty with has_... */
    struct str feeds_refused;
    struct top_hub hub;
    struct top_figures figures;
    struct top_rates rates;
    struct top_feed *feeds;
    size_t n_feeds;
    struct top_upstream *upstreams; /* of all feeds */
    size_t n_upstreams;
    char *text; /* the answer, which the views above are of */
};

/* Empty, and of that time. */
void top_sample_init(struct top_sample *sample, int64_t time_us);
void top_sample_release(struct top_sample *sample);

/* Once each. The text is copied. STATUS_INVALID: that is no such answer; STATUS_NO_MEMORY. */
enum status top_sample_read_answer(struct top_sample *sample, struct str text) MUST_CHECK;
enum status top_sample_read_figures(struct top_sample *sample, struct str text) MUST_CHECK;

/* Sets all rates. before: NULL: there is none. */
void top_sample_compare(struct top_sample *sample, const struct top_sample *before);

/* Questions that were not answered well. */
double top_upstream_failures(const struct top_upstream *upstream);

/* What the spread of everything since the start is. */
struct top_spread top_histogram_spread(const struct top_histogram *histogram);

/* The figures by the names that the hub has for them. */
struct top_member {
    const char *name;
    size_t offset; /* of a double */
};
extern const struct top_member top_hub_members[];    /* cpu and rss are of its "process" */
extern const struct top_member top_figure_members[]; /* names that are this program's */
extern const struct top_member top_feed_members[];   /* of its "state" */
extern const struct top_member top_upstream_members[];
/* Ends with a member without a name. */
double top_member_of(const struct top_member *member, const void *figures);

#endif
