/* SPDX-License-Identifier: MIT */
/* Unit api_methods has no state. */
#include "protocols/api_methods.h"

const char *const api_method_names[] = {
    [API_BATCH] = "batch",
    [API_BROADCAST] = "broadcast",
    [API_CHANNELS] = "channels",
    [API_DISCONNECT] = "disconnect",
    [API_DRAIN] = "drain",
    [API_FANOUT] = "fanout",
    [API_FEED_GET] = "feed_get",
    [API_FEED_PURGE] = "feed_purge",
    [API_FEED_REFRESH] = "feed_refresh",
    [API_FEED_RUNS] = "feed_runs",
    [API_FEEDS] = "feeds",
    [API_HISTORY] = "history",
    [API_HISTORY_REMOVE] = "history_remove",
    [API_INFO] = "info",
    [API_PRESENCE] = "presence",
    [API_PRESENCE_STATS] = "presence_stats",
    [API_PUBLISH] = "publish",
    [API_REFRESH] = "refresh",
    [API_RPC] = "rpc",
    [API_SUBSCRIBE] = "subscribe",
    [API_UNSUBSCRIBE] = "unsubscribe",
    [API_URL_PROXY] = "url_proxy",
    [N_API_METHODS] = NULL,
};

enum api_method api_method_find(struct str name)
{
    enum api_method method = 0;
    if (str_eq(name, STR("publish"))) { /* most of what comes */
        return API_PUBLISH;
    }
    while (method < N_API_METHODS && !str_eq(name, str_of(api_method_names[method]))) {
        method++;
    }
    return method;
}
