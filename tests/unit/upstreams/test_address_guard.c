/* SPDX-License-Identifier: MIT */
/* The guard of hosts and addresses: which entries are good, what is said of others, which hosts
 * they let through, and which addresses are public. */
#include "upstreams/address_guard.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cmocka.h>

/* At most this many entries in a list here. */
enum { MAX_ENTRIES = 8 };

#define LIST(...) ((const char *const[MAX_ENTRIES + 1]){__VA_ARGS__})

static struct address_guard *create(const char *const *entries)
{
    struct config_list hosts = {.items = (void *)entries};
    while (entries[hosts.n_items]) {
        assert_null(address_guard_expects(str_of(entries[hosts.n_items])));
        hosts.n_items++;
    }
    return address_guard_create(&hosts);
}

static void assert_host(const char *const *entries, const char *host, unsigned port, bool wanted)
{
    struct address_guard *guard = create(entries);
    if (address_guard_allows_host(guard, str_of(host), port) != wanted) {
        fail_msg("%s port %u: %s is wrong", host, port, wanted ? "refused" : "allowed");
    }
    address_guard_destroy(guard);
}

static void assert_address(const char *const *entries, const char *text, uint16_t port, bool wanted)
{
    struct address_guard *guard = create(entries);
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    const struct sockaddr *address = (const struct sockaddr *)&in6;
    if (inet_pton(AF_INET, text, &in.sin_addr) == 1) {
        address = (const struct sockaddr *)&in;
    } else {
        assert_int_equal(inet_pton(AF_INET6, text, &in6.sin6_addr), 1);
    }
    if (address_guard_allows_address(guard, address) != wanted) {
        fail_msg("%s port %u: %s is wrong", text, port, wanted ? "refused" : "allowed");
    }
    address_guard_destroy(guard);
}

static void assert_entry_refused(const char *entry, const char *word)
{
    const char *expected = address_guard_expects(str_of(entry));
    if (!expected) {
        fail_msg("%s is no entry", entry);
    } else if (!strstr(expected, word)) {
        fail_msg("%s: \"%s\" does not say \"%s\"", entry, expected, word);
    }
}

/* --- entries --- */

static void test_good_entries_are_taken(void **state)
{
    (void)state;
    const char *const entries[] = {
        "api.example.com",
        "api.example.com.",
        "API-2.Example.com:65535",
        "localhost",
        "my_service:1",
        "*.example.com",
        "*.example.com:8443",
        "xn--bcher-kva.example",
        "192.0.2.7",
        "192.0.2.7:80",
        "2001:db8::1",
        "[2001:db8::1]",
        "[2001:db8::1]:80",
        "10.0.0.0/8",
        "10.1.2.3/32",
        "0.0.0.0/0",
        "fd00::/8",
        "::/0",
        "2001:db8::1/128",
        "::ffff:10.0.0.1",
        "::ffff:10.0.0.0/104",
        "1.example.com",
        "4you.example",
        "*.com",
    };
    for (size_t i = 0; i < sizeof(entries) / sizeof(entries[0]); i++) {
        const char *expected = address_guard_expects(str_of(entries[i]));
        if (expected) {
            fail_msg("%s: expected %s", entries[i], expected);
        }
    }
}

static void test_names_that_are_none_are_refused(void **state)
{
    (void)state;
    assert_entry_refused("", "a host name");
    assert_entry_refused(".", "a host name");
    assert_entry_refused("*", "a host name");
    assert_entry_refused("*.", "a host name");
    assert_entry_refused("*example.com", "a host name");
    assert_entry_refused("a.*.example.com", "a host name");
    assert_entry_refused("*.*.example.com", "a host name");
    assert_entry_refused("*.10", "a host name");
    assert_entry_refused("a..example.com", "a host name");
    assert_entry_refused(".example.com", "a host name");
    assert_entry_refused("example.com..", "a host name");
    assert_entry_refused("exa mple.com", "a host name");
    assert_entry_refused("user@example.com", "a host name");
    assert_entry_refused("b\xc3\xbc"
                         "cher.example",
                         "ASCII");
    assert_entry_refused("https://example.com", "without a scheme");
    assert_entry_refused("example.com/path", "a network");
    char label[70];
    memset(label, 'a', 64);
    label[64] = '\0';
    assert_entry_refused(label, "a host name");
    label[63] = '\0';
    assert_null(address_guard_expects(str_of(label)));
    assert_non_null(address_guard_expects((struct str){"a\0b", 3}));
    assert_non_null(address_guard_expects((struct str){"127.0.0.1\0", 10}));
}

static void test_a_name_has_at_most_253_bytes(void **state)
{
    (void)state;
    char name[256];
    for (size_t i = 0; i < sizeof(name); i++) {
        name[i] = i % 50 == 49 ? '.' : 'a';
    }
    assert_null(address_guard_expects((struct str){name, 253}));
    assert_non_null(address_guard_expects((struct str){name, 254}));
}

/* Resolvers take them for addresses that they do not look like. */
static void test_numbers_are_no_names(void **state)
{
    (void)state;
    const char *const entries[] = {"2130706433", "127.1",  "0x7f.1", "0x7f000001", "10.0.0.256",
                                   "1.2.3.4.5",  "api.0x", "api.1",  "0X7F.0X1",   "10.0.0"};
    for (size_t i = 0; i < sizeof(entries) / sizeof(entries[0]); i++) {
        assert_entry_refused(entries[i], "a host name");
        assert_host(LIST("api.example.com", "*.example.com"), entries[i], 80, false);
    }
}

static void test_ports_are_checked(void **state)
{
    (void)state;
    assert_entry_refused("example.com:", "port from 1 to 65535");
    assert_entry_refused("example.com:0", "port from 1 to 65535");
    assert_entry_refused("example.com:65536", "port from 1 to 65535");
    assert_entry_refused("example.com:http", "port from 1 to 65535");
    assert_entry_refused("example.com:-1", "port from 1 to 65535");
    assert_entry_refused("[2001:db8::1]:", "port from 1 to 65535");
    assert_entry_refused("[2001:db8::1]:70000", "port from 1 to 65535");
    assert_entry_refused("[2001:db8::1]8080", "colon");
}

static void test_addresses_and_networks_are_checked(void **state)
{
    (void)state;
    assert_entry_refused("[10.0.0.1]:80", "IPv6");
    assert_entry_refused("[2001:db8::1", "brackets");
    assert_entry_refused("[]", "brackets");
    assert_entry_refused("[fe80::1%eth0]", "zone");
    assert_entry_refused("fe80::1%eth0", "a host name");
    assert_entry_refused("[fd00::]/8", "after the brackets");
    assert_entry_refused("10.0.0.0/33", "from 0 to 32");
    assert_entry_refused("10.0.0.0/", "from 0 to 32");
    assert_entry_refused("10.0.0.0/-1", "from 0 to 32");
    assert_entry_refused("10.0.0.0/8:80", "from 0 to 32");
    assert_entry_refused("10.0.0.0/255.0.0.0", "from 0 to 32");
    assert_entry_refused("fd00::/129", "from 0 to 128");
    assert_entry_refused("::ffff:10.0.0.0/95", "from 96 to 128");
    assert_entry_refused("10/8", "a network such as");
    assert_entry_refused("example.com/8", "a network such as");
    assert_entry_refused("10.0.0.1/8", "after its prefix are zero");
    assert_entry_refused("10.0.0.1/0", "after its prefix are zero");
    assert_entry_refused("10.0.0.3/31", "after its prefix are zero");
    assert_entry_refused("fd00::1/8", "after its prefix are zero");
    assert_entry_refused("fd00:0:0:1::/63", "after its prefix are zero");
    assert_entry_refused("::ffff:10.0.0.1/104", "after its prefix are zero");
}

/* --- hosts --- */

static void test_names_fit_names(void **state)
{
    (void)state;
    const char *const *list = LIST("API.example.com", "other.example:8443");
    assert_host(list, "api.example.com", 80, true);
    assert_host(list, "Api.Example.COM", 65535, true);
    assert_host(list, "api.example.com.", 443, true);
    assert_host(list, "api.example.com..", 443, false);
    assert_host(list, "example.com", 80, false);
    assert_host(list, "x.api.example.com", 80, false);
    assert_host(list, "xapi.example.com", 80, false);
    assert_host(list, "api.example.com.evil.example", 80, false);
    assert_host(list, "other.example", 8443, true);
    assert_host(list, "other.example", 443, false);
    assert_host(list, "", 80, false);
    assert_host(list, ".", 80, false);
    assert_host(LIST(NULL), "api.example.com", 80, false);
    assert_host(LIST("api.example.com."), "api.example.com", 80, true);
}

static void test_domains_fit_what_is_below_them(void **state)
{
    (void)state;
    const char *const *list = LIST("*.Example.com:8443");
    assert_host(list, "api.example.com", 8443, true);
    assert_host(list, "a.b.EXAMPLE.com.", 8443, true);
    assert_host(list, "api.example.com", 443, false);
    assert_host(list, "example.com", 8443, false);
    assert_host(list, ".example.com", 8443, false);
    assert_host(list, "badexample.com", 8443, false);
    assert_host(list, "a..example.com", 8443, false);
    assert_host(list, "evil/x.example.com", 8443, false);
    assert_host(list, "evil@x.example.com", 8443, false);
    assert_host(list, "fe80::1%x.example.com", 8443, false);
    assert_host(list,
                "b\xc3\xbc"
                "cher.example.com",
                8443, false);
}

static void test_addresses_fit_addresses_and_networks(void **state)
{
    (void)state;
    const char *const *list =
        LIST("192.0.2.7:8080", "[2001:db8::1]", "10.0.0.0/9", "fd00::/8", "api.example.com");
    assert_host(list, "192.0.2.7", 8080, true);
    assert_host(list, "192.0.2.7.", 8080, true);
    assert_host(list, "192.0.2.7", 80, false);
    assert_host(list, "192.0.2.8", 8080, false);
    assert_host(list, "2001:DB8:0:0::0001", 1, true);
    assert_host(list, "2001:db8::2", 1, false);
    assert_host(list, "10.127.255.255", 1, true);
    assert_host(list, "10.128.0.0", 1, false);
    assert_host(list, "fdff::1", 1, true);
    assert_host(list, "fe00::1", 1, false);
    assert_host(list, "::ffff:10.0.0.1", 1, true);
    assert_host(list, "::ffff:a00:1", 1, true);
    assert_host(list, "64:ff9b::10.0.0.1", 1, false);
    assert_host(list, "fd00::1%eth0", 1, false);
    /* A public address is no reason to ask a host that nobody listed. */
    assert_host(list, "8.8.8.8", 443, false);
    assert_host(LIST("::ffff:10.0.0.0/104"), "10.9.9.9", 1, true);
    assert_host(LIST("::ffff:10.0.0.0/104"), "11.0.0.0", 1, false);
    assert_host(LIST("::ffff:10.0.0.1"), "10.0.0.1", 1, true);
    assert_host(LIST("0.0.0.0/0"), "203.0.113.9", 1, true);
    assert_host(LIST("0.0.0.0/0"), "2001:db8::1", 1, false);
    assert_host(LIST("::/0"), "2001:db8::1", 1, true);
    assert_host(LIST("::/0"), "::ffff:10.0.0.1", 1, false);
    assert_host(LIST("2001:db8::1:80"), "2001:db8::1:80", 1, true);
}

/* --- addresses --- */

static void test_public_addresses_are_allowed(void **state)
{
    (void)state;
    const char *const addresses[] = {
        "1.0.0.0",
        "8.8.8.8",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "126.255.255.255",
        "128.0.0.0",
        "169.253.255.255",
        "169.255.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "192.0.1.0",
        "192.167.255.255",
        "192.169.0.0",
        "198.17.255.255",
        "198.20.0.0",
        "168.63.129.15",
        "223.255.255.255",
        "203.0.114.0",
        "2606:4700::1",
        "2001:4860:4860::8888",
        "2000::1",
        "2001:200::1",
        "3ffe:ffff::1",
        "::ffff:8.8.8.8",
        "64:ff9b::8.8.8.8",
        "2002:808:808::1",
        "2606::5efe:808:808",
    };
    for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
        assert_address(LIST(NULL), addresses[i], 443, true);
    }
}

static void test_others_are_refused(void **state)
{
    (void)state;
    const char *const addresses[] = {
        "0.0.0.0",
        "0.255.255.255",
        "10.0.0.0",
        "10.255.255.255",
        "100.64.0.0",
        "100.127.255.255",
        "100.100.100.200",
        "127.0.0.0",
        "127.0.0.1",
        "127.255.255.255",
        "169.254.0.0",
        "169.254.169.254",
        "169.254.255.255",
        "172.16.0.0",
        "172.31.255.255",
        "192.0.0.0",
        "192.0.0.192",
        "192.0.2.255",
        "192.88.99.1",
        "192.168.0.0",
        "192.168.255.255",
        "198.18.0.0",
        "198.19.255.255",
        "198.51.100.1",
        "203.0.113.255",
        "168.63.129.16",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        /* IPv6 */
        "::",
        "::1",
        "::127.0.0.1",
        "::8.8.8.8",
        "100::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "febf::1",
        "fec0::1",
        "ff02::1",
        "2001::1",
        "2001:0:808:808::1",
        "2001:1ff:ffff::1",
        "2001:db8::1",
        "2001:db8:ffff::1",
        "3fff::1",
        "3fff:fff::1",
        "4000::1",
        "5f00::1",
        "1fff::1",
        "64:ff9b:1::808:808",
        /* IPv4 inside */
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::ffff:169.254.169.254",
        "::ffff:0.0.0.0",
        "64:ff9b::127.0.0.1",
        "64:ff9b::192.168.1.1",
        "64:ff9b::169.254.169.254",
        "2002:7f00:1::1",
        "2002:a00:1::",
        "2002:c0a8:101::1",
        "2002:a9fe:a9fe::1",
        "2606::5efe:10.0.0.1",
        "2606::200:5efe:127.0.0.1",
    };
    for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
        assert_address(LIST("api.example.com", "*.example.com"), addresses[i], 443, false);
    }
}

static void test_listed_addresses_are_allowed(void **state)
{
    (void)state;
    const char *const *list =
        LIST("127.0.0.1:8080", "10.0.0.0/8", "[::1]:9090", "fd00::/8", "64:ff9b::/96", "[fe80::1]");
    assert_address(list, "127.0.0.1", 8080, true);
    assert_address(list, "127.0.0.1", 8081, false);
    assert_address(list, "127.0.0.2", 8080, false);
    assert_address(list, "::ffff:127.0.0.1", 8080, true);
    assert_address(list, "::ffff:127.0.0.1", 8081, false);
    assert_address(list, "10.20.30.40", 1, true);
    assert_address(list, "2002:a00:1::1", 1, false);
    assert_address(list, "::1", 9090, true);
    assert_address(list, "::1", 9091, false);
    assert_address(list, "fd12::1", 1, true);
    assert_address(list, "64:ff9b::10.0.0.1", 1, true);
    assert_address(list, "fe80::1", 1, true);
    assert_address(list, "fe80::2", 1, false);
}

/* The entry of a name is no leave for what the name resolves to. */
static void test_a_listed_name_does_not_list_its_address(void **state)
{
    (void)state;
    assert_host(LIST("localhost"), "localhost", 80, true);
    assert_address(LIST("localhost"), "127.0.0.1", 80, false);
}

static void test_other_families_are_refused(void **state)
{
    (void)state;
    struct address_guard *guard = create(LIST("0.0.0.0/0", "::/0"));
    struct sockaddr_un un = {.sun_family = AF_UNIX, .sun_path = "/tmp/x"};
    struct sockaddr_storage none = {.ss_family = AF_UNSPEC};
    assert_false(address_guard_allows_address(guard, (const struct sockaddr *)&un));
    assert_false(address_guard_allows_address(guard, (const struct sockaddr *)&none));
    address_guard_destroy(guard);
    address_guard_destroy(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_entries_are_taken),
        cmocka_unit_test(test_names_that_are_none_are_refused),
        cmocka_unit_test(test_a_name_has_at_most_253_bytes),
        cmocka_unit_test(test_numbers_are_no_names),
        cmocka_unit_test(test_ports_are_checked),
        cmocka_unit_test(test_addresses_and_networks_are_checked),
        cmocka_unit_test(test_names_fit_names),
        cmocka_unit_test(test_domains_fit_what_is_below_them),
        cmocka_unit_test(test_addresses_fit_addresses_and_networks),
        cmocka_unit_test(test_public_addresses_are_allowed),
        cmocka_unit_test(test_others_are_refused),
        cmocka_unit_test(test_listed_addresses_are_allowed),
        cmocka_unit_test(test_a_listed_name_does_not_list_its_address),
        cmocka_unit_test(test_other_families_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
