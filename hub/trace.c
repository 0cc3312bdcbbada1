/* SPDX-License-Identifier: MIT */
#include "hub/trace.h"

#include <stdio.h>
#include <string.h>

#include "base/rng.h"

static bool is_hex(struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'f')) {
            return false;
        }
    }
    return true;
}

static bool is_zero(struct str text)
{
    return strspn(text.ptr, "0") >= text.len;
}

static struct str part(struct str text, size_t from, size_t len)
{
    return str_head(str_tail(text, from), len);
}

/* "00-" trace "-" parent "-" flags: section 3.2. Later versions may have more behind it. */
static bool is_parent(struct str text)
{
    if (text.len < TRACE_PARENT_BYTES || text.ptr[2] != '-' || text.ptr[35] != '-' ||
        text.ptr[52] != '-') {
        return false;
    }
    struct str version = part(text, 0, 2);
    struct str id = part(text, 3, 32);
    struct str parent = part(text, 36, 16);
    bool is_first = str_eq(version, STR("00"));
    return is_hex(version) && !str_eq(version, STR("ff")) && is_hex(id) && !is_zero(id) &&
           is_hex(parent) && !is_zero(parent) && is_hex(part(text, 53, 2)) &&
           (text.len == TRACE_PARENT_BYTES || (!is_first && text.ptr[TRACE_PARENT_BYTES] == '-'));
}

/* What can stand in a header as it came. */
static bool is_state(struct str text)
{
    bool is_good = text.len > 0 && text.len <= TRACE_STATE_MAX_BYTES;
    for (size_t i = 0; is_good && i < text.len; i++) {
        is_good = text.ptr[i] == '\t' || (text.ptr[i] >= ' ' && text.ptr[i] <= '~');
    }
    return is_good;
}

bool trace_read(struct str parent, struct str state, struct trace *ret_trace)
{
    *ret_trace = (struct trace){.id = ""};
    if (!is_parent(parent)) {
        return false;
    }
    memcpy(ret_trace->id, parent.ptr + 3, 32);
    memcpy(ret_trace->flags, parent.ptr + 53, 2);
    if (is_state(state)) {
        memcpy(ret_trace->state, state.ptr, state.len);
    }
    return true;
}

size_t trace_lines(const struct trace *trace, char place[TRACE_LINES_SIZE], struct str lines[2])
{
    if (!trace->id[0]) {
        return 0;
    }
    uint64_t id = rng_u64();
    int len = snprintf(place, TRACE_LINES_SIZE, "traceparent: 00-%s-%016llx-%s", trace->id,
                       (unsigned long long)(id ? id : 1), trace->flags);
    lines[0] = (struct str){place, (size_t)len};
    if (!trace->state[0]) {
        return 1;
    }
    char *rest = place + len;
    len = snprintf(rest, TRACE_LINES_SIZE - (size_t)len, "tracestate: %s", trace->state);
    lines[1] = (struct str){rest, (size_t)len};
    return 2;
}
