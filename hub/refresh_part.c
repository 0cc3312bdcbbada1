/* SPDX-License-Identifier: MIT */
/* Unit refresh_part is one upstream of a run: whether it has to be asked, and what becomes of the
 * answer or of its absence. */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/json_span.h"
#include "hub/hub_internal.h"
#include "hub/merge.h"
#include "hub/refresh_internal.h"

#define SHAPED_MAX_BYTES ((size_t)32 << 20)
#define REST_MAX_S       INT64_C(86400)       /* no word of an upstream silences it for longer */
#define ANSWER_DEPTH_MAX (JSON_DEPTH_MAX - 2) /* `group` and the document are one level each */

const char *feed_outcome_name(enum feed_outcome outcome)
{
    static const char *const names[N_FEED_OUTCOMES] = {
        [FEED_FRESH] = "fresh",
        [FEED_CACHED] = "cached",
        [FEED_STALE] = "stale",
        [FEED_TIMEOUT] = "timeout",
        [FEED_HTTP_ERROR] = "http_error",
        [FEED_DNS_ERROR] = "dns_error",
        [FEED_CONNECT_ERROR] = "connect_error",
        [FEED_TLS_ERROR] = "tls_error",
        [FEED_TOO_LARGE] = "too_large",
        [FEED_INVALID_JSON] = "invalid_json",
        [FEED_REFUSED] = "refused",
        [FEED_OVERLOADED] = "overloaded",
        [FEED_RATE_LIMITED] = "rate_limited",
        [FEED_BREAKER_OPEN] = "breaker_open",
        [FEED_SKIPPED] = "skipped",
    };
    return names[outcome];
}

static enum feed_outcome outcome_of(enum upstream_outcome outcome)
{
    static const enum feed_outcome outcomes[N_UPSTREAM_OUTCOMES] = {
        [UPSTREAM_OK] = FEED_FRESH,
        [UPSTREAM_NOT_MODIFIED] = FEED_FRESH,
        [UPSTREAM_TIMEOUT] = FEED_TIMEOUT,
        [UPSTREAM_HTTP_ERROR] = FEED_HTTP_ERROR,
        [UPSTREAM_DNS_ERROR] = FEED_DNS_ERROR,
        [UPSTREAM_CONNECT_ERROR] = FEED_CONNECT_ERROR,
        [UPSTREAM_TLS_ERROR] = FEED_TLS_ERROR,
        [UPSTREAM_TOO_LARGE] = FEED_TOO_LARGE,
        [UPSTREAM_REFUSED] = FEED_REFUSED,
        [UPSTREAM_OVERLOADED] = FEED_OVERLOADED,
        [UPSTREAM_RATE_LIMITED] = FEED_RATE_LIMITED,
        [UPSTREAM_BREAKER_OPEN] = FEED_BREAKER_OPEN,
    };
    return outcomes[outcome];
}

static struct feed_value *value_of(const struct refresh_part *p)
{
    return &p->refresh->instance->values[p->index];
}

static const struct feed_upstream_options *options_of(const struct refresh_part *p)
{
    return p->upstream->options;
}

void refresh_part_init(struct refresh_part *p, struct refresh *r, size_t index)
{
    p->refresh = r;
    p->upstream = &r->feed->upstreams[index];
    p->index = index;
    p->result.name = str_of(options_of(p)->name);
    p->result.age_ms = -1;
    if (value_of(p)->is_told_to_wait) { /* until it says something else */
        p->is_told_to_wait = true;
        p->not_before_ms = value_of(p)->not_before_ms;
    }
    buf_init(&p->shaped, SHAPED_MAX_BYTES);
}

void refresh_part_release(struct refresh_part *p)
{
    feed_text_unref(p->text);
    feed_text_unref(p->condition);
    buf_release(&p->shaped);
}

bool refresh_part_is_fresh(const struct refresh_part *p)
{
    return p->result.outcome == FEED_FRESH || p->result.outcome == FEED_CACHED;
}

/* --- the end of a part --- */

static void set_error(struct refresh_part *p, struct str error)
{
    size_t len = error.len < sizeof(p->error) ? error.len : sizeof(p->error);
    memcpy(p->error, error.ptr ? error.ptr : "", len);
    p->result.error = (struct str){p->error, len};
}

static void set_text(struct refresh_part *p, struct feed_text *text, int64_t time_ms)
{
    feed_text_unref(p->text);
    p->text = text;
    p->time_ms = time_ms;
}

/* The last good value, where there is one that is not too old. */
static void use_last(struct refresh_part *p)
{
    const struct feed_value *value = value_of(p);
    int64_t ttl_ms = options_of(p)->stale_ttl_ms;
    bool is_good = ttl_ms == 0 || clock_wall_ms() - value->time_ms <= ttl_ms;
    if (options_of(p)->on_failure == FEED_ON_FAILURE_STALE && value->text && is_good &&
        refresh_request_has_value(p)) {
        set_text(p, feed_text_ref(value->text), value->time_ms);
        p->result.outcome = FEED_STALE;
    }
}

static void part_done(struct refresh_part *p)
{
    p->state = PART_DONE;
    p->call = NULL;
    if (p->text) {
        p->result.age_ms = clock_wall_ms() - p->time_ms;
        p->result.age_ms = p->result.age_ms > 0 ? p->result.age_ms : 0;
    }
    join_complete(p->slot);
}

static void fail(struct refresh_part *p, enum feed_outcome why, struct str error)
{
    p->result.outcome = why;
    p->result.failure = why;
    set_error(p, error);
    use_last(p);
    part_done(p);
}

/* --- answers --- */

/* With respect_cache: when it is to be asked again. */
static void read_times(struct refresh_part *p, const struct fetch_head *head, bool is_good)
{
    int64_t wait_s = is_good ? head->max_age_s : head->retry_after_s;
    wait_s = wait_s < REST_MAX_S ? wait_s : REST_MAX_S;
    p->is_told_to_wait = !is_good && wait_s > 0;
    p->not_before_ms = wait_s > 0 ? loop_now_ms(p->refresh->hub->loop) + wait_s * 1000 : 0;
}

/* The body is the call's: what is used of it is copied. */
static void take_body(struct refresh_part *p, const struct upstream_result *result)
{
    struct json_error wrong;
    char error[120];
    if (json_check_depth(result->body, ANSWER_DEPTH_MAX, &wrong) != STATUS_OK) {
        snprintf(error, sizeof(error), "byte %zu: expected %s", wrong.offset, wrong.expected);
        fail(p, FEED_INVALID_JSON, str_of(error));
        return;
    }
    struct str value;
    if (merge_select(result->body, str_of(options_of(p)->select), &value) != STATUS_OK) {
        snprintf(error, sizeof(error), "nothing lies at %.80s", options_of(p)->select);
        fail(p, FEED_INVALID_JSON, str_of(error));
        return;
    }
    struct feed_text *text = feed_text_create(value);
    if (!text) {
        fail(p, FEED_TOO_LARGE, STR("out of memory"));
        return;
    }
    set_text(p, text, clock_wall_ms());
    p->condition = refresh_request_condition(p, &result->head);
    p->is_new = true;
    part_done(p);
}

/* As it was: no parsing, and nothing to write. Who says so unasked means another request than what
 * we remember was the answer to. */
static void take_not_modified(struct refresh_part *p)
{
    const struct feed_value *value = value_of(p);
    if (!p->is_conditional) {
        fail(p, FEED_HTTP_ERROR, STR("304, which was not asked for"));
        return;
    }
    p->refresh->feed->stats.n_not_modified++;
    set_text(p, feed_text_ref(value->text), clock_wall_ms());
    part_done(p);
}

static void start_dependents(struct refresh *r);

static void answered(void *arg, const struct upstream_result *result)
{
    struct refresh_part *p = arg;
    struct feed_upstream_result *out = &p->result;
    bool is_good = result->outcome == UPSTREAM_OK || result->outcome == UPSTREAM_NOT_MODIFIED;
    out->http_status = result->head.http_status;
    out->duration_us = result->duration_us;
    out->queue_us = result->queue_us;
    out->dns_us = result->dns_us;
    out->connect_us = result->connect_us;
    out->first_byte_us = result->first_byte_us;
    out->n_bytes = result->n_bytes;
    out->n_attempts = result->n_attempts;
    out->outcome = outcome_of(result->outcome);
    read_times(p, &result->head, is_good);
    if (result->outcome == UPSTREAM_OK) {
        take_body(p, result);
    } else if (is_good) {
        take_not_modified(p);
    } else {
        fail(p, outcome_of(result->outcome), str_of(result->error));
    }
    start_dependents(p->refresh);
}

/* --- asking, or not --- */

/* Its last answer is still good, or it asked for rest. */
static bool may_rest(struct refresh_part *p)
{
    const struct refresh *r = p->refresh;
    const struct feed_value *value = value_of(p);
    if (r->trigger != REFRESH_BY_SCHEDULE || !r->feed->options->refresh.respect_cache ||
        value->not_before_ms <= loop_now_ms(r->hub->loop)) {
        return false;
    }
    if (value->is_told_to_wait) {
        fail(p, FEED_RATE_LIMITED, STR("it asked for rest (Retry-After)"));
        return true;
    }
    if (!value->text || !refresh_request_has_value(p)) {
        return false;
    }
    p->not_before_ms = value->not_before_ms;
    set_text(p, feed_text_ref(value->text), value->time_ms);
    p->result.outcome = FEED_CACHED;
    part_done(p);
    return true;
}

static void start_part(struct refresh_part *p)
{
    char error[sizeof(p->error)] = "";
    struct request_text text = {.n_headers = 0};
    enum status status = refresh_request_make(p, &text, error, sizeof(error));
    if (status == STATUS_OK && !may_rest(p)) {
        p->state = PART_ASKING;
        status = refresh_request_send(p, &text, answered);
    }
    if (status == STATUS_INVALID || status == STATUS_TOO_LARGE) {
        fail(p, FEED_SKIPPED, str_of(error));
    } else if (status != STATUS_OK) {
        fail(p, FEED_OVERLOADED, str_of(status_name(status)));
    }
    request_text_release(&text);
}

static bool has_needs_met(const struct refresh_part *p)
{
    for (size_t i = 0; i < p->upstream->n_needs; i++) {
        if (p->refresh->parts[p->upstream->needs[i]].state != PART_DONE) {
            return false;
        }
    }
    return true;
}

/* One that fails at once may be what another waits for. */
void refresh_parts_start(struct refresh *r)
{
    bool has_started = true;
    while (has_started) {
        has_started = false;
        for (size_t i = 0; i < r->n_parts; i++) {
            struct refresh_part *p = &r->parts[i];
            if (p->state == PART_WAITING && has_needs_met(p)) {
                has_started = r->feed->has_needs;
                start_part(p);
            }
        }
    }
}

static void start_dependents(struct refresh *r)
{
    if (r->feed->has_needs && r->state == REFRESH_FETCHING) {
        refresh_parts_start(r);
    }
}

void refresh_parts_cancel(struct refresh *r)
{
    for (size_t i = 0; i < r->n_parts; i++) {
        struct refresh_part *p = &r->parts[i];
        if (p->state == PART_DONE) {
            continue;
        }
        if (p->call) {
            p->result.n_attempts = upstream_n_attempts(p->call);
            upstream_cancel(p->call);
            p->result.duration_us = clock_monotonic_us() - r->started_us;
        }
        fail(p, FEED_TIMEOUT, STR("the feed's deadline was over"));
    }
}

/* --- memory --- */

static bool is_same(const struct feed_text *a, const struct feed_text *b)
{
    return a == b || (a && b && a->len == b->len && memcmp(a->bytes, b->bytes, a->len) == 0);
}

static void remember_text(struct refresh_part *p, struct feed_value *value)
{
    bool is_same_text = is_same(p->text, value->text);
    if (is_same_text && is_same(p->condition, value->condition)) {
        return;
    }
    value->is_stored = false;
    value->is_text_stored = value->is_text_stored && is_same_text;
    feed_text_unref(value->text);
    feed_text_unref(value->condition);
    value->text = feed_text_ref(p->text);
    value->condition = feed_text_ref(p->condition);
}

void refresh_parts_remember(struct refresh *r)
{
    for (size_t i = 0; i < r->n_parts; i++) {
        struct refresh_part *p = &r->parts[i];
        struct feed_value *value = value_of(p);
        value->not_before_ms = p->not_before_ms;
        value->is_told_to_wait = p->is_told_to_wait;
        if (p->is_new) {
            remember_text(p, value);
            value->http_status = p->result.http_status;
        }
        if (p->result.outcome == FEED_FRESH) {
            value->time_ms = p->time_ms;
        }
    }
    feed_instance_count(r->instance); /* a run that fails keeps them, too */
}
