/* SPDX-License-Identifier: MIT */
/* The life of a connection. Good answers of one read are gathered in `out` and written at once; an
 * answer that is to be late, slow or broken is encoded into `held`, and until it has gone no
 * further request of the connection is looked at. */
#include "tests/upstream/connection.h"

#include <stdlib.h>

#include "base/rng.h"
#include "tests/upstream/answer.h"

#define READ_SIZE   SERVER_READ_SIZE
#define INPUT_FULL  (HTTP_MAX_HEAD + HTTP_MAX_BODY + READ_SIZE)
#define INPUT_MAX   (INPUT_FULL + 4 * READ_SIZE) /* TLS may hold back one record and wants room */
#define OUTPUT_MAX  (RESPONSE_MAX_BODY + HTTP_MAX_HEAD + READ_SIZE)
#define HIGH_WATER  ((size_t)256 * 1024) /* of answers that wait for the socket */
#define LINGER_MS   1000
#define ENDLESS_MAX ((size_t)16 * 1024)

enum state {
    READY,     /* takes the next request */
    LATE,      /* the timer will begin the held answer */
    DRIPPING,  /* the timer sends the held answer piece by piece */
    ENDLESS,   /* a body without an end, by the timer or as fast as it is taken */
    HUNG,      /* never answers */
    LINGERING, /* all is sent and the sending side shut; waits for the other side to close */
    CLOSING,
};

struct connection {
    uv_tcp_t tcp;
    uv_timer_t timer;
    uv_write_t write;
    uv_shutdown_t shutdown;
    struct server *server;
    struct tls_session *tls; /* NULL: plain */
    struct connection *next;
    struct connection *prev;
    enum state state;
    int n_handles;
    bool is_writing;
    bool is_reading;
    bool is_active; /* has a counted request that is not answered yet */
    bool is_last;   /* closes when all is sent */
    bool said_continue;
    struct buf in;
    struct buf out;
    struct buf records; /* what `out` becomes, with TLS */
    struct buf sending; /* under uv_write() */
    /* The answer that the state is about. */
    struct buf held;
    size_t held_sent;
    size_t held_head_len;
    struct behaviour held_behaviour; /* its texts are not valid any more */
};

static void connection_process(struct connection *c);
static void endless_more(struct connection *c);

/* --- the end --- */

static void on_handle_closed(uv_handle_t *handle)
{
    struct connection *c = handle->data;
    if (--c->n_handles > 0) {
        return;
    }
    buf_release(&c->in);
    buf_release(&c->out);
    buf_release(&c->records);
    buf_release(&c->sending);
    buf_release(&c->held);
    tls_session_destroy(c->tls);
    free(c);
}

static void end_request(struct connection *c)
{
    if (c->is_active) {
        c->is_active = false;
        stats_ended(c->server->routes.stats);
    }
}

static void unlink_connection(struct connection *c)
{
    *(c->prev ? &c->prev->next : &c->server->connections) = c->next;
    if (c->next) {
        c->next->prev = c->prev;
    }
}

enum close_kind { CLOSE_PLAIN, CLOSE_RESET };

static void connection_close(struct connection *c, enum close_kind kind)
{
    if (c->state == CLOSING) {
        return;
    }
    c->state = CLOSING;
    end_request(c);
    unlink_connection(c);
    uv_close((uv_handle_t *)&c->timer, on_handle_closed);
    /* A reset sets SO_LINGER to 0 before it closes. */
    if (kind == CLOSE_PLAIN || uv_tcp_close_reset(&c->tcp, on_handle_closed)) {
        uv_close((uv_handle_t *)&c->tcp, on_handle_closed);
    }
}

void connection_close_all(struct server *s)
{
    while (s->connections) {
        connection_close(s->connections, CLOSE_PLAIN);
    }
}

static void on_linger_end(uv_timer_t *timer)
{
    connection_close(timer->data, CLOSE_PLAIN);
}

static void on_shutdown(uv_shutdown_t *shutdown, int status)
{
    (void)shutdown;
    (void)status; /* the timer or the end of input closes */
}

/* Closing while input is unread would make the kernel send a reset, which can overtake the answer.
 */
static void connection_linger(struct connection *c)
{
    c->state = LINGERING;
    buf_clear(&c->in);
    if (uv_shutdown(&c->shutdown, (uv_stream_t *)&c->tcp, on_shutdown)) {
        connection_close(c, CLOSE_PLAIN);
        return;
    }
    (void)uv_timer_start(&c->timer, on_linger_end, LINGER_MS, 0);
}

/* --- writing --- */

static void on_written(uv_write_t *write, int status)
{
    struct connection *c = write->data;
    c->is_writing = false;
    buf_clear(&c->sending);
    if (status < 0) {
        connection_close(c, CLOSE_PLAIN);
    } else if (c->state == ENDLESS && c->held_behaviour.drip_bytes == 0) {
        endless_more(c);
    } else {
        connection_process(c);
    }
}

/* The bytes that are ready for the socket: the output, or the records that it becomes. */
static struct buf *wire_of(struct connection *c)
{
    if (!c->tls) {
        return &c->out;
    }
    tls_session_send(c->tls, buf_str(&c->out), &c->records);
    buf_clear(&c->out);
    if (c->is_last && c->state == READY) {
        tls_session_end(c->tls, &c->records);
    }
    return &c->records;
}

/* Hands all of *wire from `from` on to libuv. */
static void write_later(struct connection *c, struct buf *wire, size_t from)
{
    struct buf sending = *wire;
    *wire = c->sending;
    c->sending = sending;
    uv_buf_t rest = {.base = sending.ptr + from, .len = sending.len - from};
    c->write.data = c;
    if (uv_write(&c->write, (uv_stream_t *)&c->tcp, &rest, 1, on_written)) {
        connection_close(c, CLOSE_PLAIN);
        return;
    }
    c->is_writing = true;
}

static void connection_flush(struct connection *c)
{
    if (c->is_writing || c->state == CLOSING || c->state == LINGERING) {
        return;
    }
    struct buf *wire = wire_of(c);
    if (wire->len > 0) {
        uv_buf_t all = {.base = wire->ptr, .len = wire->len};
        int n = uv_try_write((uv_stream_t *)&c->tcp, &all, 1);
        if (n < 0 && n != UV_EAGAIN) {
            connection_close(c, CLOSE_PLAIN);
            return;
        }
        size_t sent = n < 0 ? 0 : (size_t)n;
        if (sent < wire->len) {
            write_later(c, wire, sent);
            return;
        }
        buf_clear(wire);
    }
    if (c->is_last && c->state == READY) {
        connection_linger(c);
    }
}

/* --- late, slow and broken answers --- */

static void finish_held(struct connection *c)
{
    (void)uv_timer_stop(&c->timer);
    end_request(c);
    buf_clear(&c->held);
    c->state = READY;
}

/* Moves up to n bytes of the held answer to the output. */
static void send_held(struct connection *c, size_t n)
{
    struct str piece = str_head(str_tail(buf_str(&c->held), c->held_sent), n);
    buf_append(&c->out, piece);
    c->held_sent += piece.len;
    if (c->held_sent == c->held.len) {
        finish_held(c);
    }
}

static void on_drip(uv_timer_t *timer)
{
    struct connection *c = timer->data;
    if (c->out.len < HIGH_WATER) {
        send_held(c, (size_t)c->held_behaviour.drip_bytes);
        connection_process(c);
    }
}

/* One chunk. With an interval from the timer, else whenever the last one was taken, through
 * uv_write() so that the loop turns in between. */
static void endless_more(struct connection *c)
{
    static char zeros[ENDLESS_MAX];
    if (zeros[0] == 0) {
        memset(zeros, '0', sizeof(zeros));
    }
    size_t n =
        c->held_behaviour.drip_bytes > 0 ? (size_t)c->held_behaviour.drip_bytes : ENDLESS_MAX;
    n = n < ENDLESS_MAX ? n : ENDLESS_MAX;
    if (!c->is_writing) {
        buf_printf(&c->out, "%zx\r\n", n);
        buf_append(&c->out, (struct str){zeros, n});
        buf_literal(&c->out, "\r\n");
        write_later(c, wire_of(c), 0);
    }
}

static void on_endless(uv_timer_t *timer)
{
    endless_more(timer->data);
}

/* The time of the held answer has come. */
static void begin_held(struct connection *c)
{
    const struct behaviour *b = &c->held_behaviour;
    uint64_t interval_ms = (uint64_t)b->drip_ms;
    if (b->reset) {
        connection_close(c, CLOSE_RESET);
    } else if (b->endless) {
        buf_append(&c->out, buf_str(&c->held));
        c->state = ENDLESS;
        if (b->drip_bytes > 0) {
            (void)uv_timer_start(&c->timer, on_endless, interval_ms, interval_ms);
        } else {
            endless_more(c);
        }
    } else if (b->drip_bytes > 0 && (b->drip_head || c->held.len > c->held_head_len)) {
        c->state = DRIPPING;
        send_held(c, b->drip_head ? (size_t)b->drip_bytes : c->held_head_len);
        (void)uv_timer_start(&c->timer, on_drip, interval_ms, interval_ms);
    } else {
        send_held(c, c->held.len);
    }
}

static void on_late(uv_timer_t *timer)
{
    begin_held(timer->data);
    connection_process(timer->data);
}

static void hold(struct connection *c, const struct behaviour *b)
{
    c->held_behaviour = *b;
    c->held_sent = 0;
    c->state = b->hang ? HUNG : LATE;
    /* Earlier answers must not wait for this one. */
    connection_flush(c);
    if (c->state != LATE) {
        return;
    }
    uint64_t delay_ms = (uint64_t)b->latency_ms;
    if (b->jitter_ms > 0) {
        delay_ms += rng_below((uint64_t)b->jitter_ms + 1);
    }
    if (delay_ms == 0) {
        begin_held(c);
        return;
    }
    /* The loop's time is that of the start of this turn; the delay counts from now. */
    uv_update_time(c->server->loop);
    (void)uv_timer_start(&c->timer, on_late, delay_ms, 0);
}

static bool needs_holding(const struct behaviour *b)
{
    return b->latency_ms > 0 || b->jitter_ms > 0 || b->drip_bytes > 0 || b->hang || b->reset ||
           b->endless;
}

/* --- requests --- */

static void respond(struct connection *c, const struct behaviour *b)
{
    struct server *s = c->server;
    if (buf_failed(&s->response.body)) {
        response_error(&s->response, 500, "the answer is too large");
    }
    struct buf *target = needs_holding(b) ? &c->held : &c->out;
    response_encode(&s->response, b, &s->request, target, &c->held_head_len);
    if (s->response.status == 304) {
        stats_not_modified(s->routes.stats);
    }
    c->is_last = !s->request.keep_alive || b->truncate || b->close;
    if (target == &c->held) {
        hold(c, b);
    } else {
        end_request(c);
    }
}

static void answer(struct connection *c)
{
    struct server *s = c->server;
    struct behaviour b;
    if (routes_is_counted(s->request.path)) {
        c->is_active = true;
        stats_began(s->routes.stats, s->request.method, s->request.path);
    }
    answer_make(s, &b);
    respond(c, &b);
}

/* What cannot be read ends the connection: where the next request would begin is unknown. */
static void refuse(struct connection *c, int status)
{
    struct behaviour none;
    struct request *req = &c->server->request;
    behaviour_init(&none);
    req->keep_alive = false;
    req->method = STR("GET");
    response_error(&c->server->response, status, "%.*s", STR_ARG(http_status_text(status)));
    respond(c, &none);
}

static void say_continue(struct connection *c)
{
    if (c->server->request.expects_continue && !c->said_continue) {
        c->said_continue = true;
        buf_literal(&c->out, "HTTP/1.1 100 Continue\r\n\r\n");
    }
}

/* Serves the request at the front of the input. Returns its length, 0 when it is not complete. */
static size_t take_request(struct connection *c, struct str input)
{
    struct request *req = &c->server->request;
    int status = http_parse_head(input, req);
    if (status == 0) {
        return 0;
    }
    if (status != 200) {
        refuse(c, status);
        return input.len;
    }
    size_t len = req->head_len + req->content_length;
    if (input.len < len) {
        say_continue(c);
        return 0;
    }
    c->said_continue = false;
    req->body = str_head(str_tail(input, req->head_len), req->content_length);
    answer(c);
    return len;
}

static bool may_take(const struct connection *c)
{
    return c->state == READY && !c->is_last && c->out.len < HIGH_WATER;
}

/* --- reading --- */

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    (void)suggested;
    struct connection *c = handle->data;
    *buf = (uv_buf_t){0};
    if (c->tls) {
        *buf = uv_buf_init(c->server->records, sizeof(c->server->records));
    } else if (buf_reserve(&c->in, READ_SIZE) == STATUS_OK) {
        *buf = uv_buf_init(c->in.ptr + c->in.len, (unsigned)(c->in.capacity - c->in.len));
    }
}

/* False: the connection is over. */
static bool take_records(struct connection *c, struct str bytes)
{
    switch (tls_session_receive(c->tls, bytes, &c->in, &c->records)) {
    case TLS_ESTABLISHED: stats_handshake(c->server->routes.stats); return true;
    case TLS_GOES_ON: return true;
    case TLS_BROKEN: break;
    }
    c->is_last = true; /* the alert goes out */
    if (c->state != READY) {
        connection_close(c, CLOSE_PLAIN);
        return false;
    }
    return true;
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct connection *c = stream->data;
    if (n < 0) {
        /* The end of input; what is being written may still go out. */
        c->is_last = true;
        if (n != UV_EOF || !c->is_writing || c->state != READY) {
            connection_close(c, CLOSE_PLAIN);
        }
        return;
    }
    if (c->state == LINGERING) {
        return;
    }
    if (!c->tls) {
        c->in.len += (size_t)n;
    } else if (!take_records(c, (struct str){buf->base, (size_t)n})) {
        return;
    }
    connection_process(c);
}

/* Reading goes on while an answer is held, so that the end of the connection is noticed; only a
 * client that sends on and on is left to wait. */
static void update_reading(struct connection *c)
{
    bool wanted = c->in.len + READ_SIZE <= INPUT_FULL;
    if (wanted == c->is_reading || c->state == CLOSING) {
        return;
    }
    c->is_reading = wanted;
    if (wanted) {
        (void)uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read);
    } else {
        (void)uv_read_stop((uv_stream_t *)&c->tcp);
    }
}

/* Serves requests until the input has no complete one any more or the connection may take none.
 * Returns whether more could be served once the output has room. */
static bool take_requests(struct connection *c)
{
    size_t used = 0;
    size_t n = 1;
    while (n > 0 && used < c->in.len && may_take(c)) {
        n = take_request(c, str_tail(buf_str(&c->in), used));
        used += n;
    }
    buf_consume(&c->in, used);
    return n > 0 && c->in.len > 0;
}

static void connection_process(struct connection *c)
{
    bool has_more;
    do {
        has_more = take_requests(c);
        connection_flush(c);
    } while (has_more && may_take(c));
    update_reading(c);
}

void connection_accept(struct server *s, uv_stream_t *listening, struct tls *tls)
{
    struct connection *c = calloc(1, sizeof(*c));
    if (!c) {
        return;
    }
    (void)uv_tcp_init(s->loop, &c->tcp);
    (void)uv_timer_init(s->loop, &c->timer);
    c->n_handles = 2;
    c->tcp.data = c;
    c->timer.data = c;
    c->server = s;
    buf_init(&c->in, INPUT_MAX);
    buf_init(&c->out, OUTPUT_MAX);
    buf_init(&c->records, OUTPUT_MAX);
    buf_init(&c->sending, OUTPUT_MAX);
    buf_init(&c->held, OUTPUT_MAX);
    c->next = s->connections;
    if (c->next) {
        c->next->prev = c;
    }
    s->connections = c;
    c->tls = tls ? tls_session_create(tls) : NULL;
    if (uv_accept(listening, (uv_stream_t *)&c->tcp) || (tls && !c->tls)) {
        connection_close(c, CLOSE_PLAIN);
        return;
    }
    stats_connection(s->routes.stats);
    (void)uv_tcp_nodelay(&c->tcp, 1);
    update_reading(c);
}
