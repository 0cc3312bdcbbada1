/* SPDX-License-Identifier: MIT */
/* Unit publish is the way of a publication: checks, storage (where the channel keeps history),
 * subscribers, answer. The answer comes after the commit, so that nothing acknowledged can be lost.
 */
#include <stdlib.h>

#include "base/log.h"
#include "hub/channel.h"
#include "hub/hub_internal.h"

struct publish {
    struct hub *hub;
    struct publication *publication;
    struct storage_append append;
    struct deferred answer; /* of a channel without history, or a refusal */
    enum status status;
    publish_done_fn done;
    void *arg;
    size_t channel_len;
    char channel[];
};

static struct str channel_of(const struct publish *p)
{
    return (struct str){p->channel, p->channel_len};
}

static void push(struct publish *p, const struct storage_position *position)
{
    p->hub->n_publications++;
    struct channel *channel = channel_find(p->hub, channel_of(p));
    if (channel) {
        channel_publish(channel, p->publication, position);
    }
}

static void finish(struct publish *p)
{
    p->hub->n_operations--;
    publication_unref(p->publication);
    free(p);
}

static void committed(struct storage_append *append)
{
    struct publish *p = append->arg;
    if (append->status == STATUS_OK) {
        p->publication->offset = append->position.offset;
        push(p, &append->position);
    }
    p->done(p->arg, append->status, &append->position);
    finish(p);
}

static void answer_without_history(void *arg)
{
    struct publish *p = arg;
    const struct storage_position none = {0};
    if (p->status == STATUS_OK) {
        push(p, NULL);
    }
    p->done(p->arg, p->status, &none);
    finish(p);
}

static void start_append(struct publish *p, const struct namespace_options *ns)
{
    p->append = (struct storage_append){
        .channel = channel_of(p),
        .retention = namespace_retention(p->hub->channel_options, ns),
        .data = p->publication->data,
        .info = p->publication->info,
        .tags = p->publication->tags,
        .done = committed,
        .arg = p,
    };
    storage_append(p->hub->storage, &p->append);
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
    return namespace_find(hub->channel_options, request->channel, ret_ns);
}

void hub_publish(struct hub *hub, const struct publish_request *request, publish_done_fn done,
                 void *arg)
{
    const struct namespace_options *ns = NULL;
    enum status status = check(hub, request, &ns);
    struct str name = status == STATUS_OK ? request->channel : STR_EMPTY;
    struct publish *p = hub_allocate(sizeof(*p) + name.len + 1);
    p->hub = hub;
    p->done = done;
    p->arg = arg;
    p->status = status;
    p->answer = (struct deferred){.fn = answer_without_history, .arg = p};
    p->channel_len = name.len;
    memcpy(p->channel, name.ptr ? name.ptr : "", name.len);
    hub->n_operations++;
    if (status == STATUS_OK) {
        p->publication = request->text
                             ? publication_share(request->text)
                             : publication_create(request->data, request->info, request->tags);
        p->status = p->publication ? STATUS_OK : STATUS_NO_MEMORY;
    }
    if (p->status == STATUS_OK && namespace_has_history(ns) && !request->skip_history) {
        start_append(p, ns);
    } else {
        loop_defer(hub->loop, &p->answer);
    }
}
