/* SPDX-License-Identifier: MIT */
/* Unit feed_hooks has no state. Who cannot sign learns nothing but whether the feed has a hook. */
#include "protocols/feed_hooks.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/json_span.h"
#include "base/log.h"
#include "hub/webhook_signature.h"
#include "protocols/api_params.h"
#include "protocols/api_reply.h"

enum status feed_hooks_verify(struct str key, int64_t now_s, struct str body, struct str signature,
                              struct str hub_signature, const char **ret_why)
{
    enum status status = signature.len > 0 ? webhook_verify(key, now_s, body, signature)
                                           : webhook_verify_body(key, body, hub_signature);
    switch (status) {
    case STATUS_OK: break;
    case STATUS_EXPIRED: *ret_why = "the signature's time is more than 300 s from now"; break;
    case STATUS_UNAUTHORIZED:
        *ret_why = "the signature is not that of this body with the feed's hook_secret";
        break;
    default:
        *ret_why = "expected X-Belfry-Signature: t=<unix seconds>,v1=<hex of the HMAC-SHA256 of "
                   "'<t>.<body>'>, or X-Hub-Signature-256: sha256=<hex of that of the body>";
        break;
    }
    return status;
}

static int http_status_of(enum status status)
{
    switch (status) {
    case STATUS_NOT_FOUND: return 404;
    case STATUS_INVALID: return 400;
    case STATUS_OVERLOADED: return 503;
    default: return 500;
    }
}

static void refuse(struct http_request *request, enum status status, const char *detail)
{
    if (status == STATUS_CLOSED) {
        api_reply_error(request, status, detail);
    } else {
        api_reply_error_as(request, http_status_of(status), status, detail);
    }
}

static void told(void *arg, enum status status, const char *detail,
                 const struct feed_result *result)
{
    struct http_request *request = arg;
    (void)result;
    if (status != STATUS_OK) {
        refuse(request, status, detail);
        return;
    }
    http_reply(request, &(struct http_reply){
                            .status = 202, .content_type = "application/json", .body = STR("{}")});
}

/* Of the body nothing but "params" is looked at: who sends it has words of his own in it. */
static void tell(struct hub *hub, struct str name, struct http_request *request)
{
    struct str body = json_trim(http_request_body(request));
    struct str values = STR_EMPTY;
    struct api_params params;
    if (body.len == 0) {
        body = STR("{}");
    }
    if (json_check(body, NULL) != STATUS_OK || json_kind(body) != JSON_KIND_OBJECT) {
        refuse(request, STATUS_INVALID, "the body: expected a JSON object, or nothing");
        return;
    }
    api_params_init(&params, body);
    if (api_object(&params, "params", &values)) {
        hub_feed_changed(hub, name, values, told, request);
    } else {
        refuse(request, STATUS_INVALID, params.wrong);
    }
    api_params_release(&params);
}

static void log_refusal(struct str name, const char *why)
{
    static struct log_limit limit;
    if (log_permits(&limit)) {
        log_info("feed", "hook_refused", log_str("feed", name), log_s("why", why),
                 log_i("left_out", limit.n_left_out));
    }
}

static void refuse_stranger(struct http_request *request, struct str name, enum status status,
                            const char *why)
{
    if (status == STATUS_INTERNAL) {
        refuse(request, status, "");
        return;
    }
    log_refusal(name, why);
    api_reply_error_as(request, 401, STATUS_UNAUTHORIZED, why);
}

void feed_hooks_handle(struct hub *hub, struct str name, struct http_request *request)
{
    const struct feed_options *feed = hub_feed_options(hub, name);
    const char *why = "";
    if (!feed || feed->hook_secret[0] == '\0') {
        refuse(request, STATUS_NOT_FOUND, "no feed of this name has a hook_secret");
        return;
    }
    if (http_request_method(request) != HTTP_POST) {
        http_reply(request, &(struct http_reply){.status = 405, .headers = "Allow: POST\r\n"});
        return;
    }
    enum status status = feed_hooks_verify(
        str_of(feed->hook_secret), clock_wall_ms() / 1000, http_request_body(request),
        http_request_header(request, HTTP_HEADER_SIGNATURE),
        http_request_header(request, HTTP_HEADER_HUB_SIGNATURE), &why);
    if (status == STATUS_OK) {
        tell(hub, name, request);
    } else {
        refuse_stranger(request, name, status, why);
    }
}
