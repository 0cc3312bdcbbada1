/* SPDX-License-Identifier: MIT */
/* What the configuration may say about webhooks, and what it may not. */
#include "hub/webhook_options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static void test_defaults(void **state)
{
    (void)state;
    struct webhook_options o;
    struct config_errors errors;
    struct str text =
        STR("{\"name\":\"crm\",\"endpoint\":\"http://b/\",\"events\":[\"disconnect\"]}");
    assert_int_equal(config_read(text, &webhook_options_shape, &o, &errors), STATUS_OK);
    assert_string_equal(o.hmac_secret_key, "");
    assert_int_equal(o.timeout_ms, 5000);
    assert_int_equal(o.batch_max_size, 100);
    assert_int_equal(o.batch_max_delay_ms, 100);
    assert_int_equal(o.retry_min_delay_ms, 500);
    assert_int_equal(o.retry_max_delay_ms, 60000);
    assert_int_equal(o.queue_limit, 100000);
    assert_int_equal(webhook_options_events(&o), 1u << WEBHOOK_DISCONNECT);
    config_release(&webhook_options_shape, &o);
}

static void test_everything(void **state)
{
    (void)state;
    struct webhook_options o;
    struct config_errors errors;
    struct str text =
        STR("{\"name\":\"C-r_m2\",\"endpoint\":\"https://b.example.org:81/e?k=1\",\"events\":"
            "[\"unsubscribe\",\"channel_vacated\",\"channel_occupied\",\"unsubscribe\"],"
            "\"hmac_secret_key\":\"k\",\"timeout\":\"1s\",\"batch_max_size\":1,"
            "\"batch_max_delay\":\"0s\",\"retry_min_delay\":\"1ms\",\"retry_max_delay\":\"1ms\","
            "\"queue_limit\":1}");
    assert_int_equal(config_read(text, &webhook_options_shape, &o, &errors), STATUS_OK);
    assert_string_equal(o.name, "C-r_m2");
    assert_string_equal(o.endpoint, "https://b.example.org:81/e?k=1");
    assert_int_equal(webhook_options_events(&o), 1u << WEBHOOK_UNSUBSCRIBE |
                                                     1u << WEBHOOK_CHANNEL_VACATED |
                                                     1u << WEBHOOK_CHANNEL_OCCUPIED);
    assert_int_equal(o.batch_max_delay_ms, 0);
    config_release(&webhook_options_shape, &o);
}

#define NAME     "\"name\":\"crm\","
#define ENDPOINT "\"endpoint\":\"http://b/\","
#define EVENTS   "\"events\":[\"disconnect\"]"
#define LONG_65  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static void test_what_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *members;
        const char *expected;
    } refused[] = {
        {ENDPOINT EVENTS, "name"},
        {NAME EVENTS, "endpoint"},
        {NAME ENDPOINT "\"timeout\":\"5s\"", "at least one event"},
        {NAME ENDPOINT "\"events\":[]", "at least one event"},
        {NAME ENDPOINT "\"events\":[\"disconnect\",\"connect\"]", "\"connect\" is none of these"},
        {"\"name\":\"\"," ENDPOINT EVENTS, "a name of at most 64"},
        {"\"name\":\"a b\"," ENDPOINT EVENTS, "a name of at most 64"},
        {"\"name\":\"" LONG_65 "\"," ENDPOINT EVENTS, "a name of at most 64"},
        {NAME "\"endpoint\":\"b/\"," EVENTS, "a URL such as"},
        {NAME "\"endpoint\":\"ftp://b/\"," EVENTS, "a URL such as"},
        {NAME "\"endpoint\":\"http://\"," EVENTS, "a URL such as"},
        {NAME "\"endpoint\":\"https:///e\"," EVENTS, "a URL such as"},
        {NAME "\"endpoint\":\"http://b/ e\"," EVENTS, "a URL such as"},
        {NAME ENDPOINT EVENTS ",\"timeout\":\"0s\"", "timeout"},
        {NAME ENDPOINT EVENTS ",\"batch_max_size\":0", "batch_max_size"},
        {NAME ENDPOINT EVENTS ",\"queue_limit\":0", "queue_limit"},
        {NAME ENDPOINT EVENTS ",\"retry_min_delay\":\"0s\"", "retry_min_delay"},
        {NAME ENDPOINT EVENTS ",\"retry_min_delay\":\"2s\",\"retry_max_delay\":\"1s\"",
         "at least retry_min_delay"},
    };
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        char text[600];
        struct webhook_options o;
        struct config_errors errors;
        snprintf(text, sizeof(text), "{%s}", refused[i].members);
        if (config_read(str_of(text), &webhook_options_shape, &o, &errors) != STATUS_INVALID ||
            errors.n_texts != 1 || !strstr(errors.texts[0], refused[i].expected)) {
            fail_msg("%s: %s", text, errors.n_texts > 0 ? errors.texts[0] : "accepted");
        }
        config_errors_release(&errors);
        config_release(&webhook_options_shape, &o);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_everything),
        cmocka_unit_test(test_what_is_refused),
    };
    return cmocka_run_group_tests_name("webhook_options", tests, NULL, NULL);
}
