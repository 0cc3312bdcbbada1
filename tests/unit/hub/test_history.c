/* SPDX-License-Identifier: MIT */
/* History read from the tail in memory is the very same, byte for byte, as read from the storage;
 * and where the tail does not reach, the storage is asked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/clock.h"
#include "hub/channel_internal.h"
#include "tests/unit/hub/world.h"

#define SIZE 8

static const char channels[] =
    "{\"tail_max_size\":1000000,\"namespaces\":["
    "{\"name\":\"kept\",\"history_size\":8,\"history_ttl\":\"1h\",\"allow_positioning\":true},"
    "{\"name\":\"brief\",\"history_size\":8,\"history_ttl\":\"1ms\",\"allow_positioning\":true}]}";

static int setup(void **state)
{
    *state =
        world_create(&(struct world_options){.client = "{\"insecure\":true}", .channel = channels});
    return 0;
}

static int setup_with_file(void **state)
{
    *state = world_create(&(struct world_options){
        .client = "{\"insecure\":true}", .channel = channels, .has_file = true});
    return 0;
}

static int teardown(void **state)
{
    world_destroy(*state);
    return 0;
}

/* --- answers as texts, so that they can be compared --- */

struct answer {
    bool is_done;
    enum status status;
    struct buf text; /* all of it but the status */
};

static void describe(struct buf *out, const struct storage_history *history)
{
    buf_printf(out, "%s %llu:", history->top.epoch, (unsigned long long)history->top.offset);
    for (size_t i = 0; i < history->n_items; i++) {
        const struct storage_item *item = &history->items[i];
        buf_printf(out, "\n%llu %lld %d ", (unsigned long long)item->offset,
                   (long long)item->time_ms, item->delta);
        buf_append(out, item->data);
        buf_append_char(out, ' ');
        buf_append(out, item->info);
        buf_append_char(out, ' ');
        buf_append(out, item->tags);
    }
}

static void answered(void *arg, enum status status, const struct storage_history *history)
{
    struct answer *a = arg;
    assert_false(a->is_done);
    a->is_done = true;
    a->status = status;
    describe(&a->text, history);
}

static void ask_hub(struct world *w, const struct history_request *request, struct answer *a)
{
    *a = (struct answer){.is_done = false};
    buf_init(&a->text, 100000);
    hub_history(w->hub, request, answered, a);
    assert_false(a->is_done);
    WAIT_FOR(w, a->is_done);
}

static void read_done(struct storage_history *read)
{
    struct answer *a = read->arg;
    a->is_done = true;
    a->status = read->status;
    describe(&a->text, read);
    storage_history_release(read);
}

static void ask_storage(struct world *w, const struct history_request *request, struct answer *a)
{
    const struct namespace_options *ns;
    assert_int_equal(namespace_find(&w->channel_options, request->channel, &ns), STATUS_OK);
    *a = (struct answer){.is_done = false};
    buf_init(&a->text, 100000);
    struct storage_history read = {
        .channel = request->channel,
        .retention = namespace_retention(&w->channel_options, ns),
        .since = request->since,
        .reverse = request->reverse,
        .limit = request->limit < 0 || request->limit > SIZE ? SIZE : (size_t)request->limit,
        .max_bytes = request->max_bytes,
        .done = read_done,
        .arg = a,
    };
    storage_history(w->storage, &read);
    WAIT_FOR(w, a->is_done);
}

/* True: it came from memory. */
static bool compare(struct world *w, const struct history_request *request)
{
    struct answer hub, storage;
    struct hub_stats before = stats_of(w);
    ask_hub(w, request, &hub);
    struct hub_stats after = stats_of(w);
    ask_storage(w, request, &storage);
    assert_int_equal(hub.status, STATUS_OK);
    assert_int_equal(storage.status, STATUS_OK);
    if (!str_eq(buf_str(&hub.text), buf_str(&storage.text))) {
        fail_msg("since %llu%s, limit %lld, max %zu:\n%.*s\ninstead of\n%.*s",
                 (unsigned long long)request->since, request->reverse ? " reverse" : "",
                 (long long)request->limit, request->max_bytes, (int)hub.text.len, hub.text.ptr,
                 (int)storage.text.len, storage.text.ptr);
    }
    uint64_t n_counted = request->limit != 0;
    assert_int_equal(after.n_tail_hits + after.n_tail_misses,
                     before.n_tail_hits + before.n_tail_misses + n_counted);
    buf_release(&hub.text);
    buf_release(&storage.text);
    return after.n_tail_misses == before.n_tail_misses;
}

struct outcome {
    unsigned n_hits;
    unsigned n_misses;
};

/* All requests around the edges of a channel whose top is 0, 3 or 20. */
static struct outcome compare_all(struct world *w, const char *channel)
{
    static const uint64_t sinces[] = {
        0, 1, 2, 3, 4, 5, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 99, UINT64_MAX / 2};
    static const int64_t limits[] = {0, 1, 2, 3, 5, 7, 8, 9, -1};
    static const size_t max_bytes[] = {0, 1, 30, 31, 60, 100, 1000};
    struct outcome outcome = {0};
    for (int reverse = 0; reverse < 2; reverse++) {
        for (size_t s = 0; s < sizeof(sinces) / sizeof(sinces[0]); s++) {
            for (size_t l = 0; l < sizeof(limits) / sizeof(limits[0]); l++) {
                for (size_t m = 0; m < sizeof(max_bytes) / sizeof(max_bytes[0]); m++) {
                    struct history_request request = {.channel = str_of(channel),
                                                      .since = sinces[s],
                                                      .has_since = sinces[s] != 0,
                                                      .reverse = reverse,
                                                      .limit = limits[l],
                                                      .max_bytes = max_bytes[m]};
                    bool is_hit = compare(w, &request);
                    assert_true(is_hit || request.limit != 0);
                    outcome.n_hits += is_hit;
                    outcome.n_misses += !is_hit;
                }
            }
        }
    }
    return outcome;
}

/* --- states of a channel --- */

static void publish_some(struct world *w, const char *channel, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        char data[64];
        snprintf(data, sizeof(data), "{\"n\":%u,\"x\":\"%.*s\"}", i, (int)(i % 20),
                 "xxxxxxxxxxxxxxxxxxxxxxxx");
        struct publish_request request = {.channel = str_of(channel),
                                          .data = str_of(data),
                                          .info = i % 3 == 0 ? STR("{\"user\":\"u\"}") : STR_EMPTY,
                                          .tags = i % 4 == 0 ? STR("{\"t\":\"\"}") : STR_EMPTY,
                                          .delta = i % 5 == 0};
        assert_int_equal(publish_with(w, &request).status, STATUS_OK);
    }
}

static void hold(struct peer *p, struct world *w, const char *channel)
{
    peer_connect(p, w);
    struct subscribe_request request = {.channel = str_of(channel), .positioned = true};
    assert_int_equal(subscribe_with(p, &request).status, STATUS_OK);
}

static void check_all_from_memory(struct world *w, const char *channel)
{
    struct outcome outcome = compare_all(w, channel);
    assert_int_equal(outcome.n_misses, 0);
    assert_true(outcome.n_hits > 1000);
}

static void loaded_from_the_storage(void **state)
{
    struct world *w = *state;
    struct peer p;
    hold(&p, w, "kept:none");
    check_all_from_memory(w, "kept:none");
    peer_release(&p);
    publish_some(w, "kept:few", 3);
    hold(&p, w, "kept:few");
    check_all_from_memory(w, "kept:few");
    peer_release(&p);
    publish_some(w, "kept:trimmed", 20);
    hold(&p, w, "kept:trimmed");
    check_all_from_memory(w, "kept:trimmed");
    peer_release(&p);
}

static void followed_from_the_start(void **state)
{
    struct world *w = *state;
    struct peer p;
    hold(&p, w, "kept:a");
    publish_some(w, "kept:a", 3);
    check_all_from_memory(w, "kept:a");
    publish_some(w, "kept:a", 17);
    check_all_from_memory(w, "kept:a");
    peer_release(&p); /* idle from here on */
    publish_some(w, "kept:a", 1);
    check_all_from_memory(w, "kept:a");
}

static void nobody_is_there(void **state)
{
    struct world *w = *state;
    publish_some(w, "kept:a", 20);
    struct outcome outcome = compare_all(w, "kept:a"); /* limit 0 is not counted */
    assert_int_equal(outcome.n_hits, 2 * 19 * 7);
}

static void a_tail_that_is_too_short(void **state)
{
    struct world *w = *state;
    struct peer p;
    publish_some(w, "kept:a", 20);
    for (int64_t size = 0; size <= 600; size += 200) {
        w->channel_options.tail_max_size = size;
        w->channel_options.idle_timeout_ms = 0;
        hold(&p, w, "kept:a");
        struct outcome outcome = compare_all(w, "kept:a");
        assert_true(outcome.n_hits > 300);
        assert_true(outcome.n_misses > 100);
        peer_release(&p);
    }
}

/* What was evicted, or never in memory, is read; what has come since is not. */
static void a_tail_that_was_dropped(void **state)
{
    struct world *w = *state;
    struct peer p;
    hold(&p, w, "kept:a");
    publish_some(w, "kept:a", 18);
    w->channel_options.tail_total_max_size = 0;
    publish_some(w, "kept:a", 1);
    assert_int_equal(stats_of(w).tail_bytes, 0);
    struct history_request newest = {.channel = STR("kept:a"), .limit = 1, .reverse = true};
    assert_false(compare(w, &newest));
    assert_true(compare_all(w, "kept:a").n_misses > 100);
    w->channel_options.tail_total_max_size = 1000000;
    publish_some(w, "kept:a", 1);
    assert_true(compare(w, &newest));
    newest.limit = 2;
    assert_false(compare(w, &newest));
    assert_true(compare(w, &newest)); /* what was read is kept */
    newest.limit = SIZE;
    assert_false(compare(w, &newest));
    check_all_from_memory(w, "kept:a");
    peer_release(&p);
}

/* Whose subscribers count no positions: nothing was read when the first publication came. */
static void a_channel_that_was_never_read(void **state)
{
    static const struct history_request whole[] = {
        {.channel = STR("kept:a"), .limit = -1},
        {.channel = STR("kept:a"), .limit = -1, .reverse = true},
    };
    for (size_t i = 0; i < 2; i++) {
        struct world *w = *state;
        struct peer p;
        publish_some(w, "kept:a", i == 0 ? 3 : 30);
        peer_connect(&p, w);
        assert_int_equal(subscribe(&p, "kept:a").status, STATUS_OK);
        publish_some(w, "kept:a", 1);
        assert_false(compare(w, &whole[i]));
        check_all_from_memory(w, "kept:a");
        peer_release(&p);
        channel_memory_clear(&w->hub->memory);
    }
}

/* Only its position was read: that says nothing about when its publications are over. */
static void a_commit_after_a_read_of_the_position(void **state)
{
    struct world *w = *state;
    struct peer p;
    struct history_request whole = {.channel = STR("kept:a"), .limit = -1};
    w->channel_options.tail_max_size = 0;
    publish_some(w, "kept:a", 3);
    hold(&p, w, "kept:a");
    publish_some(w, "kept:a", 1);
    compare(w, &whole);
    compare_all(w, "kept:a");
    peer_release(&p);
}

static void removed_history(void **state)
{
    struct world *w = *state;
    struct peer p;
    hold(&p, w, "kept:a");
    publish_some(w, "kept:a", 17);
    assert_int_equal(remove_history(w, "kept:a"), STATUS_OK);
    check_all_from_memory(w, "kept:a");
    publish_some(w, "kept:a", 3);
    check_all_from_memory(w, "kept:a");
    peer_release(&p);
    assert_int_equal(remove_history(w, "kept:a"), STATUS_OK); /* of an idle one */
    check_all_from_memory(w, "kept:a");
}

static void expired_history(void **state)
{
    struct world *w = *state;
    struct peer p;
    hold(&p, w, "brief:a");
    publish_some(w, "brief:a", 19);
    int64_t from_ms = clock_wall_ms();
    WAIT_FOR(w, clock_wall_ms() > from_ms + 2);
    compare_all(w, "brief:a");
    struct history_request all = {.channel = STR("brief:a"), .limit = -1};
    publish_some(w, "brief:a", 1);
    from_ms = clock_wall_ms();
    WAIT_FOR(w, clock_wall_ms() > from_ms + 2);
    assert_false(compare(w, &all));
    /* What follows after the expiry is all there is. */
    ((struct namespace_options *)w->channel_options.namespaces.items)[1].history_ttl_ms = 3600000;
    publish_some(w, "brief:a", 1);
    assert_true(compare(w, &all));
    peer_release(&p);
}

/* --- requests that have an end of their own --- */

static void the_wrong_epoch(void **state)
{
    struct world *w = *state;
    struct peer p;
    hold(&p, w, "kept:a");
    publish_some(w, "kept:a", 3);
    for (int64_t limit = 0; limit < 2; limit++) {
        struct answer a;
        struct history_request request = {
            .channel = STR("kept:a"), .epoch = STR("another"), .limit = limit};
        ask_hub(w, &request, &a);
        assert_int_equal(a.status, STATUS_UNRECOVERABLE);
        buf_release(&a.text);
    }
    peer_release(&p);
}

/* The answer was taken from a tail that is dropped before it is given. */
static void an_answer_outlives_the_tail(void **state)
{
    struct world *w = *state;
    struct peer p;
    struct answer a = {.is_done = false};
    struct history_request request = {.channel = STR("kept:a"), .limit = -1};
    hold(&p, w, "kept:a");
    publish_some(w, "kept:a", 2);
    buf_init(&a.text, 10000);
    hub_history(w->hub, &request, answered, &a);
    assert_false(hub_is_idle(w->hub));
    peer_release(&p);
    hub_stop(w->hub);
    channel_memory_clear(&w->hub->memory);
    assert_int_equal(stats_of(w).tail_bytes, 0);
    WAIT_FOR(w, a.is_done);
    assert_int_equal(a.status, STATUS_OK);
    assert_non_null(memmem(a.text.ptr, a.text.len, "{\"n\":1,\"x\":\"x\"}", 15));
    buf_release(&a.text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(loaded_from_the_storage, setup, teardown),
        cmocka_unit_test_setup_teardown(loaded_from_the_storage, setup_with_file, teardown),
        cmocka_unit_test_setup_teardown(followed_from_the_start, setup, teardown),
        cmocka_unit_test_setup_teardown(followed_from_the_start, setup_with_file, teardown),
        cmocka_unit_test_setup_teardown(nobody_is_there, setup, teardown),
        cmocka_unit_test_setup_teardown(a_tail_that_is_too_short, setup, teardown),
        cmocka_unit_test_setup_teardown(a_tail_that_was_dropped, setup, teardown),
        cmocka_unit_test_setup_teardown(a_channel_that_was_never_read, setup, teardown),
        cmocka_unit_test_setup_teardown(a_channel_that_was_never_read, setup_with_file, teardown),
        cmocka_unit_test_setup_teardown(a_commit_after_a_read_of_the_position, setup_with_file,
                                        teardown),
        cmocka_unit_test_setup_teardown(removed_history, setup, teardown),
        cmocka_unit_test_setup_teardown(expired_history, setup, teardown),
        cmocka_unit_test_setup_teardown(the_wrong_epoch, setup, teardown),
        cmocka_unit_test_setup_teardown(an_answer_outlives_the_tail, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
