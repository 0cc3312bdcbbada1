/* SPDX-License-Identifier: MIT */
/* What the service manager is told, at which address, and what a bad environment does. */
#include "base/notify.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"

#define ABSTRACT_SIZE 40
/* Datagrams of one sender that the system keeps for a socket, and some. */
#define MORE_THAN_QUEUED 600

struct fixture {
    struct loop *loop;
    struct notify *notify;
    int manager;
    const char *status;
    unsigned n_described;
    char heard[512];
};

static void describe(void *arg, char *ret_text, size_t size)
{
    struct fixture *f = arg;
    f->n_described++;
    (void)snprintf(ret_text, size, "%s", f->status);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    assert_int_equal(loop_create(&f->loop), STATUS_OK);
    f->manager = -1;
    f->status = "all is well";
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    notify_destroy(f->notify);
    loop_destroy(f->loop);
    if (f->manager >= 0) {
        close(f->manager);
    }
    free(f);
    return 0;
}

/* Listens where the name says, as NOTIFY_SOCKET has it. */
static void listen_at(struct fixture *f, const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t len = strlen(name);
    assert_true(len < sizeof(address.sun_path));
    memcpy(address.sun_path, name, len);
    if (name[0] == '@') {
        address.sun_path[0] = '\0';
    }
    f->manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(f->manager, (struct sockaddr *)&address,
                          (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)),
                     0);
    setenv("NOTIFY_SOCKET", name, 1);
}

static void listen_somewhere(struct fixture *f)
{
    char name[ABSTRACT_SIZE];
    (void)snprintf(name, sizeof(name), "@belfry-test-%d", (int)getpid());
    listen_at(f, name);
}

static void create(struct fixture *f)
{
    assert_int_equal(notify_create(f->loop, describe, f, &f->notify), STATUS_OK);
}

/* The next datagram; waits for it, but not for ever. */
static const char *hear(struct fixture *f)
{
    const struct timeval limit = {.tv_sec = 30};
    setsockopt(f->manager, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    ssize_t n = recv(f->manager, f->heard, sizeof(f->heard) - 1, 0);
    assert_true(n > 0);
    f->heard[n] = '\0';
    return f->heard;
}

static bool is_silent(struct fixture *f)
{
    return recv(f->manager, f->heard, sizeof(f->heard), MSG_DONTWAIT) < 0;
}

static void each_change_is_one_datagram(void **state)
{
    struct fixture *f = *state;
    listen_somewhere(f);
    create(f);
    assert_true(is_silent(f));
    notify_ready(f->notify);
    assert_string_equal(hear(f), "READY=1\nSTATUS=all is well\n");
    f->status = "less so";
    notify_stopping(f->notify, 35000);
    assert_string_equal(hear(f), "STOPPING=1\nEXTEND_TIMEOUT_USEC=35000000\nSTATUS=less so\n");
    assert_true(is_silent(f));
}

static void a_reload_says_when_it_began(void **state)
{
    struct fixture *f = *state;
    long long us = 0;
    listen_somewhere(f);
    create(f);
    int64_t before_us = clock_monotonic_us();
    notify_reloading(f->notify);
    assert_int_equal(sscanf(hear(f), "RELOADING=1\nMONOTONIC_USEC=%lld\n", &us), 1);
    assert_true(us >= before_us && us <= clock_monotonic_us());
    notify_ready(f->notify);
    assert_memory_equal(hear(f), "READY=1\n", 8);
}

static void a_socket_may_have_a_path(void **state)
{
    struct fixture *f = *state;
    char folder[] = "/tmp/belfry-notify-XXXXXX";
    char path[sizeof(folder) + 8];
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof(path), "%s/socket", folder);
    listen_at(f, path);
    create(f);
    notify_ready(f->notify);
    assert_memory_equal(hear(f), "READY=1\n", 8);
    unlink(path);
    rmdir(folder);
}

static void close_timer(uv_timer_t *timer)
{
    uv_close((uv_handle_t *)timer, NULL);
}

/* For so long the loop has something else to do. */
static void run_for(struct fixture *f, uint64_t ms)
{
    uv_timer_t other;
    uv_timer_init(loop_uv(f->loop), &other);
    uv_timer_start(&other, close_timer, ms, 0);
    loop_run(f->loop);
}

static void the_watchdog_hears_of_a_loop_that_turns(void **state)
{
    struct fixture *f = *state;
    listen_somewhere(f);
    setenv("WATCHDOG_USEC", "4000", 1);
    char pid[24];
    (void)snprintf(pid, sizeof(pid), "%d", (int)getpid());
    setenv("WATCHDOG_PID", pid, 1);
    create(f);
    run_for(f, 20);
    assert_true(is_silent(f)); /* it is not ready yet */
    notify_ready(f->notify);
    (void)hear(f);
    run_for(f, 20);
    assert_string_equal(hear(f), "WATCHDOG=1\nSTATUS=all is well\n");
    assert_string_equal(hear(f), "WATCHDOG=1\nSTATUS=all is well\n");
}

static void on_turn(uv_timer_t *timer)
{
    const struct fixture *f = timer->data;
    if (f->n_described > MORE_THAN_QUEUED) {
        uv_close((uv_handle_t *)timer, NULL);
    }
}

static void a_manager_that_does_not_read_holds_up_no_loop(void **state)
{
    struct fixture *f = *state;
    uv_timer_t other;
    listen_somewhere(f);
    setenv("WATCHDOG_USEC", "2000", 1);
    create(f);
    notify_ready(f->notify);
    uv_timer_init(loop_uv(f->loop), &other);
    uv_timer_start(&other, on_turn, 1, 1);
    other.data = f;
    loop_run(f->loop);
    assert_true(f->n_described > MORE_THAN_QUEUED);
}

static void expect_no_watchdog(struct fixture *f)
{
    listen_somewhere(f);
    create(f);
    notify_ready(f->notify);
    (void)hear(f);
    run_for(f, 20);
    assert_true(is_silent(f));
}

static void the_watchdog_of_another_process_is_none(void **state)
{
    setenv("WATCHDOG_USEC", "2000", 1);
    setenv("WATCHDOG_PID", "1", 1);
    expect_no_watchdog(*state);
}

static void a_bad_watchdog_is_none(void **state)
{
    setenv("WATCHDOG_USEC", "-5", 1);
    expect_no_watchdog(*state);
}

static void by_itself_it_holds_no_loop(void **state)
{
    struct fixture *f = *state;
    listen_somewhere(f);
    setenv("WATCHDOG_USEC", "3600000000", 1);
    create(f);
    notify_ready(f->notify);
    loop_run(f->loop); /* returns */
}

static void tell_all(struct fixture *f)
{
    create(f);
    notify_ready(f->notify);
    notify_reloading(f->notify);
    notify_ready(f->notify);
    notify_stopping(f->notify, 1000);
}

static void nobody_wants_to_know(void **state)
{
    setenv("WATCHDOG_USEC", "2000", 1);
    tell_all(*state);
}

static void nobody_is_there(void **state)
{
    setenv("NOTIFY_SOCKET", "@belfry-test-nobody", 1);
    tell_all(*state);
}

static void an_address_of_another_kind_is_left_alone(void **state)
{
    setenv("NOTIFY_SOCKET", "vsock:2:1234", 1);
    tell_all(*state);
}

static void a_path_that_is_too_long_is_left_alone(void **state)
{
    char path[110];
    memset(path, '/', sizeof(path));
    path[108] = '\0';
    setenv("NOTIFY_SOCKET", path, 1);
    tell_all(*state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_change_is_one_datagram, setup, teardown),
        cmocka_unit_test_setup_teardown(a_reload_says_when_it_began, setup, teardown),
        cmocka_unit_test_setup_teardown(a_socket_may_have_a_path, setup, teardown),
        cmocka_unit_test_setup_teardown(the_watchdog_hears_of_a_loop_that_turns, setup, teardown),
        cmocka_unit_test_setup_teardown(a_manager_that_does_not_read_holds_up_no_loop, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(the_watchdog_of_another_process_is_none, setup, teardown),
        cmocka_unit_test_setup_teardown(a_bad_watchdog_is_none, setup, teardown),
        cmocka_unit_test_setup_teardown(by_itself_it_holds_no_loop, setup, teardown),
        cmocka_unit_test_setup_teardown(nobody_wants_to_know, setup, teardown),
        cmocka_unit_test_setup_teardown(nobody_is_there, setup, teardown),
        cmocka_unit_test_setup_teardown(an_address_of_another_kind_is_left_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(a_path_that_is_too_long_is_left_alone, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
