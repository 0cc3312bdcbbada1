/* SPDX-License-Identifier: MIT */
/* A template is its text and the list of its names; it is checked once, at creation, so that
 * expanding it only walks the text. Values are encoded so that none can contain a delimiter: an
 * expanded path has the same segments as the path of its template. */
#include "upstreams/url_template.h"

#include <assert.h>
#include <stdlib.h>

#include "upstreams/template_text.h"

struct url_template {
    char *text;
    size_t len;
    size_t path_at; /* where the authority ends */
    size_t n_names;
    struct str names[]; /* views into text */
};

static bool is_alpha(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Index of the first of several bytes, or the length. */
static size_t find_any(struct str s, const char *bytes)
{
    size_t i = 0;
    while (i < s.len && (s.ptr[i] == '\0' || !strchr(bytes, s.ptr[i]))) {
        i++;
    }
    return i;
}

static bool has_control_or_blank(struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        if ((unsigned char)s.ptr[i] <= ' ' || s.ptr[i] == 0x7f) {
            return true;
        }
    }
    return false;
}

/* --- checks at creation: NULL, or what would be right --- */

static size_t scheme_len(struct str text)
{
    const struct str schemes[] = {STR("http://"), STR("https://")};
    for (size_t i = 0; i < 2; i++) {
        if (str_eq_nocase(str_head(text, schemes[i].len), schemes[i])) {
            return schemes[i].len;
        }
    }
    return 0;
}

static bool is_host(struct str host)
{
    if (host.len > 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']') {
        for (size_t i = 1; i < host.len - 1; i++) {
            if (!strchr("0123456789abcdefABCDEF:.", host.ptr[i])) {
                return false;
            }
        }
        return true;
    }
    for (size_t i = 0; i < host.len; i++) {
        if (!is_alpha(host.ptr[i]) && !is_digit(host.ptr[i]) && !strchr("-._", host.ptr[i])) {
            return false;
        }
    }
    return host.len > 0;
}

static const char *check_authority(struct str authority)
{
    if (str_find(authority, '{') >= 0 || str_find(authority, '}') >= 0) {
        return "a host without places for parameters";
    }
    if (str_find(authority, '@') >= 0) {
        return "a host without user information";
    }
    if (authority.len == 0 || authority.ptr[0] == ':') {
        return "a URL with a host: it has no host";
    }
    size_t host_len = authority.len;
    while (host_len > 0 && is_digit(authority.ptr[host_len - 1])) {
        host_len--;
    }
    uint64_t port = 0;
    if (host_len > 0 && authority.ptr[host_len - 1] == ':') {
        if (!str_to_u64(str_tail(authority, host_len), &port) || port == 0 || port > 65535) {
            return "a port from 1 to 65535";
        }
        host_len--;
    } else {
        host_len = authority.len;
    }
    return is_host(str_head(authority, host_len)) ? NULL : "a host name or address";
}

static const char *check(struct str text, size_t *ret_path_at)
{
    size_t scheme = scheme_len(text);
    if (scheme == 0) {
        return "an absolute http or https URL";
    }
    if (has_control_or_blank(text)) {
        return "a URL without blanks and control characters";
    }
    if (str_find(text, '#') >= 0) {
        return "a URL without a fragment";
    }
    struct str rest = str_tail(text, scheme);
    size_t authority_len = find_any(rest, "/?");
    *ret_path_at = scheme + authority_len;
    const char *expected = check_authority(str_head(rest, authority_len));
    if (expected) {
        return expected;
    }
    return template_braces_are_good(str_tail(rest, authority_len)) ? NULL
                                                                   : TEMPLATE_BRACES_EXPECTED;
}

/* --- names --- */

/* False: there are too many. */
static bool collect_names(struct url_template *t)
{
    struct str rest = {t->text, t->len};
    struct str literal;
    struct str name;
    while (template_next_place(&rest, &literal, &name)) {
        if (template_find_name(t->names, t->n_names, name) < t->n_names) {
            continue;
        }
        if (t->n_names == TEMPLATE_MAX_NAMES) {
            return false;
        }
        t->names[t->n_names++] = name;
    }
    return true;
}

static size_t count_places(struct str text)
{
    size_t n = 0;
    for (size_t i = 0; i < text.len; i++) {
        n += text.ptr[i] == '{';
    }
    return n;
}

enum status url_template_create(struct str text, struct url_template **ret_template,
                                const char **ret_expected)
{
    size_t path_at = 0;
    const char *expected = check(text, &path_at);
    if (expected) {
        *ret_expected = expected;
        return STATUS_INVALID;
    }
    size_t n_places = count_places(text);
    size_t n_names = n_places < TEMPLATE_MAX_NAMES ? n_places : TEMPLATE_MAX_NAMES;
    struct url_template *t = calloc(1, sizeof(*t) + n_names * sizeof(t->names[0]));
    if (!t || !(t->text = str_dup(text))) {
        free(t);
        return STATUS_NO_MEMORY;
    }
    t->len = text.len;
    t->path_at = path_at;
    if (!collect_names(t)) {
        url_template_destroy(t);
        *ret_expected = "a URL with at most 100 different names";
        return STATUS_INVALID;
    }
    *ret_template = t;
    return STATUS_OK;
}

void url_template_destroy(struct url_template *t)
{
    if (t) {
        free(t->text);
        free(t);
    }
}

size_t url_template_n_names(const struct url_template *t)
{
    return t->n_names;
}

struct str url_template_name(const struct url_template *t, size_t index)
{
    assert(index < t->n_names);
    return t->names[index];
}

/* --- expanding --- */

/* Empty, "." or "..", the dots also as "%2e", which many servers take for the same. */
static bool is_special_segment(struct str segment)
{
    size_t n_dots = 0;
    while (segment.len > 0) {
        bool is_encoded = str_eq_nocase(str_head(segment, 3), STR("%2e"));
        if (!is_encoded && segment.ptr[0] != '.') {
            return false;
        }
        segment = str_tail(segment, is_encoded ? 3 : 1);
        n_dots++;
    }
    return n_dots <= 2;
}

/* Without the query. */
static struct str path_of(struct str url, size_t path_at)
{
    struct str rest = str_tail(url, path_at);
    return str_head(rest, find_any(rest, "?"));
}

static struct str take_segment(struct str *path)
{
    size_t len = find_any(*path, "/");
    struct str segment = str_head(*path, len);
    *path = str_tail(*path, len + 1);
    return segment;
}

/* Walks the segments of the template's path and of the expanded one side by side. */
static bool segments_are_good(const struct url_template *t, struct str url)
{
    struct str pattern = path_of((struct str){t->text, t->len}, t->path_at);
    struct str path = path_of(url, t->path_at);
    while (pattern.len > 0) {
        struct str segment = take_segment(&path);
        if (str_find(take_segment(&pattern), '{') >= 0 && is_special_segment(segment)) {
            return false;
        }
    }
    return true;
}

static enum status expand(const struct url_template *t, const struct str *values, struct buf *out)
{
    size_t start = out->len;
    struct str rest = {t->text, t->len};
    struct str literal;
    struct str name;
    while (template_next_place(&rest, &literal, &name)) {
        struct str value = values[template_find_name(t->names, t->n_names, name)];
        if (template_has_control(value)) {
            return STATUS_INVALID;
        }
        buf_append(out, literal);
        template_append_encoded(out, value, "");
    }
    buf_append(out, literal);
    if (buf_failed(out)) {
        return STATUS_TOO_LARGE;
    }
    return segments_are_good(t, str_tail(buf_str(out), start)) ? STATUS_OK : STATUS_INVALID;
}

enum status url_template_expand(const struct url_template *t, const struct str *values,
                                struct buf *out)
{
    size_t start = out->len;
    enum status status = expand(t, values, out);
    if (status != STATUS_OK) {
        out->len = start;
    }
    return status;
}
