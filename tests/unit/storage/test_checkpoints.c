/* SPDX-License-Identifier: MIT */
/* The write-ahead log's length: bounded under a load that never pauses, also after somebody has
 * read from it for long; and gone after closing, whatever was going on. */
#include "tests/unit/storage/fixture.h"

#include <string.h>

/* The writer's bound, 16000 frames of 4120 bytes, and what the group at it and what waits there
 * may add. */
#define LOG_BOUND ((int64_t)(16000 + 4000) * 4120)

#define DATA_SIZE     ((size_t)16 << 10)
#define N_OUTSTANDING 64
#define A_FEW_KEPT    ((struct storage_retention){10, HOUR_MS, 24 * HOUR_MS})

/* -1: there is none. */
static int64_t log_size(const struct fixture *fx)
{
    char name[128];
    struct stat st;
    snprintf(name, sizeof(name), "%s-wal", fx->path);
    return stat(name, &st) == 0 ? (int64_t)st.st_size : -1;
}

/* --- a load that never pauses: each append that is done starts the next --- */

struct load {
    struct fixture *fx;
    struct storage_append appends[N_OUTSTANDING];
    char *data;
    size_t n_to_start;
    size_t n_open;
    int64_t max_log_size;
    bool ended;
};

static void start_append(struct load *load, struct storage_append *append);

static void one_done(struct storage_append *append)
{
    struct load *load = append->arg;
    assert_int_equal(append->status, STATUS_OK);
    int64_t size = log_size(load->fx);
    load->max_log_size = size > load->max_log_size ? size : load->max_log_size;
    load->n_open--;
    if (load->n_to_start > 0) {
        start_append(load, append);
    }
    load->ended = load->n_open == 0;
}

static void start_append(struct load *load, struct storage_append *append)
{
    load->n_to_start--;
    load->n_open++;
    *append = (struct storage_append){.channel = STR("news"),
                                      .data = {load->data, DATA_SIZE},
                                      .retention = A_FEW_KEPT,
                                      .done = one_done,
                                      .arg = load};
    storage_append(load->fx->storage, append);
}

/* Returns the log's greatest size. */
static int64_t run_load(struct fixture *fx, size_t n_bytes)
{
    struct load load = {.fx = fx, .n_to_start = n_bytes / DATA_SIZE, .data = malloc(DATA_SIZE)};
    assert_non_null(load.data);
    memset(load.data, 'x', DATA_SIZE);
    for (size_t i = 0; i < N_OUTSTANDING; i++) {
        start_append(&load, &load.appends[i]);
    }
    wait_for(fx, &load.ended);
    free(load.data);
    return load.max_log_size;
}

static void the_log_stays_bounded_under_constant_load(void **state)
{
    struct fixture *fx = *state;
    int64_t max_size = run_load(fx, 6 * (size_t)LOG_BOUND);
    assert_true(max_size > 0);
    assert_true(max_size <= LOG_BOUND);
}

static sqlite3 *start_reading(struct fixture *fx)
{
    sqlite3 *reader;
    assert_int_equal(sqlite3_open(fx->path, &reader), SQLITE_OK);
    sqlite3_db_config(reader, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    const char *sql = "BEGIN; SELECT count(*) FROM publications";
    assert_int_equal(sqlite3_exec(reader, sql, NULL, NULL, NULL), SQLITE_OK);
    return reader;
}

/* What is written while it reads is accepted, and stays in the log. */
static void the_log_starts_over_after_a_slow_reader(void **state)
{
    struct fixture *fx = *state;
    append_text(fx, "news", "1", KEEP);
    sqlite3 *reader = start_reading(fx);
    run_load(fx, 2 * (size_t)LOG_BOUND);
    assert_true(log_size(fx) > 2 * LOG_BOUND);

    assert_int_equal(sqlite3_close(reader), SQLITE_OK);
    run_load(fx, 2 * (size_t)LOG_BOUND);
    assert_true(log_size(fx) <= LOG_BOUND);
    assert_true(run_load(fx, 2 * (size_t)LOG_BOUND) <= LOG_BOUND);
}

/* Loads of different lengths, so that a checkpoint is not begun yet, under way, or over. */
static void closing_leaves_no_log(void **state)
{
    struct fixture *fx = *state;
    size_t n_bytes = 0;
    for (size_t i = 0; i < 16; i++) {
        size_t n = ((size_t)16 + 2 * i) << 20;
        run_load(fx, n);
        n_bytes += n;
        close_storage(fx);
        assert_int_equal(log_size(fx), -1);
        open_storage(fx);
    }
    assert_int_equal(position_of(fx, "news").offset, n_bytes / DATA_SIZE);
}

static void memory_has_no_log(void **state)
{
    struct fixture *fx = *state;
    run_load(fx, (size_t)LOG_BOUND);
    assert_int_equal(log_size(fx), -1);
}

static enum storage_durability normal = STORAGE_NORMAL;
static enum storage_durability full = STORAGE_FULL;
static enum storage_durability memory = STORAGE_MEMORY;

#define ON(test, durability)                                                                       \
    {                                                                                              \
#test " (" #durability ")", test, set_up, tear_down, &durability                           \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON(the_log_stays_bounded_under_constant_load, normal),
        ON(the_log_stays_bounded_under_constant_load, full),
        ON(the_log_starts_over_after_a_slow_reader, normal),
        ON(closing_leaves_no_log, normal),
        ON(closing_leaves_no_log, full),
        ON(memory_has_no_log, memory),
    };
    return cmocka_run_group_tests_name("checkpoints", tests, NULL, NULL);
}
