/* SPDX-License-Identifier: MIT */
/* Unit feed_params checks the values of parameters against their patterns, wherever they come from.
 */
#include "hub/feed_params.h"

#include <stdlib.h>

#include "base/json_span.h"
#include "hub/hub_internal.h"

#define CHANNEL_MAX_BYTES 4096
#define MATCH_TRIES_MAX   256

static void init(const struct feed *feed, struct feed_params *p)
{
    size_t n = feed_n_params(feed);
    *p = (struct feed_params){.values = hub_allocate((n + 1) * sizeof(struct str))};
    buf_init(&p->text, n * (FEED_PARAM_MAX_BYTES + 2) + 1);
    buf_init(&p->json, n * (FEED_PARAM_MAX_BYTES * 6 + CHANNEL_MAX_BYTES) + 8);
    buf_init(&p->channel, CHANNEL_MAX_BYTES);
}

void feed_params_release(struct feed_params *p)
{
    free(p->values);
    p->values = NULL;
    buf_release(&p->text);
    buf_release(&p->json);
    buf_release(&p->channel);
}

/* All of a value must match: the leftmost longest match is compared with the whole, which no
 * alternative or bracket in the pattern can get around. */
static bool matches_whole(const regex_t *pattern, const char *text, size_t len)
{
    regmatch_t match;
    return len <= FEED_PARAM_MAX_BYTES && !memchr(text, 0, len) &&
           regexec(pattern, text, 1, &match, 0) == 0 && match.rm_so == 0 &&
           (size_t)match.rm_eo == len;
}

static enum status write_texts(const struct feed *feed, struct feed_params *p)
{
    buf_append_char(&p->json, '{');
    for (size_t i = 0; i < feed_n_params(feed); i++) {
        buf_append(&p->json, i > 0 ? STR(",") : STR_EMPTY);
        json_append_string(&p->json, str_of(feed_param(feed, i)->name));
        buf_append_char(&p->json, ':');
        json_append_string(&p->json, p->values[i]);
    }
    buf_append_char(&p->json, '}');
    for (size_t i = 0; i < feed->n_channel_pieces; i++) {
        const struct feed_channel_piece *piece = &feed->channel[i];
        buf_append(&p->channel, piece->is_param ? p->values[piece->param] : piece->text);
    }
    return buf_failed(&p->json) || buf_failed(&p->channel) ? STATUS_INVALID : STATUS_OK;
}

/* --- from JSON --- */

/* Decodes the value to the end of the text, with a NUL behind it for regexec. */
static enum status read_value(const struct feed *feed, struct feed_params *p, size_t index,
                              struct str value, struct buf *why)
{
    const struct config_pair *param = feed_param(feed, index);
    if (value.len == 0) {
        buf_printf(why, "params.%s is missing, expected text that matches %s", param->name,
                   param->text);
        return STATUS_INVALID;
    }
    size_t start = p->text.len;
    enum status status = json_decode_string(value, &p->text);
    size_t len = p->text.len - start;
    buf_append_char(&p->text, '\0');
    if (status != STATUS_OK || buf_failed(&p->text) ||
        !matches_whole(&feed->patterns[index], p->text.ptr + start, len)) {
        buf_printf(why, "params.%s: %.*s does not match %s", param->name,
                   (int)(value.len < 100 ? value.len : 100), value.ptr, param->text);
        return STATUS_INVALID;
    }
    p->values[index] = (struct str){p->text.ptr + start, len};
    return STATUS_OK;
}

/* The key as it stands in JSON, perhaps with escapes. */
static bool is_param_key(const struct feed *feed, struct str raw_key)
{
    for (size_t i = 0; i < feed_n_params(feed); i++) {
        if (json_key_is(raw_key, str_of(feed_param(feed, i)->name))) {
            return true;
        }
    }
    return false;
}

static enum status refuse_unknown(const struct feed *feed, struct str params, struct buf *why)
{
    struct json_walk walk = json_walk(params);
    struct str key;
    struct str item;
    while (json_next_member(&walk, &key, &item)) {
        if (!is_param_key(feed, key)) {
            buf_printf(why, "params.%.*s is not a parameter of the feed %s",
                       (int)(key.len < 100 ? key.len : 100), key.ptr, feed->options->name);
            return STATUS_INVALID;
        }
    }
    return STATUS_OK;
}

static enum status read_values(const struct feed *feed, struct str params, struct feed_params *p,
                               struct buf *why)
{
    if (params.len > 0 && json_kind(params) != JSON_KIND_OBJECT) {
        buf_literal(why, "params is not an object of strings");
        return STATUS_INVALID;
    }
    size_t n = feed_n_params(feed);
    struct json_field *fields = hub_allocate((n + 1) * sizeof(*fields));
    for (size_t i = 0; i < n; i++) {
        fields[i].name = str_of(feed_param(feed, i)->name);
    }
    enum status status = STATUS_OK;
    if (params.len > 0 && json_read_object(params, fields, n, NULL) != STATUS_OK) {
        buf_literal(why, "params names a parameter twice");
        status = STATUS_INVALID;
    }
    for (size_t i = 0; status == STATUS_OK && i < n; i++) {
        status = read_value(feed, p, i, fields[i].value, why);
    }
    free(fields);
    return status == STATUS_OK ? refuse_unknown(feed, params, why) : status;
}

enum status feed_params_read(const struct feed *feed, struct str params,
                             struct feed_params *ret_params, struct buf *why)
{
    init(feed, ret_params);
    /* Never moves: values point into it. */
    enum status status = buf_reserve(&ret_params->text, ret_params->text.max);
    if (status == STATUS_OK) {
        status = read_values(feed, params, ret_params, why);
    }
    return status == STATUS_OK ? write_texts(feed, ret_params) : status;
}

/* --- from a channel --- */

struct match {
    const struct feed *feed;
    struct feed_params *params;
    unsigned n_tries;
};

static bool match_from(struct match *m, size_t piece, struct str rest);

/* A parameter that stands twice has one value. */
static bool take_value(struct match *m, size_t param, struct str value)
{
    struct feed_params *p = m->params;
    if (p->values[param].ptr) {
        return str_eq(p->values[param], value);
    }
    char *place = p->text.ptr + param * (FEED_PARAM_MAX_BYTES + 2);
    if (value.len > FEED_PARAM_MAX_BYTES) {
        return false;
    }
    memcpy(place, value.ptr ? value.ptr : "", value.len);
    place[value.len] = '\0';
    if (!matches_whole(&m->feed->patterns[param], place, value.len)) {
        return false;
    }
    p->values[param] = (struct str){place, value.len};
    return true;
}

/* Every place where the text behind the parameter stands may be its end. */
static bool match_param(struct match *m, size_t piece, struct str rest)
{
    size_t param = m->feed->channel[piece].param;
    bool was_known = m->params->values[param].ptr != NULL;
    bool is_last = piece + 1 == m->feed->n_channel_pieces;
    struct str text = is_last ? STR_EMPTY : m->feed->channel[piece + 1].text;
    for (size_t end = is_last ? rest.len : 0; end <= rest.len; end++) {
        if (!str_starts_with(str_tail(rest, end), text) || ++m->n_tries > MATCH_TRIES_MAX) {
            continue;
        }
        if (take_value(m, param, str_head(rest, end))) {
            if (match_from(m, piece + 1, str_tail(rest, end))) {
                return true;
            }
            m->params->values[param] = was_known ? m->params->values[param] : STR_EMPTY;
        }
    }
    return false;
}

static bool match_from(struct match *m, size_t piece, struct str rest)
{
    if (piece == m->feed->n_channel_pieces) {
        return rest.len == 0;
    }
    const struct feed_channel_piece *p = &m->feed->channel[piece];
    if (p->is_param) {
        return match_param(m, piece, rest);
    }
    return str_starts_with(rest, p->text) && match_from(m, piece + 1, str_tail(rest, p->text.len));
}

bool feed_params_may_match(const struct feed *feed, struct str channel)
{
    const struct feed_channel_piece *first = feed->channel;
    return feed->is_told_by_channel && (first->is_param || str_starts_with(channel, first->text));
}

bool feed_params_match(const struct feed *feed, struct str channel, struct feed_params *ret_params)
{
    init(feed, ret_params);
    struct match m = {.feed = feed, .params = ret_params};
    return feed->is_told_by_channel &&
           buf_reserve(&ret_params->text, ret_params->text.max) == STATUS_OK &&
           match_from(&m, 0, channel) && write_texts(feed, ret_params) == STATUS_OK;
}
