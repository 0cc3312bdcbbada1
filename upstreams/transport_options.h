/* How connections to an upstream are made: part of the configuration of whatever has upstreams. */
#ifndef BELFRY_UPSTREAMS_TRANSPORT_OPTIONS_H
#define BELFRY_UPSTREAMS_TRANSPORT_OPTIONS_H

#include "base/config.h"

struct tls_files;

enum http_version {
    HTTP_VERSION_AUTO, /* HTTP/2 where a TLS server offers it, else HTTP/1.1 */
    HTTP_VERSION_1_1,
    HTTP_VERSION_2, /* also without TLS, without asking first; there with a connection for each
                       request, since libcurl 7.88 breaks such a one by its second */
};

struct transport_tls_options {
    char *server_ca_pem_file; /* "": the system's authorities */
    char *cert_pem_file;      /* of the client; "": none */
    char *key_pem_file;
    bool insecure_skip_verify;
    struct tls_files *files; /* what stands in them, by the shape's check; NULL: none are named */
};

struct transport_options {
    struct transport_tls_options tls;
    char *proxy; /* "http://proxy.example:3128"; "": none, whatever the environment says */
    int http_version;
};

/* Keys "tls" (server_ca_pem_file, cert_pem_file, key_pem_file, insecure_skip_verify), "proxy",
 * "http_version" (auto, 1.1, 2). Its check reads the files, so that what is wrong is known at
 * the start, and no file is read while the loop runs. For CONFIG_OBJECT, and, field by field, for
 * shapes that want these keys among their own.
 */
extern const struct config_shape transport_tls_options_shape;
extern const char *const http_version_names[];
const char *transport_accept_proxy(const void *place);
extern const struct config_shape transport_options_shape;

#endif
