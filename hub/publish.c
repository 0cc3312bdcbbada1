/* SPDX-License-Identifier: MIT */
/* Unit publish is the way of a publication: checks, storage (where the channel keeps history or an
 * idempotency key is to be remembered), subscribers, answer. The answer comes after the commit, so
 * that nothing acknowledged can be lost. */
#include <stdlib.h>

#include "base/json_span.h"
#include "hub/channel.h"
#include "hub/hub_internal.h"

struct publish {
    struct hub *hub;
    struct publication *publication;
    struct storage_append append;
    struct deferred answer;        /* of what the storage has no part in, or a refusal */
    struct fan_out_report *report; /* NULL: not asked for */
    enum status status;
    publish_done_fn done;
    void *arg;
    struct str channel;
    struct str idempotency_key;
    struct str version_epoch;
    char texts[]; /* of the three */
};

static void push(struct publish *p, const struct storage_position *position)
{
    p->hub->n_publications++;
    struct channel *channel = channel_find(p->hub, p->channel);
    if (channel) {
        channel_publish(channel, p->publication, position, p->report);
    }
}

static void finish(struct publish *p)
{
    p->hub->n_operations--;
    publication_unref(p->publication);
    free(p->report);
    free(p);
}

static void answer(struct publish *p, enum status status)
{
    bool is_reported = status == STATUS_OK && p->report;
    p->done(p->arg, status, &p->append.position, is_reported ? &p->report->counts : NULL);
    finish(p);
}

static void answer_with_report(void *arg)
{
    answer(arg, STATUS_OK);
}

/* At once, or after the subscribers. */
static void answer_in_time(struct publish *p, enum status status)
{
    if (!p->report || !p->report->is_under_way) {
        answer(p, status);
    }
}

static void committed(struct storage_append *append)
{
    struct publish *p = append->arg;
    bool has_position = append->retention.size > 0;
    if (append->status == STATUS_OK && append->suppressed == STORAGE_NOT_SUPPRESSED) {
        p->publication->offset = has_position ? append->position.offset : 0;
        p->publication->time_ms = append->time_ms;
        push(p, has_position ? &append->position : NULL);
    }
    answer_in_time(p, append->status);
}

static void answer_without_storage(void *arg)
{
    struct publish *p = arg;
    if (p->status == STATUS_OK) {
        push(p, NULL);
    }
    answer_in_time(p, p->status);
}

/* retention: all zero where only the idempotency key is kept. A version counts in a stream only. */
static void start_append(struct publish *p, const struct storage_retention *retention,
                         uint64_t version)
{
    bool is_kept = retention->size > 0;
    p->append = (struct storage_append){
        .channel = p->channel,
        .retention = *retention,
        .data = p->publication->data,
        .info = p->publication->info,
        .tags = p->publication->tags,
        .delta = p->publication->delta,
        .idempotency_key = p->idempotency_key,
        .version = is_kept ? version : 0,
        .version_epoch = is_kept ? p->version_epoch : STR_EMPTY,
        .done = committed,
        .arg = p,
    };
    storage_append(p->hub->storage, &p->append);
}

static enum status check_format(const struct publish_request *request,
                                const struct namespace_options *ns)
{
    struct str data = request->text ? request->text->data : json_trim(request->data);
    bool is_wrong =
        ns->publication_data_format == DATA_JSON_OBJECT && json_kind(data) != JSON_KIND_OBJECT;
    return is_wrong ? STATUS_WRONG_FORMAT : STATUS_OK;
}

static enum status check(struct hub *hub, const struct publish_request *request,
                         const struct namespace_options **ret_ns)
{
    if (hub->is_stopping) {
        return STATUS_CLOSED;
    }
    if (!request->text && request->data.len == 0) {
        return STATUS_INVALID;
    }
    if (request->idempotency_key.len > PUBLISH_KEY_MAX_BYTES ||
        request->version_epoch.len > PUBLISH_KEY_MAX_BYTES || request->version > INT64_MAX) {
        return STATUS_INVALID;
    }
    enum status status = namespace_find(hub->channel_options, request->channel, ret_ns);
    return status == STATUS_OK ? check_format(request, *ret_ns) : status;
}

static struct str copy(char **at, struct str text)
{
    struct str copied = {*at, text.len};
    if (text.len > 0) {
        memcpy(*at, text.ptr, text.len);
        *at += text.len;
    }
    return copied;
}

static struct publish *create(struct hub *hub, const struct publish_request *request,
                              publish_done_fn done, void *arg)
{
    size_t n_bytes =
        request->channel.len + request->idempotency_key.len + request->version_epoch.len;
    struct publish *p = hub_allocate(sizeof(*p) + n_bytes);
    char *at = p->texts;
    p->hub = hub;
    p->done = done;
    p->arg = arg;
    p->answer = (struct deferred){.fn = answer_without_storage, .arg = p};
    p->channel = copy(&at, request->channel);
    p->idempotency_key = copy(&at, request->idempotency_key);
    p->version_epoch = copy(&at, request->version_epoch);
    return p;
}

static enum status make_publication(struct publish *p, const struct publish_request *request,
                                    const struct namespace_options *ns)
{
    p->publication = request->text
                         ? publication_share(request->text)
                         : publication_create(request->data, request->info, request->tags);
    if (!p->publication) {
        return STATUS_NO_MEMORY;
    }
    p->publication->delta = request->delta || ns->delta_publish;
    if (request->report) {
        p->report = hub_allocate(sizeof(*p->report));
        *p->report = (struct fan_out_report){.done = answer_with_report, .arg = p};
    }
    return STATUS_OK;
}

void hub_publish(struct hub *hub, const struct publish_request *request, publish_done_fn done,
                 void *arg)
{
    const struct publish_request nothing = {0};
    const struct namespace_options *ns = NULL;
    enum status status = check(hub, request, &ns);
    struct publish *p = create(hub, status == STATUS_OK ? request : &nothing, done, arg);
    hub->n_operations++;
    p->status = status == STATUS_OK ? make_publication(p, request, ns) : status;
    bool is_kept = p->status == STATUS_OK && namespace_has_history(ns) && !request->skip_history;
    struct storage_retention retention = {0};
    if (is_kept) {
        retention = namespace_retention(hub->channel_options, ns);
    }
    if (is_kept || (p->status == STATUS_OK && p->idempotency_key.len > 0)) {
        start_append(p, &retention, request->version);
    } else {
        loop_defer(hub->loop, &p->answer);
    }
}
