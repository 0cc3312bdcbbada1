/* SPDX-License-Identifier: MIT */
/* What is remembered of refreshes: order, size and time, limits, faults, and what a restart leaves.
 */
#include "tests/unit/storage/fixture.h"

#define MANY 3000

static void runs_append_done(struct storage_runs_append *append)
{
    *(bool *)append->arg = true;
}

static enum status try_runs(struct fixture *fx, const struct storage_run *runs, size_t n)
{
    bool done = false;
    struct storage_runs_append append = {
        .runs = runs, .n_runs = n, .done = runs_append_done, .arg = &done};
    storage_runs_append(fx->storage, &append);
    assert_false(done);
    wait_for(fx, &done);
    return append.status;
}

static void add_runs(struct fixture *fx, const struct storage_run *runs, size_t n)
{
    assert_int_equal(try_runs(fx, runs, n), STATUS_OK);
}

static struct storage_run run_of(const char *feed, const char *text)
{
    return (struct storage_run){.feed = str_of(feed),
                                .params = STR("{}"),
                                .time_ms = 1000,
                                .duration_us = 77,
                                .text = str_of(text),
                                .size = 1000,
                                .ttl_ms = HOUR_MS};
}

static void add(struct fixture *fx, const char *feed, const char *params, const char *text)
{
    struct storage_run run = run_of(feed, text);
    run.params = str_of(params);
    add_runs(fx, &run, 1);
}

static void runs_read_done(struct storage_runs_read *read)
{
    *(bool *)read->arg = true;
}

static void run_read(struct fixture *fx, struct storage_runs_read *read)
{
    bool done = false;
    read->done = runs_read_done;
    read->arg = &done;
    storage_runs_read(fx->storage, read);
    assert_false(done);
    wait_for(fx, &done);
}

/* To be released. */
static struct storage_runs_read read_runs(struct fixture *fx, const char *feed, const char *params,
                                          size_t limit)
{
    struct storage_runs_read read = {
        .feed = str_of(feed), .params = str_of(params), .limit = limit};
    run_read(fx, &read);
    assert_int_equal(read.status, STATUS_OK);
    return read;
}

static size_t n_runs(struct fixture *fx, const char *feed)
{
    struct storage_runs_read read = read_runs(fx, feed, "", SIZE_MAX);
    storage_runs_release(&read);
    assert_int_equal(read.n_runs, 0);
    assert_null(read.runs);
    read = read_runs(fx, feed, "", SIZE_MAX);
    size_t n = read.n_runs;
    storage_runs_release(&read);
    return n;
}

/* Texts, newest first, ended by NULL. */
static void check_texts(struct fixture *fx, const char *feed, const char *params,
                        const char *const *texts)
{
    struct storage_runs_read read = read_runs(fx, feed, params, 1000);
    size_t n = 0;
    for (; texts[n]; n++) {
        assert_true(n < read.n_runs);
        assert_str(read.runs[n].text, texts[n]);
    }
    assert_int_equal(read.n_runs, n);
    storage_runs_release(&read);
}

/* Many runs of one feed, numbered from first on: one batch. */
static void add_many(struct fixture *fx, const char *feed, size_t n, uint64_t size)
{
    struct storage_run *runs = calloc(n, sizeof(*runs));
    char(*texts)[24] = calloc(n, sizeof(*texts));
    assert_non_null(runs);
    assert_non_null(texts);
    for (size_t i = 0; i < n; i++) {
        snprintf(texts[i], sizeof(texts[i]), "%zu", i);
        runs[i] = run_of(feed, texts[i]);
        runs[i].size = size;
    }
    add_runs(fx, runs, n);
    free(runs);
    free(texts);
}

/* --- order and texts --- */

static void nothing_is_there_at_first(void **state)
{
    struct storage_runs_read read = read_runs(*state, "city", "", 10);
    assert_int_equal(read.n_runs, 0);
    storage_runs_release(&read);
}

static void they_come_back_as_they_were(void **state)
{
    struct fixture *fx = *state;
    struct storage_run run = {.feed = STR("city"),
                              .params = STR("{\"city\":\"K\xc3\xb6ln\"}"),
                              .time_ms = 1795424500926,
                              .duration_us = 12345678901,
                              .text = STR("{\"price\":1.10,\"id\":12345678901234567890}"),
                              .size = 10,
                              .ttl_ms = HOUR_MS};
    add_runs(fx, &run, 1);
    if (fx->durability != STORAGE_MEMORY) {
        reopen(fx);
    }
    struct storage_runs_read read = read_runs(fx, "city", "", 10);
    assert_int_equal(read.n_runs, 1);
    assert_true(str_eq(read.runs[0].feed, run.feed));
    assert_true(str_eq(read.runs[0].params, run.params));
    assert_true(str_eq(read.runs[0].text, run.text));
    assert_int_equal(read.runs[0].time_ms, run.time_ms);
    assert_int_equal(read.runs[0].duration_us, run.duration_us);
    assert_int_equal(read.runs[0].size, 0);
    assert_int_equal(read.runs[0].ttl_ms, 0);
    storage_runs_release(&read);
}

static void the_newest_of_a_feed_come_first(void **state)
{
    struct fixture *fx = *state;
    static const char *const all[] = {"4", "3", "1", NULL};
    static const char *const of_a[] = {"4", "1", NULL};
    static const char *const other[] = {"2", NULL};
    static const char *const none[] = {NULL};
    add(fx, "city", "{\"c\":\"a\"}", "1");
    add(fx, "town", "{\"c\":\"a\"}", "2");
    add(fx, "city", "{}", "3");
    add(fx, "city", "{\"c\":\"a\"}", "4");
    check_texts(fx, "city", "", all);
    check_texts(fx, "city", "{\"c\":\"a\"}", of_a);
    check_texts(fx, "town", "", other);
    check_texts(fx, "city", "{\"c\":\"b\"}", none);
    check_texts(fx, "cit", "", none);
    struct storage_runs_read read = read_runs(fx, "city", "", 2);
    assert_int_equal(read.n_runs, 2);
    assert_str(read.runs[1].text, "3");
    storage_runs_release(&read);
    assert_int_equal(read_runs(fx, "city", "", 0).n_runs, 0);
}

/* Whatever the clock said at their starts. */
static void within_a_batch_the_last_is_the_newest(void **state)
{
    struct fixture *fx = *state;
    static const char *const city[] = {"3", "1", NULL};
    struct storage_run runs[] = {run_of("city", "1"), run_of("town", "2"), run_of("city", "3")};
    runs[0].time_ms = 5000;
    add_runs(fx, runs, 3);
    check_texts(fx, "city", "", city);
    add_runs(fx, NULL, 0);
    assert_int_equal(n_runs(fx, "town"), 1);
}

static void a_read_ends_with_the_run_that_reaches_its_bytes(void **state)
{
    struct fixture *fx = *state;
    enum { BYTES = 4 + 2 + 10 }; /* feed, parameters and text */
    for (int i = 0; i < 20; i++) {
        add(fx, "city", "{}", "[1,2,3,45]");
    }
    for (size_t n = 1; n <= 20; n++) {
        struct storage_runs_read read = {
            .feed = STR("city"), .limit = 1000, .max_bytes = n * BYTES};
        run_read(fx, &read);
        assert_int_equal(read.n_runs, n);
        storage_runs_release(&read);
        read.max_bytes = n * BYTES - BYTES + 1;
        run_read(fx, &read);
        assert_int_equal(read.n_runs, n);
        storage_runs_release(&read);
    }
}

/* --- size --- */

static void only_the_newest_are_kept(void **state)
{
    struct fixture *fx = *state;
    static const char *const expected[] = {"9", "8", "7", NULL};
    for (int i = 0; i < 10; i++) {
        char text[8];
        snprintf(text, sizeof(text), "%d", i);
        struct storage_run run = run_of("city", text);
        run.size = 3;
        add_runs(fx, &run, 1);
        add(fx, "town", "{}", text);
        assert_int_equal(n_runs(fx, "city"), i < 3 ? i + 1 : 3);
    }
    check_texts(fx, "city", "", expected);
    assert_int_equal(n_runs(fx, "town"), 10);
}

static void a_batch_may_be_larger_than_what_is_kept(void **state)
{
    struct fixture *fx = *state;
    static const char *const expected[] = {"2999", "2998", NULL};
    add(fx, "city", "{}", "\"old\"");
    add_many(fx, "city", MANY, 2);
    check_texts(fx, "city", "", expected);
}

static void the_last_run_of_a_batch_says_how_many(void **state)
{
    struct fixture *fx = *state;
    struct storage_run runs[] = {run_of("city", "1"), run_of("city", "2"), run_of("town", "3"),
                                 run_of("city", "4"), run_of("town", "5")};
    static const char *const city[] = {"4", "2", NULL};
    static const char *const town[] = {"5", "3", NULL};
    runs[0].size = 1;
    runs[1].size = 50;
    runs[3].size = 2;
    runs[2].size = 1;
    add_runs(fx, runs, 5);
    check_texts(fx, "city", "", city);
    check_texts(fx, "town", "", town);
}

/* Counted anew when the file is opened; and a much smaller size is reached step by step. */
static void a_smaller_size_is_reached_by_the_next_appends(void **state)
{
    struct fixture *fx = *state;
    add_many(fx, "city", MANY, MANY);
    if (fx->durability != STORAGE_MEMORY) {
        reopen(fx);
    }
    struct storage_run run = run_of("city", "\"new\"");
    run.size = 10;
    size_t before = MANY, n_appends = 0, now;
    for (; before > 10; before = now) {
        add_runs(fx, &run, 1);
        now = n_runs(fx, "city");
        assert_true(now < before && before - now < 1000);
        n_appends++;
    }
    assert_int_equal(before, 10);
    assert_true(n_appends > 1);
}

/* --- time --- */

static void they_are_forgotten_after_their_time(void **state)
{
    struct fixture *fx = *state;
    static const char *const expected[] = {"3", "1", NULL};
    struct storage_run runs[] = {run_of("city", "1"), run_of("city", "2"), run_of("city", "3")};
    runs[1].ttl_ms = 1;
    runs[2].ttl_ms = INT64_MAX;
    add_runs(fx, runs, 3);
    while (n_runs(fx, "city") == 3) {
    }
    check_texts(fx, "city", "", expected);
    wait_for_number(fx, "SELECT count(*) FROM feed_runs", 2);
    check_texts(fx, "city", "", expected);
    /* Also when nothing else was to be removed for long. */
    add_runs(fx, &runs[1], 1);
    wait_for_number(fx, "SELECT count(*) FROM feed_runs", 2);
    check_texts(fx, "city", "", expected);
}

static void one_that_is_over_is_not_read_even_before_it_is_removed(void **state)
{
    struct fixture *fx = *state;
    add(fx, "city", "{}", "1");
    add(fx, "city", "{}", "2");
    /* The storage does not know that it is time to remove it. */
    change_file(fx, "UPDATE feed_runs SET expire_ms=1 WHERE text='2'");
    static const char *const expected[] = {"1", NULL};
    check_texts(fx, "city", "", expected);
    check_texts(fx, "city", "{}", expected);
    assert_int_equal(query_i64(fx, "SELECT count(*) FROM feed_runs"), 2);
}

/* More than are removed at a time, and what is removed counts for the size no longer. */
static void removing_them_makes_room(void **state)
{
    struct fixture *fx = *state;
    struct storage_run *runs = calloc(MANY, sizeof(*runs));
    assert_non_null(runs);
    for (size_t i = 0; i < MANY; i++) {
        runs[i] = run_of("city", "0");
        runs[i].size = MANY;
        runs[i].ttl_ms = i % 2 ? 1 : HOUR_MS;
    }
    add_runs(fx, runs, MANY);
    free(runs);
    wait_for_number(fx, "SELECT count(*) FROM feed_runs", MANY / 2);
    struct storage_run run = run_of("city", "\"new\"");
    run.size = MANY / 2 + 1;
    add_runs(fx, &run, 1);
    assert_int_equal(n_runs(fx, "city"), MANY / 2 + 1);
    add_runs(fx, &run, 1);
    assert_int_equal(n_runs(fx, "city"), MANY / 2 + 1);
}

/* --- limits and faults --- */

static void a_full_queue_refuses(void **state)
{
    struct fixture *fx = *state;
    static char text[100000];
    memset(text, '1', sizeof(text));
    fx->queue_max_size = sizeof(text);
    reopen(fx);
    struct storage_run large = run_of("city", "1");
    large.text = (struct str){text, sizeof(text)};
    assert_int_equal(try_runs(fx, &large, 1), STATUS_OVERLOADED);
    large.text.len /= 2;
    add_runs(fx, &large, 1);
    struct storage_run several[] = {large, large};
    assert_int_equal(try_runs(fx, several, 2), STATUS_OVERLOADED);
    assert_int_equal(stats_of(fx).n_overloaded, 2);
    assert_int_equal(stats_of(fx).queue_bytes, 0);
    assert_int_equal(stats_of(fx).queue_length, 0);
    assert_int_equal(n_runs(fx, "city"), 1);
}

/* Also when only one of them cannot be written; and the count of the others is not wrong then. */
static void all_are_kept_or_none(void **state)
{
    struct fixture *fx = *state;
    static const char *const expected[] = {"3", "1", NULL};
    struct storage_run runs[] = {run_of("city", "2"), run_of("city", "\"bad\""),
                                 run_of("city", "2")};
    struct storage_run good[] = {run_of("city", "1"), run_of("city", "3")};
    add_runs(fx, good, 1);
    change_file(fx, "CREATE TRIGGER fault BEFORE INSERT ON feed_runs WHEN new.text='\"bad\"'"
                    " BEGIN SELECT RAISE(FAIL, 'no'); END");
    log_set_level(LOG_NONE);
    assert_int_equal(try_runs(fx, runs, 3), STATUS_IO);
    log_set_level(LOG_WARN);
    assert_int_equal(stats_of(fx).n_failed, 1);
    assert_int_equal(stats_of(fx).queue_bytes, 0);
    assert_int_equal(n_runs(fx, "city"), 1);
    good[1].size = 2;
    add_runs(fx, &good[1], 1);
    check_texts(fx, "city", "", expected);
    good[1].size = 1;
    add_runs(fx, &good[1], 1);
    assert_int_equal(n_runs(fx, "city"), 1);
}

static void damaged_ones_are_left_out(void **state)
{
    struct fixture *fx = *state;
    static const char *const expected[] = {"4", "1", NULL};
    add(fx, "city", "{}", "1");
    add(fx, "city", "{}", "2");
    add(fx, "city", "{}", "3");
    add(fx, "city", "{}", "4");
    change_file(fx, "UPDATE feed_runs SET text='{' WHERE text='2'");
    change_file(fx, "UPDATE feed_runs SET params='{\"' WHERE text='3'");
    log_set_level(LOG_NONE);
    check_texts(fx, "city", "", expected);
    struct storage_runs_read read = read_runs(fx, "city", "", 2);
    assert_int_equal(read.n_runs, 2); /* they do not count */
    assert_str(read.runs[1].text, "1");
    storage_runs_release(&read);
    log_set_level(LOG_WARN);
}

/* Nor is it told in part: the newer one could be. */
static void what_cannot_be_read_is_an_io_error(void **state)
{
    struct fixture *fx = *state;
    add(fx, "city", "{}", "1");
    add(fx, "city", "{}", "2");
    change_file(fx, "ALTER TABLE feed_runs RENAME TO hidden;"
                    "CREATE VIEW feed_runs AS SELECT id, feed, params, time_ms, duration_us,"
                    " iif(id=1, json('{'), text) AS text, expire_ms FROM hidden");
    struct storage_runs_read read = {.feed = STR("city"), .limit = 10};
    log_set_level(LOG_NONE);
    run_read(fx, &read);
    log_set_level(LOG_WARN);
    assert_int_equal(read.status, STATUS_IO);
    assert_int_equal(read.n_runs, 0);
    assert_null(read.runs);
}

/* --- among the others --- */

static void they_share_commits_with_publications(void **state)
{
    struct fixture *fx = *state;
    struct storage_run run = run_of("city", "1");
    bool appended = false, kept = false;
    struct storage_append append = {.channel = STR("news"),
                                    .data = STR("1"),
                                    .retention = KEEP,
                                    .done = append_done,
                                    .arg = &appended};
    struct storage_runs_append runs = {
        .runs = &run, .n_runs = 1, .done = runs_append_done, .arg = &kept};
    uint64_t n_groups = stats_of(fx).n_groups;
    storage_append(fx->storage, &append);
    storage_runs_append(fx->storage, &runs);
    assert_true(stats_of(fx).queue_bytes > sizeof(runs));
    assert_int_equal(stats_of(fx).queue_length, 2);
    wait_for(fx, &kept);
    assert_true(appended); /* they are answered in their order */
    assert_int_equal(stats_of(fx).n_groups, n_groups + 1);
    assert_int_equal(stats_of(fx).queue_length, 0);
}

/* Both threads at the same time; each read sees what was acknowledged before it. */
struct race {
    struct fixture *fx;
    struct storage_run run;
    struct storage_runs_append append;
    struct storage_runs_read read;
    size_t n_added;
    size_t n_seen;
    bool is_read;
};

static void race_read_done(struct storage_runs_read *read)
{
    struct race *race = read->arg;
    assert_int_equal(read->status, STATUS_OK);
    assert_true(read->n_runs >= race->n_seen);
    race->n_seen = read->n_runs;
    storage_runs_release(read);
    race->is_read = race->n_seen == 200;
    if (!race->is_read) {
        assert_true(race->n_seen <= race->n_added + 1);
        storage_runs_read(race->fx->storage, read);
    }
}

static void race_append_done(struct storage_runs_append *append)
{
    struct race *race = append->arg;
    assert_int_equal(append->status, STATUS_OK);
    if (++race->n_added < 200) {
        storage_runs_append(race->fx->storage, append);
    }
}

static void reading_goes_on_while_they_are_written(void **state)
{
    struct fixture *fx = *state;
    struct race race = {.fx = fx, .run = run_of("city", "1")};
    race.append = (struct storage_runs_append){
        .runs = &race.run, .n_runs = 1, .done = race_append_done, .arg = &race};
    race.read = (struct storage_runs_read){
        .feed = STR("city"), .limit = 1000, .done = race_read_done, .arg = &race};
    storage_runs_append(fx->storage, &race.append);
    storage_runs_read(fx->storage, &race.read);
    wait_for(fx, &race.is_read);
    assert_int_equal(race.n_added, 200);
}

/* More feeds than the storage keeps counts of. */
static void each_of_many_feeds_has_its_own_size(void **state)
{
    enum { FEEDS = 1200 };
    struct fixture *fx = *state;
    struct storage_run *runs = calloc(FEEDS, sizeof(*runs));
    static char names[FEEDS][24];
    assert_non_null(runs);
    for (size_t i = 0; i < FEEDS; i++) {
        snprintf(names[i], sizeof(names[i]), "f%zu", i);
        runs[i] = run_of(names[i], "1");
        runs[i].size = 2;
    }
    for (int i = 0; i < 3; i++) {
        add_runs(fx, runs, FEEDS);
    }
    free(runs);
    assert_int_equal(query_i64(fx, "SELECT count(*) FROM feed_runs"), 2 * FEEDS);
}

static const enum storage_durability full = STORAGE_FULL;
static const enum storage_durability memory = STORAGE_MEMORY;

#define WITH(test, durability)                                                                     \
    {                                                                                              \
        .name = #test " (" #durability ")", .test_func = (test), .setup_func = set_up,             \
        .teardown_func = tear_down, .initial_state = (void *)&(durability)                         \
    }
#define WITH_FILE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_FILE(nothing_is_there_at_first),
        WITH_FILE(they_come_back_as_they_were),
        WITH(they_come_back_as_they_were, full),
        WITH(they_come_back_as_they_were, memory),
        WITH_FILE(the_newest_of_a_feed_come_first),
        WITH(the_newest_of_a_feed_come_first, memory),
        WITH_FILE(within_a_batch_the_last_is_the_newest),
        WITH_FILE(a_read_ends_with_the_run_that_reaches_its_bytes),
        WITH_FILE(only_the_newest_are_kept),
        WITH(only_the_newest_are_kept, memory),
        WITH_FILE(a_batch_may_be_larger_than_what_is_kept),
        WITH_FILE(the_last_run_of_a_batch_says_how_many),
        WITH_FILE(a_smaller_size_is_reached_by_the_next_appends),
        WITH(a_smaller_size_is_reached_by_the_next_appends, memory),
        WITH_FILE(they_are_forgotten_after_their_time),
        WITH_FILE(one_that_is_over_is_not_read_even_before_it_is_removed),
        WITH_FILE(removing_them_makes_room),
        WITH_FILE(a_full_queue_refuses),
        WITH_FILE(all_are_kept_or_none),
        WITH_FILE(damaged_ones_are_left_out),
        WITH_FILE(what_cannot_be_read_is_an_io_error),
        WITH_FILE(they_share_commits_with_publications),
        WITH(they_share_commits_with_publications, memory),
        WITH_FILE(reading_goes_on_while_they_are_written),
        WITH(reading_goes_on_while_they_are_written, memory),
        WITH_FILE(each_of_many_feeds_has_its_own_size),
    };
    log_set_level(LOG_WARN);
    return cmocka_run_group_tests_name("runs", tests, NULL, NULL);
}
