/* SPDX-License-Identifier: MIT */
/* What is remembered of refreshes: one row each, the newest of a feed up to its size, until their
 * time is over. Their ids ascend as they were appended. All state belongs to the writer's thread.
 */
#include "storage/runs.h"

#include <stdlib.h>

#include "storage/streams.h"
#include "storage/tally.h"

/* Normally a batch removes as much as it adds; what it may remove beyond that matters when a feed's
 * size was made much smaller. */
#define MAX_EXTRA_TRIMMED 500
#define MAX_EXPIRED       500

enum { SQL_APPEND, SQL_TRIM, SQL_EXPIRE, N_SQL };

static const char *const sql[N_SQL] = {
    [SQL_APPEND] = "INSERT INTO feed_runs(feed, params, time_ms, duration_us, text, expire_ms)"
                   " VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
    [SQL_TRIM] = "DELETE FROM feed_runs WHERE id IN"
                 " (SELECT id FROM feed_runs WHERE feed=?1 ORDER BY id LIMIT ?2)",
    [SQL_EXPIRE] = "DELETE FROM feed_runs WHERE id IN (SELECT id FROM feed_runs"
                   " WHERE expire_ms<=?1 ORDER BY expire_ms LIMIT ?2) RETURNING feed",
};

struct runs {
    struct db *db;
    struct sweep_due *sweep_due;
    struct tally *tally;
    sqlite3_stmt *stmts[N_SQL];
};

enum status runs_create(struct db *db, struct sweep_due *sweep_due, struct runs **ret_runs)
{
    struct runs *r = calloc(1, sizeof(*r));
    if (!r) {
        return STATUS_NO_MEMORY;
    }
    r->db = db;
    r->sweep_due = sweep_due;
    enum status status =
        tally_create(db, "SELECT count(*) FROM feed_runs WHERE feed=?1", &r->tally);
    if (status == STATUS_OK) {
        status = db_prepare(db, sql, r->stmts, N_SQL);
    }
    if (status != STATUS_OK) {
        runs_destroy(r);
        return status;
    }
    *ret_runs = r;
    return STATUS_OK;
}

void runs_destroy(struct runs *r)
{
    if (!r) {
        return;
    }
    tally_destroy(r->tally);
    db_finalize(r->stmts, N_SQL);
    free(r);
}

static enum status append_one(struct runs *r, const struct storage_run *run, int64_t now_ms)
{
    uint64_t *n;
    enum status status = tally_find(r->tally, run->feed, &n);
    if (status != STATUS_OK) {
        return status;
    }
    int64_t expire_ms = streams_time_after(now_ms, run->ttl_ms);
    sweep_due_at(r->sweep_due, expire_ms);
    ++*n;
    struct db_call call = db_call(r->stmts[SQL_APPEND]);
    db_bind_str(&call, run->feed);
    db_bind_str(&call, run->params);
    db_bind_i64(&call, run->time_ms);
    db_bind_i64(&call, run->duration_us);
    db_bind_str(&call, run->text);
    db_bind_i64(&call, expire_ms);
    return db_run(&call);
}

static enum status trim(struct runs *r, const struct storage_run *last, uint64_t max)
{
    uint64_t *n;
    enum status status = tally_find(r->tally, last->feed, &n);
    if (status != STATUS_OK || *n <= last->size) {
        return status;
    }
    uint64_t n_beyond = *n - last->size;
    struct db_call call = db_call(r->stmts[SQL_TRIM]);
    db_bind_str(&call, last->feed);
    db_bind_u64(&call, n_beyond < max ? n_beyond : max);
    status = db_run(&call);
    if (status == STATUS_OK) {
        *n -= db_n_changed(r->db);
    }
    return status;
}

/* Batches are short, and a feed's runs mostly stand together. */
static bool is_last_of_feed(const struct storage_runs_append *append, size_t i)
{
    for (size_t k = i + 1; k < append->n_runs; k++) {
        if (str_eq(append->runs[k].feed, append->runs[i].feed)) {
            return false;
        }
    }
    return true;
}

enum status runs_append(struct runs *r, const struct storage_runs_append *append, int64_t now_ms)
{
    enum status status = STATUS_OK;
    for (size_t i = 0; i < append->n_runs && status == STATUS_OK; i++) {
        status = append_one(r, &append->runs[i], now_ms);
    }
    for (size_t i = 0; i < append->n_runs && status == STATUS_OK; i++) {
        if (is_last_of_feed(append, i)) {
            status = trim(r, &append->runs[i], append->n_runs + MAX_EXTRA_TRIMMED);
        }
    }
    return status;
}

enum status runs_expire(struct runs *r, int64_t now_ms)
{
    struct db_call call = db_call(r->stmts[SQL_EXPIRE]);
    db_bind_i64(&call, now_ms);
    db_bind_i64(&call, MAX_EXPIRED);
    while (db_row(&call)) {
        tally_removed(r->tally, db_str(&call, 0));
    }
    return db_end(&call);
}

void runs_rolled_back(struct runs *r)
{
    tally_forget(r->tally);
}
