/* SPDX-License-Identifier: MIT */
#include "protocols/api_reply.h"

#include "base/json_span.h"
#include "protocols/errors.h"

void api_append_error(struct buf *out, enum status status, const char *detail)
{
    const struct client_error *error = protocol_error_of(status);
    struct buf message;
    buf_init(&message, 2048);
    buf_append(&message, str_of(error->message));
    if (detail[0] != '\0') {
        buf_literal(&message, ": ");
        buf_append(&message, str_of(detail));
    }
    buf_printf(out, "{\"error\":{\"code\":%u,\"message\":", error->code);
    json_append_string(out, buf_str(&message));
    buf_literal(out, "}}");
    buf_release(&message);
}

static void reply_json(struct http_request *request, int status, struct str body)
{
    http_reply(request, &(struct http_reply){
                            .status = status, .content_type = "application/json", .body = body});
}

static int http_status_of(enum status status)
{
    switch (status) {
    case STATUS_UPSTREAM_FAILED: return 502;
    case STATUS_UPSTREAM_TIMEOUT: return 504;
    default: return 200;
    }
}

void api_reply_error_as(struct http_request *request, int http_status, enum status status,
                        const char *detail)
{
    struct buf body;
    buf_init(&body, 8192);
    api_append_error(&body, status, detail);
    reply_json(request, http_status, buf_str(&body));
    buf_release(&body);
}

void api_reply_error(struct http_request *request, enum status status, const char *detail)
{
    if (status == STATUS_CLOSED) {
        http_reply(request, &(struct http_reply){.status = 503,
                                                 .content_type = "text/plain; charset=utf-8",
                                                 .headers = "Retry-After: 1\r\n",
                                                 .body = STR("shutting down\n")});
        return;
    }
    api_reply_error_as(request, http_status_of(status), status, detail);
}

void api_reply_bad(struct http_request *request, const char *text)
{
    http_reply(request, &(struct http_reply){.status = 400,
                                             .content_type = "text/plain; charset=utf-8",
                                             .body = str_of(text)});
}

void api_reply_text(struct http_request *request, const struct buf *text)
{
    if (buf_failed(text)) {
        api_reply_error(request, STATUS_INTERNAL, "the answer is too large");
    } else {
        reply_json(request, 200, buf_str(text));
    }
}

struct buf api_begin_result(void)
{
    struct buf body;
    buf_init(&body, API_REPLY_MAX_BYTES);
    buf_literal(&body, "{\"result\":");
    return body;
}

void api_reply_result(struct http_request *request, struct buf *body)
{
    buf_append_char(body, '}');
    api_reply_text(request, body);
    buf_release(body);
}
