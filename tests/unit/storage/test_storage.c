/* SPDX-License-Identifier: MIT */
/* Streams: offsets and epochs, order, groups, history, trimming, what is forgotten when, overload
 * and closing. */
#include "tests/unit/storage/fixture.h"

static void offsets_count_up_from_one(void **state)
{
    struct fixture *fx = *state;
    char epoch[STORAGE_EPOCH_SIZE];
    for (uint64_t i = 1; i <= 20; i++) {
        struct storage_append a = append_text(fx, "news", "1", KEEP);
        assert_int_equal(a.position.offset, i);
        assert_true(a.time_ms > 0);
        if (i == 1) {
            memcpy(epoch, a.position.epoch, sizeof(epoch));
        }
        assert_string_equal(a.position.epoch, epoch);
    }
    struct storage_append other = append_text(fx, "sport", "1", KEEP);
    assert_int_equal(other.position.offset, 1);
    assert_string_not_equal(other.position.epoch, epoch);
    assert_int_equal(strlen(epoch), STORAGE_EPOCH_SIZE - 1);
}

static void position_and_items_survive_close_and_open(void **state)
{
    struct fixture *fx = *state;
    append_text(fx, "news", "{\"a\":1}", KEEP);
    struct storage_append before = append_text(fx, "news", "{\"a\":2}", KEEP);
    reopen(fx);
    struct storage_append after = append_text(fx, "news", "{\"a\":3}", KEEP);
    assert_int_equal(after.position.offset, 3);
    assert_string_equal(after.position.epoch, before.position.epoch);
    struct storage_history h = history_of(fx, "news", 10);
    assert_int_equal(h.n_items, 3);
    assert_str(h.items[1].data, "{\"a\":2}");
    assert_int_equal(h.items[1].time_ms, before.time_ms);
    storage_history_release(&h);
}

static void texts_come_back_byte_for_byte(void **state)
{
    struct fixture *fx = *state;
    static const char data[] = "{\"price\":1.10,\"id\":12345678901234567890,"
                               "\"text\":\"\xf0\x9f\x94\x94 \\u0000 \xc3\xa9\",\"e\":1E+2}";
    struct storage_append a = {.channel = STR("p:\xf0\x9f\x94\x94"),
                               .data = str_of(data),
                               .info = STR("{\"user\":\"u\"}"),
                               .tags = STR("{\"k\":\"1.0\"}"),
                               .retention = KEEP};
    run_append(fx, &a);
    assert_int_equal(a.status, STATUS_OK);
    append_text(fx, "p:\xf0\x9f\x94\x94", "0", KEEP);
    struct storage_history h = history_of(fx, "p:\xf0\x9f\x94\x94", 10);
    assert_int_equal(h.n_items, 2);
    assert_str(h.items[0].data, data);
    assert_str(h.items[0].info, "{\"user\":\"u\"}");
    assert_str(h.items[0].tags, "{\"k\":\"1.0\"}");
    assert_str(h.items[1].data, "0");
    assert_int_equal(h.items[1].info.len, 0);
    assert_int_equal(h.items[1].tags.len, 0);
    storage_history_release(&h);
}

/* --- history --- */

static void check_history(struct fixture *fx, uint64_t since, bool reverse, size_t limit,
                          const char *expected)
{
    struct storage_history h = {.channel = STR("news"),
                                .retention = KEEP,
                                .since = since,
                                .reverse = reverse,
                                .limit = limit};
    run_history(fx, &h);
    char found[64] = "";
    for (size_t i = 0; i < h.n_items; i++) {
        size_t len = strlen(found);
        snprintf(found + len, sizeof(found) - len, "%d ", (int)h.items[i].offset);
    }
    assert_string_equal(found, expected);
    assert_int_equal(h.top.offset, 5);
    storage_history_release(&h);
}

static void history_reads_both_ways(void **state)
{
    struct fixture *fx = *state;
    for (int i = 0; i < 5; i++) {
        append_text(fx, "news", "1", KEEP);
    }
    check_history(fx, 0, false, 10, "1 2 3 4 5 ");
    check_history(fx, 0, false, 2, "1 2 ");
    check_history(fx, 3, false, 10, "4 5 ");
    check_history(fx, 5, false, 10, "");
    check_history(fx, 99, false, 10, "");
    check_history(fx, UINT64_MAX, false, 10, "");
    check_history(fx, 0, false, 0, "");
    check_history(fx, 0, false, SIZE_MAX, "1 2 3 4 5 ");
    check_history(fx, 0, true, 10, "5 4 3 2 1 ");
    check_history(fx, 0, true, 2, "5 4 ");
    check_history(fx, 3, true, 10, "2 1 ");
    check_history(fx, 1, true, 10, "");
    check_history(fx, 99, true, 2, "5 4 ");
    check_history(fx, UINT64_MAX, true, 1, "5 ");
    check_history(fx, 0, true, 0, "");
}

static void reading_an_absent_stream_makes_it(void **state)
{
    struct fixture *fx = *state;
    struct storage_position first = position_of(fx, "later");
    assert_int_equal(first.offset, 0);
    assert_int_equal(strlen(first.epoch), STORAGE_EPOCH_SIZE - 1);
    assert_string_equal(position_of(fx, "later").epoch, first.epoch);
    if (fx->durability != STORAGE_MEMORY) {
        reopen(fx);
        assert_string_equal(position_of(fx, "later").epoch, first.epoch);
    }
    struct storage_append a = append_text(fx, "later", "1", KEEP);
    assert_int_equal(a.position.offset, 1);
    assert_string_equal(a.position.epoch, first.epoch);
}

static void a_read_after_done_sees_the_append(void **state)
{
    struct fixture *fx = *state;
    for (uint64_t i = 1; i <= 200; i++) {
        append_text(fx, "news", "1", KEEP);
        assert_int_equal(position_of(fx, "news").offset, i);
    }
}

/* --- trimming and forgetting --- */

static void only_the_last_ones_are_kept(void **state)
{
    struct fixture *fx = *state;
    struct storage_retention three = {3, HOUR_MS, HOUR_MS};
    for (int i = 0; i < 10; i++) {
        append_text(fx, "news", "1", three);
    }
    struct storage_history h = history_of(fx, "news", 100);
    assert_int_equal(h.n_items, 3);
    assert_int_equal(h.items[0].offset, 8);
    storage_history_release(&h);
    if (fx->durability != STORAGE_MEMORY) {
        assert_int_equal(query_i64(fx, "SELECT count(*) FROM publications"), 3);
    }
}

static int64_t n_rows(struct fixture *fx)
{
    return query_i64(fx, "SELECT count(*) FROM publications");
}

/* Rows go in batches that are worth it; what waits for one is never read. */
static void few_rows_wait_to_be_removed(void **state)
{
    struct fixture *fx = *state;
    struct storage_retention hundred = {100, HOUR_MS, HOUR_MS};
    int64_t most = 0;
    for (int i = 0; i < 200; i++) {
        append_text(fx, "news", "1", hundred);
        int64_t n = n_rows(fx);
        most = n > most ? n : most;
        struct storage_history h = history_of(fx, "news", 1000);
        assert_int_equal(h.n_items, i < 100 ? i + 1 : 100);
        storage_history_release(&h);
    }
    assert_in_range(most, 110, 125);
}

/* The configured size became smaller: true at once for readers, in steps for the file. */
static void a_smaller_size_holds_at_once(void **state)
{
    struct fixture *fx = *state;
    for (int i = 0; i < 250; i++) {
        append_text(fx, "news", "1", KEEP);
    }
    struct storage_retention two = {2, HOUR_MS, HOUR_MS};
    struct storage_history h = {.channel = STR("news"), .retention = two, .limit = 100};
    run_history(fx, &h);
    assert_int_equal(h.n_items, 2);
    assert_int_equal(h.items[0].offset, 249);
    storage_history_release(&h);
    for (int i = 0; i < 3; i++) {
        append_text(fx, "news", "1", two);
        struct storage_history after = history_of(fx, "news", 100);
        assert_int_equal(after.n_items, 2);
        storage_history_release(&after);
    }
    if (fx->durability != STORAGE_MEMORY) {
        assert_int_equal(query_i64(fx, "SELECT count(*) FROM publications"), 2);
    }
}

static size_t count_items(struct fixture *fx, const char *channel)
{
    struct storage_history h = history_of(fx, channel, 100);
    size_t n = h.n_items;
    storage_history_release(&h);
    return n;
}

static void items_are_forgotten_and_stay_so(void **state)
{
    struct fixture *fx = *state;
    struct storage_retention soon = {100, 50, HOUR_MS};
    append_text(fx, "news", "1", soon);
    struct storage_append second = append_text(fx, "news", "2", soon);
    while (count_items(fx, "news") > 0) {
    }
    assert_true(clock_wall_ms() >= second.time_ms + 50);
    struct storage_position position = position_of(fx, "news");
    assert_int_equal(position.offset, second.position.offset);
    assert_string_equal(position.epoch, second.position.epoch);

    /* The next one must not bring the old ones back, whether they are removed yet or not. */
    struct storage_append next = append_text(fx, "news", "3", KEEP);
    assert_int_equal(next.position.offset, second.position.offset + 1);
    struct storage_history h = history_of(fx, "news", 100);
    assert_int_equal(h.n_items, 1);
    assert_str(h.items[0].data, "3");
    storage_history_release(&h);
}

static void the_time_to_live_slides(void **state)
{
    struct fixture *fx = *state;
    struct storage_append first = append_text(fx, "news", "1", KEEP);
    while (clock_wall_ms() == first.time_ms) {
        position_of(fx, "news");
    }
    struct storage_append second = append_text(fx, "news", "2", KEEP);
    assert_true(second.time_ms > first.time_ms);
    assert_int_equal(query_i64(fx, "SELECT items_expire_ms FROM streams WHERE channel='news'"),
                     second.time_ms + KEEP.ttl_ms);
    assert_int_equal(query_i64(fx, "SELECT meta_expire_ms FROM streams WHERE channel='news'"),
                     second.time_ms + KEEP.meta_ttl_ms);
}

static void what_is_over_is_removed_from_the_file(void **state)
{
    struct fixture *fx = *state;
    struct storage_retention soon = {1000, 1, HOUR_MS};
    append_text(fx, "kept", "1", KEEP);
    for (int i = 0; i < 700; i++) { /* more than one batch */
        append_text(fx, "news", "1", KEEP);
    }
    append_text(fx, "news", "1", soon);
    wait_for_number(fx, "SELECT count(*) FROM publications", 1);
    assert_int_equal(query_i64(fx, "SELECT count(*) FROM streams WHERE channel='news'"), 1);
    assert_int_equal(append_text(fx, "news", "1", KEEP).position.offset, 702);
    assert_int_equal(count_items(fx, "news"), 1);
    assert_int_equal(count_items(fx, "kept"), 1);
}

static void a_forgotten_position_begins_anew(void **state)
{
    struct fixture *fx = *state;
    struct storage_retention soon = {100, 1, 1};
    for (int i = 0; i < 5; i++) {
        append_text(fx, "news", "1", KEEP);
    }
    struct storage_append a = append_text(fx, "news", "1", soon);
    while (clock_wall_ms() <= a.time_ms + 1) {
        position_of(fx, "bystander");
    }
    struct storage_position position = position_of(fx, "news");
    assert_int_equal(position.offset, 0);
    assert_string_not_equal(position.epoch, a.position.epoch);
    struct storage_append b = append_text(fx, "news", "2", KEEP);
    assert_int_equal(b.position.offset, 1);
    assert_string_equal(b.position.epoch, position.epoch);
    assert_int_equal(count_items(fx, "news"), 1);
    if (fx->durability != STORAGE_MEMORY) {
        wait_for_number(fx, "SELECT count(*) FROM publications", 1);
        wait_for_number(fx, "SELECT count(*) FROM streams WHERE channel IS NULL", 0);
    }
}

static void an_append_begins_anew_too(void **state)
{
    struct fixture *fx = *state;
    struct storage_retention soon = {100, 1, 1};
    append_text(fx, "news", "1", KEEP);
    struct storage_append a = append_text(fx, "news", "1", soon);
    while (clock_wall_ms() <= a.time_ms + 1) {
        position_of(fx, "bystander");
    }
    struct storage_append b = append_text(fx, "news", "2", KEEP);
    assert_int_equal(b.position.offset, 1);
    assert_string_not_equal(b.position.epoch, a.position.epoch);
}

static void forgotten_streams_leave_the_file(void **state)
{
    struct fixture *fx = *state;
    struct storage_retention soon = {100, 1, 1};
    for (int i = 0; i < 150; i++) { /* more than one batch */
        char channel[16];
        snprintf(channel, sizeof(channel), "c%d", i);
        append_text(fx, channel, "1", soon);
    }
    wait_for_number(fx, "SELECT count(*) FROM streams WHERE channel LIKE 'c%'", 0);
    wait_for_number(fx, "SELECT count(*) FROM streams WHERE channel IS NULL", 0);
    assert_int_equal(query_i64(fx, "SELECT count(*) FROM publications"), 0);
}

static void saw_two(struct storage_history *history)
{
    assert_int_equal(history->status, STATUS_OK);
    assert_int_equal(history->top.offset, 2);
    assert_int_equal(history->n_items, 2);
    storage_history_release(history);
    *(bool *)history->arg = true;
}

static void two_counted(struct storage_append *append)
{
    assert_int_equal(append->status, STATUS_OK);
}

/* Without a file both are in one group. */
static void a_read_sees_the_appends_before_it_in_its_group(void **state)
{
    struct fixture *fx = *state;
    bool done = false;
    struct storage_append appends[3];
    struct storage_history h = {
        .channel = STR("news"), .retention = KEEP, .limit = 10, .done = saw_two, .arg = &done};
    for (int i = 0; i < 3; i++) {
        if (i == 2) {
            storage_history(fx->storage, &h);
        }
        appends[i] = (struct storage_append){
            .channel = STR("news"), .data = STR("1"), .retention = KEEP, .done = two_counted};
        storage_append(fx->storage, &appends[i]);
    }
    wait_for(fx, &done);
    assert_int_equal(stats_of(fx).n_groups, 1);
    assert_int_equal(position_of(fx, "news").offset, 3);
}

/* --- removing --- */

static void remove_done(struct storage_remove *remove)
{
    assert_int_equal(remove->status, STATUS_OK);
    *(bool *)remove->arg = true;
}

static struct storage_position remove_items(struct fixture *fx, const char *channel)
{
    bool done = false;
    struct storage_remove remove = {.channel = str_of(channel), .done = remove_done, .arg = &done};
    storage_remove(fx->storage, &remove);
    assert_false(done);
    wait_for(fx, &done);
    return remove.top;
}

static void removing_keeps_the_position(void **state)
{
    struct fixture *fx = *state;
    struct storage_position top = {0};
    for (int i = 0; i < 250; i++) {
        top = append_text(fx, "news", "1", KEEP).position;
    }
    append_text(fx, "kept", "1", KEEP);
    struct storage_position removed = remove_items(fx, "news");
    assert_int_equal(removed.offset, 250);
    assert_string_equal(removed.epoch, top.epoch);
    assert_int_equal(count_items(fx, "news"), 0);
    assert_int_equal(count_items(fx, "kept"), 1);
    if (fx->durability != STORAGE_MEMORY) {
        wait_for_number(fx, "SELECT count(*) FROM publications", 1);
        reopen(fx);
        assert_int_equal(count_items(fx, "news"), 0);
    }
    struct storage_append next = append_text(fx, "news", "2", KEEP);
    assert_int_equal(next.position.offset, 251);
    assert_string_equal(next.position.epoch, top.epoch);
    assert_int_equal(count_items(fx, "news"), 1);
}

static void removing_nothing_is_fine(void **state)
{
    struct fixture *fx = *state;
    struct storage_position none = remove_items(fx, "absent");
    assert_int_equal(none.offset, 0);
    assert_int_equal(none.epoch[0], '\0');
    struct storage_position empty = position_of(fx, "empty");
    struct storage_position removed = remove_items(fx, "empty");
    assert_int_equal(removed.offset, 0);
    assert_string_equal(removed.epoch, empty.epoch);
    struct storage_stats stats;
    storage_stats(fx->storage, &stats);
    assert_int_equal(stats.n_streams, 1);
}

static void appended(struct storage_append *append)
{
    assert_int_equal(append->status, STATUS_OK);
    ++*(int *)append->arg;
}

/* All in one turn, so in one group. */
static void removing_is_done_in_its_turn(void **state)
{
    struct fixture *fx = *state;
    bool removed = false;
    int n_before = 0, n_after = 0;
    struct storage_append appends[6];
    struct storage_remove remove = {.channel = STR("news"), .done = remove_done, .arg = &removed};
    for (int i = 0; i < 6; i++) {
        if (i == 4) {
            storage_remove(fx->storage, &remove);
        }
        appends[i] = (struct storage_append){.channel = STR("news"),
                                             .data = STR("1"),
                                             .retention = KEEP,
                                             .done = appended,
                                             .arg = i < 4 ? &n_before : &n_after};
        storage_append(fx->storage, &appends[i]);
    }
    wait_for(fx, &removed);
    assert_int_equal(n_before, 4);
    assert_int_equal(remove.top.offset, 4);
    while (n_after < 2) {
        turn(fx);
    }
    struct storage_history h = history_of(fx, "news", 100);
    assert_int_equal(h.n_items, 2);
    assert_int_equal(h.items[0].offset, 5);
    assert_int_equal(h.top.offset, 6);
    storage_history_release(&h);
}

static uint64_t groups_of(struct fixture *fx)
{
    struct storage_stats stats;
    storage_stats(fx->storage, &stats);
    return stats.n_groups;
}

static void reading_writes_only_when_it_is_worth_it(void **state)
{
    struct fixture *fx = *state;
    append_text(fx, "news", "1", KEEP);
    uint64_t n_groups = groups_of(fx);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(count_items(fx, "news"), 1);
    }
    assert_int_equal(groups_of(fx), n_groups);

    struct storage_history h = {.channel = STR("news"), .retention = KEEP, .limit = 10};
    h.retention.meta_ttl_ms = 48 * HOUR_MS;
    run_history(fx, &h);
    assert_int_equal(h.n_items, 1);
    storage_history_release(&h);
    assert_int_equal(groups_of(fx), n_groups + 1);
    int64_t meta_expire_ms = query_i64(fx, "SELECT meta_expire_ms FROM streams");
    assert_true(meta_expire_ms > clock_wall_ms() + 47 * HOUR_MS);
}

/* --- many at once --- */

struct crowd {
    struct storage_append *appends;
    size_t n;
    size_t n_done;
    size_t n_ok;
    size_t n_refused;
    uint64_t last_offset;
    bool starting;
    bool all_done;
};

static void crowd_done(struct storage_append *append)
{
    struct crowd *crowd = append->arg;
    assert_false(crowd->starting);
    if (append->status == STATUS_OK) {
        crowd->n_ok++;
        assert_int_equal(append->position.offset, ++crowd->last_offset);
    } else {
        assert_int_equal(append->status, STATUS_OVERLOADED);
        assert_int_equal(append->position.offset, 0);
        crowd->n_refused++;
    }
    crowd->all_done = ++crowd->n_done == crowd->n;
}

static void start_crowd(struct fixture *fx, struct crowd *crowd, size_t n)
{
    *crowd = (struct crowd){.n = n, .starting = true};
    crowd->appends = calloc(n, sizeof(*crowd->appends));
    assert_non_null(crowd->appends);
    for (size_t i = 0; i < n; i++) {
        crowd->appends[i] = (struct storage_append){.channel = STR("news"),
                                                    .data = STR("{\"some\":\"json\"}"),
                                                    .retention = KEEP,
                                                    .done = crowd_done,
                                                    .arg = crowd};
        storage_append(fx->storage, &crowd->appends[i]);
    }
    crowd->starting = false;
}

static void ten_thousand_at_once_are_written_in_groups(void **state)
{
    struct fixture *fx = *state;
    struct crowd crowd;
    start_crowd(fx, &crowd, 10000);
    struct storage_stats stats;
    storage_stats(fx->storage, &stats);
    assert_int_equal(stats.queue_length, 10000);
    wait_for(fx, &crowd.all_done);
    assert_int_equal(crowd.n_ok, 10000);
    for (size_t i = 0; i < crowd.n; i++) {
        assert_int_equal(crowd.appends[i].position.offset, i + 1);
    }
    storage_stats(fx->storage, &stats);
    assert_int_equal(stats.n_appends, 10000);
    assert_int_equal(stats.n_failed, 0);
    assert_int_equal(stats.queue_length, 0);
    assert_int_equal(stats.queue_bytes, 0);
    /* The bound of a group makes ten; a turn hands over in portions, which the first may be. */
    assert_in_range(stats.n_groups, 10, 10000 / 32 + 10);
    assert_int_equal(histogram_n(stats.group_sizes), stats.n_groups);
    assert_int_equal(histogram_sum(stats.group_sizes), 10000);
    assert_int_equal(histogram_n(stats.commit_times), stats.n_groups);
    assert_int_equal(stats.n_streams, 1);
    assert_int_equal(stats.queue_max_size, fx->queue_max_size);
    assert_true((stats.wal_bytes > 10000) == (fx->durability != STORAGE_MEMORY));
    struct storage_history h = history_of(fx, "news", SIZE_MAX);
    assert_int_equal(h.n_items, 10000);
    for (size_t i = 0; i < h.n_items; i++) {
        assert_int_equal(h.items[i].offset, i + 1);
        assert_str(h.items[i].data, "{\"some\":\"json\"}");
    }
    storage_history_release(&h);
    free(crowd.appends);
}

static void a_full_queue_refuses(void **state)
{
    struct fixture *fx = *state;
    close_storage(fx);
    fx->queue_max_size = 10000;
    open_storage(fx);
    struct crowd crowd;
    start_crowd(fx, &crowd, 1000);
    wait_for(fx, &crowd.all_done);
    assert_true(crowd.n_ok > 0);
    assert_true(crowd.n_refused > 0);
    struct storage_stats stats;
    storage_stats(fx->storage, &stats);
    assert_int_equal(stats.n_overloaded, crowd.n_refused);
    assert_int_equal(stats.n_appends, crowd.n_ok);
    assert_int_equal(stats.queue_bytes, 0);
    free(crowd.appends);
    /* And takes again. */
    assert_int_equal(append_text(fx, "news", "1", KEEP).position.offset, stats.n_appends + 1);
}

struct chain {
    struct fixture *fx;
    int n_left;
    bool ended;
};

static void start_link(struct chain *chain);

static void link_done(struct storage_append *append)
{
    struct chain *chain = append->arg;
    assert_int_equal(append->status, STATUS_OK);
    free(append);
    if (--chain->n_left > 0) {
        start_link(chain);
    } else {
        chain->ended = true;
    }
}

static void start_link(struct chain *chain)
{
    struct storage_append *append = calloc(1, sizeof(*append));
    assert_non_null(append);
    *append = (struct storage_append){.channel = STR("news"),
                                      .data = STR("1"),
                                      .retention = KEEP,
                                      .done = link_done,
                                      .arg = chain};
    storage_append(chain->fx->storage, append);
}

static void done_may_free_and_start_others(void **state)
{
    struct chain chain = {.fx = *state, .n_left = 100};
    start_link(&chain);
    wait_for(*state, &chain.ended);
    assert_int_equal(position_of(*state, "news").offset, 100);
}

struct countdown {
    size_t n_left;
    bool ended;
};

static void counted_down(struct storage_append *append)
{
    struct countdown *countdown = append->arg;
    assert_int_equal(append->status, STATUS_OK);
    countdown->ended = --countdown->n_left == 0;
}

static void more_channels_than_the_cache_holds(void **state)
{
    struct fixture *fx = *state;
    enum { N = 12000 };
    struct countdown countdown = {.n_left = 2 * N};
    struct storage_append *appends = calloc(2 * N, sizeof(*appends));
    char(*names)[16] = calloc(N, sizeof(*names));
    assert_true(appends && names);
    for (size_t i = 0; i < 2 * N; i++) {
        if (i < N) {
            snprintf(names[i], sizeof(*names), "channel:%zu", i);
        }
        appends[i] = (struct storage_append){.channel = str_of(names[i % N]),
                                             .data = STR("1"),
                                             .retention = KEEP,
                                             .done = counted_down,
                                             .arg = &countdown};
        storage_append(fx->storage, &appends[i]);
    }
    wait_for(fx, &countdown.ended);
    for (size_t i = 0; i < 2 * N; i++) {
        assert_int_equal(appends[i].position.offset, 1 + i / N);
    }
    for (size_t i = 0; i < N; i += 997) {
        struct storage_position position = position_of(fx, names[i]);
        assert_int_equal(position.offset, 2);
        assert_string_equal(position.epoch, appends[i].position.epoch);
    }
    free(names);
    free(appends);
}

struct slow {
    struct fixture *fx;
    struct deferred tail;
    size_t n_this_turn;
    size_t n_left;
    bool ended;
};

static void turn_is_over(void *arg)
{
    ((struct slow *)arg)->n_this_turn = 0;
}

static void slowly_done(struct storage_append *append)
{
    struct slow *slow = append->arg;
    int64_t start_us = clock_monotonic_us();
    while (clock_monotonic_us() < start_us + 100) {
    }
    loop_defer(slow->fx->loop, &slow->tail);
    assert_true(++slow->n_this_turn <= 64); /* 4 ms, and up to 15 more */
    slow->ended = --slow->n_left == 0;
}

static void delivery_leaves_time_for_others(void **state)
{
    static struct storage_append appends[1000];
    struct slow slow = {.fx = *state, .n_left = 1000};
    slow.tail.fn = turn_is_over;
    slow.tail.arg = &slow;
    for (size_t i = 0; i < 1000; i++) {
        appends[i] = (struct storage_append){.channel = STR("news"),
                                             .data = STR("1"),
                                             .retention = KEEP,
                                             .done = slowly_done,
                                             .arg = &slow};
        storage_append(slow.fx->storage, &appends[i]);
    }
    wait_for(slow.fx, &slow.ended);
    loop_undefer(slow.fx->loop, &slow.tail);
}

static void append_thousand(struct fixture *fx, struct str data)
{
    static struct storage_append appends[1000];
    struct countdown countdown = {.n_left = 1000};
    for (size_t i = 0; i < 1000; i++) {
        appends[i] = (struct storage_append){.channel = STR("news"),
                                             .data = data,
                                             .retention = {100, HOUR_MS, HOUR_MS},
                                             .done = counted_down,
                                             .arg = &countdown};
        storage_append(fx->storage, &appends[i]);
    }
    wait_for(fx, &countdown.ended);
}

/* Without checkpoints while it is open it would be nearly twice as large. */
static void the_write_ahead_log_starts_over(void **state)
{
    struct fixture *fx = *state;
    static char data[1024];
    char wal[128];
    struct stat info;
    memset(data, '1', sizeof(data));
    for (int i = 0; i < 30; i++) {
        append_thousand(fx, (struct str){data, sizeof(data)});
        assert_int_equal(position_of(fx, "news").offset, 1000 * (i + 1));
    }
    snprintf(wal, sizeof(wal), "%s-wal", fx->path);
    assert_int_equal(stat(wal, &info), 0);
    assert_in_range(info.st_size, 1, 75 << 20);
}

/* --- closing --- */

struct closing {
    size_t n_done;
    size_t n_done_at_closed;
    bool closed;
};

static void closing_append_done(struct storage_append *append)
{
    assert_int_equal(append->status, STATUS_OK);
    ((struct closing *)append->arg)->n_done++;
}

static void closing_history_done(struct storage_history *history)
{
    assert_int_equal(history->status, STATUS_OK);
    ((struct closing *)history->arg)->n_done++;
    storage_history_release(history);
}

static void closing_feed_done(struct storage_feed_read *read)
{
    assert_int_equal(read->status, STATUS_NOT_FOUND);
    ((struct closing *)read->arg)->n_done++;
}

static void closing_closed(void *arg)
{
    struct closing *closing = arg;
    closing->n_done_at_closed = closing->n_done;
    closing->closed = true;
}

static void closing_finishes_what_was_started(void **state)
{
    struct fixture *fx = *state;
    enum { N = 500 };
    struct closing closing = {0};
    struct storage_append *appends = calloc(N, sizeof(*appends));
    struct storage_history *histories = calloc(N, sizeof(*histories));
    struct storage_feed_read *reads = calloc(N, sizeof(*reads));
    char(*names)[16] = calloc(N, sizeof(*names));
    assert_true(appends && histories && reads && names);
    for (size_t i = 0; i < N; i++) {
        snprintf(names[i], sizeof(names[i]), "absent:%zu", i);
        appends[i] = (struct storage_append){.channel = STR("news"),
                                             .data = STR("1"),
                                             .retention = KEEP,
                                             .done = closing_append_done,
                                             .arg = &closing};
        histories[i] = (struct storage_history){.channel = str_of(names[i]),
                                                .retention = KEEP,
                                                .limit = 10,
                                                .done = closing_history_done,
                                                .arg = &closing};
        reads[i] = (struct storage_feed_read){
            .feed = STR("f"), .params = STR("{}"), .done = closing_feed_done, .arg = &closing};
        storage_append(fx->storage, &appends[i]);
        storage_history(fx->storage, &histories[i]);
        storage_feed_read(fx->storage, &reads[i]);
    }
    storage_close(fx->storage, closing_closed, &closing);
    assert_false(closing.closed);
    wait_for(fx, &closing.closed);
    fx->storage = NULL;
    assert_int_equal(closing.n_done_at_closed, 3 * N);
    if (fx->durability != STORAGE_MEMORY) {
        char wal[128];
        snprintf(wal, sizeof(wal), "%s-wal", fx->path);
        assert_int_not_equal(access(wal, F_OK), 0); /* the last checkpoint took it all */
        assert_int_equal(query_i64(fx, "SELECT count(*) FROM publications"), N);
        assert_int_equal(query_i64(fx, "SELECT count(*) FROM streams"), N + 1);
    }
    free(appends);
    free(histories);
    free(reads);
    free(names);
}

static void memory_ends_with_the_storage(void **state)
{
    struct fixture *fx = *state;
    struct storage_append before = append_text(fx, "news", "1", KEEP);
    reopen(fx);
    struct storage_position position = position_of(fx, "news");
    assert_int_equal(position.offset, 0);
    assert_string_not_equal(position.epoch, before.position.epoch);
    assert_int_not_equal(access(fx->path, F_OK), 0);
}

static enum storage_durability full = STORAGE_FULL;
static enum storage_durability normal = STORAGE_NORMAL;
static enum storage_durability memory = STORAGE_MEMORY;

#define ON(test, durability)                                                                       \
    {                                                                                              \
#test " (" #durability ")", test, set_up, tear_down, &durability                           \
    }

/* Appends and reads in flight at the same time: no read may know a publication whose append has not
 * been answered. */
struct race {
    uint64_t n_answered; /* appends */
    unsigned n_open;
    bool is_over;
};

static void race_append_done(struct storage_append *append)
{
    struct race *race = append->arg;
    assert_int_equal(append->status, STATUS_OK);
    race->n_answered = append->position.offset;
    race->is_over = --race->n_open == 0;
}

static void race_read_done(struct storage_history *read)
{
    struct race *race = read->arg;
    assert_int_equal(read->status, STATUS_OK);
    assert_true(read->top.offset <= race->n_answered);
    storage_history_release(read);
    race->is_over = --race->n_open == 0;
}

static void a_read_is_answered_after_the_appends_it_saw(void **state)
{
    enum { ROUNDS = 300, PAIRS = 20 };
    struct fixture *fx = *state;
    struct storage_append appends[PAIRS];
    struct storage_history reads[PAIRS];
    struct race race = {0};
    for (int round = 0; round < ROUNDS; round++) {
        race.is_over = false;
        race.n_open = 2 * PAIRS;
        for (int i = 0; i < PAIRS; i++) {
            appends[i] = (struct storage_append){.channel = STR("race"),
                                                 .retention = KEEP,
                                                 .data = STR("1"),
                                                 .done = race_append_done,
                                                 .arg = &race};
            reads[i] = (struct storage_history){
                .channel = STR("race"), .retention = KEEP, .done = race_read_done, .arg = &race};
            storage_append(fx->storage, &appends[i]);
            storage_history(fx->storage, &reads[i]);
        }
        wait_for(fx, &race.is_over);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON(offsets_count_up_from_one, full),
        ON(offsets_count_up_from_one, normal),
        ON(offsets_count_up_from_one, memory),
        ON(position_and_items_survive_close_and_open, full),
        ON(position_and_items_survive_close_and_open, normal),
        ON(texts_come_back_byte_for_byte, normal),
        ON(texts_come_back_byte_for_byte, memory),
        ON(history_reads_both_ways, normal),
        ON(history_reads_both_ways, memory),
        ON(reading_an_absent_stream_makes_it, full),
        ON(reading_an_absent_stream_makes_it, memory),
        ON(a_read_is_answered_after_the_appends_it_saw, normal),
        ON(a_read_is_answered_after_the_appends_it_saw, memory),
        ON(a_read_after_done_sees_the_append, normal),
        ON(a_read_after_done_sees_the_append, memory),
        ON(a_read_sees_the_appends_before_it_in_its_group, memory),
        ON(only_the_last_ones_are_kept, normal),
        ON(only_the_last_ones_are_kept, memory),
        ON(few_rows_wait_to_be_removed, normal),
        ON(removing_keeps_the_position, normal),
        ON(removing_keeps_the_position, memory),
        ON(removing_nothing_is_fine, normal),
        ON(removing_nothing_is_fine, memory),
        ON(removing_is_done_in_its_turn, normal),
        ON(removing_is_done_in_its_turn, memory),
        ON(a_smaller_size_holds_at_once, normal),
        ON(a_smaller_size_holds_at_once, memory),
        ON(items_are_forgotten_and_stay_so, normal),
        ON(items_are_forgotten_and_stay_so, memory),
        ON(the_time_to_live_slides, normal),
        ON(what_is_over_is_removed_from_the_file, normal),
        ON(a_forgotten_position_begins_anew, normal),
        ON(a_forgotten_position_begins_anew, memory),
        ON(an_append_begins_anew_too, normal),
        ON(forgotten_streams_leave_the_file, normal),
        ON(reading_writes_only_when_it_is_worth_it, normal),
        ON(ten_thousand_at_once_are_written_in_groups, full),
        ON(ten_thousand_at_once_are_written_in_groups, normal),
        ON(ten_thousand_at_once_are_written_in_groups, memory),
        ON(a_full_queue_refuses, normal),
        ON(done_may_free_and_start_others, normal),
        ON(more_channels_than_the_cache_holds, normal),
        ON(delivery_leaves_time_for_others, memory),
        ON(the_write_ahead_log_starts_over, normal),
        ON(closing_finishes_what_was_started, full),
        ON(closing_finishes_what_was_started, memory),
        ON(memory_ends_with_the_storage, memory),
    };
    return cmocka_run_group_tests_name("storage", tests, NULL, NULL);
}
