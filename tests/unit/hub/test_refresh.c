/* SPDX-License-Identifier: MIT */
/* Runs of feeds whose upstreams fail (a closed port): what is answered, stored and pushed, shared
 * runs, last good values, refusals and giving up. Upstreams that answer are the end-to-end tests'
 * part. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "tests/unit/hub/world.h"

#define CHANNEL                                                                                    \
    "{\"namespaces\":[{\"name\":\"city\",\"history_size\":5,\"history_ttl\":\"1h\","               \
    "\"force_positioning\":true}]}"

/* A port that was free a moment ago. */
static unsigned closed_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t len = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, len), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    close(fd);
    return ntohs(address.sin_port);
}

static int setup(void **state)
{
    char city[512];
    char plain[512];
    unsigned port = closed_port();
    snprintf(city, sizeof(city),
             "{\"name\":\"city\",\"channel\":\"city:{city}\",\"params\":{\"city\":\"[a-z.]+\"},"
             "\"timeout\":\"20s\",\"upstreams\":["
             "{\"name\":\"air\",\"url\":\"http://127.0.0.1:%u/air/{city}\"},"
             "{\"name\":\"events\",\"url\":\"http://127.0.0.1:%u/events?near={city}\"}]}",
             port, port);
    snprintf(plain, sizeof(plain),
             "{\"name\":\"plain\",\"channel\":\"plain\",\"timeout\":\"20s\",\"upstreams\":["
             "{\"name\":\"a\",\"url\":\"http://127.0.0.1:%u/\"}]}",
             port);
    *state = world_create(&(struct world_options){
        .client = "{\"insecure\":true}",
        .channel = CHANNEL,
        .upstreams = "{\"max_refreshes\":2}",
        .feeds = {city, plain,
                  "{\"name\":\"lost\",\"channel\":\"nowhere:a\",\"upstreams\":["
                  "{\"name\":\"a\",\"url\":\"http://127.0.0.1:1/\"}]}"}});
    return 0;
}

static int teardown(void **state)
{
    world_destroy(*state);
    return 0;
}

struct feed_answer {
    bool is_done;
    enum status status;
    char detail[300];
    char data[300];
    char channel[100];
    char params[100];
    struct storage_position position;
    bool is_changed, is_completed;
    size_t n_upstreams;
    struct feed_upstream_result upstreams[4]; /* without their texts */
    char error[200];                          /* of the first */
};

static void copy_str(char *to, size_t size, struct str text)
{
    snprintf(to, size, "%.*s", STR_ARG(text));
}

static void feed_answered(void *arg, enum status status, const char *detail,
                          const struct feed_result *result)
{
    struct feed_answer *a = arg;
    assert_false(a->is_done);
    a->is_done = true;
    a->status = status;
    snprintf(a->detail, sizeof(a->detail), "%s", detail);
    assert_int_equal(result != NULL, status == STATUS_OK);
    if (!result) {
        return;
    }
    copy_str(a->data, sizeof(a->data), result->data);
    copy_str(a->channel, sizeof(a->channel), result->channel);
    copy_str(a->params, sizeof(a->params), result->params);
    a->position = result->position;
    a->is_changed = result->is_changed;
    a->is_completed = result->is_completed;
    a->n_upstreams = result->n_upstreams;
    for (size_t i = 0; i < result->n_upstreams; i++) {
        a->upstreams[i] = result->upstreams[i];
        assert_true(result->upstreams[i].error.len > 0);
    }
    if (result->n_upstreams > 0) {
        copy_str(a->error, sizeof(a->error), result->upstreams[0].error);
    }
}

static void refresh_start(struct world *w, const char *feed, const char *params,
                          struct feed_answer *answer)
{
    *answer = (struct feed_answer){.is_done = false};
    hub_feed_refresh(w->hub, str_of(feed), str_of(params), feed_answered, answer);
    assert_false(answer->is_done);
}

static struct feed_answer refresh(struct world *w, const char *feed, const char *params)
{
    struct feed_answer a;
    refresh_start(w, feed, params, &a);
    WAIT_FOR(w, a.is_done);
    return a;
}

static struct feed_answer get(struct world *w, const char *feed, const char *params)
{
    struct feed_answer a = {.is_done = false};
    hub_feed_get(w->hub, str_of(feed), str_of(params), feed_answered, &a);
    assert_false(a.is_done);
    WAIT_FOR(w, a.is_done);
    return a;
}

static void note_stats(void *arg, const struct feed_options *options,
                       const struct feed_stats *stats)
{
    if (strcmp(options->name, "city") == 0) {
        *(struct feed_stats *)arg = *stats;
    }
}

static struct feed_stats stats_of_city(struct world *w)
{
    struct feed_stats stats = {.n_running = 99};
    hub_feeds(w->hub, note_stats, &stats);
    return stats;
}

static void a_failed_refresh_is_a_result(void **state)
{
    struct world *w = *state;
    struct peer p;
    peer_connect(&p, w);
    assert_int_equal(subscribe(&p, "city:bilbao").status, STATUS_OK);
    struct feed_answer a = refresh(w, "city", "{\"city\":\"bilbao\"}");
    assert_int_equal(a.status, STATUS_OK);
    assert_string_equal(a.detail, "");
    assert_string_equal(a.data, "{\"air\":null,\"events\":null}");
    assert_string_equal(a.channel, "city:bilbao");
    assert_string_equal(a.params, "{\"city\":\"bilbao\"}");
    assert_int_equal(a.position.offset, 1);
    assert_true(a.is_changed);
    assert_false(a.is_completed);
    assert_int_equal(a.n_upstreams, 2);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(a.upstreams[i].outcome, FEED_CONNECT_ERROR);
        assert_int_equal(a.upstreams[i].http_status, 0);
    }
    WAIT_FOR(w, p.n_messages == 1);
    assert_string_equal(peer_text(&p), "city:bilbao 1 {\"air\":null,\"events\":null}\n");
    struct feed_stats stats = stats_of_city(w);
    assert_int_equal(stats.n_refreshes, 1);
    assert_int_equal(stats.n_changed, 1);
    assert_int_equal(stats.n_incomplete, 1);
    assert_int_equal(stats.n_failed, 0);
    assert_int_equal(stats.n_running, 0);
    assert_true(stats.last_time_ms > 0);
    peer_release(&p);
}

static void an_unchanged_snapshot_is_not_pushed(void **state)
{
    struct world *w = *state;
    struct feed_answer first = refresh(w, "city", "{\"city\":\"bilbao\"}");
    struct feed_answer second = refresh(w, "city", " { \"city\" : \"bilb\\u0061o\" } ");
    assert_true(first.is_changed);
    assert_false(second.is_changed);
    assert_int_equal(second.position.offset, 1);
    assert_string_equal(second.position.epoch, first.position.epoch);
    assert_int_equal(publish(w, "city:bilbao", "1").position.offset, 2);
    struct feed_answer other = refresh(w, "city", "{\"city\":\"getxo\"}");
    assert_true(other.is_changed);
    assert_int_equal(other.position.offset, 1);
    assert_string_not_equal(other.position.epoch, first.position.epoch);
}

static void a_channel_without_history_has_no_position(void **state)
{
    struct world *w = *state;
    struct peer p;
    peer_connect(&p, w);
    subscribe(&p, "plain");
    struct feed_answer a = refresh(w, "plain", "");
    assert_int_equal(a.status, STATUS_OK);
    assert_int_equal(a.position.offset, 0);
    WAIT_FOR(w, p.n_messages == 1);
    assert_string_equal(peer_text(&p), "plain 0 {\"a\":null}\n");
    peer_release(&p);
}

static void who_asks_meanwhile_shares_the_run(void **state)
{
    struct world *w = *state;
    struct feed_answer a[3];
    for (int i = 0; i < 3; i++) {
        refresh_start(w, "city", i == 1 ? "{ \"city\":\"x\"}" : "{\"city\":\"x\"}", &a[i]);
    }
    assert_false(hub_is_idle(w->hub));
    assert_int_equal(stats_of_city(w).n_running, 1);
    for (int i = 0; i < 3; i++) {
        WAIT_FOR(w, a[i].is_done);
        assert_int_equal(a[i].status, STATUS_OK);
        assert_true(a[i].is_changed);
        assert_int_equal(a[i].position.offset, 1);
    }
    assert_int_equal(stats_of_city(w).n_refreshes, 1);
    assert_int_equal(stats_of_city(w).n_shared, 2);
}

/* --- the last good values --- */

static void note_append(struct storage_append *append)
{
    *(bool *)append->arg = true;
}

static void keep_good_values(struct world *w)
{
    const struct storage_feed_value values[] = {
        {.upstream = STR("air"), .value = STR("{\"no2\":1.10}"), .http_status = 200, .time_ms = 1}};
    const struct storage_feed_write write = {.feed = STR("city"),
                                             .params = STR("{\"city\":\"x\"}"),
                                             .snapshot = STR("{\"air\":{\"no2\":1.10}}"),
                                             .completed = true,
                                             .time_ms = clock_wall_ms(),
                                             .values = values,
                                             .n_values = 1};
    bool is_done = false;
    struct storage_append append = {
        .retention = {5, 3600000, 7200000}, .feed = &write, .done = note_append, .arg = &is_done};
    storage_append(w->storage, &append);
    WAIT_FOR(w, is_done);
    assert_int_equal(append.status, STATUS_OK);
}

static void last_good_values_stand_in(void **state)
{
    struct world *w = *state;
    keep_good_values(w);
    struct feed_answer a = refresh(w, "city", "{\"city\":\"x\"}");
    assert_string_equal(a.data, "{\"air\":{\"no2\":1.10},\"events\":null}");
    assert_false(a.is_completed);
    assert_int_equal(a.upstreams[0].outcome, FEED_STALE);
    assert_int_equal(a.upstreams[0].failure, FEED_CONNECT_ERROR);
    assert_int_equal(a.upstreams[1].outcome, FEED_CONNECT_ERROR);
    a = refresh(w, "city", "{\"city\":\"x\"}"); /* a failure takes nothing away */
    assert_string_equal(a.data, "{\"air\":{\"no2\":1.10},\"events\":null}");
    assert_false(a.is_changed);
    a = refresh(w, "city", "{\"city\":\"y\"}");
    assert_string_equal(a.data, "{\"air\":null,\"events\":null}");
}

static void the_last_snapshot_can_be_asked_for(void **state)
{
    struct world *w = *state;
    struct feed_answer a = get(w, "city", "{\"city\":\"x\"}");
    assert_int_equal(a.status, STATUS_NOT_AVAILABLE);
    assert_non_null(strstr(a.detail, "no snapshot"));
    struct feed_answer fresh = refresh(w, "city", "{\"city\":\"x\"}");
    a = get(w, "city", "{\"city\":\"x\"}");
    assert_int_equal(a.status, STATUS_OK);
    assert_string_equal(a.data, fresh.data);
    assert_string_equal(a.channel, "city:x");
    assert_int_equal(a.position.offset, 1);
    assert_string_equal(a.position.epoch, fresh.position.epoch);
    assert_false(a.is_completed);
    assert_int_equal(a.n_upstreams, 0);
    assert_int_equal(get(w, "cities", "").status, STATUS_NOT_FOUND);
    assert_int_equal(get(w, "city", "{}").status, STATUS_INVALID);
}

/* --- refusals --- */

static void check_refused(struct world *w, const char *feed, const char *params,
                          enum status expected, const char *words)
{
    struct feed_answer a = refresh(w, feed, params);
    assert_int_equal(a.status, expected);
    assert_non_null(strstr(a.detail, words));
}

static void refusals_say_what_was_wrong(void **state)
{
    struct world *w = *state;
    check_refused(w, "cities", "", STATUS_NOT_FOUND, "cities");
    check_refused(w, "", "", STATUS_NOT_FOUND, "\"\"");
    check_refused(w, "city", "", STATUS_INVALID, "params.city is missing");
    check_refused(w, "city", "{\"city\":\"BILBAO\"}", STATUS_INVALID, "[a-z.]+");
    check_refused(w, "lost", "", STATUS_UNKNOWN_CHANNEL, "nowhere:a");
    assert_int_equal(stats_of_city(w).n_refreshes, 0);
}

/* A value that may not stand in the URL's path fails that upstream only. */
static void a_value_that_fits_no_url(void **state)
{
    struct world *w = *state;
    struct feed_answer a = refresh(w, "city", "{\"city\":\"..\"}");
    assert_int_equal(a.status, STATUS_OK);
    assert_int_equal(a.upstreams[0].outcome, FEED_CONNECT_ERROR);
    assert_string_equal(a.error, "invalid");
    assert_int_equal(a.upstreams[1].outcome, FEED_CONNECT_ERROR);
}

static void runs_have_a_limit(void **state)
{
    struct world *w = *state;
    struct feed_answer a[4];
    refresh_start(w, "city", "{\"city\":\"x\"}", &a[0]);
    refresh_start(w, "city", "{\"city\":\"y\"}", &a[1]);
    refresh_start(w, "city", "{\"city\":\"z\"}", &a[2]);
    refresh_start(w, "city", "{\"city\":\"x\"}", &a[3]); /* shares one that runs */
    for (int i = 0; i < 4; i++) {
        WAIT_FOR(w, a[i].is_done);
        assert_int_equal(a[i].status, i == 2 ? STATUS_OVERLOADED : STATUS_OK);
    }
    assert_int_equal(refresh(w, "city", "{\"city\":\"z\"}").status, STATUS_OK);
}

/* --- the end --- */

static void giving_up_answers_all(void **state)
{
    struct world *w = *state;
    struct peer p;
    struct feed_answer a[3];
    peer_connect(&p, w);
    subscribe(&p, "city:x");
    refresh_start(w, "city", "{\"city\":\"x\"}", &a[0]);
    refresh_start(w, "city", "{\"city\":\"x\"}", &a[1]);
    refresh_start(w, "city", "{\"city\":\"y\"}", &a[2]);
    hub_stop(w->hub);
    hub_hurry(w->hub);
    for (int i = 0; i < 3; i++) {
        WAIT_FOR(w, a[i].is_done);
        assert_int_equal(a[i].status, STATUS_CLOSED);
    }
    assert_int_equal(refresh(w, "city", "{\"city\":\"x\"}").status, STATUS_CLOSED);
    peer_leave(&p);
    WAIT_FOR(w, hub_is_idle(w->hub));
    assert_int_equal(p.n_messages, 0);
    assert_int_equal(stats_of_city(w).n_failed, 2);
    hub_hurry(w->hub); /* nothing left to do */
    peer_release(&p);
}

/* The storage may be closed by then. */
static void an_abandoned_hub_stores_and_reads_nothing(void **state)
{
    struct world *w = *state;
    struct feed_answer running;
    struct storage_stats before;
    struct storage_stats after;
    refresh_start(w, "city", "{\"city\":\"x\"}", &running);
    hub_abandon(w->hub);
    hub_hurry(w->hub);
    WAIT_FOR(w, running.is_done);
    assert_int_equal(running.status, STATUS_CLOSED);
    storage_stats(w->storage, &before);
    assert_int_equal(get(w, "city", "{\"city\":\"x\"}").status, STATUS_CLOSED);
    assert_int_equal(refresh(w, "city", "{\"city\":\"x\"}").status, STATUS_CLOSED);
    storage_stats(w->storage, &after);
    assert_int_equal(after.n_reads, before.n_reads);
    assert_int_equal(after.n_appends, 0);
}

static void outcomes_have_names(void **state)
{
    (void)state;
    assert_string_equal(feed_outcome_name(FEED_FRESH), "fresh");
    assert_string_equal(feed_outcome_name(FEED_STALE), "stale");
    assert_string_equal(feed_outcome_name(FEED_TIMEOUT), "timeout");
    assert_string_equal(feed_outcome_name(FEED_HTTP_ERROR), "http_error");
    assert_string_equal(feed_outcome_name(FEED_CONNECT_ERROR), "connect_error");
    assert_string_equal(feed_outcome_name(FEED_INVALID_JSON), "invalid_json");
    assert_string_equal(feed_outcome_name(FEED_TOO_LARGE), "too_large");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_failed_refresh_is_a_result, setup, teardown),
        cmocka_unit_test_setup_teardown(an_unchanged_snapshot_is_not_pushed, setup, teardown),
        cmocka_unit_test_setup_teardown(a_channel_without_history_has_no_position, setup, teardown),
        cmocka_unit_test_setup_teardown(who_asks_meanwhile_shares_the_run, setup, teardown),
        cmocka_unit_test_setup_teardown(last_good_values_stand_in, setup, teardown),
        cmocka_unit_test_setup_teardown(the_last_snapshot_can_be_asked_for, setup, teardown),
        cmocka_unit_test_setup_teardown(refusals_say_what_was_wrong, setup, teardown),
        cmocka_unit_test_setup_teardown(a_value_that_fits_no_url, setup, teardown),
        cmocka_unit_test_setup_teardown(runs_have_a_limit, setup, teardown),
        cmocka_unit_test_setup_teardown(giving_up_answers_all, setup, teardown),
        cmocka_unit_test_setup_teardown(an_abandoned_hub_stores_and_reads_nothing, setup, teardown),
        cmocka_unit_test(outcomes_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
