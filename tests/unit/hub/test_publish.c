/* SPDX-License-Identifier: MIT */
/* The way of a publication: what is kept of it, what is pushed, and what is suppressed by its
 * idempotency key or its version. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/unit/hub/world.h"

#define KEPT "\"history_size\":10,\"history_ttl\":\"1h\""

static int setup(void **state)
{
    *state = world_create(&(struct world_options){
        .client = "{\"insecure\":true}",
        .channel = "{\"namespaces\":[{\"name\":\"plain\"},{\"name\":\"kept\"," KEPT "},"
                   "{\"name\":\"delta\",\"delta_publish\":true," KEPT "}]}",
        .has_file = true});
    return 0;
}

static int teardown(void **state)
{
    world_destroy(*state);
    return 0;
}

static struct publish_answer publish_keyed(struct world *w, const char *channel, const char *data,
                                           const char *key)
{
    struct publish_request request = {
        .channel = str_of(channel), .data = str_of(data), .idempotency_key = str_of(key)};
    return publish_with(w, &request);
}

static void check_received(struct peer *p, const char *expected)
{
    publish(p->world, "plain:marker", "\"end\"");
    WAIT_FOR(p->world, strstr(peer_text(p), "plain:marker 0 \"end\""));
    char text[1024];
    snprintf(text, sizeof(text), "%s", peer_text(p));
    for (char *at = text; *at; at++) { /* several that came in one turn are joined */
        *at = *at == '|' ? '\n' : *at;
    }
    *strstr(text, "plain:marker") = '\0';
    assert_string_equal(text, expected);
    peer_forget(p);
}

static void listen_to(struct peer *p, struct world *w, const char *channel)
{
    peer_connect(p, w);
    REQUIRE(subscribe(p, channel).status == STATUS_OK);
    REQUIRE(subscribe(p, "plain:marker").status == STATUS_OK);
}

/* --- idempotency keys --- */

static void a_key_publishes_once(void **state)
{
    struct world *w = *state;
    struct peer p;
    listen_to(&p, w, "kept:a");
    struct publish_answer first = publish_keyed(w, "kept:a", "1", "k");
    assert_int_equal(first.position.offset, 1);
    assert_int_equal(publish(w, "kept:a", "2").position.offset, 2);
    struct publish_answer again = publish_keyed(w, "kept:a", "3", "k");
    assert_int_equal(again.status, STATUS_OK);
    assert_int_equal(again.position.offset, 1);
    assert_string_equal(again.position.epoch, first.position.epoch);
    assert_int_equal(publish_keyed(w, "kept:a", "4", "other").position.offset, 3);
    check_received(&p, "kept:a 1 1\nkept:a 2 2\nkept:a 3 4\n");
    peer_release(&p);
    struct hub_stats stats;
    hub_stats(w->hub, &stats);
    assert_int_equal(stats.n_publications, 4); /* with the marker */
    struct storage_stats figures;
    storage_stats(w->storage, &figures);
    assert_int_equal(figures.n_suppressed, 1);
}

static void a_key_counts_in_its_channel(void **state)
{
    struct world *w = *state;
    assert_int_equal(publish_keyed(w, "kept:a", "1", "k").position.offset, 1);
    assert_int_equal(publish_keyed(w, "kept:b", "1", "k").position.offset, 1);
    assert_int_equal(publish(w, "kept:b", "2").position.offset, 2);
}

static void a_key_without_history_has_no_position(void **state)
{
    struct world *w = *state;
    struct peer p;
    listen_to(&p, w, "plain:a");
    for (int i = 0; i < 3; i++) {
        struct publish_answer a = publish_keyed(w, "plain:a", i == 0 ? "1" : "2", "k");
        assert_int_equal(a.status, STATUS_OK);
        assert_int_equal(a.position.offset, 0);
        assert_string_equal(a.position.epoch, "");
    }
    check_received(&p, "plain:a 0 1\n");
    peer_release(&p);
}

static void a_key_of_what_skips_history(void **state)
{
    struct world *w = *state;
    struct peer p;
    listen_to(&p, w, "kept:a");
    struct publish_request request = {.channel = STR("kept:a"),
                                      .data = STR("1"),
                                      .idempotency_key = STR("k"),
                                      .skip_history = true};
    assert_int_equal(publish_with(w, &request).position.offset, 0);
    assert_int_equal(publish_with(w, &request).position.offset, 0);
    assert_int_equal(publish(w, "kept:a", "2").position.offset, 1);
    check_received(&p, "kept:a 0 1\nkept:a 1 2\n");
    peer_release(&p);
}

static void keys_survive_a_restart(void **state)
{
    struct world *w = *state;
    publish(w, "kept:a", "0");
    struct publish_answer first = publish_keyed(w, "kept:a", "1", "k");
    publish_keyed(w, "plain:a", "1", "k");
    world_restart(w);
    struct peer p;
    listen_to(&p, w, "kept:a");
    assert_int_equal(subscribe(&p, "plain:a").status, STATUS_OK);
    struct publish_answer again = publish_keyed(w, "kept:a", "2", "k");
    assert_int_equal(again.position.offset, 2);
    assert_string_equal(again.position.epoch, first.position.epoch);
    assert_int_equal(publish_keyed(w, "plain:a", "2", "k").status, STATUS_OK);
    check_received(&p, "");
    peer_release(&p);
}

/* Both are under way when the first is decided. */
static void a_key_twice_at_the_same_time(void **state)
{
    struct world *w = *state;
    struct publish_answer answers[2] = {{.is_done = false}};
    struct publish_request request = {
        .channel = STR("kept:a"), .data = STR("1"), .idempotency_key = STR("k")};
    for (int i = 0; i < 2; i++) {
        hub_publish(w->hub, &request, publish_answered, &answers[i]);
    }
    WAIT_FOR(w, answers[0].is_done && answers[1].is_done);
    assert_int_equal(answers[0].position.offset, 1);
    assert_int_equal(answers[1].position.offset, 1);
    assert_int_equal(publish(w, "kept:a", "2").position.offset, 2);
}

/* --- versions --- */

static uint64_t publish_version(struct world *w, const char *channel, uint64_t version,
                                const char *epoch)
{
    struct publish_request request = {.channel = str_of(channel),
                                      .data = STR("1"),
                                      .version = version,
                                      .version_epoch = str_of(epoch)};
    struct publish_answer a = publish_with(w, &request);
    REQUIRE(a.status == STATUS_OK);
    return a.position.offset;
}

static void only_newer_versions_are_published(void **state)
{
    struct world *w = *state;
    struct peer p;
    listen_to(&p, w, "kept:a");
    static const struct {
        uint64_t version;
        const char *epoch;
        uint64_t offset; /* of the answer */
    } steps[] = {
        {5, "", 1},  {5, "", 1}, {4, "", 1},  {6, "", 2},         {0, "", 3},
        {6, "", 3},  {7, "", 4}, {1, "e", 5}, {1, "e", 5},        {2, "e", 6},
        {1, "f", 7}, {1, "", 7}, {2, "", 8},  {INT64_MAX, "", 9}, {INT64_MAX, "", 9},
    };
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        assert_int_equal(publish_version(w, "kept:a", steps[i].version, steps[i].epoch),
                         steps[i].offset);
    }
    check_received(&p, "kept:a 1 1\nkept:a 2 1\nkept:a 3 1\nkept:a 4 1\nkept:a 5 1\nkept:a 6 1\n"
                       "kept:a 7 1\nkept:a 8 1\nkept:a 9 1\n");
    peer_release(&p);
    world_restart(w);
    assert_int_equal(publish_version(w, "kept:a", INT64_MAX, ""), 9);
    assert_int_equal(publish_version(w, "kept:b", 1, ""), 1); /* has its own */
}

static void a_version_has_no_effect_without_a_stream(void **state)
{
    struct world *w = *state;
    struct peer p;
    listen_to(&p, w, "plain:a");
    assert_int_equal(publish_version(w, "plain:a", 2, ""), 0);
    assert_int_equal(publish_version(w, "plain:a", 1, ""), 0);
    check_received(&p, "plain:a 0 1\nplain:a 0 1\n");
    peer_release(&p);
}

static void what_is_too_long_or_large_is_refused(void **state)
{
    struct world *w = *state;
    char text[257];
    memset(text, 'x', sizeof(text));
    struct publish_request request = {.channel = STR("kept:a"), .data = STR("1")};
    request.idempotency_key = (struct str){text, 256};
    assert_int_equal(publish_with(w, &request).status, STATUS_INVALID);
    request.idempotency_key.len = 255;
    request.version_epoch = (struct str){text, 256};
    assert_int_equal(publish_with(w, &request).status, STATUS_INVALID);
    request.version_epoch.len = 255;
    request.version = (uint64_t)INT64_MAX + 1;
    assert_int_equal(publish_with(w, &request).status, STATUS_INVALID);
    request.version--;
    assert_int_equal(publish_with(w, &request).position.offset, 1);
}

/* --- what is kept --- */

struct kept {
    bool is_done;
    bool deltas[8];
    size_t n;
};

static void keep_deltas(void *arg, enum status status, const struct storage_history *history)
{
    struct kept *kept = arg;
    REQUIRE(status == STATUS_OK);
    for (size_t i = 0; i < history->n_items; i++) {
        kept->deltas[kept->n++] = history->items[i].delta;
    }
    kept->is_done = true;
}

static struct kept read_deltas(struct world *w, const char *channel)
{
    struct kept kept = {.is_done = false};
    struct history_request request = {.channel = str_of(channel), .limit = 8};
    hub_history(w->hub, &request, keep_deltas, &kept);
    WAIT_FOR(w, kept.is_done);
    return kept;
}

static void the_delta_flag_is_kept(void **state)
{
    struct world *w = *state;
    publish(w, "kept:a", "1");
    publish_with(
        w, &(struct publish_request){.channel = STR("kept:a"), .data = STR("2"), .delta = true});
    publish(w, "delta:a", "1");
    for (int round = 0; round < 2; round++) {
        struct kept kept = read_deltas(w, "kept:a");
        assert_int_equal(kept.n, 2);
        assert_false(kept.deltas[0]);
        assert_true(kept.deltas[1]);
        kept = read_deltas(w, "delta:a");
        assert_true(kept.n == 1 && kept.deltas[0]);
        world_restart(w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_key_publishes_once, setup, teardown),
        cmocka_unit_test_setup_teardown(a_key_counts_in_its_channel, setup, teardown),
        cmocka_unit_test_setup_teardown(a_key_without_history_has_no_position, setup, teardown),
        cmocka_unit_test_setup_teardown(a_key_of_what_skips_history, setup, teardown),
        cmocka_unit_test_setup_teardown(keys_survive_a_restart, setup, teardown),
        cmocka_unit_test_setup_teardown(a_key_twice_at_the_same_time, setup, teardown),
        cmocka_unit_test_setup_teardown(only_newer_versions_are_published, setup, teardown),
        cmocka_unit_test_setup_teardown(a_version_has_no_effect_without_a_stream, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_too_long_or_large_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(the_delta_flag_is_kept, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
