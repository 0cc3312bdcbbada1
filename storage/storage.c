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
#include "storage/source.h"
#include "storage/writer.h"

/* Deliveries are interrupted after this long: sockets wait, too. */
#define DELIVERY_SLICE_NS (4 * UINT64_C(1000000))
#define DELIVERY_STEP     16

/* Operations of one turn that are handed over before its tail: in a long turn the writer is at work
 * already while the loop goes on reading requests. */
#define HAND_OVER_MAX 32

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
    struct op_list arrived;   /* taken from the completions, to be delivered */
    struct op_list to_writer; /* started in this turn of the loop; handed over at its tail */
    struct op_list to_reader;
    unsigned n_held_back; /* in the two */
    struct deferred hand_over;
    unsigned n_ended; /* threads */
    struct writer *writer;
    struct reader *reader; /* NULL with STORAGE_MEMORY */
    struct file_lock *lock;
    struct loop *loop;
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
    file_lock_release(s->lock);
    s->lock = NULL;
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
        status = file_lock_take(options->path, &s->lock);
    }
    if (status == STATUS_OK && has_file) {
        status = source_refuse_strange_log(options->path);
    }
    if (status == STATUS_OK) {
        struct writer_options writer = {.path = options->path,
                                        .durability = options->durability,
                                        .stream_limit = options->stream_limit,
                                        .idempotency_key_limit = options->idempotency_key_limit,
                                        .lock = s->lock,
                                        .completions = &s->completions};
        status = writer_create(&writer, &s->writer);
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
static void hand_over(void *arg);

static enum status create(struct loop *loop, size_t queue_max_size, struct storage **ret_storage)
{
    struct storage *s = calloc(1, sizeof(*s));
    if (!s) {
        return STATUS_NO_MEMORY;
    }
    s->loop = loop;
    s->hand_over = (struct deferred){.fn = hand_over, .arg = s};
    s->queue_max_size = queue_max_size;
    enum status status = completions_init(&s->completions, &s->wake);
    if (status != STATUS_OK) {
        goto fail;
    }
    int rc = uv_async_init(loop_uv(loop), &s->wake, deliver);
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
    enum status status = create(options->loop, options->queue_max_size, &s);
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

/* One lock and one wake-up for what a turn of the loop has started. */
static void hand_over(void *arg)
{
    struct storage *s = arg;
    s->n_held_back = 0;
    writer_put(s->writer, &s->to_writer);
    if (s->reader) {
        reader_put(s->reader, &s->to_reader);
    }
}

static void put(struct storage *s, struct op_list *list, struct storage_op *op)
{
    op_list_push(list, op);
    s->n_held_back++;
    if (s->n_held_back == HAND_OVER_MAX) {
        hand_over(s);
    } else {
        loop_defer(s->loop, &s->hand_over);
    }
}

static void log_refusal(const struct storage *s, size_t size)
{
    static struct log_limit limit;
    if (log_permits(&limit)) {
        log_warn("storage", "queue_full", log_i("bytes", (int64_t)size),
                 log_i("waiting", (int64_t)s->stats.queue_bytes),
                 log_i("storage.queue_max_size", (int64_t)s->queue_max_size),
                 log_i("left_out", limit.n_left_out));
    }
}

/* False: there is no room, which the loop will be told. */
static bool take_room(struct storage *s, struct storage_op *op, enum op_kind refused)
{
    size_t size = op_size(op);
    if (size <= s->queue_max_size && s->stats.queue_bytes <= s->queue_max_size - size) {
        s->stats.queue_bytes += size;
        s->stats.queue_length++;
        return true;
    }
    log_refusal(s, size);
    op->kind = (int)refused;
    op_set_status(op, STATUS_OVERLOADED);
    completions_put_one(&s->completions, op);
    return false;
}

static void give_room_back(struct storage *s, struct storage_op *op)
{
    s->stats.queue_bytes -= op_size(op);
    s->stats.queue_length--;
}

void storage_append(struct storage *s, struct storage_append *append)
{
    assert(append->channel.len > 0 || append->feed);
    assert(append->channel.len == 0 || append->retention.size > 0 ||
           append->idempotency_key.len > 0);
    started(s, &append->op, OP_APPEND);
    append->suppressed = STORAGE_NOT_SUPPRESSED;
    append->position = (struct storage_position){0};
    if (take_room(s, &append->op, OP_REFUSED_APPEND)) {
        put(s, &s->to_writer, &append->op);
    }
}

/* Without a file the writer reads, too. */
static struct op_list *to_reader(struct storage *s)
{
    return s->reader ? &s->to_reader : &s->to_writer;
}

void storage_history(struct storage *s, struct storage_history *history)
{
    assert(history->channel.len > 0);
    started(s, &history->op, OP_HISTORY);
    put(s, to_reader(s), &history->op);
}

void storage_remove(struct storage *s, struct storage_remove *remove)
{
    assert(remove->channel.len > 0);
    started(s, &remove->op, OP_REMOVE);
    put(s, &s->to_writer, &remove->op);
}

void storage_feed_read(struct storage *s, struct storage_feed_read *read)
{
    started(s, &read->op, OP_FEED_READ);
    put(s, to_reader(s), &read->op);
}

void storage_feed_purge(struct storage *s, struct storage_feed_purge *purge)
{
    assert(purge->feed.len > 0);
    started(s, &purge->op, OP_FEED_PURGE);
    put(s, &s->to_writer, &purge->op);
}

void storage_runs_append(struct storage *s, struct storage_runs_append *append)
{
    for (size_t i = 0; i < append->n_runs; i++) {
        assert(append->runs[i].feed.len > 0);
        assert(append->runs[i].size > 0 && append->runs[i].ttl_ms > 0);
    }
    started(s, &append->op, OP_RUNS_APPEND);
    if (take_room(s, &append->op, OP_REFUSED_RUNS_APPEND)) {
        put(s, &s->to_writer, &append->op);
    }
}

void storage_runs_read(struct storage *s, struct storage_runs_read *read)
{
    started(s, &read->op, OP_RUNS_READ);
    put(s, to_reader(s), &read->op);
}

void storage_event_append(struct storage *s, struct storage_event_append *append)
{
    assert(append->endpoint.len > 0);
    started(s, &append->op, OP_EVENT_APPEND);
    if (take_room(s, &append->op, OP_REFUSED_EVENT_APPEND)) {
        put(s, &s->to_writer, &append->op);
    }
}

void storage_events_read(struct storage *s, struct storage_events_read *read)
{
    started(s, &read->op, OP_EVENTS_READ);
    put(s, to_reader(s), &read->op);
}

void storage_events_remove(struct storage *s, struct storage_events_remove *remove)
{
    started(s, &remove->op, OP_EVENTS_REMOVE);
    put(s, &s->to_writer, &remove->op);
}

void storage_events_remove_others(struct storage *s, struct storage_events_remove_others *remove)
{
    started(s, &remove->op, OP_EVENTS_REMOVE_OTHERS);
    put(s, &s->to_writer, &remove->op);
}

void storage_events_count(struct storage *s, struct storage_events_count *count)
{
    started(s, &count->op, OP_EVENTS_COUNT);
    put(s, &s->to_writer, &count->op);
}

void storage_stats(struct storage *s, struct storage_stats *ret_stats)
{
    *ret_stats = s->stats;
    ret_stats->queue_max_size = s->queue_max_size;
    if (s->writer) {
        writer_stats(s->writer, ret_stats);
    }
}

/* --- delivering --- */

static void count_failure(struct storage *s, enum status status)
{
    s->stats.n_overloaded += status == STATUS_OVERLOADED;
    s->stats.n_failed += status != STATUS_OK && status != STATUS_OVERLOADED;
}

static void finish_append(struct storage *s, struct storage_append *append)
{
    if (append->op.kind == OP_APPEND) {
        give_room_back(s, &append->op);
    }
    s->stats.n_appends += append->status == STATUS_OK;
    s->stats.n_suppressed += append->suppressed != STORAGE_NOT_SUPPRESSED;
    count_failure(s, append->status);
    append->done(append);
}

static void finish_event_append(struct storage *s, struct storage_event_append *append)
{
    if (append->op.kind == OP_EVENT_APPEND) {
        give_room_back(s, &append->op);
    }
    s->stats.n_events += append->status == STATUS_OK;
    count_failure(s, append->status);
    append->done(append);
}

static void finish_feed_purge(struct storage *s, struct storage_feed_purge *purge)
{
    count_failure(s, purge->status);
    purge->done(purge);
}

static void finish_runs_append(struct storage *s, struct storage_runs_append *append)
{
    if (append->op.kind == OP_RUNS_APPEND) {
        give_room_back(s, &append->op);
    }
    count_failure(s, append->status);
    append->done(append);
}

static void finish_runs_read(struct storage *s, struct storage_runs_read *read)
{
    s->stats.n_reads++;
    read->done(read);
}

static void finish_events_read(struct storage *s, struct storage_events_read *read)
{
    s->stats.n_reads++;
    read->done(read);
}

static void finish_events_remove(struct storage *s, struct storage_events_remove *remove)
{
    count_failure(s, remove->status);
    remove->done(remove);
}

static void finish_events_remove_others(struct storage *s,
                                        struct storage_events_remove_others *remove)
{
    count_failure(s, remove->status);
    remove->done(remove);
}

static void finish_events_count(struct storage *s, struct storage_events_count *count)
{
    s->stats.n_reads++;
    count->done(count);
}

static void finish(struct storage *s, struct storage_op *op)
{
    s->n_open--;
    switch (op->kind) {
    case OP_APPEND:
    case OP_REFUSED_APPEND: finish_append(s, op_append(op)); return;
    case OP_HISTORY:
    case OP_PROLONG:
        s->stats.n_reads++;
        s->stats.n_overloaded += op_history(op)->status == STATUS_OVERLOADED;
        op_history(op)->done(op_history(op));
        return;
    case OP_REMOVE:
        s->stats.n_failed += op_remove(op)->status != STATUS_OK;
        op_remove(op)->done(op_remove(op));
        return;
    case OP_FEED_READ:
        s->stats.n_reads++;
        op_feed_read(op)->done(op_feed_read(op));
        return;
    case OP_FEED_PURGE: finish_feed_purge(s, op_feed_purge(op)); return;
    case OP_RUNS_APPEND:
    case OP_REFUSED_RUNS_APPEND: finish_runs_append(s, op_runs_append(op)); return;
    case OP_RUNS_READ: finish_runs_read(s, op_runs_read(op)); return;
    case OP_EVENT_APPEND:
    case OP_REFUSED_EVENT_APPEND: finish_event_append(s, op_event_append(op)); return;
    case OP_EVENTS_READ: finish_events_read(s, op_events_read(op)); return;
    case OP_EVENTS_REMOVE: finish_events_remove(s, op_events_remove(op)); return;
    case OP_EVENTS_REMOVE_OTHERS:
        finish_events_remove_others(s, op_events_remove_others(op));
        return;
    case OP_EVENTS_COUNT: finish_events_count(s, op_events_count(op)); return;
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
