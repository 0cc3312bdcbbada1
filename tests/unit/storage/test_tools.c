/* SPDX-License-Identifier: MIT */
/* Checking and copying a file, also one that is in use. */
#include "tests/unit/storage/fixture.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>

#include "storage/schema.h"

/* --- what the tools say --- */

enum { FINDINGS_KEPT = 8 };

struct findings {
    size_t n;
    char texts[FINDINGS_KEPT][256];
};

static void keep_finding(void *arg, const char *text)
{
    struct findings *findings = arg;
    if (findings->n < FINDINGS_KEPT) {
        snprintf(findings->texts[findings->n], sizeof(findings->texts[0]), "%s", text);
    }
    findings->n++;
}

static struct storage_check_counts check(const char *path, struct findings *ret_findings)
{
    struct storage_check_counts counts = {0};
    *ret_findings = (struct findings){0};
    assert_int_equal(storage_check(path, keep_finding, ret_findings, &counts), STATUS_OK);
    return counts;
}

static struct storage_check_counts check_good(const char *path)
{
    struct findings findings;
    struct storage_check_counts counts = check(path, &findings);
    if (findings.n > 0) {
        fail_msg("%s", findings.texts[0]);
    }
    assert_int_equal(counts.n_findings, 0);
    return counts;
}

static enum status try_check(const char *path)
{
    struct findings findings = {0};
    struct storage_check_counts counts = {.n_streams = 77};
    enum status status = storage_check(path, keep_finding, &findings, &counts);
    assert_true(status == STATUS_OK || counts.n_streams == 77);
    return status;
}

static size_t n_files(const struct fixture *fx)
{
    DIR *folder = opendir(fx->folder);
    size_t n = 0;
    assert_non_null(folder);
    for (struct dirent *entry; (entry = readdir(folder));) {
        n += entry->d_name[0] != '.';
    }
    closedir(folder);
    return n;
}

/* --- files to look at --- */

static const struct storage_retention few = {3, HOUR_MS, 24 * HOUR_MS};
static const struct storage_retention brief = {10, 1, 24 * HOUR_MS};
static const struct storage_retention forgotten = {10, 1, 1};

static void append_feed(struct fixture *fx)
{
    struct storage_feed_value value = {.upstream = STR("weather"),
                                       .value = STR("{\"t\":1.10}"),
                                       .http_status = 200,
                                       .condition = STR("\"e\"")};
    struct storage_feed_write feed = {.feed = STR("city"),
                                      .params = STR("{\"city\":\"bilbao\"}"),
                                      .snapshot = STR("{\"weather\":{\"t\":1.10}}"),
                                      .values = &value,
                                      .n_values = 1};
    struct storage_append append = {.channel = STR("city:bilbao"),
                                    .data = feed.snapshot,
                                    .info = STR("{\"user\":\"u\"}"),
                                    .tags = STR("{\"a\":\"b\"}"),
                                    .retention = KEEP,
                                    .feed = &feed};
    run_append(fx, &append);
    assert_int_equal(append.status, STATUS_OK);
}

static void runs_kept(struct storage_runs_append *append)
{
    assert_int_equal(append->status, STATUS_OK);
    *(bool *)append->arg = true;
}

static void append_run(struct fixture *fx)
{
    bool done = false;
    struct storage_run run = {.feed = STR("city"),
                              .params = STR("{\"city\":\"bilbao\"}"),
                              .text = STR("{\"completed\":true}"),
                              .size = 10,
                              .ttl_ms = HOUR_MS};
    struct storage_runs_append append = {
        .runs = &run, .n_runs = 1, .done = runs_kept, .arg = &done};
    storage_runs_append(fx->storage, &append);
    wait_for(fx, &done);
}

/* Something of all that a hub may have left, over and not yet removed. */
static void fill(struct fixture *fx)
{
    for (int i = 0; i < 5; i++) {
        append_text(fx, "news", "{\"n\":1}", KEEP);
        append_text(fx, "few", "[1]", few);
        append_text(fx, "brief", "\"gone\"", brief);
        append_text(fx, "forgotten", "null", forgotten);
    }
    position_of(fx, "silent");
    append_feed(fx);
    append_run(fx);
}

static void fill_and_close(struct fixture *fx)
{
    open_storage(fx);
    fill(fx);
    close_storage(fx);
}

static void make_version_1(const struct fixture *fx)
{
    static char text[1 << 16];
    sqlite3 *db;
    FILE *file = fopen(VERSION_1_SQL, "r");
    assert_non_null(file);
    text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
    fclose(file);
    assert_int_equal(sqlite3_open(fx->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "PRAGMA journal_mode=WAL", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

struct content {
    char *bytes;
    size_t len;
};

static struct content content_of(const char *path)
{
    struct content content = {0};
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    content.len = (size_t)ftell(file);
    rewind(file);
    content.bytes = malloc(content.len + 1);
    assert_non_null(content.bytes);
    assert_int_equal(fread(content.bytes, 1, content.len, file), content.len);
    content.bytes[content.len] = '\0';
    fclose(file);
    return content;
}

static void assert_unchanged(const char *path, struct content *before)
{
    struct content after = content_of(path);
    assert_int_equal(after.len, before->len);
    assert_memory_equal(after.bytes, before->bytes, before->len);
    free(after.bytes);
    free(before->bytes);
}

static void write_text(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static const char *beside(const struct fixture *fx, const char *name)
{
    static char path[2][160];
    static int i;
    i = !i;
    snprintf(path[i], sizeof(path[i]), "%s/%s", fx->folder, name);
    return path[i];
}

/* --- checking --- */

static void a_file_in_use_is_fine(void **state)
{
    struct fixture *fx = *state;
    open_storage(fx);
    fill(fx);
    struct storage_check_counts counts = check_good(fx->path);
    assert_in_range(counts.n_streams, 5, 6); /* "forgotten" may still be there */
    assert_in_range(counts.n_publications, 5 + 3 + 1, 5 + 3 + 5 + 5 + 1);
    assert_int_equal(counts.n_feeds, 1);
    assert_int_equal(counts.n_runs, 1);
    append_text(fx, "news", "6", KEEP); /* it was not disturbed */
}

static void a_quiet_file_stays_as_it_is(void **state)
{
    struct fixture *fx = *state;
    fill_and_close(fx);
    size_t n = n_files(fx);
    struct content before = content_of(fx->path);
    check_good(fx->path);
    assert_unchanged(fx->path, &before);
    assert_int_equal(n_files(fx), n);
}

static void a_killed_hubs_file_is_read_with_its_log(void **state)
{
    struct fixture *fx = *state;
    open_storage(fx);
    fill(fx);
    /* As a kill leaves it: the copy has no connection. */
    struct content main_file = content_of(fx->path);
    char name[128];
    snprintf(name, sizeof(name), "%s-wal", fx->path);
    struct content log = content_of(name);
    const char *path = beside(fx, "killed.db");
    FILE *file = fopen(path, "w");
    fwrite(main_file.bytes, 1, main_file.len, file);
    fclose(file);
    file = fopen(beside(fx, "killed.db-wal"), "w");
    fwrite(log.bytes, 1, log.len, file);
    fclose(file);
    free(main_file.bytes);
    free(log.bytes);
    path = beside(fx, "killed.db");
    assert_in_range(check_good(path).n_publications, 9, 19);
    unlink(beside(fx, "killed.db"));
    unlink(beside(fx, "killed.db-wal"));
    unlink(beside(fx, "killed.db-shm"));
}

static void version_1_is_checked_and_not_upgraded(void **state)
{
    struct fixture *fx = *state;
    make_version_1(fx);
    struct content before = content_of(fx->path);
    struct storage_check_counts counts = check_good(fx->path);
    assert_unchanged(fx->path, &before);
    assert_int_equal(n_files(fx), 1);
    assert_int_equal(query_i64(fx, "PRAGMA user_version"), 1);
    assert_int_equal(counts.n_streams,
                     query_i64(fx, "SELECT count(*) FROM streams WHERE channel IS NOT NULL"));
    change_file(fx, "UPDATE streams SET top=top+1 WHERE channel='news'");
    struct findings findings;
    assert_int_equal(check(fx->path, &findings).n_findings, 1);
}

/* Each from a good file; the findings, in order. */
static const struct {
    const char *sql;
    const char *expected[3];
} damages[] = {
    {"DELETE FROM publications WHERE offset=2 AND data='{\"n\":1}'",
     {"channel \"news\": the publication with offset 2 is missing"}},
    {"DELETE FROM publications WHERE offset IN (1, 3, 4, 5) AND data='{\"n\":1}'",
     {"channel \"news\": the publication with offset 1 is missing",
      "channel \"news\": the publications with offsets 3 to 5 are missing"}},
    {"UPDATE streams SET top=4 WHERE channel='news'",
     {"channel \"news\": there is a publication with offset 5, but the top is 4"}},
    {"UPDATE streams SET top=6 WHERE channel='few'",
     {"channel \"few\": the publication with offset 6 is missing"}},
    {"UPDATE streams SET first=7 WHERE channel='news'",
     {"channel \"news\": its publications cannot begin at offset 7 with 5 as the top"}},
    {"UPDATE streams SET first=0 WHERE channel='news'",
     {"channel \"news\": its publications cannot begin at offset 0 with 5 as the top"}},
    {"UPDATE streams SET top=9223372036854775807 WHERE channel='news'",
     {"channel \"news\": its publications cannot begin at offset 1 with 9223372036854775807 as"}},
    {"UPDATE streams SET epoch='abc', channel='ne' || char(10) || 'ws' WHERE channel='news'",
     {"channel \"ne\\nws\": the epoch is not of 8 letters"}},
    {"UPDATE streams SET epoch='abcdefg1' WHERE channel='silent'",
     {"channel \"silent\": the epoch is not of 8 letters"}},
    {"UPDATE publications SET data='{\"n\"' WHERE offset=3 AND data='{\"n\":1}'",
     {"channel \"news\": data of offset 3 is not JSON: at byte 4 "}},
    {"UPDATE publications SET info='x', tags='y' WHERE offset=1 AND info<>''",
     {"channel \"city:bilbao\": info of offset 1 is not JSON",
      "channel \"city:bilbao\": tags of offset 1 is not JSON"}},
    {"UPDATE publications SET data=CAST(x'22ff22' AS TEXT) WHERE offset=5 AND data='[1]'",
     {"channel \"few\": data of offset 5 is not JSON: at byte 1 "}},
    {"INSERT INTO publications(stream_id, offset, time_ms, data, info, tags)"
     " VALUES(999, 1, 0, '1', '', '')",
     {"publications: 1 belong to the stream with the number 999, which is not there"}},
    {"UPDATE feed_snapshots SET snapshot='{', epoch='?'",
     {"feed \"city\" with parameters \"{\\\"city\\\":\\\"bilbao\\\"}\": the snapshot is not JSON",
      "feed \"city\" with parameters \"{\\\"city\\\":\\\"bilbao\\\"}\": the epoch is not"}},
    {"UPDATE feed_values SET value='1,2'",
     {"feed \"city\" with parameters \"{\\\"city\\\":\\\"bilbao\\\"}\": the value of upstream "
      "weather is"
      " not JSON: at byte 1 "}},
    {"UPDATE feed_values SET feed_id=55",
     {"feeds: a value of upstream weather belongs to the feed with the number 55, which is not"}},
    {"INSERT INTO idempotency(channel, key, epoch, offset, expire_ms)"
     " SELECT channel, 'k', epoch, 6, 0 FROM streams WHERE channel='news'",
     {"channel \"news\": an idempotency key stands for offset 6, but the top is 5"}},
    {"DELETE FROM marks", {"marks: there are 0 rows instead of one"}},
    {"INSERT INTO events(endpoint, time_ms, text) VALUES('crm', 1, '{\"event\"')",
     {"events: number 1 of the endpoint crm is not JSON: at byte 8 "}},
    {"INSERT INTO events(endpoint, time_ms, text) VALUES('crm', 1, '{}');"
     "UPDATE sqlite_sequence SET seq=0 WHERE name='events'",
     {"events: there is one with the number 1, but the last one given is 0"}},
    {"UPDATE feed_runs SET text='{\"completed\"'",
     {"feed \"city\" with parameters \"{\\\"city\\\":\\\"bilbao\\\"}\": the text of run 1 is not"
      " JSON: at byte 12 "}},
    {"UPDATE feed_runs SET params=''",
     {"feed \"city\" with parameters \"\": the parameters' text of run 1 is not JSON"}},
};

static void what_contradicts_itself_is_found(void **state)
{
    struct fixture *fx = *state;
    for (size_t i = 0; i < sizeof(damages) / sizeof(damages[0]); i++) {
        struct findings findings;
        size_t n = 0;
        fill_and_close(fx);
        change_file(fx, damages[i].sql);
        check(fx->path, &findings);
        for (; n < 3 && damages[i].expected[n]; n++) {
            if (!strstr(findings.texts[n], damages[i].expected[n])) {
                fail_msg("%s\ngave: %s", damages[i].sql, findings.texts[n]);
            }
        }
        assert_int_equal(findings.n, n);
        remove_files(fx);
    }
}

/* The middle of the file's pages, as a bad disk would return them. */
static void damage_pages(const struct fixture *fx)
{
    static char noise[4096];
    struct content content = content_of(fx->path);
    FILE *file = fopen(fx->path, "r+");
    assert_non_null(file);
    memset(noise, 0xa5, sizeof(noise));
    for (size_t at = sizeof(noise) * 20; at + sizeof(noise) <= content.len; at += sizeof(noise)) {
        assert_int_equal(fseek(file, (long)at, SEEK_SET), 0);
        assert_int_equal(fwrite(noise, 1, sizeof(noise), file), sizeof(noise));
    }
    fclose(file);
    free(content.bytes);
}

static void append_much(struct fixture *fx)
{
    char text[2002];
    memset(text, 'x', sizeof(text));
    text[0] = text[2000] = '"';
    text[2001] = '\0';
    for (int i = 0; i < 200; i++) {
        append_text(fx, "news", text, KEEP);
    }
}

static void damaged_pages_are_found_and_not_copied(void **state)
{
    struct fixture *fx = *state;
    struct findings findings;
    open_storage(fx);
    append_much(fx);
    close_storage(fx);
    damage_pages(fx);
    check(fx->path, &findings);
    assert_true(findings.n >= 2);
    assert_non_null(strstr(findings.texts[0], "SQLite: "));
    const char *to = beside(fx, "copy.db");
    size_t n = n_files(fx);
    assert_int_equal(storage_backup(fx->path, to), STATUS_CORRUPT);
    assert_int_equal(n_files(fx), n);
}

static void too_many_findings_are_counted_only(void **state)
{
    struct fixture *fx = *state;
    struct findings findings;
    fill_and_close(fx);
    change_file(fx, "UPDATE streams SET top=4000, first=1 WHERE channel='silent'");
    change_file(fx, "WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i+2 FROM n WHERE i<4000)"
                    " INSERT INTO publications(stream_id, offset, time_ms, data, info, tags)"
                    " SELECT id, i, 0, '1', '', '' FROM n, streams WHERE channel='silent'");
    assert_int_equal(check(fx->path, &findings).n_findings, 2000);
    assert_int_equal(findings.n, 1001);
}

static void what_is_no_file_of_ours_is_refused(void **state)
{
    struct fixture *fx = *state;
    const char *to = beside(fx, "copy.db");
    assert_int_equal(try_check(fx->path), STATUS_NOT_FOUND);
    assert_int_equal(storage_backup(fx->path, to), STATUS_NOT_FOUND);
    assert_int_equal(try_check(fx->folder), STATUS_IO);
    write_text(fx->path, "");
    assert_int_equal(try_check(fx->path), STATUS_CORRUPT);
    write_text(fx->path,
               "Ninety-nine bottles of beer on the wall, ninety-nine bottles of beer. Take "
               "one down, pass it around, ninety-eight bottles of beer on the wall.");
    assert_int_equal(try_check(fx->path), STATUS_CORRUPT);
    unlink(fx->path);
    change_file(fx, "CREATE TABLE theirs(a)");
    assert_int_equal(try_check(fx->path), STATUS_CORRUPT);
    assert_int_equal(storage_backup(fx->path, to), STATUS_CORRUPT);
    unlink(fx->path);
    fill_and_close(fx);
    change_file(fx, "PRAGMA user_version=99");
    assert_int_equal(try_check(fx->path), STATUS_VERSION);
    assert_int_equal(storage_backup(fx->path, to), STATUS_VERSION);
    assert_int_equal(access(to, F_OK), -1);
}

static void open_the_log(void *arg, const char *text)
{
    char name[128];
    (void)text;
    snprintf(name, sizeof(name), "%s-wal", ((struct fixture *)arg)->path);
    write_text(name, "");
}

static void a_hub_that_starts_meanwhile_is_noticed(void **state)
{
    struct fixture *fx = *state;
    struct storage_check_counts counts;
    fill_and_close(fx);
    change_file(fx, "UPDATE streams SET top=6 WHERE channel='news'");
    assert_int_equal(storage_check(fx->path, open_the_log, fx, &counts), STATUS_CANCELLED);
}

/* --- copying --- */

static void count_done(struct storage_append *append)
{
    assert_int_equal(append->status, STATUS_OK);
    ++*(size_t *)append->arg;
}

static void a_copy_of_a_busy_file_is_consistent(void **state)
{
    enum { N = 20000 };
    struct fixture *fx = *state;
    struct storage_append *appends = calloc(N, sizeof(*appends));
    size_t n_done = 0;
    assert_non_null(appends);
    open_storage(fx);
    fill(fx);
    for (size_t i = 0; i < N; i++) {
        appends[i] = (struct storage_append){.channel = STR("busy"),
                                             .data = STR("{\"some\":\"thing\"}"),
                                             .retention = KEEP,
                                             .done = count_done,
                                             .arg = &n_done};
        storage_append(fx->storage, &appends[i]);
    }
    const char *to = beside(fx, "copy.db");
    assert_int_equal(storage_backup(fx->path, to), STATUS_OK);
    while (n_done < N) {
        turn(fx);
    }
    assert_int_equal(check_good(to).n_runs, 1);
    struct fixture copy = *fx;
    snprintf(copy.path, sizeof(copy.path), "%s", to);
    assert_int_equal(query_i64(&copy, "SELECT is_copy FROM marks"), 1);
    assert_int_equal(query_i64(&copy, "SELECT count(*) FROM feed_values WHERE condition='\"e\"'"),
                     1);
    assert_int_equal(query_i64(&copy, "PRAGMA application_id"), SCHEMA_APPLICATION_ID);
    assert_int_equal(query_i64(fx, "SELECT is_copy FROM marks"), 0);
    remove_files(&copy);
    free(appends);
}

static void a_copy_of_version_1_is_upgraded_alone(void **state)
{
    struct fixture *fx = *state;
    make_version_1(fx);
    const char *to = beside(fx, "copy.db");
    assert_int_equal(storage_backup(fx->path, to), STATUS_OK);
    assert_int_equal(n_files(fx), 2);
    struct fixture copy = *fx;
    snprintf(copy.path, sizeof(copy.path), "%s", to);
    assert_int_equal(query_i64(&copy, "SELECT is_copy FROM marks"), 1);
    assert_int_equal(query_i64(fx, "PRAGMA user_version"), 1);
    assert_int_equal(check_good(to).n_streams, check_good(fx->path).n_streams);
    remove_files(&copy);
}

static void nothing_is_overwritten(void **state)
{
    struct fixture *fx = *state;
    fill_and_close(fx);
    const char *to = beside(fx, "precious");
    write_text(to, "precious");
    struct content before = content_of(to);
    assert_int_equal(storage_backup(fx->path, to), STATUS_ALREADY);
    assert_unchanged(to, &before);
    unlink(to);
    assert_int_equal(symlink("nowhere", to), 0);
    assert_int_equal(storage_backup(fx->path, to), STATUS_ALREADY);
    unlink(to);
    assert_int_equal(storage_backup(fx->path, fx->path), STATUS_ALREADY);
    check_good(fx->path);
}

static void an_interrupted_copy_is_replaced(void **state)
{
    struct fixture *fx = *state;
    fill_and_close(fx);
    write_text(beside(fx, "copy.db.partial"), "half a copy");
    write_text(beside(fx, "copy.db.partial-journal"), "half a journal");
    size_t n = n_files(fx);
    const char *to = beside(fx, "copy.db");
    assert_int_equal(storage_backup(fx->path, to), STATUS_OK);
    assert_int_equal(n_files(fx), n - 1);
    check_good(to);
    unlink(to);
}

static void a_failed_copy_leaves_nothing(void **state)
{
    struct fixture *fx = *state;
    struct rlimit limits;
    open_storage(fx);
    append_much(fx);
    close_storage(fx);
    size_t n = n_files(fx);
    assert_int_equal(storage_backup(fx->path, beside(fx, "absent/copy.db")), STATUS_IO);
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limits), 0);
    limits.rlim_cur = 100000; /* like a full disk */
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limits), 0);
    enum status status = storage_backup(fx->path, beside(fx, "copy.db"));
    limits.rlim_cur = limits.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limits), 0);
    assert_int_equal(status, STATUS_IO);
    assert_int_equal(n_files(fx), n);
}

/* What SQLite would take for a parameter or an escape. */
static void names_are_taken_as_they_are(void **state)
{
    struct fixture *fx = *state;
    fill_and_close(fx);
    const char *to = beside(fx, "a%20?mode=memory#'b");
    assert_int_equal(storage_backup(fx->path, to), STATUS_OK);
    check_good(to);
    assert_int_equal(unlink(to), 0);
}

#define WITH_FOLDER(test) cmocka_unit_test_setup_teardown(test, set_up_closed, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_FOLDER(a_file_in_use_is_fine),
        WITH_FOLDER(a_quiet_file_stays_as_it_is),
        WITH_FOLDER(a_killed_hubs_file_is_read_with_its_log),
        WITH_FOLDER(version_1_is_checked_and_not_upgraded),
        WITH_FOLDER(what_contradicts_itself_is_found),
        WITH_FOLDER(damaged_pages_are_found_and_not_copied),
        WITH_FOLDER(too_many_findings_are_counted_only),
        WITH_FOLDER(what_is_no_file_of_ours_is_refused),
        WITH_FOLDER(a_hub_that_starts_meanwhile_is_noticed),
        WITH_FOLDER(a_copy_of_a_busy_file_is_consistent),
        WITH_FOLDER(a_copy_of_version_1_is_upgraded_alone),
        WITH_FOLDER(nothing_is_overwritten),
        WITH_FOLDER(an_interrupted_copy_is_replaced),
        WITH_FOLDER(a_failed_copy_leaves_nothing),
        WITH_FOLDER(names_are_taken_as_they_are),
    };
    /* The refusals above are meant: their log lines would only irritate. */
    log_set_level(LOG_NONE);
    return cmocka_run_group_tests_name("tools", tests, NULL, NULL);
}
