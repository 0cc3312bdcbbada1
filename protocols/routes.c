/* SPDX-License-Identifier: MIT */
#include "protocols/routes.h"

#include "base/log.h"
#include "protocols/client_head.h"
#include "protocols/cors.h"
#include "protocols/feed_hooks.h"
#include "protocols/health.h"
#include "protocols/origin.h"
#include "protocols/pages.h"
#include "protocols/tracing.h"

static bool strip_prefix(struct str path, struct str prefix, struct str *ret_rest)
{
    bool fits = str_starts_with(path, prefix);
    *ret_rest = fits ? str_tail(path, prefix.len) : STR_EMPTY;
    return fits;
}

static bool is_prometheus(const struct server_options *options, struct str path)
{
    return options->prometheus.enabled && str_eq(path, str_of(options->prometheus.handler_prefix));
}

/* What is for operators and backends, and moves to the internal port where there is one. */
static bool is_internal(const struct server_options *options, struct str path)
{
    return str_starts_with(path, STR("/api/")) || str_eq(path, STR("/api")) ||
           health_has_path(path) || is_prometheus(options, path) || pages_is_about_api(path);
}

static bool is_here(const struct routes_view *view, struct str path)
{
    if (view->has_public && view->has_internal) {
        return true;
    }
    return is_internal(view->routes->options, path) ? view->has_internal : view->has_public;
}

/* --- the endpoints of clients over HTTP --- */

static const struct stream_options *stream_options(const struct server_options *options,
                                                   enum stream_kind kind)
{
    switch (kind) {
    case STREAM_HTTP: return &options->http_stream;
    case STREAM_SSE: return &options->sse;
    case STREAM_UNI_HTTP: return &options->uni_http_stream;
    default: return &options->uni_sse;
    }
}

/* N_STREAM_KINDS: none of them. */
static enum stream_kind find_stream(const struct server_options *options, struct str path)
{
    for (enum stream_kind kind = 0; kind < N_STREAM_KINDS; kind++) {
        const struct stream_options *stream = stream_options(options, kind);
        if (stream->enabled && str_eq(path, str_of(stream->handler_prefix))) {
            return kind;
        }
    }
    return N_STREAM_KINDS;
}

static bool is_emulation(const struct server_options *options, struct str path)
{
    return server_has_emulation(options) && str_eq(path, str_of(options->emulation.handler_prefix));
}

static bool is_url_proxy(const struct server_options *options, struct str path)
{
    return options->url_proxy.enabled && str_eq(path, str_of(options->url_proxy.handler_prefix));
}

void routes_find(void *arg, struct str path, struct http_route *ret_route)
{
    static const char *const size_keys[] = {
        [STREAM_HTTP] = "http_stream.max_request_body_size",
        [STREAM_SSE] = "sse.max_request_body_size",
        [STREAM_UNI_HTTP] = "uni_http_stream.max_request_body_size",
        [STREAM_UNI_SSE] = "uni_sse.max_request_body_size",
    };
    const struct routes_view *view = arg;
    const struct server_options *options = view->routes->options;
    *ret_route = (struct http_route){(size_t)options->http_server.max_request_body_size,
                                     "http_server.max_request_body_size", .is_for_clients = false};
    if (str_starts_with(path, STR("/api/")) || str_eq(path, STR("/api"))) { /* most of what comes */
        ret_route->is_api = true;
        return;
    }
    if (!is_here(view, path)) {
        return;
    }
    if (str_starts_with(path, FEED_PAGES_PREFIX)) {
        ret_route->is_for_clients = true;
        return;
    }
    if (str_starts_with(path, FEED_HOOKS_PREFIX)) {
        *ret_route = (struct http_route){FEED_HOOKS_MAX_BODY_BYTES, "64 KiB", .is_signed = true};
        return;
    }
    if (is_url_proxy(options, path)) {
        ret_route->is_for_clients = true;
        return;
    }
    enum stream_kind kind = find_stream(options, path);
    if (kind != N_STREAM_KINDS) {
        size_t size = (size_t)stream_options(options, kind)->max_request_body_size;
        *ret_route = (struct http_route){size, size_keys[kind], .is_for_clients = true};
    } else if (is_emulation(options, path)) {
        *ret_route = (struct http_route){(size_t)options->emulation.max_request_body_size,
                                         "emulation.max_request_body_size", .is_for_clients = true};
    }
}

/* Who comes from a refused origin is served all the same, as its browser will not show the answer;
 * that is the commonest first failure of a new page, so it is logged. */
static void log_refused_origin(struct str origin)
{
    static struct log_limit limit;
    if (log_permits(&limit)) {
        log_info("routes", "origin_refused", log_str("origin", origin),
                 log_i("left_out", limit.n_left_out));
    }
}

void routes_append_client_headers(void *arg, const struct http_request *request, struct buf *out)
{
    const struct routes_view *view = arg;
    const struct config_list *allowed = &hub_client_options(view->routes->hub)->allowed_origins;
    struct str origin = http_request_header(request, HTTP_HEADER_ORIGIN);
    cors_append(out, allowed, origin,
                buf_str(&http_request_client_head(request)->requested_headers));
    if (!origin_is_allowed(allowed, origin)) {
        log_refused_origin(origin);
    }
}

static void handle_client(struct routes *routes, struct str path, struct http_request *request)
{
    enum stream_kind kind = find_stream(routes->options, path);
    if (is_url_proxy(routes->options, path)) {
        url_proxy_handle(&routes->url_proxy, request);
    } else if (kind != N_STREAM_KINDS) {
        streams_handle(&routes->streams, kind, request);
    } else {
        emulation_handle(&routes->streams.emulation, request);
    }
}

static bool is_websocket(const struct server_options *options, struct str path)
{
    const struct websocket_server_options *both = &options->websocket;
    const struct uni_websocket_options *uni = &options->uni_websocket;
    return (!both->disabled && str_eq(path, str_of(both->handler_prefix))) ||
           (uni->enabled && str_eq(path, str_of(uni->handler_prefix)));
}

/* --- all of them --- */

static void reply_not_found(struct http_request *request)
{
    http_reply(request, &(struct http_reply){.status = 404,
                                             .content_type = "text/plain; charset=utf-8",
                                             .body = STR("nothing here\n")});
}

/* False: there is none. */
static bool handle_page(const struct server_options *options, struct http_request *request)
{
    return (options->openapi.enabled && pages_handle_asset(WEB_DOCS, request)) ||
           (options->demo.enabled && pages_handle_asset(WEB_DEMO, request));
}

static void handle(void *arg, struct http_request *request)
{
    const struct routes_view *view = arg;
    struct routes *routes = view->routes;
    const struct server_options *options = routes->options;
    struct str path = http_request_path(request);
    struct str rest;
    if (!is_here(view, path)) {
        reply_not_found(request);
    } else if (strip_prefix(path, STR("/api/"), &rest)) {
        api_handle(&routes->api, rest, request);
    } else if (str_eq(path, STR("/api"))) {
        api_handle_lines(&routes->api, request);
    } else if (strip_prefix(path, FEED_PAGES_PREFIX, &rest)) {
        feed_pages_handle(&routes->feed_pages, rest, request);
    } else if (strip_prefix(path, FEED_HOOKS_PREFIX, &rest)) {
        feed_hooks_handle(routes->hub, rest, request);
    } else if (http_request_client_head(request)) {
        handle_client(routes, path, request);
    } else if (options->health.enabled && health_has_path(path)) {
        health_handle(&routes->health, path, request);
    } else if (is_prometheus(options, path)) {
        metrics_handle(&routes->metrics, request);
    } else if (is_websocket(options, path)) {
        http_reply(request, &(struct http_reply){.status = 426,
                                                 .content_type = "text/plain; charset=utf-8",
                                                 .headers = "Upgrade: websocket\r\n",
                                                 .body = STR("this is a WebSocket endpoint\n")});
    } else if (options->demo.enabled && strip_prefix(path, STR("/demo/"), &rest)) {
        pages_handle_demo(routes->hub, &options->demo, rest, request);
    } else if (!handle_page(options, request)) {
        reply_not_found(request);
    }
}

void routes_handle(void *arg, struct http_request *request)
{
    const struct routes_view *view = arg;
    struct hub *hub = view->routes->hub; /* the request may end in its handler */
    struct trace trace;
    tracing_begin(hub, request, &trace);
    handle(arg, request);
    tracing_end(hub);
}
