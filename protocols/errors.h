/* What a client or backend is told about an outcome: the error codes of the Centrifugo protocol. */
#ifndef BELFRY_PROTOCOLS_ERRORS_H
#define BELFRY_PROTOCOLS_ERRORS_H

#include "base/buf.h"
#include "base/status.h"

struct protocol_error {
    uint32_t code;
    const char *message;
    bool is_temporary;
};

const struct protocol_error *protocol_error_of(enum status status);

/* Of the request to subscribe, publish, ... itself: 101, 104. */
extern const struct protocol_error error_method_not_found;

#endif
