/* SPDX-License-Identifier: MIT */
/* What comes back to a fetch: the bytes of its answer as libcurl hands them over, and what libcurl
 * says in the end. Loop's thread only. */
#include "upstreams/pool.h"

#include <stdio.h>

#include "base/clock.h"

#define MAX_HEAD_BYTES ((size_t)64 * 1024)
#define MAX_SKIPPED    ((size_t)64 * 1024) /* of the page of a redirect, which nobody sees */
/* What libcurl may have unpacked of one read while a transfer rested, beyond what may wait. It
 * holds that itself, at most the 17 MB that gzip makes of 16 KiB; so no denser coding is asked for.
 */
#define MAX_UNPACKED_AT_ONCE ((size_t)4 * 1024 * 1024)
#define STREAM_CODINGS       "gzip, deflate"

/* --- what libcurl calls --- */

static size_t skip(struct fetch *f, size_t n)
{
    f->skipped_bytes += n;
    f->is_too_large = f->skipped_bytes > MAX_SKIPPED;
    return f->is_too_large ? CURL_WRITEFUNC_ERROR : n;
}

static size_t room(const struct fetch *f)
{
    return f->body.max > f->body.len ? f->body.max - f->body.len : 0;
}

static size_t take(struct fetch *f, struct str bytes)
{
    size_t n_room = room(f);
    f->is_too_large = n_room < bytes.len;
    buf_append(&f->body, str_head(bytes, n_room));
    return f->is_too_large || buf_failed(&f->body) ? CURL_WRITEFUNC_ERROR : bytes.len;
}

/* Sees inflated bytes, so this is also what stops a small answer that unpacks to a huge one. A
 * short count ends the transfer. */
static size_t on_body(char *bytes, size_t size, size_t n, void *arg)
{
    struct fetch *f = arg;
    (void)size; /* always 1 */
    if (redirect_is_due(f)) {
        return skip(f, n);
    }
    if (f->on_data && stream_rests(f)) {
        return CURL_WRITEFUNC_PAUSE;
    }
    return take(f, (struct str){bytes, n});
}

/* Some heads announce what does not come. */
static bool announces_body(const struct fetch *f)
{
    int status = f->head.head.http_status;
    return f->method != FETCH_HEAD && status != 204 && status != 304;
}

/* Ends at once what announces too much; on_body() sees to the rest. What is read piece by piece may
 * be of any length. False: no more of it is wanted. */
static bool take_head(struct fetch *f)
{
    const struct fetch_head *head = &f->head.head;
    if (redirect_is_due(f)) {
        return true;
    }
    if (f->on_data) {
        stream_note(f);
        f->is_foreign = head->is_encoded && !f->head.is_gzip && announces_body(f);
    } else {
        f->is_too_large = head->content_length > (int64_t)f->max_bytes && announces_body(f);
    }
    return !f->is_too_large && !f->is_foreign;
}

static size_t on_head(char *bytes, size_t size, size_t n, void *arg)
{
    struct fetch *f = arg;
    (void)size;
    if (f->has_body && f->head_bytes == 0) {
        f->answered_us = clock_monotonic_us();
    }
    f->head_bytes += n;
    f->is_too_large = f->head_bytes > MAX_HEAD_BYTES;
    if (f->is_too_large) {
        return CURL_WRITEFUNC_ERROR;
    }
    response_head_line(&f->head, (struct str){bytes, n});
    return !f->head.is_complete || take_head(f) ? n : CURL_WRITEFUNC_ERROR;
}

bool answer_set(struct fetch *f)
{
    return !curl_easy_setopt(f->easy, CURLOPT_ERRORBUFFER, f->error_text) &&
           !curl_easy_setopt(f->easy, CURLOPT_WRITEFUNCTION, on_body) &&
           !curl_easy_setopt(f->easy, CURLOPT_WRITEDATA, f) &&
           !curl_easy_setopt(f->easy, CURLOPT_HEADERFUNCTION, on_head) &&
           !curl_easy_setopt(f->easy, CURLOPT_HEADERDATA, f) &&
           /* The head of a proxy's answer to CONNECT is not the answer's. */
           !curl_easy_setopt(f->easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
}

/* --- before and between --- */

bool answer_set_codings(struct fetch *f, bool is_streamed)
{
    if (is_streamed == f->has_stream_codings) {
        return true;
    }
    f->has_stream_codings = is_streamed;
    return !curl_easy_setopt(f->easy, CURLOPT_ACCEPT_ENCODING, is_streamed ? STREAM_CODINGS : "");
}

void answer_reset(struct fetch *f)
{
    f->head_bytes = 0;
    f->skipped_bytes = 0;
    f->is_too_large = false;
    f->is_foreign = false;
    f->requested_us = 0;
    f->answered_us = 0;
    f->error_text[0] = '\0';
    f->refused[0] = '\0';
    response_head_reset(&f->head);
}

void answer_prepare(struct fetch *f, const struct fetch_spec *spec)
{
    answer_reset(f);
    buf_clear(&f->body);
    /* With nothing that may wait nothing would ever come. */
    f->max_bytes = spec->on_data && spec->max_bytes == 0 ? 1 : spec->max_bytes;
    f->body.max = f->max_bytes + (spec->on_data ? MAX_UNPACKED_AT_ONCE : 0);
    f->on_data = spec->on_data;
    f->is_resting = false;
    f->is_catching_up = false;
    f->dns_us = 0;
    f->connect_us = 0;
    f->first_byte_us = 0;
    f->n_bytes = 0;
    f->is_reused = false;
}

/* --- afterwards --- */

static int64_t time_of(const struct fetch *f, CURLINFO info)
{
    curl_off_t us = 0;
    (void)curl_easy_getinfo(f->easy, info, &us);
    return (int64_t)us;
}

static int64_t difference(int64_t later, int64_t earlier)
{
    return later > earlier ? later - earlier : 0;
}

void answer_count_connection(struct fetch *f)
{
    long n_connects = 0;
    (void)curl_easy_getinfo(f->easy, CURLINFO_NUM_CONNECTS, &n_connects);
    if (n_connects > 0 && time_of(f, CURLINFO_CONNECT_TIME_T) > 0) {
        f->pool->stats.n_connections++;
    }
}

/* When the connection was there, with its TLS. */
static int64_t connected_us(const struct fetch *f)
{
    int64_t tls_us = time_of(f, CURLINFO_APPCONNECT_TIME_T);
    return tls_us > 0 ? tls_us : time_of(f, CURLINFO_CONNECT_TIME_T);
}

/* from_us: since when, without a body. */
static int64_t waited_us(const struct fetch *f, int64_t from_us)
{
    return f->has_body ? difference(f->answered_us, f->requested_us)
                       : difference(time_of(f, CURLINFO_STARTTRANSFER_TIME_T), from_us);
}

/* libcurl counts all from the start of the attempt, and leaves 0 what did not come to pass. */
void answer_measure(struct fetch *f, long n_connects)
{
    int64_t ready_us = time_of(f, CURLINFO_PRETRANSFER_TIME_T); /* the request is off */
    bool is_ready = ready_us > 0;
    f->n_bytes = time_of(f, CURLINFO_SIZE_DOWNLOAD_T);
    f->is_reused = n_connects == 0 && is_ready;
    f->dns_us = 0;
    f->connect_us = 0;
    if (n_connects > 0) {
        f->dns_us = time_of(f, CURLINFO_NAMELOOKUP_TIME_T);
        ready_us = is_ready ? connected_us(f) : 0;
        f->connect_us = difference(ready_us, f->dns_us);
        answer_count_connection(f);
    }
    f->first_byte_us = is_ready ? waited_us(f, ready_us) : 0;
}

static bool is_good(const struct fetch *f)
{
    int status = f->head.head.http_status;
    return (status >= 200 && status <= 299) || (status == 304 && f->is_conditional);
}

/* With TLS 1.3 a server says only after the handshake that it wants another certificate. */
static bool is_tls_alert(const struct fetch *f)
{
    return f->head.head.http_status == 0 && strstr(f->error_text, "SSL") != NULL &&
           strstr(f->error_text, " alert ") != NULL;
}

static enum fetch_outcome outcome_of_code(const struct fetch *f, CURLcode code)
{
    switch (code) {
    case CURLE_OK: return is_good(f) ? FETCH_OK : FETCH_HTTP_ERROR;
    case CURLE_OPERATION_TIMEDOUT: return FETCH_TIMEOUT;
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY: return FETCH_DNS_ERROR;
    case CURLE_COULDNT_CONNECT: return f->refused[0] ? FETCH_REFUSED : FETCH_CONNECT_ERROR;
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_USE_SSL_FAILED:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_INVALIDCERTSTATUS:
    case CURLE_SSL_CLIENTCERT: return FETCH_TLS_ERROR;
    default: return is_tls_alert(f) ? FETCH_TLS_ERROR : FETCH_CONNECT_ERROR;
    }
}

/* An error status is the more useful thing to know than that its page was too long. */
enum fetch_outcome answer_outcome(const struct fetch *f, CURLcode code)
{
    if (f->is_too_large) {
        return f->head.head.http_status >= 300 ? FETCH_HTTP_ERROR : FETCH_TOO_LARGE;
    }
    return outcome_of_code(f, code);
}

const char *answer_error(struct fetch *f, CURLcode code)
{
    if (f->is_too_large) {
        (void)snprintf(f->error_text, sizeof(f->error_text),
                       "the answer is larger than allowed: %zu bytes, and %zu of its head",
                       f->max_bytes, MAX_HEAD_BYTES);
        return f->error_text;
    }
    if (f->is_foreign) {
        return "the answer is in an encoding that was not asked for";
    }
    if (code == CURLE_OK) {
        return "";
    }
    if (code == CURLE_ABORTED_BY_CALLBACK) {
        return "the connection broke before the answer, and the request is not sent twice";
    }
    if (code == CURLE_COULDNT_CONNECT && f->refused[0]) {
        (void)snprintf(f->error_text, sizeof(f->error_text), "the address %s is not allowed",
                       f->refused);
    }
    return f->error_text[0] ? f->error_text : curl_easy_strerror(code);
}
