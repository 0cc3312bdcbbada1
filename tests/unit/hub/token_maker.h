/* Makes tokens for tests: any header and claims, as they stand in the call, signed with HMAC. */
#ifndef BELFRY_TESTS_HUB_TOKEN_MAKER_H
#define BELFRY_TESTS_HUB_TOKEN_MAKER_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>

#define HS256 "{\"alg\":\"HS256\",\"typ\":\"JWT\"}"

/* Base64 with the alphabet of URLs and without padding (RFC 4648 section 5). */
static inline size_t append_base64url(char *out, const void *bytes, size_t n_bytes)
{
    int len = EVP_EncodeBlock((unsigned char *)out, bytes, (int)n_bytes);
    while (len > 0 && out[len - 1] == '=') {
        len--;
    }
    for (int i = 0; i < len; i++) {
        out[i] = (char)(out[i] == '+' ? '-' : out[i] == '/' ? '_' : out[i]);
    }
    out[len] = '\0';
    return (size_t)len;
}

/* To be freed with free(). */
static inline char *make_token_with(const char *header, const char *claims, const char *key,
                                    const EVP_MD *hash)
{
    char *token = malloc(2 * (strlen(header) + strlen(claims)) + 256);
    if (!token) {
        abort();
    }
    size_t len = append_base64url(token, header, strlen(header));
    token[len++] = '.';
    len += append_base64url(token + len, claims, strlen(claims));
    unsigned char mac[EVP_MAX_MD_SIZE];
    unsigned mac_len = 0;
    HMAC(hash, key, (int)strlen(key), (const unsigned char *)token, len, mac, &mac_len);
    token[len++] = '.';
    append_base64url(token + len, mac, mac_len);
    return token;
}

static inline char *make_token(const char *claims, const char *key)
{
    return make_token_with(HS256, claims, key, EVP_sha256());
}

#endif
