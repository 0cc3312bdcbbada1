/* SPDX-License-Identifier: MIT */
/* Unit traffic has the values that labels may have, and finds the one of a code or a name. The
 * state is the hub's. */
#include "hub/traffic.h"

#include <stdlib.h>

const char *client_command_name(enum client_command command)
{
    static const char *const names[N_CLIENT_COMMANDS] = {
        [COMMAND_CONNECT] = "connect",
        [COMMAND_SUBSCRIBE] = "subscribe",
        [COMMAND_UNSUBSCRIBE] = "unsubscribe",
        [COMMAND_PUBLISH] = "publish",
        [COMMAND_PRESENCE] = "presence",
        [COMMAND_PRESENCE_STATS] = "presence_stats",
        [COMMAND_HISTORY] = "history",
        [COMMAND_REFRESH] = "refresh",
        [COMMAND_SUB_REFRESH] = "sub_refresh",
        [COMMAND_RPC] = "rpc",
        [COMMAND_SEND] = "send",
    };
    return names[command];
}

const char *transport_kind_name(enum transport_kind kind)
{
    static const char *const names[N_TRANSPORT_KINDS] = {
        [TRANSPORT_WEBSOCKET] = "websocket",
        [TRANSPORT_HTTP_STREAM] = "http_stream",
        [TRANSPORT_SSE] = "sse",
        [TRANSPORT_UNI_WEBSOCKET] = "uni_websocket",
        [TRANSPORT_UNI_HTTP_STREAM] = "uni_http_stream",
        [TRANSPORT_UNI_SSE] = "uni_sse",
        [TRANSPORT_FEED_EVENTS] = "feed_events",
    };
    return names[kind];
}

const char *const traffic_client_names[N_CLIENT_NAMES] = {"js",    "go",   "python", "dart",
                                                          "swift", "java", "csharp", "other"};

/* Codes of replies: all that the hub has; backends have codes of their own. */
const uint16_t traffic_reply_codes[N_REPLY_CODES] = {100, 101, 102, 103, 104, 105, 106,
                                                     107, 108, 109, 110, 111, 112, 0};

/* What WebSocket has (RFC 6455) comes first. */
const uint16_t traffic_close_codes[N_CLOSE_CODES] = {1002, 1007, 1009, 3000, 3001, 3004, 3005, 3006,
                                                     3008, 3010, 3012, 3013, 3500, 3501, 3502, 3503,
                                                     3504, 3505, 3506, 3507, 3508, 3509, 0};

const uint16_t traffic_unsubscribe_codes[N_UNSUBSCRIBE_CODES] = {2000, 2500, 2501, 0};

unsigned traffic_client_name(struct str name)
{
    unsigned i = 0;
    while (i < N_CLIENT_NAMES - 1 && !str_eq(name, str_of(traffic_client_names[i]))) {
        i++;
    }
    return i;
}

struct traffic_namespace *traffic_namespace(struct traffic *t, struct str name)
{
    struct traffic_namespace *ns;
    name = name.ptr ? name : STR("");
    HASH_FIND(hh, t->namespaces, name.ptr, name.len, ns);
    if (!ns) {
        ns = calloc(1, sizeof(*ns) + name.len + 1);
        if (ns) {
            memcpy(ns->name, name.ptr, name.len);
            HASH_ADD_KEYPTR(hh, t->namespaces, ns->name, name.len, ns);
        }
    }
    return ns;
}

void traffic_release(struct traffic *t)
{
    struct traffic_namespace *ns;
    struct traffic_namespace *next;
    HASH_ITER (hh, t->namespaces, ns, next) {
        HASH_DEL(t->namespaces, ns);
        free(ns);
    }
}

static size_t find_code(const uint16_t *codes, size_t n_codes, uint32_t code)
{
    size_t i = 0;
    while (i < n_codes - 1 && codes[i] != code) {
        i++;
    }
    return i;
}

/* Two codes stand for what the peer did: its Close, and a connection that broke. */
void traffic_closed(struct traffic *t, enum transport_kind kind, uint32_t code)
{
    if (code != 1000 && code != 1006) {
        t->n_closes[kind][find_code(traffic_close_codes, N_CLOSE_CODES, code)]++;
    }
}

void traffic_unsubscribed(struct traffic *t, uint32_t code)
{
    t->n_unsubscribes[find_code(traffic_unsubscribe_codes, N_UNSUBSCRIBE_CODES, code)]++;
}

void traffic_error(struct traffic *t, enum client_command command, uint32_t code)
{
    t->n_errors[command][find_code(traffic_reply_codes, N_REPLY_CODES, code)]++;
}
