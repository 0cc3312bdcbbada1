/* SPDX-License-Identifier: MIT */
/* Unit api_drain reads which clients shall be sent away, and how fast; the hub does it. No state.
 */
#include "protocols/api_drain.h"

#include "base/config.h"
#include "protocols/api_reply.h"

#define DURATION_MAX_MS INT64_C(86400000)

static bool read_duration(struct api_params *params, int64_t *ret_ms)
{
    struct str text;
    if (!api_text(params, "duration", &text)) {
        return false;
    }
    bool is_good = !api_has(params, "duration") ||
                   (config_parse_duration(text, ret_ms) && *ret_ms <= DURATION_MAX_MS);
    return is_good ||
           api_complain(params, "duration", "a duration like \"30s\" or \"5m\", at most \"24h\"");
}

static bool read_percent(struct api_params *params, unsigned *ret_percent)
{
    int64_t percent;
    bool is_good = api_i64(params, "percent", &percent) && percent >= 0 && percent <= 100;
    if (!is_good) {
        return api_complain(params, "percent", "a whole number from 0 to 100");
    }
    if (api_has(params, "percent")) {
        *ret_percent = (unsigned)percent;
    }
    return true;
}

void api_drain(struct api_call *call, struct api_params *params)
{
    struct drain_request drain = {.duration_ms = hub_drain_ms(call->hub), .percent = 100};
    if (!read_duration(params, &drain.duration_ms) || !read_percent(params, &drain.percent) ||
        !api_bool(params, "refuse", &drain.refuses_new)) {
        api_answer_error(call, STATUS_INVALID, params->wrong);
        return;
    }
    size_t n_clients;
    enum status status = hub_drain(call->hub, &drain, &n_clients);
    if (status != STATUS_OK) {
        api_answer_error(call, status, "");
        return;
    }
    struct buf body = api_begin_result();
    buf_printf(&body, "{\"num_clients\":%zu}", n_clients);
    api_answer_result(call, &body);
}
