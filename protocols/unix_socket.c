/* SPDX-License-Identifier: MIT */
/* Unit unix_socket deals with the file of a listening socket: a program that was killed leaves it
 * behind, and it must neither be in the way of the next one nor be taken from one that runs. It has
 * no state. */
#include "protocols/unix_socket.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"

static enum status fail(const char *path, const char *action, const char *why)
{
    log_error("listener", "cannot_listen", log_s("action", action), log_s("path", path),
              log_s("error", why));
    return STATUS_IO;
}

static int new_socket(void)
{
    return socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

/* Why the file that is there cannot be replaced; NULL: nobody listens on it any more. */
static const char *find_obstacle(const struct sockaddr_un *address)
{
    struct stat file;
    if (lstat(address->sun_path, &file) != 0) {
        return errno == ENOENT ? NULL : strerror(errno);
    }
    if (!S_ISSOCK(file.st_mode)) {
        return "there is a file that is no socket";
    }
    int fd = new_socket();
    if (fd < 0) {
        return strerror(errno);
    }
    int rc = connect(fd, (const struct sockaddr *)address, sizeof(*address));
    int error = rc == 0 ? 0 : errno;
    close(fd);
    switch (error) {
    case ECONNREFUSED:
    case ENOENT: return NULL;
    case 0:
    case EAGAIN: return "another program listens there";
    default: return strerror(error);
    }
}

static enum status bind_path(int fd, const struct sockaddr_un *address)
{
    const char *path = address->sun_path;
    if (bind(fd, (const struct sockaddr *)address, sizeof(*address)) == 0) {
        return STATUS_OK;
    }
    if (errno != EADDRINUSE) {
        return fail(path, "bind", strerror(errno));
    }
    const char *obstacle = find_obstacle(address);
    if (obstacle) {
        return fail(path, "bind", obstacle);
    }
    if (unlink(path) == 0) {
        log_info("listener", "left_behind_removed", log_s("path", path));
    }
    return bind(fd, (const struct sockaddr *)address, sizeof(*address)) == 0
               ? STATUS_OK
               : fail(path, "bind", strerror(errno));
}

static enum status give_mode(const char *path, mode_t mode, struct unix_socket *ret_socket)
{
    struct stat file;
    if (chmod(path, mode) != 0 || lstat(path, &file) != 0) {
        return fail(path, "set the mode", strerror(errno));
    }
    ret_socket->device = file.st_dev;
    ret_socket->inode = file.st_ino;
    return STATUS_OK;
}

enum status unix_socket_bind(const char *path, mode_t mode, struct unix_socket *ret_socket)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t len = strlen(path);
    if (len > UNIX_SOCKET_PATH_MAX_BYTES) {
        return fail(path, "bind", strerror(ENAMETOOLONG));
    }
    memcpy(address.sun_path, path, len);
    struct unix_socket made = {.fd = new_socket()};
    if (made.fd < 0) {
        return fail(path, "socket", strerror(errno));
    }
    enum status status = bind_path(made.fd, &address);
    if (status == STATUS_OK) {
        status = give_mode(path, mode, &made);
    }
    if (status != STATUS_OK) {
        close(made.fd);
        return status;
    }
    *ret_socket = made;
    return STATUS_OK;
}

void unix_socket_remove(const char *path, const struct unix_socket *unix_socket)
{
    struct stat file;
    if (lstat(path, &file) == 0 && file.st_dev == unix_socket->device &&
        file.st_ino == unix_socket->inode) {
        unlink(path);
    }
}
