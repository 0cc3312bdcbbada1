/* SPDX-License-Identifier: MIT */
/* Unit schedule decides when a feed is refreshed by itself. Each instance has one deadline, for the
 * first of the times in its schedule; it is only armed while the instance is held for it. */
#include "hub/schedule.h"

#include "base/clock.h"
#include "base/log.h"
#include "hub/hub_internal.h"
#include "hub/refresh.h"

#define BACKOFF_MAX_MS INT64_C(300000)
#define RETRY_MS       100 /* when upstreams.max_refreshes is reached */

void schedule_init(struct schedule *s)
{
    *s = (struct schedule){.is_on = false};
}

static int64_t now_ms(const struct feed_instance *in)
{
    return loop_now_ms(in->hub->loop);
}

static const struct feed_refresh_options *options_of(const struct feed_instance *in)
{
    return &in->feed->options->refresh;
}

/* --- the deadline --- */

static void on_deadline(struct deadline *deadline);

static int64_t first_of(int64_t a_ms, int64_t b_ms)
{
    return a_ms < b_ms ? a_ms : b_ms;
}

static void arm(struct feed_instance *in)
{
    struct schedule *s = &in->schedule;
    int64_t at_ms = s->is_on ? s->next_ms : INT64_MAX;
    at_ms = s->retry_ms > 0 ? first_of(at_ms, s->retry_ms) : at_ms;
    at_ms = s->stop_ms > 0 ? first_of(at_ms, s->stop_ms) : at_ms;
    if (at_ms == INT64_MAX) {
        deadline_disarm(in->hub->deadlines, &s->deadline);
        return;
    }
    int64_t delay_ms = at_ms - now_ms(in);
    deadline_arm(in->hub->deadlines, &s->deadline, delay_ms > 0 ? delay_ms : 0, on_deadline);
}

void schedule_stop(struct feed_instance *in)
{
    struct schedule *s = &in->schedule;
    bool was_on = s->is_on;
    deadline_disarm(in->hub->deadlines, &s->deadline);
    s->is_on = false;
    s->retry_ms = 0;
    s->stop_ms = 0;
    if (was_on) {
        in->hub->feed_table.n_watched--;
        in->feed->stats.n_watched--;
        feed_instance_release(in); /* it may be gone */
    }
}

/* Without anybody who waits for it. False: not now. */
static bool run(struct feed_instance *in, enum refresh_trigger trigger)
{
    if (in->running) {
        return refresh_fetches(in->running);
    }
    if (in->hub->is_stopping || in->is_detached || !refresh_has_room(in->hub)) {
        return false;
    }
    in->feed->stats.n_scheduled++;
    refresh_start(in, trigger);
    return true;
}

static int64_t retry_time(const struct feed_instance *in)
{
    return now_ms(in) + RETRY_MS + (int64_t)rng_below(RETRY_MS);
}

/* For those that are held by who watches; others are refreshed when somebody comes. */
static void run_soon(struct feed_instance *in)
{
    struct schedule *s = &in->schedule;
    bool may_run = !in->hub->is_stopping && !in->is_detached;
    if ((s->is_on || s->is_watched) && s->retry_ms == 0 && may_run) {
        s->retry_ms = retry_time(in);
        arm(in);
    }
}

static void on_deadline(struct deadline *deadline)
{
    struct schedule *s = container_of(deadline, struct schedule, deadline);
    struct feed_instance *in = container_of(s, struct feed_instance, schedule);
    if (s->stop_ms > 0 && now_ms(in) >= s->stop_ms) {
        schedule_stop(in);
        return;
    }
    bool is_due = s->is_on && now_ms(in) >= s->next_ms;
    bool is_asked_for = s->retry_ms > 0 && now_ms(in) >= s->retry_ms;
    enum refresh_trigger trigger = in->is_outdated ? REFRESH_BY_HOOK
                                   : is_due        ? REFRESH_BY_SCHEDULE
                                                   : REFRESH_BY_SUBSCRIBER;
    if (!(is_due || is_asked_for) || !run(in, trigger)) {
        s->next_ms = is_due ? retry_time(in) : s->next_ms;
        s->retry_ms = is_asked_for ? retry_time(in) : s->retry_ms;
        arm(in);
    } /* else the end of the run arms it */
}

/* --- how long to wait --- */

/* Instances that began together shall not stay together. */
static int64_t jittered(const struct feed_instance *in, int64_t delay_ms)
{
    int64_t width_ms =
        delay_ms / 100 * options_of(in)->jitter + delay_ms % 100 * options_of(in)->jitter / 100;
    return width_ms > 0 ? delay_ms - width_ms / 2 + (int64_t)rng_below((uint64_t)width_ms + 1)
                        : delay_ms;
}

/* Equal jitter: half of it is certain. */
static int64_t backoff_ms(const struct feed_instance *in)
{
    int64_t every_ms = options_of(in)->every_ms;
    unsigned doublings = in->schedule.n_fruitless < 16 ? in->schedule.n_fruitless : 16;
    int64_t delay_ms = every_ms << doublings;
    int64_t max_ms = every_ms > BACKOFF_MAX_MS ? every_ms : BACKOFF_MAX_MS;
    delay_ms = delay_ms > max_ms ? max_ms : delay_ms;
    return delay_ms / 2 + (int64_t)rng_below((uint64_t)delay_ms / 2 + 1);
}

/* With respect_cache: when the first of the upstreams may be asked again. */
static int64_t allowed_ms(const struct feed_instance *in)
{
    int64_t earliest_ms = INT64_MAX;
    for (size_t i = 0; i < in->feed->n_upstreams; i++) {
        int64_t at_ms = in->values[i].not_before_ms;
        earliest_ms = at_ms < earliest_ms ? at_ms : earliest_ms;
    }
    return earliest_ms;
}

static void plan(struct feed_instance *in)
{
    struct schedule *s = &in->schedule;
    int64_t delay_ms = s->n_fruitless > 0 ? backoff_ms(in) : jittered(in, options_of(in)->every_ms);
    s->next_ms = now_ms(in) + delay_ms;
    if (options_of(in)->respect_cache && allowed_ms(in) > s->next_ms) {
        s->next_ms = allowed_ms(in);
    }
    arm(in);
}

/* --- what happens --- */

static bool switch_on(struct feed_instance *in)
{
    struct feed_table *table = &in->hub->feed_table;
    if (table->n_watched >= (size_t)in->hub->upstreams_options->max_watched) {
        static struct log_limit limit;
        table->n_watch_refused++;
        if (log_permits(&limit)) {
            log_warn("schedule", "not_watched", log_str("channel", feed_instance_channel(in)),
                     log_s("expected", "fewer than upstreams.max_watched"),
                     log_i("left_out", limit.n_left_out));
        }
        return false;
    }
    feed_instance_hold(in);
    in->schedule.is_on = true;
    in->schedule.n_fruitless = 0;
    table->n_watched++;
    in->feed->stats.n_watched++;
    return true;
}

/* Of the last run, also of one before the start. */
static int64_t last_age_ms(struct feed_instance *in)
{
    const struct feed_snapshot *newest = feed_instance_newest(in);
    if (in->last_run_ms > 0) {
        return now_ms(in) - in->last_run_ms;
    }
    int64_t age_ms = newest->document ? clock_wall_ms() - newest->time_ms : INT64_MAX;
    return age_ms >= 0 ? age_ms : INT64_MAX; /* the clock was set back */
}

/* What the last run brought may still be good for a while. */
static void begin(struct feed_instance *in)
{
    if (in->hub->is_stopping || !switch_on(in)) {
        return;
    }
    int64_t every_ms = options_of(in)->every_ms;
    int64_t age_ms = last_age_ms(in);
    in->schedule.next_ms = now_ms(in) + (age_ms < every_ms ? every_ms - age_ms : 0);
    arm(in);
}

void schedule_watched(struct feed_instance *in)
{
    struct schedule *s = &in->schedule;
    s->is_watched = true;
    s->stop_ms = 0;
    if (options_of(in)->every_ms > 0 && !s->is_on) {
        begin(in);
    }
}

void schedule_unwatched(struct feed_instance *in)
{
    struct schedule *s = &in->schedule;
    s->is_watched = false;
    if (!s->is_on) {
        schedule_stop(in);
    } else if (options_of(in)->ever == FEED_WHILE_WATCHED) {
        int64_t stop_ms = now_ms(in) + options_of(in)->grace_ms;
        s->stop_ms = stop_ms > 0 ? stop_ms : 1;
        arm(in);
    }
}

void schedule_start_always(struct hub *hub)
{
    for (size_t i = 0; i < hub->n_feeds; i++) {
        struct feed *feed = hub->feeds[i];
        struct feed_params params;
        struct feed_instance *in;
        struct buf why;
        if (feed->options->refresh.every_ms == 0 ||
            feed->options->refresh.ever != FEED_WHILE_ALWAYS) {
            continue;
        }
        buf_init(&why, 256);
        if (feed_params_read(feed, STR_EMPTY, &params, &why) != STATUS_OK) {
            feed_params_release(&params);
        } else if (feed_instance_acquire(feed, &params, &in) == STATUS_OK) {
            if (!in->schedule.is_on) {
                begin(in);
            }
            feed_instance_release(in);
        }
        buf_release(&why);
    }
}

void schedule_touch(struct feed_instance *in, bool is_subscriber)
{
    int64_t max_age_ms = feed_max_age_ms(in->feed);
    bool is_old = max_age_ms > 0 && last_age_ms(in) > max_age_ms;
    if ((in->is_outdated || is_old) &&
        !run(in, is_subscriber ? REFRESH_BY_SUBSCRIBER : REFRESH_BY_READER)) {
        run_soon(in);
    }
}

/* What runs may have asked before the change. */
void schedule_changed(struct feed_instance *in, enum schedule_when when)
{
    bool is_watchable = in->feed->is_told_by_channel;
    bool is_wanted = in->schedule.is_on || in->schedule.is_watched || !is_watchable;
    if (in->running && refresh_fetches(in->running)) {
        refresh_again(in->running);
    } else if (!is_wanted || when == SCHEDULE_SOON || !run(in, REFRESH_BY_HOOK)) {
        in->is_outdated = true;
        run_soon(in);
    }
}

void schedule_refreshed(struct feed_instance *in, bool is_fruitful)
{
    struct schedule *s = &in->schedule;
    in->last_run_ms = now_ms(in);
    s->n_fruitless = is_fruitful ? 0 : s->n_fruitless + 1;
    s->retry_ms = 0;
    if (s->is_on) {
        plan(in);
    } else {
        arm(in);
    }
}

static bool is_wanted(const struct feed_instance *in)
{
    const struct feed_refresh_options *options = options_of(in);
    return options->every_ms > 0 && (in->schedule.is_watched || options->ever == FEED_WHILE_ALWAYS);
}

/* The grace of those that nobody watches any more ends with the change. */
void schedule_moved(struct feed_instance *in)
{
    struct schedule *s = &in->schedule;
    if (s->is_on && !is_wanted(in)) {
        schedule_stop(in);
    } else if (!s->is_on && s->is_watched && options_of(in)->every_ms > 0) {
        begin(in);
    }
    s->stop_ms = 0;
    schedule_changed(in, SCHEDULE_SOON);
}

static void stop_one(struct feed_instance *in, void *arg)
{
    (void)arg;
    schedule_stop(in);
}

void schedule_stop_all(struct hub *hub)
{
    feed_instances_each(hub, stop_one, NULL);
}
