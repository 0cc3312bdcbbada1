/* SPDX-License-Identifier: MIT */
/* Names, namespaces, retention, and every combination of who may do what. */
#include "hub/namespaces.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static struct channel_options options;

static enum status read_options(const char *text, struct config_errors *errors)
{
    return config_read(str_of(text), &channel_options_shape, &options, errors);
}

static int setup(void **state)
{
    (void)state;
    struct config_errors errors;
    enum status status =
        read_options("{\"max_length\":20,\"history_meta_ttl\":\"10h\","
                     "\"without_namespace\":{\"presence\":true},\"namespaces\":["
                     "{\"name\":\"news\",\"history_size\":10,\"history_ttl\":\"5m\"},"
                     "{\"name\":\"ne\",\"history_size\":3,\"history_ttl\":\"1m\","
                     "\"history_meta_ttl\":\"2h\"}]}",
                     &errors);
    assert_int_equal(status, STATUS_OK);
    config_errors_release(&errors);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    config_release(&channel_options_shape, &options);
    return 0;
}

static void check_find(struct str channel, const char *expected)
{
    const struct namespace_options *ns = NULL;
    assert_int_equal(namespace_find(&options, channel, &ns), STATUS_OK);
    assert_string_equal(ns->name ? ns->name : "", expected);
}

static void check_refused(struct str channel, enum status expected)
{
    const struct namespace_options *ns = NULL;
    assert_int_equal(namespace_find(&options, channel, &ns), expected);
    assert_null(ns);
}

static void finds_the_namespace_of_a_name(void **state)
{
    (void)state;
    check_find(STR("hello"), "");
    check_find(STR("news"), "");
    check_find(STR("news:"), "news");
    check_find(STR("news:a:b"), "news");
    check_find(STR("ne:ws"), "ne");
    check_find(STR("$news:secret"), "news");
    check_find(STR("$hello"), "");
    check_find(STR("$"), "");
    check_find(STR(" "), "");
    check_find(STR("~"), "");
}

static void refuses_unknown_namespaces(void **state)
{
    (void)state;
    check_refused(STR("new:a"), STATUS_UNKNOWN_CHANNEL);
    check_refused(STR("newss:a"), STATUS_UNKNOWN_CHANNEL);
    check_refused(STR("News:a"), STATUS_UNKNOWN_CHANNEL);
    check_refused(STR(":a"), STATUS_UNKNOWN_CHANNEL);
    check_refused(STR("$$news:a"), STATUS_UNKNOWN_CHANNEL);
    check_refused(STR("$:"), STATUS_UNKNOWN_CHANNEL);
}

static void refuses_what_is_no_name(void **state)
{
    (void)state;
    check_refused(STR_EMPTY, STATUS_INVALID);
    check_refused(STR("news:\xc3\xa9"), STATUS_INVALID);
    check_refused(STR("a\tb"), STATUS_INVALID);
    check_refused(STR("a\x7f"), STATUS_INVALID);
    check_refused(STR("a\0b"), STATUS_INVALID);
    check_refused(STR("a\n"), STATUS_INVALID);
    check_refused(STR("\xff"), STATUS_INVALID);
    check_refused(STR("123456789012345678901"), STATUS_INVALID);
    check_find(STR("12345678901234567890"), "");
}

static void a_dollar_makes_it_private(void **state)
{
    (void)state;
    assert_true(channel_is_private(&options, STR("$a")));
    assert_true(channel_is_private(&options, STR("$")));
    assert_false(channel_is_private(&options, STR("a$")));
    assert_false(channel_is_private(&options, STR_EMPTY));
}

static void check_retention(struct str channel, int64_t size, int64_t ttl_ms, int64_t meta_ttl_ms)
{
    const struct namespace_options *ns = NULL;
    assert_int_equal(namespace_find(&options, channel, &ns), STATUS_OK);
    struct storage_retention r = namespace_retention(&options, ns);
    assert_int_equal(r.size, size);
    assert_int_equal(r.ttl_ms, ttl_ms);
    assert_int_equal(r.meta_ttl_ms, meta_ttl_ms);
    assert_int_equal(namespace_has_history(ns), size > 0);
}

static void retention_is_the_namespaces(void **state)
{
    (void)state;
    check_retention(STR("news:a"), 10, 300000, 36000000);
    check_retention(STR("ne:a"), 3, 60000, 7200000);
    check_retention(STR("a"), 0, 0, 36000000);
}

/* Written in the words of the protocol: an anonymous client needs the namespace's consent, and then
 * the same as any other. */
static bool may(const struct access_options *access, bool is_anonymous, bool is_subscribed)
{
    bool as_client = access->for_client;
    bool as_subscriber = access->for_subscriber && is_subscribed;
    bool is_welcome = !is_anonymous || access->for_anonymous;
    return is_welcome && (as_client || as_subscriber);
}

static struct access_options *access_for(struct namespace_options *ns, enum access_action action)
{
    struct access_options *all[] = {[ACCESS_SUBSCRIBE] = &ns->subscribe,
                                    [ACCESS_PUBLISH] = &ns->publish,
                                    [ACCESS_PRESENCE] = &ns->presence_access,
                                    [ACCESS_HISTORY] = &ns->history_access};
    return all[action];
}

static void every_combination_of_access(void **state)
{
    (void)state;
    for (int action = ACCESS_SUBSCRIBE; action <= ACCESS_HISTORY; action++) {
        for (unsigned bits = 0; bits < 32; bits++) {
            struct access_options access = {bits & 1, bits & 2, bits & 4};
            bool is_anonymous = bits & 8;
            bool is_subscribed = bits & 16;
            /* the others say the opposite: they must not count */
            struct access_options other = {!(bits & 1), !(bits & 2), !(bits & 4)};
            struct namespace_options ns = {.subscribe = other,
                                           .publish = other,
                                           .presence_access = other,
                                           .history_access = other};
            *access_for(&ns, (enum access_action)action) = access;
            assert_int_equal(
                namespace_allows(&ns, (enum access_action)action, is_anonymous, is_subscribed),
                may(&access, is_anonymous, is_subscribed));
        }
    }
}

static void each_key_opens_its_own_door(void **state)
{
    (void)state;
    static const struct {
        const char *key;
        enum access_action action;
        bool is_anonymous;
        bool is_subscribed;
        const char *also; /* a key that is needed beside it, or NULL */
    } doors[] = {
        {"allow_subscribe_for_client", ACCESS_SUBSCRIBE, false, false, NULL},
        {"allow_subscribe_for_anonymous", ACCESS_SUBSCRIBE, true, false,
         "allow_subscribe_for_client"},
        {"allow_publish_for_client", ACCESS_PUBLISH, false, false, NULL},
        {"allow_publish_for_subscriber", ACCESS_PUBLISH, false, true, NULL},
        {"allow_publish_for_anonymous", ACCESS_PUBLISH, true, false, "allow_publish_for_client"},
        {"allow_presence_for_client", ACCESS_PRESENCE, false, false, NULL},
        {"allow_presence_for_subscriber", ACCESS_PRESENCE, false, true, NULL},
        {"allow_presence_for_anonymous", ACCESS_PRESENCE, true, false, "allow_presence_for_client"},
        {"allow_history_for_client", ACCESS_HISTORY, false, false, NULL},
        {"allow_history_for_subscriber", ACCESS_HISTORY, false, true, NULL},
        {"allow_history_for_anonymous", ACCESS_HISTORY, true, false, "allow_history_for_client"},
    };
    for (size_t i = 0; i < sizeof(doors) / sizeof(doors[0]); i++) {
        for (int with_key = 0; with_key <= 1; with_key++) {
            char text[256];
            snprintf(text, sizeof(text), "{\"without_namespace\":{\"%s\":%s,\"%s\":true}}",
                     doors[i].key, with_key ? "true" : "false",
                     doors[i].also ? doors[i].also : "presence");
            struct channel_options mine;
            struct config_errors errors;
            assert_int_equal(config_read(str_of(text), &channel_options_shape, &mine, &errors),
                             STATUS_OK);
            assert_int_equal(namespace_allows(&mine.without_namespace, doors[i].action,
                                              doors[i].is_anonymous, doors[i].is_subscribed),
                             with_key);
            config_errors_release(&errors);
            config_release(&channel_options_shape, &mine);
        }
    }
}

static void check_wrong(const char *text, const char *path)
{
    struct channel_options mine;
    struct config_errors errors;
    assert_int_equal(config_read(str_of(text), &channel_options_shape, &mine, &errors),
                     STATUS_INVALID);
    assert_int_equal(errors.n_texts, 1);
    assert_non_null(strstr(errors.texts[0], path));
    config_errors_release(&errors);
    config_release(&channel_options_shape, &mine);
}

static void contradictions_are_refused(void **state)
{
    (void)state;
    check_wrong("{\"without_namespace\":{\"history_size\":1}}", "history_ttl");
    check_wrong("{\"without_namespace\":{\"history_ttl\":\"1s\"}}", "history_size");
    check_wrong("{\"without_namespace\":{\"force_recovery\":true}}", "force_recovery");
    check_wrong("{\"without_namespace\":{\"force_positioning\":true}}", "force_positioning");
    check_wrong("{\"without_namespace\":{\"history_size\":1,\"history_ttl\":\"2s\","
                "\"history_meta_ttl\":\"1s\"}}",
                "history_meta_ttl");
    check_wrong("{\"namespaces\":[{\"name\":\"a\"}]}", "namespaces[0].name");
    check_wrong("{\"namespaces\":[{\"name\":\"a b\"}]}", "namespaces[0].name");
    check_wrong("{\"namespaces\":[{\"name\":\"ab\"},{\"name\":\"ab\"}]}", "namespaces[1].name");
    check_wrong("{\"history_meta_ttl\":\"1s\",\"namespaces\":[{\"name\":\"ab\",\"history_size\":1,"
                "\"history_ttl\":\"2s\"}]}",
                "namespaces[0].history_ttl");
    check_wrong("{\"history_meta_ttl\":\"1s\",\"without_namespace\":{\"history_size\":1,"
                "\"history_ttl\":\"2s\"}}",
                "without_namespace");
}

static void check_mode(const char *mode, enum recovery_mode expected)
{
    char text[200];
    snprintf(text, sizeof(text),
             "{\"without_namespace\":{\"history_size\":1,\"history_ttl\":\"1s\","
             "\"force_recovery\":true%s}}",
             mode);
    struct channel_options mine;
    struct config_errors errors;
    assert_int_equal(config_read(str_of(text), &channel_options_shape, &mine, &errors), STATUS_OK);
    assert_int_equal(mine.without_namespace.recovery_mode, expected);
    assert_false(mine.without_namespace.delta_publish);
    config_errors_release(&errors);
    config_release(&channel_options_shape, &mine);
}

static void modes_of_recovery(void **state)
{
    (void)state;
    check_mode("", RECOVERY_DEFAULT);
    check_mode(",\"force_recovery_mode\":\"\"", RECOVERY_DEFAULT);
    check_mode(",\"force_recovery_mode\":\"stream\"", RECOVERY_STREAM);
    check_mode(",\"force_recovery_mode\":\"cache\"", RECOVERY_CACHE);
    check_mode(",\"force_recovery_mode\":\"cache\",\"auto_cache_recover\":true", RECOVERY_CACHE);
    check_wrong("{\"without_namespace\":{\"force_recovery_mode\":\"map\"}}", "force_recovery_mode");
    check_wrong("{\"without_namespace\":{\"history_size\":1,\"history_ttl\":\"1s\","
                "\"force_recovery\":true,\"auto_cache_recover\":true}}",
                "auto_cache_recover");
    check_wrong("{\"without_namespace\":{\"history_size\":1,\"history_ttl\":\"1s\","
                "\"allow_recovery\":true,\"force_recovery_mode\":\"cache\","
                "\"auto_cache_recover\":true}}",
                "auto_cache_recover");
}

static void check_name_in(struct str channel, const char *expected)
{
    assert_true(str_eq(namespace_name_in(&options, channel), str_of(expected)));
}

static void the_name_of_a_namespace_in_a_channels_name(void **state)
{
    (void)state;
    check_name_in(STR("news:a:b"), "news");
    check_name_in(STR("$news:a"), "news");
    check_name_in(STR("news"), "");
    check_name_in(STR("$:"), "");
    check_name_in(STR_EMPTY, "");
}

/* --- other names --- */

static void read_others(struct channel_options *mine, const char *text)
{
    struct config_errors errors;
    assert_int_equal(config_read(str_of(text), &channel_options_shape, mine, &errors), STATUS_OK);
    config_errors_release(&errors);
}

static void check_name(const struct channel_options *mine, struct str channel, enum status expected)
{
    const struct namespace_options *ns = NULL;
    assert_int_equal(namespace_find(mine, channel, &ns), expected);
    assert_int_equal(ns != NULL, expected == STATUS_OK);
}

/* It is about what stands behind the namespace, and may allow more than ASCII. */
static void names_that_fit_a_pattern(void **state)
{
    (void)state;
    struct channel_options mine;
    read_others(&mine, "{\"without_namespace\":{\"channel_regex\":\"^x\"},\"namespaces\":["
                       "{\"name\":\"abc\",\"channel_regex\":\"^[a-c]+$\"},"
                       "{\"name\":\"any\",\"channel_regex\":\"^\\\\p{L}+$\"},"
                       "{\"name\":\"all\",\"channel_regex\":\".*\"},{\"name\":\"no\"}]}");
    check_name(&mine, STR("abc:abc"), STATUS_OK);
    check_name(&mine, STR("$abc:a"), STATUS_OK);
    check_name(&mine, STR("abc:"), STATUS_INVALID);
    check_name(&mine, STR("abc:abd"), STATUS_INVALID);
    check_name(&mine, STR("abc:a:b"), STATUS_INVALID);
    check_name(&mine, STR("abc:a\n"), STATUS_INVALID);
    check_name(&mine, STR("any:h\xc3\xa9"), STATUS_OK);
    check_name(&mine, STR("any:h1"), STATUS_INVALID);
    check_name(&mine, STR("any:h\xc3"), STATUS_INVALID);
    check_name(&mine, STR("all:"), STATUS_OK);
    check_name(&mine, STR("all:\xe2\x82\xac"), STATUS_OK);
    check_name(&mine, STR("all:a\tb"), STATUS_INVALID);
    check_name(&mine, STR("all:a\0b"), STATUS_INVALID);
    check_name(&mine, STR("all:\x7f"), STATUS_INVALID);
    check_name(&mine, STR("no:h\xc3\xa9"), STATUS_INVALID);
    check_name(&mine, STR("\xc3\xa9:a"), STATUS_INVALID);
    check_name(&mine, STR("xyz"), STATUS_OK);
    check_name(&mine, STR("$xyz"), STATUS_OK);
    check_name(&mine, STR("yx"), STATUS_INVALID);
    config_release(&channel_options_shape, &mine);
}

static void boundaries_of_ones_own(void **state)
{
    (void)state;
    struct channel_options mine;
    read_others(&mine, "{\"private_prefix\":\"priv-\",\"namespace_boundary\":\"::\","
                       "\"user_boundary\":\"##\",\"user_separator\":\"; \","
                       "\"namespaces\":[{\"name\":\"ns\",\"allow_user_limited_channels\":true}]}");
    assert_true(channel_is_private(&mine, STR("priv-a")));
    assert_false(channel_is_private(&mine, STR("$a")));
    assert_false(channel_is_private(&mine, STR("priv")));
    assert_true(str_eq(namespace_name_in(&mine, STR("priv-ns::a")), STR("ns")));
    assert_true(str_eq(namespace_name_in(&mine, STR("ns::a::b")), STR("ns")));
    assert_int_equal(namespace_name_in(&mine, STR("ns:a")).len, 0);
    check_name(&mine, STR("ns:a"), STATUS_OK);
    check_name(&mine, STR("on::a"), STATUS_UNKNOWN_CHANNEL);
    const struct namespace_options *ns = NULL;
    assert_int_equal(namespace_find(&mine, STR("ns::a"), &ns), STATUS_OK);
    struct str name = STR("ns::a##1; 2 ;3");
    assert_int_equal(channel_user_limit(&mine, ns, name, STR("1")), USER_IS_LISTED);
    assert_int_equal(channel_user_limit(&mine, ns, name, STR("2 ;3")), USER_IS_LISTED);
    assert_int_equal(channel_user_limit(&mine, ns, name, STR("2")), USER_IS_NOT_LISTED);
    assert_int_equal(channel_user_limit(&mine, ns, name, STR_EMPTY), USER_IS_NOT_LISTED);
    assert_int_equal(channel_user_limit(&mine, ns, STR("ns::a"), STR("1")), USER_NOT_LIMITED);
    assert_int_equal(channel_user_limit(&mine, ns, STR("ns::a#1"), STR("1")), USER_NOT_LIMITED);
    assert_int_equal(channel_user_limit(&mine, &mine.without_namespace, STR("a##1"), STR("2")),
                     USER_NOT_LIMITED);
    config_release(&channel_options_shape, &mine);
}

static void wrong_names_and_types(void **state)
{
    (void)state;
    check_wrong("{\"without_namespace\":{\"channel_regex\":\"a(\"}}", "channel_regex");
    check_wrong("{\"namespaces\":[{\"name\":\"ab\",\"channel_regex\":\"[\"}]}",
                "namespaces[0].channel_regex");
    check_wrong("{\"private_prefix\":\"\"}", "private_prefix");
    check_wrong("{\"namespace_boundary\":\"\"}", "namespace_boundary");
    check_wrong("{\"user_boundary\":\"\"}", "user_boundary");
    check_wrong("{\"user_separator\":\"\"}", "user_separator");
    check_wrong("{\"without_namespace\":{\"allowed_delta_types\":[\"fossil\",\"other\"]}}",
                "allowed_delta_types");
    check_wrong("{\"without_namespace\":{\"publication_data_format\":\"binary\"}}",
                "publication_data_format");
    check_wrong("{\"without_namespace\":{\"force_push_join_leave\":true}}",
                "force_push_join_leave");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_the_namespace_of_a_name),
        cmocka_unit_test(refuses_unknown_namespaces),
        cmocka_unit_test(refuses_what_is_no_name),
        cmocka_unit_test(a_dollar_makes_it_private),
        cmocka_unit_test(retention_is_the_namespaces),
        cmocka_unit_test(every_combination_of_access),
        cmocka_unit_test(each_key_opens_its_own_door),
        cmocka_unit_test(contradictions_are_refused),
        cmocka_unit_test(modes_of_recovery),
        cmocka_unit_test(the_name_of_a_namespace_in_a_channels_name),
        cmocka_unit_test(names_that_fit_a_pattern),
        cmocka_unit_test(boundaries_of_ones_own),
        cmocka_unit_test(wrong_names_and_types),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
