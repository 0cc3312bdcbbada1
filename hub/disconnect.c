/* SPDX-License-Identifier: MIT */
#include "hub/disconnect.h"

const struct disconnect disconnect_connection_closed = {3000, "connection closed"};
const struct disconnect disconnect_shutdown = {3001, "shutdown"};
const struct disconnect disconnect_max_lifetime = {3001, "max lifetime"};
const struct disconnect disconnect_internal_error = {3004, "internal server error"};
const struct disconnect disconnect_expired = {3005, "connection expired"};
const struct disconnect disconnect_subscription_expired = {3006, "subscription expired"};
const struct disconnect disconnect_slow = {3008, "slow"};
const struct disconnect disconnect_insufficient_state = {3010, "insufficient state"};
const struct disconnect disconnect_no_pong = {3012, "no pong"};
const struct disconnect disconnect_too_many_requests = {3013, "too many requests"};
const struct disconnect disconnect_invalid_token = {3500, "invalid token"};
const struct disconnect disconnect_bad_request = {3501, "bad request"};
const struct disconnect disconnect_stale = {3502, "stale"};
const struct disconnect disconnect_forced = {3503, "force disconnect"};
const struct disconnect disconnect_connection_limit = {3504, "connection limit"};
const struct disconnect disconnect_channel_limit = {3505, "channel limit"};
const struct disconnect disconnect_permission_denied = {3507, "permission denied"};
const struct disconnect disconnect_not_available = {3508, "not available"};

const struct disconnect unsubscribe_by_client = {0, "client unsubscribed"};
const struct disconnect unsubscribe_disconnected = {1, "client disconnected"};
const struct disconnect unsubscribe_by_server = {2000, "server unsubscribe"};
const struct disconnect unsubscribe_insufficient_state = {2500, "insufficient state"};
const struct disconnect unsubscribe_expired = {2501, "subscription expired"};
