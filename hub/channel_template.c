/* SPDX-License-Identifier: MIT */
#include "hub/channel_template.h"

bool channel_template_next(struct str *rest, struct str *ret_piece, bool *ret_is_name)
{
    if (rest->len == 0) {
        return false;
    }
    *ret_is_name = rest->ptr[0] == '{';
    ptrdiff_t end = str_find(*rest, *ret_is_name ? '}' : '{');
    if (*ret_is_name && end <= 1) {
        return false;
    }
    size_t len = end < 0 ? rest->len : (size_t)end;
    *ret_piece = *ret_is_name ? (struct str){rest->ptr + 1, len - 1} : str_head(*rest, len);
    *rest = str_tail(*rest, *ret_is_name ? len + 1 : len);
    return true;
}
