/* SPDX-License-Identifier: MIT */
/* Who the direct client connects to: addresses, names over sockets that others have connected, the
 * guard, timeouts, the limit of hosts. */
#include "direct_world.h"

#include <fcntl.h>

#include "upstreams/address_guard.h"
#include "upstreams/direct_internal.h"

/* --- connecting --- */

/* A port that is taken but not listened on. */
static int take_port(uint16_t *ret_port)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(name);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&name, len), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&name, &len), 0);
    *ret_port = ntohs(name.sin_port);
    return fd;
}

static void test_a_refused_connection(void **state)
{
    (void)state;
    struct world w;
    struct asking a;
    uint16_t port;
    int fd = take_port(&port);
    open_world(&w);
    prepare_port(&w, &a, "127.0.0.1", port);
    assert_int_equal(end_of(&a), DIRECT_NOT_CONNECTED);
    assert_non_null(strstr(a.error, "Connection refused"));
    forget(&a);
    close_world(&w);
    (void)close(fd);
}

/* Nobody accepts, so that the queue is soon full, and the kernel answers no more. */
static int make_black_hole(uint16_t *ret_port, int *fillers, size_t n)
{
    int fd = take_port(ret_port);
    struct sockaddr_in name = {.sin_family = AF_INET,
                               .sin_port = htons(*ret_port),
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    assert_int_equal(listen(fd, 0), 0);
    for (size_t i = 0; i < n; i++) {
        fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)connect(fillers[i], (struct sockaddr *)&name, sizeof(name));
    }
    return fd;
}

static void test_timeouts_of_connecting(void **state)
{
    (void)state;
    struct world w;
    struct asking a;
    uint16_t port;
    int fillers[4];
    int fd = make_black_hole(&port, fillers, 4);
    open_world(&w);
    for (int is_connect_timeout = 0; is_connect_timeout < 2; is_connect_timeout++) {
        prepare_port(&w, &a, "127.0.0.1", port);
        a.call.timeout_ms = is_connect_timeout ? LONG_MS : 20;
        a.call.connect_timeout_ms = is_connect_timeout ? 20 : LONG_MS;
        assert_int_equal(end_of(&a), DIRECT_TIMEOUT);
        assert_non_null(strstr(a.error, "within 20 ms"));
        forget(&a);
    }
    close_world(&w);
    for (size_t i = 0; i < 4; i++) {
        (void)close(fillers[i]);
    }
    (void)close(fd);
}

/* The time for connecting is over, the answer still has its own. */
static void test_timeouts_of_answers(void **state)
{
    (void)state;
    struct world w;
    struct asking a;
    open_world(&w);
    for (int is_kept = 0; is_kept < 2; is_kept++) {
        if (is_kept) {
            assert_good(&w, false);
        }
        expect(&w.server, STR("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n[]"), THEN_KEEP);
        prepare(&w, &a);
        a.call.timeout_ms = 60;
        a.call.connect_timeout_ms = 20;
        int64_t before_ms = (int64_t)(uv_hrtime() / 1000000);
        assert_int_equal(end_of(&a), DIRECT_TIMEOUT);
        assert_true((int64_t)(uv_hrtime() / 1000000) - before_ms >= 59);
        assert_non_null(strstr(a.error, "2 bytes"));
        assert_int_equal(a.head.head.http_status, 200);
        forget(&a);
    }
    assert_good(&w, false);
    close_world(&w);
}

/* As libcurl makes it. */
static int connect_socket(uint16_t port)
{
    struct sockaddr_in name = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&name, sizeof(name)), 0);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    return fd;
}

static enum direct_end end_at_name(struct world *w, const char *name)
{
    struct asking a;
    prepare_port(w, &a, name, w->server.port);
    enum direct_end end = end_of(&a);
    assert_int_equal(a.call.is_reused, end == DIRECT_COMPLETE);
    assert_int_equal(a.call.n_connections, 0);
    forget(&a);
    return end;
}

static enum direct_end end_over(struct world *w, const char *name, int fd)
{
    struct asking a;
    prepare_port(w, &a, name, w->server.port);
    ask_over(&a, fd);
    run(&a);
    assert_false(a.call.is_reused);
    assert_int_equal(strlen(a.error) > 0, a.end != DIRECT_COMPLETE);
    forget(&a);
    return a.end;
}

/* Each has its own connections, wherever they lead. */
static void test_names(void **state)
{
    (void)state;
    struct world w;
    open_world(&w);
    assert_int_equal(end_at_name(&w, "name.test"), DIRECT_NAME);
    assert_int_equal(w.server.n_connections, 0);
    expect(&w.server, STR(GOOD), THEN_KEEP);
    assert_int_equal(end_over(&w, "name.test", connect_socket(w.server.port)), DIRECT_COMPLETE);
    expect(&w.server, STR(GOOD), THEN_KEEP);
    assert_int_equal(end_at_name(&w, "name.test"), DIRECT_COMPLETE);
    assert_int_equal(end_at_name(&w, "other.test"), DIRECT_NAME);
    assert_int_equal(w.server.n_connections, 1);
    close_world(&w);
}

/* Without a byte of the answer somebody is to connect once more. */
static void test_a_kept_connection_to_a_name_that_breaks(void **state)
{
    (void)state;
    for (enum then then = THEN_CLOSE; then <= THEN_RESET; then++) {
        struct world w;
        open_world(&w);
        expect(&w.server, STR(GOOD), THEN_KEEP);
        assert_int_equal(end_over(&w, "name.test", connect_socket(w.server.port)), DIRECT_COMPLETE);
        expect(&w.server, STR_EMPTY, then);
        assert_int_equal(end_at_name(&w, "name.test"), DIRECT_NAME);
        expect(&w.server, STR_EMPTY, then);
        assert_int_equal(end_over(&w, "name.test", connect_socket(w.server.port)), DIRECT_BROKEN);
        expect(&w.server, STR(GOOD), THEN_KEEP);
        assert_int_equal(end_over(&w, "name.test", connect_socket(w.server.port)), DIRECT_COMPLETE);
        close_world(&w);
    }
}

/* What somebody else has made is closed in any case. */
static void test_sockets_that_are_of_no_use(void **state)
{
    (void)state;
    struct world w;
    struct asking a;
    int ends[2];
    open_world(&w);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
    (void)close(ends[1]);
    assert_int_equal(end_over(&w, "name.test", ends[0]), DIRECT_BROKEN);
    assert_int_equal(fcntl(ends[0], F_GETFD), -1);
    int file = open("/proc/self/exe", O_RDONLY);
    assert_int_equal(end_over(&w, "name.test", file), DIRECT_NOT_CONNECTED);
    assert_int_equal(fcntl(file, F_GETFD), -1);
    assert_int_equal(end_over(&w, "not a name", connect_socket(w.server.port)),
                     DIRECT_NOT_CONNECTED);
    prepare_port(&w, &a, "name.test", w.server.port);
    ask_over(&a, connect_socket(w.server.port));
    direct_cancel(w.direct, &a.call); /* before it has begun */
    forget(&a);
    turn_until_open(&w, 0);
    assert_int_equal(a.n_ends, 0);
    close_world(&w);
}

/* Far more names than there is place for: old ones go, those with connections stay. */
static void test_hosts_have_a_limit(void **state)
{
    (void)state;
    struct world w;
    char name[40];
    open_world(&w);
    assert_good(&w, false);
    for (int i = 0; i < 3000; i++) {
        (void)snprintf(name, sizeof(name), "n%d.test", i);
        assert_int_equal(end_at_name(&w, name), DIRECT_NAME);
    }
    unsigned n_hosts = HASH_COUNT(w.direct->hosts);
    assert_true(n_hosts > 1000 && n_hosts < 1100);
    assert_good(&w, true);
    close_world(&w);
}

static void test_a_guard(void **state)
{
    (void)state;
    struct world w;
    struct asking a;
    char *entries[] = {"name.test"};
    const struct config_list hosts = {.items = entries, .n_items = 1};
    struct address_guard *guard = address_guard_create(&hosts);
    open_world_with(&w, (struct direct_options){.guard = guard});
    prepare(&w, &a);
    assert_int_equal(end_of(&a), DIRECT_REFUSED);
    assert_string_equal(a.error, "the address 127.0.0.1 is not allowed");
    forget(&a);
    prepare_port(&w, &a, "[::1]", w.server.port);
    assert_int_equal(end_of(&a), DIRECT_REFUSED);
    assert_string_equal(a.error, "the address ::1 is not allowed");
    forget(&a);
    close_world(&w);
    address_guard_destroy(guard);
}

/* What looks like an address and is none is libcurl's to judge. */
static void test_addresses_that_are_none(void **state)
{
    (void)state;
    struct world w;
    const char *const others[] = {"127.1", "2130706433", "256.1.1.1", "1.2.3.4.5",
                                  "[:]",   "[::1::1]",   "127.0.0.01"};
    open_world(&w);
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        struct asking a;
        prepare_port(&w, &a, others[i], w.server.port);
        assert_int_equal(end_of(&a), DIRECT_NAME);
        forget(&a);
    }
    close_world(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_refused_connection),
        cmocka_unit_test(test_timeouts_of_connecting),
        cmocka_unit_test(test_timeouts_of_answers),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_a_kept_connection_to_a_name_that_breaks),
        cmocka_unit_test(test_sockets_that_are_of_no_use),
        cmocka_unit_test(test_hosts_have_a_limit),
        cmocka_unit_test(test_a_guard),
        cmocka_unit_test(test_addresses_that_are_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
