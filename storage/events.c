/* SPDX-License-Identifier: MIT */
/* Events that wait for their endpoints: one row each. All state belongs to the writer's thread. */
#include "storage/events.h"

#include <stdlib.h>

#include "base/buf.h"
#include "base/clock.h"

/* Bound of one transaction: appends wait for it. */
#define MAX_OTHERS 500

enum { SQL_APPEND, SQL_COUNT, SQL_REMOVE, SQL_NEXT_ENDPOINT, SQL_REMOVE_SOME, N_SQL };

static const char *const sql[N_SQL] = {
    [SQL_APPEND] = "INSERT INTO events(id, endpoint, time_ms, text) VALUES(?1, ?2, ?3, ?4)",
    [SQL_COUNT] = "SELECT count(*) FROM events WHERE endpoint=?1",
    [SQL_REMOVE] = "DELETE FROM events WHERE endpoint=?1 AND id<=?2",
    [SQL_NEXT_ENDPOINT] = "SELECT min(endpoint) FROM events WHERE endpoint>?1",
    [SQL_REMOVE_SOME] = "DELETE FROM events WHERE id IN"
                        " (SELECT id FROM events WHERE endpoint=?1 ORDER BY id LIMIT ?2)",
};

struct events {
    struct db *db;
    uint64_t last_id; /* that was given; also by what was rolled back since */
    sqlite3_stmt *stmts[N_SQL];
};

enum status events_create(struct db *db, struct events **ret_events)
{
    struct events *e = calloc(1, sizeof(*e));
    if (!e) {
        return STATUS_NO_MEMORY;
    }
    e->db = db;
    int64_t last_id = 0;
    enum status status = db_query_i64(
        db, "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name='events'", &last_id);
    if (status == STATUS_OK) {
        status = db_prepare(db, sql, e->stmts, N_SQL);
    }
    if (status != STATUS_OK) {
        events_destroy(e);
        return status;
    }
    e->last_id = (uint64_t)last_id;
    *ret_events = e;
    return STATUS_OK;
}

void events_destroy(struct events *e)
{
    if (!e) {
        return;
    }
    db_finalize(e->stmts, N_SQL);
    free(e);
}

/* At least the microsecond: so ids are not given again by a file that was made anew, or put back
 * from a copy that does not know the newest ones. */
static uint64_t next_id(struct events *e)
{
    uint64_t now_us = (uint64_t)clock_wall_ms() * 1000;
    e->last_id = e->last_id < now_us ? now_us : e->last_id + 1;
    return e->last_id;
}

enum status events_append(struct events *e, struct storage_event_append *append)
{
    append->id = next_id(e);
    struct db_call call = db_call(e->stmts[SQL_APPEND]);
    db_bind_u64(&call, append->id);
    db_bind_str(&call, append->endpoint);
    db_bind_i64(&call, append->time_ms);
    db_bind_str(&call, append->text);
    return db_run(&call);
}

enum status events_count(struct events *e, struct storage_events_count *count)
{
    struct db_call call = db_call(e->stmts[SQL_COUNT]);
    db_bind_str(&call, count->endpoint);
    if (db_row(&call)) {
        count->n_events = db_u64(&call, 0);
    }
    return db_end(&call);
}

enum status events_remove(struct events *e, struct storage_events_remove *remove)
{
    struct db_call call = db_call(e->stmts[SQL_REMOVE]);
    db_bind_str(&call, remove->endpoint);
    db_bind_u64(&call, remove->last_id);
    enum status status = db_run(&call);
    if (status == STATUS_OK) {
        remove->n_removed = db_n_changed(e->db);
    }
    return status;
}

/* --- events of endpoints that there are no more --- */

static bool is_kept(const struct storage_events_remove_others *remove, struct str endpoint)
{
    for (size_t i = 0; i < remove->n_endpoints; i++) {
        if (str_eq(remove->endpoints[i], endpoint)) {
            return true;
        }
    }
    return false;
}

/* The first endpoint's name above that in name, which it replaces; *ret_found: there is one. */
static enum status next_endpoint(struct events *e, struct buf *name, bool *ret_found)
{
    struct db_call call = db_call(e->stmts[SQL_NEXT_ENDPOINT]);
    struct buf next;
    buf_init(&next, SIZE_MAX);
    db_bind_str(&call, buf_str(name));
    bool found = db_row(&call) && !db_is_null(&call, 0);
    if (found) {
        buf_append(&next, db_str(&call, 0));
    }
    enum status status = db_end(&call);
    if (status == STATUS_OK && buf_failed(&next)) {
        status = STATUS_NO_MEMORY;
    }
    buf_release(name);
    *name = next;
    *ret_found = found;
    return status;
}

static enum status remove_some(struct events *e, struct storage_events_remove_others *remove,
                               struct str endpoint)
{
    struct db_call call = db_call(e->stmts[SQL_REMOVE_SOME]);
    db_bind_str(&call, endpoint);
    db_bind_u64(&call, MAX_OTHERS - remove->n_removed);
    enum status status = db_run(&call);
    if (status == STATUS_OK) {
        remove->n_removed += db_n_changed(e->db);
    }
    return status;
}

enum status events_remove_others(struct events *e, struct storage_events_remove_others *remove)
{
    struct buf name;
    buf_init(&name, SIZE_MAX);
    bool found = false;
    remove->n_removed = 0;
    enum status status = next_endpoint(e, &name, &found);
    while (status == STATUS_OK && found && remove->n_removed < MAX_OTHERS) {
        if (!is_kept(remove, buf_str(&name))) {
            status = remove_some(e, remove, buf_str(&name));
        }
        if (status == STATUS_OK) {
            status = next_endpoint(e, &name, &found);
        }
    }
    buf_release(&name);
    return status;
}
