/* SPDX-License-Identifier: MIT */
/* What stays in memory: the budget of all tails and who pays for it, and channels that wait for
 * somebody to come back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/clock.h"
#include "hub/channel_internal.h"
#include "tests/unit/hub/world.h"

static int setup(void **state)
{
    *state = world_create(&(struct world_options){
        .client = "{\"insecure\":true}",
        .channel = "{\"tail_max_size\":100000,\"idle_timeout\":\"1h\",\"namespaces\":["
                   "{\"name\":\"kept\",\"history_size\":1000,\"history_ttl\":\"1h\","
                   "\"allow_positioning\":true,\"allow_recovery\":true},"
                   "{\"name\":\"brief\",\"history_size\":5,\"history_ttl\":\"1ms\","
                   "\"allow_positioning\":true},"
                   "{\"name\":\"token\",\"history_size\":5,\"history_ttl\":\"1h\"}]}"});
    return 0;
}

static int teardown(void **state)
{
    world_destroy(*state);
    return 0;
}

static struct storage_position hold(struct peer *p, struct world *w, const char *channel)
{
    if (!p->client) {
        peer_connect(p, w);
    }
    struct subscribe_request request = {.channel = str_of(channel), .positioned = true};
    struct subscribe_answer a = subscribe_with(p, &request);
    assert_int_equal(a.status, STATUS_OK);
    return a.result.position;
}

/* In memory, and with how many publications in its tail; -1: not in memory. */
static int n_in_tail(struct world *w, const char *channel)
{
    struct channel *c = channel_find(w->hub, str_of(channel));
    return c ? (int)c->tail.n_items : -1;
}

/* The sum is what it is the sum of. */
static size_t checked_sum(struct world *w)
{
    size_t n_bytes = 0;
    size_t n_idle = 0;
    for (struct channel *c = w->hub->channels; c; c = channel_next(c)) {
        n_bytes += tail_memory(&c->tail);
        if (channel_is_idle(c)) {
            n_bytes += sizeof(*c) + c->name_len + 1;
            n_idle++;
            assert_int_equal(channel_n_subscribers(c), 0);
        }
        assert_int_equal(c->tail.n_items > 0, c->use_prev != NULL);
    }
    struct hub_stats stats = stats_of(w);
    assert_int_equal(stats.tail_bytes, n_bytes);
    assert_int_equal(stats.n_idle_channels, n_idle);
    return n_bytes;
}

static void check_sum(struct world *w)
{
    assert_true(checked_sum(w) <= stats_of(w).tail_max_bytes);
}

static void publish_n(struct world *w, const char *channel, int n)
{
    for (int i = 0; i < n; i++) {
        assert_int_equal(publish(w, channel, "{\"text\":\"some text that takes room\"}").status,
                         STATUS_OK);
        check_sum(w);
    }
}

/* What n publications take in a tail of their own. */
static size_t cost_of(struct world *w, int n)
{
    struct peer p = {.client = NULL};
    hold(&p, w, "kept:measured");
    publish_n(w, "kept:measured", n);
    size_t n_bytes = stats_of(w).tail_bytes;
    peer_release(&p);
    channel_memory_clear(&w->hub->memory);
    assert_int_equal(stats_of(w).tail_bytes, 0);
    return n_bytes;
}

static void recover_from(struct world *w, const char *channel, uint64_t since)
{
    struct peer p;
    peer_connect(&p, w);
    struct subscribe_answer a = recover(&p, channel, &(struct storage_position){.offset = since});
    assert_true(a.result.recovered);
    peer_release(&p);
}

static void recover_any(struct world *w, const char *channel, uint64_t since)
{
    struct peer p;
    peer_connect(&p, w);
    struct storage_position at = {.offset = since % 50};
    assert_int_equal(recover(&p, channel, &at).status, STATUS_OK);
    peer_release(&p);
}

static void ignore(void *arg, enum status status, const struct storage_history *history)
{
    (void)history;
    assert_int_equal(status, STATUS_OK);
    *(bool *)arg = true;
}

static void read_history(struct world *w, const char *channel)
{
    bool is_done = false;
    struct history_request request = {.channel = str_of(channel), .limit = 1, .reverse = true};
    hub_history(w->hub, &request, ignore, &is_done);
    WAIT_FOR(w, is_done);
}

/* --- the budget --- */

/* Three tails fit, the fourth costs the one that was used least recently. */
static void the_least_recently_used_goes_first(void **state)
{
    struct world *w = *state;
    struct peer p = {.client = NULL};
    w->channel_options.tail_total_max_size = (int64_t)(3 * cost_of(w, 8));
    hold(&p, w, "kept:a");
    hold(&p, w, "kept:b");
    hold(&p, w, "kept:c");
    hold(&p, w, "kept:d");
    publish_n(w, "kept:a", 8);
    publish_n(w, "kept:b", 8);
    publish_n(w, "kept:c", 8);
    assert_int_equal(stats_of(w).n_tail_evicted, 0);
    recover_from(w, "kept:a", 3); /* is a use: b is next */
    publish_n(w, "kept:d", 1);
    assert_int_equal(n_in_tail(w, "kept:a"), 8);
    assert_int_equal(n_in_tail(w, "kept:b"), 0);
    assert_int_equal(n_in_tail(w, "kept:c"), 8);
    assert_int_equal(stats_of(w).n_tail_evicted, 1);
    publish_n(w, "kept:d", 7);
    read_history(w, "kept:c"); /* is one too: a is next */
    publish_n(w, "kept:b", 1);
    assert_int_equal(n_in_tail(w, "kept:a"), 0);
    assert_int_equal(n_in_tail(w, "kept:b"), 1);
    assert_int_equal(n_in_tail(w, "kept:c"), 8);
    assert_int_equal(n_in_tail(w, "kept:d"), 8);
    assert_int_equal(stats_of(w).n_tail_evicted, 2);
    uint64_t n = n_reads(w);
    recover_from(w, "kept:a", 3); /* it can be read again */
    assert_int_equal(n_reads(w), n + 1);
    assert_int_equal(n_in_tail(w, "kept:a"), 8); /* all of it, for who missed more */
    check_sum(w);
    peer_release(&p);
}

/* Where nobody else has anything, the one that wants more gets less. */
static void a_budget_is_never_exceeded(void **state)
{
    struct world *w = *state;
    struct peer p = {.client = NULL};
    w->channel_options.tail_total_max_size = (int64_t)cost_of(w, 8);
    hold(&p, w, "kept:a");
    publish_n(w, "kept:a", 8);
    assert_int_equal(n_in_tail(w, "kept:a"), 8);
    publish_n(w, "kept:a", 1); /* its array doubles */
    int n = n_in_tail(w, "kept:a");
    assert_true(n > 0 && n < 8);
    publish_n(w, "kept:a", 20);
    assert_true(n_in_tail(w, "kept:a") > 0);
    assert_int_equal(stats_of(w).n_tail_evicted, 0);
    w->channel_options.tail_total_max_size = 10;
    publish_n(w, "kept:a", 1);
    assert_int_equal(n_in_tail(w, "kept:a"), 0);
    assert_int_equal(stats_of(w).tail_bytes, 0);
    recover_from(w, "kept:a", 20); /* from the storage */
    WAIT_FOR(w, p.n_messages >= 1);
    peer_release(&p);
    assert_int_equal(stats_of(w).n_idle_channels, 0); /* too large for the budget, too */
}

/* Any order of things leaves the sum right. */
static void the_sum_is_exact(void **state)
{
    struct world *w = *state;
    enum { N = 12 };
    static const int64_t budgets[] = {0, 500, 3000, 20000, 1000000};
    struct peer peers[N] = {{.client = NULL}};
    uint64_t seed = 1;
    for (int i = 0; i < 4000; i++) {
        seed = seed * 6364136223846793005U + 1442695040888963407U;
        unsigned dice = (unsigned)(seed >> 33);
        unsigned k = dice / 16 % N;
        char name[32];
        snprintf(name, sizeof(name), "%s:%u", k < 10 ? "kept" : "brief", k);
        w->channel_options.tail_total_max_size = budgets[dice / 1024 % 5];
        size_t before = stats_of(w).tail_bytes;
        switch (dice % 16) {
        case 0: peer_release(&peers[k]); break;
        case 1: assert_int_equal(remove_history(w, name), STATUS_OK); break;
        case 2: read_history(w, name); break;
        case 3:
            if (!peers[k].client) {
                hold(&peers[k], w, name);
            }
            break;
        case 4: recover_any(w, name, dice / 4096); break;
        default: publish(w, name, dice & 64 ? "{}" : "{\"text\":\"a much longer text than that\"}");
        }
        size_t after = checked_sum(w);
        assert_true(after <= before || after <= stats_of(w).tail_max_bytes);
    }
    for (int k = 0; k < N; k++) {
        peer_release(&peers[k]);
    }
}

/* What has expired does not wait for the next publication to go. */
static void an_expired_tail_goes_with_the_next_check(void **state)
{
    struct world *w = *state;
    struct peer p = {.client = NULL};
    w->client_options.channel_position_check_delay_ms = 20;
    hold(&p, w, "brief:a");
    hold(&p, w, "kept:a");
    publish(w, "brief:a", "1");
    publish(w, "kept:a", "1");
    WAIT_FOR(w, n_in_tail(w, "brief:a") == 0);
    check_sum(w);
    assert_int_equal(n_in_tail(w, "kept:a"), 1);
    assert_int_equal(stats_of(w).n_tail_evicted, 0);
    peer_release(&p);
}

/* --- idle channels --- */

static void who_comes_back_finds_it_as_it_was(void **state)
{
    struct world *w = *state;
    struct peer p = {.client = NULL};
    struct storage_position at = hold(&p, w, "kept:a");
    publish_n(w, "kept:a", 3);
    peer_release(&p);
    struct hub_stats stats = stats_of(w);
    assert_int_equal(stats.n_channels, 0);
    assert_int_equal(stats.n_idle_channels, 1);
    assert_true(hub_is_idle(w->hub));
    publish_n(w, "kept:a", 2);
    assert_int_equal(n_in_tail(w, "kept:a"), 5);
    assert_int_equal(stats_of(w).n_idle_channels, 1); /* is no use of it */
    uint64_t n = n_reads(w);
    peer_connect(&p, w);
    at.offset = 2;
    struct subscribe_answer a = recover(&p, "kept:a", &at);
    assert_true(a.result.recovered);
    assert_string_equal(a.offsets, "3 4 5 ");
    assert_int_equal(n_reads(w), n);
    stats = stats_of(w);
    assert_int_equal(stats.n_channels, 1);
    assert_int_equal(stats.n_idle_channels, 0);
    assert_int_equal(stats.n_tail_hits, 1);
    assert_int_equal(stats.n_tail_misses, 0);
    peer_release(&p);
}

static void count_channel(void *arg, struct str channel, size_t n_clients)
{
    (void)channel;
    (void)n_clients;
    ++*(int *)arg;
}

static void nobody_sees_an_idle_channel(void **state)
{
    struct world *w = *state;
    struct peer p = {.client = NULL};
    int n_channels = 0;
    hold(&p, w, "kept:a");
    peer_release(&p);
    hub_channels(w->hub, STR_EMPTY, count_channel, &n_channels);
    assert_int_equal(n_channels, 0);
    assert_non_null(w->hub->channels);
}

static void after_its_time_it_is_unloaded(void **state)
{
    struct world *w = *state;
    struct peer p[3] = {{.client = NULL}};
    static const char *const names[] = {"kept:a", "kept:b", "kept:c"};
    w->channel_options.idle_timeout_ms = 30;
    struct storage_position at[3];
    for (int i = 0; i < 3; i++) {
        at[i] = hold(&p[i], w, names[i]);
        publish_n(w, names[i], i + 1);
    }
    peer_release(&p[0]);
    peer_release(&p[1]);
    assert_int_equal(stats_of(w).n_idle_channels, 2);
    WAIT_FOR(w, stats_of(w).n_idle_channels == 0);
    assert_int_equal(n_in_tail(w, "kept:a"), -1);
    assert_int_equal(n_in_tail(w, "kept:b"), -1);
    assert_int_equal(n_in_tail(w, "kept:c"), 3); /* has a subscriber */
    assert_int_equal(stats_of(w).n_tail_evicted, 0);
    assert_false(deadline_armed(&w->hub->memory.due));
    struct storage_position back = hold(&p[1], w, "kept:b");
    assert_string_equal(back.epoch, at[1].epoch);
    assert_int_equal(back.offset, 2);
    peer_release(&p[2]); /* the timer starts again */
    peer_release(&p[1]);
    WAIT_FOR(w, stats_of(w).n_idle_channels == 0);
    assert_null(w->hub->channels);
    check_sum(w);
}

/* Many at once take more than one turn of the loop, and all go. */
static void very_many_are_unloaded(void **state)
{
    struct world *w = *state;
    enum { N = 3000 };
    struct peer p = {.client = NULL};
    w->client_options.channel_limit = N;
    peer_connect(&p, w);
    for (int i = 0; i < N; i++) {
        char name[32];
        snprintf(name, sizeof(name), "kept:%d", i);
        hold(&p, w, name);
    }
    w->channel_options.idle_timeout_ms = 1;
    peer_release(&p);
    assert_true(stats_of(w).n_idle_channels > 0);
    WAIT_FOR(w, stats_of(w).n_idle_channels == 0);
    assert_null(w->hub->channels);
}

static void without_a_timeout_it_goes_at_once(void **state)
{
    struct world *w = *state;
    struct peer p = {.client = NULL};
    w->channel_options.idle_timeout_ms = 0;
    struct storage_position at = hold(&p, w, "kept:a");
    peer_release(&p);
    assert_null(w->hub->channels);
    assert_string_equal(hold(&p, w, "kept:a").epoch, at.epoch);
    peer_release(&p);
}

static void what_was_not_loaded_goes_at_once(void **state)
{
    struct world *w = *state;
    struct peer p;
    peer_connect(&p, w);
    assert_int_equal(subscribe(&p, "plain").status, STATUS_OK);
    assert_int_equal(subscribe(&p, "token:a").status, STATUS_OK); /* nobody counts positions */
    assert_int_equal(subscribe(&p, "$secret").status, STATUS_DENIED);
    peer_release(&p);
    assert_null(w->hub->channels);
    assert_int_equal(stats_of(w).n_idle_channels, 0);
}

/* The longest idle channel goes before any tail in use does. */
static void pressure_unloads_the_longest_idle(void **state)
{
    struct world *w = *state;
    struct peer p[4] = {{.client = NULL}};
    static const char *const names[] = {"kept:a", "kept:b", "kept:c", "kept:d"};
    for (int i = 0; i < 4; i++) {
        hold(&p[i], w, names[i]);
        publish_n(w, names[i], 8);
    }
    peer_release(&p[2]);
    peer_release(&p[1]);
    w->channel_options.tail_total_max_size = (int64_t)stats_of(w).tail_bytes;
    publish_n(w, "kept:d", 1); /* a is the least recently used, but has a subscriber */
    assert_int_equal(n_in_tail(w, "kept:c"), -1);
    assert_int_equal(n_in_tail(w, "kept:b"), 8);
    assert_int_equal(n_in_tail(w, "kept:a"), 8);
    assert_int_equal(stats_of(w).n_idle_channels, 1);
    assert_int_equal(stats_of(w).n_tail_evicted, 1);
    publish_n(w, "kept:b", 30); /* an idle one does not pay for itself while others can */
    assert_int_equal(n_in_tail(w, "kept:a"), 0);
    assert_true(n_in_tail(w, "kept:b") > 8);
    for (int i = 0; i < 4; i++) {
        peer_release(&p[i]);
    }
    check_sum(w);
}

/* Channels alone, without any publication, are counted as well. */
static void idle_channels_cost(void **state)
{
    struct world *w = *state;
    struct peer p = {.client = NULL};
    w->client_options.channel_limit = 100;
    w->channel_options.tail_total_max_size = (int64_t)(10 * (sizeof(struct channel) + 10));
    for (int i = 0; i < 50; i++) {
        char name[32];
        snprintf(name, sizeof(name), "kept:%d", i);
        hold(&p, w, name);
    }
    peer_release(&p);
    assert_int_equal(stats_of(w).n_idle_channels, 10);
    assert_int_equal(stats_of(w).n_tail_evicted, 0);
    check_sum(w);
}

/* --- the end --- */

static void an_abandoned_hub_lets_all_go(void **state)
{
    struct world *w = *state;
    struct peer p[2] = {{.client = NULL}};
    hold(&p[0], w, "kept:a");
    hold(&p[1], w, "kept:b");
    publish_n(w, "kept:a", 3);
    peer_release(&p[0]);
    hub_abandon(w->hub);
    assert_int_equal(stats_of(w).n_idle_channels, 0);
    assert_int_equal(n_in_tail(w, "kept:a"), -1);
    peer_release(&p[1]); /* who goes later leaves nothing either */
    assert_null(w->hub->channels);
    assert_int_equal(stats_of(w).tail_bytes, 0);
}

static void a_hub_ends_with_idle_channels(void **state)
{
    struct world *w = *state;
    struct peer p = {.client = NULL};
    hold(&p, w, "kept:a");
    publish_n(w, "kept:a", 3);
    peer_release(&p);
    hold(&p, w, "kept:b");
    peer_release(&p);
    assert_int_equal(stats_of(w).n_idle_channels, 2); /* teardown destroys them */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_least_recently_used_goes_first, setup, teardown),
        cmocka_unit_test_setup_teardown(a_budget_is_never_exceeded, setup, teardown),
        cmocka_unit_test_setup_teardown(the_sum_is_exact, setup, teardown),
        cmocka_unit_test_setup_teardown(an_expired_tail_goes_with_the_next_check, setup, teardown),
        cmocka_unit_test_setup_teardown(who_comes_back_finds_it_as_it_was, setup, teardown),
        cmocka_unit_test_setup_teardown(nobody_sees_an_idle_channel, setup, teardown),
        cmocka_unit_test_setup_teardown(after_its_time_it_is_unloaded, setup, teardown),
        cmocka_unit_test_setup_teardown(very_many_are_unloaded, setup, teardown),
        cmocka_unit_test_setup_teardown(without_a_timeout_it_goes_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(what_was_not_loaded_goes_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(pressure_unloads_the_longest_idle, setup, teardown),
        cmocka_unit_test_setup_teardown(idle_channels_cost, setup, teardown),
        cmocka_unit_test_setup_teardown(an_abandoned_hub_lets_all_go, setup, teardown),
        cmocka_unit_test_setup_teardown(a_hub_ends_with_idle_channels, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
