/* SPDX-License-Identifier: MIT */
/* What comes back to a call of the direct client: head lines to response_head, which knows them for
 * both ways, and the body, inflated, to the caller's buffer, whose maximum is that of the answer.
 */
#include "upstreams/direct_internal.h"

#include <stdio.h>

#define MAX_SKIPPED ((int64_t)64 * 1024) /* of a body that nobody wants */
/* A compressed body never has more bytes on the wire than this beyond what it may come to: nothing
 * can be said for ever in blocks that say nothing. */
#define MAX_OVERHEAD ((int64_t)64 * 1024)

void direct_answer_begin(struct direct_call *call)
{
    http1_response_init(&call->response);
    call->n_body_bytes = 0;
    call->inflater = NULL;
    call->is_skipping = false;
}

void direct_answer_release(struct direct *d, struct direct_call *call)
{
    if (call->inflater) {
        inflater_give(&d->inflaters, call->inflater);
        call->inflater = NULL;
    }
}

static bool fail(struct direct_call *call, enum direct_end end, const char *error,
                 enum direct_end *ret_end)
{
    (void)snprintf(call->error, DIRECT_ERROR_SIZE, "%s", error);
    *ret_end = end;
    return false;
}

static bool fail_too_large(struct direct_call *call, enum direct_end *ret_end)
{
    return fail(call, DIRECT_TOO_LARGE, "the answer is larger than allowed", ret_end);
}

static bool fail_response(struct direct_call *call, enum direct_end *ret_end)
{
    (void)snprintf(call->error, DIRECT_ERROR_SIZE, "the answer is not valid: %s",
                   call->response.error);
    *ret_end = call->response.is_head_too_large ? DIRECT_TOO_LARGE : DIRECT_BROKEN;
    return false;
}

/* What announces too much ends at once. 304 says the length of what it does not send. */
static bool begin_body(struct direct_call *call, enum direct_end *ret_end)
{
    const struct fetch_head *head = &call->head->head;
    call->is_skipping = !call->on_head(call);
    bool has_body = call->response.state != HTTP1_COMPLETE;
    if (has_body && !call->is_skipping && head->content_length > (int64_t)call->body->max) {
        return fail_too_large(call, ret_end);
    }
    return true;
}

static struct str without_end(struct str line)
{
    while (line.len > 0 && (line.ptr[line.len - 1] == '\n' || line.ptr[line.len - 1] == '\r')) {
        line.len--;
    }
    return line;
}

static void keep_location(struct direct_call *call, struct str line)
{
    size_t n_name = strlen("Location:");
    buf_clear(call->location);
    buf_append(call->location, str_trim(without_end(str_tail(line, n_name))));
}

static bool take_line(struct direct_call *call, struct str line, enum direct_end *ret_end)
{
    bool had_location = call->head->has_location;
    response_head_line(call->head, line);
    if (call->location && call->head->has_location && !had_location) {
        keep_location(call, line);
    }
    return !call->head->is_complete || begin_body(call, ret_end);
}

static bool append(struct direct_call *call, struct str bytes, enum direct_end *ret_end)
{
    struct buf *body = call->body;
    size_t room = body->max > body->len ? body->max - body->len : 0;
    buf_append(body, str_head(bytes, room));
    if (buf_failed(body)) {
        return fail(call, DIRECT_BROKEN, "memory is short", ret_end);
    }
    return room >= bytes.len || fail_too_large(call, ret_end);
}

static bool inflate_piece(struct direct *d, struct direct_call *call, struct str bytes,
                          enum direct_end *ret_end)
{
    if (!call->inflater && !(call->inflater = inflater_take(&d->inflaters))) {
        return fail(call, DIRECT_BROKEN, "memory is short", ret_end);
    }
    if (call->n_body_bytes > (int64_t)call->body->max + MAX_OVERHEAD) {
        return fail_too_large(call, ret_end);
    }
    switch (inflater_run(call->inflater, bytes, call->body)) {
    case INFLATED: return true;
    case INFLATED_TOO_MUCH: return fail_too_large(call, ret_end);
    case INFLATED_NOTHING: break;
    }
    return fail(call, DIRECT_BROKEN, "the answer's body is not compressed as its head says",
                ret_end);
}

static bool take_body(struct direct *d, struct direct_call *call, struct str bytes,
                      enum direct_end *ret_end)
{
    call->n_body_bytes += (int64_t)bytes.len;
    if (call->is_skipping) {
        return call->n_body_bytes <= MAX_SKIPPED || fail_too_large(call, ret_end);
    }
    if (!call->head->head.is_encoded) {
        return append(call, bytes, ret_end);
    }
    if (!call->head->is_gzip) {
        return fail(call, DIRECT_BROKEN,
                    "the answer's Content-Encoding is another than gzip or deflate", ret_end);
    }
    return inflate_piece(d, call, bytes, ret_end);
}

static enum direct_end end_body(struct direct_call *call)
{
    enum direct_end end = DIRECT_COMPLETE;
    if (call->inflater && !inflater_is_complete(call->inflater)) {
        (void)fail(call, DIRECT_BROKEN, "the answer's compressed body breaks off", &end);
    }
    return end;
}

bool direct_answer_take(struct direct *d, struct direct_call *call, struct str *input,
                        enum direct_end *ret_end)
{
    struct str piece;
    for (;;) {
        switch (http1_response_next(&call->response, input, &piece)) {
        case HTTP1_NEEDS_MORE: return true;
        case HTTP1_LINE:
            if (!take_line(call, piece, ret_end)) {
                return false;
            }
            break;
        case HTTP1_BODY:
            if (!take_body(d, call, piece, ret_end)) {
                return false;
            }
            break;
        case HTTP1_END: *ret_end = end_body(call); return false;
        case HTTP1_BROKEN: return fail_response(call, ret_end);
        }
    }
}

enum direct_end direct_answer_close(struct direct_call *call)
{
    enum direct_end end;
    if (http1_response_close(&call->response) == HTTP1_END) {
        return end_body(call);
    }
    (void)fail_response(call, &end);
    return end;
}
