/* SPDX-License-Identifier: MIT */
/* Unit reload is the way of a new configuration, in four steps:
 *   1. The file is read into settings of its own, with all the checks of a start.
 *   2. Values that only a start can change (config_field.change) are exchanged for those in use:
 *      from here on the new settings are what will be in use, and point to the same texts.
 *   3. Every part makes what it needs from them: keys, feeds, guard, certificates. That may fail.
 *   4. Every part takes over, which cannot fail.
 * Until the third has ended nothing has changed, and all of it is dropped where it fails. Former
 * settings live on for feeds and backends that are as they were, and for what is under way. */
#include "reload.h"

#include <stdlib.h>

#include "base/config_diff.h"
#include "base/log.h"
#include "protocols/tls.h"

/* Lines about single keys: a whole new file has thousands. */
#define LINES_MAX 200

void reload_set_hub_options(struct hub_options *options, struct settings *settings)
{
    options->lifetime = &settings->lifetime;
    options->client = &settings->client;
    options->channel = &settings->channel;
    options->feeds = &settings->feeds;
    options->upstreams = &settings->upstreams;
    options->rpc = &settings->rpc;
    options->proxies = &settings->proxies;
    options->webhooks = &settings->webhooks;
    options->drain_ms = settings->shutdown.drain_ms;
}

/* --- what the log says --- */

static void say_error(void *arg, const char *path, const char *text)
{
    (void)arg;
    log_error("reload", "config_error", log_s("file", path), log_s("error", text));
}

struct difference {
    char *path;
    enum config_difference what;
    bool needs_restart;
};

struct differences {
    struct difference kept[LINES_MAX];
    size_t n_kept;
    size_t n_changed;
    size_t n_need_restart;
};

static void add_difference(void *arg, const char *path, enum config_difference what,
                           bool needs_restart)
{
    struct differences *all = arg;
    all->n_changed += !needs_restart;
    all->n_need_restart += needs_restart;
    if (all->n_kept < LINES_MAX) {
        all->kept[all->n_kept++] = (struct difference){str_dup(str_of(path)), what, needs_restart};
    }
}

static void say_differences(const struct differences *all)
{
    static const char *const events[] = {
        [CONFIG_CHANGED] = "changed", [CONFIG_ADDED] = "added", [CONFIG_REMOVED] = "removed"};
    size_t n = all->n_changed + all->n_need_restart;
    for (size_t i = 0; i < all->n_kept; i++) {
        const struct difference *d = &all->kept[i];
        const char *path = d->path ? d->path : "";
        if (d->needs_restart) {
            log_warn("reload", "restart_needed", log_s("key", path));
        } else {
            log_info("reload", events[d->what], log_s("key", path));
        }
    }
    if (n > all->n_kept) {
        log_info("reload", "and_more", log_i("keys", (int64_t)(n - all->n_kept)));
    }
}

static void free_differences(struct differences *all)
{
    for (size_t i = 0; i < all->n_kept; i++) {
        free(all->kept[i].path);
    }
}

/* --- the steps --- */

struct change {
    struct hub_change *hub;
    struct address_guard *guard;
};

static enum status prepare(const struct reload *r, struct settings *settings,
                           struct change *ret_change)
{
    struct hub_options options = r->hub_options;
    reload_set_hub_options(&options, settings);
    enum status status = hub_prepare(r->hub, &options, &ret_change->hub);
    if (status == STATUS_OK) {
        ret_change->guard = address_guard_create(&settings->upstreams.allow_hosts);
    } else {
        log_error("reload", "not_prepared", log_s("why", status_name(status)));
    }
    return status;
}

static void commit(const struct reload *r, struct settings *settings, struct change *change)
{
    address_guard_replace(r->guard, change->guard);
    hub_commit(r->hub, change->hub);
    server_set_options(r->server, &settings->server);
    log_set_level((enum log_level)settings->log.level);
    log_set_format((enum log_format)settings->log.format);
}

/* The last thing that can fail. A failure has changed nothing, success has changed all of it. */
static enum status take_certificate(const struct reload *r, const struct settings *settings)
{
    struct tls_problem problem = {.key = "", .file = "", .expected = ""};
    enum status status = server_reload_tls(r->server, &settings->server.http_server.tls, &problem);
    if (status != STATUS_OK) {
        log_error("reload", "certificate_not_taken", log_s("why", status_name(status)),
                  log_s("key", problem.key), log_s("file", problem.file),
                  log_s("expected", problem.expected));
    }
    return status;
}

static enum status take(const struct reload *r, struct settings *settings)
{
    struct change change = {.hub = NULL};
    enum status status = prepare(r, settings, &change);
    if (status == STATUS_OK) {
        status = take_certificate(r, settings);
    }
    if (status == STATUS_OK) {
        commit(r, settings, &change);
    } else {
        hub_change_destroy(change.hub);
        address_guard_destroy(change.guard);
    }
    return status;
}

/* Takes the newer ones. */
static bool take_or_drop(const struct reload *r, struct settings *newer)
{
    struct settings *older = *r->settings;
    config_exchange_fixed(&settings_shape, older, newer);
    if (take(r, newer) != STATUS_OK) {
        config_exchange_fixed(&settings_shape, older, newer);
        lifetime_release(&newer->lifetime);
        return false;
    }
    *r->settings = newer;
    lifetime_release(&older->lifetime);
    return true;
}

static bool reload_from(const struct reload *r, struct settings *newer)
{
    struct differences all = {.n_kept = 0};
    config_diff(&settings_shape, *r->settings, newer, add_difference, &all);
    bool is_taken = take_or_drop(r, newer);
    if (is_taken) {
        say_differences(&all);
        log_info("reload", "reloaded", log_i("changed", (int64_t)all.n_changed),
                 log_i("restart_needed", (int64_t)all.n_need_restart));
    }
    free_differences(&all);
    return is_taken;
}

void reload_configuration(const struct reload *r)
{
    log_info("reload", "begun", log_s("file", r->path));
    struct settings *newer = settings_open(r->path, say_error, NULL);
    bool is_taken = newer && reload_from(r, newer);
    server_count_reload(r->server, is_taken);
    if (!is_taken) {
        log_error("reload", "not_reloaded", log_s("file", r->path),
                  log_s("meaning", "all is as it was"));
    }
}
