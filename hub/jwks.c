/* SPDX-License-Identifier: MIT */
/* Unit jwks keeps one key set and the one fetch for it that may be under way, with all who wait for
 * its end. They are called in slices, one in each turn of the loop: what they do is to verify a
 * signature, and after a start ten thousands may wait. */
#include "hub/jwks.h"

#include <assert.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "hub/jwk_set.h"

/* Of one turn: a signature on P-256 takes 50 us, one on P-384 or P-521 ten times that. */
#define SLICE       50
#define TURN_MAX_US 3000

struct jwks {
    struct loop *loop;
    struct fetch_pool *fetch_pool;
    char *url;

    struct jwk_set set;
    bool has_set;
    int64_t set_at; /* when its fetch was started */

    struct fetch *fetch; /* NULL: none is under way */
    bool is_stopped;
    bool was_tried;
    bool has_failed; /* the last attempt */
    int64_t tried_at;

    struct token_wait waiting; /* heads of rings: who waits for the end of the fetch, */
    struct token_wait ready;   /* and who is to be called */
    struct deferred deliver;
    bool is_calling;
    bool is_retired; /* freed when nobody is left to be called */
};

/* --- rings --- */

static void ring_init(struct token_wait *head)
{
    head->next = head;
    head->prev = head;
}

static bool ring_is_empty(const struct token_wait *head)
{
    return head->next == head;
}

static void ring_append(struct token_wait *head, struct token_wait *wait)
{
    wait->next = head;
    wait->prev = head->prev;
    head->prev->next = wait;
    head->prev = wait;
}

static void ring_remove(struct token_wait *wait)
{
    wait->prev->next = wait->next;
    wait->next->prev = wait->prev;
    wait->next = NULL;
    wait->prev = NULL;
}

static void ring_clear(struct token_wait *head)
{
    while (!ring_is_empty(head)) {
        ring_remove(head->next);
    }
}

/* --- who waits --- */

/* Who is called may wait again: that one stands in the other ring. */
static void deliver(void *arg)
{
    struct jwks *jwks = arg;
    int64_t start_us = clock_monotonic_us();
    jwks->is_calling = true;
    for (int i = 0; i < SLICE && !ring_is_empty(&jwks->ready) &&
                    clock_monotonic_us() - start_us <= TURN_MAX_US;
         i++) {
        struct token_wait *wait = jwks->ready.next;
        ring_remove(wait);
        wait->done(wait);
    }
    jwks->is_calling = false;
    if (!ring_is_empty(&jwks->ready)) {
        loop_defer(jwks->loop, &jwks->deliver);
    } else if (jwks->is_retired) {
        jwks_destroy(jwks);
    }
}

static void wake_all(struct jwks *jwks)
{
    while (!ring_is_empty(&jwks->waiting)) {
        struct token_wait *wait = jwks->waiting.next;
        ring_remove(wait);
        ring_append(&jwks->ready, wait);
    }
    loop_defer(jwks->loop, &jwks->deliver);
}

void jwks_await(struct jwks *jwks, struct token_wait *wait)
{
    assert(!wait->next && "it waits already");
    ring_append(&jwks->waiting, wait);
    if (!jwks->fetch) {
        wake_all(jwks);
    }
}

void jwks_await_cancel(struct jwks *jwks, struct token_wait *wait)
{
    (void)jwks;
    if (wait->next) {
        ring_remove(wait);
    }
}

/* --- fetching --- */

static void take_set(struct jwks *jwks, struct str text)
{
    struct jwk_set set;
    const char *why = "memory is short";
    if (jwk_set_read(text, &set, &why) != STATUS_OK) {
        log_warn("token", "jwks_refused", log_s("error", why));
        return;
    }
    jwk_set_release(&jwks->set);
    jwks->set = set;
    jwks->has_set = true;
    jwks->set_at = jwks->tried_at;
    jwks->has_failed = false;
    log_info("token", "jwks_fetched", log_i("keys", (int64_t)set.n_keys));
}

static void on_fetched(void *arg, const struct fetch_result *result)
{
    struct jwks *jwks = arg;
    jwks->fetch = NULL;
    jwks->has_failed = true;
    if (result->outcome == FETCH_OK) {
        take_set(jwks, result->body);
    } else {
        log_warn("token", "jwks_not_fetched", log_s("outcome", fetch_outcome_name(result->outcome)),
                 log_i("status", result->head.http_status), log_s("error", result->error));
    }
    wake_all(jwks);
}

static bool start_fetch(struct jwks *jwks, int64_t now)
{
    const struct fetch_spec spec = {
        .url = jwks->url, .timeout_ms = JWKS_TIMEOUT_MS, .max_bytes = JWKS_BYTES_MAX};
    jwks->was_tried = true;
    jwks->tried_at = now;
    enum status status = fetch_start(jwks->fetch_pool, &spec, on_fetched, jwks, &jwks->fetch);
    if (status != STATUS_OK) {
        jwks->has_failed = true;
        log_warn("token", "jwks_not_fetched", log_s("outcome", status_name(status)));
    }
    return status == STATUS_OK;
}

const char *jwks_url(const struct jwks *jwks)
{
    return jwks->url;
}

void jwks_retire(struct jwks *jwks)
{
    if (jwks) {
        jwks->is_retired = true;
        jwks_stop(jwks);
    }
}

void jwks_stop(struct jwks *jwks)
{
    jwks->is_stopped = true;
    if (jwks->fetch) {
        fetch_cancel(jwks->fetch);
        jwks->fetch = NULL;
        jwks->has_failed = true;
    }
    wake_all(jwks);
}

/* The wall clock may have been set back: then the age says nothing. */
static bool is_younger(int64_t then, int64_t now, int64_t age)
{
    return now >= then && now - then < age;
}

/* Is a set on its way, once this has tried to get one? */
static bool is_coming(struct jwks *jwks, int64_t now)
{
    int64_t interval = jwks->has_set ? JWKS_INTERVAL_S : JWKS_FIRST_S;
    if (jwks->fetch || jwks->is_stopped) {
        return jwks->fetch != NULL;
    }
    return !(jwks->was_tried && is_younger(jwks->tried_at, now, interval)) &&
           start_fetch(jwks, now);
}

enum status jwks_find(struct jwks *jwks, struct str kid, const struct token_algorithm *algorithm,
                      int64_t now, EVP_PKEY **ret_key)
{
    bool is_good = jwks->has_set && is_younger(jwks->set_at, now, JWKS_GOOD_S);
    bool is_fresh = jwks->has_set && is_younger(jwks->set_at, now, JWKS_FRESH_S);
    bool knows_kid = false;
    EVP_PKEY *key = is_good ? jwk_set_find(&jwks->set, kid, algorithm, &knows_kid) : NULL;
    if (is_fresh && knows_kid) {
        *ret_key = key;
        return key ? STATUS_OK : STATUS_NOT_FOUND;
    }
    bool must_wait = !key || !jwks->has_failed;
    if (is_coming(jwks, now) && must_wait) {
        return STATUS_PENDING;
    }
    if (key) {
        *ret_key = key;
        return STATUS_OK;
    }
    return is_fresh && !jwks->has_failed ? STATUS_NOT_FOUND : STATUS_CONNECT;
}

/* --- its life --- */

enum status jwks_create(struct loop *loop, struct fetch_pool *fetch_pool, const char *url,
                        struct jwks **ret_jwks)
{
    struct jwks *jwks = calloc(1, sizeof(*jwks));
    if (!jwks) {
        return STATUS_NO_MEMORY;
    }
    jwks->loop = loop;
    jwks->fetch_pool = fetch_pool;
    jwks->url = str_dup(str_of(url));
    if (!jwks->url) {
        free(jwks);
        return STATUS_NO_MEMORY;
    }
    ring_init(&jwks->waiting);
    ring_init(&jwks->ready);
    jwks->deliver.fn = deliver;
    jwks->deliver.arg = jwks;
    *ret_jwks = jwks;
    return STATUS_OK;
}

void jwks_destroy(struct jwks *jwks)
{
    if (!jwks) {
        return;
    }
    assert(!jwks->is_calling && "destroyed by one whom it calls");
    if (jwks->fetch) {
        fetch_cancel(jwks->fetch);
    }
    loop_undefer(jwks->loop, &jwks->deliver);
    ring_clear(&jwks->waiting);
    ring_clear(&jwks->ready);
    jwk_set_release(&jwks->set);
    free(jwks->url);
    free(jwks);
}
