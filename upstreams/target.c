/* SPDX-License-Identifier: MIT */
/* Unit target reads URLs with libcurl's own parser, so that what is checked is what libcurl will
 * ask. It keeps nothing. */
#include "upstreams/target.h"

#include <curl/curl.h>

#include "base/str.h"

static bool read_scheme(CURLU *parts, struct target *target)
{
    char *text = NULL;
    if (curl_url_get(parts, CURLUPART_SCHEME, &text, 0)) {
        return false;
    }
    struct str scheme = str_of(text);
    target->is_https = str_eq_nocase(scheme, STR("https"));
    bool is_good = target->is_https || str_eq_nocase(scheme, STR("http"));
    curl_free(text);
    return is_good;
}

static struct str without_brackets(struct str host)
{
    bool has_brackets = host.len >= 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']';
    return has_brackets ? (struct str){host.ptr + 1, host.len - 2} : host;
}

static bool read_host(CURLU *parts, struct target *target)
{
    char *text = NULL;
    if (curl_url_get(parts, CURLUPART_HOST, &text, CURLU_PUNYCODE)) {
        return false;
    }
    struct str host = without_brackets(str_of(text));
    bool is_good = host.len > 0 && host.len < sizeof(target->host);
    for (size_t i = 0; is_good && i < host.len; i++) {
        char c = host.ptr[i];
        is_good = c > ' ' && c < 0x7f;
        target->host[i] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
    }
    curl_free(text);
    return is_good;
}

static bool read_port(CURLU *parts, struct target *target)
{
    char *text = NULL;
    uint64_t port = 0;
    if (curl_url_get(parts, CURLUPART_PORT, &text, CURLU_DEFAULT_PORT)) {
        return false;
    }
    bool is_good = str_to_u64(str_of(text), &port) && port <= 65535;
    target->port = (unsigned)port;
    curl_free(text);
    return is_good;
}

static bool has_part(CURLU *parts, CURLUPart part)
{
    char *text = NULL;
    CURLUcode code = curl_url_get(parts, part, &text, 0);
    curl_free(text);
    return code == CURLUE_OK;
}

bool target_read(const char *url, struct target *ret_target)
{
    struct target target = {.port = 0};
    CURLU *parts = curl_url();
    bool is_good = parts && !curl_url_set(parts, CURLUPART_URL, url, 0) &&
                   read_scheme(parts, &target) && read_host(parts, &target) &&
                   read_port(parts, &target);
    if (is_good) {
        target.has_user = has_part(parts, CURLUPART_USER) || has_part(parts, CURLUPART_PASSWORD);
        *ret_target = target;
    }
    curl_url_cleanup(parts);
    return is_good;
}

bool target_eq(const struct target *a, const struct target *b)
{
    return a->is_https == b->is_https && a->port == b->port &&
           str_eq(str_of(a->host), str_of(b->host));
}
