/* SPDX-License-Identifier: MIT */
/* Unit feed_events writes what a reader of one channel gets. It has no state but the session's; on
 * the loop's thread. What is no snapshot is a comment, which readers pass over. */
#include "protocols/feed_events.h"

#include "hub/channel.h"

#define FIRST_MAX_BYTES ((size_t)64 << 20)

static struct str epoch_of(const struct wire_format *format, struct str name)
{
    const struct feed_events *events = container_of(format, struct feed_events, format);
    struct channel *channel = channel_find(events->hub, name);
    return channel && channel_is_loaded(channel) ? str_of(channel_top(channel)->epoch) : STR_EMPTY;
}

static void write_publication(const struct wire_format *format, struct buf *out, struct str channel,
                              const struct publication *p, enum publication_form form,
                              struct str patch)
{
    struct str epoch = p->offset > 0 ? epoch_of(format, channel) : STR_EMPTY;
    (void)form; /* no delta is agreed on */
    (void)patch;
    if (epoch.len > 0) {
        buf_literal(out, "id: ");
        buf_append(out, epoch);
        buf_append_char(out, '_');
        buf_append_u64(out, p->offset);
        buf_append_char(out, '\n');
    }
    buf_literal(out, "data: ");
    buf_append(out, p->data);
}

static void write_presence(const struct wire_format *format, struct buf *out, struct str channel,
                           struct str info)
{
    (void)format;
    (void)channel;
    (void)info;
    buf_append_char(out, ':');
}

static void write_subscribe(const struct wire_format *format, struct buf *out, struct str channel,
                            const struct subscribe_result *result)
{
    (void)format;
    (void)channel;
    (void)result;
    buf_append_char(out, ':');
}

static void write_unsubscribe(const struct wire_format *format, struct buf *out, struct str channel,
                              const struct disconnect *why)
{
    (void)format;
    (void)channel;
    (void)why;
    buf_append_char(out, ':');
}

static void write_refresh(const struct wire_format *format, struct buf *out, bool expires,
                          int64_t ttl_s)
{
    (void)format;
    (void)expires;
    (void)ttl_s;
    buf_append_char(out, ':');
}

/* For who looks at the stream by eye. The reason may be another's words, with a line end in them.
 */
static void write_disconnect(const struct wire_format *format, struct buf *out,
                             const struct disconnect *why)
{
    (void)format;
    buf_printf(out, ": %u", (unsigned)why->code);
}

void feed_events_init(struct feed_events *events, struct hub *hub)
{
    *events = (struct feed_events){
        .hub = hub,
        .format =
            {
                .index = 7,
                .is_unidirectional = true,
                .joins = true,
                .after = STR("\n\n"),
                .ping = STR(":"),
                .publication = write_publication,
                .join = write_presence,
                .leave = write_presence,
                .subscribe = write_subscribe,
                .unsubscribe = write_unsubscribe,
                .refresh = write_refresh,
                .disconnect = write_disconnect,
            },
    };
}

/* What the reply to a subscription has: the last snapshot, or nothing yet. */
static void write_first(struct client *client, const struct connect_result *result, struct buf *out)
{
    const struct wire_format *format = client_wire_format(client);
    for (size_t i = 0; i < result->n_subs; i++) {
        const struct connect_subscription *sub = &result->subs[i];
        for (size_t k = 0; k < sub->result->n_publications; k++) {
            buf_append(out, out->len > 0 ? format->after : STR_EMPTY);
            write_publication(format, out, sub->channel, sub->result->publications[k], FORM_JSON,
                              STR_EMPTY);
        }
    }
    if (out->len == 0) {
        buf_append(out, format->ping);
    }
}

static void greet(struct centrifuge_session *s, const struct connect_result *result)
{
    struct buf first;
    buf_init(&first, FIRST_MAX_BYTES);
    write_first(s->client, result, &first);
    s->is_authenticated = true;
    if (buf_failed(&first)) {
        client_disconnect(s->client, &disconnect_internal_error);
    } else {
        client_send_first(s->client, buf_str(&first));
    }
    buf_release(&first);
}

static void connected(void *arg, enum status status, const struct client_error *error,
                      const struct connect_result *result)
{
    struct centrifuge_session *s = arg;
    (void)error; /* no backend was asked */
    s->is_busy = false;
    if (s->is_closed) {
        s->on_idle(s);
    } else if (status == STATUS_OK) {
        greet(s, result);
    } else if (status != STATUS_CLOSED) {
        client_disconnect(s->client, &disconnect_internal_error);
    }
}

void feed_events_connect(struct centrifuge_session *s, struct str channel, int64_t expires_at)
{
    struct connect_request request = {.channel = channel, .expires_at = expires_at};
    s->is_busy = true;
    client_connect(s->client, &request, connected, s);
}
