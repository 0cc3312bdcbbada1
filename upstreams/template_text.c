/* SPDX-License-Identifier: MIT */
/* Unit template_text walks texts with {places} and encodes what goes into them. Without state. */
#include "upstreams/template_text.h"

static bool is_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool is_name_byte(char c)
{
    return is_alnum(c) || c == '_' || c == '-';
}

bool template_name_valid(struct str name)
{
    if (name.len == 0 || name.ptr[0] == '-' || (name.ptr[0] >= '0' && name.ptr[0] <= '9')) {
        return false;
    }
    char last = '.'; /* a part must follow the beginning, and each dot */
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        if (c == '.' ? last == '.' : !is_name_byte(c)) {
            return false;
        }
        last = c;
    }
    return last != '.';
}

/* The length of the name at the front of text, if a closing brace follows; else 0. It looks no
 * further than names reach, so that many open braces cost no more than one pass. */
static size_t name_len(struct str text)
{
    size_t n = 0;
    while (n < text.len && (is_name_byte(text.ptr[n]) || text.ptr[n] == '.')) {
        n++;
    }
    bool is_closed = n < text.len && text.ptr[n] == '}';
    return is_closed && template_name_valid(str_head(text, n)) ? n : 0;
}

bool template_next_place(struct str *rest, struct str *ret_literal, struct str *ret_name)
{
    for (size_t i = 0; i < rest->len; i++) {
        size_t n = rest->ptr[i] == '{' ? name_len(str_tail(*rest, i + 1)) : 0;
        if (n > 0) {
            *ret_literal = str_head(*rest, i);
            *ret_name = (struct str){rest->ptr + i + 1, n};
            *rest = str_tail(*rest, i + n + 2);
            return true;
        }
    }
    *ret_literal = *rest;
    *rest = STR_EMPTY;
    return false;
}

size_t template_find_name(const struct str *names, size_t n, struct str name)
{
    size_t i = 0;
    while (i < n && !str_eq(names[i], name)) {
        i++;
    }
    return i;
}

bool template_braces_are_good(struct str text)
{
    struct str literal;
    struct str name;
    bool has_more;
    do {
        has_more = template_next_place(&text, &literal, &name);
        if (str_find(literal, '{') >= 0 || str_find(literal, '}') >= 0) {
            return false;
        }
    } while (has_more);
    return true;
}

bool template_has_control(struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        if ((unsigned char)text.ptr[i] < ' ' || text.ptr[i] == 0x7f) {
            return true;
        }
    }
    return false;
}

void template_append_encoded(struct buf *out, struct str text, const char *safe)
{
    static const char hex[] = "0123456789ABCDEF";
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        bool is_safe = c != '\0' && (strchr("-._~", c) || strchr(safe, c));
        if (is_safe || is_alnum((char)c)) {
            buf_append_char(out, (char)c);
        } else {
            char encoded[3] = {'%', hex[c >> 4], hex[c & 15]};
            buf_append(out, (struct str){encoded, sizeof(encoded)});
        }
    }
}
