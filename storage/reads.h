/* Reading back, from either thread's connection: inside a transaction of the caller, so that what
 * is found belongs together. */
#ifndef BELFRY_STORAGE_READS_H
#define BELFRY_STORAGE_READS_H

#include "storage/db.h"
#include "storage/storage.h"

struct reads;

enum status reads_create(struct db *db, struct reads **ret_reads) MUST_CHECK;
/* Accepts NULL. */
void reads_destroy(struct reads *reads);

/* Fills in the "out" part but the status. STATUS_NOT_FOUND: first the stream must be made by
 * streams_use(); nothing was read. After a failure what was found is still to be released.
 * ret_is_use_due: its life wants to be prolonged. */
enum status reads_history(struct reads *reads, struct storage_history *history, int64_t now_ms,
                          bool *ret_is_use_due) MUST_CHECK;
enum status reads_feed(struct reads *reads, struct storage_feed_read *read,
                       int64_t now_ms) MUST_CHECK;
enum status reads_runs(struct reads *reads, struct storage_runs_read *read,
                       int64_t now_ms) MUST_CHECK;
enum status reads_events(struct reads *reads, struct storage_events_read *read) MUST_CHECK;

#endif
