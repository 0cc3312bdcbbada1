/* SPDX-License-Identifier: MIT */
/* Events that wait for their endpoints: order, removing, counting, limits, and what a restart
 * leaves. */
#include "tests/unit/storage/fixture.h"

static void event_append_done(struct storage_event_append *append)
{
    *(bool *)append->arg = true;
}

static enum status try_event(struct fixture *fx, const char *endpoint, struct str text,
                             uint64_t *ret_id)
{
    bool done = false;
    struct storage_event_append append = {.endpoint = str_of(endpoint),
                                          .text = text,
                                          .time_ms = 1000,
                                          .done = event_append_done,
                                          .arg = &done};
    storage_event_append(fx->storage, &append);
    assert_false(done);
    wait_for(fx, &done);
    *ret_id = append.id;
    return append.status;
}

static uint64_t add(struct fixture *fx, const char *endpoint, const char *text)
{
    uint64_t id;
    assert_int_equal(try_event(fx, endpoint, str_of(text), &id), STATUS_OK);
    return id;
}

static void events_read_done(struct storage_events_read *read)
{
    *(bool *)read->arg = true;
}

/* To be released. */
static struct storage_events_read read_events(struct fixture *fx, const char *endpoint,
                                              uint64_t since, size_t limit, size_t max_bytes)
{
    bool done = false;
    struct storage_events_read read = {.endpoint = str_of(endpoint),
                                       .since = since,
                                       .limit = limit,
                                       .max_bytes = max_bytes,
                                       .done = events_read_done,
                                       .arg = &done};
    storage_events_read(fx->storage, &read);
    assert_false(done);
    wait_for(fx, &done);
    assert_int_equal(read.status, STATUS_OK);
    return read;
}

static void events_remove_done(struct storage_events_remove *remove)
{
    *(bool *)remove->arg = true;
}

static uint64_t remove_events(struct fixture *fx, const char *endpoint, uint64_t last_id)
{
    bool done = false;
    struct storage_events_remove remove = {
        .endpoint = str_of(endpoint), .last_id = last_id, .done = events_remove_done, .arg = &done};
    storage_events_remove(fx->storage, &remove);
    assert_false(done);
    wait_for(fx, &done);
    assert_int_equal(remove.status, STATUS_OK);
    return remove.n_removed;
}

static void events_count_done(struct storage_events_count *count)
{
    *(bool *)count->arg = true;
}

static uint64_t count_events(struct fixture *fx, const char *endpoint)
{
    bool done = false;
    struct storage_events_count count = {
        .endpoint = str_of(endpoint), .done = events_count_done, .arg = &done};
    storage_events_count(fx->storage, &count);
    assert_false(done);
    wait_for(fx, &done);
    assert_int_equal(count.status, STATUS_OK);
    return count.n_events;
}

static void others_done(struct storage_events_remove_others *remove)
{
    *(bool *)remove->arg = true;
}

static uint64_t remove_others(struct fixture *fx, const struct str *endpoints, size_t n_endpoints)
{
    bool done = false;
    struct storage_events_remove_others remove = {
        .endpoints = endpoints, .n_endpoints = n_endpoints, .done = others_done, .arg = &done};
    storage_events_remove_others(fx->storage, &remove);
    assert_false(done);
    wait_for(fx, &done);
    assert_int_equal(remove.status, STATUS_OK);
    return remove.n_removed;
}

static void check_texts(struct fixture *fx, const char *endpoint, const char *const *texts,
                        size_t n)
{
    struct storage_events_read read = read_events(fx, endpoint, 0, 1000, 0);
    assert_int_equal(read.n_events, n);
    for (size_t i = 0; i < n; i++) {
        assert_str(read.events[i].text, texts[i]);
        assert_int_equal(read.events[i].time_ms, 1000);
        assert_true(i == 0 || read.events[i].id > read.events[i - 1].id);
    }
    storage_events_release(&read);
}

static void each_endpoint_has_its_own_in_order(void **state)
{
    struct fixture *fx = *state;
    static const char *const texts[] = {"{\"n\":1}", "{\"n\":2}", "{\"n\":1.10}"};
    check_texts(fx, "a", texts, 0);
    uint64_t first = add(fx, "a", texts[0]);
    uint64_t other = add(fx, "b", "{\"n\":\"b\"}");
    uint64_t second = add(fx, "a", texts[1]);
    add(fx, "a", texts[2]);
    assert_true(first < other && other < second);
    check_texts(fx, "a", texts, 3);
    assert_int_equal(count_events(fx, "a"), 3);
    assert_int_equal(count_events(fx, "b"), 1);
    assert_int_equal(count_events(fx, "c"), 0);
    struct storage_events_read read = read_events(fx, "a", first, 1, 0);
    assert_int_equal(read.n_events, 1);
    assert_int_equal(read.events[0].id, second);
    storage_events_release(&read);
    assert_int_equal(stats_of(fx).n_events, 4);
    assert_int_equal(stats_of(fx).n_appends, 0);
    assert_int_equal(stats_of(fx).queue_bytes, 0);
    assert_int_equal(stats_of(fx).queue_length, 0);
}

static void a_read_ends_with_the_event_that_reaches_its_bytes(void **state)
{
    struct fixture *fx = *state;
    for (int i = 0; i < 20; i++) {
        add(fx, "a", "[1,2,3,45]");
    }
    for (size_t n = 1; n <= 20; n++) {
        struct storage_events_read read = read_events(fx, "a", 0, 1000, n * 10);
        assert_int_equal(read.n_events, n);
        storage_events_release(&read);
        read = read_events(fx, "a", 0, 1000, n * 10 - 9);
        assert_int_equal(read.n_events, n);
        storage_events_release(&read);
    }
}

static void what_was_delivered_is_removed(void **state)
{
    struct fixture *fx = *state;
    static const char *const rest[] = {"3"};
    add(fx, "a", "1");
    add(fx, "b", "2");
    uint64_t last_id = add(fx, "a", "2");
    add(fx, "a", "3");
    assert_int_equal(remove_events(fx, "a", last_id), 2);
    assert_int_equal(remove_events(fx, "a", last_id), 0);
    check_texts(fx, "a", rest, 1);
    assert_int_equal(count_events(fx, "b"), 1);
    assert_int_equal(remove_events(fx, "b", UINT64_MAX), 1);
}

/* Many at a time: they are committed in groups. */
struct many {
    struct storage_event_append appends[3000];
    size_t n_done;
    uint64_t last_id;
    bool all_done;
};

static void one_of_many_done(struct storage_event_append *append)
{
    struct many *many = append->arg;
    assert_int_equal(append->status, STATUS_OK);
    assert_ptr_equal(append, &many->appends[many->n_done]);
    assert_true(append->id > many->last_id);
    many->last_id = append->id;
    many->n_done++;
    many->all_done = many->n_done == 3000;
}

static void add_many(struct fixture *fx, const char *endpoint)
{
    struct many *many = calloc(1, sizeof(*many));
    assert_non_null(many);
    for (size_t i = 0; i < 3000; i++) {
        many->appends[i] = (struct storage_event_append){.endpoint = str_of(endpoint),
                                                         .text = STR("{\"event\":\"x\"}"),
                                                         .time_ms = 1000,
                                                         .done = one_of_many_done,
                                                         .arg = many};
        storage_event_append(fx->storage, &many->appends[i]);
    }
    wait_for(fx, &many->all_done);
    free(many);
}

static void acknowledgements_come_in_order(void **state)
{
    struct fixture *fx = *state;
    add_many(fx, "a");
    assert_true(stats_of(fx).n_groups < 3000);
    assert_int_equal(count_events(fx, "a"), 3000);
    struct storage_events_read read = read_events(fx, "a", 0, 5000, 0);
    assert_int_equal(read.n_events, 3000);
    assert_int_equal(remove_events(fx, "a", read.events[2998].id), 2999);
    storage_events_release(&read);
}

/* The count says what was there when it was asked for. */
static void a_count_knows_no_later_ones(void **state)
{
    struct fixture *fx = *state;
    bool counted = false;
    bool appended[2] = {false, false};
    struct storage_event_append appends[2];
    struct storage_events_count count = {
        .endpoint = STR("a"), .done = events_count_done, .arg = &counted};
    for (size_t i = 0; i < 2; i++) {
        appends[i] = (struct storage_event_append){
            .endpoint = STR("a"), .text = STR("1"), .done = event_append_done, .arg = &appended[i]};
    }
    storage_event_append(fx->storage, &appends[0]);
    storage_events_count(fx->storage, &count);
    storage_event_append(fx->storage, &appends[1]);
    wait_for(fx, &appended[1]);
    assert_true(counted);
    assert_int_equal(count.n_events, 1);
}

static void events_of_endpoints_that_are_no_more_go(void **state)
{
    struct fixture *fx = *state;
    static const struct str kept[] = {{"b", 1}, {"d", 1}};
    add(fx, "a", "1");
    add(fx, "b", "1");
    add_many(fx, "c");
    add(fx, "d", "1");
    add(fx, "e", "1");
    uint64_t n_removed = 0, n;
    size_t n_calls = 0;
    while ((n = remove_others(fx, kept, 2)) > 0) {
        assert_true(n < 1000);
        n_removed += n;
        n_calls++;
    }
    assert_int_equal(n_removed, 3002);
    assert_true(n_calls > 1);
    assert_int_equal(count_events(fx, "b"), 1);
    assert_int_equal(count_events(fx, "c"), 0);
    assert_int_equal(count_events(fx, "d"), 1);
    assert_int_equal(remove_others(fx, NULL, 0), 2);
    assert_int_equal(count_events(fx, "d"), 0);
}

static void a_full_queue_refuses(void **state)
{
    struct fixture *fx = *state;
    static char text[100000];
    uint64_t id = 7;
    memset(text, '1', sizeof(text));
    fx->queue_max_size = sizeof(text);
    reopen(fx);
    struct str large = {text, sizeof(text)};
    assert_int_equal(try_event(fx, "a", large, &id), STATUS_OVERLOADED);
    assert_int_equal(id, 0);
    assert_int_equal(try_event(fx, "a", str_head(large, sizeof(text) / 2), &id), STATUS_OK);
    assert_int_equal(stats_of(fx).n_overloaded, 1);
    assert_int_equal(stats_of(fx).queue_bytes, 0);
    assert_int_equal(count_events(fx, "a"), 1);
}

static void a_restart_keeps_them_and_the_ids_go_on(void **state)
{
    struct fixture *fx = *state;
    static const char *const texts[] = {"1", "2", "3"};
    uint64_t first = add(fx, "a", "1");
    uint64_t last = add(fx, "a", "2");
    reopen(fx);
    uint64_t next = add(fx, "a", "3");
    assert_true(first < last && last < next);
    check_texts(fx, "a", texts, 3);
    assert_int_equal(remove_events(fx, "a", next), 3);
    /* The clock is put back, and no event is left to remember the ids by. */
    close_storage(fx);
    change_file(fx, "UPDATE sqlite_sequence SET seq=seq+1000000000000 WHERE name='events'");
    open_storage(fx);
    assert_true(add(fx, "a", "4") > next + UINT64_C(1000000000000));
}

static void a_new_file_gives_no_old_ids(void **state)
{
    struct fixture *fx = *state;
    uint64_t before = add(fx, "a", "1");
    close_storage(fx);
    if (fx->durability != STORAGE_MEMORY) {
        remove_files(fx);
    }
    usleep(2000); /* ids are as fine as the clock */
    open_storage(fx);
    uint64_t after = add(fx, "a", "1");
    assert_true(after > before);
    assert_true(after < UINT64_C(1) << 53);
    assert_int_equal(count_events(fx, "a"), 1);
}

/* One that cannot be delivered must not hold up those behind it. */
static void a_damaged_event_is_said_to_be(void **state)
{
    struct fixture *fx = *state;
    log_set_level(LOG_NONE);
    add(fx, "a", "1");
    add(fx, "a", "2");
    add(fx, "a", "3");
    change_file(fx, "UPDATE events SET text='{' WHERE text='2'");
    struct storage_events_read read = read_events(fx, "a", 0, 10, 0);
    assert_int_equal(read.n_events, 3);
    assert_str(read.events[0].text, "1");
    assert_int_equal(read.events[1].text.len, 0);
    assert_str(read.events[2].text, "3");
    storage_events_release(&read);
    log_set_level(LOG_WARN);
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
        WITH_FILE(each_endpoint_has_its_own_in_order),
        WITH(each_endpoint_has_its_own_in_order, full),
        WITH(each_endpoint_has_its_own_in_order, memory),
        WITH_FILE(a_read_ends_with_the_event_that_reaches_its_bytes),
        WITH_FILE(what_was_delivered_is_removed),
        WITH(what_was_delivered_is_removed, memory),
        WITH_FILE(acknowledgements_come_in_order),
        WITH(acknowledgements_come_in_order, memory),
        WITH_FILE(a_count_knows_no_later_ones),
        WITH_FILE(events_of_endpoints_that_are_no_more_go),
        WITH_FILE(a_full_queue_refuses),
        WITH_FILE(a_restart_keeps_them_and_the_ids_go_on),
        WITH(a_restart_keeps_them_and_the_ids_go_on, full),
        WITH_FILE(a_new_file_gives_no_old_ids),
        WITH(a_new_file_gives_no_old_ids, memory),
        WITH_FILE(a_damaged_event_is_said_to_be),
    };
    log_set_level(LOG_WARN);
    return cmocka_run_group_tests_name("events", tests, NULL, NULL);
}
