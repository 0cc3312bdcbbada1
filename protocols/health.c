/* SPDX-License-Identifier: MIT */
/* Unit health says whether the hub lives and whether it is ready, from what hub and storage know of
 * themselves: nothing is tried for it, so it may be asked as often as anybody likes. On the loop's
 * thread. */
#include "protocols/health.h"

bool health_has_path(struct str path)
{
    return str_eq(path, STR("/health")) || str_eq(path, STR("/ready"));
}

static void add_reason(struct buf *out, const char *reason, bool is_so, size_t *n)
{
    if (is_so) {
        buf_printf(out, "%s\"%s\"", (*n)++ > 0 ? "," : "", reason);
    }
}

/* How many there are. */
static size_t write_reasons(const struct health *health, struct buf *out)
{
    struct storage_stats stats;
    size_t n = 0;
    storage_stats(health->storage, &stats);
    add_reason(out, "shutting_down", hub_is_stopping(health->hub), &n);
    add_reason(out, "draining", hub_is_draining(health->hub), &n);
    add_reason(out, "storage_not_writable", stats.is_failing, &n);
    return n;
}

static void reply_ready(const struct health *health, struct http_request *request)
{
    struct buf body;
    buf_init(&body, 1024);
    buf_literal(&body, "{\"ready\":false,\"reasons\":[");
    bool is_ready = write_reasons(health, &body) == 0;
    buf_literal(&body, "]}");
    http_reply(request, &(struct http_reply){
                            .status = is_ready ? 200 : 503,
                            .content_type = "application/json",
                            .headers = "Cache-Control: no-store\r\n",
                            .body = is_ready ? STR("{\"ready\":true}") : buf_str(&body),
                        });
    buf_release(&body);
}

void health_handle(const struct health *health, struct str path, struct http_request *request)
{
    enum http_method method = http_request_method(request);
    if (method != HTTP_GET && method != HTTP_HEAD) {
        http_reply(request, &(struct http_reply){.status = 405, .headers = "Allow: GET, HEAD\r\n"});
    } else if (str_eq(path, STR("/ready"))) {
        reply_ready(health, request);
    } else {
        http_reply(request, &(struct http_reply){.status = 200,
                                                 .content_type = "application/json",
                                                 .body = STR("{}")});
    }
}
