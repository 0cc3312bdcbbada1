/* The configuration's section "rpc": whom a client's remote procedure calls go to. */
#ifndef BELFRY_HUB_RPC_OPTIONS_H
#define BELFRY_HUB_RPC_OPTIONS_H

#include "base/config.h"
#include "hub/proxy_options.h"

struct rpc_namespace {
    char *name; /* the text before ':' in a method; "" for methods without one */
    bool proxy_enabled;
    char *proxy_name; /* of one of "proxies"; "default": rpc.proxy */
};

struct rpc_options {
    struct proxy_options proxy;
    char *namespace_boundary;
    struct rpc_namespace without_namespace;
    struct config_list namespaces; /* of struct rpc_namespace */
};

extern const struct config_shape rpc_options_shape;

#endif
