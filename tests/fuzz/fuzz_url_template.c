/* SPDX-License-Identifier: MIT */
/* The first line is a URL template, the following ones are values. Whatever the values are, what
 * comes out keeps the template's scheme and host and has nothing in it that ends a request line. */
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>

#include "upstreams/url_template.h"

#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            (void)fprintf(stderr, "line %d: %s\n", __LINE__, #condition);                          \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

enum { MAX_VALUES = 16 };

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

static void check_url(struct str template, struct str url)
{
    size_t len = origin_len(template);
    REQUIRE(origin_len(url) == len);
    REQUIRE(url.len >= len && memcmp(url.ptr, template.ptr, len) == 0);
    for (size_t i = 0; i < url.len; i++) {
        unsigned char c = (unsigned char)url.ptr[i];
        REQUIRE(c > ' ' && c != 0x7f && c != '#' && c != '{' && c != '}');
    }
}

static void expand(const struct url_template *t, struct str template, struct str rest)
{
    struct str values[MAX_VALUES];
    struct buf url;
    size_t n = url_template_n_names(t);

    if (n > MAX_VALUES) {
        return;
    }
    for (size_t i = 0; i < n; i++) {
        REQUIRE(url_template_name(t, i).len > 0);
        values[i] = take_line(&rest);
    }
    buf_init(&url, 4096);
    if (url_template_expand(t, values, &url) == STATUS_OK) {
        check_url(template, buf_str(&url));
    }
    buf_release(&url);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str rest = {(const char *)data, size};
    struct str template = take_line(&rest);
    struct url_template *t = NULL;
    const char *expected = NULL;
    enum status status = url_template_create(template, &t, &expected);

    REQUIRE((status == STATUS_OK) == (t != NULL));
    REQUIRE(status == STATUS_OK || (expected && expected[0] != '\0'));
    if (t) {
        expand(t, template, rest);
        url_template_destroy(t);
    }
    return 0;
}
