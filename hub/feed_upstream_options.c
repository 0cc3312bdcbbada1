/* SPDX-License-Identifier: MIT */
/* Unit feed_upstream_options is the table of an upstream in a feed, and all that can be said
 * against it and against what it needs of others, before anything is fetched. */
#include "hub/feed_upstream_options.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/json_span.h"
#include "hub/hub_internal.h"
#include "hub/shape.h"
#include "upstreams/fetch.h"
#include "upstreams/request_template.h"

#define NAME_BYTES "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"
#define HOUR_MS    INT64_C(3600000)
#define YEAR_MS    (365 * 24 * HOUR_MS)

/* --- single values --- */

static const char *text_at(const void *place)
{
    return *(char *const *)place;
}

static const char *accept_name(const void *place)
{
    const char *name = text_at(place);
    size_t n_good = strspn(name, NAME_BYTES);
    return n_good > 0 && name[n_good] == '\0' ? NULL : "a name of letters, digits, '-' and '_'";
}

/* The answer to a HEAD request has nothing to put into a document. */
static const char *accept_method(const void *place)
{
    return *(const int *)place != FETCH_HEAD ? NULL : "one of GET, POST, PUT, PATCH, DELETE";
}

static const char *accept_select(const void *place)
{
    return json_pointer_valid(str_of(text_at(place))) ? NULL
                                                      : "a JSON Pointer such as \"/items/0\"";
}

/* The text is valid until the next call. */
static const char *accept_pointers(const void *place)
{
    static char expected[256];
    const struct config_list *list = place;
    char *const *pointers = list->items;
    if (list->n_items > SHAPE_ITEMS_MAX) {
        return "a list of at most 100 pointers";
    }
    for (size_t i = 0; i < list->n_items; i++) {
        if (!shape_pointer_valid(str_of(pointers[i]))) {
            snprintf(expected, sizeof(expected),
                     "a list of pointers such as \"/items/*/id\", of at most 32 names: \"%.100s\" "
                     "is none",
                     pointers[i]);
            return expected;
        }
    }
    return NULL;
}

static const char *accept_rename(const void *place)
{
    const struct config_list *list = place;
    const struct config_pair *pairs = list->items;
    for (size_t i = 0; i < list->n_items; i++) {
        if (!*pairs[i].text) {
            return "an object of names and new names: a new one is empty";
        }
    }
    return list->n_items <= SHAPE_ITEMS_MAX ? NULL : "an object of at most 100 names";
}

static const char *accept_fanout_on_failure(const void *place)
{
    return *(const int *)place != FEED_ON_FAILURE_STALE
               ? NULL
               : "one of null, omit, fail: nothing is known from before";
}

/* --- the request --- */

enum { N_PARTS = 4 };
static const char *const part_keys[N_PARTS] = {"url", "query", "headers", "body"};

/* The request with only this part of it, so that each one is looked at, whatever is wrong with
 * others. What a body is depends on the headers. */
static struct request_template_source part_of(const struct feed_upstream_options *o, size_t part)
{
    struct request_template_source source = {.method = (enum fetch_method)o->method,
                                             .url = "http://host/"};
    switch (part) {
    case 0: source.url = o->url; break;
    case 1: source.query = &o->query; break;
    case 2: source.headers = &o->headers; break;
    default:
        source.headers = &o->headers;
        source.body = o->body;
        break;
    }
    return source;
}

static void check_template(struct config_reader *reader,
                           const struct request_template_source *source)
{
    struct request_template *template;
    const char *key;
    const char *expected;
    enum status status = request_template_create(source, &template, &key, &expected);
    if (status == STATUS_OK) {
        request_template_destroy(template);
    } else if (status == STATUS_INVALID) {
        config_complain(reader, key, NULL, expected);
    }
}

static void check_request(struct config_reader *reader, const struct feed_upstream_options *o)
{
    bool is_good = config_is_good(reader, "method");
    for (size_t i = 0; i < N_PARTS; i++) {
        struct request_template_source part = part_of(o, i);
        bool is_told = i < N_PARTS - 1 || config_is_good(reader, "method");
        if (is_told && config_is_good(reader, part_keys[i])) {
            check_template(reader, &part);
        }
        is_good = is_good && config_is_good(reader, part_keys[i]);
    }
    if (is_good) {
        check_template(reader,
                       &(struct request_template_source){.method = (enum fetch_method)o->method,
                                                         .url = o->url,
                                                         .query = &o->query,
                                                         .headers = &o->headers,
                                                         .body = o->body});
    }
}

static void check_upstream(struct config_reader *reader, void *object)
{
    const struct feed_upstream_options *o = object;
    if (*o->body && o->method == FETCH_GET && config_is_good(reader, "method")) {
        config_complain(reader, "body", NULL, "left out: a GET request has none");
    }
    check_request(reader, o);
}

/* The keys that callers may not use have texts all the same. They are not released. */
static void check_fanout_upstream(struct config_reader *reader, void *object)
{
    static char none[1];
    struct feed_upstream_options *o = object;
    o->how.transport.tls.server_ca_pem_file = none;
    o->how.transport.tls.cert_pem_file = none;
    o->how.transport.tls.key_pem_file = none;
    o->how.transport.proxy = none;
    check_upstream(reader, o);
}

/* --- one against another --- */

struct feed_check {
    struct config_reader *reader;
    const struct feed_upstream_options *all;
    size_t n;
    const struct config_list *params;
};

static const char *const *needs_of(const struct feed_upstream_options *o)
{
    return (const char *const *)o->needs.items;
}

/* n: there is none. */
static size_t find_upstream(const struct feed_check *c, const char *name)
{
    size_t i = 0;
    while (i < c->n && strcmp(c->all[i].name, name) != 0) {
        i++;
    }
    return i;
}

static void check_name(const struct feed_check *c, size_t index)
{
    if (find_upstream(c, c->all[index].name) < index) {
        config_complain_item(c->reader, "upstreams", index, "name", NULL,
                             "a name that no other upstream of the feed has");
    }
}

static void check_needs(const struct feed_check *c, size_t index)
{
    const struct feed_upstream_options *o = &c->all[index];
    for (size_t i = 0; i < o->needs.n_items; i++) {
        size_t other = find_upstream(c, needs_of(o)[i]);
        bool is_repeated = false;
        char path[80];
        snprintf(path, sizeof(path), "upstreams[%zu].needs[%zu]", index, i);
        for (size_t k = 0; k < i; k++) {
            is_repeated |= strcmp(needs_of(o)[i], needs_of(o)[k]) == 0;
        }
        if (other == c->n || other == index) {
            config_complain(c->reader, path, NULL, "the name of another upstream of the feed");
        } else if (is_repeated) {
            config_complain(c->reader, path, NULL, "a name that the list has once");
        }
    }
}

static bool has_param(const struct feed_check *c, struct str name)
{
    const struct config_pair *pairs = c->params ? c->params->items : NULL;
    for (size_t i = 0; pairs && i < c->params->n_items; i++) {
        if (str_eq(name, str_of(pairs[i].name))) {
            return true;
        }
    }
    return false;
}

/* "user.id" of an upstream "user" that is in needs. */
static bool is_needed_value(const struct feed_upstream_options *o, struct str name)
{
    ptrdiff_t dot = str_find(name, '.');
    struct str upstream = str_head(name, dot < 0 ? 0 : (size_t)dot);
    for (size_t i = 0; i < o->needs.n_items; i++) {
        if (str_eq(upstream, str_of(needs_of(o)[i]))) {
            return true;
        }
    }
    return false;
}

static void complain_of_name(const struct feed_check *c, size_t index, size_t part, struct str name)
{
    static const char *const nouns[N_PARTS] = {"a URL", "an object", "an object", "a text"};
    char expected[256];
    snprintf(expected, sizeof(expected),
             "%s whose {names} %s values of upstreams under needs, such as {user.id}: {%.*s} is %s",
             nouns[part], c->params ? "stand under params, or are" : "are",
             name.len < 60 ? (int)name.len : 60, name.ptr, c->params ? "neither" : "none");
    config_complain_item(c->reader, "upstreams", index, part_keys[part], NULL, expected);
}

/* Passes over the first n_before names; says how many there are. */
static size_t check_part_names(const struct feed_check *c, size_t index, size_t part,
                               size_t n_before)
{
    const struct feed_upstream_options *o = &c->all[index];
    struct request_template_source source = part_of(o, part);
    struct request_template *template;
    const char *key;
    const char *expected;
    if (request_template_create(&source, &template, &key, &expected) != STATUS_OK) {
        return 0; /* has been said */
    }
    size_t n = request_template_n_names(template);
    for (size_t i = n_before; i < n; i++) {
        struct str name = request_template_name(template, i);
        if (!has_param(c, name) && !is_needed_value(o, name)) {
            complain_of_name(c, index, part, name);
        }
    }
    request_template_destroy(template);
    return n;
}

static void check_names_used(const struct feed_check *c, size_t index)
{
    char needs[64];
    snprintf(needs, sizeof(needs), "upstreams[%zu].needs", index);
    bool is_known =
        config_is_good(c->reader, needs) && (!c->params || config_is_good(c->reader, "params"));
    size_t n = 0;
    for (size_t i = 0; i < N_PARTS && is_known; i++) {
        n = check_part_names(c, index, i, i == N_PARTS - 1 ? n : 0); /* a body with its headers */
    }
}

/* --- cycles --- */

/* Who needs whom. Done is who can be asked once all before it have answered. */
struct order {
    const struct feed_check *c;
    size_t *first; /* of its needs, among others; n + 1 of them */
    size_t *others;
    bool *is_done;
};

static bool is_waiting(const struct order *o, size_t upstream, size_t *ret_for)
{
    for (size_t i = o->first[upstream]; i < o->first[upstream + 1]; i++) {
        size_t other = o->others[i];
        if (other < o->c->n && !o->is_done[other]) {
            *ret_for = other;
            return true;
        }
    }
    return false;
}

/* n: all can be asked; otherwise one that cannot. */
static size_t find_stuck(struct order *o)
{
    size_t n_done_before;
    size_t n_done = 0;
    size_t stuck;
    size_t other;
    do {
        n_done_before = n_done;
        stuck = o->c->n;
        for (size_t i = 0; i < o->c->n; i++) {
            if (!o->is_done[i] && !is_waiting(o, i, &other)) {
                o->is_done[i] = true;
                n_done++;
            } else if (!o->is_done[i]) {
                stuck = i;
            }
        }
    } while (n_done > n_done_before);
    return stuck;
}

/* The first upstream of a cycle. After as many steps as there are upstreams one is on the cycle. */
static size_t find_cycle(const struct order *o, size_t stuck)
{
    for (size_t i = 0; i < o->c->n; i++) {
        (void)is_waiting(o, stuck, &stuck);
    }
    size_t first = stuck;
    size_t at = stuck;
    do {
        (void)is_waiting(o, at, &at);
        first = at < first ? at : first;
    } while (at != stuck);
    return first;
}

static void complain_of_cycle(const struct order *o, size_t first)
{
    struct buf expected;
    char path[64];
    size_t at = first;
    buf_init(&expected, 1000);
    buf_printf(&expected, "no cycle: %s", o->c->all[first].name);
    do {
        (void)is_waiting(o, at, &at);
        buf_printf(&expected, " needs %s", o->c->all[at].name);
    } while (at != first);
    buf_append_char(&expected, '\0');
    snprintf(path, sizeof(path), "upstreams[%zu].needs", first);
    config_complain_need(o->c->reader, path,
                         buf_failed(&expected) ? "no cycle of upstreams" : expected.ptr);
    buf_release(&expected);
}

static void check_cycles(const struct feed_check *c)
{
    size_t n_needs = 0;
    for (size_t i = 0; i < c->n; i++) {
        n_needs += c->all[i].needs.n_items;
    }
    struct order o = {.c = c,
                      .first = hub_allocate((c->n + 1) * sizeof(size_t)),
                      .others = hub_allocate((n_needs + 1) * sizeof(size_t)),
                      .is_done = hub_allocate(c->n + 1)};
    size_t n = 0;
    for (size_t i = 0; i < c->n; i++) {
        o.first[i] = n;
        for (size_t k = 0; k < c->all[i].needs.n_items; k++) {
            o.others[n++] = find_upstream(c, needs_of(&c->all[i])[k]);
        }
    }
    o.first[c->n] = n;
    size_t stuck = find_stuck(&o);
    if (stuck < c->n) {
        complain_of_cycle(&o, find_cycle(&o, stuck));
    }
    free(o.first);
    free(o.others);
    free(o.is_done);
}

void feed_upstreams_check(struct config_reader *reader, const struct config_list *upstreams,
                          const struct config_list *params)
{
    const struct feed_check c = {reader, upstreams->items, upstreams->n_items, params};
    for (size_t i = 0; i < c.n; i++) {
        check_name(&c, i);
        check_needs(&c, i);
        check_names_used(&c, i);
    }
    check_cycles(&c);
}

/* --- the tables --- */

/* As enum fetch_method. */
static const char *const methods[] = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", NULL};
static const char *const on_failures[] = {"stale", "null", "omit", "fail", NULL};

#define FIELD(key_, type_, member, ...)                                                            \
    {                                                                                              \
        .key = key_, .type = type_, .offset = offsetof(struct feed_upstream_options, member),      \
        __VA_ARGS__                                                                                \
    }

#define SECTION(key_, member, shape_, doc_)                                                        \
    FIELD(key_, CONFIG_OBJECT, member, .shape = &(shape_), .doc = doc_)

/* What callers of POST /api/fanout may use, too. */
#define COMMON_FIELDS                                                                              \
    FIELD("name", CONFIG_STRING, name, .accept = accept_name,                                      \
          .expected = "the name of the upstream",                                                  \
          .doc = "The member of the snapshot that its value becomes."),                            \
        FIELD("url", CONFIG_STRING, url, .expected = "an http or https URL",                       \
              .doc = "What is fetched; {param} in path or query is replaced, percent-encoded."),   \
        FIELD("method", CONFIG_CHOICE, method, .fallback = "GET", .choices = methods,              \
              .accept = accept_method, .expected = "one of GET, POST, PUT, PATCH, DELETE",         \
              .doc = "How it is asked."),                                                          \
        FIELD("query", CONFIG_PAIRS, query, .secret = true,                                        \
              .doc = "Parameters that are appended to the URL; {param} is replaced."),             \
        FIELD("headers", CONFIG_PAIRS, headers, .secret = true,                                    \
              .doc = "Headers of the request; {param} in a value is replaced."),                   \
        FIELD("body", CONFIG_STRING, body, .fallback = "", .secret = true,                         \
              .doc = "Body of the request; {param} is replaced, as the Content-Type asks."),       \
        FIELD("timeout", CONFIG_DURATION, how.timeout_ms, .fallback = "0s", .max = HOUR_MS,        \
              .doc = "For this upstream's answer; 0: as long as the feed's."),                     \
        FIELD("connect_timeout", CONFIG_DURATION, how.connect_timeout_ms, .fallback = "0s",        \
              .max = HOUR_MS, .doc = "For the name, the connection and TLS; 0: only timeout."),    \
        FIELD("max_redirects", CONFIG_INT, how.max_redirects, .fallback = "5", .min = 0,           \
              .max = 20, .doc = "Redirects that are followed."),                                   \
        FIELD("needs", CONFIG_STRINGS, needs,                                                      \
              .doc = "Upstreams of the feed whose answers come first: {user.id} in url, query, "   \
                     "headers or body is replaced by the value in the answer of user."),           \
        FIELD("select", CONFIG_STRING, select, .accept = accept_select, .fallback = "",            \
              .doc = "JSON Pointer to the part of the answer that is used."),                      \
        FIELD("allow", CONFIG_STRINGS, allow, .accept = accept_pointers,                           \
              .doc = "JSON Pointers, with * for every name or index: only these are kept."),       \
        FIELD("deny", CONFIG_STRINGS, deny, .accept = accept_pointers,                             \
              .doc = "The same: these are left out."),                                             \
        FIELD("rename", CONFIG_PAIRS, rename, .accept = accept_rename,                             \
              .doc = "New names of members, at the top level."),                                   \
        FIELD("group", CONFIG_STRING, group, .fallback = "", .min = 1, .max = 256,                 \
              .doc = "The value becomes an object with this one member."),                         \
        FIELD("as", CONFIG_STRING, as, .fallback = "", .min = 1, .max = 256,                       \
              .doc = "The member of the snapshot, instead of name.")

static const struct config_field fields[] = {
    COMMON_FIELDS,
    FIELD("on_failure", CONFIG_CHOICE, on_failure, .fallback = "stale", .choices = on_failures,
          .doc = "What stands for it when it has failed: its last good value, null, nothing; fail: "
                 "the refresh fails."),
    FIELD("stale_ttl", CONFIG_DURATION, stale_ttl_ms, .fallback = "0s", .max = YEAR_MS,
          .doc = "How old a last good value may be; 0: any age."),
    FIELD("conditional", CONFIG_BOOL, conditional, .fallback = "true",
          .doc = "It is asked whether its answer has changed, where it has said how."),
    FIELD("max_concurrent", CONFIG_INT, how.max_concurrent, .fallback = "0", .max = 10000,
          .doc = "Requests at one time; 0: no limit of its own."),
    FIELD("max_waiting", CONFIG_INT, how.max_waiting, .fallback = "1000", .min = 1, .max = 1000000,
          .doc = "Calls that wait for that or for rate_limit."),
    SECTION("rate_limit", how.rate_limit, rate_limit_options_shape, "Requests in a time."),
    SECTION("retry", how.retry, retry_options_shape, "Further attempts after a failure."),
    SECTION("breaker", how.breaker, breaker_options_shape,
            "It is left alone after too many failures."),
    SECTION("hedge", how.hedge, hedge_options_shape, "A second request where the first is slow."),
    SECTION("tls", how.transport.tls, transport_tls_options_shape, "Authorities, certificate."),
    FIELD("proxy", CONFIG_STRING, how.transport.proxy, .fallback = "", .secret = true,
          .accept = transport_accept_proxy,
          .doc = "The URL of an HTTP proxy that requests go through; \"\": none."),
    FIELD("http_version", CONFIG_CHOICE, how.transport.http_version, .fallback = "auto",
          .choices = http_version_names,
          .doc = "auto: HTTP/2 where a TLS server offers it; 2: also without TLS."),
};
const struct config_shape feed_upstream_shape = {
    .size = sizeof(struct feed_upstream_options),
    .fields = fields,
    .n_fields = sizeof(fields) / sizeof(fields[0]),
    .check = check_upstream,
};

static const struct config_field fanout_fields[] = {
    COMMON_FIELDS,
    FIELD("on_failure", CONFIG_CHOICE, on_failure, .fallback = "null", .choices = on_failures,
          .accept = accept_fanout_on_failure, .expected = "one of null, omit, fail",
          .doc = "What stands for it when it has failed; fail: the request fails."),
};
const struct config_shape feed_fanout_upstream_shape = {
    .size = sizeof(struct feed_upstream_options),
    .fields = fanout_fields,
    .n_fields = sizeof(fanout_fields) / sizeof(fanout_fields[0]),
    .check = check_fanout_upstream,
};
