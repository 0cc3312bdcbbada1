/* SPDX-License-Identifier: MIT */
/* Whether the file has all that was acknowledged: killed processes, logs that were removed or cut,
 * older copies, machines that went down. Each case ends with the question whether the epoch of a
 * stream is still the same, and whether the operator was told. */
#include "tests/unit/storage/fixture.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

enum { N_APPENDED = 40 };

static void name_of(const struct fixture *fx, const char *suffix, char name[128])
{
    snprintf(name, 128, "%s%s", fx->path, suffix);
}

/* --- a hub that is killed --- */

static void append_some(struct fixture *fx)
{
    for (int i = 0; i < N_APPENDED; i++) {
        append_text(fx, "news", "\"some text, so that there are frames\"", KEEP);
    }
}

static enum status append_key(struct fixture *fx, const char *key)
{
    struct storage_append append = {.channel = STR("news"),
                                    .data = STR("1"),
                                    .retention = KEEP,
                                    .idempotency_key = str_of(key)};
    run_append(fx, &append);
    return append.status;
}

/* Its last group that commits has nothing to write, after one that failed. */
static void append_and_fail(struct fixture *fx)
{
    struct rlimit limits;
    if (append_key(fx, "k") != STATUS_OK || getrlimit(RLIMIT_FSIZE, &limits) != 0) {
        _exit(1);
    }
    signal(SIGXFSZ, SIG_IGN);
    log_set_level(LOG_NONE);
    limits.rlim_cur = 1;
    bool is_limited = setrlimit(RLIMIT_FSIZE, &limits) == 0;
    if (!is_limited || append_key(fx, "l") != STATUS_IO || append_key(fx, "k") != STATUS_OK) {
        _exit(1);
    }
}

static _Noreturn void act_and_wait(struct fixture *fx, void (*act)(struct fixture *), int pipe_fd)
{
    if (loop_create(&fx->loop) != STATUS_OK || try_open(fx) != STATUS_OK) {
        _exit(1);
    }
    act(fx);
    if (write(pipe_fd, "k", 1) == 1) {
        pause();
    }
    _exit(1);
}

/* Another process does it, to its end, and is killed. */
static void act_and_be_killed(struct fixture *fx, void (*act)(struct fixture *))
{
    int fds[2], status;
    char byte;
    assert_int_equal(pipe(fds), 0);
    pid_t child = fork(); /* no thread is running in this process now */
    assert_true(child >= 0);
    if (child == 0) {
        act_and_wait(fx, act, fds[1]);
    }
    close(fds[1]);
    assert_int_equal(read(fds[0], &byte, 1), 1);
    close(fds[0]);
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
}

static void append_and_be_killed(struct fixture *fx)
{
    act_and_be_killed(fx, append_some);
}

static off_t size_of(const struct fixture *fx, const char *suffix)
{
    char name[128];
    struct stat info;
    name_of(fx, suffix, name);
    assert_int_equal(stat(name, &info), 0);
    return info.st_size;
}

static void cut_file(const struct fixture *fx, const char *suffix, off_t size)
{
    char name[128];
    name_of(fx, suffix, name);
    assert_int_equal(truncate(name, size), 0);
}

static void remove_file(const struct fixture *fx, const char *suffix)
{
    char name[128];
    name_of(fx, suffix, name);
    assert_int_equal(unlink(name), 0);
}

static void copy_file(const char *from, const char *to)
{
    static char bytes[1 << 20];
    FILE *in = fopen(from, "r");
    FILE *out = fopen(to, "w");
    assert_true(in && out);
    size_t n = fread(bytes, 1, sizeof(bytes), in);
    assert_true(feof(in) && fwrite(bytes, 1, n, out) == n);
    fclose(in);
    assert_int_equal(fclose(out), 0);
}

/* --- what the next opening makes of it --- */

/* Opens, and counts the warnings of missing commits. */
static int open_and_count_warnings(struct fixture *fx)
{
    static char text[1 << 16];
    FILE *file = tmpfile();
    assert_non_null(file);
    int kept = dup(STDERR_FILENO);
    dup2(fileno(file), STDERR_FILENO);
    enum status status = try_open(fx);
    dup2(kept, STDERR_FILENO);
    close(kept);
    assert_int_equal(status, STATUS_OK);
    rewind(file);
    text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
    fclose(file);
    int n = 0;
    for (const char *at = text; (at = strstr(at, " warn storage commits_missing ")); at++) {
        n++;
    }
    return n;
}

/* The epoch before; the file is closed. */
static struct storage_position prepare(struct fixture *fx)
{
    open_storage(fx);
    struct storage_position before = append_text(fx, "news", "\"first\"", KEEP).position;
    append_text(fx, "other", "1", KEEP);
    close_storage(fx);
    return before;
}

static void check_kept(struct fixture *fx, const char *epoch, uint64_t top)
{
    assert_int_equal(open_and_count_warnings(fx), 0);
    struct storage_position position = position_of(fx, "news");
    assert_string_equal(position.epoch, epoch);
    assert_int_equal(position.offset, top);
    close_storage(fx);
}

/* New epochs everywhere, once: the opening after it finds all in order. */
static void check_renewed(struct fixture *fx, const char *epoch)
{
    assert_int_equal(open_and_count_warnings(fx), 1);
    struct storage_history h = history_of(fx, "news", 1000);
    struct storage_position renewed = h.top;
    assert_string_not_equal(renewed.epoch, epoch);
    assert_int_equal(strlen(renewed.epoch), STORAGE_EPOCH_SIZE - 1);
    assert_int_equal(h.n_items, renewed.offset); /* what is there stays readable */
    storage_history_release(&h);
    struct storage_position other = position_of(fx, "other");
    assert_string_not_equal(other.epoch, renewed.epoch);
    struct storage_append next = append_text(fx, "news", "1", KEEP);
    assert_string_equal(next.position.epoch, renewed.epoch);
    assert_int_equal(next.position.offset, renewed.offset + 1);
    close_storage(fx);
    check_kept(fx, renewed.epoch, renewed.offset + 1);
    open_storage(fx);
    assert_string_equal(position_of(fx, "other").epoch, other.epoch);
    close_storage(fx);
}

static void an_orderly_end_keeps_epochs(void **state)
{
    struct fixture *fx = *state;
    for (int i = 0; i < 2; i++) {
        fx->durability = i ? STORAGE_FULL : STORAGE_NORMAL;
        struct storage_position before = prepare(fx);
        change_file(fx, "UPDATE marks SET boot_id='another machine'");
        check_kept(fx, before.epoch, before.offset);
    }
}

static void a_kill_keeps_epochs(void **state)
{
    struct fixture *fx = *state;
    uint64_t top = prepare(fx).offset;
    struct storage_position before = {0};
    for (int i = 0; i < 4; i++) {
        fx->durability = i % 2 ? STORAGE_FULL : STORAGE_NORMAL;
        open_storage(fx);
        before = position_of(fx, "news");
        close_storage(fx);
        append_and_be_killed(fx);
        top += N_APPENDED;
        check_kept(fx, before.epoch, top);
    }
}

static void failed_groups_do_not_count(void **state)
{
    struct fixture *fx = *state;
    struct storage_position before = prepare(fx);
    act_and_be_killed(fx, append_and_fail);
    check_kept(fx, before.epoch, before.offset + 1);
}

static void a_removed_log_is_noticed(void **state)
{
    struct fixture *fx = *state;
    for (int i = 0; i < 2; i++) {
        fx->durability = i ? STORAGE_FULL : STORAGE_NORMAL;
        struct storage_position before = prepare(fx);
        append_and_be_killed(fx);
        remove_file(fx, "-wal");
        check_renewed(fx, before.epoch);
    }
}

static void a_log_cut_in_the_middle_is_noticed(void **state)
{
    struct fixture *fx = *state;
    struct storage_position before = prepare(fx);
    append_and_be_killed(fx);
    cut_file(fx, "-wal", size_of(fx, "-wal") / 2);
    check_renewed(fx, before.epoch);
}

/* The frame of one commit is enough. */
static void one_missing_commit_is_noticed(void **state)
{
    struct fixture *fx = *state;
    struct storage_position before = prepare(fx);
    append_and_be_killed(fx);
    cut_file(fx, "-wal", size_of(fx, "-wal") - 1);
    check_renewed(fx, before.epoch);
}

/* A write that a kill interrupted was not acknowledged to anybody. */
static void a_torn_end_of_the_log_is_nothing(void **state)
{
    struct fixture *fx = *state;
    struct storage_position before = prepare(fx);
    append_and_be_killed(fx);
    char name[128];
    static char frame[4096 + 24];
    name_of(fx, "-wal", name);
    FILE *file = fopen(name, "r+");
    assert_non_null(file);
    assert_int_equal(fseek(file, 32, SEEK_SET), 0);
    assert_int_equal(fread(frame, 1, sizeof(frame), file), sizeof(frame));
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    assert_int_equal(fwrite(frame, 1, 3000, file), 3000);
    fclose(file);
    check_kept(fx, before.epoch, before.offset + N_APPENDED);
}

static void an_older_copy_is_noticed(void **state)
{
    struct fixture *fx = *state;
    char copy[128];
    struct storage_position before = prepare(fx);
    name_of(fx, ".copy", copy);
    copy_file(fx->path, copy);
    for (int i = 0; i < 2; i++) { /* the same one twice, too */
        open_storage(fx);
        append_text(fx, "news", "\"lost\"", KEEP);
        close_storage(fx);
        copy_file(copy, fx->path);
        check_renewed(fx, before.epoch);
    }
    unlink(copy);
}

static void a_machine_that_went_down_is_noticed(void **state)
{
    struct fixture *fx = *state;
    struct storage_position before = prepare(fx);
    append_and_be_killed(fx);
    change_file(fx, "UPDATE marks SET boot_id='another'");
    check_renewed(fx, before.epoch);
}

/* With "full" nothing acknowledged can be lost by that. */
static void synced_commits_outlive_the_machine(void **state)
{
    struct fixture *fx = *state;
    fx->durability = STORAGE_FULL;
    struct storage_position before = prepare(fx);
    append_and_be_killed(fx);
    change_file(fx, "UPDATE marks SET boot_id='another'");
    check_kept(fx, before.epoch, before.offset + N_APPENDED);
}

static void a_copy_begins_new_epochs(void **state)
{
    struct fixture *fx = *state;
    struct storage_position before = prepare(fx);
    change_file(fx, "UPDATE marks SET is_copy=1");
    check_renewed(fx, before.epoch);
}

static void a_lock_file_that_says_nothing_is_believed(void **state)
{
    struct fixture *fx = *state;
    struct storage_position before = prepare(fx);
    remove_file(fx, "-lock");
    check_kept(fx, before.epoch, before.offset);
    cut_file(fx, "-lock", 0);
    check_kept(fx, before.epoch, before.offset);
    cut_file(fx, "-lock", 10);
    check_kept(fx, before.epoch, before.offset);
    append_and_be_killed(fx); /* it knows again */
    remove_file(fx, "-wal");
    check_renewed(fx, before.epoch);
}

/* Positions that are kept elsewhere speak of the same stream afterwards. */
static void everything_goes_along(void **state)
{
    struct fixture *fx = *state;
    struct storage_feed_write feed = {
        .feed = STR("f"), .params = STR("{}"), .snapshot = STR("1"), .time_ms = 1};
    struct storage_append append = {.channel = STR("news"),
                                    .data = STR("1"),
                                    .retention = KEEP,
                                    .idempotency_key = STR("k"),
                                    .feed = &feed};
    open_storage(fx);
    run_append(fx, &append);
    struct storage_position before = append.position;
    close_storage(fx);
    change_file(fx, "UPDATE marks SET is_copy=1");
    open_storage(fx);
    struct storage_position renewed = position_of(fx, "news");
    assert_string_not_equal(renewed.epoch, before.epoch);
    struct storage_feed_read read = read_feed(fx, "f", "{}");
    assert_string_equal(read.position.epoch, renewed.epoch);
    assert_int_equal(read.position.offset, 1);
    storage_feed_read_release(&read);
    run_append(fx, &append);
    assert_int_equal(append.suppressed, STORAGE_SAME_KEY);
    assert_string_equal(append.position.epoch, renewed.epoch);
}

#define WITH_FOLDER(test) cmocka_unit_test_setup_teardown(test, set_up_closed, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_FOLDER(an_orderly_end_keeps_epochs),
        WITH_FOLDER(a_kill_keeps_epochs),
        WITH_FOLDER(failed_groups_do_not_count),
        WITH_FOLDER(a_removed_log_is_noticed),
        WITH_FOLDER(a_log_cut_in_the_middle_is_noticed),
        WITH_FOLDER(one_missing_commit_is_noticed),
        WITH_FOLDER(a_torn_end_of_the_log_is_nothing),
        WITH_FOLDER(an_older_copy_is_noticed),
        WITH_FOLDER(a_machine_that_went_down_is_noticed),
        WITH_FOLDER(synced_commits_outlive_the_machine),
        WITH_FOLDER(a_copy_begins_new_epochs),
        WITH_FOLDER(a_lock_file_that_says_nothing_is_believed),
        WITH_FOLDER(everything_goes_along),
    };
    return cmocka_run_group_tests_name("commits", tests, NULL, NULL);
}
