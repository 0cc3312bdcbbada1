/* What is different between two objects that were read by the same shape, and what a running
 * program can take over of the new one (enum config_change). Items of a list that have a "name" are
 * compared by it. Memory that is short ends the program. */
#ifndef BELFRY_BASE_CONFIG_DIFF_H
#define BELFRY_BASE_CONFIG_DIFF_H

#include "base/config.h"

enum config_difference {
    CONFIG_CHANGED,
    CONFIG_ADDED, /* an item of a list */
    CONFIG_REMOVED,
};

/* path: "client.ping_interval", "feeds[weather].upstreams[air].url", or with the number of an item
 * that has no name; valid during the call. No values: some are secret. needs_restart: it changes
 * only at a start. */
typedef void (*config_differs_fn)(void *arg, const char *path, enum config_difference what,
                                  bool needs_restart);
void config_diff(const struct config_shape *shape, const void *before, const void *after,
                 config_differs_fn each, void *arg);

/* Is every value the same, also the order of lists? */
bool config_is_same(const struct config_shape *shape, const void *a, const void *b);

/* Exchanges the values that change only at a start: so `after` has those which the running program
 * keeps, and, where it points into their texts and lists, the very same. Twice is as never. */
void config_exchange_fixed(const struct config_shape *shape, void *before, void *after);

#endif
