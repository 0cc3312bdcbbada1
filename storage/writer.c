/* SPDX-License-Identifier: MIT */
/* The writer: one thread, one connection, one transaction per group of operations. Groups form by
 * themselves: whatever arrives while one is being committed is the next. What a transaction could
 * not write fails as a whole and is forgotten; the next group tries again, so that writing goes on
 * by itself when, say, the disk has room again. */
#include "storage/writer.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "storage/db.h"
#include "storage/reads.h"
#include "storage/results.h"
#include "storage/schema.h"
#include "storage/streams.h"
#include "storage/sweep.h"
#include "storage/thread.h"

/* Bounds of a group: an acknowledgement waits for all of its group. */
#define GROUP_MAX_OPS   1000
#define GROUP_MAX_BYTES ((size_t)4 << 20)
/* Frames in the write-ahead log: a checkpoint that waits for nobody, and one that waits for the
 * reader, so that the log can start over however busy the reader is. */
#define CHECKPOINT_FRAMES  1000
#define RESTART_FRAMES     16000
#define RESTART_TIMEOUT_MS 500

struct writer {
    struct db db;
    struct streams *streams;
    struct results *results;
    struct reads *reads;
    struct sweep *sweep;
    struct sweep_due sweep_due;
    struct inbox inbox;
    struct completions *completions;
    pthread_t thread;
    bool started;
    bool has_file;
    int n_wal_frames; /* after the last commit */
    int restart_frames;
    uint64_t n_failed_groups; /* since the last good one */
    atomic_uint_fast64_t n_groups;
};

static int wal_grown(void *arg, sqlite3 *handle, const char *name, int n_frames)
{
    struct writer *w = arg;
    (void)handle;
    (void)name;
    w->n_wal_frames = n_frames;
    return SQLITE_OK;
}

static void close_connection(struct writer *w)
{
    reads_destroy(w->reads);
    results_destroy(w->results);
    sweep_destroy(w->sweep);
    streams_destroy(w->streams);
    w->reads = NULL;
    w->results = NULL;
    w->sweep = NULL;
    w->streams = NULL;
    db_close(&w->db);
}

static enum status prepare(struct writer *w)
{
    enum status status = streams_create(&w->db, &w->sweep_due, &w->streams);
    if (status == STATUS_OK) {
        status = results_create(&w->db, &w->sweep_due, &w->results);
    }
    if (status == STATUS_OK) {
        status = sweep_create(&w->db, w->streams, &w->sweep_due, &w->sweep);
    }
    if (status == STATUS_OK) {
        status = reads_create(&w->db, &w->reads);
    }
    if (status != STATUS_OK) {
        db_log_fault(&w->db, "prepare statements", status);
    }
    return status;
}

enum status writer_create(const char *path, enum storage_durability durability,
                          struct completions *completions, struct writer **ret_writer)
{
    struct writer *w = calloc(1, sizeof(*w));
    if (!w) {
        return STATUS_NO_MEMORY;
    }
    w->completions = completions;
    w->has_file = durability != STORAGE_MEMORY;
    w->restart_frames = RESTART_FRAMES;
    enum status status = inbox_init(&w->inbox);
    if (status != STATUS_OK) {
        free(w);
        return status;
    }
    status = schema_open_writer(path, durability, &w->db);
    if (status == STATUS_OK) {
        status = prepare(w);
    }
    if (status != STATUS_OK) {
        writer_destroy(w);
        return status;
    }
    if (w->has_file) {
        sqlite3_wal_hook(w->db.handle, wal_grown, w);
    }
    *ret_writer = w;
    return STATUS_OK;
}

static enum status write_append(struct writer *w, struct storage_append *append, int64_t now_ms)
{
    enum status status = STATUS_OK;
    if (append->channel.len > 0) {
        status = streams_append(w->streams, append, now_ms);
    }
    if (status == STATUS_OK && append->feed) {
        status = results_write(w->results, append, now_ms);
    }
    return status;
}

static enum status read_history(struct writer *w, struct storage_history *history, int64_t now_ms)
{
    enum status status = streams_use(w->streams, history->channel, &history->retention, now_ms);
    return status == STATUS_OK ? reads_history(w->reads, history, now_ms) : status;
}

static enum status perform(struct writer *w, struct storage_op *op, int64_t now_ms)
{
    enum status status = STATUS_INTERNAL;
    switch (op->kind) {
    case OP_APPEND: status = write_append(w, op_append(op), now_ms); break;
    case OP_HISTORY: status = read_history(w, op_history(op), now_ms); break;
    case OP_FEED_READ:
        status = reads_feed(w->reads, op_feed_read(op), now_ms);
        op_set_status(op, status);
        return status == STATUS_NOT_FOUND ? STATUS_OK : status;
    default: assert(false && "kind of operation");
    }
    op_set_status(op, status);
    return status;
}

static enum status write_group(struct writer *w, const struct op_list *group)
{
    int64_t now_ms = clock_wall_ms();
    enum status status = db_begin_write(&w->db);
    for (struct storage_op *op = group->head; op && status == STATUS_OK; op = op->next) {
        status = perform(w, op, now_ms);
    }
    return status;
}

static void fail_group(struct writer *w, const struct op_list *group, enum status status)
{
    w->n_failed_groups++;
    db_log_fault(&w->db, "write", status);
    db_rollback(&w->db);
    streams_forget_all(w->streams);
    for (struct storage_op *op = group->head; op; op = op->next) {
        op_set_status(op, STATUS_IO);
    }
}

static void count_good_group(struct writer *w)
{
    atomic_fetch_add_explicit(&w->n_groups, 1, memory_order_relaxed);
    if (w->n_failed_groups == 0) {
        return;
    }
    log_info("storage", "writes_again", log_i("failed_groups", (int64_t)w->n_failed_groups));
    w->n_failed_groups = 0;
    db_fault_over(&w->db);
}

/* Not in the commit, but when those who waited for it have their answer. False: a reader still
 * needs a part of the log. */
static bool checkpoint(struct writer *w, int mode)
{
    int rc = sqlite3_wal_checkpoint_v2(w->db.handle, NULL, mode, NULL, NULL);
    if (rc == SQLITE_OK) {
        return true;
    }
    if ((rc & 0xff) != SQLITE_BUSY) {
        db_log_fault(&w->db, "checkpoint", STATUS_IO);
    }
    return false;
}

/* A reader of another process (somebody's backup) may take its time: the wait is short, and the
 * next one comes when the log has grown by as much again. */
static void restart_log(struct writer *w)
{
    sqlite3_busy_timeout(w->db.handle, RESTART_TIMEOUT_MS);
    bool restarted = checkpoint(w, SQLITE_CHECKPOINT_RESTART);
    sqlite3_busy_timeout(w->db.handle, DB_BUSY_TIMEOUT_MS);
    w->restart_frames = RESTART_FRAMES + (restarted ? 0 : w->n_wal_frames);
}

static void checkpoint_if_due(struct writer *w)
{
    if (w->n_wal_frames >= w->restart_frames) {
        restart_log(w);
    } else if (w->n_wal_frames >= CHECKPOINT_FRAMES) {
        checkpoint(w, SQLITE_CHECKPOINT_PASSIVE);
    }
    w->n_wal_frames = 0; /* until the next commit says it anew */
}

static void cut_group(struct op_list *waiting, struct op_list *ret_group)
{
    size_t n = 0, n_bytes = 0;
    *ret_group = (struct op_list){0};
    while (!op_list_empty(waiting) && n < GROUP_MAX_OPS && n_bytes < GROUP_MAX_BYTES) {
        struct storage_op *op = op_list_pop(waiting);
        if (op->kind == OP_APPEND) {
            n_bytes += op_append_size(op_append(op));
        }
        n++;
        op_list_push(ret_group, op);
    }
}

static void work(struct writer *w, struct op_list *waiting)
{
    while (!op_list_empty(waiting)) {
        struct op_list group;
        cut_group(waiting, &group);
        enum status status = write_group(w, &group);
        completions_begin_commit(w->completions);
        if (status == STATUS_OK) {
            status = db_commit(&w->db);
        }
        if (status == STATUS_OK) {
            count_good_group(w);
        } else {
            fail_group(w, &group, status);
        }
        completions_put(w->completions, &group);
        completions_end_commit(w->completions);
        checkpoint_if_due(w);
        sweep_run(w->sweep);
    }
}

static void *run(void *arg)
{
    struct writer *w = arg;
    struct op_list waiting;
    while (inbox_take(&w->inbox, sweep_next_ms(w->sweep), &waiting)) {
        work(w, &waiting);
        sweep_run(w->sweep);
        checkpoint_if_due(w);
    }
    if (w->has_file) {
        checkpoint(w, SQLITE_CHECKPOINT_TRUNCATE);
    }
    close_connection(w);
    completions_thread_ended(w->completions);
    return NULL;
}

enum status writer_start(struct writer *w)
{
    enum status status = thread_start(&w->thread, "storage-writer", run, w);
    w->started = status == STATUS_OK;
    return status;
}

void writer_put(struct writer *w, struct storage_op *op)
{
    inbox_put(&w->inbox, op);
}

uint64_t writer_n_groups(const struct writer *w)
{
    return atomic_load_explicit(&w->n_groups, memory_order_relaxed);
}

void writer_stop(struct writer *w)
{
    inbox_close(&w->inbox);
}

void writer_destroy(struct writer *w)
{
    if (!w) {
        return;
    }
    if (w->started) {
        pthread_join(w->thread, NULL);
    } else {
        close_connection(w);
    }
    inbox_release(&w->inbox);
    free(w);
}
