/* SPDX-License-Identifier: MIT */
/* Unit feed turns a feed's options into what a run needs, and checks the parameters that callers
 * bring. */
#include "hub/feed.h"

#include <regex.h>
#include <stdlib.h>

#include "base/json_span.h"
#include "hub/channel_template.h"
#include "hub/hub_internal.h"

#define CHANNEL_MAX_BYTES 4096

struct feed_upstream {
    struct url_template *url;
    size_t *param_of_name; /* for each name in the URL: the index of the parameter */
};

struct feed {
    const struct feed_options *options;
    struct feed_stats stats;
    regex_t *patterns; /* one per parameter */
    size_t n_patterns;
    struct feed_upstream *upstreams;
};

struct feed_instance {
    struct feed *feed;
    struct str *values; /* one per parameter, in one block with the texts */
    struct buf text;    /* of the values */
    struct buf params;
    struct buf channel;
};

static const struct config_pair *param_options(const struct feed *f, size_t index)
{
    return (const struct config_pair *)f->options->params.items + index;
}

static const struct feed_upstream_options *upstream_options(const struct feed *f, size_t index)
{
    return (const struct feed_upstream_options *)f->options->upstreams.items + index;
}

static bool find_param(const struct feed *f, struct str name, size_t *ret_index)
{
    for (size_t i = 0; i < f->options->params.n_items; i++) {
        if (str_eq(name, str_of(param_options(f, i)->name))) {
            *ret_index = i;
            return true;
        }
    }
    return false;
}

/* --- making --- */

/* All of a value must match: the leftmost longest match is compared with the whole, which no
 * alternative or bracket in the pattern can get around. */
static bool matches_whole(const regex_t *pattern, const char *text, size_t len)
{
    regmatch_t match;
    return regexec(pattern, text, 1, &match, 0) == 0 && match.rm_so == 0 &&
           (size_t)match.rm_eo == len;
}

static bool make_upstream(const struct feed *f, size_t index, struct feed_upstream *upstream)
{
    const char *expected;
    if (url_template_create(str_of(upstream_options(f, index)->url), &upstream->url, &expected) !=
        STATUS_OK) {
        return false;
    }
    size_t n = url_template_n_names(upstream->url);
    upstream->param_of_name = hub_allocate((n + 1) * sizeof(size_t));
    for (size_t i = 0; i < n; i++) {
        if (!find_param(f, url_template_name(upstream->url, i), &upstream->param_of_name[i])) {
            return false;
        }
    }
    return true;
}

enum status feed_create(const struct feed_options *options, struct feed **ret_feed)
{
    struct feed *f = hub_allocate(sizeof(*f));
    f->options = options;
    f->patterns = hub_allocate((options->params.n_items + 1) * sizeof(regex_t));
    f->upstreams = hub_allocate((options->upstreams.n_items + 1) * sizeof(struct feed_upstream));
    bool is_good = true;
    for (size_t i = 0; is_good && i < options->params.n_items; i++) {
        is_good = regcomp(&f->patterns[i], param_options(f, i)->text, REG_EXTENDED) == 0;
        f->n_patterns += is_good;
    }
    for (size_t i = 0; is_good && i < options->upstreams.n_items; i++) {
        is_good = make_upstream(f, i, &f->upstreams[i]);
    }
    if (!is_good) {
        feed_destroy(f);
        return STATUS_INVALID;
    }
    *ret_feed = f;
    return STATUS_OK;
}

void feed_destroy(struct feed *f)
{
    if (!f) {
        return;
    }
    for (size_t i = 0; i < f->n_patterns; i++) {
        regfree(&f->patterns[i]);
    }
    for (size_t i = 0; i < f->options->upstreams.n_items; i++) {
        url_template_destroy(f->upstreams[i].url);
        free(f->upstreams[i].param_of_name);
    }
    free(f->patterns);
    free(f->upstreams);
    free(f);
}

const struct feed_options *feed_options(const struct feed *f)
{
    return f->options;
}

struct feed_stats *feed_stats(struct feed *f)
{
    return &f->stats;
}

/* --- binding --- */

/* Decodes the value to the end of the instance's text, with a NUL behind it for regexec. */
static enum status bind_param(struct feed_instance *in, size_t index, struct str value,
                              struct buf *why)
{
    const struct config_pair *param = param_options(in->feed, index);
    if (value.len == 0) {
        buf_printf(why, "params.%s is missing, expected text that matches %s", param->name,
                   param->text);
        return STATUS_INVALID;
    }
    size_t start = in->text.len;
    enum status status = json_decode_string(value, &in->text);
    size_t len = in->text.len - start;
    buf_append_char(&in->text, '\0');
    bool fits = status == STATUS_OK && !buf_failed(&in->text) && len <= FEED_PARAM_MAX_BYTES &&
                !memchr(in->text.ptr + start, 0, len) &&
                matches_whole(&in->feed->patterns[index], in->text.ptr + start, len);
    if (!fits) {
        buf_printf(why, "params.%s: %.*s does not match %s", param->name,
                   (int)(value.len < 100 ? value.len : 100), value.ptr, param->text);
        return STATUS_INVALID;
    }
    in->values[index] = (struct str){in->text.ptr + start, len};
    return STATUS_OK;
}

/* The key as it stands in JSON, perhaps with escapes. */
static bool is_param_key(const struct feed *f, struct str raw_key)
{
    for (size_t i = 0; i < f->options->params.n_items; i++) {
        if (json_key_is(raw_key, str_of(param_options(f, i)->name))) {
            return true;
        }
    }
    return false;
}

static enum status refuse_unknown_params(struct feed_instance *in, struct str params,
                                         struct buf *why)
{
    struct json_walk walk = json_walk(params);
    struct str key;
    struct str item;
    while (json_next_member(&walk, &key, &item)) {
        if (!is_param_key(in->feed, key)) {
            buf_printf(why, "params.%.*s is not a parameter of the feed %s",
                       (int)(key.len < 100 ? key.len : 100), key.ptr, in->feed->options->name);
            return STATUS_INVALID;
        }
    }
    return STATUS_OK;
}

static enum status bind_values(struct feed_instance *in, struct str params, struct buf *why)
{
    if (params.len > 0 && json_kind(params) != JSON_KIND_OBJECT) {
        buf_literal(why, "params is not an object of strings");
        return STATUS_INVALID;
    }
    size_t n = in->feed->options->params.n_items;
    struct json_field *fields = hub_allocate((n + 1) * sizeof(*fields));
    for (size_t i = 0; i < n; i++) {
        fields[i].name = str_of(param_options(in->feed, i)->name);
    }
    enum status status = STATUS_OK;
    if (params.len > 0 && json_read_object(params, fields, n, NULL) != STATUS_OK) {
        buf_literal(why, "params names a parameter twice");
        status = STATUS_INVALID;
    }
    for (size_t i = 0; status == STATUS_OK && i < n; i++) {
        status = bind_param(in, i, fields[i].value, why);
    }
    free(fields);
    return status == STATUS_OK ? refuse_unknown_params(in, params, why) : status;
}

static void write_params(struct feed_instance *in)
{
    buf_append_char(&in->params, '{');
    for (size_t i = 0; i < in->feed->options->params.n_items; i++) {
        buf_append(&in->params, i > 0 ? STR(",") : STR_EMPTY);
        json_append_string(&in->params, str_of(param_options(in->feed, i)->name));
        buf_append_char(&in->params, ':');
        json_append_string(&in->params, in->values[i]);
    }
    buf_append_char(&in->params, '}');
}

static void write_channel(struct feed_instance *in)
{
    struct str rest = str_of(in->feed->options->channel);
    struct str piece;
    bool is_name;
    size_t index;
    while (channel_template_next(&rest, &piece, &is_name)) {
        if (!is_name) {
            buf_append(&in->channel, piece);
        } else if (find_param(in->feed, piece, &index)) {
            buf_append(&in->channel, in->values[index]);
        }
    }
}

enum status feed_bind(struct feed *feed, struct str params, struct feed_instance **ret_instance,
                      struct buf *why)
{
    struct feed_instance *in = hub_allocate(sizeof(*in));
    size_t n = feed->options->params.n_items;
    in->feed = feed;
    in->values = hub_allocate((n + 1) * sizeof(struct str));
    buf_init(&in->text, n * (FEED_PARAM_MAX_BYTES + 2) + 1);
    buf_init(&in->params, n * (FEED_PARAM_MAX_BYTES * 6 + CHANNEL_MAX_BYTES) + 8);
    buf_init(&in->channel, CHANNEL_MAX_BYTES);
    enum status status = buf_reserve(&in->text, n * (FEED_PARAM_MAX_BYTES + 2)); /* never moves */
    if (status == STATUS_OK) {
        status = bind_values(in, params, why);
    }
    if (status == STATUS_OK) {
        write_params(in);
        write_channel(in);
        status = buf_failed(&in->params) || buf_failed(&in->channel) ? STATUS_INVALID : STATUS_OK;
    }
    if (status != STATUS_OK) {
        feed_instance_destroy(in);
        return status;
    }
    *ret_instance = in;
    return STATUS_OK;
}

void feed_instance_destroy(struct feed_instance *in)
{
    if (in) {
        free(in->values);
        buf_release(&in->text);
        buf_release(&in->params);
        buf_release(&in->channel);
        free(in);
    }
}

struct feed *feed_instance_feed(const struct feed_instance *in)
{
    return in->feed;
}

struct str feed_instance_params(const struct feed_instance *in)
{
    return buf_str(&in->params);
}

struct str feed_instance_channel(const struct feed_instance *in)
{
    return buf_str(&in->channel);
}

enum status feed_instance_url(const struct feed_instance *in, size_t index, struct buf *out)
{
    const struct feed_upstream *upstream = &in->feed->upstreams[index];
    size_t n = url_template_n_names(upstream->url);
    struct str *values = hub_allocate((n + 1) * sizeof(*values));
    for (size_t i = 0; i < n; i++) {
        values[i] = in->values[upstream->param_of_name[i]];
    }
    enum status status = url_template_expand(upstream->url, values, out);
    free(values);
    return status;
}
