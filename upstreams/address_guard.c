/* SPDX-License-Identifier: MIT */
/* A list is parsed once, and may be exchanged for another one as a whole; a question walks it.
 * Addresses are compared as bytes, so that it does not matter how they were written; an IPv4
 * address mapped into IPv6 (::ffff:0:0/96) is that IPv4 address, here as in the kernel. */
#include "upstreams/address_guard.h"

#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

enum { MAX_NAME = 253, MAX_LABEL = 63, MAX_PORT = 65535 };

struct address {
    int family; /* AF_INET: the first 4 bytes; AF_INET6 */
    unsigned char bytes[16];
};

enum entry_kind { ENTRY_NAME, ENTRY_DOMAIN, ENTRY_NETWORK };

struct entry {
    enum entry_kind kind;
    char *text;      /* what name points into */
    struct str name; /* ENTRY_NAME, without a dot at its end; ENTRY_DOMAIN: ".example.com" */
    struct address address;
    unsigned n_bits; /* ENTRY_NETWORK: of the address that count; all of them for one address */
    unsigned port;   /* 0: any */
};

struct address_guard {
    size_t n_entries;
    struct entry *entries;
};

/* --- addresses --- */

static unsigned address_bits(const struct address *address)
{
    return address->family == AF_INET ? 32 : 128;
}

static bool bits_equal(const unsigned char *a, const unsigned char *b, unsigned n_bits)
{
    unsigned n_bytes = n_bits / 8;
    unsigned n_rest = n_bits % 8;
    if (memcmp(a, b, n_bytes) != 0) {
        return false;
    }
    return n_rest == 0 || ((a[n_bytes] ^ b[n_bytes]) >> (8 - n_rest)) == 0;
}

static struct address address_ipv4(const unsigned char *bytes)
{
    struct address address = {.family = AF_INET};
    memcpy(address.bytes, bytes, 4);
    return address;
}

static struct address address_ipv6(const unsigned char *bytes)
{
    static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};
    struct address address = {.family = AF_INET6};
    if (memcmp(bytes, mapped, sizeof(mapped)) == 0) {
        return address_ipv4(bytes + sizeof(mapped));
    }
    memcpy(address.bytes, bytes, 16);
    return address;
}

/* Only the whole forms: four decimal numbers, or IPv6 without a zone. */
static bool parse_address(struct str text, struct address *ret_address)
{
    char terminated[INET6_ADDRSTRLEN];
    unsigned char bytes[16];
    if (text.len == 0 || text.len >= sizeof(terminated) || memchr(text.ptr, '\0', text.len)) {
        return false;
    }
    memcpy(terminated, text.ptr, text.len);
    terminated[text.len] = '\0';
    if (inet_pton(AF_INET, terminated, bytes) == 1) {
        *ret_address = address_ipv4(bytes);
        return true;
    }
    if (inet_pton(AF_INET6, terminated, bytes) == 1) {
        *ret_address = address_ipv6(bytes);
        return true;
    }
    return false;
}

/* --- which are public --- */

struct block {
    unsigned char bytes[16];
    unsigned n_bits;
};

/* The special-purpose registry (RFC 6890 and its updates), without those that the internet routes;
 * multicast; and what answers with secrets of a machine at an address that looks public. */
static const struct block closed_ipv4[] = {
    {{0}, 8},                 /* this network, unspecified */
    {{10}, 8},                /* private */
    {{100, 64}, 10},          /* shared; the metadata of one cloud */
    {{127}, 8},               /* loopback */
    {{168, 63, 129, 16}, 32}, /* the platform's address in another cloud */
    {{169, 254}, 16},         /* link-local; the metadata of most clouds */
    {{172, 16}, 12},          /* private */
    {{192, 0, 0}, 24},        /* protocol assignments; the metadata of one cloud */
    {{192, 0, 2}, 24},        /* documentation */
    {{192, 88, 99}, 24},      /* 6to4 relays, given up */
    {{192, 168}, 16},         /* private */
    {{198, 18}, 15},          /* benchmarks */
    {{198, 51, 100}, 24},     /* documentation */
    {{203, 0, 113}, 24},      /* documentation */
    {{224}, 4},               /* multicast */
    {{240}, 4},               /* reserved, broadcast */
};

static const struct block global_ipv6 = {{0x20}, 3};

static const struct block closed_ipv6[] = {
    {{0x20, 0x01}, 23},             /* protocol assignments, Teredo, benchmarks, ORCHID */
    {{0x20, 0x01, 0x0d, 0xb8}, 32}, /* documentation */
    {{0x3f, 0xff}, 20},             /* documentation */
};

static const struct block nat64 = {{0x00, 0x64, 0xff, 0x9b}, 96};
static const struct block six_to_four = {{0x20, 0x02}, 16};

static bool in_block(const unsigned char *bytes, const struct block *block)
{
    return bits_equal(bytes, block->bytes, block->n_bits);
}

static bool in_blocks(const unsigned char *bytes, const struct block *blocks, size_t n_blocks)
{
    for (size_t i = 0; i < n_blocks; i++) {
        if (in_block(bytes, &blocks[i])) {
            return true;
        }
    }
    return false;
}

static bool ipv4_is_public(const unsigned char *bytes)
{
    return !in_blocks(bytes, closed_ipv4, sizeof(closed_ipv4) / sizeof(closed_ipv4[0]));
}

/* ISATAP (RFC 5214): the interface's part is an IPv4 address behind these four bytes, under any
 * prefix. */
static bool is_isatap(const unsigned char *bytes)
{
    static const unsigned char mark[3] = {0x00, 0x5e, 0xfe};
    return (bytes[8] & 0xfd) == 0 && memcmp(bytes + 9, mark, sizeof(mark)) == 0;
}

static bool ipv6_is_public(const unsigned char *bytes)
{
    if (in_block(bytes, &nat64)) {
        return ipv4_is_public(bytes + 12);
    }
    if (!in_block(bytes, &global_ipv6) ||
        in_blocks(bytes, closed_ipv6, sizeof(closed_ipv6) / sizeof(closed_ipv6[0]))) {
        return false;
    }
    if (in_block(bytes, &six_to_four) && !ipv4_is_public(bytes + 2)) {
        return false;
    }
    return !is_isatap(bytes) || ipv4_is_public(bytes + 12);
}

static bool is_public(const struct address *address)
{
    return address->family == AF_INET ? ipv4_is_public(address->bytes)
                                      : ipv6_is_public(address->bytes);
}

/* --- names --- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_alpha(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_hex(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* A number as resolvers take it for a part of an IPv4 address: no top-level domain looks so. */
static bool is_number(struct str label)
{
    bool is_hexadecimal = str_eq_nocase(str_head(label, 2), STR("0x"));
    for (size_t i = is_hexadecimal ? 2 : 0; i < label.len; i++) {
        if (!(is_hexadecimal ? is_hex(label.ptr[i]) : is_digit(label.ptr[i]))) {
            return false;
        }
    }
    return true;
}

static bool is_label(struct str label)
{
    for (size_t i = 0; i < label.len; i++) {
        char c = label.ptr[i];
        if (!is_alpha(c) && !is_digit(c) && c != '-' && c != '_') {
            return false;
        }
    }
    return label.len > 0 && label.len <= MAX_LABEL;
}

/* Labels between dots, none after the last; the last is no number. */
static bool is_name(struct str name)
{
    struct str label = STR_EMPTY;
    if (name.len == 0 || name.len > MAX_NAME || name.ptr[name.len - 1] == '.') {
        return false;
    }
    while (name.len > 0) {
        ptrdiff_t dot = str_find(name, '.');
        label = dot < 0 ? name : str_head(name, (size_t)dot);
        name = dot < 0 ? STR_EMPTY : str_tail(name, (size_t)dot + 1);
        if (!is_label(label)) {
            return false;
        }
    }
    return !is_number(label);
}

static struct str without_last_dot(struct str name)
{
    bool has_dot = name.len > 0 && name.ptr[name.len - 1] == '.';
    return str_head(name, name.len - (has_dot ? 1 : 0));
}

/* --- entries: NULL, or what would be right --- */

static const char *parse_port(struct str text, struct entry *entry)
{
    uint64_t port = 0;
    if (!str_to_u64(text, &port) || port == 0 || port > MAX_PORT) {
        return "a port from 1 to 65535 after the colon";
    }
    entry->port = (unsigned)port;
    return NULL;
}

static const char *parse_name(struct str text, struct entry *entry)
{
    struct str name = without_last_dot(text);
    bool is_below = str_starts_with(name, STR("*."));
    entry->kind = is_below ? ENTRY_DOMAIN : ENTRY_NAME;
    entry->name = str_tail(name, is_below ? 1 : 0);
    if (is_name(str_tail(name, is_below ? 2 : 0))) {
        return NULL;
    }
    return "a host name (ASCII letters, digits, '-' and '_' between dots), \"*.\" and a name, an "
           "address or a network";
}

static const char *parse_bracketed(struct str text, struct entry *entry)
{
    ptrdiff_t end = str_find(text, ']');
    struct str inside = end < 0 ? STR_EMPTY : str_head(str_tail(text, 1), (size_t)end - 1);
    if (str_find(inside, ':') < 0 || !parse_address(inside, &entry->address)) {
        return "an IPv6 address (without a zone) in brackets, such as [2001:db8::1]:8080";
    }
    entry->kind = ENTRY_NETWORK;
    entry->n_bits = address_bits(&entry->address);
    struct str rest = str_tail(text, (size_t)end + 1);
    if (rest.len == 0) {
        return NULL;
    }
    return rest.ptr[0] == ':' ? parse_port(str_tail(rest, 1), entry)
                              : "nothing or a colon and a port after the brackets";
}

static bool has_host_bits(const struct entry *entry)
{
    unsigned n_bytes = address_bits(&entry->address) / 8;
    for (unsigned i = entry->n_bits / 8; i < n_bytes; i++) {
        unsigned n_kept = i == entry->n_bits / 8 ? entry->n_bits % 8 : 0;
        if ((entry->address.bytes[i] & (0xffU >> n_kept)) != 0) {
            return true;
        }
    }
    return false;
}

static const char *parse_network(struct str text, size_t slash, struct entry *entry)
{
    struct str written = str_head(text, slash);
    uint64_t n_bits = 0;
    if (!parse_address(written, &entry->address)) {
        return "a network such as 10.0.0.0/8 or fd00::/8";
    }
    /* Of a mapped address the bits are counted from the start of the IPv6 address. */
    bool is_mapped = entry->address.family == AF_INET && str_find(written, ':') >= 0;
    unsigned n_before = is_mapped ? 96 : 0;
    if (!str_to_u64(str_tail(text, slash + 1), &n_bits) || n_bits < n_before ||
        n_bits > n_before + address_bits(&entry->address)) {
        return is_mapped                          ? "a prefix length from 96 to 128 after the '/'"
               : entry->address.family == AF_INET ? "a prefix length from 0 to 32 after the '/'"
                                                  : "a prefix length from 0 to 128 after the '/'";
    }
    entry->kind = ENTRY_NETWORK;
    entry->n_bits = (unsigned)n_bits - n_before;
    return has_host_bits(entry) ? "a network: all bits after its prefix are zero" : NULL;
}

static const char *parse_entry(struct str text, struct entry *ret_entry)
{
    *ret_entry = (struct entry){.port = 0};
    if (text.len > 0 && text.ptr[0] == '[') {
        return parse_bracketed(text, ret_entry);
    }
    if (str_find_text(text, STR("://")) >= 0) {
        return "a host without a scheme and a path";
    }
    ptrdiff_t slash = str_find(text, '/');
    if (slash >= 0) {
        return parse_network(text, (size_t)slash, ret_entry);
    }
    ptrdiff_t colon = str_find(text, ':');
    bool has_port = colon >= 0 && str_find(str_tail(text, (size_t)colon + 1), ':') < 0;
    struct str host = has_port ? str_head(text, (size_t)colon) : text;
    const char *expected = NULL;
    if (parse_address(host, &ret_entry->address)) {
        ret_entry->kind = ENTRY_NETWORK;
        ret_entry->n_bits = address_bits(&ret_entry->address);
    } else {
        expected = parse_name(host, ret_entry);
    }
    return !expected && has_port ? parse_port(str_tail(text, (size_t)colon + 1), ret_entry)
                                 : expected;
}

const char *address_guard_expects(struct str entry)
{
    struct entry parsed;
    return parse_entry(entry, &parsed);
}

/* --- the guard --- */

static void *check_memory(void *memory)
{
    if (!memory) {
        (void)fputs("out of memory\n", stderr);
        abort();
    }
    return memory;
}

struct address_guard *address_guard_create(const struct config_list *hosts)
{
    char *const *texts = hosts->items;
    struct address_guard *guard = check_memory(calloc(1, sizeof(*guard)));
    guard->entries = check_memory(calloc(hosts->n_items + 1, sizeof(*guard->entries)));
    for (size_t i = 0; i < hosts->n_items; i++) {
        char *text = check_memory(str_dup(str_of(texts[i])));
        const char *expected = parse_entry(str_of(text), &guard->entries[i]);
        assert(!expected);
        (void)expected;
        guard->entries[i].text = text;
    }
    guard->n_entries = hosts->n_items;
    return guard;
}

void address_guard_destroy(struct address_guard *guard)
{
    if (!guard) {
        return;
    }
    for (size_t i = 0; i < guard->n_entries; i++) {
        free(guard->entries[i].text);
    }
    free(guard->entries);
    free(guard);
}

void address_guard_replace(struct address_guard *guard, struct address_guard *newer)
{
    struct address_guard older = *guard;
    *guard = *newer;
    *newer = older;
    address_guard_destroy(newer);
}

static bool lists_address(const struct address_guard *guard, const struct address *address,
                          unsigned port)
{
    for (size_t i = 0; i < guard->n_entries; i++) {
        const struct entry *e = &guard->entries[i];
        if (e->kind == ENTRY_NETWORK && e->address.family == address->family &&
            (e->port == 0 || e->port == port) &&
            bits_equal(e->address.bytes, address->bytes, e->n_bits)) {
            return true;
        }
    }
    return false;
}

static bool fits_name(const struct entry *entry, struct str name)
{
    switch (entry->kind) {
    case ENTRY_NAME: return str_eq_nocase(name, entry->name);
    case ENTRY_DOMAIN:
        return name.len > entry->name.len &&
               str_eq_nocase(str_tail(name, name.len - entry->name.len), entry->name);
    case ENTRY_NETWORK: return false;
    }
    return false;
}

static bool lists_name(const struct address_guard *guard, struct str name, unsigned port)
{
    for (size_t i = 0; i < guard->n_entries; i++) {
        const struct entry *e = &guard->entries[i];
        if (fits_name(e, name) && (e->port == 0 || e->port == port)) {
            return true;
        }
    }
    return false;
}

bool address_guard_allows_host(const struct address_guard *guard, struct str host, unsigned port)
{
    struct address address;
    struct str bare = without_last_dot(host);
    if (parse_address(bare, &address)) {
        return lists_address(guard, &address, port);
    }
    return is_name(bare) && lists_name(guard, bare, port);
}

bool address_guard_allows_address(const struct address_guard *guard, const struct sockaddr *address)
{
    struct address plain;
    unsigned port = 0;
    if (address->sa_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, address, sizeof(in));
        plain = address_ipv4((const unsigned char *)&in.sin_addr);
        port = ntohs(in.sin_port);
    } else if (address->sa_family == AF_INET6) {
        struct sockaddr_in6 in6;
        memcpy(&in6, address, sizeof(in6));
        plain = address_ipv6(in6.sin6_addr.s6_addr);
        port = ntohs(in6.sin6_port);
    } else {
        return false;
    }
    return is_public(&plain) || lists_address(guard, &plain, port);
}
