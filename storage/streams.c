/* SPDX-License-Identifier: MIT */
/* Streams as the writer sees them. A stream's row says which of its publications still count (from
 * "first" to "top"); forgetting them is moving "first", which costs the same for one and for a
 * million. The rows themselves are removed later in bounded batches, by appends and by the sweep.
 *
 * Rows that were changed in the cache are "dirty" until they are saved, at the latest before the
 * commit: a thousand appends to one stream update it once. Statements that find streams by anything
 * but their identifier must not meet a dirty one. All state belongs to the writer's thread. */
#include "storage/streams.h"

#include <assert.h>
#include <stdlib.h>

/* A failed insertion into the cache is an error like any other. */
#define HASH_NONFATAL_OOM 1
#include <uthash.h>
#include <utlist.h>

#include "base/rng.h"

#define MAX_CACHED 10000
/* So many rows may wait for a delete that is worth it. */
#define MAX_LAG 64
/* Normally a batch removes as much as it adds; what it may remove beyond that matters when a stream
 * was made much smaller. */
#define MAX_EXTRA_TRIMMED 100
#define MAX_USE_LAG_MS    (60 * 60 * INT64_C(1000))

enum {
    SQL_FIND,
    SQL_LOWEST,
    SQL_CREATE,
    SQL_RETIRE,
    SQL_PUBLISH,
    SQL_SAVE,
    SQL_SWEEP_AT,
    SQL_TRIM,
    SQL_UNPUBLISHED,
    SQL_DELETE,
    N_SQL,
};

static const char *const sql[N_SQL] = {
    [SQL_FIND] = "SELECT id, epoch, top, first, items_expire_ms, meta_expire_ms, sweep_ms,"
                 " version, version_epoch FROM streams WHERE channel=?1",
    [SQL_LOWEST] = "SELECT min(offset) FROM publications WHERE stream_id=?1",
    [SQL_CREATE] = "INSERT INTO streams(channel, epoch, top, first, items_expire_ms,"
                   " meta_expire_ms, sweep_ms) VALUES(?1, ?2, 0, 1, 0, ?3, ?3)",
    [SQL_RETIRE] = "UPDATE streams SET channel=NULL, sweep_ms=0 WHERE id=?1",
    [SQL_PUBLISH] = "INSERT INTO publications(stream_id, offset, time_ms, data, info, tags, delta)"
                    " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    [SQL_SAVE] = "UPDATE streams SET top=?2, first=?3, items_expire_ms=?4, meta_expire_ms=?5,"
                 " version=?6, version_epoch=?7 WHERE id=?1",
    [SQL_SWEEP_AT] = "UPDATE streams SET sweep_ms=?2 WHERE id=?1",
    [SQL_TRIM] = "DELETE FROM publications WHERE stream_id=?1 AND offset<?2",
    [SQL_UNPUBLISHED] = "SELECT id, channel FROM streams WHERE top=0 AND channel IS NOT NULL"
                        " ORDER BY meta_expire_ms LIMIT 1",
    [SQL_DELETE] = "DELETE FROM streams WHERE id=?1",
};

struct stream {
    UT_hash_handle hh;
    struct stream *prev, *next; /* in the list of dirty ones */
    bool is_dirty;
    bool is_sweep_moved; /* sweep_ms is to be saved, too */
    int64_t id;
    uint64_t top;
    uint64_t first;  /* the first that counts; top + 1: none */
    uint64_t lowest; /* the first that may have a row */
    uint64_t max_lag;
    uint64_t n_appended; /* since it was saved */
    int64_t items_expire_ms;
    int64_t meta_expire_ms;
    int64_t sweep_ms;
    uint64_t version;
    struct str version_epoch; /* allocated */
    char epoch[STORAGE_EPOCH_SIZE];
    size_t channel_len;
    char channel[];
};

struct streams {
    struct db *db;
    struct sweep_due *sweep_due;
    struct count *count;
    struct stream *cache; /* by channel; its order is that of insertion */
    struct stream *dirty;
    sqlite3_stmt *stmts[N_SQL];
};

enum status streams_create(struct db *db, struct sweep_due *sweep_due, struct count *count,
                           struct streams **ret_streams)
{
    struct streams *s = calloc(1, sizeof(*s));
    if (!s) {
        return STATUS_NO_MEMORY;
    }
    s->db = db;
    s->sweep_due = sweep_due;
    s->count = count;
    int64_t n = 0;
    enum status status =
        db_query_i64(db, "SELECT count(*) FROM streams WHERE channel IS NOT NULL", &n);
    if (status == STATUS_OK) {
        status = db_prepare(db, sql, s->stmts, N_SQL);
    }
    if (status != STATUS_OK) {
        streams_destroy(s);
        return status;
    }
    count->n = (uint64_t)n;
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

struct storage_position streams_position(struct str epoch, uint64_t offset)
{
    struct storage_position position = {.offset = offset};
    epoch = str_head(epoch, STORAGE_EPOCH_SIZE - 1);
    memcpy(position.epoch, epoch.ptr, epoch.len);
    return position;
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

/* --- the cache --- */

static void cache_remove(struct streams *s, struct stream *stream)
{
    if (stream->is_dirty) {
        DL_DELETE(s->dirty, stream);
    }
    HASH_DEL(s->cache, stream);
    free((char *)stream->version_epoch.ptr);
    free(stream);
}

static struct stream *cache_find(struct streams *s, struct str channel)
{
    struct stream *stream;
    HASH_FIND(hh, s->cache, channel.ptr, channel.len, stream);
    return stream;
}

void streams_forget(struct streams *s, struct str channel)
{
    struct stream *stream = cache_find(s, channel);
    if (stream) {
        assert(!stream->is_dirty);
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

static void make_dirty(struct streams *s, struct stream *stream)
{
    if (!stream->is_dirty) {
        stream->is_dirty = true;
        DL_APPEND(s->dirty, stream);
    }
}

/* Rows below "first" go once there are enough of them: the bound keeps the transaction short. */
static enum status trim(struct streams *s, struct stream *stream)
{
    if (stream->first < stream->lowest + stream->max_lag) {
        return STATUS_OK;
    }
    uint64_t until = stream->first;
    uint64_t most = stream->n_appended + MAX_EXTRA_TRIMMED;
    if (until - stream->lowest > most) {
        until = stream->lowest + most;
    }
    stream->lowest = until;
    struct db_call call = db_call(s->stmts[SQL_TRIM]);
    db_bind_i64(&call, stream->id);
    db_bind_u64(&call, until);
    return db_run(&call);
}

static enum status save_sweep_time(struct streams *s, struct stream *stream)
{
    if (!stream->is_sweep_moved) {
        return STATUS_OK;
    }
    stream->is_sweep_moved = false;
    struct db_call call = db_call(s->stmts[SQL_SWEEP_AT]);
    db_bind_i64(&call, stream->id);
    db_bind_i64(&call, stream->sweep_ms);
    return db_run(&call);
}

static enum status save(struct streams *s, struct stream *stream)
{
    if (!stream->is_dirty) {
        return STATUS_OK;
    }
    stream->is_dirty = false;
    DL_DELETE(s->dirty, stream);
    struct db_call call = db_call(s->stmts[SQL_SAVE]);
    db_bind_i64(&call, stream->id);
    db_bind_u64(&call, stream->top);
    db_bind_u64(&call, stream->first);
    db_bind_i64(&call, stream->items_expire_ms);
    db_bind_i64(&call, stream->meta_expire_ms);
    db_bind_u64(&call, stream->version);
    db_bind_str(&call, stream->version_epoch);
    enum status status = db_run(&call);
    if (status == STATUS_OK) {
        status = save_sweep_time(s, stream);
    }
    if (status == STATUS_OK) {
        status = trim(s, stream);
    }
    stream->n_appended = 0;
    return status;
}

enum status streams_save(struct streams *s)
{
    enum status status = STATUS_OK;
    while (s->dirty && status == STATUS_OK) {
        status = save(s, s->dirty);
    }
    return status;
}

/* The oldest goes: a look-up is cheap enough not to keep count of the uses. */
static enum status cache_make_room(struct streams *s)
{
    if (HASH_COUNT(s->cache) < MAX_CACHED) {
        return STATUS_OK;
    }
    enum status status = save(s, s->cache);
    cache_remove(s, s->cache);
    return status;
}

/* An empty entry for the channel; NULL when memory is short. */
static struct stream *cache_add(struct streams *s, struct str channel)
{
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

static enum status set_version(struct stream *stream, uint64_t version, struct str epoch)
{
    if (!str_eq(stream->version_epoch, epoch)) {
        char *copy = malloc(epoch.len + 1);
        if (!copy) {
            return STATUS_NO_MEMORY;
        }
        if (epoch.len > 0) {
            memcpy(copy, epoch.ptr, epoch.len);
        }
        free((char *)stream->version_epoch.ptr);
        stream->version_epoch = (struct str){copy, epoch.len};
    }
    stream->version = version;
    return STATUS_OK;
}

/* --- rows --- */

static enum status read_row(const struct db_call *call, struct stream *ret_stream)
{
    struct str epoch = str_head(db_str(call, 1), STORAGE_EPOCH_SIZE - 1);
    ret_stream->id = db_i64(call, 0);
    memcpy(ret_stream->epoch, epoch.ptr, epoch.len);
    ret_stream->top = db_u64(call, 2);
    ret_stream->first = db_u64(call, 3);
    ret_stream->items_expire_ms = db_i64(call, 4);
    ret_stream->meta_expire_ms = db_i64(call, 5);
    ret_stream->sweep_ms = db_i64(call, 6);
    ret_stream->max_lag = MAX_LAG;
    return set_version(ret_stream, db_u64(call, 7), db_str(call, 8));
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
    enum status status = cache_make_room(s);
    if (status != STATUS_OK) {
        return status;
    }
    struct db_call call = db_call(s->stmts[SQL_FIND]);
    db_bind_str(&call, channel);
    bool is_there = db_row(&call);
    struct stream *stream = is_there ? cache_add(s, channel) : NULL;
    if (is_there) {
        status = stream ? read_row(&call, stream) : STATUS_NO_MEMORY;
    }
    enum status end = db_end(&call);
    if (status == STATUS_OK) {
        status = end;
    }
    if (status != STATUS_OK || !is_there) {
        return status != STATUS_OK ? status : STATUS_NOT_FOUND;
    }
    status = load_lowest(s, stream);
    if (status == STATUS_OK) {
        *ret_stream = stream;
    }
    return status;
}

/* One that never had a publication, so that nothing can be missed of it: the one that would be
 * forgotten first. STATUS_OVERLOADED: there is none. */
static enum status evict(struct streams *s)
{
    enum status status = streams_save(s);
    if (status != STATUS_OK) {
        return status;
    }
    struct db_call call = db_call(s->stmts[SQL_UNPUBLISHED]);
    bool is_there = db_row(&call);
    int64_t id = 0;
    if (is_there) {
        id = db_i64(&call, 0);
        streams_forget(s, db_str(&call, 1));
    }
    status = db_end(&call);
    if (status != STATUS_OK || !is_there) {
        return status != STATUS_OK ? status : STATUS_OVERLOADED;
    }
    s->count->n--;
    struct db_call delete_call = db_call(s->stmts[SQL_DELETE]);
    db_bind_i64(&delete_call, id);
    return db_run(&delete_call);
}

static enum status create(struct streams *s, struct str channel, int64_t meta_expire_ms,
                          struct stream **ret_stream)
{
    enum status status = s->count->n >= s->count->limit ? evict(s) : STATUS_OK;
    if (status != STATUS_OK) {
        return status;
    }
    char epoch[STORAGE_EPOCH_SIZE];
    rng_epoch(epoch);
    struct db_call call = db_call(s->stmts[SQL_CREATE]);
    db_bind_str(&call, channel);
    db_bind_str(&call, str_of(epoch));
    db_bind_i64(&call, meta_expire_ms);
    status = db_run(&call);
    if (status != STATUS_OK) {
        return status;
    }
    s->count->n++;
    sweep_due_at(s->sweep_due, meta_expire_ms);
    return load(s, channel, ret_stream);
}

/* Its name becomes free at once; its rows, up to the top that is saved, are removed by the sweep.
 */
static enum status retire(struct streams *s, struct stream *stream, int64_t now_ms)
{
    enum status status = save(s, stream);
    if (status == STATUS_OK) {
        struct db_call call = db_call(s->stmts[SQL_RETIRE]);
        db_bind_i64(&call, stream->id);
        status = db_run(&call);
    }
    cache_remove(s, stream);
    s->count->n--;
    sweep_due_at(s->sweep_due, now_ms);
    return status;
}

/* STATUS_NOT_FOUND. Valid until the next call that may add to the cache. */
static enum status find(struct streams *s, struct str channel, int64_t now_ms,
                        struct stream **ret_stream)
{
    enum status status = STATUS_OK;
    struct stream *stream = cache_find(s, channel);
    if (!stream) {
        status = load(s, channel, &stream);
    }
    if (status == STATUS_OK && now_ms >= stream->meta_expire_ms) {
        status = retire(s, stream, now_ms);
        return status == STATUS_OK ? STATUS_NOT_FOUND : status;
    }
    if (status == STATUS_OK) {
        *ret_stream = stream;
    }
    return status;
}

static enum status find_or_create(struct streams *s, struct str channel,
                                  const struct storage_retention *retention, int64_t now_ms,
                                  struct stream **ret_stream)
{
    enum status status = find(s, channel, now_ms, ret_stream);
    if (status != STATUS_NOT_FOUND) {
        return status;
    }
    return create(s, channel, streams_time_after(now_ms, retention->meta_ttl_ms), ret_stream);
}

/* --- appending --- */

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
    db_bind_i64(&call, append->delta);
    return db_run(&call);
}

/* Only ever earlier: when the sweep comes too early, it moves the time on. */
static void sweep_not_after(struct streams *s, struct stream *stream, int64_t at_ms)
{
    if (stream->sweep_ms > at_ms) {
        stream->sweep_ms = at_ms;
        stream->is_sweep_moved = true;
        sweep_due_at(s->sweep_due, at_ms);
    }
}

/* The row as it is with one publication more. */
static void move_on(struct stream *stream, const struct storage_retention *retention,
                    int64_t now_ms)
{
    if (now_ms >= stream->items_expire_ms) {
        stream->first = stream->top + 1;
    }
    stream->top++;
    stream->n_appended++;
    uint64_t size = (uint64_t)retention->size;
    if (stream->top - stream->first >= size) {
        stream->first = stream->top - size + 1;
    }
    stream->max_lag = size / 4 < 1 ? 1 : size / 4 < MAX_LAG ? size / 4 : MAX_LAG;
    stream->items_expire_ms = streams_time_after(now_ms, retention->ttl_ms);
    stream->meta_expire_ms = streams_time_after(now_ms, retention->meta_ttl_ms);
}

static bool is_old_version(const struct stream *stream, const struct storage_append *append)
{
    return append->version > 0 && append->version <= stream->version &&
           (append->version_epoch.len == 0 || str_eq(append->version_epoch, stream->version_epoch));
}

static enum status write_append(struct streams *s, struct stream *stream,
                                const struct storage_append *append, int64_t now_ms)
{
    enum status status = STATUS_OK;
    if (append->version > 0) {
        bool has_epoch = append->version_epoch.len > 0;
        status = set_version(stream, append->version,
                             has_epoch ? append->version_epoch : stream->version_epoch);
    }
    move_on(stream, &append->retention, now_ms);
    sweep_not_after(s, stream, stream->items_expire_ms);
    make_dirty(s, stream);
    return status == STATUS_OK ? publish(s, stream, append, now_ms) : status;
}

enum status streams_append(struct streams *s, struct storage_append *append, int64_t now_ms)
{
    struct stream *stream;
    enum status status = find_or_create(s, append->channel, &append->retention, now_ms, &stream);
    if (status != STATUS_OK) {
        return status;
    }
    if (is_old_version(stream, append)) {
        append->suppressed = STORAGE_OLD_VERSION;
    } else {
        status = write_append(s, stream, append, now_ms);
    }
    append->position = streams_position(str_of(stream->epoch), stream->top);
    return status;
}

/* --- other uses --- */

static enum status use(struct streams *s, struct stream *stream,
                       const struct storage_retention *retention, int64_t now_ms)
{
    if (streams_use_due(stream->meta_expire_ms, retention, now_ms)) {
        stream->meta_expire_ms = streams_time_after(now_ms, retention->meta_ttl_ms);
        make_dirty(s, stream);
    }
    return save(s, stream);
}

enum status streams_use(struct streams *s, struct str channel,
                        const struct storage_retention *retention, int64_t now_ms)
{
    struct stream *stream;
    enum status status = find_or_create(s, channel, retention, now_ms, &stream);
    return status == STATUS_OK ? use(s, stream, retention, now_ms) : status;
}

enum status streams_prolong(struct streams *s, struct str channel,
                            const struct storage_retention *retention, int64_t now_ms)
{
    struct stream *stream;
    enum status status = find(s, channel, now_ms, &stream);
    if (status == STATUS_NOT_FOUND) {
        return STATUS_OK;
    }
    return status == STATUS_OK ? use(s, stream, retention, now_ms) : status;
}

enum status streams_remove(struct streams *s, struct str channel, int64_t now_ms,
                           struct storage_position *ret_top)
{
    struct stream *stream;
    enum status status = find(s, channel, now_ms, &stream);
    if (status == STATUS_NOT_FOUND) {
        *ret_top = (struct storage_position){0};
        return STATUS_OK;
    }
    if (status != STATUS_OK) {
        return status;
    }
    if (stream->first <= stream->top) {
        stream->first = stream->top + 1;
        sweep_not_after(s, stream, now_ms);
        make_dirty(s, stream);
    }
    *ret_top = streams_position(str_of(stream->epoch), stream->top);
    return STATUS_OK;
}
