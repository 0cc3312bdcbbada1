/* A feed made ready from its options: patterns compiled, URLs parsed; and an instance of it: the
 * feed with one set of parameter values. */
#ifndef BELFRY_HUB_FEED_H
#define BELFRY_HUB_FEED_H

#include "base/buf.h"
#include "hub/feed_options.h"
#include "hub/hub.h"
#include "upstreams/url_template.h"

struct feed;
struct feed_instance;

#define FEED_PARAM_MAX_BYTES 256

/* The options have been checked; STATUS_INVALID all the same when they do not hold. */
enum status feed_create(const struct feed_options *options, struct feed **ret_feed) MUST_CHECK;
/* Accepts NULL. */
void feed_destroy(struct feed *feed);
const struct feed_options *feed_options(const struct feed *feed);
struct feed_stats *feed_stats(struct feed *feed);

/* params: checked JSON, an object of strings; or empty. STATUS_INVALID: why is filled in. */
enum status feed_bind(struct feed *feed, struct str params, struct feed_instance **ret_instance,
                      struct buf *why) MUST_CHECK;
void feed_instance_destroy(struct feed_instance *instance);
struct feed *feed_instance_feed(const struct feed_instance *instance);
/* {"city":"bilbao"} in the order of the options: the same for the same values. */
struct str feed_instance_params(const struct feed_instance *instance);
struct str feed_instance_channel(const struct feed_instance *instance);
/* Appends the URL for upstream index. STATUS_INVALID: a value may not stand in it. */
enum status feed_instance_url(const struct feed_instance *instance, size_t index,
                              struct buf *out) MUST_CHECK;

#endif
