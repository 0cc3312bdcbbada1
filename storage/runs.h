/* The writer's side of what is remembered of refreshes. For the writer's thread, inside its
 * transaction. */
#ifndef BELFRY_STORAGE_RUNS_H
#define BELFRY_STORAGE_RUNS_H

#include "storage/db.h"
#include "storage/storage.h"
#include "storage/sweep.h"

struct runs;

enum status runs_create(struct db *db, struct sweep_due *sweep_due,
                        struct runs **ret_runs) MUST_CHECK;
/* Accepts NULL. */
void runs_destroy(struct runs *runs);

enum status runs_append(struct runs *runs, const struct storage_runs_append *append,
                        int64_t now_ms) MUST_CHECK;
/* Removes what is over, some hundred at a time. */
enum status runs_expire(struct runs *runs, int64_t now_ms) MUST_CHECK;
/* What is known of the file's rows is no longer true. */
void runs_rolled_back(struct runs *runs);

#endif
