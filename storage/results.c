/* SPDX-License-Identifier: MIT */
/* Writes what feeds remember: one snapshot per feed and parameters, one value per upstream of it.
 * All state belongs to the writer's thread. */
#include "storage/results.h"

#include <stdlib.h>

#include "storage/streams.h"
#include "storage/tally.h"

/* Bound of one transaction: appends wait for it. Normally a new snapshot makes one other go; more
 * do when a feed's limit was made smaller. */
#define MAX_REMOVED 200

enum {
    SQL_UPDATE,
    SQL_INSERT,
    SQL_VALUE,
    SQL_FIND,
    SQL_OLDEST,
    SQL_OVER,
    SQL_REMOVE_VALUES,
    SQL_REMOVE,
    N_SQL,
};

static const char *const sql[N_SQL] = {
    [SQL_UPDATE] = "UPDATE feed_snapshots SET snapshot=?3, completed=?4, time_ms=?5,"
                   " epoch=CASE WHEN ?7>0 THEN ?6 ELSE epoch END,"
                   " offset=CASE WHEN ?7>0 THEN ?7 ELSE offset END,"
                   " expire_ms=?8 WHERE feed=?1 AND params=?2 RETURNING id",
    [SQL_INSERT] = "INSERT INTO feed_snapshots(feed, params, snapshot, completed, time_ms, epoch,"
                   " offset, expire_ms) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) RETURNING id",
    [SQL_VALUE] = "INSERT INTO feed_values(feed_id, upstream, value, http_status, time_ms,"
                  " condition) VALUES(?1, ?2, ?3, ?4, ?5, ?6)"
                  " ON CONFLICT(feed_id, upstream) DO UPDATE SET value=excluded.value,"
                  " http_status=excluded.http_status, time_ms=excluded.time_ms,"
                  " condition=excluded.condition",
    [SQL_FIND] = "SELECT id FROM feed_snapshots WHERE feed=?1 AND params=?2",
    [SQL_OLDEST] = "SELECT id FROM feed_snapshots WHERE feed=?1 AND id<>?2"
                   " ORDER BY time_ms, id LIMIT ?3",
    [SQL_OVER] = "SELECT id FROM feed_snapshots WHERE expire_ms<=?1 LIMIT ?2",
    [SQL_REMOVE_VALUES] = "DELETE FROM feed_values WHERE feed_id=?1",
    [SQL_REMOVE] = "DELETE FROM feed_snapshots WHERE id=?1 RETURNING feed",
};

struct results {
    struct sweep_due *sweep_due;
    struct count *count;
    struct tally *tally;
    sqlite3_stmt *stmts[N_SQL];
};

enum status results_create(struct db *db, struct sweep_due *sweep_due, struct count *count,
                           struct results **ret_results)
{
    struct results *r = calloc(1, sizeof(*r));
    if (!r) {
        return STATUS_NO_MEMORY;
    }
    r->sweep_due = sweep_due;
    r->count = count;
    int64_t n = 0;
    enum status status = db_query_i64(db, "SELECT count(*) FROM feed_snapshots", &n);
    if (status == STATUS_OK) {
        status = tally_create(db, "SELECT count(*) FROM feed_snapshots WHERE feed=?1", &r->tally);
    }
    if (status == STATUS_OK) {
        status = db_prepare(db, sql, r->stmts, N_SQL);
    }
    if (status != STATUS_OK) {
        results_destroy(r);
        return status;
    }
    count->n = (uint64_t)n;
    *ret_results = r;
    return STATUS_OK;
}

void results_destroy(struct results *r)
{
    if (!r) {
        return;
    }
    tally_destroy(r->tally);
    db_finalize(r->stmts, N_SQL);
    free(r);
}

void results_rolled_back(struct results *r)
{
    tally_forget(r->tally);
}

/* --- removing --- */

struct ids {
    int64_t ids[MAX_REMOVED];
    size_t n;
};

static enum status collect(struct db_call *call, struct ids *ids)
{
    while (ids->n < MAX_REMOVED && db_row(call)) {
        ids->ids[ids->n++] = db_i64(call, 0);
    }
    return db_end(call);
}

static enum status remove_one(struct results *r, int64_t id)
{
    struct db_call values_call = db_call(r->stmts[SQL_REMOVE_VALUES]);
    db_bind_i64(&values_call, id);
    enum status status = db_run(&values_call);
    if (status != STATUS_OK) {
        return status;
    }
    struct db_call call = db_call(r->stmts[SQL_REMOVE]);
    db_bind_i64(&call, id);
    while (db_row(&call)) {
        r->count->n--;
        tally_removed(r->tally, db_str(&call, 0));
    }
    return db_end(&call);
}

static enum status remove_all(struct results *r, const struct ids *ids)
{
    enum status status = STATUS_OK;
    for (size_t i = 0; i < ids->n && status == STATUS_OK; i++) {
        status = remove_one(r, ids->ids[i]);
    }
    return status;
}

/* The oldest of a feed, but never the one with the id kept. */
static enum status find_oldest(struct results *r, struct str feed, int64_t kept, uint64_t max,
                               struct ids *ret_ids)
{
    struct db_call call = db_call(r->stmts[SQL_OLDEST]);
    db_bind_str(&call, feed);
    db_bind_i64(&call, kept);
    db_bind_u64(&call, max);
    return collect(&call, ret_ids);
}

enum status results_purge(struct results *r, struct storage_feed_purge *purge)
{
    struct ids ids = {.n = 0};
    enum status status;
    if (purge->params.len > 0) {
        struct db_call call = db_call(r->stmts[SQL_FIND]);
        db_bind_str(&call, purge->feed);
        db_bind_str(&call, purge->params);
        status = collect(&call, &ids);
    } else {
        status = find_oldest(r, purge->feed, 0, MAX_REMOVED, &ids);
    }
    if (status == STATUS_OK) {
        status = remove_all(r, &ids);
    }
    purge->n_removed = ids.n;
    return status;
}

enum status results_expire(struct results *r, int64_t now_ms)
{
    struct ids ids = {.n = 0};
    struct db_call call = db_call(r->stmts[SQL_OVER]);
    db_bind_i64(&call, now_ms);
    db_bind_u64(&call, MAX_REMOVED);
    enum status status = collect(&call, &ids);
    return status == STATUS_OK ? remove_all(r, &ids) : status;
}

/* --- writing --- */

/* By either of the two statements; 0: there was none to update. */
static enum status write_snapshot(sqlite3_stmt *stmt, const struct storage_append *append,
                                  int64_t expire_ms, int64_t *ret_id)
{
    const struct storage_feed_write *feed = append->feed;
    struct db_call call = db_call(stmt);
    db_bind_str(&call, feed->feed);
    db_bind_str(&call, feed->params);
    db_bind_str(&call, feed->snapshot);
    db_bind_i64(&call, feed->completed);
    db_bind_i64(&call, feed->time_ms);
    db_bind_str(&call, str_of(append->position.epoch));
    db_bind_u64(&call, append->position.offset);
    db_bind_i64(&call, expire_ms);
    *ret_id = db_row(&call) ? db_i64(&call, 0) : 0;
    return db_run(&call);
}

static enum status add_snapshot(struct results *r, const struct storage_append *append,
                                int64_t expire_ms, int64_t *ret_id)
{
    uint64_t *n;
    enum status status = tally_find(r->tally, append->feed->feed, &n);
    if (status != STATUS_OK) {
        return status;
    }
    ++*n;
    r->count->n++;
    return write_snapshot(r->stmts[SQL_INSERT], append, expire_ms, ret_id);
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
    db_bind_str(&call, value->condition);
    return db_run(&call);
}

static enum status make_room(struct results *r, const struct storage_feed_write *feed, int64_t id)
{
    uint64_t *n;
    enum status status = tally_find(r->tally, feed->feed, &n);
    if (status != STATUS_OK || *n <= feed->snapshot_limit) {
        return status;
    }
    struct ids ids = {.n = 0};
    status = find_oldest(r, feed->feed, id, *n - feed->snapshot_limit, &ids);
    return status == STATUS_OK ? remove_all(r, &ids) : status;
}

enum status results_write(struct results *r, const struct storage_append *append, int64_t now_ms)
{
    int64_t id = 0, expire_ms = INT64_MAX;
    if (append->retention.meta_ttl_ms > 0) {
        expire_ms = streams_time_after(now_ms, append->retention.meta_ttl_ms);
    }
    sweep_due_at(r->sweep_due, expire_ms);
    enum status status = write_snapshot(r->stmts[SQL_UPDATE], append, expire_ms, &id);
    if (status == STATUS_OK && id == 0) {
        status = add_snapshot(r, append, expire_ms, &id);
    }
    for (size_t i = 0; i < append->feed->n_values && status == STATUS_OK; i++) {
        status = write_value(r, id, &append->feed->values[i]);
    }
    if (status == STATUS_OK && append->feed->snapshot_limit > 0) {
        status = make_room(r, append->feed, id);
    }
    return status;
}
