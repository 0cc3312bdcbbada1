/* SPDX-License-Identifier: MIT */
/* JSON read where it lies. The texts have passed json_check(), so that here only the ends of values
 * are looked for, and nothing can be malformed. */
#include "base/json_span.h"

#include <assert.h>

#include "base/json_text.h"
#include "base/utf8.h"

/* -- Walking checked text ---------------------------------------------------------------------- */

struct str json_trim(struct str text)
{
    while (text.len > 0 && json_is_blank(text.ptr[text.len - 1])) {
        text.len--;
    }
    while (text.len > 0 && json_is_blank(text.ptr[0])) {
        text.ptr++;
        text.len--;
    }
    return text;
}

enum json_kind json_kind(struct str value)
{
    value = json_trim(value);
    switch (value.len > 0 ? value.ptr[0] : 'n') {
    case '{': return JSON_KIND_OBJECT;
    case '[': return JSON_KIND_ARRAY;
    case '"': return JSON_KIND_STRING;
    case 't': return JSON_KIND_TRUE;
    case 'f': return JSON_KIND_FALSE;
    case 'n': return JSON_KIND_NULL;
    default: return JSON_KIND_NUMBER;
    }
}

/* From the opening quote to behind the closing one. */
static const char *skip_string(const char *at, const char *end)
{
    at++;
    for (;;) {
        at = json_skip_plain(at, end);
        if (at >= end) {
            return end;
        }
        if (*at == '"') {
            return at + 1;
        }
        at += *at == '\\' && end - at >= 2 ? 2 : 1;
    }
}

/* From the opening bracket to behind the one that closes it. Only the depth is counted: that the
 * kinds fit has been checked. */
static const char *skip_container(const char *at, const char *end)
{
    unsigned depth = 0;

    while (at < end) {
        switch (*at) {
        case '"': at = skip_string(at, end); continue;
        case '{':
        case '[': depth++; break;
        case '}':
        case ']':
            if (--depth == 0) {
                return at + 1;
            }
            break;
        default: break;
        }
        at++;
    }
    return at;
}

static const char *skip_value(const char *at, const char *end)
{
    if (at < end && *at == '"') {
        return skip_string(at, end);
    }
    if (at < end && (*at == '{' || *at == '[')) {
        return skip_container(at, end);
    }
    while (at < end && *at != ',' && *at != '}' && *at != ']' && !json_is_blank(*at)) {
        at++;
    }
    return at;
}

/* A walk stands at the opening bracket, at a comma or at the closing bracket. */
struct json_walk json_walk(struct str container)
{
    container = json_trim(container);
    if (container.len == 0 || (container.ptr[0] != '{' && container.ptr[0] != '[')) {
        return (struct json_walk){NULL, NULL};
    }
    return (struct json_walk){container.ptr, container.ptr + container.len};
}

/* Goes behind the bracket or comma; false when nothing follows. */
static bool walk_on(struct json_walk *w, char open, char close)
{
    if (w->at == w->end || (*w->at != open && *w->at != ',')) {
        return false;
    }
    w->at = json_skip_blanks(w->at + 1, w->end);
    return w->at < w->end && *w->at != close;
}

static struct str walk_value(struct json_walk *w)
{
    const char *start = json_skip_blanks(w->at, w->end);
    const char *stop = skip_value(start, w->end);

    w->at = json_skip_blanks(stop, w->end);
    return (struct str){start, (size_t)(stop - start)};
}

bool json_next_member(struct json_walk *w, struct str *ret_key, struct str *ret_item)
{
    if (!walk_on(w, '{', '}')) {
        return false;
    }
    const char *stop = skip_string(w->at, w->end);
    *ret_key = (struct str){w->at + 1, (size_t)(stop - w->at) - 2};
    w->at = json_skip_blanks(stop, w->end);
    assert(w->at < w->end && *w->at == ':');
    w->at++;
    *ret_item = walk_value(w);
    return true;
}

bool json_next_element(struct json_walk *w, struct str *ret_item)
{
    if (!walk_on(w, '[', ']')) {
        return false;
    }
    *ret_item = walk_value(w);
    return true;
}

/* -- Strings ----------------------------------------------------------------------------------- */

/* Takes one character or escape from the front of a string's raw content and writes its bytes. */
static size_t take_char(struct str *raw, char bytes[4])
{
    static const char letters[] = "bfnrt";
    static const char meanings[] = "\b\f\n\r\t";

    if (raw->ptr[0] != '\\') {
        bytes[0] = raw->ptr[0];
        *raw = str_tail(*raw, 1);
        return 1;
    }
    if (raw->ptr[1] != 'u') {
        const char *letter = strchr(letters, raw->ptr[1]);
        bytes[0] = letter ? meanings[letter - letters] : raw->ptr[1];
        *raw = str_tail(*raw, 2);
        return 1;
    }
    uint32_t unit = (uint32_t)json_hex4(raw->ptr + 2, raw->ptr + raw->len);
    *raw = str_tail(*raw, 6);
    if (unit >= 0xd800 && unit <= 0xdbff) {
        uint32_t low = (uint32_t)json_hex4(raw->ptr + 2, raw->ptr + raw->len);
        unit = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
        *raw = str_tail(*raw, 6);
    }
    return utf8_encode(unit, bytes);
}

static bool has_escapes(struct str raw)
{
    return str_find(raw, '\\') >= 0;
}

size_t json_count(struct str container)
{
    container = json_trim(container);
    struct json_walk w = json_walk(container);
    struct str key;
    struct str item;
    bool is_object = container.len > 0 && json_kind(container) == JSON_KIND_OBJECT;
    size_t n = 0;
    while (is_object ? json_next_member(&w, &key, &item) : json_next_element(&w, &item)) {
        n++;
    }
    return n;
}

bool json_key_is(struct str raw_key, struct str name)
{
    if (raw_key.len < name.len) { /* an escape is longer than what it stands for */
        return false;
    }
    if (!has_escapes(raw_key)) {
        return str_eq(raw_key, name);
    }
    while (raw_key.len > 0) {
        char bytes[4];
        size_t len = take_char(&raw_key, bytes);
        if (!str_starts_with(name, (struct str){bytes, len})) {
            return false;
        }
        name = str_tail(name, len);
    }
    return name.len == 0;
}

static size_t decoded_len(struct str raw)
{
    size_t len = 0;

    while (raw.len > 0) {
        char bytes[4];
        len += take_char(&raw, bytes);
    }
    return len;
}

enum status json_decode_string(struct str value, struct buf *out)
{
    value = json_trim(value);
    if (value.len < 2 || value.ptr[0] != '"') {
        return STATUS_INVALID;
    }
    struct str raw = {value.ptr + 1, value.len - 2};
    bool escapes = has_escapes(raw);
    enum status status = buf_reserve(out, escapes ? decoded_len(raw) : raw.len);
    if (status != STATUS_OK) {
        return status;
    }
    if (!escapes) {
        buf_append(out, raw);
        return STATUS_OK;
    }
    while (raw.len > 0) {
        char bytes[4];
        size_t len = take_char(&raw, bytes);
        buf_append(out, (struct str){bytes, len});
    }
    return STATUS_OK;
}

/* What stands for a byte that may not lie in a string as it is; NULL: it may. */
static const char *escape_of(char c, char unicode_escape[7])
{
    static const char digits[] = "0123456789abcdef";
    unsigned char u = (unsigned char)c;

    switch (c) {
    case '"': return "\\\"";
    case '\\': return "\\\\";
    case '\b': return "\\b";
    case '\f': return "\\f";
    case '\n': return "\\n";
    case '\r': return "\\r";
    case '\t': return "\\t";
    default: break;
    }
    if (u >= 0x20) {
        return NULL;
    }
    memcpy(unicode_escape, "\\u0000", 7);
    unicode_escape[4] = digits[u >> 4];
    unicode_escape[5] = digits[u & 15];
    return unicode_escape;
}

void json_append_string(struct buf *out, struct str text)
{
    const char *at = text.len > 0 ? text.ptr : "";
    const char *end = at + text.len;
    char unicode_escape[7];

    buf_append_char(out, '"');
    while (at < end) {
        const char *stop = json_skip_plain(at, end);
        buf_append(out, (struct str){at, (size_t)(stop - at)});
        at = stop;
        if (at == end) {
            break;
        }
        struct str rest = {at, (size_t)(end - at)};
        const char *escape = escape_of(*at, unicode_escape);
        size_t len = utf8_sequence(rest);
        if (escape) {
            buf_append(out, str_of(escape));
        } else {
            buf_append(out, len > 0 ? str_head(rest, len) : STR("\xef\xbf\xbd"));
        }
        at += len > 0 ? len : 1;
    }
    buf_append_char(out, '"');
}

static const char *find_line_end(const char *at, const char *end)
{
    while (at < end && *at != '\n' && *at != '\r') {
        at++;
    }
    return at;
}

void json_append_one_line(struct buf *out, struct str value)
{
    const char *at = value.len > 0 ? value.ptr : "";
    const char *end = at + value.len;

    /* In checked text these two bytes can only lie between tokens: in a string they are escaped. */
    while (at < end) {
        const char *stop = find_line_end(at, end);
        buf_append(out, (struct str){at, (size_t)(stop - at)});
        at = stop + (stop < end);
    }
}

/* -- Finding ----------------------------------------------------------------------------------- */

typedef bool (*key_fits_fn)(struct str raw_key, struct str name);

static bool find_member(struct str object, struct str name, key_fits_fn fits, struct str *ret_item)
{
    struct json_walk w = json_walk(object);
    struct str key;
    struct str item;
    bool found = false;

    while (json_next_member(&w, &key, &item)) {
        if (fits(key, name)) {
            *ret_item = item;
            found = true;
        }
    }
    return found;
}

bool json_member(struct str object, struct str name, struct str *ret_item)
{
    return find_member(object, name, json_key_is, ret_item);
}

static struct json_field *field_of(struct json_field *fields, size_t n_fields, struct str raw_key)
{
    for (size_t i = 0; i < n_fields; i++) {
        if (json_key_is(raw_key, fields[i].name)) {
            return &fields[i];
        }
    }
    return NULL;
}

enum status json_read_object(struct str value, struct json_field *fields, size_t n_fields,
                             const struct json_field **ret_repeated)
{
    struct json_walk w = json_walk(value);
    struct str key;
    struct str item;

    for (size_t i = 0; i < n_fields; i++) {
        fields[i].value = STR_EMPTY;
    }
    if (ret_repeated) {
        *ret_repeated = NULL;
    }
    if (w.at == w.end || *w.at != '{') {
        return STATUS_INVALID;
    }
    while (json_next_member(&w, &key, &item)) {
        struct json_field *field = field_of(fields, n_fields, key);
        if (field && field->value.ptr) {
            if (ret_repeated) {
                *ret_repeated = field;
            }
            return STATUS_INVALID;
        }
        if (field) {
            field->value = item;
        }
    }
    return STATUS_OK;
}

bool json_pointer_valid(struct str pointer)
{
    if (pointer.len > 0 && pointer.ptr[0] != '/') {
        return false;
    }
    for (size_t i = 0; i < pointer.len; i++) {
        if (pointer.ptr[i] == '~' &&
            (i + 1 == pointer.len || (pointer.ptr[i + 1] != '0' && pointer.ptr[i + 1] != '1'))) {
            return false;
        }
    }
    return true;
}

/* Does the pointer's token begin with these bytes, once ~0 and ~1 are decoded? Takes them off. */
static bool token_takes(struct str *token, const char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (token->len == 0) {
            return false;
        }
        bool escape = token->ptr[0] == '~';
        char c = !escape ? token->ptr[0] : token->ptr[1] == '0' ? '~' : '/';
        if (c != bytes[i]) {
            return false;
        }
        *token = str_tail(*token, escape ? 2 : 1);
    }
    return true;
}

static bool key_is_token(struct str raw_key, struct str token)
{
    while (raw_key.len > 0) {
        char bytes[4];
        size_t len = take_char(&raw_key, bytes);
        if (!token_takes(&token, bytes, len)) {
            return false;
        }
    }
    return token.len == 0;
}

static bool element_of_token(struct str array, struct str token, struct str *ret_item)
{
    struct json_walk w = json_walk(array);
    struct str item;
    uint64_t index;

    if (!str_to_u64(token, &index) || (token.len > 1 && token.ptr[0] == '0')) {
        return false;
    }
    while (json_next_element(&w, &item)) {
        if (index-- == 0) {
            *ret_item = item;
            return true;
        }
    }
    return false;
}

bool json_pointer(struct str value, struct str pointer, struct str *ret_item)
{
    struct str item = json_trim(value);

    if (!json_pointer_valid(pointer)) {
        return false;
    }
    while (pointer.len > 0) {
        pointer = str_tail(pointer, 1);
        ptrdiff_t slash = str_find(pointer, '/');
        struct str token = slash < 0 ? pointer : str_head(pointer, (size_t)slash);
        pointer = str_tail(pointer, token.len);
        bool found = json_kind(item) == JSON_KIND_ARRAY
                         ? element_of_token(item, token, &item)
                         : find_member(item, token, key_is_token, &item);
        if (!found) {
            return false;
        }
    }
    *ret_item = item;
    return true;
}

bool json_to_u64(struct str value, uint64_t *ret_number)
{
    return str_to_u64(json_trim(value), ret_number);
}

bool json_to_i64(struct str value, int64_t *ret_number)
{
    uint64_t size;

    value = json_trim(value);
    bool negative = value.len > 0 && value.ptr[0] == '-';
    if (!str_to_u64(str_tail(value, negative), &size)) {
        return false;
    }
    if (size > (uint64_t)INT64_MAX + negative) {
        return false;
    }
    *ret_number = negative ? (int64_t)(0 - size) : (int64_t)size;
    return true;
}

bool json_to_bool(struct str value, bool *ret_truth)
{
    value = json_trim(value);
    if (!str_eq(value, STR("true")) && !str_eq(value, STR("false"))) {
        return false;
    }
    *ret_truth = value.ptr[0] == 't';
    return true;
}
