/* SPDX-License-Identifier: MIT */
/* Unit rpc_options is the table of the configuration's section "rpc". */
#include "hub/rpc_options.h"

#include <stddef.h>

#define NAMESPACE_FIELDS                                                                           \
    {.key = "proxy_enabled",                                                                       \
     .type = CONFIG_BOOL,                                                                          \
     .offset = offsetof(struct rpc_namespace, proxy_enabled),                                      \
     .fallback = "false",                                                                          \
     .doc = "Its methods are the backend's to answer."},                                           \
    {                                                                                              \
        .key = "proxy_name", .type = CONFIG_STRING,                                                \
        .offset = offsetof(struct rpc_namespace, proxy_name), .fallback = "default",               \
        .doc = "Which one: a name under proxies; default: rpc.proxy."                              \
    }

static const struct config_field without_namespace_fields[] = {NAMESPACE_FIELDS};
static const struct config_shape without_namespace_shape = {
    .size = sizeof(struct rpc_namespace),
    .fields = without_namespace_fields,
    .n_fields = sizeof(without_namespace_fields) / sizeof(without_namespace_fields[0]),
};

static const struct config_field namespace_fields[] = {
    {.key = "name",
     .type = CONFIG_STRING,
     .offset = offsetof(struct rpc_namespace, name),
     .min = 1,
     .max = 255,
     .doc = "The text before the boundary in a method's name."},
    NAMESPACE_FIELDS,
};
static const struct config_shape namespace_shape = {
    .size = sizeof(struct rpc_namespace),
    .fields = namespace_fields,
    .n_fields = sizeof(namespace_fields) / sizeof(namespace_fields[0]),
};

static const struct config_field rpc_fields[] = {
    {.key = "proxy",
     .type = CONFIG_OBJECT,
     .offset = offsetof(struct rpc_options, proxy),
     .shape = &proxy_options_shape,
     .doc = "Answers the methods of namespaces with proxy_enabled."},
    {.key = "namespace_boundary",
     .type = CONFIG_STRING,
     .offset = offsetof(struct rpc_options, namespace_boundary),
     .fallback = ":",
     .min = 1,
     .max = 16,
     .doc = "Ends the namespace in a method's name."},
    {.key = "without_namespace",
     .type = CONFIG_OBJECT,
     .offset = offsetof(struct rpc_options, without_namespace),
     .shape = &without_namespace_shape,
     .doc = "Methods whose name has no boundary."},
    {.key = "namespaces",
     .type = CONFIG_LIST,
     .offset = offsetof(struct rpc_options, namespaces),
     .shape = &namespace_shape,
     .doc = "Methods called 'name:...'."},
};
const struct config_shape rpc_options_shape = {
    .size = sizeof(struct rpc_options),
    .fields = rpc_fields,
    .n_fields = sizeof(rpc_fields) / sizeof(rpc_fields[0]),
};
