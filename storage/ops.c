/* SPDX-License-Identifier: MIT */
/* Lists of operations and their hand-over between the loop and the storage's threads. Inbox and
 * completions may be used from any thread; a list belongs to one. */
#include "storage/ops.h"

#include <assert.h>
#include <time.h>

static size_t append_size(const struct storage_append *append)
{
    size_t size = sizeof(*append) + append->channel.len + append->data.len + append->info.len +
                  append->tags.len + append->idempotency_key.len + append->version_epoch.len;
    const struct storage_feed_write *feed = append->feed;
    if (!feed) {
        return size;
    }
    size += sizeof(*feed) + feed->feed.len + feed->params.len + feed->snapshot.len;
    for (size_t i = 0; i < feed->n_values; i++) {
        const struct storage_feed_value *value = &feed->values[i];
        size += sizeof(*value) + value->upstream.len + value->value.len + value->condition.len;
    }
    return size;
}

static size_t runs_append_size(const struct storage_runs_append *append)
{
    size_t size = sizeof(*append);
    for (size_t i = 0; i < append->n_runs; i++) {
        const struct storage_run *run = &append->runs[i];
        size += sizeof(*run) + run->feed.len + run->params.len + run->text.len;
    }
    return size;
}

size_t op_size(struct storage_op *op)
{
    switch (op->kind) {
    case OP_APPEND: return append_size(op_append(op));
    case OP_EVENT_APPEND:
        return sizeof(struct storage_event_append) + op_event_append(op)->endpoint.len +
               op_event_append(op)->text.len;
    case OP_RUNS_APPEND: return runs_append_size(op_runs_append(op));
    default: return 0;
    }
}

static void set_event_append_status(struct storage_event_append *append, enum status status)
{
    append->status = status;
    if (status != STATUS_OK) {
        append->id = 0;
    }
}

static void set_feed_purge_status(struct storage_feed_purge *purge, enum status status)
{
    purge->status = status;
    if (status != STATUS_OK) {
        purge->n_removed = 0;
    }
}

static void set_runs_read_status(struct storage_runs_read *read, enum status status)
{
    read->status = status;
    if (status != STATUS_OK) {
        storage_runs_release(read);
    }
}

static void set_events_read_status(struct storage_events_read *read, enum status status)
{
    read->status = status;
    if (status != STATUS_OK) {
        storage_events_release(read);
    }
}

void op_set_status(struct storage_op *op, enum status status)
{
    switch (op->kind) {
    case OP_APPEND:
    case OP_REFUSED_APPEND:
        if (status != STATUS_OK) {
            op_append(op)->position = (struct storage_position){0};
            op_append(op)->suppressed = STORAGE_NOT_SUPPRESSED;
        }
        op_append(op)->status = status;
        break;
    case OP_HISTORY:
        if (status != STATUS_OK) {
            storage_history_release(op_history(op));
        }
        op_history(op)->status = status;
        break;
    case OP_PROLONG: break;
    case OP_REMOVE:
        if (status != STATUS_OK) {
            op_remove(op)->top = (struct storage_position){0};
        }
        op_remove(op)->status = status;
        break;
    case OP_FEED_READ:
        if (status != STATUS_OK) {
            storage_feed_read_release(op_feed_read(op));
        }
        op_feed_read(op)->status = status;
        break;
    case OP_FEED_PURGE: set_feed_purge_status(op_feed_purge(op), status); break;
    case OP_RUNS_APPEND:
    case OP_REFUSED_RUNS_APPEND: op_runs_append(op)->status = status; break;
    case OP_RUNS_READ: set_runs_read_status(op_runs_read(op), status); break;
    case OP_EVENT_APPEND:
    case OP_REFUSED_EVENT_APPEND: set_event_append_status(op_event_append(op), status); break;
    case OP_EVENTS_READ: set_events_read_status(op_events_read(op), status); break;
    case OP_EVENTS_REMOVE: op_events_remove(op)->status = status; break;
    case OP_EVENTS_REMOVE_OTHERS: op_events_remove_others(op)->status = status; break;
    case OP_EVENTS_COUNT: op_events_count(op)->status = status; break;
    default: assert(false && "kind of operation");
    }
}

void op_list_push(struct op_list *list, struct storage_op *op)
{
    op->next = NULL;
    if (list->tail) {
        list->tail->next = op;
    } else {
        list->head = op;
    }
    list->tail = op;
}

struct storage_op *op_list_pop(struct op_list *list)
{
    struct storage_op *op = list->head;
    if (!op) {
        return NULL;
    }
    list->head = op->next;
    if (!list->head) {
        list->tail = NULL;
    }
    op->next = NULL;
    return op;
}

void op_list_join(struct op_list *list, struct op_list *more)
{
    if (!more->head) {
        return;
    }
    if (list->tail) {
        list->tail->next = more->head;
    } else {
        list->head = more->head;
    }
    list->tail = more->tail;
    *more = (struct op_list){0};
}

enum status inbox_init(struct inbox *inbox)
{
    *inbox = (struct inbox){0};
    pthread_condattr_t attr;
    if (pthread_condattr_init(&attr) != 0) {
        return STATUS_NO_MEMORY;
    }
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    int failed = pthread_cond_init(&inbox->changed, &attr);
    pthread_condattr_destroy(&attr);
    if (failed) {
        return STATUS_NO_MEMORY;
    }
    if (pthread_mutex_init(&inbox->mutex, NULL) == 0) {
        return STATUS_OK;
    }
    pthread_cond_destroy(&inbox->changed);
    return STATUS_NO_MEMORY;
}

void inbox_release(struct inbox *inbox)
{
    assert(op_list_empty(&inbox->list));
    pthread_cond_destroy(&inbox->changed);
    pthread_mutex_destroy(&inbox->mutex);
}

void inbox_put(struct inbox *inbox, struct op_list *list)
{
    if (op_list_empty(list)) {
        return;
    }
    pthread_mutex_lock(&inbox->mutex);
    assert(!inbox->closed);
    bool was_empty = op_list_empty(&inbox->list);
    op_list_join(&inbox->list, list);
    pthread_mutex_unlock(&inbox->mutex);
    if (was_empty) {
        pthread_cond_signal(&inbox->changed);
    }
}

void inbox_put_one(struct inbox *inbox, struct storage_op *op)
{
    struct op_list list = {0};
    op_list_push(&list, op);
    inbox_put(inbox, &list);
}

void inbox_close(struct inbox *inbox)
{
    pthread_mutex_lock(&inbox->mutex);
    inbox->closed = true;
    pthread_mutex_unlock(&inbox->mutex);
    pthread_cond_signal(&inbox->changed);
}

/* False: the time is over. */
static bool wait_changed(struct inbox *inbox, int64_t until_ms)
{
    if (until_ms == INT64_MAX) {
        return pthread_cond_wait(&inbox->changed, &inbox->mutex) == 0;
    }
    struct timespec until = {.tv_sec = (time_t)(until_ms / 1000),
                             .tv_nsec = (long)(until_ms % 1000) * 1000000};
    return pthread_cond_timedwait(&inbox->changed, &inbox->mutex, &until) == 0;
}

bool inbox_take(struct inbox *inbox, int64_t until_ms, struct op_list *ret_list)
{
    pthread_mutex_lock(&inbox->mutex);
    while (op_list_empty(&inbox->list) && !inbox->closed) {
        if (!wait_changed(inbox, until_ms)) {
            break;
        }
    }
    bool goes_on = !inbox->closed || !op_list_empty(&inbox->list);
    *ret_list = inbox->list;
    inbox->list = (struct op_list){0};
    pthread_mutex_unlock(&inbox->mutex);
    return goes_on;
}

enum status completions_init(struct completions *completions, uv_async_t *wake)
{
    *completions = (struct completions){.wake = wake};
    if (pthread_mutex_init(&completions->mutex, NULL) != 0) {
        return STATUS_NO_MEMORY;
    }
    if (pthread_mutex_init(&completions->commit, NULL) != 0) {
        pthread_mutex_destroy(&completions->mutex);
        return STATUS_NO_MEMORY;
    }
    return STATUS_OK;
}

void completions_release(struct completions *completions)
{
    assert(op_list_empty(&completions->list));
    pthread_mutex_destroy(&completions->mutex);
    pthread_mutex_destroy(&completions->commit);
}

void completions_begin_commit(struct completions *completions)
{
    pthread_mutex_lock(&completions->commit);
}

void completions_end_commit(struct completions *completions)
{
    pthread_mutex_unlock(&completions->commit);
}

void completions_await_commits(struct completions *completions)
{
    pthread_mutex_lock(&completions->commit);
    pthread_mutex_unlock(&completions->commit);
}

void completions_put(struct completions *completions, struct op_list *list)
{
    pthread_mutex_lock(&completions->mutex);
    op_list_join(&completions->list, list);
    pthread_mutex_unlock(&completions->mutex);
    uv_async_send(completions->wake);
}

void completions_put_one(struct completions *completions, struct storage_op *op)
{
    struct op_list list = {0};
    op_list_push(&list, op);
    completions_put(completions, &list);
}

void completions_thread_ended(struct completions *completions)
{
    pthread_mutex_lock(&completions->mutex);
    completions->n_ended++;
    pthread_mutex_unlock(&completions->mutex);
    uv_async_send(completions->wake);
}

unsigned completions_take(struct completions *completions, struct op_list *list)
{
    pthread_mutex_lock(&completions->mutex);
    op_list_join(list, &completions->list);
    unsigned n_ended = completions->n_ended;
    pthread_mutex_unlock(&completions->mutex);
    return n_ended;
}
