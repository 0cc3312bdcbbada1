/* SPDX-License-Identifier: MIT */
/* The sections rate_limit, retry, breaker and hedge: defaults, values, and what is refused. */
#include "upstreams/upstream_options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void read_good(const char *text, const struct config_shape *shape, void *object)
{
    struct config_errors errors;
    enum status status = config_read(str_of(text), shape, object, &errors);
    if (status != STATUS_OK) {
        fail_msg("%s: %s", text, errors.texts[0]);
    }
    config_errors_release(&errors);
    config_release(shape, object);
}

/* One error, which begins with the path. */
static void assert_refused(const char *text, const struct config_shape *shape, const char *path,
                           const char *words)
{
    union {
        struct rate_limit_options rate_limit;
        struct retry_options retry;
        struct breaker_options breaker;
        struct hedge_options hedge;
    } object;
    struct config_errors errors;
    enum status status = config_read(str_of(text), shape, &object, &errors);
    if (status != STATUS_INVALID || errors.n_texts != 1 ||
        !str_starts_with(str_of(errors.texts[0]), str_of(path)) ||
        !strstr(errors.texts[0], words)) {
        fail_msg("%s: %zu errors: %s", text, errors.n_texts,
                 errors.n_texts > 0 ? errors.texts[0] : "");
    }
    config_errors_release(&errors);
    config_release(shape, &object);
}

static void test_defaults(void **state)
{
    (void)state;
    struct rate_limit_options rate_limit;
    struct retry_options retry;
    struct breaker_options breaker;
    struct hedge_options hedge;
    read_good("{}", &rate_limit_options_shape, &rate_limit);
    assert_int_equal(rate_limit.requests, 0);
    assert_int_equal(rate_limit.per_ms, 1000);
    assert_int_equal(rate_limit.burst, 0);
    read_good("{}", &retry_options_shape, &retry);
    assert_int_equal(retry.attempts, 0);
    assert_int_equal(retry.backoff_ms, 50);
    assert_int_equal(retry.max_backoff_ms, 1000);
    assert_false(retry.idempotent);
    assert_int_equal(retry.budget, 20);
    read_good("{}", &breaker_options_shape, &breaker);
    assert_int_equal(breaker.failures, 5);
    assert_int_equal(breaker.open_ms, 5000);
    assert_int_equal(breaker.max_open_ms, 300000);
    read_good("{}", &hedge_options_shape, &hedge);
    assert_int_equal(hedge.percentile, 0);
    assert_int_equal(hedge.min_delay_ms, 10);
    assert_int_equal(hedge.budget, 5);
}

static void test_values(void **state)
{
    (void)state;
    struct rate_limit_options rate_limit;
    struct retry_options retry;
    struct breaker_options breaker;
    struct hedge_options hedge;
    read_good("{\"requests\":3,\"per\":\"1m\",\"burst\":9}", &rate_limit_options_shape,
              &rate_limit);
    assert_int_equal(rate_limit.requests, 3);
    assert_int_equal(rate_limit.per_ms, 60000);
    assert_int_equal(rate_limit.burst, 9);
    read_good("{\"attempts\":2,\"backoff\":\"1s\",\"max_backoff\":\"1s\",\"idempotent\":true,"
              "\"budget\":0}",
              &retry_options_shape, &retry);
    assert_int_equal(retry.attempts, 2);
    assert_int_equal(retry.backoff_ms, 1000);
    assert_int_equal(retry.max_backoff_ms, 1000);
    assert_true(retry.idempotent);
    assert_int_equal(retry.budget, 0);
    read_good("{\"failures\":0,\"open\":\"1ms\",\"max_open\":\"1ms\"}", &breaker_options_shape,
              &breaker);
    assert_int_equal(breaker.failures, 0);
    assert_int_equal(breaker.open_ms, 1);
    assert_int_equal(breaker.max_open_ms, 1);
    read_good("{\"percentile\":0}", &hedge_options_shape, &hedge);
    read_good("{\"percentile\":99,\"min_delay\":\"0s\",\"budget\":100}", &hedge_options_shape,
              &hedge);
    assert_int_equal(hedge.percentile, 99);
    assert_int_equal(hedge.min_delay_ms, 0);
    assert_int_equal(hedge.budget, 100);
}

static void test_what_is_refused(void **state)
{
    (void)state;
    const struct config_shape *rate_limit = &rate_limit_options_shape;
    assert_refused("{\"requests\":-1}", rate_limit, "requests", "0 to 1000000");
    assert_refused("{\"requests\":1,\"per\":\"0s\"}", rate_limit, "per", "1ms");
    assert_refused("{\"burst\":5}", rate_limit, "requests", "burst");
    const struct config_shape *retry = &retry_options_shape;
    assert_refused("{\"attempts\":11}", retry, "attempts", "0 to 10");
    assert_refused("{\"backoff\":\"0s\"}", retry, "backoff", "1ms");
    assert_refused("{\"backoff\":\"2s\"}", retry, "max_backoff", "at least backoff");
    assert_refused("{\"budget\":101}", retry, "budget", "0 to 100");
    assert_refused("{\"tries\":1}", retry, "tries", "");
    const struct config_shape *breaker = &breaker_options_shape;
    assert_refused("{\"failures\":-1}", breaker, "failures", "0 to");
    assert_refused("{\"open\":\"6m\"}", breaker, "max_open", "at least open");
    assert_refused("{\"open\":\"0s\"}", breaker, "open", "1ms");
    const struct config_shape *hedge = &hedge_options_shape;
    assert_refused("{\"percentile\":49}", hedge, "percentile", "50 to 99");
    assert_refused("{\"percentile\":100}", hedge, "percentile", "50 to 99");
    assert_refused("{\"budget\":-1}", hedge, "budget", "0 to 100");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_what_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
