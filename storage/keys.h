/* The writer's side of idempotency keys: finding and remembering. For the writer's thread, inside
 * its transaction. */
#ifndef BELFRY_STORAGE_KEYS_H
#define BELFRY_STORAGE_KEYS_H

#include "storage/counts.h"
#include "storage/db.h"
#include "storage/storage.h"
#include "storage/sweep.h"

struct keys;

/* Counts those that the file has. sweep_due is told when one will be over. */
enum status keys_create(struct db *db, struct sweep_due *sweep_due, struct count *count,
                        struct keys **ret_keys) MUST_CHECK;
/* Accepts NULL. */
void keys_destroy(struct keys *keys);

/* Was the append's key used in its channel, not too long ago? Fills in the position then. */
enum status keys_find(struct keys *keys, struct storage_append *append, int64_t now_ms,
                      bool *ret_found) MUST_CHECK;
bool keys_have_room(const struct keys *keys);
/* Of an append whose key was not found, with its position; there must be room. */
enum status keys_remember(struct keys *keys, const struct storage_append *append,
                          int64_t now_ms) MUST_CHECK;

#endif
