/* SPDX-License-Identifier: MIT */
/* Unit hub_feeds is the hub's face towards those who ask for feeds: finds the feed, checks the
 * parameters, and hands over to refresh, schedule or the storage. */
#include <stdlib.h>

#include "base/json_span.h"
#include "base/log.h"
#include "hub/ad_hoc.h"
#include "hub/feed_runs.h"
#include "hub/hub_internal.h"
#include "hub/refresh.h"

#define RUNS_MAX_BYTES   ((size_t)16 << 20)
#define UPSTREAM_TICK_MS 2
#define UPSTREAM_SLOTS   1024
#define CHANGES_AT_ONCE  16

/* --- the whole --- */

static struct feed *find_feed(struct hub *hub, struct str name)
{
    for (size_t i = 0; i < hub->n_feeds; i++) {
        if (str_eq(name, feed_name(hub->feeds[i]))) {
            return hub->feeds[i];
        }
    }
    return NULL;
}

void feed_set_release(struct feed_set *set)
{
    for (size_t i = 0; i < set->n_feeds; i++) {
        feed_unref(set->feeds[i]);
    }
    free(set->feeds);
    *set = (struct feed_set){.feeds = NULL};
}

/* A feed that is as it was goes on with all that it has learned about its upstreams. */
static enum status make_feed(struct hub *hub, const struct feed_options *options,
                             struct lifetime *lifetime, struct feed **ret_feed)
{
    struct feed *known = find_feed(hub, str_of(options->name));
    if (known && feed_options_are_same(known->options, options)) {
        *ret_feed = feed_ref(known);
        return STATUS_OK;
    }
    enum status status = feed_create(hub, options, false, ret_feed);
    if (status == STATUS_OK) {
        (*ret_feed)->lifetime = lifetime_hold(lifetime);
    }
    return status;
}

enum status hub_prepare_feeds(struct hub *hub, const struct config_list *feeds,
                              struct lifetime *lifetime, struct feed_set *ret_set)
{
    const struct feed_options *options = feeds->items;
    ret_set->feeds = hub_allocate((feeds->n_items + 1) * sizeof(struct feed *));
    for (size_t i = 0; i < feeds->n_items; i++) {
        enum status status = make_feed(hub, &options[i], lifetime, &ret_set->feeds[i]);
        if (status != STATUS_OK) {
            log_error("feed", "not_created", log_s("feed", options[i].name));
            return status;
        }
        ret_set->n_feeds++;
    }
    return STATUS_OK;
}

/* Figures go on, but for what is counted where it happens. */
static void inherit(struct feed *feed, const struct feed *from)
{
    feed->stats = from->stats;
    feed->stats.n_running = 0;
    feed->stats.n_watched = 0;
}

static void retire(struct hub *hub, struct feed *feed)
{
    struct feed *successor = find_feed(hub, feed_name(feed));
    if (successor != feed) {
        feed->is_retired = true;
        (void)feed_runs_flush(feed->runs, NULL);
    }
    if (successor && successor != feed) {
        inherit(successor, feed);
    }
}

void hub_commit_feeds(struct hub *hub, struct feed_set *set)
{
    struct feed_set older = {.feeds = hub->feeds, .n_feeds = hub->n_feeds};
    hub->feeds = set->feeds;
    hub->n_feeds = set->n_feeds;
    *set = (struct feed_set){.feeds = NULL};
    for (size_t i = 0; i < older.n_feeds; i++) {
        retire(hub, older.feeds[i]);
    }
    feed_instances_move(hub);
    feed_set_release(&older);
    if (!hub->is_stopping) {
        schedule_start_always(hub);
    }
}

enum status hub_create_feeds(struct hub *hub)
{
    return deadlines_create(hub->loop, UPSTREAM_TICK_MS, UPSTREAM_SLOTS, &hub->upstream_deadlines);
}

void hub_destroy_feeds(struct hub *hub)
{
    struct feed_set all = {.feeds = hub->feeds, .n_feeds = hub->n_feeds};
    schedule_stop_all(hub);
    feed_instances_destroy(hub);
    feed_set_release(&all);
    deadlines_destroy(hub->upstream_deadlines);
}

static void publish_held(struct feed_instance *in, void *arg)
{
    (void)arg;
    refresh_publish_held(in);
}

/* What waits for min_interval is what has been accepted: it does not wait any longer. */
void hub_stop_feeds(struct hub *hub)
{
    schedule_stop_all(hub);
    feed_instances_each(hub, publish_held, NULL);
    for (size_t i = 0; i < hub->n_feeds; i++) {
        (void)feed_runs_flush(hub->feeds[i]->runs, NULL);
    }
}

void hub_hurry(struct hub *hub)
{
    refresh_give_up_all(hub);
}

void hub_feeds(struct hub *hub, feeds_fn each, void *arg)
{
    for (size_t i = 0; i < hub->n_feeds; i++) {
        each(arg, hub->feeds[i]->options, &hub->feeds[i]->stats);
    }
}

void hub_feed_upstreams(struct hub *hub, const struct feed_options *feed, feed_upstream_fn each,
                        void *arg)
{
    const struct feed *f = find_feed(hub, str_of(feed->name));
    for (size_t i = 0; f && i < f->n_upstreams; i++) {
        struct upstream_stats stats;
        upstream_stats(f->upstreams[i].upstream, &stats);
        each(arg, f->upstreams[i].options, &stats);
    }
}

const struct feed_options *hub_feed_options(struct hub *hub, struct str feed)
{
    const struct feed *f = find_feed(hub, feed);
    return f ? f->options : NULL;
}

/* --- a call that is refused still is answered later --- */

struct refusal {
    struct hub *hub;
    struct deferred answer;
    enum status status;
    struct buf why;
    feed_done_fn done; /* one of the three */
    feed_purge_fn purge_done;
    feed_runs_fn runs_done;
    void *arg;
};

static void answer_refusal(void *arg)
{
    struct refusal *r = arg;
    char *text = buf_take(&r->why);
    const char *why = text ? text : "";
    r->hub->n_operations--;
    if (r->done) {
        r->done(r->arg, r->status, why, NULL);
    } else if (r->purge_done) {
        r->purge_done(r->arg, r->status, why, 0);
    } else {
        r->runs_done(r->arg, r->status, why, NULL);
    }
    free(text);
    free(r);
}

/* Takes what `refusal` has. */
static void refuse(struct hub *hub, const struct refusal *refusal)
{
    struct refusal *r = hub_allocate(sizeof(*r));
    *r = *refusal;
    r->hub = hub;
    r->answer = (struct deferred){.fn = answer_refusal, .arg = r};
    hub->n_operations++;
    loop_defer(hub->loop, &r->answer);
}

/* --- which instance --- */

static enum status find_checked(struct hub *hub, struct str name, struct feed **ret_feed,
                                struct buf *why)
{
    if (hub->is_stopping) {
        return STATUS_CLOSED;
    }
    struct feed *feed = find_feed(hub, name);
    if (!feed) {
        buf_printf(why, "no feed is called \"%.*s\"", (int)(name.len < 100 ? name.len : 100),
                   name.ptr ? name.ptr : "");
        return STATUS_NOT_FOUND;
    }
    *ret_feed = feed;
    return STATUS_OK;
}

static enum status read_params(struct hub *hub, struct str name, struct str params,
                               struct feed **ret_feed, struct feed_params *ret_params,
                               struct buf *why)
{
    enum status status = find_checked(hub, name, ret_feed, why);
    if (status != STATUS_OK) {
        return status;
    }
    status = feed_params_read(*ret_feed, params, ret_params, why);
    if (status != STATUS_OK) {
        feed_params_release(ret_params);
    }
    return status;
}

static void explain_channel(const struct feed *feed, struct str params, struct buf *why)
{
    struct feed_params values;
    struct buf ignored;
    buf_init(&ignored, 1024);
    if (feed_params_read(feed, params, &values, &ignored) == STATUS_OK) {
        struct str channel = str_head(buf_str(&values.channel), 200);
        buf_literal(why, "with these parameters the feed's channel is ");
        json_append_string(why, channel);
        buf_literal(why, ", expected a channel of a namespace that is configured");
    }
    feed_params_release(&values);
    buf_release(&ignored);
}

/* The instance is held. */
static enum status find_instance(struct hub *hub, struct str name, struct str params,
                                 struct feed_instance **ret_instance, struct buf *why)
{
    struct feed *feed;
    struct feed_params values;
    enum status status = read_params(hub, name, params, &feed, &values, why);
    if (status != STATUS_OK) {
        return status;
    }
    status = feed_instance_acquire(feed, &values, ret_instance);
    if (status != STATUS_OK) {
        explain_channel(feed, params, why);
    }
    return status;
}

enum status hub_feed_channel(struct hub *hub, struct str feed, struct str params, struct buf *out,
                             struct buf *why)
{
    struct feed *f;
    struct feed_params values;
    enum status status = read_params(hub, feed, params, &f, &values, why);
    if (status == STATUS_OK) {
        buf_append(out, buf_str(&values.channel));
        feed_params_release(&values);
    }
    return status;
}

/* --- refresh --- */

void hub_feed_refresh(struct hub *hub, struct str feed, struct str params, feed_done_fn done,
                      void *arg)
{
    struct buf why;
    buf_init(&why, 1024);
    struct feed_instance *in;
    enum status status = find_instance(hub, feed, params, &in, &why);
    if (status == STATUS_OK && !in->running && !refresh_has_room(hub)) {
        feed_instance_release(in);
        buf_literal(&why, "upstreams.max_refreshes runs are under way");
        status = STATUS_OVERLOADED;
    }
    if (status != STATUS_OK) {
        refuse(hub, &(struct refusal){.status = status, .why = why, .done = done, .arg = arg});
        return;
    }
    buf_release(&why);
    if (in->running) {
        in->feed->stats.n_shared++;
        refresh_wait(in->running, done, arg);
    } else {
        refresh_wait(refresh_start(in, REFRESH_BY_CALLER), done, arg);
    }
    feed_instance_release(in);
}

void hub_fanout(struct hub *hub, struct str request, feed_done_fn done, void *arg)
{
    struct buf why;
    buf_init(&why, 4096);
    enum status status = hub->is_stopping ? STATUS_CLOSED : STATUS_OK;
    if (status == STATUS_OK && !refresh_has_room(hub)) {
        buf_literal(&why, "upstreams.max_refreshes runs are under way");
        status = STATUS_OVERLOADED;
    }
    if (status == STATUS_OK) {
        status = ad_hoc_start(hub, request, done, arg, &why);
    }
    if (status != STATUS_OK) {
        refuse(hub, &(struct refusal){.status = status, .why = why, .done = done, .arg = arg});
        return;
    }
    buf_release(&why);
}

/* --- the last snapshot --- */

struct feed_get {
    struct hub *hub;
    struct feed_instance *instance; /* held */
    struct feed_load load;
    feed_done_fn done;
    void *arg;
};

static void answer_get(struct feed_get *g, struct feed_snapshot *newest)
{
    struct feed_instance *in = g->instance;
    const struct feed_result result = {
        .feed = feed_name(in->feed),
        .params = feed_instance_params(in),
        .channel = feed_instance_channel(in),
        .data = newest->document->data,
        .etag = feed_snapshot_etag(newest),
        .time_ms = newest->time_ms,
        .position = in->position,
        .is_held = in->held.document != NULL,
        .is_completed = newest->is_completed,
    };
    g->done(g->arg, STATUS_OK, "", &result);
}

static void get_loaded(void *arg)
{
    struct feed_get *g = arg;
    struct feed_instance *in = g->instance;
    struct feed_snapshot *newest = feed_instance_newest(in);
    if (in->load_status != STATUS_OK) {
        g->done(g->arg, in->load_status, "", NULL);
    } else if (!newest->document) { /* or was forgotten just now */
        g->done(g->arg, STATUS_NOT_AVAILABLE, "the feed has no snapshot for these parameters yet",
                NULL);
    } else {
        answer_get(g, newest);
    }
    if (in->load_status == STATUS_OK) {
        schedule_touch(in, false);
    }
    g->hub->n_operations--;
    feed_instance_release(in);
    free(g);
}

void hub_feed_get(struct hub *hub, struct str feed, struct str params, feed_done_fn done, void *arg)
{
    struct buf why;
    buf_init(&why, 1024);
    struct feed_instance *in;
    enum status status = find_instance(hub, feed, params, &in, &why);
    if (status != STATUS_OK) {
        refuse(hub, &(struct refusal){.status = status, .why = why, .done = done, .arg = arg});
        return;
    }
    buf_release(&why);
    struct feed_get *g = hub_allocate(sizeof(*g));
    *g = (struct feed_get){.hub = hub, .instance = in, .done = done, .arg = arg};
    g->load = (struct feed_load){.done = get_loaded, .arg = g};
    hub->n_operations++;
    feed_instance_load(in, &g->load);
}

/* --- something has changed --- */

struct change {
    struct feed *feed;
    size_t n;
};

/* Many are not begun in one turn of the loop, which would hold up others. */
static void change(struct feed_instance *in, void *arg)
{
    struct change *c = arg;
    if (str_eq(feed_name(in->feed), feed_name(c->feed))) {
        schedule_changed(in, ++c->n <= CHANGES_AT_ONCE ? SCHEDULE_NOW : SCHEDULE_SOON);
    }
}

void hub_feed_changed(struct hub *hub, struct str feed, struct str params, feed_done_fn done,
                      void *arg)
{
    struct buf why;
    buf_init(&why, 1024);
    struct feed *f;
    struct feed_instance *in;
    enum status status = find_checked(hub, feed, &f, &why);
    bool is_for_all = params.len == 0 && status == STATUS_OK && feed_n_params(f) > 0;
    if (is_for_all) {
        struct change c = {.feed = f};
        feed_instances_each(hub, change, &c);
    } else if (status == STATUS_OK) {
        status = find_instance(hub, feed, params, &in, &why);
        if (status == STATUS_OK) {
            schedule_changed(in, SCHEDULE_NOW);
            feed_instance_release(in);
        }
    }
    refuse(hub, &(struct refusal){.status = status, .why = why, .done = done, .arg = arg});
}

/* Parameters as the storage knows them; NULL where there are none. */
static enum status find_canonical(struct hub *hub, struct str feed, struct str params,
                                  struct feed **ret_feed, char **ret_canonical, struct buf *why)
{
    struct feed_params values;
    *ret_canonical = NULL;
    if (params.len == 0) {
        return find_checked(hub, feed, ret_feed, why);
    }
    enum status status = read_params(hub, feed, params, ret_feed, &values, why);
    if (status == STATUS_OK) {
        *ret_canonical = str_dup(buf_str(&values.json));
        feed_params_release(&values);
        status = *ret_canonical ? STATUS_OK : STATUS_NO_MEMORY;
    }
    return status;
}

/* --- purge --- */

struct purge {
    struct storage_feed_purge op;
    struct hub *hub;
    struct feed *feed;
    char *params; /* canonical; or NULL: all */
    uint64_t n_forgotten;
    feed_purge_fn done;
    void *arg;
};

static void forget(struct feed_instance *in, void *arg)
{
    const struct purge *p = arg;
    bool is_meant = !p->params || str_eq(feed_instance_params(in), str_of(p->params));
    if (str_eq(feed_name(in->feed), feed_name(p->feed)) && is_meant) {
        feed_instance_forget(in);
    }
}

static void start_purge(struct purge *p);

static void purged(struct storage_feed_purge *op)
{
    struct purge *p = op->arg;
    p->n_forgotten += op->n_removed;
    bool is_more = op->status == STATUS_OK && !p->params && op->n_removed > 0;
    bool is_cut_off = is_more && p->hub->is_abandoned;
    if (is_more && !is_cut_off) {
        start_purge(p);
        return;
    }
    feed_instances_each(p->hub, forget, p);
    p->hub->n_operations--;
    p->done(p->arg, is_cut_off ? STATUS_CLOSED : op->status, "", p->n_forgotten);
    feed_unref(p->feed);
    free(p->params);
    free(p);
}

static void start_purge(struct purge *p)
{
    p->op = (struct storage_feed_purge){
        .feed = feed_name(p->feed), .params = str_of(p->params), .done = purged, .arg = p};
    storage_feed_purge(p->hub->storage, &p->op);
}

void hub_feed_purge(struct hub *hub, struct str feed, struct str params, feed_purge_fn done,
                    void *arg)
{
    struct buf why;
    buf_init(&why, 1024);
    struct feed *f;
    char *canonical;
    enum status status = find_canonical(hub, feed, params, &f, &canonical, &why);
    if (status != STATUS_OK) {
        refuse(hub,
               &(struct refusal){.status = status, .why = why, .purge_done = done, .arg = arg});
        return;
    }
    buf_release(&why);
    struct purge *p = hub_allocate(sizeof(*p));
    *p = (struct purge){
        .hub = hub, .feed = feed_ref(f), .params = canonical, .done = done, .arg = arg};
    hub->n_operations++;
    start_purge(p);
}

/* --- runs --- */

struct runs_get {
    struct hub *hub;
    struct feed *feed;
    char *params; /* canonical; or NULL: all */
    struct feed_runs_wait written;
    struct storage_runs_read read;
    feed_runs_fn done;
    void *arg;
};

static void runs_got(struct storage_runs_read *read)
{
    struct runs_get *g = read->arg;
    g->hub->n_operations--;
    g->done(g->arg, read->status, "", read->status == STATUS_OK ? read : NULL);
    storage_runs_release(read);
    feed_unref(g->feed);
    free(g->params);
    free(g);
}

static void start_reading(void *arg)
{
    struct runs_get *g = arg;
    if (g->hub->is_abandoned) { /* while the runs were written */
        g->read.status = STATUS_CLOSED;
        runs_got(&g->read);
    } else {
        storage_runs_read(g->hub->storage, &g->read);
    }
}

/* Runs that wait to be written are written first: the read comes after them. */
void hub_feed_runs(struct hub *hub, const struct feed_runs_request *request, feed_runs_fn done,
                   void *arg)
{
    struct buf why;
    buf_init(&why, 1024);
    struct feed *f;
    char *canonical;
    enum status status = find_canonical(hub, request->feed, request->params, &f, &canonical, &why);
    if (status != STATUS_OK) {
        refuse(hub, &(struct refusal){.status = status, .why = why, .runs_done = done, .arg = arg});
        return;
    }
    buf_release(&why);
    struct runs_get *g = hub_allocate(sizeof(*g));
    *g = (struct runs_get){
        .hub = hub, .feed = feed_ref(f), .params = canonical, .done = done, .arg = arg};
    g->written = (struct feed_runs_wait){.done = start_reading, .arg = g};
    g->read = (struct storage_runs_read){.feed = feed_name(f),
                                         .params = str_of(canonical),
                                         .limit = request->limit,
                                         .max_bytes = RUNS_MAX_BYTES,
                                         .done = runs_got,
                                         .arg = g};
    hub->n_operations++;
    if (!feed_runs_flush(f->runs, &g->written)) {
        start_reading(g);
    }
}
