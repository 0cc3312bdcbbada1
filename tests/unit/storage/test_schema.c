/* SPDX-License-Identifier: MIT */
/* Whose file it is, which version it has, and what upgrading does when it fails half-way. */
#include "storage/schema.h"
#include "tests/unit/storage/fixture.h"

static void a_new_file_is_marked(void **state)
{
    struct fixture *fx = *state;
    open_storage(fx);
    close_storage(fx);
    assert_int_equal(query_i64(fx, "PRAGMA application_id"), SCHEMA_APPLICATION_ID);
    assert_int_equal(query_i64(fx, "PRAGMA user_version"), schema_newest_version());
    open_storage(fx);
}

static void an_empty_file_is_taken(void **state)
{
    struct fixture *fx = *state;
    FILE *file = fopen(fx->path, "w");
    assert_non_null(file);
    fclose(file);
    open_storage(fx);
    assert_int_equal(append_text(fx, "news", "1", KEEP).position.offset, 1);
}

static void a_newer_file_is_refused_and_left_alone(void **state)
{
    struct fixture *fx = *state;
    open_storage(fx);
    append_text(fx, "news", "1", KEEP);
    close_storage(fx);
    change_file(fx, "PRAGMA user_version=99");
    assert_int_equal(try_open(fx), STATUS_VERSION);
    assert_int_equal(query_i64(fx, "PRAGMA user_version"), 99);
    char back[64];
    snprintf(back, sizeof(back), "PRAGMA user_version=%d", (int)schema_newest_version());
    change_file(fx, back);
    open_storage(fx);
    assert_int_equal(position_of(fx, "news").offset, 1);
}

static void a_foreign_database_is_refused_and_left_alone(void **state)
{
    struct fixture *fx = *state;
    change_file(fx, "CREATE TABLE theirs(a); INSERT INTO theirs VALUES(7)");
    assert_int_equal(try_open(fx), STATUS_CORRUPT);
    assert_int_equal(query_i64(fx, "SELECT a FROM theirs"), 7);
    assert_int_equal(query_i64(fx, "SELECT count(*) FROM sqlite_master"), 1);
    change_file(fx, "DROP TABLE theirs; PRAGMA application_id=5");
    assert_int_equal(try_open(fx), STATUS_CORRUPT);
}

static void a_file_that_is_no_database_is_refused_and_left_alone(void **state)
{
    struct fixture *fx = *state;
    static const char text[] = "Dear diary, this is not a database, but it is quite long. ";
    FILE *file = fopen(fx->path, "w");
    assert_non_null(file);
    for (int i = 0; i < 100; i++) {
        fputs(text, file);
    }
    fclose(file);
    assert_int_equal(try_open(fx), STATUS_CORRUPT);
    struct stat info;
    assert_int_equal(stat(fx->path, &info), 0);
    assert_int_equal(info.st_size, 100 * (sizeof(text) - 1));
}

static void a_missing_folder_is_an_io_error(void **state)
{
    struct fixture *fx = *state;
    char path[sizeof(fx->path)];
    memcpy(path, fx->path, sizeof(path));
    snprintf(fx->path, sizeof(fx->path), "%s/absent/hub.db", fx->folder);
    assert_int_equal(try_open(fx), STATUS_IO);
    memcpy(fx->path, path, sizeof(path));
}

static void one_file_has_one_owner(void **state)
{
    struct fixture *fx = *state;
    open_storage(fx);
    struct fixture second = *fx;
    second.storage = NULL;
    assert_int_equal(try_open(&second), STATUS_IO);
    assert_int_equal(append_text(fx, "news", "1", KEEP).position.offset, 1);
    close_storage(fx);
    assert_int_equal(try_open(&second), STATUS_OK);
    fx->storage = second.storage;
}

static const char *const good[] = {"CREATE TABLE a(x)", "CREATE TABLE b(x); CREATE TABLE c(x)"};
static const char *const broken[] = {"CREATE TABLE a(x)", "CREATE TABLE b(x); CREATE TABLE a(x)"};

static int64_t number(struct db *db, const char *sql)
{
    int64_t n;
    assert_int_equal(db_query_i64(db, sql, &n), STATUS_OK);
    return n;
}

static void an_upgrade_is_whole_or_nothing(void **state)
{
    struct db db;
    (void)state;
    assert_int_equal(db_open(":memory:", SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, &db),
                     STATUS_OK);
    assert_int_not_equal(schema_upgrade(&db, broken, 2), STATUS_OK);
    assert_int_equal(number(&db, "PRAGMA user_version"), 1);
    assert_int_equal(number(&db, "SELECT count(*) FROM sqlite_master"), 1);
    assert_int_equal(schema_upgrade(&db, good, 2), STATUS_OK);
    assert_int_equal(number(&db, "PRAGMA user_version"), 2);
    assert_int_equal(number(&db, "PRAGMA application_id"), SCHEMA_APPLICATION_ID);
    assert_int_equal(number(&db, "SELECT count(*) FROM sqlite_master"), 3);
    assert_int_equal(schema_upgrade(&db, good, 2), STATUS_OK);
    assert_int_equal(schema_upgrade(&db, good, 1), STATUS_VERSION);
    db_close(&db);
}

static void check_synchronous(struct fixture *fx, enum storage_durability durability, int64_t level)
{
    struct db db;
    assert_int_equal(schema_open_writer(fx->path, durability, &db), STATUS_OK);
    assert_int_equal(number(&db, "PRAGMA synchronous"), level);
    assert_int_equal(number(&db, "PRAGMA wal_autocheckpoint"), 0);
    assert_int_equal(number(&db, "PRAGMA busy_timeout"), 5000);
    db_close(&db);
}

static void durability_sets_when_it_is_synced(void **state)
{
    check_synchronous(*state, STORAGE_FULL, 2);
    check_synchronous(*state, STORAGE_NORMAL, 1);
}

static void the_reader_cannot_write(void **state)
{
    struct fixture *fx = *state;
    struct db writer, reader;
    assert_int_equal(schema_open_writer(fx->path, STORAGE_NORMAL, &writer), STATUS_OK);
    assert_int_equal(schema_open_reader(fx->path, &reader), STATUS_OK);
    assert_int_equal(db_exec(&reader, "DELETE FROM streams"), STATUS_IO);
    assert_int_equal(number(&reader, "SELECT count(*) FROM streams"), 0);
    db_close(&reader);
    db_close(&writer);
}

/* Else a checkpoint would sync neither the log nor the database. */
static void the_checkpointer_syncs(void **state)
{
    struct fixture *fx = *state;
    struct db writer, checkpointer;
    assert_int_equal(schema_open_writer(fx->path, STORAGE_NORMAL, &writer), STATUS_OK);
    assert_int_equal(schema_open_checkpointer(fx->path, &checkpointer), STATUS_OK);
    assert_int_equal(number(&checkpointer, "PRAGMA synchronous"), 1);
    assert_int_equal(number(&checkpointer, "PRAGMA wal_autocheckpoint"), 0);
    db_close(&checkpointer);
    db_close(&writer);
}

#define WITH_FOLDER(test) cmocka_unit_test_setup_teardown(test, set_up_closed, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_FOLDER(a_new_file_is_marked),
        WITH_FOLDER(an_empty_file_is_taken),
        WITH_FOLDER(a_newer_file_is_refused_and_left_alone),
        WITH_FOLDER(a_foreign_database_is_refused_and_left_alone),
        WITH_FOLDER(a_file_that_is_no_database_is_refused_and_left_alone),
        WITH_FOLDER(a_missing_folder_is_an_io_error),
        WITH_FOLDER(one_file_has_one_owner),
        WITH_FOLDER(an_upgrade_is_whole_or_nothing),
        WITH_FOLDER(durability_sets_when_it_is_synced),
        WITH_FOLDER(the_reader_cannot_write),
        WITH_FOLDER(the_checkpointer_syncs),
    };
    /* The refusals above are meant: their log lines would only irritate. */
    log_set_level(LOG_NONE);
    return cmocka_run_group_tests_name("schema", tests, NULL, NULL);
}
