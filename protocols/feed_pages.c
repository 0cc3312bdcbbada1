/* SPDX-License-Identifier: MIT */
/* Unit feed_pages answers one request by one struct page, from the question who asks to the reply
 * or the beginning of a stream. Its owner is the request under way; on the loop's thread. */
#include "protocols/feed_pages.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/clock.h"
#include "protocols/api_reply.h"
#include "protocols/client_head.h"
#include "protocols/feed_query.h"
#include "protocols/tracing.h"

#define CHANNEL_MAX_BYTES ((size_t)1 << 20)
#define WHY_MAX_BYTES     2048
#define HEADERS_MAX_BYTES 4096

enum page_state {
    PAGE_ADMITTING, /* who asks? */
    PAGE_CHOOSING,  /* what is wanted? */
    PAGE_GETTING,   /* the last snapshot */
    PAGE_REFRESHING,
    PAGE_DONE, /* answered */
};

/* What a reply needs of a feed's options, which a reload may exchange meanwhile. */
struct page_feed {
    char *name;
    enum feed_access access;
    int64_t max_age_ms;
    int64_t stale_while_revalidate_ms;
};

struct page {
    const struct feed_pages *pages;
    struct hub *hub;
    struct http_request *request;
    enum page_state state;
    struct page_feed feed;
    struct feed_query query;
    struct buf channel;
    int64_t expires_at; /* a stream of events ends then */
    bool is_stream;
};

static void page_step(struct page *p);

/* --- what the request's headers say --- */

/* What stands before the next comma, which goes. */
static struct str next_item(struct str *rest)
{
    ptrdiff_t comma = str_find(*rest, ',');
    struct str item = comma < 0 ? *rest : str_head(*rest, (size_t)comma);
    *rest = comma < 0 ? STR_EMPTY : str_tail(*rest, (size_t)comma + 1);
    return str_trim(item);
}

/* "q=0", "q=0.0" ... among the parameters of a type. */
static bool is_unwanted(struct str parameters)
{
    ptrdiff_t at = str_find_text(parameters, STR("q="));
    struct str weight = at < 0 ? STR("1") : str_tail(parameters, (size_t)at + 2);
    if (weight.len == 0 || weight.ptr[0] != '0') {
        return false;
    }
    for (size_t i = 1; i < weight.len && weight.ptr[i] != ';'; i++) {
        if (weight.ptr[i] >= '1' && weight.ptr[i] <= '9') {
            return false;
        }
    }
    return true;
}

bool feed_pages_accepts_events(struct str accept)
{
    while (accept.len > 0) {
        struct str item = next_item(&accept);
        ptrdiff_t end = str_find(item, ';');
        struct str type = str_trim(end < 0 ? item : str_head(item, (size_t)end));
        struct str parameters = end < 0 ? STR_EMPTY : str_tail(item, (size_t)end);
        if (str_eq_nocase(type, STR("text/event-stream"))) {
            return !is_unwanted(parameters);
        }
    }
    return false;
}

bool feed_pages_has_etag(struct str if_none_match, struct str etag)
{
    while (if_none_match.len > 0) {
        struct str item = next_item(&if_none_match);
        if (str_starts_with(item, STR("W/"))) {
            item = str_tail(item, 2);
        }
        if (str_eq(item, etag) || str_eq(item, STR("*"))) {
            return true;
        }
    }
    return false;
}

/* --- answers --- */

static int http_status_of(enum status status)
{
    switch (status) {
    case STATUS_NOT_FOUND: return 404;
    case STATUS_INVALID: return 400;
    case STATUS_OVERLOADED: return 503;
    case STATUS_UPSTREAM_FAILED: return 502;
    case STATUS_UPSTREAM_TIMEOUT: return 504;
    default: return 500;
    }
}

static void refuse(struct http_request *request, enum status status, const char *detail)
{
    if (status == STATUS_CLOSED) {
        api_reply_error(request, status, detail);
    } else {
        api_reply_error_as(request, http_status_of(status), status, detail);
    }
}

static int64_t seconds_since(int64_t time_ms)
{
    int64_t age_ms = clock_wall_ms() - time_ms;
    return age_ms > 0 ? age_ms / 1000 : 0;
}

/* Age and max-age are about the same moment, the snapshot's: so caches count as the hub does. What
 * has a failed upstream in it is not for them: the next refresh may be better. */
static void append_cache_control(struct buf *out, const struct page_feed *feed,
                                 const struct feed_result *result)
{
    buf_literal(out, "Cache-Control: ");
    buf_append(out, feed->access == FEED_ACCESS_PUBLIC ? STR("public") : STR("private"));
    if (!result->is_completed) {
        buf_literal(out, ", no-cache\r\n");
        return;
    }
    buf_printf(out, ", max-age=%" PRId64, feed->max_age_ms / 1000);
    if (feed->stale_while_revalidate_ms > 0) {
        buf_printf(out, ", stale-while-revalidate=%" PRId64,
                   feed->stale_while_revalidate_ms / 1000);
    }
    buf_literal(out, "\r\n");
}

static void append_headers(struct buf *out, const struct page_feed *feed,
                           const struct feed_result *result)
{
    buf_literal(out, "ETag: ");
    buf_append(out, result->etag);
    buf_printf(out, "\r\nAge: %" PRId64 "\r\n", seconds_since(result->time_ms));
    append_cache_control(out, feed, result);
    buf_printf(out,
               "Vary: Accept\r\nX-Belfry-Completed: %s\r\n"
               "Access-Control-Expose-Headers: Age, ETag, X-Belfry-Completed\r\n",
               result->is_completed ? "true" : "false");
    buf_append_char(out, '\0');
}

static void answer(struct http_request *request, const struct page_feed *feed,
                   const struct feed_result *result)
{
    struct str known = http_request_header(request, HTTP_HEADER_IF_NONE_MATCH);
    bool is_known = feed_pages_has_etag(known, result->etag);
    struct buf headers;
    buf_init(&headers, HEADERS_MAX_BYTES);
    append_headers(&headers, feed, result);
    if (buf_failed(&headers)) {
        refuse(request, STATUS_NO_MEMORY, "");
    } else {
        http_reply(request,
                   &(struct http_reply){.status = is_known ? 304 : 200,
                                        .content_type = is_known ? NULL : "application/json",
                                        .headers = headers.ptr,
                                        .body = is_known ? STR_EMPTY : result->data});
    }
    buf_release(&headers);
}

/* --- the way of a request --- */

static void fail(struct page *p, enum status status, const char *detail)
{
    refuse(p->request, status, detail);
    p->state = PAGE_DONE;
}

static void admitted(void *arg, enum status status, int64_t expires_at)
{
    struct page *p = arg;
    p->expires_at = expires_at;
    p->state = PAGE_CHOOSING;
    if (status != STATUS_OK) {
        access_refuse(p->request, p->feed.access, status);
        p->state = PAGE_DONE;
    }
    page_step(p);
}

static void admit(struct page *p)
{
    const struct access_question question = {.access = p->feed.access,
                                             .method = p->query.is_fresh ? API_FEED_REFRESH
                                                                         : API_FEED_GET,
                                             .channel = buf_str(&p->channel),
                                             .token = p->query.token};
    enum status status = access_check(p->pages->access, &question, p->request, admitted, p);
    if (status != STATUS_OK) {
        fail(p, status, "");
        page_step(p);
    }
}

static void choose(struct page *p)
{
    p->state = p->query.is_fresh ? PAGE_REFRESHING : PAGE_GETTING;
    if (p->is_stream) {
        enum status status =
            streams_open_feed(p->pages->streams, p->request, buf_str(&p->channel), p->expires_at);
        p->state = PAGE_DONE;
        if (status != STATUS_OK) {
            refuse(p->request, status, "no more connections at the moment");
        }
    }
}

static void answered(void *arg, enum status status, const char *detail,
                     const struct feed_result *result)
{
    struct page *p = arg;
    if (status == STATUS_NOT_AVAILABLE && p->state == PAGE_GETTING) {
        p->state = PAGE_REFRESHING; /* who comes first waits for it */
    } else if (status == STATUS_OK) {
        answer(p->request, &p->feed, result);
        p->state = PAGE_DONE;
    } else {
        fail(p, status, detail);
    }
    page_step(p);
}

static void finish(struct page *p)
{
    free(p->feed.name);
    feed_query_release(&p->query);
    buf_release(&p->channel);
    free(p);
}

static void refresh(struct page *p, struct str name, struct str params)
{
    struct hub *hub = p->hub;
    struct trace trace;
    tracing_begin(hub, p->request, &trace);
    hub_feed_refresh(hub, name, params, answered, p);
    tracing_end(hub);
}

/* One request, top to bottom. */
static void page_step(struct page *p)
{
    struct str name = str_of(p->feed.name);
    struct str params = buf_str(&p->query.params);
    switch (p->state) {
    case PAGE_ADMITTING: admit(p); return; /* admitted() steps us */
    case PAGE_CHOOSING:
        choose(p);
        page_step(p);
        return;
    case PAGE_GETTING: hub_feed_get(p->hub, name, params, answered, p); return;
    case PAGE_REFRESHING: refresh(p, name, params); return;
    case PAGE_DONE: finish(p); return;
    }
}

/* --- the beginning --- */

static enum status read_query(struct page *p, struct str name, struct buf *why)
{
    struct str accept = http_request_header(p->request, HTTP_HEADER_ACCEPT);
    p->is_stream = http_request_method(p->request) == HTTP_GET && feed_pages_accepts_events(accept);
    if (p->is_stream && p->query.is_fresh) {
        buf_literal(why, "\"fresh\" is not for a stream of events");
        return STATUS_INVALID;
    }
    enum status status =
        hub_feed_channel(p->hub, name, buf_str(&p->query.params), &p->channel, why);
    return status == STATUS_OK && buf_failed(&p->channel) ? STATUS_NO_MEMORY : status;
}

static enum status read_request(struct page *p, struct str name, struct buf *why)
{
    const struct client_head *head = http_request_client_head(p->request);
    enum status status = feed_query_read(buf_str(&head->arguments), &p->query, why);
    if (status == STATUS_OK) {
        buf_init(&p->channel, CHANNEL_MAX_BYTES);
        status = read_query(p, name, why);
        if (status != STATUS_OK) {
            feed_query_release(&p->query);
            buf_release(&p->channel);
        }
    }
    return status;
}

/* False: memory is short. */
static bool take_feed(struct page *p, const struct feed_options *options)
{
    int64_t max_age_ms = options->max_age_ms;
    p->feed = (struct page_feed){
        .name = str_dup(str_of(options->name)),
        .access = (enum feed_access)options->access,
        .max_age_ms = max_age_ms > 0 ? max_age_ms : options->refresh.every_ms,
        .stale_while_revalidate_ms = options->stale_while_revalidate_ms,
    };
    return p->feed.name;
}

static void begin(const struct feed_pages *pages, struct str name, struct http_request *request)
{
    struct hub *hub = pages->access->hub;
    struct page *p = calloc(1, sizeof(*p));
    if (!p) {
        refuse(request, STATUS_NO_MEMORY, "");
        return;
    }
    *p = (struct page){.pages = pages, .hub = hub, .request = request};
    struct buf why;
    buf_init(&why, WHY_MAX_BYTES);
    enum status status = read_request(p, name, &why);
    if (status == STATUS_OK && !take_feed(p, hub_feed_options(hub, name))) {
        fail(p, STATUS_NO_MEMORY, "");
        finish(p);
    } else if (status == STATUS_OK) {
        page_step(p);
    } else {
        buf_append_char(&why, '\0');
        refuse(request, status, buf_failed(&why) ? "" : why.ptr);
        free(p);
    }
    buf_release(&why);
}

#define METHODS "GET, HEAD, OPTIONS\r\n"

void feed_pages_handle(const struct feed_pages *pages, struct str name,
                       struct http_request *request)
{
    switch (http_request_method(request)) {
    case HTTP_GET:
    case HTTP_HEAD: begin(pages, name, request); return;
    case HTTP_OPTIONS:
        http_reply(request, &(struct http_reply){.status = 204,
                                                 .headers = "Access-Control-Allow-Methods: " METHODS
                                                            "Access-Control-Max-Age: 300\r\n"});
        return;
    default:
        http_reply(request, &(struct http_reply){.status = 405, .headers = "Allow: " METHODS});
        return;
    }
}
