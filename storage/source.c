/* SPDX-License-Identifier: MIT */
/* Opens a database file for the tools. A running hub's file is read like by any other connection,
 * in a transaction of its own, without the lock that keeps a second hub away. State belongs to the
 * caller; any thread. */
#include "storage/source.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/log.h"
#include "storage/schema.h"

char *source_uri(const char *path, const char *parameters)
{
    struct buf uri;
    buf_init(&uri, SIZE_MAX);
    buf_literal(&uri, "file:");
    for (const char *at = path; *at; at++) {
        buf_printf(&uri, "%%%02x", (unsigned char)*at);
    }
    buf_append(&uri, str_of(parameters));
    char *text = buf_take(&uri);
    buf_release(&uri);
    return text;
}

static enum status look_at_file(const char *path)
{
    struct stat about;
    if (stat(path, &about) != 0 && errno == ENOENT) {
        return STATUS_NOT_FOUND;
    }
    if (access(path, R_OK) != 0) {
        log_error("storage", "not_readable", log_s("path", path), log_s("error", strerror(errno)));
        return STATUS_IO;
    }
    if (!S_ISREG(about.st_mode)) {
        log_error("storage", "not_readable", log_s("path", path), log_s("expected", "a file"));
        return STATUS_IO;
    }
    return STATUS_OK;
}

/* In bytes; -1: there is none. */
static int64_t log_size(const char *path)
{
    struct stat about;
    char *name;
    if (asprintf(&name, "%s-wal", path) < 0) {
        return 0;
    }
    int64_t size = stat(name, &about) == 0 ? about.st_size : -1;
    free(name);
    return size;
}

/* A hub's file has its write-ahead log beside it from start to end. */
static bool has_log(const char *path)
{
    return log_size(path) >= 0;
}

/* A quiet file is opened as one that cannot change: else SQLite would leave a log and its index
 * beside it, owned by whoever ran the tool, and the hub could not open them. */
static enum status connect_to(struct source *source)
{
    char *uri = source_uri(source->path, source->is_quiet ? "?immutable=1" : "");
    if (!uri) {
        return STATUS_NO_MEMORY;
    }
    enum status status =
        db_open(uri, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX, &source->db);
    if (status == STATUS_OK) {
        status = db_exec(&source->db, "PRAGMA temp_store=MEMORY; PRAGMA trusted_schema=OFF");
    }
    if (status == STATUS_OK &&
        sqlite3_db_config(source->db.handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL) !=
            SQLITE_OK) {
        status = STATUS_IO;
    }
    free(uri);
    return status;
}

static enum status identify(struct source *source)
{
    int64_t application_id = 0, version = 0;
    enum status status = db_query_i64(&source->db, "PRAGMA application_id", &application_id);
    if (status == STATUS_OK) {
        status = db_query_i64(&source->db, "PRAGMA user_version", &version);
    }
    if (status != STATUS_OK) {
        db_log_fault(&source->db, "read the header", status);
        return status;
    }
    if (application_id != SCHEMA_APPLICATION_ID || version < 1) {
        log_error("storage", "foreign_database", log_s("path", source->path),
                  log_i("application_id", application_id));
        return STATUS_CORRUPT;
    }
    source->version = version;
    return version > schema_newest_version() ? STATUS_VERSION : STATUS_OK;
}

enum status source_open(const char *path, struct source *ret_source)
{
    enum status status = look_at_file(path);
    if (status != STATUS_OK) {
        return status;
    }
    struct source source = {.path = path, .is_quiet = !has_log(path)};
    status = connect_to(&source);
    if (status != STATUS_OK) {
        db_log_fault(&source.db, "open", status);
    } else {
        status = identify(&source);
    }
    if (status != STATUS_OK) {
        db_close(&source.db);
        return status;
    }
    *ret_source = source;
    return STATUS_OK;
}

enum status source_close(struct source *source)
{
    db_close(&source->db);
    return source->is_quiet && has_log(source->path) ? STATUS_CANCELLED : STATUS_OK;
}

enum status source_refuse_strange_log(const char *path)
{
    /* Without the log: as the file is by itself. */
    struct source source = {.path = path, .is_quiet = true};
    int64_t is_copy = 0;
    if (log_size(path) <= 0) {
        return STATUS_OK;
    }
    enum status status = connect_to(&source);
    if (status == STATUS_OK) {
        status = db_query_i64(&source.db, "SELECT is_copy FROM marks WHERE id=1", &is_copy);
    }
    db_close(&source.db);
    if (status != STATUS_OK || is_copy == 0) {
        return STATUS_OK;
    }
    log_error("storage", "strange_log", log_s("path", path),
              log_s("error", "the file is a backup, the log beside it belongs to another one"),
              log_s("expected", "the backup alone: remove its -wal and -shm"));
    return STATUS_CORRUPT;
}
