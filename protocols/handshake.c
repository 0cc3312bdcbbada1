/* SPDX-License-Identifier: MIT */
#include "protocols/handshake.h"

#include <ctype.h>

bool handshake_has_token(struct str list, struct str token)
{
    while (list.len > 0) {
        ptrdiff_t comma = str_find(list, ',');
        struct str item = comma < 0 ? list : str_head(list, (size_t)comma);
        list = comma < 0 ? STR_EMPTY : str_tail(list, (size_t)comma + 1);
        if (str_eq_nocase(str_trim(item), token)) {
            return true;
        }
    }
    return false;
}

/* 16 bytes in base64: 22 digits and two fill characters. */
static bool key_is_valid(struct str key)
{
    if (key.len != 24 || key.ptr[22] != '=' || key.ptr[23] != '=') {
        return false;
    }
    for (size_t i = 0; i < 22; i++) {
        if (!isalnum((unsigned char)key.ptr[i]) && key.ptr[i] != '+' && key.ptr[i] != '/') {
            return false;
        }
    }
    return true;
}

static struct handshake_refusal bad(const char *text)
{
    return (struct handshake_refusal){.status = 400, .text = text};
}

struct handshake_refusal handshake_check(const struct handshake *h, struct str path)
{
    if (!str_eq_nocase(h->upgrade, STR("websocket"))) { /* such as h2c */
        return bad("the only upgrade here is websocket; without it, speak HTTP/1.1\n");
    }
    if (!str_eq(h->path, path)) {
        return (struct handshake_refusal){.status = 404, .text = "no WebSocket endpoint here\n"};
    }
    if (!h->is_get) {
        return (struct handshake_refusal){.status = 405,
                                          .text = "a WebSocket handshake is a GET request\n",
                                          .headers = "Allow: GET\r\n"};
    }
    if (!str_eq(h->http_version, STR("HTTP/1.1"))) {
        return bad("a WebSocket handshake needs HTTP/1.1\n");
    }
    if (!handshake_has_token(h->connection, STR("upgrade"))) {
        return bad("the Connection header does not say Upgrade\n");
    }
    if (h->host.len == 0) {
        return bad("the Host header is missing\n");
    }
    if (!str_eq(h->version, STR("13"))) {
        return (struct handshake_refusal){.status = 426,
                                          .text = "expected Sec-WebSocket-Version: 13\n",
                                          .headers = "Sec-WebSocket-Version: 13\r\n"};
    }
    if (!key_is_valid(h->key)) {
        return bad("Sec-WebSocket-Key is not 16 bytes in base64\n");
    }
    /* libwebsockets cuts the connection where it knows none of the offered ones. */
    if (h->protocols.len > 0 && !handshake_has_token(h->protocols, STR("centrifuge-json"))) {
        return bad("of the subprotocols only centrifuge-json is spoken here\n");
    }
    return (struct handshake_refusal){.status = 0};
}
