/* SPDX-License-Identifier: MIT */
#include "protocols/api_reply.h"

#include "base/json_span.h"
#include "protocols/errors.h"

void api_append_bare_error(struct buf *out, enum status status, const char *detail)
{
    const struct client_error *error = protocol_error_of(status);
    struct buf message;
    buf_init(&message, 2048);
    /* The client protocol says of the same code "method not found". */
    buf_append(&message, str_of(status == STATUS_NO_METHOD ? "not found" : error->message));
    if (detail[0] != '\0') {
        buf_literal(&message, ": ");
        buf_append(&message, str_of(detail));
    }
    buf_printf(out, "{\"code\":%u,\"message\":", error->code);
    json_append_string(out, buf_str(&message));
    buf_append_char(out, '}');
    buf_release(&message);
}

void api_append_error(struct buf *out, enum status status, const char *detail)
{
    buf_literal(out, "{\"error\":");
    api_append_bare_error(out, status, detail);
    buf_append_char(out, '}');
}

static void reply_json(struct http_request *request, int status, struct str body)
{
    http_reply(request, &(struct http_reply){
                            .status = status, .content_type = "application/json", .body = body});
}

static int http_status_of(enum status status)
{
    switch (status) {
    case STATUS_DENIED: return 403;
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

static void reply_closed(struct http_request *request)
{
    http_reply(request, &(struct http_reply){.status = 503,
                                             .content_type = "text/plain; charset=utf-8",
                                             .headers = "Retry-After: 1\r\n",
                                             .body = STR("shutting down\n")});
}

void api_reply_error(struct http_request *request, enum status status, const char *detail)
{
    if (status == STATUS_CLOSED) {
        reply_closed(request);
    } else {
        api_reply_error_as(request, http_status_of(status), status, detail);
    }
}

/* 103, 106, 110, 111, 502 and 504 are ours: Centrifugo answers 500 for what it does not know. */
static int bare_http_status_of(enum status status)
{
    switch (protocol_error_of(status)->code) {
    case 102:
    case 104: return 404;
    case 107:
    case 108: return 400;
    case 112: return 416;
    case 113: return 409;
    case 103: return 403;
    case 106:
    case 110: return 400;
    case 111: return 429;
    case 502: return 502;
    case 504: return 504;
    default: return 500;
    }
}

void api_reply_bare_error(struct http_request *request, enum status status, const char *detail)
{
    if (status == STATUS_CLOSED) {
        reply_closed(request);
        return;
    }
    struct buf body;
    buf_init(&body, 8192);
    api_append_bare_error(&body, status, detail);
    reply_json(request, bare_http_status_of(status), buf_str(&body));
    buf_release(&body);
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
