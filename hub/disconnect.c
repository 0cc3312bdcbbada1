/* SPDX-License-Identifier: MIT */
#include "hub/disconnect.h"

const struct disconnect disconnect_shutdown = {3001, "shutdown"};
const struct disconnect disconnect_internal_error = {3004, "internal server error"};
const struct disconnect disconnect_expired = {3005, "connection expired"};
const struct disconnect disconnect_slow = {3008, "slow"};
const struct disconnect disconnect_no_pong = {3012, "no pong"};
const struct disconnect disconnect_invalid_token = {3500, "invalid token"};
const struct disconnect disconnect_bad_request = {3501, "bad request"};
const struct disconnect disconnect_stale = {3502, "stale"};
const struct disconnect disconnect_not_available = {3508, "not available"};

const struct disconnect unsubscribe_insufficient_state = {2500, "insufficient state"};
