/* SPDX-License-Identifier: MIT */
/* Key sets: what is read of a text, and when it is fetched: by how many, how often, and what is
 * good while it cannot be had. Time is what the calls say. */
#include "hub/jwks.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/log.h"
#include "hub/jwk_set.h"
#include "tests/unit/hub/key_server.h"
#include "tests/unit/hub/token_maker.h"

#define NOW       INT64_C(1700000000)
#define SUB42     "{\"sub\":\"42\"}"
#define N_KEYS    6
#define N_WAITERS 500

enum { K_RSA, K_P256, K_P384, K_P521, K_ED, K_OTHER_RSA };

static EVP_PKEY *keys[N_KEYS];

static int make_keys(void **state)
{
    (void)state;
    log_set_level(LOG_NONE);
    keys[K_RSA] = make_rsa_key(2048);
    keys[K_P256] = make_ec_key("P-256");
    keys[K_P384] = make_ec_key("P-384");
    keys[K_P521] = make_ec_key("P-521");
    keys[K_ED] = make_ed25519_key();
    keys[K_OTHER_RSA] = make_rsa_key(2048);
    return 0;
}

static int free_keys(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_KEYS; i++) {
        EVP_PKEY_free(keys[i]);
    }
    return 0;
}

/* --- sets --- */

/* {"keys":[...]} of these keys, each with what is to be said beside its numbers; to be freed. */
struct set_key {
    int key;
    const char *rest;
};

static char *make_set(const struct set_key *set, size_t n)
{
    struct buf text;
    buf_init(&text, 1 << 20);
    buf_literal(&text, "{\"keys\":[");
    for (size_t i = 0; i < n; i++) {
        char *jwk = make_jwk(keys[set[i].key], set[i].rest);
        buf_printf(&text, "%s%s", i > 0 ? "," : "", jwk);
        free(jwk);
    }
    buf_literal(&text, "]}");
    return buf_take(&text);
}

static struct jwk_set read_set(const char *text)
{
    struct jwk_set set = {NULL, 0};
    const char *why = NULL;
    if (jwk_set_read(str_of(text), &set, &why) != STATUS_OK) {
        fail_msg("%s: %s", text, why);
    }
    return set;
}

static void check_no_set(const char *text, const char *words)
{
    struct jwk_set set;
    const char *why = "";
    assert_int_equal(jwk_set_read(str_of(text), &set, &why), STATUS_INVALID);
    assert_non_null(strstr(why, words));
}

static EVP_PKEY *find(const struct jwk_set *set, const char *kid, const char *alg)
{
    bool knows = false;
    return jwk_set_find(set, str_of(kid), token_algorithm_of(str_of(alg)), &knows);
}

static void every_kind_is_read(void **state)
{
    (void)state;
    static const struct set_key all[] = {{K_RSA, ",\"kid\":\"r\",\"use\":\"sig\",\"more\":[1]"},
                                         {K_P256, ",\"kid\":\"e256\""},
                                         {K_P384, ",\"kid\":\"e384\",\"alg\":\"ES384\""},
                                         {K_P521, ",\"kid\":\"e521\",\"key_ops\":[\"verify\"]"},
                                         {K_ED, ",\"kid\":\"\\u0065d\",\"alg\":\"EdDSA\""}};
    static const struct {
        const char *kid;
        const char *algs;
    } fits[] = {{"r", "RS256 RS384 RS512"},
                {"e256", "ES256"},
                {"e384", "ES384"},
                {"e521", "ES512"},
                {"ed", "EdDSA"}};
    static const char *const algs[] = {"HS256", "HS384", "HS512", "RS256", "RS384",
                                       "RS512", "ES256", "ES384", "ES512", "EdDSA"};
    char *text = make_set(all, 5);
    struct jwk_set set = read_set(text);
    assert_int_equal(set.n_keys, 5);
    for (size_t i = 0; i < 5; i++) {
        for (size_t k = 0; k < 10; k++) {
            EVP_PKEY *key = find(&set, fits[i].kid, algs[k]);
            assert_int_equal(key != NULL, strstr(fits[i].algs, algs[k]) != NULL);
            assert_true(!key || EVP_PKEY_eq(key, keys[i]) == 1);
        }
        assert_null(find(&set, "unknown", "RS256"));
    }
    jwk_set_release(&set);
    free(text);
}

static void keys_of_one_name(void **state)
{
    (void)state;
    static const struct set_key all[] = {{K_P256, ",\"kid\":\"a\""}, {K_RSA, ",\"kid\":\"a\""}};
    char *text = make_set(all, 2);
    struct jwk_set set = read_set(text);
    bool knows = false;
    assert_non_null(find(&set, "a", "RS256"));
    assert_non_null(find(&set, "a", "ES256"));
    assert_null(jwk_set_find(&set, STR("a"), token_algorithm_of(STR("EdDSA")), &knows));
    assert_true(knows);
    assert_null(jwk_set_find(&set, STR("b"), token_algorithm_of(STR("RS256")), &knows));
    assert_false(knows);
    jwk_set_release(&set);
    free(text);
}

static void an_alg_of_the_key_counts(void **state)
{
    (void)state;
    static const struct set_key all[] = {{K_RSA, ",\"kid\":\"a\",\"alg\":\"RS384\""}};
    char *text = make_set(all, 1);
    struct jwk_set set = read_set(text);
    assert_null(find(&set, "a", "RS256"));
    assert_non_null(find(&set, "a", "RS384"));
    jwk_set_release(&set);
    free(text);
}

/* The first of two cannot be used: one is left. */
static void check_left_out(int key, const char *rest)
{
    const struct set_key all[] = {{key, rest}, {K_RSA, ",\"kid\":\"good\""}};
    char *text = make_set(all, 2);
    struct jwk_set set = read_set(text);
    if (set.n_keys != 1) {
        fail_msg("not left out: %s", text);
    }
    assert_string_equal(set.keys[0].kid, "good");
    jwk_set_release(&set);
    free(text);
    text = make_set(all, 1);
    check_no_set(text, "no key that can be used");
    free(text);
}

static void keys_that_are_left_out(void **state)
{
    (void)state;
    check_left_out(K_RSA, "");
    check_left_out(K_RSA, ",\"kid\":\"\"");
    check_left_out(K_RSA, ",\"kid\":7");
    check_left_out(K_RSA, ",\"kid\":\"a\\u0000b\"");
    check_left_out(K_RSA, ",\"kid\":\"a\",\"kid\":\"b\"");
    check_left_out(K_RSA, ",\"kid\":\"a\",\"use\":\"enc\"");
    check_left_out(K_RSA, ",\"kid\":\"a\",\"use\":7");
    check_left_out(K_RSA, ",\"kid\":\"a\",\"key_ops\":[\"encrypt\"]");
    check_left_out(K_RSA, ",\"kid\":\"a\",\"key_ops\":\"verify\"");
    check_left_out(K_RSA, ",\"kid\":\"a\",\"alg\":\"ES256\"");
    check_left_out(K_RSA, ",\"kid\":\"a\",\"alg\":\"HS256\"");
    check_left_out(K_RSA, ",\"kid\":\"a\",\"alg\":\"RSA-OAEP\"");
    check_left_out(K_RSA, ",\"kid\":\"a\",\"alg\":256");
    check_left_out(K_P256, ",\"kid\":\"a\",\"alg\":\"ES384\"");
    check_left_out(K_ED, ",\"kid\":\"a\",\"alg\":\"ES256\"");
}

static void check_no_key(const char *jwk)
{
    char *text = NULL;
    assert_true(asprintf(&text, "{\"keys\":[%s]}", jwk) > 0);
    check_no_set(text, "no key that can be used");
    free(text);
}

static void keys_that_are_malformed(void **state)
{
    (void)state;
    static const char *const jwks[] = {
        "7",
        "null",
        "[]",
        "{}",
        "{\"kid\":\"a\"}",
        "{\"kid\":\"a\",\"kty\":\"RSA\"}",
        "{\"kid\":\"a\",\"kty\":\"oct\",\"k\":\"AAAA\"}",
        "{\"kid\":\"a\",\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"}",
        "{\"kid\":\"a\",\"kty\":\"RSA\",\"n\":\"=\",\"e\":\"AQAB\"}",
        "{\"kid\":\"a\",\"kty\":\"RSA\",\"n\":7,\"e\":\"AQAB\"}",
        "{\"kid\":\"a\",\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AQAB\",\"y\":\"AQAB\"}",
        "{\"kid\":\"a\",\"kty\":\"EC\",\"crv\":\"P-256\"}",
        "{\"kid\":\"a\",\"kty\":\"EC\",\"crv\":\"P-256\","
        "\"x\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\","
        "\"y\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}", /* not on the curve */
        "{\"kid\":\"a\",\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AQAB\"}",
        "{\"kid\":\"a\",\"kty\":\"OKP\",\"crv\":\"X25519\","
        "\"x\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}"};
    for (size_t i = 0; i < sizeof(jwks) / sizeof(jwks[0]); i++) {
        check_no_key(jwks[i]);
    }
    char *jwk = make_ec_jwk(keys[K_P256], "P-384", ",\"kid\":\"a\"");
    check_no_key(jwk);
    free(jwk);
    jwk = make_ec_jwk(keys[K_P256], "secp256k1", ",\"kid\":\"a\"");
    check_no_key(jwk);
    free(jwk);
    EVP_PKEY *small = make_rsa_key(1024);
    jwk = make_jwk(small, ",\"kid\":\"a\"");
    check_no_key(jwk);
    free(jwk);
    EVP_PKEY_free(small);
}

static void what_is_no_set(void **state)
{
    (void)state;
    check_no_set("", "no JSON object");
    check_no_set("<html>", "no JSON object");
    check_no_set("[]", "no JSON object");
    check_no_set("{}", "no JSON object");
    check_no_set("{\"keys\":{}}", "no JSON object");
    check_no_set("{\"keys\":[],\"keys\":[]}", "no JSON object");
    check_no_set("{\"keys\":[]}", "no key");
}

static void too_many_keys(void **state)
{
    (void)state;
    struct set_key all[JWK_SET_KEYS_MAX + 1];
    for (size_t i = 0; i < JWK_SET_KEYS_MAX + 1; i++) {
        all[i] = (struct set_key){K_ED, ",\"kid\":\"a\""};
    }
    char *text = make_set(all, JWK_SET_KEYS_MAX);
    struct jwk_set set = read_set(text);
    assert_int_equal(set.n_keys, JWK_SET_KEYS_MAX);
    jwk_set_release(&set);
    free(text);
    text = make_set(all, JWK_SET_KEYS_MAX + 1);
    check_no_set(text, "more than 100 keys");
    free(text);
}

/* --- fetching --- */

struct world {
    struct loop *loop;
    struct fetch_pool *pool;
    struct key_server server;
    struct jwks *jwks;
    char *set; /* {K_RSA "r", K_P256 "e"} */
};

static struct fetch_pool *open_pool(struct loop *loop, int64_t max_concurrent, int64_t max_waiting)
{
    struct fetch_pool *pool = NULL;
    struct fetch_pool_options options = {.loop = loop,
                                         .max_concurrent = max_concurrent,
                                         .max_waiting = max_waiting,
                                         .user_agent = "belfry-test/1"};
    assert_int_equal(fetch_pool_create(&options, &pool), STATUS_OK);
    return pool;
}

static void open_world(struct world *w)
{
    static const struct set_key both[] = {{K_RSA, ",\"kid\":\"r\""}, {K_P256, ",\"kid\":\"e\""}};
    assert_int_equal(loop_create(&w->loop), STATUS_OK);
    w->pool = open_pool(w->loop, 4, 4);
    key_server_start(&w->server, w->loop);
    w->set = make_set(both, 2);
    w->server.body = w->set;
    assert_int_equal(jwks_create(w->loop, w->pool, w->server.url, &w->jwks), STATUS_OK);
}

static void close_world(struct world *w)
{
    jwks_destroy(w->jwks);
    fetch_pool_destroy(w->pool);
    key_server_stop(&w->server, w->loop);
    loop_destroy(w->loop);
    free(w->set);
}

static enum status ask(struct world *w, const char *kid, const char *alg, int64_t now)
{
    EVP_PKEY *key = NULL;
    enum status status =
        jwks_find(w->jwks, str_of(kid), token_algorithm_of(str_of(alg)), now, &key);
    assert_int_equal(status == STATUS_OK, key != NULL);
    return status;
}

struct waiter {
    struct token_wait wait;
    int n_done;
    struct world *world;
    struct waiter *cancels;
    bool waits_again;
};

static void on_done(struct token_wait *wait)
{
    struct waiter *waiter = (struct waiter *)wait;
    waiter->n_done++;
    if (waiter->cancels) {
        jwks_await_cancel(waiter->world->jwks, &waiter->cancels->wait);
    }
    if (waiter->waits_again) {
        waiter->waits_again = false;
        jwks_await(waiter->world->jwks, wait);
    }
}

static void await(struct world *w, struct waiter *waiter)
{
    waiter->wait.done = on_done;
    waiter->world = w;
    jwks_await(w->jwks, &waiter->wait);
    assert_int_equal(waiter->n_done, 0);
}

static void run_until(struct world *w, const struct waiter *waiter, int n_done)
{
    while (waiter->n_done < n_done) {
        (void)uv_run(loop_uv(w->loop), UV_RUN_ONCE);
    }
}

/* Asks, and again when a set was fetched. */
static enum status ask_and_wait(struct world *w, const char *kid, const char *alg, int64_t now)
{
    enum status status = ask(w, kid, alg, now);
    if (status == STATUS_PENDING) {
        struct waiter waiter = {.n_done = 0};
        await(w, &waiter);
        run_until(w, &waiter, 1);
        status = ask(w, kid, alg, now);
    }
    return status;
}

static void fetched_once_for_an_hour(void **state)
{
    (void)state;
    struct world w;
    open_world(&w);
    assert_int_equal(ask(&w, "r", "RS256", NOW), STATUS_PENDING);
    assert_int_equal(ask_and_wait(&w, "r", "RS256", NOW), STATUS_OK);
    assert_int_equal(ask(&w, "e", "ES256", NOW + JWKS_FRESH_S - 1), STATUS_OK);
    assert_int_equal(w.server.n_requests, 1);
    assert_int_equal(ask(&w, "r", "RS256", NOW + JWKS_FRESH_S), STATUS_PENDING);
    assert_int_equal(ask_and_wait(&w, "r", "RS256", NOW + JWKS_FRESH_S), STATUS_OK);
    assert_int_equal(w.server.n_requests, 2);
    close_world(&w);
}

static void a_changed_set_replaces_the_old(void **state)
{
    (void)state;
    static const struct set_key other[] = {{K_OTHER_RSA, ",\"kid\":\"new\""}};
    struct world w;
    open_world(&w);
    assert_int_equal(ask_and_wait(&w, "r", "RS256", NOW), STATUS_OK);
    char *text = make_set(other, 1);
    w.server.body = text;
    assert_int_equal(ask_and_wait(&w, "new", "RS256", NOW + JWKS_INTERVAL_S), STATUS_OK);
    assert_int_equal(ask(&w, "r", "RS256", NOW + JWKS_INTERVAL_S), STATUS_NOT_FOUND);
    assert_int_equal(w.server.n_requests, 2);
    close_world(&w);
    free(text);
}

static void made_up_names_cause_no_flood(void **state)
{
    (void)state;
    struct world w;
    char kid[20];
    open_world(&w);
    assert_int_equal(ask_and_wait(&w, "r", "RS256", NOW), STATUS_OK);
    for (int i = 0; i < 1000; i++) {
        (void)snprintf(kid, sizeof(kid), "made-up-%d", i);
        assert_int_equal(ask_and_wait(&w, kid, "RS256", NOW + i / 100), STATUS_NOT_FOUND);
    }
    assert_int_equal(w.server.n_requests, 1);
    assert_int_equal(ask_and_wait(&w, "x", "RS256", NOW + JWKS_INTERVAL_S), STATUS_NOT_FOUND);
    assert_int_equal(ask_and_wait(&w, "y", "RS256", NOW + JWKS_INTERVAL_S), STATUS_NOT_FOUND);
    assert_int_equal(w.server.n_requests, 2);
    close_world(&w);
}

static void a_name_of_another_kind_is_not_fetched(void **state)
{
    (void)state;
    struct world w;
    open_world(&w);
    assert_int_equal(ask_and_wait(&w, "r", "RS256", NOW), STATUS_OK);
    assert_int_equal(ask(&w, "r", "ES256", NOW + 1000), STATUS_NOT_FOUND);
    assert_int_equal(ask(&w, "e", "RS256", NOW + 1000), STATUS_NOT_FOUND);
    assert_int_equal(ask(&w, "e", "ES384", NOW + 1000), STATUS_NOT_FOUND);
    assert_int_equal(w.server.n_requests, 1);
    close_world(&w);
}

static void while_it_cannot_be_fetched(void **state)
{
    (void)state;
    struct world w;
    open_world(&w);
    assert_int_equal(ask_and_wait(&w, "r", "RS256", NOW), STATUS_OK);
    w.server.status = 500;
    int64_t later = NOW + JWKS_FRESH_S;
    assert_int_equal(ask(&w, "r", "RS256", later), STATUS_PENDING);
    assert_int_equal(ask_and_wait(&w, "r", "RS256", later), STATUS_OK); /* the old one */
    assert_int_equal(ask_and_wait(&w, "new", "RS256", later), STATUS_CONNECT);
    assert_int_equal(w.server.n_requests, 2);
    /* Tried again, and nobody waits for it. */
    assert_int_equal(ask(&w, "r", "RS256", later + JWKS_INTERVAL_S), STATUS_OK);
    assert_int_equal(ask_and_wait(&w, "new", "RS256", later + JWKS_INTERVAL_S), STATUS_CONNECT);
    assert_int_equal(w.server.n_requests, 3);
    assert_int_equal(ask_and_wait(&w, "r", "RS256", NOW + JWKS_GOOD_S - 1), STATUS_OK);
    assert_int_equal(ask_and_wait(&w, "e", "ES256", NOW + JWKS_GOOD_S), STATUS_CONNECT);
    w.server.status = 200;
    assert_int_equal(ask_and_wait(&w, "e", "ES256", NOW + JWKS_GOOD_S + JWKS_INTERVAL_S),
                     STATUS_OK);
    close_world(&w);
}

/* A new key may be there: whether, is not known. */
static void a_new_name_while_it_cannot_be_fetched(void **state)
{
    (void)state;
    struct world w;
    open_world(&w);
    assert_int_equal(ask_and_wait(&w, "r", "RS256", NOW), STATUS_OK);
    w.server.status = 503;
    assert_int_equal(ask_and_wait(&w, "new", "RS256", NOW + JWKS_INTERVAL_S), STATUS_CONNECT);
    assert_int_equal(ask(&w, "r", "RS256", NOW + JWKS_INTERVAL_S), STATUS_OK);
    assert_int_equal(w.server.n_requests, 2);
    close_world(&w);
}

static void without_a_first_set(void **state)
{
    (void)state;
    struct world w;
    static const char *const bodies[] = {"", "<html>", "{\"keys\":[]}"};
    open_world(&w);
    for (int i = 0; i < 3; i++) {
        w.server.body = bodies[i];
        assert_int_equal(ask_and_wait(&w, "r", "RS256", NOW + i * JWKS_FIRST_S), STATUS_CONNECT);
        assert_int_equal(ask(&w, "r", "RS256", NOW + i * JWKS_FIRST_S), STATUS_CONNECT);
        assert_int_equal(w.server.n_requests, i + 1);
    }
    w.server.body = w.set;
    assert_int_equal(ask_and_wait(&w, "r", "RS256", NOW + 3 * JWKS_FIRST_S), STATUS_OK);
    close_world(&w);
}

static void too_large_a_set(void **state)
{
    (void)state;
    struct world w;
    open_world(&w);
    char *huge = malloc(JWKS_BYTES_MAX + 2);
    assert_non_null(huge);
    memset(huge, ' ', JWKS_BYTES_MAX + 1);
    memcpy(huge, w.set, strlen(w.set));
    huge[JWKS_BYTES_MAX + 1] = '\0';
    w.server.body = huge;
    assert_int_equal(ask_and_wait(&w, "r", "RS256", NOW), STATUS_CONNECT);
    huge[JWKS_BYTES_MAX] = '\0';
    assert_int_equal(ask_and_wait(&w, "r", "RS256", NOW + 1), STATUS_OK);
    close_world(&w);
    free(huge);
}

static void a_clock_that_is_set_back(void **state)
{
    (void)state;
    struct world w;
    open_world(&w);
    assert_int_equal(ask_and_wait(&w, "r", "RS256", NOW), STATUS_OK);
    assert_int_equal(ask(&w, "r", "RS256", NOW - 100000), STATUS_PENDING);
    assert_int_equal(ask_and_wait(&w, "r", "RS256", NOW - 100000), STATUS_OK);
    assert_int_equal(ask(&w, "r", "RS256", NOW - 99999), STATUS_OK);
    assert_int_equal(w.server.n_requests, 2);
    close_world(&w);
}

static void all_wait_for_one_fetch(void **state)
{
    (void)state;
    static struct waiter waiters[N_WAITERS];
    struct world w;
    open_world(&w);
    memset(waiters, 0, sizeof(waiters));
    w.server.holds = true;
    for (int i = 0; i < N_WAITERS; i++) {
        assert_int_equal(ask(&w, "r", "RS256", NOW + i), STATUS_PENDING);
        await(&w, &waiters[i]);
    }
    jwks_await_cancel(w.jwks, &waiters[5].wait);
    jwks_await_cancel(w.jwks, &waiters[5].wait);
    while (w.server.n_requests == 0) {
        (void)uv_run(loop_uv(w.loop), UV_RUN_ONCE);
    }
    key_server_answer(&w.server);
    waiters[0].cancels = &waiters[7]; /* one who is to be called in the same turn */
    waiters[1].cancels = &waiters[N_WAITERS - 2];
    run_until(&w, &waiters[0], 1);
    assert_int_equal(waiters[N_WAITERS - 1].n_done, 0); /* in slices */
    run_until(&w, &waiters[N_WAITERS - 1], 1);
    for (int i = 0; i < N_WAITERS; i++) {
        bool is_cancelled = i == 5 || i == 7 || i == N_WAITERS - 2;
        assert_int_equal(waiters[i].n_done, is_cancelled ? 0 : 1);
    }
    assert_int_equal(w.server.n_requests, 1);
    close_world(&w);
}

/* Nothing is under way then: called all the same, in a later turn. */
static void who_waits_too_late(void **state)
{
    (void)state;
    struct world w;
    struct waiter waiter = {.waits_again = true};
    open_world(&w);
    await(&w, &waiter);
    run_until(&w, &waiter, 2);
    assert_int_equal(waiter.n_done, 2);
    assert_int_equal(w.server.n_requests, 0);
    close_world(&w);
}

static void destroyed_while_it_is_fetched(void **state)
{
    (void)state;
    struct waiter waiters[2] = {{.n_done = 0}, {.n_done = 0}};
    struct world w;
    open_world(&w);
    w.server.holds = true;
    assert_int_equal(ask(&w, "r", "RS256", NOW), STATUS_PENDING);
    await(&w, &waiters[0]);
    while (w.server.n_requests == 0) {
        (void)uv_run(loop_uv(w.loop), UV_RUN_ONCE);
    }
    jwks_destroy(w.jwks);
    assert_int_equal(jwks_create(w.loop, w.pool, w.server.url, &w.jwks), STATUS_OK);
    await(&w, &waiters[1]); /* and before its turn has come */
    close_world(&w);
    assert_int_equal(waiters[0].n_done + waiters[1].n_done, 0);
    jwks_destroy(NULL);
}

static void stopped_while_it_is_fetched(void **state)
{
    (void)state;
    struct waiter waiter = {.n_done = 0};
    struct world w;
    open_world(&w);
    w.server.holds = true;
    assert_int_equal(ask(&w, "r", "RS256", NOW), STATUS_PENDING);
    await(&w, &waiter);
    jwks_stop(w.jwks);
    assert_int_equal(waiter.n_done, 0);
    run_until(&w, &waiter, 1);
    assert_int_equal(ask(&w, "r", "RS256", NOW), STATUS_CONNECT);
    assert_int_equal(ask(&w, "r", "RS256", NOW + 1000), STATUS_CONNECT);
    jwks_stop(w.jwks);
    close_world(&w);
}

/* All places of the pool are taken, and all to wait for one. */
static void fill_pool(struct world *w, struct jwks *busy[2])
{
    EVP_PKEY *key;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(jwks_create(w->loop, w->pool, w->server.url, &busy[i]), STATUS_OK);
        assert_int_equal(jwks_find(busy[i], STR("r"), token_algorithm_of(STR("RS256")), NOW, &key),
                         STATUS_PENDING);
    }
}

static void a_pool_that_is_full(void **state)
{
    (void)state;
    struct world w;
    struct jwks *busy[2];
    open_world(&w);
    jwks_destroy(w.jwks);
    fetch_pool_destroy(w.pool);
    w.pool = open_pool(w.loop, 1, 1);
    assert_int_equal(jwks_create(w.loop, w.pool, w.server.url, &w.jwks), STATUS_OK);
    w.server.holds = true;
    fill_pool(&w, busy);
    assert_int_equal(ask(&w, "r", "RS256", NOW), STATUS_CONNECT);
    jwks_destroy(busy[0]);
    jwks_destroy(busy[1]);
    w.server.holds = false;
    assert_int_equal(ask_and_wait(&w, "r", "RS256", NOW + JWKS_FIRST_S), STATUS_OK);
    w.server.holds = true;
    fill_pool(&w, busy);
    assert_int_equal(ask(&w, "r", "RS256", NOW + JWKS_FRESH_S + 1), STATUS_OK);
    assert_int_equal(ask(&w, "new", "RS256", NOW + 60), STATUS_CONNECT);
    jwks_destroy(busy[0]);
    jwks_destroy(busy[1]);
    close_world(&w);
}

/* --- tokens --- */

static struct token_verifier *open_verifier(struct world *w, struct token_options *options)
{
    struct token_verifier *verifier = NULL;
    *options = (struct token_options){.hmac_secret_key = "secret",
                                      .hmac_previous_secret_key = "",
                                      .rsa_public_key = make_pem(keys[K_OTHER_RSA]),
                                      .ecdsa_public_key = "",
                                      .jwks_public_endpoint = w->server.url,
                                      .audience = "",
                                      .audience_regex = "",
                                      .issuer = "",
                                      .issuer_regex = "",
                                      .user_id_claim = ""};
    struct token_verifier_setup setup = {
        .loop = w->loop, .fetch_pool = w->pool, .options = options};
    assert_int_equal(token_verifier_create(&setup, &verifier), STATUS_OK);
    return verifier;
}

/* Takes the token. */
static void check_token(struct token_verifier *verifier, char *token, enum status expected)
{
    struct token_claims claims;
    const char *why = "";
    enum status status =
        token_verify(verifier, TOKEN_CONNECTION, str_of(token), NOW, &claims, &why);
    if (status != expected) {
        fail_msg("%s instead of %s: %s", status_name(status), status_name(expected), why);
    }
    if (status == STATUS_OK) {
        assert_string_equal(claims.user, "42");
        token_claims_release(&claims);
    }
    free(token);
}

static void wait_for_set(struct world *w, struct token_verifier *verifier)
{
    struct waiter waiter = {.wait.done = on_done, .world = w};
    token_await(verifier, &waiter.wait);
    run_until(w, &waiter, 1);
    token_await_cancel(verifier, &waiter.wait);
}

static void tokens_of_every_kind(void **state)
{
    (void)state;
    static const struct set_key all[] = {{K_RSA, ",\"kid\":\"r\""},
                                         {K_P256, ",\"kid\":\"e256\",\"alg\":\"ES256\""},
                                         {K_P384, ",\"kid\":\"e384\""},
                                         {K_P521, ",\"kid\":\"e521\""},
                                         {K_ED, ",\"kid\":\"ed\""}};
    static const struct {
        int key;
        const char *header;
        const char *hash;
    } tokens[] = {{K_RSA, "{\"alg\":\"RS256\",\"kid\":\"r\"}", "SHA256"},
                  {K_RSA, "{\"alg\":\"RS512\",\"kid\":\"\\u0072\"}", "SHA512"},
                  {K_P256, "{\"alg\":\"ES256\",\"kid\":\"e256\"}", "SHA256"},
                  {K_P384, "{\"alg\":\"ES384\",\"kid\":\"e384\"}", "SHA384"},
                  {K_P521, "{\"alg\":\"ES512\",\"kid\":\"e521\"}", "SHA512"},
                  {K_ED, "{\"alg\":\"EdDSA\",\"kid\":\"ed\"}", NULL}};
    struct world w;
    struct token_options options;
    open_world(&w);
    char *text = make_set(all, 5);
    w.server.body = text;
    struct token_verifier *verifier = open_verifier(&w, &options);
    for (size_t i = 0; i < sizeof(tokens) / sizeof(tokens[0]); i++) {
        const EVP_MD *hash = tokens[i].hash ? EVP_get_digestbyname(tokens[i].hash) : NULL;
        if (i == 0) {
            check_token(verifier, sign_token(tokens[i].header, SUB42, keys[K_RSA], hash),
                        STATUS_PENDING);
            wait_for_set(&w, verifier);
        }
        check_token(verifier, sign_token(tokens[i].header, SUB42, keys[tokens[i].key], hash),
                    STATUS_OK);
    }
    char *token = sign_token(tokens[5].header, SUB42, keys[K_ED], NULL);
    token[strlen(token) - 10] ^= 1;
    check_token(verifier, token, STATUS_UNAUTHORIZED);
    token_verifier_destroy(verifier);
    free(options.rsa_public_key);
    close_world(&w);
    free(text);
}

/* Also where keys stand beside the endpoint. */
static void tokens_of_no_key_in_the_set(void **state)
{
    (void)state;
    struct world w;
    struct token_options options;
    open_world(&w);
    struct token_verifier *verifier = open_verifier(&w, &options);
    const EVP_MD *sha256 = EVP_sha256();
    check_token(verifier, make_token(SUB42, "secret"), STATUS_UNAUTHORIZED);
    check_token(verifier, sign_token("{\"alg\":\"RS256\"}", SUB42, keys[K_OTHER_RSA], sha256),
                STATUS_UNAUTHORIZED);
    check_token(verifier,
                make_token_with("{\"alg\":\"HS256\",\"kid\":\"r\"}", SUB42, "secret", sha256),
                STATUS_UNAUTHORIZED);
    check_token(verifier,
                make_token_with("{\"alg\":\"none\",\"kid\":\"r\"}", SUB42, "secret", sha256),
                STATUS_UNAUTHORIZED);
    assert_int_equal(w.server.n_requests, 0);
    const char *r = "{\"alg\":\"RS256\",\"kid\":\"r\"}";
    check_token(verifier, sign_token(r, SUB42, keys[K_RSA], sha256), STATUS_PENDING);
    wait_for_set(&w, verifier);
    check_token(verifier, sign_token(r, SUB42, keys[K_RSA], sha256), STATUS_OK);
    check_token(verifier, sign_token(r, SUB42, keys[K_OTHER_RSA], sha256), STATUS_UNAUTHORIZED);
    check_token(verifier, sign_token(r, SUB42, keys[K_P256], sha256), STATUS_UNAUTHORIZED);
    check_token(verifier,
                sign_token("{\"alg\":\"ES256\",\"kid\":\"r\"}", SUB42, keys[K_P256], sha256),
                STATUS_UNAUTHORIZED);
    check_token(verifier,
                sign_token("{\"alg\":\"RS256\",\"kid\":\"e\"}", SUB42, keys[K_RSA], sha256),
                STATUS_UNAUTHORIZED);
    char *pem = make_pem(keys[K_RSA]);
    check_token(verifier, make_token_with("{\"alg\":\"HS256\",\"kid\":\"r\"}", SUB42, pem, sha256),
                STATUS_UNAUTHORIZED);
    free(pem);
    token_verifier_destroy(verifier);
    free(options.rsa_public_key);
    close_world(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_is_read),
        cmocka_unit_test(keys_of_one_name),
        cmocka_unit_test(an_alg_of_the_key_counts),
        cmocka_unit_test(keys_that_are_left_out),
        cmocka_unit_test(keys_that_are_malformed),
        cmocka_unit_test(what_is_no_set),
        cmocka_unit_test(too_many_keys),
        cmocka_unit_test(fetched_once_for_an_hour),
        cmocka_unit_test(a_changed_set_replaces_the_old),
        cmocka_unit_test(made_up_names_cause_no_flood),
        cmocka_unit_test(a_name_of_another_kind_is_not_fetched),
        cmocka_unit_test(while_it_cannot_be_fetched),
        cmocka_unit_test(a_new_name_while_it_cannot_be_fetched),
        cmocka_unit_test(without_a_first_set),
        cmocka_unit_test(too_large_a_set),
        cmocka_unit_test(a_clock_that_is_set_back),
        cmocka_unit_test(all_wait_for_one_fetch),
        cmocka_unit_test(who_waits_too_late),
        cmocka_unit_test(destroyed_while_it_is_fetched),
        cmocka_unit_test(stopped_while_it_is_fetched),
        cmocka_unit_test(a_pool_that_is_full),
        cmocka_unit_test(tokens_of_every_kind),
        cmocka_unit_test(tokens_of_no_key_in_the_set),
    };
    return cmocka_run_group_tests(tests, make_keys, free_keys);
}
