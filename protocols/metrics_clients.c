/* SPDX-License-Identifier: MIT */
/* Unit metrics_clients writes what is counted by transport, command, code and name. Samples are
 * there from the first time on that there is something to count: most hubs have one transport and
 * see a handful of codes. Names and labels are Centrifugo's where the thing is the same. No state.
 */
#include "protocols/metrics_clients.h"

#include <stdio.h>

#include "hub/traffic.h"
#include "protocols/metrics_text.h"

#define LABELS_MAX_BYTES 256
#define CODE_BYTES       8

/* 0 is what stands for all others. */
static const char *code_text(char text[CODE_BYTES], unsigned code)
{
    if (code == 0) {
        return "other";
    }
    snprintf(text, CODE_BYTES, "%u", code % 100000);
    return text;
}

/* A sample with two labels at most. */
static void write_labelled(struct buf *out, const char *family, const char *const labels[4],
                           uint64_t count)
{
    struct buf text;
    buf_init(&text, LABELS_MAX_BYTES);
    metrics_label(&text, labels[0], labels[1]);
    if (labels[2]) {
        metrics_label(&text, labels[2], labels[3]);
    }
    metrics_write_u64(out, family, buf_str(&text), count);
    buf_release(&text);
}

static void write_counted(struct buf *out, const char *family, const char *const labels[4],
                          uint64_t count)
{
    if (count > 0) {
        write_labelled(out, family, labels, count);
    }
}

#define LABELS(...)                                                                                \
    (const char *const[4])                                                                         \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }

/* --- by transport --- */

static void write_messages(struct buf *out, const struct traffic *t)
{
    static const struct {
        const char *name;
        const char *help;
        bool is_received;
        bool is_size;
    } families[] = {
        {"belfry_transport_messages_sent",
         "Messages written to connections; those that are joined are one.", false, false},
        {"belfry_transport_messages_sent_size", "Their bytes.", false, true},
        {"belfry_transport_messages_received",
         "Messages read from connections; each of one or more commands.", true, false},
        {"belfry_transport_messages_received_size", "Their bytes.", true, true},
    };
    for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
        metrics_write_head(out, families[i].name, "counter", families[i].help);
        for (enum transport_kind kind = 0; kind < N_TRANSPORT_KINDS; kind++) {
            const struct traffic_messages *m =
                families[i].is_received ? &t->received[kind] : &t->sent[kind];
            write_counted(out, families[i].name, LABELS("transport", transport_kind_name(kind)),
                          families[i].is_size ? m->n_bytes : m->n_messages);
        }
    }
}

static void write_closes(struct buf *out, const struct traffic *t)
{
    static const char family[] = "belfry_transport_outgoing_close_count";
    metrics_write_head(out, family, "counter", "Connections that the hub ended, by the code told.");
    for (enum transport_kind kind = 0; kind < N_TRANSPORT_KINDS; kind++) {
        for (size_t i = 0; i < N_CLOSE_CODES; i++) {
            char code[CODE_BYTES];
            write_counted(out, family,
                          LABELS("transport", transport_kind_name(kind), "code",
                                 code_text(code, traffic_close_codes[i])),
                          t->n_closes[kind][i]);
        }
    }
}

static void write_pongs(struct buf *out, const struct traffic *t)
{
    static const char family[] = "belfry_client_ping_pong_duration_seconds";
    metrics_write_head(out, family, "histogram",
                       "From a ping to its answer, to the millisecond of the loop's turns.");
    for (enum transport_kind kind = 0; kind < N_TRANSPORT_KINDS; kind++) {
        if (histogram_n(&t->pongs[kind]) > 0) {
            struct buf labels;
            buf_init(&labels, LABELS_MAX_BYTES);
            metrics_label(&labels, "transport", transport_kind_name(kind));
            metrics_write_histogram(out, family, buf_str(&labels), METRICS_FROM_MILLISECONDS,
                                    &t->pongs[kind]);
            buf_release(&labels);
        }
    }
}

/* --- by name --- */

static void write_connections(struct buf *out, const struct traffic *t)
{
    static const char accepted[] = "belfry_client_connections_accepted";
    static const char inflight[] = "belfry_client_connections_inflight";
    metrics_write_head(out, accepted, "counter", "Clients that have connected, by their library.");
    for (enum transport_kind kind = 0; kind < N_TRANSPORT_KINDS; kind++) {
        for (size_t i = 0; i < N_CLIENT_NAMES; i++) {
            write_counted(out, accepted,
                          LABELS("transport", transport_kind_name(kind), "client_name",
                                 traffic_client_names[i]),
                          t->n_accepted[kind][i]);
        }
    }
    metrics_write_head(out, inflight, "gauge", "Of them, those that are there.");
    for (enum transport_kind kind = 0; kind < N_TRANSPORT_KINDS; kind++) {
        for (size_t i = 0; i < N_CLIENT_NAMES; i++) {
            if (t->n_accepted[kind][i] > 0) {
                write_labelled(out, inflight,
                               LABELS("transport", transport_kind_name(kind), "client_name",
                                      traffic_client_names[i]),
                               t->n_connected[kind][i]);
            }
        }
    }
}

static void write_subscriptions(struct buf *out, const struct traffic *t)
{
    static const char family[] = "belfry_client_subscriptions_inflight";
    metrics_write_head(out, family, "gauge", "Subscriptions, by library and namespace.");
    for (const struct traffic_namespace *ns = t->namespaces; ns; ns = ns->hh.next) {
        for (size_t i = 0; i < N_CLIENT_NAMES; i++) {
            write_counted(
                out, family,
                LABELS("client_name", traffic_client_names[i], "channel_namespace", ns->name),
                ns->n_subscriptions[i]);
        }
    }
}

/* --- by code --- */

static void write_unsubscribes(struct buf *out, const struct traffic *t)
{
    static const char family[] = "belfry_client_num_server_unsubscribes";
    metrics_write_head(out, family, "counter", "Subscriptions that the hub ended.");
    for (size_t i = 0; i < N_UNSUBSCRIBE_CODES; i++) {
        char code[CODE_BYTES];
        write_counted(out, family, LABELS("code", code_text(code, traffic_unsubscribe_codes[i])),
                      t->n_unsubscribes[i]);
    }
}

/* The hub's own words: a WebSocket's codes are in the other family only. */
static void write_disconnects(struct buf *out, const struct traffic *t)
{
    static const char family[] = "belfry_client_num_server_disconnects";
    metrics_write_head(out, family, "counter", "Clients that the hub sent away.");
    for (size_t i = 0; i < N_CLOSE_CODES; i++) {
        unsigned known = traffic_close_codes[i];
        uint64_t n = 0;
        for (enum transport_kind kind = 0; kind < N_TRANSPORT_KINDS; kind++) {
            n += known == 0 || known >= 3000 ? t->n_closes[kind][i] : 0;
        }
        char code[CODE_BYTES];
        write_counted(out, family, LABELS("code", code_text(code, known)), n);
    }
}

static void write_errors(struct buf *out, const struct traffic *t)
{
    static const char family[] = "belfry_client_num_reply_errors";
    metrics_write_head(out, family, "counter", "Commands that were answered with an error.");
    for (enum client_command command = 0; command < N_CLIENT_COMMANDS; command++) {
        for (size_t i = 0; i < N_REPLY_CODES; i++) {
            char code[CODE_BYTES];
            write_counted(out, family,
                          LABELS("method", client_command_name(command), "code",
                                 code_text(code, traffic_reply_codes[i])),
                          t->n_errors[command][i]);
        }
    }
}

static void write_commands(struct buf *out, const struct traffic *t)
{
    static const char family[] = "belfry_client_command_duration_seconds_histogram";
    metrics_write_head(out, family, "histogram", "From a command to its reply.");
    for (enum client_command command = 0; command < N_CLIENT_COMMANDS; command++) {
        if (histogram_n(&t->commands[command]) > 0) {
            struct buf labels;
            buf_init(&labels, LABELS_MAX_BYTES);
            metrics_label(&labels, "method", client_command_name(command));
            metrics_write_histogram(out, family, buf_str(&labels), METRICS_MICROSECONDS,
                                    &t->commands[command]);
            buf_release(&labels);
        }
    }
}

void metrics_write_clients(struct buf *out, struct hub *hub)
{
    const struct traffic *t = hub_traffic(hub);
    write_connections(out, t);
    write_subscriptions(out, t);
    write_commands(out, t);
    write_errors(out, t);
    write_unsubscribes(out, t);
    write_disconnects(out, t);
    write_pongs(out, t);
    write_messages(out, t);
    write_closes(out, t);
}

/* --- HTTP --- */

static const char *method_label(enum http_method method)
{
    return method == HTTP_OTHER ? "other" : http_method_name(method);
}

void metrics_write_http(struct buf *out, const struct http_counts *counts)
{
    static const char family[] = "belfry_node_incoming_http_requests_total";
    metrics_write_head(out, family, "counter",
                       "HTTP requests that were answered, but for handshakes of WebSockets.");
    for (enum http_method method = 0; method < HTTP_N_METHODS; method++) {
        for (size_t i = 0; i < HTTP_N_STATUSES; i++) {
            char code[CODE_BYTES];
            write_counted(out, family,
                          LABELS("method", method_label(method), "status",
                                 code_text(code, (unsigned)http_counted_statuses[i])),
                          counts->n_requests[method][i]);
        }
    }
}
