/* SPDX-License-Identifier: MIT */
/* Unit refresh is the main job. One operation struct, one state, one step function; see
 * refresh_step() for the story, and refresh_internal.h for where the work of its steps is. */
#include "hub/refresh.h"

#include <assert.h>
#include <stdlib.h>
#include <utlist.h>

#include "base/clock.h"
#include "base/log.h"
#include "hub/feed_runs.h"
#include "hub/hub_internal.h"
#include "hub/refresh_internal.h"

#define DOCUMENT_MAX_BYTES ((size_t)32 << 20)
#define ANSWER_MAX_BYTES   ((size_t)64 << 20)

static void refresh_step(struct refresh *r);

static void refresh_go(struct refresh *r, enum refresh_state state)
{
    static const char *const names[] = {[REFRESH_RECALLING] = "recalling",
                                        [REFRESH_FETCHING] = "fetching",
                                        [REFRESH_MERGING] = "merging",
                                        [REFRESH_STORING] = "storing",
                                        [REFRESH_PUSHING] = "pushing",
                                        [REFRESH_ANSWERING] = "answering",
                                        [REFRESH_DONE] = "done"};
    log_trace("refresh", "state", log_i("refresh", (int64_t)r->id), log_s("from", names[r->state]),
              log_s("to", names[state]));
    r->state = state;
}

const char *refresh_trigger_name(enum refresh_trigger trigger)
{
    static const char *const names[N_REFRESH_TRIGGERS] = {[REFRESH_BY_CALLER] = "api",
                                                          [REFRESH_BY_SCHEDULE] = "schedule",
                                                          [REFRESH_BY_SUBSCRIBER] = "subscribe",
                                                          [REFRESH_BY_READER] = "page",
                                                          [REFRESH_BY_HOOK] = "hook",
                                                          [REFRESH_BY_HOLD] = "held"};
    return names[trigger];
}

bool refresh_has_room(const struct hub *hub)
{
    return hub->n_refreshes < (size_t)hub->upstreams_options->max_refreshes;
}

bool refresh_fetches(const struct refresh *r)
{
    return r->trigger != REFRESH_BY_HOLD;
}

/* --- waiting for others --- */

static void recalled(void *arg)
{
    refresh_step(arg);
}

static void joined(void *arg, enum join_outcome outcome)
{
    (void)outcome; /* what is still open is seen by its part */
    refresh_step(arg);
}

static void stored(struct storage_append *append)
{
    struct refresh *r = append->arg;
    r->status = append->status;
    if (r->status != STATUS_OK) {
        buf_printf(&r->detail, "the snapshot could not be stored: %s", status_name(r->status));
    } else if (append->channel.len > 0) {
        r->position = append->position;
    }
    refresh_step(r);
}

static void start_fetching(struct refresh *r)
{
    join_start(&r->join, r->hub->loop, r->hub->deadlines, (unsigned)r->n_parts,
               r->feed->options->timeout_ms, joined, r);
    for (size_t i = 0; i < r->n_parts; i++) {
        r->parts[i].slot = join_slot(&r->join);
    }
    refresh_parts_start(r);
}

/* --- answering --- */

static void warn_of_failures(const struct refresh *r)
{
    static struct log_limit limit;
    if ((r->status == STATUS_OK && r->is_completed) || r->status == STATUS_CLOSED ||
        !log_permits(&limit)) {
        return;
    }
    struct buf failures;
    buf_init(&failures, 1024);
    refresh_append_failures(r, &failures);
    log_warn("refresh", r->status == STATUS_OK ? "incomplete" : "failed",
             log_str("feed", feed_name(r->feed)),
             log_str("channel", feed_instance_channel(r->instance)),
             log_s("status", status_name(r->status)), log_str("upstreams", buf_str(&failures)),
             log_i("left_out", limit.n_left_out));
    buf_release(&failures);
}

static void log_done(const struct refresh *r, int64_t duration_us)
{
    log_debug("refresh", "done", log_i("refresh", (int64_t)r->id),
              log_str("feed", feed_name(r->feed)),
              log_str("channel", feed_instance_channel(r->instance)),
              log_s("trigger", refresh_trigger_name(r->trigger)),
              log_s("status", status_name(r->status)), log_i("changed", r->is_changed),
              log_i("completed", r->is_completed), log_i("duration_us", duration_us));
}

/* What was held was counted when it was fetched. What is given up is no news of the upstreams. */
static void count(struct refresh *r)
{
    struct feed_stats *stats = &r->feed->stats;
    int64_t duration_us = clock_monotonic_us() - r->started_us;
    stats->n_running--;
    stats->n_failed += r->status != STATUS_OK;
    log_done(r, duration_us);
    if (!refresh_fetches(r)) {
        return;
    }
    stats->n_refreshes++;
    stats->n_changed += r->status == STATUS_OK && r->is_changed;
    stats->n_incomplete += r->status == STATUS_OK && !r->is_completed;
    stats->last_time_ms = r->time_ms;
    stats->last_duration_us = duration_us;
    warn_of_failures(r);
    if (r->status != STATUS_CLOSED) {
        feed_runs_add(r->feed->runs, r, duration_us);
    }
}

/* Of the snapshot that this run has left; empty when it has been forgotten since. */
static struct str etag_of(struct refresh *r)
{
    struct feed_snapshot *newest = feed_instance_newest(r->instance);
    return r->status == STATUS_OK && newest->document ? feed_snapshot_etag(newest) : STR_EMPTY;
}

static void tell_waiters(struct refresh *r, const struct feed_result *result)
{
    char *detail = buf_take(&r->detail);
    while (r->waiters) {
        struct refresh_waiter *w = r->waiters;
        r->waiters = w->next;
        w->done(w->arg, r->status, detail ? detail : "", r->status == STATUS_OK ? result : NULL);
        free(w);
    }
    free(detail);
}

static void answer_all(struct refresh *r)
{
    struct feed_instance *in = r->instance;
    struct feed_upstream_result *upstreams = hub_allocate((r->n_parts + 1) * sizeof(*upstreams));
    for (size_t i = 0; i < r->n_parts; i++) {
        upstreams[i] = r->parts[i].result;
    }
    struct buf shared;
    buf_init(&shared, ANSWER_MAX_BYTES);
    char etag[FEED_ETAG_SIZE];
    struct str text = etag_of(r);
    memcpy(etag, text.ptr ? text.ptr : "", text.len);
    const struct feed_result result = {
        .feed = feed_name(r->feed),
        .params = r->feed->is_ad_hoc ? STR_EMPTY : feed_instance_params(in),
        .channel = feed_instance_channel(in),
        .data = buf_str(&r->document),
        .etag = {etag, text.len},
        .time_ms = r->time_ms,
        .position = r->position,
        .is_changed = r->is_changed,
        .is_held = r->is_held,
        .is_completed = r->is_completed,
        .upstreams = upstreams,
        .n_upstreams = r->n_parts,
        .answer = &shared,
    };
    tell_waiters(r, &result);
    buf_release(&shared);
    free(upstreams);
}

/* Who asks from here on starts a new run. */
static void answer(struct refresh *r)
{
    r->instance->running = NULL;
    count(r);
    if (r->waiters && refresh_fetches(r)) {
        answer_all(r);
    }
}

/* --- what follows --- */

/* They asked while what was held was published, which fetches nothing. */
static void pass_waiters_on(struct refresh *r)
{
    if (r->hub->is_stopping) {
        buf_clear(&r->detail);
        buf_literal(&r->detail, "shutting down");
        r->status = STATUS_CLOSED;
        tell_waiters(r, NULL);
        return;
    }
    struct refresh *next = refresh_start(r->instance, REFRESH_BY_CALLER);
    *next->waiters_end = r->waiters;
    next->waiters_end = r->waiters_end;
    r->waiters = NULL;
}

static void go_on(struct refresh *r)
{
    struct feed_instance *in = r->instance;
    if (refresh_fetches(r)) {
        in->is_outdated = false;
        schedule_refreshed(in, refresh_is_fruitful(r));
    }
    if (in->feed != r->feed) { /* that was still the one before */
        schedule_changed(in, SCHEDULE_SOON);
    }
    if (r->is_wanted_again && !in->running) {
        schedule_changed(in, SCHEDULE_NOW);
    }
}

/* What was held: its time came while we ran, and we had nothing to publish instead; or we are the
 * one who should have published it. Later on nobody would. */
static void keep_holding(struct refresh *r)
{
    struct feed_instance *in = r->instance;
    bool is_over = r->hub->is_stopping || !deadline_armed(&in->hold);
    if (!in->held.document || in->running || !is_over) {
        return;
    }
    if (refresh_fetches(r)) {
        refresh_publish_held(in);
    } else if (!r->hub->is_stopping) {
        refresh_hold_again(in);
    }
}

static void follow_up(struct refresh *r)
{
    struct feed_instance *in = r->instance;
    feed_instance_catch_up(in);
    if (in->is_to_forget) {
        feed_instance_forget(in);
        refresh_again(r); /* what it left is forgotten, too */
    }
    if (r->waiters) {
        pass_waiters_on(r);
    }
    if (r->feed->is_ad_hoc) {
        return;
    }
    if (in->is_detached) { /* what could not be stored now has no later */
        feed_instance_drop_held(in);
        return;
    }
    if (!r->hub->is_stopping) {
        go_on(r);
    }
    keep_holding(r);
}

static void release(struct refresh *r)
{
    struct feed_instance *in = r->instance;
    struct feed *feed = r->feed;
    DL_DELETE(r->hub->refreshes, r);
    r->hub->n_refreshes--;
    for (size_t i = 0; i < r->n_parts; i++) {
        refresh_part_release(&r->parts[i]);
    }
    publication_unref(r->publication);
    buf_release(&r->document);
    buf_release(&r->detail);
    free((void *)r->kept.values);
    free(r->parts);
    free(r->trace);
    free(r);
    feed_instance_release(in);
    feed_unref(feed);
}

/* --- the story --- */

static void give_up(struct refresh *r)
{
    r->status = STATUS_CLOSED;
    buf_literal(&r->detail, "shutting down");
}

/* The end of FETCHING: what came is kept, also when it does not do. */
static void merge_and_decide(struct refresh *r)
{
    refresh_parts_remember(r);
    r->status = refresh_merge(r);
    if (r->status == STATUS_OK) {
        r->status = refresh_decide(r);
    }
}

/* One refresh of a feed, top to bottom. Every state ends by going on at once, or by returning when
 * something was started that steps again later. */
static void refresh_step(struct refresh *r)
{
    switch (r->state) {
    case REFRESH_RECALLING: /* what was good last time: conditions, values that may have to do */
        if (!r->is_given_up && !r->hub->is_abandoned) {
            refresh_go(r, REFRESH_FETCHING);
            start_fetching(r);
            return; /* the join steps us: all are in, or the deadline is over */
        }
        give_up(r);
        refresh_go(r, REFRESH_ANSWERING);
        refresh_step(r);
        return;
    case REFRESH_FETCHING:
        refresh_parts_cancel(r);
        if (r->is_given_up || r->hub->is_abandoned) {
            give_up(r);
            refresh_go(r, REFRESH_ANSWERING);
            refresh_step(r);
            return;
        }
        refresh_go(r, REFRESH_MERGING);
        /* fall through */
    case REFRESH_MERGING: /* good answers, last good ones, nulls: one document */
        merge_and_decide(r);
        if (r->status == STATUS_OK && !r->is_held && refresh_is_worth_storing(r)) {
            refresh_go(r, REFRESH_STORING);
            refresh_store(r, stored);
            return; /* the commit steps us */
        }
        /* fall through */
    case REFRESH_STORING:
        refresh_go(r, REFRESH_PUSHING);
        /* fall through */
    case REFRESH_PUSHING: /* one frame for all subscribers */
        if (r->status == STATUS_OK && !r->is_held) {
            refresh_settle(r);
        }
        refresh_go(r, REFRESH_ANSWERING);
        /* fall through */
    case REFRESH_ANSWERING: /* everybody who asked meanwhile gets the same answer */
        answer(r);
        refresh_go(r, REFRESH_DONE);
        /* fall through */
    case REFRESH_DONE:
        follow_up(r);
        release(r);
        return;
    }
}

/* --- the start --- */

static struct refresh *create(struct feed_instance *in, enum refresh_trigger trigger)
{
    static uint64_t last_id;
    struct refresh *r = hub_allocate(sizeof(*r));
    assert(!in->running);
    r->hub = in->hub;
    r->feed = feed_ref(in->feed);
    r->instance = in;
    r->trigger = trigger;
    if (in->hub->trace && trigger == REFRESH_BY_CALLER) {
        r->trace = hub_allocate(sizeof(*r->trace));
        *r->trace = *in->hub->trace;
    }
    r->id = ++last_id;
    r->started_us = clock_monotonic_us();
    r->time_ms = clock_wall_ms();
    r->waiters_end = &r->waiters;
    r->n_parts = in->feed->n_upstreams;
    r->parts = hub_allocate((r->n_parts + 1) * sizeof(*r->parts));
    buf_init(&r->document, DOCUMENT_MAX_BYTES);
    buf_init(&r->detail, 1024);
    for (size_t i = 0; i < r->n_parts; i++) {
        refresh_part_init(&r->parts[i], r, i);
    }
    feed_instance_hold(in);
    in->running = r;
    DL_APPEND(r->hub->refreshes, r);
    r->hub->n_refreshes++;
    r->feed->stats.n_running++;
    return r;
}

struct refresh *refresh_start(struct feed_instance *in, enum refresh_trigger trigger)
{
    struct refresh *r = create(in, trigger);
    assert(!r->hub->is_stopping);
    r->load = (struct feed_load){.done = recalled, .arg = r};
    if (in->is_known) {
        refresh_step(r); /* to its first wait */
    } else {
        feed_instance_load(in, &r->load);
    }
    return r;
}

void refresh_publish_held(struct feed_instance *in)
{
    if (in->held.document && !in->running && !in->hub->is_abandoned) {
        struct refresh *r = create(in, REFRESH_BY_HOLD);
        refresh_take_held(r);
        refresh_go(r, REFRESH_STORING);
        refresh_store(r, stored);
    }
}

void refresh_wait(struct refresh *r, feed_done_fn done, void *arg)
{
    struct refresh_waiter *w = hub_allocate(sizeof(*w));
    *w = (struct refresh_waiter){.done = done, .arg = arg};
    *r->waiters_end = w;
    r->waiters_end = &w->next;
}

void refresh_again(struct refresh *r)
{
    r->is_wanted_again = true;
}

/* Who is answered may ask for more: the list is looked at anew each time. */
void refresh_give_up_all(struct hub *hub)
{
    struct refresh *r = hub->refreshes;
    while (r) {
        bool is_fetching = r->state == REFRESH_FETCHING;
        r->is_given_up = is_fetching || r->state == REFRESH_RECALLING;
        if (is_fetching) {
            join_cancel(&r->join);
            refresh_step(r);
        }
        r = is_fetching ? hub->refreshes : r->next;
    }
}
