/* SPDX-License-Identifier: MIT */
/* Unit upstream_options is the tables of the sections that say how an upstream is asked. */
#include "upstreams/upstream_options.h"

#include <stddef.h>

#define HOUR_MS          INT64_C(3600000)
#define N_FIELDS(fields) (sizeof(fields) / sizeof((fields)[0]))

/* --- rate_limit --- */

static void check_rate_limit(struct config_reader *reader, void *object)
{
    const struct rate_limit_options *options = object;
    if (options->burst > 0 && options->requests == 0 && config_is_good(reader, "requests")) {
        config_complain_need(reader, "requests", "at least 1 where there is a burst");
    }
}

#define RATE_LIMIT(key_, type_, member, ...)                                                       \
    {                                                                                              \
        .key = key_, .type = type_, .offset = offsetof(struct rate_limit_options, member),         \
        __VA_ARGS__                                                                                \
    }

static const struct config_field rate_limit_fields[] = {
    RATE_LIMIT("requests", CONFIG_INT, requests, .fallback = "0", .max = 1000000,
               .doc = "That are sent in one period, retries and second copies with them; 0: no "
                      "limit."),
    RATE_LIMIT("per", CONFIG_DURATION, per_ms, .fallback = "1s", .min = 1, .max = 24 * HOUR_MS,
               .doc = "The period."),
    RATE_LIMIT("burst", CONFIG_INT, burst, .fallback = "0", .max = 1000000,
               .doc = "The most that are sent at once after a quiet time; 0: as requests."),
};
const struct config_shape rate_limit_options_shape = {
    .size = sizeof(struct rate_limit_options),
    .fields = rate_limit_fields,
    .n_fields = N_FIELDS(rate_limit_fields),
    .check = check_rate_limit,
};

/* --- retry --- */

static void check_retry(struct config_reader *reader, void *object)
{
    const struct retry_options *options = object;
    if (options->max_backoff_ms < options->backoff_ms && config_is_good(reader, "backoff")) {
        config_complain(reader, "max_backoff", NULL, "at least backoff");
    }
}

#define RETRY(key_, type_, member, ...)                                                            \
    {                                                                                              \
        .key = key_, .type = type_, .offset = offsetof(struct retry_options, member), __VA_ARGS__  \
    }

static const struct config_field retry_fields[] = {
    RETRY("attempts", CONFIG_INT, attempts, .fallback = "0", .max = 10,
          .doc = "Further ones within the timeout, after a connection that failed or broke, or "
                 "status 429, 502, 503 or 504; 0: none."),
    RETRY("backoff", CONFIG_DURATION, backoff_ms, .fallback = "50ms", .min = 1, .max = HOUR_MS,
          .doc = "Before the first retry; doubled with each, half of it at random."),
    RETRY("max_backoff", CONFIG_DURATION, max_backoff_ms, .fallback = "1s", .min = 1,
          .max = HOUR_MS, .doc = "The most that it is doubled to; Retry-After may ask for more."),
    RETRY("idempotent", CONFIG_BOOL, idempotent, .fallback = "false",
          .doc = "The request may be sent twice although its method does not say so."),
    RETRY("budget", CONFIG_INT, budget, .fallback = "20", .max = 100,
          .doc = "Percent of the calls that may be retried, beside ten in a second."),
};
const struct config_shape retry_options_shape = {
    .size = sizeof(struct retry_options),
    .fields = retry_fields,
    .n_fields = N_FIELDS(retry_fields),
    .check = check_retry,
};

/* --- breaker --- */

static void check_breaker(struct config_reader *reader, void *object)
{
    const struct breaker_options *options = object;
    if (options->max_open_ms < options->open_ms && config_is_good(reader, "open")) {
        config_complain(reader, "max_open", NULL, "at least open");
    }
}

#define BREAKER(key_, type_, member, ...)                                                          \
    {                                                                                              \
        .key = key_, .type = type_, .offset = offsetof(struct breaker_options, member),            \
        __VA_ARGS__                                                                                \
    }

static const struct config_field breaker_fields[] = {
    BREAKER("failures", CONFIG_INT, failures, .fallback = "5", .max = 1000000,
            .doc = "In a row (no answer, 5xx, 429) after which the upstream is not asked for a "
                   "while; 0: it is always asked."),
    BREAKER("open", CONFIG_DURATION, open_ms, .fallback = "5s", .min = 1, .max = 24 * HOUR_MS,
            .doc = "How long it is not asked, before one request tries; doubled when that fails, "
                   "half of it at random."),
    BREAKER("max_open", CONFIG_DURATION, max_open_ms, .fallback = "5m", .min = 1,
            .max = 24 * HOUR_MS, .doc = "The most that it is doubled to."),
};
const struct config_shape breaker_options_shape = {
    .size = sizeof(struct breaker_options),
    .fields = breaker_fields,
    .n_fields = N_FIELDS(breaker_fields),
    .check = check_breaker,
};

/* --- hedge --- */

#define HEDGE(key_, type_, member, ...)                                                            \
    {                                                                                              \
        .key = key_, .type = type_, .offset = offsetof(struct hedge_options, member), __VA_ARGS__  \
    }

static const struct config_field hedge_fields[] = {
    HEDGE("percentile", CONFIG_INT, percentile, .fallback = "0", .min = 50, .max = 99,
          .expected = "0 (never), or a percentile from 50 to 99",
          .doc = "A request that takes longer than so many percent of those before it is sent a "
                 "second time; the first good answer counts; 0: never."),
    HEDGE("min_delay", CONFIG_DURATION, min_delay_ms, .fallback = "10ms", .max = HOUR_MS,
          .doc = "The second copy is not sent before."),
    HEDGE("budget", CONFIG_INT, budget, .fallback = "5", .max = 100,
          .doc = "Percent of the calls that may have a second copy."),
};
const struct config_shape hedge_options_shape = {
    .size = sizeof(struct hedge_options),
    .fields = hedge_fields,
    .n_fields = N_FIELDS(hedge_fields),
};
