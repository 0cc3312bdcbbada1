/* The writer's side of streams: appending, creating, keeping alive, trimming. Keeps a bounded cache
 * of stream rows, so that an append needs no look-up, and writes each changed row once per
 * transaction. For the writer's thread, inside its transaction. */
#ifndef BELFRY_STORAGE_STREAMS_H
#define BELFRY_STORAGE_STREAMS_H

#include "storage/counts.h"
#include "storage/db.h"
#include "storage/storage.h"
#include "storage/sweep.h"

struct streams;

/* Counts those that the file has. sweep_due is told when something will be over. */
enum status streams_create(struct db *db, struct sweep_due *sweep_due, struct count *count,
                           struct streams **ret_streams) MUST_CHECK;
/* Accepts NULL. */
void streams_destroy(struct streams *streams);

/* Writes the publication, unless its version suppresses it; fills in what became of it.
 * STATUS_OVERLOADED: there are too many streams; nothing was changed. */
enum status streams_append(struct streams *streams, struct storage_append *append,
                           int64_t now_ms) MUST_CHECK;
/* Makes the stream if there is none, and moves the time at which its position is forgotten; its row
 * is as it says when this returns. STATUS_OVERLOADED as above. */
enum status streams_use(struct streams *streams, struct str channel,
                        const struct storage_retention *retention, int64_t now_ms) MUST_CHECK;
/* The same for a stream that is there; does nothing when there is none. */
enum status streams_prolong(struct streams *streams, struct str channel,
                            const struct storage_retention *retention, int64_t now_ms) MUST_CHECK;
/* No publication counts any more. All zero: there is no such stream. */
enum status streams_remove(struct streams *streams, struct str channel, int64_t now_ms,
                           struct storage_position *ret_top) MUST_CHECK;
/* Writes the rows that have changed; before each commit. */
enum status streams_save(struct streams *streams) MUST_CHECK;

/* What is cached is no longer true: of one channel whose row is saved, or of all after a rollback.
 */
void streams_forget(struct streams *streams, struct str channel);
void streams_forget_all(struct streams *streams);

/* Would using the stream now move meta_expire_ms far enough to be worth a write? */
bool streams_use_due(int64_t meta_expire_ms, const struct storage_retention *retention,
                     int64_t now_ms);

/* Their sum, but for ever instead of an overflow. */
int64_t streams_time_after(int64_t now_ms, int64_t duration_ms);

struct storage_position streams_position(struct str epoch, uint64_t offset);

#endif
