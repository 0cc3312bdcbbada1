/* SPDX-License-Identifier: MIT */
/* Unit access_log chooses which requests have a line, and writes it. Its state is the count since
 * the last one chosen. */
#include "protocols/access_log.h"

#include <libwebsockets.h>

#include "base/log.h"

static const struct config_field fields[] = {
    {.key = "enabled",
     .type = CONFIG_BOOL,
     .offset = offsetof(struct access_log_options, enabled),
     .fallback = "false",
     .doc = "Answered requests are logged, a line each."},
    {.key = "one_of",
     .type = CONFIG_INT,
     .offset = offsetof(struct access_log_options, one_of),
     .fallback = "1",
     .min = 1,
     .max = 1000000,
     .doc = "Every so many-th of them. Those with a status of 500 or more, and slow ones, are "
            "logged in any case."},
    {.key = "slow",
     .type = CONFIG_DURATION,
     .offset = offsetof(struct access_log_options, slow_ms),
     .fallback = "1s",
     .min = 1,
     .max = 3600000,
     .doc = "What takes as long is slow."},
};

const struct config_shape access_log_options_shape = {
    .size = sizeof(struct access_log_options),
    .fields = fields,
    .n_fields = sizeof(fields) / sizeof(fields[0]),
};

static bool is_chosen(const struct access_log_options *options,
                      const struct access_log_entry *entry)
{
    static int64_t n_passed;
    if (entry->status >= 500 || entry->duration_us >= options->slow_ms * 1000) {
        return true;
    }
    n_passed++;
    if (n_passed < options->one_of) {
        return false;
    }
    n_passed = 0;
    return true;
}

void access_log_write(const struct access_log_options *options,
                      const struct access_log_entry *entry)
{
    if (!options->enabled || !log_enabled(LOG_INFO) || !is_chosen(options, entry)) {
        return;
    }
    char peer[64] = "";
    if (entry->wsi) {
        (void)lws_get_peer_simple(entry->wsi, peer, sizeof(peer));
    }
    struct log_field line[10] = {
        log_s("method", entry->method),           log_str("path", entry->path),
        log_i("status", entry->status),           log_i("bytes", entry->n_bytes),
        log_i("duration_us", entry->duration_us), log_s("from", peer),
    };
    size_t n = 6;
    if (entry->id.len > 0) {
        line[n++] = log_str("id", entry->id);
    }
    if (entry->forwarded_for.len > 0) {
        line[n++] = log_str("forwarded_for", entry->forwarded_for);
    }
    if (entry->key.len > 0) {
        line[n++] = log_str("key", entry->key);
    }
    log_write(LOG_INFO, "access", "request", line, n);
}
