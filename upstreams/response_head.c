/* SPDX-License-Identifier: MIT */
/* Unit response_head reads an answer's head into a struct of its owner. What is malformed counts as
 * not said, except where RFC 9111 wants it to count as stale. It keeps nothing itself. */
#include "upstreams/response_head.h"

#include <stdio.h>

#include <curl/curl.h>

#include "base/clock.h"

#define UNSAID INT64_C(-1)
/* What RFC 9111 (1.2.2) makes of numbers that are too large. */
#define MAX_DELTA_S INT64_C(2147483648)

/* --- values --- */

static int64_t read_delta(struct str text)
{
    uint64_t number;
    if (str_to_u64(text, &number)) {
        return number > (uint64_t)MAX_DELTA_S ? MAX_DELTA_S : (int64_t)number;
    }
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9') {
            return UNSAID;
        }
    }
    return text.len > 0 ? MAX_DELTA_S : UNSAID;
}

static struct str unquoted(struct str text)
{
    bool is_quoted = text.len >= 2 && text.ptr[0] == '"' && text.ptr[text.len - 1] == '"';
    return is_quoted ? (struct str){text.ptr + 1, text.len - 2} : text;
}

/* The first of several counts (RFC 9111, 4.2.1); one that is no number is stale. */
static void take_age_limit(int64_t *place, struct str value)
{
    int64_t delta = read_delta(unquoted(value));
    if (*place == UNSAID) {
        *place = delta == UNSAID ? 0 : delta;
    }
}

static void read_directive(struct response_head *h, struct str directive)
{
    ptrdiff_t equals = str_find(directive, '=');
    struct str name = str_trim(equals < 0 ? directive : str_head(directive, (size_t)equals));
    struct str value = equals < 0 ? STR_EMPTY : str_trim(str_tail(directive, (size_t)equals + 1));
    if (str_eq_nocase(name, STR("no-store")) || str_eq_nocase(name, STR("no-cache")) ||
        str_eq_nocase(name, STR("private"))) {
        h->forbids_reuse = true;
    } else if (str_eq_nocase(name, STR("max-age"))) {
        take_age_limit(&h->max_age_s, value);
    } else if (str_eq_nocase(name, STR("s-maxage"))) {
        take_age_limit(&h->shared_max_age_s, value);
    }
}

/* Up to the next comma that does not stand in quotes. */
static size_t directive_len(struct str text)
{
    bool is_quoted = false;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (is_quoted && c == '\\') {
            i++;
        } else if (c == '"') {
            is_quoted = !is_quoted;
        } else if (c == ',' && !is_quoted) {
            return i;
        }
    }
    return text.len;
}

static void read_cache_control(struct response_head *h, struct str value)
{
    while (value.len > 0) {
        size_t len = directive_len(value);
        read_directive(h, str_trim(str_head(value, len)));
        value = str_tail(value, len + 1);
    }
}

/* Seconds, or a date. */
static void read_retry_after(struct response_head *h, struct str value)
{
    char text[64];
    int64_t delta = read_delta(value);
    if (delta == UNSAID && value.len > 0 && value.len < sizeof(text)) {
        (void)snprintf(text, sizeof(text), "%.*s", STR_ARG(value));
        time_t date = curl_getdate(text, NULL);
        if (date == (time_t)-1) {
            return;
        }
        int64_t now_s = clock_wall_ms() / 1000;
        delta = (int64_t)date > now_s ? (int64_t)date - now_s : 0;
        delta = delta > MAX_DELTA_S ? MAX_DELTA_S : delta;
    }
    h->head.retry_after_s = delta;
}

static void read_length(struct response_head *h, struct str value)
{
    uint64_t length;
    if (str_to_u64(value, &length) && length <= INT64_MAX) {
        h->head.content_length = (int64_t)length;
    }
}

static void read_encoding(struct response_head *h, struct str value)
{
    if (value.len == 0 || str_eq_nocase(value, STR("identity"))) {
        return;
    }
    h->is_gzip = !h->head.is_encoded &&
                 (str_eq_nocase(value, STR("gzip")) || str_eq_nocase(value, STR("x-gzip")) ||
                  str_eq_nocase(value, STR("deflate")));
    h->head.is_encoded = true;
}

/* The first line of that name that has a value counts. */
static void take_text(struct str *ret_text, char *place, struct str value)
{
    if (value.len > 0 && value.len <= RESPONSE_HEAD_TEXT_MAX && ret_text->len == 0) {
        memcpy(place, value.ptr, value.len);
        *ret_text = (struct str){place, value.len};
    }
}

/* All lines together say what is said (RFC 9110, 5.3). What does not fit could have forbidden it.
 */
static void keep_cache_control(struct response_head *h, struct str value)
{
    static const struct str too_long = STR("no-store");
    struct str *kept = &h->head.cache_control;
    struct str before = kept->len > 0 ? STR(", ") : STR_EMPTY;
    if (kept->len + before.len + value.len > RESPONSE_HEAD_TEXT_MAX) {
        *kept = too_long;
    } else if (value.len > 0 && kept->ptr != too_long.ptr) {
        char *end = h->cache_control + kept->len;
        memcpy(end, before.ptr ? before.ptr : "", before.len);
        memcpy(end + before.len, value.ptr, value.len);
        *kept = (struct str){h->cache_control, kept->len + before.len + value.len};
    }
}

/* --- lines --- */

static void read_c(struct response_head *h, struct str name, struct str value)
{
    if (str_eq_nocase(name, STR("Content-Type"))) {
        take_text(&h->head.content_type, h->content_type, value);
    } else if (str_eq_nocase(name, STR("Content-Length"))) {
        read_length(h, value);
    } else if (str_eq_nocase(name, STR("Content-Encoding"))) {
        read_encoding(h, value);
    } else if (str_eq_nocase(name, STR("Cache-Control"))) {
        read_cache_control(h, value);
        keep_cache_control(h, value);
    }
}

static void read_field(struct response_head *h, struct str name, struct str value)
{
    switch (name.ptr[0] | 0x20) { /* in lower case */
    case 'a':
        if (str_eq_nocase(name, STR("Age")) && read_delta(value) != UNSAID) {
            h->age_s = read_delta(value);
        }
        break;
    case 'c': read_c(h, name, value); break;
    case 'e':
        if (str_eq_nocase(name, STR("ETag"))) {
            take_text(&h->head.etag, h->etag, value);
        }
        break;
    case 'l':
        if (str_eq_nocase(name, STR("Last-Modified"))) {
            take_text(&h->head.last_modified, h->last_modified, value);
        } else if (str_eq_nocase(name, STR("Location"))) {
            h->has_location = value.len > 0;
        }
        break;
    case 'r':
        if (str_eq_nocase(name, STR("Retry-After"))) {
            read_retry_after(h, value);
        }
        break;
    case 't': h->has_coding |= str_eq_nocase(name, STR("Transfer-Encoding")); break;
    default: break;
    }
}

/* "HTTP/1.1 200 OK", "HTTP/2 200". */
static void read_status_line(struct response_head *h, struct str line)
{
    response_head_reset(h);
    ptrdiff_t blank = str_find(line, ' ');
    struct str code = blank < 0 ? STR_EMPTY : str_head(str_tail(line, (size_t)blank + 1), 3);
    uint64_t status = 0;
    if (!str_to_u64(code, &status)) {
        return;
    }
    h->is_interim = status < 200;
    h->head.http_status = h->is_interim ? 0 : (int)status;
}

static int64_t freshness(const struct response_head *h)
{
    if (h->forbids_reuse) {
        return 0;
    }
    int64_t limit = h->shared_max_age_s != UNSAID ? h->shared_max_age_s : h->max_age_s;
    if (limit == UNSAID) {
        return UNSAID;
    }
    return limit > h->age_s ? limit - h->age_s : 0;
}

static void complete(struct response_head *h)
{
    if (h->is_interim) {
        return;
    }
    h->is_complete = true;
    h->head.max_age_s = freshness(h);
    h->head.age_s = h->age_s;
    if (h->has_coding) {
        h->head.content_length = UNSAID;
    }
}

void response_head_reset(struct response_head *h)
{
    h->head =
        (struct fetch_head){.max_age_s = UNSAID, .retry_after_s = UNSAID, .content_length = UNSAID};
    h->is_complete = false;
    h->has_location = false;
    h->is_gzip = false;
    h->is_interim = false;
    h->forbids_reuse = false;
    h->has_coding = false;
    h->shared_max_age_s = UNSAID;
    h->max_age_s = UNSAID;
    h->age_s = 0;
}

static struct str without_end(struct str line)
{
    while (line.len > 0 && (line.ptr[line.len - 1] == '\n' || line.ptr[line.len - 1] == '\r')) {
        line.len--;
    }
    return line;
}

void response_head_line(struct response_head *h, struct str line)
{
    line = without_end(line);
    if (h->is_complete) {
        return; /* a trailer */
    }
    if (line.len == 0) {
        complete(h);
        return;
    }
    if (str_starts_with(line, STR("HTTP/"))) {
        read_status_line(h, line);
        return;
    }
    ptrdiff_t colon = str_find(line, ':');
    if (colon > 0) {
        read_field(h, str_head(line, (size_t)colon), str_trim(str_tail(line, (size_t)colon + 1)));
    }
}
