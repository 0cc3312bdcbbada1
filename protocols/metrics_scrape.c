/* SPDX-License-Identifier: MIT */
/* Unit metrics_scrape is one GET /metrics. With thousands of upstreams the text has megabytes: it
 * is written, and then sent, in pieces, each in a turn of the loop of its own. A small one is
 * answered at once. Loop's thread only. */
#include <stdlib.h>

#include "protocols/metrics.h"
#include "protocols/metrics_upstreams.h"

#define TEXT_MAX_BYTES ((size_t)64 << 20)

/* Of a turn of the loop: well below a millisecond. */
#define UPSTREAMS_PER_TURN 128
#define PIECES_PER_TURN    8

/* For all of a large text to be taken. */
#define SENDING_MS 30000

#define CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

struct scrape {
    const struct metrics *metrics;
    struct http_request *request;
    struct metrics_upstreams *upstreams;
    struct deferred step;
    struct deadline deadline; /* while it is sent */
    struct buf text;
    size_t n_sent;
};

static void free_scrape(struct scrape *s)
{
    loop_undefer(s->metrics->loop, &s->step);
    deadline_disarm(s->metrics->deadlines, &s->deadline);
    metrics_upstreams_destroy(s->upstreams);
    buf_release(&s->text);
    free(s);
}

static void client_gone(void *arg)
{
    free_scrape(arg);
}

/* --- sending --- */

static void on_too_slow(struct deadline *deadline)
{
    struct scrape *s = container_of(deadline, struct scrape, deadline);
    http_break_reply(s->request);
    free_scrape(s);
}

static void send_pieces(void *arg)
{
    struct scrape *s = arg;
    struct str rest = str_tail(buf_str(&s->text), s->n_sent);
    for (int i = 0; i < PIECES_PER_TURN && rest.len > 0 && http_can_write(s->request); i++) {
        struct str piece = str_head(rest, HTTP_PIECE_MAX_BYTES);
        http_write(s->request, piece);
        s->n_sent += piece.len;
        rest = str_tail(rest, piece.len);
    }
    if (rest.len == 0) {
        http_end_reply(s->request);
        free_scrape(s);
    } else if (http_can_write(s->request)) {
        loop_defer(s->metrics->loop, &s->step);
    }
}

static void send_in_pieces(struct scrape *s)
{
    struct http_reply reply = {.status = 200, .content_type = CONTENT_TYPE};
    s->step.fn = send_pieces;
    deadline_arm(s->metrics->deadlines, &s->deadline, SENDING_MS, on_too_slow);
    http_begin_reply(s->request, &reply, (int64_t)s->text.len);
    send_pieces(s);
}

static void send_at_once(struct scrape *s)
{
    struct http_reply reply = {
        .status = 200, .content_type = CONTENT_TYPE, .body = buf_str(&s->text)};
    http_reply(s->request, buf_failed(&s->text) ? &(struct http_reply){.status = 500} : &reply);
    free_scrape(s);
}

/* --- writing --- */

/* True: there is more to write. */
static bool write_on(struct scrape *s)
{
    if (metrics_upstreams_write(s->upstreams, &s->text, UPSTREAMS_PER_TURN)) {
        return true;
    }
    metrics_write_end(&s->text, s->metrics);
    return false;
}

static void write_later(void *arg)
{
    struct scrape *s = arg;
    if (write_on(s)) {
        loop_defer(s->metrics->loop, &s->step);
    } else if (buf_failed(&s->text) || http_request_method(s->request) == HTTP_HEAD) {
        send_at_once(s);
    } else {
        send_in_pieces(s);
    }
}

static void begin(const struct metrics *metrics, struct http_request *request)
{
    struct metrics_upstreams *upstreams = metrics_upstreams_gather(metrics->hub);
    struct scrape *s = upstreams ? calloc(1, sizeof(*s)) : NULL;
    if (!s) {
        metrics_upstreams_destroy(upstreams);
        http_reply(request, &(struct http_reply){.status = 500});
        return;
    }
    *s = (struct scrape){.metrics = metrics,
                         .request = request,
                         .upstreams = upstreams,
                         .step = {.fn = write_later, .arg = s}};
    buf_init(&s->text, TEXT_MAX_BYTES);
    metrics_write_beginning(&s->text, metrics);
    if (write_on(s)) {
        struct http_source source = {.may_write = send_pieces, .gone = client_gone, .arg = s};
        http_watch(request, &source);
        loop_defer(metrics->loop, &s->step);
    } else {
        send_at_once(s);
    }
}

void metrics_handle(const struct metrics *metrics, struct http_request *request)
{
    enum http_method method = http_request_method(request);
    if (method == HTTP_GET || method == HTTP_HEAD) {
        begin(metrics, request);
    } else {
        http_reply(request, &(struct http_reply){.status = 405, .headers = "Allow: GET, HEAD\r\n"});
    }
}
