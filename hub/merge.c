/* SPDX-License-Identifier: MIT */
/* Unit merge joins texts, not trees: numbers stay as their upstream wrote them. */
#include "hub/merge.h"

#include "base/json_span.h"

enum status merge_object(const struct merge_part *parts, size_t n_parts, struct buf *out)
{
    buf_append_char(out, '{');
    for (size_t i = 0; i < n_parts; i++) {
        buf_append(out, i > 0 ? STR(",") : STR_EMPTY);
        json_append_string(out, parts[i].name);
        buf_append_char(out, ':');
        if (parts[i].value.len > 0) {
            json_append_one_line(out, parts[i].value);
        } else {
            buf_literal(out, "null");
        }
    }
    buf_append_char(out, '}');
    return buf_failed(out) ? STATUS_TOO_LARGE : STATUS_OK;
}

enum status merge_select(struct str answer, struct str pointer, struct str *ret_value)
{
    return json_pointer(answer, pointer, ret_value) ? STATUS_OK : STATUS_NOT_FOUND;
}
