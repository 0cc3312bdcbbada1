/* SPDX-License-Identifier: MIT */
/* What feeds remember: written with a publication or alone, read back, renewed in part, forgotten.
 */
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
    {STR("weather"), STR("{\"t\":1.10}"), 200, 11},
    {STR("air"), STR("[12345678901234567890]"), 203, 12},
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
    assert_str(read.items[1].upstream, "weather");
    assert_str(read.items[1].value, "{\"t\":1.10}");
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
    static const struct storage_feed_value fresh[] = {{STR("weather"), STR("2"), 201, 99}};
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
    };
    return cmocka_run_group_tests_name("feeds", tests, NULL, NULL);
}
