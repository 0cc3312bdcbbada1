/* SPDX-License-Identifier: MIT */
/* Unit ad_hoc makes a feed of what a caller sent, runs it once and forgets it. It is the refresh of
 * any other feed, but that nothing is remembered, and that its hosts are guarded. */
#include "hub/ad_hoc.h"

#include <stdlib.h>

#include "base/json_span.h"
#include "hub/hub_internal.h"
#include "hub/refresh.h"

#define ERRORS_SHOWN 5

struct ad_hoc {
    struct hub *hub;
    struct feed_options options;
    struct feed *feed;
    feed_done_fn done;
    void *arg;
    struct deferred end;
};

static void destroy(struct ad_hoc *f)
{
    feed_unref(f->feed);
    config_release(&fanout_request_shape, &f->options);
    free(f);
}

/* The run is standing in the feed until then. */
static void on_end(void *arg)
{
    struct ad_hoc *f = arg;
    f->hub->n_operations--;
    destroy(f);
}

static void finished(void *arg, enum status status, const char *detail,
                     const struct feed_result *result)
{
    struct ad_hoc *f = arg;
    f->done(f->arg, status, detail, result);
    loop_defer(f->hub->loop, &f->end);
}

static enum status read_options(struct ad_hoc *f, struct str request, struct buf *why)
{
    struct config_errors errors;
    enum status status = config_read_request(request, &fanout_request_shape, &f->options, &errors);
    for (size_t i = 0; i < errors.n_texts && i < ERRORS_SHOWN; i++) {
        buf_append(why, i > 0 ? STR("; ") : STR_EMPTY);
        buf_append(why, str_of(errors.texts[i]));
    }
    if (errors.n_texts > ERRORS_SHOWN) {
        buf_printf(why, "; and %zu more", errors.n_texts - ERRORS_SHOWN);
    }
    config_errors_release(&errors);
    return status;
}

static enum status acquire(struct ad_hoc *f, struct feed_instance **ret_instance, struct buf *why)
{
    struct feed_params params;
    enum status status = feed_params_read(f->feed, STR_EMPTY, &params, why);
    if (status != STATUS_OK) {
        feed_params_release(&params);
        return status;
    }
    status = feed_instance_acquire(f->feed, &params, ret_instance);
    if (status != STATUS_OK) {
        struct str channel = str_head(str_of(f->options.channel), 100);
        buf_literal(why, "channel: ");
        json_append_string(why, channel);
        buf_literal(why, ", expected a channel of a namespace that is configured");
        return status;
    }
    const struct namespace_options *ns = feed_instance_namespace(*ret_instance);
    if (ns && ns->publication_data_format == DATA_JSON_OBJECT &&
        f->options.merge == FEED_MERGE_ARRAY) {
        feed_instance_release(*ret_instance);
        buf_literal(why, "merge: array, expected object or flat for a channel whose "
                         "publication_data_format is json_object");
        return STATUS_INVALID;
    }
    return STATUS_OK;
}

enum status ad_hoc_start(struct hub *hub, struct str request, feed_done_fn done, void *arg,
                         struct buf *why)
{
    struct ad_hoc *f = hub_allocate(sizeof(*f));
    struct feed_instance *in;
    f->hub = hub;
    f->done = done;
    f->arg = arg;
    f->end = (struct deferred){.fn = on_end, .arg = f};
    enum status status = read_options(f, request, why);
    if (status == STATUS_OK) {
        status = feed_create(hub, &f->options, true, &f->feed);
    }
    if (status == STATUS_OK) {
        status = acquire(f, &in, why);
    }
    if (status != STATUS_OK) {
        destroy(f);
        return status;
    }
    hub->n_operations++;
    refresh_wait(refresh_start(in, REFRESH_BY_CALLER), finished, f);
    feed_instance_release(in);
    return STATUS_OK;
}
