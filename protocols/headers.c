/* SPDX-License-Identifier: MIT */
#include "protocols/headers.h"

size_t headers_size(struct lws *wsi, enum lws_token_indexes token)
{
    int len = lws_hdr_total_length(wsi, token);
    return len > 0 ? (size_t)len + 1 : 0;
}

size_t headers_size_custom(struct lws *wsi, struct str name)
{
    int len = lws_hdr_custom_length(wsi, name.ptr, (int)name.len);
    return len > 0 ? (size_t)len + 1 : 0;
}

/* Room for len bytes and a NUL; NULL when there is none. */
static char *take_room(struct headers *h, int len)
{
    if ((size_t)len + 1 > h->size - h->used) {
        h->is_full = true;
        return NULL;
    }
    char *at = h->bytes + h->used;
    h->used += (size_t)len + 1;
    return at;
}

struct str headers_copy(struct headers *h, struct lws *wsi, enum lws_token_indexes token)
{
    int len = lws_hdr_total_length(wsi, token);
    char *at = len > 0 ? take_room(h, len) : NULL;
    if (!at) {
        return STR_EMPTY;
    }
    if (lws_hdr_copy(wsi, at, len + 1, token) < 0) {
        h->is_full = true;
        return STR_EMPTY;
    }
    return (struct str){at, (size_t)len};
}

struct str headers_copy_custom(struct headers *h, struct lws *wsi, struct str name)
{
    int len = lws_hdr_custom_length(wsi, name.ptr, (int)name.len);
    char *at = len > 0 ? take_room(h, len) : NULL;
    if (!at) {
        return STR_EMPTY;
    }
    if (lws_hdr_custom_copy(wsi, at, len + 1, name.ptr, (int)name.len) < 0) {
        h->is_full = true;
        return STR_EMPTY;
    }
    return (struct str){at, (size_t)len};
}

/* libwebsockets counts the bytes of all arguments together: that is the room which is looked for
 * here, also for one. */
struct str headers_copy_argument(struct headers *h, struct lws *wsi, struct str name)
{
    struct str found = STR_EMPTY;
    int size = lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_URI_ARGS);
    char *at = size > 0 ? take_room(h, size) : NULL;
    for (int i = 0; at; i++) {
        int len = lws_hdr_copy_fragment(wsi, at, size + 1, WSI_TOKEN_HTTP_URI_ARGS, i);
        if (len < 0) {
            break;
        }
        struct str argument = {at, (size_t)len};
        if (str_starts_with(argument, name)) {
            found = str_tail(argument, name.len);
            break;
        }
    }
    return found;
}
