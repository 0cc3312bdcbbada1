/* SPDX-License-Identifier: MIT */
/* Unit api_clients reads what backends want done to the connections of a user, and calls the hub.
 */
#include "protocols/api_clients.h"

#include <stdio.h>

#include "protocols/api_channels.h"
#include "protocols/api_reply.h"

#define REASON_MAX_BYTES 123 /* of a WebSocket Close frame */

static bool read_selector(struct api_params *p, struct client_selector *who)
{
    return api_text(p, "user", &who->user) &&
           (who->user.len > 0 || api_complain(p, "user", "the name of a user")) &&
           api_text(p, "client", &who->client) && api_text(p, "session", &who->session);
}

static void answer_empty(struct api_call *call)
{
    struct buf body = api_begin_result();
    buf_literal(&body, "{}");
    api_answer_result(call, &body);
}

static void refuse(struct api_call *call, const struct api_params *p)
{
    api_answer_error(call, STATUS_INVALID, p->wrong);
}

static void controlled(void *arg, enum status status, const char *detail)
{
    if (status == STATUS_OK) {
        answer_empty(arg);
    } else if (*detail) {
        api_answer_error(arg, status, detail);
    } else if (status == STATUS_OVER) {
        api_answer_error(arg, status, "expire_at: expected a time to come");
    } else {
        api_refuse_channel(arg, status);
    }
}

/* --- subscribe --- */

static bool read_since(struct api_params *p, struct control_subscribe *c)
{
    struct str since;
    struct str epoch;
    if (!api_object(p, "recover_since", &since)) {
        return false;
    }
    c->recover = since.len > 0;
    if (!c->recover) {
        return true;
    }
    if (!api_u64(p, since, "offset", &c->since.offset)) {
        return api_complain(p, "recover_since.offset", "a whole number, not negative");
    }
    if (!api_inner_text(p, since, "recover_since.epoch", &epoch)) {
        return false;
    }
    if (epoch.len >= sizeof(c->since.epoch)) {
        return api_complain(p, "recover_since.epoch", "an epoch of this hub's");
    }
    if (epoch.len > 0) {
        memcpy(c->since.epoch, epoch.ptr, epoch.len);
    }
    return true;
}

static bool read_grant(struct api_params *p, struct subscription_grant *grant)
{
    const struct subscription_fault *fault = NULL;
    enum status status = subscription_grant_read(p->object, grant, &fault);
    return status == STATUS_OK || api_complain(p, fault ? fault->member : "the hub",
                                               fault ? fault->expected : "more free memory");
}

void api_subscribe(struct api_call *call, struct api_params *p)
{
    struct control_subscribe c = {.recover = false};
    if (!read_selector(p, &c.who) || !api_text(p, "channel", &c.channel) ||
        !(c.channel.len > 0 || api_complain(p, "channel", "the name of a channel")) ||
        !read_since(p, &c) || !read_grant(p, &c.grant)) {
        refuse(call, p);
        return;
    }
    hub_subscribe(call->hub, &c, controlled, call);
    subscription_grant_release(&c.grant);
}

/* --- unsubscribe, disconnect, refresh --- */

void api_unsubscribe(struct api_call *call, struct api_params *p)
{
    struct client_selector who = {.user = STR_EMPTY};
    struct str channel;
    if (!read_selector(p, &who) || !api_text(p, "channel", &channel)) {
        refuse(call, p);
        return;
    }
    controlled(call, hub_unsubscribe(call->hub, &who, channel), "");
}

static bool read_goodbye(struct api_params *p, uint64_t *ret_code, struct str *ret_reason)
{
    struct str object;
    *ret_code = 0;
    *ret_reason = STR_EMPTY;
    if (!api_object(p, "disconnect", &object)) {
        return false;
    }
    if (object.len == 0) {
        return true;
    }
    bool is_code = api_u64(p, object, "code", ret_code) && *ret_code >= 3000 && *ret_code <= 4999;
    if (!is_code) {
        return api_complain(p, "disconnect.code", "3000 to 4999");
    }
    return api_inner_text(p, object, "disconnect.reason", ret_reason) &&
           (ret_reason->len <= REASON_MAX_BYTES ||
            api_complain(p, "disconnect.reason", "at most 123 bytes"));
}

static bool is_list_of_texts(struct str list)
{
    struct json_walk walk = json_walk(list);
    struct str item;
    bool is_good = json_kind(list) == JSON_KIND_ARRAY;
    while (is_good && json_next_element(&walk, &item)) {
        is_good = json_kind(item) == JSON_KIND_STRING;
    }
    return is_good;
}

static bool read_whitelist(struct api_params *p, struct str *ret_list)
{
    struct str list = api_value(p, "whitelist");
    bool is_none = list.len == 0 || str_eq(list, STR("null"));
    *ret_list = is_none ? STR_EMPTY : list;
    return is_none || is_list_of_texts(list) ||
           api_complain(p, "whitelist", "a list of client ids");
}

void api_disconnect(struct api_call *call, struct api_params *p)
{
    struct client_selector who = {.user = STR_EMPTY};
    uint64_t code;
    struct str reason;
    struct str whitelist;
    if (!read_selector(p, &who) || !read_whitelist(p, &whitelist) ||
        !read_goodbye(p, &code, &reason)) {
        refuse(call, p);
        return;
    }
    hub_disconnect(call->hub, &who, whitelist, (uint32_t)code, reason);
    answer_empty(call);
}

void api_refresh(struct api_call *call, struct api_params *p)
{
    struct client_selector who = {.user = STR_EMPTY};
    bool expired;
    int64_t expire_at;
    if (!read_selector(p, &who) || !api_bool(p, "expired", &expired) ||
        !api_i64(p, "expire_at", &expire_at) ||
        !(expire_at >= 0 || api_complain(p, "expire_at", "seconds since 1970"))) {
        refuse(call, p);
        return;
    }
    struct str info = api_has(p, "info") ? api_value(p, "info") : STR_EMPTY;
    hub_refresh(call->hub, &who, expired, expire_at, info);
    answer_empty(call);
}
