/* SPDX-License-Identifier: MIT */
/* Lines: URL, name and value of a query parameter, Content-Type, another header's value, body; the
 * following ones are values. Whatever they are, what comes out keeps the template's host, has
 * nothing in it that ends a line of the request, and a JSON body is JSON. */
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/json_span.h"
#include "upstreams/request_template.h"

#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            (void)fprintf(stderr, "line %d: %s\n", __LINE__, #condition);                          \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

enum { URL, QUERY_NAME, QUERY_TEXT, CONTENT_TYPE, HEADER, BODY, N_LINES, MAX_VALUES = 100 };

static struct str take_line(struct str *rest)
{
    ptrdiff_t end = str_find(*rest, '\n');
    struct str line = end < 0 ? *rest : str_head(*rest, (size_t)end);
    *rest = end < 0 ? STR_EMPTY : str_tail(*rest, (size_t)end + 1);
    return line;
}

static size_t origin_len(struct str text)
{
    size_t at = 0;
    unsigned n_slashes = 0;
    while (at < text.len && n_slashes < 3 && text.ptr[at] != '?') {
        n_slashes += text.ptr[at++] == '/';
    }
    return n_slashes == 3 ? at - 1 : at;
}

static void check_url(const char *template, struct str url)
{
    size_t len = origin_len(str_of(template));
    REQUIRE(origin_len(url) == len);
    REQUIRE(memcmp(url.ptr, template, len) == 0);
    REQUIRE(strlen(url.ptr) == url.len);
    for (size_t i = 0; i < url.len; i++) {
        unsigned char c = (unsigned char)url.ptr[i];
        REQUIRE(c > ' ' && c != 0x7f && c != '#' && c != '{' && c != '}');
    }
}

static void check_headers(const struct request_text *text)
{
    for (size_t i = 0; i < text->n_headers; i++) {
        for (size_t k = 0; k < text->headers[i].len; k++) {
            unsigned char c = (unsigned char)text->headers[i].ptr[k];
            REQUIRE(c >= ' ' && c != 0x7f);
        }
    }
}

static void expand(const struct request_template *t, char *const *lines, struct str rest)
{
    struct str values[MAX_VALUES];
    struct request_text text = {0};
    size_t n = request_template_n_names(t);
    REQUIRE(n <= MAX_VALUES);
    for (size_t i = 0; i < n; i++) {
        REQUIRE(request_template_name(t, i).len > 0);
        values[i] = take_line(&rest);
    }
    if (request_template_expand(t, values, &text) == STATUS_OK) {
        bool is_json = lines[CONTENT_TYPE][0] == '\0';
        check_url(lines[URL], buf_str(&text.url));
        check_headers(&text);
        REQUIRE(!is_json || text.body.len == 0 ||
                json_check(buf_str(&text.body), NULL) == STATUS_OK);
    }
    request_text_release(&text);
}

static void create(char *const *lines, struct str rest)
{
    struct config_pair query = {lines[QUERY_NAME], lines[QUERY_TEXT]};
    struct config_pair headers[] = {{"X-Other", lines[HEADER]},
                                    {"Content-Type", lines[CONTENT_TYPE]}};
    struct config_list queries = {&query, lines[QUERY_NAME][0] ? 1 : 0};
    struct config_list all_headers = {headers, lines[CONTENT_TYPE][0] ? 2 : 1};
    struct request_template_source source = {.method = FETCH_POST,
                                             .url = lines[URL],
                                             .query = &queries,
                                             .headers = &all_headers,
                                             .body = lines[BODY]};
    struct request_template *t = NULL;
    const char *key = NULL;
    const char *expected = NULL;
    enum status status = request_template_create(&source, &t, &key, &expected);
    REQUIRE((status == STATUS_OK) == (t != NULL));
    REQUIRE(status == STATUS_OK || (key && expected && expected[0] != '\0'));
    if (t) {
        expand(t, lines, rest);
        request_template_destroy(t);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str rest = {(const char *)data, size};
    char *lines[N_LINES];
    for (size_t i = 0; i < N_LINES; i++) {
        lines[i] = str_dup(take_line(&rest));
        REQUIRE(lines[i]);
    }
    create(lines, rest);
    for (size_t i = 0; i < N_LINES; i++) {
        free(lines[i]);
    }
    return 0;
}
