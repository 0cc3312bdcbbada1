/* SPDX-License-Identifier: MIT */
/* Unit api is the way into the server API: who may come in, and which method is called. */
#include "protocols/api.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/json_span.h"
#include "protocols/api_batch.h"
#include "protocols/api_channels.h"
#include "protocols/api_clients.h"
#include "protocols/api_drain.h"
#include "protocols/api_feeds.h"
#include "protocols/api_publish.h"
#include "protocols/api_reply.h"

typedef void (*method_fn)(struct api_call *call, struct api_params *params);
static void api_rpc(struct api_call *call, struct api_params *params);

static const method_fn methods[N_API_METHODS] = {
    [API_BATCH] = api_batch,
    [API_BROADCAST] = api_broadcast,
    [API_CHANNELS] = api_channels,
    [API_DISCONNECT] = api_disconnect,
    [API_DRAIN] = api_drain,
    [API_FANOUT] = api_fanout,
    [API_FEED_GET] = api_feed_get,
    [API_FEED_PURGE] = api_feed_purge,
    [API_FEED_REFRESH] = api_feed_refresh,
    [API_FEED_RUNS] = api_feed_runs,
    [API_FEEDS] = api_feeds,
    [API_HISTORY] = api_history,
    [API_HISTORY_REMOVE] = api_history_remove,
    [API_INFO] = api_info,
    [API_PRESENCE] = api_presence,
    [API_PRESENCE_STATS] = api_presence_stats,
    [API_PUBLISH] = api_publish,
    [API_REFRESH] = api_refresh,
    [API_RPC] = api_rpc,
    [API_SUBSCRIBE] = api_subscribe,
    [API_UNSUBSCRIBE] = api_unsubscribe,
};

/* Centrifugo's RPC methods are built into it; there is none here. */
static void api_rpc(struct api_call *call, struct api_params *params)
{
    struct str method;
    if (!api_text(params, "method", &method) ||
        !(method.len > 0 || api_complain(params, "method", "the name of an RPC method"))) {
        api_answer_error(call, STATUS_INVALID, params->wrong);
    } else {
        api_answer_error(call, STATUS_NO_METHOD, "there are no RPC methods");
    }
}

enum api_method api_find(struct str name)
{
    enum api_method method = api_method_find(name);
    return method < N_API_METHODS && methods[method] ? method : N_API_METHODS;
}

/* Another configuration may have come while the calls of a batch are begun. */
static bool has_key(const struct api_call *call)
{
    return call->key->id == call->key_id;
}

static void deny(struct api_call *call)
{
    char text[192];
    if (!has_key(call)) {
        api_answer_error(call, STATUS_DENIED, "the key is not configured any more");
        return;
    }
    snprintf(text, sizeof(text), "the key \"%s\" is not for %s", call->key->name,
             api_method_names[call->method]);
    api_answer_error(call, STATUS_DENIED, text);
}

/* A batch is but a way to send commands, of which each is looked at. */
static bool is_admitted(const struct api_call *call)
{
    bool is_batch = call->method == API_BATCH;
    return is_batch || (has_key(call) && api_key_admits(call->key, call->method));
}

void api_begin(struct api_call *call)
{
    struct api_params params;
    call->begun_us = clock_monotonic_us();
    if (!is_admitted(call)) {
        deny(call);
        return;
    }
    if (hub_is_stopping(call->hub)) {
        api_answer_error(call, STATUS_CLOSED, "shutting down");
        return;
    }
    api_params_init(&params, call->params);
    methods[call->method](call, &params);
    api_params_release(&params);
}

/* --- the way of a request --- */

static bool read_body(struct http_request *request)
{
    struct str body = http_request_body(request);
    struct json_error wrong;
    if (json_check(body, &wrong) != STATUS_OK) {
        char text[160];
        snprintf(text, sizeof(text), "malformed JSON at byte %zu: expected %s\n", wrong.offset,
                 wrong.expected);
        api_reply_bad(request, text);
        return false;
    }
    if (json_kind(json_trim(body)) != JSON_KIND_OBJECT) {
        api_reply_bad(request, "expected a JSON object\n");
        return false;
    }
    return true;
}

static void reply_text(struct http_request *request, int status, const char *headers,
                       const char *text)
{
    http_reply(request, &(struct http_reply){.status = status,
                                             .content_type = "text/plain; charset=utf-8",
                                             .headers = headers,
                                             .body = str_of(text)});
}

/* NULL: it has been answered. */
static struct api_key *admit(struct api *api, struct http_request *request)
{
    if (http_request_method(request) != HTTP_POST) {
        reply_text(request, 405, "Allow: POST\r\n", "the API is called with POST\n");
        return NULL;
    }
    struct api_key *key = api_keys_find(&api->keys, request);
    if (!key) { /* as Centrifugo does: without a word to the stranger */
        http_reply(request, &(struct http_reply){.status = 401});
        return NULL;
    }
    http_request_set_key_name(request, str_of(key->name));
    if (hub_is_stopping(api->hub)) {
        api_reply_error(request, STATUS_CLOSED, "");
        return NULL;
    }
    return key;
}

static bool is_transport_mode(const struct api *api, const struct http_request *request)
{
    return api->options->error_mode == API_ERRORS_IN_TRANSPORT ||
           str_eq(http_request_header(request, HTTP_HEADER_ERROR_MODE), STR("transport"));
}

void api_handle(struct api *api, struct str name, struct http_request *request)
{
    struct api_key *key = admit(api, request);
    if (!key) {
        return;
    }
    enum api_method method = api_find(name);
    if (method == N_API_METHODS) {
        reply_text(request, 404, NULL, "the API has no such method\n");
    } else if (read_body(request)) {
        struct api_call *call = api_call_of_request(api->hub, request);
        call->api = api;
        call->key = key;
        call->key_id = key->id;
        call->method = method;
        call->is_transport_mode = is_transport_mode(api, request);
        api_begin(call);
    }
}

void api_handle_lines(struct api *api, struct http_request *request)
{
    struct api_key *key = admit(api, request);
    if (key) {
        struct api_call *call = api_call_of_request(api->hub, request);
        call->api = api;
        call->key = key;
        call->key_id = key->id;
        call->method = API_BATCH;
        call->begun_us = clock_monotonic_us();
        api_answer_lines(call);
    }
}
