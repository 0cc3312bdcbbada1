/* SPDX-License-Identifier: MIT */
/* The reader: one thread, one connection that cannot write, one short transaction per read (a long
 * one would keep the write-ahead log from starting over). */
#include "storage/reader.h"

#include <assert.h>
#include <stdlib.h>

#include "base/clock.h"
#include "storage/db.h"
#include "storage/reads.h"
#include "storage/schema.h"
#include "storage/thread.h"
#include "storage/writer.h"

struct reader {
    struct db db;
    struct reads *reads;
    struct writer *writer;
    struct inbox inbox;
    struct completions *completions;
    pthread_t thread;
    bool started;
};

static void close_connection(struct reader *r)
{
    reads_destroy(r->reads);
    r->reads = NULL;
    db_close(&r->db);
}

enum status reader_create(const char *path, struct writer *writer, struct completions *completions,
                          struct reader **ret_reader)
{
    struct reader *r = calloc(1, sizeof(*r));
    if (!r) {
        return STATUS_NO_MEMORY;
    }
    r->writer = writer;
    r->completions = completions;
    enum status status = inbox_init(&r->inbox);
    if (status != STATUS_OK) {
        free(r);
        return status;
    }
    status = schema_open_reader(path, &r->db);
    if (status == STATUS_OK) {
        status = reads_create(&r->db, &r->reads);
        if (status != STATUS_OK) {
            db_log_fault(&r->db, "prepare statements", status);
        }
    }
    if (status != STATUS_OK) {
        reader_destroy(r);
        return status;
    }
    *ret_reader = r;
    return STATUS_OK;
}

static enum status perform(struct reader *r, struct storage_op *op, bool *ret_is_use_due)
{
    int64_t now_ms = clock_wall_ms();
    switch (op->kind) {
    case OP_HISTORY: return reads_history(r->reads, op_history(op), now_ms, ret_is_use_due);
    case OP_FEED_READ: return reads_feed(r->reads, op_feed_read(op), now_ms);
    case OP_RUNS_READ: return reads_runs(r->reads, op_runs_read(op), now_ms);
    case OP_EVENTS_READ: return reads_events(r->reads, op_events_read(op));
    default: assert(false && "kind of operation");
    }
    return STATUS_INTERNAL;
}

static enum status perform_in_transaction(struct reader *r, struct storage_op *op,
                                          bool *ret_is_use_due)
{
    enum status status = db_begin_read(&r->db);
    if (status == STATUS_OK) {
        status = perform(r, op, ret_is_use_due);
    }
    if (status != STATUS_OK && status != STATUS_NOT_FOUND) {
        db_log_fault(&r->db, "read", status);
    }
    /* There is nothing to commit. */
    db_rollback(&r->db);
    return status;
}

/* A stream that has to be made needs the writer. One that only wants to live longer passes there,
 * too, but what was read is the answer whatever becomes of that. */
static void finish(struct reader *r, struct storage_op *op)
{
    bool is_use_due = false;
    enum status status = perform_in_transaction(r, op, &is_use_due);
    if (status == STATUS_NOT_FOUND && op->kind == OP_HISTORY) {
        writer_put_one(r->writer, op);
        return;
    }
    if (status != STATUS_OK && status != STATUS_NOT_FOUND) {
        status = STATUS_IO;
    }
    op_set_status(op, status);
    if (status == STATUS_OK && is_use_due) {
        op->kind = OP_PROLONG;
        writer_put_one(r->writer, op);
        return;
    }
    completions_await_commits(r->completions);
    completions_put_one(r->completions, op);
}

static void *run(void *arg)
{
    struct reader *r = arg;
    struct op_list waiting;
    while (inbox_take(&r->inbox, INT64_MAX, &waiting)) {
        struct storage_op *op;
        while ((op = op_list_pop(&waiting))) {
            finish(r, op);
        }
    }
    close_connection(r);
    completions_thread_ended(r->completions);
    return NULL;
}

enum status reader_start(struct reader *r)
{
    enum status status = thread_start(&r->thread, "storage-reader", run, r);
    r->started = status == STATUS_OK;
    return status;
}

void reader_put(struct reader *r, struct op_list *list)
{
    inbox_put(&r->inbox, list);
}

void reader_stop(struct reader *r)
{
    inbox_close(&r->inbox);
}

void reader_destroy(struct reader *r)
{
    if (!r) {
        return;
    }
    if (r->started) {
        pthread_join(r->thread, NULL);
    } else {
        close_connection(r);
    }
    inbox_release(&r->inbox);
    free(r);
}
