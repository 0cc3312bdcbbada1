/* SPDX-License-Identifier: MIT */
/* Unit metrics collects the figures into one struct and writes them by one table: a row is a sample
 * of a family, and the first row of a family has its help. Names are those of Centrifugo where the
 * thing is the same. Loop's thread only.
 */
#include "protocols/metrics.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stddef.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "hub/traffic.h"
#include "protocols/metrics_api.h"
#include "protocols/metrics_clients.h"
#include "protocols/metrics_text.h"

#define LABELS_MAX_BYTES ((size_t)4096)

struct process_figures {
    double started_s;
    double cpu_s;
    uint64_t resident_bytes;
    uint64_t n_descriptors;
    uint64_t max_descriptors;
};

struct figures {
    const char *version;
    uint64_t n_nodes;
    struct hub_stats hub;
    uint64_t n_recovered_none; /* successful recoveries that had nothing to bring */
    const struct histogram *join_times;
    const struct histogram *leave_times;
    size_t outbox_bytes;
    size_t n_outboxes;
    struct storage_stats storage;
    struct url_proxy_stats url_proxy;
    const struct histogram *loop_lag;
    struct process_figures process;
    struct reload_stats reloads;
};

enum figure_kind {
    FIGURE_SIZE,
    FIGURE_U64,
    FIGURE_DOUBLE,
    FIGURE_VERSION, /* stands in the label; the sample is 1 */
    FIGURE_HISTOGRAM,
};

struct row {
    const char *name;
    const char *type;
    const char *help;   /* NULL: one more sample of the family above */
    const char *labels; /* as they stand between the braces; NULL: none */
    size_t offset;
    enum figure_kind kind;
    bool is_optional;         /* left out while it is 0: the system does not tell it */
    enum metrics_scale scale; /* of a histogram */
};

#define AT(member) .offset = offsetof(struct figures, member)
#define GAUGE(name_, member, kind_, help_)                                                         \
    {                                                                                              \
        .name = name_, .type = "gauge", .help = help_, .kind = kind_, AT(member)                   \
    }
#define COUNTER(name_, member, help_)                                                              \
    {                                                                                              \
        .name = name_, .type = "counter", .help = help_, .kind = FIGURE_U64, AT(member)            \
    }
#define HISTOGRAM(name_, member, scale_, help_)                                                    \
    {                                                                                              \
        .name = name_, .type = "histogram", .help = help_, .kind = FIGURE_HISTOGRAM, AT(member),   \
        .scale = scale_                                                                            \
    }

/* The first one of a family has its help. */
#define LABELLED(name_, labels_, member, help_)                                                    \
    {                                                                                              \
        .name = name_, .type = "counter", .help = help_, .labels = labels_, .kind = FIGURE_U64,    \
        AT(member)                                                                                 \
    }
#define URL_PROXY_ROW(outcome_, name_, help_)                                                      \
    LABELLED("belfry_url_proxy_requests_total", "outcome=\"" name_ "\"",                           \
             url_proxy.n_outcomes[outcome_], help_)
#define BROADCAST_ROW(type_, member, help_)                                                        \
    {                                                                                              \
        .name = "belfry_node_broadcast_duration_seconds", .type = "histogram", .help = help_,      \
        .labels = "type=\"" type_ "\"", .kind = FIGURE_HISTOGRAM, AT(member)                       \
    }

static const struct row rows[] = {
    {.name = "belfry_node_build",
     .type = "gauge",
     .help = "The version of the program.",
     .kind = FIGURE_VERSION,
     AT(version)},
    GAUGE("belfry_node_num_nodes", n_nodes, FIGURE_U64, "Hubs that are one: 1."),
    GAUGE("belfry_node_num_clients", hub.n_clients, FIGURE_SIZE, "Connected clients."),
    GAUGE("belfry_node_num_users", hub.n_users, FIGURE_SIZE,
          "Users that are connected; all without a name are one."),
    GAUGE("belfry_node_num_subscriptions", hub.n_subscriptions, FIGURE_SIZE, "Subscriptions."),
    GAUGE("belfry_node_num_channels", hub.n_channels, FIGURE_SIZE,
          "Channels in use: with subscribers, or with something under way."),
    LABELLED("belfry_node_messages_sent_count", "type=\"publication\"", hub.fan_out.n_messages,
             "Messages to clients: publications, and who came and went, times subscribers."),
    LABELLED("belfry_node_messages_sent_count", "type=\"join\"",
             hub.fan_out.n_events[PRESENCE_JOIN], NULL),
    LABELLED("belfry_node_messages_sent_count", "type=\"leave\"",
             hub.fan_out.n_events[PRESENCE_LEAVE], NULL),
    BROADCAST_ROW("publication", hub.fan_out.publication_times,
                  "From the moment when there is something for a channel's subscribers to when all "
                  "have been served."),
    BROADCAST_ROW("join", join_times, NULL),
    BROADCAST_ROW("leave", leave_times, NULL),
    LABELLED("belfry_client_recover", "recovered=\"yes\",has_recovered_publications=\"yes\"",
             hub.n_recovered_some, "Subscriptions that asked for what they missed."),
    LABELLED("belfry_client_recover", "recovered=\"yes\",has_recovered_publications=\"no\"",
             n_recovered_none, NULL),
    LABELLED("belfry_client_recover", "recovered=\"no\",has_recovered_publications=\"no\"",
             hub.n_unrecovered, NULL),
    COUNTER("belfry_node_client_connection_limit", hub.n_refused_limit,
            "Connections refused for client.connection_limit."),
    COUNTER("belfry_client_connection_rate_limit_total", hub.n_refused_rate,
            "Connections refused for client.connection_rate_limit."),
    COUNTER("belfry_client_user_connection_limit_total", hub.n_refused_user_limit,
            "Connections ended for client.user_connection_limit."),
    COUNTER("belfry_node_tags_filter_dropped_publications", hub.fan_out.n_filtered,
            "Publications that a subscriber's tags filter kept from it."),
    COUNTER("belfry_conflated_total", hub.fan_out.n_conflated,
            "Publications that gave way to a newer one (conflate), per channel."),
    COUNTER("belfry_deltas_total", hub.fan_out.n_deltas, "Publications encoded as a delta."),
    COUNTER("belfry_deltas_full_total", hub.fan_out.n_full,
            "Publications sent whole to subscribers with deltas, as no delta was smaller."),
    COUNTER("belfry_publications_total", hub.n_publications, "Publications accepted."),
    GAUGE("belfry_outbox_bytes", outbox_bytes, FIGURE_SIZE,
          "What waits for connections that cannot take it (client.queue_max_size for each)."),
    GAUGE("belfry_outbox_clients", n_outboxes, FIGURE_SIZE, "Clients for whom something waits."),
    COUNTER("belfry_slow_consumers_total", hub.n_slow, "Clients disconnected as slow (3008)."),
    GAUGE("belfry_clients_to_drain", hub.n_to_drain, FIGURE_SIZE,
          "Clients that a drain is going to send away."),
    COUNTER("belfry_clients_rotated_total", hub.n_rotated,
            "Clients sent away for client.max_lifetime."),
    COUNTER("belfry_position_checks_total", hub.n_position_checks,
            "Comparisons of subscribers' positions with the stored one."),
    COUNTER("belfry_insufficient_state_total", hub.n_insufficient_state,
            "Channels whose subscribers were told to come again."),
    GAUGE("belfry_idle_channels", hub.n_idle_channels, FIGURE_SIZE,
          "Channels without subscribers that are kept in memory."),
    GAUGE("belfry_refreshes", hub.n_refreshes, FIGURE_SIZE, "Refreshes of feeds under way."),
    GAUGE("belfry_feed_instances", hub.n_feed_instances, FIGURE_SIZE,
          "Feeds with their parameters in memory."),
    GAUGE("belfry_feed_memory_bytes", hub.feed_memory_bytes, FIGURE_SIZE,
          "Of their snapshots and values (upstreams.memory_max_size)."),
    COUNTER("belfry_feed_evicted_total", hub.n_feed_evicted,
            "Feeds with their parameters that left memory to make room."),
    GAUGE("belfry_feeds_watched", hub.n_watched, FIGURE_SIZE,
          "Feeds with their parameters that are refreshed by themselves (upstreams.max_watched)."),
    COUNTER("belfry_feed_watch_refused_total", hub.n_watch_refused,
            "Feeds with their parameters not refreshed by themselves for upstreams.max_watched."),

    GAUGE("belfry_proxy_calls", hub.n_proxy_calls, FIGURE_SIZE, "Questions to backends under way."),
    COUNTER("belfry_proxy_overloaded_total", hub.n_proxy_overloaded,
            "Questions not asked, as max_concurrent of their proxy were under way."),

    URL_PROXY_ROW(URL_PROXY_OK, "ok", "Requests to /proxy, by what became of them."),
    URL_PROXY_ROW(URL_PROXY_BAD_REQUEST, "bad_request", NULL),
    URL_PROXY_ROW(URL_PROXY_UNAUTHORIZED, "unauthorized", NULL),
    URL_PROXY_ROW(URL_PROXY_REFUSED, "refused", NULL),
    URL_PROXY_ROW(URL_PROXY_OVERLOADED, "overloaded", NULL),
    URL_PROXY_ROW(URL_PROXY_TIMEOUT, "timeout", NULL),
    URL_PROXY_ROW(URL_PROXY_FAILED, "failed", NULL),
    URL_PROXY_ROW(URL_PROXY_BROKEN, "broken", NULL),
    URL_PROXY_ROW(URL_PROXY_CLIENT_GONE, "client_gone", NULL),
    GAUGE("belfry_url_proxy_active", url_proxy.n_active, FIGURE_SIZE,
          "Requests to /proxy under way (url_proxy.max_concurrent)."),
    COUNTER("belfry_url_proxy_bytes_total", url_proxy.n_bytes,
            "Bytes of answers passed on by /proxy."),

    COUNTER("belfry_webhook_events_total", hub.webhooks.n_events, "Events for webhooks."),
    COUNTER("belfry_webhook_delivered_total", hub.webhooks.n_delivered,
            "Events that their webhook has taken."),
    COUNTER("belfry_webhook_requests_total", hub.webhooks.n_requests, "Requests to webhooks."),
    COUNTER("belfry_webhook_failed_requests_total", hub.webhooks.n_failed_requests,
            "Requests that failed, and are made again."),
    COUNTER("belfry_webhook_dropped_total", hub.webhooks.n_dropped,
            "Events lost for a full queue (queue_limit) or a full storage."),
    GAUGE("belfry_webhook_events_waiting", hub.webhooks.n_waiting, FIGURE_SIZE,
          "Events that no webhook has taken yet."),

    GAUGE("belfry_tail_bytes", hub.tail_bytes, FIGURE_SIZE,
          "Recent publications and idle channels in memory."),
    GAUGE("belfry_tail_max_bytes", hub.tail_max_bytes, FIGURE_SIZE,
          "The most that they may take (channel.tail_total_max_size)."),
    COUNTER("belfry_tail_hits_total", hub.n_tail_hits,
            "Recoveries and reads of history answered from memory."),
    COUNTER("belfry_tail_misses_total", hub.n_tail_misses,
            "Recoveries and reads of history that read the storage."),
    COUNTER("belfry_tail_evicted_total", hub.n_tail_evicted,
            "Channels whose publications left memory to make room."),

    GAUGE("belfry_storage_queue_bytes", storage.queue_bytes, FIGURE_SIZE,
          "Writes that wait to be committed."),
    GAUGE("belfry_storage_queue_max_bytes", storage.queue_max_size, FIGURE_SIZE,
          "The most that may wait (storage.queue_max_size)."),
    GAUGE("belfry_storage_queue_length", storage.queue_length, FIGURE_SIZE,
          "Operations that wait for the writer."),
    COUNTER("belfry_storage_appends_total", storage.n_appends, "Appends committed or suppressed."),
    COUNTER("belfry_broker_publish_suppressed_count", storage.n_suppressed,
            "Appends that changed nothing for their idempotency key or version."),
    COUNTER("belfry_storage_groups_total", storage.n_groups, "Transactions committed."),
    COUNTER("belfry_storage_overloaded_total", storage.n_overloaded,
            "Appends refused for a full queue or a limit."),
    COUNTER("belfry_storage_failed_total", storage.n_failed, "Writes that failed."),
    COUNTER("belfry_storage_reads_total", storage.n_reads, "Reads of the database."),
    GAUGE("belfry_storage_streams", storage.n_streams, FIGURE_U64, "Channels with a position."),
    GAUGE("belfry_storage_idempotency_keys", storage.n_idempotency_keys, FIGURE_U64,
          "Idempotency keys remembered."),
    GAUGE("belfry_storage_feed_snapshots", storage.n_feed_snapshots, FIGURE_U64,
          "Snapshots of feeds that are kept."),
    GAUGE("belfry_storage_wal_bytes", storage.wal_bytes, FIGURE_U64,
          "The write-ahead log, as of the last commit."),
    HISTOGRAM("belfry_storage_commit_seconds", storage.commit_times, METRICS_MICROSECONDS,
              "From the beginning of a transaction to its commit."),
    HISTOGRAM("belfry_storage_group_size", storage.group_sizes, METRICS_NUMBERS,
              "Operations in one transaction."),

    HISTOGRAM("belfry_loop_lag_seconds", loop_lag, METRICS_MICROSECONDS,
              "How long a turn of the event loop kept it busy."),

    LABELLED("belfry_config_reloads_total", "outcome=\"ok\"", reloads.n_taken,
             "Times the configuration was read again: taken or refused."),
    LABELLED("belfry_config_reloads_total", "outcome=\"error\"", reloads.n_refused, NULL),
    GAUGE("belfry_config_last_reload_successful", reloads.is_last_taken, FIGURE_U64,
          "Whether the last attempt was taken; 1 before the first."),
    GAUGE("belfry_config_last_reload_success_timestamp_seconds", reloads.taken_s, FIGURE_DOUBLE,
          "When the configuration in use was taken, since 1970-01-01 UTC."),

    GAUGE("process_start_time_seconds", process.started_s, FIGURE_DOUBLE,
          "When the program began to serve, since 1970-01-01 UTC."),
    {.name = "process_cpu_seconds_total",
     .type = "counter",
     .help = "Processor time, user and system.",
     .kind = FIGURE_DOUBLE,
     AT(process.cpu_s)},
    {.name = "process_resident_memory_bytes",
     .type = "gauge",
     .help = "Memory in use.",
     .kind = FIGURE_U64,
     .is_optional = true,
     AT(process.resident_bytes)},
    {.name = "process_open_fds",
     .type = "gauge",
     .help = "Open descriptors.",
     .kind = FIGURE_U64,
     .is_optional = true,
     AT(process.n_descriptors)},
    GAUGE("process_max_fds", process.max_descriptors, FIGURE_U64, "The limit of descriptors."),
};

#undef AT
#define AT(member) .offset = offsetof(struct feed_stats, member)

/* One sample of each for every feed. */
static const struct row feed_rows[] = {
    GAUGE("belfry_feed_refreshes_running", n_running, FIGURE_SIZE, "Refreshes under way."),
    COUNTER("belfry_feed_refreshes_total", n_refreshes, "Refreshes."),
    COUNTER("belfry_feed_shared_total", n_shared, "Callers who joined a refresh under way."),
    COUNTER("belfry_feed_changed_total", n_changed, "Refreshes that published."),
    COUNTER("belfry_feed_incomplete_total", n_incomplete,
            "Refreshes with an upstream that failed."),
    COUNTER("belfry_feed_failed_total", n_failed,
            "Refreshes that could not be stored, were given up, or missed a required upstream."),
    COUNTER("belfry_feed_scheduled_total", n_scheduled, "Refreshes that nobody asked for."),
    COUNTER("belfry_feed_not_modified_total", n_not_modified,
            "Answers of upstreams that were 304."),
    GAUGE("belfry_feed_watched", n_watched, FIGURE_SIZE,
          "Parameters with which it is refreshed by itself."),
};

/* --- writing --- */

static void write_version(struct buf *out, const char *name, const char *version)
{
    struct buf labels;
    buf_init(&labels, LABELS_MAX_BYTES);
    metrics_label(&labels, "version", version);
    metrics_write_u64(out, name, buf_str(&labels), 1);
    buf_release(&labels);
}

static void write_sample(struct buf *out, const struct row *row, const void *figures,
                         struct str labels)
{
    const void *place = (const char *)figures + row->offset;
    switch (row->kind) {
    case FIGURE_SIZE: metrics_write_u64(out, row->name, labels, *(const size_t *)place); break;
    case FIGURE_U64: metrics_write_u64(out, row->name, labels, *(const uint64_t *)place); break;
    case FIGURE_DOUBLE: metrics_write_double(out, row->name, labels, *(const double *)place); break;
    case FIGURE_VERSION: write_version(out, row->name, *(const char *const *)place); break;
    case FIGURE_HISTOGRAM:
        metrics_write_histogram(out, row->name, labels, row->scale,
                                *(const struct histogram *const *)place);
        break;
    }
}

static bool is_left_out(const struct row *row, const struct figures *figures)
{
    return row->is_optional && *(const uint64_t *)((const char *)figures + row->offset) == 0;
}

static void write_rows(struct buf *out, const struct figures *figures)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct row *row = &rows[i];
        if (is_left_out(row, figures)) {
            continue;
        }
        if (row->help) {
            metrics_write_head(out, row->name, row->type, row->help);
        }
        write_sample(out, row, figures, str_of(row->labels));
    }
}

/* --- feeds --- */

struct feed_writing {
    struct buf *out;
    struct buf labels;
    const struct row *row;
};

static void write_feed(void *arg, const struct feed_options *options,
                       const struct feed_stats *stats)
{
    struct feed_writing *w = arg;
    buf_clear(&w->labels);
    metrics_label(&w->labels, "feed", options->name);
    write_sample(w->out, w->row, stats, buf_str(&w->labels));
}

static void write_feeds(struct buf *out, struct hub *hub)
{
    struct feed_writing writing = {.out = out};
    buf_init(&writing.labels, LABELS_MAX_BYTES);
    for (size_t i = 0; i < sizeof(feed_rows) / sizeof(feed_rows[0]); i++) {
        writing.row = &feed_rows[i];
        metrics_write_head(out, writing.row->name, writing.row->type, writing.row->help);
        hub_feeds(hub, write_feed, &writing);
    }
    buf_release(&writing.labels);
}

/* --- proxies: one sample for each that has been asked, and what about --- */

enum proxy_family {
    PROXY_REQUESTS,
    PROXY_ERRORS,
    PROXY_INFLIGHT,
    PROXY_DURATIONS,
    N_PROXY_FAMILIES,
};

static const struct {
    const char *name;
    const char *type;
    const char *help;
} proxy_families[N_PROXY_FAMILIES] = {
    [PROXY_REQUESTS] = {"belfry_proxy_requests_total", "counter", "Questions to backends."},
    [PROXY_ERRORS] = {"belfry_proxy_errors", "counter", "Questions that no backend answered well."},
    [PROXY_INFLIGHT] = {"belfry_proxy_inflight_requests", "gauge", "Questions under way."},
    [PROXY_DURATIONS] = {"belfry_proxy_duration_seconds_histogram", "histogram",
                         "From a question to its answer."},
};

struct proxy_writing {
    struct buf *out;
    enum proxy_family family;
};

static void write_proxy_event(const struct proxy_writing *w, struct str labels,
                              const struct proxy_stats *stats, int event)
{
    const char *name = proxy_families[w->family].name;
    switch (w->family) {
    case PROXY_REQUESTS: metrics_write_u64(w->out, name, labels, stats->n_asked[event]); break;
    case PROXY_ERRORS: metrics_write_u64(w->out, name, labels, stats->n_failed[event]); break;
    case PROXY_INFLIGHT: metrics_write_u64(w->out, name, labels, stats->n_inflight[event]); break;
    default:
        metrics_write_histogram(w->out, name, labels, METRICS_FROM_MILLISECONDS,
                                &stats->durations[event]);
        break;
    }
}

static void write_proxy(void *arg, const char *name, const struct proxy_stats *stats)
{
    const struct proxy_writing *w = arg;
    struct buf labels;
    buf_init(&labels, LABELS_MAX_BYTES);
    for (int i = 0; i < PROXY_N_EVENTS; i++) {
        if (stats->n_asked[i] > 0) {
            buf_clear(&labels);
            metrics_label(&labels, "protocol", "http");
            metrics_label(&labels, "type", proxy_event_name((enum proxy_event)i));
            metrics_label(&labels, "name", name);
            write_proxy_event(w, buf_str(&labels), stats, i);
        }
    }
    buf_release(&labels);
}

static void write_proxies(struct buf *out, struct hub *hub)
{
    for (int i = 0; i < N_PROXY_FAMILIES; i++) {
        struct proxy_writing w = {.out = out, .family = (enum proxy_family)i};
        metrics_write_head(out, proxy_families[i].name, proxy_families[i].type,
                           proxy_families[i].help);
        hub_proxies(hub, write_proxy, &w);
    }
}

/* --- collecting --- */

/* Resident pages are the second figure. These files are the kernel's: reading one waits for
 * nothing. */
static uint64_t resident_bytes(void)
{
    char text[128];
    uint64_t pages;
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text));
    if (fd >= 0) {
        close(fd);
    }
    struct str rest = {text, n > 0 ? (size_t)n : 0};
    rest = str_tail(rest, (size_t)(str_find(rest, ' ') + 1));
    ptrdiff_t end = str_find(rest, ' ');
    return end > 0 && str_to_u64(str_head(rest, (size_t)end), &pages)
               ? pages * (uint64_t)sysconf(_SC_PAGESIZE)
               : 0;
}

/* Since Linux 6.2 the folder's size is the number of its entries; counting them one by one would
 * hold the loop. */
static uint64_t count_descriptors(void)
{
    struct stat folder;
    return stat("/proc/self/fd", &folder) == 0 ? (uint64_t)folder.st_size : 0;
}

static void read_process(const struct metrics *metrics, struct process_figures *process)
{
    struct timespec cpu = {0};
    struct rlimit limit = {0};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
    getrlimit(RLIMIT_NOFILE, &limit);
    *process = (struct process_figures){
        .started_s = (double)metrics->started_ms / 1000,
        .cpu_s = (double)cpu.tv_sec + (double)cpu.tv_nsec / 1e9,
        .resident_bytes = resident_bytes(),
        .n_descriptors = count_descriptors(),
        .max_descriptors = limit.rlim_cur,
    };
}

static void collect(const struct metrics *metrics, struct figures *figures)
{
    const struct traffic *traffic = hub_traffic(metrics->hub);
    *figures = (struct figures){
        .version = hub_version(metrics->hub),
        .n_nodes = 1,
        .url_proxy = *metrics->url_proxy,
        .outbox_bytes = traffic->outbox_bytes,
        .n_outboxes = traffic->n_outboxes,
        .loop_lag = loop_lag(metrics->loop),
        .reloads = metrics->reloads,
    };
    hub_stats(metrics->hub, &figures->hub);
    figures->n_recovered_none = figures->hub.n_recovered - figures->hub.n_recovered_some;
    figures->join_times = &figures->hub.fan_out.event_times[PRESENCE_JOIN];
    figures->leave_times = &figures->hub.fan_out.event_times[PRESENCE_LEAVE];
    storage_stats(metrics->storage, &figures->storage);
    read_process(metrics, &figures->process);
}

void metrics_write_beginning(struct buf *out, const struct metrics *metrics)
{
    struct figures figures;
    collect(metrics, &figures);
    write_rows(out, &figures);
    metrics_write_clients(out, metrics->hub);
    metrics_write_http(out, metrics->http);
    write_feeds(out, metrics->hub);
}

void metrics_write_end(struct buf *out, const struct metrics *metrics)
{
    write_proxies(out, metrics->hub);
    metrics_write_api(out, metrics->api);
}
