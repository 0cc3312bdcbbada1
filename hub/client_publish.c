/* SPDX-License-Identifier: MIT */
/* Unit client_publish is the way of a client's publication: permission (the backend's, or the
 * namespace's options), then the way of all publications. */
#include <stdlib.h>

#include "hub/client_internal.h"
#include "hub/hub_internal.h"

#define INFO_MAX_BYTES ((size_t)1 << 20)

struct client_publish {
    struct hub *hub;
    struct client *client;
    client_done_fn done;
    void *arg;
    enum status status;
    struct deferred refuse;
    char *info; /* of the client, as the channel is to know it */
    size_t channel_len;
    size_t data_len;
    char texts[]; /* of the two */
};

static struct str channel_of(const struct client_publish *p)
{
    return (struct str){p->texts, p->channel_len};
}

static struct str data_of(const struct client_publish *p)
{
    return (struct str){p->texts + p->channel_len, p->data_len};
}

static void end(struct client_publish *p, enum status status, const struct client_error *error)
{
    bool is_there = client_call_ends(p->client) && client_is_there(p->client);
    p->done(p->arg, is_there ? status : STATUS_CLOSED, is_there ? error : NULL);
    p->hub->n_operations--;
    free(p->info);
    free(p);
}

static void published(void *arg, enum status status, const struct storage_position *position,
                      const struct delivery_report *report)
{
    (void)position;
    (void)report;
    end(arg, status, NULL);
}

static void publish(struct client_publish *p, const struct proxy_answer *answer)
{
    struct publish_request request = {
        .channel = channel_of(p), .data = data_of(p), .info = str_of(p->info)};
    if (answer) {
        request.data = answer->data.len > 0 ? answer->data : request.data;
        request.skip_history = answer->skip_history;
        request.tags = answer->tags;
        request.idempotency_key = answer->idempotency_key;
        request.delta = answer->delta;
        request.version = answer->version;
        request.version_epoch = answer->version_epoch;
    }
    hub_publish(p->hub, &request, published, p);
}

static void asked(void *arg, const struct proxy_answer *answer)
{
    struct client_publish *p = arg;
    if (answer->verdict == PROXY_RESULT) {
        publish(p, answer);
        return;
    }
    if (answer->verdict == PROXY_DISCONNECT) {
        client_disconnect_with(p->client, answer->code, str_of(answer->message));
        end(p, STATUS_CLOSED, NULL);
        return;
    }
    struct client_error error = {
        .code = answer->code, .message = answer->message, .is_temporary = answer->is_temporary};
    end(p, STATUS_REFUSED, &error);
}

static void refuse(void *arg)
{
    struct client_publish *p = arg;
    end(p, p->status, NULL);
}

static enum status ask(struct client_publish *p, struct proxy *proxy)
{
    char uuid[RNG_UUID_SIZE];
    struct proxy_request request = {
        .event = PROXY_PUBLISH, .channel = channel_of(p), .data = data_of(p)};
    hub_proxies_introduce(&request, p->client, uuid);
    struct proxy_call *call; /* an answer is waited for also when the client goes */
    return proxy_ask(proxy, &request, asked, p, &call) == STATUS_OK ? STATUS_OK : STATUS_INTERNAL;
}

static bool fill_info(struct client_publish *p)
{
    struct channel *channel = channel_find(p->hub, channel_of(p));
    struct buf info;
    buf_init(&info, INFO_MAX_BYTES);
    client_append_info(p->client, channel, &info);
    p->info = buf_take(&info);
    buf_release(&info);
    return p->info;
}

/* STATUS_OK: it is on its way. */
static enum status start(struct client_publish *p)
{
    const struct namespace_options *ns;
    enum status status = namespace_find(p->hub->channel_options, channel_of(p), &ns);
    if (status != STATUS_OK) {
        return status;
    }
    if (!fill_info(p)) {
        return STATUS_NO_MEMORY;
    }
    struct proxy *proxy = hub_proxies_of_channel(p->hub->proxies, PROXY_PUBLISH, ns);
    if (proxy) {
        return ask(p, proxy);
    }
    status = client_may(p->client, channel_of(p), ACCESS_PUBLISH);
    if (status == STATUS_OK) {
        publish(p, NULL);
    }
    return status;
}

void client_publish(struct client *c, struct str channel, struct str data, client_done_fn done,
                    void *arg)
{
    struct client_publish *p = malloc(sizeof(*p) + channel.len + data.len);
    bool has_room = p;
    if (!has_room) { /* the payload is large, the refusal is not */
        p = hub_allocate(sizeof(*p));
        channel = data = STR_EMPTY;
    }
    *p = (struct client_publish){.hub = c->hub,
                                 .client = c,
                                 .done = done,
                                 .arg = arg,
                                 .channel_len = channel.len,
                                 .data_len = data.len};
    if (channel.len > 0) {
        memcpy(p->texts, channel.ptr, channel.len);
    }
    if (data.len > 0) {
        memcpy(p->texts + channel.len, data.ptr, data.len);
    }
    client_call_begins(c);
    c->hub->n_operations++;
    p->status = has_room ? start(p) : STATUS_NO_MEMORY;
    if (p->status != STATUS_OK) {
        p->refuse = (struct deferred){.fn = refuse, .arg = p};
        loop_defer(c->hub->loop, &p->refuse);
    }
}
