/* What a client or backend is told about an outcome: the error codes of the Centrifugo protocol. */
#ifndef BELFRY_PROTOCOLS_ERRORS_H
#define BELFRY_PROTOCOLS_ERRORS_H

#include "base/buf.h"
#include "base/status.h"
#include "hub/client_error.h"

const struct client_error *protocol_error_of(enum status status);

#endif
