/* SPDX-License-Identifier: MIT */
/* The lines of the terminal view, and those for scripts. */
#include "tools/top_page.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "answers.h"
#include "tools/top_once.h"

struct setting {
    struct top_sample sample;
    struct top_page page;
};

static int begin(void **state)
{
    struct setting *s = calloc(1, sizeof(*s));
    struct top_sample first;
    assert_non_null(s);
    top_sample_init(&first, 1000000);
    assert_int_equal(top_sample_read_answer(&first, FIRST), STATUS_OK);
    assert_int_equal(top_sample_read_figures(&first, FIGURES("50", "30", "4", "6", "9", "10")),
                     STATUS_OK);
    top_sample_init(&s->sample, 3000000);
    assert_int_equal(top_sample_read_answer(&s->sample, SECOND), STATUS_OK);
    assert_int_equal(
        top_sample_read_figures(&s->sample, FIGURES("90", "31", "4", "6", "109", "110")),
        STATUS_OK);
    top_sample_compare(&s->sample, &first);
    top_sample_release(&first);
    top_page_init(&s->page);
    *state = s;
    return 0;
}

static int end(void **state)
{
    struct setting *s = *state;
    top_sample_release(&s->sample);
    top_page_release(&s->page);
    free(s);
    return 0;
}

static void write_page(struct setting *s, const struct top_sample *sample, enum top_order order,
                       size_t width)
{
    const struct top_wish wish = {.url = "http://hub:8000",
                                  .order = order,
                                  .width = width,
                                  .figures_why = "status 404",
                                  .age_s = NAN};
    assert_int_equal(top_page_write(&s->page, sample, &wish), STATUS_OK);
}

/* The line that begins so. */
static struct str line_of(const struct setting *s, const char *beginning, enum top_style *ret_style)
{
    for (size_t i = 0; i < top_page_n_lines(&s->page); i++) {
        struct str line = top_page_line(&s->page, i, ret_style);
        if (str_starts_with(line, str_of(beginning))) {
            return line;
        }
    }
    fail_msg("no line begins with \"%s\"", beginning);
    return STR_EMPTY;
}

static void assert_line(const struct setting *s, const char *expected)
{
    enum top_style style;
    struct str line = line_of(s, expected, &style);
    assert_int_equal(line.len, strlen(expected));
}

static void all_is_shown(void **state)
{
    struct setting *s = *state;
    write_page(s, &s->sample, TOP_BY_P99, 80);
    assert_line(s, "belfry 0.1.0 at http://hub:8000  up 1m04s  cpu 5.0%  memory 14.5MiB");
    assert_line(s, "connections  clients 12  users 3  subscriptions 40  channels 7");
    assert_line(s, "messages/s   in 0.5 (0B/s)  out 0 (0B/s)  published 20");
    assert_line(s, "loop lag     p50 1.00ms  p99 1.00ms  at most 1.00ms  slow clients 1");
    assert_line(s, "storage      queue 2 (4.00KiB of 64.0MiB)  commits/s 0  p99 -");
    assert_line(s, "FEED         RUNS/S     LAST      P50      P99 WATCHED  SHARED  FAILED");
    assert_line(s, "city            2.0   72.2ms   40.2ms   90.1ms       2       4       3");
    assert_line(s,
                "city/weather  closed        2.0    1.0   11.2ms   20.5ms    0  timeout 3 ok 11");
    assert_line(s, "other/events  open            0      0        -        -    0  ok 1");
}

static void styles_tell_trouble(void **state)
{
    struct setting *s = *state;
    enum top_style style;
    write_page(s, &s->sample, TOP_BY_P99, 80);
    (void)line_of(s, "city/weather", &style);
    assert_int_equal(style, TOP_WARNING); /* a call failed */
    (void)line_of(s, "city/air", &style);
    assert_int_equal(style, TOP_PLAIN);
    (void)line_of(s, "other/events", &style);
    assert_int_equal(style, TOP_ALARM); /* the breaker is open */
    (void)line_of(s, "storage", &style);
    assert_int_equal(style, TOP_PLAIN);
    s->sample.figures.queue_bytes = s->sample.figures.queue_max_bytes * 0.6;
    write_page(s, &s->sample, TOP_BY_P99, 80);
    (void)line_of(s, "storage", &style);
    assert_int_equal(style, TOP_ALARM);
}

static size_t place_of(const struct setting *s, const char *beginning)
{
    enum top_style style;
    for (size_t i = 0; i < top_page_n_lines(&s->page); i++) {
        if (str_starts_with(top_page_line(&s->page, i, &style), str_of(beginning))) {
            return i;
        }
    }
    fail_msg("no line begins with \"%s\"", beginning);
    return 0;
}

static void assert_order(struct setting *s, enum top_order order, const char *const names[3])
{
    write_page(s, &s->sample, order, 80);
    assert_true(place_of(s, names[0]) < place_of(s, names[1]));
    assert_true(place_of(s, names[1]) < place_of(s, names[2]));
}

static void upstreams_are_in_the_order_asked_for(void **state)
{
    struct setting *s = *state;
    assert_order(s, TOP_BY_P99, (const char *const[]){"city/air", "city/weather", "other/events"});
    assert_order(s, TOP_BY_FAILURES,
                 (const char *const[]){"city/weather", "city/air", "other/events"});
    assert_order(s, TOP_BY_NAME, (const char *const[]){"city/air", "city/weather", "other/events"});
    s->sample.upstreams[0].calls_per_s = 99;
    assert_order(s, TOP_BY_CALLS,
                 (const char *const[]){"other/events", "city/air", "city/weather"});
}

static void every_width_will_do(void **state)
{
    struct setting *s = *state;
    for (size_t width = 0; width < 300; width++) {
        write_page(s, &s->sample, TOP_BY_P99, width);
        assert_true(place_of(s, "city/air") > 0);
    }
}

static void long_names_are_cut(void **state)
{
    struct setting *s = *state;
    enum top_style style;
    s->sample.feeds[0].name = STR("a-name-that-is-as-long-as-the-screen-is-wide-and-wider");
    write_page(s, &s->sample, TOP_BY_P99, 80);
    struct str line = line_of(s, "a-name-that-", &style);
    assert_true(line.len <= 80);
    assert_true(str_find_text(line, STR("~")) > 0);
}

/* A terminal obeys what is no text. */
static void nothing_but_printable_letters_goes_out(void **state)
{
    struct setting *s = *state;
    struct buf out;
    s->sample.feeds[0].name = STR("a\x1b[2Jb\x7f\xc2\x9b");
    s->sample.upstreams[0].breaker = STR("\x07\n");
    s->sample.hub.version = STR("\r\x1b]0;x");
    s->sample.has_feeds = true;
    write_page(s, &s->sample, TOP_BY_P99, 80);
    for (size_t i = 0; i < s->page.text.len; i++) {
        assert_in_range(s->page.text.ptr[i], 0x20, 0x7e);
    }
    buf_init(&out, 65536);
    top_once_write(&out, &s->sample);
    assert_true(str_find_text(buf_str(&out), STR("feed name=a?[2Jb??? running=1")) >= 0);
    for (size_t i = 0; i < out.len; i++) {
        assert_true(out.ptr[i] == '\n' || (out.ptr[i] >= 0x20 && out.ptr[i] < 0x7f));
    }
    buf_release(&out);
}

static void what_is_missing_is_said(void **state)
{
    struct setting *s = *state;
    struct top_sample none;
    write_page(s, NULL, TOP_BY_P99, 80);
    assert_int_equal(top_page_n_lines(&s->page), 1);
    assert_line(s, "belfry at http://hub:8000");
    top_sample_init(&none, 0);
    assert_int_equal(
        top_sample_read_answer(&none, STR("{\"replies\":[{\"error\":{\"message\":\"a\"}"
                                          "},{\"error\":{\"message\":\"b\"}}]}")),
        STATUS_OK);
    write_page(s, &none, TOP_BY_P99, 80);
    assert_line(s, "clients: a");
    assert_line(s, "feeds: b");
    assert_line(s, "messages, loop lag and storage are not told: status 404");
    none.has_feeds = true;
    write_page(s, &none, TOP_BY_P99, 80);
    assert_line(s, "no feeds are configured");
    top_sample_release(&none);
}

static void old_figures_say_so(void **state)
{
    struct setting *s = *state;
    const struct top_wish wish = {.url = "u", .width = 80, .figures_why = "", .age_s = 75};
    assert_int_equal(top_page_write(&s->page, &s->sample, &wish), STATUS_OK);
    assert_line(s, "belfry 0.1.0 at u  up 1m04s  cpu 5.0%  memory 14.5MiB  1m15s OLD");
}

static void help_takes_the_page(void **state)
{
    struct setting *s = *state;
    write_page(s, &s->sample, TOP_BY_P99, 80);
    assert_int_equal(top_page_write_help(&s->page), STATUS_OK);
    assert_line(s, "Keys");
    assert_int_equal(s->page.n_head, 0);
}

static void scripts_get_all_figures(void **state)
{
    struct setting *s = *state;
    struct buf out;
    buf_init(&out, 65536);
    top_once_write(&out, &s->sample);
    struct str text = buf_str(&out);
    assert_true(
        str_starts_with(text, STR("hub version=0.1.0 num_clients=12 num_users=3 num_subs=40 "
                                  "num_channels=7 uptime=64 cpu=1.6 rss=15224832\nmetrics "
                                  "publications=90 messages_in=35 bytes_in=1000000 ")));
    assert_true(str_find_text(text, STR(" loop_lag_p50_ms=1 ")) > 0);
    assert_true(str_find_text(text, STR(" commit_highest_ms=1\n")) > 0);
    assert_true(str_find_text(text, STR("\nfeed name=city running=1 refreshes=14 shared=4 ")) > 0);
    assert_true(str_find_text(text, STR(" p50_ms=40.25 p90_ms=90.125 p99_ms=90.125\n")) > 0);
    assert_true(str_find_text(text, STR("\nupstream feed=city name=weather breaker=closed ")) > 0);
    assert_true(str_find_text(text, STR(" ok=10 not_modified=1 timeout=3 http_error=0 ")) > 0);
    /* what is not known is left out */
    assert_true(str_find_text(text, STR("\nupstream feed=other name=events breaker=open "
                                        "breaker_opened=2 calls=0 attempts=9 retries=1 hedges=0 "
                                        "hedges_won=0 budget_spent=0 active=1 waiting=0 ok=0 ")) >
                0);
    buf_release(&out);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(all_is_shown),
        TEST(styles_tell_trouble),
        TEST(upstreams_are_in_the_order_asked_for),
        TEST(every_width_will_do),
        TEST(long_names_are_cut),
        TEST(nothing_but_printable_letters_goes_out),
        TEST(what_is_missing_is_said),
        TEST(old_figures_say_so),
        TEST(help_takes_the_page),
        TEST(scripts_get_all_figures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
