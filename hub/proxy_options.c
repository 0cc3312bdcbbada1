/* SPDX-License-Identifier: MIT */
/* Unit proxy_options is the table of everything the configuration says about asking a backend, and
 * all that can be said against it before anything is asked. */
#include "hub/proxy_options.h"

#include "upstreams/fetch.h"
#include "upstreams/url_template.h"

#define HOUR_MS          INT64_C(3600000)
#define MAX_REASON_BYTES 123 /* a WebSocket Close frame holds no more */

/* --- single values --- */

static const char *text_at(const void *place)
{
    return *(char *const *)place;
}

static const char *accept_endpoint(const void *place)
{
    struct str text = str_of(text_at(place));
    struct url_template *url;
    const char *expected;
    if (text.len == 0) {
        return NULL; /* check_proxy() sees whether there must be one */
    }
    if (str_starts_with(text, STR("grpc://"))) {
        return "an http or https URL: backends are asked over HTTP, not over GRPC";
    }
    if (url_template_create(text, &url, &expected) != STATUS_OK) {
        return expected;
    }
    size_t n_names = url_template_n_names(url);
    url_template_destroy(url);
    return n_names == 0 ? NULL : "a URL without {places}";
}

static const char *accept_name(const void *place)
{
    static const char bytes[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
    const char *name = text_at(place);
    size_t n_good = strspn(name, bytes);
    return n_good > 1 && name[n_good] == '\0' ? NULL : "two or more letters, digits, '-' or '_'";
}

static const char *accept_reason(const void *place)
{
    const char *reason = text_at(place);
    for (const char *c = reason; *c; c++) {
        if (*c < ' ' || *c > '~') {
            return "printable ASCII";
        }
    }
    return strlen(reason) <= MAX_REASON_BYTES ? NULL : "at most 123 bytes";
}

/* The request's own headers are its body's type and what libcurl can unpack. */
static bool is_passable(const char *name)
{
    return fetch_header_allowed(str_of(name)) &&
           !str_eq_nocase(str_of(name), STR("Content-Type")) &&
           !str_eq_nocase(str_of(name), STR("Accept-Encoding"));
}

static const char *accept_header_names(const void *place)
{
    const struct config_list *list = place;
    char *const *names = list->items;
    for (size_t i = 0; i < list->n_items; i++) {
        if (!is_passable(names[i])) {
            return "a list of header names, without Host, Content-Type, Content-Length, "
                   "Accept-Encoding and those of the connection";
        }
    }
    return NULL;
}

static bool has_control_character(const char *text)
{
    for (; *text; text++) {
        if (((unsigned char)*text < ' ' && *text != '\t') || *text == 0x7f) {
            return true;
        }
    }
    return false;
}

static const char *accept_static_headers(const void *place)
{
    const struct config_list *list = place;
    const struct config_pair *pairs = list->items;
    for (size_t i = 0; i < list->n_items; i++) {
        if (!is_passable(pairs[i].name)) {
            return "an object of headers, without Host, Content-Type, Content-Length, "
                   "Accept-Encoding and those of the connection";
        }
        if (has_control_character(pairs[i].text)) {
            return "an object of headers whose values have no control characters";
        }
        for (size_t k = 0; k < i; k++) {
            if (str_eq_nocase(str_of(pairs[i].name), str_of(pairs[k].name))) {
                return "an object of headers, each once in upper or lower case";
            }
        }
    }
    return NULL;
}

/* --- transforms --- */

static void check_transform(struct config_reader *reader, void *object)
{
    const struct proxy_transform *transform = object;
    bool has_error = transform->to_error.code != 0;
    bool has_disconnect = transform->to_disconnect.code != 0;
    if (has_error && has_disconnect && config_is_good(reader, "to_error")) {
        config_complain(reader, "to_disconnect", NULL,
                        "left out: a status becomes an error or a disconnect, not both");
    }
    if (!has_error && !has_disconnect && config_is_good(reader, "to_disconnect")) {
        config_complain(reader, "to_error", NULL,
                        "an error with a code, or a disconnect under to_disconnect");
    }
}

#define TO_ERROR(key_, type_, member, ...)                                                         \
    {                                                                                              \
        .key = key_, .type = type_, .offset = offsetof(struct proxy_error_options, member),        \
        __VA_ARGS__                                                                                \
    }

static const struct config_field to_error_fields[] = {
    TO_ERROR("code", CONFIG_INT, code, .fallback = "0", .min = 400, .max = 1999,
             .expected = "an error code from 400 to 1999", .doc = "The error's code."),
    TO_ERROR("message", CONFIG_STRING, message, .fallback = "", .max = 1024,
             .doc = "The error's message."),
    TO_ERROR("temporary", CONFIG_BOOL, temporary, .fallback = "false",
             .doc = "The client tries again."),
};
static const struct config_shape to_error_shape = {
    .size = sizeof(struct proxy_error_options),
    .fields = to_error_fields,
    .n_fields = sizeof(to_error_fields) / sizeof(to_error_fields[0]),
};

#define TO_DISCONNECT(key_, type_, member, ...)                                                    \
    {                                                                                              \
        .key = key_, .type = type_, .offset = offsetof(struct proxy_disconnect_options, member),   \
        __VA_ARGS__                                                                                \
    }

static const struct config_field to_disconnect_fields[] = {
    TO_DISCONNECT("code", CONFIG_INT, code, .fallback = "0", .min = 4000, .max = 4999,
                  .expected = "a disconnect code from 4000 to 4999",
                  .doc = "The disconnect's code."),
    TO_DISCONNECT("reason", CONFIG_STRING, reason, .fallback = "", .accept = accept_reason,
                  .doc = "The disconnect's reason."),
};
static const struct config_shape to_disconnect_shape = {
    .size = sizeof(struct proxy_disconnect_options),
    .fields = to_disconnect_fields,
    .n_fields = sizeof(to_disconnect_fields) / sizeof(to_disconnect_fields[0]),
};

#define TRANSFORM(key_, type_, member, ...)                                                        \
    {                                                                                              \
        .key = key_, .type = type_, .offset = offsetof(struct proxy_transform, member),            \
        __VA_ARGS__                                                                                \
    }

static const struct config_field transform_fields[] = {
    TRANSFORM("status_code", CONFIG_INT, status_code, .min = 100, .max = 599,
              .expected = "an HTTP status from 100 to 599", .doc = "Of the backend's answer."),
    TRANSFORM("to_error", CONFIG_OBJECT, to_error, .shape = &to_error_shape,
              .doc = "The client gets this error."),
    TRANSFORM("to_disconnect", CONFIG_OBJECT, to_disconnect, .shape = &to_disconnect_shape,
              .doc = "The client is sent away."),
};
static const struct config_shape transform_shape = {
    .size = sizeof(struct proxy_transform),
    .fields = transform_fields,
    .n_fields = sizeof(transform_fields) / sizeof(transform_fields[0]),
    .check = check_transform,
};

/* --- the whole --- */

static void check_http(struct config_reader *reader, void *object)
{
    const struct proxy_http_options *http = object;
    const struct proxy_transform *transforms = http->transforms.items;
    for (size_t i = 0; i < http->transforms.n_items; i++) {
        if (transforms[i].status_code == 200) {
            config_complain_item(reader, "status_to_code_transforms", i, "status_code", NULL,
                                 "a status other than 200, which is an answer");
        }
        for (size_t k = 0; k < i; k++) {
            if (transforms[i].status_code == transforms[k].status_code) {
                config_complain_item(reader, "status_to_code_transforms", i, "status_code", NULL,
                                     "a status that no other transform has");
            }
        }
    }
}

#define HTTP(key_, type_, member, ...)                                                             \
    {                                                                                              \
        .key = key_, .type = type_, .offset = offsetof(struct proxy_http_options, member),         \
        __VA_ARGS__                                                                                \
    }

static const struct config_field http_fields[] = {
    HTTP("static_headers", CONFIG_PAIRS, static_headers, .secret = true,
         .accept = accept_static_headers, .doc = "Headers that every request has."),
    HTTP("status_to_code_transforms", CONFIG_LIST, transforms, .shape = &transform_shape,
         .doc = "What statuses other than 200 mean to the client; without: error 100."),
};
static const struct config_shape http_shape = {
    .size = sizeof(struct proxy_http_options),
    .fields = http_fields,
    .n_fields = sizeof(http_fields) / sizeof(http_fields[0]),
    .check = check_http,
};

static void check_proxy(struct config_reader *reader, void *object)
{
    const struct proxy_options *options = object;
    if (options->enabled && options->endpoint[0] == '\0') {
        config_complain(reader, "endpoint", NULL, "the URL of the backend: the proxy is enabled");
    }
}

static void check_named_proxy(struct config_reader *reader, void *object)
{
    struct proxy_options *options = object;
    options->enabled = true;
    check_proxy(reader, options);
}

#define FIELD(key_, type_, member, ...)                                                            \
    {                                                                                              \
        .key = key_, .type = type_, .offset = offsetof(struct proxy_options, member), __VA_ARGS__  \
    }

#define PROXY_FIELDS                                                                               \
    FIELD("endpoint", CONFIG_STRING, endpoint, .fallback = "", .accept = accept_endpoint,          \
          .doc = "The backend's URL, http or https."),                                             \
        FIELD("timeout", CONFIG_DURATION, timeout_ms, .fallback = "1s", .min = 1, .max = HOUR_MS,  \
              .doc = "For the answer."),                                                           \
        FIELD("http_headers", CONFIG_STRINGS, http_headers, .accept = accept_header_names,         \
              .doc = "Headers of the client's request that are passed on."),                       \
        FIELD("emulated_headers", CONFIG_STRINGS, emulated_headers, .accept = accept_header_names, \
              .doc = "The same for the headers in a connect command."),                            \
        FIELD("include_connection_meta", CONFIG_BOOL, include_connection_meta,                     \
              .fallback = "false", .doc = "Requests have the connection's meta."),                 \
        FIELD("binary_encoding", CONFIG_BOOL, binary_encoding, .fallback = "false",                \
              .doc = "Requests have b64data instead of data."),                                    \
        FIELD("max_reply_size", CONFIG_INT, max_reply_size, .fallback = "1048576", .min = 64,      \
              .max = 1073741824, .doc = "Bytes of one answer."),                                   \
        FIELD("max_concurrent", CONFIG_INT, max_concurrent, .fallback = "1000", .min = 1,          \
              .max = 1000000, .doc = "Questions at one time; beyond it clients get an error."),    \
        FIELD("http", CONFIG_OBJECT, http, .shape = &http_shape, .doc = "Headers and statuses.")

static const struct config_field proxy_fields[] = {
    FIELD("enabled", CONFIG_BOOL, enabled, .fallback = "false", .doc = "The backend is asked."),
    PROXY_FIELDS,
};
const struct config_shape proxy_options_shape = {
    .size = sizeof(struct proxy_options),
    .fields = proxy_fields,
    .n_fields = sizeof(proxy_fields) / sizeof(proxy_fields[0]),
    .check = check_proxy,
};

static const struct config_field named_proxy_fields[] = {
    FIELD("name", CONFIG_STRING, name, .accept = accept_name, .expected = "the name of the proxy",
          .doc = "How namespaces call it."),
    PROXY_FIELDS,
};
const struct config_shape named_proxy_options_shape = {
    .size = sizeof(struct proxy_options),
    .fields = named_proxy_fields,
    .n_fields = sizeof(named_proxy_fields) / sizeof(named_proxy_fields[0]),
    .check = check_named_proxy,
};
