/* SPDX-License-Identifier: MIT */
#include "tests/bench/http_head.h"

bool http_head_read(struct str data, struct str *ret_head)
{
    const char *end = data.len > 0 ? memmem(data.ptr, data.len, "\r\n\r\n", 4) : NULL;
    if (!end) {
        return false;
    }
    *ret_head = str_head(data, (size_t)(end - data.ptr) + 4);
    return true;
}

struct str http_head_value(struct str head, struct str name)
{
    ptrdiff_t end;
    for (struct str rest = head; (end = str_find(rest, '\r')) > 0;
         rest = str_tail(rest, (size_t)end + 2)) {
        struct str line = str_head(rest, (size_t)end);
        if (str_eq_nocase(str_head(line, name.len), name)) {
            return str_trim(str_tail(line, name.len));
        }
    }
    return STR_EMPTY;
}
