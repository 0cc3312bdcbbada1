/* One program per database file: a second one would hand out the same offsets. */
#ifndef BELFRY_STORAGE_FILE_LOCK_H
#define BELFRY_STORAGE_FILE_LOCK_H

#include "base/status.h"

/* Locks "<path>-lock", a file of its own: closing a descriptor of the database itself would drop
 * SQLite's locks on it. The kernel lets go of it with the process. STATUS_IO, also when another
 * process (or another storage of this one) has it; logged. */
enum status file_lock_take(const char *path, int *ret_fd) MUST_CHECK;
/* Accepts -1. */
void file_lock_release(int fd);

#endif
