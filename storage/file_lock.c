/* SPDX-License-Identifier: MIT */
/* The lock that keeps two programs from one database file, and the count in its file, which is
 * mapped into memory. The count belongs to the writer's thread once that runs. */
#include "storage/file_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"

/* What stands in the file; in the machine's byte order, for the file stays on the machine. */
#define MAGIC          "BLFYLOCK"
#define FORMAT_VERSION 1

struct content {
    char magic[8];
    uint64_t version;
    atomic_uint_fast64_t n_commits;
};

struct file_lock {
    int fd;
    struct content *content; /* shared with the file */
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

/* A file without a count (of an older program, or new) gets one that says nothing. It is written,
 * not only made longer: a store to a hole in the file would need room on the disk. */
static bool write_first_content(int fd)
{
    struct content content = {.version = FORMAT_VERSION};
    if (pread(fd, &content, sizeof(content), 0) == (ssize_t)sizeof(content) &&
        memcmp(content.magic, MAGIC, sizeof(content.magic)) == 0 &&
        content.version == FORMAT_VERSION) {
        return true;
    }
    content = (struct content){.version = FORMAT_VERSION};
    memcpy(content.magic, MAGIC, sizeof(content.magic));
    ssize_t n = pwrite(fd, &content, sizeof(content), 0);
    if (n >= 0 && n < (ssize_t)sizeof(content)) {
        errno = ENOSPC;
    }
    return n == (ssize_t)sizeof(content);
}

static bool open_and_map(struct file_lock *lock, const char *name)
{
    lock->fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
    if (lock->fd < 0 || flock(lock->fd, LOCK_EX | LOCK_NB) != 0 || !write_first_content(lock->fd)) {
        return false;
    }
    void *memory =
        mmap(NULL, sizeof(*lock->content), PROT_READ | PROT_WRITE, MAP_SHARED, lock->fd, 0);
    if (memory == MAP_FAILED) {
        return false;
    }
    lock->content = memory;
    return true;
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
    if (open_and_map(lock, name)) {
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
    if (lock->content) {
        munmap(lock->content, sizeof(*lock->content));
    }
    if (lock->fd >= 0) {
        close(lock->fd);
    }
    free(lock);
}

uint64_t file_lock_n_commits(const struct file_lock *lock)
{
    return atomic_load_explicit(&lock->content->n_commits, memory_order_relaxed);
}

void file_lock_set_n_commits(struct file_lock *lock, uint64_t n_commits)
{
    atomic_store_explicit(&lock->content->n_commits, n_commits, memory_order_relaxed);
}
