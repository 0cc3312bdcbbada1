/* The members of an API request. Texts lie in the request's body, or, where they have escapes, in a
 * buffer of their own. */
#ifndef BELFRY_PROTOCOLS_API_PARAMS_H
#define BELFRY_PROTOCOLS_API_PARAMS_H

#include "base/buf.h"
#include "base/json_span.h"
#include "base/status.h"

/* More than any method has; further ones are found too, only slower. */
#define API_MEMBERS_AT_HAND 16

struct api_params {
    struct str object; /* checked JSON */
    struct api_member {
        struct str key; /* raw */
        struct str value;
    } members[API_MEMBERS_AT_HAND];
    size_t n_members; /* of all of the object; those beyond the array are not in it */
    struct buf decoded;
    char wrong[160]; /* why a read failed: "channel: expected a string" */
};

/* body: checked JSON. Decoded texts take at most twice as much as the body: once for escapes, once
 * for base64. */
void api_params_init(struct api_params *p, struct str body);
void api_params_release(struct api_params *p);
/* Moves all to ret_taken, which is then to be released; p stays usable and empty. The body must
 * live on. */
void api_params_take(struct api_params *p, struct api_params *ret_taken);

/* Says what is wrong with a member; false, for the caller to return. */
bool api_complain(struct api_params *p, const char *name, const char *expected);

/* Is the member there, and not null? */
bool api_has(const struct api_params *p, const char *name);

/* Each is true when the member is absent or null (the value is then empty, 0 or false) or right;
 * false when it is of a wrong type, and `wrong` says so. */
bool api_text(struct api_params *p, const char *name, struct str *ret_text);
/* A member of one of the members; path: both names, "since.epoch". */
bool api_inner_text(struct api_params *p, struct str object, const char *path,
                    struct str *ret_text);
/* Refuses a longer one. */
bool api_short_text(struct api_params *p, const char *name, size_t max_bytes, struct str *ret_text);
/* The bytes that a text in base64 stands for. */
bool api_base64(struct api_params *p, const char *name, struct str *ret_bytes);
bool api_bool(struct api_params *p, const char *name, bool *ret_truth);
bool api_i64(struct api_params *p, const char *name, int64_t *ret_number);
bool api_u64(struct api_params *p, struct str object, const char *name, uint64_t *ret_number);
/* An object, as raw JSON. */
bool api_object(struct api_params *p, const char *name, struct str *ret_object);
/* Any value, as raw JSON; empty when absent. */
struct str api_value(const struct api_params *p, const char *name);
/* Decodes a JSON string that is not a member. */
bool api_decode(struct api_params *p, const char *name, struct str value, struct str *ret_text);
/* An object whose members are all strings (tags). */
bool api_string_map(struct api_params *p, const char *name, struct str *ret_object);

#endif
