/* SPDX-License-Identifier: MIT */
/* The signature of a webhook's request, by OpenSSL. The time is part of what is signed, so that who
 * has recorded a request cannot send it again much later. */
#include "hub/webhook_signature.h"

#include <inttypes.h>
#include <stdio.h>

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#define SHA256_SIZE 32

static bool run(EVP_MAC_CTX *context, struct str key, struct str head, struct str body,
                unsigned char ret_digest[SHA256_SIZE])
{
    static char hash[] = "SHA256";
    size_t len = 0;
    const OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, hash, 0),
                                 OSSL_PARAM_construct_end()};
    return EVP_MAC_init(context, (const unsigned char *)key.ptr, key.len, params) == 1 &&
           EVP_MAC_update(context, (const unsigned char *)head.ptr, head.len) == 1 &&
           EVP_MAC_update(context, (const unsigned char *)body.ptr, body.len) == 1 &&
           EVP_MAC_final(context, ret_digest, &len, SHA256_SIZE) == 1 && len == SHA256_SIZE;
}

enum status webhook_sign(struct str key, int64_t time_s, struct str body,
                         char ret_text[WEBHOOK_SIGNATURE_SIZE])
{
    unsigned char digest[SHA256_SIZE];
    char head[32];
    snprintf(head, sizeof(head), "%" PRId64 ".", time_s);
    EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    EVP_MAC_CTX *context = mac ? EVP_MAC_CTX_new(mac) : NULL;
    bool is_good = context && run(context, key, str_of(head), body, digest);
    EVP_MAC_CTX_free(context);
    EVP_MAC_free(mac);
    if (!is_good) {
        return STATUS_INTERNAL;
    }
    int at = snprintf(ret_text, WEBHOOK_SIGNATURE_SIZE, "t=%" PRId64 ",v1=", time_s);
    for (size_t i = 0; i < SHA256_SIZE; i++, at += 2) {
        snprintf(ret_text + at, WEBHOOK_SIGNATURE_SIZE - (size_t)at, "%02x", digest[i]);
    }
    return STATUS_OK;
}
