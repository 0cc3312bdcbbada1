/* SPDX-License-Identifier: MIT */
/* The face of the storage: starts operations by putting them into a thread's inbox, and delivers
 * what comes back on the loop. All state belongs to the loop's thread; what the threads share with
 * it is in ops.h. */
#include "storage/storage.h"

#include <assert.h>
#include <stdlib.h>

#include "base/log.h"
#include "storage/file_lock.h"
#include "storage/ops.h"
#include "storage/reader.h"
#include "storage/writer.h"

/* Deliveries are interrupted after this long: sockets wait, too. */
#define DELIVERY_SLICE_NS (4 * UINT64_C(1000000))
#define DELIVERY_STEP     16

/* Closing, in this order: the reader may have work for the writer, and the writer's last checkpoint
 * wants to be alone. */
enum storage_state {
    STORAGE_OPEN,
    STORAGE_FINISHING, /* operations are still under way */
    STORAGE_ENDING_READER,
    STORAGE_ENDING_WRITER,
    STORAGE_CLOSING_HANDLE,
};

struct storage {
    enum storage_state state;
    uv_async_t wake;
    struct completions completions;
    struct op_list arrived; /* taken from the completions, to be delivered */
    unsigned n_ended;       /* threads */
    struct writer *writer;
    struct reader *reader; /* NULL with STORAGE_MEMORY */
    int lock_fd;
    size_t n_open; /* operations whose done() was not called yet */
    size_t queue_max_size;
    struct storage_stats stats;
    storage_closed_fn closed;
    void *closed_arg;
};

static void step(struct storage *s);

/* --- opening --- */

static void release(struct storage *s)
{
    reader_destroy(s->reader);
    writer_destroy(s->writer);
    s->reader = NULL;
    s->writer = NULL;
    file_lock_release(s->lock_fd);
    s->lock_fd = -1;
}

static void free_storage(uv_handle_t *handle)
{
    struct storage *s = handle->data;
    if (s->closed) {
        s->closed(s->closed_arg);
    }
    completions_release(&s->completions);
    free(s);
}

static enum status open_connections(struct storage *s, const struct storage_options *options)
{
    enum status status = STATUS_OK;
    bool has_file = options->durability != STORAGE_MEMORY;
    if (has_file) {
        status = file_lock_take(options->path, &s->lock_fd);
    }
    if (status == STATUS_OK) {
        status = writer_create(options->path, options->durability, &s->completions, &s->writer);
    }
    if (status == STATUS_OK && has_file) {
        status = reader_create(options->path, s->writer, &s->completions, &s->reader);
    }
    return status;
}

/* Either both threads run, or none does. */
static enum status start_threads(struct storage *s)
{
    enum status status = writer_start(s->writer);
    if (status == STATUS_OK && s->reader) {
        status = reader_start(s->reader);
        if (status != STATUS_OK) {
            writer_stop(s->writer);
        }
    }
    return status;
}

static void deliver(uv_async_t *wake);

static enum status create(uv_loop_t *loop, size_t queue_max_size, struct storage **ret_storage)
{
    struct storage *s = calloc(1, sizeof(*s));
    if (!s) {
        return STATUS_NO_MEMORY;
    }
    s->lock_fd = -1;
    s->queue_max_size = queue_max_size;
    enum status status = completions_init(&s->completions, &s->wake);
    if (status != STATUS_OK) {
        goto fail;
    }
    int rc = uv_async_init(loop, &s->wake, deliver);
    if (rc != 0) {
        log_error("storage", "no_handle", log_s("error", uv_strerror(rc)));
        status = STATUS_IO;
        completions_release(&s->completions);
        goto fail;
    }
    s->wake.data = s;
    *ret_storage = s;
    return STATUS_OK;
fail:
    free(s);
    return status;
}

enum status storage_open(const struct storage_options *options, struct storage **ret_storage)
{
    struct storage *s;
    enum status status = create(loop_uv(options->loop), options->queue_max_size, &s);
    if (status != STATUS_OK) {
        return status;
    }
    status = open_connections(s, options);
    if (status == STATUS_OK) {
        status = start_threads(s);
    }
    if (status != STATUS_OK) {
        release(s);
        s->state = STORAGE_CLOSING_HANDLE;
        uv_close((uv_handle_t *)&s->wake, free_storage);
        return status;
    }
    log_debug("storage", "opened", log_s("path", s->reader ? options->path : ":memory:"));
    *ret_storage = s;
    return STATUS_OK;
}

/* --- starting --- */

static void started(struct storage *s, struct storage_op *op, enum op_kind kind)
{
    assert(s->state == STORAGE_OPEN);
    op->kind = (int)kind;
    op->next = NULL;
    s->n_open++;
}

void storage_append(struct storage *s, struct storage_append *append)
{
    assert(append->channel.len > 0 || append->feed);
    started(s, &append->op, OP_APPEND);
    size_t size = op_append_size(append);
    if (size > s->queue_max_size || s->stats.queue_bytes > s->queue_max_size - size) {
        op_set_status(&append->op, STATUS_OVERLOADED);
        completions_put_one(&s->completions, &append->op);
        return;
    }
    s->stats.queue_bytes += size;
    s->stats.queue_length++;
    writer_put(s->writer, &append->op);
}

static void start_read(struct storage *s, struct storage_op *op)
{
    if (s->reader) {
        reader_put(s->reader, op);
    } else {
        writer_put(s->writer, op);
    }
}

void storage_history(struct storage *s, struct storage_history *history)
{
    assert(history->channel.len > 0);
    started(s, &history->op, OP_HISTORY);
    start_read(s, &history->op);
}

void storage_feed_read(struct storage *s, struct storage_feed_read *read)
{
    started(s, &read->op, OP_FEED_READ);
    start_read(s, &read->op);
}

void storage_stats(struct storage *s, struct storage_stats *ret_stats)
{
    *ret_stats = s->stats;
    if (s->writer) {
        ret_stats->n_groups = writer_n_groups(s->writer);
    }
}

/* --- delivering --- */

static void count_append(struct storage *s, const struct storage_append *append)
{
    if (append->status == STATUS_OVERLOADED) {
        s->stats.n_overloaded++;
        return;
    }
    s->stats.queue_bytes -= op_append_size(append);
    s->stats.queue_length--;
    if (append->status == STATUS_OK) {
        s->stats.n_appends++;
    } else {
        s->stats.n_failed++;
    }
}

static void finish(struct storage *s, struct storage_op *op)
{
    s->n_open--;
    switch (op->kind) {
    case OP_APPEND:
        count_append(s, op_append(op));
        op_append(op)->done(op_append(op));
        return;
    case OP_HISTORY:
        s->stats.n_reads++;
        op_history(op)->done(op_history(op));
        return;
    case OP_FEED_READ:
        s->stats.n_reads++;
        op_feed_read(op)->done(op_feed_read(op));
        return;
    default: assert(false && "kind of operation");
    }
}

static void deliver(uv_async_t *wake)
{
    struct storage *s = wake->data;
    s->n_ended = completions_take(&s->completions, &s->arrived);
    uint64_t until_ns = uv_hrtime() + DELIVERY_SLICE_NS;
    struct storage_op *op;
    for (unsigned n = 1; (op = op_list_pop(&s->arrived)); n++) {
        finish(s, op);
        if (n % DELIVERY_STEP == 0 && uv_hrtime() > until_ns) {
            uv_async_send(&s->wake);
            break;
        }
    }
    step(s);
}

/* --- closing --- */

static void close_handle(struct storage *s)
{
    /* The threads have ended, so nothing waits here. */
    release(s);
    s->state = STORAGE_CLOSING_HANDLE;
    uv_close((uv_handle_t *)&s->wake, free_storage);
}

static void step(struct storage *s)
{
    switch (s->state) {
    case STORAGE_FINISHING:
        if (s->n_open > 0) {
            return;
        }
        s->state = STORAGE_ENDING_READER;
        if (s->reader) {
            reader_stop(s->reader);
            return;
        }
        /* fall through */
    case STORAGE_ENDING_READER:
        if (s->reader && s->n_ended < 1) {
            return;
        }
        s->state = STORAGE_ENDING_WRITER;
        writer_stop(s->writer);
        return;
    case STORAGE_ENDING_WRITER:
        if (s->n_ended == (s->reader ? 2u : 1u)) {
            close_handle(s);
        }
        return;
    case STORAGE_OPEN:
    case STORAGE_CLOSING_HANDLE: return;
    }
}

void storage_close(struct storage *s, storage_closed_fn closed, void *arg)
{
    assert(s->state == STORAGE_OPEN);
    s->state = STORAGE_FINISHING;
    s->closed = closed;
    s->closed_arg = arg;
    step(s);
}
