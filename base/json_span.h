/* JSON that is read where it lies. Payloads must reach subscribers byte for byte (1.10 stays 1.10,
 * 12345678901234567890 stays what it is), so they are never turned into a tree and back: the text
 * is checked once (RFC 8259, strict), then values are found as views into it. Nothing here
 * allocates except what a buf does. All functions but json_check() require a text that json_check()
 * accepted.
 */
#ifndef BELFRY_BASE_JSON_SPAN_H
#define BELFRY_BASE_JSON_SPAN_H

#include "base/buf.h"
#include "base/status.h"
#include "base/str.h"

enum json_kind {
    JSON_KIND_OBJECT,
    JSON_KIND_ARRAY,
    JSON_KIND_STRING,
    JSON_KIND_NUMBER,
    JSON_KIND_TRUE,
    JSON_KIND_FALSE,
    JSON_KIND_NULL,
};

#define JSON_DEPTH_MAX 128

struct json_error {
    size_t offset;        /* of the first byte that cannot be (an escape's backslash) */
    const char *expected; /* static text */
};

/* Is text exactly one JSON value (blanks around it allowed), in valid UTF-8, nested at most
 * JSON_DEPTH_MAX deep? Escapes are checked: a lone surrogate escape is refused, so that every
 * string can be decoded to UTF-8. STATUS_INVALID fills ret_error (may be NULL). */
enum status json_check(struct str text, struct json_error *ret_error) MUST_CHECK;
/* The same for a text that will become a part of another one: nested at most depth_max deep, which
 * is at most JSON_DEPTH_MAX. */
enum status json_check_depth(struct str text, unsigned depth_max,
                             struct json_error *ret_error) MUST_CHECK;

/* The value without the blanks around it. */
struct str json_trim(struct str text);

enum json_kind json_kind(struct str value);

/* Members of an object or elements of an array, in order:
 *   struct json_walk w = json_walk(value);
 *   while (json_next_member(&w, &key, &item)) ...
 * key: the string's raw content between the quotes (escapes not decoded); item: trimmed. A walk
 * over anything else yields nothing. */
struct json_walk {
    const char *at;
    const char *end;
};
struct json_walk json_walk(struct str container);
bool json_next_member(struct json_walk *w, struct str *ret_key, struct str *ret_item);
bool json_next_element(struct json_walk *w, struct str *ret_item);

/* How many members or elements it has. */
size_t json_count(struct str container);

/* Does a member's raw key, once decoded, equal name? */
bool json_key_is(struct str raw_key, struct str name);

/* The member called name (the last one, where a name is repeated). */
bool json_member(struct str object, struct str name, struct str *ret_item);

/* Several members in one pass: each field's value is set where the object has it, and is empty
 * where not. Members that are not asked for are passed over. STATUS_INVALID when value is no object
 * or when a field's name appears twice; the field is then in ret_repeated (may be NULL). */
struct json_field {
    struct str name;
    struct str value; /* out */
};
enum status json_read_object(struct str value, struct json_field *fields, size_t n_fields,
                             const struct json_field **ret_repeated) MUST_CHECK;

/* RFC 6901. "" is the value itself. False when nothing lies there. */
bool json_pointer(struct str value, struct str pointer, struct str *ret_item);
/* Is text a well-formed pointer ("" or "/..." with only ~0 and ~1 escapes)? */
bool json_pointer_valid(struct str pointer);

/* Decodes a JSON string value (with its quotes) to UTF-8 at the end of out. STATUS_INVALID when
 * value is not a string. */
enum status json_decode_string(struct str value, struct buf *out) MUST_CHECK;
/* Only whole numbers without exponent within the type; false otherwise. */
bool json_to_u64(struct str value, uint64_t *ret_number);
bool json_to_i64(struct str value, int64_t *ret_number);
/* true and false only. */
bool json_to_bool(struct str value, bool *ret_truth);

/* Appends text as a JSON string with quotes; bytes that are not valid UTF-8 become U+FFFD. */
void json_append_string(struct buf *out, struct str text);
/* Appends a checked value without the line ends between its tokens: the client protocol separates
 * messages by a newline. No byte of a string or number is touched. */
void json_append_one_line(struct buf *out, struct str value);

#endif
