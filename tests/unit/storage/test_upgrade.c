/* SPDX-License-Identifier: MIT */
/* Files of every earlier version of the schema are taken over with all that is in them. Each is an
 * SQL dump of a file that a program of that version wrote: version_N.sql, with the same channels in
 * it (see "streams"); whoever makes a new version adds the one of the version before. */
#include "storage/schema.h"
#include "tests/unit/storage/fixture.h"

static const struct {
    const char *channel;
    uint64_t top;
    size_t n_items;
} streams[] = {
    {"news", 5, 5},        {"trimmed", 12, 4}, {"lagging", 131, 3}, /* more rows than count */
    {"unpublished", 0, 0}, {"expired", 4, 0},  {"city:1", 1, 1},    {"again", 1, 1},
};
enum { N_STREAMS = sizeof(streams) / sizeof(streams[0]) };

static char *read_dump(int64_t version)
{
    char name[256];
    snprintf(name, sizeof(name), "%s/version_%d.sql", VERSIONS_FOLDER, (int)version);
    FILE *file = fopen(name, "r");
    if (!file) {
        fail_msg("%s: there must be a file of this version", name);
    }
    char *text = calloc(1, 1 << 20);
    assert_non_null(text);
    assert_true(fread(text, 1, (1 << 20) - 1, file) > 0 && feof(file));
    fclose(file);
    return text;
}

static void load_dump(struct fixture *fx, int64_t version)
{
    char *text = read_dump(version);
    change_file(fx, text);
    free(text);
    assert_int_equal(query_i64(fx, "PRAGMA user_version"), version);
}

static void read_epochs(struct fixture *fx, char epochs[N_STREAMS][STORAGE_EPOCH_SIZE])
{
    sqlite3 *db;
    sqlite3_stmt *stmt;
    assert_int_equal(sqlite3_open(fx->path, &db), SQLITE_OK);
    assert_int_equal(
        sqlite3_prepare_v2(db, "SELECT epoch FROM streams WHERE channel=?1", -1, &stmt, NULL),
        SQLITE_OK);
    for (size_t i = 0; i < N_STREAMS; i++) {
        sqlite3_bind_text(stmt, 1, streams[i].channel, -1, SQLITE_STATIC);
        assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
        snprintf(epochs[i], STORAGE_EPOCH_SIZE, "%s", (const char *)sqlite3_column_text(stmt, 0));
        sqlite3_reset(stmt);
    }
    sqlite3_finalize(stmt);
    sqlite3_close(db);
}

/* Each with n_more appends since. */
static void check_streams(struct fixture *fx, char epochs[N_STREAMS][STORAGE_EPOCH_SIZE],
                          uint64_t n_more)
{
    for (size_t i = 0; i < N_STREAMS; i++) {
        struct storage_history h = history_of(fx, streams[i].channel, 1000);
        assert_string_equal(h.top.epoch, epochs[i]);
        assert_int_equal(h.top.offset, streams[i].top + n_more);
        assert_int_equal(h.n_items, streams[i].n_items + n_more);
        for (size_t k = 0; k < h.n_items; k++) {
            assert_int_equal(h.items[k].offset, h.top.offset - h.n_items + 1 + k);
            assert_true(h.items[k].time_ms > 0);
            assert_false(h.items[k].delta);
        }
        storage_history_release(&h);
    }
}

static void check_texts(struct fixture *fx)
{
    struct storage_history h = history_of(fx, "news", 1000);
    assert_str(h.items[3].data, "{\"price\":1.10,\"id\":12345678901234567893,"
                                "\"text\":\"it's \xf0\x9f\x94\x94 \\u0000\"}");
    assert_str(h.items[3].info, "{\"user\":\"42\",\"client\":\"c\"}");
    assert_str(h.items[3].tags, "{\"k\":\"1.0\"}");
    assert_int_equal(h.items[0].info.len, 0);
    assert_int_equal(h.items[0].tags.len, 0);
    storage_history_release(&h);
    h = history_of(fx, "trimmed", 1000);
    assert_str(h.items[0].data, "{\"n\":9}");
    storage_history_release(&h);
    h = history_of(fx, "again", 1000);
    assert_str(h.items[0].data, "\"anew\"");
    storage_history_release(&h);
}

static void check_feeds(struct fixture *fx)
{
    struct storage_feed_read read = read_feed(fx, "city", "{\"city\":\"K\xc3\xb6ln\"}");
    assert_int_equal(read.status, STATUS_OK);
    assert_str(read.snapshot, "{\"a\":1.10}");
    assert_true(read.completed);
    assert_int_equal(read.time_ms, 1002);
    assert_int_equal(read.position.offset, 1);
    assert_string_equal(read.position.epoch, position_of(fx, "city:1").epoch);
    assert_int_equal(read.n_items, 2);
    assert_str(read.items[0].value, "[12345678901234567890]");
    assert_int_equal(read.items[0].http_status, 203);
    assert_int_equal(read.items[1].time_ms, 11);
    assert_int_equal(read.items[0].condition.len, 0);
    storage_feed_read_release(&read);
    read = read_feed(fx, "city", "{}");
    assert_str(read.snapshot, "null");
    assert_false(read.completed);
    assert_int_equal(read.position.offset, 0);
    assert_int_equal(read.n_items, 1);
    storage_feed_read_release(&read);
}

/* What version 2 remembers more: a key of the publication in city:1, and the version of trimmed. */
static void check_suppression(struct fixture *fx)
{
    struct storage_append append = {
        .channel = STR("city:1"), .data = STR("1"), .retention = KEEP, .idempotency_key = STR("k")};
    run_append(fx, &append);
    assert_int_equal(append.suppressed, STORAGE_SAME_KEY);
    assert_int_equal(append.position.offset, 1);
    append = (struct storage_append){.channel = STR("trimmed"),
                                     .data = STR("1"),
                                     .retention = KEEP,
                                     .version = 7,
                                     .version_epoch = STR("v")};
    run_append(fx, &append);
    assert_int_equal(append.suppressed, STORAGE_OLD_VERSION);
}

struct texts {
    bool done;
    size_t n;
    char texts[4][64];
};

static void events_done(struct storage_events_read *read)
{
    struct texts *texts = read->arg;
    assert_int_equal(read->status, STATUS_OK);
    for (size_t i = 0; i < read->n_events; i++) {
        snprintf(texts->texts[i], sizeof(texts->texts[i]), "%.*s", STR_ARG(read->events[i].text));
    }
    texts->n = read->n_events;
    texts->done = true;
    storage_events_release(read);
}

/* What version 3 remembers more: three events, two of them for this endpoint. */
static void check_events(struct fixture *fx)
{
    struct texts texts = {0};
    struct storage_events_read read = {
        .endpoint = STR("crm"), .limit = 4, .done = events_done, .arg = &texts};
    storage_events_read(fx->storage, &read);
    wait_for(fx, &texts.done);
    assert_int_equal(texts.n, 2);
    assert_string_equal(texts.texts[0], "{\"event\":\"publish\",\"price\":1.10}");
    assert_string_equal(texts.texts[1], "{\"event\":\"leave\"}");
}

static void check_version(struct fixture *fx, int64_t version)
{
    char epochs[N_STREAMS][STORAGE_EPOCH_SIZE];
    load_dump(fx, version);
    read_epochs(fx, epochs);
    open_storage(fx);
    assert_int_equal(query_i64(fx, "PRAGMA user_version"), schema_newest_version());
    check_streams(fx, epochs, 0);
    check_texts(fx);
    check_feeds(fx);
    if (version >= 2) {
        check_suppression(fx);
    }
    if (version >= 3) {
        check_events(fx);
    }
    assert_int_equal(stats_of(fx).n_feed_snapshots, 2);
    assert_int_equal(stats_of(fx).n_streams, N_STREAMS);
    for (size_t i = 0; i < N_STREAMS; i++) {
        append_text(fx, streams[i].channel, "\"more\"", KEEP);
    }
    check_streams(fx, epochs, 1);
    /* What nobody can read any more goes. */
    wait_for_number(fx, "SELECT count(*) FROM streams WHERE channel IS NULL", 0);
    reopen(fx);
    check_streams(fx, epochs, 1);
    check_texts(fx);
    check_feeds(fx);
    close_storage(fx);
    assert_int_equal(query_i64(fx, "SELECT count(*) FROM pragma_integrity_check"
                                   " WHERE integrity_check='ok'"),
                     1);
}

static void every_earlier_version_is_taken_over(void **state)
{
    struct fixture *fx = *state;
    assert_true(schema_newest_version() > 1);
    for (int64_t version = 1; version < schema_newest_version(); version++) {
        check_version(fx, version);
        remove_files(fx);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_earlier_version_is_taken_over, set_up_closed,
                                        tear_down),
    };
    log_set_level(LOG_WARN);
    return cmocka_run_group_tests_name("upgrade", tests, NULL, NULL);
}
