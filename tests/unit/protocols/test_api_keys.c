/* SPDX-License-Identifier: MIT */
/* The keys of the API: what the configuration makes of them, also when it is read again. Requests
 * with keys are in e2e/api_keys.test.mjs. */
#include "protocols/api_keys.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct http_api_options read_options(const char *text)
{
    struct http_api_options options = {0};
    struct config_errors errors;
    assert_int_equal(config_read(str_of(text), &http_api_options_shape, &options, &errors),
                     STATUS_OK);
    config_errors_release(&errors);
    return options;
}

static struct api_key *named(struct api_keys *keys, const char *name)
{
    for (size_t i = 0; i < keys->n_places; i++) {
        if (strcmp(keys->keys[i].name, name) == 0) {
            return &keys->keys[i];
        }
    }
    return NULL;
}

#define READER                                                                                     \
    "{\"name\":\"reader\",\"key\":\"0123456789abcdef\",\"methods\":[\"history\",\"url_proxy\"]}"
#define WRITER "{\"name\":\"writer\",\"key\":\"0123456789abcdeg\",\"methods\":[\"publish\"]}"
#define ALL    "{\"name\":\"all\",\"key\":\"0123456789abcdeh\"}"

static void a_key_is_for_its_methods(void **state)
{
    (void)state;
    static struct api_keys keys;
    struct http_api_options options = read_options("{\"key\":\"k\",\"keys\":[" READER "," ALL "]}");
    api_keys_set(&keys, &options);
    struct api_key *reader = named(&keys, "reader");
    assert_non_null(reader);
    assert_true(api_key_admits(reader, API_HISTORY));
    assert_true(api_key_admits(reader, API_URL_PROXY));
    assert_false(api_key_admits(reader, API_PUBLISH));
    assert_int_equal(reader->n_calls, 3);
    assert_int_equal(reader->n_denied, 1);
    for (enum api_method method = 0; method < N_API_METHODS; method++) {
        assert_true(api_key_admits(named(&keys, "all"), method));
        assert_true(api_key_admits(named(&keys, API_MAIN_KEY_NAME), method));
    }
    config_release(&http_api_options_shape, &options);
}

static void keys_that_stay_keep_their_figures(void **state)
{
    (void)state;
    static struct api_keys keys;
    struct http_api_options before = read_options("{\"keys\":[" READER "," WRITER "]}");
    api_keys_set(&keys, &before);
    assert_true(api_key_admits(named(&keys, "reader"), API_HISTORY));
    assert_true(api_key_admits(named(&keys, "writer"), API_PUBLISH));
    struct api_key *writer = named(&keys, "writer");

    struct http_api_options after = read_options("{\"keys\":[" ALL "," WRITER "]}");
    api_keys_set(&keys, &after);
    config_release(&http_api_options_shape, &before);
    assert_null(named(&keys, "reader"));
    assert_ptr_equal(named(&keys, "writer"), writer); /* calls under way know it */
    assert_int_equal(writer->n_calls, 1);
    assert_true(str_eq(writer->secret, STR("0123456789abcdeg")));
    assert_int_equal(named(&keys, "all")->n_calls, 0);

    struct http_api_options none = read_options("{}");
    api_keys_set(&keys, &none);
    config_release(&http_api_options_shape, &after);
    assert_int_equal(keys.n_places, 1);
    config_release(&http_api_options_shape, &none);
}

static void who_gets_the_place_of_another_is_another(void **state)
{
    (void)state;
    static struct api_keys keys;
    struct http_api_options before = read_options("{\"keys\":[" READER "]}");
    api_keys_set(&keys, &before);
    struct api_key *place = named(&keys, "reader");
    uint32_t id = place->id;
    api_keys_set(&keys, &before);
    assert_int_equal(place->id, id);
    struct http_api_options after = read_options("{\"keys\":[" ALL "]}");
    api_keys_set(&keys, &after);
    config_release(&http_api_options_shape, &before);
    assert_ptr_equal(named(&keys, "all"), place);
    assert_int_not_equal(place->id, id);
    assert_int_not_equal(place->id, 0);
    config_release(&http_api_options_shape, &after);
}

static void there_is_room_for_the_most_keys_each_time(void **state)
{
    (void)state;
    static struct api_keys keys;
    for (int round = 0; round < 3; round++) {
        char text[16384];
        size_t len = (size_t)snprintf(text, sizeof(text), "{\"keys\":[");
        for (int i = 0; i < API_KEYS_MAX; i++) {
            len += (size_t)snprintf(text + len, sizeof(text) - len,
                                    "%s{\"name\":\"%d-%d\",\"key\":\"0123456789-%d-abc-%d\"}",
                                    i > 0 ? "," : "", round, i, round, i);
        }
        snprintf(text + len, sizeof(text) - len, "]}");
        struct http_api_options options = read_options(text);
        api_keys_set(&keys, &options);
        assert_int_equal(keys.n_places, 1 + API_KEYS_MAX);
        char last[16];
        snprintf(last, sizeof(last), "%d-%d", round, API_KEYS_MAX - 1);
        assert_non_null(named(&keys, last));
        config_release(&http_api_options_shape, &options);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_is_for_its_methods),
        cmocka_unit_test(keys_that_stay_keep_their_figures),
        cmocka_unit_test(who_gets_the_place_of_another_is_another),
        cmocka_unit_test(there_is_room_for_the_most_keys_each_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
