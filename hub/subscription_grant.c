/* SPDX-License-Identifier: MIT */
/* Unit subscription_grant reads what is said about subscriptions out of checked JSON. It keeps no
 * state. Texts stay as they came but for their line ends. */
#include "hub/subscription_grant.h"

#include <stdlib.h>

#include "base/base64.h"
#include "base/json_span.h"

void subscription_grant_release(struct subscription_grant *grant)
{
    free(grant->channel);
    free(grant->info);
    free(grant->data);
    *grant = (struct subscription_grant){0};
}

void subscription_grants_release(struct subscription_grants *grants)
{
    for (size_t i = 0; i < grants->n_items; i++) {
        subscription_grant_release(&grants->items[i]);
    }
    free(grants->items);
    *grants = (struct subscription_grants){NULL, 0};
}

/* --- texts --- */

static bool is_absent(struct str value)
{
    return value.len == 0 || json_kind(value) == JSON_KIND_NULL;
}

static enum status take(struct buf *text, char **ret_text)
{
    char *taken = buf_take(text);
    if (!taken) {
        return STATUS_NO_MEMORY;
    }
    *ret_text = taken;
    return STATUS_OK;
}

static enum status one_line(struct str value, char **ret_text)
{
    struct buf text;
    buf_init(&text, value.len + 1);
    json_append_one_line(&text, json_trim(value));
    enum status status = take(&text, ret_text);
    buf_release(&text);
    return status;
}

static enum status from_base64(struct str base64, char **ret_text)
{
    struct buf json;
    buf_init(&json, base64.len + 4);
    enum status status = STATUS_INVALID;
    if (base64_decode(base64, &json) && json_check(buf_str(&json), NULL) == STATUS_OK) {
        status = one_line(buf_str(&json), ret_text);
    } else if (buf_failed(&json)) {
        status = STATUS_NO_MEMORY;
    }
    buf_release(&json);
    return status;
}

enum status subscription_text_read(struct str json, struct str base64, char **ret_text)
{
    struct buf text;
    buf_init(&text, base64.len + 1);
    enum status status = is_absent(base64) ? STATUS_OK : json_decode_string(base64, &text);
    if (status == STATUS_OK && text.len > 0) {
        status = from_base64(buf_str(&text), ret_text);
    } else if (status == STATUS_OK && json.len > 0) {
        status = one_line(json, ret_text);
    } else if (status == STATUS_OK) {
        *ret_text = NULL;
    }
    buf_release(&text);
    return status;
}

/* --- override --- */

enum {
    O_PRESENCE,
    O_JOIN_LEAVE,
    O_FORCE_PUSH_JOIN_LEAVE,
    O_FORCE_POSITIONING,
    O_FORCE_RECOVERY,
    N_OVERRIDES
};

/* {"value": true}; the protocol leaves out what is false. */
static bool read_choice(struct str value, unsigned char *ret_choice)
{
    struct json_field f = {STR("value"), STR_EMPTY};
    bool truth = false;
    if (is_absent(value)) {
        *ret_choice = OVERRIDE_NONE;
        return true;
    }
    if (json_read_object(value, &f, 1, NULL) != STATUS_OK ||
        (!is_absent(f.value) && !json_to_bool(f.value, &truth))) {
        return false;
    }
    *ret_choice = truth ? OVERRIDE_TRUE : OVERRIDE_FALSE;
    return true;
}

static bool read_override(struct str value, struct subscription_override *ret_override)
{
    struct json_field f[N_OVERRIDES] = {
        [O_PRESENCE] = {STR("presence"), STR_EMPTY},
        [O_JOIN_LEAVE] = {STR("join_leave"), STR_EMPTY},
        [O_FORCE_PUSH_JOIN_LEAVE] = {STR("force_push_join_leave"), STR_EMPTY},
        [O_FORCE_POSITIONING] = {STR("force_positioning"), STR_EMPTY},
        [O_FORCE_RECOVERY] = {STR("force_recovery"), STR_EMPTY},
    };
    struct subscription_override *o = ret_override;
    if (is_absent(value)) {
        return true;
    }
    return json_read_object(value, f, N_OVERRIDES, NULL) == STATUS_OK &&
           read_choice(f[O_PRESENCE].value, &o->presence) &&
           read_choice(f[O_JOIN_LEAVE].value, &o->join_leave) &&
           read_choice(f[O_FORCE_PUSH_JOIN_LEAVE].value, &o->force_push_join_leave) &&
           read_choice(f[O_FORCE_POSITIONING].value, &o->force_positioning) &&
           read_choice(f[O_FORCE_RECOVERY].value, &o->force_recovery);
}

/* --- one grant --- */

enum { G_INFO, G_B64INFO, G_DATA, G_B64DATA, G_EXPIRE_AT, G_OVERRIDE, N_GRANT };

static enum status fail(const char *member, enum status status, const char **ret_wrong)
{
    if (status == STATUS_INVALID && ret_wrong) {
        *ret_wrong = member;
    }
    return status;
}

static enum status read_texts(const struct json_field *f, struct subscription_grant *grant,
                              const char **ret_wrong)
{
    enum status status = subscription_text_read(f[G_INFO].value, f[G_B64INFO].value, &grant->info);
    if (status != STATUS_OK) {
        return fail("b64info", status, ret_wrong);
    }
    status = subscription_text_read(f[G_DATA].value, f[G_B64DATA].value, &grant->data);
    return fail("b64data", status, ret_wrong);
}

static enum status read_members(const struct json_field *f, struct subscription_grant *grant,
                                const char **ret_wrong)
{
    struct str expire_at = f[G_EXPIRE_AT].value;
    if (!is_absent(expire_at) &&
        (!json_to_i64(expire_at, &grant->expires_at) || grant->expires_at < 0)) {
        return fail("expire_at", STATUS_INVALID, ret_wrong);
    }
    if (!read_override(f[G_OVERRIDE].value, &grant->override)) {
        return fail("override", STATUS_INVALID, ret_wrong);
    }
    return read_texts(f, grant, ret_wrong);
}

enum status subscription_grant_read(struct str object, struct subscription_grant *ret_grant,
                                    const char **ret_wrong)
{
    struct json_field f[N_GRANT] = {
        [G_INFO] = {STR("info"), STR_EMPTY},           [G_B64INFO] = {STR("b64info"), STR_EMPTY},
        [G_DATA] = {STR("data"), STR_EMPTY},           [G_B64DATA] = {STR("b64data"), STR_EMPTY},
        [G_EXPIRE_AT] = {STR("expire_at"), STR_EMPTY}, [G_OVERRIDE] = {STR("override"), STR_EMPTY},
    };
    const struct json_field *repeated = NULL;
    struct subscription_grant grant = {0};
    if (json_read_object(json_trim(object), f, N_GRANT, &repeated) != STATUS_OK) {
        return fail(repeated ? repeated->name.ptr : "", STATUS_INVALID, ret_wrong);
    }
    enum status status = read_members(f, &grant, ret_wrong);
    if (status != STATUS_OK) {
        subscription_grant_release(&grant);
        return status;
    }
    *ret_grant = grant;
    return STATUS_OK;
}

/* --- many --- */

/* A JSON string, or a member's key with its quotes. */
static enum status read_name(struct str quoted, char **ret_name)
{
    struct buf name;
    buf_init(&name, quoted.len + 1);
    enum status status = json_decode_string(quoted, &name);
    if (status == STATUS_OK) {
        status =
            name.len == 0 || memchr(name.ptr, 0, name.len) ? STATUS_INVALID : take(&name, ret_name);
    }
    buf_release(&name);
    return status;
}

static enum status read_channels(struct str channels, struct subscription_grants *grants)
{
    struct json_walk w = json_walk(channels);
    struct str item;
    enum status status = STATUS_OK;
    while (status == STATUS_OK && json_next_element(&w, &item)) {
        status = read_name(item, &grants->items[grants->n_items].channel);
        grants->n_items += status == STATUS_OK;
    }
    return status;
}

static enum status read_subs(struct str subs, struct subscription_grants *grants)
{
    struct json_walk w = json_walk(subs);
    struct str key;
    struct str item;
    enum status status = STATUS_OK;
    while (status == STATUS_OK && json_next_member(&w, &key, &item)) {
        struct subscription_grant *grant = &grants->items[grants->n_items];
        status = json_kind(item) == JSON_KIND_NULL ? STATUS_OK
                                                   : subscription_grant_read(item, grant, NULL);
        if (status == STATUS_OK) {
            grants->n_items++; /* what it has is released with the others */
            status = read_name((struct str){key.ptr - 1, key.len + 2}, &grant->channel);
        }
    }
    return status;
}

/* By name, then by place. */
static int compare(const void *left, const void *right)
{
    const struct subscription_grant *a = *(struct subscription_grant *const *)left;
    const struct subscription_grant *b = *(struct subscription_grant *const *)right;
    int order = strcmp(a->channel, b->channel);
    return order != 0 ? order : a < b ? -1 : 1;
}

/* Of several for one channel the last stays: "subs" stand behind "channels". Sorted and not
 * compared each with each: how many there are is for others to say. */
static enum status remove_repeated(struct subscription_grants *grants)
{
    struct subscription_grant **sorted =
        calloc(grants->n_items + 1, sizeof(struct subscription_grant *));
    size_t n_left = 0;
    if (!sorted) {
        return STATUS_NO_MEMORY;
    }
    for (size_t i = 0; i < grants->n_items; i++) {
        sorted[i] = &grants->items[i];
    }
    qsort(sorted, grants->n_items, sizeof(struct subscription_grant *), compare);
    for (size_t i = 1; i < grants->n_items; i++) {
        if (strcmp(sorted[i - 1]->channel, sorted[i]->channel) == 0) {
            subscription_grant_release(sorted[i - 1]);
        }
    }
    free(sorted);
    for (size_t i = 0; i < grants->n_items; i++) {
        if (grants->items[i].channel) {
            grants->items[n_left++] = grants->items[i];
        }
    }
    grants->n_items = n_left;
    return STATUS_OK;
}

static size_t count_members(struct str subs)
{
    struct json_walk w = json_walk(subs);
    struct str key;
    struct str item;
    size_t n = 0;
    while (json_next_member(&w, &key, &item)) {
        n++;
    }
    return n;
}

static size_t count_elements(struct str channels)
{
    struct json_walk w = json_walk(channels);
    struct str item;
    size_t n = 0;
    while (json_next_element(&w, &item)) {
        n++;
    }
    return n;
}

static enum status read_all(struct str channels, struct str subs,
                            struct subscription_grants *grants, const char **ret_wrong)
{
    size_t n = count_elements(channels) + count_members(subs);
    grants->items = n > 0 ? calloc(n, sizeof(*grants->items)) : NULL;
    if (n > 0 && !grants->items) {
        return STATUS_NO_MEMORY;
    }
    enum status status = fail("channels", read_channels(channels, grants), ret_wrong);
    if (status == STATUS_OK) {
        status = fail("subs", read_subs(subs, grants), ret_wrong);
    }
    return status == STATUS_OK ? remove_repeated(grants) : status;
}

enum status subscription_grants_read(struct str object, struct subscription_grants *ret_grants,
                                     const char **ret_wrong)
{
    struct json_field f[] = {{STR("channels"), STR_EMPTY}, {STR("subs"), STR_EMPTY}};
    const struct json_field *repeated = NULL;
    struct subscription_grants grants = {NULL, 0};
    if (json_read_object(json_trim(object), f, 2, &repeated) != STATUS_OK) {
        return fail(repeated ? repeated->name.ptr : "", STATUS_INVALID, ret_wrong);
    }
    struct str channels = is_absent(f[0].value) ? STR_EMPTY : f[0].value;
    struct str subs = is_absent(f[1].value) ? STR_EMPTY : f[1].value;
    if (channels.len > 0 && json_kind(channels) != JSON_KIND_ARRAY) {
        return fail("channels", STATUS_INVALID, ret_wrong);
    }
    if (subs.len > 0 && json_kind(subs) != JSON_KIND_OBJECT) {
        return fail("subs", STATUS_INVALID, ret_wrong);
    }
    enum status status = read_all(channels, subs, &grants, ret_wrong);
    if (status != STATUS_OK) {
        subscription_grants_release(&grants);
        return status;
    }
    *ret_grants = grants;
    return STATUS_OK;
}
