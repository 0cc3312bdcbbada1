/* SPDX-License-Identifier: MIT */
/* What a change of an event mask costs in system calls, and that events come as the last one says.
 */
#include "protocols/poll_mask.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <uv.h>

#include <cmocka.h>

static size_t n_calls;

/* In libc's place, as uv_poll_start() is in libuv's. */
int epoll_ctl(int epfd, int op, int fd, struct epoll_event *event)
{
    n_calls++;
    return (int)syscall(SYS_epoll_ctl, epfd, op, fd, event);
}

struct world {
    uv_loop_t loop;
    uv_poll_t poll;
    int fds[2];
    int seen; /* events */
};

static void on_events(uv_poll_t *poll, int status, int events)
{
    struct world *w = poll->data;
    assert_int_equal(status, 0);
    w->seen |= events;
}

static void on_other(uv_poll_t *poll, int status, int events)
{
    on_events(poll, status, events);
    ((struct world *)poll->data)->seen |= UV_DISCONNECT;
}

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    assert_int_equal(uv_loop_init(&w->loop), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, w->fds), 0);
    assert_int_equal(uv_poll_init(&w->loop, &w->poll, w->fds[0]), 0);
    w->poll.data = w;
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    uv_close((uv_handle_t *)&w->poll, NULL);
    uv_run(&w->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&w->loop), 0);
    close(w->fds[0]);
    close(w->fds[1]);
    free(w);
    return 0;
}

static void want(struct world *w, int events)
{
    assert_int_equal(uv_poll_start(&w->poll, events, on_events), 0);
}

/* What comes in one turn; there always is room to write. */
static int events_of_a_turn(struct world *w)
{
    w->seen = 0;
    uv_run(&w->loop, UV_RUN_NOWAIT);
    return w->seen;
}

/* A world that waits for something to read, with nothing under way. */
static void settle(struct world *w)
{
    want(w, UV_READABLE);
    assert_int_equal(events_of_a_turn(w), 0);
    n_calls = 0;
}

static void the_same_mask_costs_nothing(void **state)
{
    struct world *w = *state;
    settle(w);
    want(w, UV_READABLE);
    assert_int_equal(events_of_a_turn(w), 0);
    assert_int_equal(n_calls, 0);
}

static void another_mask_or_callback_is_set(void **state)
{
    struct world *w = *state;
    settle(w);
    want(w, UV_READABLE | UV_WRITABLE);
    assert_int_equal(events_of_a_turn(w), UV_WRITABLE);
    assert_true(n_calls > 0);
    want(w, UV_READABLE);
    assert_int_equal(events_of_a_turn(w), 0);
    assert_int_equal(write(w->fds[1], "x", 1), 1);
    assert_int_equal(events_of_a_turn(w), UV_READABLE);
    assert_int_equal(uv_poll_start(&w->poll, UV_READABLE, on_other), 0);
    assert_int_equal(events_of_a_turn(w), UV_READABLE | UV_DISCONNECT);
}

static void what_is_taken_back_costs_nothing(void **state)
{
    struct world *w = *state;
    settle(w);
    poll_mask_hold();
    want(w, UV_READABLE | UV_WRITABLE);
    want(w, UV_READABLE);
    poll_mask_release();
    assert_int_equal(write(w->fds[1], "x", 1), 1);
    assert_int_equal(events_of_a_turn(w), UV_READABLE);
    assert_int_equal(n_calls, 0);
}

static void what_is_held_back_is_set_at_the_end(void **state)
{
    struct world *w = *state;
    settle(w);
    poll_mask_hold();
    want(w, UV_READABLE);
    want(w, UV_READABLE | UV_WRITABLE);
    poll_mask_release();
    assert_int_equal(events_of_a_turn(w), UV_WRITABLE);
}

static void what_is_stopped_meanwhile_stays_stopped(void **state)
{
    struct world *w = *state;
    settle(w);
    poll_mask_hold();
    want(w, UV_READABLE | UV_WRITABLE);
    uv_poll_stop(&w->poll);
    poll_mask_release();
    assert_int_equal(events_of_a_turn(w), 0);
    assert_false(uv_is_active((uv_handle_t *)&w->poll));
}

static void what_is_stopped_and_started_again_counts(void **state)
{
    struct world *w = *state;
    settle(w);
    poll_mask_hold();
    want(w, UV_READABLE | UV_WRITABLE);
    uv_poll_stop(&w->poll);
    want(w, UV_READABLE);
    poll_mask_release();
    assert_int_equal(write(w->fds[1], "x", 1), 1);
    assert_int_equal(events_of_a_turn(w), UV_READABLE);
}

static void a_handle_may_start_while_another_is_held(void **state)
{
    struct world *w = *state;
    uv_poll_t other;
    settle(w);
    assert_int_equal(uv_poll_init(&w->loop, &other, w->fds[1]), 0);
    other.data = w;
    poll_mask_hold();
    want(w, UV_READABLE | UV_WRITABLE);
    assert_int_equal(uv_poll_start(&other, UV_WRITABLE, on_other), 0);
    assert_int_equal(uv_poll_start(&other, UV_READABLE, on_other), 0);
    want(w, UV_READABLE);
    poll_mask_release();
    assert_int_equal(write(w->fds[0], "x", 1), 1);
    assert_int_equal(events_of_a_turn(w), UV_READABLE | UV_DISCONNECT);
    uv_close((uv_handle_t *)&other, NULL);
    uv_run(&w->loop, UV_RUN_NOWAIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_same_mask_costs_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(another_mask_or_callback_is_set, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_taken_back_costs_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_held_back_is_set_at_the_end, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_stopped_meanwhile_stays_stopped, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_stopped_and_started_again_counts, setup, teardown),
        cmocka_unit_test_setup_teardown(a_handle_may_start_while_another_is_held, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
