/* SPDX-License-Identifier: MIT */
/* The strict check of a JSON text: once over it, without recursion; one bit per level says whether
 * it is an object or an array. Strings are the bulk of most texts and are passed over eight bytes
 * at a time. */
#include "base/json_span.h"

#include "base/json_text.h"
#include "base/utf8.h"

enum want {
    WANT_VALUE,
    WANT_FIRST_ELEMENT, /* after [ */
    WANT_FIRST_MEMBER,  /* after { */
    WANT_MEMBER,        /* after a comma in an object */
    WANT_NEXT,          /* after a value */
};

struct checker {
    const char *at;
    const char *end;
    const char *expected; /* set by what failed */
    unsigned depth;
    unsigned depth_max;
    uint64_t in_object[JSON_DEPTH_MAX / 64]; /* one bit per level */
};

static bool fail(struct checker *c, const char *expected)
{
    c->expected = expected;
    return false;
}

static bool inside_object(const struct checker *c)
{
    unsigned level = c->depth - 1;

    return c->depth > 0 && (c->in_object[level / 64] >> (level % 64) & 1) != 0;
}

static bool push(struct checker *c, bool object)
{
    if (c->depth == c->depth_max) {
        return fail(c, "no deeper nesting");
    }
    uint64_t bit = UINT64_C(1) << (c->depth % 64);
    uint64_t *word = &c->in_object[c->depth / 64];
    *word = object ? *word | bit : *word & ~bit;
    c->depth++;
    c->at++;
    return true;
}

/* At the backslash of \uXXXX. A high surrogate must be followed by the escape of a low one. */
static bool check_unicode_escape(struct checker *c)
{
    int32_t unit = json_hex4(c->at + 2, c->end);

    if (unit < 0) {
        return fail(c, "four hexadecimal digits after \\u");
    }
    if (unit >= 0xdc00 && unit <= 0xdfff) {
        return fail(c, "a high surrogate before this low one");
    }
    if (unit >= 0xd800 && unit <= 0xdbff) {
        int32_t low = -1;
        if (c->end - c->at >= 12 && c->at[6] == '\\' && c->at[7] == 'u') {
            low = json_hex4(c->at + 8, c->end);
        }
        if (low < 0xdc00 || low > 0xdfff) {
            return fail(c, "a low surrogate after this high one");
        }
        c->at += 6;
    }
    c->at += 6;
    return true;
}

static bool check_escape(struct checker *c)
{
    if (c->end - c->at >= 2) {
        switch (c->at[1]) {
        case 'u': return check_unicode_escape(c);
        case '"':
        case '\\':
        case '/':
        case 'b':
        case 'f':
        case 'n':
        case 'r':
        case 't': c->at += 2; return true;
        default: break;
        }
    }
    return fail(c, "one of \\\" \\\\ \\/ \\b \\f \\n \\r \\t \\u");
}

/* At the opening quote. */
static bool check_string(struct checker *c)
{
    c->at++;
    for (;;) {
        c->at = json_skip_plain(c->at, c->end);
        if (c->at == c->end) {
            return fail(c, "the closing quote of a string");
        }
        if (*c->at == '"') {
            c->at++;
            return true;
        }
        if (*c->at == '\\') {
            if (!check_escape(c)) {
                return false;
            }
            continue;
        }
        if ((unsigned char)*c->at < 0x20) {
            return fail(c, "no control character in a string");
        }
        size_t len = utf8_sequence((struct str){c->at, (size_t)(c->end - c->at)});
        if (len == 0) {
            return fail(c, "valid UTF-8");
        }
        c->at += len;
    }
}

static bool check_digits(struct checker *c)
{
    const char *start = c->at;

    while (c->at < c->end && json_is_digit(*c->at)) {
        c->at++;
    }
    return c->at > start || fail(c, "a digit");
}

static bool check_number(struct checker *c)
{
    if (*c->at == '-') {
        c->at++;
    }
    if (c->at < c->end && *c->at == '0') {
        c->at++; /* no digit may follow: what comes next will be refused as not fitting */
    } else if (!check_digits(c)) {
        return false;
    }
    if (c->at < c->end && *c->at == '.') {
        c->at++;
        if (!check_digits(c)) {
            return false;
        }
    }
    if (c->at < c->end && (*c->at == 'e' || *c->at == 'E')) {
        c->at++;
        if (c->at < c->end && (*c->at == '+' || *c->at == '-')) {
            c->at++;
        }
        return check_digits(c);
    }
    return true;
}

static bool check_word(struct checker *c, struct str word)
{
    for (size_t i = 0; i < word.len; i++) {
        if (c->at == c->end || *c->at != word.ptr[i]) {
            return fail(c, word.ptr);
        }
        c->at++;
    }
    return true;
}

/* A whole scalar, or the opening bracket of a container. */
static bool check_value(struct checker *c, enum want *next)
{
    *next = WANT_NEXT;
    switch (*c->at) {
    case '{': *next = WANT_FIRST_MEMBER; return push(c, true);
    case '[': *next = WANT_FIRST_ELEMENT; return push(c, false);
    case '"': return check_string(c);
    case 't': return check_word(c, STR("true"));
    case 'f': return check_word(c, STR("false"));
    case 'n': return check_word(c, STR("null"));
    default: break;
    }
    if (*c->at == '-' || json_is_digit(*c->at)) {
        return check_number(c);
    }
    return fail(c, "a value");
}

/* A name and its colon. */
static bool check_name(struct checker *c)
{
    if (*c->at != '"') {
        return fail(c, "a name in quotes");
    }
    if (!check_string(c)) {
        return false;
    }
    c->at = json_skip_blanks(c->at, c->end);
    if (c->at == c->end || *c->at != ':') {
        return fail(c, "a colon");
    }
    c->at++;
    return true;
}

static bool close_container(struct checker *c, enum want *next)
{
    c->depth--;
    c->at++;
    *next = WANT_NEXT;
    return true;
}

/* After a value: a comma or the end of what it stands in. */
static bool check_next(struct checker *c, enum want *next)
{
    bool object = inside_object(c);

    if (c->depth == 0) {
        return fail(c, "the end of the text");
    }
    if (*c->at == (object ? '}' : ']')) {
        return close_container(c, next);
    }
    if (*c->at != ',') {
        return fail(c, object ? "a comma or }" : "a comma or ]");
    }
    c->at++;
    *next = object ? WANT_MEMBER : WANT_VALUE;
    return true;
}

static bool check_token(struct checker *c, enum want *next)
{
    switch (*next) {
    case WANT_VALUE: return check_value(c, next);
    case WANT_FIRST_ELEMENT: return *c->at == ']' ? close_container(c, next) : check_value(c, next);
    case WANT_FIRST_MEMBER:
        if (*c->at == '}') {
            return close_container(c, next);
        }
        /* fall through */
    case WANT_MEMBER: *next = WANT_VALUE; return check_name(c);
    case WANT_NEXT: return check_next(c, next);
    }
    return false;
}

static const char *missing_at_end(const struct checker *c, enum want want)
{
    switch (want) {
    case WANT_VALUE: return "a value";
    case WANT_FIRST_ELEMENT: return "a value or ]";
    case WANT_FIRST_MEMBER: return "a name in quotes or }";
    case WANT_MEMBER: return "a name in quotes";
    case WANT_NEXT: break;
    }
    return inside_object(c) ? "a comma or }" : "a comma or ]";
}

enum status json_check_depth(struct str text, unsigned depth_max, struct json_error *ret_error)
{
    const char *start = text.len > 0 ? text.ptr : "";
    struct checker c = {.at = start, .end = start + text.len, .depth_max = depth_max};
    enum want want = WANT_VALUE;

    for (;;) {
        c.at = json_skip_blanks(c.at, c.end);
        if (c.at == c.end) {
            if (want == WANT_NEXT && c.depth == 0) {
                return STATUS_OK;
            }
            c.expected = missing_at_end(&c, want);
            break;
        }
        if (!check_token(&c, &want)) {
            break;
        }
    }
    if (ret_error) {
        *ret_error = (struct json_error){(size_t)(c.at - start), c.expected};
    }
    return STATUS_INVALID;
}

enum status json_check(struct str text, struct json_error *ret_error)
{
    return json_check_depth(text, JSON_DEPTH_MAX, ret_error);
}
