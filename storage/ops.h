/* Operations on their way: lists of them, the inbox of a thread, and the completions in which both
 * threads leave what is finished for the loop. An operation belongs to whoever has it in a list.
 * The locks are held only to link and unlink lists. */
#ifndef BELFRY_STORAGE_OPS_H
#define BELFRY_STORAGE_OPS_H

#include <pthread.h>

#include "storage/storage.h"

enum op_kind {
    OP_APPEND = 1,
    OP_REFUSED_APPEND, /* by a full queue, of which it is no part */
    OP_HISTORY,
    OP_PROLONG, /* a history that has been read; only its stream's life is still to be prolonged */
    OP_REMOVE,
    OP_FEED_READ,
    OP_FEED_PURGE,
    OP_RUNS_APPEND,
    OP_REFUSED_RUNS_APPEND, /* as above */
    OP_RUNS_READ,
    OP_EVENT_APPEND,
    OP_REFUSED_EVENT_APPEND, /* as above */
    OP_EVENTS_READ,
    OP_EVENTS_REMOVE,
    OP_EVENTS_REMOVE_OTHERS,
    OP_EVENTS_COUNT,
};

/* The operation is the first member of each. */
static inline struct storage_append *op_append(struct storage_op *op)
{
    return (struct storage_append *)(void *)op;
}

static inline struct storage_history *op_history(struct storage_op *op)
{
    return (struct storage_history *)(void *)op;
}

static inline struct storage_remove *op_remove(struct storage_op *op)
{
    return (struct storage_remove *)(void *)op;
}

static inline struct storage_feed_read *op_feed_read(struct storage_op *op)
{
    return (struct storage_feed_read *)(void *)op;
}

static inline struct storage_feed_purge *op_feed_purge(struct storage_op *op)
{
    return (struct storage_feed_purge *)(void *)op;
}

static inline struct storage_runs_append *op_runs_append(struct storage_op *op)
{
    return (struct storage_runs_append *)(void *)op;
}

static inline struct storage_runs_read *op_runs_read(struct storage_op *op)
{
    return (struct storage_runs_read *)(void *)op;
}

static inline struct storage_event_append *op_event_append(struct storage_op *op)
{
    return (struct storage_event_append *)(void *)op;
}

static inline struct storage_events_read *op_events_read(struct storage_op *op)
{
    return (struct storage_events_read *)(void *)op;
}

static inline struct storage_events_remove *op_events_remove(struct storage_op *op)
{
    return (struct storage_events_remove *)(void *)op;
}

static inline struct storage_events_remove_others *op_events_remove_others(struct storage_op *op)
{
    return (struct storage_events_remove_others *)(void *)op;
}

static inline struct storage_events_count *op_events_count(struct storage_op *op)
{
    return (struct storage_events_count *)(void *)op;
}

/* What an append (of a publication, an event or runs) holds in memory: its texts and itself.
 * Others: 0. */
size_t op_size(struct storage_op *op);
/* Sets the status of any kind; what a failed operation had found is released. A history that has
 * been read stays good. */
void op_set_status(struct storage_op *op, enum status status);

struct op_list {
    struct storage_op *head;
    struct storage_op *tail;
};

static inline bool op_list_empty(const struct op_list *list)
{
    return list->head == NULL;
}

void op_list_push(struct op_list *list, struct storage_op *op);
/* NULL when empty. */
struct storage_op *op_list_pop(struct op_list *list);
/* Moves all of more to the end of list. */
void op_list_join(struct op_list *list, struct op_list *more);

struct inbox {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    struct op_list list;
    bool closed;
};
enum status inbox_init(struct inbox *inbox) MUST_CHECK;
void inbox_release(struct inbox *inbox);
/* Moves all of list into it. */
void inbox_put(struct inbox *inbox, struct op_list *list);
void inbox_put_one(struct inbox *inbox, struct storage_op *op);
void inbox_close(struct inbox *inbox);
/* Waits until something is in it, it is closed, or until_ms (monotonic; INT64_MAX: no end), then
 * takes all, maybe nothing. False: it is closed and empty. */
bool inbox_take(struct inbox *inbox, int64_t until_ms, struct op_list *ret_list);

struct completions {
    pthread_mutex_t mutex;
    pthread_mutex_t commit; /* held from a commit until its operations are in the list */
    uv_async_t *wake;       /* sent after each change */
    struct op_list list;
    unsigned n_ended; /* threads */
};
enum status completions_init(struct completions *completions, uv_async_t *wake) MUST_CHECK;
void completions_release(struct completions *completions);
/* The writer commits and puts between these two. */
void completions_begin_commit(struct completions *completions);
void completions_end_commit(struct completions *completions);
/* Returns when the operations of every commit that the caller has seen are in the list: so a read
 * is answered after the appends that it saw. */
void completions_await_commits(struct completions *completions);
/* Moves all of list into it, and wakes the loop. */
void completions_put(struct completions *completions, struct op_list *list);
void completions_put_one(struct completions *completions, struct storage_op *op);
/* The last that a thread does. */
void completions_thread_ended(struct completions *completions);
/* Moves all to the end of list; how many threads have ended. */
unsigned completions_take(struct completions *completions, struct op_list *list);

#endif
