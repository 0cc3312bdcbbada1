/* SPDX-License-Identifier: MIT */
/* Unit history reads back what a channel keeps, for clients and backends. */
#include <stdlib.h>

#include "hub/hub_internal.h"

struct history {
    struct hub *hub;
    struct storage_history read;
    struct deferred answer; /* of a refusal */
    enum status status;
    char epoch[STORAGE_EPOCH_SIZE];
    bool has_epoch;
    history_done_fn done;
    void *arg;
    size_t channel_len;
    char channel[];
};

static void finish(struct history *h)
{
    storage_history_release(&h->read);
    h->hub->n_operations--;
    free(h);
}

static void read_done(struct storage_history *read)
{
    struct history *h = read->arg;
    enum status status = read->status;
    if (status == STATUS_OK && h->has_epoch && strcmp(h->epoch, read->top.epoch) != 0) {
        status = STATUS_UNRECOVERABLE;
    }
    h->done(h->arg, status, read);
    finish(h);
}

static void refuse(void *arg)
{
    struct history *h = arg;
    h->done(h->arg, h->status, &h->read);
    finish(h);
}

static enum status check(struct hub *hub, const struct history_request *request,
                         const struct namespace_options **ret_ns)
{
    if (hub->is_stopping) {
        return STATUS_CLOSED;
    }
    enum status status = namespace_find(hub->channel_options, request->channel, ret_ns);
    if (status != STATUS_OK) {
        return status;
    }
    if (!namespace_has_history(*ret_ns)) {
        return STATUS_NOT_AVAILABLE;
    }
    bool is_before_first = request->reverse && request->has_since && request->since == 0;
    return request->limit < -1 || is_before_first ? STATUS_INVALID : STATUS_OK;
}

static size_t read_limit(const struct history_request *request, const struct namespace_options *ns)
{
    int64_t max = ns->history_size;
    if (request->max_limit > 0 && request->max_limit < max) {
        max = request->max_limit;
    }
    return (size_t)(request->limit < 0 || request->limit > max ? max : request->limit);
}

static void start_read(struct history *h, const struct history_request *request,
                       const struct namespace_options *ns)
{
    h->has_epoch = request->epoch.len > 0;
    if (request->epoch.len < sizeof(h->epoch)) { /* a longer one fits no stream */
        memcpy(h->epoch, request->epoch.ptr ? request->epoch.ptr : "", request->epoch.len);
    }
    h->read = (struct storage_history){
        .channel = {h->channel, h->channel_len},
        .retention = namespace_retention(h->hub->channel_options, ns),
        .since = request->since,
        .reverse = request->reverse,
        .limit = read_limit(request, ns),
        .max_bytes = request->max_bytes,
        .done = read_done,
        .arg = h,
    };
    storage_history(h->hub->storage, &h->read);
}

void hub_history(struct hub *hub, const struct history_request *request, history_done_fn done,
                 void *arg)
{
    const struct namespace_options *ns = NULL;
    enum status status = check(hub, request, &ns);
    struct str name = status == STATUS_OK ? request->channel : STR_EMPTY;
    struct history *h = hub_allocate(sizeof(*h) + name.len + 1);
    h->hub = hub;
    h->status = status;
    h->done = done;
    h->arg = arg;
    h->answer = (struct deferred){.fn = refuse, .arg = h};
    h->channel_len = name.len;
    memcpy(h->channel, name.ptr ? name.ptr : "", name.len);
    hub->n_operations++;
    if (status == STATUS_OK) {
        start_read(h, request, ns);
    } else {
        loop_defer(hub->loop, &h->answer);
    }
}
