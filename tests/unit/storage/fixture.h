/* What the storage's tests share: a folder, a loop, a storage in it, and operations that are waited
 * for. Everything is real: files, threads, SQLite. */
#ifndef BELFRY_TESTS_STORAGE_FIXTURE_H
#define BELFRY_TESTS_STORAGE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "storage/storage.h"

#define HOUR_MS INT64_C(3600000)
#define KEEP    ((struct storage_retention){100000, HOUR_MS, 24 * HOUR_MS})

struct fixture {
    char folder[64];
    char path[96];
    enum storage_durability durability;
    size_t queue_max_size;
    uint64_t stream_limit;
    uint64_t idempotency_key_limit;
    struct loop *loop;
    struct storage *storage;
};

static inline void turn(struct fixture *fx)
{
    uv_run(loop_uv(fx->loop), UV_RUN_ONCE);
}

static inline void wait_for(struct fixture *fx, const bool *happened)
{
    while (!*happened) {
        turn(fx);
    }
}

static inline enum status try_open(struct fixture *fx)
{
    struct storage_options options = {.loop = fx->loop,
                                      .path = fx->path,
                                      .durability = fx->durability,
                                      .queue_max_size = fx->queue_max_size,
                                      .stream_limit = fx->stream_limit,
                                      .idempotency_key_limit = fx->idempotency_key_limit};
    return storage_open(&options, &fx->storage);
}

static inline void open_storage(struct fixture *fx)
{
    assert_int_equal(try_open(fx), STATUS_OK);
}

static inline void on_closed(void *arg)
{
    *(bool *)arg = true;
}

static inline void close_storage(struct fixture *fx)
{
    bool closed = false;
    storage_close(fx->storage, on_closed, &closed);
    wait_for(fx, &closed);
    fx->storage = NULL;
}

static inline void reopen(struct fixture *fx)
{
    close_storage(fx);
    open_storage(fx);
}

/* A folder and a loop, no storage yet. */
static inline struct fixture *fixture_create(enum storage_durability durability)
{
    struct fixture *fx = calloc(1, sizeof(*fx));
    assert_non_null(fx);
    snprintf(fx->folder, sizeof(fx->folder), "/tmp/belfry-storage-XXXXXX");
    assert_non_null(mkdtemp(fx->folder));
    snprintf(fx->path, sizeof(fx->path), "%s/hub.db", fx->folder);
    fx->durability = durability;
    fx->queue_max_size = (size_t)256 << 20;
    fx->stream_limit = 1000000;
    fx->idempotency_key_limit = 1000000;
    assert_int_equal(loop_create(&fx->loop), STATUS_OK);
    return fx;
}

static inline void remove_files(struct fixture *fx)
{
    static const char *const suffixes[] = {"", "-wal", "-shm", "-lock", "-journal"};
    for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
        char name[128];
        snprintf(name, sizeof(name), "%s%s", fx->path, suffixes[i]);
        unlink(name);
    }
}

static inline void fixture_destroy(struct fixture *fx)
{
    if (fx->storage) {
        close_storage(fx);
    }
    loop_destroy(fx->loop);
    remove_files(fx);
    assert_int_equal(rmdir(fx->folder), 0);
    free(fx);
}

/* For tests that take the durability as their initial state. */
static inline int set_up(void **state)
{
    enum storage_durability durability =
        *state ? *(const enum storage_durability *)*state : STORAGE_NORMAL;
    struct fixture *fx = fixture_create(durability);
    open_storage(fx);
    *state = fx;
    return 0;
}

static inline int set_up_closed(void **state)
{
    *state = fixture_create(STORAGE_NORMAL);
    return 0;
}

static inline int tear_down(void **state)
{
    fixture_destroy(*state);
    return 0;
}

/* --- operations that are waited for --- */

static inline void append_done(struct storage_append *append)
{
    *(bool *)append->arg = true;
}

static inline void run_append(struct fixture *fx, struct storage_append *append)
{
    bool done = false;
    append->done = append_done;
    append->arg = &done;
    storage_append(fx->storage, append);
    assert_false(done);
    wait_for(fx, &done);
}

/* Of a text; must succeed. */
static inline struct storage_append append_text(struct fixture *fx, const char *channel,
                                                const char *text,
                                                struct storage_retention retention)
{
    struct storage_append append = {
        .channel = str_of(channel), .data = str_of(text), .retention = retention};
    run_append(fx, &append);
    assert_int_equal(append.status, STATUS_OK);
    return append;
}

static inline void history_done(struct storage_history *history)
{
    *(bool *)history->arg = true;
}

/* Must succeed; to be released. */
static inline void run_history(struct fixture *fx, struct storage_history *history)
{
    bool done = false;
    history->done = history_done;
    history->arg = &done;
    storage_history(fx->storage, history);
    assert_false(done);
    wait_for(fx, &done);
    assert_int_equal(history->status, STATUS_OK);
}

static inline struct storage_history history_of(struct fixture *fx, const char *channel,
                                                size_t limit)
{
    struct storage_history history = {
        .channel = str_of(channel), .retention = KEEP, .limit = limit};
    run_history(fx, &history);
    return history;
}

static inline struct storage_position position_of(struct fixture *fx, const char *channel)
{
    struct storage_history history = history_of(fx, channel, 0);
    storage_history_release(&history);
    return history.top;
}

static inline void feed_read_done(struct storage_feed_read *read)
{
    *(bool *)read->arg = true;
}

static inline struct storage_feed_read read_feed(struct fixture *fx, const char *feed,
                                                 const char *params)
{
    bool done = false;
    struct storage_feed_read read = {
        .feed = str_of(feed), .params = str_of(params), .done = feed_read_done, .arg = &done};
    storage_feed_read(fx->storage, &read);
    assert_false(done);
    wait_for(fx, &done);
    return read;
}

#define assert_str(view, text) assert_true(str_eq((view), str_of(text)))

/* --- looking into the file, and changing it, behind the storage's back --- */

static inline int64_t query_i64(struct fixture *fx, const char *sql)
{
    sqlite3 *db;
    sqlite3_stmt *stmt;
    assert_int_equal(sqlite3_open(fx->path, &db), SQLITE_OK);
    sqlite3_busy_timeout(db, 5000);
    sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &stmt, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
    int64_t number = sqlite3_column_int64(stmt, 0);
    sqlite3_finalize(stmt);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    return number;
}

static inline void change_file(struct fixture *fx, const char *sql)
{
    sqlite3 *db;
    assert_int_equal(sqlite3_open(fx->path, &db), SQLITE_OK);
    sqlite3_busy_timeout(db, 5000);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

/* Polls until the writer has got round to it. */
static inline void wait_for_number(struct fixture *fx, const char *sql, int64_t number)
{
    while (query_i64(fx, sql) != number) {
        position_of(fx, "bystander");
    }
}

static inline struct storage_stats stats_of(struct fixture *fx)
{
    struct storage_stats stats;
    storage_stats(fx->storage, &stats);
    return stats;
}

#endif
