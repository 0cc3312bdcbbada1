/* SPDX-License-Identifier: MIT */
/* Opens connections and keeps the tables at the program's version. Whose file it is gets checked
 * before anything is written to it, so that a wrong path does no harm to a foreign database. */
#include "storage/schema.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/log.h"

/* Never change one that was released: append. Each has a file of the version before it in
 * tests/unit/storage.
 *
 * streams: rows of publications below "first" do not count any more and wait for removal; channel
 * NULL: the whole stream waits for it. sweep_ms: the earliest time at which there may be something
 * to remove. Only the sweep looks at it, and an append that only moves items_expire_ms on leaves it
 * alone, so that the index costs nothing per append. streams_unpublished finds those that make room
 * when there are too many.
 *
 * idempotency: offset 0 and an empty epoch where nothing was kept of the publication.
 *
 * marks has one row, see marks.h. n_commits: groups of operations that were committed. is_open: the
 * file is in use by a hub that does not sync each commit, or its end was not orderly; boot_id is
 * that of the machine then. is_copy: a backup, of which nobody knows what came after it.
 *
 * events: the index has the ids, too, and so their order within an endpoint. AUTOINCREMENT is what
 * remembers the last id when all rows are gone.
 *
 * feed_runs: their ids ascend; those of the same feed, or feed and parameters, stand in that order
 * in its index. feed_snapshots_time finds those that make room when a feed has too many. */
static const char *const migrations[] = {
    "CREATE TABLE streams("
    "  id INTEGER PRIMARY KEY,"
    "  channel TEXT UNIQUE,"
    "  epoch TEXT NOT NULL,"
    "  top INTEGER NOT NULL,"
    "  first INTEGER NOT NULL,"
    "  items_expire_ms INTEGER NOT NULL,"
    "  meta_expire_ms INTEGER NOT NULL,"
    "  sweep_ms INTEGER NOT NULL"
    ") STRICT;"
    "CREATE INDEX streams_sweep ON streams(sweep_ms);"
    "CREATE TABLE publications("
    "  stream_id INTEGER NOT NULL,"
    "  offset INTEGER NOT NULL,"
    "  time_ms INTEGER NOT NULL,"
    "  data TEXT NOT NULL,"
    "  info TEXT NOT NULL,"
    "  tags TEXT NOT NULL,"
    "  PRIMARY KEY(stream_id, offset)"
    ") STRICT, WITHOUT ROWID;"
    "CREATE TABLE feed_snapshots("
    "  id INTEGER PRIMARY KEY,"
    "  feed TEXT NOT NULL,"
    "  params TEXT NOT NULL,"
    "  snapshot TEXT NOT NULL,"
    "  completed INTEGER NOT NULL,"
    "  time_ms INTEGER NOT NULL,"
    "  epoch TEXT NOT NULL,"
    "  offset INTEGER NOT NULL,"
    "  expire_ms INTEGER NOT NULL,"
    "  UNIQUE(feed, params)"
    ") STRICT;"
    "CREATE INDEX feed_snapshots_expire ON feed_snapshots(expire_ms);"
    "CREATE TABLE feed_values("
    "  feed_id INTEGER NOT NULL,"
    "  upstream TEXT NOT NULL,"
    "  value TEXT NOT NULL,"
    "  http_status INTEGER NOT NULL,"
    "  time_ms INTEGER NOT NULL,"
    "  PRIMARY KEY(feed_id, upstream)"
    ") STRICT, WITHOUT ROWID;",

    "ALTER TABLE publications ADD COLUMN delta INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE streams ADD COLUMN version INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE streams ADD COLUMN version_epoch TEXT NOT NULL DEFAULT '';"
    "CREATE INDEX streams_unpublished ON streams(meta_expire_ms)"
    "  WHERE top=0 AND channel IS NOT NULL;"
    "CREATE TABLE idempotency("
    "  id INTEGER PRIMARY KEY,"
    "  channel TEXT NOT NULL,"
    "  key TEXT NOT NULL,"
    "  epoch TEXT NOT NULL,"
    "  offset INTEGER NOT NULL,"
    "  expire_ms INTEGER NOT NULL,"
    "  UNIQUE(channel, key)"
    ") STRICT;"
    "CREATE INDEX idempotency_expire ON idempotency(expire_ms);"
    "CREATE TABLE marks("
    "  id INTEGER PRIMARY KEY CHECK(id=1),"
    "  n_commits INTEGER NOT NULL,"
    "  boot_id TEXT NOT NULL,"
    "  is_open INTEGER NOT NULL,"
    "  is_copy INTEGER NOT NULL"
    ") STRICT;"
    "INSERT INTO marks(id, n_commits, boot_id, is_open, is_copy) VALUES(1, 0, '', 0, 0)",

    "CREATE TABLE events("
    "  id INTEGER PRIMARY KEY AUTOINCREMENT,"
    "  endpoint TEXT NOT NULL,"
    "  time_ms INTEGER NOT NULL,"
    "  text TEXT NOT NULL"
    ") STRICT;"
    "CREATE INDEX events_endpoint ON events(endpoint)",

    "ALTER TABLE feed_values ADD COLUMN condition TEXT NOT NULL DEFAULT '';"
    "CREATE INDEX feed_snapshots_time ON feed_snapshots(feed, time_ms);"
    "CREATE TABLE feed_runs("
    "  id INTEGER PRIMARY KEY,"
    "  feed TEXT NOT NULL,"
    "  params TEXT NOT NULL,"
    "  time_ms INTEGER NOT NULL,"
    "  duration_us INTEGER NOT NULL,"
    "  text TEXT NOT NULL,"
    "  expire_ms INTEGER NOT NULL"
    ") STRICT;"
    "CREATE INDEX feed_runs_feed ON feed_runs(feed);"
    "CREATE INDEX feed_runs_params ON feed_runs(feed, params);"
    "CREATE INDEX feed_runs_expire ON feed_runs(expire_ms)",
};

#define N_MIGRATIONS (sizeof(migrations) / sizeof(migrations[0]))

int64_t schema_newest_version(void)
{
    return N_MIGRATIONS;
}

static enum status migrate(struct db *db, const char *sql, size_t version)
{
    char mark[96];
    snprintf(mark, sizeof(mark), "PRAGMA application_id=%d; PRAGMA user_version=%zu",
             SCHEMA_APPLICATION_ID, version);
    enum status status = db_begin_write(db);
    if (status == STATUS_OK) {
        status = db_exec(db, sql);
    }
    if (status == STATUS_OK) {
        status = db_exec(db, mark);
    }
    if (status == STATUS_OK) {
        status = db_commit(db);
    }
    if (status == STATUS_OK) {
        return STATUS_OK;
    }
    db_log_fault(db, "migrate", status);
    db_rollback(db);
    return status;
}

static enum status refuse_newer(const struct db *db, int64_t version, size_t n)
{
    log_error("storage", "made_by_newer_program",
              log_s("path", sqlite3_db_filename(db->handle, "main")), log_i("version", version),
              log_i("newest_known_version", (int64_t)n));
    return STATUS_VERSION;
}

enum status schema_upgrade(struct db *db, const char *const *steps, size_t n)
{
    int64_t version;
    enum status status = db_query_i64(db, "PRAGMA user_version", &version);
    if (status != STATUS_OK) {
        db_log_fault(db, "read the version", status);
        return status;
    }
    if (version < 0 || (uint64_t)version > n) {
        return refuse_newer(db, version, n);
    }
    for (size_t i = (size_t)version; i < n && status == STATUS_OK; i++) {
        status = migrate(db, steps[i], i + 1);
    }
    if (status == STATUS_OK && version > 0 && (size_t)version < n) {
        log_info("storage", "schema_upgraded", log_i("from", version), log_i("to", (int64_t)n));
    }
    return status;
}

enum status schema_mark_copy(struct db *db)
{
    enum status status = schema_upgrade(db, migrations, N_MIGRATIONS);
    return status == STATUS_OK ? db_exec(db, "UPDATE marks SET is_copy=1") : status;
}

/* Ours, or empty? Reading the header is also what finds a file that is no database. */
static enum status identify(struct db *db)
{
    int64_t application_id, version, n_objects;
    enum status status = db_query_i64(db, "PRAGMA application_id", &application_id);
    if (status == STATUS_OK) {
        status = db_query_i64(db, "PRAGMA user_version", &version);
    }
    if (status == STATUS_OK) {
        status = db_query_i64(db, "SELECT count(*) FROM sqlite_master", &n_objects);
    }
    if (status != STATUS_OK) {
        db_log_fault(db, "read the header", status);
        return status;
    }
    if (application_id == SCHEMA_APPLICATION_ID) {
        return version > (int64_t)N_MIGRATIONS ? refuse_newer(db, version, N_MIGRATIONS)
                                               : STATUS_OK;
    }
    if (application_id == 0 && version == 0 && n_objects == 0) {
        return STATUS_OK;
    }
    log_error("storage", "foreign_database", log_s("path", sqlite3_db_filename(db->handle, "main")),
              log_i("application_id", application_id),
              log_s("expected", "a database of Belfry's, or no file"));
    return STATUS_CORRUPT;
}

static enum status use_wal(struct db *db)
{
    sqlite3_stmt *stmt = NULL;
    static const char *const sql[] = {"PRAGMA journal_mode=WAL"};
    enum status status = db_prepare(db, sql, &stmt, 1);
    if (status == STATUS_OK) {
        struct db_call call = db_call(stmt);
        bool is_wal = db_row(&call) && str_eq(db_str(&call, 0), STR("wal"));
        status = db_end(&call);
        if (status == STATUS_OK && !is_wal) {
            status = STATUS_IO;
        }
    }
    db_finalize(&stmt, 1);
    return status;
}

/* - Only checkpoints that the writer asks for: not inside COMMIT, where publishers wait.
 * - secure_delete is on in Debian's build and makes trimming write more than appending.
 * - A cache that holds a whole group, so that it is not spilled before the commit. */
static enum status configure_writer(struct db *db, enum storage_durability durability)
{
    enum status status = db_exec(db, "PRAGMA secure_delete=FAST;"
                                     "PRAGMA temp_store=MEMORY;"
                                     "PRAGMA trusted_schema=OFF;"
                                     "PRAGMA cache_size=-16384");
    if (durability == STORAGE_MEMORY) {
        return status;
    }
    if (status == STATUS_OK) {
        status = use_wal(db);
    }
    if (status == STATUS_OK) {
        status = db_exec(db, durability == STORAGE_FULL ? "PRAGMA synchronous=FULL"
                                                        : "PRAGMA synchronous=NORMAL");
    }
    if (status == STATUS_OK) {
        status = db_exec(db, "PRAGMA wal_autocheckpoint=0; PRAGMA journal_size_limit=67108864");
    }
    return status;
}

static enum status configure_reader(struct db *db)
{
    return db_exec(db, "PRAGMA query_only=ON;"
                       "PRAGMA temp_store=MEMORY;"
                       "PRAGMA trusted_schema=OFF;"
                       "PRAGMA wal_autocheckpoint=0");
}

/* A checkpoint syncs the log before it writes to the database: not without "synchronous", whatever
 * SQLite's build has as its default. Asking for the mode of the journal is what makes this
 * connection use the log. */
static enum status configure_checkpointer(struct db *db)
{
    enum status status = use_wal(db);
    if (status == STATUS_OK) {
        status = db_exec(db, "PRAGMA synchronous=NORMAL;"
                             "PRAGMA trusted_schema=OFF;"
                             "PRAGMA wal_autocheckpoint=0");
    }
    return status;
}

/* Nothing is moved from the log of a file into it before it is known to be ours. */
static void keep_log(struct db *db, bool is_kept)
{
    sqlite3_db_config(db->handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, (int)is_kept, NULL);
}

enum status schema_open_writer(const char *path, enum storage_durability durability,
                               struct db *ret_db)
{
    const char *name = durability == STORAGE_MEMORY ? ":memory:" : path;
    struct db db;
    enum status status =
        db_open(name, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, &db);
    if (status != STATUS_OK) {
        db_log_fault(&db, "open", status);
        goto fail;
    }
    keep_log(&db, true);
    status = identify(&db);
    if (status != STATUS_OK) {
        goto fail;
    }
    keep_log(&db, false);
    /* SQLite falls back to reading when it may not write. */
    if (sqlite3_db_readonly(db.handle, "main") != 0) {
        log_error("storage", "not_writable", log_s("path", name));
        status = STATUS_IO;
        goto fail;
    }
    status = configure_writer(&db, durability);
    if (status != STATUS_OK) {
        db_log_fault(&db, "configure", status);
        goto fail;
    }
    status = schema_upgrade(&db, migrations, N_MIGRATIONS);
    if (status != STATUS_OK) {
        goto fail;
    }
    *ret_db = db;
    return STATUS_OK;
fail:
    log_error("storage", "open_failed", log_s("path", name), log_s("status", status_name(status)));
    db_close(&db);
    return status;
}

static enum status open_beside_writer(const char *path, int flags,
                                      enum status (*configure)(struct db *db), struct db *ret_db)
{
    struct db db;
    enum status status = db_open(path, flags | SQLITE_OPEN_NOMUTEX, &db);
    if (status == STATUS_OK) {
        keep_log(&db, true);
        status = configure(&db);
    }
    if (status != STATUS_OK) {
        db_log_fault(&db, "open beside the writer", status);
        db_close(&db);
        return status;
    }
    *ret_db = db;
    return STATUS_OK;
}

enum status schema_open_reader(const char *path, struct db *ret_db)
{
    return open_beside_writer(path, SQLITE_OPEN_READONLY, configure_reader, ret_db);
}

enum status schema_open_checkpointer(const char *path, struct db *ret_db)
{
    return open_beside_writer(path, SQLITE_OPEN_READWRITE, configure_checkpointer, ret_db);
}
