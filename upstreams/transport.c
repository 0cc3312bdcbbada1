/* SPDX-License-Identifier: MIT */
/* How the connections of a fetch are made: certificates, proxy, HTTP version. What an easy handle
 * had for its last fetch stays on it until another wants something else, which is rare. libcurl
 * keeps connections apart that differ in authorities, client certificate, verification or proxy,
 * but not by the function that sets the system's authorities: that function goes with "no
 * authorities of its own", always and only. Loop's thread only. */
#include "upstreams/pool.h"

#include <strings.h>

#include "upstreams/tls_files.h"

enum wire_version { WIRE_AUTO, WIRE_1_1, WIRE_2_TLS, WIRE_2_PLAIN };

static CURLcode use_system(CURL *easy, void *ssl_context, void *arg)
{
    struct tls_authorities *authorities = arg;
    (void)easy;
    return tls_authorities_use(authorities, ssl_context) ? CURLE_OK : CURLE_OUT_OF_MEMORY;
}

bool transport_set(struct fetch *f)
{
    f->wire_version = WIRE_AUTO;
    return !curl_easy_setopt(f->easy, CURLOPT_SSL_VERIFYPEER, 1L) &&
           !curl_easy_setopt(f->easy, CURLOPT_SSL_VERIFYHOST, 2L) &&
           /* libcurl has files of its own by default. */
           !curl_easy_setopt(f->easy, CURLOPT_CAINFO, NULL) &&
           !curl_easy_setopt(f->easy, CURLOPT_CAPATH, NULL) &&
           !curl_easy_setopt(f->easy, CURLOPT_SSL_CTX_FUNCTION, use_system) &&
           !curl_easy_setopt(f->easy, CURLOPT_SSL_CTX_DATA, f->pool->authorities) &&
           /* Otherwise OpenSSL asks the terminal for it. */
           !curl_easy_setopt(f->easy, CURLOPT_KEYPASSWD, "") &&
           /* Otherwise the environment decides where requests go. */
           !curl_easy_setopt(f->easy, CURLOPT_PROXY, "") &&
           !curl_easy_setopt(f->easy, CURLOPT_NOPROXY, "") &&
           !curl_easy_setopt(f->easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
}

static bool set_blob(CURL *easy, CURLoption option, char *text)
{
    struct curl_blob blob = {
        .data = text, .len = text ? strlen(text) : 0, .flags = CURL_BLOB_NOCOPY};
    return !curl_easy_setopt(easy, option, text ? &blob : NULL);
}

static bool set_tls(CURL *easy, const struct transport_tls_options *options)
{
    static const struct tls_files none;
    const struct tls_files *files = options && options->files ? options->files : &none;
    bool verifies = !options || !options->insecure_skip_verify;
    return !curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, verifies ? 1L : 0L) &&
           !curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, verifies ? 2L : 0L) &&
           !curl_easy_setopt(easy, CURLOPT_SSL_CTX_FUNCTION,
                             files->authorities ? NULL : use_system) &&
           set_blob(easy, CURLOPT_CAINFO_BLOB, files->authorities) &&
           set_blob(easy, CURLOPT_SSLCERT_BLOB, files->certificates) &&
           set_blob(easy, CURLOPT_SSLKEY_BLOB, files->key);
}

/* With HTTP/2 a request waits for a connection that is being made, to share it. Not with "auto":
 * where the server turns out to speak HTTP/1.1, a burst would connect one by one. And not without
 * TLS: libcurl 7.88 begins HTTP/2 anew with every request on such a connection, which breaks it; so
 * each has its own. */
static bool set_version(struct fetch *f, enum wire_version version)
{
    static const long names[] = {
        [WIRE_AUTO] = CURL_HTTP_VERSION_2TLS,
        [WIRE_1_1] = CURL_HTTP_VERSION_1_1,
        [WIRE_2_TLS] = CURL_HTTP_VERSION_2TLS,
        [WIRE_2_PLAIN] = CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE,
    };
    if (version == f->wire_version) {
        return true;
    }
    f->wire_version = version;
    f->is_single = version == WIRE_2_PLAIN;
    return !curl_easy_setopt(f->easy, CURLOPT_HTTP_VERSION, names[version]) &&
           !curl_easy_setopt(f->easy, CURLOPT_PIPEWAIT, version == WIRE_2_TLS ? 1L : 0L) &&
           !curl_easy_setopt(f->easy, CURLOPT_FRESH_CONNECT, f->is_single ? 1L : 0L) &&
           !curl_easy_setopt(f->easy, CURLOPT_FORBID_REUSE, f->is_single ? 1L : 0L);
}

static bool is_usual(const struct transport_options *options)
{
    return !options ||
           (!options->tls.files && !options->tls.insecure_skip_verify && !options->proxy[0]);
}

/* What is read slowly has a connection of its own: over a shared one it would hold up others. */
static enum wire_version version_of(const struct fetch_spec *spec)
{
    bool has_tls = strncasecmp(spec->url, "https:", 6) == 0;
    switch (spec->transport ? spec->transport->http_version : HTTP_VERSION_AUTO) {
    case HTTP_VERSION_1_1: return WIRE_1_1;
    case HTTP_VERSION_2: return has_tls ? WIRE_2_TLS : WIRE_2_PLAIN;
    default: return spec->on_data ? WIRE_1_1 : WIRE_AUTO;
    }
}

/* Of a handle that could not be set back: another than any that is wanted. */
static const struct transport_options broken;

static bool take(struct fetch *f, const struct transport_options *wanted)
{
    f->transport = wanted;
    return !curl_easy_setopt(f->easy, CURLOPT_PROXY, wanted ? wanted->proxy : "") &&
           set_tls(f->easy, wanted ? &wanted->tls : NULL);
}

bool transport_apply(struct fetch *f, const struct fetch_spec *spec)
{
    if (!set_version(f, version_of(spec))) {
        return false;
    }
    const struct transport_options *wanted = is_usual(spec->transport) ? NULL : spec->transport;
    if (wanted == f->transport) {
        return true;
    }
    return take(f, wanted);
}

void transport_reset(struct fetch *f)
{
    if (f->transport && !take(f, NULL)) {
        f->transport = &broken;
    }
}
