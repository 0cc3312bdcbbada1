/* SPDX-License-Identifier: MIT */
/* Unit feed_runs writes down how runs went. A feed that is refreshed a thousand times a second
 * keeps only its last ones, so most are forgotten before they are written. */
#include "hub/feed_runs.h"

#include <stdlib.h>
#include <utlist.h>

#include "base/json_span.h"
#include "hub/hub_internal.h"
#include "hub/refresh_internal.h"

#define FLUSH_MS       1000
#define TEXT_MAX_BYTES ((size_t)1 << 20)
#define PENDING_MAX    100 /* of a feed, before they are written */
#define WRITES_MAX     4   /* of a feed under way: beyond it runs are forgotten instead */

struct pending_run {
    struct pending_run *prev, *next;
    int64_t time_ms;
    int64_t duration_us;
    char *params;
    char *text;
};

struct feed_runs {
    struct feed *feed;
    struct pending_run *pending; /* a list, oldest first */
    size_t n_pending;
    struct deadline flush;
    size_t n_writing;
    struct feed_runs_wait *waiting; /* for the writing to end */
};

/* One write; owns its runs. */
struct runs_write {
    struct storage_runs_append append;
    struct feed_runs *of;
    struct pending_run *runs;
};

/* --- texts --- */

static void append_ms(struct buf *out, int64_t us)
{
    buf_printf(out, "%lld.%03lld", (long long)(us / 1000), (long long)(us % 1000));
}

static void append_part(struct buf *out, const struct feed_upstream_result *u)
{
    buf_literal(out, "{\"name\":");
    json_append_string(out, u->name);
    buf_printf(out, ",\"outcome\":\"%s\"", feed_outcome_name(u->outcome));
    if (u->outcome > FEED_CACHED) {
        buf_printf(out, ",\"failure\":\"%s\"", feed_outcome_name(u->failure));
    }
    buf_printf(out, ",\"status\":%d,\"duration_ms\":", u->http_status);
    append_ms(out, u->duration_us);
    buf_printf(out, ",\"bytes\":%lld,\"attempts\":%u}", (long long)u->n_bytes, u->n_attempts);
}

static char *write_text(const struct refresh *r)
{
    struct buf out;
    const char *outcome = r->status != STATUS_OK ? "failed"
                          : r->is_completed      ? "completed"
                                                 : "incomplete";
    buf_init(&out, TEXT_MAX_BYTES);
    buf_printf(&out, "{\"outcome\":\"%s\",\"trigger\":\"%s\",\"upstreams\":[", outcome,
               refresh_trigger_name(r->trigger));
    for (size_t i = 0; i < r->n_parts; i++) {
        buf_append(&out, i > 0 ? STR(",") : STR_EMPTY);
        append_part(&out, &r->parts[i].result);
    }
    buf_literal(&out, "]}");
    return buf_take(&out);
}

/* --- pending ones --- */

static void free_run(struct pending_run *run)
{
    free(run->params);
    free(run->text);
    free(run);
}

static void free_runs(struct pending_run *runs)
{
    struct pending_run *run;
    struct pending_run *next;
    DL_FOREACH_SAFE (runs, run, next) {
        free_run(run);
    }
}

struct feed_runs *feed_runs_create(struct feed *feed)
{
    struct feed_runs *runs = hub_allocate(sizeof(*runs));
    runs->feed = feed;
    return runs;
}

void feed_runs_destroy(struct feed_runs *runs)
{
    if (!runs) {
        return;
    }
    deadline_disarm(runs->feed->hub->deadlines, &runs->flush);
    free_runs(runs->pending);
    free(runs);
}

static void on_flush(struct deadline *deadline)
{
    (void)feed_runs_flush(container_of(deadline, struct feed_runs, flush), NULL);
}

static void forget_oldest(struct feed_runs *runs)
{
    struct pending_run *oldest = runs->pending;
    DL_DELETE(runs->pending, oldest);
    runs->n_pending--;
    free_run(oldest);
}

/* Of those that wait only the last are kept in the end: nothing more is written then. */
static void make_room(struct feed_runs *runs)
{
    size_t size = (size_t)runs->feed->options->runs_size;
    if (runs->n_pending < size && runs->n_pending < PENDING_MAX) {
        return;
    }
    if (runs->n_pending < size && runs->n_writing < WRITES_MAX) {
        (void)feed_runs_flush(runs, NULL);
    } else {
        forget_oldest(runs);
    }
}

void feed_runs_add(struct feed_runs *runs, const struct refresh *r, int64_t duration_us)
{
    if (!runs || r->hub->is_abandoned) {
        return;
    }
    make_room(runs);
    struct pending_run *run = hub_allocate(sizeof(*run));
    run->time_ms = r->time_ms;
    run->duration_us = duration_us;
    run->params = str_dup(feed_instance_params(r->instance));
    run->text = write_text(r);
    if (!run->params || !run->text) {
        free_run(run);
        return;
    }
    DL_APPEND(runs->pending, run);
    runs->n_pending++;
    if (r->hub->is_stopping || runs->feed->is_retired) { /* nobody would be there later */
        (void)feed_runs_flush(runs, NULL);
    } else if (!deadline_armed(&runs->flush)) {
        deadline_arm(r->hub->deadlines, &runs->flush, FLUSH_MS, on_flush);
    }
}

/* --- writing --- */

/* A write that failed was logged by the storage; runs are no more than a record. */
static void written(struct storage_runs_append *append)
{
    struct runs_write *w = append->arg;
    struct feed_runs *runs = w->of;
    struct feed *feed = runs->feed;
    feed->hub->n_operations--;
    free_runs(w->runs);
    free((void *)w->append.runs);
    free(w);
    struct feed_runs_wait *wait = --runs->n_writing > 0 ? NULL : runs->waiting;
    if (wait) {
        runs->waiting = NULL;
    }
    while (wait) {
        struct feed_runs_wait *next = wait->next;
        wait->done(wait->arg);
        wait = next;
    }
    feed_unref(feed);
}

static struct storage_run *list_runs(const struct feed_runs *runs)
{
    const struct feed_options *options = runs->feed->options;
    struct storage_run *list = hub_allocate(runs->n_pending * sizeof(*list));
    size_t n = 0;
    struct pending_run *run;
    DL_FOREACH (runs->pending, run) {
        list[n++] = (struct storage_run){.feed = feed_name(runs->feed),
                                         .params = str_of(run->params),
                                         .time_ms = run->time_ms,
                                         .duration_us = run->duration_us,
                                         .text = str_of(run->text),
                                         .size = (uint64_t)options->runs_size,
                                         .ttl_ms = options->runs_ttl_ms};
    }
    return list;
}

static void write_pending(struct feed_runs *runs)
{
    struct hub *hub = runs->feed->hub;
    struct runs_write *w = hub_allocate(sizeof(*w));
    w->of = runs;
    w->runs = runs->pending;
    w->append = (struct storage_runs_append){
        .runs = list_runs(runs), .n_runs = runs->n_pending, .done = written, .arg = w};
    runs->pending = NULL;
    runs->n_pending = 0;
    runs->n_writing++;
    deadline_disarm(hub->deadlines, &runs->flush);
    feed_ref(runs->feed);
    hub->n_operations++;
    storage_runs_append(hub->storage, &w->append);
}

bool feed_runs_flush(struct feed_runs *runs, struct feed_runs_wait *wait)
{
    if (!runs || runs->feed->hub->is_abandoned) {
        return false;
    }
    if (runs->n_pending > 0) {
        write_pending(runs);
    }
    if (runs->n_writing > 0 && wait) {
        LL_PREPEND(runs->waiting, wait);
    }
    return runs->n_writing > 0;
}
