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

/* --- faults --- */

enum {
    F_OBJECT,
    F_INFO,
    F_B64INFO,
    F_DATA,
    F_B64DATA,
    F_EXPIRE_AT,
    F_OVERRIDE,
    F_PRESENCE,
    F_JOIN_LEAVE,
    F_FORCE_PUSH_JOIN_LEAVE,
    F_FORCE_POSITIONING,
    F_FORCE_RECOVERY,
    N_GRANT_FAULTS,
    NO_FAULT = N_GRANT_FAULTS
};

#define FAULT(member_, expected_)                                                                  \
    {                                                                                              \
        .member = member_, .in_result = "result." member_, .expected = expected_,                  \
        .in_words = member_ ": expected " expected_                                                \
    }
#define CHOICE "{\"value\": true or false} and nothing else"
#define OVERRIDES                                                                                  \
    "an object with none but presence, join_leave, force_push_join_leave, force_positioning, "     \
    "force_recovery"

/* Of one grant, with what stands in front of its members. */
#define GRANT_FAULTS(at)                                                                           \
    [F_INFO] = FAULT(at "info", "one of each name"),                                               \
    [F_B64INFO] = FAULT(at "b64info", "base64 of JSON"),                                           \
    [F_DATA] = FAULT(at "data", "one of each name"),                                               \
    [F_B64DATA] = FAULT(at "b64data", "base64 of JSON"),                                           \
    [F_EXPIRE_AT] = FAULT(at "expire_at", "whole seconds since 1970"),                             \
    [F_OVERRIDE] = FAULT(at "override", OVERRIDES),                                                \
    [F_PRESENCE] = FAULT(at "override.presence", CHOICE),                                          \
    [F_JOIN_LEAVE] = FAULT(at "override.join_leave", CHOICE),                                      \
    [F_FORCE_PUSH_JOIN_LEAVE] = FAULT(at "override.force_push_join_leave", CHOICE),                \
    [F_FORCE_POSITIONING] = FAULT(at "override.force_positioning", CHOICE),                        \
    [F_FORCE_RECOVERY] = FAULT(at "override.force_recovery", CHOICE)

static const struct subscription_fault grant_faults[N_GRANT_FAULTS] = {
    [F_OBJECT] = {"", "result", "an object", "it is no object"}, GRANT_FAULTS("")};
static const struct subscription_fault subs_faults[N_GRANT_FAULTS] = {
    [F_OBJECT] = FAULT("subs", "an object of objects, by name of channel"),
    GRANT_FAULTS("subs.*.")};
static const struct subscription_fault channels_fault =
    FAULT("channels", "a list of names of channels");

static enum status fail(const struct subscription_fault *fault, enum status status,
                        const struct subscription_fault **ret_fault)
{
    if (status == STATUS_INVALID && ret_fault) {
        *ret_fault = fault;
    }
    return status;
}

/* --- override --- */

enum { N_OVERRIDES = F_FORCE_RECOVERY - F_PRESENCE + 1 };

static const struct str override_names[N_OVERRIDES] = {
    STR("presence"), STR("join_leave"), STR("force_push_join_leave"), STR("force_positioning"),
    STR("force_recovery")};

static bool is_name(struct str raw_key, const struct str *names, size_t n_names)
{
    for (size_t i = 0; i < n_names; i++) {
        if (json_key_is(raw_key, names[i])) {
            return true;
        }
    }
    return false;
}

static bool has_others(struct str object, const struct str *names, size_t n_names)
{
    struct json_walk w = json_walk(object);
    struct str key;
    struct str item;
    while (json_next_member(&w, &key, &item)) {
        if (!is_name(key, names, n_names)) {
            return true;
        }
    }
    return false;
}

/* {"value": true}; the protocol leaves out what is false. */
static bool read_choice(struct str value, unsigned char *ret_choice)
{
    struct json_field f = {STR("value"), STR_EMPTY};
    bool truth = false;
    if (is_absent(value)) {
        *ret_choice = OVERRIDE_NONE;
        return true;
    }
    if (json_read_object(value, &f, 1, NULL) != STATUS_OK || has_others(value, &f.name, 1) ||
        (!is_absent(f.value) && !json_to_bool(f.value, &truth))) {
        return false;
    }
    *ret_choice = truth ? OVERRIDE_TRUE : OVERRIDE_FALSE;
    return true;
}

/* Returns the fault. */
static int read_override(struct str value, struct subscription_override *o)
{
    struct json_field f[N_OVERRIDES];
    unsigned char *choices[N_OVERRIDES] = {&o->presence, &o->join_leave, &o->force_push_join_leave,
                                           &o->force_positioning, &o->force_recovery};
    if (is_absent(value)) {
        return NO_FAULT;
    }
    for (size_t i = 0; i < N_OVERRIDES; i++) {
        f[i] = (struct json_field){.name = override_names[i]};
    }
    if (json_read_object(value, f, N_OVERRIDES, NULL) != STATUS_OK ||
        has_others(value, override_names, N_OVERRIDES)) {
        return F_OVERRIDE;
    }
    for (int i = 0; i < N_OVERRIDES; i++) {
        if (!read_choice(f[i].value, choices[i])) {
            return F_PRESENCE + i;
        }
    }
    return NO_FAULT;
}

/* --- one grant --- */

enum { G_INFO, G_B64INFO, G_DATA, G_B64DATA, G_EXPIRE_AT, G_OVERRIDE, N_GRANT };

static enum status read_texts(const struct json_field *f, struct subscription_grant *grant,
                              int *fault)
{
    enum status status = subscription_text_read(f[G_INFO].value, f[G_B64INFO].value, &grant->info);
    *fault = F_B64INFO;
    if (status == STATUS_OK) {
        status = subscription_text_read(f[G_DATA].value, f[G_B64DATA].value, &grant->data);
        *fault = F_B64DATA;
    }
    return status;
}

static enum status read_members(const struct json_field *f, struct subscription_grant *grant,
                                int *fault)
{
    struct str expire_at = f[G_EXPIRE_AT].value;
    if (!is_absent(expire_at) &&
        (!json_to_i64(expire_at, &grant->expires_at) || grant->expires_at < 0)) {
        *fault = F_EXPIRE_AT;
        return STATUS_INVALID;
    }
    *fault = read_override(f[G_OVERRIDE].value, &grant->override);
    return *fault == NO_FAULT ? read_texts(f, grant, fault) : STATUS_INVALID;
}

/* *fault: after STATUS_INVALID. */
static enum status read_grant(struct str object, struct subscription_grant *ret_grant, int *fault)
{
    struct json_field f[N_GRANT] = {
        [G_INFO] = {STR("info"), STR_EMPTY},           [G_B64INFO] = {STR("b64info"), STR_EMPTY},
        [G_DATA] = {STR("data"), STR_EMPTY},           [G_B64DATA] = {STR("b64data"), STR_EMPTY},
        [G_EXPIRE_AT] = {STR("expire_at"), STR_EMPTY}, [G_OVERRIDE] = {STR("override"), STR_EMPTY},
    };
    const struct json_field *repeated = NULL;
    struct subscription_grant grant = {0};
    if (json_read_object(json_trim(object), f, N_GRANT, &repeated) != STATUS_OK) {
        *fault = repeated ? F_INFO + (int)(repeated - f) : F_OBJECT;
        return STATUS_INVALID;
    }
    enum status status = read_members(f, &grant, fault);
    if (status != STATUS_OK) {
        subscription_grant_release(&grant);
        return status;
    }
    *ret_grant = grant;
    return STATUS_OK;
}

enum status subscription_grant_read(struct str object, struct subscription_grant *ret_grant,
                                    const struct subscription_fault **ret_fault)
{
    int fault = F_OBJECT;
    enum status status = read_grant(object, ret_grant, &fault);
    return fail(&grant_faults[fault == NO_FAULT ? F_OBJECT : fault], status, ret_fault);
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

static enum status read_subs(struct str subs, struct subscription_grants *grants, int *fault)
{
    struct json_walk w = json_walk(subs);
    struct str key;
    struct str item;
    enum status status = STATUS_OK;
    while (status == STATUS_OK && json_next_member(&w, &key, &item)) {
        struct subscription_grant *grant = &grants->items[grants->n_items];
        status = json_kind(item) == JSON_KIND_NULL ? STATUS_OK : read_grant(item, grant, fault);
        if (status == STATUS_OK) {
            *fault = F_OBJECT;
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

static enum status read_all(struct str channels, struct str subs,
                            struct subscription_grants *grants,
                            const struct subscription_fault **ret_fault)
{
    int fault = F_OBJECT;
    size_t n = json_count(channels) + json_count(subs);
    grants->items = n > 0 ? calloc(n, sizeof(*grants->items)) : NULL;
    if (n > 0 && !grants->items) {
        return STATUS_NO_MEMORY;
    }
    enum status status = fail(&channels_fault, read_channels(channels, grants), ret_fault);
    if (status == STATUS_OK) {
        status = read_subs(subs, grants, &fault);
        status = fail(&subs_faults[fault == NO_FAULT ? F_OBJECT : fault], status, ret_fault);
    }
    return status == STATUS_OK ? remove_repeated(grants) : status;
}

enum status subscription_grants_read(struct str object, struct subscription_grants *ret_grants,
                                     const struct subscription_fault **ret_fault)
{
    struct json_field f[] = {{STR("channels"), STR_EMPTY}, {STR("subs"), STR_EMPTY}};
    const struct json_field *repeated = NULL;
    struct subscription_grants grants = {NULL, 0};
    if (json_read_object(json_trim(object), f, 2, &repeated) != STATUS_OK) {
        const struct subscription_fault *fault = &grant_faults[F_OBJECT];
        fault = !repeated ? fault : repeated == f ? &channels_fault : &subs_faults[F_OBJECT];
        return fail(fault, STATUS_INVALID, ret_fault);
    }
    struct str channels = is_absent(f[0].value) ? STR_EMPTY : f[0].value;
    struct str subs = is_absent(f[1].value) ? STR_EMPTY : f[1].value;
    if (channels.len > 0 && json_kind(channels) != JSON_KIND_ARRAY) {
        return fail(&channels_fault, STATUS_INVALID, ret_fault);
    }
    if (subs.len > 0 && json_kind(subs) != JSON_KIND_OBJECT) {
        return fail(&subs_faults[F_OBJECT], STATUS_INVALID, ret_fault);
    }
    enum status status = read_all(channels, subs, &grants, ret_fault);
    if (status != STATUS_OK) {
        subscription_grants_release(&grants);
        return status;
    }
    *ret_grants = grants;
    return STATUS_OK;
}
