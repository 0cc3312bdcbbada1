/* SPDX-License-Identifier: MIT */
/* The way of an endpoint's events: into the storage as they happen; then, again and again, a batch
 * is read, sent until it is answered 2xx, and removed. step() has the whole story, top to bottom. A
 * batch stays the same through all its repetitions, and one request is under way at a time: that
 * keeps the order. State belongs to the endpoint; loop's thread. */
#include "hub/webhook_endpoint.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/rng.h"
#include "hub/hub_internal.h"
#include "hub/webhook_signature.h"

/* Of the texts in one request; the event that reaches it is the last one. */
#define BATCH_MAX_BYTES ((size_t)512 << 10)
/* Nobody looks at what the backend answers. */
#define ANSWER_MAX_BYTES ((size_t)16 << 10)

enum state {
    COUNTING,    /* what an earlier run has left */
    GATHERING,   /* nothing waits, or what waits is given company */
    READING,     /* the next batch */
    SENDING,     /* it */
    REMOVING,    /* it, from the storage: it was delivered */
    BACKING_OFF, /* until state "again" */
};

struct webhook_endpoint {
    const struct webhooks_setup *setup;
    const struct webhook_options *options;
    unsigned wanted; /* events: bits */
    enum state state;
    enum state again;
    bool is_stopped;
    struct deadline due;  /* GATHERING, BACKING_OFF */
    bool is_storage_busy; /* with one of the three */
    struct storage_events_count count;
    struct storage_events_read read;
    struct storage_events_remove remove;
    struct fetch *fetch;  /* SENDING */
    uint64_t n_appending; /* on their way into the storage */
    uint64_t n_stored;    /* with the batch */
    int64_t oldest_ms;    /* of those behind the batch: when it was stored */
    struct buf batch;     /* the request's body */
    uint64_t n_batch;
    uint64_t first_id, last_id;
    uint64_t n_failures; /* in a row */
    struct log_limit failure_log;
    struct log_limit drop_log;
    struct webhooks_stats stats;
};

static void step(struct webhook_endpoint *e);

static void go(struct webhook_endpoint *e, enum state state)
{
    e->state = state;
    step(e);
}

static struct str name_of(const struct webhook_endpoint *e)
{
    return str_of(e->options->name);
}

/* --- into the storage --- */

struct event {
    struct storage_event_append append;
    struct webhook_endpoint *endpoint;
    char text[];
};

static void drop(struct webhook_endpoint *e, const char *why)
{
    e->stats.n_dropped++;
    if (log_permits(&e->drop_log)) {
        log_warn("webhooks", "dropped", log_str("webhook", name_of(e)), log_s("why", why),
                 log_i("waiting", (int64_t)e->n_stored),
                 log_i("queue_limit", e->options->queue_limit),
                 log_i("left_out", e->drop_log.n_left_out));
    }
}

static void event_stored(struct webhook_endpoint *e)
{
    e->stats.n_events++;
    if (e->n_stored++ == e->n_batch) {
        e->oldest_ms = loop_now_ms(e->setup->loop);
    }
    if (e->state == GATHERING) {
        step(e);
    }
}

static void on_appended(struct storage_event_append *append)
{
    struct event *event = append->arg;
    struct webhook_endpoint *e = event->endpoint;
    enum status status = append->status;
    free(event);
    e->n_appending--;
    if (status == STATUS_OK) {
        event_stored(e);
    } else {
        drop(e, status == STATUS_OVERLOADED ? "storage.queue_max_size" : "the storage failed");
    }
}

void webhook_endpoint_add(struct webhook_endpoint *e, struct str text, int64_t time_ms)
{
    if (e->n_stored + e->n_appending >= (uint64_t)e->options->queue_limit) {
        drop(e, "queue_limit");
        return;
    }
    struct event *event = malloc(sizeof(*event) + text.len);
    if (!event) {
        drop(e, "not enough memory");
        return;
    }
    memcpy(event->text, text.ptr, text.len);
    event->endpoint = e;
    event->append = (struct storage_event_append){.endpoint = name_of(e),
                                                  .text = {event->text, text.len},
                                                  .time_ms = time_ms,
                                                  .done = on_appended,
                                                  .arg = event};
    e->n_appending++;
    storage_event_append(e->setup->storage, &event->append);
}

/* --- what goes wrong --- */

/* Doubled with each failure; by half of it at random, so that those who failed together do not come
 * back together. */
static int64_t delay_of(const struct webhook_endpoint *e)
{
    int64_t delay_ms = e->options->retry_min_delay_ms;
    int64_t max_ms = e->options->retry_max_delay_ms;
    for (uint64_t i = 1; i < e->n_failures && delay_ms < max_ms; i++) {
        delay_ms *= 2;
    }
    delay_ms = delay_ms < max_ms ? delay_ms : max_ms;
    return delay_ms - (int64_t)rng_below((uint64_t)delay_ms / 2 + 1);
}

/* The storage says itself what it could not do. */
static void back_off(struct webhook_endpoint *e, enum state again)
{
    e->n_failures++;
    e->again = again;
    go(e, BACKING_OFF);
}

static void succeeded(struct webhook_endpoint *e)
{
    if (e->n_failures > 0) {
        log_info("webhooks", "delivers_again", log_str("webhook", name_of(e)),
                 log_i("failures", (int64_t)e->n_failures), log_i("waiting", (int64_t)e->n_stored));
    }
    e->n_failures = 0;
}

static void request_failed(struct webhook_endpoint *e, int http_status, const char *error)
{
    e->stats.n_failed_requests++;
    if (log_permits(&e->failure_log)) {
        log_warn("webhooks", "failed", log_str("webhook", name_of(e)), log_s("error", error),
                 log_i("http_status", http_status), log_i("failures", (int64_t)e->n_failures + 1),
                 log_i("waiting", (int64_t)e->n_stored),
                 log_i("left_out", e->failure_log.n_left_out));
    }
    back_off(e, SENDING);
}

/* --- COUNTING --- */

static void on_counted(struct storage_events_count *count)
{
    struct webhook_endpoint *e = count->arg;
    e->is_storage_busy = false;
    if (count->status != STATUS_OK) {
        back_off(e, COUNTING);
        return;
    }
    /* Of those that were appended meanwhile it knows all whose end has come, and no others. */
    e->n_stored = count->n_events;
    go(e, GATHERING);
}

static void start_count(struct webhook_endpoint *e)
{
    e->is_storage_busy = true;
    e->count = (struct storage_events_count){.endpoint = name_of(e), .done = on_counted, .arg = e};
    storage_events_count(e->setup->storage, &e->count);
}

/* --- GATHERING, BACKING_OFF --- */

static void on_due(struct deadline *due)
{
    struct webhook_endpoint *e = container_of(due, struct webhook_endpoint, due);
    go(e, e->state == BACKING_OFF ? e->again : READING);
}

/* False: there is nothing to wait for, in one sense or the other. */
static bool is_ready(struct webhook_endpoint *e)
{
    if (e->n_stored == 0) {
        return false;
    }
    int64_t wait_ms = e->oldest_ms + e->options->batch_max_delay_ms - loop_now_ms(e->setup->loop);
    if (wait_ms <= 0 || e->n_stored >= (uint64_t)e->options->batch_max_size) {
        deadline_disarm(e->setup->deadlines, &e->due);
        return true;
    }
    if (!deadline_armed(&e->due)) {
        deadline_arm(e->setup->deadlines, &e->due, wait_ms, on_due);
    }
    return false;
}

/* --- READING --- */

/* The id and the time are put before the members of the event's text. */
static void write_event(struct buf *body, const struct storage_event *event)
{
    buf_append(body, body->len > 0 ? STR(",") : STR("{\"events\":["));
    buf_printf(body, "{\"id\":%" PRIu64 ",\"time\":%" PRId64 ",", event->id, event->time_ms);
    buf_append(body, str_tail(event->text, 1));
}

/* Damaged events are left out: they are removed with the others of the batch. */
static enum status write_batch(struct webhook_endpoint *e)
{
    const struct storage_events_read *read = &e->read;
    buf_clear(&e->batch);
    for (size_t i = 0; i < read->n_events; i++) {
        if (read->events[i].text.len > 0) {
            write_event(&e->batch, &read->events[i]);
        }
    }
    if (e->batch.len > 0) {
        buf_literal(&e->batch, "]}");
    }
    if (buf_failed(&e->batch)) {
        return STATUS_NO_MEMORY;
    }
    if (e->batch.len >= BATCH_MAX_BYTES) {
        e->oldest_ms = 0; /* it is full: those behind it need not wait for company */
    }
    e->n_batch = read->n_events;
    if (read->n_events > 0) {
        e->first_id = read->events[0].id;
        e->last_id = read->events[read->n_events - 1].id;
    }
    return STATUS_OK;
}

static void on_read(struct storage_events_read *read)
{
    struct webhook_endpoint *e = read->arg;
    e->is_storage_busy = false;
    enum status status = read->status == STATUS_OK ? write_batch(e) : read->status;
    storage_events_release(read);
    if (status != STATUS_OK) {
        back_off(e, READING);
    } else if (e->n_batch == 0) { /* somebody has changed the file behind the hub's back */
        e->n_stored = 0;
        go(e, GATHERING);
    } else {
        go(e, e->batch.len > 0 ? SENDING : REMOVING);
    }
}

static void start_read(struct webhook_endpoint *e)
{
    e->is_storage_busy = true;
    e->read = (struct storage_events_read){.endpoint = name_of(e),
                                           .limit = (size_t)e->options->batch_max_size,
                                           .max_bytes = BATCH_MAX_BYTES,
                                           .done = on_read,
                                           .arg = e};
    storage_events_read(e->setup->storage, &e->read);
}

/* --- SENDING --- */

/* A longer answer than anybody wants to read is still one. */
static bool is_acknowledged(const struct fetch_result *result)
{
    return result->outcome == FETCH_OK ||
           (result->outcome == FETCH_TOO_LARGE && result->head.http_status / 100 == 2);
}

static void on_answer(void *arg, const struct fetch_result *result)
{
    struct webhook_endpoint *e = arg;
    e->fetch = NULL;
    if (!is_acknowledged(result)) {
        request_failed(e, result->head.http_status,
                       result->error[0] ? result->error : fetch_outcome_name(result->outcome));
        return;
    }
    e->stats.n_delivered += e->n_batch;
    succeeded(e);
    go(e, REMOVING);
}

static enum status send_with(struct webhook_endpoint *e, const struct str *headers,
                             size_t n_headers)
{
    struct fetch_spec spec = {.url = e->options->endpoint,
                              .timeout_ms = e->options->timeout_ms,
                              .max_bytes = ANSWER_MAX_BYTES,
                              .method = FETCH_POST,
                              .body = buf_str(&e->batch),
                              .headers = headers,
                              .n_headers = n_headers};
    return fetch_start(e->setup->fetch_pool, &spec, on_answer, e, &e->fetch);
}

static void start_request(struct webhook_endpoint *e)
{
    static const char signature_head[] = "X-Belfry-Signature: ";
    char webhook[WEBHOOK_NAME_MAX_BYTES + 32];
    char delivery[80];
    char signature[sizeof(signature_head) + WEBHOOK_SIGNATURE_SIZE];
    enum status status = STATUS_OK;
    struct str key = str_of(e->options->hmac_secret_key);
    memcpy(signature, signature_head, sizeof(signature_head));
    snprintf(webhook, sizeof(webhook), "X-Belfry-Webhook: %s", e->options->name);
    snprintf(delivery, sizeof(delivery), "X-Belfry-Delivery: %" PRIu64 "-%" PRIu64, e->first_id,
             e->last_id);
    if (key.len > 0) {
        status = webhook_sign(key, clock_wall_ms() / 1000, buf_str(&e->batch),
                              signature + sizeof(signature_head) - 1);
    }
    const struct str headers[] = {str_of(webhook), str_of(delivery), str_of(signature)};
    if (status == STATUS_OK) {
        status = send_with(e, headers, key.len > 0 ? 3 : 2);
    }
    e->stats.n_requests++;
    if (status != STATUS_OK) {
        request_failed(e, 0, status_name(status));
    }
}

/* --- REMOVING --- */

static void on_removed(struct storage_events_remove *remove)
{
    struct webhook_endpoint *e = remove->arg;
    e->is_storage_busy = false;
    if (remove->status != STATUS_OK) {
        back_off(e, REMOVING);
        return;
    }
    e->n_stored -= e->n_batch < e->n_stored ? e->n_batch : e->n_stored;
    e->n_batch = 0;
    e->n_failures = 0;
    go(e, GATHERING);
}

static void start_remove(struct webhook_endpoint *e)
{
    e->is_storage_busy = true;
    e->remove = (struct storage_events_remove){
        .endpoint = name_of(e), .last_id = e->last_id, .done = on_removed, .arg = e};
    storage_events_remove(e->setup->storage, &e->remove);
}

/* --- the whole --- */

static void step(struct webhook_endpoint *e)
{
    if (e->is_stopped) {
        return;
    }
    switch (e->state) {
    case COUNTING: start_count(e); return;
    case GATHERING:
        if (!is_ready(e)) {
            return;
        }
        e->state = READING;
        /* fall through */
    case READING: start_read(e); return;
    case SENDING: start_request(e); return;
    case REMOVING: start_remove(e); return;
    case BACKING_OFF: deadline_arm(e->setup->deadlines, &e->due, delay_of(e), on_due); return;
    }
}

struct webhook_endpoint *webhook_endpoint_create(const struct webhooks_setup *setup,
                                                 const struct webhook_options *options)
{
    struct webhook_endpoint *e = hub_allocate(sizeof(*e));
    e->setup = setup;
    e->options = options;
    e->wanted = webhook_options_events(options);
    buf_init(&e->batch, SIZE_MAX);
    go(e, COUNTING);
    return e;
}

void webhook_endpoint_destroy(struct webhook_endpoint *e)
{
    assert(webhook_endpoint_is_idle(e));
    webhook_endpoint_stop(e);
    buf_release(&e->batch);
    free(e);
}

bool webhook_endpoint_wants(const struct webhook_endpoint *e, enum webhook_event event)
{
    return (e->wanted & 1u << event) != 0;
}

void webhook_endpoint_stop(struct webhook_endpoint *e)
{
    e->is_stopped = true;
    deadline_disarm(e->setup->deadlines, &e->due);
    if (e->fetch) {
        fetch_cancel(e->fetch);
        e->fetch = NULL;
    }
}

bool webhook_endpoint_is_idle(const struct webhook_endpoint *e)
{
    return !e->is_storage_busy && e->n_appending == 0;
}

void webhook_endpoint_stats(const struct webhook_endpoint *e, struct webhooks_stats *stats)
{
    stats->n_events += e->stats.n_events;
    stats->n_delivered += e->stats.n_delivered;
    stats->n_requests += e->stats.n_requests;
    stats->n_failed_requests += e->stats.n_failed_requests;
    stats->n_dropped += e->stats.n_dropped;
    stats->n_waiting += (size_t)e->n_stored;
}
