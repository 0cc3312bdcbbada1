/* SPDX-License-Identifier: MIT */
/* The file of a listening socket: whose it may replace, whose not, and what becomes of it. */
#include "protocols/unix_socket.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "tests/unit/upstreams/certificates.h"

static char folder[64];
static char path[128];

static int set_up(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof(folder), "/tmp/belfry-socket-XXXXXX");
    if (!folder_make(folder)) {
        return -1;
    }
    (void)snprintf(path, sizeof(path), "%s/socket", folder);
    log_set_level(LOG_NONE);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    folder_remove(folder);
    return 0;
}

static struct unix_socket bind_it(mode_t mode)
{
    struct unix_socket made;
    assert_int_equal(unix_socket_bind(path, mode, &made), STATUS_OK);
    return made;
}

static void assert_refused(void)
{
    struct unix_socket made = {.fd = -2};
    assert_int_equal(unix_socket_bind(path, 0660, &made), STATUS_IO);
    assert_int_equal(made.fd, -2);
}

static bool is_there(void)
{
    struct stat file;
    return lstat(path, &file) == 0;
}

static void it_has_the_mode_that_is_asked_for(void **state)
{
    (void)state;
    static const mode_t modes[] = {0600, 0660, 0666};
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        struct unix_socket made = bind_it(modes[i]);
        struct stat file;
        assert_int_equal(lstat(path, &file), 0);
        assert_true(S_ISSOCK(file.st_mode));
        assert_int_equal(file.st_mode & 07777, modes[i]);
        unix_socket_remove(path, &made);
        assert_false(is_there());
        close(made.fd);
    }
}

static void what_was_left_behind_is_replaced(void **state)
{
    (void)state;
    struct unix_socket dead = bind_it(0660);
    close(dead.fd);
    assert_true(is_there());
    struct unix_socket made = bind_it(0660);
    assert_int_equal(listen(made.fd, 1), 0);
    assert_refused();
    unix_socket_remove(path, &made);
    close(made.fd);
}

/* Also when its queue is full. */
static void who_listens_keeps_it(void **state)
{
    (void)state;
    struct unix_socket made = bind_it(0660);
    assert_int_equal(listen(made.fd, 0), 0);
    for (int i = 0; i < 4; i++) {
        assert_refused();
    }
    assert_true(is_there());
    unix_socket_remove(path, &made);
    close(made.fd);
}

static void other_files_stay(void **state)
{
    (void)state;
    assert_true(folder_write(folder, "socket", "precious"));
    assert_refused();
    struct stat file;
    assert_int_equal(lstat(path, &file), 0);
    assert_int_equal(file.st_size, 8);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(symlink("nowhere", path), 0);
    assert_refused();
    assert_true(is_there());
}

static void only_its_own_file_is_removed(void **state)
{
    (void)state;
    struct unix_socket first = bind_it(0660);
    assert_int_equal(unlink(path), 0);
    struct unix_socket second = bind_it(0660);
    unix_socket_remove(path, &first);
    assert_true(is_there());
    unix_socket_remove(path, &second);
    assert_false(is_there());
    close(first.fd);
    close(second.fd);
}

static void a_path_has_an_end(void **state)
{
    (void)state;
    size_t len = strlen(folder);
    memset(path, 'a', sizeof(path));
    memcpy(path, folder, len);
    path[len] = '/';
    path[UNIX_SOCKET_PATH_MAX_BYTES + 1] = '\0';
    assert_refused();
    path[UNIX_SOCKET_PATH_MAX_BYTES] = '\0';
    struct unix_socket made = bind_it(0660);
    unix_socket_remove(path, &made);
    assert_false(is_there());
    close(made.fd);
}

static void a_folder_that_is_not_there(void **state)
{
    (void)state;
    (void)snprintf(path, sizeof(path), "%s/nowhere/socket", folder);
    assert_refused();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(it_has_the_mode_that_is_asked_for, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_was_left_behind_is_replaced, set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_listens_keeps_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(other_files_stay, set_up, tear_down),
        cmocka_unit_test_setup_teardown(only_its_own_file_is_removed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_path_has_an_end, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_folder_that_is_not_there, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
