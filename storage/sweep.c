/* SPDX-License-Identifier: MIT */
/* The sweep: at sweep_ms a stream is looked at, what no longer counts is removed, and the time of
 * the next look is written. All state belongs to the writer's thread. */
#include "storage/sweep.h"

#include <stdlib.h>

#include "base/clock.h"
#include "storage/results.h"
#include "storage/runs.h"
#include "storage/streams.h"

/* Bounds of one transaction, and the pauses between two: appends wait for it. */
#define MAX_STREAMS         100
#define MAX_ROWS            500
#define MAX_KEYS            500
#define PAUSE_MS            1000
#define PAUSE_MORE_MS       20
#define PAUSE_FAILED_MS     10000
#define MAX_LOOKED_AHEAD_MS 60000

enum {
    SQL_DUE_STREAMS,
    SQL_STREAM,
    SQL_LOWEST,
    SQL_DELETE_ROWS,
    SQL_RETIRE,
    SQL_DELETE_STREAM,
    SQL_KEEP_STREAM,
    SQL_DELETE_KEYS,
    SQL_NEXT,
    N_SQL,
};

static const char *const sql[N_SQL] = {
    [SQL_DUE_STREAMS] = "SELECT id FROM streams WHERE sweep_ms<=?1 ORDER BY sweep_ms LIMIT ?2",
    [SQL_STREAM] = "SELECT channel, top, first, items_expire_ms, meta_expire_ms"
                   " FROM streams WHERE id=?1",
    [SQL_LOWEST] = "SELECT min(offset) FROM publications WHERE stream_id=?1",
    [SQL_DELETE_ROWS] = "DELETE FROM publications WHERE stream_id=?1 AND offset<?2",
    [SQL_RETIRE] = "UPDATE streams SET channel=NULL WHERE id=?1",
    [SQL_DELETE_STREAM] = "DELETE FROM streams WHERE id=?1",
    [SQL_KEEP_STREAM] = "UPDATE streams SET first=?2, sweep_ms=?3 WHERE id=?1",
    [SQL_DELETE_KEYS] = "DELETE FROM idempotency WHERE id IN (SELECT id FROM idempotency"
                        " WHERE expire_ms<=?1 ORDER BY expire_ms LIMIT ?2)",
    [SQL_NEXT] = "SELECT min(at) FROM (SELECT min(sweep_ms) AS at FROM streams"
                 " UNION ALL SELECT min(expire_ms) FROM feed_snapshots"
                 " UNION ALL SELECT min(expire_ms) FROM feed_runs"
                 " UNION ALL SELECT min(expire_ms) FROM idempotency)",
};

struct sweep {
    struct db *db;
    struct sweep_parts parts;
    struct sweep_due *due;
    struct counts *counts;
    int64_t not_before_ms; /* monotonic */
    uint64_t n_rows_left;  /* of this run's bound */
    sqlite3_stmt *stmts[N_SQL];
};

enum status sweep_create(struct db *db, const struct sweep_parts *parts, struct sweep_due *due,
                         struct counts *counts, struct sweep **ret_sweep)
{
    struct sweep *s = calloc(1, sizeof(*s));
    if (!s) {
        return STATUS_NO_MEMORY;
    }
    s->db = db;
    s->parts = *parts;
    s->due = due;
    s->counts = counts;
    enum status status = db_prepare(db, sql, s->stmts, N_SQL);
    if (status != STATUS_OK) {
        sweep_destroy(s);
        return status;
    }
    *ret_sweep = s;
    return STATUS_OK;
}

void sweep_destroy(struct sweep *s)
{
    if (!s) {
        return;
    }
    db_finalize(s->stmts, N_SQL);
    free(s);
}

int64_t sweep_next_ms(const struct sweep *s)
{
    int64_t in_ms = s->due->at_ms - clock_wall_ms();
    /* The wall clock may be set meanwhile. */
    if (in_ms > MAX_LOOKED_AHEAD_MS) {
        in_ms = MAX_LOOKED_AHEAD_MS;
    }
    int64_t at_ms = clock_monotonic_ms() + (in_ms > 0 ? in_ms : 0);
    return at_ms > s->not_before_ms ? at_ms : s->not_before_ms;
}

/* At most MAX_STREAMS. */
static enum status find_due(struct sweep *s, int64_t now_ms, int64_t *ret_ids, size_t *ret_n)
{
    size_t n = 0;
    struct db_call call = db_call(s->stmts[SQL_DUE_STREAMS]);
    db_bind_i64(&call, now_ms);
    db_bind_u64(&call, MAX_STREAMS);
    while (n < MAX_STREAMS && db_row(&call)) {
        ret_ids[n++] = db_i64(&call, 0);
    }
    *ret_n = n;
    return db_end(&call);
}

static enum status run_with_id(sqlite3_stmt *stmt, int64_t id)
{
    struct db_call call = db_call(stmt);
    db_bind_i64(&call, id);
    return db_run(&call);
}

/* Removes rows below until, as far as the bound allows. */
static enum status delete_rows(struct sweep *s, int64_t id, uint64_t until, bool *ret_all)
{
    struct db_call lowest_call = db_call(s->stmts[SQL_LOWEST]);
    db_bind_i64(&lowest_call, id);
    uint64_t lowest = db_row(&lowest_call) ? db_u64(&lowest_call, 0) : 0;
    enum status status = db_end(&lowest_call);
    *ret_all = true;
    if (status != STATUS_OK || lowest == 0 || lowest >= until) {
        return status;
    }
    if (until - lowest > s->n_rows_left) {
        until = lowest + s->n_rows_left;
        *ret_all = false;
    }
    s->n_rows_left -= until - lowest;
    struct db_call call = db_call(s->stmts[SQL_DELETE_ROWS]);
    db_bind_i64(&call, id);
    db_bind_u64(&call, until);
    return db_run(&call);
}

struct look {
    uint64_t top;
    uint64_t first;
    int64_t items_expire_ms;
    int64_t meta_expire_ms;
    bool retired;
};

static enum status look_at(struct sweep *s, int64_t id, struct look *ret_look)
{
    struct db_call call = db_call(s->stmts[SQL_STREAM]);
    db_bind_i64(&call, id);
    if (db_row(&call)) {
        struct str channel = db_str(&call, 0);
        ret_look->retired = channel.ptr == NULL;
        ret_look->top = db_u64(&call, 1);
        ret_look->first = db_u64(&call, 2);
        ret_look->items_expire_ms = db_i64(&call, 3);
        ret_look->meta_expire_ms = db_i64(&call, 4);
        if (!ret_look->retired) {
            streams_forget(s->parts.streams, channel);
        }
    }
    return db_end(&call);
}

static enum status remove_stream(struct sweep *s, int64_t id, const struct look *look)
{
    bool all;
    enum status status = STATUS_OK;
    if (!look->retired) {
        s->counts->streams.n--;
        status = run_with_id(s->stmts[SQL_RETIRE], id);
    }
    if (status == STATUS_OK) {
        status = delete_rows(s, id, look->top + 1, &all);
    }
    if (status == STATUS_OK && all) {
        status = run_with_id(s->stmts[SQL_DELETE_STREAM], id);
    }
    return status;
}

/* Its next look is due when its publications are over, or without any, its position; at once when
 * there was too much to remove. */
static enum status keep_stream(struct sweep *s, int64_t id, struct look *look, int64_t now_ms)
{
    bool all;
    if (now_ms >= look->items_expire_ms) {
        look->first = look->top + 1;
    }
    enum status status = delete_rows(s, id, look->first, &all);
    if (status != STATUS_OK) {
        return status;
    }
    int64_t next_ms = look->meta_expire_ms;
    if (look->first <= look->top && look->items_expire_ms < next_ms) {
        next_ms = look->items_expire_ms;
    }
    struct db_call call = db_call(s->stmts[SQL_KEEP_STREAM]);
    db_bind_i64(&call, id);
    db_bind_u64(&call, look->first);
    db_bind_i64(&call, all ? next_ms : now_ms);
    return db_run(&call);
}

static enum status sweep_stream(struct sweep *s, int64_t id, int64_t now_ms)
{
    struct look look = {0};
    enum status status = look_at(s, id, &look);
    if (status != STATUS_OK) {
        return status;
    }
    if (look.retired || now_ms >= look.meta_expire_ms) {
        return remove_stream(s, id, &look);
    }
    return keep_stream(s, id, &look, now_ms);
}

static enum status sweep_keys(struct sweep *s, int64_t now_ms)
{
    struct db_call call = db_call(s->stmts[SQL_DELETE_KEYS]);
    db_bind_i64(&call, now_ms);
    db_bind_i64(&call, MAX_KEYS);
    enum status status = db_run(&call);
    if (status == STATUS_OK) {
        s->counts->keys.n -= db_n_changed(s->db);
    }
    return status;
}

static enum status remove_due(struct sweep *s, int64_t now_ms, const int64_t *streams, size_t n)
{
    enum status status = db_begin_write(s->db);
    for (size_t i = 0; i < n && s->n_rows_left > 0 && status == STATUS_OK; i++) {
        status = sweep_stream(s, streams[i], now_ms);
    }
    if (status == STATUS_OK) {
        status = results_expire(s->parts.results, now_ms);
    }
    if (status == STATUS_OK) {
        status = runs_expire(s->parts.runs, now_ms);
    }
    if (status == STATUS_OK) {
        status = sweep_keys(s, now_ms);
    }
    if (status == STATUS_OK) {
        status = db_commit(s->db);
    }
    if (status == STATUS_OK) {
        counts_committed(s->counts);
    }
    return status;
}

static enum status find_next(struct sweep *s, int64_t *ret_at_ms)
{
    struct db_call call = db_call(s->stmts[SQL_NEXT]);
    if (db_row(&call) && !db_is_null(&call, 0)) {
        *ret_at_ms = db_i64(&call, 0);
    }
    return db_end(&call);
}

static enum status sweep_once(struct sweep *s, int64_t *ret_next_ms)
{
    int64_t streams[MAX_STREAMS];
    size_t n = 0;
    int64_t now_ms = clock_wall_ms();
    s->n_rows_left = MAX_ROWS;
    enum status status = find_due(s, now_ms, streams, &n);
    if (status == STATUS_OK) {
        status = remove_due(s, now_ms, streams, n);
    }
    if (status == STATUS_OK) {
        status = find_next(s, ret_next_ms);
    }
    return status;
}

void sweep_run(struct sweep *s)
{
    int64_t start_ms = clock_monotonic_ms();
    if (start_ms < s->not_before_ms || clock_wall_ms() < s->due->at_ms) {
        return;
    }
    int64_t next_ms = INT64_MAX;
    enum status status = sweep_once(s, &next_ms);
    if (status != STATUS_OK) {
        db_log_fault(s->db, "remove what is over", status);
        db_rollback(s->db);
        streams_forget_all(s->parts.streams);
        results_rolled_back(s->parts.results);
        runs_rolled_back(s->parts.runs);
        counts_rolled_back(s->counts);
        s->not_before_ms = start_ms + PAUSE_FAILED_MS;
        return;
    }
    s->due->at_ms = next_ms;
    bool more = next_ms <= clock_wall_ms();
    s->not_before_ms = clock_monotonic_ms() + (more ? PAUSE_MORE_MS : PAUSE_MS);
}
