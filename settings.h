/* The whole configuration, as one struct of the floors' options. */
#ifndef BELFRY_SETTINGS_H
#define BELFRY_SETTINGS_H

#include "base/lifetime.h"
#include "hub/client_options.h"
#include "hub/feed_options.h"
#include "hub/namespaces.h"
#include "hub/rpc_options.h"
#include "hub/webhook_options.h"
#include "protocols/server_options.h"

struct log_options {
    int level;
    int format;
};

struct storage_settings {
    char *path;
    int durability;
    int64_t queue_max_size;
    int64_t stream_limit;
    int64_t idempotency_key_limit;
};

struct shutdown_options {
    int64_t timeout_ms;
    int64_t drain_ms; /* before timeout_ms begins; 0: as fast as it goes */
};

struct settings {
    struct lifetime lifetime; /* of those of settings_open() */
    char *schema;             /* "$schema", for editors */
    struct server_options server;
    struct log_options log;
    struct client_options client;
    struct channel_options channel;
    struct storage_settings storage;
    struct upstreams_options upstreams;
    struct config_list feeds; /* of struct feed_options */
    struct rpc_options rpc;
    struct config_list proxies;  /* of struct proxy_options */
    struct config_list webhooks; /* of struct webhook_options */
    struct shutdown_options shutdown;
};

/* The table of all keys. */
extern const struct config_shape settings_shape;

/* Reads and checks a file. Every error is printed to stderr, a line each. False: there was one. The
 * settings are to be released in any case. */
bool settings_load(const char *path, struct settings *settings);
void settings_release(struct settings *settings);

/* One thing that is wrong with the file. */
typedef void (*settings_error_fn)(void *arg, const char *path, const char *text);
void settings_print_error(void *arg, const char *path, const char *text); /* to stderr */
/* The same for a program that takes others later: they live as long as anybody holds their
 * lifetime, and the caller is the first. NULL: there was an error, which say() has been told. */
struct settings *settings_open(const char *path, settings_error_fn say, void *arg);

#endif
