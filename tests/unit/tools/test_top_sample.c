/* SPDX-License-Identifier: MIT */
/* What is read out of a hub's answers, and what has changed between two of them. */
#include "tools/top_sample.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "answers.h"

#define assert_figure(a, b)  assert_float_equal(a, b, 1e-9)
#define assert_unknown(a)    assert_true(isnan(a))
#define assert_text(a, text) assert_true(str_eq(a, STR(text)))

static struct top_sample sample_of(struct str answer, int64_t time_us)
{
    struct top_sample sample;
    top_sample_init(&sample, time_us);
    assert_int_equal(top_sample_read_answer(&sample, answer), STATUS_OK);
    return sample;
}

static struct top_sample full_sample_of(struct str answer, struct str figures, int64_t time_us)
{
    struct top_sample sample = sample_of(answer, time_us);
    assert_int_equal(top_sample_read_figures(&sample, figures), STATUS_OK);
    return sample;
}

static void an_empty_sample_tells_nothing(void **state)
{
    struct top_sample sample;
    (void)state;
    top_sample_init(&sample, 5);
    assert_false(sample.has_hub || sample.has_feeds || sample.has_figures);
    assert_unknown(sample.hub.n_clients);
    assert_unknown(sample.figures.publications);
    assert_unknown(sample.rates.publications);
    assert_unknown(sample.rates.loop_lag.p99);
    top_sample_release(&sample);
}

static void info_is_read(void **state)
{
    struct top_sample sample = sample_of(FIRST, 0);
    (void)state;
    assert_true(sample.has_hub);
    assert_text(sample.hub.version, "0.1.0");
    assert_figure(sample.hub.n_clients, 12);
    assert_figure(sample.hub.n_users, 3);
    assert_figure(sample.hub.n_subscriptions, 40);
    assert_figure(sample.hub.n_channels, 7);
    assert_figure(sample.hub.uptime_s, 62);
    assert_figure(sample.hub.cpu_s, 1.5);
    assert_figure(sample.hub.memory_bytes, 15224832);
    top_sample_release(&sample);
}

static void feeds_are_read(void **state)
{
    struct top_sample sample = sample_of(FIRST, 0);
    const struct top_feed *city = &sample.feeds[0];
    (void)state;
    assert_true(sample.has_feeds);
    assert_int_equal(sample.n_feeds, 2);
    assert_text(city->name, "city");
    assert_figure(city->running, 1);
    assert_figure(city->refreshes, 10);
    assert_figure(city->shared, 4);
    assert_figure(city->changed, 5);
    assert_figure(city->incomplete, 2);
    assert_figure(city->failed, 3);
    assert_figure(city->scheduled, 6);
    assert_figure(city->not_modified, 1);
    assert_figure(city->watched, 2);
    assert_figure(city->last_time, 1795439279673.0);
    assert_figure(city->last_duration_ms, 72.162);
    /* those of its slowest upstream */
    assert_figure(city->p50_ms, 40.25);
    assert_figure(city->p99_ms, 90.125);
    assert_text(sample.feeds[1].name, "other");
    assert_unknown(sample.feeds[1].p99_ms);
    top_sample_release(&sample);
}

static void upstreams_are_read(void **state)
{
    struct top_sample sample = sample_of(FIRST, 0);
    const struct top_upstream *weather = &sample.upstreams[0];
    (void)state;
    assert_int_equal(sample.n_upstreams, 3);
    assert_text(weather->feed, "city");
    assert_text(weather->name, "weather");
    assert_text(weather->breaker, "closed");
    assert_figure(weather->breaker_opened, 2);
    assert_figure(weather->calls, 10);
    assert_figure(weather->attempts, 9);
    assert_figure(weather->retries, 1);
    assert_figure(weather->active, 1);
    assert_figure(weather->p50_ms, 11.2);
    assert_figure(weather->p90_ms, 20.5);
    assert_figure(weather->outcomes[UPSTREAM_OK], 8);
    assert_figure(weather->outcomes[UPSTREAM_NOT_MODIFIED], 1);
    assert_figure(top_upstream_failures(weather), 1);
    assert_text(sample.upstreams[2].feed, "other");
    assert_text(sample.upstreams[2].breaker, "open");
    assert_unknown(sample.upstreams[2].p50_ms);
    top_sample_release(&sample);
}

/* The text of the answer may go: the sample has one of its own. */
static void the_answer_is_copied(void **state)
{
    char text[4096];
    struct str first = FIRST;
    (void)state;
    assert_true(first.len < sizeof(text));
    memcpy(text, first.ptr, first.len);
    struct top_sample sample = sample_of((struct str){text, first.len}, 0);
    memset(text, 'x', sizeof(text));
    assert_text(sample.feeds[0].name, "city");
    assert_text(sample.upstreams[1].breaker, "half_open");
    top_sample_release(&sample);
}

static void what_a_key_is_not_for_is_refused(void **state)
{
    struct top_sample sample = sample_of(
        STR("{\"replies\":[{\"error\":{\"code\":103,\"message\":\"permission denied: x\"}},"
            "{\"error\":{}}]}"),
        0);
    (void)state;
    assert_false(sample.has_hub || sample.has_feeds);
    assert_text(sample.hub_refused, "permission denied: x");
    assert_text(sample.feeds_refused, "not told by the hub");
    assert_unknown(sample.hub.n_clients);
    assert_int_equal(sample.n_feeds, 0);
    top_sample_release(&sample);
}

static void other_answers_are_refused(void **state)
{
    static const char *const texts[] = {
        "",
        "hello",
        "[]",
        "{\"replies\":[]}",
        "{\"replies\":{\"info\":{}}}",
        "{\"replies\":[{\"info\":{}},{\"feeds\":{\"feeds\":[]}}]}",
        "{\"replies\":[{\"info\":{\"nodes\":[]}},{\"feeds\":{\"feeds\":[]}}]}",
        "{\"replies\":[{\"info\":{\"nodes\":[{}]}}]}",
        "{\"replies\":[{\"info\":{\"nodes\":[{}]}},{\"feeds\":{}}]}",
        "{\"replies\":[{\"info\":{\"nodes\":[{}]}},{\"feeds\":{\"feeds\":7}}]}",
        "{\"replies\":[{\"info\":{\"nodes\":[{}]}},{\"feeds\":{\"feeds\":[]}}]",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct top_sample sample;
        top_sample_init(&sample, 0);
        assert_int_equal(top_sample_read_answer(&sample, str_of(texts[i])), STATUS_INVALID);
        top_sample_release(&sample);
    }
}

/* Whatever stands where a figure is expected. */
static void what_is_no_figure_is_unknown(void **state)
{
    struct top_sample sample = sample_of(
        STR("{\"replies\":[{\"info\":{\"nodes\":[{\"version\":7,\"num_clients\":\"12\","
            "\"num_users\":null,\"num_subs\":[1],\"num_channels\":"
            "1000000000000000000000000000000000000000000000000000000000000000000000,"
            "\"process\":3}]}},{\"feeds\":{\"feeds\":[7,{\"name\":\"\",\"upstreams\":[7,{}],"
            "\"state\":7},{\"upstreams\":7}]}}]}"),
        0);
    (void)state;
    assert_int_equal(sample.hub.version.len, 0);
    assert_unknown(sample.hub.n_clients);
    assert_unknown(sample.hub.n_users);
    assert_unknown(sample.hub.n_subscriptions);
    assert_unknown(sample.hub.n_channels);
    assert_unknown(sample.hub.memory_bytes);
    assert_int_equal(sample.n_feeds, 3);
    assert_int_equal(sample.n_upstreams, 2);
    assert_unknown(sample.feeds[1].refreshes);
    assert_unknown(sample.upstreams[1].calls);
    top_sample_release(&sample);
}

/* --- /metrics --- */

static void figures_are_read(void **state)
{
    struct top_sample sample = full_sample_of(FIRST, FIGURES("50", "30", "4", "6", "9", "10"), 0);
    const struct top_figures *f = &sample.figures;
    (void)state;
    assert_true(sample.has_figures);
    assert_figure(f->publications, 50);
    assert_figure(f->messages_out, 120); /* of all types */
    assert_figure(f->messages_in, 34);   /* over all transports */
    assert_figure(f->bytes_in, 1e6);
    assert_figure(f->bytes_out, 2000);
    assert_figure(f->slow_clients, 1);
    assert_figure(f->commits, 7);
    assert_figure(f->queue_length, 2);
    assert_figure(f->queue_bytes, 4096);
    assert_figure(f->queue_max_bytes, 67108864);
    assert_int_equal(f->loop_lag.n_buckets, 3);
    assert_figure(f->loop_lag.bounds[1], 0.001);
    assert_true(isinf(f->loop_lag.bounds[2]));
    assert_figure(f->loop_lag.counts[1], 9);
    top_sample_release(&sample);
}

static void other_texts_are_no_figures(void **state)
{
    static const char *const texts[] = {
        "",
        "<html>\n",
        "up 1\n",
        "belfry_node_build{version=\"1\"}\n",
        "belfry_node_build{version=\"1\" 1\n",
        "belfry_node_build{version=\"1\"} one\n",
        "belfry_node_build{version=\"1\"} 1\nbelfry_publications_total\n",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct top_sample sample;
        top_sample_init(&sample, 0);
        assert_int_equal(top_sample_read_figures(&sample, str_of(texts[i])), STATUS_INVALID);
        assert_false(sample.has_figures);
        assert_unknown(sample.figures.publications);
        top_sample_release(&sample);
    }
}

static void more_buckets_than_there_is_room_for_are_left_out(void **state)
{
    char text[16384] = "belfry_node_build{version=\"1\"} 1";
    size_t len = strlen(text);
    struct top_sample sample;
    (void)state;
    for (int i = 0; i < TOP_BUCKETS_MAX + 10; i++) {
        len += (size_t)snprintf(text + len, sizeof(text) - len,
                                "\nbelfry_loop_lag_seconds_bucket{le=\"%d\"} %d", i, i);
    }
    top_sample_init(&sample, 0);
    assert_int_equal(top_sample_read_figures(&sample, (struct str){text, len}), STATUS_OK);
    assert_int_equal(sample.figures.loop_lag.n_buckets, TOP_BUCKETS_MAX);
    top_sample_release(&sample);
}

/* --- from one to the next --- */

static void rates_are_differences(void **state)
{
    struct top_sample first =
        full_sample_of(FIRST, FIGURES("50", "30", "4", "6", "9", "10"), 1000000);
    struct top_sample second =
        full_sample_of(SECOND, FIGURES("90", "31", "4", "6", "109", "110"), 3000000);
    (void)state;
    top_sample_compare(&first, NULL);
    assert_unknown(first.rates.publications);
    assert_unknown(first.feeds[0].refreshes_per_s);
    top_sample_compare(&second, &first);
    assert_figure(second.rates.publications, 20);
    assert_figure(second.rates.messages_in, 0.5);
    assert_figure(second.rates.messages_out, 0);
    assert_figure(second.rates.cpu_percent, 5);
    /* a hundred turns between 10 microseconds and a millisecond, none before and behind */
    assert_figure(second.rates.loop_lag.p50, 0.001);
    assert_figure(second.rates.loop_lag.highest, 0.001);
    assert_unknown(second.rates.commit_time.p99); /* there was none */
    top_sample_release(&first);
    top_sample_release(&second);
}

/* By their names, wherever they stand. */
static void feeds_and_upstreams_are_found_again(void **state)
{
    struct top_sample first = sample_of(FIRST, 1000000);
    struct top_sample second = sample_of(SECOND, 3000000);
    (void)state;
    top_sample_compare(&second, &first);
    assert_text(second.feeds[0].name, "new");
    assert_unknown(second.feeds[0].refreshes_per_s);
    assert_figure(second.feeds[1].refreshes_per_s, 0.5);
    assert_figure(second.feeds[2].refreshes_per_s, 2);
    assert_text(second.upstreams[1].name, "weather");
    assert_figure(second.upstreams[1].calls_per_s, 2);
    assert_figure(second.upstreams[1].failures_per_s, 1);
    assert_figure(second.upstreams[2].failures_per_s, 0);
    top_sample_release(&first);
    top_sample_release(&second);
}

static void a_hub_that_was_started_anew_has_no_rates(void **state)
{
    struct top_sample second =
        full_sample_of(SECOND, FIGURES("90", "31", "4", "6", "9", "10"), 3000000);
    struct top_sample again =
        full_sample_of(FIRST, FIGURES("99", "99", "9", "9", "9", "99"), 4000000);
    (void)state;
    top_sample_compare(&again, &second); /* its uptime is less */
    assert_unknown(again.rates.publications);
    assert_unknown(again.feeds[0].refreshes_per_s);
    assert_unknown(again.upstreams[0].calls_per_s);
    top_sample_release(&second);
    top_sample_release(&again);
}

static void a_counter_that_goes_down_has_no_rate(void **state)
{
    struct top_sample first =
        full_sample_of(FIRST, FIGURES("50", "30", "4", "6", "9", "10"), 1000000);
    struct top_sample second =
        full_sample_of(SECOND, FIGURES("49", "31", "4", "6", "9", "10"), 3000000);
    (void)state;
    top_sample_compare(&second, &first);
    assert_unknown(second.rates.publications);
    assert_figure(second.rates.messages_in, 0.5);
    top_sample_release(&first);
    top_sample_release(&second);
}

static void without_figures_the_rest_has_its_rates(void **state)
{
    struct top_sample first = sample_of(FIRST, 1000000);
    struct top_sample second =
        full_sample_of(SECOND, FIGURES("49", "31", "4", "6", "9", "10"), 3000000);
    (void)state;
    top_sample_compare(&second, &first);
    assert_unknown(second.rates.publications);
    assert_unknown(second.rates.loop_lag.p50);
    assert_figure(second.feeds[2].refreshes_per_s, 2);
    top_sample_release(&first);
    top_sample_release(&second);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_sample_tells_nothing),
        cmocka_unit_test(info_is_read),
        cmocka_unit_test(feeds_are_read),
        cmocka_unit_test(upstreams_are_read),
        cmocka_unit_test(the_answer_is_copied),
        cmocka_unit_test(what_a_key_is_not_for_is_refused),
        cmocka_unit_test(other_answers_are_refused),
        cmocka_unit_test(what_is_no_figure_is_unknown),
        cmocka_unit_test(figures_are_read),
        cmocka_unit_test(other_texts_are_no_figures),
        cmocka_unit_test(more_buckets_than_there_is_room_for_are_left_out),
        cmocka_unit_test(rates_are_differences),
        cmocka_unit_test(feeds_and_upstreams_are_found_again),
        cmocka_unit_test(a_hub_that_was_started_anew_has_no_rates),
        cmocka_unit_test(a_counter_that_goes_down_has_no_rate),
        cmocka_unit_test(without_figures_the_rest_has_its_rates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
