/* The values of a feed's parameters: from a caller's JSON, or from the name of a channel. */
#ifndef BELFRY_HUB_FEED_PARAMS_H
#define BELFRY_HUB_FEED_PARAMS_H

#include "hub/feed.h"

#define FEED_PARAM_MAX_BYTES 256

struct feed_params {
    struct str *values; /* one per parameter, in text */
    struct buf text;
    struct buf json;    /* {"city":"bilbao"} in the order of the options: the same for the same
                           values */
    struct buf channel; /* with these values */
};

/* params: checked JSON, an object of strings; or empty. STATUS_INVALID: why is filled in. To be
 * released also then. */
enum status feed_params_read(const struct feed *feed, struct str params,
                             struct feed_params *ret_params, struct buf *why) MUST_CHECK;
/* A cheap look: False: feed_params_match() would be, too. */
bool feed_params_may_match(const struct feed *feed, struct str channel);
/* True: the feed publishes to this channel, with these values. To be released also when not. */
bool feed_params_match(const struct feed *feed, struct str channel, struct feed_params *ret_params);
void feed_params_release(struct feed_params *params);

#endif
