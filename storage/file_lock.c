/* SPDX-License-Identifier: MIT */
/* The lock that keeps two programs from one database file, and the count in its file. The count
 * belongs to the writer's thread once that runs. */
#include "storage/file_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"

/* What stands in the file; in the machine's byte order, for the file stays on the machine. */
#define MAGIC          "BLFYLOCK"
#define FORMAT_VERSION 1

struct content {
    char magic[8];
    uint64_t version;
    uint64_t n_commits;
};

struct file_lock {
    int fd;
    uint64_t n_commits; /* as in the file */
};

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

/* A file without a count (of an older program, or new) gets one that says nothing. */
static bool read_content(struct file_lock *lock)
{
    struct content content = {.version = FORMAT_VERSION};
    if (pread(lock->fd, &content, sizeof(content), 0) == (ssize_t)sizeof(content) &&
        memcmp(content.magic, MAGIC, sizeof(content.magic)) == 0 &&
        content.version == FORMAT_VERSION) {
        lock->n_commits = content.n_commits;
        return true;
    }
    content = (struct content){.version = FORMAT_VERSION};
    memcpy(content.magic, MAGIC, sizeof(content.magic));
    ssize_t n = pwrite(lock->fd, &content, sizeof(content), 0);
    if (n >= 0 && n < (ssize_t)sizeof(content)) {
        errno = ENOSPC;
    }
    return n == (ssize_t)sizeof(content);
}

static bool open_and_read(struct file_lock *lock, const char *name)
{
    lock->fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
    return lock->fd >= 0 && flock(lock->fd, LOCK_EX | LOCK_NB) == 0 && read_content(lock);
}

enum status file_lock_take(const char *path, struct file_lock **ret_lock)
{
    if (is_directory(path)) {
        log_error("storage", "open_failed", log_s("path", path), log_s("error", strerror(EISDIR)));
        return STATUS_IO;
    }
    char *name;
    struct file_lock *lock = calloc(1, sizeof(*lock));
    if (!lock || asprintf(&name, "%s-lock", path) < 0) {
        free(lock);
        return STATUS_NO_MEMORY;
    }
    enum status status = STATUS_OK;
    if (open_and_read(lock, name)) {
        *ret_lock = lock;
    } else {
        log_refusal(name, errno);
        file_lock_release(lock);
        status = STATUS_IO;
    }
    free(name);
    return status;
}

void file_lock_release(struct file_lock *lock)
{
    if (!lock) {
        return;
    }
    if (lock->fd >= 0) {
        close(lock->fd);
    }
    free(lock);
}

uint64_t file_lock_n_commits(const struct file_lock *lock)
{
    return lock->n_commits;
}

/* Where this cannot be written the count stays behind, and a later loss of that many commits goes
 * unnoticed: no reason to fail what is committed. */
void file_lock_set_n_commits(struct file_lock *lock, uint64_t n_commits)
{
    lock->n_commits = n_commits;
    (void)!pwrite(lock->fd, &n_commits, sizeof(n_commits), offsetof(struct content, n_commits));
}
