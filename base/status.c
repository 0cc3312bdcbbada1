/* SPDX-License-Identifier: MIT */
/* The names of the outcomes in base/status.h. They appear in logs and metrics: do not rename. */
#include "base/status.h"

const char *status_name(enum status status)
{
    switch (status) {
    case STATUS_OK: return "ok";
    case STATUS_NO_MEMORY: return "no_memory";
    case STATUS_INVALID: return "invalid";
    case STATUS_TOO_LARGE: return "too_large";
    case STATUS_NOT_FOUND: return "not_found";
    case STATUS_UNKNOWN_CHANNEL: return "unknown_channel";
    case STATUS_DENIED: return "denied";
    case STATUS_ALREADY: return "already";
    case STATUS_LIMIT: return "limit";
    case STATUS_NOT_AVAILABLE: return "not_available";
    case STATUS_EXPIRED: return "expired";
    case STATUS_UNRECOVERABLE: return "unrecoverable";
    case STATUS_OVERLOADED: return "overloaded";
    case STATUS_TIMEOUT: return "timeout";
    case STATUS_CANCELLED: return "cancelled";
    case STATUS_CLOSED: return "closed";
    case STATUS_CONNECT: return "connect";
    case STATUS_IO: return "io";
    case STATUS_CORRUPT: return "corrupt";
    case STATUS_VERSION: return "version";
    case STATUS_UNAUTHORIZED: return "unauthorized";
    case STATUS_INTERNAL: return "internal";
    case STATUS_PENDING: return "pending";
    case STATUS_REFUSED: return "refused";
    case STATUS_NO_METHOD: return "no_method";
    case STATUS_OVER: return "over";
    case STATUS_WRONG_FORMAT: return "wrong_format";
    case STATUS_UPSTREAM_FAILED: return "upstream_failed";
    case STATUS_UPSTREAM_TIMEOUT: return "upstream_timeout";
    }
    return "unknown";
}
