/* The writer's side of streams: appending, creating, keeping alive, trimming. Keeps a bounded cache
 * of stream rows, so that an append needs no look-up. For the writer's thread, inside its
 * transaction. */
#ifndef BELFRY_STORAGE_STREAMS_H
#define BELFRY_STORAGE_STREAMS_H

#include "storage/db.h"
#include "storage/storage.h"
#include "storage/sweep.h"

struct streams;

/* sweep_due is told when something will be over. */
enum status streams_create(struct db *db, struct sweep_due *sweep_due,
                           struct streams **ret_streams) MUST_CHECK;
/* Accepts NULL. */
void streams_destroy(struct streams *streams);

/* Writes the publication; fills in its position and time. */
enum status streams_append(struct streams *streams, struct storage_append *append,
                           int64_t now_ms) MUST_CHECK;
/* Makes the stream if there is none, and moves the time at which its position is forgotten. */
enum status streams_use(struct streams *streams, struct str channel,
                        const struct storage_retention *retention, int64_t now_ms) MUST_CHECK;

/* What is cached is no longer true: of one channel, or of all after a rollback. */
void streams_forget(struct streams *streams, struct str channel);
void streams_forget_all(struct streams *streams);

/* Would using the stream now move meta_expire_ms far enough to be worth a write? */
bool streams_use_due(int64_t meta_expire_ms, const struct storage_retention *retention,
                     int64_t now_ms);

/* Their sum, but for ever instead of an overflow. */
int64_t streams_time_after(int64_t now_ms, int64_t duration_ms);

#endif
