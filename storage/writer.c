/* SPDX-License-Identifier: MIT */
/* The writer: one thread, one connection, one transaction per group of operations. Groups form by
 * themselves: whatever arrives while one is being committed is the next. What a transaction could
 * not write fails as a whole and is forgotten; the next group tries again, so that writing goes on
 * by itself when, say, the disk has room again. */
#include "storage/writer.h"

#include <assert.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "storage/checkpointer.h"
#include "storage/counts.h"
#include "storage/db.h"
#include "storage/events.h"
#include "storage/keys.h"
#include "storage/marks.h"
#include "storage/reads.h"
#include "storage/results.h"
#include "storage/runs.h"
#include "storage/schema.h"
#include "storage/streams.h"
#include "storage/sweep.h"
#include "storage/thread.h"

/* Bounds of a group: an acknowledgement waits for all of its group. */
#define GROUP_MAX_OPS   1000
#define GROUP_MAX_BYTES ((size_t)4 << 20)
/* Frames in the write-ahead log, see checkpoints: from how many on the checkpointer is asked (the
 * more, the more often a page that many groups change is written once for all of them), how few
 * more the writer copies itself, and from how many on it does so however many they are. */
#define CHECKPOINT_FRAMES  6000
#define REST_FRAMES        500
#define RESTART_FRAMES     16000
#define RESTART_TIMEOUT_MS 500
/* Between attempts to write when that fails and nobody asks for it. */
#define RETRY_MS 1000

struct writer {
    struct db db;
    struct marks *marks; /* NULL with STORAGE_MEMORY */
    struct streams *streams;
    struct keys *keys;
    struct results *results;
    struct runs *runs;
    struct events *events;
    struct reads *reads;
    struct sweep *sweep;
    struct sweep_due sweep_due;
    struct checkpointer *checkpointer; /* NULL with STORAGE_MEMORY */
    struct counts counts;
    struct inbox inbox;
    struct completions *completions;
    pthread_t thread;
    bool started;
    bool has_file;
    int n_wal_frames;      /* after the last commit */
    int checkpoint_frames; /* from here on the checkpointer is asked */
    int restart_frames;    /* from here on commits wait for it, and for the rest */
    int begun_frames;      /* when it was last asked; 0: not since the log started over */
    int last_rest;         /* what was left to be asked for then */
    int64_t frame_size;
    uint64_t n_failed_groups; /* since the last good one */
    int64_t retry_ms;         /* when an empty group is due, if there were any */
    /* Read by the loop. */
    atomic_uint_fast64_t n_groups;
    atomic_uint_fast64_t wal_bytes;
    atomic_bool is_failing;
    struct histogram group_sizes;
    struct histogram commit_times;
};

/* A frame is a page with a header of its own; the log has one, too. */
#define WAL_HEADER_SIZE   32
#define FRAME_HEADER_SIZE 24

/* When a checkpoint of the old log is still being done, its outcome says nothing about the new one:
 * that has not begun any. */
static void log_started_over(struct writer *w)
{
    w->n_wal_frames = 0;
    w->begun_frames = 0;
    w->last_rest = INT_MAX;
    w->checkpoint_frames = CHECKPOINT_FRAMES;
    w->restart_frames = RESTART_FRAMES;
}

static int wal_grown(void *arg, sqlite3 *handle, const char *name, int n_frames)
{
    struct writer *w = arg;
    (void)handle;
    (void)name;
    if (n_frames < w->n_wal_frames) {
        log_started_over(w);
    }
    w->n_wal_frames = n_frames;
    uint64_t n_bytes = WAL_HEADER_SIZE + (uint64_t)n_frames * (uint64_t)w->frame_size;
    atomic_store_explicit(&w->wal_bytes, n_bytes, memory_order_relaxed);
    return SQLITE_OK;
}

static void close_connection(struct writer *w)
{
    checkpointer_destroy(w->checkpointer);
    w->checkpointer = NULL;
    reads_destroy(w->reads);
    events_destroy(w->events);
    results_destroy(w->results);
    runs_destroy(w->runs);
    sweep_destroy(w->sweep);
    keys_destroy(w->keys);
    streams_destroy(w->streams);
    marks_destroy(w->marks);
    w->reads = NULL;
    w->events = NULL;
    w->results = NULL;
    w->runs = NULL;
    w->sweep = NULL;
    w->keys = NULL;
    w->streams = NULL;
    w->marks = NULL;
    db_close(&w->db);
}

static enum status prepare(struct writer *w)
{
    enum status status = streams_create(&w->db, &w->sweep_due, &w->counts.streams, &w->streams);
    if (status == STATUS_OK) {
        status = keys_create(&w->db, &w->sweep_due, &w->counts.keys, &w->keys);
    }
    if (status == STATUS_OK) {
        status = results_create(&w->db, &w->sweep_due, &w->counts.feeds, &w->results);
    }
    if (status == STATUS_OK) {
        status = runs_create(&w->db, &w->sweep_due, &w->runs);
    }
    if (status == STATUS_OK) {
        status = events_create(&w->db, &w->events);
    }
    if (status == STATUS_OK) {
        struct sweep_parts parts = {w->streams, w->results, w->runs};
        status = sweep_create(&w->db, &parts, &w->sweep_due, &w->counts, &w->sweep);
    }
    if (status == STATUS_OK) {
        status = reads_create(&w->db, &w->reads);
    }
    if (status == STATUS_OK && w->has_file) {
        status = db_query_i64(&w->db, "PRAGMA page_size", &w->frame_size);
        w->frame_size += FRAME_HEADER_SIZE;
    }
    if (status != STATUS_OK) {
        db_log_fault(&w->db, "prepare statements", status);
    }
    counts_committed(&w->counts);
    return status;
}

static enum status open_connection(struct writer *w, const struct writer_options *options)
{
    enum status status = schema_open_writer(options->path, options->durability, &w->db);
    if (status == STATUS_OK && w->has_file) {
        status = marks_open(&w->db, options->lock, options->durability, &w->marks);
    }
    if (status == STATUS_OK) {
        status = prepare(w);
    }
    if (status == STATUS_OK && w->has_file) {
        sqlite3_wal_hook(w->db.handle, wal_grown, w);
        status = checkpointer_create(options->path, &w->checkpointer);
    }
    return status;
}

enum status writer_create(const struct writer_options *options, struct writer **ret_writer)
{
    struct writer *w = calloc(1, sizeof(*w));
    if (!w) {
        return STATUS_NO_MEMORY;
    }
    w->completions = options->completions;
    w->has_file = options->durability != STORAGE_MEMORY;
    log_started_over(w);
    w->counts.streams.limit = options->stream_limit;
    w->counts.keys.limit = options->idempotency_key_limit;
    enum status status = inbox_init(&w->inbox);
    if (status != STATUS_OK) {
        free(w);
        return status;
    }
    status = open_connection(w, options);
    if (status != STATUS_OK) {
        writer_destroy(w);
        return status;
    }
    *ret_writer = w;
    return STATUS_OK;
}

/* --- one operation --- */

/* The key's limit is looked at before anything is written: what was refused must leave no trace in
 * the transaction of the others. */
static enum status find_key(struct writer *w, struct storage_append *append, int64_t now_ms)
{
    bool found;
    enum status status = keys_find(w->keys, append, now_ms, &found);
    if (status != STATUS_OK) {
        return status;
    }
    if (found) {
        append->suppressed = STORAGE_SAME_KEY;
        return STATUS_OK;
    }
    return keys_have_room(w->keys) ? STATUS_OK : STATUS_OVERLOADED;
}

static enum status write_append(struct writer *w, struct storage_append *append, int64_t now_ms)
{
    bool has_key = append->idempotency_key.len > 0;
    bool is_kept = append->channel.len > 0 && append->retention.size > 0;
    enum status status = has_key ? find_key(w, append, now_ms) : STATUS_OK;
    append->time_ms = now_ms;
    if (status == STATUS_OK && is_kept && !append->suppressed) {
        status = streams_append(w->streams, append, now_ms);
    }
    if (status != STATUS_OK || append->suppressed) {
        return status;
    }
    if (has_key) {
        status = keys_remember(w->keys, append, now_ms);
    }
    if (status == STATUS_OK && append->feed) {
        status = results_write(w->results, append, now_ms);
    }
    return status;
}

static enum status read_history(struct writer *w, struct storage_history *history, int64_t now_ms)
{
    bool is_use_due;
    enum status status = streams_use(w->streams, history->channel, &history->retention, now_ms);
    return status == STATUS_OK ? reads_history(w->reads, history, now_ms, &is_use_due) : status;
}

static enum status prolong(struct writer *w, const struct storage_history *history, int64_t now_ms)
{
    return streams_prolong(w->streams, history->channel, &history->retention, now_ms);
}

static enum status remove_items(struct writer *w, struct storage_remove *remove, int64_t now_ms)
{
    return streams_remove(w->streams, remove->channel, now_ms, &remove->top);
}

static void log_limit_reached(const struct writer *w)
{
    static struct log_limit limit;
    if (log_permits(&limit)) {
        log_warn("storage", "limit_reached", log_i("streams", (int64_t)w->counts.streams.n),
                 log_i("storage.stream_limit", (int64_t)w->counts.streams.limit),
                 log_i("idempotency_keys", (int64_t)w->counts.keys.n),
                 log_i("storage.idempotency_key_limit", (int64_t)w->counts.keys.limit),
                 log_i("left_out", limit.n_left_out));
    }
}

/* What is not there, or beyond a limit, is the operation's own affair; any other failure is the
 * group's. */
static enum status perform(struct writer *w, struct storage_op *op, int64_t now_ms)
{
    enum status status = STATUS_INTERNAL;
    switch (op->kind) {
    case OP_APPEND: status = write_append(w, op_append(op), now_ms); break;
    case OP_HISTORY: status = read_history(w, op_history(op), now_ms); break;
    case OP_PROLONG: status = prolong(w, op_history(op), now_ms); break;
    case OP_REMOVE: status = remove_items(w, op_remove(op), now_ms); break;
    case OP_FEED_READ: status = reads_feed(w->reads, op_feed_read(op), now_ms); break;
    case OP_FEED_PURGE: status = results_purge(w->results, op_feed_purge(op)); break;
    case OP_RUNS_APPEND: status = runs_append(w->runs, op_runs_append(op), now_ms); break;
    case OP_RUNS_READ: status = reads_runs(w->reads, op_runs_read(op), now_ms); break;
    case OP_EVENT_APPEND: status = events_append(w->events, op_event_append(op)); break;
    case OP_EVENTS_READ: status = reads_events(w->reads, op_events_read(op)); break;
    case OP_EVENTS_REMOVE: status = events_remove(w->events, op_events_remove(op)); break;
    case OP_EVENTS_REMOVE_OTHERS:
        status = events_remove_others(w->events, op_events_remove_others(op));
        break;
    case OP_EVENTS_COUNT: status = events_count(w->events, op_events_count(op)); break;
    default: assert(false && "kind of operation");
    }
    op_set_status(op, status);
    if (status == STATUS_OVERLOADED) {
        log_limit_reached(w);
    }
    return status == STATUS_NOT_FOUND || status == STATUS_OVERLOADED ? STATUS_OK : status;
}

/* --- groups --- */

struct group {
    struct op_list ops;
    size_t n;
    int64_t began_us;
    bool has_writes;
    bool is_retry; /* it has no operations, and writes all the same */
};

static enum status write_group(struct writer *w, struct group *group)
{
    int64_t now_ms = clock_wall_ms();
    uint64_t n_changed = db_n_changed_in_all(&w->db);
    group->began_us = clock_monotonic_us();
    enum status status = db_begin_write(&w->db);
    for (struct storage_op *op = group->ops.head; op && status == STATUS_OK; op = op->next) {
        status = perform(w, op, now_ms);
    }
    if (status == STATUS_OK) {
        status = streams_save(w->streams);
    }
    group->has_writes = group->is_retry || db_n_changed_in_all(&w->db) != n_changed;
    if (status == STATUS_OK && group->has_writes && w->marks) {
        status = marks_count(w->marks);
    }
    return status;
}

static void fail_group(struct writer *w, const struct group *group, enum status status)
{
    w->n_failed_groups += !group->is_retry;
    w->retry_ms = clock_monotonic_ms() + RETRY_MS;
    atomic_store_explicit(&w->is_failing, true, memory_order_relaxed);
    db_log_fault(&w->db, "write", status);
    db_rollback(&w->db);
    streams_forget_all(w->streams);
    results_rolled_back(w->results);
    runs_rolled_back(w->runs);
    counts_rolled_back(&w->counts);
    if (w->marks) {
        marks_rolled_back(w->marks);
    }
    for (struct storage_op *op = group->ops.head; op; op = op->next) {
        op_set_status(op, STATUS_IO);
    }
}

/* The marks come before any acknowledgement: they know of all that was acknowledged. */
static void group_committed(struct writer *w, const struct group *group)
{
    if (w->marks) {
        marks_committed(w->marks);
    }
    counts_committed(&w->counts);
    if (group->has_writes && !group->is_retry) {
        atomic_fetch_add_explicit(&w->n_groups, 1, memory_order_relaxed);
        histogram_add(&w->group_sizes, group->n);
        histogram_add(&w->commit_times, (uint64_t)(clock_monotonic_us() - group->began_us));
    }
    bool proves = group->has_writes || !w->marks; /* what has no file needs no room either */
    if (w->n_failed_groups > 0 && proves) {
        /* Who reads the line finds it so. */
        atomic_store_explicit(&w->is_failing, false, memory_order_relaxed);
        log_info("storage", "writes_again", log_i("failed_groups", (int64_t)w->n_failed_groups));
        w->n_failed_groups = 0;
        db_fault_over(&w->db);
    }
}

/* --- checkpoints --- */

/* The checkpointer copies the log into the database while commits go on. SQLite lets the log start
 * over when all of it has been copied and nobody reads from it, which under constant load is never
 * the case when the checkpointer is through: there are new commits already. It is asked again until
 * these are few; the writer copies those itself, and as the only one who commits gets to the end.
 *
 * Of SQLite's locks the checkpointer holds the one for checkpoints, and none that a commit or a
 * read waits for. While it does, a checkpoint of the writer's would end as busy at once, whatever
 * the connection's time-out: the writer begins none before the other has ended. */

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

/* Waits for the hub's own reader. One of another process (somebody's backup) may take its time: the
 * wait is short, and the next one comes when the log has grown by as much again. */
static void restart_log(struct writer *w)
{
    sqlite3_busy_timeout(w->db.handle, RESTART_TIMEOUT_MS);
    bool restarted = checkpoint(w, SQLITE_CHECKPOINT_RESTART);
    sqlite3_busy_timeout(w->db.handle, DB_BUSY_TIMEOUT_MS);
    if (restarted) {
        log_started_over(w);
    } else {
        w->checkpoint_frames = w->n_wal_frames + CHECKPOINT_FRAMES;
        w->restart_frames = w->n_wal_frames + RESTART_FRAMES;
    }
}

/* The rest has to be small; as small as it gets will do. */
static void ask_checkpointer(struct writer *w)
{
    enum checkpoint_state state = checkpointer_state(w->checkpointer);
    int rest = w->n_wal_frames - w->begun_frames;
    if (state == CHECKPOINT_COMPLETE && (rest <= REST_FRAMES || rest >= w->last_rest)) {
        restart_log(w);
    } else if (state != CHECKPOINT_RUNNING && rest > REST_FRAMES) {
        w->last_rest = state == CHECKPOINT_COMPLETE ? rest : INT_MAX;
        w->begun_frames = w->n_wal_frames;
        checkpointer_begin(w->checkpointer);
    }
}

/* Beyond the second bound: the commits outrun the checkpointer, or somebody reads for long. */
static void checkpoint_if_due(struct writer *w)
{
    if (w->n_wal_frames >= w->restart_frames) {
        checkpointer_await(w->checkpointer);
        restart_log(w);
    } else if (w->n_wal_frames >= w->checkpoint_frames) {
        ask_checkpointer(w);
    }
}

/* --- the thread --- */

static struct group cut_group(struct op_list *waiting)
{
    struct group group = {0};
    size_t n_bytes = 0;
    while (!op_list_empty(waiting) && group.n < GROUP_MAX_OPS && n_bytes < GROUP_MAX_BYTES) {
        struct storage_op *op = op_list_pop(waiting);
        n_bytes += op_size(op);
        group.n++;
        op_list_push(&group.ops, op);
    }
    return group;
}

static void write_and_commit(struct writer *w, struct group *group)
{
    enum status status = write_group(w, group);
    completions_begin_commit(w->completions);
    if (status == STATUS_OK) {
        status = db_commit(&w->db);
    }
    if (status == STATUS_OK) {
        group_committed(w, group);
    } else {
        fail_group(w, group, status);
    }
    completions_put(w->completions, &group->ops);
    completions_end_commit(w->completions);
}

/* A hub that says that it cannot write is asked to write less and less, or nothing: it has to find
 * out by itself when it can again. */
static void retry_if_due(struct writer *w)
{
    if (w->n_failed_groups > 0 && clock_monotonic_ms() >= w->retry_ms) {
        struct group group = {.is_retry = true};
        write_and_commit(w, &group);
    }
}

static int64_t next_wake_ms(const struct writer *w)
{
    int64_t sweep_ms = sweep_next_ms(w->sweep);
    return w->n_failed_groups > 0 && w->retry_ms < sweep_ms ? w->retry_ms : sweep_ms;
}

static void work(struct writer *w, struct op_list *waiting)
{
    while (!op_list_empty(waiting)) {
        struct group group = cut_group(waiting);
        write_and_commit(w, &group);
        checkpoint_if_due(w);
        sweep_run(w->sweep);
    }
}

/* Whatever fails here is found out by the next opening, and loses nothing. */
static void end_file(struct writer *w)
{
    enum status status = marks_close(w->marks);
    if (status != STATUS_OK) {
        db_log_fault(&w->db, "mark the file as closed", status);
    }
    checkpointer_destroy(w->checkpointer);
    w->checkpointer = NULL;
    checkpoint(w, SQLITE_CHECKPOINT_TRUNCATE);
}

static void *run(void *arg)
{
    struct writer *w = arg;
    struct op_list waiting;
    while (inbox_take(&w->inbox, next_wake_ms(w), &waiting)) {
        work(w, &waiting);
        retry_if_due(w);
        sweep_run(w->sweep);
        checkpoint_if_due(w);
    }
    if (w->has_file) {
        end_file(w);
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

void writer_put(struct writer *w, struct op_list *list)
{
    inbox_put(&w->inbox, list);
}

void writer_put_one(struct writer *w, struct storage_op *op)
{
    inbox_put_one(&w->inbox, op);
}

void writer_stats(const struct writer *w, struct storage_stats *stats)
{
    stats->n_groups = atomic_load_explicit(&w->n_groups, memory_order_relaxed);
    stats->wal_bytes = atomic_load_explicit(&w->wal_bytes, memory_order_relaxed);
    stats->is_failing = atomic_load_explicit(&w->is_failing, memory_order_relaxed);
    stats->n_streams = count_committed(&w->counts.streams);
    stats->n_idempotency_keys = count_committed(&w->counts.keys);
    stats->n_feed_snapshots = count_committed(&w->counts.feeds);
    stats->group_sizes = &w->group_sizes;
    stats->commit_times = &w->commit_times;
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
