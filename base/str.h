/* A view of bytes: pointer and length, never owning, passed by value. Not NUL-terminated unless a
 * function says so. */
#ifndef BELFRY_BASE_STR_H
#define BELFRY_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct str {
    const char *ptr;
    size_t len;
};

#define STR_EMPTY ((struct str){NULL, 0})
/* Of a string literal. */
#define STR(literal) ((struct str){"" literal, sizeof(literal) - 1})
/* For printf's "%.*s". */
#define STR_ARG(s) (int)(s).len, (s).ptr

static inline struct str str_of(const char *text)
{
    return text ? (struct str){text, strlen(text)} : STR_EMPTY;
}

static inline bool str_eq(struct str a, struct str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

static inline bool str_starts_with(struct str s, struct str prefix)
{
    return s.len >= prefix.len && (prefix.len == 0 || memcmp(s.ptr, prefix.ptr, prefix.len) == 0);
}

/* Without regard to ASCII case. */
bool str_eq_nocase(struct str a, struct str b);

/* The first n bytes, or all; and what follows them. */
struct str str_head(struct str s, size_t n);
struct str str_tail(struct str s, size_t n);

/* Without spaces and tabs at both ends (RFC 9110 OWS). */
struct str str_trim(struct str s);

/* Index of the first c, or -1. */
ptrdiff_t str_find(struct str s, char c);

/* Index of the first place where text stands; -1: nowhere, or it is empty. */
ptrdiff_t str_find_text(struct str s, struct str text);

/* Only ASCII digits, no sign, no overflow: true and the number. An empty text is false. */
bool str_to_u64(struct str s, uint64_t *ret_number);

/* Equal in a time that does not depend on where they differ. */
bool str_eq_secret(struct str a, struct str b);

/* Does text match a glob pattern: '*' any run, '?' one byte, '[abc]' / '[a-z]' / '[^a]' one of a
 * set, '\' escapes. Linear in practice, never exponential. */
bool str_glob(struct str pattern, struct str text);

/* A NUL-terminated copy, to be freed with free(); NULL when memory is short. */
char *str_dup(struct str s);

#endif
