/* SPDX-License-Identifier: MIT */
/* The command that shows what a hub does, again and again, or once. One struct has all; the loop is
 * the command's own. */
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "tools/command.h"
#include "tools/tools.h"
#include "tools/top_once.h"
#include "tools/top_page.h"
#include "tools/top_source.h"
#include "tools/top_view.h"
#include "upstreams/target.h"
#include "upstreams/tls_files.h"

#define TIMEOUT_MS      5000
#define INTERVAL_MIN_MS 100
#define INTERVAL_MAX_MS 3600000
#define ONCE_MAX_BYTES  ((size_t)64 << 20)
#define LAST_BYTES      (TOP_WHY_BYTES + 64)

#define N_SIGNALS 5

struct top {
    const char *url;
    const char *key;
    const char *metrics;
    const char *ca;
    int64_t interval_ms;
    bool is_once;
    struct transport_options transport;
    struct loop *loop;
    struct top_source *source;
    struct top_view *view; /* NULL: once */
    struct top_page page;
    uv_timer_t timer;
    uv_signal_t signals[N_SIGNALS];
    uv_poll_t keys;
    bool has_signals;
    bool has_keys;
    struct top_sample *sample;       /* the last good one; NULL: none yet */
    char why[TOP_WHY_BYTES];         /* there is no newer one; "": it is the newest */
    char figures_why[TOP_WHY_BYTES]; /* it has no figures of /metrics */
    enum top_order order;
    bool is_paused;
    bool shows_help;
    bool is_short_of_memory;
    int code;
};

static void end(struct top *top, int code)
{
    top->code = code;
    loop_stop(top->loop);
}

static void drop_sample(struct top *top)
{
    if (top->sample) {
        top_sample_release(top->sample);
        free(top->sample);
        top->sample = NULL;
    }
}

/* --- once --- */

static void complain(const char *what, const char *why)
{
    fprintf(stderr, "belfry top: %s%s\n", what, why);
}

/* Words of the hub's go to a terminal, too. */
static void complain_of(const char *what, struct str words)
{
    struct buf text;
    buf_init(&text, TOP_WHY_BYTES);
    top_append_printable(&text, str_head(words, TOP_WHY_BYTES - 1));
    fprintf(stderr, "belfry top: %s%.*s\n", what, STR_ARG(buf_str(&text)));
    buf_release(&text);
}

static int print(const struct top_sample *sample)
{
    struct buf text;
    buf_init(&text, ONCE_MAX_BYTES);
    top_once_write(&text, sample);
    bool is_written = !buf_failed(&text) && fwrite(text.ptr, 1, text.len, stdout) == text.len &&
                      fflush(stdout) == 0;
    buf_release(&text);
    if (!is_written) {
        complain("not written", "");
    }
    return is_written ? 0 : 1;
}

static void print_once(void *arg, struct top_sample *sample, const char *why,
                       const char *figures_why)
{
    struct top *top = arg;
    if (!sample) {
        complain("", why);
        end(top, 1);
        return;
    }
    top->sample = sample;
    int code = print(sample);
    if (!sample->has_figures) {
        complain("messages, loop lag and storage are not told: ", figures_why);
    }
    if (!sample->has_hub) {
        complain_of("info: ", sample->hub_refused);
        code = 1;
    }
    if (!sample->has_feeds) {
        complain_of("feeds: ", sample->feeds_refused);
        code = 1;
    }
    end(top, code);
}

/* --- the view --- */

static enum top_style write_last(const struct top *top, char last[LAST_BYTES])
{
    if (top->why[0]) {
        (void)snprintf(last, LAST_BYTES, "%s%s", top->why, top->is_paused ? "" : "; trying again");
        return TOP_ALARM;
    }
    if (top->is_paused) {
        (void)snprintf(last, LAST_BYTES, "paused: p goes on");
        return TOP_WARNING;
    }
    (void)snprintf(last, LAST_BYTES, "q quit  s sort: %s  p pause  ? help%s",
                   top_order_name(top->order), top->sample ? "" : "  (asking the hub)");
    return TOP_NOTE;
}

static double age_s(const struct top *top)
{
    bool is_old = top->sample && (top->why[0] || top->is_paused);
    return is_old ? (double)(clock_monotonic_us() - top->sample->time_us) / 1e6 : NAN;
}

static void draw(struct top *top)
{
    char last[LAST_BYTES];
    const struct top_wish wish = {.url = top->url,
                                  .order = top->order,
                                  .width = top_view_width(top->view),
                                  .figures_why = top->figures_why,
                                  .age_s = age_s(top)};
    enum top_style style = write_last(top, last);
    enum status status = top->shows_help ? top_page_write_help(&top->page)
                                         : top_page_write(&top->page, top->sample, &wish);
    if (status != STATUS_OK) {
        top->is_short_of_memory = true; /* said when the terminal is free for it */
        end(top, 1);
        return;
    }
    top_view_draw(top->view, &top->page, last, style);
}

static void show(void *arg, struct top_sample *sample, const char *why, const char *figures_why)
{
    struct top *top = arg;
    (void)snprintf(top->why, sizeof(top->why), "%s", why);
    if (sample) {
        (void)snprintf(top->figures_why, sizeof(top->figures_why), "%s", figures_why);
        top_sample_compare(sample, top->sample);
        drop_sample(top);
        top->sample = sample;
    }
    draw(top);
}

static void on_tick(uv_timer_t *timer)
{
    struct top *top = timer->data;
    if (top->is_paused) {
        draw(top); /* its age */
    } else if (!top_source_is_asking(top->source)) {
        top_source_ask(top->source, top->is_once ? print_once : show, top);
    }
}

/* --- keys and signals --- */

static void take_key(struct top *top, enum top_key key)
{
    if (key == TOP_KEY_QUIT) {
        end(top, 0);
    } else if (top->shows_help) {
        top->shows_help = false;
    } else if (key == TOP_KEY_HELP) {
        top->shows_help = true;
        top_view_scroll(top->view, TOP_KEY_HOME);
    } else if (key == TOP_KEY_SORT) {
        top->order = (top->order + 1) % TOP_N_ORDERS;
    } else if (key == TOP_KEY_PAUSE) {
        top->is_paused = !top->is_paused;
    } else {
        top_view_scroll(top->view, key);
    }
}

static bool has_hung_up(void)
{
    struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};
    return poll(&in, 1, 0) > 0 && (in.revents & (POLLHUP | POLLERR | POLLNVAL));
}

static void on_keys(uv_poll_t *handle, int status, int events)
{
    struct top *top = handle->data;
    enum top_key key;
    (void)events;
    while (top_view_key(top->view, &key)) {
        take_key(top, key);
    }
    if (status < 0 || has_hung_up()) {
        end(top, 0);
        return;
    }
    draw(top);
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct top *top = handle->data;
    if (number == SIGWINCH) {
        top_view_resize(top->view);
        draw(top);
    } else {
        end(top, 0);
    }
}

static void watch_signals(struct top *top)
{
    static const int numbers[N_SIGNALS] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH};
    top->has_signals = true;
    for (size_t i = 0; i < N_SIGNALS; i++) {
        uv_signal_init(loop_uv(top->loop), &top->signals[i]);
        top->signals[i].data = top;
        uv_signal_start(&top->signals[i], on_signal, numbers[i]);
    }
}

/* libuv makes what it polls non-blocking; what a terminal's standard input is, its output is, too,
 * and the shell's: it is set back, since nothing is read that is not there. */
static void watch_keys(struct top *top)
{
    int flags = fcntl(STDIN_FILENO, F_GETFL);
    if (!isatty(STDIN_FILENO) || flags < 0) {
        return;
    }
    top->has_keys = uv_poll_init(loop_uv(top->loop), &top->keys, STDIN_FILENO) == 0;
    (void)fcntl(STDIN_FILENO, F_SETFL, flags);
    if (top->has_keys) {
        top->keys.data = top;
        uv_poll_start(&top->keys, UV_READABLE, on_keys);
    }
}

/* --- running --- */

static bool open_source(struct top *top)
{
    const struct top_source_options options = {
        .loop = top->loop,
        .url = top->url,
        .key = top->key,
        .metrics = top->metrics,
        .timeout_ms = TIMEOUT_MS,
        .transport = top->ca ? &top->transport : NULL,
    };
    enum status status = top_source_create(&options, &top->source);
    if (status != STATUS_OK) {
        complain(status == STATUS_INVALID ? "the key cannot stand in a header"
                                          : status_name(status),
                 "");
    }
    return status == STATUS_OK;
}

/* The signals' handlers stand before ncurses would set its own. */
static bool open_view(struct top *top)
{
    const char *why = "not enough memory";
    watch_signals(top);
    top->view = top_view_open(&why);
    if (!top->view) {
        complain(why, "; --once prints plain text");
        return false;
    }
    watch_keys(top);
    draw(top);
    return true;
}

static void close_all(struct top *top)
{
    top_view_close(top->view);
    top_source_destroy(top->source);
    for (size_t i = 0; top->has_signals && i < N_SIGNALS; i++) {
        uv_close((uv_handle_t *)&top->signals[i], NULL);
    }
    if (top->has_keys) {
        uv_close((uv_handle_t *)&top->keys, NULL);
    }
    uv_close((uv_handle_t *)&top->timer, NULL);
    loop_destroy(top->loop);
    top_page_release(&top->page);
    drop_sample(top);
}

static int run(struct top *top)
{
    top->code = 1;
    log_set_level(LOG_NONE); /* what goes wrong is said by this command */
    signal(SIGPIPE, SIG_IGN);
    top_page_init(&top->page);
    if (loop_create(&top->loop) != STATUS_OK) {
        complain("there is no loop to run on", "");
        return 1;
    }
    uv_timer_init(loop_uv(top->loop), &top->timer);
    top->timer.data = top;
    if (open_source(top) && (top->is_once || open_view(top))) {
        uv_timer_start(&top->timer, on_tick, 0, (uint64_t)top->interval_ms);
        loop_run(top->loop);
    }
    close_all(top);
    if (top->is_short_of_memory) {
        complain("not enough memory", "");
    }
    return top->code;
}

/* --- command line --- */

static bool read_interval(struct top *top, const char *command, const char *text)
{
    uint64_t seconds = 0;
    if (str_to_u64(str_of(text), &seconds) && seconds <= INTERVAL_MAX_MS / 1000) {
        top->interval_ms = (int64_t)seconds * 1000;
    } else if (!config_parse_duration(str_of(text), &top->interval_ms)) {
        top->interval_ms = 0;
    }
    if (top->interval_ms < INTERVAL_MIN_MS || top->interval_ms > INTERVAL_MAX_MS) {
        (void)command_misused(command, "--interval is not a duration from 100ms to 1h, such as "
                                       "\"1s\", or a number of seconds");
        return false;
    }
    return true;
}

static bool check_url(const struct top *top, const char *command)
{
    struct target target;
    if (!target_read(top->url, &target) || target.has_user) {
        (void)command_misused(command, "--url is not an http or https URL, without a user in it, "
                                       "such as \"http://127.0.0.1:8000\"");
        return false;
    }
    if (top->metrics[0] != '/') {
        (void)command_misused(command, "--metrics is not a path that begins with \"/\"");
        return false;
    }
    return true;
}

/* The casts: what is in transport is only read. */
static bool read_authorities(struct top *top)
{
    struct tls_files_problem problem;
    top->transport = (struct transport_options){
        .tls = {.server_ca_pem_file = (char *)top->ca, .cert_pem_file = "", .key_pem_file = ""},
        .proxy = "",
        .http_version = HTTP_VERSION_1_1,
    };
    if (top->ca &&
        tls_files_read(&top->transport.tls, &top->transport.tls.files, &problem) != STATUS_OK) {
        fprintf(stderr, "belfry top: --ca %s: expected %s\n", top->ca, problem.expected);
        return false;
    }
    return true;
}

int tools_top(int argc, char **argv)
{
    struct top top = {.url = "http://127.0.0.1:8000", .metrics = "/metrics"};
    const char *interval = "1s";
    const struct command_option options[] = {
        {"url", 'u', "URL", "the hub; http://127.0.0.1:8000 by default", false, &top.url, NULL},
        {"key", 'k', "KEY", "its API key; by default what BELFRY_KEY has", false, &top.key, NULL},
        {"ca", 0, "FILE", "the authorities of an https URL, in PEM; the system's by default", false,
         &top.ca, NULL},
        {"interval", 'i', "TIME", "between samples, \"500ms\" or seconds; 1s by default", false,
         &interval, NULL},
        {"metrics", 0, "PATH", "of the figures; /metrics by default", false, &top.metrics, NULL},
        {"once", '1', NULL, "print one sample as text, as where the output is no terminal", false,
         NULL, &top.is_once},
    };
    int code;
    if (!command_read(options, sizeof(options) / sizeof(options[0]), argc, argv, &code)) {
        return code;
    }
    if (!read_interval(&top, argv[0], interval) || !check_url(&top, argv[0])) {
        return 2;
    }
    if (!top.key && getenv("BELFRY_KEY") && *getenv("BELFRY_KEY")) {
        top.key = getenv("BELFRY_KEY");
    }
    if (!read_authorities(&top)) {
        return 1;
    }
    top.is_once = top.is_once || !isatty(STDOUT_FILENO);
    code = run(&top);
    tls_files_free(top.transport.tls.files);
    return code;
}
