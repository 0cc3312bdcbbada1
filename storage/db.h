/* A thin glue over one SQLite connection: opening, transactions, and calls of prepared statements
 * whose errors are collected, so that the units above read as what they do. A connection is used by
 * one thread at a time. */
#ifndef BELFRY_STORAGE_DB_H
#define BELFRY_STORAGE_DB_H

#include <sqlite3.h>

#include "base/status.h"
#include "base/str.h"

/* How long a connection waits for a lock of another one. */
#define DB_BUSY_TIMEOUT_MS 5000

struct db {
    sqlite3 *handle;
    sqlite3_stmt *begin_read;
    sqlite3_stmt *begin_write;
    sqlite3_stmt *commit;
    sqlite3_stmt *rollback;
    int64_t fault_logged_ms; /* monotonic; 0: none since all was well */
};

/* flags: SQLITE_OPEN_READWRITE and the like. Sets the busy timeout. On failure ret_db holds what is
 * needed for db_log_fault(), and db_close() is still due. */
enum status db_open(const char *path, int flags, struct db *ret_db) MUST_CHECK;
/* Every statement must be finalized. Accepts a zeroed one. */
void db_close(struct db *db);

/* For statements without parameters and results; may be several, separated by semicolons. */
enum status db_exec(struct db *db, const char *sql) MUST_CHECK;
/* The integer in the first column of the first row. */
enum status db_query_i64(struct db *db, const char *sql, int64_t *ret_number) MUST_CHECK;

enum status db_begin_read(struct db *db) MUST_CHECK;
/* Takes the write lock at once: a later upgrade of a read lock would not be retried when busy. */
enum status db_begin_write(struct db *db) MUST_CHECK;
enum status db_commit(struct db *db) MUST_CHECK;
/* Does nothing when SQLite has already rolled back by itself. */
void db_rollback(struct db *db);

/* Rows that the last statement inserted, updated or deleted; and all since the opening. */
uint64_t db_n_changed(const struct db *db);
uint64_t db_n_changed_in_all(const struct db *db);

/* Logs a fault, with SQLite's own text of the last one. A full disk fails everything: further ones
 * are only said every ten seconds, until db_fault_over(). */
void db_log_fault(struct db *db, const char *action, enum status status);
void db_fault_over(struct db *db);
/* For those who know better words than SQLite: is it time to say something? Then it has been said.
 */
bool db_fault_due(struct db *db);

/* Prepares sql[i] into stmts[i]; they live until db_finalize(). stmts must be zeroed. */
enum status db_prepare(struct db *db, const char *const *sql, sqlite3_stmt **stmts,
                       size_t n) MUST_CHECK;
void db_finalize(sqlite3_stmt **stmts, size_t n);

/* One use of a prepared statement: db_call(), the parameters in order, then db_run() or any number
 * of db_row() and one db_end(). Texts are not copied: they must live until the end. */
struct db_call {
    sqlite3_stmt *stmt;
    int n_bound;
    int rc;
};
struct db_call db_call(sqlite3_stmt *stmt);
void db_bind_i64(struct db_call *call, int64_t number);
/* SQLite's integers are signed; what is beyond becomes the largest. */
void db_bind_u64(struct db_call *call, uint64_t number);
void db_bind_str(struct db_call *call, struct str text);
/* Is there another row? False also after a fault. */
bool db_row(struct db_call *call);
enum status db_end(struct db_call *call) MUST_CHECK;
enum status db_run(struct db_call *call) MUST_CHECK;

/* Of the current row. A text is valid until the next db_row() or db_end(). */
int64_t db_i64(const struct db_call *call, int column);
uint64_t db_u64(const struct db_call *call, int column);
struct str db_str(const struct db_call *call, int column);
bool db_is_null(const struct db_call *call, int column);

#endif
