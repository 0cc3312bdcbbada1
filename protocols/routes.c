/* SPDX-License-Identifier: MIT */
#include "protocols/routes.h"

#include "protocols/api.h"
#include "protocols/pages.h"

static void handle_health(struct http_request *request)
{
    enum http_method method = http_request_method(request);
    if (method != HTTP_GET && method != HTTP_HEAD) {
        http_reply(request, &(struct http_reply){.status = 405, .headers = "Allow: GET, HEAD\r\n"});
        return;
    }
    http_reply(request, &(struct http_reply){
                            .status = 200, .content_type = "application/json", .body = STR("{}")});
}

static bool strip_prefix(struct str path, struct str prefix, struct str *ret_rest)
{
    bool fits = str_starts_with(path, prefix);
    *ret_rest = fits ? str_tail(path, prefix.len) : STR_EMPTY;
    return fits;
}

void routes_handle(void *arg, struct http_request *request)
{
    const struct routes *routes = arg;
    const struct server_options *options = routes->options;
    struct str path = http_request_path(request);
    struct str rest;
    if (strip_prefix(path, STR("/api/"), &rest)) {
        api_handle(routes->hub, &options->http_api, rest, request);
    } else if (options->health.enabled && str_eq(path, STR("/health"))) {
        handle_health(request);
    } else if (options->prometheus.enabled &&
               str_eq(path, str_of(options->prometheus.handler_prefix))) {
        metrics_handle(&routes->metrics, request);
    } else if (str_eq(path, str_of(options->websocket.handler_prefix))) {
        http_reply(request, &(struct http_reply){.status = 426,
                                                 .content_type = "text/plain; charset=utf-8",
                                                 .headers = "Upgrade: websocket\r\n",
                                                 .body = STR("this is a WebSocket endpoint\n")});
    } else if (options->demo.enabled && strip_prefix(path, STR("/demo/"), &rest)) {
        pages_handle_demo(routes->hub, &options->demo, rest, request);
    } else if (!options->demo.enabled || !pages_handle_asset(request)) {
        http_reply(request, &(struct http_reply){.status = 404,
                                                 .content_type = "text/plain; charset=utf-8",
                                                 .body = STR("nothing here\n")});
    }
}
