/* SPDX-License-Identifier: MIT */
/* What feeds remember: written with a publication or alone, read back, renewed in part, forgotten,
 * limited, purged. */
#include "tests/unit/storage/fixture.h"

static struct storage_append write_feed(struct fixture *fx, const char *channel,
                                        const struct storage_feed_write *feed)
{
    struct storage_append append = {
        .channel = str_of(channel), .data = feed->snapshot, .feed = feed, .retention = KEEP};
    run_append(fx, &append);
    assert_int_equal(append.status, STATUS_OK);
    return append;
}

static const struct storage_feed_value both[] = {
    {STR("weather"), STR("{\"t\":1.10}"), 200, 11, STR_EMPTY},
    {STR("air"), STR("[12345678901234567890]"), 203, 12, STR("W/\"a\"\nMon, 23 Nov")},
};

static struct storage_feed_write city(const char *params, const char *snapshot, size_t n_values)
{
    return (struct storage_feed_write){.feed = STR("city"),
                                       .params = str_of(params),
                                       .snapshot = str_of(snapshot),
                                       .completed = n_values == 2,
                                       .time_ms = 1000 + (int64_t)n_values,
                                       .values = both,
                                       .n_values = n_values};
}

static void nothing_is_kept_at_first(void **state)
{
    struct storage_feed_read read = read_feed(*state, "city", "{}");
    assert_int_equal(read.status, STATUS_NOT_FOUND);
    assert_int_equal(read.n_items, 0);
    storage_feed_read_release(&read);
}

static void results_and_publication_go_together(void **state)
{
    struct fixture *fx = *state;
    struct storage_feed_write feed = city("{\"city\":\"K\xc3\xb6ln\"}", "{\"a\":1.10}", 2);
    append_text(fx, "city:1", "0", KEEP);
    struct storage_append append = write_feed(fx, "city:1", &feed);
    assert_int_equal(append.position.offset, 2);
    if (fx->durability != STORAGE_MEMORY) {
        reopen(fx);
    }

    struct storage_feed_read read = read_feed(fx, "city", "{\"city\":\"K\xc3\xb6ln\"}");
    assert_int_equal(read.status, STATUS_OK);
    assert_str(read.snapshot, "{\"a\":1.10}");
    assert_true(read.completed);
    assert_int_equal(read.time_ms, 1002);
    assert_int_equal(read.position.offset, 2);
    assert_string_equal(read.position.epoch, append.position.epoch);
    assert_int_equal(read.n_items, 2);
    assert_str(read.items[0].upstream, "air");
    assert_str(read.items[0].value, "[12345678901234567890]");
    assert_int_equal(read.items[0].http_status, 203);
    assert_int_equal(read.items[0].time_ms, 12);
    assert_str(read.items[0].condition, "W/\"a\"\nMon, 23 Nov");
    assert_str(read.items[1].upstream, "weather");
    assert_str(read.items[1].value, "{\"t\":1.10}");
    assert_int_equal(read.items[1].condition.len, 0);
    storage_feed_read_release(&read);

    struct storage_feed_read other = read_feed(fx, "city", "{}");
    assert_int_equal(other.status, STATUS_NOT_FOUND);
    struct storage_history h = history_of(fx, "city:1", 10);
    assert_int_equal(h.n_items, 2);
    assert_str(h.items[1].data, "{\"a\":1.10}");
    storage_history_release(&h);
}

static void values_that_are_not_fresh_stay(void **state)
{
    struct fixture *fx = *state;
    struct storage_feed_write feed = city("{}", "{\"n\":1}", 2);
    write_feed(fx, "city:1", &feed);
    static const struct storage_feed_value fresh[] = {
        {STR("weather"), STR("2"), 201, 99, STR("\"w\"")}};
    feed = city("{}", "{\"n\":2}", 1);
    feed.values = fresh;
    struct storage_append second = write_feed(fx, "city:1", &feed);
    struct storage_feed_read read = read_feed(fx, "city", "{}");
    assert_str(read.snapshot, "{\"n\":2}");
    assert_false(read.completed);
    assert_int_equal(read.position.offset, second.position.offset);
    assert_int_equal(read.n_items, 2);
    assert_str(read.items[0].value, "[12345678901234567890]");
    assert_int_equal(read.items[0].time_ms, 12);
    assert_str(read.items[1].value, "2");
    assert_int_equal(read.items[1].http_status, 201);
    assert_int_equal(read.items[1].time_ms, 99);
    assert_str(read.items[0].condition, "W/\"a\"\nMon, 23 Nov");
    assert_str(read.items[1].condition, "\"w\"");
    storage_feed_read_release(&read);
}

/* One that its answer did not give is not that of an older answer. */
static void a_condition_goes_with_its_value(void **state)
{
    struct fixture *fx = *state;
    struct storage_feed_write feed = city("{}", "1", 2);
    static const struct storage_feed_value fresh[] = {{STR("air"), STR("2"), 200, 13, STR_EMPTY}};
    write_feed(fx, "", &feed);
    feed.values = fresh;
    feed.n_values = 1;
    write_feed(fx, "", &feed);
    struct storage_feed_read read = read_feed(fx, "city", "{}");
    assert_str(read.items[0].value, "2");
    assert_int_equal(read.items[0].condition.len, 0);
    storage_feed_read_release(&read);
}

/* An unchanged document is not published: its position is that of the last publication. */
static void results_alone_keep_the_position(void **state)
{
    struct fixture *fx = *state;
    struct storage_feed_write feed = city("{}", "{\"n\":1}", 0);
    struct storage_append alone = write_feed(fx, "", &feed);
    assert_int_equal(alone.position.offset, 0);
    struct storage_feed_read read = read_feed(fx, "city", "{}");
    assert_int_equal(read.status, STATUS_OK);
    assert_int_equal(read.position.offset, 0);
    assert_int_equal(read.n_items, 0);
    storage_feed_read_release(&read);

    struct storage_append published = write_feed(fx, "city:1", &feed);
    feed.time_ms = 5000;
    write_feed(fx, "", &feed);
    read = read_feed(fx, "city", "{}");
    assert_int_equal(read.time_ms, 5000);
    assert_int_equal(read.position.offset, published.position.offset);
    assert_string_equal(read.position.epoch, published.position.epoch);
    storage_feed_read_release(&read);
    assert_int_equal(position_of(fx, "city:1").offset, 1);
}

static enum status status_of_feed(struct fixture *fx, const char *params)
{
    struct storage_feed_read read = read_feed(fx, "city", params);
    storage_feed_read_release(&read);
    return read.status;
}

static void results_that_nobody_renews_are_forgotten(void **state)
{
    struct fixture *fx = *state;
    struct storage_feed_write kept = city("{}", "1", 2), lost = city("{\"c\":1}", "1", 2);
    write_feed(fx, "", &kept);
    struct storage_append append = {.feed = &lost, .retention = {1, 1, 1}};
    run_append(fx, &append);
    assert_int_equal(append.status, STATUS_OK);
    while (status_of_feed(fx, "{\"c\":1}") != STATUS_NOT_FOUND) {
    }
    while (query_i64(fx, "SELECT count(*) FROM feed_snapshots") != 1) {
        assert_int_equal(status_of_feed(fx, "{}"), STATUS_OK);
    }
    assert_int_equal(query_i64(fx, "SELECT count(*) FROM feed_values"), 2);
    struct storage_feed_read read = read_feed(fx, "city", "{}");
    assert_int_equal(read.n_items, 2);
    storage_feed_read_release(&read);
}

/* --- as many snapshots as a feed may have --- */

static enum status write_limited(struct fixture *fx, const char *feed_name, int number,
                                 int64_t time_ms, uint64_t limit)
{
    char params[32];
    snprintf(params, sizeof(params), "{\"c\":%d}", number);
    struct storage_feed_write feed = city(params, "1", 2);
    feed.feed = str_of(feed_name);
    feed.time_ms = time_ms;
    feed.snapshot_limit = limit;
    struct storage_append append = {.feed = &feed, .retention = KEEP};
    run_append(fx, &append);
    return append.status;
}

static void add_limited(struct fixture *fx, int number, int64_t time_ms, uint64_t limit)
{
    assert_int_equal(write_limited(fx, "city", number, time_ms, limit), STATUS_OK);
}

static bool is_kept_of(struct fixture *fx, const char *feed, int number)
{
    char params[32];
    snprintf(params, sizeof(params), "{\"c\":%d}", number);
    struct storage_feed_read read = read_feed(fx, feed, params);
    assert_true(read.status == STATUS_OK || read.status == STATUS_NOT_FOUND);
    assert_int_equal(read.n_items, read.status == STATUS_OK ? 2 : 0);
    storage_feed_read_release(&read);
    return read.status == STATUS_OK;
}

static bool is_kept(struct fixture *fx, int number)
{
    return is_kept_of(fx, "city", number);
}

static void a_new_one_beyond_the_limit_makes_the_oldest_go(void **state)
{
    struct fixture *fx = *state;
    assert_int_equal(write_limited(fx, "town", 1, 1, 3), STATUS_OK);
    add_limited(fx, 1, 500, 3);
    add_limited(fx, 2, 300, 3);
    add_limited(fx, 3, 400, 3);
    add_limited(fx, 1, 600, 3); /* one that is there is not one more */
    assert_true(is_kept(fx, 1) && is_kept(fx, 2) && is_kept(fx, 3));
    add_limited(fx, 4, 700, 3);
    assert_false(is_kept(fx, 2));
    add_limited(fx, 3, 800, 3);
    add_limited(fx, 5, 900, 3);
    assert_false(is_kept(fx, 1));
    assert_true(is_kept(fx, 3) && is_kept(fx, 4) && is_kept(fx, 5));
    assert_true(is_kept_of(fx, "town", 1));
    assert_int_equal(stats_of(fx).n_feed_snapshots, 4);
    if (fx->durability != STORAGE_MEMORY) {
        assert_int_equal(query_i64(fx, "SELECT count(*) FROM feed_snapshots"), 4);
        assert_int_equal(query_i64(fx, "SELECT count(*) FROM feed_values"), 8);
    }
}

/* Its time is that of a clock that may have been put back. */
static void what_was_just_written_stays(void **state)
{
    struct fixture *fx = *state;
    add_limited(fx, 1, 500, 1);
    add_limited(fx, 2, 100, 1);
    assert_true(is_kept(fx, 2));
    assert_false(is_kept(fx, 1));
    add_limited(fx, 2, 50, 1);
    assert_true(is_kept(fx, 2));
}

static void a_smaller_limit_holds_for_what_is_there(void **state)
{
    struct fixture *fx = *state;
    for (int i = 0; i < 10; i++) {
        add_limited(fx, i, 100 + i, 0);
    }
    assert_int_equal(stats_of(fx).n_feed_snapshots, 10);
    reopen(fx);
    assert_int_equal(stats_of(fx).n_feed_snapshots, 10);
    add_limited(fx, 0, 200, 3);
    assert_true(is_kept(fx, 0) && is_kept(fx, 8) && is_kept(fx, 9));
    assert_int_equal(stats_of(fx).n_feed_snapshots, 3);
}

static void count_done(struct storage_append *append)
{
    assert_int_equal(append->status, STATUS_OK);
    ++*(int *)append->arg;
}

static void a_group_may_go_far_beyond_the_limit(void **state)
{
    enum { N = 1000 };
    struct fixture *fx = *state;
    struct storage_append *appends = calloc(N, sizeof(*appends));
    struct storage_feed_write *feeds = calloc(N, sizeof(*feeds));
    char(*params)[32] = calloc(N, sizeof(*params));
    int n_done = 0;
    assert_true(appends && feeds && params);
    for (int i = 0; i < N; i++) {
        snprintf(params[i], sizeof(params[i]), "{\"c\":%d}", i);
        feeds[i] = city(params[i], "1", 2);
        feeds[i].time_ms = i;
        feeds[i].snapshot_limit = 2;
        appends[i] = (struct storage_append){
            .feed = &feeds[i], .retention = KEEP, .done = count_done, .arg = &n_done};
        storage_append(fx->storage, &appends[i]);
    }
    while (n_done < N) {
        turn(fx);
    }
    assert_true(is_kept(fx, N - 1) && is_kept(fx, N - 2));
    assert_int_equal(stats_of(fx).n_feed_snapshots, 2);
    free(appends);
    free(feeds);
    free(params);
}

static void a_failed_write_counts_for_nothing(void **state)
{
    struct fixture *fx = *state;
    add_limited(fx, 1, 100, 2);
    change_file(fx, "CREATE TRIGGER fault BEFORE INSERT ON feed_snapshots"
                    " WHEN new.params='{\"c\":2}' BEGIN SELECT RAISE(FAIL, 'no'); END");
    log_set_level(LOG_NONE);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(write_limited(fx, "city", 2, 200, 2), STATUS_IO);
    }
    log_set_level(LOG_INFO);
    assert_int_equal(stats_of(fx).n_feed_snapshots, 1);
    add_limited(fx, 3, 300, 2);
    assert_true(is_kept(fx, 1) && is_kept(fx, 3));
    assert_int_equal(stats_of(fx).n_feed_snapshots, 2);
}

static void what_is_over_counts_for_nothing(void **state)
{
    struct fixture *fx = *state;
    struct storage_feed_write brief = city("{\"c\":1}", "1", 2);
    brief.time_ms = 999;
    struct storage_append append = {.feed = &brief, .retention = {1, 1, 1}};
    add_limited(fx, 2, 100, 0);
    run_append(fx, &append);
    assert_int_equal(append.status, STATUS_OK);
    wait_for_number(fx, "SELECT count(*) FROM feed_snapshots", 1);
    assert_int_equal(stats_of(fx).n_feed_snapshots, 1);
    add_limited(fx, 3, 300, 2);
    assert_true(is_kept(fx, 2) && is_kept(fx, 3));
}

static void a_long_condition_counts_for_the_queue(void **state)
{
    struct fixture *fx = *state;
    static char text[20000];
    memset(text, 'e', sizeof(text));
    struct storage_feed_value value = {STR("air"), STR("1"), 200, 1, {text, sizeof(text)}};
    struct storage_feed_write feed = city("{}", "1", 1);
    struct storage_append append = {.feed = &feed, .retention = KEEP};
    feed.values = &value;
    fx->queue_max_size = sizeof(text);
    reopen(fx);
    run_append(fx, &append);
    assert_int_equal(append.status, STATUS_OVERLOADED);
    value.condition.len /= 2;
    run_append(fx, &append);
    assert_int_equal(append.status, STATUS_OK);
}

/* --- purging --- */

static void purge_done(struct storage_feed_purge *purge)
{
    *(bool *)purge->arg = true;
}

static struct storage_feed_purge try_purge(struct fixture *fx, const char *feed, const char *params)
{
    bool done = false;
    struct storage_feed_purge purge = {.feed = str_of(feed),
                                       .params = str_of(params),
                                       .done = purge_done,
                                       .arg = &done,
                                       .n_removed = 77};
    storage_feed_purge(fx->storage, &purge);
    assert_false(done);
    wait_for(fx, &done);
    return purge;
}

static uint64_t purge(struct fixture *fx, const char *feed, const char *params)
{
    struct storage_feed_purge purge = try_purge(fx, feed, params);
    assert_int_equal(purge.status, STATUS_OK);
    return purge.n_removed;
}

static void one_is_purged(void **state)
{
    struct fixture *fx = *state;
    add_limited(fx, 1, 100, 2);
    add_limited(fx, 2, 100, 2);
    assert_int_equal(write_limited(fx, "town", 1, 100, 2), STATUS_OK);
    assert_int_equal(purge(fx, "city", "{\"c\":1}"), 1);
    assert_int_equal(purge(fx, "city", "{\"c\":1}"), 0);
    assert_false(is_kept(fx, 1));
    assert_true(is_kept(fx, 2) && is_kept_of(fx, "town", 1));
    assert_int_equal(stats_of(fx).n_feed_snapshots, 2);
    add_limited(fx, 3, 100, 2); /* there is room again */
    assert_true(is_kept(fx, 2) && is_kept(fx, 3));
    if (fx->durability != STORAGE_MEMORY) {
        reopen(fx);
        assert_false(is_kept(fx, 1));
        assert_int_equal(query_i64(fx, "SELECT count(*) FROM feed_values"), 6);
    }
}

/* Some hundred at a time, until there are no more. */
static void all_of_a_feed_are_purged(void **state)
{
    struct fixture *fx = *state;
    uint64_t n_removed = 0, n;
    size_t n_calls = 0;
    for (int i = 0; i < 1000; i++) {
        add_limited(fx, i, i, 0);
    }
    assert_int_equal(write_limited(fx, "town", 1, 100, 0), STATUS_OK);
    while ((n = purge(fx, "city", "")) > 0) {
        assert_true(n < 1000);
        n_removed += n;
        n_calls++;
    }
    assert_int_equal(n_removed, 1000);
    assert_true(n_calls > 1);
    assert_true(is_kept_of(fx, "town", 1));
    assert_int_equal(stats_of(fx).n_feed_snapshots, 1);
    assert_int_equal(query_i64(fx, "SELECT count(*) FROM feed_snapshots"), 1);
    assert_int_equal(query_i64(fx, "SELECT count(*) FROM feed_values"), 2);
}

static void purging_leaves_publications_and_runs(void **state)
{
    struct fixture *fx = *state;
    struct storage_feed_write feed = city("{}", "1", 2);
    write_feed(fx, "city:1", &feed);
    change_file(fx, "INSERT INTO feed_runs(feed, params, time_ms, duration_us, text, expire_ms)"
                    " VALUES('city', '{}', 1, 1, '{}', 9223372036854775807)");
    assert_int_equal(purge(fx, "city", "{}"), 1);
    assert_int_equal(purge(fx, "city", ""), 0);
    assert_int_equal(query_i64(fx, "SELECT count(*) FROM feed_runs"), 1);
    assert_int_equal(position_of(fx, "city:1").offset, 1);
    /* It begins as if there had never been one. */
    feed.n_values = 0;
    write_feed(fx, "", &feed);
    struct storage_feed_read read = read_feed(fx, "city", "{}");
    assert_int_equal(read.position.offset, 0);
    assert_int_equal(read.n_items, 0);
    storage_feed_read_release(&read);
}

/* Between two writes that are started with it. */
static void purging_is_done_in_its_turn(void **state)
{
    struct fixture *fx = *state;
    struct storage_feed_write feeds[] = {city("{\"c\":1}", "1", 2), city("{\"c\":2}", "1", 2)};
    struct storage_append appends[2];
    int n_done = 0;
    bool is_purged = false;
    struct storage_feed_purge purge = {.feed = STR("city"), .done = purge_done, .arg = &is_purged};
    for (int i = 0; i < 2; i++) {
        appends[i] = (struct storage_append){
            .feed = &feeds[i], .retention = KEEP, .done = count_done, .arg = &n_done};
    }
    storage_append(fx->storage, &appends[0]);
    storage_feed_purge(fx->storage, &purge);
    storage_append(fx->storage, &appends[1]);
    while (n_done < 2) {
        turn(fx);
    }
    assert_true(is_purged);
    assert_int_equal(purge.n_removed, 1);
    assert_false(is_kept(fx, 1));
    assert_true(is_kept(fx, 2));
}

static void a_failed_purge_leaves_everything(void **state)
{
    struct fixture *fx = *state;
    add_limited(fx, 1, 100, 1);
    change_file(fx, "CREATE TRIGGER fault BEFORE DELETE ON feed_snapshots"
                    " BEGIN SELECT RAISE(FAIL, 'no'); END");
    log_set_level(LOG_NONE);
    struct storage_feed_purge purge = try_purge(fx, "city", "{\"c\":1}");
    log_set_level(LOG_INFO);
    assert_int_equal(purge.status, STATUS_IO);
    assert_int_equal(purge.n_removed, 0);
    assert_int_equal(stats_of(fx).n_failed, 1);
    assert_int_equal(stats_of(fx).n_feed_snapshots, 1);
    assert_true(is_kept(fx, 1));
}

/* More than are removed at a time, and once more when nothing was to be removed for long. */
static void many_that_are_over_go(void **state)
{
    enum { N = 500 };
    struct fixture *fx = *state;
    char params[32] = "";
    struct storage_feed_write brief = city(params, "1", 2);
    struct storage_append append = {.feed = &brief, .retention = {1, 1, 1}};
    add_limited(fx, N, 100, 0);
    for (int i = 0; i < N; i++) {
        brief.params.len = (size_t)snprintf(params, sizeof(params), "{\"c\":%d}", i);
        run_append(fx, &append);
        assert_int_equal(append.status, STATUS_OK);
    }
    wait_for_number(fx, "SELECT count(*) FROM feed_snapshots", 1);
    run_append(fx, &append);
    wait_for_number(fx, "SELECT count(*) FROM feed_snapshots", 1);
    assert_int_equal(query_i64(fx, "SELECT count(*) FROM feed_values"), 2);
    assert_int_equal(stats_of(fx).n_feed_snapshots, 1);
    assert_true(is_kept(fx, N));
}

static enum storage_durability normal = STORAGE_NORMAL;
static enum storage_durability memory = STORAGE_MEMORY;

#define ON(test, durability)                                                                       \
    {                                                                                              \
#test " (" #durability ")", test, set_up, tear_down, &durability                           \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON(nothing_is_kept_at_first, normal),
        ON(nothing_is_kept_at_first, memory),
        ON(results_and_publication_go_together, normal),
        ON(results_and_publication_go_together, memory),
        ON(values_that_are_not_fresh_stay, normal),
        ON(results_alone_keep_the_position, normal),
        ON(results_that_nobody_renews_are_forgotten, normal),
        ON(a_condition_goes_with_its_value, normal),
        ON(a_condition_goes_with_its_value, memory),
        ON(a_new_one_beyond_the_limit_makes_the_oldest_go, normal),
        ON(a_new_one_beyond_the_limit_makes_the_oldest_go, memory),
        ON(what_was_just_written_stays, normal),
        ON(a_smaller_limit_holds_for_what_is_there, normal),
        ON(a_group_may_go_far_beyond_the_limit, normal),
        ON(a_failed_write_counts_for_nothing, normal),
        ON(what_is_over_counts_for_nothing, normal),
        ON(many_that_are_over_go, normal),
        ON(a_long_condition_counts_for_the_queue, normal),
        ON(one_is_purged, normal),
        ON(one_is_purged, memory),
        ON(all_of_a_feed_are_purged, normal),
        ON(purging_leaves_publications_and_runs, normal),
        ON(purging_is_done_in_its_turn, normal),
        ON(purging_is_done_in_its_turn, memory),
        ON(a_failed_purge_leaves_everything, normal),
    };
    return cmocka_run_group_tests_name("feeds", tests, NULL, NULL);
}
