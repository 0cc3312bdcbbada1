/* SPDX-License-Identifier: MIT */
/* URLs as the direct client reads them. What it takes, libcurl, whose reading is what guards look
 * at, takes for the same host and port; and the head that comes of it has its two lines. */
#include "tests/fuzz/fuzz.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

#include "upstreams/direct_url.h"
#include "upstreams/target.h"

#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            (void)fprintf(stderr, "line %d: %s\n", __LINE__, #condition);                          \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

struct address {
    int family; /* 0: none */
    unsigned char bytes[16];
};

static struct address address_of(struct str host)
{
    struct address address = {.family = 0};
    char text[INET6_ADDRSTRLEN] = "";
    if (host.len < sizeof(text)) {
        memcpy(text, host.ptr, host.len);
    }
    if (inet_pton(AF_INET, text, address.bytes) == 1) {
        address.family = AF_INET;
    } else if (inet_pton(AF_INET6, text, address.bytes) == 1) {
        address.family = AF_INET6;
    }
    return address;
}

static bool is_same_host(const struct direct_authority *authority, const struct target *target)
{
    struct address ours = address_of(authority->host);
    struct address theirs = address_of(str_of(target->host));
    return authority->is_name ? str_eq(authority->host, str_of(target->host))
                              : memcmp(&ours, &theirs, sizeof(ours)) == 0;
}

static void check_target(const struct direct_url *url, const char *text)
{
    struct target target;
    if (!url->authority.is_name && address_of(url->authority.host).family == 0) {
        return; /* libcurl connects, if it takes it at all */
    }
    REQUIRE(target_read(text, &target));
    REQUIRE(!target.is_https && !target.has_user);
    REQUIRE(target.port == url->authority.port);
    REQUIRE(is_same_host(&url->authority, &target));
}

static void check_head(const struct direct_url *url)
{
    struct buf buf;
    buf_init(&buf, 1 << 20);
    direct_url_write_get(url, &buf);
    REQUIRE(!buf_failed(&buf));
    struct str head = buf_str(&buf);
    ptrdiff_t end = str_find_text(head, STR(" HTTP/1.1\r\nHost: "));
    REQUIRE(str_starts_with(head, STR("GET /")) && end > 0);
    REQUIRE(str_find(head, ' ') == 3 && str_find(str_tail(head, 4), ' ') == end - 4);
    struct str host = str_tail(head, (size_t)end + strlen(" HTTP/1.1\r\nHost: "));
    REQUIRE(str_find(host, '\r') == (ptrdiff_t)host.len - 2);
    REQUIRE(str_find(host, '\n') == (ptrdiff_t)host.len - 1);
    buf_release(&buf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct direct_url url;
    char text[2000];
    if (size >= sizeof(text)) {
        return 0;
    }
    if (size > 0) {
        memcpy(text, data, size);
    }
    text[size] = '\0';
    if (direct_url_read(str_of(text), &url)) {
        check_target(&url, text);
        check_head(&url);
    }
    return 0;
}
