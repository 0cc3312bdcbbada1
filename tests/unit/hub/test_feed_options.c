/* SPDX-License-Identifier: MIT */
/* What the configuration may say about feeds and their upstreams, what a caller of POST /api/fanout
 * may, and what is said against the rest. */
#include "hub/feed_options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/buf.h"
#include "upstreams/fetch.h"

typedef enum status (*read_fn)(struct str text, const struct config_shape *shape, void *object,
                               struct config_errors *ret_errors);

static void read_good(read_fn read, const char *text, const struct config_shape *shape,
                      void *object)
{
    struct config_errors errors;
    enum status status = read(str_of(text), shape, object, &errors);
    if (status != STATUS_OK) {
        fail_msg("%s", errors.texts[0]);
    }
    config_errors_release(&errors);
}

/* Exactly one error: it begins with the path, and the words are in it. */
static void assert_refused(read_fn read, const char *text, const struct config_shape *shape,
                           const char *path, const char *words)
{
    union {
        struct feed_options feed;
        struct upstreams_options upstreams;
    } object;
    struct config_errors errors;
    enum status status = read(str_of(text), shape, &object, &errors);
    size_t len = strlen(path);
    if (status != STATUS_INVALID || errors.n_texts != 1 ||
        strncmp(errors.texts[0], path, len) != 0 || errors.texts[0][len] != ':' ||
        !strstr(errors.texts[0], words)) {
        fail_msg("%s: not \"%s: ... %s\" but %zu: %s%s%s", text, path, words, errors.n_texts,
                 errors.n_texts > 0 ? errors.texts[0] : "accepted", errors.n_texts > 1 ? " + " : "",
                 errors.n_texts > 1 ? errors.texts[1] : "");
    }
    config_errors_release(&errors);
    config_release(shape, &object);
}

#define UPSTREAM "{\"name\":\"u\",\"url\":\"http://h/\"}"

/* --- feeds --- */

static void read_feed(const char *members, struct feed_options *ret_feed)
{
    char text[4000];
    (void)snprintf(text, sizeof(text), "{\"name\":\"f\",\"channel\":\"c\",%s}", members);
    read_good(config_read, text, &feed_options_shape, ret_feed);
}

static void test_feed_defaults(void **state)
{
    (void)state;
    struct feed_options f;
    read_feed("\"upstreams\":[" UPSTREAM "]", &f);
    assert_string_equal(f.name, "f");
    assert_string_equal(f.channel, "c");
    assert_int_equal(f.params.n_items, 0);
    assert_int_equal(f.timeout_ms, 2000);
    assert_int_equal(f.refresh.every_ms, 0);
    assert_int_equal(f.refresh.ever, FEED_WHILE_WATCHED);
    assert_int_equal(f.refresh.jitter, 10);
    assert_int_equal(f.refresh.grace_ms, 10000);
    assert_false(f.refresh.respect_cache);
    assert_int_equal(f.max_age_ms, 0);
    assert_int_equal(f.merge, FEED_MERGE_OBJECT);
    assert_false(f.meta);
    assert_int_equal(f.push, FEED_PUSH_CHANGES);
    assert_int_equal(f.min_interval_ms, 0);
    assert_int_equal(f.access, FEED_ACCESS_KEY);
    assert_int_equal(f.stale_while_revalidate_ms, 0);
    assert_string_equal(f.hook_secret, "");
    assert_int_equal(f.snapshot_limit, 10000);
    assert_int_equal(f.runs_size, 100);
    assert_true(f.runs_ttl_ms == INT64_C(7) * 24 * 3600 * 1000);
    assert_int_equal(f.upstreams.n_items, 1);
    config_release(&feed_options_shape, &f);
}

static void test_every_key_of_a_feed(void **state)
{
    (void)state;
    struct feed_options f;
    read_feed("\"timeout\":\"1ms\",\"refresh\":{\"every\":\"100ms\",\"while\":\"always\","
              "\"jitter\":0,\"grace\":\"0s\",\"respect_cache\":true},\"max_age\":\"1m\","
              "\"merge\":\"flat\",\"meta\":true,\"push\":\"always\",\"min_interval\":\"2s\","
              "\"access\":\"public\",\"stale_while_revalidate\":\"3s\",\"hook_secret\":\"s\","
              "\"snapshot_limit\":1,\"runs_size\":0,\"runs_ttl\":\"1s\",\"upstreams\":[" UPSTREAM
              "]",
              &f);
    assert_int_equal(f.timeout_ms, 1);
    assert_int_equal(f.refresh.every_ms, 100);
    assert_int_equal(f.refresh.ever, FEED_WHILE_ALWAYS);
    assert_int_equal(f.refresh.jitter, 0);
    assert_int_equal(f.refresh.grace_ms, 0);
    assert_true(f.refresh.respect_cache);
    assert_int_equal(f.max_age_ms, 60000);
    assert_int_equal(f.merge, FEED_MERGE_FLAT);
    assert_true(f.meta);
    assert_int_equal(f.push, FEED_PUSH_ALWAYS);
    assert_int_equal(f.min_interval_ms, 2000);
    assert_int_equal(f.access, FEED_ACCESS_PUBLIC);
    assert_int_equal(f.stale_while_revalidate_ms, 3000);
    assert_string_equal(f.hook_secret, "s");
    assert_int_equal(f.snapshot_limit, 1);
    assert_int_equal(f.runs_size, 0);
    assert_int_equal(f.runs_ttl_ms, 1000);
    config_release(&feed_options_shape, &f);
    read_feed("\"merge\":\"array\",\"access\":\"token\",\"upstreams\":[" UPSTREAM "]", &f);
    assert_int_equal(f.merge, FEED_MERGE_ARRAY);
    assert_int_equal(f.access, FEED_ACCESS_TOKEN);
    config_release(&feed_options_shape, &f);
}

static void feed_refused(const char *members, const char *path, const char *words)
{
    char text[3000];
    (void)snprintf(text, sizeof(text), "{\"name\":\"f\",%s,\"upstreams\":[" UPSTREAM "]}", members);
    assert_refused(config_read, text, &feed_options_shape, path, words);
}

static void test_feed_ranges(void **state)
{
    (void)state;
    feed_refused("\"channel\":\"c\",\"refresh\":{\"every\":\"99ms\"}", "refresh.every", "100ms");
    feed_refused("\"channel\":\"c\",\"refresh\":{\"jitter\":101}", "refresh.jitter", "0 to 100");
    feed_refused("\"channel\":\"c\",\"refresh\":{\"jitter\":-1}", "refresh.jitter", "0 to 100");
    feed_refused("\"channel\":\"c\",\"runs_ttl\":\"0s\"", "runs_ttl", "1s");
    feed_refused("\"channel\":\"c\",\"timeout\":\"0s\"", "timeout", "1ms");
    feed_refused("\"channel\":\"c\",\"snapshot_limit\":0", "snapshot_limit", "from 1");
    feed_refused("\"channel\":\"c\",\"access\":\"nobody\"", "access", "key, token, public");
    feed_refused("\"channel\":\"c\",\"merge\":\"deep\"", "merge", "object, flat, array");
    feed_refused("\"channel\":\"c\",\"push\":\"never\"", "push", "changes, always");
    feed_refused("\"channel\":\"c\",\"hook_secret\":5", "hook_secret", "not shown");
    feed_refused("\"channel\":\"c\",\"timout\":\"1s\"", "timout", "did you mean timeout?");
}

#define TWO "\"params\":{\"a\":\"x+\",\"b\":\"y+\"},"

static void test_channels(void **state)
{
    (void)state;
    struct feed_options f;
    feed_refused("\"channel\":\"\"", "channel", "a channel such as");
    feed_refused("\"channel\":\"c:{\"", "channel", "a channel such as");
    feed_refused("\"channel\":\"c:{a}\"", "channel", "{names} stand under params");
    feed_refused(TWO "\"channel\":\"c:{a}\",\"refresh\":{\"every\":\"1s\"}", "channel",
                 "a channel with {b}: refresh.every");
    feed_refused(TWO "\"channel\":\"c:{b}\",\"max_age\":\"1s\"", "channel",
                 "a channel with {a}: max_age");
    feed_refused(TWO "\"channel\":\"c:{a}{b}\",\"max_age\":\"1s\"", "channel",
                 "text between its {names}: max_age");
    read_good(config_read,
              "{\"name\":\"f\"," TWO "\"channel\":\"{a}-{b}\",\"max_age\":\"1s\",\"refresh\":"
              "{\"every\":\"1s\"},\"upstreams\":[" UPSTREAM "]}",
              &feed_options_shape, &f);
    config_release(&feed_options_shape, &f);
    read_good(config_read,
              "{\"name\":\"f\"," TWO "\"channel\":\"{a}{a}\",\"upstreams\":[" UPSTREAM "]}",
              &feed_options_shape, &f);
    config_release(&feed_options_shape, &f);
}

static void test_params(void **state)
{
    (void)state;
    feed_refused("\"channel\":\"c\",\"params\":{\"a\":\"(\"}", "params", "a is \"(\"");
    feed_refused("\"channel\":\"c\",\"params\":{\"a.b\":\"x\"}", "params", "without '.'");
    feed_refused("\"channel\":\"c\",\"params\":{\"\":\"x\"}", "params", "names");
}

static void test_always(void **state)
{
    (void)state;
    feed_refused("\"channel\":\"c:{a}\",\"params\":{\"a\":\"x\"},\"refresh\":{\"every\":\"1s\","
                 "\"while\":\"always\"}",
                 "refresh.while", "\"always\" is not \"watched\"");
    feed_refused("\"channel\":\"c\",\"refresh\":{\"while\":\"always\"}", "refresh.every",
                 "expected a duration");
}

static void test_meta_needs_an_object(void **state)
{
    (void)state;
    feed_refused("\"channel\":\"c\",\"merge\":\"array\",\"meta\":true", "meta", "array");
    assert_refused(config_read_request,
                   "{\"upstreams\":[" UPSTREAM "],\"merge\":\"array\",\"meta\":true}",
                   &fanout_request_shape, "meta", "array");
}

/* --- upstreams of a feed --- */

static void read_upstream(const char *members, struct feed_options *ret_feed)
{
    char text[3000];
    (void)snprintf(text, sizeof(text),
                   "\"params\":{\"city\":\"[a-z]+\"},\"upstreams\":[{\"name\":\"u\","
                   "\"url\":\"https://h/{city}\"%s}]",
                   members);
    read_feed(text, ret_feed);
}

static void test_upstream_defaults(void **state)
{
    (void)state;
    struct feed_options f;
    read_upstream("", &f);
    const struct feed_upstream_options *u = f.upstreams.items;
    assert_string_equal(u->name, "u");
    assert_int_equal(u->method, FETCH_GET);
    assert_string_equal(u->url, "https://h/{city}");
    assert_int_equal(u->query.n_items + u->headers.n_items + u->needs.n_items, 0);
    assert_int_equal(u->allow.n_items + u->deny.n_items + u->rename.n_items, 0);
    assert_string_equal(u->body, "");
    assert_string_equal(u->select, "");
    assert_string_equal(u->group, "");
    assert_string_equal(u->as, "");
    assert_int_equal(u->on_failure, FEED_ON_FAILURE_STALE);
    assert_int_equal(u->stale_ttl_ms, 0);
    assert_true(u->conditional);
    assert_int_equal(u->how.timeout_ms, 0);
    assert_int_equal(u->how.connect_timeout_ms, 0);
    assert_int_equal(u->how.max_redirects, 5);
    assert_int_equal(u->how.max_concurrent, 0);
    assert_int_equal(u->how.max_waiting, 1000);
    assert_int_equal(u->how.rate_limit.requests, 0);
    assert_int_equal(u->how.rate_limit.per_ms, 1000);
    assert_int_equal(u->how.retry.attempts, 0);
    assert_int_equal(u->how.retry.budget, 20);
    assert_int_equal(u->how.breaker.failures, 5);
    assert_int_equal(u->how.hedge.percentile, 0);
    assert_string_equal(u->how.transport.tls.server_ca_pem_file, "");
    assert_string_equal(u->how.transport.proxy, "");
    assert_int_equal(u->how.transport.http_version, HTTP_VERSION_AUTO);
    config_release(&feed_options_shape, &f);
}

static void test_every_key_of_an_upstream(void **state)
{
    (void)state;
    struct feed_options f;
    read_upstream(",\"method\":\"PATCH\",\"query\":{\"q\":\"{city}\"},\"headers\":{\"X-A\":"
                  "\"{city}\"},\"body\":\"{\\\"c\\\":\\\"{city}\\\"}\",\"timeout\":\"3s\","
                  "\"connect_timeout\":\"1s\",\"max_redirects\":0,\"select\":\"/a\","
                  "\"allow\":[\"/a\",\"/items/*/id\"],\"deny\":[\"/b\"],\"rename\":{\"a\":\"b\"},"
                  "\"group\":\"g\",\"as\":\"x y\",\"on_failure\":\"fail\",\"stale_ttl\":\"1h\","
                  "\"conditional\":false,\"max_concurrent\":2,\"max_waiting\":3,"
                  "\"rate_limit\":{\"requests\":4},\"retry\":{\"attempts\":5},"
                  "\"breaker\":{\"failures\":6},\"hedge\":{\"percentile\":95},"
                  "\"tls\":{\"insecure_skip_verify\":true},\"proxy\":\"http://p:3128\","
                  "\"http_version\":\"2\"",
                  &f);
    const struct feed_upstream_options *u = f.upstreams.items;
    assert_int_equal(u->method, FETCH_PATCH);
    assert_string_equal(((struct config_pair *)u->query.items)->text, "{city}");
    assert_string_equal(((struct config_pair *)u->headers.items)->name, "X-A");
    assert_string_equal(u->body, "{\"c\":\"{city}\"}");
    assert_int_equal(u->how.timeout_ms, 3000);
    assert_int_equal(u->how.connect_timeout_ms, 1000);
    assert_int_equal(u->how.max_redirects, 0);
    assert_string_equal(u->select, "/a");
    assert_string_equal(((char **)u->allow.items)[1], "/items/*/id");
    assert_string_equal(((char **)u->deny.items)[0], "/b");
    assert_string_equal(((struct config_pair *)u->rename.items)->text, "b");
    assert_string_equal(u->group, "g");
    assert_string_equal(u->as, "x y");
    assert_int_equal(u->on_failure, FEED_ON_FAILURE_FAIL);
    assert_int_equal(u->stale_ttl_ms, 3600000);
    assert_false(u->conditional);
    assert_int_equal(u->how.max_concurrent, 2);
    assert_int_equal(u->how.max_waiting, 3);
    assert_int_equal(u->how.rate_limit.requests, 4);
    assert_int_equal(u->how.retry.attempts, 5);
    assert_int_equal(u->how.breaker.failures, 6);
    assert_int_equal(u->how.hedge.percentile, 95);
    assert_true(u->how.transport.tls.insecure_skip_verify);
    assert_string_equal(u->how.transport.proxy, "http://p:3128");
    assert_int_equal(u->how.transport.http_version, HTTP_VERSION_2);
    config_release(&feed_options_shape, &f);
}

static void test_methods(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum fetch_method method;
    } all[] = {{"GET", FETCH_GET},
               {"POST", FETCH_POST},
               {"PUT", FETCH_PUT},
               {"PATCH", FETCH_PATCH},
               {"DELETE", FETCH_DELETE}};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        struct feed_options f;
        char member[40];
        (void)snprintf(member, sizeof(member), ",\"method\":\"%s\"", all[i].name);
        read_upstream(member, &f);
        assert_int_equal(((struct feed_upstream_options *)f.upstreams.items)->method,
                         all[i].method);
        config_release(&feed_options_shape, &f);
    }
}

/* key: of the upstream. */
static void upstream_refused(const char *members, const char *key, const char *words)
{
    char text[3000];
    char path[100];
    (void)snprintf(text, sizeof(text),
                   "{\"name\":\"f\",\"channel\":\"c\",\"params\":{\"city\":\"[a-z]+\"},"
                   "\"upstreams\":[" UPSTREAM ",{\"name\":\"v\",%s}]}",
                   members);
    (void)snprintf(path, sizeof(path), "upstreams[1].%s", key);
    assert_refused(config_read, text, &feed_options_shape, path, words);
}
#define URL "\"url\":\"http://h/\","

static void test_upstream_values(void **state)
{
    (void)state;
    upstream_refused("\"as\":\"x\"", "url", "missing, expected an http or https URL");
    upstream_refused("\"url\":\"ftp://h/\"", "url", "an absolute http or https URL");
    upstream_refused("\"url\":\"http://h/{\"", "url", "closed braces");
    upstream_refused(URL "\"method\":\"HEAD\"", "method",
                     "\"HEAD\" is not one of GET, POST, PUT, PATCH, DELETE");
    upstream_refused(URL "\"method\":\"get\"", "method",
                     "\"get\" is not one of GET, POST, PUT, PATCH, DELETE");
    upstream_refused(URL "\"select\":\"a\"", "select", "a JSON Pointer");
    upstream_refused(URL "\"allow\":[\"/a\",\"b\"]", "allow", "\"b\" is none");
    upstream_refused(URL "\"deny\":[\"\"]", "deny", "\"\" is none");
    upstream_refused(URL "\"rename\":{\"a\":\"\"}", "rename", "a new one is empty");
    upstream_refused(URL "\"on_failure\":\"retry\"", "on_failure", "stale, null, omit, fail");
    upstream_refused(URL "\"max_redirects\":21", "max_redirects", "0 to 20");
    upstream_refused(URL "\"proxy\":\"socks5://u:secret@h\"", "proxy", "not shown");
    upstream_refused(URL "\"http_version\":\"3\"", "http_version", "auto, 1.1, 2");
    upstream_refused(URL "\"hedge\":{\"percentile\":100}", "hedge.percentile", "50 to 99");
    upstream_refused(URL "\"tls\":{\"server_ca_pem_file\":\"/nowhere\"}", "tls.server_ca_pem_file",
                     "/nowhere");
}

static void test_what_is_sent(void **state)
{
    (void)state;
    upstream_refused(URL "\"headers\":{\"Host\":\"x\"}", "headers", "without those of the conn");
    upstream_refused(URL "\"headers\":{\"X-A\":\"a\\nb\"}", "headers", "control characters");
    upstream_refused(URL "\"headers\":{\"X-A\":\"a\",\"x-a\":\"b\"}", "headers", "once");
    upstream_refused(URL "\"query\":{\"a\":\"{\"}", "query", "closed braces");
    upstream_refused(URL "\"body\":\"{}\"", "body", "a GET request has none");
    upstream_refused(URL "\"method\":\"POST\",\"body\":\"secret\"", "body",
                     "the value (not shown) is not JSON");
    upstream_refused(URL "\"method\":\"HEAD\",\"body\":\"{}\"", "method", "one of GET");
}

/* One too many. */
static void check_list_limit(const char *key, bool has_pairs)
{
    struct buf text;
    char path[40];
    buf_init(&text, 100000);
    buf_printf(&text, "{\"upstreams\":[{\"name\":\"u\",\"url\":\"http://h/\",\"%s\":%s", key,
               has_pairs ? "{" : "[");
    for (int i = 0; i <= 100; i++) {
        buf_printf(&text, has_pairs ? "%s\"%d\":\"a\"" : "%s\"/%d\"", i > 0 ? "," : "", i);
    }
    buf_append(&text, has_pairs ? STR("}}]}") : STR("]}]}"));
    buf_append_char(&text, '\0');
    (void)snprintf(path, sizeof(path), "upstreams[0].%s", key);
    assert_refused(config_read_request, text.ptr, &fanout_request_shape, path, "at most 100");
    buf_release(&text);
}

static void test_lists_have_limits(void **state)
{
    (void)state;
    char pointer[2 * 33 + 1] = "";
    char members[200];
    for (size_t i = 0; i + 1 < sizeof(pointer); i++) {
        pointer[i] = i % 2 ? 'a' : '/';
    }
    (void)snprintf(members, sizeof(members), URL "\"allow\":[\"%s\"]", pointer);
    upstream_refused(members, "allow", "at most 32 names");
    check_list_limit("allow", false);
    check_list_limit("deny", false);
    check_list_limit("rename", true);
}

/* --- needs, and names in braces --- */

static void needs_refused(const char *upstreams, const char *path, const char *words)
{
    char text[3000];
    (void)snprintf(text, sizeof(text),
                   "{\"name\":\"f\",\"channel\":\"c\",\"params\":{\"city\":\"[a-z]+\"},"
                   "\"upstreams\":[%s]}",
                   upstreams);
    assert_refused(config_read, text, &feed_options_shape, path, words);
}

/* Without an URL of its own. */
#define NEEDS(name_, needs_) "{\"name\":\"" name_ "\",\"url\":\"http://h/\",\"needs\":[" needs_ "]}"

static void test_names_in_braces(void **state)
{
    (void)state;
    static const char words[] = "stand under params, or are values of upstreams under needs";
    upstream_refused("\"url\":\"http://h/{town}\"", "url",
                     "is not a URL whose {names} stand under params, or are values of upstreams "
                     "under needs, such as {user.id}: {town} is neither");
    upstream_refused("\"url\":\"http://h/{u.id}\"", "url", words);
    upstream_refused(URL "\"query\":{\"{town}\":\"{city}\"}", "query", "{town} is neither");
    upstream_refused(URL "\"headers\":{\"X-A\":\"secret {town}\"}", "headers",
                     "the value (not shown) is not an object whose {names}");
    upstream_refused(URL "\"method\":\"POST\",\"headers\":{\"X-A\":\"{city}\"},"
                         "\"body\":\"[{town}]\"",
                     "body", "{town} is neither");
    upstream_refused(URL "\"method\":\"POST\",\"headers\":{\"X-A\":\"{town}\"},"
                         "\"body\":\"[{town}]\"",
                     "headers", "{town} is neither");
    upstream_refused("\"url\":\"http://h/{u}\",\"needs\":[\"u\"]", "url", words);
    upstream_refused("\"url\":\"http://h/{city.id}\",\"needs\":[\"u\"]", "url", words);
}

/* One error is enough: what is wrong with the names follows from it. */
static void test_names_beside_wrong_lists(void **state)
{
    (void)state;
    upstream_refused("\"url\":\"http://h/{u.id}\",\"needs\":5", "needs", "a list of texts");
    assert_refused(config_read,
                   "{\"name\":\"f\",\"channel\":\"{a}\",\"params\":5,\"upstreams\":"
                   "[{\"name\":\"u\",\"url\":\"http://h/{a}\"}]}",
                   &feed_options_shape, "params", "an object of names and texts");
}

/* Each part for itself is good. */
static void test_too_many_names_together(void **state)
{
    (void)state;
    struct buf members;
    buf_init(&members, 2000);
    buf_literal(&members, "\"needs\":[\"u\"],\"url\":\"http://h/");
    for (int i = 0; i < 60; i++) {
        buf_printf(&members, "{u.a%d}", i);
    }
    buf_literal(&members, "\",\"headers\":{\"X-A\":\"");
    for (int i = 0; i < 60; i++) {
        buf_printf(&members, "{u.b%d}", i);
    }
    buf_append(&members, (struct str){"\"}", 3});
    assert_false(buf_failed(&members));
    upstream_refused(members.ptr, "headers", "at most 100 different names");
    buf_release(&members);
}

static void test_values_of_others(void **state)
{
    (void)state;
    struct feed_options f;
    read_feed(
        "\"params\":{\"city\":\"x\"},\"upstreams\":["
        "{\"name\":\"posts\",\"url\":\"http://h/{user.id}/{city}\",\"needs\":[\"user\","
        "\"org-1\"],\"method\":\"POST\",\"query\":{\"o\":\"{org-1.a.0.b}\"},"
        "\"headers\":{\"X-U\":\"{user.name}\"},\"body\":\"{\\\"a\\\":{user.n},\\\"b\\\":{}}\"},"
        "{\"name\":\"user\",\"url\":\"http://h/{org-1.u}\",\"needs\":[\"org-1\"]},"
        "{\"name\":\"org-1\",\"url\":\"http://h/\"}]",
        &f);
    const struct feed_upstream_options *u = f.upstreams.items;
    assert_int_equal(u->needs.n_items, 2);
    assert_string_equal(((char **)u->needs.items)[1], "org-1");
    config_release(&feed_options_shape, &f);
}

static void test_needs(void **state)
{
    (void)state;
    needs_refused(NEEDS("a", "\"b\""), "upstreams[0].needs[0]",
                  "\"b\" is not the name of another upstream");
    needs_refused(NEEDS("a", "\"a\""), "upstreams[0].needs[0]", "another upstream");
    needs_refused(NEEDS("a", "") "," NEEDS("b", "\"a\",\"a\""), "upstreams[1].needs[1]", "once");
    needs_refused(NEEDS("a", "") "," NEEDS("a", ""), "upstreams[1].name", "no other upstream");
}

static void test_cycles(void **state)
{
    (void)state;
    needs_refused(NEEDS("a", "\"b\"") "," NEEDS("b", "\"a\""), "upstreams[0].needs",
                  "expected no cycle: a needs b needs a");
    needs_refused(NEEDS("z", "\"c\"") "," NEEDS("a", "\"x\",\"b\"") "," NEEDS(
                      "b", "\"x\",\"c\"") "," NEEDS("c", "\"a\"") "," NEEDS("x", ""),
                  "upstreams[1].needs", "expected no cycle: a needs b needs c needs a");
}

/* Each needs all before it. */
static void test_many_needs(void **state)
{
    (void)state;
    struct feed_options f;
    struct buf text;
    buf_init(&text, 1 << 20);
    buf_literal(&text, "{\"upstreams\":[");
    for (int i = 0; i < 100; i++) {
        buf_printf(&text, "%s{\"name\":\"u%d\",\"url\":\"http://h/\",\"needs\":[", i ? "," : "", i);
        for (int k = i + 1; k < 100; k++) {
            buf_printf(&text, "%s\"u%d\"", k > i + 1 ? "," : "", k);
        }
        buf_literal(&text, "]}");
    }
    buf_append(&text, (struct str){"]}", 3});
    read_good(config_read_request, text.ptr, &fanout_request_shape, &f);
    assert_int_equal(f.upstreams.n_items, 100);
    config_release(&fanout_request_shape, &f);
    buf_release(&text);
}

/* --- POST /api/fanout --- */

static void fanout_refused(const char *text, const char *path, const char *words)
{
    assert_refused(config_read_request, text, &fanout_request_shape, path, words);
}

static void test_fanout_defaults(void **state)
{
    (void)state;
    struct feed_options f;
    read_good(config_read_request, "{\"upstreams\":[" UPSTREAM "]}", &fanout_request_shape, &f);
    assert_string_equal(f.name, "");
    assert_string_equal(f.channel, "");
    assert_string_equal(f.hook_secret, "");
    assert_int_equal(f.timeout_ms, 2000);
    assert_int_equal(f.merge, FEED_MERGE_OBJECT);
    assert_false(f.meta);
    const struct feed_upstream_options *u = f.upstreams.items;
    assert_int_equal(u->on_failure, FEED_ON_FAILURE_NULL);
    assert_int_equal(u->how.max_redirects, 5);
    assert_false(u->conditional);
    assert_int_equal(u->how.retry.attempts, 0);
    assert_int_equal(u->how.breaker.failures, 0);
    assert_string_equal(u->how.transport.proxy, "");
    assert_string_equal(u->how.transport.tls.server_ca_pem_file, "");
    assert_string_equal(u->how.transport.tls.cert_pem_file, "");
    assert_string_equal(u->how.transport.tls.key_pem_file, "");
    config_release(&fanout_request_shape, &f);
}

static void test_every_key_of_a_fanout(void **state)
{
    (void)state;
    struct feed_options f;
    read_good(
        config_read_request,
        "{\"upstreams\":[{\"name\":\"user\",\"url\":\"http://h/\"},{\"name\":\"v\","
        "\"url\":\"http://h/{user.id}\",\"method\":\"POST\",\"query\":{\"q\":\"1\"},"
        "\"headers\":{\"X-A\":\"b\"},\"body\":\"1\",\"timeout\":\"1s\",\"connect_timeout\":"
        "\"2s\",\"max_redirects\":1,\"needs\":[\"user\"],\"select\":\"/a\",\"allow\":[\"/b\"],"
        "\"deny\":[\"/c\"],\"rename\":{\"d\":\"e\"},\"group\":\"g\",\"as\":\"h\","
        "\"on_failure\":\"omit\"}],\"merge\":\"flat\",\"meta\":true,\"timeout\":\"60s\","
        "\"channel\":\"c:${HOME}\"}",
        &fanout_request_shape, &f);
    const struct feed_upstream_options *u = f.upstreams.items;
    assert_string_equal(f.channel, "c:${HOME}");
    assert_int_equal(f.timeout_ms, 60000);
    assert_int_equal(f.merge, FEED_MERGE_FLAT);
    assert_true(f.meta);
    assert_string_equal(u[1].as, "h");
    assert_int_equal(u[1].on_failure, FEED_ON_FAILURE_OMIT);
    config_release(&fanout_request_shape, &f);
}

static void test_fanout_has_no_other_keys(void **state)
{
    (void)state;
    static const char *const keys[] = {"tls",       "proxy",      "http_version", "retry",
                                       "breaker",   "hedge",      "rate_limit",   "conditional",
                                       "stale_ttl", "max_waiting"};
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        char text[200];
        char path[100];
        (void)snprintf(text, sizeof(text),
                       "{\"upstreams\":[{\"name\":\"u\",\"url\":\"http://h/\",\"%s\":{}}]}",
                       keys[i]);
        (void)snprintf(path, sizeof(path), "upstreams[0].%s", keys[i]);
        fanout_refused(text, path, "unknown key");
    }
    fanout_refused("{\"upstreams\":[" UPSTREAM "],\"params\":{}}", "params", "unknown key");
}

static void test_fanout_values(void **state)
{
    (void)state;
    fanout_refused("{}", "upstreams", "missing, expected a list of 1 to 100 upstreams");
    fanout_refused("{\"upstreams\":[]}", "upstreams", "a list of 1 to 100 upstreams");
    fanout_refused("{\"upstreams\":[" UPSTREAM "],\"timeout\":\"61s\"}", "timeout", "1m");
    fanout_refused("{\"upstreams\":[" UPSTREAM "],\"merge\":1}", "merge", "object, flat, array");
    fanout_refused("{\"upstreams\":[{\"name\":\"u\",\"url\":\"http://h/\","
                   "\"on_failure\":\"stale\"}]}",
                   "upstreams[0].on_failure", "\"stale\" is not one of null, omit, fail");
    fanout_refused("{\"upstreams\":[{\"name\":\"u\",\"url\":\"http://h/{city}\"}]}",
                   "upstreams[0].url",
                   "whose {names} are values of upstreams under needs, such as {user.id}: {city} "
                   "is none");
    fanout_refused("{\"upstreams\":[" NEEDS("a", "\"b\"") "," NEEDS("b", "\"a\"") "]}",
                   "upstreams[0].needs", "a needs b needs a");
}

static void test_at_most_100_upstreams(void **state)
{
    (void)state;
    struct buf text;
    buf_init(&text, 1 << 20);
    buf_literal(&text, "{\"upstreams\":[");
    for (int i = 0; i <= 100; i++) {
        buf_printf(&text, "%s{\"name\":\"u%d\",\"url\":\"http://h/\"}", i ? "," : "", i);
    }
    buf_append(&text, (struct str){"]}", 3});
    fanout_refused(text.ptr, "upstreams", "a list [...] is not a list of 1 to 100 upstreams");
    buf_release(&text);
}

/* --- all upstreams together --- */

static void test_upstreams(void **state)
{
    (void)state;
    struct upstreams_options u;
    read_good(config_read, "{}", &upstreams_options_shape, &u);
    assert_int_equal(u.max_concurrent, 256);
    assert_int_equal(u.max_concurrent_per_host, 0);
    assert_int_equal(u.max_waiting, 10000);
    assert_int_equal(u.max_body_size, 1048576);
    assert_int_equal(u.max_refreshes, 1000);
    assert_int_equal(u.max_watched, 1000);
    assert_int_equal(u.memory_max_size, 67108864);
    assert_int_equal(u.allow_hosts.n_items, 0);
    config_release(&upstreams_options_shape, &u);
    read_good(config_read,
              "{\"max_concurrent_per_host\":1,\"max_watched\":1,\"memory_max_size\":1024,"
              "\"allow_hosts\":[\"api.example.com\",\"10.0.0.0/8\"]}",
              &upstreams_options_shape, &u);
    assert_string_equal(((char **)u.allow_hosts.items)[1], "10.0.0.0/8");
    config_release(&upstreams_options_shape, &u);
    assert_refused(config_read, "{\"allow_hosts\":[\"a.example\",\"http://b/\"]}",
                   &upstreams_options_shape, "allow_hosts", "\"http://b/\" is not ");
    assert_refused(config_read, "{\"memory_max_size\":1023}", &upstreams_options_shape,
                   "memory_max_size", "from 1024");
    assert_refused(config_read, "{\"max_watched\":0}", &upstreams_options_shape, "max_watched",
                   "from 1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_feed_defaults),
        cmocka_unit_test(test_every_key_of_a_feed),
        cmocka_unit_test(test_feed_ranges),
        cmocka_unit_test(test_channels),
        cmocka_unit_test(test_params),
        cmocka_unit_test(test_always),
        cmocka_unit_test(test_meta_needs_an_object),
        cmocka_unit_test(test_upstream_defaults),
        cmocka_unit_test(test_every_key_of_an_upstream),
        cmocka_unit_test(test_methods),
        cmocka_unit_test(test_upstream_values),
        cmocka_unit_test(test_what_is_sent),
        cmocka_unit_test(test_lists_have_limits),
        cmocka_unit_test(test_names_in_braces),
        cmocka_unit_test(test_names_beside_wrong_lists),
        cmocka_unit_test(test_too_many_names_together),
        cmocka_unit_test(test_values_of_others),
        cmocka_unit_test(test_needs),
        cmocka_unit_test(test_cycles),
        cmocka_unit_test(test_many_needs),
        cmocka_unit_test(test_fanout_defaults),
        cmocka_unit_test(test_every_key_of_a_fanout),
        cmocka_unit_test(test_fanout_has_no_other_keys),
        cmocka_unit_test(test_fanout_values),
        cmocka_unit_test(test_at_most_100_upstreams),
        cmocka_unit_test(test_upstreams),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
