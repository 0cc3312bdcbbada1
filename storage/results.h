/* The writer's side of what feeds remember. For the writer's thread, inside its transaction. */
#ifndef BELFRY_STORAGE_RESULTS_H
#define BELFRY_STORAGE_RESULTS_H

#include "storage/counts.h"
#include "storage/db.h"
#include "storage/storage.h"
#include "storage/sweep.h"

struct results;

/* count: of all snapshots; those that the file has are counted. */
enum status results_create(struct db *db, struct sweep_due *sweep_due, struct count *count,
                           struct results **ret_results) MUST_CHECK;
/* Accepts NULL. */
void results_destroy(struct results *results);

/* Writes append->feed. Its position becomes that of the append when this one has one, else it
 * stays. It is kept for retention.meta_ttl_ms from now on; 0: for ever. What the feed has beyond
 * its limit goes, the oldest first and never this one. */
enum status results_write(struct results *results, const struct storage_append *append,
                          int64_t now_ms) MUST_CHECK;
/* Fills in n_removed. */
enum status results_purge(struct results *results, struct storage_feed_purge *purge) MUST_CHECK;
/* Removes what is over, some hundred at a time. */
enum status results_expire(struct results *results, int64_t now_ms) MUST_CHECK;
/* What is known of the file's rows is no longer true. */
void results_rolled_back(struct results *results);

#endif
