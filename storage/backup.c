/* SPDX-License-Identifier: MIT */
/* Copies a database file while a hub may be writing to it. State of the call's own; any thread.
 *
 * By VACUUM INTO, in one read transaction of its own, and not by copying pages: what was forgotten
 * is not carried along in free pages. A damaged file shall not take the place of a good backup, and
 * a copy of it would hide some of the damage: it is checked first. The price is processor time. */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "storage/schema.h"
#include "storage/source.h"
#include "storage/storage.h"

struct copy {
    const char *to;
    char *partial; /* its name until it is complete */
    char *journal; /* SQLite's, of the partial one */
    char *folder;
    int fd; /* of the partial file, -1: not made */
};

static enum status fail_at(const char *action, const char *path)
{
    log_error("storage", "backup_failed", log_s("action", action), log_s("path", path),
              log_s("error", strerror(errno)));
    return STATUS_IO;
}

static char *folder_of(const char *path)
{
    char *copy = strdup(path);
    char *folder = copy ? strdup(dirname(copy)) : NULL;
    free(copy);
    return folder;
}

static enum status copy_init(struct copy *copy, const char *to)
{
    *copy = (struct copy){.to = to, .fd = -1, .folder = folder_of(to)};
    if (!copy->folder) {
        return STATUS_NO_MEMORY;
    }
    if (asprintf(&copy->partial, "%s.partial", to) < 0) {
        copy->partial = NULL;
        return STATUS_NO_MEMORY;
    }
    if (asprintf(&copy->journal, "%s-journal", copy->partial) < 0) {
        copy->journal = NULL;
        return STATUS_NO_MEMORY;
    }
    return STATUS_OK;
}

/* SQLite would apply a journal that was left behind to the new file. */
static void remove_partial(const struct copy *copy)
{
    unlink(copy->partial);
    unlink(copy->journal);
}

/* Of two backups to the same place that run at a time, each may have replaced the other's
 * file. */
static bool is_still_ours(const struct copy *copy)
{
    struct stat ours, found;
    return fstat(copy->fd, &ours) == 0 && stat(copy->partial, &found) == 0 &&
           ours.st_dev == found.st_dev && ours.st_ino == found.st_ino;
}

static void copy_release(struct copy *copy, enum status status)
{
    if (copy->fd >= 0) {
        if (status != STATUS_OK && is_still_ours(copy)) {
            remove_partial(copy);
        }
        close(copy->fd);
    }
    free(copy->partial);
    free(copy->journal);
    free(copy->folder);
}

/* Of one that was interrupted, nothing is used. */
static enum status make_partial(struct copy *copy)
{
    struct stat about;
    if (lstat(copy->to, &about) == 0) {
        return STATUS_ALREADY;
    }
    remove_partial(copy);
    copy->fd = open(copy->partial, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
    return copy->fd >= 0 ? STATUS_OK : fail_at("create", copy->partial);
}

static enum status run_vacuum(struct db *db, const char *uri)
{
    sqlite3_stmt *stmt = NULL;
    static const char *const sql[] = {"VACUUM INTO ?1"};
    enum status status = db_prepare(db, sql, &stmt, 1);
    if (status == STATUS_OK) {
        struct db_call call = db_call(stmt);
        db_bind_str(&call, str_of(uri));
        status = db_run(&call);
    }
    db_finalize(&stmt, 1);
    return status;
}

static enum status fill(const struct copy *copy, struct source *source)
{
    char *uri = source_uri(copy->partial, "");
    if (!uri) {
        return STATUS_NO_MEMORY;
    }
    enum status status = run_vacuum(&source->db, uri);
    if (status != STATUS_OK) {
        db_log_fault(&source->db, "copy", status);
        log_error("storage", "backup_failed", log_s("action", "copy"), log_s("path", copy->partial),
                  log_s("from", source->path));
    }
    free(uri);
    return status;
}

/* Clients may have seen more than is in the copy. */
static enum status mark(const struct copy *copy)
{
    struct db db;
    enum status status = db_open(copy->partial, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, &db);
    if (status == STATUS_OK) {
        status = schema_mark_copy(&db);
    }
    if (status != STATUS_OK) {
        db_log_fault(&db, "mark the copy", status);
    }
    db_close(&db);
    return status;
}

/* Never over another file. Not every file system has the rename that takes care of it; those have
 * links. */
static int rename_new(const char *from, const char *to)
{
    int rc = renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE);
    if (rc != 0 && (errno == EINVAL || errno == ENOSYS)) {
        rc = link(from, to);
        if (rc == 0) {
            unlink(from);
        }
    }
    return rc;
}

static enum status sync_folder(const struct copy *copy)
{
    int fd = open(copy->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    enum status status = STATUS_OK;
    if (fd < 0 || fsync(fd) != 0) {
        status = fail_at("sync", copy->folder);
    }
    if (fd >= 0) {
        close(fd);
    }
    return status;
}

static enum status publish(const struct copy *copy)
{
    if (fsync(copy->fd) != 0) {
        return fail_at("sync", copy->partial);
    }
    if (!is_still_ours(copy)) {
        log_error("storage", "backup_failed", log_s("path", copy->partial),
                  log_s("error", "another backup to the same place has replaced it"));
        return STATUS_IO;
    }
    if (rename_new(copy->partial, copy->to) != 0) {
        return errno == EEXIST ? STATUS_ALREADY : fail_at("rename", copy->partial);
    }
    return sync_folder(copy);
}

static enum status copy_from(struct copy *copy, struct source *source)
{
    enum status status = make_partial(copy);
    if (status == STATUS_OK) {
        status = fill(copy, source);
    }
    return status;
}

static void log_finding(void *arg, const char *text)
{
    unsigned *n = arg;
    if ((*n)++ == 0) {
        log_error("storage", "damaged", log_s("finding", text));
    }
}

static enum status check(const char *path)
{
    unsigned n = 0;
    struct storage_check_counts counts;
    enum status status = storage_check(path, log_finding, &n, &counts);
    return status == STATUS_OK && counts.n_findings > 0 ? STATUS_CORRUPT : status;
}

enum status storage_backup(const char *path, const char *to)
{
    struct source source;
    enum status status = check(path);
    if (status == STATUS_OK) {
        status = source_open(path, &source);
    }
    if (status != STATUS_OK) {
        return status;
    }
    struct copy copy;
    status = copy_init(&copy, to);
    if (status == STATUS_OK) {
        status = copy_from(&copy, &source);
    }
    enum status closed = source_close(&source);
    if (status == STATUS_OK) {
        status = closed;
    }
    if (status == STATUS_OK) {
        status = mark(&copy);
    }
    if (status == STATUS_OK) {
        status = publish(&copy);
    }
    copy_release(&copy, status);
    return status;
}
