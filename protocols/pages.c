/* SPDX-License-Identifier: MIT */
#include "protocols/pages.h"

#include <stdio.h>
#include <time.h>

#include "protocols/api_feeds.h"
#include "protocols/api_params.h"
#include "protocols/api_reply.h"
#include "protocols/origin.h"

#define TEXT_MAX_BYTES 1000

#define SECURITY_HEADERS                                                                           \
    "X-Content-Type-Options: nosniff\r\n"                                                          \
    "Referrer-Policy: no-referrer\r\n"                                                             \
    "Content-Security-Policy: default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; "

/* The page about the API is made of elements that bring their styles along. */
static const char *const policies[] = {
    [WEB_DEMO] = "connect-src 'self' ws: wss:",
    [WEB_DOCS] = "style-src 'self' 'unsafe-inline'",
};

bool pages_is_about_api(struct str path)
{
    return str_eq(path, STR("/openapi.json")) || str_eq(path, STR("/docs/api")) ||
           str_starts_with(path, STR("/docs/api/"));
}

bool pages_handle_asset(enum web_site site, struct http_request *request)
{
    enum http_method method = http_request_method(request);
    const struct web_asset *asset = web_asset_find(site, http_request_path(request));
    if (!asset) {
        return false;
    }
    if (method != HTTP_GET && method != HTTP_HEAD) {
        http_reply(request, &(struct http_reply){.status = 405, .headers = "Allow: GET, HEAD\r\n"});
        return true;
    }
    char headers[512];
    snprintf(headers, sizeof(headers),
             SECURITY_HEADERS "%s\r\nCache-Control: no-cache\r\nETag: %s\r\n%s", policies[site],
             asset->etag, asset->is_gzip ? "Content-Encoding: gzip\r\n" : "");
    struct http_reply reply = {.status = 200,
                               .content_type = asset->content_type,
                               .headers = headers,
                               .body = {(const char *)asset->bytes, asset->n_bytes}};
    struct str known = http_request_header(request, HTTP_HEADER_IF_NONE_MATCH);
    if (str_eq(known, str_of(asset->etag))) {
        reply.status = 304;
        reply.content_type = NULL;
        reply.body = STR_EMPTY;
    }
    http_reply(request, &reply);
    return true;
}

static void notified(void *arg, enum status status, const struct storage_position *position,
                     const struct delivery_report *report)
{
    (void)report;
    struct http_request *request = arg;
    if (status != STATUS_OK) {
        api_reply_error(request, status, "");
        return;
    }
    struct buf body = api_begin_result();
    buf_printf(&body, "{\"offset\":%llu,\"epoch\":\"%s\"}", (unsigned long long)position->offset,
               position->epoch);
    api_reply_result(request, &body);
}

static void notify(struct hub *hub, const struct demo_options *options, struct api_params *params,
                   struct http_request *request)
{
    struct str text;
    if (!api_text(params, "text", &text) || text.len == 0 || text.len > TEXT_MAX_BYTES) {
        api_reply_error(request, STATUS_INVALID, "text: expected 1 to 1000 bytes of text");
        return;
    }
    time_t now = time(NULL);
    struct tm tm;
    char at[40];
    strftime(at, sizeof(at), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &tm));
    struct buf data;
    buf_init(&data, 8 * TEXT_MAX_BYTES);
    buf_literal(&data, "{\"text\":");
    json_append_string(&data, text);
    buf_printf(&data, ",\"at\":\"%s\"}", at);
    hub_publish(
        hub, &(struct publish_request){.channel = str_of(options->channel), .data = buf_str(&data)},
        notified, request);
    buf_release(&data);
}

static void call(struct hub *hub, const struct demo_options *options, struct str name,
                 struct http_request *request)
{
    struct api_params params;
    api_params_init(&params, http_request_body(request));
    if (json_kind(params.object) != JSON_KIND_OBJECT) {
        api_reply_bad(request, "expected a JSON object\n");
    } else if (str_eq(name, STR("refresh"))) {
        api_feed_refresh(api_call_of_request(hub, request), &params);
    } else {
        notify(hub, options, &params, request);
    }
    api_params_release(&params);
}

void pages_handle_demo(struct hub *hub, const struct demo_options *options, struct str name,
                       struct http_request *request)
{
    struct str origin = http_request_header(request, HTTP_HEADER_ORIGIN);
    if (!str_eq(name, STR("refresh")) && !str_eq(name, STR("notify"))) {
        http_reply(request, &(struct http_reply){.status = 404});
    } else if (http_request_method(request) != HTTP_POST) {
        http_reply(request, &(struct http_reply){.status = 405, .headers = "Allow: POST\r\n"});
    } else if (!origin_is_allowed(&hub_client_options(hub)->allowed_origins, origin)) {
        http_reply(request, &(struct http_reply){.status = 403});
    } else if (json_check(http_request_body(request), NULL) != STATUS_OK) {
        api_reply_bad(request, "malformed JSON\n");
    } else {
        call(hub, options, name, request);
    }
}
