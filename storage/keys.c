/* SPDX-License-Identifier: MIT */
/* Idempotency keys: one row each, which the sweep removes when its time is over. All state belongs
 * to the writer's thread. */
#include "storage/keys.h"

#include <stdlib.h>

#include "storage/streams.h"

enum { SQL_FIND, SQL_FORGET, SQL_REMEMBER, N_SQL };

static const char *const sql[N_SQL] = {
    [SQL_FIND] = "SELECT id, epoch, offset, expire_ms FROM idempotency WHERE channel=?1 AND key=?2",
    [SQL_FORGET] = "DELETE FROM idempotency WHERE id=?1",
    [SQL_REMEMBER] = "INSERT INTO idempotency(channel, key, epoch, offset, expire_ms)"
                     " VALUES(?1, ?2, ?3, ?4, ?5)",
};

struct keys {
    struct sweep_due *sweep_due;
    struct count *count;
    sqlite3_stmt *stmts[N_SQL];
};

enum status keys_create(struct db *db, struct sweep_due *sweep_due, struct count *count,
                        struct keys **ret_keys)
{
    struct keys *k = calloc(1, sizeof(*k));
    if (!k) {
        return STATUS_NO_MEMORY;
    }
    k->sweep_due = sweep_due;
    k->count = count;
    int64_t n = 0;
    enum status status = db_query_i64(db, "SELECT count(*) FROM idempotency", &n);
    if (status == STATUS_OK) {
        status = db_prepare(db, sql, k->stmts, N_SQL);
    }
    if (status != STATUS_OK) {
        keys_destroy(k);
        return status;
    }
    count->n = (uint64_t)n;
    *ret_keys = k;
    return STATUS_OK;
}

void keys_destroy(struct keys *k)
{
    if (!k) {
        return;
    }
    db_finalize(k->stmts, N_SQL);
    free(k);
}

static enum status forget(struct keys *k, int64_t id)
{
    k->count->n--;
    struct db_call call = db_call(k->stmts[SQL_FORGET]);
    db_bind_i64(&call, id);
    return db_run(&call);
}

enum status keys_find(struct keys *k, struct storage_append *append, int64_t now_ms,
                      bool *ret_found)
{
    struct db_call call = db_call(k->stmts[SQL_FIND]);
    db_bind_str(&call, append->channel);
    db_bind_str(&call, append->idempotency_key);
    int64_t id = 0;
    bool is_there = db_row(&call);
    bool is_over = is_there && now_ms >= db_i64(&call, 3);
    if (is_there && !is_over) {
        append->position = streams_position(db_str(&call, 1), db_u64(&call, 2));
    }
    if (is_over) {
        id = db_i64(&call, 0);
    }
    enum status status = db_end(&call);
    if (status == STATUS_OK && is_over) {
        status = forget(k, id);
    }
    *ret_found = is_there && !is_over;
    return status;
}

bool keys_have_room(const struct keys *k)
{
    return k->count->n < k->count->limit;
}

enum status keys_remember(struct keys *k, const struct storage_append *append, int64_t now_ms)
{
    int64_t expire_ms = streams_time_after(now_ms, STORAGE_IDEMPOTENCY_MS);
    k->count->n++;
    sweep_due_at(k->sweep_due, expire_ms);
    struct db_call call = db_call(k->stmts[SQL_REMEMBER]);
    db_bind_str(&call, append->channel);
    db_bind_str(&call, append->idempotency_key);
    db_bind_str(&call, str_of(append->position.epoch));
    db_bind_u64(&call, append->position.offset);
    db_bind_i64(&call, expire_ms);
    return db_run(&call);
}
