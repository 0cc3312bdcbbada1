/* The writer's side of what feeds remember. For the writer's thread, inside its transaction. */
#ifndef BELFRY_STORAGE_RESULTS_H
#define BELFRY_STORAGE_RESULTS_H

#include "storage/db.h"
#include "storage/storage.h"
#include "storage/sweep.h"

struct results;

enum status results_create(struct db *db, struct sweep_due *sweep_due,
                           struct results **ret_results) MUST_CHECK;
/* Accepts NULL. */
void results_destroy(struct results *results);

/* Writes append->feed. Its position becomes that of the append when this one has one, else it
 * stays. It is kept for retention.meta_ttl_ms from now on; 0: for ever. */
enum status results_write(struct results *results, const struct storage_append *append,
                          int64_t now_ms) MUST_CHECK;

#endif
