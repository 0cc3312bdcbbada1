/* SPDX-License-Identifier: MIT */
/* Unit feed turns a feed's options into what a run needs. What it makes does not change any more;
 * what changes (limits, breaker, latencies) belongs to the upstreams. */
#include "hub/feed.h"

#include <stdlib.h>

#include "base/config_diff.h"
#include "hub/channel_template.h"
#include "hub/feed_runs.h"
#include "hub/hub_internal.h"
#include "upstreams/tls_files.h"

struct str feed_name(const struct feed *feed)
{
    return str_of(feed->options->name);
}

size_t feed_n_params(const struct feed *feed)
{
    return feed->options->params.n_items;
}

const struct config_pair *feed_param(const struct feed *feed, size_t index)
{
    return (const struct config_pair *)feed->options->params.items + index;
}

bool feed_find_param(const struct feed *feed, struct str name, size_t *ret_index)
{
    for (size_t i = 0; i < feed_n_params(feed); i++) {
        if (str_eq(name, str_of(feed_param(feed, i)->name))) {
            *ret_index = i;
            return true;
        }
    }
    return false;
}

int64_t feed_max_age_ms(const struct feed *feed)
{
    const struct feed_options *options = feed->options;
    return options->max_age_ms > 0 ? options->max_age_ms : options->refresh.every_ms;
}

/* --- upstreams --- */

static const struct feed_upstream_options *upstream_options(const struct feed *f, size_t index)
{
    return (const struct feed_upstream_options *)f->options->upstreams.items + index;
}

static bool find_upstream(const struct feed *f, struct str name, size_t *ret_index)
{
    for (size_t i = 0; i < f->n_upstreams; i++) {
        if (str_eq(name, str_of(upstream_options(f, i)->name))) {
            *ret_index = i;
            return true;
        }
    }
    return false;
}

/* "city" is a parameter, "user.id" a value of an upstream. */
static bool find_source(const struct feed *f, struct str name, struct feed_source *ret_source)
{
    ptrdiff_t dot = str_find(name, '.');
    *ret_source = (struct feed_source){.is_param = dot < 0};
    if (dot < 0) {
        return feed_find_param(f, name, &ret_source->index);
    }
    ret_source->member = str_tail(name, (size_t)dot + 1);
    return find_upstream(f, str_head(name, (size_t)dot), &ret_source->index);
}

static bool make_request(const struct feed *f, struct feed_upstream *u)
{
    const struct request_template_source source = {.method = (enum fetch_method)u->options->method,
                                                   .url = u->options->url,
                                                   .query = &u->options->query,
                                                   .headers = &u->options->headers,
                                                   .body = u->options->body};
    const char *key;
    const char *expected;
    if (request_template_create(&source, &u->request, &key, &expected) != STATUS_OK) {
        return false;
    }
    size_t n = request_template_n_names(u->request);
    u->sources = hub_allocate((n + 1) * sizeof(*u->sources));
    for (size_t i = 0; i < n; i++) {
        if (!find_source(f, request_template_name(u->request, i), &u->sources[i])) {
            return false;
        }
    }
    return true;
}

static bool make_needs(struct feed *f, struct feed_upstream *u)
{
    char *const *names = u->options->needs.items;
    u->needs = hub_allocate((u->options->needs.n_items + 1) * sizeof(*u->needs));
    for (size_t i = 0; i < u->options->needs.n_items; i++) {
        if (!find_upstream(f, str_of(names[i]), &u->needs[i])) {
            return false;
        }
        u->n_needs++;
        f->has_needs = true;
    }
    return true;
}

static bool make_upstream(struct feed *f, size_t index)
{
    struct hub *hub = f->hub;
    struct feed_upstream *u = &f->upstreams[index];
    u->options = upstream_options(f, index);
    u->shape = shape_create(&(struct shape_options){.allow = &u->options->allow,
                                                    .deny = &u->options->deny,
                                                    .rename = &u->options->rename,
                                                    .group = u->options->group});
    u->upstream = upstream_create(&(struct upstream_setting){
        .loop = hub->loop,
        .deadlines = hub->upstream_deadlines,
        .pool = f->is_ad_hoc ? hub->guarded_pool : hub->fetch_pool,
        .name = u->options->name,
        .options = &u->options->how,
        .redirect_guard = hub->guard,
    });
    return u->upstream && make_request(f, u) && make_needs(f, u);
}

/* --- the channel --- */

static void make_channel(struct feed *f)
{
    struct str rest = str_of(f->options->channel);
    struct str text;
    bool is_name;
    size_t n_told = 0;
    f->channel = hub_allocate((rest.len + 1) * sizeof(*f->channel));
    if (f->is_ad_hoc) { /* a name, no template */
        f->channel[f->n_channel_pieces++] = (struct feed_channel_piece){.text = rest};
        return;
    }
    f->is_told_by_channel = true;
    while (channel_template_next(&rest, &text, &is_name)) {
        struct feed_channel_piece *piece = &f->channel[f->n_channel_pieces++];
        *piece = (struct feed_channel_piece){.text = text, .is_param = is_name};
        if (!is_name || !feed_find_param(f, text, &piece->param)) {
            continue;
        }
        bool is_first = true;
        for (struct feed_channel_piece *p = f->channel; p < piece; p++) {
            is_first = is_first && !(p->is_param && p->param == piece->param);
        }
        n_told += is_first;
        if (piece > f->channel && piece[-1].is_param) {
            f->is_told_by_channel = false;
        }
    }
    f->is_told_by_channel = f->is_told_by_channel && n_told == feed_n_params(f);
}

/* --- making --- */

static bool make_patterns(struct feed *f)
{
    f->patterns = hub_allocate((feed_n_params(f) + 1) * sizeof(regex_t));
    while (f->n_patterns < feed_n_params(f)) {
        if (regcomp(&f->patterns[f->n_patterns], feed_param(f, f->n_patterns)->text,
                    REG_EXTENDED) != 0) {
            return false;
        }
        f->n_patterns++;
    }
    return true;
}

enum status feed_create(struct hub *hub, const struct feed_options *options, bool is_ad_hoc,
                        struct feed **ret_feed)
{
    struct feed *f = hub_allocate(sizeof(*f));
    f->n_refs = 1;
    f->hub = hub;
    f->options = options;
    f->is_ad_hoc = is_ad_hoc;
    f->n_upstreams = options->upstreams.n_items;
    f->upstreams = hub_allocate((f->n_upstreams + 1) * sizeof(*f->upstreams));
    make_channel(f);
    bool is_good = make_patterns(f);
    for (size_t i = 0; is_good && i < f->n_upstreams; i++) {
        is_good = make_upstream(f, i);
    }
    if (is_good && !is_ad_hoc && options->runs_size > 0) {
        f->runs = feed_runs_create(f);
    }
    if (!is_good) {
        feed_unref(f);
        return STATUS_INVALID;
    }
    *ret_feed = f;
    return STATUS_OK;
}

static void destroy(struct feed *f)
{
    for (size_t i = 0; i < f->n_patterns; i++) {
        regfree(&f->patterns[i]);
    }
    for (size_t i = 0; i < f->n_upstreams; i++) {
        struct feed_upstream *u = &f->upstreams[i];
        upstream_destroy(u->upstream);
        request_template_destroy(u->request);
        shape_destroy(u->shape);
        free(u->sources);
        free(u->needs);
    }
    feed_runs_destroy(f->runs);
    free(f->patterns);
    free(f->upstreams);
    free(f->channel);
    lifetime_release(f->lifetime);
    free(f);
}

struct feed *feed_ref(struct feed *f)
{
    f->n_refs++;
    return f;
}

void feed_unref(struct feed *f)
{
    if (f && --f->n_refs == 0) {
        destroy(f);
    }
}

/* --- comparing --- */

static bool is_same_file(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

/* Files may have other contents under the same name. */
static bool has_same_files(const struct transport_tls_options *a,
                           const struct transport_tls_options *b)
{
    static const struct tls_files none;
    const struct tls_files *fa = a->files ? a->files : &none;
    const struct tls_files *fb = b->files ? b->files : &none;
    return is_same_file(fa->authorities, fb->authorities) &&
           is_same_file(fa->certificates, fb->certificates) && is_same_file(fa->key, fb->key);
}

bool feed_options_are_same(const struct feed_options *a, const struct feed_options *b)
{
    const struct feed_upstream_options *ua = a->upstreams.items;
    const struct feed_upstream_options *ub = b->upstreams.items;
    bool is_same = config_is_same(&feed_options_shape, a, b);
    for (size_t i = 0; is_same && i < a->upstreams.n_items; i++) {
        is_same = has_same_files(&ua[i].how.transport.tls, &ub[i].how.transport.tls);
    }
    return is_same;
}
