/* SPDX-License-Identifier: MIT */
/* Replies that come piece by piece: chunks where the client knows them, else a length or the end of
 * the connection. Each piece waits until the one before has gone out. Loop's thread. */
#include "base/log.h"
#include "protocols/direct_write.h"
#include "protocols/http_head.h"
#include "protocols/http_internal.h"

void http_watch(struct http_request *r, const struct http_source *source)
{
    r->source = *source;
}

/* Cut from outside libwebsockets' callbacks: gone() comes from there. */
static void cut_dead(struct http_request *r)
{
    lws_set_timeout(r->wsi, PENDING_TIMEOUT_HTTP_CONTENT, LWS_TO_KILL_ASYNC);
    lws_cancel_service(lws_get_context(r->wsi));
    r->is_expired = true;
}

static void write_bytes(struct http_request *r, struct str bytes)
{
    char *start = (char *)(uintptr_t)bytes.ptr; /* libwebsockets does not change them */
    bool is_written =
        lws_is_ssl(r->wsi)
            ? lws_write(r->wsi, (unsigned char *)start, bytes.len, LWS_WRITE_HTTP) >= 0
            : direct_write(r->wsi, lws_get_socket_fd(r->wsi), start, bytes.len);
    if (!is_written) {
        cut_dead(r);
    }
}

void http_begin_reply(struct http_request *r, const struct http_reply *reply, int64_t length)
{
    struct http_flow flow = {
        .length = length, .is_head = r->method == HTTP_HEAD, .knows_chunks = r->knows_chunks};
    struct http_reply whole = *reply;
    whole.request_id = r->id;
    r->status = reply->status;
    struct buf headers;
    buf_init(&headers, 0);
    if (r->client_head) {
        http_append_headers(r, reply, &headers);
        whole.headers = buf_failed(&headers) ? reply->headers : headers.ptr;
    }
    http_write_flow_head(&r->reply, &whole, &flow);
    buf_release(&headers);
    r->is_chunked = flow.is_chunked;
    r->closes = r->closes || flow.closes;
    r->state = HTTP_FLOWING;
    lws_http_headers_detach(r->wsi); /* see http_take_connection() */
    if (buf_failed(&r->reply)) {
        log_error("http", "reply_too_large", log_str("path", r->path));
        cut_dead(r);
        return;
    }
    write_bytes(r, buf_str(&r->reply));
}

bool http_can_write(const struct http_request *r)
{
    return !r->is_expired && !lws_partial_buffered(r->wsi);
}

void http_write(struct http_request *r, struct str piece)
{
    if (r->is_expired || piece.len == 0) { /* an empty chunk would be the last one */
        return;
    }
    r->n_reply_bytes += (int64_t)piece.len;
    if (!r->is_chunked) {
        write_bytes(r, piece);
    } else {
        buf_clear(&r->reply);
        buf_printf(&r->reply, "%zx\r\n", piece.len);
        buf_append(&r->reply, piece);
        buf_literal(&r->reply, "\r\n");
        if (buf_failed(&r->reply)) {
            cut_dead(r);
            return;
        }
        write_bytes(r, buf_str(&r->reply));
    }
    if (!r->is_expired && lws_partial_buffered(r->wsi)) {
        lws_callback_on_writable(r->wsi);
    }
}

static void leave_flow(struct http_request *r, enum http_state state)
{
    r->state = state;
    loop_defer(r->options->loop, &r->tail);
}

void http_end_reply(struct http_request *r)
{
    if (r->is_chunked && !r->is_expired) {
        write_bytes(r, STR("0\r\n\r\n"));
    }
    leave_flow(r, r->is_expired ? HTTP_BREAKING : HTTP_ENDING);
}

void http_break_reply(struct http_request *r)
{
    leave_flow(r, HTTP_BREAKING);
}

int http_on_writeable(struct http_request *r)
{
    if (r->state == HTTP_FLOWING && !r->is_expired) {
        r->source.may_write(r->source.arg);
    } else if (r->state == HTTP_ENDING) {
        loop_defer(r->options->loop, &r->tail);
    }
    return 0;
}
