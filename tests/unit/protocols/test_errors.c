/* SPDX-License-Identifier: MIT */
/* The codes that outcomes become. */
#include "protocols/errors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void every_status_has_its_code(void **state)
{
    (void)state;
    static const struct {
        enum status status;
        uint32_t code;
        const char *message;
        bool is_temporary;
    } expected[] = {
        {STATUS_NO_MEMORY, 100, "internal server error", true},
        {STATUS_INVALID, 107, "bad request", false},
        {STATUS_WRONG_FORMAT, 107, "bad request", false},
        {STATUS_TOO_LARGE, 107, "bad request", false},
        {STATUS_NOT_FOUND, 102, "unknown channel", false},
        {STATUS_UNKNOWN_CHANNEL, 102, "unknown channel", false},
        {STATUS_DENIED, 103, "permission denied", false},
        {STATUS_ALREADY, 105, "already subscribed", false},
        {STATUS_LIMIT, 106, "limit exceeded", false},
        {STATUS_NOT_AVAILABLE, 108, "not available", false},
        {STATUS_EXPIRED, 109, "token expired", false},
        {STATUS_UNRECOVERABLE, 112, "unrecoverable position", false},
        {STATUS_OVERLOADED, 111, "too many requests", true},
        {STATUS_IO, 100, "internal server error", true},
        {STATUS_CORRUPT, 100, "internal server error", true},
        {STATUS_UNAUTHORIZED, 101, "unauthorized", false},
        {STATUS_NO_METHOD, 104, "method not found", false},
        {STATUS_OVER, 110, "expired", false},
        {STATUS_CONNECT, 100, "internal server error", true},
        {STATUS_INTERNAL, 100, "internal server error", true},
        {STATUS_UPSTREAM_FAILED, 502, "upstream failed", true},
        {STATUS_UPSTREAM_TIMEOUT, 504, "upstream timeout", true},
    };
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
        const struct client_error *error = protocol_error_of(expected[i].status);
        assert_int_equal(error->code, expected[i].code);
        assert_string_equal(error->message, expected[i].message);
        assert_int_equal(error->is_temporary, expected[i].is_temporary);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_status_has_its_code)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
