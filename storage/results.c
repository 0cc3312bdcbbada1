/* SPDX-License-Identifier: MIT */
/* Writes what feeds remember: one snapshot per feed and parameters, one value per upstream of it.
 * All state belongs to the writer's thread. */
#include "storage/results.h"

#include <stdlib.h>

#include "storage/streams.h"

enum { SQL_SNAPSHOT, SQL_VALUE, N_SQL };

static const char *const sql[N_SQL] = {
    [SQL_SNAPSHOT] =
        "INSERT INTO feed_snapshots(feed, params, snapshot, completed, time_ms, epoch, offset,"
        " expire_ms) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)"
        " ON CONFLICT(feed, params) DO UPDATE SET snapshot=excluded.snapshot,"
        " completed=excluded.completed, time_ms=excluded.time_ms,"
        " epoch=CASE WHEN excluded.offset>0 THEN excluded.epoch ELSE epoch END,"
        " offset=CASE WHEN excluded.offset>0 THEN excluded.offset ELSE offset END,"
        " expire_ms=excluded.expire_ms"
        " RETURNING id",
    [SQL_VALUE] = "INSERT INTO feed_values(feed_id, upstream, value, http_status, time_ms)"
                  " VALUES(?1, ?2, ?3, ?4, ?5)"
                  " ON CONFLICT(feed_id, upstream) DO UPDATE SET value=excluded.value,"
                  " http_status=excluded.http_status, time_ms=excluded.time_ms",
};

struct results {
    struct sweep_due *sweep_due;
    sqlite3_stmt *stmts[N_SQL];
};

enum status results_create(struct db *db, struct sweep_due *sweep_due, struct results **ret_results)
{
    struct results *r = calloc(1, sizeof(*r));
    if (!r) {
        return STATUS_NO_MEMORY;
    }
    r->sweep_due = sweep_due;
    enum status status = db_prepare(db, sql, r->stmts, N_SQL);
    if (status != STATUS_OK) {
        results_destroy(r);
        return status;
    }
    *ret_results = r;
    return STATUS_OK;
}

void results_destroy(struct results *r)
{
    if (!r) {
        return;
    }
    db_finalize(r->stmts, N_SQL);
    free(r);
}

static enum status write_snapshot(struct results *r, const struct storage_append *append,
                                  int64_t expire_ms, int64_t *ret_id)
{
    const struct storage_feed_write *feed = append->feed;
    struct db_call call = db_call(r->stmts[SQL_SNAPSHOT]);
    db_bind_str(&call, feed->feed);
    db_bind_str(&call, feed->params);
    db_bind_str(&call, feed->snapshot);
    db_bind_i64(&call, feed->completed);
    db_bind_i64(&call, feed->time_ms);
    db_bind_str(&call, str_of(append->position.epoch));
    db_bind_u64(&call, append->position.offset);
    db_bind_i64(&call, expire_ms);
    if (db_row(&call)) {
        *ret_id = db_i64(&call, 0);
    }
    return db_run(&call);
}

static enum status write_value(struct results *r, int64_t id,
                               const struct storage_feed_value *value)
{
    struct db_call call = db_call(r->stmts[SQL_VALUE]);
    db_bind_i64(&call, id);
    db_bind_str(&call, value->upstream);
    db_bind_str(&call, value->value);
    db_bind_i64(&call, value->http_status);
    db_bind_i64(&call, value->time_ms);
    return db_run(&call);
}

enum status results_write(struct results *r, const struct storage_append *append, int64_t now_ms)
{
    int64_t id = 0, expire_ms = INT64_MAX;
    if (append->retention.meta_ttl_ms > 0) {
        expire_ms = streams_time_after(now_ms, append->retention.meta_ttl_ms);
    }
    enum status status = write_snapshot(r, append, expire_ms, &id);
    for (size_t i = 0; i < append->feed->n_values && status == STATUS_OK; i++) {
        status = write_value(r, id, &append->feed->values[i]);
    }
    sweep_due_at(r->sweep_due, expire_ms);
    return status;
}
