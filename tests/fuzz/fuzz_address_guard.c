/* SPDX-License-Identifier: MIT */
/* The first line is an entry of the list, the second a host, the rest the bytes of an address.
 * Whatever they are: an entry is good or there are words for what is wrong; who fits it in one
 * notation fits it in the others; and the inside of this machine stays closed to names. */
#include "tests/fuzz/fuzz.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "upstreams/address_guard.h"

#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            (void)fprintf(stderr, "line %d: %s\n", __LINE__, #condition);                          \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static struct str take_line(struct str *rest)
{
    ptrdiff_t end = str_find(*rest, '\n');
    struct str line = end < 0 ? *rest : str_head(*rest, (size_t)end);
    *rest = end < 0 ? STR_EMPTY : str_tail(*rest, (size_t)end + 1);
    return line;
}

static bool allows_ipv4(const struct address_guard *guard, const unsigned char *bytes)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(443)};
    memcpy(&in.sin_addr, bytes, 4);
    return address_guard_allows_address(guard, (const struct sockaddr *)&in);
}

static bool allows_ipv6(const struct address_guard *guard, const unsigned char *bytes)
{
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(443)};
    memcpy(&in6.sin6_addr, bytes, 16);
    return address_guard_allows_address(guard, (const struct sockaddr *)&in6);
}

static void check_address(const struct address_guard *guard, bool is_name, struct str bytes)
{
    unsigned char padded[16] = {0};
    unsigned char mapped[16] = {[10] = 0xff, [11] = 0xff};
    memcpy(padded, bytes.ptr ? bytes.ptr : "", bytes.len < 16 ? bytes.len : 16);
    memcpy(mapped + 12, padded, 4);
    bool is_allowed = allows_ipv4(guard, padded);
    REQUIRE(is_allowed == allows_ipv6(guard, mapped));
    REQUIRE(!is_name || !is_allowed || (padded[0] != 127 && padded[0] != 10));
    is_allowed = allows_ipv6(guard, padded);
    REQUIRE(!is_name || !is_allowed || padded[0] == 0 || (padded[0] & 0xe0) == 0x20);
}

static void check_host(const struct address_guard *guard, struct str host)
{
    char upper[300];
    if (host.len >= sizeof(upper)) {
        REQUIRE(!address_guard_allows_host(guard, host, 443));
        return;
    }
    for (size_t i = 0; i < host.len; i++) {
        bool is_lower = host.ptr[i] >= 'a' && host.ptr[i] <= 'z';
        upper[i] = (char)(is_lower ? host.ptr[i] - 'a' + 'A' : host.ptr[i]);
    }
    REQUIRE(address_guard_allows_host(guard, host, 443) ==
            address_guard_allows_host(guard, (struct str){upper, host.len}, 443));
}

/* The entry of one host lets its own host through, to its port. */
static void check_own_host(const struct address_guard *guard, struct str entry)
{
    ptrdiff_t colon = str_find(entry, ':');
    if (str_find(entry, '*') >= 0 || str_find(entry, '/') >= 0 ||
        (colon >= 0 && str_find(str_tail(entry, (size_t)colon + 1), ':') >= 0)) {
        return;
    }
    uint64_t port = 443;
    if (colon >= 0) {
        REQUIRE(str_to_u64(str_tail(entry, (size_t)colon + 1), &port));
        entry = str_head(entry, (size_t)colon);
    }
    REQUIRE(address_guard_allows_host(guard, entry, (unsigned)port));
    REQUIRE(colon < 0 || !address_guard_allows_host(guard, entry, (unsigned)port + 1));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str rest = {(const char *)data, size};
    struct str entry = take_line(&rest);
    struct str host = take_line(&rest);
    const char *expected = address_guard_expects(entry);
    REQUIRE(!expected || expected[0] != '\0');
    if (expected) {
        return 0;
    }
    char *text = str_dup(entry);
    REQUIRE(text);
    struct config_list hosts = {.items = &text, .n_items = 1};
    struct address_guard *guard = address_guard_create(&hosts);
    char last = entry.ptr[entry.len - 1];
    bool is_name = str_find(entry, '/') < 0 && str_find(entry, ':') < 0 && last > '9';
    check_address(guard, is_name, rest);
    check_host(guard, host);
    check_own_host(guard, entry);
    address_guard_destroy(guard);
    free(text);
    return 0;
}
