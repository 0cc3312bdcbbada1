/* SPDX-License-Identifier: MIT */
/* Unit transport_options holds the tables of the keys that say how connections are made. */
#include "upstreams/transport_options.h"

#include <stddef.h>

#include "upstreams/target.h"
#include "upstreams/tls_files.h"

#define SHAPE(name, type, fields_, ...)                                                            \
    const struct config_shape name = {.size = sizeof(struct type),                                 \
                                      .fields = fields_,                                           \
                                      .n_fields = sizeof(fields_) / sizeof((fields_)[0]),          \
                                      __VA_ARGS__}

static const struct config_field transport_tls_fields[] = {
    {.key = "server_ca_pem_file",
     .type = CONFIG_STRING,
     .offset = offsetof(struct transport_tls_options, server_ca_pem_file),
     .fallback = "",
     .doc = "The file of the only authorities, in PEM, that servers' certificates may come from; "
            "\"\": those of the system."},
    {.key = "cert_pem_file",
     .type = CONFIG_STRING,
     .offset = offsetof(struct transport_tls_options, cert_pem_file),
     .fallback = "",
     .doc = "The file of the certificate that servers are shown, in PEM, followed by those that "
            "lead to its authority; \"\": none."},
    {.key = "key_pem_file",
     .type = CONFIG_STRING,
     .offset = offsetof(struct transport_tls_options, key_pem_file),
     .fallback = "",
     .doc = "The file of its private key in PEM, without a passphrase."},
    {.key = "insecure_skip_verify",
     .type = CONFIG_BOOL,
     .offset = offsetof(struct transport_tls_options, insecure_skip_verify),
     .fallback = "false",
     .doc = "Servers' certificates are not verified: for tests."},
};

static void check_tls(struct config_reader *reader, void *object)
{
    struct transport_tls_options *options = object;
    struct tls_files_problem problem;
    if (config_is_good(reader, "server_ca_pem_file") && config_is_good(reader, "cert_pem_file") &&
        config_is_good(reader, "key_pem_file") &&
        tls_files_read(options, &options->files, &problem) == STATUS_INVALID) {
        config_complain(reader, problem.key, NULL, problem.expected);
    }
}

static void release_tls(void *object)
{
    struct transport_tls_options *options = object;
    tls_files_free(options->files);
    options->files = NULL;
}
SHAPE(transport_tls_options_shape, transport_tls_options, transport_tls_fields, .check = check_tls,
      .release = release_tls);

const char *const http_version_names[] = {"auto", "1.1", "2", NULL};

/* A port, since libcurl would take 1080, which nobody means; and nothing after it. */
const char *transport_accept_proxy(const void *place)
{
    const char *text = *(char *const *)place;
    struct target target;
    struct str rest = str_tail(str_of(text), sizeof("http://") - 1);
    struct str port = STR_EMPTY;
    for (ptrdiff_t colon; (colon = str_find(rest, ':')) >= 0;) {
        rest = str_tail(rest, (size_t)colon + 1);
        port = rest;
    }
    uint64_t number;
    bool is_good =
        text[0] == '\0' || (str_starts_with(str_of(text), STR("http://")) &&
                            target_read(text, &target) && str_to_u64(port, &number) && number > 0);
    return is_good ? NULL : "the URL of an HTTP proxy with its port, http://host:3128, or \"\"";
}

static const struct config_field transport_fields[] = {
    {.key = "tls",
     .type = CONFIG_OBJECT,
     .offset = offsetof(struct transport_options, tls),
     .shape = &transport_tls_options_shape,
     .doc = "Certificates, for https."},
    {.key = "proxy",
     .type = CONFIG_STRING,
     .offset = offsetof(struct transport_options, proxy),
     .fallback = "",
     .secret = true,
     .accept = transport_accept_proxy,
     .doc = "The URL of an HTTP proxy that requests go through; \"\": none. The environment does "
            "not count."},
    {.key = "http_version",
     .type = CONFIG_CHOICE,
     .offset = offsetof(struct transport_options, http_version),
     .fallback = "auto",
     .choices = http_version_names,
     .doc = "auto: HTTP/2 where a server offers it with TLS, else HTTP/1.1. 2: HTTP/2 also without "
            "TLS, without asking first."},
};
SHAPE(transport_options_shape, transport_options, transport_fields);
