/* SPDX-License-Identifier: MIT */
/* The configuration reader: every type, every complaint, the environment, secrets that stay secret.
 */
#include "base/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"

struct server {
    char *address;
    int64_t port;
    struct config_list origins;
};

struct client {
    int64_t ping_interval_ms;
    int64_t pong_timeout_ms;
    bool insecure;
};

struct feed {
    char *name;
    int64_t ttl_ms;
    struct config_list headers;
};

struct all {
    struct server server;
    struct client client;
    int durability;
    char *key;
    struct config_list feeds;
    unsigned checked;
    bool server_was_good, ports_were_good, origins_were_good;
};

#define FIELD(struct_, key_, member) .key = key_, .offset = offsetof(struct struct_, member)

static const char *accept_address(const void *place)
{
    const char *text = *(char *const *)place;
    return strchr(text, ' ') ? "an address without blanks" : NULL;
}

static const struct config_field server_fields[] = {
    {FIELD(server, "address", address), .type = CONFIG_STRING, .fallback = "",
     .accept = accept_address},
    {FIELD(server, "port", port), .type = CONFIG_INT, .fallback = "8000", .min = 1, .max = 65535,
     .expected = "a TCP port from 1 to 65535"},
    {FIELD(server, "origins", origins), .type = CONFIG_STRINGS, .fallback = "a.example b.example"},
};
static const struct config_shape server_shape = {sizeof(struct server), server_fields, 3, NULL,
                                                 NULL};

static void check_client(struct config_reader *reader, void *object)
{
    const struct client *client = object;

    if (client->pong_timeout_ms >= client->ping_interval_ms) {
        config_complain(reader, "pong_timeout", NULL, "less than ping_interval");
    }
}

static const struct config_field client_fields[] = {
    {FIELD(client, "ping_interval", ping_interval_ms), .type = CONFIG_DURATION, .fallback = "25s",
     .min = 1000, .max = 3600000},
    {FIELD(client, "pong_timeout", pong_timeout_ms), .type = CONFIG_DURATION, .fallback = "8s"},
    {FIELD(client, "insecure", insecure), .type = CONFIG_BOOL, .fallback = "false"},
};
static const struct config_shape client_shape = {sizeof(struct client), client_fields, 3,
                                                 check_client, NULL};

static const struct config_field feed_fields[] = {
    {FIELD(feed, "name", name), .type = CONFIG_STRING, .min = 1, .max = 8,
     .expected = "a name of letters, digits, - and _"},
    {FIELD(feed, "ttl", ttl_ms), .type = CONFIG_DURATION, .fallback = "0", .min = 1000,
     .max = INT64_MAX},
    {FIELD(feed, "headers", headers), .type = CONFIG_PAIRS, .secret = true},
};
static const struct config_shape feed_shape = {sizeof(struct feed), feed_fields, 3, NULL, NULL};

static const char *const durabilities[] = {"full", "normal", "memory", NULL};

static void check_all(struct config_reader *reader, void *object)
{
    struct all *all = object;
    const struct feed *feeds = all->feeds.items;

    all->checked++;
    for (size_t i = 1; i < all->feeds.n_items; i++) {
        if (strcmp(feeds[i].name, feeds[0].name) == 0) {
            config_complain_item(reader, "feeds", i, "name", NULL, "a name of its own");
        }
    }
    if (strcmp(all->server.address, "nowhere") == 0) {
        config_complain(reader, "feeds", NULL, "given where the address is nowhere");
        config_complain(reader, "durability", "\"given\"", "right");
    }
    if (strcmp(all->server.address, "elsewhere") == 0) {
        config_complain(reader, "feeds[1].name", NULL, "given elsewhere");
        config_complain(reader, "http_server.port", NULL, "one of its own");
        config_complain_need(reader, "http_server.port", "this not to be said: it is wrong");
        config_complain_need(reader, "client.insecure", "client.insecure or another address");
        all->server_was_good = config_is_good(reader, "http_server");
        all->ports_were_good = config_is_good(reader, "http_server.port") ||
                               config_is_good(reader, "http_server.port.below");
        all->origins_were_good = config_is_good(reader, "http_server.origins") &&
                                 config_is_good(reader, "http_server.por");
    }
    if (strcmp(all->key, "weak") == 0) {
        config_complain(reader, "key", "\"weak\"", "a strong key");
    }
}

static const struct config_field all_fields[] = {
    {FIELD(all, "http_server", server), .type = CONFIG_OBJECT, .shape = &server_shape},
    {FIELD(all, "client", client), .type = CONFIG_OBJECT, .shape = &client_shape},
    {FIELD(all, "durability", durability), .type = CONFIG_CHOICE, .fallback = "normal",
     .choices = durabilities},
    {FIELD(all, "key", key), .type = CONFIG_STRING, .fallback = "", .min = 4, .max = 64,
     .secret = true},
    {FIELD(all, "feeds", feeds), .type = CONFIG_LIST, .shape = &feed_shape, .max = 300},
};
static const struct config_shape all_shape = {sizeof(struct all), all_fields, 5, check_all, NULL};

struct fixture {
    bool is_request;
    struct all all;
    struct config_errors errors;
    enum status status;
};

static int setup(void **state)
{
    *state = calloc(1, sizeof(struct fixture));
    return *state ? 0 : -1;
}

static void release(struct fixture *f)
{
    config_release(&all_shape, &f->all);
    config_errors_release(&f->errors);
}

static int teardown(void **state)
{
    static const char *const variables[] = {"BELFRY_HTTP_SERVER_PORT",
                                            "BELFRY_HTTP_SERVER_ADDRESS",
                                            "BELFRY_HTTP_SERVER_ORIGINS",
                                            "BELFRY_KEY",
                                            "BELFRY_FEEDS",
                                            "BELFRY_DURABILITY",
                                            "BELFRY_CLIENT_INSECURE",
                                            "BELFRY_CLIENT_PING_INTERVAL",
                                            "BELFRY_NAME",
                                            "BELFRY_CLIENT_PINGS",
                                            "BELFRY_CLIENT_PONG_TIMEOUT",
                                            "BELFRY_FEEDS_0__NAME",
                                            "TEST_NAME"};

    for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]); i++) {
        (void)unsetenv(variables[i]);
    }
    release(*state);
    free(*state);
    return 0;
}

static void read_text(struct fixture *f, const char *text)
{
    release(f);
    f->status = f->is_request ? config_read_request(str_of(text), &all_shape, &f->all, &f->errors)
                              : config_read(str_of(text), &all_shape, &f->all, &f->errors);
    assert_int_equal(f->status == STATUS_OK, f->errors.n_texts == 0);
    /* Filled wholly, come what may. */
    assert_non_null(f->all.key);
    assert_non_null(f->all.server.address);
}

static void assert_fine(struct fixture *f, const char *text)
{
    read_text(f, text);
    if (f->status != STATUS_OK) {
        fail_msg("%s", f->errors.texts[0]);
    }
}

/* Exactly one error, with these words. */
static void assert_error(struct fixture *f, const char *text, const char *error)
{
    read_text(f, text);
    assert_int_equal(f->status, STATUS_INVALID);
    assert_string_equal(f->errors.texts[0], error);
    assert_int_equal(f->errors.n_texts, 1);
}

static void defaults(void **state)
{
    struct fixture *f = *state;

    assert_fine(f, "{}");
    assert_string_equal(f->all.server.address, "");
    assert_int_equal(f->all.server.port, 8000);
    assert_int_equal(f->all.server.origins.n_items, 2);
    assert_string_equal(((char **)f->all.server.origins.items)[1], "b.example");
    assert_int_equal(f->all.client.ping_interval_ms, 25000);
    assert_false(f->all.client.insecure);
    assert_int_equal(f->all.durability, 1);
    assert_string_equal(f->all.key, "");
    assert_int_equal(f->all.feeds.n_items, 0);
    assert_int_equal(f->all.checked, 1);
}

static void values(void **state)
{
    struct fixture *f = *state;

    assert_fine(f,
                "{\"http_server\": {\"address\": \"::1\", \"port\": 1, \"origins\": [\"*\"]},"
                " \"client\": {\"ping_interval\": \"1m30s\", \"insecure\": true},"
                " \"durability\": \"memory\", \"key\": \"s3cret\","
                " \"feeds\": [{\"name\": \"one\", \"ttl\": \"720h\"},"
                "             {\"name\": \"two\", \"headers\": {\"X-A\": \"1\", \"X-B\": \"\"}}]}");
    const struct feed *feeds = f->all.feeds.items;
    const struct config_pair *headers = feeds[1].headers.items;
    assert_string_equal(f->all.server.address, "::1");
    assert_int_equal(f->all.server.port, 1);
    assert_int_equal(f->all.server.origins.n_items, 1);
    assert_int_equal(f->all.client.ping_interval_ms, 90000);
    assert_true(f->all.client.insecure);
    assert_int_equal(f->all.durability, 2);
    assert_string_equal(f->all.key, "s3cret");
    assert_int_equal(f->all.feeds.n_items, 2);
    assert_true(feeds[0].ttl_ms == INT64_C(720) * 3600 * 1000);
    assert_int_equal(feeds[1].headers.n_items, 2);
    assert_string_equal(headers[0].name, "X-A");
    assert_string_equal(headers[1].text, "");
}

static void wrong_values(void **state)
{
    struct fixture *f = *state;

    assert_error(f, "{\"http_server\":{\"port\":99999}}",
                 "http_server.port: 99999 is not a TCP port from 1 to 65535");
    assert_error(f, "{\"http_server\":{\"port\":8000.0}}",
                 "http_server.port: 8000.0 is not a TCP port from 1 to 65535");
    assert_error(f, "{\"http_server\":{\"port\":\"80\"}}",
                 "http_server.port: \"80\" is not a TCP port from 1 to 65535");
    assert_error(f, "{\"http_server\":{\"port\":null}}",
                 "http_server.port: null is not a TCP port from 1 to 65535");
    assert_int_equal(f->all.server.port, 8000);
    assert_error(f, "{\"durability\":\"fast\"}",
                 "durability: \"fast\" is not one of full, normal, memory");
    assert_error(f, "{\"client\":{\"insecure\":1}}", "client.insecure: 1 is not true or false");
    assert_error(f, "{\"http_server\":{\"address\":[1]}}",
                 "http_server.address: a list [...] is not a text");
    assert_error(f, "{\"http_server\":{\"origins\":[\"a\",5]}}",
                 "http_server.origins[1]: 5 is not a text");
    assert_error(f, "{\"http_server\":{\"origins\":\"a\"}}",
                 "http_server.origins: \"a\" is not a list of texts");
    assert_error(f, "{\"http_server\":\"x\"}", "http_server: a text is not an object");
    assert_int_equal(f->all.server.port, 8000);
    assert_error(f, "{\"feeds\":{}}",
                 "feeds: an object {...} is not a list of objects, at most 300");
    assert_error(f, "{\"feeds\":[{\"name\":\"n\",\"headers\":[]}]}",
                 "feeds[0].headers: the value (not shown) is not an object of names and texts");
    assert_error(f, "{\"feeds\":[7]}", "feeds[0]: 7 is not an object");
    assert_int_equal(f->all.feeds.n_items, 1);
    assert_error(f, "{\"feeds\":[{}]}",
                 "feeds[0].name: missing, expected a name of letters, digits, - and _");
    assert_error(f, "{\"feeds\":[{\"name\":\"much too long\"}]}",
                 "feeds[0].name: \"much too long\" is not a name of letters, digits, - and _");
}

static void durations(void **state)
{
    static const char *const wrong[] = {"",
                                        "1",
                                        "s",
                                        "5 s",
                                        "-1s",
                                        "1.5s",
                                        "1d",
                                        "+1s",
                                        "1s2",
                                        "1000000000000000h",
                                        "99999999999999999999ms",
                                        "2562047788015h20m"};
    struct fixture *f = *state;
    char text[100];

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        (void)snprintf(text, sizeof(text), "{\"feeds\":[{\"name\":\"n\",\"ttl\":\"%s\"}]}",
                       wrong[i]);
        read_text(f, text);
        assert_int_equal(f->errors.n_texts, 1);
    }
    assert_fine(f, "{\"feeds\":[{\"name\":\"n\",\"ttl\":\"2562047788015h12m55s807ms\"}]}");
    assert_true(((struct feed *)f->all.feeds.items)->ttl_ms == INT64_MAX);
    /* The default may lie outside the range, also when it is written out. */
    assert_fine(f, "{\"feeds\":[{\"name\":\"n\",\"ttl\":\"0\"}]}");
    assert_error(
        f, "{\"feeds\":[{\"name\":\"n\",\"ttl\":\"999ms\"}]}",
        "feeds[0].ttl: \"999ms\" is not a duration like \"250ms\", \"25s\" or \"1h30m\" of "
        "at least 1s");
    assert_error(f, "{\"client\":{\"ping_interval\":\"2h\"}}",
                 "client.ping_interval: \"2h\" is not a duration like \"250ms\", \"25s\" or "
                 "\"1h30m\" from 1s to 1h");
}

static void unknown_keys(void **state)
{
    struct fixture *f = *state;

    assert_error(f, "{\"client\":{\"ping_intervall\":\"25s\"}}",
                 "client.ping_intervall: unknown key (did you mean ping_interval?); known here: "
                 "ping_interval, pong_timeout, insecure");
    assert_error(
        f, "{\"client\":{\"x\\ny\":{}}}",
        "client.\"x\\ny\": unknown key; known here: ping_interval, pong_timeout, insecure");
    read_text(f, "{\"Client\":{}}");
    assert_non_null(strstr(f->errors.texts[0], "(did you mean client?)"));
}

static void all_errors_in_order(void **state)
{
    struct fixture *f = *state;

    read_text(f, "{\"durability\":0,\"nope\":1,\"client\":{\"pong_timeout\":1},\"feeds\":[{},{}]}");
    assert_int_equal(f->errors.n_texts, 5);
    assert_memory_equal(f->errors.texts[0], "durability:", 11);
    assert_memory_equal(f->errors.texts[1], "nope:", 5);
    assert_memory_equal(f->errors.texts[2], "client.pong_timeout:", 20);
    assert_memory_equal(f->errors.texts[3], "feeds[0].name:", 14);
    assert_memory_equal(f->errors.texts[4], "feeds[1].name:", 14);
    assert_int_equal(f->all.checked, 1); /* wrong values are no reason not to look further */
}

static void too_many_errors(void **state)
{
    struct fixture *f = *state;
    char text[2000] = "{\"feeds\":[1";

    for (int i = 0; i < 249; i++) {
        memcpy(text + 11 + i * 2, ",1", 3);
    }
    memcpy(text + 11 + 249 * 2, "]}", 3);
    read_text(f, text);
    assert_int_equal(f->errors.n_texts, 201);
    assert_string_equal(f->errors.texts[200], "50 more errors are not shown");
}

static void too_many_unknown_keys(void **state)
{
    struct fixture *f = *state;
    struct buf text;
    buf_init(&text, 10000);
    for (int i = 0; i < 250; i++) {
        buf_printf(&text, "%s\"k%d\":1", i > 0 ? "," : "{", i);
    }
    buf_append(&text, (struct str){"}", 2});
    read_text(f, text.ptr);
    assert_int_equal(f->errors.n_texts, 201);
    assert_string_equal(f->errors.texts[200], "50 more errors are not shown");
    buf_release(&text);
}

static void syntax_errors(void **state)
{
    struct fixture *f = *state;

    read_text(f, "{\n  \"client\": {},\n  \"key\": \"hush\" \"hush\"\n}");
    assert_int_equal(f->errors.n_texts, 1);
    assert_memory_equal(f->errors.texts[0], "line 3, column ", 15);
    assert_null(strstr(f->errors.texts[0], "hush"));
    assert_int_equal(f->all.server.port, 8000);

    read_text(f, "{\"durability\": \"full\", \"durability\": \"normal\"}");
    assert_non_null(strstr(f->errors.texts[0], "duplicate"));
    assert_non_null(strstr(f->errors.texts[0], "durability"));
    assert_error(f, "[]", "a list [...] is not an object of settings");
    read_text(f, "");
    assert_int_equal(f->errors.n_texts, 1);
    release(f);
    f->status = config_read(STR("{}\0{"), &all_shape, &f->all, &f->errors);
    assert_int_equal(f->status, STATUS_INVALID);
    assert_string_equal(f->errors.texts[0], "a NUL byte has no place in it");
    read_text(f, "{} {}");
    assert_int_equal(f->errors.n_texts, 1);
    read_text(f, "{\"key\":\"a\\u0000b\"}");
    assert_int_equal(f->errors.n_texts, 1);
}

static void checks(void **state)
{
    struct fixture *f = *state;

    assert_error(f, "{\"client\":{\"pong_timeout\":\"25s\"}}",
                 "client.pong_timeout: \"25s\" is not less than ping_interval");
    assert_int_equal(f->all.checked, 1);
    assert_error(f, "{\"client\":{\"ping_interval\":\"5s\"}}",
                 "client.pong_timeout: the default \"8s\" is not less than ping_interval");
    assert_error(f, "{\"feeds\":[{\"name\":\"a\"},{\"name\":\"b\"},{\"name\":\"a\"}]}",
                 "feeds[2].name: \"a\" is not a name of its own");
    read_text(f, "{\"http_server\":{\"address\":\"nowhere\"}}");
    assert_int_equal(f->errors.n_texts, 2);
    assert_string_equal(f->errors.texts[0],
                        "feeds: missing, expected given where the address is nowhere");
    assert_string_equal(f->errors.texts[1], "durability: \"given\" is not right");
    assert_error(f, "{\"key\":\"weak\"}", "key: the value (not shown) is not a strong key");
}

static void checks_reach_down(void **state)
{
    struct fixture *f = *state;
    (void)setenv("BELFRY_CLIENT_INSECURE", "true", 1);
    read_text(f, "{\"http_server\":{\"address\":\"elsewhere\",\"port\":80},"
                 "\"feeds\":[{\"name\":\"a\"},{\"name\":\"b\"}]}");
    assert_int_equal(f->errors.n_texts, 3);
    assert_string_equal(f->errors.texts[0], "feeds[1].name: \"b\" is not given elsewhere");
    assert_string_equal(f->errors.texts[1], "http_server.port: 80 is not one of its own");
    assert_string_equal(f->errors.texts[2], "client.insecure (from BELFRY_CLIENT_INSECURE): "
                                            "expected client.insecure or another address");
    assert_false(f->all.server_was_good);
    assert_false(f->all.ports_were_good);
    assert_true(f->all.origins_were_good);
}

/* What has been complained about is not complained about again by a check; the rest is. */
static void wrong_values_hide_no_check(void **state)
{
    struct fixture *f = *state;
    read_text(f, "{\"http_server\":{\"address\":\"nowhere\",\"port\":0},\"durability\":\"no\","
                 "\"feeds\":[],\"client\":{\"ping_interval\":\"5s\"}}");
    assert_int_equal(f->errors.n_texts, 4);
    assert_memory_equal(f->errors.texts[0], "http_server.port:", 17);
    assert_memory_equal(f->errors.texts[1], "durability: \"no\"", 16);
    assert_memory_equal(f->errors.texts[2], "client.pong_timeout:", 20);
    assert_memory_equal(f->errors.texts[3], "feeds: a list [...] is not given", 32);
    read_text(f, "{\"feeds\":[{\"name\":\"a\"},{\"name\":\"a\"},{\"name\":17}],\"key\":\"weak\"}");
    assert_int_equal(f->errors.n_texts, 3);
    assert_memory_equal(f->errors.texts[0], "feeds[2].name:", 14);
    assert_memory_equal(f->errors.texts[1], "feeds[1].name:", 14);
    assert_memory_equal(f->errors.texts[2], "key:", 4);
}

/* The value must be in no message, wherever it stands. */
static void assert_shown(struct fixture *f, const char *address, const char *shown)
{
    char text[300];
    char error[300];
    (void)snprintf(text, sizeof(text), "{\"http_server\":{\"address\":\"%s\"}}", address);
    (void)snprintf(error, sizeof(error), "http_server.address: %s is not an address without blanks",
                   shown);
    assert_error(f, text, error);
    (void)setenv("BELFRY_HTTP_SERVER_ADDRESS", address, 1);
    (void)snprintf(error, sizeof(error),
                   "http_server.address (from BELFRY_HTTP_SERVER_ADDRESS): %s is not an address "
                   "without blanks",
                   shown);
    assert_error(f, "{}", error);
    (void)unsetenv("BELFRY_HTTP_SERVER_ADDRESS");
}

static void passwords_are_masked(void **state)
{
    struct fixture *f = *state;
    assert_shown(f, "http://me:hush@b.example/ x", "\"http://...@b.example/ x\"");
    assert_shown(f, "http://me:hu/s@h@b.example/ x", "\"http://...@b.example/ x\"");
    assert_shown(f, "http://token@b.example x", "\"http://...@b.example x\"");
    assert_shown(f, "me:hush@b.example x", "\"...@b.example x\"");
    assert_shown(f, "me@b.example x", "\"me@b.example x\"");
    assert_shown(f, "http://b.example x:y", "\"http://b.example x:y\"");
}

static void private_keys_are_not_shown(void **state)
{
    struct fixture *f = *state;
    assert_shown(f, "-----BEGIN EC PRIVATE KEY----- MHcC", "the value (not shown)");
    assert_shown(f, "-----BEGIN PUBLIC KEY----- MHcC", "\"-----BEGIN PUBLIC KEY----- MHcC\"");
    (void)setenv("BELFRY_HTTP_SERVER_PORT", "-----BEGIN PRIVATE KEY----- MHcC", 1);
    assert_error(f, "{}",
                 "http_server.port (from BELFRY_HTTP_SERVER_PORT): the value (not shown) is not a "
                 "TCP port from 1 to 65535");
}

static void secrets_are_not_shown(void **state)
{
    struct fixture *f = *state;

    assert_error(f, "{\"key\":\"abc\"}",
                 "key: the value (not shown) is not a text of 4 to 64 bytes");
    assert_error(f, "{\"key\":123}", "key: the value (not shown) is not a text of 4 to 64 bytes");
    assert_error(f, "{\"feeds\":[{\"name\":\"n\",\"headers\":{\"Authorization\":4711}}]}",
                 "feeds[0].headers.Authorization: the value (not shown) is not a text");
    assert_error(f, "{\"feeds\":\"hush\"}", "feeds: a text is not a list of objects, at most 300");
    (void)setenv("BELFRY_KEY", "abc", 1);
    assert_error(f, "{}",
                 "key (from BELFRY_KEY): the value (not shown) is not a text of 4 to 64 bytes");
}

static void long_values_are_cut(void **state)
{
    struct fixture *f = *state;
    char text[400] = "{\"durability\":\"x"; /* the x: so that the cut falls into a character */

    for (int i = 0; i < 150; i++) {
        memcpy(text + 16 + i * 2, "\xc3\xa9", 2);
    }
    memcpy(text + 16 + 300, "\"}", 3);
    read_text(f, text);
    assert_in_range(strlen(f->errors.texts[0]), 80, 160);
    assert_non_null(strstr(f->errors.texts[0], "\xc3\xa9\"... is not one of"));
}

static void variables_in_texts(void **state)
{
    struct fixture *f = *state;

    (void)setenv("TEST_NAME", "full", 1);
    assert_fine(f, "{\"durability\":\"${TEST_NAME}\",\"key\":\"a${TEST_NAME}b$c$${TEST_NAME}$$\","
                   "\"http_server\":{\"origins\":[\"${TEST_NAME}\"]},"
                   "\"feeds\":[{\"name\":\"n\",\"headers\":{\"H\":\"{x} ${TEST_NAME}\"}}]}");
    assert_int_equal(f->all.durability, 0);
    assert_string_equal(f->all.key, "afullb$c${TEST_NAME}$$");
    assert_string_equal(((char **)f->all.server.origins.items)[0], "full");
    const struct feed *feed = f->all.feeds.items;
    assert_string_equal(((struct config_pair *)feed->headers.items)->text, "{x} full");

    assert_error(f, "{\"key\":\"${TEST_NOT_SET}\"}",
                 "key: the environment variable TEST_NOT_SET is not set");
    read_text(f, "{\"key\":\"${TEST_NAME\", \"durability\":\"${}\", \"http_server\":{\"address\":"
                 "\"${A B}\"}}");
    assert_int_equal(f->errors.n_texts, 3);
    (void)setenv("TEST_NAME", "\xff", 1);
    assert_error(f, "{\"key\":\"${TEST_NAME}\"}",
                 "key: the environment variable TEST_NAME is not valid UTF-8");
}

static void overrides(void **state)
{
    struct fixture *f = *state;

    (void)setenv("BELFRY_HTTP_SERVER_PORT", "81", 1);
    (void)setenv("BELFRY_HTTP_SERVER_ORIGINS", "  x  y\tz ", 1);
    (void)setenv("BELFRY_CLIENT_INSECURE", "true", 1);
    (void)setenv("BELFRY_CLIENT_PING_INTERVAL", "10s", 1);
    (void)setenv("BELFRY_DURABILITY", "full", 1);
    (void)setenv("BELFRY_KEY", "${literal}", 1);
    (void)setenv("BELFRY_NAME", "never", 1); /* keys in lists are out of reach */
    (void)setenv("BELFRY_FEEDS_0__NAME", "never", 1);
    assert_fine(f, "{\"http_server\":{\"port\":80,\"origins\":[]},\"feeds\":[{\"name\":\"n\"}],"
                   "\"durability\":\"${TEST_NOT_SET}\"}");
    assert_int_equal(f->all.server.port, 81);
    assert_int_equal(f->all.server.origins.n_items, 3);
    assert_string_equal(((char **)f->all.server.origins.items)[2], "z");
    assert_true(f->all.client.insecure);
    assert_int_equal(f->all.client.ping_interval_ms, 10000);
    assert_int_equal(f->all.durability, 0);
    assert_string_equal(f->all.key, "${literal}");
    assert_string_equal(((struct feed *)f->all.feeds.items)->name, "n");

    (void)setenv("BELFRY_HTTP_SERVER_PORT", "81x", 1);
    assert_error(f, "{}",
                 "http_server.port (from BELFRY_HTTP_SERVER_PORT): \"81x\" is not a TCP "
                 "port from 1 to 65535");
    (void)setenv("BELFRY_HTTP_SERVER_PORT", "0", 1);
    read_text(f, "{}");
    assert_int_equal(f->errors.n_texts, 1);
    (void)setenv("BELFRY_HTTP_SERVER_PORT", "81", 1);
    (void)setenv("BELFRY_CLIENT_PING_INTERVAL", "7s", 1);
    assert_error(f, "{}", "client.pong_timeout: the default \"8s\" is not less than ping_interval");
    (void)setenv("BELFRY_CLIENT_PONG_TIMEOUT", "7s", 1);
    assert_error(f, "{}",
                 "client.pong_timeout (from BELFRY_CLIENT_PONG_TIMEOUT): \"7s\" is not less than "
                 "ping_interval");
}

/* What the reader writes to the log (stderr) about this document. */
static void read_and_capture(struct fixture *f, const char *text, char *log, size_t log_size)
{
    int saved = dup(STDERR_FILENO);
    int file = memfd_create("log", 0);

    assert_true(saved >= 0 && file >= 0);
    (void)dup2(file, STDERR_FILENO);
    read_text(f, text);
    (void)dup2(saved, STDERR_FILENO);
    ssize_t n = pread(file, log, log_size - 1, 0);
    assert_true(n >= 0);
    log[n] = '\0';
    (void)close(saved);
    (void)close(file);
}

static void unknown_variables_are_warned_of(void **state)
{
    struct fixture *f = *state;
    char log[4096];

    (void)setenv("BELFRY_CLIENT_PINGS", "hush", 1);
    (void)setenv("BELFRY_NAME", "text", 1);
    (void)setenv("BELFRY_DURABILITY", "full", 1);
    read_and_capture(f, "{\"key\":\"${BELFRY_NAME}\"}", log, sizeof(log));
    assert_int_equal(f->status, STATUS_OK);
    assert_non_null(strstr(log, "unknown_environment_variable name=BELFRY_CLIENT_PINGS\n"));
    assert_null(strstr(log, "BELFRY_NAME")); /* in use */
    assert_null(strstr(log, "BELFRY_DURABILITY"));
    assert_null(strstr(log, "hush"));
    read_and_capture(f, "{}", log, sizeof(log));
    assert_non_null(strstr(log, "name=BELFRY_NAME\n"));
}

static void loads_files(void **state)
{
    char path[] = "/tmp/belfry-test-config-XXXXXX";
    char *text = NULL;
    size_t len = 0;
    int file = mkstemp(path);

    (void)state;
    assert_true(file >= 0);
    assert_int_equal(config_load_file(path, &text, &len), STATUS_OK);
    assert_int_equal(len, 0);
    assert_string_equal(text, "");
    free(text);
    assert_int_equal(write(file, "{\"a\":1}\n", 8), 8);
    assert_int_equal(config_load_file(path, &text, &len), STATUS_OK);
    assert_int_equal(len, 8);
    assert_string_equal(text, "{\"a\":1}\n");
    free(text);
    assert_int_equal(ftruncate(file, (16 << 20) + 1), 0);
    assert_int_equal(config_load_file(path, &text, &len), STATUS_TOO_LARGE);
    assert_int_equal(ftruncate(file, 16 << 20), 0);
    assert_int_equal(config_load_file(path, &text, &len), STATUS_OK);
    assert_int_equal(len, 16 << 20);
    free(text);
    (void)close(file);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(config_load_file(path, &text, &len), STATUS_NOT_FOUND);
    assert_int_equal(config_load_file("/", &text, &len), STATUS_IO);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

/* One value by itself, whatever is wrong beside it. */
static void values_are_accepted_or_not(void **state)
{
    struct fixture *f = *state;
    assert_error(f, "{\"http_server\":{\"address\":\"a b\"}}",
                 "http_server.address: \"a b\" is not an address without blanks");
    read_text(f, "{\"http_server\":{\"port\":0,\"address\":\"a b\",\"nobody\":1}}");
    assert_int_equal(f->errors.n_texts, 3);
    setenv("BELFRY_HTTP_SERVER_ADDRESS", "c d", 1);
    assert_error(f, "{}",
                 "http_server.address (from BELFRY_HTTP_SERVER_ADDRESS): \"c d\" is not an address "
                 "without blanks");
    unsetenv("BELFRY_HTTP_SERVER_ADDRESS");
}

/* A key that nobody knows says nothing against the values beside it. */
static void an_unknown_key_hides_no_check(void **state)
{
    struct fixture *f = *state;
    read_text(f, "{\"client\":{\"pong_timeout\":\"30s\",\"nobody\":1}}");
    assert_int_equal(f->errors.n_texts, 2);
}

/* --- what others send --- */

static void requests_are_none_of_the_environments_business(void **state)
{
    struct fixture *f = *state;
    f->is_request = true;
    (void)setenv("TEST_NAME", "value", 1);
    (void)setenv("BELFRY_HTTP_SERVER_PORT", "81", 1);
    (void)setenv("BELFRY_HTTP_SERVER_ORIGINS", "x y", 1);
    (void)setenv("BELFRY_KEY", "environment", 1);
    (void)setenv("BELFRY_DURABILITY", "nonsense", 1);
    assert_fine(f, "{\"http_server\":{\"address\":\"${TEST_NAME}\",\"origins\":[\"$${\"]},"
                   "\"feeds\":[{\"name\":\"${\",\"headers\":{\"a\":\"${TEST_NOT_SET}\"}}]}");
    const struct feed *feed = f->all.feeds.items;
    assert_string_equal(f->all.server.address, "${TEST_NAME}");
    assert_int_equal(f->all.server.port, 8000);
    assert_int_equal(f->all.server.origins.n_items, 1);
    assert_string_equal(((char **)f->all.server.origins.items)[0], "$${");
    assert_string_equal(f->all.key, "");
    assert_int_equal(f->all.durability, 1);
    assert_string_equal(feed->name, "${");
    assert_string_equal(((struct config_pair *)feed->headers.items)->text, "${TEST_NOT_SET}");
    /* Nor is it named when a value is wrong. */
    assert_error(f, "{\"http_server\":{\"port\":0}}",
                 "http_server.port: 0 is not a TCP port from 1 to 65535");
    (void)setenv("BELFRY_CLIENT_PONG_TIMEOUT", "1s", 1);
    assert_error(f, "{\"client\":{\"ping_interval\":\"8s\"}}",
                 "client.pong_timeout: the default \"8s\" is not less than ping_interval");
}

static void requests_warn_of_no_variables(void **state)
{
    struct fixture *f = *state;
    char log[2000];
    (void)setenv("BELFRY_CLIENT_PINGS", "1", 1);
    read_and_capture(f, "{}", log, sizeof(log));
    assert_non_null(strstr(log, "BELFRY_CLIENT_PINGS"));
    f->is_request = true;
    read_and_capture(f, "{}", log, sizeof(log));
    assert_string_equal(log, "");
}

static void requests_are_checked_as_all_is(void **state)
{
    struct fixture *f = *state;
    f->is_request = true;
    assert_error(f, "{\"client\":{\"ping_intervall\":\"25s\"}}",
                 "client.ping_intervall: unknown key (did you mean ping_interval?); known here: "
                 "ping_interval, pong_timeout, insecure");
    assert_error(f, "{\"client\":{\"insecure\":1}}", "client.insecure: 1 is not true or false");
    assert_error(f, "{\"client\":{\"pong_timeout\":\"25s\"}}",
                 "client.pong_timeout: \"25s\" is not less than ping_interval");
    assert_error(f, "{\"feeds\":[{}]}",
                 "feeds[0].name: missing, expected a name of letters, digits, - and _");
    assert_error(f, "{\"key\":\"abc\"}",
                 "key: the value (not shown) is not a text of 4 to 64 bytes");
    assert_error(f, "[]", "a list [...] is not an object of settings");
}

/* A long list is not looked into: 301 wrong items are one error. */
static void lists_may_have_a_limit(void **state)
{
    struct fixture *f = *state;
    struct buf text;
    buf_init(&text, 10000);
    buf_literal(&text, "{\"feeds\":[{\"name\":\"n\"}");
    for (int i = 1; i < 300; i++) {
        buf_printf(&text, ",{\"name\":\"%d\"}", i);
    }
    buf_append(&text, (struct str){"]}", 3});
    assert_fine(f, text.ptr);
    assert_int_equal(f->all.feeds.n_items, 300);
    buf_clear(&text);
    buf_literal(&text, "{\"feeds\":[1");
    for (int i = 1; i <= 300; i++) {
        buf_literal(&text, ",1");
    }
    buf_append(&text, (struct str){"]}", 3});
    assert_error(f, text.ptr, "feeds: a list [...] is not a list of objects, at most 300");
    assert_int_equal(f->all.feeds.n_items, 0);
    buf_release(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(defaults),
        TEST(values),
        TEST(wrong_values),
        TEST(durations),
        TEST(unknown_keys),
        TEST(all_errors_in_order),
        TEST(too_many_errors),
        TEST(too_many_unknown_keys),
        TEST(syntax_errors),
        TEST(values_are_accepted_or_not),
        TEST(an_unknown_key_hides_no_check),
        TEST(checks),
        TEST(checks_reach_down),
        TEST(wrong_values_hide_no_check),
        TEST(passwords_are_masked),
        TEST(private_keys_are_not_shown),
        TEST(secrets_are_not_shown),
        TEST(long_values_are_cut),
        TEST(variables_in_texts),
        TEST(overrides),
        TEST(unknown_variables_are_warned_of),
        TEST(requests_are_none_of_the_environments_business),
        TEST(requests_warn_of_no_variables),
        TEST(requests_are_checked_as_all_is),
        TEST(lists_may_have_a_limit),
        cmocka_unit_test(loads_files),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
