/* SPDX-License-Identifier: MIT */
/* Unit refresh is the main job. One operation struct, one state, one step function; see
 * refresh_step() for the story. Everything else here is one step's work. */
#include "hub/refresh.h"

#include <stdio.h>
#include <stdlib.h>
#include <uthash.h>

#include "base/clock.h"
#include "base/join.h"
#include "base/json_span.h"
#include "base/log.h"
#include "hub/channel.h"
#include "hub/hub_internal.h"
#include "hub/merge.h"

#define SNAPSHOT_MAX_BYTES ((size_t)32 << 20)
#define ANSWER_MAX_BYTES   ((size_t)64 << 20)
#define KEEP_ALIVE_MAX_MS  INT64_C(3600000)

enum refresh_state {
    REFRESH_FETCHING,
    REFRESH_RECALLING,
    REFRESH_MERGING,
    REFRESH_STORING,
    REFRESH_PUSHING,
    REFRESH_ANSWERING,
    REFRESH_DONE,
};

static const char *const state_names[] = {"fetching", "recalling", "merging", "storing",
                                          "pushing",  "answering", "done"};

/* One upstream of the run. */
struct refresh_part {
    struct refresh *refresh;
    const struct feed_upstream_options *options;
    struct fetch *fetch; /* under way */
    struct join_slot slot;
    char *body;
    struct str value; /* in body; or in the recalled results when stale */
    int64_t time_ms;
    struct feed_upstream_result result;
    char error[160];
};

struct refresh_waiter {
    struct refresh_waiter *next;
    feed_done_fn done;
    void *arg;
};

struct refresh {
    UT_hash_handle hh;
    struct hub *hub;
    struct feed *feed;
    struct feed_instance *instance;
    const struct namespace_options *ns; /* of the channel */
    enum refresh_state state;
    enum status status;
    const char *detail;
    uint64_t id;
    int64_t started_us;
    int64_t time_ms;
    struct join join;
    struct refresh_waiter *waiters;
    struct refresh_waiter **waiters_end;

    struct storage_feed_read recalled;
    bool is_recalled;
    struct buf snapshot;
    bool is_changed;
    bool is_completed;
    struct publication *publication; /* NULL: nothing is to be pushed */
    struct storage_position position;
    struct storage_feed_write kept;
    struct storage_append append;

    size_t n_parts;
    struct refresh_part *parts;
    char *key; /* feed, NUL, parameters */
    size_t key_len;
};

static void refresh_step(struct refresh *r);

static void refresh_go(struct refresh *r, enum refresh_state state)
{
    log_trace("refresh", "state", log_i("refresh", (int64_t)r->id),
              log_s("from", state_names[r->state]), log_s("to", state_names[state]));
    r->state = state;
}

const char *feed_outcome_name(enum feed_outcome outcome)
{
    static const char *const names[] = {"fresh",         "stale",        "timeout",  "http_error",
                                        "connect_error", "invalid_json", "too_large"};
    return names[outcome];
}

/* --- fetching --- */

static void part_failed(struct refresh_part *p, enum feed_outcome why, const char *error)
{
    p->result.outcome = why;
    p->result.failure = why;
    struct buf text;
    buf_init(&text, sizeof(p->error));
    buf_append(&text, str_head(str_of(error), sizeof(p->error) - 1));
    memcpy(p->error, text.len > 0 ? text.ptr : "", text.len);
    p->result.error = (struct str){p->error, text.len};
    buf_release(&text);
}

/* The body is the fetch's: what is used of it is copied. */
static void part_answered(struct refresh_part *p, struct str body)
{
    struct json_error wrong;
    if (json_check(body, &wrong) != STATUS_OK) {
        char error[120];
        snprintf(error, sizeof(error), "byte %zu: expected %s", wrong.offset, wrong.expected);
        part_failed(p, FEED_INVALID_JSON, error);
        return;
    }
    struct str value;
    if (merge_select(body, str_of(p->options->select), &value) != STATUS_OK) {
        char error[120];
        snprintf(error, sizeof(error), "nothing lies at %.80s", p->options->select);
        part_failed(p, FEED_INVALID_JSON, error);
        return;
    }
    p->body = str_dup(value);
    if (!p->body) {
        part_failed(p, FEED_TOO_LARGE, "out of memory");
        return;
    }
    p->value = (struct str){p->body, value.len};
    p->result.outcome = FEED_FRESH;
}

static enum feed_outcome failure_of(enum fetch_outcome outcome)
{
    switch (outcome) {
    case FETCH_OK: return FEED_FRESH;
    case FETCH_TIMEOUT: return FEED_TIMEOUT;
    case FETCH_HTTP_ERROR: return FEED_HTTP_ERROR;
    case FETCH_CONNECT_ERROR: return FEED_CONNECT_ERROR;
    case FETCH_TOO_LARGE: return FEED_TOO_LARGE;
    }
    return FEED_CONNECT_ERROR;
}

static void fetched(void *arg, const struct fetch_result *result)
{
    struct refresh_part *p = arg;
    p->fetch = NULL;
    p->time_ms = clock_wall_ms();
    p->result.http_status = result->http_status;
    p->result.duration_us = result->duration_us;
    if (result->outcome == FETCH_OK) {
        part_answered(p, result->body);
    } else {
        part_failed(p, failure_of(result->outcome), result->error);
    }
    join_complete(p->slot);
}

static int64_t part_timeout_ms(const struct refresh_part *p)
{
    int64_t feed_ms = feed_options(p->refresh->feed)->timeout_ms;
    int64_t own_ms = p->options->timeout_ms;
    return own_ms > 0 && own_ms < feed_ms ? own_ms : feed_ms;
}

static enum status start_fetch(struct refresh_part *p, size_t index)
{
    struct buf url;
    buf_init(&url, 16384);
    enum status status = feed_instance_url(p->refresh->instance, index, &url);
    buf_append_char(&url, '\0');
    if (status == STATUS_OK && buf_failed(&url)) {
        status = STATUS_TOO_LARGE;
    }
    if (status == STATUS_OK) {
        struct fetch_spec spec = {
            .url = url.ptr,
            .timeout_ms = part_timeout_ms(p),
            .max_bytes = (size_t)p->refresh->hub->upstreams_options->max_body_size,
        };
        status = fetch_start(p->refresh->hub->fetch_pool, &spec, fetched, p, &p->fetch);
    }
    buf_release(&url);
    return status;
}

static void joined(void *arg, enum join_outcome outcome)
{
    (void)outcome; /* what is still open is seen by its fetch */
    refresh_step(arg);
}

static void cancel_fetches(struct refresh *r)
{
    for (size_t i = 0; i < r->n_parts; i++) {
        struct refresh_part *p = &r->parts[i];
        if (p->fetch) {
            fetch_cancel(p->fetch);
            p->fetch = NULL;
            p->result.duration_us = clock_monotonic_us() - r->started_us;
            part_failed(p, FEED_TIMEOUT, "the feed's deadline was over");
        }
    }
}

/* An upstream that cannot even be asked (a value that may not stand in its URL, a full queue) has
 * failed by itself. */
static void start_fetches(struct refresh *r)
{
    join_start(&r->join, r->hub->loop, r->hub->deadlines, (unsigned)r->n_parts,
               feed_options(r->feed)->timeout_ms, joined, r);
    for (size_t i = 0; i < r->n_parts; i++) {
        struct refresh_part *p = &r->parts[i];
        p->slot = join_slot(&r->join);
        enum status status = start_fetch(p, i);
        if (status != STATUS_OK) {
            part_failed(p, FEED_CONNECT_ERROR, status_name(status));
            join_complete(p->slot);
        }
    }
}

/* --- recalling --- */

static void recall_done(struct storage_feed_read *read)
{
    struct refresh *r = read->arg;
    r->is_recalled = true;
    if (r->state == REFRESH_RECALLING) {
        refresh_step(r);
    }
}

static void start_recall(struct refresh *r)
{
    r->recalled = (struct storage_feed_read){
        .feed = str_of(feed_options(r->feed)->name),
        .params = feed_instance_params(r->instance),
        .done = recall_done,
        .arg = r,
    };
    storage_feed_read(r->hub->storage, &r->recalled);
}

static const struct storage_feed_item *recalled_item(const struct refresh *r, struct str upstream)
{
    for (size_t i = 0; i < r->recalled.n_items; i++) {
        if (str_eq(r->recalled.items[i].upstream, upstream)) {
            return &r->recalled.items[i];
        }
    }
    return NULL;
}

/* --- merging --- */

static void use_last_good_values(struct refresh *r)
{
    r->is_completed = true;
    for (size_t i = 0; i < r->n_parts; i++) {
        struct refresh_part *p = &r->parts[i];
        if (p->result.outcome == FEED_FRESH) {
            continue;
        }
        r->is_completed = false;
        const struct storage_feed_item *last = recalled_item(r, p->result.name);
        if (last) {
            p->value = last->value;
            p->result.outcome = FEED_STALE;
        }
    }
}

static enum status merge(struct refresh *r)
{
    use_last_good_values(r);
    struct merge_part *parts = hub_allocate(r->n_parts * sizeof(*parts));
    for (size_t i = 0; i < r->n_parts; i++) {
        parts[i] = (struct merge_part){r->parts[i].result.name, r->parts[i].value};
    }
    enum status status = merge_object(parts, r->n_parts, &r->snapshot);
    free(parts);
    bool has_last = r->recalled.status == STATUS_OK;
    r->is_changed = !has_last || !str_eq(buf_str(&r->snapshot), r->recalled.snapshot);
    r->position = has_last ? r->recalled.position : (struct storage_position){0};
    return status;
}

/* --- storing --- */

static void stored(struct storage_append *append)
{
    struct refresh *r = append->arg;
    r->status = append->status;
    if (r->status == STATUS_OK && r->is_changed) {
        r->position = append->position;
    }
    refresh_step(r);
}

static struct storage_feed_value *fresh_values(struct refresh *r, size_t *ret_n)
{
    struct storage_feed_value *values = hub_allocate((r->n_parts + 1) * sizeof(*values));
    size_t n = 0;
    for (size_t i = 0; i < r->n_parts; i++) {
        const struct refresh_part *p = &r->parts[i];
        if (p->result.outcome == FEED_FRESH) {
            values[n++] = (struct storage_feed_value){.upstream = p->result.name,
                                                      .value = p->value,
                                                      .http_status = p->result.http_status,
                                                      .time_ms = p->time_ms};
        }
    }
    *ret_n = n;
    return values;
}

static void prepare_publication(struct refresh *r)
{
    r->publication = publication_create(buf_str(&r->snapshot), STR_EMPTY, STR_EMPTY);
    if (!r->publication) {
        r->status = STATUS_NO_MEMORY;
        return;
    }
    r->publication->delta = r->ns->delta_publish;
    if (namespace_has_history(r->ns)) {
        r->append.channel = feed_instance_channel(r->instance);
        r->append.data = r->publication->data;
        r->append.delta = r->publication->delta;
    }
}

/* The results, the snapshot and its publication, in one transaction. */
static void start_store(struct refresh *r)
{
    size_t n_values;
    struct storage_feed_value *values = fresh_values(r, &n_values);
    r->kept = (struct storage_feed_write){
        .feed = str_of(feed_options(r->feed)->name),
        .params = feed_instance_params(r->instance),
        .snapshot = buf_str(&r->snapshot),
        .completed = r->is_completed,
        .time_ms = r->time_ms,
        .values = values,
        .n_values = n_values,
    };
    /* What a feed remembers is forgotten as late as a channel's position would be. */
    r->append.retention = namespace_retention(r->hub->channel_options, r->ns);
    r->append.feed = &r->kept;
    r->append.done = stored;
    r->append.arg = r;
    storage_append(r->hub->storage, &r->append);
}

/* A run that found everything as it was leaves the file alone, but for now and then: what is not
 * written is forgotten after history_meta_ttl. */
static bool is_worth_storing(const struct refresh *r)
{
    int64_t meta_ttl_ms = namespace_retention(r->hub->channel_options, r->ns).meta_ttl_ms;
    int64_t due_ms = meta_ttl_ms / 100 < KEEP_ALIVE_MAX_MS ? meta_ttl_ms / 100 : KEEP_ALIVE_MAX_MS;
    return r->is_changed || r->is_completed != r->recalled.completed ||
           r->time_ms - r->recalled.time_ms > due_ms;
}

/* --- pushing and answering --- */

static void push(struct refresh *r)
{
    r->hub->n_publications++;
    struct channel *channel = channel_find(r->hub, feed_instance_channel(r->instance));
    if (!channel) {
        return;
    }
    bool has_history = r->append.channel.len > 0;
    r->publication->offset = has_history ? r->position.offset : 0;
    r->publication->time_ms = r->append.time_ms;
    channel_publish(channel, r->publication, has_history ? &r->position : NULL);
}

/* "air:http_error events:timeout" */
static void append_failures(const struct refresh *r, struct buf *out)
{
    for (size_t i = 0; i < r->n_parts; i++) {
        const struct feed_upstream_result *result = &r->parts[i].result;
        if (result->outcome != FEED_FRESH) {
            buf_append(out, out->len > 0 ? STR(" ") : STR_EMPTY);
            buf_append(out, result->name);
            buf_append_char(out, ':');
            buf_append(out, str_of(feed_outcome_name(result->failure)));
        }
    }
}

static void warn_of_failures(const struct refresh *r)
{
    static struct log_limit limit;
    if ((r->status == STATUS_OK && r->is_completed) || r->status == STATUS_CLOSED ||
        !log_permits(&limit)) {
        return;
    }
    struct buf failures;
    buf_init(&failures, 1024);
    append_failures(r, &failures);
    log_warn("refresh", r->status == STATUS_OK ? "incomplete" : "failed",
             log_s("feed", feed_options(r->feed)->name),
             log_str("channel", feed_instance_channel(r->instance)),
             log_s("status", status_name(r->status)), log_str("upstreams", buf_str(&failures)),
             log_i("left_out", limit.n_left_out));
    buf_release(&failures);
}

static void count(struct refresh *r)
{
    warn_of_failures(r);
    struct feed_stats *stats = feed_stats(r->feed);
    stats->n_running--;
    stats->n_refreshes++;
    stats->n_changed += r->status == STATUS_OK && r->is_changed;
    stats->n_incomplete += r->status == STATUS_OK && !r->is_completed;
    stats->n_failed += r->status != STATUS_OK;
    stats->last_time_ms = r->time_ms;
    stats->last_duration_us = clock_monotonic_us() - r->started_us;
    log_debug("refresh", "done", log_i("refresh", (int64_t)r->id),
              log_s("feed", feed_options(r->feed)->name),
              log_str("channel", feed_instance_channel(r->instance)),
              log_s("status", status_name(r->status)), log_i("changed", r->is_changed),
              log_i("completed", r->is_completed), log_i("duration_us", stats->last_duration_us));
}

static void answer(struct refresh *r)
{
    HASH_DEL(r->hub->refreshes, r); /* who asks from here on starts a new run */
    count(r);
    struct feed_upstream_result *upstreams = hub_allocate((r->n_parts + 1) * sizeof(*upstreams));
    for (size_t i = 0; i < r->n_parts; i++) {
        upstreams[i] = r->parts[i].result;
    }
    struct buf shared;
    buf_init(&shared, ANSWER_MAX_BYTES);
    struct feed_result result = {
        .feed = str_of(feed_options(r->feed)->name),
        .params = feed_instance_params(r->instance),
        .channel = feed_instance_channel(r->instance),
        .data = buf_str(&r->snapshot),
        .time_ms = r->time_ms,
        .position = r->position,
        .is_changed = r->is_changed,
        .is_completed = r->is_completed,
        .upstreams = upstreams,
        .n_upstreams = r->n_parts,
        .answer = &shared,
    };
    while (r->waiters) {
        struct refresh_waiter *w = r->waiters;
        r->waiters = w->next;
        w->done(w->arg, r->status, r->detail, r->status == STATUS_OK ? &result : NULL);
        free(w);
    }
    buf_release(&shared);
    free(upstreams);
}

static void release(struct refresh *r)
{
    r->hub->n_refreshes--;
    for (size_t i = 0; i < r->n_parts; i++) {
        free(r->parts[i].body);
    }
    storage_feed_read_release(&r->recalled);
    publication_unref(r->publication);
    buf_release(&r->snapshot);
    feed_instance_destroy(r->instance);
    free((void *)r->kept.values);
    free(r->parts);
    free(r->key);
    free(r);
}

/* One refresh of a feed, top to bottom. Every state ends by going on at once, or by returning when
 * something was started that steps again later. */
static void refresh_step(struct refresh *r)
{
    switch (r->state) {
    case REFRESH_FETCHING: /* the join stepped us: all are in, or the deadline is over */
        cancel_fetches(r);
        refresh_go(r, REFRESH_RECALLING);
        /* fall through */
    case REFRESH_RECALLING: /* what was good last time; asked for at the start, so mostly here */
        if (!r->is_recalled) {
            return;
        }
        if (r->hub->is_abandoned) {
            r->status = STATUS_CLOSED;
        }
        refresh_go(r, r->status == STATUS_OK ? REFRESH_MERGING : REFRESH_ANSWERING);
        if (r->status != STATUS_OK) {
            refresh_step(r);
            return;
        }
        /* fall through */
    case REFRESH_MERGING: /* good answers, last good ones, nulls: one document */
        r->status = merge(r);
        if (r->status == STATUS_OK && r->is_changed) {
            prepare_publication(r);
        }
        if (r->status == STATUS_OK && is_worth_storing(r)) {
            refresh_go(r, REFRESH_STORING);
            start_store(r);
            return; /* the commit steps us */
        }
        refresh_go(r, REFRESH_ANSWERING);
        refresh_step(r);
        return;
    case REFRESH_STORING:
        refresh_go(r, REFRESH_PUSHING);
        /* fall through */
    case REFRESH_PUSHING: /* one frame for all subscribers */
        if (r->status == STATUS_OK && r->publication) {
            push(r);
        }
        refresh_go(r, REFRESH_ANSWERING);
        /* fall through */
    case REFRESH_ANSWERING: /* everybody who asked meanwhile gets the same answer */
        answer(r);
        refresh_go(r, REFRESH_DONE);
        /* fall through */
    case REFRESH_DONE: release(r); return;
    }
}

/* --- joining --- */

static void add_waiter(struct refresh *r, feed_done_fn done, void *arg)
{
    struct refresh_waiter *w = hub_allocate(sizeof(*w));
    *w = (struct refresh_waiter){.done = done, .arg = arg};
    *r->waiters_end = w;
    r->waiters_end = &w->next;
}

static char *make_key(const struct feed_instance *instance, size_t *ret_len)
{
    struct str name = str_of(feed_options(feed_instance_feed(instance))->name);
    struct str params = feed_instance_params(instance);
    char *key = hub_allocate(name.len + 1 + params.len);
    memcpy(key, name.ptr, name.len);
    memcpy(key + name.len + 1, params.ptr, params.len);
    *ret_len = name.len + 1 + params.len;
    return key;
}

static void make_parts(struct refresh *r)
{
    const struct feed_options *options = feed_options(r->feed);
    const struct feed_upstream_options *upstreams = options->upstreams.items;
    r->n_parts = options->upstreams.n_items;
    r->parts = hub_allocate((r->n_parts + 1) * sizeof(*r->parts));
    for (size_t i = 0; i < r->n_parts; i++) {
        r->parts[i].refresh = r;
        r->parts[i].options = &upstreams[i];
        r->parts[i].result.name = str_of(upstreams[i].name);
    }
}

static struct refresh *start(struct hub *hub, struct feed_instance *instance,
                             const struct namespace_options *ns, char *key, size_t key_len)
{
    static uint64_t last_id;
    struct refresh *r = hub_allocate(sizeof(*r));
    r->hub = hub;
    r->feed = feed_instance_feed(instance);
    r->instance = instance;
    r->ns = ns;
    r->id = ++last_id;
    r->detail = "";
    r->started_us = clock_monotonic_us();
    r->time_ms = clock_wall_ms();
    r->waiters_end = &r->waiters;
    r->key = key;
    r->key_len = key_len;
    buf_init(&r->snapshot, SNAPSHOT_MAX_BYTES);
    make_parts(r);
    HASH_ADD_KEYPTR(hh, hub->refreshes, r->key, r->key_len, r);
    hub->n_refreshes++;
    feed_stats(r->feed)->n_running++;
    start_fetches(r);
    start_recall(r);
    return r;
}

static struct refresh *find_running(struct hub *hub, const char *key, size_t key_len)
{
    struct refresh *r = NULL;
    HASH_FIND(hh, hub->refreshes, key, key_len, r);
    return r;
}

bool refresh_is_running(struct hub *hub, const struct feed_instance *instance)
{
    size_t key_len;
    char *key = make_key(instance, &key_len);
    bool is_running = find_running(hub, key, key_len) != NULL;
    free(key);
    return is_running;
}

void refresh_join(struct hub *hub, struct feed_instance *instance,
                  const struct namespace_options *ns, feed_done_fn done, void *arg)
{
    size_t key_len;
    char *key = make_key(instance, &key_len);
    struct refresh *r = find_running(hub, key, key_len);
    if (r) {
        feed_stats(r->feed)->n_shared++;
        feed_instance_destroy(instance);
        free(key);
    } else {
        r = start(hub, instance, ns, key, key_len);
    }
    add_waiter(r, done, arg);
}

void refresh_give_up_all(struct hub *hub)
{
    struct refresh *r;
    struct refresh *next;
    HASH_ITER (hh, hub->refreshes, r, next) {
        if (r->state == REFRESH_FETCHING) {
            join_cancel(&r->join);
            r->status = STATUS_CLOSED;
            r->detail = "shutting down";
            refresh_step(r);
        }
    }
}
