/* SPDX-License-Identifier: MIT */
/* Appends that are not made: by idempotency keys and by versions. */
#include "tests/unit/storage/fixture.h"

#define NOTHING_KEPT ((struct storage_retention){0})

/* Must succeed. */
static struct storage_append append_key(struct fixture *fx, const char *channel, const char *key,
                                        struct storage_retention retention)
{
    struct storage_append append = {.channel = str_of(channel),
                                    .data = STR("1"),
                                    .retention = retention,
                                    .idempotency_key = str_of(key)};
    run_append(fx, &append);
    assert_int_equal(append.status, STATUS_OK);
    return append;
}

static struct storage_append append_version(struct fixture *fx, uint64_t version, const char *epoch)
{
    struct storage_append append = {.channel = STR("v"),
                                    .data = STR("1"),
                                    .retention = KEEP,
                                    .version = version,
                                    .version_epoch = str_of(epoch)};
    run_append(fx, &append);
    assert_int_equal(append.status, STATUS_OK);
    return append;
}

static void reopen_if_there_is_a_file(struct fixture *fx)
{
    if (fx->durability != STORAGE_MEMORY) {
        reopen(fx);
    }
}

/* --- keys --- */

static void a_key_counts_once_in_its_channel(void **state)
{
    struct fixture *fx = *state;
    struct storage_append first = append_key(fx, "news", "k", KEEP);
    assert_int_equal(first.suppressed, STORAGE_NOT_SUPPRESSED);
    assert_int_equal(first.position.offset, 1);
    append_key(fx, "news", "other", KEEP);
    append_text(fx, "news", "1", KEEP);
    for (int i = 0; i < 3; i++) {
        struct storage_append again = append_key(fx, "news", "k", KEEP);
        assert_int_equal(again.suppressed, STORAGE_SAME_KEY);
        assert_int_equal(again.position.offset, 1);
        assert_string_equal(again.position.epoch, first.position.epoch);
        assert_true(again.time_ms > 0);
        reopen_if_there_is_a_file(fx);
    }
    assert_int_equal(position_of(fx, "news").offset, 3);
    struct storage_append elsewhere = append_key(fx, "sport", "k", KEEP);
    assert_int_equal(elsewhere.suppressed, STORAGE_NOT_SUPPRESSED);
    assert_int_equal(elsewhere.position.offset, 1);
    assert_int_equal(stats_of(fx).n_idempotency_keys, 3);
}

static void suppressed_ones_are_counted(void **state)
{
    struct fixture *fx = *state;
    append_key(fx, "news", "k", KEEP);
    append_key(fx, "news", "k", KEEP);
    append_version(fx, 1, "");
    append_version(fx, 1, "");
    struct storage_stats stats = stats_of(fx);
    assert_int_equal(stats.n_appends, 4);
    assert_int_equal(stats.n_suppressed, 2);
    assert_int_equal(stats.n_groups, 2); /* nothing was written for the others */
}

struct together {
    struct storage_append appends[8];
    size_t n_done;
};

static void together_done(struct storage_append *append)
{
    ++((struct together *)append->arg)->n_done;
}

/* n of them in one group, with keys (empty: none) and channels. */
static void run_together(struct fixture *fx, struct together *t, size_t n,
                         const char *const (*keys_and_channels)[2])
{
    *t = (struct together){0};
    for (size_t i = 0; i < n; i++) {
        t->appends[i] = (struct storage_append){.channel = str_of(keys_and_channels[i][1]),
                                                .data = STR("1"),
                                                .retention = KEEP,
                                                .idempotency_key = str_of(keys_and_channels[i][0]),
                                                .done = together_done,
                                                .arg = t};
        storage_append(fx->storage, &t->appends[i]);
    }
    while (t->n_done < n) {
        turn(fx);
    }
}

static void a_key_counts_once_in_a_group(void **state)
{
    static const char *const keys[][2] = {
        {"k", "news"}, {"k", "news"}, {"l", "news"}, {"k", "news"}};
    struct fixture *fx = *state;
    struct together t;
    run_together(fx, &t, 4, keys);
    assert_int_equal(t.appends[0].position.offset, 1);
    assert_int_equal(t.appends[1].suppressed, STORAGE_SAME_KEY);
    assert_int_equal(t.appends[1].position.offset, 1);
    assert_string_equal(t.appends[1].position.epoch, t.appends[0].position.epoch);
    assert_int_equal(t.appends[2].position.offset, 2);
    assert_int_equal(t.appends[3].suppressed, STORAGE_SAME_KEY);
    assert_int_equal(stats_of(fx).n_groups, 1);
}

static void a_key_alone_is_remembered(void **state)
{
    struct fixture *fx = *state;
    struct storage_append first = append_key(fx, "live", "k", NOTHING_KEPT);
    assert_int_equal(first.suppressed, STORAGE_NOT_SUPPRESSED);
    assert_int_equal(first.position.offset, 0);
    assert_int_equal(first.position.epoch[0], '\0');
    assert_int_equal(stats_of(fx).n_streams, 0);
    reopen_if_there_is_a_file(fx);
    struct storage_append again = append_key(fx, "live", "k", NOTHING_KEPT);
    assert_int_equal(again.suppressed, STORAGE_SAME_KEY);
    assert_int_equal(again.position.offset, 0);
    assert_int_equal(again.position.epoch[0], '\0');
    assert_int_equal(append_key(fx, "live", "l", NOTHING_KEPT).suppressed, STORAGE_NOT_SUPPRESSED);
}

static void a_key_is_forgotten_after_its_time(void **state)
{
    struct fixture *fx = *state;
    struct storage_append first = append_key(fx, "news", "k", KEEP);
    assert_int_equal(query_i64(fx, "SELECT expire_ms FROM idempotency"),
                     first.time_ms + STORAGE_IDEMPOTENCY_MS);
    change_file(fx, "UPDATE idempotency SET expire_ms=1"); /* before the sweep knows */
    struct storage_append again = append_key(fx, "news", "k", KEEP);
    assert_int_equal(again.suppressed, STORAGE_NOT_SUPPRESSED);
    assert_int_equal(again.position.offset, 2);
    assert_int_equal(append_key(fx, "news", "k", KEEP).position.offset, 2);
    assert_int_equal(stats_of(fx).n_idempotency_keys, 1);
}

static void old_keys_leave_the_file(void **state)
{
    struct fixture *fx = *state;
    append_key(fx, "news", "young", KEEP);
    close_storage(fx);
    change_file(fx, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<1200)"
                    " INSERT INTO idempotency(channel, key, epoch, offset, expire_ms)"
                    " SELECT 'c', i, '', 0, 1000+i FROM n"); /* more than one batch */
    open_storage(fx);
    wait_for_number(fx, "SELECT count(*) FROM idempotency", 1);
    while (stats_of(fx).n_idempotency_keys != 1) {
        position_of(fx, "bystander");
    }
    assert_int_equal(append_key(fx, "news", "young", KEEP).suppressed, STORAGE_SAME_KEY);
}

static void too_many_keys_are_refused_one_by_one(void **state)
{
    static const char *const more[][2] = {
        {"", "news"}, {"d", "news"}, {"a", "news"}, {"e", "new"}, {"", "sport"}};
    struct fixture *fx = *state;
    struct together t;
    close_storage(fx);
    fx->idempotency_key_limit = 3;
    open_storage(fx);
    append_key(fx, "news", "a", KEEP);
    append_key(fx, "news", "b", KEEP);
    append_key(fx, "live", "c", NOTHING_KEPT);
    run_together(fx, &t, 5, more);
    assert_int_equal(t.appends[0].status, STATUS_OK);
    assert_int_equal(t.appends[0].position.offset, 3);
    assert_int_equal(t.appends[1].status, STATUS_OVERLOADED);
    assert_int_equal(t.appends[1].position.offset, 0);
    assert_int_equal(t.appends[2].status, STATUS_OK);
    assert_int_equal(t.appends[2].suppressed, STORAGE_SAME_KEY);
    assert_int_equal(t.appends[3].status, STATUS_OVERLOADED);
    assert_int_equal(t.appends[4].status, STATUS_OK);
    struct storage_stats stats = stats_of(fx);
    assert_int_equal(stats.n_overloaded, 2);
    assert_int_equal(stats.n_idempotency_keys, 3);
    assert_int_equal(stats.n_streams, 2);
    assert_int_equal(stats.queue_length, 0);
    assert_int_equal(stats.queue_bytes, 0);
    if (fx->durability == STORAGE_MEMORY) {
        return;
    }
    close_storage(fx);
    change_file(fx, "UPDATE idempotency SET expire_ms=1 WHERE key='b'");
    open_storage(fx);
    wait_for_number(fx, "SELECT count(*) FROM idempotency", 2);
    assert_int_equal(append_key(fx, "news", "d", KEEP).suppressed, STORAGE_NOT_SUPPRESSED);
}

static void a_suppressed_append_keeps_no_feed_results(void **state)
{
    struct fixture *fx = *state;
    struct storage_feed_write feed = {
        .feed = STR("f"), .params = STR("{}"), .snapshot = STR("1"), .time_ms = 1};
    struct storage_append append = {.channel = STR("news"),
                                    .data = STR("1"),
                                    .retention = KEEP,
                                    .idempotency_key = STR("k"),
                                    .feed = &feed};
    run_append(fx, &append);
    feed.snapshot = STR("2");
    run_append(fx, &append);
    assert_int_equal(append.suppressed, STORAGE_SAME_KEY);
    struct storage_feed_read read = read_feed(fx, "f", "{}");
    assert_str(read.snapshot, "1");
    storage_feed_read_release(&read);
}

/* --- versions --- */

static void check_version(struct fixture *fx, uint64_t version, const char *epoch, bool is_old,
                          uint64_t offset)
{
    struct storage_append append = append_version(fx, version, epoch);
    assert_int_equal(append.suppressed, is_old ? STORAGE_OLD_VERSION : STORAGE_NOT_SUPPRESSED);
    assert_int_equal(append.position.offset, offset);
    assert_string_equal(append.position.epoch, position_of(fx, "v").epoch);
    reopen_if_there_is_a_file(fx);
}

static void old_versions_are_suppressed(void **state)
{
    struct fixture *fx = *state;
    check_version(fx, 5, "", false, 1);
    check_version(fx, 5, "", true, 1);
    check_version(fx, 4, "", true, 1);
    check_version(fx, 0, "", false, 2); /* none: always appended, changes nothing */
    check_version(fx, 5, "", true, 2);
    check_version(fx, 6, "", false, 3);
    check_version(fx, INT64_MAX, "", false, 4);
    check_version(fx, INT64_MAX - 1, "", true, 4);
}

static void another_version_epoch_begins_anew(void **state)
{
    struct fixture *fx = *state;
    check_version(fx, 5, "one", false, 1);
    check_version(fx, 5, "one", true, 1);
    check_version(fx, 3, "two", false, 2);
    check_version(fx, 3, "two", true, 2);
    check_version(fx, 4, "one", false, 3);
    check_version(fx, 4, "", true, 3); /* without one the number decides, in the last epoch */
    check_version(fx, 6, "", false, 4);
    check_version(fx, 5, "one", true, 4);
    check_version(fx, 5, "two", false, 5);
}

static void a_group_knows_its_versions(void **state)
{
    struct fixture *fx = *state;
    static const uint64_t versions[] = {3, 2, 4, 4};
    struct together t = {0};
    for (size_t i = 0; i < 4; i++) {
        t.appends[i] = (struct storage_append){.channel = STR("v"),
                                               .data = STR("1"),
                                               .retention = KEEP,
                                               .version = versions[i],
                                               .done = together_done,
                                               .arg = &t};
        storage_append(fx->storage, &t.appends[i]);
    }
    while (t.n_done < 4) {
        turn(fx);
    }
    assert_int_equal(t.appends[0].position.offset, 1);
    assert_int_equal(t.appends[1].suppressed, STORAGE_OLD_VERSION);
    assert_int_equal(t.appends[1].position.offset, 1);
    assert_int_equal(t.appends[2].position.offset, 2);
    assert_int_equal(t.appends[3].suppressed, STORAGE_OLD_VERSION);
}

static void remove_done(struct storage_remove *remove)
{
    *(bool *)remove->arg = true;
}

static void the_version_outlives_the_publications(void **state)
{
    struct fixture *fx = *state;
    bool done = false;
    struct storage_remove remove = {.channel = STR("v"), .done = remove_done, .arg = &done};
    check_version(fx, 5, "one", false, 1);
    storage_remove(fx->storage, &remove);
    wait_for(fx, &done);
    check_version(fx, 5, "one", true, 1);
}

/* --- the delta flag --- */

static void the_delta_flag_comes_back(void **state)
{
    struct fixture *fx = *state;
    struct storage_append append = {
        .channel = STR("d"), .data = STR("1"), .retention = KEEP, .delta = true};
    run_append(fx, &append);
    append_text(fx, "d", "2", KEEP);
    reopen_if_there_is_a_file(fx);
    struct storage_history h = history_of(fx, "d", 10);
    assert_true(h.items[0].delta);
    assert_false(h.items[1].delta);
    storage_history_release(&h);
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
        ON(a_key_counts_once_in_its_channel, normal),
        ON(a_key_counts_once_in_its_channel, memory),
        ON(suppressed_ones_are_counted, normal),
        ON(suppressed_ones_are_counted, memory),
        ON(a_key_counts_once_in_a_group, normal),
        ON(a_key_counts_once_in_a_group, memory),
        ON(a_key_alone_is_remembered, normal),
        ON(a_key_alone_is_remembered, memory),
        ON(a_key_is_forgotten_after_its_time, normal),
        ON(old_keys_leave_the_file, normal),
        ON(too_many_keys_are_refused_one_by_one, normal),
        ON(too_many_keys_are_refused_one_by_one, memory),
        ON(a_suppressed_append_keeps_no_feed_results, normal),
        ON(old_versions_are_suppressed, normal),
        ON(old_versions_are_suppressed, memory),
        ON(another_version_epoch_begins_anew, normal),
        ON(another_version_epoch_begins_anew, memory),
        ON(a_group_knows_its_versions, normal),
        ON(the_version_outlives_the_publications, normal),
        ON(the_delta_flag_comes_back, normal),
        ON(the_delta_flag_comes_back, memory),
    };
    return cmocka_run_group_tests_name("suppression", tests, NULL, NULL);
}
