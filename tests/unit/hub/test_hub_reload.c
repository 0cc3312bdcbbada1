/* SPDX-License-Identifier: MIT */
/* Another configuration for a hub: what instances, runs, reads and channels make of it, and that
 * former options are freed when nothing needs them any more. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/unit/hub/feed_world.h"

#define ONE(more)                                                                                  \
    "{\"name\":\"one\",\"channel\":\"city:one\",\"runs_size\":5" more ",\"upstreams\":["           \
    "{\"name\":\"air\",\"url\":\"" FEED_URL "air\"}]}"
#define CITY(pattern, upstream)                                                                    \
    "{\"name\":\"city\",\"channel\":\"city:{city}\",\"params\":{\"city\":\"" pattern "\"},"        \
    "\"upstreams\":[{\"name\":\"events\",\"url\":\"" FEED_URL "events\"},"                         \
    "{\"name\":\"" upstream "\",\"url\":\"" FEED_URL "air\"}]}"

static int setup(void **state)
{
    return feed_setup_with(
        state, (struct world_options){.feeds = {ONE(""), CITY("[a-z]+", "air")}, .has_file = true});
}

/* --- configurations that come later --- */

struct generation {
    struct lifetime lifetime;
    bool *is_freed;
    struct client_options client;
    struct channel_options channel;
    struct upstreams_options upstreams;
    struct rpc_options rpc;
    struct config_list feeds, none;
};

static void free_generation(struct lifetime *lifetime)
{
    struct generation *g = container_of(lifetime, struct generation, lifetime);
    config_release(&client_options_shape, &g->client);
    config_release(&channel_options_shape, &g->channel);
    config_release(&upstreams_options_shape, &g->upstreams);
    config_release(&rpc_options_shape, &g->rpc);
    world_release_list(&g->feeds, &feed_options_shape);
    *g->is_freed = true;
    free(g);
}

static char *with_port(const struct feed_world *f, const char *text)
{
    struct buf b;
    buf_init(&b, 100000);
    for (const char *at = text; *at;) {
        bool is_port = strncmp(at, "PORT", 4) == 0;
        if (is_port) {
            buf_printf(&b, "%d", f->backend.port);
        } else {
            buf_append_char(&b, *at);
        }
        at += is_port ? 4 : 1;
    }
    return buf_take(&b);
}

static struct generation *read_generation(const struct feed_world *f, const char *channel,
                                          const char *one, const char *two, bool *is_freed)
{
    struct generation *g = calloc(1, sizeof(*g));
    char *texts[2] = {one ? with_port(f, one) : NULL, two ? with_port(f, two) : NULL};
    assert_non_null(g);
    *is_freed = false;
    g->is_freed = is_freed;
    world_read(FEED_CLIENT, &client_options_shape, &g->client);
    world_read(channel, &channel_options_shape, &g->channel);
    world_read(NULL, &upstreams_options_shape, &g->upstreams);
    world_read(NULL, &rpc_options_shape, &g->rpc);
    g->feeds = world_read_list((const char *const[4]){texts[0], texts[1]}, &feed_options_shape);
    lifetime_begin(&g->lifetime, free_generation);
    free(texts[0]);
    free(texts[1]);
    return g;
}

static struct hub_change *prepare(const struct feed_world *f, struct generation *g)
{
    struct hub_options options = {.backend_pool = f->w->pool,
                                  .lifetime = &g->lifetime,
                                  .client = &g->client,
                                  .channel = &g->channel,
                                  .feeds = &g->feeds,
                                  .upstreams = &g->upstreams,
                                  .rpc = &g->rpc,
                                  .proxies = &g->none};
    struct hub_change *change;
    assert_int_equal(hub_prepare(f->w->hub, &options, &change), STATUS_OK);
    return change;
}

/* The hub has it from here on; the caller lets it go when it has another one, or has ended. A feed
 * that is as another generation has it would keep the former one. */
static struct generation *reload(const struct feed_world *f, const char *channel, const char *one,
                                 const char *two, bool *is_freed)
{
    struct generation *g = read_generation(f, channel, one, two, is_freed);
    hub_commit(f->w->hub, prepare(f, g));
    return g;
}

/* Back to what the world has, so that it can end. */
static void go_back(const struct feed_world *f)
{
    struct world *w = f->w;
    struct hub_options options = {.backend_pool = w->pool,
                                  .client = &w->client_options,
                                  .channel = &w->channel_options,
                                  .feeds = &w->feeds,
                                  .upstreams = &w->upstreams_options,
                                  .rpc = &w->rpc_options,
                                  .proxies = &w->proxies};
    struct hub_change *change;
    assert_int_equal(hub_prepare(w->hub, &options, &change), STATUS_OK);
    hub_commit(w->hub, change);
}

static void end(const struct feed_world *f, struct generation *g, const bool *is_freed)
{
    WAIT_FOR(f->w, hub_is_idle(f->w->hub));
    go_back(f);
    lifetime_release(&g->lifetime);
    WAIT_FOR(f->w, *is_freed);
}

/* --- tests --- */

static void a_change_that_is_dropped_changes_nothing(void **state)
{
    struct feed_world *f = *state;
    struct feed *first = f->w->hub->feeds[0];
    bool is_freed;
    struct generation *g =
        read_generation(f, FEED_CHANNEL, ONE(",\"timeout\":\"9s\""), NULL, &is_freed);
    hub_change_destroy(prepare(f, g));
    assert_ptr_equal(f->w->hub->feeds[0], first);
    assert_int_equal(f->w->hub->n_feeds, 2);
    lifetime_release(&g->lifetime);
    assert_true(is_freed);
}

static void a_feed_that_is_as_it_was_stays(void **state)
{
    struct feed_world *f = *state;
    struct feed *first = f->w->hub->feeds[0];
    bool is_freed;
    struct generation *g = reload(f, FEED_CHANNEL, CITY("[a-c]+", "air"), ONE(""), &is_freed);
    assert_ptr_equal(f->w->hub->feeds[1], first);
    end(f, g, &is_freed);
}

static void an_instance_keeps_what_it_knows(void **state)
{
    struct feed_world *f = *state;
    bool is_freed;
    f->routes[0] = (struct feed_route){.path = "/air", .body = "{\"a\":1}"};
    f->routes[1] = (struct feed_route){.path = "/events", .body = "[2]"};
    assert_string_equal(refresh(f->w, "city", "{\"city\":\"abc\"}").data,
                        "{\"events\":[2],\"air\":{\"a\":1}}");
    struct generation *g = reload(f, FEED_CHANNEL, CITY("[a-z]{2,}", "wind"), NULL, &is_freed);
    struct feed_instance *in = instance_of(f->w, "city:abc");
    assert_ptr_equal(in->feed, f->w->hub->feeds[0]);
    assert_true(in->is_known);
    assert_non_null(in->stored.document);
    assert_non_null(in->values[0].text);
    assert_null(in->values[1].text); /* nobody is called wind before */
    assert_true(in->is_outdated);
    feed_instance_release(in);
    assert_int_equal(refresh(f->w, "one", "").status, STATUS_NOT_FOUND);
    assert_string_equal(refresh(f->w, "city", "{\"city\":\"abc\"}").data,
                        "{\"events\":[2],\"wind\":{\"a\":1}}");
    end(f, g, &is_freed);
}

static void who_has_other_parameters_is_let_go(void **state)
{
    struct feed_world *f = *state;
    bool is_freed;
    refresh(f->w, "city", "{\"city\":\"xyz\"}");
    struct feed_instance *in = instance_of(f->w, "city:xyz");
    struct generation *g = reload(f, FEED_CHANNEL, CITY("[a-c]+", "air"), NULL, &is_freed);
    assert_true(in->is_detached);
    feed_instance_release(in);
    assert_int_equal(get(f->w, "city", "{\"city\":\"xyz\"}").status, STATUS_INVALID);
    end(f, g, &is_freed);
}

static void a_run_ends_as_it_began_and_is_written_down(void **state)
{
    struct feed_world *f = *state;
    struct feed_answer answer;
    bool is_freed[2];
    f->routes[0] = (struct feed_route){.path = "/air", .body = "1", .hangs = true};
    struct generation *first =
        reload(f, FEED_CHANNEL, ONE(",\"timeout\":\"19s\""), NULL, &is_freed[0]);
    begin_refresh(f->w, "one", "", &answer);
    WAIT_FOR(f->w, f->routes[0].n == 1);
    struct generation *second =
        reload(f, FEED_CHANNEL, ONE(",\"merge\":\"array\""), NULL, &is_freed[1]);
    lifetime_release(&first->lifetime);
    assert_false(is_freed[0]); /* the run needs it */
    feed_world_release(f, "[1]");
    WAIT_FOR(f->w, answer.is_done);
    assert_int_equal(answer.status, STATUS_OK);
    assert_string_equal(answer.data, "{\"air\":[1]}");
    WAIT_FOR(f->w, hub_is_idle(f->w->hub));
    assert_true(is_freed[0]);
    assert_int_equal(stats_of_feed(f->w, "one").n_running, 0);
    f->routes[0].body = "[2]";
    assert_string_equal(refresh(f->w, "one", "").data, "[2]");
    end(f, second, &is_freed[1]);
}

static void a_read_ends_as_it_began(void **state)
{
    struct feed_world *f = *state;
    struct feed_answer answer = {.is_done = false};
    bool is_freed;
    f->routes[0] = (struct feed_route){.path = "/air", .body = "1"};
    refresh(f->w, "one", "");
    world_restart(f->w); /* nothing is in memory any more */
    hub_feed_get(f->w->hub, STR("one"), STR_EMPTY, feed_answered, &answer);
    struct generation *g = reload(f, FEED_CHANNEL, ONE(",\"timeout\":\"9s\""), NULL, &is_freed);
    WAIT_FOR(f->w, answer.is_done);
    assert_string_equal(answer.data, "{\"air\":1}");
    struct feed_instance *in = instance_of(f->w, "city:one");
    assert_ptr_equal(in->feed, f->w->hub->feeds[0]);
    feed_instance_release(in);
    end(f, g, &is_freed);
}

static void what_is_held_of_a_feed_that_goes_is_published(void **state)
{
    struct feed_world *f = *state;
    bool is_freed[2];
    f->routes[0] = (struct feed_route){.path = "/air", .body = "1"};
    struct generation *first =
        reload(f, FEED_CHANNEL, ONE(",\"min_interval\":\"1h\""), NULL, &is_freed[0]);
    refresh(f->w, "one", "");
    f->routes[0].body = "2";
    assert_true(refresh(f->w, "one", "").is_held);
    uint64_t before = f->w->hub->n_publications;
    struct generation *second = reload(f, FEED_CHANNEL, NULL, NULL, &is_freed[1]);
    WAIT_FOR(f->w, hub_is_idle(f->w->hub));
    assert_int_equal(f->w->hub->n_publications, before + 1);
    lifetime_release(&first->lifetime);
    assert_true(is_freed[0]);
    end(f, second, &is_freed[1]);
}

static void a_feed_begins_and_ends_to_run_by_itself(void **state)
{
    struct feed_world *f = *state;
    bool is_freed[2];
    f->routes[0] = (struct feed_route){.path = "/air", .body = "1"};
    struct generation *first =
        reload(f, FEED_CHANNEL, ONE(",\"refresh\":{\"every\":\"1h\",\"while\":\"always\"}"), NULL,
               &is_freed[0]);
    WAIT_FOR(f->w, stats_of_feed(f->w, "one").n_refreshes == 1);
    assert_int_equal(f->w->hub->feed_table.n_watched, 1);
    struct generation *second =
        reload(f, FEED_CHANNEL, ONE(",\"timeout\":\"9s\""), NULL, &is_freed[1]);
    assert_int_equal(f->w->hub->feed_table.n_watched, 0);
    assert_int_equal(stats_of_feed(f->w, "one").n_watched, 0);
    assert_int_equal(stats_of_feed(f->w, "one").n_refreshes, 1);
    WAIT_FOR(f->w, hub_is_idle(f->w->hub));
    lifetime_release(&first->lifetime);
    end(f, second, &is_freed[1]);
}

static void the_hub_may_end_with_runs_of_former_feeds(void **state)
{
    struct feed_world *f = *state;
    struct feed_answer answer;
    bool is_freed[2];
    f->routes[0] = (struct feed_route){.path = "/air", .hangs = true};
    struct generation *first =
        reload(f, FEED_CHANNEL, ONE(",\"timeout\":\"19s\""), NULL, &is_freed[0]);
    begin_refresh(f->w, "one", "", &answer);
    WAIT_FOR(f->w, f->routes[0].n == 1);
    struct generation *second = reload(f, FEED_CHANNEL, NULL, NULL, &is_freed[1]);
    lifetime_release(&first->lifetime);
    hub_stop(f->w->hub);
    hub_hurry(f->w->hub);
    WAIT_FOR(f->w, answer.is_done);
    assert_int_equal(answer.status, STATUS_CLOSED);
    end(f, second, &is_freed[1]);
    assert_true(is_freed[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, feed_teardown)
        TEST(a_change_that_is_dropped_changes_nothing),
        TEST(a_feed_that_is_as_it_was_stays),
        TEST(an_instance_keeps_what_it_knows),
        TEST(who_has_other_parameters_is_let_go),
        TEST(a_run_ends_as_it_began_and_is_written_down),
        TEST(a_read_ends_as_it_began),
        TEST(what_is_held_of_a_feed_that_goes_is_published),
        TEST(a_feed_begins_and_ends_to_run_by_itself),
        TEST(the_hub_may_end_with_runs_of_former_feeds),
#undef TEST
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
