/* SPDX-License-Identifier: MIT */
/* Feeds: what can be said against their options, and how callers' parameters are bound. */
#include "hub/feed_params.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/unit/hub/world.h"

struct fixture {
    struct world *world;
    struct feed_options options;
    struct feed *feed;
};

static void read_feed(const char *text, struct feed_options *options)
{
    struct config_errors errors;
    enum status status = config_read(str_of(text), &feed_options_shape, options, &errors);
    assert_int_equal(errors.n_texts, 0);
    assert_int_equal(status, STATUS_OK);
    config_errors_release(&errors);
}

static int setup(void **state)
{
    static struct fixture f;
    read_feed("{\"name\":\"city\",\"channel\":\"{lang}:city/{city}\","
              "\"params\":{\"city\":\"[a-z-]{2,40}|x\",\"lang\":\".*\"},"
              "\"upstreams\":[{\"name\":\"a\",\"url\":\"http://h/{city}?l={lang}&c={city}\"},"
              "{\"name\":\"b\",\"url\":\"http://h/b\",\"select\":\"/items\"}]}",
              &f.options);
    f.world = world_create(&(struct world_options){.client = NULL});
    assert_int_equal(feed_create(f.world->hub, &f.options, false, &f.feed), STATUS_OK);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    feed_unref(f->feed);
    world_destroy(f->world);
    config_release(&feed_options_shape, &f->options);
    return 0;
}

static struct feed_params bind_good(const struct feed *feed, const char *params)
{
    struct buf why;
    buf_init(&why, 1024);
    struct feed_params bound;
    assert_int_equal(feed_params_read(feed, str_of(params), &bound, &why), STATUS_OK);
    assert_int_equal(why.len, 0);
    buf_release(&why);
    return bound;
}

static void check_str(struct str found, const char *expected)
{
    assert_int_equal(found.len, strlen(expected));
    assert_memory_equal(found.ptr, expected, found.len);
}

static void check_bound(struct fixture *f, const char *params, const char *canonical,
                        const char *channel)
{
    struct feed_params bound = bind_good(f->feed, params);
    check_str(buf_str(&bound.json), canonical);
    check_str(buf_str(&bound.channel), channel);
    feed_params_release(&bound);
}

/* words: what the explanation must contain. */
static void check_refused(struct fixture *f, struct str params, const char *words)
{
    struct buf why;
    buf_init(&why, 1024);
    struct feed_params bound;
    assert_int_equal(feed_params_read(f->feed, params, &bound, &why), STATUS_INVALID);
    feed_params_release(&bound);
    buf_append_char(&why, '\0');
    assert_false(buf_failed(&why));
    if (!strstr(why.ptr, words)) {
        fail_msg("\"%s\" is not in \"%s\"", words, why.ptr);
    }
    buf_release(&why);
}

static void the_canonical_form_is_one(void **state)
{
    static const char canonical[] = "{\"city\":\"bilbao\",\"lang\":\"es\"}";
    check_bound(*state, "{\"city\":\"bilbao\",\"lang\":\"es\"}", canonical, "es:city/bilbao");
    check_bound(*state, " {\n\"lang\" : \"es\" , \"city\":\"bilbao\" }\n", canonical,
                "es:city/bilbao");
    check_bound(*state, "{\"lang\":\"\\u0065s\",\"city\":\"b\\u0069lbao\"}", canonical,
                "es:city/bilbao");
    check_bound(*state, "{\"l\\u0061ng\":\"es\",\"c\\u0069ty\":\"bilbao\"}", canonical,
                "es:city/bilbao");
    check_bound(*state, "{\"city\":\"x\",\"lang\":\"\\\"\\n\"}",
                "{\"city\":\"x\",\"lang\":\"\\\"\\n\"}", "\"\n:city/x");
}

static void patterns_must_match_all_of_a_value(void **state)
{
    static const char *const wrong[] = {
        "a", "xx1", "xy\\n", "\\nxy",   "bilbao!",       "!bilbao",      "xX",
        "X", "",    "x\\n",  "bil bao", "bilbao\\u0000", "\\u0000bilbao"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        char params[100];
        snprintf(params, sizeof(params), "{\"lang\":\"es\",\"city\":\"%s\"}", wrong[i]);
        check_refused(*state, str_of(params), "params.city");
    }
    check_bound(*state, "{\"lang\":\"\",\"city\":\"x\"}", "{\"city\":\"x\",\"lang\":\"\"}",
                ":city/x");
}

static void a_nul_never_passes(void **state)
{
    check_refused(*state, STR("{\"city\":\"xy\",\"lang\":\"e\\u0000\"}"), "params.lang");
    check_refused(*state, STR("{\"city\":\"xy\",\"lang\":\"\\u0000\"}"), "params.lang");
}

static void values_have_a_limit(void **state)
{
    static const size_t lengths[] = {255, 256, 257, 258, 259, 260, 1000, 100000};
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        char *params = calloc(1, lengths[i] + 100);
        assert_non_null(params);
        static const char start[] = "{\"city\":\"x\",\"lang\":\"";
        memcpy(params, start, sizeof(start));
        char *at = params + sizeof(start) - 1;
        memset(at, 'e', lengths[i]);
        memcpy(at + lengths[i], "\"}", 3);
        if (lengths[i] <= FEED_PARAM_MAX_BYTES) {
            const struct fixture *f = *state;
            struct feed_params bound = bind_good(f->feed, params);
            assert_int_equal(bound.json.len, strlen(params));
            feed_params_release(&bound);
        } else {
            check_refused(*state, str_of(params), "params.lang");
        }
        free(params);
    }
}

static void two_long_values_do_not_disturb_each_other(void **state)
{
    (void)state;
    static struct fixture f;
    read_feed("{\"name\":\"f\",\"channel\":\"c\",\"params\":{\"a\":\"a*\",\"b\":\"b*\"},"
              "\"upstreams\":[{\"name\":\"u\",\"url\":\"http://h/{a}/{b}\"}]}",
              &f.options);
    f.world = world_create(&(struct world_options){.client = NULL});
    assert_int_equal(feed_create(f.world->hub, &f.options, false, &f.feed), STATUS_OK);
    char params[600];
    char a[257];
    char b[257];
    memset(a, 'a', 256);
    memset(b, 'b', 256);
    a[256] = b[256] = '\0';
    snprintf(params, sizeof(params), "{\"a\":\"%s\",\"b\":\"%s\"}", a, b);
    check_bound(&f, params, params, "c");
    feed_unref(f.feed);
    world_destroy(f.world);
    config_release(&feed_options_shape, &f.options);
}

static void what_is_not_there_or_not_known(void **state)
{
    check_refused(*state, STR_EMPTY, "params.city is missing");
    check_refused(*state, STR("{}"), "params.city is missing");
    check_refused(*state, STR("{\"city\":\"xy\"}"), "params.lang is missing");
    check_refused(*state, STR("{\"city\":\"xy\",\"lang\":\"e\",\"other\":\"1\"}"),
                  "params.other is not a parameter of the feed city");
    check_refused(*state, STR("{\"city\":\"xy\",\"lang\":\"e\",\"City\":\"1\"}"), "params.City");
}

static void duplicates_and_other_types(void **state)
{
    check_refused(*state, STR("{\"city\":\"xy\",\"lang\":\"e\",\"city\":\"xy\"}"), "twice");
    check_refused(*state, STR("{\"city\":\"xy\",\"lang\":\"e\",\"c\\u0069ty\":\"xy\"}"), "twice");
    check_refused(*state, STR("{\"city\":12,\"lang\":\"e\"}"), "params.city: 12");
    check_refused(*state, STR("{\"city\":null,\"lang\":\"e\"}"), "params.city: null");
    check_refused(*state, STR("{\"city\":[\"xy\"],\"lang\":\"e\"}"), "params.city");
    check_refused(*state, STR("[\"xy\"]"), "object");
    check_refused(*state, STR("\"xy\""), "object");
    check_refused(*state, STR("null"), "object");
}

/* channel: a name. canonical NULL: it is not one of the feed's. */
static void check_match(const struct feed *feed, const char *channel, const char *canonical)
{
    struct feed_params found;
    assert_int_equal(feed_params_match(feed, str_of(channel), &found), canonical != NULL);
    if (canonical) {
        check_str(buf_str(&found.json), canonical);
        check_str(buf_str(&found.channel), channel);
    }
    feed_params_release(&found);
}

static void a_channel_tells_the_parameters(void **state)
{
    const struct fixture *f = *state;
    check_match(f->feed, "es:city/bilbao", "{\"city\":\"bilbao\",\"lang\":\"es\"}");
    check_match(f->feed, ":city/x", "{\"city\":\"x\",\"lang\":\"\"}");
    check_match(f->feed, "a:city/b:city/bilbao", "{\"city\":\"bilbao\",\"lang\":\"a:city/b\"}");
    check_match(f->feed, "es:city/BILBAO", NULL);
    check_match(f->feed, "es:city/", NULL);
    check_match(f->feed, "es:town/bilbao", NULL);
    check_match(f->feed, "", NULL);
}

static void check_matches_of(const char *channel_template, const char *channel,
                             const char *canonical)
{
    struct world *w = world_create(&(struct world_options){.client = NULL});
    struct feed_options options;
    struct feed *feed;
    char text[300];
    snprintf(text, sizeof(text),
             "{\"name\":\"f\",\"channel\":\"%s\",\"params\":{\"a\":\"[a-z]*\",\"b\":\"[0-9]+\"},"
             "\"upstreams\":[{\"name\":\"u\",\"url\":\"http://h/\"}]}",
             channel_template);
    read_feed(text, &options);
    assert_int_equal(feed_create(w->hub, &options, false, &feed), STATUS_OK);
    check_match(feed, channel, canonical);
    feed_unref(feed);
    world_destroy(w);
    config_release(&feed_options_shape, &options);
}

static void some_channels_do_not_tell(void **state)
{
    (void)state;
    check_matches_of("x:{a}-{b}", "x:n-1", "{\"a\":\"n\",\"b\":\"1\"}");
    check_matches_of("x:{a}-{b}", "x:n-n", NULL);
    check_matches_of("x:{a}-{b}-{a}", "x:n-1-n", "{\"a\":\"n\",\"b\":\"1\"}");
    check_matches_of("x:{a}-{b}-{a}", "x:n-1-m", NULL);
    check_matches_of("x:{a}{b}", "x:n1", NULL); /* could be told in several ways */
    check_matches_of("x:{a}", "x:n", NULL);     /* without b */
    check_matches_of("x", "x", NULL);
}

static void a_feed_without_parameters(void **state)
{
    (void)state;
    static struct fixture f;
    read_feed("{\"name\":\"f\",\"channel\":\"c\",\"upstreams\":[{\"name\":\"u\",\"url\":"
              "\"http://h/\"}]}",
              &f.options);
    f.world = world_create(&(struct world_options){.client = NULL});
    assert_int_equal(feed_create(f.world->hub, &f.options, false, &f.feed), STATUS_OK);
    check_bound(&f, "", "{}", "c");
    check_bound(&f, "{}", "{}", "c");
    check_refused(&f, STR("{\"a\":\"1\"}"), "params.a");
    feed_unref(f.feed);
    world_destroy(f.world);
    config_release(&feed_options_shape, &f.options);
}

static void what_does_not_hold_is_no_feed(void **state)
{
    const struct fixture *fixture = *state;
    struct hub *hub = fixture->world->hub;
    struct config_pair wrong = {.name = (char *)(uintptr_t) "a", .text = (char *)(uintptr_t) "["};
    struct feed_upstream_options upstream = {.name = (char *)(uintptr_t) "u",
                                             .url = (char *)(uintptr_t) "http://h/{b}"};
    struct feed_options options = {.name = (char *)(uintptr_t) "f",
                                   .channel = (char *)(uintptr_t) "c",
                                   .params = {&wrong, 1},
                                   .upstreams = {&upstream, 1}};
    struct feed *feed = NULL;
    assert_int_equal(feed_create(hub, &options, false, &feed), STATUS_INVALID);
    wrong.text = (char *)(uintptr_t) "x";
    assert_int_equal(feed_create(hub, &options, false, &feed),
                     STATUS_INVALID); /* {b} is no param */
    upstream.url = (char *)(uintptr_t) "no URL";
    assert_int_equal(feed_create(hub, &options, false, &feed), STATUS_INVALID);
    assert_null(feed);
    feed_unref(NULL);
}

/* --- options --- */

#define UPSTREAM "{\"name\":\"u\",\"url\":\"http://h/\"}"

static void check_wrong(const char *text, const char *path)
{
    struct feed_options options;
    struct config_errors errors;
    assert_int_equal(config_read(str_of(text), &feed_options_shape, &options, &errors),
                     STATUS_INVALID);
    assert_int_equal(errors.n_texts, 1);
    if (strncmp(errors.texts[0], path, strlen(path)) != 0) {
        fail_msg("\"%s\" does not begin with \"%s\"", errors.texts[0], path);
    }
    config_errors_release(&errors);
    config_release(&feed_options_shape, &options);
}

static void wrong_options_are_named(void **state)
{
    (void)state;
    check_wrong("{\"name\":\"a b\",\"channel\":\"c\",\"upstreams\":[" UPSTREAM "]}", "name");
    check_wrong("{\"name\":\"a\",\"channel\":\"\",\"upstreams\":[" UPSTREAM "]}", "channel");
    check_wrong("{\"name\":\"a\",\"channel\":\"c:{x}\",\"upstreams\":[" UPSTREAM "]}", "channel");
    check_wrong("{\"name\":\"a\",\"channel\":\"c:{\",\"upstreams\":[" UPSTREAM "]}", "channel");
    check_wrong(
        "{\"name\":\"a\",\"channel\":\"c\",\"params\":{\"x\":\"[\"},\"upstreams\":[" UPSTREAM "]}",
        "params");
    check_wrong(
        "{\"name\":\"a\",\"channel\":\"c\",\"params\":{\"x\":\"a)|(b\"},\"upstreams\":[" UPSTREAM
        "]}",
        "params");
    check_wrong("{\"name\":\"a\",\"channel\":\"c\",\"upstreams\":[]}", "upstreams");
    check_wrong("{\"name\":\"a\",\"channel\":\"c\",\"upstreams\":[" UPSTREAM "," UPSTREAM "]}",
                "upstreams[1].name");
    check_wrong("{\"name\":\"a\",\"channel\":\"c\",\"upstreams\":[{\"name\":\"u\",\"url\":"
                "\"ftp://h/\"}]}",
                "upstreams[0].url");
    check_wrong("{\"name\":\"a\",\"channel\":\"c\",\"upstreams\":[{\"name\":\"u\",\"url\":"
                "\"http://h/{x}\"}]}",
                "upstreams[0].url");
    check_wrong("{\"name\":\"a\",\"channel\":\"c\",\"upstreams\":[{\"name\":\"u\",\"url\":"
                "\"http://h/\",\"select\":\"items\"}]}",
                "upstreams[0].select");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_canonical_form_is_one),
        cmocka_unit_test(patterns_must_match_all_of_a_value),
        cmocka_unit_test(a_nul_never_passes),
        cmocka_unit_test(values_have_a_limit),
        cmocka_unit_test(two_long_values_do_not_disturb_each_other),
        cmocka_unit_test(what_is_not_there_or_not_known),
        cmocka_unit_test(duplicates_and_other_types),
        cmocka_unit_test(a_channel_tells_the_parameters),
        cmocka_unit_test(some_channels_do_not_tell),
        cmocka_unit_test(a_feed_without_parameters),
        cmocka_unit_test(what_does_not_hold_is_no_feed),
        cmocka_unit_test(wrong_options_are_named),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
