/* SPDX-License-Identifier: MIT */
/* The first byte names the event, the rest is what a backend has answered. Whatever it is, an
 * answer that is taken keeps its promises: JSON where JSON is promised, on one line; codes that a
 * client understands; words that end. */
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/json_span.h"
#include "hub/proxy_decode.h"

#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            (void)fprintf(stderr, "line %d: %s\n", __LINE__, #condition);                          \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static void check_json(struct str json)
{
    if (json.len > 0) {
        REQUIRE(json_check(json, NULL) == STATUS_OK);
        REQUIRE(str_find(json, '\n') < 0 && str_find(json, '\r') < 0);
    }
}

static void check_result(enum proxy_event event, const struct proxy_answer *answer)
{
    REQUIRE(json_check(answer->result, NULL) == STATUS_OK);
    REQUIRE(json_kind(answer->result) == JSON_KIND_OBJECT);
    REQUIRE(answer->expire_at >= 0);
    REQUIRE(answer->user.len == 0 || answer->has_user);
    REQUIRE(answer->version <= INT64_MAX);
    REQUIRE(answer->idempotency_key.len <= 255);
    check_json(answer->info);
    check_json(answer->data);
    check_json(answer->meta);
    check_json(answer->tags);
    if (event == PROXY_CONNECT) {
        struct subscription_grants grants;
        REQUIRE(subscription_grants_read(answer->result, &grants, NULL) == STATUS_OK);
        subscription_grants_release(&grants);
    } else if (event == PROXY_SUBSCRIBE) {
        struct subscription_grant grant;
        REQUIRE(subscription_grant_read(answer->result, &grant, NULL) == STATUS_OK);
        subscription_grant_release(&grant);
    }
}

static void check_answer(enum proxy_event event, const struct proxy_answer *answer)
{
    switch (answer->verdict) {
    case PROXY_RESULT: check_result(event, answer); break;
    case PROXY_ERROR:
        REQUIRE(answer->code > 0);
        REQUIRE(strlen(answer->message) <= 1024);
        break;
    case PROXY_DISCONNECT:
        REQUIRE(answer->code >= 3000 && answer->code <= 4999);
        REQUIRE(strlen(answer->message) <= 123);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct proxy_reading reading;
    if (size == 0) {
        return 0;
    }
    enum proxy_event event = (enum proxy_event)(data[0] % PROXY_N_EVENTS);
    struct str body = {(const char *)data + 1, size - 1};
    enum status status = proxy_decode(event, body, &reading);
    if (status == STATUS_OK) {
        check_answer(event, &reading.answer);
    } else {
        REQUIRE(status == STATUS_INVALID && reading.wrong && reading.expected);
    }
    proxy_reading_release(&reading);
    return 0;
}
