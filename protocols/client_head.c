/* SPDX-License-Identifier: MIT */
/* Unit client_head copies what libwebsockets has parsed. Its owner is the request that is being
 * answered; on the loop's thread. */
#include "protocols/client_head.h"

#include <ctype.h>
#include <libwebsockets.h>
#include <stdlib.h>

/* A head is no longer than libwebsockets takes (max_http_header_data). */
#define HEADER_MAX_BYTES    8448
#define FORWARDED_MAX_BYTES 65536
#define NAME_MAX_BYTES      128

static void read_arguments(struct client_head *h, struct lws *wsi)
{
    char text[HEADER_MAX_BYTES];
    if (lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_URI_ARGS) <= 0) {
        return;
    }
    for (int i = 0;; i++) {
        int len = lws_hdr_copy_fragment(wsi, text, sizeof(text), WSI_TOKEN_HTTP_URI_ARGS, i);
        if (len < 0) {
            return;
        }
        buf_append(&h->arguments, (struct str){text, (size_t)len});
        buf_append_char(&h->arguments, '\0');
    }
}

/* Lower case, with its colon. */
static struct str header_key(const char *name, char key[NAME_MAX_BYTES])
{
    size_t len = strlen(name);
    if (len + 1 >= NAME_MAX_BYTES) {
        return STR_EMPTY;
    }
    for (size_t i = 0; i < len; i++) {
        key[i] = (char)tolower((unsigned char)name[i]);
    }
    key[len] = ':';
    return (struct str){key, len + 1};
}

/* libwebsockets keeps the headers that it knows apart from all others. */
static int copy_header(struct lws *wsi, struct str key, char *text, int size)
{
    for (int token = 0; token < WSI_TOKEN_COUNT; token++) {
        const unsigned char *known = lws_token_to_string((enum lws_token_indexes)token);
        if (known && str_eq(str_of((const char *)known), key)) {
            return lws_hdr_copy(wsi, text, size, (enum lws_token_indexes)token);
        }
    }
    int len = lws_hdr_custom_length(wsi, key.ptr, (int)key.len);
    return len > 0 ? lws_hdr_custom_copy(wsi, text, size, key.ptr, (int)key.len) : 0;
}

static void read_forwarded(struct client_head *h, struct lws *wsi, const struct config_list *names)
{
    char *const *items = names->items;
    for (size_t i = 0; i < names->n_items; i++) {
        char key_text[NAME_MAX_BYTES];
        char text[HEADER_MAX_BYTES];
        struct str key = header_key(items[i], key_text);
        int len = key.len > 0 ? copy_header(wsi, key, text, sizeof(text)) : 0;
        struct str value = {text, len > 0 ? (size_t)len : 0};
        if (value.len > 0 && str_find(value, '\n') < 0 && str_find(value, '\r') < 0) {
            buf_append(&h->forwarded, str_of(items[i]));
            buf_literal(&h->forwarded, ": ");
            buf_append(&h->forwarded, value);
            buf_append_char(&h->forwarded, '\n');
        }
    }
}

static void read_others(struct client_head *h, struct lws *wsi)
{
    char text[HEADER_MAX_BYTES];
    int len = lws_hdr_copy(wsi, text, sizeof(text), WSI_TOKEN_HTTP_AC_REQUEST_HEADERS);
    buf_append(&h->requested_headers, (struct str){text, len > 0 ? (size_t)len : 0});
    len = lws_hdr_copy(wsi, text, sizeof(text), WSI_TOKEN_HTTP_CONTENT_TYPE);
    struct str type = {text, len > 0 ? (size_t)len : 0};
    ptrdiff_t end = str_find(type, ';');
    type = str_trim(end < 0 ? type : str_head(type, (size_t)end));
    h->is_binary = str_eq_nocase(type, STR("application/octet-stream"));
}

struct client_head *client_head_read(struct lws *wsi, const struct config_list *forwarded)
{
    struct client_head *h = calloc(1, sizeof(*h));
    if (!h) {
        return NULL;
    }
    buf_init(&h->arguments, FORWARDED_MAX_BYTES);
    buf_init(&h->forwarded, FORWARDED_MAX_BYTES);
    buf_init(&h->requested_headers, HEADER_MAX_BYTES);
    read_arguments(h, wsi);
    read_forwarded(h, wsi, forwarded);
    read_others(h, wsi);
    if (buf_failed(&h->arguments) || buf_failed(&h->forwarded) ||
        buf_failed(&h->requested_headers)) {
        client_head_destroy(h);
        return NULL;
    }
    return h;
}

void client_head_destroy(struct client_head *h)
{
    if (h) {
        buf_release(&h->arguments);
        buf_release(&h->forwarded);
        buf_release(&h->requested_headers);
        free(h);
    }
}

struct str client_head_find(struct str arguments, struct str name)
{
    while (arguments.len > 0) {
        ptrdiff_t end = str_find(arguments, '\0');
        struct str argument = end < 0 ? arguments : str_head(arguments, (size_t)end);
        arguments = end < 0 ? STR_EMPTY : str_tail(arguments, (size_t)end + 1);
        if (str_starts_with(argument, name) && argument.len > name.len &&
            argument.ptr[name.len] == '=') {
            return str_tail(argument, name.len + 1);
        }
    }
    return STR_EMPTY;
}

struct str client_head_argument(const struct client_head *h, struct str name)
{
    return client_head_find(buf_str(&h->arguments), name);
}

bool client_head_wants_protobuf(const struct client_head *h)
{
    return str_eq(client_head_argument(h, STR("format")), STR("protobuf")) ||
           str_eq(client_head_argument(h, STR("cf_protocol")), STR("protobuf"));
}
