/* SPDX-License-Identifier: MIT */
/* Unit hub_feeds is the hub's face towards those who ask for feeds: finds the feed, checks the
 * parameters, and hands over to refresh or to the storage. */
#include <stdlib.h>

#include "base/log.h"
#include "hub/hub_internal.h"
#include "hub/refresh.h"

enum status hub_create_feeds(struct hub *hub)
{
    const struct feed_options *options = hub->feeds_options->items;
    hub->feeds = hub_allocate((hub->feeds_options->n_items + 1) * sizeof(struct feed *));
    for (size_t i = 0; i < hub->feeds_options->n_items; i++) {
        enum status status = feed_create(&options[i], &hub->feeds[i]);
        if (status != STATUS_OK) {
            log_error("feed", "not_created", log_s("feed", options[i].name));
            return status;
        }
        hub->n_feeds++;
    }
    return STATUS_OK;
}

void hub_destroy_feeds(struct hub *hub)
{
    for (size_t i = 0; i < hub->n_feeds; i++) {
        feed_destroy(hub->feeds[i]);
    }
    free(hub->feeds);
}

void hub_hurry(struct hub *hub)
{
    refresh_give_up_all(hub);
}

void hub_feeds(struct hub *hub, feeds_fn each, void *arg)
{
    for (size_t i = 0; i < hub->n_feeds; i++) {
        each(arg, feed_options(hub->feeds[i]), feed_stats(hub->feeds[i]));
    }
}

/* A call that is refused still is answered later. */
struct refusal {
    struct hub *hub;
    struct deferred answer;
    enum status status;
    struct buf why;
    feed_done_fn done;
    void *arg;
};

static void answer_refusal(void *arg)
{
    struct refusal *r = arg;
    char *why = buf_take(&r->why);
    r->hub->n_operations--;
    r->done(r->arg, r->status, why ? why : "", NULL);
    free(why);
    free(r);
}

static void refuse(struct hub *hub, enum status status, struct buf *why, feed_done_fn done,
                   void *arg)
{
    struct refusal *r = hub_allocate(sizeof(*r));
    *r = (struct refusal){.hub = hub,
                          .answer = {.fn = answer_refusal, .arg = r},
                          .status = status,
                          .why = *why,
                          .done = done,
                          .arg = arg};
    hub->n_operations++;
    loop_defer(hub->loop, &r->answer);
}

static struct feed *find_feed(struct hub *hub, struct str name)
{
    for (size_t i = 0; i < hub->n_feeds; i++) {
        if (str_eq(name, str_of(feed_options(hub->feeds[i])->name))) {
            return hub->feeds[i];
        }
    }
    return NULL;
}

static enum status find_instance(struct hub *hub, struct str name, struct str params,
                                 struct feed_instance **ret_instance,
                                 const struct namespace_options **ret_ns, struct buf *why)
{
    struct feed *feed = find_feed(hub, name);
    if (!feed) {
        buf_printf(why, "no feed is called \"%.*s\"", (int)(name.len < 100 ? name.len : 100),
                   name.ptr ? name.ptr : "");
        return STATUS_NOT_FOUND;
    }
    struct feed_instance *instance;
    enum status status = feed_bind(feed, params, &instance, why);
    if (status != STATUS_OK) {
        return status;
    }
    status = namespace_find(hub->channel_options, feed_instance_channel(instance), ret_ns);
    if (status != STATUS_OK) {
        buf_printf(why, "the feed's channel %.*s is not one",
                   STR_ARG(feed_instance_channel(instance)));
        feed_instance_destroy(instance);
        return status;
    }
    *ret_instance = instance;
    return STATUS_OK;
}

void hub_feed_refresh(struct hub *hub, struct str feed, struct str params, feed_done_fn done,
                      void *arg)
{
    struct buf why;
    buf_init(&why, 1024);
    struct feed_instance *instance = NULL;
    const struct namespace_options *ns = NULL;
    enum status status =
        hub->is_stopping ? STATUS_CLOSED : find_instance(hub, feed, params, &instance, &ns, &why);
    bool is_full = hub->n_refreshes >= (size_t)hub->upstreams_options->max_refreshes;
    if (status == STATUS_OK && is_full && !refresh_is_running(hub, instance)) {
        feed_instance_destroy(instance);
        status = STATUS_OVERLOADED;
    }
    if (status != STATUS_OK) {
        refuse(hub, status, &why, done, arg);
        return;
    }
    buf_release(&why);
    refresh_join(hub, instance, ns, done, arg);
}

/* --- the last snapshot --- */

struct feed_get {
    struct hub *hub;
    struct feed_instance *instance;
    struct storage_feed_read read;
    feed_done_fn done;
    void *arg;
};

static void get_done(struct storage_feed_read *read)
{
    struct feed_get *g = read->arg;
    struct feed_result result = {
        .feed = str_of(feed_options(feed_instance_feed(g->instance))->name),
        .params = feed_instance_params(g->instance),
        .channel = feed_instance_channel(g->instance),
        .data = read->snapshot,
        .time_ms = read->time_ms,
        .position = read->position,
        .is_completed = read->completed,
    };
    bool is_there = read->status == STATUS_OK;
    enum status status = read->status == STATUS_NOT_FOUND ? STATUS_NOT_AVAILABLE : read->status;
    const char *detail =
        status == STATUS_NOT_AVAILABLE ? "the feed has no snapshot for these parameters yet" : "";
    g->done(g->arg, status, detail, is_there ? &result : NULL);
    storage_feed_read_release(read);
    feed_instance_destroy(g->instance);
    g->hub->n_operations--;
    free(g);
}

void hub_feed_get(struct hub *hub, struct str feed, struct str params, feed_done_fn done, void *arg)
{
    struct buf why;
    buf_init(&why, 1024);
    struct feed_instance *instance;
    const struct namespace_options *ns;
    enum status status =
        hub->is_stopping ? STATUS_CLOSED : find_instance(hub, feed, params, &instance, &ns, &why);
    if (status != STATUS_OK) {
        refuse(hub, status, &why, done, arg);
        return;
    }
    buf_release(&why);
    struct feed_get *g = hub_allocate(sizeof(*g));
    *g = (struct feed_get){.hub = hub, .instance = instance, .done = done, .arg = arg};
    g->read = (struct storage_feed_read){
        .feed = str_of(feed_options(feed_instance_feed(instance))->name),
        .params = feed_instance_params(instance),
        .done = get_done,
        .arg = g,
    };
    hub->n_operations++;
    storage_feed_read(hub->storage, &g->read);
}
