/* SPDX-License-Identifier: MIT */
#include "protocols/errors.h"

static const struct {
    enum status status;
    struct client_error error;
} errors[] = {
    {STATUS_UNAUTHORIZED, {101, "unauthorized", false}},
    {STATUS_UNKNOWN_CHANNEL, {102, "unknown channel", false}},
    {STATUS_NOT_FOUND, {102, "unknown channel", false}},
    {STATUS_DENIED, {103, "permission denied", false}},
    {STATUS_ALREADY, {105, "already subscribed", false}},
    {STATUS_LIMIT, {106, "limit exceeded", false}},
    {STATUS_NO_METHOD, {104, "method not found", false}},
    {STATUS_INVALID, {107, "bad request", false}},
    {STATUS_WRONG_FORMAT, {107, "bad request", false}},
    {STATUS_TOO_LARGE, {107, "bad request", false}},
    {STATUS_NOT_AVAILABLE, {108, "not available", false}},
    {STATUS_EXPIRED, {109, "token expired", false}},
    {STATUS_OVER, {110, "expired", false}},
    {STATUS_OVERLOADED, {111, "too many requests", true}},
    {STATUS_UNRECOVERABLE, {112, "unrecoverable position", false}},
    /* Not of that protocol: in the range that it leaves to applications. */
    {STATUS_UPSTREAM_FAILED, {502, "upstream failed", true}},
    {STATUS_UPSTREAM_TIMEOUT, {504, "upstream timeout", true}},
};

const struct client_error *protocol_error_of(enum status status)
{
    static const struct client_error internal = {100, "internal server error", true};
    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        if (errors[i].status == status) {
            return &errors[i].error;
        }
    }
    return &internal;
}
