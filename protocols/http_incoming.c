/* SPDX-License-Identifier: MIT */
/* A request's head: what handlers need of it is copied, what libwebsockets 4.1 does not check
 * (Content-Length, Transfer-Encoding, sizes) is checked here. No state. Loop's thread. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "protocols/client_head.h"
#include "protocols/http_head.h"
#include "protocols/http_internal.h"
#include "protocols/request_id.h"

#define REPLY_MAX_BYTES ((size_t)256 << 20)

static enum http_method method_of(int index)
{
    static const enum http_method methods[] = {
        [LWSHUMETH_GET] = HTTP_GET,         [LWSHUMETH_POST] = HTTP_POST,
        [LWSHUMETH_OPTIONS] = HTTP_OPTIONS, [LWSHUMETH_PUT] = HTTP_PUT,
        [LWSHUMETH_PATCH] = HTTP_PATCH,     [LWSHUMETH_DELETE] = HTTP_DELETE,
        [LWSHUMETH_CONNECT] = HTTP_OTHER,   [LWSHUMETH_HEAD] = HTTP_HEAD,
    };
    bool is_known = index >= 0 && (size_t)index < sizeof(methods) / sizeof(methods[0]);
    return is_known ? methods[index] : HTTP_OTHER;
}

static const struct str api_key_name = STR("x-api-key:");
static const struct str api_key_argument = STR("api_key=");
static const struct str error_mode_name = STR("x-belfry-error-mode:");
static const struct str centrifugo_error_mode_name = STR("x-centrifugo-error-mode:");
static const struct str signature_name = STR("x-belfry-signature:");
static const struct str hub_signature_name = STR("x-hub-signature-256:");
static const struct str request_id_name = STR("x-request-id:");
static const struct str traceparent_name = STR("traceparent:");
static const struct str tracestate_name = STR("tracestate:");

/* All that is copied. */
static size_t head_size(struct lws *wsi, const struct http_route *route)
{
    size_t size =
        headers_size(wsi, WSI_TOKEN_ORIGIN) + headers_size(wsi, WSI_TOKEN_HTTP_AUTHORIZATION) +
        headers_size(wsi, WSI_TOKEN_HTTP_IF_NONE_MATCH) +
        headers_size(wsi, WSI_TOKEN_HTTP_CONTENT_LENGTH) + headers_size_custom(wsi, api_key_name) +
        headers_size_custom(wsi, request_id_name) + headers_size_custom(wsi, traceparent_name) +
        headers_size_custom(wsi, tracestate_name) + headers_size(wsi, WSI_TOKEN_X_FORWARDED_FOR);
    if (route->is_api) {
        size += headers_size(wsi, WSI_TOKEN_HTTP_URI_ARGS) +
                headers_size_custom(wsi, error_mode_name) +
                headers_size_custom(wsi, centrifugo_error_mode_name);
    }
    if (route->is_for_clients) {
        size += headers_size(wsi, WSI_TOKEN_HTTP_ACCEPT);
    }
    if (route->is_signed) {
        size +=
            headers_size_custom(wsi, signature_name) + headers_size_custom(wsi, hub_signature_name);
    }
    return size;
}

static bool is_http_1_1(struct lws *wsi)
{
    char version[16];
    int len = lws_hdr_copy(wsi, version, sizeof(version), WSI_TOKEN_HTTP);
    return len > 0 && str_eq((struct str){version, (size_t)len}, STR("HTTP/1.1"));
}

static struct http_request *create(const struct http_options *options, struct lws *wsi,
                                   struct http_request **slot)
{
    char *uri = NULL;
    int uri_len = 0;
    int method = lws_http_get_uri_and_method(wsi, &uri, &uri_len);
    size_t path_len = method >= 0 && uri_len > 0 ? (size_t)uri_len : 0;
    struct http_route route;
    options->route(options->arg, (struct str){uri, path_len}, &route);
    size_t n_bytes = path_len + head_size(wsi, &route) + REQUEST_ID_MADE_BYTES;
    struct http_request *r = malloc(sizeof(*r) + n_bytes);
    if (!r) {
        return NULL;
    }
    *r = (struct http_request){
        .wsi = wsi,
        .slot = slot,
        .options = options,
        .route = route,
        .method = method_of(method),
        .head = {.bytes = r->texts, .size = n_bytes - REQUEST_ID_MADE_BYTES, .used = path_len},
        .begun_us = clock_monotonic_us(),
        .path = {r->texts, path_len},
        .knows_chunks = is_http_1_1(wsi),
    };
    if (path_len > 0) {
        memcpy(r->texts, uri, path_len);
    }
    buf_init(&r->body, r->route.max_body_size + 1);
    buf_init(&r->reply, REPLY_MAX_BYTES);
    return r;
}

static void read_api_head(struct http_request *r)
{
    struct str mode = headers_copy_custom(&r->head, r->wsi, error_mode_name);
    if (mode.len == 0) {
        mode = headers_copy_custom(&r->head, r->wsi, centrifugo_error_mode_name);
    }
    r->headers[HTTP_HEADER_ERROR_MODE] = mode;
    r->headers[HTTP_HEADER_API_KEY_ARGUMENT] =
        headers_copy_argument(&r->head, r->wsi, api_key_argument);
}

/* The caller's, or one of this program's behind all copies. */
static void read_id(struct http_request *r)
{
    r->id = headers_copy_custom(&r->head, r->wsi, request_id_name);
    if (!request_id_is_good(r->id)) {
        char *made = r->texts + r->head.size;
        request_id_make(made);
        r->id = (struct str){made, REQUEST_ID_MADE_BYTES};
    }
}

/* False: memory is short. */
static bool read_head(struct http_request *r)
{
    r->headers[HTTP_HEADER_ORIGIN] = headers_copy(&r->head, r->wsi, WSI_TOKEN_ORIGIN);
    r->headers[HTTP_HEADER_AUTHORIZATION] =
        headers_copy(&r->head, r->wsi, WSI_TOKEN_HTTP_AUTHORIZATION);
    r->headers[HTTP_HEADER_IF_NONE_MATCH] =
        headers_copy(&r->head, r->wsi, WSI_TOKEN_HTTP_IF_NONE_MATCH);
    r->headers[HTTP_HEADER_API_KEY] = headers_copy_custom(&r->head, r->wsi, api_key_name);
    r->headers[HTTP_HEADER_TRACEPARENT] = headers_copy_custom(&r->head, r->wsi, traceparent_name);
    r->headers[HTTP_HEADER_TRACESTATE] = headers_copy_custom(&r->head, r->wsi, tracestate_name);
    r->headers[HTTP_HEADER_FORWARDED_FOR] =
        headers_copy(&r->head, r->wsi, WSI_TOKEN_X_FORWARDED_FOR);
    read_id(r);
    if (r->route.is_api) {
        read_api_head(r);
    }
    if (r->route.is_signed) {
        r->headers[HTTP_HEADER_SIGNATURE] = headers_copy_custom(&r->head, r->wsi, signature_name);
        r->headers[HTTP_HEADER_HUB_SIGNATURE] =
            headers_copy_custom(&r->head, r->wsi, hub_signature_name);
    }
    if (r->route.is_for_clients) {
        r->headers[HTTP_HEADER_ACCEPT] = headers_copy(&r->head, r->wsi, WSI_TOKEN_HTTP_ACCEPT);
        r->client_head = client_head_read(r->wsi, r->options->forwarded_headers);
    }
    return r->client_head || !r->route.is_for_clients;
}

static void reply_text(struct http_request *r, int status, const char *text)
{
    http_reply(r, &(struct http_reply){.status = status,
                                       .content_type = "text/plain; charset=utf-8",
                                       .body = str_of(text)});
}

static bool method_has_body(enum http_method method)
{
    return method == HTTP_POST || method == HTTP_PUT || method == HTTP_PATCH;
}

static void reply_too_large(struct http_request *r)
{
    char text[128];
    snprintf(text, sizeof(text), "the body is larger than %s\n", r->route.max_body_size_key);
    reply_text(r, 413, text);
}

bool http_incoming_check(struct http_request *r)
{
    struct str length = headers_copy(&r->head, r->wsi, WSI_TOKEN_HTTP_CONTENT_LENGTH);
    if (r->head.is_full) {
        r->closes = true;
        reply_text(r, 431, "the headers are too large\n");
        return false;
    }
    if (lws_hdr_total_length(r->wsi, WSI_TOKEN_HTTP_TRANSFER_ENCODING) > 0) {
        r->closes = true; /* where its body ends is not known here */
        reply_text(r, 411, "send a Content-Length, not a Transfer-Encoding\n");
        return false;
    }
    if (length.len > 0 && !http_content_length(length, &r->content_length)) {
        r->closes = true;
        reply_text(r, 400, "Content-Length is not a number of bytes\n");
        return false;
    }
    if (length.len == 0 && method_has_body(r->method)) {
        r->closes = true;
        reply_text(r, 411, "send a Content-Length\n");
        return false;
    }
    if (r->content_length > r->route.max_body_size) {
        r->closes = true;
        reply_too_large(r);
        return false;
    }
    return true;
}

struct http_request *http_incoming_create(const struct http_options *options, struct lws *wsi,
                                          struct http_request **slot)
{
    struct http_request *r = create(options, wsi, slot);
    if (r && !read_head(r)) {
        free(r);
        r = NULL;
    }
    return r;
}
