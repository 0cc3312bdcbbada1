/* SPDX-License-Identifier: MIT */
/* Unit direct_url reads URLs by hand, since that is done for every fetch, and writes the heads of
 * requests. It keeps nothing. */
#include "upstreams/direct_url.h"

#define SCHEME       "http://"
#define DEFAULT_PORT 80
#define MAX_HOST     253

/* --- hosts --- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_lower(char c)
{
    return c >= 'a' && c <= 'z';
}

/* Labels of letters, digits, '-' and '_'. With a letter at the beginning of the last one it is no
 * number that resolvers take for an address. */
static bool read_name(struct str host, bool *ret_is_name)
{
    char before = '.';
    bool is_name = false;
    for (size_t i = 0; i < host.len; i++) {
        char c = host.ptr[i];
        if (c == '.' ? before == '.' : !is_lower(c) && !is_digit(c) && c != '-' && c != '_') {
            return false;
        }
        is_name = before == '.' ? is_lower(c) : is_name;
        before = c;
    }
    *ret_is_name = is_name;
    return before != '.' && host.len <= MAX_HOST;
}

/* Only what can be an address; whether it is one, inet_pton() says. */
static bool read_digits(struct str host, struct str others)
{
    for (size_t i = 0; i < host.len; i++) {
        if (!is_digit(host.ptr[i]) && str_find(others, host.ptr[i]) < 0) {
            return false;
        }
    }
    return host.len > 0;
}

static bool read_port(struct str text, struct direct_authority *authority)
{
    uint64_t port = DEFAULT_PORT;
    authority->has_port = text.len > 0;
    if (text.len > 0 && (text.ptr[0] != ':' || !str_to_u64(str_tail(text, 1), &port) || port < 1 ||
                         port > UINT16_MAX)) {
        return false;
    }
    authority->port = (uint16_t)port;
    return true;
}

static bool read_brackets(struct str text, struct direct_authority *authority)
{
    ptrdiff_t end = str_find(text, ']');
    if (end < 0) {
        return false;
    }
    authority->host = (struct str){text.ptr + 1, (size_t)end - 1};
    return read_digits(authority->host, STR("abcdef:.")) && str_find(authority->host, ':') >= 0 &&
           read_port(str_tail(text, (size_t)end + 1), authority);
}

bool direct_authority_read(struct str text, struct direct_authority *ret_authority)
{
    struct direct_authority authority = {.text = text};
    bool is_good;
    if (text.len > 0 && text.ptr[0] == '[') {
        is_good = read_brackets(text, &authority);
    } else {
        ptrdiff_t colon = str_find(text, ':');
        authority.host = str_head(text, colon < 0 ? text.len : (size_t)colon);
        is_good = read_name(authority.host, &authority.is_name) &&
                  (authority.is_name || read_digits(authority.host, STR("."))) &&
                  read_port(str_tail(text, authority.host.len), &authority);
    }
    if (is_good) {
        *ret_authority = authority;
    }
    return is_good;
}

/* --- URLs --- */

/* libcurl takes "/./" and "/../" out of paths. */
static bool is_plain(struct str target)
{
    char before = '\0';
    for (size_t i = 0; i < target.len; i++) {
        unsigned char c = (unsigned char)target.ptr[i];
        if (c <= ' ' || c >= 0x7f || c == '#' || c == '\\' || (c == '.' && before == '/')) {
            return false;
        }
        before = (char)c;
    }
    return true;
}

bool direct_url_read(struct str text, struct direct_url *ret_url)
{
    struct direct_url url;
    if (!str_starts_with(text, STR(SCHEME))) {
        return false;
    }
    struct str rest = str_tail(text, strlen(SCHEME));
    size_t n = 0;
    while (n < rest.len && rest.ptr[n] != '/' && rest.ptr[n] != '?') {
        n++;
    }
    url.target = str_tail(rest, n);
    if (!direct_authority_read(str_head(rest, n), &url.authority) || !is_plain(url.target)) {
        return false;
    }
    *ret_url = url;
    return true;
}

/* --- requests --- */

static void append_host(const struct direct_authority *authority, struct buf *buf)
{
    size_t len = authority->text.len;
    if (authority->has_port && authority->port == DEFAULT_PORT) {
        while (authority->text.ptr[len - 1] != ':') {
            len--;
        }
        len--;
    }
    buf_append(buf, str_head(authority->text, len));
}

void direct_url_write_get(const struct direct_url *url, struct buf *buf)
{
    bool has_slash = url->target.len > 0 && url->target.ptr[0] == '/';
    buf_append(buf, has_slash ? STR("GET ") : STR("GET /"));
    buf_append(buf, url->target);
    buf_append(buf, STR(" HTTP/1.1\r\nHost: "));
    append_host(&url->authority, buf);
    buf_append(buf, STR("\r\n"));
}
