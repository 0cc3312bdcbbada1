/* SPDX-License-Identifier: MIT */
/* The two requests behind a sample. What they bring is gathered in the sample; when both are over
 * it goes to who asked. On the loop's thread. */
#include "tools/top_source.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "tools/top_page.h"
#include "upstreams/fetch.h"

#define URL_MAX_BYTES    8192
#define ANSWER_MAX_BYTES ((size_t)64 << 20)
#define N_REQUESTS       2

struct top_source {
    struct loop *loop;
    struct fetch_pool *pool;
    char *api_url;
    char *metrics_url;
    char *key_header;
    int64_t timeout_ms;
    const struct transport_options *transport;
    struct top_sample *sample; /* of those under way */
    size_t n_open;
    bool has_failed; /* the one that matters, and why[] says how */
    char why[TOP_WHY_BYTES];
    char figures_why[TOP_WHY_BYTES];
    struct deferred finish;
    top_sample_fn done;
    void *arg;
};

/* --- what comes back --- */

static void finish(void *arg)
{
    struct top_source *source = arg;
    struct top_sample *sample = source->sample;
    source->sample = NULL;
    if (sample && source->has_failed) {
        top_sample_release(sample);
        free(sample);
        sample = NULL;
    }
    source->done(source->arg, sample, source->why, source->figures_why);
}

static void end_request(struct top_source *source)
{
    if (--source->n_open == 0) {
        loop_defer(source->loop, &source->finish);
    }
}

/* Words of libcurl's, or of a server: only what a terminal may be sent. */
static void explain(char why[TOP_WHY_BYTES], const char *what, const char *words)
{
    struct buf text;
    buf_init(&text, TOP_WHY_BYTES);
    top_append_printable(&text, str_head(str_of(words), TOP_WHY_BYTES / 2));
    (void)snprintf(why, TOP_WHY_BYTES, "%s%.*s", what, STR_ARG(buf_str(&text)));
    buf_release(&text);
}

static void explain_status(struct top_source *source, int http_status)
{
    switch (http_status) {
    case 401:
        explain(source->why,
                source->key_header ? "wrong key: the hub does not take it"
                                   : "no key: the hub wants one (--key, or BELFRY_KEY)",
                "");
        return;
    case 404: explain(source->why, "no server API there: status 404 of ", source->api_url); return;
    case 503: explain(source->why, "the hub is going down", ""); return;
    default:
        (void)snprintf(source->why, sizeof(source->why),
                       "status %d, expected the answer of a hub's API", http_status);
    }
}

static void answered(void *arg, const struct fetch_result *result)
{
    struct top_source *source = arg;
    enum status status = STATUS_INVALID;
    if (result->outcome == FETCH_OK) {
        source->sample->time_us = clock_monotonic_us();
        status = top_sample_read_answer(source->sample, result->body);
    }
    source->has_failed = status != STATUS_OK;
    if (result->outcome == FETCH_HTTP_ERROR && result->head.http_status > 0) {
        explain_status(source, result->head.http_status);
    } else if (result->outcome != FETCH_OK) {
        explain(source->why, "not reached: ", result->error);
    } else if (status != STATUS_OK) {
        explain(source->why,
                status == STATUS_NO_MEMORY ? "not enough memory" : "that is no answer of a hub",
                "");
    }
    end_request(source);
}

static void figures_came(void *arg, const struct fetch_result *result)
{
    struct top_source *source = arg;
    if (result->outcome == FETCH_OK &&
        top_sample_read_figures(source->sample, result->body) == STATUS_OK) {
        source->figures_why[0] = '\0';
    } else if (result->outcome == FETCH_OK) {
        explain(source->figures_why, "no figures of a hub there: ", source->metrics_url);
    } else if (result->head.http_status > 0) {
        (void)snprintf(source->figures_why, TOP_WHY_BYTES, "status %d of %.200s",
                       result->head.http_status, source->metrics_url);
    } else {
        explain(source->figures_why, "", result->error);
    }
    end_request(source);
}

/* --- asking --- */

/* False: why[] says why. */
static bool start(struct top_source *source, const struct fetch_spec *spec, fetch_done_fn done,
                  char why[TOP_WHY_BYTES])
{
    struct fetch *fetch;
    enum status status = fetch_start(source->pool, spec, done, source, &fetch);
    if (status != STATUS_OK) {
        explain(why, "not asked: ", status_name(status));
        end_request(source);
    }
    return status == STATUS_OK;
}

void top_source_ask(struct top_source *source, top_sample_fn done, void *arg)
{
    struct str header = str_of(source->key_header);
    struct fetch_spec spec = {
        .url = source->api_url,
        .timeout_ms = source->timeout_ms,
        .max_bytes = ANSWER_MAX_BYTES,
        .method = FETCH_POST,
        .body = STR(TOP_SAMPLE_COMMANDS),
        .headers = &header,
        .n_headers = source->key_header ? 1 : 0,
        .transport = source->transport,
    };
    source->done = done;
    source->arg = arg;
    source->why[0] = '\0';
    source->figures_why[0] = '\0';
    source->n_open = N_REQUESTS;
    source->sample = malloc(sizeof(*source->sample));
    if (!source->sample) {
        source->has_failed = true;
        explain(source->why, "not enough memory", "");
        source->n_open = 0;
        loop_defer(source->loop, &source->finish);
        return;
    }
    top_sample_init(source->sample, clock_monotonic_us());
    source->has_failed = !start(source, &spec, answered, source->why);
    spec.url = source->metrics_url;
    spec.method = FETCH_GET;
    spec.body = STR_EMPTY;
    spec.n_headers = 0;
    (void)start(source, &spec, figures_came, source->figures_why);
}

bool top_source_is_asking(const struct top_source *source)
{
    return source->n_open > 0 || deferred_waiting(&source->finish);
}

/* --- life --- */

/* The base without its last slash, and a path. NULL: memory is short. */
static char *join(const char *base, const char *path)
{
    struct buf text;
    struct str head = str_of(base);
    buf_init(&text, URL_MAX_BYTES);
    while (head.len > 0 && head.ptr[head.len - 1] == '/') {
        head.len--;
    }
    buf_append(&text, head);
    buf_append(&text, path[0] == '/' ? STR_EMPTY : STR("/"));
    buf_append(&text, str_of(path));
    return buf_take(&text);
}

static enum status set_key(struct top_source *source, const char *key)
{
    struct buf text;
    if (!key) {
        return STATUS_OK;
    }
    buf_init(&text, URL_MAX_BYTES);
    buf_literal(&text, "X-API-Key: ");
    buf_append(&text, str_of(key));
    source->key_header = buf_take(&text);
    if (!source->key_header) {
        return STATUS_NO_MEMORY;
    }
    return fetch_header_valid(str_of(source->key_header)) ? STATUS_OK : STATUS_INVALID;
}

static enum status open_source(struct top_source *source, const struct top_source_options *options)
{
    const struct fetch_pool_options pool = {
        .loop = options->loop,
        .max_concurrent = N_REQUESTS,
        .max_waiting = N_REQUESTS,
        .user_agent = "Belfry/" BELFRY_VERSION " top",
    };
    source->api_url = join(options->url, "/api/batch");
    source->metrics_url = join(options->url, options->metrics);
    if (!source->api_url || !source->metrics_url) {
        return STATUS_NO_MEMORY;
    }
    enum status status = set_key(source, options->key);
    return status == STATUS_OK ? fetch_pool_create(&pool, &source->pool) : status;
}

enum status top_source_create(const struct top_source_options *options,
                              struct top_source **ret_source)
{
    struct top_source *source = calloc(1, sizeof(*source));
    if (!source) {
        return STATUS_NO_MEMORY;
    }
    source->loop = options->loop;
    source->timeout_ms = options->timeout_ms;
    source->transport = options->transport;
    source->finish = (struct deferred){.fn = finish, .arg = source};
    enum status status = open_source(source, options);
    if (status != STATUS_OK) {
        top_source_destroy(source);
        return status;
    }
    *ret_source = source;
    return STATUS_OK;
}

void top_source_destroy(struct top_source *source)
{
    if (!source) {
        return;
    }
    loop_undefer(source->loop, &source->finish);
    fetch_pool_destroy(source->pool); /* cancels what is under way */
    if (source->sample) {
        top_sample_release(source->sample);
        free(source->sample);
    }
    free(source->api_url);
    free(source->metrics_url);
    free(source->key_header);
    free(source);
}
