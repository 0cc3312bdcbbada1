/* SPDX-License-Identifier: MIT */
/* Unit tls_authorities owns an X509_STORE with what the file of the system's authorities holds;
 * connections share it. Without that file it is empty, and every certificate is refused. Loop's
 * thread only. */
#include "upstreams/tls_authorities.h"

#include <stdlib.h>

#include <curl/curl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>

struct tls_authorities {
    X509_STORE *store;
    bool is_loaded;
};

enum status tls_authorities_create(struct tls_authorities **ret_authorities)
{
    struct tls_authorities *authorities = calloc(1, sizeof(*authorities));
    if (authorities) {
        authorities->store = X509_STORE_new();
    }
    if (!authorities || !authorities->store) {
        free(authorities);
        return STATUS_NO_MEMORY;
    }
    *ret_authorities = authorities;
    return STATUS_OK;
}

void tls_authorities_destroy(struct tls_authorities *authorities)
{
    if (authorities) {
        X509_STORE_free(authorities->store);
        free(authorities);
    }
}

int tls_authorities_load(struct tls_authorities *authorities)
{
    if (!authorities->is_loaded) {
        /* Where libcurl was built to look. */
        const curl_version_info_data *info = curl_version_info(CURLVERSION_NOW);
        authorities->is_loaded = true;
        if (info->cainfo) {
            (void)X509_STORE_load_file(authorities->store, info->cainfo);
        }
        if (info->capath) {
            /* Looked into when an issuer is missing. */
            (void)X509_STORE_load_path(authorities->store, info->capath);
        }
        ERR_clear_error();
    }
    return sk_X509_OBJECT_num(X509_STORE_get0_objects(authorities->store));
}

bool tls_authorities_use(struct tls_authorities *authorities, void *ssl_context)
{
    (void)tls_authorities_load(authorities);
    if (!X509_STORE_up_ref(authorities->store)) {
        return false;
    }
    SSL_CTX_set_cert_store(ssl_context, authorities->store);
    return true;
}
