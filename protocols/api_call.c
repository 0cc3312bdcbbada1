/* SPDX-License-Identifier: MIT */
/* Unit api_call is the end of every call: it counts, and answers in the way that the call began.
 * Loop's thread only. */
#include "protocols/api_call.h"

#include "base/clock.h"
#include "protocols/api.h"
#include "protocols/api_reply.h"
#include "protocols/errors.h"

_Static_assert(sizeof(struct api_call) <= HTTP_ROOM_BYTES, "a request has room for its call");
_Static_assert(N_API_METHODS < 64, "a set of methods has a bit for each");

const unsigned api_error_codes[API_N_ERRORS] = {100, 101, 102, 103, 104, 105, 106, 107,
                                                108, 109, 110, 111, 112, 113, 502, 504};

struct api_call *api_call_of_request(struct hub *hub, struct http_request *request)
{
    struct api_call *call = http_request_room(request);
    *call = (struct api_call){.hub = hub, .request = request, .params = http_request_body(request)};
    return call;
}

static void count_error(struct api_call *call, enum status status)
{
    unsigned code = protocol_error_of(status)->code;
    size_t i = API_N_ERRORS - 1;
    while (i > 0 && api_error_codes[i] != code) {
        i--;
    }
    call->api->stats.n_errors[call->method][i]++;
}

static void count(struct api_call *call, enum status status)
{
    if (!call->api) {
        return;
    }
    int64_t duration_us = clock_monotonic_us() - call->begun_us;
    histogram_add(&call->api->stats.durations[call->method],
                  duration_us > 0 ? (uint64_t)duration_us : 0);
    if (status != STATUS_OK) {
        count_error(call, status);
    }
}

void api_answer_error(struct api_call *call, enum status status, const char *detail)
{
    count(call, status);
    if (!call->request) {
        call->answered(call, &(struct api_answer){.status = status, .detail = detail});
    } else if (call->is_transport_mode) {
        api_reply_bare_error(call->request, status, detail);
    } else {
        api_reply_error(call->request, status, detail);
    }
}

/* text: between its braces. */
static void answer_owner(struct api_call *call, const struct buf *text)
{
    struct str head = STR("{\"result\":");
    struct str value = str_tail(buf_str(text), head.len);
    call->answered(call,
                   &(struct api_answer){.detail = "", .result = str_head(value, value.len - 1)});
}

void api_answer_text(struct api_call *call, const struct buf *text)
{
    if (buf_failed(text)) {
        api_answer_error(call, STATUS_INTERNAL, "the answer is too large");
        return;
    }
    count(call, STATUS_OK);
    if (call->request) {
        api_reply_text(call->request, text);
    } else {
        answer_owner(call, text);
    }
}

void api_answer_result(struct api_call *call, struct buf *body)
{
    buf_append_char(body, '}');
    api_answer_text(call, body);
    buf_release(body);
}
