/* A Unix socket to listen on: its file is made with a mode, and removed at the end. Blocks for a
 * moment. */
#ifndef BELFRY_PROTOCOLS_UNIX_SOCKET_H
#define BELFRY_PROTOCOLS_UNIX_SOCKET_H

#include <sys/stat.h>
#include <sys/un.h>

#include "base/status.h"

/* Of a path, without the zero behind it. */
#define UNIX_SOCKET_PATH_MAX_BYTES (sizeof(((struct sockaddr_un *)0)->sun_path) - 1)

struct unix_socket {
    int fd;       /* bound, not listening yet; the caller's to close */
    dev_t device; /* the file's */
    ino_t inode;
};

/* A socket that a program has left behind there is replaced. STATUS_IO, logged: the file is
 * something else, somebody listens on it, or the system's words. */
enum status unix_socket_bind(const char *path, mode_t mode,
                             struct unix_socket *ret_socket) MUST_CHECK;
/* Removes the file, unless it is another one by now. */
void unix_socket_remove(const char *path, const struct unix_socket *unix_socket);

#endif
