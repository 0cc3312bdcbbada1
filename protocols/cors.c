/* SPDX-License-Identifier: MIT */
/* Unit cors has no state. */
#include "protocols/cors.h"

#include <ctype.h>

#include "protocols/origin.h"

/* What is echoed must not end its line, nor confuse who reads it. */
static bool is_visible(struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] <= ' ' || text.ptr[i] > '~') {
            return false;
        }
    }
    return text.len > 0;
}

/* RFC 9110's tokens, with commas and blanks between them. */
static bool is_list_of_names(struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (c == '\0' || (!isalnum((unsigned char)c) && !strchr("!#$%&'*+-.^_`|~, ", c))) {
            return false;
        }
    }
    return text.len > 0;
}

void cors_append(struct buf *out, const struct config_list *allowed_origins, struct str origin,
                 struct str requested)
{
    buf_literal(out, "Vary: Origin\r\n"); /* also for who comes without one: caches are shared */
    if (!is_visible(origin) || !origin_is_allowed(allowed_origins, origin)) {
        return;
    }
    buf_literal(out, "Access-Control-Allow-Origin: ");
    buf_append(out, origin);
    buf_literal(out, "\r\nAccess-Control-Allow-Credentials: true\r\n");
    if (is_list_of_names(requested)) {
        buf_literal(out, "Access-Control-Allow-Headers: ");
        buf_append(out, requested);
        buf_literal(out, "\r\n");
    }
}
