/* SPDX-License-Identifier: MIT */
/* The lock that keeps two programs from one database file. No state but the descriptor. */
#include "storage/file_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"

static void log_refusal(const char *name, int error)
{
    if (error == EWOULDBLOCK) {
        log_error("storage", "in_use", log_s("lock", name),
                  log_s("error", "another process has opened this database"));
    } else {
        log_error("storage", "lock_failed", log_s("lock", name), log_s("error", strerror(error)),
                  log_s("expected", "storage.path in a folder that exists and can be written to"));
    }
}

/* Found out before a lock file is left beside it. */
static bool is_directory(const char *path)
{
    struct stat about;
    return stat(path, &about) == 0 && S_ISDIR(about.st_mode);
}

enum status file_lock_take(const char *path, int *ret_fd)
{
    char *name;
    if (is_directory(path)) {
        log_error("storage", "open_failed", log_s("path", path), log_s("error", strerror(EISDIR)));
        return STATUS_IO;
    }
    if (asprintf(&name, "%s-lock", path) < 0) {
        return STATUS_NO_MEMORY;
    }
    enum status status = STATUS_OK;
    int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
    if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) != 0) {
        log_refusal(name, errno);
        file_lock_release(fd);
        status = STATUS_IO;
    } else {
        *ret_fd = fd;
    }
    free(name);
    return status;
}

void file_lock_release(int fd)
{
    if (fd >= 0) {
        close(fd);
    }
}
