/* SPDX-License-Identifier: MIT */
/* Unit feed_instance is the table of instances and their memory. */
#include "hub/feed_instance.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <utlist.h>

#include "hub/hub_internal.h"
#include "hub/refresh.h"

#define HEAD_BYTES 512 /* of an instance and its hash entry, about */

/* --- texts --- */

struct feed_text *feed_text_create(struct str text)
{
    struct feed_text *t = malloc(sizeof(*t) + text.len + 1);
    if (!t) {
        return NULL;
    }
    t->refs = 1;
    t->len = text.len;
    memcpy(t->bytes, text.ptr ? text.ptr : "", text.len);
    t->bytes[text.len] = '\0';
    return t;
}

struct feed_text *feed_text_ref(struct feed_text *text)
{
    if (text) {
        text->refs++;
    }
    return text;
}

void feed_text_unref(struct feed_text *text)
{
    if (text && --text->refs == 0) {
        free(text);
    }
}

/* --- snapshots --- */

static void clear_snapshot(struct feed_snapshot *s)
{
    publication_unref(s->document);
    *s = (struct feed_snapshot){.document = NULL};
}

static void set_snapshot(struct feed_instance *in, struct feed_snapshot *s,
                         struct publication *document, bool is_completed, int64_t time_ms)
{
    if (s->document != document) {
        clear_snapshot(s);
        publication_unref(in->shown);
        in->shown = NULL;
    }
    s->document = document;
    s->is_completed = is_completed;
    s->time_ms = time_ms;
}

void feed_instance_set_stored(struct feed_instance *in, struct publication *document,
                              bool is_completed, int64_t time_ms)
{
    set_snapshot(in, &in->stored, document, is_completed, time_ms);
    feed_instance_count(in);
}

void feed_instance_set_held(struct feed_instance *in, struct publication *document,
                            bool is_completed, int64_t time_ms)
{
    if (!in->held.document) {
        feed_instance_hold(in);
    }
    set_snapshot(in, &in->held, document, is_completed, time_ms);
    feed_instance_count(in);
}

void feed_instance_drop_held(struct feed_instance *in)
{
    if (!in->held.document) {
        return;
    }
    deadline_disarm(in->hub->deadlines, &in->hold);
    clear_snapshot(&in->held);
    publication_unref(in->shown);
    in->shown = NULL;
    feed_instance_count(in);
    feed_instance_release(in);
}

struct feed_snapshot *feed_instance_newest(struct feed_instance *in)
{
    return in->held.document ? &in->held : &in->stored;
}

struct publication *feed_instance_show(struct feed_instance *in)
{
    const struct feed_snapshot *newest = feed_instance_newest(in);
    if (newest->document && !in->shown) {
        in->shown = publication_share(newest->document);
    }
    return newest->document ? in->shown : NULL;
}

struct str feed_snapshot_etag(struct feed_snapshot *s)
{
    if (s->etag[0] == '\0') {
        unsigned char hash[EVP_MAX_MD_SIZE] = {0};
        struct str data = s->document->data;
        (void)EVP_Digest(data.ptr, data.len, hash, NULL, EVP_sha256(), NULL);
        size_t len = 0;
        s->etag[len++] = '"';
        for (size_t i = 0; i < 16; i++) {
            s->etag[len++] = "0123456789abcdef"[hash[i] >> 4];
            s->etag[len++] = "0123456789abcdef"[hash[i] & 15];
        }
        s->etag[len++] = '"';
        s->etag[len] = '\0';
    }
    return str_of(s->etag);
}

/* --- values --- */

static void clear_values(struct feed_instance *in)
{
    for (size_t i = 0; i < in->feed->n_upstreams; i++) {
        feed_text_unref(in->values[i].text);
        feed_text_unref(in->values[i].condition);
        in->values[i] = (struct feed_value){.text = NULL};
    }
}

static size_t size_of(const struct feed_instance *in)
{
    size_t n = HEAD_BYTES + in->params.text.capacity + in->params.json.capacity +
               in->params.channel.capacity + in->feed->n_upstreams * sizeof(struct feed_value);
    n += in->stored.document ? publication_size(in->stored.document) : 0;
    n += in->held.document ? publication_size(in->held.document) : 0;
    for (size_t i = 0; i < in->feed->n_upstreams; i++) {
        n += in->values[i].text ? in->values[i].text->len + sizeof(struct feed_text) : 0;
        n += in->values[i].condition ? in->values[i].condition->len + sizeof(struct feed_text) : 0;
    }
    return n;
}

/* --- life --- */

static struct feed_table *table_of(const struct feed_instance *in)
{
    return &in->hub->feed_table;
}

static void destroy(struct feed_instance *in)
{
    struct feed_table *table = table_of(in);
    if (!in->feed->is_ad_hoc && !in->is_detached) {
        HASH_DEL(table->instances, in);
    }
    table->n_bytes -= in->n_counted;
    deadline_disarm(in->hub->deadlines, &in->hold);
    clear_snapshot(&in->stored);
    clear_snapshot(&in->held);
    publication_unref(in->shown);
    clear_values(in);
    free(in->values);
    feed_params_release(&in->params);
    free(in->key);
    feed_unref(in->feed);
    free(in);
}

static void make_room(struct hub *hub)
{
    struct feed_table *table = &hub->feed_table;
    while (table->idle && table->n_walks == 0 &&
           table->n_bytes > (size_t)hub->upstreams_options->memory_max_size) {
        struct feed_instance *oldest = table->idle;
        DL_DELETE(table->idle, oldest);
        table->n_evicted++;
        destroy(oldest);
    }
}

void feed_instance_count(struct feed_instance *in)
{
    struct feed_table *table = table_of(in);
    table->n_bytes -= in->n_counted;
    in->n_counted = size_of(in);
    table->n_bytes += in->n_counted;
    make_room(in->hub);
}

void feed_instance_hold(struct feed_instance *in)
{
    if (in->n_refs++ == 0 && in->prev) {
        DL_DELETE(table_of(in)->idle, in);
        in->prev = NULL;
        in->next = NULL;
    }
}

void feed_instance_release(struct feed_instance *in)
{
    if (--in->n_refs > 0) {
        return;
    }
    if (in->feed->is_ad_hoc || in->is_detached) {
        destroy(in);
        return;
    }
    DL_APPEND(table_of(in)->idle, in);
    make_room(in->hub);
}

static char *make_key(const struct feed *feed, struct str params, size_t *ret_len)
{
    struct str name = feed_name(feed);
    char *key = hub_allocate(name.len + 1 + params.len);
    memcpy(key, name.ptr ? name.ptr : "", name.len);
    memcpy(key + name.len + 1, params.ptr, params.len);
    *ret_len = name.len + 1 + params.len;
    return key;
}

static struct feed_instance *make(struct feed *feed, struct feed_params *params)
{
    struct feed_instance *in = hub_allocate(sizeof(*in));
    in->hub = feed->hub;
    in->feed = feed_ref(feed);
    in->params = *params;
    in->values = hub_allocate((feed->n_upstreams + 1) * sizeof(*in->values));
    schedule_init(&in->schedule);
    return in;
}

/* An ad hoc feed has one instance, which nobody else finds. */
static enum status make_new(struct feed *feed, struct feed_params *params, char *key,
                            size_t key_len, struct feed_instance **ret_instance)
{
    const struct namespace_options *ns;
    bool has_channel = params->channel.len > 0;
    enum status status = STATUS_OK;
    if (has_channel || !feed->is_ad_hoc) {
        status = namespace_find(feed->hub->channel_options, buf_str(&params->channel), &ns);
    }
    if (status != STATUS_OK) {
        free(key);
        feed_params_release(params);
        return status;
    }
    struct feed_instance *in = make(feed, params);
    in->key = key;
    if (feed->is_ad_hoc) {
        in->is_known = true; /* that there is nothing */
    } else {
        HASH_ADD_KEYPTR(hh, feed->hub->feed_table.instances, in->key, key_len, in);
    }
    in->n_refs = 1;
    feed_instance_count(in);
    *ret_instance = in;
    return STATUS_OK;
}

enum status feed_instance_acquire(struct feed *feed, struct feed_params *params,
                                  struct feed_instance **ret_instance)
{
    size_t key_len;
    char *key = make_key(feed, buf_str(&params->json), &key_len);
    struct feed_instance *in = NULL;
    if (!feed->is_ad_hoc) {
        HASH_FIND(hh, feed->hub->feed_table.instances, key, key_len, in);
    }
    if (!in) {
        return make_new(feed, params, key, key_len, ret_instance);
    }
    free(key);
    feed_params_release(params);
    feed_instance_hold(in);
    *ret_instance = in;
    return STATUS_OK;
}

struct feed_instance *feed_instance_of_channel(struct hub *hub, struct str channel)
{
    for (size_t i = 0; i < hub->n_feeds; i++) {
        struct feed_params params;
        struct feed_instance *in;
        if (!feed_params_may_match(hub->feeds[i], channel)) {
            continue;
        }
        if (!feed_params_match(hub->feeds[i], channel, &params)) {
            feed_params_release(&params);
        } else if (feed_instance_acquire(hub->feeds[i], &params, &in) == STATUS_OK) {
            return in;
        }
    }
    return NULL;
}

void feed_instances_each(struct hub *hub, void (*fn)(struct feed_instance *in, void *arg),
                         void *arg)
{
    struct feed_instance *in;
    struct feed_instance *next;
    hub->feed_table.n_walks++;
    HASH_ITER (hh, hub->feed_table.instances, in, next) {
        fn(in, arg);
    }
    hub->feed_table.n_walks--;
    make_room(hub);
}

void feed_instances_destroy(struct hub *hub)
{
    struct feed_instance *in;
    struct feed_instance *next;
    HASH_ITER (hh, hub->feed_table.instances, in, next) {
        destroy(in);
    }
    hub->feed_table.idle = NULL;
}

const struct namespace_options *feed_instance_namespace(const struct feed_instance *in)
{
    const struct namespace_options *ns = &namespace_gone;
    if (in->params.channel.len == 0) {
        return NULL;
    }
    enum status status =
        namespace_find(in->hub->channel_options, buf_str(&in->params.channel), &ns);
    return status == STATUS_OK ? ns : &namespace_gone;
}

struct str feed_instance_channel(const struct feed_instance *in)
{
    return buf_str(&in->params.channel);
}

struct str feed_instance_params(const struct feed_instance *in)
{
    return buf_str(&in->params.json);
}

/* --- reading back --- */

struct feed_reading {
    struct storage_feed_read read;
    struct feed_instance *instance; /* held */
    struct feed *feed;              /* whose name is read */
    bool is_obsolete;               /* the instance was told to forget meanwhile */
};

static struct feed_value *value_of(struct feed_instance *in, struct str upstream)
{
    for (size_t i = 0; i < in->feed->n_upstreams; i++) {
        if (str_eq(str_of(in->feed->upstreams[i].options->name), upstream)) {
            return &in->values[i];
        }
    }
    return NULL;
}

/* A completed snapshot says that all were good then, though nothing has changed in them since they
 * were written. */
static void take_item(struct feed_instance *in, const struct storage_feed_item *item,
                      int64_t completed_ms)
{
    struct feed_value *value = value_of(in, item->upstream);
    if (!value || value->text) {
        return;
    }
    *value = (struct feed_value){
        .text = feed_text_create(item->value),
        .condition = item->condition.len > 0 ? feed_text_create(item->condition) : NULL,
        .http_status = item->http_status,
        .time_ms = item->time_ms > completed_ms ? item->time_ms : completed_ms,
        .is_stored = true,
        .is_text_stored = true,
    };
}

static void take_read(struct feed_instance *in, const struct storage_feed_read *read)
{
    in->load_status = read->status == STATUS_NOT_FOUND ? STATUS_OK : read->status;
    in->is_known = in->load_status == STATUS_OK;
    if (read->status != STATUS_OK) {
        return;
    }
    for (size_t i = 0; i < read->n_items; i++) {
        take_item(in, &read->items[i], read->completed ? read->time_ms : 0);
    }
    feed_instance_count(in);
    if (in->stored.document) { /* from a run since a read that failed: it may be being stored */
        return;
    }
    struct publication *document = publication_create(read->snapshot, STR_EMPTY, STR_EMPTY);
    if (document) {
        in->position = read->position;
        in->written_ms = read->time_ms;
        in->was_written_completed = read->completed;
        feed_instance_set_stored(in, document, read->completed, read->time_ms);
    }
}

static void answer_waiting(struct feed_instance *in)
{
    struct feed_load *load = in->waiting;
    in->waiting = NULL;
    while (load) {
        struct feed_load *next = load->next;
        load->done(load->arg);
        load = next;
    }
}

static void start_reading(struct feed_instance *in);

static void read_done(struct storage_feed_read *read)
{
    struct feed_reading *reading = read->arg;
    struct feed_instance *in = reading->instance;
    struct feed *feed = reading->feed;
    bool is_obsolete = reading->is_obsolete && !in->hub->is_abandoned;
    in->hub->n_operations--;
    in->reading = NULL;
    if (!is_obsolete) {
        take_read(in, read);
    }
    storage_feed_read_release(read);
    free(reading);
    feed_instance_catch_up(in);
    if (is_obsolete) {
        start_reading(in);
    } else {
        answer_waiting(in);
    }
    feed_instance_release(in);
    feed_unref(feed);
}

static void start_reading(struct feed_instance *in)
{
    struct feed_reading *reading = hub_allocate(sizeof(*reading));
    reading->instance = in;
    reading->feed = feed_ref(in->feed);
    reading->read = (struct storage_feed_read){.feed = feed_name(in->feed),
                                               .params = feed_instance_params(in),
                                               .done = read_done,
                                               .arg = reading};
    in->reading = reading;
    feed_instance_hold(in);
    in->hub->n_operations++;
    storage_feed_read(in->hub->storage, &reading->read);
}

void feed_instance_load(struct feed_instance *in, struct feed_load *load)
{
    load->deferred = (struct deferred){.fn = load->done, .arg = load->arg};
    if (in->is_known || in->hub->is_abandoned) {
        in->load_status = in->is_known ? in->load_status : STATUS_CLOSED;
        loop_defer(in->hub->loop, &load->deferred);
        return;
    }
    LL_APPEND(in->waiting, load);
    if (!in->reading) {
        start_reading(in);
    }
}

/* --- forgetting --- */

void feed_instance_forget(struct feed_instance *in)
{
    in->is_to_forget = in->running != NULL;
    if (in->reading) {
        in->reading->is_obsolete = true;
    }
    if (in->running) {
        return;
    }
    feed_instance_hold(in); /* the end of holding must not be its end */
    feed_instance_drop_held(in);
    publication_unref(in->shown);
    in->shown = NULL;
    clear_snapshot(&in->stored);
    clear_values(in);
    in->position = (struct storage_position){0};
    in->is_known = false;
    in->is_outdated = false;
    in->last_run_ms = 0; /* the next one who comes shall find something */
    feed_instance_count(in);
    feed_instance_release(in);
}
