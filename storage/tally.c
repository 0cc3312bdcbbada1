/* SPDX-License-Identifier: MIT */
/* A table of the feeds that were met, and their numbers of rows. All state belongs to the writer's
 * thread. */
#include "storage/tally.h"

#include <stdlib.h>

/* A failed insertion is an error like any other. */
#define HASH_NONFATAL_OOM 1
#include <uthash.h>

/* Feeds are configured, and few; a file may have had others. */
#define MAX_FEEDS 1000

struct entry {
    UT_hash_handle hh;
    uint64_t n;
    size_t feed_len;
    char feed[];
};

struct tally {
    sqlite3_stmt *count;
    struct entry *entries;
};

enum status tally_create(struct db *db, const char *count_sql, struct tally **ret_tally)
{
    struct tally *t = calloc(1, sizeof(*t));
    if (!t) {
        return STATUS_NO_MEMORY;
    }
    enum status status = db_prepare(db, &count_sql, &t->count, 1);
    if (status != STATUS_OK) {
        tally_destroy(t);
        return status;
    }
    *ret_tally = t;
    return STATUS_OK;
}

void tally_destroy(struct tally *t)
{
    if (!t) {
        return;
    }
    tally_forget(t);
    db_finalize(&t->count, 1);
    free(t);
}

void tally_forget(struct tally *t)
{
    struct entry *entry, *next;
    HASH_ITER (hh, t->entries, entry, next) {
        HASH_DEL(t->entries, entry);
        free(entry);
    }
}

static struct entry *find(struct tally *t, struct str feed)
{
    struct entry *entry;
    HASH_FIND(hh, t->entries, feed.ptr, feed.len, entry);
    return entry;
}

/* NULL when memory is short. */
static struct entry *add(struct tally *t, struct str feed, uint64_t n)
{
    struct entry *entry = calloc(1, sizeof(*entry) + feed.len);
    if (!entry) {
        return NULL;
    }
    entry->n = n;
    entry->feed_len = feed.len;
    memcpy(entry->feed, feed.ptr, feed.len);
    HASH_ADD_KEYPTR(hh, t->entries, entry->feed, entry->feed_len, entry);
    if (!entry->hh.tbl) {
        free(entry);
        return NULL;
    }
    return entry;
}

enum status tally_find(struct tally *t, struct str feed, uint64_t **ret_n)
{
    struct entry *entry = find(t, feed);
    if (entry) {
        *ret_n = &entry->n;
        return STATUS_OK;
    }
    struct db_call call = db_call(t->count);
    db_bind_str(&call, feed);
    uint64_t n = db_row(&call) ? db_u64(&call, 0) : 0;
    enum status status = db_end(&call);
    if (status != STATUS_OK) {
        return status;
    }
    if (HASH_COUNT(t->entries) >= MAX_FEEDS) {
        tally_forget(t);
    }
    entry = add(t, feed, n);
    if (!entry) {
        return STATUS_NO_MEMORY;
    }
    *ret_n = &entry->n;
    return STATUS_OK;
}

void tally_removed(struct tally *t, struct str feed)
{
    struct entry *entry = find(t, feed);
    if (entry && entry->n > 0) {
        entry->n--;
    }
}
