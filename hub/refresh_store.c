/* SPDX-License-Identifier: MIT */
/* Unit refresh_store is what becomes of a run's document: compared with the last one, held for
 * min_interval, stored and published. What was held becomes a run of its own when its time comes,
 * which only has these steps. */
#include <stdlib.h>

#include "base/log.h"
#include "hub/channel.h"
#include "hub/hub_internal.h"
#include "hub/merge.h"
#include "hub/refresh_internal.h"

#define KEEP_ALIVE_MAX_MS INT64_C(3600000)

static bool differs(const struct refresh *r)
{
    const struct publication *last = r->instance->stored.document;
    struct str document = buf_str(&r->document);
    if (!last) {
        return true;
    }
    return r->feed->options->meta ? !merge_is_same(last->data, document)
                                  : !str_eq(last->data, document);
}

/* It is, or will be, published. */
static bool is_to_publish(const struct refresh *r)
{
    bool has_channel = r->instance->params.channel.len > 0;
    return has_channel && (r->is_changed || r->feed->options->push == FEED_PUSH_ALWAYS);
}

/* --- holding --- */

static void on_hold_over(struct deadline *deadline)
{
    refresh_publish_held(container_of(deadline, struct feed_instance, hold));
}

/* How long until it may be published; 0: now. */
static int64_t hold_ms(const struct refresh *r)
{
    const struct feed_instance *in = r->instance;
    int64_t interval_ms = r->feed->options->min_interval_ms;
    if (interval_ms == 0 || in->pushed_ms == 0 || r->hub->is_stopping || in->is_moving) {
        return 0;
    }
    int64_t left_ms = in->pushed_ms + interval_ms - loop_now_ms(r->hub->loop);
    return left_ms > 0 ? left_ms : 0;
}

void refresh_hold_again(struct feed_instance *in)
{
    deadline_arm(in->hub->deadlines, &in->hold, in->feed->options->min_interval_ms, on_hold_over);
}

static void hold(struct refresh *r, int64_t delay_ms)
{
    struct feed_instance *in = r->instance;
    r->is_held = true;
    feed_instance_set_held(in, publication_ref(r->publication), r->is_completed, r->time_ms);
    deadline_arm(r->hub->deadlines, &in->hold, delay_ms, on_hold_over);
}

/* What was held is older than this. Without a publication there is nothing to publish. */
enum status refresh_decide(struct refresh *r)
{
    struct feed_instance *in = r->instance;
    r->is_changed = differs(r);
    r->position = in->position;
    feed_instance_drop_held(in);
    if (!is_to_publish(r) && !r->is_changed) {
        return STATUS_OK;
    }
    r->publication = publication_create(buf_str(&r->document), STR_EMPTY, STR_EMPTY);
    if (!r->publication) {
        buf_append(&r->detail, str_of(status_name(STATUS_NO_MEMORY)));
        return STATUS_NO_MEMORY;
    }
    const struct namespace_options *ns = feed_instance_namespace(in);
    r->publication->delta = ns && ns->allows_delta; /* snapshots are what deltas are for */
    if (hold_ms(r) > 0) {
        hold(r, hold_ms(r));
    }
    return STATUS_OK;
}

void refresh_take_held(struct refresh *r)
{
    struct feed_instance *in = r->instance;
    r->publication = publication_ref(in->held.document);
    r->is_changed = true;
    r->is_completed = in->held.is_completed;
    r->time_ms = in->held.time_ms;
    r->position = in->position;
}

/* --- storing --- */

static struct storage_feed_value *values_to_store(struct refresh *r, size_t *ret_n)
{
    struct storage_feed_value *values = hub_allocate((r->n_parts + 1) * sizeof(*values));
    size_t n = 0;
    for (size_t i = 0; i < r->n_parts; i++) {
        const struct feed_value *value = &r->instance->values[i];
        const struct feed_text *condition = value->condition;
        if (value->text && !value->is_stored) {
            values[n++] = (struct storage_feed_value){
                .upstream = r->parts[i].result.name,
                .value = {value->text->bytes, value->text->len},
                .http_status = value->http_status,
                .time_ms = value->time_ms,
                .condition =
                    condition ? (struct str){condition->bytes, condition->len} : STR_EMPTY};
        }
    }
    *ret_n = n;
    return values;
}

/* The results, the snapshot and its publication, in one transaction. The texts are those of the
 * instance's memory, which nobody else changes while a run is under way. */
static void prepare_store(struct refresh *r)
{
    const struct feed_instance *in = r->instance;
    size_t n_values;
    struct storage_feed_value *values = values_to_store(r, &n_values);
    r->kept = (struct storage_feed_write){
        .feed = feed_name(r->feed),
        .params = feed_instance_params(in),
        .snapshot = r->publication ? r->publication->data : in->stored.document->data,
        .completed = r->is_completed,
        .time_ms = r->time_ms,
        .values = values,
        .n_values = n_values,
        .snapshot_limit = (uint64_t)r->feed->options->snapshot_limit,
    };
    r->append.feed = &r->kept;
}

void refresh_store(struct refresh *r, void (*done)(struct storage_append *append))
{
    const struct feed_instance *in = r->instance;
    const struct namespace_options *ns = feed_instance_namespace(in);
    if (r->publication && is_to_publish(r) && namespace_has_history(ns)) {
        r->append.channel = feed_instance_channel(in);
        r->append.data = r->publication->data;
        r->append.delta = r->publication->delta;
    }
    if (!r->feed->is_ad_hoc) {
        prepare_store(r);
    }
    /* What a feed remembers is forgotten as late as a channel's position would be. */
    r->append.retention = namespace_retention(r->hub->channel_options, ns);
    r->append.done = done;
    r->append.arg = r;
    storage_append(r->hub->storage, &r->append);
}

/* A run that found everything as it was leaves the file alone, but for now and then: what is not
 * written is forgotten after history_meta_ttl. */
bool refresh_is_worth_storing(const struct refresh *r)
{
    const struct feed_instance *in = r->instance;
    const struct namespace_options *ns = feed_instance_namespace(in);
    if (r->feed->is_ad_hoc) {
        return ns && namespace_has_history(ns);
    }
    int64_t meta_ttl_ms = namespace_retention(r->hub->channel_options, ns).meta_ttl_ms;
    int64_t due_ms = meta_ttl_ms / 100 < KEEP_ALIVE_MAX_MS ? meta_ttl_ms / 100 : KEEP_ALIVE_MAX_MS;
    bool has_new_value = false;
    for (size_t i = 0; i < r->n_parts; i++) {
        has_new_value |= in->values[i].text && !in->values[i].is_text_stored;
    }
    return r->publication || r->is_completed != in->was_written_completed || has_new_value ||
           r->time_ms - in->written_ms > due_ms;
}

/* --- the end --- */

static void push(struct refresh *r)
{
    struct feed_instance *in = r->instance;
    r->hub->n_publications++;
    in->pushed_ms = loop_now_ms(r->hub->loop);
    struct channel *channel = channel_find(r->hub, feed_instance_channel(in));
    if (!channel) {
        return;
    }
    bool has_history = r->append.channel.len > 0;
    r->publication->offset = has_history ? r->position.offset : 0;
    r->publication->time_ms = r->append.time_ms;
    channel_publish(channel, r->publication, has_history ? &r->position : NULL, NULL);
}

void refresh_settle(struct refresh *r)
{
    struct feed_instance *in = r->instance;
    if (r->append.feed) {
        in->written_ms = r->time_ms;
        in->was_written_completed = r->is_completed;
        for (size_t i = 0; i < r->n_parts; i++) {
            in->values[i].is_stored = in->values[i].text != NULL;
            in->values[i].is_text_stored = in->values[i].is_stored;
        }
    }
    in->position = r->position;
    struct publication *document =
        r->publication ? publication_ref(r->publication) : in->stored.document;
    feed_instance_set_stored(in, document, r->is_completed, r->time_ms);
    feed_instance_drop_held(in); /* it is what we published, or older */
    if (r->publication && is_to_publish(r)) {
        push(r);
    }
}
