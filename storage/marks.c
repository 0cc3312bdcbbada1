/* SPDX-License-Identifier: MIT */
/* The marks row of the file and what follows from it. A commit is counted inside its transaction,
 * and after it in the lock's file: that one never knows more than was committed, and knows all that
 * was acknowledged. So a database that knows less has lost something. The machine's end may take
 * both; where commits are not synced one by one that is told by the boot id. All state belongs to
 * the writer's thread. */
#include "storage/marks.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"

#define BOOT_ID_FILE "/proc/sys/kernel/random/boot_id"
#define BOOT_ID_SIZE 64

enum { SQL_READ, SQL_COUNT, SQL_SET, N_SQL };

static const char *const sql[N_SQL] = {
    [SQL_READ] = "SELECT n_commits, boot_id, is_open, is_copy FROM marks WHERE id=1",
    [SQL_COUNT] = "UPDATE marks SET n_commits=?1 WHERE id=1",
    [SQL_SET] = "UPDATE marks SET n_commits=?1, boot_id=?2, is_open=?3, is_copy=0 WHERE id=1",
};

/* Positions elsewhere in the file name their stream by its epoch: they go along. */
static const char renew_sql[] =
    "CREATE TEMP TABLE renewed(past TEXT PRIMARY KEY, future TEXT NOT NULL) WITHOUT ROWID;"
    "INSERT OR IGNORE INTO renewed SELECT epoch, new_epoch() FROM streams"
    "  WHERE channel IS NOT NULL;"
    "UPDATE streams SET epoch=(SELECT future FROM renewed WHERE past=epoch)"
    "  WHERE channel IS NOT NULL;"
    "UPDATE feed_snapshots SET epoch=(SELECT future FROM renewed WHERE past=epoch)"
    "  WHERE epoch IN (SELECT past FROM renewed);"
    "UPDATE idempotency SET epoch=(SELECT future FROM renewed WHERE past=epoch)"
    "  WHERE epoch IN (SELECT past FROM renewed);"
    "DROP TABLE renewed";

struct marks {
    struct db *db;
    struct file_lock *lock;
    uint64_t n_commits; /* as of now in the transaction */
    uint64_t n_lasting; /* committed */
    sqlite3_stmt *stmts[N_SQL];
};

struct found {
    uint64_t n_commits;
    char boot_id[BOOT_ID_SIZE];
    bool is_open;
    bool is_copy;
};

static void copy_text(char *to, size_t size, struct str text)
{
    text = str_head(text, size - 1);
    memcpy(to, text.ptr, text.len);
    to[text.len] = '\0';
}

static enum status read_marks(struct marks *m, struct found *ret_found)
{
    struct db_call call = db_call(m->stmts[SQL_READ]);
    bool is_there = db_row(&call);
    if (is_there) {
        ret_found->n_commits = db_u64(&call, 0);
        copy_text(ret_found->boot_id, BOOT_ID_SIZE, db_str(&call, 1));
        ret_found->is_open = db_i64(&call, 2) != 0;
        ret_found->is_copy = db_i64(&call, 3) != 0;
    }
    enum status status = db_end(&call);
    return status == STATUS_OK && !is_there ? STATUS_CORRUPT : status;
}

/* Empty where the system does not say. */
static void read_boot_id(char boot_id[BOOT_ID_SIZE])
{
    boot_id[0] = '\0';
    FILE *file = fopen(BOOT_ID_FILE, "re");
    if (!file) {
        return;
    }
    if (fgets(boot_id, BOOT_ID_SIZE, file)) {
        boot_id[strcspn(boot_id, "\n")] = '\0';
    }
    fclose(file);
}

#define MEANING                                                                                    \
    log_s("meaning", "every channel goes on in a new epoch: clients that come back are told that " \
                     "what they missed cannot be recovered")

/* Says why acknowledged commits are missing, or may be. */
static bool is_incomplete(const struct marks *m, const struct found *found, const char *boot_id)
{
    uint64_t expected = file_lock_n_commits(m->lock);
    if (expected > found->n_commits) {
        log_warn("storage", "commits_missing", log_i("expected", (int64_t)expected),
                 log_i("found", (int64_t)found->n_commits),
                 log_s("cause", "the write-ahead log was removed or cut, or the file was replaced "
                                "by an older copy"),
                 MEANING);
        return true;
    }
    if (found->is_copy) {
        log_warn("storage", "commits_missing",
                 log_s("cause", "the file is a backup: clients may have seen more than it has"),
                 MEANING);
        return true;
    }
    if (found->is_open && strcmp(found->boot_id, boot_id) != 0) {
        log_warn("storage", "commits_missing",
                 log_s("cause", "the machine went down under a hub with storage.durability "
                                "\"normal\": its last moments may be lost"),
                 MEANING);
        return true;
    }
    return false;
}

static void new_epoch(sqlite3_context *context, int n_args, sqlite3_value **args)
{
    (void)n_args;
    (void)args;
    char epoch[STORAGE_EPOCH_SIZE];
    rng_epoch(epoch);
    sqlite3_result_text(context, epoch, -1, SQLITE_TRANSIENT);
}

static enum status renew_epochs(struct marks *m)
{
    int rc = sqlite3_create_function(m->db->handle, "new_epoch", 0, SQLITE_UTF8 | SQLITE_DIRECTONLY,
                                     NULL, new_epoch, NULL, NULL);
    if (rc != SQLITE_OK) {
        return STATUS_NO_MEMORY;
    }
    enum status status = db_exec(m->db, renew_sql);
    sqlite3_create_function(m->db->handle, "new_epoch", 0, SQLITE_UTF8, NULL, NULL, NULL, NULL);
    return status;
}

static enum status set_marks(struct marks *m, const char *boot_id, bool is_open)
{
    struct db_call call = db_call(m->stmts[SQL_SET]);
    db_bind_u64(&call, m->n_commits);
    db_bind_str(&call, str_of(boot_id));
    db_bind_i64(&call, is_open);
    return db_run(&call);
}

/* New epochs are commits that must not be lost either. */
static enum status begin_run(struct marks *m, bool incomplete, const char *boot_id, bool is_open)
{
    enum status status = db_begin_write(m->db);
    if (status == STATUS_OK && incomplete) {
        m->n_commits++;
        status = renew_epochs(m);
    }
    if (status == STATUS_OK) {
        status = set_marks(m, boot_id, is_open);
    }
    if (status == STATUS_OK) {
        status = db_commit(m->db);
    }
    if (status == STATUS_OK) {
        marks_committed(m);
    } else {
        db_rollback(m->db);
    }
    return status;
}

/* The mark is worth nothing unless it is on the disk before the commits that it speaks of. */
static enum status begin_run_synced(struct marks *m, bool incomplete, const char *boot_id,
                                    enum storage_durability durability)
{
    enum status status = db_exec(m->db, "PRAGMA synchronous=FULL");
    if (status == STATUS_OK) {
        status = begin_run(m, incomplete, boot_id, durability == STORAGE_NORMAL);
    }
    if (status == STATUS_OK && durability == STORAGE_NORMAL) {
        status = db_exec(m->db, "PRAGMA synchronous=NORMAL");
    }
    return status;
}

static enum status compare_and_mark(struct marks *m, enum storage_durability durability)
{
    struct found found = {0};
    char boot_id[BOOT_ID_SIZE];
    enum status status = db_prepare(m->db, sql, m->stmts, N_SQL);
    if (status == STATUS_OK) {
        status = read_marks(m, &found);
    }
    if (status != STATUS_OK) {
        return status;
    }
    read_boot_id(boot_id);
    bool incomplete = is_incomplete(m, &found, boot_id);
    uint64_t known = file_lock_n_commits(m->lock);
    m->n_commits = known > found.n_commits ? known : found.n_commits;
    status = begin_run_synced(m, incomplete, boot_id, durability);
    if (status == STATUS_OK && found.is_copy) {
        /* The file itself shall not look like a copy with a strange log beside it. */
        status = db_exec(m->db, "PRAGMA wal_checkpoint(TRUNCATE)");
    }
    return status;
}

enum status marks_open(struct db *db, struct file_lock *lock, enum storage_durability durability,
                       struct marks **ret_marks)
{
    struct marks *m = calloc(1, sizeof(*m));
    if (!m) {
        return STATUS_NO_MEMORY;
    }
    m->db = db;
    m->lock = lock;
    enum status status = compare_and_mark(m, durability);
    if (status != STATUS_OK) {
        db_log_fault(db, "mark the file as open", status);
        marks_destroy(m);
        return status;
    }
    *ret_marks = m;
    return STATUS_OK;
}

void marks_destroy(struct marks *m)
{
    if (!m) {
        return;
    }
    db_finalize(m->stmts, N_SQL);
    free(m);
}

enum status marks_count(struct marks *m)
{
    m->n_commits++;
    struct db_call call = db_call(m->stmts[SQL_COUNT]);
    db_bind_u64(&call, m->n_commits);
    return db_run(&call);
}

void marks_committed(struct marks *m)
{
    m->n_lasting = m->n_commits;
    file_lock_set_n_commits(m->lock, m->n_lasting);
}

void marks_rolled_back(struct marks *m)
{
    m->n_commits = m->n_lasting;
}

enum status marks_close(struct marks *m)
{
    return set_marks(m, "", false);
}
