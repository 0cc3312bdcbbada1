/* SPDX-License-Identifier: MIT */
/* Unit api_keys compares what requests have with what is configured. Keys are few: all of them are
 * looked at, in a time that does not tell which one was nearly right. */
#include "protocols/api_keys.h"

#include <stdio.h>

#include "base/log.h"

static struct api_key *find_named(struct api_keys *keys, const char *name)
{
    for (size_t i = 1; i <= API_KEYS_MAX; i++) {
        if (strcmp(keys->keys[i].name, name) == 0) {
            return &keys->keys[i];
        }
    }
    return NULL;
}

static void set_key(struct api_keys *keys, struct api_key *key, const char *name,
                    const char *secret, uint64_t methods)
{
    key->id = key->name[0] ? key->id : ++keys->last_id;
    snprintf(key->name, sizeof(key->name), "%s", name);
    key->secret = str_of(secret);
    key->methods = methods;
}

static void count_places(struct api_keys *keys)
{
    keys->n_places = 1 + API_KEYS_MAX;
    while (keys->keys[keys->n_places - 1].name[0] == '\0') {
        keys->n_places--;
    }
}

static bool is_listed(const struct http_api_options *options, const char *name)
{
    const struct api_key_options *items = options->keys.items;
    for (size_t i = 0; i < options->keys.n_items; i++) {
        if (strcmp(items[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

void api_keys_set(struct api_keys *keys, const struct http_api_options *options)
{
    const struct api_key_options *items = options->keys.items;
    keys->is_insecure = options->insecure;
    set_key(keys, &keys->keys[0], API_MAIN_KEY_NAME, options->key, API_ALL_METHODS);
    for (size_t i = 1; i <= API_KEYS_MAX; i++) {
        if (!is_listed(options, keys->keys[i].name)) {
            keys->keys[i] = (struct api_key){.name = ""};
        }
    }
    for (size_t i = 0; i < options->keys.n_items; i++) {
        struct api_key *key = find_named(keys, items[i].name);
        key = key ? key : find_named(keys, "");
        set_key(keys, key, items[i].name, items[i].key, api_key_methods(&items[i]));
    }
    count_places(keys);
}

/* What follows the scheme in Authorization; empty where it has another one. */
static struct str authorized_key(const struct http_request *request)
{
    struct str text = http_request_header(request, HTTP_HEADER_AUTHORIZATION);
    struct str scheme = STR("apikey ");
    bool fits = str_eq_nocase(str_head(text, scheme.len), scheme);
    return fits ? str_trim(str_tail(text, scheme.len)) : STR_EMPTY;
}

static struct api_key *find_secret(struct api_keys *keys, struct str text)
{
    struct api_key *found = NULL;
    for (size_t i = 0; text.len > 0 && i < keys->n_places; i++) {
        struct api_key *key = &keys->keys[i];
        if (key->secret.len > 0 && str_eq_secret(text, key->secret)) {
            found = key;
        }
    }
    return found;
}

static void log_refusal(const char *why)
{
    static struct log_limit limit;
    if (log_permits(&limit)) {
        log_info("api", "key_refused", log_s("why", why),
                 log_s("expected", "a key of http_api in the header X-API-Key"),
                 log_i("left_out", limit.n_left_out));
    }
}

struct api_key *api_keys_find(struct api_keys *keys, const struct http_request *request)
{
    struct str text = http_request_header(request, HTTP_HEADER_API_KEY);
    struct str argument = http_request_header(request, HTTP_HEADER_API_KEY_ARGUMENT);
    if (keys->is_insecure) {
        return &keys->keys[0];
    }
    text = text.len > 0 ? text : authorized_key(request);
    struct api_key *found = find_secret(keys, text);
    if (!found) {
        found = find_secret(keys, argument);
    }
    if (!found) {
        keys->n_refused++;
        log_refusal(text.len + argument.len > 0 ? "wrong key" : "no key");
    }
    return found;
}

bool api_key_admits(struct api_key *key, enum api_method method)
{
    key->n_calls++;
    if (api_permits(key->methods, method)) {
        return true;
    }
    static struct log_limit limit;
    key->n_denied++;
    if (log_permits(&limit)) {
        log_info("api", "method_denied", log_s("key", key->name),
                 log_s("method", api_method_names[method]), log_i("left_out", limit.n_left_out));
    }
    return false;
}
