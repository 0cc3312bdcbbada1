/* SPDX-License-Identifier: MIT */
/* Loads the configuration file. */
#include "base/config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"

enum { FILE_MAX_BYTES = 16 << 20 };

static enum status read_all(int file, struct buf *text)
{
    char piece[16384];

    for (;;) {
        ssize_t n = read(file, piece, sizeof(piece));
        if (n < 0 && errno != EINTR) {
            return STATUS_IO;
        }
        if (n == 0) {
            return STATUS_OK;
        }
        if (n > 0) {
            buf_append(text, (struct str){piece, (size_t)n});
        }
        if (buf_failed(text)) {
            return STATUS_TOO_LARGE;
        }
    }
}

enum status config_load_file(const char *path, char **ret_text, size_t *ret_len)
{
    struct buf text;
    int file = open(path, O_RDONLY | O_CLOEXEC);

    if (file < 0) {
        return errno == ENOENT || errno == ENOTDIR ? STATUS_NOT_FOUND : STATUS_IO;
    }
    buf_init(&text, FILE_MAX_BYTES);
    enum status status = read_all(file, &text);
    int error = errno; /* for the caller's message */
    (void)close(file);
    errno = error;
    if (status != STATUS_OK) {
        buf_release(&text);
        return status;
    }
    size_t len = text.len;
    char *taken = buf_take(&text);
    if (!taken) {
        return STATUS_NO_MEMORY;
    }
    *ret_text = taken;
    *ret_len = len;
    return STATUS_OK;
}
