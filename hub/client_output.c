/* SPDX-License-Identifier: MIT */
/* Unit client_output is what a client receives: written at once when nothing waits, else queued
 * within a limit. While connect is under way pushes wait for its reply. */
#include <assert.h>
#include <stddef.h>

#include "hub/client_internal.h"
#include "hub/hub_internal.h"

#define JOIN_MAX_BYTES 65536

static void open_outbox(struct client *c)
{
    if (!c->outbox) {
        c->outbox = outbox_create();
        c->hub->traffic.n_outboxes += c->outbox != NULL;
    }
}

/* Accepts NULL. */
static void close_outbox(struct hub *hub, struct outbox *outbox)
{
    if (outbox) {
        hub->traffic.outbox_bytes -= outbox_bytes(outbox);
        hub->traffic.n_outboxes--;
        outbox_destroy(outbox);
    }
}

static void enqueue(struct client *c, struct frame *frame)
{
    open_outbox(c);
    if (!frame || !c->outbox || !outbox_push(c->outbox, frame)) {
        client_disconnect(c, &disconnect_internal_error);
        return;
    }
    c->hub->traffic.outbox_bytes += frame->len;
    if (outbox_bytes(c->outbox) > (size_t)c->hub->client_options->queue_max_size) {
        client_disconnect(c, &disconnect_slow);
    }
}

/* False: the connection cannot take it now. */
static bool write_now(struct client *c, char *payload, size_t len)
{
    struct hub *hub = c->hub; /* the client may be gone afterwards */
    enum transport_kind kind = c->transport->kind;
    bool is_written = c->transport->send(c->conn, payload, len);
    if (is_written) {
        traffic_sent(&hub->traffic, kind, len);
    }
    return is_written;
}

/* Something waits already, or must. */
static bool must_wait(const struct client *c)
{
    return c->outbox || c->state == CLIENT_CONNECTING;
}

/* text begins with FRAME_HEADROOM bytes. */
static void send_or_enqueue(struct client *c, struct buf *text)
{
    struct str message = str_tail(buf_str(text), FRAME_HEADROOM);
    if (!must_wait(c) && write_now(c, text->ptr + FRAME_HEADROOM, message.len)) {
        return;
    }
    struct frame *frame = frame_create(message);
    enqueue(c, frame);
    frame_unref(frame);
}

static bool begin_message(struct buf *text)
{
    static const char headroom[FRAME_HEADROOM];
    buf_clear(text);
    buf_append(text, (struct str){headroom, FRAME_HEADROOM});
    return !buf_failed(text);
}

static void append_message(struct buf *text, const struct wire_format *format, struct str message)
{
    buf_append(text, format->before);
    buf_append(text, message);
    buf_append(text, format->after);
}

/* --- several messages as one --- */

void client_cork(struct client *c)
{
    assert(!c->hub->corked);
    if (c->transport->format->joins && begin_message(&c->hub->cork)) {
        c->hub->corked = c;
    }
}

static void separate(struct buf *cork, const struct wire_format *format)
{
    if (cork->len > FRAME_HEADROOM) {
        buf_append(cork, format->between);
    }
}

static void check_cork(struct client *c)
{
    if (buf_failed(&c->hub->cork)) {
        c->hub->corked = NULL;
        client_disconnect(c, &disconnect_slow);
    }
}

void client_uncork(struct client *c)
{
    if (c->hub->corked != c) {
        return;
    }
    c->hub->corked = NULL;
    if (c->hub->cork.len > FRAME_HEADROOM && c->state < CLIENT_GONE) {
        send_or_enqueue(c, &c->hub->cork);
    }
}

/* --- sending --- */

static void send_now(struct client *c, struct str message)
{
    struct buf *text = &c->hub->scratch;
    if (begin_message(text)) {
        append_message(text, c->transport->format, message);
    }
    if (buf_failed(text)) {
        client_disconnect(c, &disconnect_internal_error);
    } else {
        send_or_enqueue(c, text);
    }
}

void client_send(struct client *c, struct str message)
{
    if (c->state >= CLIENT_CLOSING) {
        return;
    }
    if (c->hub->corked == c) {
        separate(&c->hub->cork, c->transport->format);
        append_message(&c->hub->cork, c->transport->format, message);
        check_cork(c);
        return;
    }
    send_now(c, message);
}

/* As far as it goes; the transport calls for the rest. */
static void flush_or_ask(struct client *c)
{
    if (c->state < CLIENT_CLOSING && !client_flush(c) && c->state < CLIENT_CLOSING) {
        char nothing[FRAME_HEADROOM];
        (void)c->transport->send(c->conn, nothing + FRAME_HEADROOM,
                                 0); /* it cannot: it will call */
    }
}

void client_send_first(struct client *c, struct str message)
{
    struct outbox *waiting = c->outbox;
    if (c->state != CLIENT_CONNECTING) {
        return;
    }
    c->outbox = NULL;
    c->state = CLIENT_CONNECTED;
    client_send(c, message);
    if (waiting && c->outbox) { /* the reply itself waits */
        bool is_whole = outbox_join(c->outbox, waiting);
        close_outbox(c->hub, waiting);
        if (!is_whole) {
            client_disconnect(c, &disconnect_internal_error);
        }
    } else if (c->state < CLIENT_CLOSING) {
        c->outbox = waiting ? waiting : c->outbox;
    } else {
        close_outbox(c->hub, waiting);
    }
    flush_or_ask(c);
}

void client_send_frame(struct client *c, struct frame *frame)
{
    if (c->state >= CLIENT_CLOSING) {
        return;
    }
    if (c->hub->corked == c) {
        separate(&c->hub->cork, c->transport->format);
        buf_append(&c->hub->cork, frame_str(frame));
        check_cork(c);
    } else if (must_wait(c) || !write_now(c, frame_payload(frame), frame->len)) {
        enqueue(c, frame);
    }
}

/* --- what waits --- */

void client_drop_output(struct client *c)
{
    close_outbox(c->hub, c->outbox);
    c->outbox = NULL;
}

bool client_is_behind(const struct client *c)
{
    return c->outbox || !c->transport->can_send(c->conn);
}

/* Formats that do not join get one message at a time. */
static bool take(struct client *c, struct buf *text)
{
    const struct wire_format *format = c->transport->format;
    size_t n_bytes = outbox_bytes(c->outbox);
    bool is_taken = begin_message(text) && outbox_take(c->outbox, format->between,
                                                       format->joins ? JOIN_MAX_BYTES : 0, text);
    c->hub->traffic.outbox_bytes -= n_bytes - outbox_bytes(c->outbox);
    return is_taken;
}

bool client_flush(struct client *c)
{
    struct buf *text = &c->hub->scratch;
    while (c->outbox && c->state != CLIENT_CONNECTING && c->transport->can_send(c->conn)) {
        if (!take(c, text)) {
            client_drop_output(c);
            client_disconnect(c, &disconnect_internal_error);
            return true;
        }
        (void)write_now(c, text->ptr + FRAME_HEADROOM, text->len - FRAME_HEADROOM);
        if (outbox_is_empty(c->outbox)) {
            client_drop_output(c);
        }
    }
    return !c->outbox;
}

/* --- for broadcasts --- */

void client_prefetch(const struct client *c)
{
    __builtin_prefetch(c); /* NULL, an empty place, does no harm */
    __builtin_prefetch((const void *)((uintptr_t)c + offsetof(struct client, state)));
}

void client_prefetch_connection(const struct client *c)
{
    if (c) {
        __builtin_prefetch(c->conn);
    }
}
