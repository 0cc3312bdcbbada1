/* How the last runs of a feed went: gathered for a moment, then written to the storage together. */
#ifndef BELFRY_HUB_FEED_RUNS_H
#define BELFRY_HUB_FEED_RUNS_H

#include <stdbool.h>
#include <stdint.h>

struct feed;
struct feed_runs;
struct hub;
struct refresh;

/* Of a feed that keeps runs. */
struct feed_runs *feed_runs_create(struct feed *feed);
/* What was not written is lost: feed_runs_flush() first. None of its writes may be under way.
 * Accepts NULL. */
void feed_runs_destroy(struct feed_runs *runs);

/* runs NULL: nothing is kept. */
void feed_runs_add(struct feed_runs *runs, const struct refresh *r, int64_t duration_us);
/* Writes what is there now. True: wait->done() comes when that, and what was written before, is
 * committed. False: nothing is to be written, and done() does not come. Accepts NULL for both. */
struct feed_runs_wait {
    struct feed_runs_wait *next;
    void (*done)(void *arg);
    void *arg;
};
bool feed_runs_flush(struct feed_runs *runs, struct feed_runs_wait *wait);

#endif
