/* One program per database file: a second one would hand out the same offsets. The lock's file also
 * keeps, outside the database, how many commits there were: what the database must not fall behind.
 */
#ifndef BELFRY_STORAGE_FILE_LOCK_H
#define BELFRY_STORAGE_FILE_LOCK_H

#include <stdint.h>

#include "base/status.h"

struct file_lock;

/* Locks "<path>-lock", a file of its own: closing a descriptor of the database itself would drop
 * SQLite's locks on it. The kernel lets go of it with the process. STATUS_IO, also when another
 * process (or another storage of this one) has it; logged. */
enum status file_lock_take(const char *path, struct file_lock **ret_lock) MUST_CHECK;
/* Accepts NULL. */
void file_lock_release(struct file_lock *lock);

/* What was set last, perhaps by a process that has ended since; 0: nothing is known. */
uint64_t file_lock_n_commits(const struct file_lock *lock);
/* Written, not synced: true for whoever opens the file next, unless the machine goes down. */
void file_lock_set_n_commits(struct file_lock *lock, uint64_t n_commits);

#endif
