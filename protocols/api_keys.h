/* Who may call the API: which key a request has, and what that key is good for. Loop's thread only.
 */
#ifndef BELFRY_PROTOCOLS_API_KEYS_H
#define BELFRY_PROTOCOLS_API_KEYS_H

#include "protocols/api_options.h"
#include "protocols/http.h"

/* http_api.key in figures and log; no name in http_api.keys has a dot. */
#define API_MAIN_KEY_NAME "http_api.key"

struct api_key {
    uint32_t id;                           /* of no other that was ever in one of the places */
    char name[API_KEY_NAME_MAX_BYTES + 1]; /* "": the place is free */
    struct str secret;                     /* of the options */
    uint64_t methods;                      /* a set */
    uint64_t n_calls;                      /* also those of other requests than the API's */
    uint64_t n_denied;                     /* of them: for a method that is not in the set */
};

/* Zero-initialise it. */
struct api_keys {
    bool is_insecure;
    uint32_t last_id;
    uint64_t n_refused;                    /* requests with no or a wrong key */
    size_t n_places;                       /* there is no key beyond */
    struct api_key keys[1 + API_KEYS_MAX]; /* the first one is http_api.key */
};

/* Takes over what the options say, and keeps the counters of keys whose name stays. The options are
 * good until the next call. */
void api_keys_set(struct api_keys *keys, const struct http_api_options *options);

/* Of a request with X-API-Key, "Authorization: apikey KEY" or ?api_key=KEY (only where its route is
 * the API's). NULL: it has none that is right; the log has it. */
struct api_key *api_keys_find(struct api_keys *keys, const struct http_request *request);
/* Counts the call. */
bool api_key_admits(struct api_key *key, enum api_method method);

#endif
