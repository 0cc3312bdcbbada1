/* SPDX-License-Identifier: MIT */
/* The channels in pages: each once, whatever comes and goes; and the bound of the work. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "hub/channel_internal.h"
#include "tests/unit/hub/world.h"

#define N_CHANNELS 3000

struct fixture {
    struct world *world;
    struct peer peer;
};

static void enter(struct fixture *f, const char *prefix, int number)
{
    char name[32];
    snprintf(name, sizeof(name), "%s%d", prefix, number);
    struct subscribe_request request = {.channel = str_of(name)};
    assert_int_equal(subscribe_with(&f->peer, &request).status, STATUS_OK);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    f->world = world_create(
        &(struct world_options){.client = "{\"insecure\":true,\"channel_limit\":65535}"});
    peer_connect(&f->peer, f->world);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    peer_release(&f->peer);
    world_destroy(f->world);
    free(f);
    return 0;
}

struct seen {
    int n_times[N_CHANNELS]; /* of "stays-N" */
    size_t n_on_page;
};

static void see(void *arg, struct str channel, size_t n_clients)
{
    struct seen *seen = arg;
    uint64_t number;
    assert_int_equal(n_clients, 1);
    seen->n_on_page++;
    if (str_starts_with(channel, STR("stays-"))) {
        assert_true(str_to_u64(str_tail(channel, 6), &number));
        seen->n_times[number]++;
    }
}

/* The next page; false: it was the last one. */
static bool turn_page(struct hub *hub, struct channels_page *page, struct buf *cursor,
                      struct seen *seen)
{
    struct buf next;
    buf_init(&next, 8192);
    page->cursor = buf_str(cursor);
    seen->n_on_page = 0;
    assert_int_equal(hub_channels_page(hub, page, see, seen, &next), STATUS_OK);
    assert_true(seen->n_on_page <= page->limit);
    buf_release(cursor);
    *cursor = next;
    return next.len > 0;
}

static void who_stays_is_on_one_page_while_the_table_grows(void **state)
{
    struct fixture *f = *state;
    struct hub *hub = f->world->hub;
    struct seen seen = {.n_on_page = 0};
    struct channels_page page = {.limit = 40};
    struct buf cursor;
    for (int i = 0; i < N_CHANNELS; i++) {
        enter(f, "stays-", i);
    }
    unsigned n_buckets = hub->channels->hh.tbl->num_buckets;
    buf_init(&cursor, 8192);
    for (int n = 0; turn_page(hub, &page, &cursor, &seen); n++) {
        for (int i = 0; i < 200 && n < 50; i++) {
            enter(f, "comes-", n * 200 + i);
        }
    }
    buf_release(&cursor);
    assert_true(hub->channels->hh.tbl->num_buckets > n_buckets);
    for (int i = 0; i < N_CHANNELS; i++) {
        assert_int_equal(seen.n_times[i], 1);
    }
}

static void a_page_looks_at_so_many(void **state)
{
    struct fixture *f = *state;
    struct hub *hub = f->world->hub;
    struct seen seen = {.n_on_page = 0};
    struct channels_page page = {.pattern = STR("stays-*"), .limit = 10};
    struct buf cursor;
    size_t n_pages = 1;
    for (int i = 0; i < 20000; i++) {
        enter(f, "comes-", i);
    }
    enter(f, "stays-", 7);
    buf_init(&cursor, 8192);
    while (turn_page(hub, &page, &cursor, &seen)) {
        n_pages++;
    }
    buf_release(&cursor);
    assert_true(n_pages > 1);
    assert_true(n_pages < 100);
    assert_int_equal(seen.n_times[7], 1);
}

static void what_is_no_cursor_is_refused(void **state)
{
    struct fixture *f = *state;
    static const char *const cursors[] = {"x", "0000000", "0000000G", "-0000000", " 0000000a"};
    struct seen seen = {.n_on_page = 0};
    struct buf next;
    buf_init(&next, 100);
    for (size_t i = 0; i < sizeof(cursors) / sizeof(cursors[0]); i++) {
        struct channels_page page = {.cursor = str_of(cursors[i]), .limit = 1};
        assert_int_equal(hub_channels_page(f->world->hub, &page, see, &seen, &next),
                         STATUS_INVALID);
    }
    assert_int_equal(next.len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(who_stays_is_on_one_page_while_the_table_grows, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_page_looks_at_so_many, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_no_cursor_is_refused, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
