/* SPDX-License-Identifier: MIT */
/* More streams than are to be kept. */
#include "tests/unit/storage/fixture.h"

static void open_with_limit(struct fixture *fx, uint64_t limit)
{
    if (fx->storage) {
        close_storage(fx);
    }
    fx->stream_limit = limit;
    open_storage(fx);
}

/* meta_ttl_ms decides which one would be forgotten first. */
static struct storage_position touch(struct fixture *fx, const char *channel, int64_t hours)
{
    struct storage_history h = {
        .channel = str_of(channel), .retention = {10, HOUR_MS, hours * HOUR_MS}, .limit = 0};
    run_history(fx, &h);
    storage_history_release(&h);
    return h.top;
}

static void the_unpublished_make_room(void **state)
{
    struct fixture *fx = *state;
    open_with_limit(fx, 3);
    struct storage_position late = touch(fx, "late", 9);
    struct storage_position soon = touch(fx, "soon", 1);
    struct storage_append published = append_text(fx, "published", "1", KEEP);
    assert_int_equal(stats_of(fx).n_streams, 3);

    touch(fx, "newer", 5);
    assert_int_equal(stats_of(fx).n_streams, 3);
    assert_string_equal(touch(fx, "late", 9).epoch, late.epoch);
    assert_string_equal(position_of(fx, "published").epoch, published.position.epoch);
    assert_int_equal(append_text(fx, "soon", "1", KEEP).position.offset, 1);
    assert_string_not_equal(position_of(fx, "soon").epoch, soon.epoch);
    assert_int_equal(stats_of(fx).n_streams, 3);
    if (fx->durability != STORAGE_MEMORY) {
        assert_int_equal(query_i64(fx, "SELECT count(*) FROM streams"), 3);
        assert_int_equal(query_i64(fx, "SELECT count(*) FROM streams WHERE channel='newer'"), 0);
    }
    assert_int_equal(stats_of(fx).n_overloaded, 0);
}

static void overloaded(struct storage_history *history)
{
    assert_int_equal(history->status, STATUS_OVERLOADED);
    assert_null(history->items);
    *(bool *)history->arg = true;
}

static void refuse_history(struct fixture *fx, const char *channel)
{
    bool done = false;
    struct storage_history h = {.channel = str_of(channel),
                                .retention = KEEP,
                                .limit = 1,
                                .done = overloaded,
                                .arg = &done};
    storage_history(fx->storage, &h);
    wait_for(fx, &done);
}

static void count_done(struct storage_append *append)
{
    ++*(int *)append->arg;
}

/* Three in one group; the one in the middle is too much. */
static void one_too_many_is_refused_alone(void **state)
{
    struct fixture *fx = *state;
    static const char *const channels[] = {"a", "c", "b"};
    struct storage_append appends[3];
    int n_done = 0;
    open_with_limit(fx, 2);
    append_text(fx, "a", "1", KEEP);
    for (int i = 0; i < 3; i++) {
        appends[i] = (struct storage_append){.channel = str_of(channels[i]),
                                             .data = STR("1"),
                                             .retention = KEEP,
                                             .done = count_done,
                                             .arg = &n_done};
    }
    append_text(fx, "b", "1", KEEP);
    for (int i = 0; i < 3; i++) {
        storage_append(fx->storage, &appends[i]);
    }
    while (n_done < 3) {
        turn(fx);
    }
    assert_int_equal(appends[0].position.offset, 2);
    assert_int_equal(appends[1].status, STATUS_OVERLOADED);
    assert_int_equal(appends[1].position.offset, 0);
    assert_int_equal(appends[2].position.offset, 2);
    refuse_history(fx, "d");
    struct storage_stats stats = stats_of(fx);
    assert_int_equal(stats.n_streams, 2);
    assert_int_equal(stats.n_overloaded, 2);
    assert_int_equal(stats.queue_bytes, 0);
    assert_int_equal(position_of(fx, "a").offset, 2);
}

/* What a group has just published to is not mistaken for one that never was. */
static void a_group_keeps_what_it_publishes(void **state)
{
    struct fixture *fx = *state;
    struct storage_append appends[5];
    char names[5][8];
    int n_done = 0;
    open_with_limit(fx, 4);
    for (int i = 0; i < 5; i++) {
        snprintf(names[i], sizeof(names[i]), "c%d", i);
        appends[i] = (struct storage_append){.channel = str_of(names[i]),
                                             .data = STR("1"),
                                             .retention = KEEP,
                                             .done = count_done,
                                             .arg = &n_done};
        storage_append(fx->storage, &appends[i]);
    }
    while (n_done < 5) {
        turn(fx);
    }
    for (int i = 0; i < 5; i++) {
        assert_int_equal(appends[i].status, i < 4 ? STATUS_OK : STATUS_OVERLOADED);
    }
    for (int i = 0; i < 4; i++) {
        assert_int_equal(position_of(fx, names[i]).offset, 1);
    }
}

static void streams_are_counted_when_opening(void **state)
{
    struct fixture *fx = *state;
    struct storage_retention soon = {10, 1, 1};
    open_with_limit(fx, 100);
    for (int i = 0; i < 5; i++) {
        char name[8];
        snprintf(name, sizeof(name), "c%d", i);
        append_text(fx, name, "1", KEEP);
    }
    open_with_limit(fx, 5);
    assert_int_equal(stats_of(fx).n_streams, 5);
    refuse_history(fx, "new");
    append_text(fx, "c0", "1", soon); /* is forgotten, and makes room */
    while (stats_of(fx).n_streams == 5) {
        position_of(fx, "c1");
    }
    append_text(fx, "new", "1", KEEP);
    refuse_history(fx, "newer");
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
        ON(the_unpublished_make_room, normal),        ON(the_unpublished_make_room, memory),
        ON(one_too_many_is_refused_alone, normal),    ON(one_too_many_is_refused_alone, memory),
        ON(a_group_keeps_what_it_publishes, normal),  ON(a_group_keeps_what_it_publishes, memory),
        ON(streams_are_counted_when_opening, normal),
    };
    return cmocka_run_group_tests_name("limits", tests, NULL, NULL);
}
