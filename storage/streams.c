/* SPDX-License-Identifier: MIT */
/* Streams as the writer sees them. A stream's row says which of its publications still count (from
 * "first" to "top"); forgetting them is moving "first", which costs the same for one and for a
 * million. The rows themselves are removed in small bounded batches, by appends and by the sweep.
 * All state belongs to the writer's thread. */
#include "storage/streams.h"

#include <stdlib.h>

/* A failed insertion into the cache is an error like any other. */
#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include "base/clock.h"
#include "base/rng.h"

#define MAX_CACHED 10000
/* Normally an append removes one row; the bound matters when a stream was made much smaller. */
#define MAX_TRIMMED    100
#define MAX_USE_LAG_MS (60 * 60 * INT64_C(1000))

enum {
    SQL_FIND,
    SQL_LOWEST,
    SQL_CREATE,
    SQL_RETIRE,
    SQL_PUBLISH,
    SQL_ADVANCE,
    SQL_USE,
    SQL_SWEEP_AT,
    SQL_TRIM,
    N_SQL,
};

static const char *const sql[N_SQL] = {
    [SQL_FIND] = "SELECT id, epoch, top, first, items_expire_ms, meta_expire_ms, sweep_ms"
                 " FROM streams WHERE channel=?1",
    [SQL_LOWEST] = "SELECT min(offset) FROM publications WHERE stream_id=?1",
    [SQL_CREATE] = "INSERT INTO streams(channel, epoch, top, first, items_expire_ms,"
                   " meta_expire_ms, sweep_ms) VALUES(?1, ?2, 0, 1, 0, ?3, ?3)",
    [SQL_RETIRE] = "UPDATE streams SET channel=NULL, sweep_ms=0 WHERE id=?1",
    [SQL_PUBLISH] = "INSERT INTO publications(stream_id, offset, time_ms, data, info, tags)"
                    " VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
    [SQL_ADVANCE] = "UPDATE streams SET top=?2, first=?3, items_expire_ms=?4, meta_expire_ms=?5"
                    " WHERE id=?1",
    [SQL_USE] = "UPDATE streams SET meta_expire_ms=?2 WHERE id=?1",
    [SQL_SWEEP_AT] = "UPDATE streams SET sweep_ms=?2 WHERE id=?1",
    [SQL_TRIM] = "DELETE FROM publications WHERE stream_id=?1 AND offset<?2",
};

struct stream {
    UT_hash_handle hh;
    int64_t id;
    uint64_t top;
    uint64_t first;  /* the first that counts; top + 1: none */
    uint64_t lowest; /* the first that may have a row */
    int64_t items_expire_ms;
    int64_t meta_expire_ms;
    int64_t sweep_ms;
    char epoch[STORAGE_EPOCH_SIZE];
    size_t channel_len;
    char channel[];
};

struct streams {
    struct db *db;
    struct sweep_due *sweep_due;
    struct stream *cache; /* by channel; its order is that of insertion */
    sqlite3_stmt *stmts[N_SQL];
};

enum status streams_create(struct db *db, struct sweep_due *sweep_due, struct streams **ret_streams)
{
    struct streams *s = calloc(1, sizeof(*s));
    if (!s) {
        return STATUS_NO_MEMORY;
    }
    s->db = db;
    s->sweep_due = sweep_due;
    enum status status = db_prepare(db, sql, s->stmts, N_SQL);
    if (status != STATUS_OK) {
        streams_destroy(s);
        return status;
    }
    *ret_streams = s;
    return STATUS_OK;
}

void streams_destroy(struct streams *s)
{
    if (!s) {
        return;
    }
    streams_forget_all(s);
    db_finalize(s->stmts, N_SQL);
    free(s);
}

int64_t streams_time_after(int64_t now_ms, int64_t duration_ms)
{
    int64_t sum;
    return __builtin_add_overflow(now_ms, duration_ms, &sum) ? INT64_MAX : sum;
}

bool streams_use_due(int64_t meta_expire_ms, const struct storage_retention *retention,
                     int64_t now_ms)
{
    int64_t lag_ms = retention->meta_ttl_ms / 100;
    if (lag_ms > MAX_USE_LAG_MS) {
        lag_ms = MAX_USE_LAG_MS;
    }
    return streams_time_after(now_ms, retention->meta_ttl_ms) >
           streams_time_after(meta_expire_ms, lag_ms);
}

static void cache_remove(struct streams *s, struct stream *stream)
{
    HASH_DEL(s->cache, stream);
    free(stream);
}

void streams_forget(struct streams *s, struct str channel)
{
    struct stream *stream;
    HASH_FIND(hh, s->cache, channel.ptr, channel.len, stream);
    if (stream) {
        cache_remove(s, stream);
    }
}

void streams_forget_all(struct streams *s)
{
    struct stream *stream, *next;
    HASH_ITER (hh, s->cache, stream, next) {
        cache_remove(s, stream);
    }
}

/* An empty entry for the channel; NULL when memory is short. */
static struct stream *cache_add(struct streams *s, struct str channel)
{
    /* The oldest goes: a look-up is cheap enough not to keep count of the uses. */
    if (HASH_COUNT(s->cache) >= MAX_CACHED) {
        cache_remove(s, s->cache);
    }
    struct stream *stream = calloc(1, sizeof(*stream) + channel.len);
    if (!stream) {
        return NULL;
    }
    stream->channel_len = channel.len;
    memcpy(stream->channel, channel.ptr, channel.len);
    HASH_ADD_KEYPTR(hh, s->cache, stream->channel, stream->channel_len, stream);
    if (!stream->hh.tbl) {
        free(stream);
        return NULL;
    }
    return stream;
}

static void read_row(const struct db_call *call, struct stream *ret_stream)
{
    struct str epoch = str_head(db_str(call, 1), STORAGE_EPOCH_SIZE - 1);
    ret_stream->id = db_i64(call, 0);
    memcpy(ret_stream->epoch, epoch.ptr, epoch.len);
    ret_stream->top = db_u64(call, 2);
    ret_stream->first = db_u64(call, 3);
    ret_stream->items_expire_ms = db_i64(call, 4);
    ret_stream->meta_expire_ms = db_i64(call, 5);
    ret_stream->sweep_ms = db_i64(call, 6);
}

static enum status load_lowest(struct streams *s, struct stream *stream)
{
    struct db_call call = db_call(s->stmts[SQL_LOWEST]);
    db_bind_i64(&call, stream->id);
    if (db_row(&call)) {
        stream->lowest = db_u64(&call, 0);
    }
    if (stream->lowest == 0) { /* NULL: there are none */
        stream->lowest = stream->top + 1;
    }
    return db_end(&call);
}

/* STATUS_NOT_FOUND. After another failure the cache may hold half a row: the caller's transaction
 * fails and it forgets all. */
static enum status load(struct streams *s, struct str channel, struct stream **ret_stream)
{
    struct db_call call = db_call(s->stmts[SQL_FIND]);
    db_bind_str(&call, channel);
    bool found = db_row(&call);
    struct stream *stream = found ? cache_add(s, channel) : NULL;
    if (stream) {
        read_row(&call, stream);
    }
    enum status status = db_end(&call);
    if (status != STATUS_OK) {
        return status;
    }
    if (!stream) {
        return found ? STATUS_NO_MEMORY : STATUS_NOT_FOUND;
    }
    status = load_lowest(s, stream);
    if (status == STATUS_OK) {
        *ret_stream = stream;
    }
    return status;
}

static enum status create(struct streams *s, struct str channel, int64_t meta_expire_ms,
                          struct stream **ret_stream)
{
    char epoch[STORAGE_EPOCH_SIZE];
    rng_epoch(epoch);
    struct db_call call = db_call(s->stmts[SQL_CREATE]);
    db_bind_str(&call, channel);
    db_bind_str(&call, str_of(epoch));
    db_bind_i64(&call, meta_expire_ms);
    enum status status = db_run(&call);
    if (status != STATUS_OK) {
        return status;
    }
    sweep_due_at(s->sweep_due, meta_expire_ms);
    return load(s, channel, ret_stream);
}

/* Its name becomes free at once; its rows are removed by the sweep. */
static enum status retire(struct streams *s, struct stream *stream, int64_t now_ms)
{
    struct db_call call = db_call(s->stmts[SQL_RETIRE]);
    db_bind_i64(&call, stream->id);
    enum status status = db_run(&call);
    cache_remove(s, stream);
    sweep_due_at(s->sweep_due, now_ms);
    return status;
}

/* Valid until the next call that may add to the cache. */
static enum status find_or_create(struct streams *s, struct str channel,
                                  const struct storage_retention *retention, int64_t now_ms,
                                  struct stream **ret_stream)
{
    struct stream *stream;
    enum status status = STATUS_OK;
    HASH_FIND(hh, s->cache, channel.ptr, channel.len, stream);
    if (!stream) {
        status = load(s, channel, &stream);
    }
    if (status == STATUS_OK && now_ms >= stream->meta_expire_ms) {
        status = retire(s, stream, now_ms);
        if (status == STATUS_OK) {
            status = STATUS_NOT_FOUND;
        }
    }
    if (status == STATUS_NOT_FOUND) {
        status = create(s, channel, streams_time_after(now_ms, retention->meta_ttl_ms), &stream);
    }
    if (status == STATUS_OK) {
        *ret_stream = stream;
    }
    return status;
}

static enum status publish(struct streams *s, const struct stream *stream,
                           const struct storage_append *append, int64_t now_ms)
{
    struct db_call call = db_call(s->stmts[SQL_PUBLISH]);
    db_bind_i64(&call, stream->id);
    db_bind_u64(&call, stream->top);
    db_bind_i64(&call, now_ms);
    db_bind_str(&call, append->data);
    db_bind_str(&call, append->info);
    db_bind_str(&call, append->tags);
    return db_run(&call);
}

static enum status advance(struct streams *s, const struct stream *stream)
{
    struct db_call call = db_call(s->stmts[SQL_ADVANCE]);
    db_bind_i64(&call, stream->id);
    db_bind_u64(&call, stream->top);
    db_bind_u64(&call, stream->first);
    db_bind_i64(&call, stream->items_expire_ms);
    db_bind_i64(&call, stream->meta_expire_ms);
    return db_run(&call);
}

/* Only ever earlier: when the sweep comes too early, it moves the time on. */
static enum status sweep_not_after(struct streams *s, struct stream *stream, int64_t at_ms)
{
    if (stream->sweep_ms <= at_ms) {
        return STATUS_OK;
    }
    stream->sweep_ms = at_ms;
    sweep_due_at(s->sweep_due, at_ms);
    struct db_call call = db_call(s->stmts[SQL_SWEEP_AT]);
    db_bind_i64(&call, stream->id);
    db_bind_i64(&call, at_ms);
    return db_run(&call);
}

static enum status trim(struct streams *s, struct stream *stream)
{
    if (stream->lowest >= stream->first) {
        return STATUS_OK;
    }
    uint64_t until = stream->first;
    if (until - stream->lowest > MAX_TRIMMED) {
        until = stream->lowest + MAX_TRIMMED;
    }
    stream->lowest = until;
    struct db_call call = db_call(s->stmts[SQL_TRIM]);
    db_bind_i64(&call, stream->id);
    db_bind_u64(&call, until);
    return db_run(&call);
}

/* The row as it is with one publication more. */
static void move_on(struct stream *stream, const struct storage_retention *retention,
                    int64_t now_ms)
{
    if (now_ms >= stream->items_expire_ms) {
        stream->first = stream->top + 1;
    }
    stream->top++;
    uint64_t size = (uint64_t)retention->size;
    if (stream->top - stream->first >= size) {
        stream->first = stream->top - size + 1;
    }
    stream->items_expire_ms = streams_time_after(now_ms, retention->ttl_ms);
    stream->meta_expire_ms = streams_time_after(now_ms, retention->meta_ttl_ms);
}

enum status streams_append(struct streams *s, struct storage_append *append, int64_t now_ms)
{
    struct stream *stream;
    enum status status = find_or_create(s, append->channel, &append->retention, now_ms, &stream);
    if (status != STATUS_OK) {
        return status;
    }
    move_on(stream, &append->retention, now_ms);
    status = publish(s, stream, append, now_ms);
    if (status == STATUS_OK) {
        status = advance(s, stream);
    }
    if (status == STATUS_OK) {
        status = sweep_not_after(s, stream, stream->items_expire_ms);
    }
    if (status == STATUS_OK) {
        status = trim(s, stream);
    }
    append->time_ms = now_ms;
    append->position.offset = stream->top;
    memcpy(append->position.epoch, stream->epoch, sizeof(stream->epoch));
    return status;
}

enum status streams_use(struct streams *s, struct str channel,
                        const struct storage_retention *retention, int64_t now_ms)
{
    struct stream *stream;
    enum status status = find_or_create(s, channel, retention, now_ms, &stream);
    if (status != STATUS_OK || !streams_use_due(stream->meta_expire_ms, retention, now_ms)) {
        return status;
    }
    stream->meta_expire_ms = streams_time_after(now_ms, retention->meta_ttl_ms);
    struct db_call call = db_call(s->stmts[SQL_USE]);
    db_bind_i64(&call, stream->id);
    db_bind_i64(&call, stream->meta_expire_ms);
    return db_run(&call);
}
