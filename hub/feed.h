/* A feed made ready from its options: patterns compiled, requests parsed, shapes made, what needs
 * what resolved; and the upstreams behind it. */
#ifndef BELFRY_HUB_FEED_H
#define BELFRY_HUB_FEED_H

#include <regex.h>

#include "base/lifetime.h"
#include "hub/feed_options.h"
#include "hub/hub.h"
#include "hub/shape.h"
#include "upstreams/request_template.h"

/* Where the value of a place in a request comes from. */
struct feed_source {
    bool is_param;
    size_t index;      /* of the parameter, or of the upstream */
    struct str member; /* "id.first" of "{user.id.first}" */
};

struct feed_upstream {
    const struct feed_upstream_options *options;
    struct request_template *request;
    struct feed_source *sources; /* one per name of the request */
    size_t *needs;               /* indices of upstreams */
    size_t n_needs;
    struct shape *shape; /* or NULL */
    struct upstream *upstream;
};

/* A piece of the channel's template. */
struct feed_channel_piece {
    struct str text; /* of the template; where it is no parameter */
    bool is_param;
    size_t param;
};

struct feed {
    unsigned n_refs;
    struct hub *hub;
    const struct feed_options *options;
    struct lifetime *lifetime; /* of the options, held; NULL: they live anyway */
    bool is_retired;           /* the configuration has another one of its name, or none */
    bool is_ad_hoc; /* of a caller: there is no memory of it, and its hosts are guarded */
    struct feed_stats stats;
    regex_t *patterns; /* one per parameter */
    size_t n_patterns;
    struct feed_upstream *upstreams;
    size_t n_upstreams;
    bool has_needs;
    struct feed_channel_piece *channel;
    size_t n_channel_pieces;
    bool is_told_by_channel; /* the channel's name tells all parameters */
    struct feed_runs *runs;  /* feed_runs.h; NULL: none are kept */
};

/* The options have been checked and outlive the feed (see lifetime); STATUS_INVALID all the same
 * when they do not hold. The caller has the first reference: others are of instances, of runs, and
 * of operations that read and write what is kept. */
enum status feed_create(struct hub *hub, const struct feed_options *options, bool is_ad_hoc,
                        struct feed **ret_feed) MUST_CHECK;
struct feed *feed_ref(struct feed *feed);
/* Accepts NULL. */
void feed_unref(struct feed *feed);
/* Are the two made of the same configuration, also what stands in its files? */
bool feed_options_are_same(const struct feed_options *a, const struct feed_options *b);

struct str feed_name(const struct feed *feed);
const struct config_pair *feed_param(const struct feed *feed, size_t index);
size_t feed_n_params(const struct feed *feed);
bool feed_find_param(const struct feed *feed, struct str name, size_t *ret_index);
/* How old a snapshot may be when somebody comes for it; 0: any. */
int64_t feed_max_age_ms(const struct feed *feed);

#endif
