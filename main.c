/* SPDX-License-Identifier: MIT */
/* The front door: options, configuration, wiring, signals, and the order of going down. */
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/notify.h"
#include "hub/hub.h"
#include "protocols/server.h"
#include "reload.h"
#include "settings.h"
#include "storage/storage.h"
#include "tools/command.h"
#include "tools/tools.h"
#include "upstreams/address_guard.h"
#include "upstreams/fetch.h"

#define DEADLINE_TICK_MS 20
#define DEADLINE_SLOTS   2048

/* How many clients are sent away in one turn of the loop. */
#define SEND_AWAY_PER_TURN 500
#define SHUTDOWN_TURN_MS   5
/* Behind shutdown.timeout: what has been accepted is committed, however long that takes the disk.
 */
#define EXTRA_TIME_MS 60000

enum shutdown_state {
    SHUTDOWN_NOT_BEGUN,
    SHUTDOWN_DRAINING, /* all goes on, but for new clients */
    SHUTDOWN_SENDING_AWAY,
    SHUTDOWN_EMPTYING,
    SHUTDOWN_CLOSING_STORAGE,
    SHUTDOWN_DONE,
};

struct program {
    const char *config; /* the file */
    struct settings *settings;
    struct loop *loop;
    struct deadlines *deadlines;
    struct storage *storage;
    struct fetch_pool *fetch_pool;
    struct fetch_pool *guarded_pool;
    struct fetch_pool *backend_pool;
    struct address_guard *guard;
    struct hub *hub;
    struct server *server;
    struct notify *notify;
    uv_signal_t signals[3];
    uv_timer_t shutdown_timer;
    enum shutdown_state state;
    int64_t shutdown_deadline_ms;
};

static void shutdown_step(struct program *p);

/* --- going down --- */

static void on_storage_closed(void *arg)
{
    struct program *p = arg;
    p->storage = NULL;
    p->state = SHUTDOWN_DONE;
    shutdown_step(p);
}

static void close_handles(struct program *p)
{
    notify_destroy(p->notify);
    uv_close((uv_handle_t *)&p->shutdown_timer, NULL);
    for (size_t i = 0; i < sizeof(p->signals) / sizeof(p->signals[0]); i++) {
        uv_close((uv_handle_t *)&p->signals[i], NULL);
    }
    signal(SIGHUP, SIG_IGN); /* libuv has left it with what it means by default: the end */
}

static bool is_overdue(const struct program *p)
{
    return clock_monotonic_ms() >= p->shutdown_deadline_ms;
}

static bool is_idle(const struct program *p)
{
    return hub_is_idle(p->hub) && server_is_idle(p->server);
}

static void stop_accepting(struct program *p)
{
    p->state = SHUTDOWN_SENDING_AWAY;
    p->shutdown_deadline_ms = clock_monotonic_ms() + p->settings->shutdown.timeout_ms;
    hub_stop(p->hub);
    server_stop_listening(p->server);
    hub_hurry(p->hub);
}

/* Everything accepted is committed and answered before the storage closes; the timer steps this
 * until it is done. */
static void shutdown_step(struct program *p)
{
    switch (p->state) {
    case SHUTDOWN_NOT_BEGUN: return;
    case SHUTDOWN_DRAINING:
        if (hub_n_to_drain(p->hub) > 0) {
            return;
        }
        stop_accepting(p);
        /* fall through */
    case SHUTDOWN_SENDING_AWAY:
        if (hub_send_clients_away(p->hub, SEND_AWAY_PER_TURN) > 0 && !is_overdue(p)) {
            return;
        }
        p->state = SHUTDOWN_EMPTYING;
        /* fall through */
    case SHUTDOWN_EMPTYING:
        if (!is_idle(p) && !is_overdue(p)) {
            return;
        }
        if (!is_idle(p)) {
            log_warn("main", "shutdown_timeout",
                     log_i("connections", (int64_t)server_n_connections(p->server)));
        }
        hub_abandon(p->hub);
        server_close(p->server);
        p->state = SHUTDOWN_CLOSING_STORAGE;
        uv_timer_stop(&p->shutdown_timer);
        storage_close(p->storage, on_storage_closed, p);
        return;
    case SHUTDOWN_CLOSING_STORAGE: return;
    case SHUTDOWN_DONE:
        hub_destroy(p->hub);
        p->hub = NULL;
        fetch_pool_destroy(p->fetch_pool);
        p->fetch_pool = NULL;
        fetch_pool_destroy(p->guarded_pool);
        p->guarded_pool = NULL;
        fetch_pool_destroy(p->backend_pool);
        p->backend_pool = NULL;
        deadlines_destroy(p->deadlines);
        p->deadlines = NULL;
        close_handles(p);
        return;
    }
}

static void on_shutdown_timer(uv_timer_t *timer)
{
    shutdown_step(timer->data);
}

static void begin_shutdown(struct program *p)
{
    const struct drain_request drain = {
        .duration_ms = p->settings->shutdown.drain_ms, .percent = 100, .is_final = true};
    size_t n_clients;
    log_info("main", "shutting_down");
    notify_stopping(p->notify,
                    drain.duration_ms + p->settings->shutdown.timeout_ms + EXTRA_TIME_MS);
    if (drain.duration_ms > 0 && hub_drain(p->hub, &drain, &n_clients) == STATUS_OK) {
        p->state = SHUTDOWN_DRAINING;
    } else {
        stop_accepting(p);
    }
    uv_timer_start(&p->shutdown_timer, on_shutdown_timer, 0, SHUTDOWN_TURN_MS);
}

/* --- coming up --- */

static bool begins_with_https(const char *url)
{
    return url && strncmp(url, "https://", strlen("https://")) == 0;
}

/* Then certificates will be verified, and what that needs is better loaded before there is a loop
 * to hold up. */
static bool has_https_feed(const struct settings *settings)
{
    const struct feed_options *feeds = settings->feeds.items;
    for (size_t i = 0; i < settings->feeds.n_items; i++) {
        const struct feed_upstream_options *upstreams = feeds[i].upstreams.items;
        for (size_t k = 0; k < feeds[i].upstreams.n_items; k++) {
            if (begins_with_https(upstreams[k].url)) {
                return true;
            }
        }
    }
    return false;
}

/* Feeds, what callers name, and backends of clients: none of them shall hold up another, and
 * guarded requests never go over connections that were made without a guard. */
static enum status open_pools(struct program *p)
{
    const struct upstreams_options *upstreams = &p->settings->upstreams;
    struct fetch_pool_options options = {
        .loop = p->loop,
        .max_concurrent = upstreams->max_concurrent,
        .max_per_host = upstreams->max_concurrent_per_host,
        .max_waiting = upstreams->max_waiting,
        .user_agent = "Belfry/" BELFRY_VERSION,
        .uses_libcurl_only = !upstreams->direct,
        .needs_tls = has_https_feed(p->settings),
    };
    enum status status = fetch_pool_create(&options, &p->fetch_pool);
    p->guard = address_guard_create(&upstreams->allow_hosts);
    if (status == STATUS_OK) {
        options.guard = p->guard;
        options.needs_tls = upstreams->allow_hosts.n_items > 0;
        status = fetch_pool_create(&options, &p->guarded_pool);
    }
    if (status == STATUS_OK) {
        options.guard = NULL;
        options.max_per_host = 0;
        options.needs_tls = false;
        status = fetch_pool_create(&options, &p->backend_pool);
    }
    return status;
}

static enum status open_parts(struct program *p)
{
    const struct settings *settings = p->settings;
    enum status status = loop_create(&p->loop);
    if (status == STATUS_OK) {
        status = deadlines_create(p->loop, DEADLINE_TICK_MS, DEADLINE_SLOTS, &p->deadlines);
    }
    if (status == STATUS_OK) {
        struct storage_options options = {
            .loop = p->loop,
            .path = settings->storage.path,
            .durability = (enum storage_durability)settings->storage.durability,
            .queue_max_size = (size_t)settings->storage.queue_max_size,
            .stream_limit = (uint64_t)settings->storage.stream_limit,
            .idempotency_key_limit = (uint64_t)settings->storage.idempotency_key_limit,
        };
        status = storage_open(&options, &p->storage);
    }
    return status == STATUS_OK ? open_pools(p) : status;
}

static struct hub_options hub_options_of(const struct program *p)
{
    struct hub_options options = {
        .loop = p->loop,
        .deadlines = p->deadlines,
        .storage = p->storage,
        .fetch_pool = p->fetch_pool,
        .guarded_pool = p->guarded_pool,
        .guard = p->guard,
        .backend_pool = p->backend_pool,
        .version = BELFRY_VERSION,
    };
    reload_set_hub_options(&options, p->settings);
    return options;
}

/* What "systemctl status" shows. */
static void describe(void *arg, char *ret_text, size_t size)
{
    const struct program *p = arg;
    (void)snprintf(ret_text, size, "%zu connections%s", server_n_connections(p->server),
                   p->state == SHUTDOWN_NOT_BEGUN ? "" : ", ending");
}

static enum status open_hub(struct program *p)
{
    struct hub_options options = hub_options_of(p);
    enum status status = hub_create(&options, &p->hub);
    if (status == STATUS_OK) {
        status = server_create(p->loop, p->deadlines, p->hub, p->storage, &p->settings->server,
                               &p->server);
    }
    return status;
}

/* --- another configuration --- */

static void warn_of_open_doors(const struct settings *settings)
{
    if (settings->client.insecure) {
        log_warn("main", "client_insecure", log_s("meaning", "everybody may do everything"));
    }
    if (settings->server.http_api.insecure) {
        log_warn("main", "http_api_insecure", log_s("meaning", "everybody may call the API"));
    }
    if (settings->server.demo.enabled) {
        log_warn("main", "demo_enabled",
                 log_s("meaning", "everybody may refresh feeds and post demo notifications"));
    }
}

static void reload(struct program *p)
{
    const struct reload reload = {
        .path = p->config,
        .settings = &p->settings,
        .hub = p->hub,
        .hub_options = hub_options_of(p),
        .server = p->server,
        .guard = p->guard,
    };
    if (p->state != SHUTDOWN_NOT_BEGUN) {
        log_warn("reload", "not_reloaded", log_s("meaning", "the program ends"));
        return;
    }
    notify_reloading(p->notify);
    reload_configuration(&reload);
    notify_ready(p->notify);
    warn_of_open_doors(p->settings);
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct program *p = handle->data;
    if (number == SIGHUP) {
        reload(p);
    } else if (p->state != SHUTDOWN_NOT_BEGUN) {
        log_warn("main", "ended_by_second_signal", log_i("signal", number));
        _exit(128 + number);
    } else {
        begin_shutdown(p);
    }
}

static void watch_signals(struct program *p)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    uv_loop_t *uv = loop_uv(p->loop);
    uv_timer_init(uv, &p->shutdown_timer);
    p->shutdown_timer.data = p;
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        uv_signal_init(uv, &p->signals[i]);
        p->signals[i].data = p;
        uv_signal_start(&p->signals[i], on_signal, numbers[i]);
    }
}

/* What the requests under way need is freed and asked for again with every group of them. By
 * default glibc gives back all beyond 128 KB at once: tens of thousands of page faults a second in
 * a hub that is published to. */
static void keep_some_memory(void)
{
    mallopt(M_TRIM_THRESHOLD, 4 << 20);
    mallopt(M_TOP_PAD, 256 << 10);
}

static int serve(struct program *p)
{
    keep_some_memory();
    signal(SIGHUP, SIG_IGN); /* the configuration is being read anyway */
    log_set_level((enum log_level)p->settings->log.level);
    log_set_format((enum log_format)p->settings->log.format);
    umask(027); /* what clients were sent is not for everybody on the machine */
    warn_of_open_doors(p->settings);
    enum status status = open_parts(p);
    if (status == STATUS_OK) {
        status = open_hub(p);
    }
    if (status == STATUS_OK) {
        status = notify_create(p->loop, describe, p, &p->notify);
    }
    if (status != STATUS_OK) {
        log_error("main", "not_started", log_s("why", status_name(status)));
        return 1; /* the process ends: the system takes back what had been opened */
    }
    watch_signals(p);
    log_info("server", "listening", log_s("address", p->settings->server.http_server.address),
             log_i("port", server_port(p->server)), log_s("version", BELFRY_VERSION));
    notify_ready(p->notify);
    loop_run(p->loop);
    server_destroy(p->server);
    loop_destroy(p->loop);
    address_guard_destroy(p->guard);
    log_info("main", "stopped");
    return 0;
}

/* --- command line --- */

static int run_serve(int argc, char **argv)
{
    const char *config = NULL;
    const struct command_option options[] = {
        {"config", 'c', "FILE", "the configuration", true, &config, NULL},
    };
    struct program program = {.state = SHUTDOWN_NOT_BEGUN};
    int code;
    if (!command_read(options, 1, argc, argv, &code)) {
        return code;
    }
    program.config = config;
    program.settings = settings_open(config, settings_print_error, NULL);
    if (!program.settings) {
        return 1;
    }
    code = serve(&program);
    lifetime_release(&program.settings->lifetime);
    return code;
}

static int run_version(int argc, char **argv)
{
    int code;
    if (command_read(NULL, 0, argc, argv, &code)) {
        puts("belfry " BELFRY_VERSION);
        code = 0;
    }
    return code;
}

static const struct command commands[] = {
    {"serve", "run the hub (where no command is named)", run_serve},
    {"checkconfig", "say all that is wrong with a configuration", tools_checkconfig},
    {"configschema", "print the JSON Schema of configurations", tools_configschema},
    {"defaultconfig", "print all keys with their defaults", tools_defaultconfig},
    {"genconfig", "write a configuration to start from", tools_genconfig},
    {"gentoken", "make a connection token", tools_gentoken},
    {"gensubtoken", "make a subscription token", tools_gensubtoken},
    {"checktoken", "say whether a connection token is good", tools_checktoken},
    {"checksubtoken", "say whether a subscription token is good", tools_checksubtoken},
    {"checkdb", "say all that is wrong with the database", tools_checkdb},
    {"backup", "copy the database, also of a running hub", tools_backup},
    {"top", "show what a hub does, each second", tools_top},
    {"version", "print the version", run_version},
};

#define N_COMMANDS (sizeof(commands) / sizeof(commands[0]))

static void print_usage(FILE *to)
{
    fputs("Belfry, a WebSocket notification hub with REST fan-out.\n"
          "\n"
          "usage: belfry [COMMAND] --config FILE ...\n"
          "\n",
          to);
    for (size_t i = 0; i < N_COMMANDS; i++) {
        fprintf(to, "  %-18s %s\n", commands[i].name, commands[i].summary);
    }
    fputs("\n"
          "\"belfry COMMAND --help\" names its options. Scalar keys of the configuration can be\n"
          "overridden by environment variables: http_server.port by BELFRY_HTTP_SERVER_PORT.\n"
          "SIGTERM and SIGINT end the hub in an orderly way, a second one at once; SIGHUP lets it\n"
          "read its configuration again.\n",
          to);
}

static int unknown_command(const char *name)
{
    fprintf(stderr, "belfry: \"%.60s\" is not one of the commands:", name);
    for (size_t i = 0; i < N_COMMANDS; i++) {
        fprintf(stderr, "%s%s", i > 0 ? ", " : " ", commands[i].name);
    }
    fputs("\n", stderr);
    return 2;
}

static bool is_one_of(const char *word, const char *a, const char *b, const char *c)
{
    return strcmp(word, a) == 0 || strcmp(word, b) == 0 || strcmp(word, c) == 0;
}

int main(int argc, char **argv)
{
    /* Beyond a limit of file size (RLIMIT_FSIZE) writing shall fail, like on a full disk. */
    signal(SIGXFSZ, SIG_IGN);
    const char *name = argc > 1 ? argv[1] : "";
    if (is_one_of(name, "--help", "-h", "help")) {
        print_usage(stdout);
        return 0;
    }
    if (is_one_of(name, "--version", "-v", "version")) {
        return run_version(1, (char *[]){"version", NULL});
    }
    if (name[0] == '-' || argc < 2) {
        argv[0] = "serve";
        return run_serve(argc, argv);
    }
    for (size_t i = 0; i < N_COMMANDS; i++) {
        if (strcmp(name, commands[i].name) == 0) {
            return commands[i].run(argc - 1, argv + 1);
        }
    }
    return unknown_command(name);
}
