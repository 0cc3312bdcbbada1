/* SPDX-License-Identifier: MIT */
/* Unit metrics_api writes what was counted of calls and keys. Methods have samples from their first
 * call on, and errors when they have occurred. Names and labels are Centrifugo's where the thing is
 * the same. No state. */
#include "protocols/metrics_api.h"

#include <inttypes.h>

#include "protocols/metrics_text.h"

#define LABELS_MAX_BYTES 256

static void write_durations(struct buf *out, const struct api_stats *stats, enum api_method method)
{
    struct buf labels;
    buf_init(&labels, LABELS_MAX_BYTES);
    metrics_label(&labels, "protocol", "http");
    metrics_label(&labels, "method", api_method_names[method]);
    metrics_write_histogram(out, "belfry_api_command_duration_seconds_histogram", buf_str(&labels),
                            METRICS_MICROSECONDS, &stats->durations[method]);
    buf_release(&labels);
}

static void write_errors(struct buf *out, const struct api_stats *stats, enum api_method method)
{
    for (size_t i = 0; i < API_N_ERRORS; i++) {
        if (stats->n_errors[method][i] > 0) {
            buf_printf(
                out,
                "belfry_api_command_errors_total{protocol=\"http\",method=\"%s\",error=\"%u\"} "
                "%" PRIu64 "\n",
                api_method_names[method], api_error_codes[i], stats->n_errors[method][i]);
        }
    }
}

/* Only the main key may have no use: it is there also where none is configured. */
static void write_keys(struct buf *out, const struct api_keys *keys)
{
    metrics_write_head(out, "belfry_api_key_commands_total", "counter",
                       "Calls of the server API, by key.");
    for (size_t i = 0; i < keys->n_places; i++) {
        if (keys->keys[i].name[0] != '\0') {
            buf_printf(out, "belfry_api_key_commands_total{key=\"%s\"} %" PRIu64 "\n",
                       keys->keys[i].name, keys->keys[i].n_calls);
        }
    }
    metrics_write_head(out, "belfry_api_key_denied_total", "counter",
                       "Of them, calls of methods that the key is not for.");
    for (size_t i = 0; i < keys->n_places; i++) {
        if (keys->keys[i].name[0] != '\0') {
            buf_printf(out, "belfry_api_key_denied_total{key=\"%s\"} %" PRIu64 "\n",
                       keys->keys[i].name, keys->keys[i].n_denied);
        }
    }
    metrics_write_head(out, "belfry_api_unauthorized_total", "counter",
                       "Requests without a right key.");
    buf_printf(out, "belfry_api_unauthorized_total %" PRIu64 "\n", keys->n_refused);
}

void metrics_write_api(struct buf *out, const struct api *api)
{
    metrics_write_head(
        out, "belfry_api_command_duration_seconds_histogram", "histogram",
        "From the beginning of a call of the server API to its answer, those in batches too.");
    for (enum api_method method = 0; method < N_API_METHODS; method++) {
        if (histogram_n(&api->stats.durations[method]) > 0) {
            write_durations(out, &api->stats, method);
        }
    }
    metrics_write_head(out, "belfry_api_command_errors_total", "counter",
                       "Calls of the server API that were answered with an error, by its code.");
    for (enum api_method method = 0; method < N_API_METHODS; method++) {
        write_errors(out, &api->stats, method);
    }
    write_keys(out, &api->keys);
}
