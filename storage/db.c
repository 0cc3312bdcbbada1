/* SPDX-License-Identifier: MIT */
/* The glue to SQLite: the only place that maps its result codes. No state but the connection's; any
 * thread, but one at a time for one connection. */
#include "storage/db.h"

#include <assert.h>

#include "base/clock.h"
#include "base/log.h"

#define FAULT_PAUSE_MS 10000

static enum status status_of(int rc)
{
    switch (rc & 0xff) {
    case SQLITE_OK:
    case SQLITE_ROW:
    case SQLITE_DONE: return STATUS_OK;
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT: return STATUS_CORRUPT;
    case SQLITE_NOMEM: return STATUS_NO_MEMORY;
    default: return STATUS_IO;
    }
}

static enum status prepare_one(struct db *db, const char *sql, sqlite3_stmt **ret_stmt)
{
    return status_of(
        sqlite3_prepare_v3(db->handle, sql, -1, SQLITE_PREPARE_PERSISTENT, ret_stmt, NULL));
}

enum status db_open(const char *path, int flags, struct db *ret_db)
{
    *ret_db = (struct db){0};
    enum status status = status_of(sqlite3_open_v2(path, &ret_db->handle, flags, NULL));
    if (status != STATUS_OK) {
        return status;
    }
    sqlite3_extended_result_codes(ret_db->handle, 1);
    sqlite3_busy_timeout(ret_db->handle, DB_BUSY_TIMEOUT_MS);
    status = prepare_one(ret_db, "BEGIN", &ret_db->begin_read);
    if (status == STATUS_OK) {
        status = prepare_one(ret_db, "BEGIN IMMEDIATE", &ret_db->begin_write);
    }
    if (status == STATUS_OK) {
        status = prepare_one(ret_db, "COMMIT", &ret_db->commit);
    }
    if (status == STATUS_OK) {
        status = prepare_one(ret_db, "ROLLBACK", &ret_db->rollback);
    }
    return status;
}

void db_close(struct db *db)
{
    sqlite3_finalize(db->begin_read);
    sqlite3_finalize(db->begin_write);
    sqlite3_finalize(db->commit);
    sqlite3_finalize(db->rollback);
    int rc = sqlite3_close(db->handle);
    assert(rc == SQLITE_OK); /* else somebody kept a statement */
    (void)rc;
    *db = (struct db){0};
}

enum status db_exec(struct db *db, const char *sql)
{
    return status_of(sqlite3_exec(db->handle, sql, NULL, NULL, NULL));
}

enum status db_query_i64(struct db *db, const char *sql, int64_t *ret_number)
{
    sqlite3_stmt *stmt = NULL;
    enum status status = status_of(sqlite3_prepare_v2(db->handle, sql, -1, &stmt, NULL));
    if (status == STATUS_OK) {
        int rc = sqlite3_step(stmt);
        if (rc == SQLITE_ROW) {
            *ret_number = sqlite3_column_int64(stmt, 0);
        } else {
            status = rc == SQLITE_DONE ? STATUS_NOT_FOUND : status_of(rc);
        }
    }
    sqlite3_finalize(stmt);
    return status;
}

static enum status run_bare(sqlite3_stmt *stmt)
{
    struct db_call call = db_call(stmt);
    return db_run(&call);
}

enum status db_begin_read(struct db *db)
{
    return run_bare(db->begin_read);
}

enum status db_begin_write(struct db *db)
{
    return run_bare(db->begin_write);
}

enum status db_commit(struct db *db)
{
    return run_bare(db->commit);
}

void db_rollback(struct db *db)
{
    if (sqlite3_get_autocommit(db->handle)) {
        return;
    }
    /* It cannot fail in a way that leaves the transaction open. */
    enum status status = run_bare(db->rollback);
    (void)status;
}

uint64_t db_n_changed(const struct db *db)
{
    return (uint64_t)sqlite3_changes64(db->handle);
}

uint64_t db_n_changed_in_all(const struct db *db)
{
    return (uint64_t)sqlite3_total_changes64(db->handle);
}

/* What SQLite's text leaves open; NULL: nothing. */
static const char *cause_of(sqlite3 *handle, enum status status)
{
    int error = sqlite3_system_errno(handle);
    switch (sqlite3_errcode(handle) & 0xff) {
    case SQLITE_BUSY: return "another program keeps a lock on the file";
    case SQLITE_CANTOPEN:
    case SQLITE_FULL:
    case SQLITE_IOERR: return error != 0 ? strerror(error) : NULL;
    case SQLITE_NOTADB: return NULL;
    default: return status == STATUS_CORRUPT ? "damage: belfry checkdb tells where" : NULL;
    }
}

/* Of what was found outside SQLite (short memory, a damaged text) it knows nothing. */
static const char *text_of(sqlite3 *handle, enum status status)
{
    int code = sqlite3_errcode(handle) & 0xff;
    bool is_sqlites = code != SQLITE_OK && code != SQLITE_ROW && code != SQLITE_DONE;
    return is_sqlites && status != STATUS_NO_MEMORY ? sqlite3_errmsg(handle) : status_name(status);
}

bool db_fault_due(struct db *db)
{
    int64_t now_ms = clock_monotonic_ms();
    if (db->fault_logged_ms != 0 && now_ms - db->fault_logged_ms < FAULT_PAUSE_MS) {
        return false;
    }
    db->fault_logged_ms = now_ms;
    return true;
}

void db_log_fault(struct db *db, const char *action, enum status status)
{
    if (!db_fault_due(db)) {
        return;
    }
    const char *cause = cause_of(db->handle, status);
    const struct log_field fields[] = {
        log_s("action", action),
        log_s("path", sqlite3_db_filename(db->handle, "main")),
        log_i("code", sqlite3_extended_errcode(db->handle)),
        log_s("error", text_of(db->handle, status)),
        log_s("cause", cause),
    };
    if (log_enabled(LOG_ERROR)) {
        log_write(LOG_ERROR, "storage", "failed", fields, cause ? 5 : 4);
    }
}

void db_fault_over(struct db *db)
{
    db->fault_logged_ms = 0;
}

enum status db_prepare(struct db *db, const char *const *sql, sqlite3_stmt **stmts, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        enum status status = prepare_one(db, sql[i], &stmts[i]);
        if (status != STATUS_OK) {
            return status;
        }
    }
    return STATUS_OK;
}

void db_finalize(sqlite3_stmt **stmts, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        sqlite3_finalize(stmts[i]);
        stmts[i] = NULL;
    }
}

struct db_call db_call(sqlite3_stmt *stmt)
{
    return (struct db_call){.stmt = stmt, .rc = SQLITE_OK};
}

static void bound(struct db_call *call, int rc)
{
    if (call->rc == SQLITE_OK) {
        call->rc = rc;
    }
}

void db_bind_i64(struct db_call *call, int64_t number)
{
    bound(call, sqlite3_bind_int64(call->stmt, ++call->n_bound, number));
}

void db_bind_u64(struct db_call *call, uint64_t number)
{
    db_bind_i64(call, number > INT64_MAX ? INT64_MAX : (int64_t)number);
}

void db_bind_str(struct db_call *call, struct str text)
{
    /* A null pointer would be stored as NULL, not as an empty text. */
    bound(call, sqlite3_bind_text64(call->stmt, ++call->n_bound, text.ptr ? text.ptr : "", text.len,
                                    SQLITE_STATIC, SQLITE_UTF8));
}

bool db_row(struct db_call *call)
{
    if (call->rc != SQLITE_OK && call->rc != SQLITE_ROW) {
        return false;
    }
    call->rc = sqlite3_step(call->stmt);
    return call->rc == SQLITE_ROW;
}

enum status db_end(struct db_call *call)
{
    enum status status = status_of(call->rc);
    /* Keeps the connection's error text when the last step failed. */
    sqlite3_reset(call->stmt);
    return status;
}

enum status db_run(struct db_call *call)
{
    while (db_row(call)) {
    }
    return db_end(call);
}

int64_t db_i64(const struct db_call *call, int column)
{
    return sqlite3_column_int64(call->stmt, column);
}

uint64_t db_u64(const struct db_call *call, int column)
{
    return (uint64_t)sqlite3_column_int64(call->stmt, column);
}

struct str db_str(const struct db_call *call, int column)
{
    /* The pointer first: asking for it may convert the value. */
    const char *ptr = (const char *)sqlite3_column_text(call->stmt, column);
    return (struct str){ptr, (size_t)sqlite3_column_bytes(call->stmt, column)};
}

bool db_is_null(const struct db_call *call, int column)
{
    return sqlite3_column_type(call->stmt, column) == SQLITE_NULL;
}
