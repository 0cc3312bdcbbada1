/* SPDX-License-Identifier: MIT */
/* Header values of an upgrade, one a line: HTTP version, path, Host, Connection, Upgrade, key,
 * version, subprotocols; then an allowed origin, an Origin, a Content-Length. What passes must fit
 * a second, slower reading of the rules. */
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>

#include "protocols/handshake.h"
#include "protocols/http_head.h"
#include "protocols/origin.h"

#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            (void)fprintf(stderr, "line %d: %s\n", __LINE__, #condition);                          \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

#define PATH STR("/connection/websocket")

static struct str take_line(struct str *rest)
{
    ptrdiff_t end = str_find(*rest, '\n');
    struct str line = end < 0 ? *rest : str_head(*rest, (size_t)end);
    *rest = end < 0 ? STR_EMPTY : str_tail(*rest, (size_t)end + 1);
    return line;
}

static void check_handshake(const struct handshake *h)
{
    struct handshake_refusal refusal = handshake_check(h, PATH);
    switch (refusal.status) {
    case 0:
        REQUIRE(h->is_get && str_eq(h->path, PATH) && h->host.len > 0);
        REQUIRE(h->key.len == 24 && str_eq(h->version, STR("13")));
        REQUIRE(h->connection.len >= 7 && h->upgrade.len == 9);
        break;
    case 400:
    case 404:
    case 405:
    case 426: REQUIRE(refusal.text && strlen(refusal.text) > 0); break;
    default: abort();
    }
}

static void check_origin(struct str glob, struct str origin)
{
    char *text = str_dup(glob);
    REQUIRE(text);
    struct config_list list = {.items = &text, .n_items = 1};
    struct config_list nothing = {.items = NULL, .n_items = 0};
    bool is_allowed = origin_is_allowed(&list, origin);
    REQUIRE(is_allowed || origin.len > 0);
    REQUIRE(!is_allowed || origin.len <= 512);
    REQUIRE(origin_is_allowed(&nothing, origin) == (origin.len == 0));
    free(text);
}

static void check_length(struct str value)
{
    uint64_t length;
    if (http_content_length(value, &length)) {
        for (size_t i = 0; i < value.len; i++) {
            REQUIRE(value.ptr[i] != '\0' && strchr(" \t0123456789", value.ptr[i]));
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str rest = {(const char *)data, size};
    struct handshake h = {.is_get = true};
    struct str *const headers[] = {&h.http_version, &h.path, &h.host,    &h.connection,
                                   &h.upgrade,      &h.key,  &h.version, &h.protocols};

    for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
        *headers[i] = take_line(&rest);
    }
    check_handshake(&h);
    h.is_get = false;
    REQUIRE(handshake_check(&h, PATH).status != 0);
    struct str glob = take_line(&rest);
    check_origin(glob, take_line(&rest));
    check_length(take_line(&rest));
    return 0;
}
