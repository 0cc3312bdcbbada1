/* SPDX-License-Identifier: MIT */
/* Unit proxy_decode reads the answers of a backend: nothing in them is taken on trust, and a member
 * that is null counts as absent, as backends write what they do not set. No state. */
#include "hub/proxy_decode.h"

#include <stdlib.h>

#include "base/base64.h"
#include "base/buf.h"
#include "base/json_span.h"

#define MAX_MESSAGE_BYTES   1024
#define MAX_KEY_BYTES       255
#define MAX_REASON_BYTES    123 /* a WebSocket Close frame holds no more */
#define MIN_DISCONNECT_CODE 3000
#define MAX_DISCONNECT_CODE 4999
#define MIN_ERROR_CODE      100 /* below are no codes of the protocol, and none of a backend's own */

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* --- texts that the reading owns --- */

/* False when memory is short. */
static bool keep(struct proxy_reading *r, struct buf *text, struct str *ret_text)
{
    size_t len = text->len;
    char *bytes = buf_take(text);
    if (!bytes) {
        return false;
    }
    r->texts[r->n_texts++] = bytes;
    *ret_text = (struct str){bytes, len};
    return true;
}

static enum status keep_decoded(struct proxy_reading *r, struct str value, struct str *ret_text)
{
    struct buf text;
    buf_init(&text, value.len);
    enum status status = json_decode_string(value, &text);
    if (status != STATUS_OK) {
        buf_release(&text);
        return status;
    }
    return keep(r, &text, ret_text) ? STATUS_OK : STATUS_NO_MEMORY;
}

static enum status keep_one_line(struct proxy_reading *r, struct str value, struct str *ret_text)
{
    struct buf text;
    buf_init(&text, value.len);
    json_append_one_line(&text, value);
    return keep(r, &text, ret_text) ? STATUS_OK : STATUS_NO_MEMORY;
}

/* --- one reader per type --- */

/* Not with a NUL: it would end up in C strings, and "admin\0x" must not become "admin". */
static enum status read_text(struct proxy_reading *r, struct str value, void *place)
{
    struct str *text = place;
    enum status status = keep_decoded(r, value, text);
    return status == STATUS_OK && str_find(*text, '\0') >= 0 ? STATUS_INVALID : status;
}

/* As long as publications have it. */
static enum status read_key(struct proxy_reading *r, struct str value, void *place)
{
    struct str *key = place;
    enum status status = read_text(r, value, key);
    return status == STATUS_OK && key->len > MAX_KEY_BYTES ? STATUS_INVALID : status;
}

static enum status read_json(struct proxy_reading *r, struct str value, void *place)
{
    return keep_one_line(r, value, place);
}

static enum status read_object(struct proxy_reading *r, struct str value, void *place)
{
    return json_kind(value) == JSON_KIND_OBJECT ? keep_one_line(r, value, place) : STATUS_INVALID;
}

static enum status read_tags(struct proxy_reading *r, struct str value, void *place)
{
    struct json_walk walk = json_walk(value);
    struct str key;
    struct str item;
    while (json_next_member(&walk, &key, &item)) {
        if (json_kind(item) != JSON_KIND_STRING) {
            return STATUS_INVALID;
        }
    }
    return read_object(r, value, place);
}

/* An empty text is none: what stands in the member beside it holds. */
static enum status read_base64(struct proxy_reading *r, struct str value, void *place)
{
    struct str text = STR_EMPTY;
    struct buf bytes;
    enum status status = keep_decoded(r, value, &text);
    if (status != STATUS_OK || text.len == 0) {
        return status;
    }
    buf_init(&bytes, text.len + 3);
    if (!base64_decode(text, &bytes) || json_check(buf_str(&bytes), NULL) != STATUS_OK) {
        status = STATUS_INVALID;
    } else {
        status = keep_one_line(r, json_trim(buf_str(&bytes)), place);
    }
    buf_release(&bytes);
    return status;
}

static enum status read_flag(struct proxy_reading *r, struct str value, void *place)
{
    (void)r;
    return json_to_bool(value, place) ? STATUS_OK : STATUS_INVALID;
}

static enum status read_seconds(struct proxy_reading *r, struct str value, void *place)
{
    int64_t seconds;
    (void)r;
    if (!json_to_i64(value, &seconds) || seconds < 0) {
        return STATUS_INVALID;
    }
    *(int64_t *)place = seconds;
    return STATUS_OK;
}

static enum status read_count(struct proxy_reading *r, struct str value, void *place)
{
    uint64_t count;
    (void)r;
    if (!json_to_u64(value, &count) || count > INT64_MAX) {
        return STATUS_INVALID;
    }
    *(uint64_t *)place = count;
    return STATUS_OK;
}

/* --- results --- */

#define ON(event) (1U << PROXY_##event)

struct member {
    const char *name;
    const char *path;
    unsigned events; /* that know it; in the results of others it is passed over */
    size_t offset;   /* in the answer */
    enum status (*read)(struct proxy_reading *r, struct str value, void *place);
    const char *expected;
};

#define MEMBER(name_, events_, place_, read_, expected_)                                           \
    {                                                                                              \
        .name = name_, .path = "result." name_, .events = events_,                                 \
        .offset = offsetof(struct proxy_answer, place_), .read = read_, .expected = expected_      \
    }

#define INFO_EVENTS   (ON(CONNECT) | ON(REFRESH) | ON(SUBSCRIBE) | ON(SUB_REFRESH))
#define DATA_EVENTS   (ON(CONNECT) | ON(SUBSCRIBE) | ON(PUBLISH) | ON(RPC))
#define EXPIRE_EVENTS (ON(REFRESH) | ON(SUB_REFRESH))

/* The base64 forms stand behind the plain ones, whose place they take. */
static const struct member members[] = {
    MEMBER("user", ON(CONNECT), user, read_text, "a string without NUL"),
    MEMBER("expired", EXPIRE_EVENTS, expired, read_flag, "true or false"),
    MEMBER("expire_at", INFO_EVENTS, expire_at, read_seconds, "whole seconds since 1970"),
    MEMBER("info", INFO_EVENTS, info, read_json, "JSON"),
    MEMBER("b64info", INFO_EVENTS, info, read_base64, "base64 of JSON"),
    MEMBER("data", DATA_EVENTS, data, read_json, "JSON"),
    MEMBER("b64data", DATA_EVENTS, data, read_base64, "base64 of JSON"),
    MEMBER("meta", ON(CONNECT) | ON(REFRESH), meta, read_object, "an object"),
    MEMBER("skip_history", ON(PUBLISH), skip_history, read_flag, "true or false"),
    MEMBER("delta", ON(PUBLISH), delta, read_flag, "true or false"),
    MEMBER("tags", ON(PUBLISH), tags, read_tags, "an object of strings"),
    MEMBER("idempotency_key", ON(PUBLISH), idempotency_key, read_key,
           "a string of at most 255 bytes without NUL"),
    MEMBER("version", ON(PUBLISH), version, read_count, "a whole number below 2^63"),
    MEMBER("version_epoch", ON(PUBLISH), version_epoch, read_key,
           "a string of at most 255 bytes without NUL"),
};

static enum status wrong(struct proxy_reading *r, const char *what, const char *expected)
{
    r->wrong = what;
    r->expected = expected;
    return STATUS_INVALID;
}

static bool is_there(struct str value)
{
    return value.len > 0 && json_kind(value) != JSON_KIND_NULL;
}

static enum status read_members(struct proxy_reading *r, enum proxy_event event, struct str result)
{
    struct json_field fields[COUNT_OF(members)];
    for (size_t i = 0; i < COUNT_OF(members); i++) {
        fields[i] = (struct json_field){.name = str_of(members[i].name)};
    }
    const struct json_field *repeated = NULL;
    if (json_read_object(result, fields, COUNT_OF(members), &repeated) != STATUS_OK) {
        return repeated ? wrong(r, members[repeated - fields].path, "one of each name")
                        : wrong(r, "result", "an object");
    }
    enum status status = STATUS_OK;
    for (size_t i = 0; i < COUNT_OF(members) && status == STATUS_OK; i++) {
        const struct member *member = &members[i];
        if ((member->events & 1U << event) && is_there(fields[i].value)) {
            status = member->read(r, fields[i].value, (char *)&r->answer + member->offset);
        }
        if (status == STATUS_INVALID) {
            return wrong(r, member->path, member->expected);
        }
    }
    return status;
}

/* What the caller will read for itself. */
static enum status check_grants(struct proxy_reading *r, enum proxy_event event, struct str result)
{
    enum status status = STATUS_OK;
    const struct subscription_fault *fault = NULL;
    if (event == PROXY_CONNECT) {
        struct subscription_grants grants;
        status = subscription_grants_read(result, &grants, &fault);
        if (status == STATUS_OK) {
            subscription_grants_release(&grants);
        }
    } else if (event == PROXY_SUBSCRIBE) {
        struct subscription_grant grant;
        status = subscription_grant_read(result, &grant, &fault);
        if (status == STATUS_OK) {
            subscription_grant_release(&grant);
        }
    }
    return status == STATUS_INVALID ? wrong(r, fault->in_result, fault->expected) : status;
}

static enum status read_result(struct proxy_reading *r, enum proxy_event event, struct str result)
{
    r->answer.verdict = PROXY_RESULT;
    r->answer.result = result;
    r->answer.has_user = event == PROXY_CONNECT;
    enum status status = read_members(r, event, result);
    return status == STATUS_OK ? check_grants(r, event, result) : status;
}

/* An answer that says nothing at all prolongs nothing, and admits nobody. */
static enum status read_nothing(struct proxy_reading *r, enum proxy_event event)
{
    enum status status = read_result(r, event, STR("{}"));
    r->answer.has_user = false;
    r->answer.expired = event == PROXY_REFRESH || event == PROXY_SUB_REFRESH;
    return status;
}

/* --- refusals --- */

enum { CODE, WORDS, TEMPORARY };

/* Words end up in C strings. */
static enum status read_words(struct proxy_reading *r, struct str value, size_t max_bytes)
{
    struct str text = STR("");
    if (is_there(value)) {
        enum status status = keep_decoded(r, value, &text);
        if (status != STATUS_OK) {
            return status;
        }
    }
    r->answer.message = text.ptr;
    return text.len <= max_bytes && str_find(text, '\0') < 0 ? STATUS_OK : STATUS_INVALID;
}

static enum status read_error(struct proxy_reading *r, struct str error)
{
    struct json_field fields[] = {
        {.name = STR("code")}, {.name = STR("message")}, {.name = STR("temporary")}};
    uint64_t code;
    r->answer.verdict = PROXY_ERROR;
    if (json_read_object(error, fields, COUNT_OF(fields), NULL) != STATUS_OK) {
        return wrong(r, "error", "an object with a code");
    }
    if (!json_to_u64(fields[CODE].value, &code) || code < MIN_ERROR_CODE || code > UINT32_MAX) {
        return wrong(r, "error.code", "a whole number from 100 to 4294967295");
    }
    if (is_there(fields[TEMPORARY].value) &&
        !json_to_bool(fields[TEMPORARY].value, &r->answer.is_temporary)) {
        return wrong(r, "error.temporary", "true or false");
    }
    r->answer.code = (uint32_t)code;
    enum status status = read_words(r, fields[WORDS].value, MAX_MESSAGE_BYTES);
    return status == STATUS_INVALID
               ? wrong(r, "error.message", "a string of at most 1024 bytes without NUL")
               : status;
}

static enum status read_disconnect(struct proxy_reading *r, struct str disconnect)
{
    struct json_field fields[] = {{.name = STR("code")}, {.name = STR("reason")}};
    uint64_t code;
    r->answer.verdict = PROXY_DISCONNECT;
    if (json_read_object(disconnect, fields, COUNT_OF(fields), NULL) != STATUS_OK) {
        return wrong(r, "disconnect", "an object with a code");
    }
    if (!json_to_u64(fields[CODE].value, &code) || code < MIN_DISCONNECT_CODE ||
        code > MAX_DISCONNECT_CODE) {
        return wrong(r, "disconnect.code", "a whole number from 3000 to 4999");
    }
    r->answer.code = (uint32_t)code;
    enum status status = read_words(r, fields[WORDS].value, MAX_REASON_BYTES);
    return status == STATUS_INVALID
               ? wrong(r, "disconnect.reason", "a string of at most 123 bytes without NUL")
               : status;
}

/* --- the whole --- */

enum status proxy_decode(enum proxy_event event, struct str body, struct proxy_reading *ret_reading)
{
    enum { DISCONNECT, ERROR, RESULT };
    struct json_field fields[] = {
        {.name = STR("disconnect")}, {.name = STR("error")}, {.name = STR("result")}};
    struct proxy_reading *r = ret_reading;
    *r = (struct proxy_reading){.n_texts = 0};
    if (json_check(body, NULL) != STATUS_OK) {
        return wrong(r, "the answer", "JSON");
    }
    if (json_read_object(json_trim(body), fields, COUNT_OF(fields), NULL) != STATUS_OK) {
        return wrong(r, "the answer", "an object with one result, error or disconnect");
    }
    if (is_there(fields[DISCONNECT].value)) {
        return read_disconnect(r, fields[DISCONNECT].value);
    }
    if (is_there(fields[ERROR].value)) {
        return read_error(r, fields[ERROR].value);
    }
    return is_there(fields[RESULT].value) ? read_result(r, event, fields[RESULT].value)
                                          : read_nothing(r, event);
}

void proxy_reading_release(struct proxy_reading *reading)
{
    for (size_t i = 0; i < reading->n_texts; i++) {
        free(reading->texts[i]);
    }
    reading->n_texts = 0;
}
