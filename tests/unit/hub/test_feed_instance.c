/* SPDX-License-Identifier: MIT */
/* What is known of a feed with one set of parameters: one object for all who ask, its memory and
 * the budget of that, reading back, forgetting. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/unit/hub/feed_world.h"

#define BUDGET 20000

static int setup(void **state)
{
    return feed_setup_with(
        state,
        (struct world_options){
            .upstreams = "{\"memory_max_size\":20000}",
            .feeds =
                {FEED_CITY,
                 "{\"name\":\"pair\",\"channel\":\"city:{a}-{b}\",\"params\":{\"a\":\"[a-z]+\","
                 "\"b\":\"[a-z]+\"},\"upstreams\":[{\"name\":\"a\",\"url\":\"" FEED_URL "a\"}]}",
                 "{\"name\":\"strict\",\"channel\":\"strict\",\"upstreams\":[{\"name\":\"big\","
                 "\"url\":\"" FEED_URL "big\"},{\"name\":\"must\",\"url\":\"" FEED_URL
                 "must\",\"on_failure\":\"fail\"}]}",
                 "{\"name\":\"held\",\"channel\":\"held\",\"min_interval\":\"1h\",\"upstreams\":"
                 "[{\"name\":\"a\",\"url\":\"" FEED_URL "a\"}]}"},
            .has_file = true});
}

/* --- helpers --- */

static struct feed *feed_called(struct world *w, const char *name)
{
    for (size_t i = 0; i < w->hub->n_feeds; i++) {
        if (str_eq(feed_name(w->hub->feeds[i]), str_of(name))) {
            return w->hub->feeds[i];
        }
    }
    fail();
    return NULL;
}

static struct feed_instance *acquire(struct world *w, const char *feed, const char *params)
{
    struct feed *f = feed_called(w, feed);
    struct feed_params values;
    struct feed_instance *in;
    struct buf why;
    buf_init(&why, 1000);
    assert_int_equal(feed_params_read(f, str_of(params), &values, &why), STATUS_OK);
    assert_int_equal(feed_instance_acquire(f, &values, &in), STATUS_OK);
    return in;
}

static size_t n_instances(struct world *w)
{
    return HASH_COUNT(w->hub->feed_table.instances);
}

static bool is_in_memory(struct world *w, const char *channel)
{
    struct feed_instance *in;
    struct feed_instance *next;
    HASH_ITER (hh, w->hub->feed_table.instances, in, next) {
        if (str_eq(feed_instance_channel(in), str_of(channel))) {
            return true;
        }
    }
    return false;
}

/* A JSON text of so many bytes. */
static char *text_of(size_t n_bytes)
{
    char *text = malloc(n_bytes + 1);
    assert_non_null(text);
    memset(text, 'x', n_bytes);
    text[0] = text[n_bytes - 1] = '"';
    text[n_bytes] = '\0';
    return text;
}

struct loading {
    struct feed_load load;
    struct feed_instance *instance;
    bool is_done;
};

static void loaded(void *arg)
{
    struct loading *l = arg;
    assert_false(l->is_done);
    l->is_done = true;
}

static void begin_load(struct feed_instance *in, struct loading *l)
{
    *l = (struct loading){.instance = in};
    l->load = (struct feed_load){.done = loaded, .arg = l};
    feed_instance_load(in, &l->load);
    assert_false(l->is_done);
}

/* --- one for all --- */

static void the_same_values_are_the_same_instance(void **state)
{
    struct world *w = ((struct feed_world *)*state)->w;
    struct feed_instance *in = acquire(w, "pair", "{\"a\":\"x\",\"b\":\"y\"}");
    struct feed_instance *again = acquire(w, "pair", " {\"b\":\"\\u0079\", \"a\":\"x\"} ");
    struct feed_instance *other = acquire(w, "pair", "{\"a\":\"y\",\"b\":\"x\"}");
    struct feed_instance *by_channel = instance_of(w, "city:x-y");
    assert_ptr_equal(in, again);
    assert_ptr_equal(in, by_channel);
    assert_ptr_not_equal(in, other);
    assert_int_equal(in->n_refs, 3);
    assert_int_equal(n_instances(w), 2);
    assert_memory_equal(feed_instance_params(in).ptr, "{\"a\":\"x\",\"b\":\"y\"}", 17);
    assert_null(feed_instance_of_channel(w->hub, STR("city:x-")));
    assert_null(feed_instance_of_channel(w->hub, STR("nothing")));
    for (int i = 0; i < 3; i++) {
        feed_instance_release(in);
    }
    feed_instance_release(other);
    assert_ptr_equal(acquire(w, "pair", "{\"a\":\"x\",\"b\":\"y\"}"), in); /* it stayed */
    feed_instance_release(in);
}

static void a_channel_of_no_namespace_has_no_instance(void **state)
{
    struct world *w = ((struct feed_world *)*state)->w;
    struct feed *f = feed_called(w, "strict");
    struct feed_params values;
    struct feed_instance *in;
    struct buf why;
    buf_init(&why, 1000);
    assert_int_equal(feed_params_read(f, STR_EMPTY, &values, &why), STATUS_OK);
    buf_clear(&values.channel);
    buf_literal(&values.channel, "nowhere:a");
    assert_int_equal(feed_instance_acquire(f, &values, &in), STATUS_UNKNOWN_CHANNEL);
    assert_int_equal(n_instances(w), 0);
}

/* --- the budget --- */

static void the_longest_unused_make_room(void **state)
{
    struct feed_world *f = *state;
    const struct feed_table *table = &f->w->hub->feed_table;
    char *text = text_of(1500);
    f->routes[0] = (struct feed_route){.path = "/a", .body = text};
    struct feed_instance *kept = acquire(f->w, "pair", "{\"a\":\"kept\",\"b\":\"x\"}");
    for (char c = 'a'; c <= 't'; c++) {
        char params[64];
        snprintf(params, sizeof(params), "{\"a\":\"%c\",\"b\":\"x\"}", c);
        assert_int_equal(refresh(f->w, "pair", params).status, STATUS_OK);
        WAIT_FOR(f->w, f->w->hub->n_refreshes == 0);
        assert_true(table->n_bytes <= BUDGET);
    }
    assert_true(table->n_evicted > 0);
    assert_int_equal(n_instances(f->w) + table->n_evicted, 21);
    assert_int_equal(stats_of(f->w).n_feed_evicted, table->n_evicted);
    assert_int_equal(stats_of(f->w).feed_memory_bytes, table->n_bytes);
    assert_false(is_in_memory(f->w, "city:a-x"));
    assert_true(is_in_memory(f->w, "city:t-x"));
    assert_true(is_in_memory(f->w, "city:kept-x"));
    uint64_t before = n_reads(f->w);
    struct feed_answer a = get(f->w, "pair", "{\"a\":\"a\",\"b\":\"x\"}"); /* the storage has it */
    assert_int_equal(a.status, STATUS_OK);
    assert_int_equal(n_reads(f->w), before + 1);
    f->w->upstreams_options.memory_max_size = 0;
    feed_instance_release(kept);
    assert_int_equal(n_instances(f->w), 0);
    assert_int_equal(table->n_bytes, 0);
    free(text);
}

static void who_is_held_stays(void **state)
{
    struct feed_world *f = *state;
    const struct feed_table *table = &f->w->hub->feed_table;
    struct feed_instance *held[60];
    for (int i = 0; i < 60; i++) {
        char params[64];
        snprintf(params, sizeof(params), "{\"a\":\"%c\",\"b\":\"%c\"}", 'a' + i / 10, 'a' + i % 10);
        held[i] = acquire(f->w, "pair", params);
    }
    assert_true(table->n_bytes > BUDGET);
    assert_int_equal(table->n_evicted, 0);
    for (int i = 0; i < 60; i++) {
        feed_instance_release(held[i]);
    }
    assert_true(table->n_bytes <= BUDGET);
    assert_true(table->n_evicted > 0);
}

/* The values stay, and count, though there is no document. */
static void what_a_failed_run_leaves_is_counted(void **state)
{
    struct feed_world *f = *state;
    char *text = text_of(10000);
    f->routes[0] = (struct feed_route){.path = "/big", .body = text};
    struct feed_instance *in = acquire(f->w, "strict", "");
    size_t before = f->w->hub->feed_table.n_bytes;
    assert_int_equal(refresh(f->w, "strict", "").status, STATUS_UPSTREAM_FAILED);
    assert_in_range(f->w->hub->feed_table.n_bytes - before, 10000, 11000);
    assert_int_equal(in->n_counted, f->w->hub->feed_table.n_bytes);
    feed_instance_release(in);
    free(text);
}

static void what_is_held_back_is_counted(void **state)
{
    struct feed_world *f = *state;
    char *text = text_of(2000);
    f->routes[0] = (struct feed_route){.path = "/a", .body = "1"};
    refresh(f->w, "held", "");
    struct feed_instance *in = acquire(f->w, "held", "");
    size_t before = in->n_counted;
    f->routes[0].body = text;
    assert_true(refresh(f->w, "held", "").is_held);
    assert_in_range(in->n_counted - before, 4000, 5000); /* the document and the value */
    feed_instance_drop_held(in);
    assert_in_range(in->n_counted - before, 1900, 2500);
    feed_instance_release(in);
    free(text);
}

/* --- reading back --- */

static void all_who_wait_share_one_read(void **state)
{
    struct feed_world *f = *state;
    struct loading l[3];
    f->routes[0] = (struct feed_route){.path = "/", .body = "1"};
    refresh(f->w, "city", "{\"city\":\"x\"}");
    world_restart(f->w);
    struct feed_instance *in = acquire(f->w, "city", "{\"city\":\"x\"}");
    uint64_t before = n_reads(f->w);
    assert_null(feed_instance_newest(in)->document);
    for (int i = 0; i < 3; i++) {
        begin_load(in, &l[i]);
    }
    WAIT_FOR(f->w, l[0].is_done && l[1].is_done && l[2].is_done);
    assert_int_equal(n_reads(f->w), before + 1);
    assert_true(in->is_known);
    assert_int_equal(in->load_status, STATUS_OK);
    assert_int_equal(in->position.offset, 1);
    assert_memory_equal(in->values[0].text->bytes, "1", 2);
    assert_true(in->values[0].is_stored);
    begin_load(in, &l[0]); /* known: all the same later */
    WAIT_FOR(f->w, l[0].is_done);
    assert_int_equal(n_reads(f->w), before + 1);
    struct publication *shown = feed_instance_show(in);
    assert_ptr_equal(shown, feed_instance_show(in));
    assert_int_equal(shown->offset, 0);
    feed_instance_release(in);
}

/* What was read may be from before the purge. */
static void who_forgets_while_it_is_read_reads_again(void **state)
{
    struct feed_world *f = *state;
    struct loading l;
    refresh(f->w, "city", "{\"city\":\"x\"}");
    world_restart(f->w);
    struct feed_instance *in = acquire(f->w, "city", "{\"city\":\"x\"}");
    uint64_t before = n_reads(f->w);
    begin_load(in, &l);
    feed_instance_forget(in);
    WAIT_FOR(f->w, l.is_done);
    assert_int_equal(n_reads(f->w), before + 2);
    assert_true(in->is_known && feed_instance_newest(in)->document);
    feed_instance_release(in);
}

static void an_abandoned_hub_reads_nothing(void **state)
{
    struct feed_world *f = *state;
    struct loading l;
    struct feed_instance *in = acquire(f->w, "city", "{\"city\":\"x\"}");
    hub_abandon(f->w->hub);
    begin_load(in, &l);
    WAIT_FOR(f->w, l.is_done);
    assert_int_equal(in->load_status, STATUS_CLOSED);
    assert_false(in->is_known);
    feed_instance_release(in);
}

/* A read failed, a run brought a snapshot, and the next read succeeds: what a run has made may be
 * on its way into the storage. */
static void what_is_read_late_does_not_replace_what_a_run_has_made(void **state)
{
    struct feed_world *f = *state;
    struct loading l;
    f->routes[0] = (struct feed_route){.path = "/", .body = "1"};
    refresh(f->w, "city", "{\"city\":\"x\"}");
    struct feed_instance *in = acquire(f->w, "city", "{\"city\":\"x\"}");
    const struct publication *document = in->stored.document;
    in->is_known = false; /* as after a read that failed */
    begin_load(in, &l);
    WAIT_FOR(f->w, l.is_done);
    assert_true(in->is_known);
    assert_ptr_equal(in->stored.document, document);
    feed_instance_release(in);
}

/* --- forgetting --- */

static void one_is_forgotten_or_all(void **state)
{
    struct feed_world *f = *state;
    f->routes[0] = (struct feed_route){.path = "/", .body = "1"};
    refresh(f->w, "city", "{\"city\":\"x\"}");
    refresh(f->w, "city", "{\"city\":\"y\"}");
    refresh(f->w, "pair", "{\"a\":\"x\",\"b\":\"y\"}");
    assert_int_equal(purge(f->w, "city", "{\"city\":\"x\"}").n, 1);
    assert_int_equal(purge(f->w, "city", "{\"city\":\"x\"}").n, 0);
    assert_int_equal(get(f->w, "city", "{\"city\":\"x\"}").status, STATUS_NOT_AVAILABLE);
    assert_int_equal(get(f->w, "city", "{\"city\":\"y\"}").status, STATUS_OK);
    f->routes[0].status = 500; /* the last good values are gone, too */
    assert_string_equal(refresh(f->w, "city", "{\"city\":\"x\"}").data,
                        "{\"air\":null,\"events\":null}");
    assert_int_equal(purge(f->w, "city", "").n, 2);
    assert_int_equal(get(f->w, "city", "{\"city\":\"y\"}").status, STATUS_NOT_AVAILABLE);
    assert_int_equal(get(f->w, "pair", "{\"a\":\"x\",\"b\":\"y\"}").status, STATUS_OK);
    world_restart(f->w);
    assert_int_equal(get(f->w, "city", "{\"city\":\"y\"}").status, STATUS_NOT_AVAILABLE);
    assert_int_equal(purge(f->w, "towns", "").status, STATUS_NOT_FOUND);
    assert_int_equal(purge(f->w, "city", "{}").status, STATUS_INVALID);
}

static void what_is_held_back_is_forgotten_too(void **state)
{
    struct feed_world *f = *state;
    f->routes[0] = (struct feed_route){.path = "/a", .body = "1"};
    refresh(f->w, "held", "");
    f->routes[0].body = "2";
    assert_true(refresh(f->w, "held", "").is_held);
    struct feed_instance *in = acquire(f->w, "held", "");
    assert_int_equal(in->n_refs, 2); /* what is held back holds it, too */
    assert_int_equal(purge(f->w, "held", "").n, 1);
    assert_int_equal(in->n_refs, 1);
    assert_false(deadline_armed(&in->hold));
    assert_int_equal(get(f->w, "held", "").status, STATUS_NOT_AVAILABLE);
    feed_instance_release(in);
}

/* --- texts --- */

static void texts_are_shared(void **state)
{
    (void)state;
    struct feed_text *text = feed_text_create(STR("abc"));
    assert_ptr_equal(feed_text_ref(text), text);
    assert_string_equal(text->bytes, "abc");
    feed_text_unref(text);
    assert_int_equal(text->refs, 1);
    feed_text_unref(text);
    assert_null(feed_text_ref(NULL));
    feed_text_unref(NULL);
    text = feed_text_create(STR_EMPTY);
    assert_int_equal(text->len, 0);
    feed_text_unref(text);
}

#define IN(test) cmocka_unit_test_setup_teardown(test, setup, feed_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN(the_same_values_are_the_same_instance),
        IN(a_channel_of_no_namespace_has_no_instance),
        IN(the_longest_unused_make_room),
        IN(who_is_held_stays),
        IN(what_a_failed_run_leaves_is_counted),
        IN(what_is_held_back_is_counted),
        IN(all_who_wait_share_one_read),
        IN(who_forgets_while_it_is_read_reads_again),
        IN(an_abandoned_hub_reads_nothing),
        IN(what_is_read_late_does_not_replace_what_a_run_has_made),
        IN(one_is_forgotten_or_all),
        IN(what_is_held_back_is_forgotten_too),
        cmocka_unit_test(texts_are_shared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
