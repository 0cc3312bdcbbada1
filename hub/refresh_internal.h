/* What the files of a run share. Not for others, but for feed_runs, which writes down how it went.
 *   refresh.c          the story: refresh_step(); who waits, and what follows
 *   refresh_document.c what came becomes one document
 *   refresh_store.c    is it to be stored, published, held? And then that
 *   refresh_part.c     one upstream of it: is it asked, what becomes of its answer
 *   refresh_request.c  with what it is asked */
#ifndef BELFRY_HUB_REFRESH_INTERNAL_H
#define BELFRY_HUB_REFRESH_INTERNAL_H

#include "base/join.h"
#include "hub/refresh.h"
#include "hub/trace.h"

enum refresh_state {
    REFRESH_RECALLING,
    REFRESH_FETCHING,
    REFRESH_MERGING,
    REFRESH_STORING,
    REFRESH_PUSHING,
    REFRESH_ANSWERING,
    REFRESH_DONE,
};

enum part_state {
    PART_WAITING, /* for what it needs */
    PART_ASKING,
    PART_DONE,
};

/* One upstream of the run. */
struct refresh_part {
    struct refresh *refresh;
    const struct feed_upstream *upstream;
    size_t index;
    enum part_state state;
    struct upstream_call *call; /* under way */
    struct join_slot slot;
    uint64_t request_hash;       /* of what is asked; 0: nothing could be */
    struct feed_text *text;      /* the value: fresh or stale; NULL: none */
    struct feed_text *condition; /* that came with a fresh one; or NULL */
    bool is_conditional;         /* the request asks whether what we have is still so */
    bool is_new;                 /* text came in this run, by an answer other than 304 */
    int64_t time_ms;             /* of text */
    int64_t not_before_ms;       /* as in struct feed_value */
    bool is_told_to_wait;
    struct buf shaped;
    struct feed_upstream_result result;
    char error[160];
};

struct refresh_waiter {
    struct refresh_waiter *next;
    feed_done_fn done;
    void *arg;
};

struct refresh {
    struct refresh *prev, *next; /* of the hub's */
    struct hub *hub;
    struct feed *feed;
    struct feed_instance *instance; /* held */
    enum refresh_trigger trigger;
    struct trace *trace; /* the caller's; NULL: none */
    enum refresh_state state;
    enum status status;
    struct buf detail; /* words for a status other than STATUS_OK */
    uint64_t id;
    int64_t started_us;
    int64_t time_ms;
    struct join join;
    struct feed_load load;
    struct refresh_waiter *waiters;
    struct refresh_waiter **waiters_end;
    bool is_wanted_again;
    bool is_given_up; /* while it was recalling */

    struct buf document;
    bool is_changed;
    bool is_held;
    bool is_completed;
    struct publication *publication; /* of the document; NULL: nothing is to be published */
    struct storage_position position;
    struct storage_feed_write kept;
    struct storage_append append;

    size_t n_parts;
    struct refresh_part *parts;
};

const char *refresh_trigger_name(enum refresh_trigger trigger);

/* --- refresh_document --- */

/* STATUS_UPSTREAM_FAILED, STATUS_UPSTREAM_TIMEOUT, STATUS_TOO_LARGE, STATUS_NO_MEMORY: detail has
 * words. */
enum status refresh_merge(struct refresh *r) MUST_CHECK;
/* "air:http_error events:timeout" */
void refresh_append_failures(const struct refresh *r, struct buf *out);
/* Has any upstream answered? */
bool refresh_is_fruitful(const struct refresh *r);

/* --- refresh_store --- */

/* Compares the document with the last one: is it to be published, now or later? */
enum status refresh_decide(struct refresh *r) MUST_CHECK;
/* What is held is what is published. */
void refresh_take_held(struct refresh *r);
/* False: nothing is to be stored. */
bool refresh_is_worth_storing(const struct refresh *r);
/* done: storage_append's; its arg is the run. */
void refresh_store(struct refresh *r, void (*done)(struct storage_append *append));
/* What the storage has now is what is known, and what subscribers get. */
void refresh_settle(struct refresh *r);
/* What is held could not be stored: once more, later. */
void refresh_hold_again(struct feed_instance *in);

/* --- refresh_part --- */

void refresh_part_init(struct refresh_part *p, struct refresh *r, size_t index);
void refresh_part_release(struct refresh_part *p);
bool refresh_part_is_fresh(const struct refresh_part *p);
/* Starts all whose needs are met; each calls join_complete() once, at once or later. */
void refresh_parts_start(struct refresh *r);
/* Those that are not done are given up: the deadline is over. */
void refresh_parts_cancel(struct refresh *r);
/* What came is what is known from here on. */
void refresh_parts_remember(struct refresh *r);

/* --- refresh_request --- */

/* The request with the values of this run; text is to be released also in failure.
 * STATUS_INVALID, STATUS_TOO_LARGE: a value may not stand in it, or is missing; error (of that
 * size) has words. STATUS_NO_MEMORY. */
enum status refresh_request_make(struct refresh_part *p, struct request_text *text, char *error,
                                 size_t size) MUST_CHECK;
/* As upstream_ask(). */
enum status refresh_request_send(struct refresh_part *p, const struct request_text *text,
                                 upstream_done_fn done) MUST_CHECK;
/* To be remembered with the answer; NULL: nothing. */
struct feed_text *refresh_request_condition(const struct refresh_part *p,
                                            const struct fetch_head *head);
/* Is the value that we remember the answer to this request, as far as that can be told? It may be
 * that to one with other values of what it needs. */
bool refresh_request_has_value(const struct refresh_part *p);

#endif
