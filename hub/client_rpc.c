/* SPDX-License-Identifier: MIT */
/* Unit client_rpc hands a client's procedure calls to the backend. */
#include <stdlib.h>

#include "hub/client_internal.h"
#include "hub/hub_internal.h"

struct client_rpc {
    struct hub *hub;
    struct client *client;
    rpc_done_fn done;
    void *arg;
    enum status status;
    struct deferred refuse;
};

static void end(struct client_rpc *r, enum status status, const struct client_error *error,
                struct str data)
{
    bool is_there = client_call_ends(r->client) && client_is_there(r->client);
    r->done(r->arg, is_there ? status : STATUS_CLOSED, is_there ? error : NULL, data);
    r->hub->n_operations--;
    free(r);
}

static void asked(void *arg, const struct proxy_answer *answer)
{
    struct client_rpc *r = arg;
    if (answer->verdict == PROXY_RESULT) {
        end(r, STATUS_OK, NULL, answer->data);
        return;
    }
    if (answer->verdict == PROXY_DISCONNECT) {
        client_disconnect_with(r->client, answer->code, str_of(answer->message));
        end(r, STATUS_CLOSED, NULL, STR_EMPTY);
        return;
    }
    struct client_error error = {
        .code = answer->code, .message = answer->message, .is_temporary = answer->is_temporary};
    end(r, STATUS_REFUSED, &error, STR_EMPTY);
}

static void refuse(void *arg)
{
    struct client_rpc *r = arg;
    end(r, r->status, NULL, STR_EMPTY);
}

static enum status ask(struct client_rpc *r, struct str method, struct str data)
{
    struct proxy *proxy;
    enum status status = hub_proxies_of_method(r->hub->proxies, method, &proxy);
    if (status != STATUS_OK) {
        return status;
    }
    char uuid[RNG_UUID_SIZE];
    struct proxy_request request = {.event = PROXY_RPC, .method = method, .data = data};
    hub_proxies_introduce(&request, r->client, uuid);
    struct proxy_call *call; /* an answer is waited for also when the client goes */
    return proxy_ask(proxy, &request, asked, r, &call) == STATUS_OK ? STATUS_OK : STATUS_INTERNAL;
}

void client_rpc(struct client *c, struct str method, struct str data, rpc_done_fn done, void *arg)
{
    struct client_rpc *r = hub_allocate(sizeof(*r));
    *r = (struct client_rpc){.hub = c->hub, .client = c, .done = done, .arg = arg};
    client_call_begins(c);
    c->hub->n_operations++;
    r->status = ask(r, method, data);
    if (r->status != STATUS_OK) {
        r->refuse = (struct deferred){.fn = refuse, .arg = r};
        loop_defer(c->hub->loop, &r->refuse);
    }
}
