/* SPDX-License-Identifier: MIT */
/* The signatures of requests, by OpenSSL. The time is part of what is signed, so that who has
 * recorded a request cannot send it again much later. */
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

/* HMAC-SHA256 of head and body. */
static bool digest_of(struct str key, struct str head, struct str body,
                      unsigned char ret_digest[SHA256_SIZE])
{
    EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    EVP_MAC_CTX *context = mac ? EVP_MAC_CTX_new(mac) : NULL;
    bool is_good = context && run(context, key, head, body, ret_digest);
    EVP_MAC_CTX_free(context);
    EVP_MAC_free(mac);
    return is_good;
}

enum status webhook_sign(struct str key, int64_t time_s, struct str body,
                         char ret_text[WEBHOOK_SIGNATURE_SIZE])
{
    unsigned char digest[SHA256_SIZE];
    char head[32];
    snprintf(head, sizeof(head), "%" PRId64 ".", time_s);
    if (!digest_of(key, str_of(head), body, digest)) {
        return STATUS_INTERNAL;
    }
    int at = snprintf(ret_text, WEBHOOK_SIGNATURE_SIZE, "t=%" PRId64 ",v1=", time_s);
    for (size_t i = 0; i < SHA256_SIZE; i++, at += 2) {
        snprintf(ret_text + at, WEBHOOK_SIGNATURE_SIZE - (size_t)at, "%02x", digest[i]);
    }
    return STATUS_OK;
}

/* --- verifying --- */

static int nibble_of(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool read_digest(struct str hex, unsigned char ret_digest[SHA256_SIZE])
{
    if (hex.len != 2 * (size_t)SHA256_SIZE) {
        return false;
    }
    for (size_t i = 0; i < SHA256_SIZE; i++) {
        int high = nibble_of(hex.ptr[2 * i]);
        int low = nibble_of(hex.ptr[2 * i + 1]);
        if (high < 0 || low < 0) {
            return false;
        }
        ret_digest[i] = (unsigned char)(high * 16 + low);
    }
    return true;
}

static enum status compare(struct str key, struct str head, struct str body, struct str hex)
{
    unsigned char given[SHA256_SIZE];
    unsigned char expected[SHA256_SIZE];
    if (!read_digest(hex, given)) {
        return STATUS_INVALID;
    }
    if (!digest_of(key, head, body, expected)) {
        return STATUS_INTERNAL;
    }
    bool is_same = str_eq_secret((struct str){(const char *)given, SHA256_SIZE},
                                 (struct str){(const char *)expected, SHA256_SIZE});
    return is_same ? STATUS_OK : STATUS_UNAUTHORIZED;
}

/* "t=<digits>,v1=<hex>" */
static bool split(struct str text, struct str *ret_time, struct str *ret_hex)
{
    struct str time_name = STR("t=");
    struct str digest_name = STR(",v1=");
    ptrdiff_t comma = str_find(text, ',');
    if (!str_starts_with(text, time_name) || comma < 0) {
        return false;
    }
    struct str rest = str_tail(text, (size_t)comma);
    *ret_time = str_tail(str_head(text, (size_t)comma), time_name.len);
    *ret_hex = str_tail(rest, digest_name.len);
    return str_starts_with(rest, digest_name);
}

enum status webhook_verify(struct str key, int64_t now_s, struct str body, struct str text)
{
    struct str digits;
    struct str hex;
    uint64_t time_s;
    char head[32];
    text = str_trim(text);
    if (!split(text, &digits, &hex) || !str_to_u64(digits, &time_s) || time_s > INT64_MAX / 2 ||
        digits.len + 2 > sizeof(head)) {
        return STATUS_INVALID;
    }
    /* As it is written: with zeroes in front it is another text. */
    int len = snprintf(head, sizeof(head), "%.*s.", STR_ARG(digits));
    enum status status = compare(key, (struct str){head, (size_t)len}, body, hex);
    int64_t distance_s = now_s - (int64_t)time_s;
    bool is_now = distance_s <= WEBHOOK_TOLERANCE_S && distance_s >= -WEBHOOK_TOLERANCE_S;
    return status == STATUS_OK && !is_now ? STATUS_EXPIRED : status;
}

enum status webhook_verify_body(struct str key, struct str body, struct str text)
{
    struct str name = STR("sha256=");
    text = str_trim(text);
    return str_starts_with(text, name) ? compare(key, STR_EMPTY, body, str_tail(text, name.len))
                                       : STATUS_INVALID;
}
