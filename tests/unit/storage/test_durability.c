/* SPDX-License-Identifier: MIT */
/* What a killed process leaves behind, and what happens when the file cannot grow. */
#include "tests/unit/storage/fixture.h"

#include <inttypes.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "base/rng.h"

/* --- killed --- */

enum { N_CHANNELS = 3, N_IN_FLIGHT = 50, N_ROUNDS = 12 };
static const char *const channels[N_CHANNELS] = {"a", "b", "c"};

struct acknowledgement {
    uint64_t channel;
    uint64_t offset;
};

/* One of the child's appends; starts itself again when it is done. */
struct publisher {
    struct storage_append append;
    struct fixture *fx;
    uint64_t channel;
    int pipe_fd;
    char text[32];
};

static uint64_t n_started[N_CHANNELS];

static void publish(struct publisher *p);

static void published(struct storage_append *append)
{
    struct publisher *p = append->arg;
    struct acknowledgement ack = {p->channel, append->position.offset};
    if (append->status != STATUS_OK || write(p->pipe_fd, &ack, sizeof(ack)) != sizeof(ack)) {
        _exit(1);
    }
    publish(p);
}

/* Order of start is order of offsets: so the text can be known before the offset is. */
static void publish(struct publisher *p)
{
    int len = snprintf(p->text, sizeof(p->text), "%" PRIu64, ++n_started[p->channel]);
    p->append = (struct storage_append){.channel = str_of(channels[p->channel]),
                                        .data = {p->text, (size_t)len},
                                        .retention = KEEP,
                                        .done = published,
                                        .arg = p};
    storage_append(p->fx->storage, &p->append);
}

static _Noreturn void be_the_child(struct fixture *fx, int pipe_fd)
{
    static struct publisher publishers[N_IN_FLIGHT];
    if (loop_create(&fx->loop) != STATUS_OK || try_open(fx) != STATUS_OK) {
        _exit(1);
    }
    for (uint64_t i = 0; i < N_CHANNELS; i++) {
        n_started[i] = position_of(fx, channels[i]).offset;
    }
    for (uint64_t i = 0; i < N_IN_FLIGHT; i++) {
        publishers[i].fx = fx;
        publishers[i].channel = i % N_CHANNELS;
        publishers[i].pipe_fd = pipe_fd;
        publish(&publishers[i]);
    }
    for (;;) {
        turn(fx);
    }
}

static bool read_acknowledgement(int pipe_fd, uint64_t acknowledged[N_CHANNELS])
{
    struct acknowledgement ack;
    if (read(pipe_fd, &ack, sizeof(ack)) != sizeof(ack)) {
        return false;
    }
    assert_in_range(ack.channel, 0, N_CHANNELS - 1);
    assert_int_equal(ack.offset, acknowledged[ack.channel] + 1);
    acknowledged[ack.channel] = ack.offset;
    return true;
}

/* Kills the child after n acknowledgements, and reads those that were still under way. */
static void kill_after(pid_t child, int pipe_fd, uint64_t n, uint64_t acknowledged[N_CHANNELS])
{
    for (uint64_t i = 0; i < n; i++) {
        assert_true(read_acknowledgement(pipe_fd, acknowledged));
    }
    kill(child, SIGKILL);
    while (read_acknowledgement(pipe_fd, acknowledged)) {
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

/* Returns the top. */
static uint64_t check_channel(struct fixture *fx, const char *channel, uint64_t acknowledged,
                              char epoch[STORAGE_EPOCH_SIZE])
{
    struct storage_history h = history_of(fx, channel, SIZE_MAX);
    uint64_t top = h.top.offset;
    assert_true(top >= acknowledged);
    assert_int_equal(h.n_items, top);
    for (size_t i = 0; i < h.n_items; i++) {
        char text[32];
        snprintf(text, sizeof(text), "%zu", i + 1);
        assert_int_equal(h.items[i].offset, i + 1);
        assert_str(h.items[i].data, text);
    }
    if (epoch[0] == '\0') {
        memcpy(epoch, h.top.epoch, sizeof(h.top.epoch));
    }
    assert_string_equal(h.top.epoch, epoch);
    storage_history_release(&h);
    return top;
}

static void nothing_acknowledged_is_lost_by_a_kill(void **state)
{
    struct fixture *fx = *state;
    uint64_t acknowledged[N_CHANNELS] = {0};
    char epochs[N_CHANNELS][STORAGE_EPOCH_SIZE] = {{0}};
    for (int round = 0; round < N_ROUNDS; round++) {
        int fds[2];
        fx->durability = round % 2 ? STORAGE_FULL : STORAGE_NORMAL;
        assert_int_equal(pipe(fds), 0);
        pid_t child = fork(); /* no thread is running in this process now */
        assert_true(child >= 0);
        if (child == 0) {
            close(fds[0]);
            be_the_child(fx, fds[1]);
        }
        close(fds[1]);
        kill_after(child, fds[0], 1 + rng_below(1500), acknowledged);
        close(fds[0]);
        open_storage(fx);
        for (int i = 0; i < N_CHANNELS; i++) {
            acknowledged[i] = check_channel(fx, channels[i], acknowledged[i], epochs[i]);
        }
        close_storage(fx);
    }
}

/* --- no room --- */

static void limit_file_size(rlim_t limit)
{
    struct rlimit limits;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limits), 0);
    limits.rlim_cur = limit == RLIM_INFINITY ? limits.rlim_max : limit;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limits), 0);
}

static rlim_t wal_size(const struct fixture *fx)
{
    char name[128];
    struct stat info;
    snprintf(name, sizeof(name), "%s-wal", fx->path);
    assert_int_equal(stat(name, &info), 0);
    return (rlim_t)info.st_size;
}

struct failing {
    size_t n_done;
    size_t n_failed;
    bool all_done;
};

static void failing_done(struct storage_append *append)
{
    struct failing *failing = append->arg;
    failing->n_failed += append->status == STATUS_IO && append->position.offset == 0;
    failing->all_done = ++failing->n_done == 50;
}

static void fail_fifty(struct fixture *fx)
{
    static struct storage_append appends[50];
    struct failing failing = {0};
    for (size_t i = 0; i < 50; i++) {
        appends[i] = (struct storage_append){.channel = i % 2 ? STR("news") : STR("unseen"),
                                             .data = STR("\"lost\""),
                                             .retention = KEEP,
                                             .done = failing_done,
                                             .arg = &failing};
        storage_append(fx->storage, &appends[i]);
    }
    wait_for(fx, &failing.all_done);
    assert_int_equal(failing.n_failed, 50);
}

static void history_failed(struct storage_history *history)
{
    assert_int_equal(history->status, STATUS_IO);
    assert_null(history->items);
    *(bool *)history->arg = true;
}

static void fail_to_create(struct fixture *fx)
{
    bool done = false;
    struct storage_history h = {.channel = STR("absent"),
                                .retention = KEEP,
                                .limit = 1,
                                .done = history_failed,
                                .arg = &done};
    storage_history(fx->storage, &h);
    wait_for(fx, &done);
}

/* Nobody can write down that it was read; that is no reason not to answer. */
static void read_what_wants_to_live_longer(struct fixture *fx)
{
    struct storage_history h = {.channel = STR("news"), .retention = KEEP, .limit = 100};
    h.retention.meta_ttl_ms = 2 * KEEP.meta_ttl_ms;
    run_history(fx, &h);
    assert_int_equal(h.n_items, 1);
    assert_str(h.items[0].data, "\"kept\"");
    storage_history_release(&h);
}

/* The key of a failed append is not used up. */
static enum status append_with_key(struct fixture *fx, enum storage_suppression *ret_suppressed)
{
    struct storage_append append = {.channel = STR("keys"),
                                    .data = STR("1"),
                                    .retention = KEEP,
                                    .idempotency_key = STR("k"),
                                    .version = 7};
    run_append(fx, &append);
    *ret_suppressed = append.suppressed;
    return append.status;
}

static void a_failed_group_remembers_nothing(void **state)
{
    struct fixture *fx = *state;
    enum storage_suppression suppressed;
    append_text(fx, "news", "1", KEEP);
    signal(SIGXFSZ, SIG_IGN);
    limit_file_size(wal_size(fx));
    log_set_level(LOG_NONE);
    assert_int_equal(append_with_key(fx, &suppressed), STATUS_IO);
    struct storage_stats stats = stats_of(fx);
    assert_int_equal(stats.n_streams, 1);
    assert_int_equal(stats.n_idempotency_keys, 0);
    limit_file_size(RLIM_INFINITY);
    assert_int_equal(append_with_key(fx, &suppressed), STATUS_OK);
    log_set_level(LOG_INFO);
    assert_int_equal(suppressed, STORAGE_NOT_SUPPRESSED);
    assert_int_equal(append_with_key(fx, &suppressed), STATUS_OK);
    assert_int_equal(suppressed, STORAGE_SAME_KEY);
    stats = stats_of(fx);
    assert_int_equal(stats.n_streams, 2);
    assert_int_equal(stats.n_idempotency_keys, 1);
    assert_int_equal(position_of(fx, "keys").offset, 1);
}

/* What writes nothing proves nothing; and nobody has to ask for a write. */
static void it_finds_out_by_itself_that_it_can_write_again(void **state)
{
    struct fixture *fx = *state;
    enum storage_suppression suppressed;
    assert_int_equal(append_with_key(fx, &suppressed), STATUS_OK);
    assert_false(stats_of(fx).is_failing);
    signal(SIGXFSZ, SIG_IGN);
    limit_file_size(wal_size(fx));
    log_set_level(LOG_NONE);
    fail_fifty(fx);
    assert_true(stats_of(fx).is_failing);
    assert_int_equal(append_with_key(fx, &suppressed), STATUS_OK);
    assert_int_equal(suppressed, STORAGE_SAME_KEY);
    turn(fx); /* an attempt that fails */
    assert_true(stats_of(fx).is_failing);
    struct storage_stats before = stats_of(fx);
    limit_file_size(RLIM_INFINITY);
    while (stats_of(fx).is_failing) {
        turn(fx);
    }
    log_set_level(LOG_INFO);
    assert_int_equal(stats_of(fx).n_groups, before.n_groups);
    assert_int_equal(stats_of(fx).n_failed, before.n_failed);
    reopen(fx);
    assert_int_equal(position_of(fx, "keys").offset, 1);
}

static void writing_resumes_when_there_is_room_again(void **state)
{
    struct fixture *fx = *state;
    struct storage_append before = append_text(fx, "news", "\"kept\"", KEEP);
    signal(SIGXFSZ, SIG_IGN); /* the write then fails with EFBIG */
    limit_file_size(wal_size(fx));
    log_set_level(LOG_NONE);
    for (int i = 0; i < 3; i++) {
        fail_fifty(fx);
        fail_to_create(fx);
    }
    struct storage_stats stats;
    storage_stats(fx->storage, &stats);
    assert_int_equal(stats.n_failed, 150);
    assert_int_equal(stats.n_appends, 1);
    assert_int_equal(stats.queue_bytes, 0);
    struct storage_history h = history_of(fx, "news", 100); /* reading goes on */
    assert_int_equal(h.n_items, 1);
    storage_history_release(&h);
    read_what_wants_to_live_longer(fx);

    limit_file_size(RLIM_INFINITY);
    log_set_level(LOG_INFO);
    struct storage_append after = append_text(fx, "news", "\"kept\"", KEEP);
    assert_int_equal(after.position.offset, before.position.offset + 1);
    assert_string_equal(after.position.epoch, before.position.epoch);
    assert_int_equal(append_text(fx, "unseen", "1", KEEP).position.offset, 1);
    reopen(fx);
    h = history_of(fx, "news", 100);
    assert_int_equal(h.n_items, 2);
    assert_str(h.items[0].data, "\"kept\"");
    assert_str(h.items[1].data, "\"kept\"");
    storage_history_release(&h);
}

/* Closing with a file that cannot grow must end, too; what was acknowledged is in the log. */
static void closing_without_room_keeps_what_was_acknowledged(void **state)
{
    struct fixture *fx = *state;
    for (int i = 0; i < 10; i++) {
        append_text(fx, "news", "1", KEEP);
    }
    signal(SIGXFSZ, SIG_IGN);
    limit_file_size(1);
    log_set_level(LOG_NONE);
    close_storage(fx);
    limit_file_size(RLIM_INFINITY);
    log_set_level(LOG_INFO);
    open_storage(fx);
    assert_int_equal(position_of(fx, "news").offset, 10);
}

/* --- damage that SQLite does not see --- */

static void history_is_damaged(struct storage_history *history)
{
    assert_int_equal(history->status, STATUS_IO);
    assert_null(history->items);
    *(bool *)history->arg = true;
}

static void refuse_damaged(struct fixture *fx, uint64_t since, bool reverse)
{
    bool done = false;
    struct storage_history h = {.channel = STR("news"),
                                .retention = KEEP,
                                .since = since,
                                .reverse = reverse,
                                .limit = 100,
                                .done = history_is_damaged,
                                .arg = &done};
    storage_history(fx->storage, &h);
    wait_for(fx, &done);
}

static void read_reverse(struct fixture *fx, size_t limit)
{
    struct storage_history h = {
        .channel = STR("news"), .retention = KEEP, .reverse = true, .limit = limit};
    run_history(fx, &h);
    assert_int_equal(h.n_items, limit);
    storage_history_release(&h);
}

/* The tenth of twenty, as sql leaves it. */
static void check_damage(struct fixture *fx, const char *sql)
{
    log_set_level(LOG_NONE);
    open_storage(fx);
    for (int i = 0; i < 20; i++) {
        append_text(fx, "news", "{\"a\":1}", KEEP);
    }
    change_file(fx, sql);
    refuse_damaged(fx, 0, false);
    refuse_damaged(fx, 0, true);
    refuse_damaged(fx, 9, false);
    read_reverse(fx, 10);
    struct storage_history h = {
        .channel = STR("news"), .retention = KEEP, .since = 10, .limit = 50};
    run_history(fx, &h);
    assert_int_equal(h.n_items, 10);
    storage_history_release(&h);
    close_storage(fx);
    remove_files(fx);
    log_set_level(LOG_INFO);
}

static void damaged_publications_are_not_handed_out(void **state)
{
    struct fixture *fx = *state;
    check_damage(fx, "UPDATE publications SET data='{\"a\":' WHERE offset=10");
    check_damage(fx, "UPDATE publications SET info='x' WHERE offset=10");
    check_damage(fx, "UPDATE publications SET tags='x' WHERE offset=10");
    check_damage(fx, "DELETE FROM publications WHERE offset=10");
}

static void a_missing_end_is_damage(void **state)
{
    struct fixture *fx = *state;
    log_set_level(LOG_NONE);
    for (int i = 0; i < 20; i++) {
        append_text(fx, "news", "1", KEEP);
    }
    change_file(fx, "DELETE FROM publications WHERE offset=20");
    refuse_damaged(fx, 0, false);
    refuse_damaged(fx, 0, true);
    change_file(fx, "DELETE FROM publications WHERE offset=1");
    struct storage_history h = {.channel = STR("news"), .retention = KEEP, .limit = 18, .since = 1};
    run_history(fx, &h);
    assert_int_equal(h.n_items, 18);
    storage_history_release(&h);
    log_set_level(LOG_INFO);
}

static void damaged_feed_results_are_not_handed_out(void **state)
{
    struct fixture *fx = *state;
    struct storage_feed_value value = {STR("u"), STR("1"), 200, 1, STR_EMPTY};
    struct storage_feed_write feed = {.feed = STR("f"),
                                      .params = STR("{}"),
                                      .snapshot = STR("1"),
                                      .time_ms = 1,
                                      .values = &value,
                                      .n_values = 1};
    struct storage_append append = {.feed = &feed, .retention = KEEP};
    log_set_level(LOG_NONE);
    run_append(fx, &append);
    change_file(fx, "UPDATE feed_values SET value='x'");
    struct storage_feed_read read = read_feed(fx, "f", "{}");
    assert_int_equal(read.status, STATUS_IO);
    assert_int_equal(read.n_items, 0);
    change_file(fx, "UPDATE feed_values SET value='1'; UPDATE feed_snapshots SET snapshot=''");
    assert_int_equal(read_feed(fx, "f", "{}").status, STATUS_IO);
    log_set_level(LOG_INFO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nothing_acknowledged_is_lost_by_a_kill, set_up_closed,
                                        tear_down),
        cmocka_unit_test_setup_teardown(it_finds_out_by_itself_that_it_can_write_again, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(writing_resumes_when_there_is_room_again, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_failed_group_remembers_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(damaged_publications_are_not_handed_out, set_up_closed,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_missing_end_is_damage, set_up, tear_down),
        cmocka_unit_test_setup_teardown(damaged_feed_results_are_not_handed_out, set_up, tear_down),
        cmocka_unit_test_setup_teardown(closing_without_room_keeps_what_was_acknowledged, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests_name("durability", tests, NULL, NULL);
}
