/* SPDX-License-Identifier: MIT */
/* What a subscriber gets when it is not what all others get: deltas, what its filter lets through,
 * messages one by one, who comes and goes; and what conflate leaves out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/clock.h"
#include "hub/delta.h"
#include "tests/unit/hub/world.h"

#define LONG "a text that is long enough for a patch to be smaller than it is, number "

static int setup(void **state)
{
    *state = world_create(&(struct world_options){
        .client = "{\"insecure\":true}",
        .channel =
            "{\"without_namespace\":{\"allow_tags_filter\":true},\"namespaces\":["
            "{\"name\":\"delta\",\"allowed_delta_types\":[\"fossil\"],\"delta_publish\":true},"
            "{\"name\":\"asked\",\"allowed_delta_types\":[\"fossil\"]},"
            "{\"name\":\"kept\",\"allowed_delta_types\":[\"fossil\"],\"delta_publish\":true,"
            "\"history_size\":100,\"history_ttl\":\"1h\",\"force_recovery\":true},"
            "{\"name\":\"room\",\"presence\":true,\"join_leave\":true},"
            "{\"name\":\"told\",\"presence\":true,\"join_leave\":true,"
            "\"force_push_join_leave\":true,\"conflate\":\"1h\"},"
            "{\"name\":\"hourly\",\"conflate\":\"1h\",\"allowed_delta_types\":[\"fossil\"],"
            "\"delta_publish\":true},"
            "{\"name\":\"quick\",\"conflate\":\"20ms\"},"
            "{\"name\":\"quickly-kept\",\"conflate\":\"20ms\",\"allowed_delta_types\":"
            "[\"fossil\"],\"delta_publish\":true,\"history_size\":100,\"history_ttl\":\"1h\","
            "\"force_recovery\":true}]}"});
    return 0;
}

static int teardown(void **state)
{
    world_destroy(*state);
    return 0;
}

/* --- subscribing --- */

static void come(struct peer *p, struct world *w, const struct subscribe_request *request)
{
    peer_connect(p, w);
    assert_int_equal(subscribe_with(p, request).status, STATUS_OK);
}

static void come_with_delta(struct peer *p, struct world *w, const char *channel)
{
    come(p, w, &(struct subscribe_request){.channel = str_of(channel), .delta = STR("fossil")});
}

static void come_with_filter(struct peer *p, struct world *w, const char *channel,
                             const char *filter)
{
    come(p, w,
         &(struct subscribe_request){.channel = str_of(channel), .tags_filter = str_of(filter)});
}

static void come_plainly(struct peer *p, struct world *w, const char *channel)
{
    come(p, w, &(struct subscribe_request){.channel = str_of(channel)});
}

static struct fan_out_stats fan_out_of(struct world *w)
{
    return stats_of(w).fan_out;
}

/* --- deltas --- */

static const char *const versions[] = {"\"" LONG "1\"", "\"" LONG "2\"", "\"" LONG "3\"",
                                       "\"" LONG "4\"", "\"" LONG "5\""};

/* As the plain format writes it. from < 0: whole. */
static const char *delta_message(const char *channel, int from, int to)
{
    static struct buf text;
    buf_release(&text);
    buf_init(&text, 10000);
    buf_append(&text, str_of(channel));
    buf_literal(&text, " 0 ");
    buf_append_char(&text, from < 0 ? '\'' : '~');
    if (from < 0) {
        buf_append(&text, str_of(versions[to]));
    } else {
        assert_true(delta_make(str_of(versions[from]), str_of(versions[to]), &text));
    }
    buf_append_char(&text, from < 0 ? '\'' : '~');
    buf_append_char(&text, '\0');
    return text.ptr;
}

static void expect(struct peer *p, struct buf *expected)
{
    buf_append_char(expected, '\0');
    assert_string_equal(peer_text(p), expected->ptr);
    buf_release(expected);
    buf_init(expected, 10000);
    peer_forget(p);
}

static void whole_at_first_then_deltas(void **state)
{
    struct world *w = *state;
    struct peer first;
    struct peer plain;
    struct peer second;
    struct buf expected;
    buf_init(&expected, 10000);
    come_with_delta(&first, w, "delta:a");
    come_plainly(&plain, w, "delta:a");
    assert_int_equal(publish(w, "delta:a", versions[0]).status, STATUS_OK);
    WAIT_FOR(w, first.n_messages == 1 && plain.n_messages == 1);
    come_with_delta(&second, w, "delta:a");
    for (int i = 1; i < 3; i++) {
        assert_int_equal(publish(w, "delta:a", versions[i]).status, STATUS_OK);
        WAIT_FOR(w, second.n_messages == (size_t)i);
    }
    for (int i = 0; i < 3; i++) {
        buf_printf(&expected, "%s\n", delta_message("delta:a", i - 1, i));
    }
    expect(&first, &expected);
    buf_printf(&expected, "%s\n", delta_message("delta:a", -1, 1));
    buf_printf(&expected, "%s\n", delta_message("delta:a", 1, 2));
    expect(&second, &expected);
    for (int i = 0; i < 3; i++) {
        buf_printf(&expected, "delta:a 0 %s\n", versions[i]);
    }
    expect(&plain, &expected);
    assert_int_equal(fan_out_of(w).n_deltas, 2);
    assert_int_equal(fan_out_of(w).n_messages, 3 + 2 + 3);
    peer_release(&first);
    peer_release(&second);
    peer_release(&plain);
}

static void those_of_one_turn_against_each_other(void **state)
{
    struct world *w = *state;
    struct peer old;
    struct peer new;
    struct publish_answer answers[3];
    struct buf expected;
    buf_init(&expected, 10000);
    come_with_delta(&old, w, "delta:a");
    assert_int_equal(publish(w, "delta:a", versions[0]).status, STATUS_OK);
    WAIT_FOR(w, old.n_messages == 1);
    peer_forget(&old);
    come_with_delta(&new, w, "delta:a");
    for (int i = 1; i < 4; i++) {
        publish_start(w, "delta:a", versions[i], &answers[i - 1]);
    }
    WAIT_FOR(w, old.n_messages == 1 && new.n_messages == 1);
    for (int i = 1; i < 4; i++) {
        buf_printf(&expected, "%s%s", delta_message("delta:a", i - 1, i), i < 3 ? "|" : "\n");
    }
    expect(&old, &expected);
    for (int i = 1; i < 4; i++) {
        buf_printf(&expected, "%s%s", delta_message("delta:a", i > 1 ? i - 1 : -1, i),
                   i < 3 ? "|" : "\n");
    }
    expect(&new, &expected);
    assert_int_equal(fan_out_of(w).n_deltas, 3);
    peer_release(&old);
    peer_release(&new);
}

static void whole_where_it_was_not_asked_for_or_would_not_be_smaller(void **state)
{
    struct world *w = *state;
    struct peer p;
    come_with_delta(&p, w, "asked:a");
    struct publish_request request = {.channel = STR("asked:a"), .data = str_of(versions[0])};
    publish_with(w, &request);
    request.data = str_of(versions[1]);
    publish_with(w, &request);
    request.data = STR("1");
    request.delta = true;
    publish_with(w, &request);
    request.data = str_of(versions[2]);
    request.delta = false;
    publish_with(w, &request);
    request.data = str_of(versions[3]);
    request.delta = true;
    publish_with(w, &request);
    WAIT_FOR(w, fan_out_of(w).n_messages == 5);
    for (size_t at = 0; at < p.received.len; at++) {
        p.received.ptr[at] = p.received.ptr[at] == '|' ? '\n' : p.received.ptr[at];
    }
    struct buf expected;
    buf_init(&expected, 10000);
    buf_printf(&expected, "asked:a 0 '%s'\nasked:a 0 '%s'\nasked:a 0 '1'\nasked:a 0 '%s'\n",
               versions[0], versions[1], versions[2]);
    buf_printf(&expected, "%s\n", delta_message("asked:a", 2, 3));
    expect(&p, &expected);
    assert_int_equal(fan_out_of(w).n_deltas, 1);
    assert_int_equal(fan_out_of(w).n_full, 1);
    peer_release(&p);
}

static bool is_delta(struct peer *p)
{
    return strchr(peer_text(p), '~') != NULL;
}

/* Who got the newest with the reply goes on with deltas from there; who did not begins anew. */
static void deltas_go_on_after_recovery(void **state)
{
    struct world *w = *state;
    struct peer witness;
    struct peer back;
    struct peer current;
    come_plainly(&witness, w, "kept:a");
    struct storage_position first = publish(w, "kept:a", versions[0]).position;
    struct storage_position second = publish(w, "kept:a", versions[1]).position;
    WAIT_FOR(w, fan_out_of(w).n_messages == 2);
    struct subscribe_request request = {.channel = STR("kept:a"),
                                        .delta = STR("fossil"),
                                        .recover = true,
                                        .epoch = str_of(first.epoch),
                                        .offset = first.offset};
    come(&back, w, &request);
    request.offset = second.offset;
    come(&current, w, &request);
    publish(w, "kept:a", versions[2]);
    WAIT_FOR(w, back.n_messages == 1 && current.n_messages == 1);
    assert_true(is_delta(&back));
    assert_false(is_delta(&current));
    peer_release(&witness);
    peer_release(&back);
    peer_release(&current);
}

static void deltas_go_on_where_nobody_was(void **state)
{
    struct world *w = *state;
    struct peer back;
    struct buf expected;
    buf_init(&expected, 10000);
    struct storage_position first = publish(w, "kept:a", versions[0]).position;
    publish(w, "kept:a", versions[1]);
    come(&back, w,
         &(struct subscribe_request){.channel = STR("kept:a"),
                                     .delta = STR("fossil"),
                                     .recover = true,
                                     .epoch = str_of(first.epoch),
                                     .offset = first.offset});
    publish(w, "kept:a", versions[2]);
    WAIT_FOR(w, back.n_messages == 1);
    buf_append(&expected, str_of(delta_message("kept:a", 1, 2)));
    buf_append_char(&expected, '\n');
    expected.ptr[strlen("kept:a ")] = '3'; /* the offset */
    expect(&back, &expected);
    buf_release(&expected);
    peer_release(&back);
}

/* --- many at once --- */

#define N_PEERS 500

static void use_up_the_turn(struct peer *p)
{
    (void)p;
    int64_t until_us = clock_monotonic_us() + 6000;
    while (clock_monotonic_us() < until_us) {
    }
}

/* While the first half has the one publication, the next comes: nobody loses the thread. */
static void all_slices_have_the_same_base(void **state)
{
    struct world *w = *state;
    struct peer *peers = calloc(N_PEERS, sizeof(*peers));
    struct buf expected;
    buf_init(&expected, 10000);
    assert_non_null(peers);
    for (size_t i = 0; i < N_PEERS; i++) {
        come_with_delta(&peers[i], w, "delta:a");
    }
    for (size_t round = 0; round < 4; round++) {
        peers[40 * round].on_send = use_up_the_turn;
        publish(w, "delta:a", versions[round]);
        WAIT_FOR(w, peers[40 * round].n_messages == round + 1);
        peers[40 * round].on_send = NULL;
    }
    WAIT_FOR(w, fan_out_of(w).n_messages == 4 * N_PEERS);
    for (int i = 0; i < 4; i++) {
        buf_printf(&expected, "%s\n", delta_message("delta:a", i - 1, i));
    }
    buf_append_char(&expected, '\0');
    for (size_t i = 0; i < N_PEERS; i++) {
        for (size_t at = 0; at < peers[i].received.len; at++) {
            char *c = &peers[i].received.ptr[at];
            *c = *c == '|' ? '\n' : *c;
        }
        assert_string_equal(peer_text(&peers[i]), expected.ptr);
        peer_release(&peers[i]);
    }
    buf_release(&expected);
    free(peers);
}

/* --- filters --- */

static void publish_tagged(struct world *w, const char *channel, const char *data, const char *tags,
                           struct publish_answer *answer)
{
    *answer = (struct publish_answer){.is_done = false};
    struct publish_request request = {
        .channel = str_of(channel), .data = str_of(data), .tags = str_of(tags)};
    hub_publish(w->hub, &request, publish_answered, answer);
}

static void only_what_the_filter_lets_through(void **state)
{
    struct world *w = *state;
    struct peer all;
    struct peer some;
    struct peer same;
    struct peer other;
    struct peer none;
    struct peer plain;
    struct publish_answer answers[3];
    come_with_filter(&all, w, "news", "{\"key\":\"k\",\"cmp\":\"ex\"}");
    come_with_filter(&some, w, "news", "{\"key\":\"k\",\"cmp\":\"neq\",\"val\":\"b\"}");
    come_with_filter(&same, w, "news", "{\"key\":\"k\",\"cmp\":\"neq\",\"val\":\"b\"}");
    come_with_filter(&other, w, "news", "{\"key\":\"k\",\"cmp\":\"neq\",\"val\":\"a\"}");
    come_with_filter(&none, w, "news", "{\"key\":\"k\",\"cmp\":\"nex\"}");
    come_plainly(&plain, w, "news");
    publish_tagged(w, "news", "1", "{\"k\":\"a\"}", &answers[0]);
    publish_tagged(w, "news", "2", "{\"k\":\"b\"}", &answers[1]);
    publish_tagged(w, "news", "3", "{\"k\":\"c\"}", &answers[2]);
    WAIT_FOR(w, plain.n_messages == 1);
    assert_string_equal(peer_text(&all), "news 0 1|news 0 2|news 0 3\n");
    assert_string_equal(peer_text(&some), "news 0 1|news 0 3\n");
    assert_string_equal(peer_text(&same), "news 0 1|news 0 3\n");
    assert_string_equal(peer_text(&other), "news 0 2|news 0 3\n");
    assert_string_equal(peer_text(&none), "");
    assert_string_equal(peer_text(&plain), "news 0 1|news 0 2|news 0 3\n");
    assert_int_equal(fan_out_of(w).n_messages, 3 + 2 + 2 + 2 + 0 + 3);
    assert_int_equal(fan_out_of(w).n_filtered, 0 + 1 + 1 + 1 + 3 + 0);
    publish_tagged(w, "news", "4", "", &answers[0]);
    WAIT_FOR(w, plain.n_messages == 2);
    assert_int_equal(none.n_messages, 1);
    assert_int_equal(all.n_messages, 1);
    peer_release(&all);
    peer_release(&some);
    peer_release(&same);
    peer_release(&other);
    peer_release(&none);
    peer_release(&plain);
}

/* --- messages one by one --- */

static struct wire_format single_format;
static struct client_transport single_transport;

static void come_singly(struct peer *p, struct world *w, const struct subscribe_request *request)
{
    single_format = plain_format;
    single_format.index = 5;
    single_format.joins = false;
    single_transport = plain_transport;
    single_transport.format = &single_format;
    peer_open_with(p, w, &single_transport);
    assert_int_equal(connect_with_token(p, "").status, STATUS_OK);
    peer_forget(p);
    assert_int_equal(subscribe_with(p, request).status, STATUS_OK);
}

static void one_by_one_where_a_format_does_not_join(void **state)
{
    struct world *w = *state;
    struct peer plain;
    struct peer single;
    struct peer picky;
    struct publish_answer answers[3];
    come_plainly(&plain, w, "news");
    come_singly(&single, w, &(struct subscribe_request){.channel = STR("news")});
    publish_tagged(w, "news", "1", "{\"k\":\"a\"}", &answers[0]);
    publish_tagged(w, "news", "2", "", &answers[1]);
    WAIT_FOR(w, plain.n_messages == 1 && single.n_messages == 2);
    assert_string_equal(peer_text(&single), "news 0 1\nnews 0 2\n");
    come_singly(&picky, w,
                &(struct subscribe_request){.channel = STR("news"),
                                            .tags_filter = STR("{\"key\":\"k\",\"cmp\":\"ex\"}")});
    publish_tagged(w, "news", "3", "{\"k\":\"a\"}", &answers[0]);
    publish_tagged(w, "news", "4", "", &answers[1]);
    publish_tagged(w, "news", "5", "{\"k\":\"a\"}", &answers[2]);
    WAIT_FOR(w, plain.n_messages == 2 && single.n_messages == 5 && picky.n_messages == 2);
    assert_string_equal(peer_text(&single), "news 0 1\nnews 0 2\nnews 0 3\nnews 0 4\nnews 0 5\n");
    assert_string_equal(peer_text(&picky), "news 0 3\nnews 0 5\n");
    peer_release(&plain);
    peer_release(&single);
    peer_release(&picky);
}

static void deltas_one_by_one(void **state)
{
    struct world *w = *state;
    struct peer p;
    struct publish_answer answers[3];
    struct buf expected;
    buf_init(&expected, 10000);
    come_singly(&p, w,
                &(struct subscribe_request){.channel = STR("delta:a"), .delta = STR("fossil")});
    for (int i = 0; i < 3; i++) {
        publish_start(w, "delta:a", versions[i], &answers[i]);
    }
    WAIT_FOR(w, p.n_messages == 3);
    for (int i = 0; i < 3; i++) {
        buf_printf(&expected, "%s\n", delta_message("delta:a", i - 1, i));
    }
    expect(&p, &expected);
    peer_release(&p);
}

static void leave_at_once(struct peer *p)
{
    peer_leave(p);
}

static void gone_after_the_first_of_several(void **state)
{
    struct world *w = *state;
    struct peer leaves;
    struct peer slow;
    struct peer stays;
    struct publish_answer answers[3];
    come_singly(&leaves, w, &(struct subscribe_request){.channel = STR("news")});
    come_singly(&slow, w, &(struct subscribe_request){.channel = STR("news")});
    come_singly(&stays, w, &(struct subscribe_request){.channel = STR("news")});
    leaves.on_send = leave_at_once;
    slow.room = 1;
    w->client_options.queue_max_size = 4;
    for (int i = 0; i < 3; i++) {
        publish_start(w, "news", "1", &answers[i]);
    }
    WAIT_FOR(w, stays.n_messages == 3);
    assert_int_equal(leaves.n_messages, 1);
    assert_int_equal(slow.n_messages, 1);
    assert_ptr_equal(slow.why, &disconnect_slow);
    assert_int_equal(slow.n_closes, 1);
    peer_release(&leaves);
    peer_release(&slow);
    peer_release(&stays);
}

/* --- who comes and goes --- */

static void come_and_ask(struct peer *p, struct world *w, const char *channel)
{
    come(p, w, &(struct subscribe_request){.channel = str_of(channel), .join_leave = true});
}

static size_t n_times(struct peer *p, const char *part)
{
    size_t n = 0;
    for (const char *at = strstr(peer_text(p), part); at; at = strstr(at + 1, part)) {
        n++;
    }
    return n;
}

static void told_to_who_asked(void **state)
{
    struct world *w = *state;
    struct peer asks;
    struct peer does_not;
    struct peer comes;
    struct publish_answer answer;
    come_and_ask(&asks, w, "room:a");
    WAIT_FOR(w, asks.n_messages == 1); /* its own */
    assert_int_equal(n_times(&asks, "room:a joins "), 1);
    come_plainly(&does_not, w, "room:a");
    publish_start(w, "room:a", "1", &answer);
    WAIT_FOR(w, does_not.n_messages == 1);
    come_plainly(&comes, w, "room:a");
    peer_leave(&comes);
    WAIT_FOR(w, n_times(&asks, "room:a leaves ") == 1);
    const char *text = peer_text(&asks);
    assert_int_equal(n_times(&asks, "joins"), 3);
    assert_true(strstr(text, "room:a 0 1") < strstr(text, "leaves"));
    assert_string_equal(peer_text(&does_not), "room:a 0 1\n");
    assert_int_equal(fan_out_of(w).n_messages, 2);
    peer_release(&asks);
    peer_release(&does_not);
    peer_release(&comes);
}

static void in_order_with_publications(void **state)
{
    struct world *w = *state;
    struct peer asks;
    struct peer leaves;
    struct publish_answer answers[3];
    come_and_ask(&asks, w, "room:a");
    come_plainly(&leaves, w, "room:a");
    WAIT_FOR(w, n_times(&asks, "joins") == 2);
    peer_forget(&asks);
    /* Without history a publication is delivered in the turn after it is made. */
    publish_start(w, "room:a", "1", &answers[0]);
    publish_start(w, "room:a", "2", &answers[1]);
    WAIT_FOR(w, answers[1].is_done);
    peer_leave(&leaves);
    publish_start(w, "room:a", "3", &answers[2]);
    WAIT_FOR(w, strstr(peer_text(&asks), "room:a 0 3"));
    const char *text = peer_text(&asks);
    assert_true(strstr(text, "room:a 0 2") < strstr(text, "leaves"));
    assert_true(strstr(text, "leaves") < strstr(text, "room:a 0 3"));
    peer_release(&asks);
    peer_release(&leaves);
}

/* --- conflate --- */

static void publish_numbers(struct world *w, const char *channel, int from, int to)
{
    for (int i = from; i <= to; i++) {
        char number[12];
        snprintf(number, sizeof(number), "%d", i);
        assert_int_equal(publish(w, channel, number).status, STATUS_OK);
    }
}

static void the_first_at_once_and_the_newest_later(void **state)
{
    struct world *w = *state;
    struct peer p;
    struct peer late;
    come_plainly(&p, w, "hourly:a");
    publish_numbers(w, "hourly:a", 1, 1);
    WAIT_FOR(w, p.n_messages == 1);
    publish_numbers(w, "hourly:a", 2, 9);
    come_plainly(&late, w, "hourly:a");
    assert_int_equal(p.n_messages, 1);
    assert_int_equal(fan_out_of(w).n_conflated, 7);
    assert_false(hub_is_idle(w->hub));
    hub_stop(w->hub); /* nothing is held back any more */
    WAIT_FOR(w, p.n_messages == 2);
    world_turn(w);
    assert_string_equal(peer_text(&p), "hourly:a 0 1\nhourly:a 0 9\n");
    assert_string_equal(peer_text(&late), ""); /* came after it */
    peer_release(&p);
    peer_release(&late);
}

static void the_newest_when_the_interval_is_over(void **state)
{
    struct world *w = *state;
    struct peer p;
    come_plainly(&p, w, "quick:a");
    for (int round = 0; round < 20; round++) {
        char last[20];
        publish_numbers(w, "quick:a", round * 10 + 1, round * 10 + 10);
        snprintf(last, sizeof(last), "quick:a 0 %d\n", round * 10 + 10);
        WAIT_FOR(w, strstr(peer_text(&p), last));
    }
    /* What was not delivered had a newer one in its place. */
    assert_int_equal(fan_out_of(w).n_messages + fan_out_of(w).n_conflated, 200);
    assert_int_equal(n_times(&p, "quick"), fan_out_of(w).n_messages);
    int was = 0;
    for (const char *at = peer_text(&p); *at; at = strchr(at, '\n') + 1) {
        int number = (int)strtol(at + strlen("quick:a 0 "), NULL, 10);
        assert_true(number > was);
        was = number;
    }
    peer_release(&p);
}

/* Who stays gets what was held back, wherever its place has moved to. */
static void who_leaves_meanwhile_is_not_missed(void **state)
{
    struct world *w = *state;
    enum { N = 100 };
    struct peer peers[N];
    struct peer late;
    struct publish_answer answers[2];
    for (size_t i = 0; i < N; i++) {
        come_plainly(&peers[i], w, "quick:a");
    }
    for (size_t round = 0; round < 4; round++) {
        publish_start(w, "quick:a", "1", &answers[0]);
        publish_start(w, "quick:a", "2", &answers[1]);
        WAIT_FOR(w, answers[1].is_done);
        for (size_t i = round; i < N; i += 5) {
            peer_leave(&peers[i]);
        }
        WAIT_FOR(w, strstr(peer_text(&peers[4]), "quick:a 0 2"));
        for (size_t i = 0; i < N; i++) {
            assert_true(!peers[i].client || strstr(peer_text(&peers[i]), "quick:a 0 2"));
            peer_forget(&peers[i]);
        }
    }
    come_plainly(&late, w, "quick:a");
    assert_int_equal(stats_of(w).n_subscriptions, N / 5 + 1);
    for (size_t i = 0; i < N; i++) {
        peer_release(&peers[i]);
    }
    peer_release(&late);
}

/* Events are delivered while one is held back, and then places that were left are closed: who came
 * after the held one moves to a place where somebody was who was to get it, and does not get it. */
static void places_move_under_what_is_held(void **state)
{
    struct world *w = *state;
    struct peer peers[20];
    struct peer late;
    for (size_t i = 0; i < 20; i++) {
        come_plainly(&peers[i], w, "told:a");
    }
    publish_numbers(w, "told:a", 1, 2);
    for (size_t i = 0; i < 10; i++) {
        peer_leave(&peers[i]);
    }
    come_plainly(&late, w, "told:a");
    WAIT_FOR(w, n_times(&late, "joins") == 1);
    assert_int_equal(n_times(&peers[19], "told:a 0 1"), 1);
    assert_int_equal(n_times(&peers[19], "told:a 0 2"), 0);
    hub_stop(w->hub);
    WAIT_FOR(w, n_times(&peers[19], "told:a 0 2") == 1);
    world_turn(w);
    for (size_t i = 10; i < 20; i++) {
        assert_int_equal(n_times(&peers[i], "told:a 0 2"), 1);
    }
    assert_int_equal(n_times(&late, "told:a 0 2"), 0);
    for (size_t i = 0; i < 20; i++) {
        peer_release(&peers[i]);
    }
    peer_release(&late);
}

static void a_channel_is_not_kept_for_what_is_held(void **state)
{
    struct world *w = *state;
    struct peer p;
    come_plainly(&p, w, "hourly:a");
    publish_numbers(w, "hourly:a", 1, 3);
    WAIT_FOR(w, p.n_messages == 1);
    assert_int_equal(stats_of(w).n_channels, 1);
    peer_leave(&p);
    WAIT_FOR(w, stats_of(w).n_channels == 0);
    assert_int_equal(p.n_messages, 1);
    WAIT_FOR(w, hub_is_idle(w->hub));
    peer_release(&p);
}

static void deltas_are_against_what_was_delivered(void **state)
{
    struct world *w = *state;
    struct peer p;
    struct buf expected;
    buf_init(&expected, 10000);
    come_with_delta(&p, w, "hourly:a");
    for (int i = 0; i < 4; i++) {
        publish(w, "hourly:a", versions[i]);
    }
    WAIT_FOR(w, p.n_messages == 1);
    hub_stop(w->hub);
    WAIT_FOR(w, p.n_messages == 2);
    buf_printf(&expected, "%s\n", delta_message("hourly:a", -1, 0));
    buf_printf(&expected, "%s\n", delta_message("hourly:a", 0, 3));
    expect(&p, &expected);
    peer_release(&p);
}

/* What is held back and not kept is unknown to who recovers, and what deltas are made from next. */
static void no_base_while_one_is_held(void **state)
{
    struct world *w = *state;
    struct peer there;
    struct peer back;
    come_plainly(&there, w, "quickly-kept:a");
    struct storage_position top = publish(w, "quickly-kept:a", versions[0]).position;
    WAIT_FOR(w, there.n_messages == 1);
    publish_with(w, &(struct publish_request){.channel = STR("quickly-kept:a"),
                                              .data = str_of(versions[1]),
                                              .skip_history = true});
    come(&back, w,
         &(struct subscribe_request){.channel = STR("quickly-kept:a"),
                                     .delta = STR("fossil"),
                                     .recover = true,
                                     .epoch = str_of(top.epoch),
                                     .offset = 0});
    WAIT_FOR(w, there.n_messages == 2);
    publish(w, "quickly-kept:a", versions[2]);
    WAIT_FOR(w, back.n_messages == 1);
    assert_false(is_delta(&back));
    peer_release(&there);
    peer_release(&back);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(whole_at_first_then_deltas),
        TEST(those_of_one_turn_against_each_other),
        TEST(whole_where_it_was_not_asked_for_or_would_not_be_smaller),
        TEST(deltas_go_on_after_recovery),
        TEST(deltas_go_on_where_nobody_was),
        TEST(all_slices_have_the_same_base),
        TEST(only_what_the_filter_lets_through),
        TEST(one_by_one_where_a_format_does_not_join),
        TEST(deltas_one_by_one),
        TEST(gone_after_the_first_of_several),
        TEST(told_to_who_asked),
        TEST(in_order_with_publications),
        TEST(the_first_at_once_and_the_newest_later),
        TEST(the_newest_when_the_interval_is_over),
        TEST(who_leaves_meanwhile_is_not_missed),
        TEST(places_move_under_what_is_held),
        TEST(a_channel_is_not_kept_for_what_is_held),
        TEST(deltas_are_against_what_was_delivered),
        TEST(no_base_while_one_is_held),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
