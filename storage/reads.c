/* SPDX-License-Identifier: MIT */
/* Reads publications, feeds' results, runs and events into the memory of the operation: an array of
 * items, and one block with all their texts behind each other. SQLite has no checksums, so what a
 * disk has damaged is looked for here: what clients get is JSON and has no gaps, or is not sent at
 * all. State belongs to the connection's thread. */
#include "storage/reads.h"

#include <stdlib.h>

#include "base/buf.h"
#include "base/json_span.h"
#include "base/log.h"
#include "storage/streams.h"

enum {
    SQL_STREAM,
    SQL_FORWARD,
    SQL_REVERSE,
    SQL_FEED,
    SQL_VALUES,
    SQL_RUNS,
    SQL_RUNS_OF_PARAMS,
    SQL_EVENTS,
    N_SQL,
};

static const char *const sql[N_SQL] = {
    [SQL_STREAM] = "SELECT id, epoch, top, first, items_expire_ms, meta_expire_ms"
                   " FROM streams WHERE channel=?1",
    [SQL_FORWARD] = "SELECT offset, time_ms, data, info, tags, delta FROM publications"
                    " WHERE stream_id=?1 AND offset BETWEEN ?2 AND ?3"
                    " ORDER BY offset LIMIT ?4",
    [SQL_REVERSE] = "SELECT offset, time_ms, data, info, tags, delta FROM publications"
                    " WHERE stream_id=?1 AND offset BETWEEN ?2 AND ?3"
                    " ORDER BY offset DESC LIMIT ?4",
    [SQL_FEED] = "SELECT id, snapshot, completed, time_ms, epoch, offset FROM feed_snapshots"
                 " WHERE feed=?1 AND params=?2 AND expire_ms>?3",
    [SQL_VALUES] = "SELECT upstream, value, http_status, time_ms, condition FROM feed_values"
                   " WHERE feed_id=?1 ORDER BY upstream",
    [SQL_RUNS] = "SELECT id, params, time_ms, duration_us, text FROM feed_runs"
                 " WHERE feed=?1 AND expire_ms>?2 ORDER BY id DESC",
    [SQL_RUNS_OF_PARAMS] = "SELECT id, params, time_ms, duration_us, text FROM feed_runs"
                           " WHERE feed=?1 AND expire_ms>?2 AND params=?3 ORDER BY id DESC",
    [SQL_EVENTS] = "SELECT id, time_ms, text FROM events WHERE endpoint=?1 AND id>?2"
                   " ORDER BY id LIMIT ?3",
};

#define DAMAGE_ADVICE log_s("advice", "belfry checkdb lists all that is wrong with the file")

struct reads {
    struct db *db;
    sqlite3_stmt *stmts[N_SQL];
};

enum status reads_create(struct db *db, struct reads **ret_reads)
{
    struct reads *r = calloc(1, sizeof(*r));
    if (!r) {
        return STATUS_NO_MEMORY;
    }
    r->db = db;
    enum status status = db_prepare(db, sql, r->stmts, N_SQL);
    if (status != STATUS_OK) {
        reads_destroy(r);
        return status;
    }
    *ret_reads = r;
    return STATUS_OK;
}

void reads_destroy(struct reads *r)
{
    if (!r) {
        return;
    }
    db_finalize(r->stmts, N_SQL);
    free(r);
}

/* Room for one item more in an array that doubles. */
static void *grown(void *items, size_t n, size_t item_size)
{
    if (n < 8 ? n != 0 : (n & (n - 1)) != 0) {
        return items;
    }
    return reallocarray(items, n < 8 ? 8 : 2 * n, item_size);
}

/* Takes the lengths for now: the texts still move. */
static struct str keep_text(struct buf *texts, struct str text)
{
    buf_append(texts, text);
    return (struct str){NULL, text.len};
}

static void place_text(struct str *text, const char **at)
{
    text->ptr = *at;
    *at += text->len;
}

/* The texts have been kept in this order. NULL is fine where all are empty. */
static enum status place_item_texts(struct storage_history *history, struct buf *texts)
{
    if (buf_failed(texts)) {
        return STATUS_NO_MEMORY;
    }
    const char *at = texts->ptr ? texts->ptr : "";
    for (size_t i = 0; i < history->n_items; i++) {
        place_text(&history->items[i].data, &at);
        place_text(&history->items[i].info, &at);
        place_text(&history->items[i].tags, &at);
    }
    history->memory = texts->ptr;
    buf_init(texts, SIZE_MAX);
    return STATUS_OK;
}

static bool is_json(struct str text)
{
    return json_check(text, NULL) == STATUS_OK;
}

static bool is_json_or_empty(struct str text)
{
    return text.len == 0 || is_json(text);
}

/* Which offsets are asked for, both included; none: the first is above the last. */
struct range {
    uint64_t first;
    uint64_t last;
};

/* The offset that comes after n_items. */
static uint64_t next_offset(const struct storage_history *history, const struct range *range)
{
    return history->reverse ? range->last - history->n_items : range->first + history->n_items;
}

static enum status add_item(struct storage_history *history, const struct db_call *call,
                            uint64_t offset, struct buf *texts)
{
    struct str data = db_str(call, 2), info = db_str(call, 3), tags = db_str(call, 4);
    if (db_u64(call, 0) != offset || !is_json(data) || !is_json_or_empty(info) ||
        !is_json_or_empty(tags)) {
        return STATUS_CORRUPT;
    }
    struct storage_item *items = grown(history->items, history->n_items, sizeof(*items));
    if (!items) {
        return STATUS_NO_MEMORY;
    }
    history->items = items;
    struct storage_item *item = &items[history->n_items++];
    item->offset = offset;
    item->time_ms = db_i64(call, 1);
    item->data = keep_text(texts, data);
    item->info = keep_text(texts, info);
    item->tags = keep_text(texts, tags);
    item->delta = db_i64(call, 5) != 0;
    return STATUS_OK;
}

/* The item that reaches the limit is the last one. */
static bool is_full(const struct storage_history *history, const struct buf *texts)
{
    return history->max_bytes > 0 && texts->len >= history->max_bytes;
}

static enum status read_items(struct reads *r, struct storage_history *history, int64_t stream_id,
                              const struct range *range)
{
    struct buf texts;
    buf_init(&texts, SIZE_MAX);
    struct db_call call = db_call(r->stmts[history->reverse ? SQL_REVERSE : SQL_FORWARD]);
    db_bind_i64(&call, stream_id);
    db_bind_u64(&call, range->first);
    db_bind_u64(&call, range->last);
    db_bind_u64(&call, history->limit);
    enum status status = STATUS_OK;
    while (status == STATUS_OK && !is_full(history, &texts) && db_row(&call)) {
        status = add_item(history, &call, next_offset(history, range), &texts);
    }
    bool is_cut = history->n_items == history->limit || is_full(history, &texts);
    enum status end = db_end(&call);
    if (status == STATUS_OK) {
        status = end;
    }
    if (status == STATUS_OK && !is_cut && history->n_items != range->last - range->first + 1) {
        status = STATUS_CORRUPT;
    }
    if (status == STATUS_CORRUPT && db_fault_due(r->db)) {
        log_error("storage", "damaged", log_str("channel", history->channel),
                  log_i("offset", (int64_t)next_offset(history, range)), DAMAGE_ADVICE);
    }
    if (status == STATUS_OK) {
        status = place_item_texts(history, &texts);
    }
    buf_release(&texts);
    return status;
}

struct stream_row {
    int64_t id;
    uint64_t first;
    int64_t items_expire_ms;
    int64_t meta_expire_ms;
};

static enum status read_stream(struct reads *r, struct storage_history *history,
                               struct stream_row *ret_row)
{
    struct db_call call = db_call(r->stmts[SQL_STREAM]);
    db_bind_str(&call, history->channel);
    bool found = db_row(&call);
    if (found) {
        history->top = streams_position(db_str(&call, 1), db_u64(&call, 2));
        ret_row->id = db_i64(&call, 0);
        ret_row->first = db_u64(&call, 3);
        ret_row->items_expire_ms = db_i64(&call, 4);
        ret_row->meta_expire_ms = db_i64(&call, 5);
    }
    enum status status = db_end(&call);
    return status == STATUS_OK && !found ? STATUS_NOT_FOUND : status;
}

static struct range range_of(const struct storage_history *history, const struct stream_row *row)
{
    struct range range = {row->first, history->top.offset};
    /* The configured size may have become smaller since the last append. */
    uint64_t size = (uint64_t)history->retention.size;
    if (range.last >= size && range.last - size + 1 > range.first) {
        range.first = range.last - size + 1;
    }
    if (!history->reverse && history->since >= range.last) {
        return (struct range){1, 0};
    }
    if (!history->reverse && history->since >= range.first) {
        range.first = history->since + 1;
    }
    if (history->reverse && history->since != 0 && history->since <= range.last) {
        range.last = history->since - 1;
    }
    return range;
}

enum status reads_history(struct reads *r, struct storage_history *history, int64_t now_ms,
                          bool *ret_is_use_due)
{
    struct stream_row row;
    enum status status = read_stream(r, history, &row);
    if (status != STATUS_OK) {
        return status;
    }
    if (now_ms >= row.meta_expire_ms) {
        return STATUS_NOT_FOUND;
    }
    *ret_is_use_due = streams_use_due(row.meta_expire_ms, &history->retention, now_ms);
    if (history->limit == 0 || now_ms >= row.items_expire_ms) {
        return STATUS_OK;
    }
    struct range range = range_of(history, &row);
    return range.first <= range.last ? read_items(r, history, row.id, &range) : STATUS_OK;
}

void storage_history_release(struct storage_history *history)
{
    free(history->items);
    free(history->memory);
    history->items = NULL;
    history->n_items = 0;
    history->memory = NULL;
}

static enum status read_snapshot(struct reads *r, struct storage_feed_read *read, int64_t now_ms,
                                 struct buf *texts, int64_t *ret_id)
{
    struct db_call call = db_call(r->stmts[SQL_FEED]);
    db_bind_str(&call, read->feed);
    db_bind_str(&call, read->params);
    db_bind_i64(&call, now_ms);
    bool found = db_row(&call);
    bool is_good = found && is_json(db_str(&call, 1));
    if (is_good) {
        *ret_id = db_i64(&call, 0);
        read->snapshot = keep_text(texts, db_str(&call, 1));
        read->completed = db_i64(&call, 2) != 0;
        read->time_ms = db_i64(&call, 3);
        read->position = streams_position(db_str(&call, 4), db_u64(&call, 5));
    }
    enum status status = db_end(&call);
    if (status != STATUS_OK || is_good) {
        return status;
    }
    return found ? STATUS_CORRUPT : STATUS_NOT_FOUND;
}

static enum status add_value(struct storage_feed_read *read, const struct db_call *call,
                             struct buf *texts)
{
    if (!is_json(db_str(call, 1))) {
        return STATUS_CORRUPT;
    }
    struct storage_feed_item *items = grown(read->items, read->n_items, sizeof(*items));
    if (!items) {
        return STATUS_NO_MEMORY;
    }
    read->items = items;
    struct storage_feed_item *item = &items[read->n_items++];
    item->upstream = keep_text(texts, db_str(call, 0));
    item->value = keep_text(texts, db_str(call, 1));
    item->http_status = (int)db_i64(call, 2);
    item->time_ms = db_i64(call, 3);
    item->condition = keep_text(texts, db_str(call, 4));
    return STATUS_OK;
}

static enum status read_values(struct reads *r, struct storage_feed_read *read, int64_t id,
                               struct buf *texts)
{
    struct db_call call = db_call(r->stmts[SQL_VALUES]);
    db_bind_i64(&call, id);
    enum status status = STATUS_OK;
    while (status == STATUS_OK && db_row(&call)) {
        status = add_value(read, &call, texts);
    }
    enum status end = db_end(&call);
    return status == STATUS_OK ? end : status;
}

static enum status place_feed_texts(struct storage_feed_read *read, struct buf *texts)
{
    if (buf_failed(texts)) {
        return STATUS_NO_MEMORY;
    }
    const char *at = texts->ptr ? texts->ptr : "";
    place_text(&read->snapshot, &at);
    for (size_t i = 0; i < read->n_items; i++) {
        place_text(&read->items[i].upstream, &at);
        place_text(&read->items[i].value, &at);
        place_text(&read->items[i].condition, &at);
    }
    read->memory = texts->ptr;
    buf_init(texts, SIZE_MAX);
    return STATUS_OK;
}

enum status reads_feed(struct reads *r, struct storage_feed_read *read, int64_t now_ms)
{
    int64_t id;
    struct buf texts;
    buf_init(&texts, SIZE_MAX);
    enum status status = read_snapshot(r, read, now_ms, &texts, &id);
    if (status == STATUS_OK) {
        status = read_values(r, read, id, &texts);
    }
    if (status == STATUS_CORRUPT && db_fault_due(r->db)) {
        log_error("storage", "damaged", log_str("feed", read->feed),
                  log_str("params", read->params), DAMAGE_ADVICE);
    }
    if (status == STATUS_OK) {
        status = place_feed_texts(read, &texts);
    }
    buf_release(&texts);
    return status;
}

void storage_feed_read_release(struct storage_feed_read *read)
{
    free(read->items);
    free(read->memory);
    read->items = NULL;
    read->n_items = 0;
    read->memory = NULL;
    read->snapshot = STR_EMPTY;
}

/* Runs are there to be looked at: those that can be read are shown. */
static bool is_good_run(struct reads *r, const struct storage_runs_read *read,
                        const struct db_call *call)
{
    if (is_json(db_str(call, 1)) && is_json(db_str(call, 4))) {
        return true;
    }
    if (db_fault_due(r->db)) {
        log_error("storage", "damaged", log_str("feed", read->feed), log_i("run", db_i64(call, 0)),
                  DAMAGE_ADVICE);
    }
    return false;
}

static enum status add_run(struct storage_runs_read *read, const struct db_call *call,
                           struct buf *texts)
{
    struct storage_run *runs = grown(read->runs, read->n_runs, sizeof(*runs));
    if (!runs) {
        return STATUS_NO_MEMORY;
    }
    read->runs = runs;
    struct storage_run *run = &runs[read->n_runs++];
    *run = (struct storage_run){.feed = keep_text(texts, read->feed),
                                .time_ms = db_i64(call, 2),
                                .duration_us = db_i64(call, 3)};
    run->params = keep_text(texts, db_str(call, 1));
    run->text = keep_text(texts, db_str(call, 4));
    return STATUS_OK;
}

static enum status place_run_texts(struct storage_runs_read *read, struct buf *texts)
{
    if (buf_failed(texts)) {
        return STATUS_NO_MEMORY;
    }
    const char *at = texts->ptr ? texts->ptr : "";
    for (size_t i = 0; i < read->n_runs; i++) {
        place_text(&read->runs[i].feed, &at);
        place_text(&read->runs[i].params, &at);
        place_text(&read->runs[i].text, &at);
    }
    read->memory = texts->ptr;
    buf_init(texts, SIZE_MAX);
    return STATUS_OK;
}

static bool is_runs_read_full(const struct storage_runs_read *read, const struct buf *texts)
{
    return read->n_runs >= read->limit || (read->max_bytes > 0 && texts->len >= read->max_bytes);
}

enum status reads_runs(struct reads *r, struct storage_runs_read *read, int64_t now_ms)
{
    struct buf texts;
    buf_init(&texts, SIZE_MAX);
    bool has_params = read->params.len > 0;
    struct db_call call = db_call(r->stmts[has_params ? SQL_RUNS_OF_PARAMS : SQL_RUNS]);
    db_bind_str(&call, read->feed);
    db_bind_i64(&call, now_ms);
    if (has_params) {
        db_bind_str(&call, read->params);
    }
    enum status status = STATUS_OK;
    while (status == STATUS_OK && !is_runs_read_full(read, &texts) && db_row(&call)) {
        if (is_good_run(r, read, &call)) {
            status = add_run(read, &call, &texts);
        }
    }
    enum status end = db_end(&call);
    if (status == STATUS_OK) {
        status = end;
    }
    if (status == STATUS_OK) {
        status = place_run_texts(read, &texts);
    }
    buf_release(&texts);
    return status;
}

void storage_runs_release(struct storage_runs_read *read)
{
    free(read->runs);
    free(read->memory);
    read->runs = NULL;
    read->n_runs = 0;
    read->memory = NULL;
}

/* A damaged event must not keep those behind it from their endpoint. */
static struct str text_of_event(struct reads *r, const struct storage_events_read *read,
                                const struct db_call *call)
{
    struct str text = db_str(call, 2);
    if (is_json(text)) {
        return text;
    }
    if (db_fault_due(r->db)) {
        log_error("storage", "damaged", log_str("endpoint", read->endpoint),
                  log_i("event", db_i64(call, 0)), DAMAGE_ADVICE);
    }
    return STR_EMPTY;
}

static enum status add_event(struct reads *r, struct storage_events_read *read,
                             const struct db_call *call, struct buf *texts)
{
    struct storage_event *events = grown(read->events, read->n_events, sizeof(*events));
    if (!events) {
        return STATUS_NO_MEMORY;
    }
    read->events = events;
    struct storage_event *event = &events[read->n_events++];
    event->id = db_u64(call, 0);
    event->time_ms = db_i64(call, 1);
    event->text = keep_text(texts, text_of_event(r, read, call));
    return STATUS_OK;
}

static enum status place_event_texts(struct storage_events_read *read, struct buf *texts)
{
    if (buf_failed(texts)) {
        return STATUS_NO_MEMORY;
    }
    const char *at = texts->ptr ? texts->ptr : "";
    for (size_t i = 0; i < read->n_events; i++) {
        place_text(&read->events[i].text, &at);
    }
    read->memory = texts->ptr;
    buf_init(texts, SIZE_MAX);
    return STATUS_OK;
}

enum status reads_events(struct reads *r, struct storage_events_read *read)
{
    struct buf texts;
    buf_init(&texts, SIZE_MAX);
    struct db_call call = db_call(r->stmts[SQL_EVENTS]);
    db_bind_str(&call, read->endpoint);
    db_bind_u64(&call, read->since);
    db_bind_u64(&call, read->limit);
    enum status status = STATUS_OK;
    while (status == STATUS_OK && (read->max_bytes == 0 || texts.len < read->max_bytes) &&
           db_row(&call)) {
        status = add_event(r, read, &call, &texts);
    }
    enum status end = db_end(&call);
    if (status == STATUS_OK) {
        status = end;
    }
    if (status == STATUS_OK) {
        status = place_event_texts(read, &texts);
    }
    buf_release(&texts);
    return status;
}

void storage_events_release(struct storage_events_read *read)
{
    free(read->events);
    free(read->memory);
    read->events = NULL;
    read->n_events = 0;
    read->memory = NULL;
}
