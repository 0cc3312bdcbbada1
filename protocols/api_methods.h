/* The methods of the server API by their names, which keys are given, too. */
#ifndef BELFRY_PROTOCOLS_API_METHODS_H
#define BELFRY_PROTOCOLS_API_METHODS_H

#include "base/str.h"

enum api_method {
    API_BATCH,
    API_BROADCAST,
    API_CHANNELS,
    API_DISCONNECT,
    API_DRAIN,
    API_FANOUT,
    API_FEED_GET,
    API_FEED_PURGE,
    API_FEED_REFRESH,
    API_FEED_RUNS,
    API_FEEDS,
    API_HISTORY,
    API_HISTORY_REMOVE,
    API_INFO,
    API_PRESENCE,
    API_PRESENCE_STATS,
    API_PUBLISH,
    API_REFRESH,
    API_RPC,
    API_SUBSCRIBE,
    API_UNSUBSCRIBE,
    API_URL_PROXY, /* not called, only permitted: GET /proxy */
    N_API_METHODS, /* also: none */
};

/* In the order of enum api_method, ended by NULL. */
extern const char *const api_method_names[];

/* N_API_METHODS: there is none of that name. */
enum api_method api_method_find(struct str name);

/* A set of methods: bit 1 << enum api_method. */
#define API_ALL_METHODS UINT64_MAX
static inline bool api_permits(uint64_t methods, enum api_method method)
{
    return (methods >> method) & 1;
}

#endif
