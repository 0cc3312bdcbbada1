/* Whether the file has all that was acknowledged. Counts the committed groups in the file and
 * beside it, and marks the file as open where the machine's end could cost commits; so that the
 * next opening can tell, and begin new epochs. For the writer's connection; the file's lock is
 * held.
 */
#ifndef BELFRY_STORAGE_MARKS_H
#define BELFRY_STORAGE_MARKS_H

#include "storage/db.h"
#include "storage/file_lock.h"
#include "storage/storage.h"

struct marks;

/* Compares, logs what is missing and renews all epochs if something is, marks the file as open;
 * synced to the disk. Logs what failed. db and lock must live until marks_destroy(). */
enum status marks_open(struct db *db, struct file_lock *lock, enum storage_durability durability,
                       struct marks **ret_marks) MUST_CHECK;
/* Accepts NULL. */
void marks_destroy(struct marks *marks);

/* In a transaction: it is one more. */
enum status marks_count(struct marks *marks) MUST_CHECK;
/* The transaction that was counted is committed, or was rolled back. */
void marks_committed(struct marks *marks);
void marks_rolled_back(struct marks *marks);

/* The end is an orderly one; a checkpoint must follow. */
enum status marks_close(struct marks *marks) MUST_CHECK;

#endif
